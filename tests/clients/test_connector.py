"""binance-connector: everything in the query string, streams by SUBSCRIBE, limits in headers."""

import json
import queue

from binance.error import ClientError
from binance.spot import Spot
from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient

from venue import KEY, SECRET, VenueTest

SYMBOL = "BTCUSDT"


class Connector(VenueTest):
    def setUp(self):
        self.client = Spot(api_key=KEY, api_secret=SECRET, base_url=self.url, timeout=20)

    def test_market_data(self):
        self.assertEqual(self.client.ping(), {})
        self.assertIn("serverTime", self.client.time())
        info = self.client.exchange_info(symbols=[SYMBOL, "ETHUSDT"])
        self.assertEqual([symbol["symbol"] for symbol in info["symbols"]], [SYMBOL, "ETHUSDT"])
        book = self.client.depth(SYMBOL, limit=5)
        self.assertLess(float(book["bids"][0][0]), float(book["asks"][0][0]))
        self.assertEqual(self.client.book_ticker(SYMBOL)["symbol"], SYMBOL)
        self.assertEqual(self.client.ticker_price(SYMBOL)["symbol"], SYMBOL)
        self.assertIn("highPrice", self.client.ticker_24hr(SYMBOL))
        for call in (self.client.trades, self.client.agg_trades, self.client.avg_price):
            call(SYMBOL)
        self.client.klines(SYMBOL, "1m")

    def test_orders(self):
        order = self.client.new_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001", price="50000"
        )
        self.assertEqual(order["status"], "NEW")
        self.assertEqual(self.client.get_order(SYMBOL, orderId=order["orderId"])["status"], "NEW")
        self.assertEqual(len(self.client.get_open_orders(SYMBOL)), 1)
        replaced = self.client.cancel_and_replace(
            symbol=SYMBOL,
            side="BUY",
            type="LIMIT",
            cancelReplaceMode="STOP_ON_FAILURE",
            timeInForce="GTC",
            quantity="0.001",
            price="50001",
            cancelOrderId=order["orderId"],
        )
        self.assertEqual((replaced["cancelResult"], replaced["newOrderResult"]), ("SUCCESS", "SUCCESS"))
        cancelled = self.client.cancel_open_orders(SYMBOL)
        self.assertEqual([one["status"] for one in cancelled], ["CANCELED"])
        filled = self.client.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity="0.001")
        self.assertEqual(filled["status"], "FILLED")
        trades = self.client.my_trades(SYMBOL)
        self.assertEqual(trades[-1]["orderId"], filled["orderId"])
        self.assertEqual(self.client.new_order_test(symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.001"), {})
        account = self.client.account(omitZeroBalances="true")
        self.assertEqual({row["asset"] for row in account["balances"]}, {"USDT", "BTC"})

    def test_errors_carry_code_and_text(self):
        with self.assertRaises(ClientError) as raised:
            self.client.new_order(
                symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001", price="50000.001"
            )
        self.assertEqual((raised.exception.error_code, raised.exception.error_message), (-1013, "Filter failure: PRICE_FILTER"))
        with self.assertRaises(ClientError) as raised:
            self.client.cancel_open_orders("ETHUSDT")
        self.assertEqual((raised.exception.status_code, raised.exception.error_code), (400, -2011))

    def test_microseconds_and_limits(self):
        client = Spot(base_url=self.url, time_unit="microsecond", show_limit_usage=True)
        answer = client.time()
        self.assertGreater(answer["data"]["serverTime"], 10**15)
        self.assertIn("x-mbx-used-weight-1m", answer["limit_usage"])

    def test_streams(self):
        got = queue.Queue()
        client = SpotWebsocketStreamClient(
            stream_url=self.websocket, on_message=lambda _, text: got.put(json.loads(text)), is_combined=True
        )
        try:
            client.book_ticker(symbol=SYMBOL, id=7)
            messages = [got.get(timeout=20) for _ in range(3)]
        finally:
            client.stop()
        self.assertIn({"result": None, "id": 7}, messages)
        data = [message["data"] for message in messages if message.get("stream") == "btcusdt@bookTicker"]
        self.assertTrue(data and all(float(row["b"]) < float(row["a"]) for row in data))


del VenueTest

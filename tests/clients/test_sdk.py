"""The official SDK (binance-sdk-spot): strict models, REST, WebSocket API with logon, streams."""

import asyncio
import time

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_spot.spot import Spot

from venue import ED_KEY, KEY, SECRET, VenueTest

SYMBOL = "BTCUSDT"


class Sdk(VenueTest):
    def test_rest(self):
        client = Spot(config_rest_api=ConfigurationRestAPI(api_key=KEY, api_secret=SECRET, base_path=self.url))
        rest = client.rest_api
        info = rest.exchange_info(symbol=SYMBOL).data()
        self.assertEqual(info.symbols[0].symbol, SYMBOL)
        self.assertTrue(rest.depth(symbol=SYMBOL).data().bids)
        rest.klines(symbol=SYMBOL, interval="1m").data()
        order = rest.new_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.001, price=50000.0
        ).data()
        self.assertEqual(order.status, "NEW")
        self.assertEqual(rest.get_order(symbol=SYMBOL, order_id=order.order_id).data().status, "NEW")
        self.assertEqual(len(rest.get_open_orders(symbol=SYMBOL).data()), 1)
        self.assertEqual(rest.delete_order(symbol=SYMBOL, order_id=order.order_id).data().status, "CANCELED")
        filled = rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.001).data()
        self.assertEqual((filled.status, filled.fills[0].commission_asset), ("FILLED", "BTC"))
        self.assertEqual(rest.my_trades(symbol=SYMBOL).data()[-1].order_id, filled.order_id)
        balances = {row.asset: row.free for row in rest.get_account().data().balances}
        self.assertEqual(float(balances["USDT"]), self.balance("USDT")[0])

    def test_websocket_api_with_logon_and_user_stream(self):
        async def work():
            configuration = ConfigurationWebSocketAPI(
                api_key=ED_KEY,
                private_key=self.private_pem,
                stream_url=f"{self.websocket}/ws-api/v3",
            )
            client = Spot(config_ws_api=configuration)
            connection = await client.websocket_api.create_connection()
            try:
                logon = (await connection.session_logon()).data()
                self.assertEqual(logon.result.api_key, ED_KEY)
                events = asyncio.Queue()
                subscribed = await connection.user_data_stream_subscribe()
                self.assertEqual(subscribed.response.data().result.subscription_id, 0)
                subscribed.stream.on("message", events.put_nowait)
                placed = await connection.order_place(
                    symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="IOC", quantity=0.001, price=70000.0
                )
                order = placed.data().result
                self.assertEqual(order.status, "FILLED")
                names = [type((await asyncio.wait_for(events.get(), 20)).actual_instance).__name__ for _ in range(3)]
                self.assertEqual(names, ["ExecutionReport", "ExecutionReport", "OutboundAccountPosition"])
                status = (await connection.order_status(symbol=SYMBOL, order_id=order.order_id)).data().result
                self.assertEqual(status.status, "FILLED")
                resting = await connection.order_place(
                    symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.001, price=50000.0
                )
                number = resting.data().result.order_id
                self.assertEqual(len((await connection.open_orders_status(symbol=SYMBOL)).data().result), 1)
                cancelled = await connection.order_cancel(symbol=SYMBOL, order_id=number)
                self.assertEqual(cancelled.data().result.status, "CANCELED")
                account = (await connection.account_status()).data().result
                self.assertTrue(any(row.asset == "BTC" for row in account.balances))
            finally:
                await connection.close_connection(close_session=True)

        asyncio.run(asyncio.wait_for(work(), 90))

    def test_streams(self):
        async def work():
            configuration = ConfigurationWebSocketStreams(stream_url=self.websocket)
            client = Spot(config_ws_streams=configuration)
            connection = await client.websocket_streams.create_connection()
            try:
                got = asyncio.Queue()
                book = await connection.book_ticker(symbol=SYMBOL.lower())
                book.on("message", got.put_nowait)
                trade = await connection.trade(symbol=SYMBOL.lower())
                trade.on("message", got.put_nowait)
                seen, deadline = set(), time.monotonic() + 40
                while len(seen) < 2 and time.monotonic() < deadline:
                    message = await asyncio.wait_for(got.get(), 40)
                    seen.add(type(message).__name__)
                self.assertEqual(seen, {"BookTickerResponse", "TradeResponse"})
            finally:
                await connection.close_connection(close_session=True)

        asyncio.run(asyncio.wait_for(work(), 90))


del VenueTest

"""ccxt over REST: markets, prices, orders of every kind, balances, trades, errors by their class."""

import ccxt

from venue import KEY, SECRET, ED_KEY, VenueTest

SYMBOL = "BTC/USDT"


def point_at(client, url):
    """Every URL that ccxt knows leads to the venue: nothing may leave this machine."""

    def rewrite(urls):
        for name, value in urls.items():
            if isinstance(value, dict):
                rewrite(value)
            elif isinstance(value, str):
                urls[name] = f"{url}/api/v3"

    rewrite(client.urls["api"])
    return client


OPTIONS = {
    "fetchMarkets": {"types": ["spot"]},
    "fetchCurrencies": False,
    "fetchMargins": False,
    "defaultType": "spot",
}


class Ccxt(VenueTest):
    def setUp(self):
        self.client = point_at(ccxt.binance({"apiKey": KEY, "secret": SECRET, "options": dict(OPTIONS)}), self.url)
        self.client.load_markets()

    def test_markets_and_their_grids(self):
        market = self.client.market(SYMBOL)
        self.assertEqual((market["base"], market["quote"]), ("BTC", "USDT"))
        self.assertEqual((market["precision"]["price"], market["precision"]["amount"]), (0.01, 0.00001))
        self.assertEqual(market["limits"]["cost"]["min"], 5)
        self.assertIn("ETH/USDT", self.client.markets)

    def test_public_market_data(self):
        ticker = self.client.fetch_ticker(SYMBOL)
        self.assertLess(ticker["bid"], ticker["ask"])
        both = self.client.fetch_bids_asks([SYMBOL, "ETH/USDT"])
        self.assertEqual(len(both), 2)
        book = self.client.fetch_order_book(SYMBOL, 5)
        self.assertLess(book["bids"][0][0], book["asks"][0][0])
        self.assertLess(abs(self.client.fetch_time() - self.client.milliseconds()), 2000)
        self.client.load_time_difference()
        for trade in self.client.fetch_trades(SYMBOL):
            self.assertGreater(trade["amount"], 0)
        for candle in self.client.fetch_ohlcv(SYMBOL, "1m"):
            self.assertLessEqual(candle[3], candle[2])

    def test_an_ioc_buys_at_the_touch_and_lapses_below_it(self):
        ask = self.client.fetch_order_book(SYMBOL)["asks"][0][0]
        order = self.client.create_order(SYMBOL, "limit", "buy", 0.001, ask * 1.02, {"timeInForce": "IOC"})
        self.assertEqual((order["status"], order["filled"]), ("closed", 0.001))
        self.assertLess(order["average"], ask * 1.02)
        self.assertEqual(order["trades"][0]["fee"]["currency"], "BTC")
        missed = self.client.create_order(SYMBOL, "limit", "buy", 0.001, ask * 0.9, {"timeInForce": "IOC"})
        self.assertEqual((missed["status"], missed["filled"]), ("expired", 0))

    def test_market_orders_by_quantity_and_by_cost(self):
        bought = self.client.create_order(SYMBOL, "market", "buy", 0.002)
        self.assertEqual((bought["status"], bought["filled"]), ("closed", 0.002))
        sold = self.client.create_order(SYMBOL, "market", "sell", 0.001)
        self.assertEqual(sold["trades"][0]["fee"]["currency"], "USDT")
        by_cost = self.client.create_market_buy_order_with_cost(SYMBOL, 100)
        self.assertLessEqual(by_cost["cost"], 100)
        self.assertGreater(by_cost["cost"], 98)

    def test_a_resting_limit_locks_its_money_until_it_is_cancelled(self):
        free, locked = self.balance("USDT")
        order = self.client.create_order(SYMBOL, "limit", "buy", 0.01, 50000)
        self.assertEqual(order["status"], "open")
        self.assertEqual(self.balance("USDT"), (free - 500, locked + 500))
        self.assertEqual(self.client.fetch_balance()["USDT"]["used"], locked + 500)
        self.assertIn(order["id"], [open_["id"] for open_ in self.client.fetch_open_orders(SYMBOL)])
        self.assertEqual(self.client.fetch_order(order["id"], SYMBOL)["status"], "open")
        self.assertEqual(self.client.cancel_order(order["id"], SYMBOL)["status"], "canceled")
        self.assertEqual(self.balance("USDT"), (free, locked))
        by_name = self.client.fetch_order("", SYMBOL, {"origClientOrderId": order["clientOrderId"]})
        self.assertEqual(by_name["status"], "canceled")
        with self.assertRaises(ccxt.OrderNotFound):
            self.client.cancel_order(order["id"], SYMBOL)

    def test_cancel_all(self):
        for price in (50000, 50001):
            self.client.create_order(SYMBOL, "limit", "buy", 0.01, price)
        self.assertEqual(len(self.client.cancel_all_orders(SYMBOL)), 2)
        self.assertEqual(self.client.fetch_open_orders(SYMBOL), [])

    def test_trades_and_balances_agree_with_the_venues_books(self):
        self.client.create_order(SYMBOL, "market", "buy", 0.003)
        mine, truth = self.client.fetch_my_trades(SYMBOL), self.truth()
        self.assertEqual(
            [(trade["order"], trade["price"], trade["amount"]) for trade in mine],
            [(str(f["orderId"]), float(f["price"]), float(f["quantity"])) for f in truth["fills"]],
        )
        total = self.client.fetch_balance()["total"]
        for row in truth["balances"]:
            self.assertEqual(total[row["asset"]], float(row["free"]) + float(row["locked"]))

    def test_errors_have_the_class_that_ccxt_gives_the_real_venue(self):
        ask = self.client.fetch_order_book(SYMBOL)["asks"][0][0]
        cases = [
            (ccxt.InsufficientFunds, lambda: self.client.create_order(SYMBOL, "limit", "buy", 100, 50000)),
            (
                ccxt.OrderImmediatelyFillable,
                lambda: self.client.create_order(SYMBOL, "limit", "buy", 0.01, ask * 1.1, {"postOnly": True}),
            ),
            (ccxt.OrderNotFound, lambda: self.client.fetch_order("7", SYMBOL)),
            (ccxt.InvalidOrder, lambda: self.client.create_order(SYMBOL, "limit", "buy", 9001, 50000)),
            (ccxt.BadSymbol, lambda: self.client.publicGetTickerPrice({"symbol": "NOSUCH"})),
        ]
        for expected, call in cases:
            with self.assertRaises(expected):
                call()
        order = {"newClientOrderId": "twice"}
        self.client.create_order(SYMBOL, "limit", "buy", 0.001, 50000, order)
        with self.assertRaisesRegex(ccxt.InvalidOrder, "Duplicate order sent"):
            self.client.create_order(SYMBOL, "limit", "buy", 0.001, 50000, order)
        self.client.cancel_all_orders(SYMBOL)

    def test_wrong_keys_signatures_and_clocks_are_refused(self):
        for key, secret in ((KEY, "another secret"), ("unknown-key", SECRET)):
            stranger = point_at(ccxt.binance({"apiKey": key, "secret": secret, "options": dict(OPTIONS)}), self.url)
            with self.assertRaises(ccxt.AuthenticationError):
                stranger.fetch_balance()
        with self.assertRaises(ccxt.InvalidNonce):
            self.client.fetch_balance({"timestamp": self.client.milliseconds() - 120_000})

    def test_an_ed25519_key_signs_rest_too(self):
        client = point_at(
            ccxt.binance({"apiKey": ED_KEY, "secret": self.private_pem, "options": dict(OPTIONS)}), self.url
        )
        self.assertIn("BTC", client.fetch_balance()["total"])


del VenueTest

"""ccxt.pro over WebSocket: market streams, the local book's gap rule, orders and the user stream."""

import asyncio
import unittest

import ccxt.pro

from test_ccxt import OPTIONS, SYMBOL, point_at
from venue import ED_KEY, KEY, SECRET, VenueTest


class CcxtPro(VenueTest):
    arguments = ["--speed", "5"]

    def client(self, key=KEY, secret=SECRET):
        client = ccxt.pro.binance({"apiKey": key, "secret": secret, "options": dict(OPTIONS)})
        point_at(client, self.url)
        client.urls["api"]["ws"] = {
            "spot": f"{self.websocket}/stream",
            "ws-api": {"spot": f"{self.websocket}/ws-api/v3"},
        }
        return client

    def run_with(self, work, **keys):
        async def go():
            client = self.client(**keys)
            try:
                await client.load_markets()
                await asyncio.wait_for(work(client), 60)
            finally:
                await client.close()

        asyncio.run(go())

    def test_market_streams(self):
        async def work(client):
            best = (await client.watch_bids_asks([SYMBOL]))[SYMBOL]
            self.assertLess(best["bid"], best["ask"])
            trades = await client.watch_trades(SYMBOL)
            self.assertGreater(trades[-1]["amount"], 0)
            ticker = await client.watch_ticker(SYMBOL)
            self.assertGreater(ticker["last"], 0)
            candles = await client.watch_ohlcv(SYMBOL, "1m")
            self.assertLessEqual(candles[-1][3], candles[-1][2])

        self.run_with(work)

    def test_the_local_book_never_sees_a_gap(self):
        async def work(client):
            for _ in range(10):
                book = await client.watch_order_book(SYMBOL)
                self.assertLess(book["bids"][0][0], book["asks"][0][0])

        self.run_with(work)

    def orders(self, **keys):
        async def work(client):
            orders = asyncio.create_task(client.watch_orders(SYMBOL))
            mine = asyncio.create_task(client.watch_my_trades(SYMBOL))
            balance = asyncio.create_task(client.watch_balance())
            await asyncio.sleep(1)
            bought = await client.create_order_ws(SYMBOL, "market", "buy", 0.002)
            self.assertEqual((bought["status"], bought["filled"]), ("closed", 0.002))
            self.assertTrue(await orders)
            trades = await mine
            self.assertEqual((trades[-1]["order"], trades[-1]["amount"]), (bought["id"], 0.002))
            self.assertEqual((await balance)["BTC"]["free"], self.balance("BTC")[0])
            resting = await client.create_order_ws(SYMBOL, "limit", "buy", 0.002, 50000)
            found = await client.fetch_order_ws(resting["id"], SYMBOL)
            self.assertEqual(found["status"], "open")
            self.assertEqual([o["id"] for o in await client.fetch_open_orders_ws(SYMBOL)], [resting["id"]])
            cancelled = await client.cancel_order_ws(resting["id"], SYMBOL)
            self.assertEqual(cancelled["status"], "canceled")
            with self.assertRaises(ccxt.OrderNotFound):
                await client.cancel_order_ws(resting["id"], SYMBOL)

        self.run_with(work, **keys)

    def test_orders_and_the_user_stream_with_an_hmac_key(self):
        self.orders()

    def test_orders_and_the_user_stream_with_an_ed25519_key(self):
        self.orders(key=ED_KEY, secret=self.private_pem)


del VenueTest

if __name__ == "__main__":
    unittest.main()

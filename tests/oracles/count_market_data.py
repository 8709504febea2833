#!/usr/bin/env python3
"""Counts what is in the shared market data, apart from pawl's own readers.

    python3 tests/oracles/count_market_data.py ../shared/data > tests/oracles/market_data.csv

Reads every file with Python's csv, json, gzip and lzma. Of each: symbols, quotes, trades, and of the quotes
those crossed, locked, equal to the one before, and earlier than one before (per symbol; trades on their own).
A minute bar of both sides counts as the four quotes that docs/data.md says it becomes.
"""
import csv
import gzip
import json
import lzma
import os
import struct
import sys
from collections import Counter
from datetime import datetime, timezone

ROOT = sys.argv[1]


def text(path):
    return gzip.open(path, "rt") if path.endswith(".gz") else open(path)


def units(number):
    whole, _, part = number.partition(".")
    return int(whole) * 10**8 + int((part + "00000000")[:8])


def iso(stamp):
    # Python keeps microseconds, which is all these files have.
    return int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1e6) * 1000


class Count(Counter):
    """The rules of the feed, told a second time."""

    def __init__(self):
        super().__init__()
        self.basis, self.last, self.latest, self.symbols = {}, {}, {}, set()

    def time(self, symbol, venue, local):
        return (venue or local) if self.basis.get(symbol, "venue") == "venue" else local

    def quote(self, symbol, venue, local, bid, ask, sizes=None):
        self["quotes"] += 1
        self.symbols.add(symbol)
        if symbol not in self.basis:
            self.basis[symbol] = "venue" if venue else "local"
            self.latest.pop((symbol, "t"), None)
        if bid > ask:
            self["crossed"] += 1
            return
        self["locked"] += bid == ask
        now = self.time(symbol, venue, local)
        self["duplicate"] += self.last.get(symbol) == (now, bid, ask, sizes)
        self.last[symbol] = (now, bid, ask, sizes)
        self.late(symbol, "q", now)

    def trade(self, symbol, venue, local, price, qty):
        self["trades"] += 1
        self.symbols.add(symbol)
        if price <= 0 or qty <= 0:
            self["not_positive"] += 1
            return
        self.late(symbol, "t", self.time(symbol, venue, local))

    def late(self, symbol, kind, now):
        if now < self.latest.get((symbol, kind), 0):
            self["out_of_order"] += 1
        else:
            self.latest[symbol, kind] = now


def table(path, count):
    with text(path) as lines:
        for r in csv.DictReader(lines):
            if "bid_o" in r:
                start = int(r["ts_s"]) * 10**9
                at = {k: (units(r["bid_" + k]), units(r["ask_" + k])) for k in "ohlc"}
                order = "olhc" if at["c"][0] >= at["o"][0] else "ohlc"
                for k, millis in zip(order, (0, 15_000, 30_000, 59_999)):
                    now = start + millis * 10**6
                    count.quote("", now, now, *at[k])
            elif "local_timestamp" in r:
                venue, local = int(r["timestamp"]) * 1000, int(r["local_timestamp"]) * 1000
                if "bid_price" in r:
                    sizes = (r["bid_amount"], r["ask_amount"])
                    count.quote(r["symbol"], venue, local, units(r["bid_price"]), units(r["ask_price"]), sizes)
                else:
                    count.trade(r["symbol"], venue, local, units(r["price"]), units(r["amount"]))
            elif "ts_recv_ns" in r:
                local, venue = int(r["ts_recv_ns"]), int(r["ts_txn_ms"] or 0) * 10**6
                if "bid" in r:
                    sizes = (r["bid_qty"], r["ask_qty"])
                    count.quote("", venue, local, units(r["bid"]), units(r["ask"]), sizes)
                else:
                    count.trade("", venue, local, units(r["price"]), units(r["qty"]))
            else:
                now = int(r["ts_ns"]) if "ts_ns" in r else iso(r["timestamp"])
                sizes = (r.get("bid_vol_m"), r.get("ask_vol_m"))
                count.quote("", now, now, units(r["bid"]), units(r["ask"]), sizes)


def capture(path, count):
    with text(path) as lines:
        for line in lines:
            stamp, _, message = line.partition(" ")
            stamp = stamp.rstrip(":")
            if not stamp.replace(".", "").isdigit():
                continue
            whole, _, part = stamp.partition(".")
            local = int(whole) * 10**9 + int((part + "0" * 9)[:9]) if len(whole) < 12 else int((whole + "000")[:19])
            message = json.loads(message)
            if "stream" in message:
                data, kind = message["data"], message["stream"].split("@")[1]
                venue = data.get("T", 0) * 10**6
                if kind == "bookTicker":
                    sizes = (data["B"], data["A"])
                    count.quote(data["s"], venue, local, units(data["b"]), units(data["a"]), sizes)
                elif kind in ("trade", "aggTrade"):
                    count.trade(data["s"], venue, local, units(data["p"]), units(data["q"]))
            elif message.get("type") == "ticker":
                venue = iso(message["time"])
                count.quote(message["product_id"], venue, local, units(message["best_bid"]), units(message["best_ask"]))
            elif message.get("type") == "match":
                venue = iso(message["time"])
                count.trade(message["product_id"], venue, local, units(message["price"]), units(message["size"]))


def histdata(path, count):
    with text(path) as lines:
        for row in csv.reader(lines):
            now = int(datetime.strptime(row[0] + "000", "%Y%m%d %H%M%S%f").replace(tzinfo=timezone.utc).timestamp() * 1e3)
            count.quote("", now, now, units(row[1]), units(row[2]))


def native(path, count):
    with open(path, "rb") as packed:
        plain = lzma.decompress(packed.read(), format=lzma.FORMAT_ALONE)
    for millis, ask, bid, ask_volume, bid_volume in struct.iter_unpack(">IIIff", plain):
        count.quote("", millis + 1, millis + 1, bid, ask, (bid_volume, ask_volume))


def reader(name):
    if name.endswith(".bi5"):
        return native
    if name.startswith("crypto_raw/"):
        return capture
    if name.startswith(("fx_ticks/", "crypto_ticks/")) or "M1quote" in name:
        return table
    if name.startswith("original/nautilus/"):
        if "quote_tick_data" in name:
            return histdata
        if "tardis" in name or "ticks" in name:
            return table
    return None


COLUMNS = ["quotes", "trades", "crossed", "locked", "duplicate", "out_of_order", "not_positive"]
print("file", "symbols", *COLUMNS, sep=",")
for folder, _, files in sorted(os.walk(ROOT)):
    for file in sorted(files):
        path = os.path.join(folder, file)
        name = os.path.relpath(path, ROOT)
        if reader(name):
            count = Count()
            reader(name)(path, count)
            print(name, len(count.symbols), *(count[column] for column in COLUMNS), sep=",", flush=True)

//! Market streams: their names, and their messages in JSON and in SBE.

use super::board::{Candle, DepthChange, INTERVALS, PublicTrade, Tape};
use super::caller::TimeUnit;
use super::exchange::{Exchange, Market};
use super::json::{Object, array};
use super::public::{average, change, level, sides, weighted};
use crate::core::time::SECOND;
use crate::core::{InstrumentId, Nanos, Qty, Span};
use crate::venue::binance::sbe::{BestBidAsk, Exponents, TradeEntry, encode_trades};

/// What can be subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Topic {
    /// Best bid and ask, each change.
    BookTicker,
    /// Each trade.
    Trade,
    /// Each trade, aggregated (here: the same).
    AggTrade,
    /// Changes of the book; `true`: every 100 ms, else every second.
    Depth(bool),
    /// The book's best levels: how many, and how often as above.
    PartialDepth(u8, bool),
    /// The day's figures, short.
    MiniTicker,
    /// The day's figures.
    Ticker,
    /// Candle of the interval with this index.
    Kline(u8),
    /// Five-minute average.
    AveragePrice,
    /// Futures: mark price every second.
    MarkPrice,
}

/// A topic of a symbol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Stream {
    /// Which symbol.
    pub symbol: InstrumentId,
    /// What about it.
    pub topic: Topic,
}

impl Stream {
    /// From its name, `btcusdt@bookTicker`; `None` for a name that is no stream.
    pub(super) fn parse(name: &str, exchange: &Exchange) -> Option<Self> {
        let (symbol, topic) = name.split_once('@')?;
        if symbol.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let symbol = exchange.symbol(&symbol.to_ascii_uppercase())?;
        let fast = topic.ends_with("@100ms");
        let plain = topic.strip_suffix("@100ms").or_else(|| topic.strip_suffix("@1000ms")).unwrap_or(topic);
        let topic = match plain {
            "bookTicker" | "bestBidAsk" => Topic::BookTicker,
            "trade" => Topic::Trade,
            "aggTrade" => Topic::AggTrade,
            "depth" => Topic::Depth(fast),
            "depth5" => Topic::PartialDepth(5, fast),
            "depth10" => Topic::PartialDepth(10, fast),
            "depth20" => Topic::PartialDepth(20, fast),
            "miniTicker" => Topic::MiniTicker,
            "ticker" => Topic::Ticker,
            "avgPrice" => Topic::AveragePrice,
            "markPrice" | "markPrice@1s" => Topic::MarkPrice,
            other => {
                let interval = other.strip_prefix("kline_")?;
                Topic::Kline(INTERVALS.iter().position(|(name, _)| *name == interval)? as u8)
            }
        };
        Some(Self { symbol, topic })
    }

    /// True when it is sent with the market's events rather than by the clock.
    pub(super) const fn is_immediate(self) -> bool {
        matches!(self.topic, Topic::BookTicker | Topic::Trade | Topic::AggTrade)
    }

    /// How often it is sent by the clock, in units of 100 ms.
    pub(super) const fn period(self) -> u64 {
        match self.topic {
            Topic::Depth(true) | Topic::PartialDepth(_, true) => 1,
            _ => 10,
        }
    }
}

/// Renders messages of one symbol.
pub(super) struct Painter<'a> {
    /// Where it is traded.
    pub exchange: &'a Exchange,
    /// Which symbol.
    pub symbol: InstrumentId,
    /// What the public knows of it.
    pub tape: &'a Tape,
    /// The venue's time.
    pub now: Nanos,
    /// Unit of times.
    pub unit: TimeUnit,
}

impl Painter<'_> {
    fn name(&self) -> &str {
        self.exchange.symbols[self.symbol.index()].name()
    }

    fn head(&self, event: &str) -> Object {
        Object::new().text("e", event).raw("E", self.unit.of(self.now)).text("s", self.name())
    }

    /// `bookTicker`; spot has neither type nor time, futures has both.
    pub(super) fn book_ticker(&self) -> Option<String> {
        let quote = self.tape.quote?;
        let object = match self.exchange.market {
            Market::Spot => Object::new().raw("u", self.tape.update).text("s", self.name()),
            Market::Futures => Object::new().text("e", "bookTicker").raw("u", self.tape.update).text("s", self.name()),
        };
        let object = object
            .decimal("b", quote.bid)
            .decimal("B", quote.bid_qty)
            .decimal("a", quote.ask)
            .decimal("A", quote.ask_qty);
        Some(match self.exchange.market {
            Market::Spot => object.end(),
            Market::Futures => object.raw("T", self.unit.of(self.tape.quoted)).raw("E", self.unit.of(self.now)).end(),
        })
    }

    /// `trade`.
    pub(super) fn trade(&self, trade: &PublicTrade) -> String {
        self.head("trade")
            .raw("t", trade.id)
            .decimal("p", trade.price)
            .decimal("q", trade.qty)
            .raw("T", self.unit.of(trade.time))
            .raw("m", trade.buyer_is_maker)
            .raw("M", true)
            .end()
    }

    /// `aggTrade`.
    pub(super) fn aggregate(&self, trade: &PublicTrade) -> String {
        self.head("aggTrade")
            .raw("a", trade.id)
            .decimal("p", trade.price)
            .decimal("q", trade.qty)
            .raw("f", trade.id)
            .raw("l", trade.id)
            .raw("T", self.unit.of(trade.time))
            .raw("m", trade.buyer_is_maker)
            .raw("M", true)
            .end()
    }

    /// A message that is sent by the clock; `None` when there is nothing new to say.
    pub(super) fn clocked(&self, topic: Topic) -> Option<String> {
        match topic {
            Topic::BookTicker | Topic::Trade | Topic::AggTrade => None,
            Topic::Depth(fast) => self.depth(&self.tape.changes[usize::from(!fast)]),
            Topic::PartialDepth(..) => {
                self.tape.quote?;
                let object = Object::new().raw("lastUpdateId", self.tape.update);
                Some(sides(object, self.tape, ["bids", "asks"]).end())
            }
            Topic::MiniTicker => Some(self.mini_ticker()),
            Topic::Ticker => Some(self.ticker()),
            Topic::Kline(interval) => self.kline(usize::from(interval)),
            Topic::AveragePrice => {
                let (price, time) = average(self.tape, self.now);
                let object = self.head("avgPrice").text("i", "5m").decimal("w", price);
                Some(object.raw("T", self.unit.of(time)).end())
            }
            Topic::MarkPrice => {
                let mark = self.exchange.mark(self.symbol)?;
                let object = self.head("markPriceUpdate").decimal("p", mark).decimal("i", mark).decimal("P", mark);
                Some(object.text("r", "0.00000000").raw("T", 0).end())
            }
        }
    }

    fn depth(&self, change: &DepthChange) -> Option<String> {
        if change.first == 0 {
            return None;
        }
        let rows =
            |side: &std::collections::BTreeMap<_, Qty>| array(side.iter().map(|(price, qty)| level(*price, *qty)));
        let object = self.head("depthUpdate");
        let object = match self.exchange.market {
            Market::Spot => object.raw("U", change.first).raw("u", change.last),
            Market::Futures => object
                .raw("T", self.unit.of(self.tape.quoted))
                .raw("U", change.first)
                .raw("u", change.last)
                .raw("pu", change.first - 1),
        };
        Some(object.raw("b", rows(&change.bids)).raw("a", rows(&change.asks)).end())
    }

    fn mini_ticker(&self) -> String {
        let day = self.tape.day(self.now);
        self.head("24hrMiniTicker")
            .decimal("c", day.close)
            .decimal("o", day.open)
            .decimal("h", day.high)
            .decimal("l", day.low)
            .decimal("v", day.volume)
            .decimal("q", day.value)
            .end()
    }

    fn ticker(&self) -> String {
        let (day, quote) = (self.tape.day(self.now), self.tape.quote.unwrap_or_default());
        let (change, percent) = change(&day);
        self.head("24hrTicker")
            .decimal("p", change)
            .raw("P", format_args!("\"{percent:.3}\""))
            .decimal("w", weighted(&day))
            .decimal("x", day.open)
            .decimal("c", day.close)
            .decimal("Q", self.tape.trades.back().map_or(Qty::ZERO, |trade| trade.qty))
            .decimal("b", quote.bid)
            .decimal("B", quote.bid_qty)
            .decimal("a", quote.ask)
            .decimal("A", quote.ask_qty)
            .decimal("o", day.open)
            .decimal("h", day.high)
            .decimal("l", day.low)
            .decimal("v", day.volume)
            .decimal("q", day.value)
            .raw("O", self.unit.of(Nanos(self.now.0.saturating_sub(crate::core::time::DAY))))
            .raw("C", self.unit.of(self.now))
            .raw("F", day.first)
            .raw("L", day.last)
            .raw("n", day.count)
            .end()
    }

    fn kline(&self, interval: usize) -> Option<String> {
        let (name, width) = INTERVALS[interval];
        let candle: Candle = *self.tape.candles(width, 1).last()?;
        let end = candle.start.plus(Span(width * SECOND));
        let body = Object::new()
            .raw("t", self.unit.of(candle.start))
            .raw("T", self.unit.of(end) - 1)
            .text("s", self.name())
            .text("i", name)
            .raw("f", candle.first)
            .raw("L", candle.last)
            .decimal("o", candle.open)
            .decimal("c", candle.close)
            .decimal("h", candle.high)
            .decimal("l", candle.low)
            .decimal("v", candle.volume)
            .raw("n", candle.count)
            .raw("x", end <= self.now)
            .decimal("q", candle.value)
            .decimal("V", candle.bought)
            .decimal("Q", candle.bought_value)
            .text("B", "0")
            .end();
        Some(self.head("kline").raw("k", body).end())
    }

    /// `bestBidAsk` in SBE.
    pub(super) fn book_ticker_sbe(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(80);
        let message = BestBidAsk {
            event_time_us: (self.now.0 / 1_000) as i64,
            book_update_id: self.tape.update as i64,
            quote: self.tape.quote?,
            symbol: self.name().as_bytes(),
        };
        message.encode(Exponents::UNITS, &mut out).ok()?;
        Some(out)
    }

    /// `trade` in SBE.
    pub(super) fn trade_sbe(&self, trade: &PublicTrade) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(80);
        let entry = TradeEntry {
            id: trade.id as i64,
            price: trade.price,
            qty: trade.qty,
            buyer_is_maker: trade.buyer_is_maker,
        };
        let (event, transaction) = ((self.now.0 / 1_000) as i64, (trade.time.0 / 1_000) as i64);
        encode_trades(event, transaction, self.name().as_bytes(), &[entry], Exponents::UNITS, &mut out).ok()?;
        Some(out)
    }
}

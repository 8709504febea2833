//! What the public sees: the best bid and ask, the last trades, candles, and the day's figures, per
//! symbol. Fed with the market's events in the venue's time; answers REST and feeds the streams.
//! Bounded: the last 1000 trades, 1000 seconds and 1500 minutes.

use std::collections::{BTreeMap, VecDeque};

use crate::core::payload::{Quote, Trade};
use crate::core::{Event, EventKind, Flags, Money, Nanos, Payload, Price, Qty};

use super::records::{sum, worth};

const TRADES: usize = 1_000;
const SECONDS: usize = 1_000;
const MINUTES: usize = 1_500;
const SECOND: u64 = crate::core::time::SECOND;
const MINUTE: u64 = 60 * SECOND;

/// Kline intervals and their width in seconds. Weeks begin on Monday; months are not offered.
pub(super) const INTERVALS: [(&str, u64); 15] = [
    ("1s", 1),
    ("1m", 60),
    ("3m", 180),
    ("5m", 300),
    ("15m", 900),
    ("30m", 1_800),
    ("1h", 3_600),
    ("2h", 7_200),
    ("4h", 14_400),
    ("6h", 21_600),
    ("8h", 28_800),
    ("12h", 43_200),
    ("1d", 86_400),
    ("3d", 259_200),
    ("1w", 604_800),
];

/// A public trade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PublicTrade {
    /// From 1.
    pub id: u64,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// When.
    pub time: Nanos,
    /// The aggressor sold.
    pub buyer_is_maker: bool,
}

/// What traded in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candle {
    /// Its first instant.
    pub start: Nanos,
    /// First price; of an empty candle the close before it.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Base volume.
    pub volume: Qty,
    /// Quote volume.
    pub value: Money,
    /// How many trades.
    pub count: u64,
    /// Base volume of aggressors that bought.
    pub bought: Qty,
    /// Their quote volume.
    pub bought_value: Money,
    /// Id of the first trade; 0 when none.
    pub first: u64,
    /// Id of the last trade; 0 when none.
    pub last: u64,
}

impl Candle {
    fn empty(start: Nanos, price: Price) -> Self {
        Self {
            start,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: Qty::ZERO,
            value: Money::ZERO,
            count: 0,
            bought: Qty::ZERO,
            bought_value: Money::ZERO,
            first: 0,
            last: 0,
        }
    }

    fn add(&mut self, trade: &PublicTrade) {
        let value = worth(trade.price, trade.qty, false);
        if self.count == 0 {
            (self.open, self.high, self.low, self.first) = (trade.price, trade.price, trade.price, trade.id);
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        (self.close, self.last) = (trade.price, trade.id);
        self.count += 1;
        self.volume = self.volume.checked_add(trade.qty).unwrap_or(Qty::MAX);
        self.value = sum(self.value, value);
        if !trade.buyer_is_maker {
            self.bought = self.bought.checked_add(trade.qty).unwrap_or(Qty::MAX);
            self.bought_value = sum(self.bought_value, value);
        }
    }

    /// This candle and a later one as one.
    fn join(&mut self, later: &Self) {
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = Self { start: self.start, ..*later };
            return;
        }
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        (self.close, self.last) = (later.close, later.last);
        self.count += later.count;
        self.volume = self.volume.checked_add(later.volume).unwrap_or(Qty::MAX);
        self.value = sum(self.value, later.value);
        self.bought = self.bought.checked_add(later.bought).unwrap_or(Qty::MAX);
        self.bought_value = sum(self.bought_value, later.bought_value);
    }
}

fn add_to(candles: &mut VecDeque<Candle>, width: u64, most: usize, trade: &PublicTrade) {
    let start = Nanos(trade.time.0 - trade.time.0 % width);
    while let Some(last) = candles.back().copied().filter(|last| last.start < start) {
        // A long silence is skipped, not filled: nobody can ask for more than is kept.
        let gap = (start.0 - last.start.0) / width;
        let next = if gap > most as u64 { start } else { Nanos(last.start.0 + width) };
        candles.push_back(Candle::empty(next, last.close));
        if candles.len() > most {
            candles.pop_front();
        }
    }
    if candles.is_empty() {
        candles.push_back(Candle::empty(start, trade.price));
    }
    if let Some(last) = candles.back_mut() {
        last.add(trade);
    }
}

/// Changes of the book since the last depth message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DepthChange {
    /// First update id in it.
    pub first: u64,
    /// Last update id in it.
    pub last: u64,
    /// Price to quantity; zero means gone.
    pub bids: BTreeMap<Price, Qty>,
    /// Price to quantity; zero means gone.
    pub asks: BTreeMap<Price, Qty>,
}

/// One symbol.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    /// The touch, `None` before the first quote.
    pub quote: Option<Quote>,
    /// Number of the last book update.
    pub update: u64,
    /// When the touch last changed.
    pub quoted: Nanos,
    /// Newest last.
    pub trades: VecDeque<PublicTrade>,
    seconds: VecDeque<Candle>,
    minutes: VecDeque<Candle>,
    traded: u64,
    /// Pending changes for streams of 100 ms and of 1 s.
    pub changes: [DepthChange; 2],
}

impl Tape {
    /// Nothing seen yet. Book updates are numbered from above `first_update`.
    pub(super) fn new(first_update: u64) -> Self {
        Self {
            quote: None,
            update: first_update,
            quoted: Nanos::NONE,
            trades: VecDeque::new(),
            seconds: VecDeque::new(),
            minutes: VecDeque::new(),
            traded: 0,
            changes: Default::default(),
        }
    }

    /// Takes up a market event; true when the public should hear of it.
    pub(super) fn on_market(&mut self, event: &Event, now: Nanos) -> bool {
        match event.kind {
            EventKind::Quote => self.on_quote(Quote::of(event), now),
            EventKind::Trade => {
                self.on_trade(&Trade::of(event), event.flags.contains(Flags::SELL), now);
                true
            }
            _ => false,
        }
    }

    fn on_quote(&mut self, quote: Quote, now: Nanos) -> bool {
        if quote.bid > quote.ask || !quote.bid.is_positive() || self.quote == Some(quote) {
            return false;
        }
        self.update += 1;
        for change in &mut self.changes {
            if change.first == 0 {
                change.first = self.update;
            }
            change.last = self.update;
            if let Some(old) = self.quote {
                change.bids.insert(old.bid, Qty::ZERO);
                change.asks.insert(old.ask, Qty::ZERO);
            }
            change.bids.insert(quote.bid, quote.bid_qty);
            change.asks.insert(quote.ask, quote.ask_qty);
        }
        (self.quote, self.quoted) = (Some(quote), now);
        true
    }

    fn on_trade(&mut self, trade: &Trade, sold: bool, now: Nanos) {
        self.traded += 1;
        let trade =
            PublicTrade { id: self.traded, price: trade.price, qty: trade.qty, time: now, buyer_is_maker: sold };
        if self.trades.len() == TRADES {
            self.trades.pop_front();
        }
        self.trades.push_back(trade);
        add_to(&mut self.seconds, SECOND, SECONDS, &trade);
        add_to(&mut self.minutes, MINUTE, MINUTES, &trade);
    }

    /// Candles of a width (seconds) up to now, oldest first, at most `limit`.
    pub(super) fn candles(&self, width: u64, limit: usize) -> Vec<Candle> {
        let width = width * SECOND;
        if width == SECOND {
            return self.seconds.iter().rev().take(limit).rev().copied().collect();
        }
        // 1970-01-01 was a Thursday: weeks are aligned to the Monday before it.
        let offset = if width == 7 * 86_400 * SECOND { 3 * 86_400 * SECOND } else { 0 };
        let mut joined: VecDeque<Candle> = VecDeque::new();
        for minute in &self.minutes {
            let start = Nanos(minute.start.0 - (minute.start.0 + offset) % width);
            match joined.back_mut().filter(|last| last.start == start) {
                Some(last) => last.join(minute),
                None => joined.push_back(Candle { start, ..*minute }),
            }
        }
        while joined.len() > limit {
            joined.pop_front();
        }
        joined.into()
    }

    /// Everything that traded in the last 24 hours (or since the start) as one candle.
    pub(super) fn day(&self, now: Nanos) -> Candle {
        let since = now.0.saturating_sub(24 * 60 * MINUTE);
        let mut minutes = self.minutes.iter().filter(|minute| minute.start.0 >= since);
        let price = self.quote.map_or(Price::ZERO, |quote| quote.bid);
        let mut day = minutes.next().copied().unwrap_or_else(|| Candle::empty(now, price));
        minutes.for_each(|minute| day.join(minute));
        day
    }

    /// Last traded price, or the bid before the first trade.
    pub(super) fn last_price(&self) -> Price {
        let bid = self.quote.map_or(Price::ZERO, |quote| quote.bid);
        self.trades.back().map_or(bid, |trade| trade.price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::InstrumentId;

    #[test]
    fn candles_of_every_width_hold_the_same_trades() {
        let mut tape = Tape::new(0);
        for index in 0..400u64 {
            let trade = Trade { price: Price::whole(100 + (index % 7) as i64), qty: Qty::whole(1), trade_id: index };
            let now = Nanos(1_700_000_000 * SECOND + index * 17 * SECOND);
            tape.on_market(&trade.event(EventKind::Trade, InstrumentId(0), now, now).flagged(Flags::SELL), now);
        }
        for (name, width) in INTERVALS.into_iter().filter(|(name, _)| *name != "1s") {
            let candles = tape.candles(width, 2_000);
            assert_eq!(candles.iter().map(|candle| candle.count).sum::<u64>(), 400, "{name}");
            assert!(candles.iter().all(|candle| candle.low <= candle.open && candle.close <= candle.high), "{name}");
            assert!(candles.windows(2).all(|pair| pair[0].start < pair[1].start && pair[0].last <= pair[1].last));
        }
        let gaps = tape.candles(60, 2_000);
        assert!(gaps.windows(2).all(|pair| pair[1].start.0 - pair[0].start.0 == MINUTE), "no minute is missing");
    }
}

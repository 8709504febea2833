//! Bars on event time: first, highest, lowest and last bid and ask of each interval.
//!
//! An interval is `[k * width, (k + 1) * width)` since the epoch. It closes when time reaches its
//! end; a late tick never reopens it. An interval without a quote carries the previous close with
//! zero volume, so that windows count time and not luck.

use crate::core::{Nanos, Price, Qty, Side, Span};

use super::stamps::FAR;

/// Open, high, low and close of one side of the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ohlc {
    /// First.
    pub open: Price,
    /// Highest.
    pub high: Price,
    /// Lowest.
    pub low: Price,
    /// Last.
    pub close: Price,
}

impl Ohlc {
    const fn flat(price: Price) -> Self {
        Self { open: price, high: price, low: price, close: price }
    }

    #[inline]
    fn add(&mut self, price: Price) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
    }
}

/// One closed interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bar {
    /// Start of the interval.
    pub open_ns: Nanos,
    /// The bid.
    pub bid: Ohlc,
    /// The ask.
    pub ask: Ohlc,
    /// Open, high, low and close of bid plus ask (twice the mid), units of 1e-8.
    pub bid_plus_ask: [i64; 4],
    /// Volume whose aggressor bought.
    pub buy_volume: Qty,
    /// Volume whose aggressor sold.
    pub sell_volume: Qty,
    /// Quotes in the interval; 0 for one that carries the previous close.
    pub ticks: u32,
}

/// Builds bars of one instrument and one width.
#[derive(Clone, Debug)]
pub struct BarBuilder {
    width: u64,
    /// End of the interval being built; 0 before the first tick.
    end: u64,
    bar: Option<Bar>,
}

impl BarBuilder {
    /// A builder for bars of this width, which is at least 1 ns.
    pub fn new(width: Span) -> Self {
        Self { width: width.0.max(1), end: 0, bar: None }
    }

    /// The next bar that is closed at `now`; call until `None`, before the tick at `now` is added.
    #[inline]
    pub fn roll(&mut self, now: Nanos) -> Option<Bar> {
        if now.0 < self.end { None } else { self.close(now) }
    }

    fn close(&mut self, now: Nanos) -> Option<Bar> {
        let Some(closed) = self.bar else {
            // Nothing yet: the first interval is the one that holds `now`.
            self.end = (now.0 - now.0 % self.width).saturating_add(self.width);
            return None;
        };
        let [.., close] = closed.bid_plus_ask;
        self.bar = Some(Bar {
            open_ns: Nanos(self.end),
            bid: Ohlc::flat(closed.bid.close),
            ask: Ohlc::flat(closed.ask.close),
            bid_plus_ask: [close; 4],
            buy_volume: Qty::ZERO,
            sell_volume: Qty::ZERO,
            ticks: 0,
        });
        self.end = self.end.saturating_add(self.width);
        Some(closed)
    }

    /// How many intervals would close at `now`.
    pub fn due(&self, now: Nanos) -> u64 {
        if self.bar.is_none() || now.0 < self.end { 0 } else { (now.0 - self.end) / self.width + 1 }
    }

    /// True when the open interval begins so long after `now` that it was opened by a stamp that was wrong. Less is what
    /// two streams of one venue differ by.
    #[inline]
    pub fn is_far_ahead_of(&self, now: Nanos) -> bool {
        self.end > now.0.saturating_add(self.width).saturating_add(FAR.0)
    }

    /// Forgets everything: the next tick starts anew.
    pub fn reset(&mut self) {
        self.end = 0;
        self.bar = None;
    }

    /// Adds a quote to the open interval; [`BarBuilder::roll`] has been called for its time.
    #[inline]
    pub fn on_quote(&mut self, bid: Price, ask: Price) {
        let both = bid.units().saturating_add(ask.units());
        match &mut self.bar {
            Some(bar) if bar.ticks > 0 => {
                bar.bid.add(bid);
                bar.ask.add(ask);
                let [_, high, low, close] = &mut bar.bid_plus_ask;
                (*high, *low, *close) = ((*high).max(both), (*low).min(both), both);
                bar.ticks = bar.ticks.saturating_add(1);
            }
            bar => {
                let (buy_volume, sell_volume) = bar.map_or((Qty::ZERO, Qty::ZERO), |b| (b.buy_volume, b.sell_volume));
                *bar = Some(Bar {
                    open_ns: Nanos(self.end.saturating_sub(self.width)),
                    bid: Ohlc::flat(bid),
                    ask: Ohlc::flat(ask),
                    bid_plus_ask: [both; 4],
                    buy_volume,
                    sell_volume,
                    ticks: 1,
                });
            }
        }
    }

    /// Adds traded volume to the open interval; dropped before the first quote.
    #[inline]
    pub fn on_volume(&mut self, quantity: Qty, aggressor: Side) {
        if let Some(bar) = &mut self.bar {
            let sum = match aggressor {
                Side::Buy => &mut bar.buy_volume,
                Side::Sell => &mut bar.sell_volume,
            };
            *sum = sum.checked_add(quantity).unwrap_or(Qty::MAX);
        }
    }

    /// Buy minus sell volume of the open interval, units of 1e-8.
    pub fn open_volume_delta(&self) -> i64 {
        self.bar.map_or(0, |bar| bar.buy_volume.units().saturating_sub(bar.sell_volume.units()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(units: i64) -> Price {
        Price::from_units(units)
    }

    #[test]
    fn empty_intervals_carry_the_previous_close_with_zero_volume() {
        let mut bars = BarBuilder::new(Span(10));
        assert_eq!(bars.roll(Nanos(23)), None);
        bars.on_quote(price(5), price(7));
        bars.on_volume(Qty::whole(1), Side::Buy);
        assert_eq!(bars.roll(Nanos(29)), None);
        bars.on_quote(price(4), price(9));
        assert_eq!(bars.due(Nanos(55)), 3);
        let first = bars.roll(Nanos(55)).unwrap();
        assert_eq!((first.open_ns, first.ticks, first.buy_volume), (Nanos(20), 2, Qty::whole(1)));
        assert_eq!(first.bid, Ohlc { open: price(5), high: price(5), low: price(4), close: price(4) });
        assert_eq!(first.bid_plus_ask, [12, 13, 12, 13]);
        for open in [30, 40] {
            let empty = bars.roll(Nanos(55)).unwrap();
            assert_eq!((empty.open_ns, empty.ticks, empty.buy_volume), (Nanos(open), 0, Qty::ZERO));
            assert_eq!(empty.ask, Ohlc::flat(price(9)));
        }
        assert_eq!(bars.roll(Nanos(55)), None);
    }

    #[test]
    fn an_interval_in_the_far_future_is_noticed() {
        let mut bars = BarBuilder::new(Span(10));
        assert!(!bars.is_far_ahead_of(Nanos(1)), "nothing is open");
        assert_eq!(bars.roll(Nanos(FAR.0 + 25)), None);
        assert!(bars.is_far_ahead_of(Nanos(19)) && !bars.is_far_ahead_of(Nanos(20)));
    }
}

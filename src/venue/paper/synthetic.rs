//! A synthetic market for demos, tests and benches. It is made up: a profit on it says that the
//! machinery works, and nothing about any real market.
//!
//! Each instrument's mid is a slow random walk plus a mean-reverting part (Ornstein-Uhlenbeck,
//! half-life about two minutes). Three regimes follow each other, half an hour each on average:
//! calm, volatile (larger moves, wider spread) and trending (the walk drifts). Quotes come at
//! random intervals (mean 250 ms) with bursts a millisecond apart and silences of up to a minute;
//! a third of the events are trades, more of them in the direction of the last move.

use crate::core::payload::{Quote, Trade};
use crate::core::{
    ContractKind, Event, EventKind, InstrumentId, InstrumentSpec, Money, Nanos, Payload, Price, Qty, Side, Span,
};

use super::super::random::Random;

/// One tick: the fifth decimal, in price units.
pub const TICK: i64 = 1_000;
/// One hundredth of a lot.
const LOT_STEP: i64 = 1_000_000;
const MILLISECOND: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Regime {
    Calm,
    Volatile,
    Trending,
}

impl Regime {
    /// Volatility relative to calm, and ticks of spread that most quotes have.
    const fn shape(self) -> (f64, i64) {
        match self {
            Self::Calm | Self::Trending => (1.0, 1),
            Self::Volatile => (2.0, 2),
        }
    }
}

#[derive(Clone, Debug)]
struct Stream {
    random: Random,
    now: u64,
    regime: Regime,
    regime_ends: u64,
    /// Ticks.
    walk: f64,
    drift: f64,
    reverting: f64,
    direction: f64,
    burst: u64,
    trades: u64,
}

/// The events of all instruments in time order.
pub struct SyntheticMarket {
    streams: Vec<Stream>,
    end: u64,
}

/// The instruments of a synthetic market: `SYNTH1`, `SYNTH2`, …, shaped like EURUSD.
pub fn specs(instruments: usize) -> Vec<InstrumentSpec> {
    let spec = |number: usize| InstrumentSpec {
        symbol: format!("SYNTH{number}"),
        tick_size: Price::from_units(TICK),
        lot_step: Qty::from_units(LOT_STEP),
        min_lot: Qty::from_units(LOT_STEP),
        max_lot: Qty::whole(50),
        point_size: Price::from_units(TICK),
        point_value: Money::whole(1),
        currency: "USD".to_owned(),
        contract: ContractKind::Linear,
    };
    (1..=instruments).map(spec).collect()
}

impl SyntheticMarket {
    /// `instruments` streams from `start` for `span`; the same seed gives the same events.
    pub fn new(seed: u64, instruments: usize, start: Nanos, span: Span) -> Self {
        let stream = |number: usize| Stream {
            random: Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64)),
            now: start.0,
            regime: Regime::Calm,
            regime_ends: start.0,
            walk: 110_000.0 + 1_000.0 * number as f64,
            drift: 0.0,
            reverting: 0.0,
            direction: 0.0,
            burst: 0,
            trades: 0,
        };
        let mut market = Self { streams: (0..instruments).map(stream).collect(), end: start.plus(span).0 };
        market.streams.iter_mut().for_each(Stream::wait);
        market
    }
}

impl Iterator for SyntheticMarket {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let (index, stream) = self.streams.iter_mut().enumerate().min_by_key(|(_, stream)| stream.now)?;
        if stream.now >= self.end {
            return None;
        }
        let event = stream.event(InstrumentId(index as u16));
        stream.wait();
        Some(event)
    }
}

impl Stream {
    /// Moves time to the next event, and the price with it.
    fn wait(&mut self) {
        let before = self.now;
        let wait = if self.burst > 0 {
            self.burst -= 1;
            MILLISECOND / 10 + self.random.below(2 * MILLISECOND)
        } else {
            if self.random.chance(0.02) {
                self.burst = 3 + self.random.below(20);
            }
            let silence = if self.random.chance(0.0001) { 5_000 + self.random.below(55_000) } else { 0 };
            (self.random.exponential() * 250.0 * MILLISECOND as f64) as u64 + silence * MILLISECOND + 1
        };
        self.now += wait;
        self.change_regime();
        self.move_price((self.now - before) as f64 / 1e9);
    }

    fn change_regime(&mut self) {
        if self.now < self.regime_ends {
            return;
        }
        self.regime = match self.random.below(10) {
            0..=5 => Regime::Calm,
            6 | 7 => Regime::Volatile,
            _ => Regime::Trending,
        };
        let trending = if self.regime == Regime::Trending { 0.03 } else { 0.0 };
        self.drift = if self.random.chance(0.5) { trending } else { -trending };
        self.regime_ends = self.now + (self.random.exponential() * 1_800.0 * 1e9) as u64;
    }

    fn move_price(&mut self, seconds: f64) {
        let (scale, _) = self.regime.shape();
        // Reversion of ln 2 per 120 s; first order in the step, which is bounded to stay stable.
        let pull = (seconds * std::f64::consts::LN_2 / 120.0).min(0.5);
        let root = seconds.sqrt();
        let shock = self.random.normal() * 1.6 * scale * root;
        self.direction = shock - self.reverting * pull;
        self.reverting += self.direction;
        self.walk += self.random.normal() * 0.7 * scale * root + self.drift * seconds;
        // The walk stays within a sane band: at its edge it turns back.
        self.walk = self.walk.clamp(50_000.0, 200_000.0);
    }

    fn event(&mut self, id: InstrumentId) -> Event {
        let (_, usual) = self.regime.shape();
        let now = Nanos(self.now);
        let mid = (self.walk + self.reverting).round() as i64;
        let spread = usual + i64::from(self.random.chance(0.25)) + i64::from(self.random.chance(0.05)) * 2;
        let bid = (mid - spread / 2).max(1) * TICK;
        let ask = bid + spread * TICK;
        if self.random.chance(0.3) {
            let buying = self.random.chance(if self.direction > 0.0 { 0.65 } else { 0.35 });
            self.trades += 1;
            let trade = Trade {
                price: Price::from_units(if buying { ask } else { bid }),
                qty: self.size(),
                trade_id: self.trades,
            };
            let side = if buying { Side::Buy } else { Side::Sell };
            return trade.event(EventKind::Trade, id, now, now).flagged(side.flag());
        }
        let quote = Quote {
            bid: Price::from_units(bid),
            ask: Price::from_units(ask),
            bid_qty: self.size(),
            ask_qty: self.size(),
        };
        quote.event(EventKind::Quote, id, now, now)
    }

    /// A skewed size: mostly around a lot, sometimes ten.
    fn size(&mut self) -> Qty {
        let lots = self.random.exponential() * self.random.exponential() * 2.0;
        Qty::from_units(((lots * 100.0) as i64 + 1) * LOT_STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_time_order_and_the_same_seed_gives_the_same_ones() {
        let market = || SyntheticMarket::new(3, 3, Nanos(1_000), Span::seconds(7_200));
        let events: Vec<Event> = market().collect();
        assert!(events.len() > 30_000, "{}", events.len());
        assert!(events.is_sorted_by_key(|event| event.local_ns));
        assert!(market().eq(events.iter().copied()));
        let good = |event: &&Event| Quote::of(event).bid < Quote::of(event).ask && Quote::of(event).bid.is_positive();
        let mut quotes = events.iter().filter(|event| event.kind == EventKind::Quote);
        assert!(quotes.all(|event| good(&event)));
    }
}

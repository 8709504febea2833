//! One instrument's features.
//!
//! The z-score is computed on bid plus ask as an exact integer, relative to a reference near the
//! window, so that no digit of the price is lost. Its base (mean and sum of squares of the last
//! `window - 1` closes) is summed from scratch at each bar close: it cannot drift.

use ta::{Next, Reset};

use crate::core::fetch::fetch;
use crate::core::payload::{Quote, Trade};
use crate::core::{Event, EventKind, Flags, Nanos, Payload, Qty, Side};
use crate::feed::bars::{Bar, BarBuilder};

use super::{Deviation, DirectionalIndex, Features, MarketView, QuantParams, Range, RawSignal, RelativeStrength};

/// Units of bid plus ask in one whole price: twice the scale.
const PRICE_OF_SUM: f64 = 2.0 * crate::core::SCALE as f64;

/// The closes of the window without the current tick.
#[derive(Clone, Debug)]
struct ZBase {
    reference: i64,
    mean: f64,
    squares: f64,
}

/// Whether a signal may be raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trigger {
    Armed,
    /// A signal was raised; |z| must fall below `rearm_z` first.
    Fired,
}

#[derive(Clone, Debug)]
pub(super) struct Series {
    bars: BarBuilder,
    /// Bid plus ask at the last closes, a ring.
    closes: Box<[i64]>,
    next: usize,
    closed: u64,
    /// Bars closed since the last start of the window.
    warm: usize,
    base: Option<ZBase>,
    returns: Deviation,
    rsi: RelativeStrength,
    adx: DirectionalIndex,
    log_return: f64,
    volatility: f64,
    /// Buy minus sell volume of the last closes, a ring, and its sum; units of 1e-8.
    deltas: Box<[i64]>,
    delta_sum: i128,
    /// True once the instrument has sent a trade with its aggressor's side: the tick rule is off.
    has_trades: bool,
    last_sum: i64,
    z_score: f64,
    trigger: Trigger,
}

impl Series {
    /// Asks for its memory: of the rings, the places where the next bar goes.
    pub(super) fn fetch(&self) {
        fetch(self);
        if let (Some(close), Some(delta)) = (self.closes.get(self.next), self.deltas.get(self.next)) {
            fetch(close);
            fetch(delta);
        }
    }

    pub(super) fn new(params: &QuantParams) -> Self {
        let kept = params.window - 1;
        Self {
            bars: BarBuilder::new(params.bar),
            closes: vec![0; kept].into_boxed_slice(),
            next: 0,
            closed: 0,
            warm: 0,
            base: None,
            returns: Deviation::new(params.window, params.volatility_ddof),
            rsi: RelativeStrength::new(params.rsi_period),
            adx: DirectionalIndex::new(params.adx_period),
            log_return: f64::NAN,
            volatility: f64::NAN,
            deltas: vec![0; kept].into_boxed_slice(),
            delta_sum: 0,
            has_trades: false,
            last_sum: 0,
            z_score: f64::NAN,
            trigger: Trigger::Armed,
        }
    }

    pub(super) fn bars_closed(&self) -> u64 {
        self.closed
    }

    #[inline]
    pub(super) fn on_event(&mut self, params: &QuantParams, event: &Event) -> MarketView {
        let mut signal = None;
        match event.kind {
            EventKind::Quote if event.flags.0 & (Flags::OUT_OF_ORDER.0 | Flags::DUPLICATE.0) == 0 => {
                // The feed gave up a time that it had believed: what was built on it is worth nothing. Only quotes say
                // so, since a trade may be old news.
                if self.bars.is_far_ahead_of(event.venue_ns) {
                    self.restart();
                }
                self.roll(params, event.venue_ns);
                self.on_quote(params, &Quote::of(event));
                signal = self.signal(params, event.venue_ns);
            }
            EventKind::Trade if !event.flags.contains(Flags::OUT_OF_ORDER) => {
                self.roll(params, event.venue_ns);
                if let Some(side) = Side::from_flags(event.flags) {
                    self.has_trades = true;
                    self.bars.on_volume(Trade::of(event).qty, side);
                }
            }
            // Of conflated quotes the last one follows; the bars are whole but for their extremes.
            EventKind::Gap if !event.flags.contains(Flags::CONFLATED) => self.restart(),
            _ => {}
        }
        MarketView { z_score: self.z_score, signal }
    }

    /// Closes the bars that end at or before `now`.
    #[inline]
    fn roll(&mut self, params: &QuantParams, now: Nanos) {
        while let Some(bar) = self.bars.roll(now) {
            self.on_bar(&bar);
            if self.bars.due(now) > u64::from(params.max_empty_bars) {
                self.restart();
            }
        }
    }

    fn restart(&mut self) {
        self.bars.reset();
        self.next = 0;
        self.warm = 0;
        self.base = None;
        self.returns.reset();
        self.rsi.reset();
        self.adx.reset();
        (self.log_return, self.volatility, self.z_score) = (f64::NAN, f64::NAN, f64::NAN);
        self.deltas.fill(0);
        self.delta_sum = 0;
        self.last_sum = 0;
        self.trigger = Trigger::Armed;
    }

    fn on_bar(&mut self, bar: &Bar) {
        let [_, high, low, close] = bar.bid_plus_ask;
        let price = |sum: i64| sum as f64 / PRICE_OF_SUM;
        self.closed += 1;
        if self.warm > 0 {
            let newest = if self.next == 0 { self.closes.len() - 1 } else { self.next - 1 };
            self.log_return = (close as f64 / self.closes[newest] as f64).ln();
            self.volatility = self.returns.next(self.log_return);
        }
        self.rsi.next(price(close));
        self.adx.next(Range { high: price(high), low: price(low), close: price(close) });
        let delta = bar.buy_volume.units().saturating_sub(bar.sell_volume.units());
        self.delta_sum += i128::from(delta) - i128::from(self.deltas[self.next]);
        self.deltas[self.next] = delta;
        self.closes[self.next] = close;
        self.next = (self.next + 1) % self.closes.len();
        self.warm = (self.warm + 1).min(usize::MAX - 1);
        if self.warm >= self.closes.len() {
            let mean_and_squares = |values: &[i64]| {
                let count = values.len() as f64;
                let mean = values.iter().map(|value| (value - close) as f64).sum::<f64>() / count;
                let squares = values.iter().map(|value| ((value - close) as f64 - mean).powi(2)).sum();
                (mean, squares)
            };
            let (mean, squares) = mean_and_squares(&self.closes);
            self.base = Some(ZBase { reference: close, mean, squares });
        }
    }

    #[inline]
    fn on_quote(&mut self, params: &QuantParams, quote: &Quote) {
        let sum = quote.bid.units().saturating_add(quote.ask.units());
        self.bars.on_quote(quote.bid, quote.ask);
        if !self.has_trades && self.last_sum != 0 && sum != self.last_sum {
            let side = if sum > self.last_sum { Side::Buy } else { Side::Sell };
            self.bars.on_volume(Qty::whole(1), side);
        }
        self.last_sum = sum;
        if let Some(base) = &self.base {
            self.z_score = z_score(base, sum, params.window, params.z_ddof);
        }
    }

    #[inline]
    fn signal(&mut self, params: &QuantParams, now: Nanos) -> Option<RawSignal> {
        let z = self.z_score;
        match self.trigger {
            Trigger::Armed if z.abs() >= params.entry_z => self.raise(params, now),
            Trigger::Fired if z.abs() < params.rearm_z => {
                self.trigger = Trigger::Armed;
                None
            }
            Trigger::Armed | Trigger::Fired => None,
        }
    }

    fn raise(&mut self, params: &QuantParams, now: Nanos) -> Option<RawSignal> {
        // While a trend runs the trigger stays armed: the signal may still come when it fades.
        if self.adx.value() >= params.adx_max {
            return None;
        }
        let signal = self.signal_at(now, self.z_score)?;
        self.trigger = Trigger::Fired;
        Some(signal)
    }

    /// The signal that would be raised if the rule fired now, whatever z-score and trend say; `None` while a feature is
    /// undefined. A z-score that is too small for a signal counts as one that is just large enough: the next real one
    /// will be there.
    pub(super) fn as_if_raised(&self, params: &QuantParams, now: Nanos) -> Option<RawSignal> {
        let z_score =
            if self.z_score.abs() < params.entry_z { params.entry_z.copysign(self.z_score) } else { self.z_score };
        self.signal_at(now, z_score)
    }

    fn signal_at(&self, now: Nanos, z_score: f64) -> Option<RawSignal> {
        let adx = self.adx.value();
        let features = [self.volatility, adx, self.rsi.value(), z_score];
        if features.iter().any(|feature| !feature.is_finite()) {
            return None;
        }
        let side = if z_score < 0.0 { Side::Buy } else { Side::Sell };
        let delta = self.delta_sum + i128::from(self.bars.open_volume_delta());
        let features = Features {
            log_return: self.log_return,
            volatility: self.volatility,
            z_score,
            adx,
            rsi: self.rsi.value(),
            time_sin: (std::f64::consts::TAU * now.seconds_of_day() / 86_400.0).sin(),
            volume_delta: delta as f64 / crate::core::SCALE as f64,
        };
        Some(RawSignal { side, features })
    }
}

/// (P - mean(W)) / std(W) with W the window's closes and P: one Welford step from the exact base.
/// NaN when the window is flat.
#[inline]
fn z_score(base: &ZBase, sum: i64, window: usize, ddof: usize) -> f64 {
    let count = window as f64;
    let distance = (sum - base.reference) as f64 - base.mean;
    let from_mean = distance * (count - 1.0) / count;
    let squares = base.squares + distance * from_mean;
    if squares <= 0.0 {
        return f64::NAN;
    }
    from_mean / (squares / (count - ddof as f64)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_z_score_is_the_one_of_the_plain_window() {
        let closes: [i64; 4] = [10, 14, 11, 13];
        let mean = closes.iter().map(|c| (c - 13) as f64).sum::<f64>() / 4.0;
        let squares = closes.iter().map(|c| ((c - 13) as f64 - mean).powi(2)).sum();
        let base = ZBase { reference: 13, mean, squares };
        let window = [10.0, 14.0, 11.0, 13.0, 20.0];
        let plain_mean: f64 = window.iter().sum::<f64>() / 5.0;
        let variance = window.iter().map(|v| (v - plain_mean) * (v - plain_mean)).sum::<f64>() / 5.0;
        assert!((z_score(&base, 20, 5, 0) - (20.0 - plain_mean) / variance.sqrt()).abs() < 1e-12);
        let flat = ZBase { reference: 13, mean: 0.0, squares: 0.0 };
        assert!(z_score(&flat, 13, 5, 0).is_nan());
    }
}

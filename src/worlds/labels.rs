//! Training rows: every raw signal with its features, and what the trade would have earned.
//!
//! The features come from the very code that trades. The label is the engine's own exit rule, a
//! triple barrier in the direction of the signal, applied to each signal alone: in at the far touch of
//! the next quote; out at the far touch of the first quote at which the stop-loss or the take-profit is
//! reached, z is back through `exit_z` (the target), or `max_hold` is over. Net of the spread and of the
//! venue's fees. A signal whose trade is still open when the data ends gives no row.

use std::io::{self, Write};

use crate::core::payload::Quote;
use crate::core::{Event, EventKind, Flags, Instrument, InstrumentId, InstrumentTable, Nanos, Price, Side};
use crate::core::{Money, Payload};
use crate::engine::EngineParams;
use crate::feed::Feed;
use crate::quant::{Features, Quant, QuantError, RawSignal};
use crate::venue::paper::PaperParams;

/// Which barrier ended a trade.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Barrier {
    /// Back through the mean.
    Target,
    /// The stop-loss.
    Stop,
    /// The take-profit.
    Profit,
    /// `max_hold` was over.
    Time,
}

impl Barrier {
    /// A word for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Stop => "stop",
            Self::Profit => "profit",
            Self::Time => "time",
        }
    }
}

/// A raw signal and its outcome.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LabelledSignal {
    /// When the signal was raised.
    pub raised: Nanos,
    /// When its trade ended: what came after is not in the label.
    pub exit: Nanos,
    /// On what.
    pub instrument: InstrumentId,
    /// In which direction.
    pub side: Side,
    /// What the model is asked with.
    pub features: Features,
    /// Net result in basis points of the entry price, after spread and fees.
    pub net_bp: f64,
    /// How it ended.
    pub barrier: Barrier,
}

/// What the venue takes.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Fees {
    /// Basis points of the notional, per fill.
    pub basis_points: f64,
    /// Per lot and fill, in the account's currency.
    pub per_lot: Money,
}

impl Fees {
    /// The fees of the simulated exchange.
    pub fn of(paper: &PaperParams) -> Self {
        Self { basis_points: paper.fee_basis_points.to_f64(), per_lot: paper.commission_per_lot }
    }

    /// What a round trip at this price costs, in basis points.
    fn round_trip_bp(self, instrument: &Instrument, price: Price) -> f64 {
        let spec = instrument.spec();
        let value_of_a_lot = price.to_f64() / spec.point_size.to_f64() * spec.point_value.to_f64();
        2.0 * (self.basis_points + self.per_lot.to_f64() / value_of_a_lot * 1e4)
    }
}

/// A signal whose outcome is not known yet.
struct Pending {
    raised: Nanos,
    signal: RawSignal,
    /// Entry time and price, once the next quote has come.
    entry: Option<(Nanos, Price)>,
}

/// Turns market events into labelled rows.
pub struct Labeller<'a> {
    params: EngineParams,
    fees: Fees,
    instruments: &'a InstrumentTable,
    feed: Feed,
    quant: Quant,
    pending: Vec<Vec<Pending>>,
}

impl<'a> Labeller<'a> {
    /// A labeller with the stages' parameters and the venue's fees.
    ///
    /// # Errors
    /// A parameter that quant refuses.
    pub fn new(params: &EngineParams, fees: Fees, instruments: &'a InstrumentTable) -> Result<Self, QuantError> {
        Ok(Self {
            feed: Feed::new(&params.feed, instruments.len()),
            quant: Quant::new(&params.quant, instruments.len())?,
            pending: (0..instruments.len()).map(|_| Vec::new()).collect(),
            params: params.clone(),
            fees,
            instruments,
        })
    }

    /// One market event; `decided` is called with every signal whose outcome it decides.
    pub fn on_event(&mut self, event: &Event, mut decided: impl FnMut(LabelledSignal)) {
        if self.feed.next_due() <= event.local_ns {
            while let Some(held_back) = self.feed.take_due(event.local_ns) {
                self.on_clean(&held_back, &mut decided);
            }
        }
        if let Some(clean) = self.feed.on_event(event) {
            self.on_clean(&clean, &mut decided);
        }
    }

    fn on_clean(&mut self, clean: &Event, decided: &mut impl FnMut(LabelledSignal)) {
        let view = self.quant.on_event(clean);
        let index = clean.instrument.index();
        let quote = clean.kind == EventKind::Quote && !clean.flags.contains(Flags::OUT_OF_ORDER);
        if let (true, Some(instrument)) = (quote, self.instruments.get(clean.instrument)) {
            let quote = Quote::of(clean);
            let mut waiting = std::mem::take(&mut self.pending[index]);
            waiting.retain_mut(|pending| {
                let outcome = self.outcome(pending, clean, &quote, view.z_score, instrument);
                outcome.map(&mut *decided).is_none()
            });
            self.pending[index] = waiting;
        }
        if let Some(signal) = view.signal {
            self.pending[index].push(Pending { raised: clean.event_ns(), signal, entry: None });
        }
    }

    /// What one quote does to a waiting signal: it enters, waits on, or is decided.
    fn outcome(
        &self,
        pending: &mut Pending,
        event: &Event,
        quote: &Quote,
        z_score: f64,
        instrument: &Instrument,
    ) -> Option<LabelledSignal> {
        let oms = &self.params.oms;
        let (side, now) = (pending.signal.side, event.event_ns());
        let (open_at, close_at) = match side {
            Side::Buy => (quote.ask, quote.bid),
            Side::Sell => (quote.bid, quote.ask),
        };
        let Some((opened, entry)) = pending.entry else {
            pending.entry = Some((now, open_at));
            return None;
        };
        let gain = (close_at.units() - entry.units()) * side.sign();
        let away = |points: i64| instrument.points(points).unwrap_or(Price::MAX).units();
        // The order of the engine's exit rule.
        let barrier = if gain <= -away(oms.stop_loss_points) {
            Barrier::Stop
        } else if oms.take_profit_points > 0 && gain >= away(oms.take_profit_points) {
            Barrier::Profit
        } else if z_score * side.sign() as f64 >= -oms.exit_z {
            Barrier::Target
        } else if oms.max_hold.0 > 0 && now.since(opened) >= oms.max_hold {
            Barrier::Time
        } else {
            return None;
        };
        let gross_bp = gain as f64 / entry.units() as f64 * 1e4;
        Some(LabelledSignal {
            raised: pending.raised,
            exit: now,
            instrument: event.instrument,
            side,
            features: pending.signal.features,
            net_bp: gross_bp - self.fees.round_trip_bp(instrument, entry),
            barrier,
        })
    }
}

/// The header of the rows as CSV.
///
/// # Errors
/// The output cannot be written.
pub fn write_header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "ts_ns,instrument,side,{},label_net_bp,exit_ns,barrier", Features::NAMES.join(","))
}

/// One row as CSV.
///
/// # Errors
/// The output cannot be written.
pub fn write_row(out: &mut impl Write, symbol: &str, row: &LabelledSignal) -> io::Result<()> {
    let f = &row.features;
    write!(out, "{},{symbol},{}", row.raised.0, row.side.name())?;
    for feature in [f.log_return, f.volatility, f.z_score, f.adx, f.rsi, f.time_sin, f.volume_delta] {
        write!(out, ",{feature}")?;
    }
    writeln!(out, ",{},{},{}", row.net_bp, row.exit.0, row.barrier.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Qty, Span};
    use crate::venue::paper::synthetic;

    /// What becomes of a signal whose trade, entered at the quote after it, sees these gains in points.
    fn outcome(side: Side, take_profit_points: i64, gains: &[i64]) -> Option<LabelledSignal> {
        let instruments = InstrumentTable::new(synthetic::specs(1)).unwrap();
        let id = InstrumentId(0);
        let point = instruments.get(id).unwrap().spec().point_size.units();
        let mut params = EngineParams::default();
        (params.oms.take_profit_points, params.oms.stop_loss_points) = (take_profit_points, 150);
        let mut labeller = Labeller::new(&params, Fees::default(), &instruments).unwrap();
        let features = Features {
            log_return: 0.0,
            volatility: 1e-4,
            z_score: -2.1 * side.sign() as f64,
            adx: 10.0,
            rsi: 50.0,
            time_sin: 0.0,
            volume_delta: 0.0,
        };
        let now = Nanos(1_700_000_000_000_000_000);
        labeller.pending[0].push(Pending { raised: now, signal: RawSignal { side, features }, entry: None });
        // A spread of two points, paid by the entry at the far touch of the first quote.
        let (mut found, entry) = (None, 100_000 + side.sign());
        for (second, gain) in std::iter::once(&-2).chain(gains).enumerate() {
            let mid = entry + (gain + 1) * side.sign();
            let (bid, ask) = (Price::from_units((mid - 1) * point), Price::from_units((mid + 1) * point));
            let now = now.plus(Span::seconds(second as u64 + 1));
            let quote = Quote { bid, ask, bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
            labeller.on_event(&quote.event(EventKind::Quote, id, now, now), |row| found = found.or(Some(row)));
        }
        found
    }

    #[test]
    fn a_gain_of_the_take_profit_ends_the_trade_as_in_the_engine() {
        for side in [Side::Buy, Side::Sell] {
            let won = outcome(side, 3, &[2, 3, -200]).unwrap();
            assert_eq!((won.barrier.name(), won.net_bp > 0.0), ("profit", true));
            let lost = outcome(side, 3, &[2, -200, 3]).unwrap();
            assert_eq!((lost.barrier, lost.net_bp < 0.0), (Barrier::Stop, true));
            assert_eq!(outcome(side, 0, &[2, 3, -200]).unwrap().barrier, Barrier::Stop, "none is configured");
            assert_eq!(outcome(side, 3, &[2, 2]), None);
        }
    }
}

//! Training rows: every raw signal with its features, and what the trade would have earned.
//!
//! The features come from the very code that trades. The label is the engine's own exit rule
//! applied to each signal alone: in at the far touch of the next quote, out at the far touch when z
//! comes back through `exit_z`, at the stop-loss, or after `max_hold`; net of the spread, without
//! fees. A signal whose trade is still open when the data ends gives no row.

use std::io::{self, Write};

use crate::core::payload::Quote;
use crate::core::{Event, EventKind, Flags, InstrumentTable, Nanos, Payload, Price, Side};
use crate::engine::EngineParams;
use crate::feed::Feed;
use crate::quant::{Features, Quant, QuantError, RawSignal};

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
    instruments: &'a InstrumentTable,
    feed: Feed,
    quant: Quant,
    pending: Vec<Vec<Pending>>,
    rows: u64,
}

impl<'a> Labeller<'a> {
    /// A labeller with the stages' parameters.
    ///
    /// # Errors
    /// A parameter that quant refuses.
    pub fn new(params: &EngineParams, instruments: &'a InstrumentTable) -> Result<Self, QuantError> {
        Ok(Self {
            feed: Feed::new(&params.feed, instruments.len()),
            quant: Quant::new(&params.quant, instruments.len())?,
            pending: (0..instruments.len()).map(|_| Vec::new()).collect(),
            params: params.clone(),
            instruments,
            rows: 0,
        })
    }

    /// The header of the rows.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_header(out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "ts_ns,instrument,side,{},label_net_bp,exit_ns", Features::NAMES.join(","))
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// One market event; writes the rows whose outcome it decides.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn on_event(&mut self, event: &Event, out: &mut impl Write) -> io::Result<()> {
        let Some(clean) = self.feed.on_event(event) else { return Ok(()) };
        let view = self.quant.on_event(&clean);
        let index = clean.instrument.index();
        if clean.kind == EventKind::Quote && !clean.flags.contains(Flags::OUT_OF_ORDER) {
            let quote = Quote::of(&clean);
            let Some(instrument) = self.instruments.get(clean.instrument) else { return Ok(()) };
            let stop = instrument.points(self.params.oms.stop_loss_points).unwrap_or(Price::MAX);
            let (exit_z, max_hold) = (self.params.oms.exit_z, self.params.oms.max_hold);
            let mut waiting = std::mem::take(&mut self.pending[index]);
            let mut failed = Ok(());
            waiting.retain_mut(|pending| {
                let (side, now) = (pending.signal.side, clean.event_ns());
                let (buy_at, sell_at) = (quote.ask, quote.bid);
                let (open_at, close_at) = if side == Side::Buy { (buy_at, sell_at) } else { (sell_at, buy_at) };
                let Some((opened, entry)) = pending.entry else {
                    pending.entry = Some((now, open_at));
                    return true;
                };
                let gain = (close_at.units() - entry.units()) * side.sign();
                let reverted = view.z_score * side.sign() as f64 >= -exit_z;
                let expired = max_hold.0 > 0 && now.since(opened) >= max_hold;
                if !(reverted || expired || gain <= -stop.units()) {
                    return true;
                }
                let net = gain as f64 / entry.units() as f64 * 1e4;
                let row = write_row(out, instrument.spec().symbol.as_str(), pending, net, now);
                failed = std::mem::replace(&mut failed, Ok(())).and(row);
                self.rows += 1;
                false
            });
            self.pending[index] = waiting;
            failed?;
        }
        if let Some(signal) = view.signal {
            self.pending[index].push(Pending { raised: clean.event_ns(), signal, entry: None });
        }
        Ok(())
    }
}

fn write_row(out: &mut impl Write, symbol: &str, pending: &Pending, net: f64, exit: Nanos) -> io::Result<()> {
    let f = &pending.signal.features;
    let features = [f.log_return, f.volatility, f.z_score, f.adx, f.rsi, f.time_sin, f.volume_delta];
    write!(out, "{},{symbol},{}", pending.raised.0, pending.signal.side.name())?;
    for feature in features {
        write!(out, ",{feature}")?;
    }
    writeln!(out, ",{net},{}", exit.0)
}

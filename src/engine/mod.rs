//! The four stages composed on one thread: `feed -> quant -> oracle -> oms`.
//!
//! Setup: [`Engine::new`]. Then one call an input: [`Engine::on_event`]. The caller owns time: it
//! sends a timer event at [`Engine::next_due`]. No clock, no I/O, no allocation after construction.
//! A ring goes between two stages only where a thread ends; here none does, so stages are calls.

pub mod clock;
pub mod layout;
pub mod machine;
pub mod waiting;

use crate::core::{Event, EventKind, InstrumentTable, Money, Nanos};
use crate::feed::{Feed, FeedCounters, FeedParams};
use crate::oms::{Oms, OmsParams, OmsParamsError, Outbox};
use crate::oracle::Oracle;
use crate::quant::{Quant, QuantError, QuantParams};

/// A boundary between stages, for whoever measures them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Boundary {
    /// The event is normalised.
    Feed,
    /// Its features are computed.
    Quant,
    /// The oracle has answered; only when it was asked.
    Oracle,
    /// The order manager is done.
    Oms,
}

/// Is told when a stage ends. The engine has no clock: the probe may.
pub trait Probe {
    /// The stage that ended just now.
    fn mark(&mut self, boundary: Boundary);
}

/// Measures nothing and costs nothing.
pub struct NoProbe;

impl Probe for NoProbe {
    #[inline(always)]
    fn mark(&mut self, _boundary: Boundary) {}
}

/// What the stages are built from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineParams {
    /// First stage.
    pub feed: FeedParams,
    /// Second stage.
    pub quant: QuantParams,
    /// Fourth stage.
    pub oms: OmsParams,
}

/// A parameter that a stage refused.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Quant refused.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// The order manager refused.
    #[error(transparent)]
    Oms(#[from] OmsParamsError),
}

/// One session's engine.
pub struct Engine {
    feed: Feed,
    quant: Quant,
    oracle: Oracle,
    oms: Oms,
}

impl Engine {
    /// Builds the stages. `session` makes order ids unique over restarts.
    ///
    /// # Errors
    /// The parameter that a stage refused.
    pub fn new(
        params: &EngineParams,
        oracle: Oracle,
        instruments: &InstrumentTable,
        session: u32,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            feed: Feed::new(&params.feed, instruments.len()),
            quant: Quant::new(&params.quant, instruments.len())?,
            oracle,
            oms: Oms::new(&params.oms, instruments, session)?,
        })
    }

    /// Everything that one input makes the engine decide, into `out`.
    #[inline]
    pub fn on_event<P: Probe>(&mut self, input: &Event, out: &mut Outbox, probe: &mut P) {
        out.begin(input);
        if self.feed.next_due() <= input.local_ns {
            while let Some(held_back) = self.feed.take_due(input.local_ns) {
                self.on_market(&held_back, out, probe);
            }
        }
        match input.kind {
            EventKind::Quote | EventKind::Trade | EventKind::Gap => {
                let clean = self.feed.on_event(input);
                probe.mark(Boundary::Feed);
                if let Some(event) = clean {
                    self.on_market(&event, out, probe);
                }
            }
            EventKind::Timer => self.oms.on_timer(input.local_ns, out),
            EventKind::Control => self.oms.on_control(input, out),
            EventKind::Link
            | EventKind::PositionReport
            | EventKind::InventoryReport
            | EventKind::AccountReport
            | EventKind::OpenOrderReport
            | EventKind::Reconciled => self.oms.on_venue(input, out),
            kind if kind.is_input() => self.oms.on_execution(input, out),
            // An output record is not an input; a journal that mixes them is refused by its reader.
            _ => {}
        }
    }

    #[inline]
    fn on_market<P: Probe>(&mut self, event: &Event, out: &mut Outbox, probe: &mut P) {
        let view = self.quant.on_event(event);
        probe.mark(Boundary::Quant);
        let decision = match view.signal {
            Some(signal) => {
                let decision = self.oracle.decide(&signal);
                probe.mark(Boundary::Oracle);
                Some((signal, decision))
            }
            None => None,
        };
        self.oms.on_market(event, &view, decision, out);
        probe.mark(Boundary::Oms);
    }

    /// When the engine wants a timer event; [`Nanos::MAX`] when it does not.
    #[inline]
    pub fn next_due(&self) -> Nanos {
        self.feed.next_due().min(self.oms.next_deadline())
    }

    /// The order manager, to read balance, equity and positions.
    pub fn oms(&self) -> &Oms {
        &self.oms
    }

    /// Equity now.
    pub fn equity(&self) -> Money {
        self.oms.equity()
    }

    /// What the feed counted, summed over all instruments.
    pub fn feed_counters(&self, instruments: &InstrumentTable) -> FeedCounters {
        let mut total = FeedCounters::default();
        for (id, _) in instruments.iter() {
            if let Some(one) = self.feed.counters(id) {
                total.quotes += one.quotes;
                total.trades += one.trades;
                total.crossed += one.crossed;
                total.locked += one.locked;
                total.not_positive += one.not_positive;
                total.duplicate += one.duplicate;
                total.out_of_order += one.out_of_order;
                total.debounced += one.debounced;
                total.gaps += one.gaps;
            }
        }
        total
    }
}

//! The four stages composed: `feed -> quant -> oracle -> oms`, on one thread here.
//!
//! Setup: [`Engine::new`]. Then one call an input: [`Engine::on_event`]. The caller owns time: it
//! sends a timer event at [`Engine::next_due`]. No clock, no I/O, no allocation after construction.
//! A ring goes between two stages only where a thread ends; here none does, so stages are calls.
//! `threads.rs` runs the same stages on several threads, to the same results.
//!
//! **The rule that keeps all layouts equal.** An input travels either with the market, through every
//! stage ([`is_market_side`]), or goes to the order manager alone. State before the order manager
//! depends on the market's inputs and their order only: in particular a quote that was held back
//! (`feed.debounce`) is released by the next market input that comes after its time, or by a market
//! timer, and never by an execution, a report, a control or an order timer. So it does not matter when
//! those come in between, and the order in which the order manager saw everything, which is what the
//! journal holds, is enough to do it all again on one thread.
//!
//! | file | what |
//! |---|---|
//! | `layout`, `machine` | which stages share a thread, derived from the machine |
//! | `threads`, `market_side`, `order_side` | the threads themselves, start to end |
//! | `switch` | how threads are told to end, and tell each other that they failed |
//! | `intake`, `parcel`, `ring` | what waits before the first stage, and what travels between threads |
//! | `rehearsal` | keeps the way to an order warm while there is nothing to do |
//! | `waiting`, `pin`, `clock` | how a thread waits, where it runs, what time it is for measurements |

mod alone;
pub mod clock;
pub mod intake;
pub mod layout;
pub mod machine;
pub mod market_side;
pub mod order_side;
pub mod parcel;
pub mod pin;
mod rehearsal;
pub mod ring;
pub mod switch;
pub mod threads;
pub mod waiting;

use crate::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos};
use crate::feed::{Feed, FeedCounters, FeedParams};
use crate::oms::{Oms, OmsParams, OmsParamsError, Outbox};
use crate::oracle::Oracle;
use crate::quant::{Quant, QuantError, QuantParams};
use crate::report::latency::{Hop, Recorder};

use rehearsal::Rehearsal;

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

/// A stage that ends is a hop that ends.
impl Probe for Recorder {
    #[inline]
    fn mark(&mut self, boundary: Boundary) {
        Recorder::mark(
            self,
            match boundary {
                Boundary::Feed => Hop::Feed,
                Boundary::Quant => Hop::Quant,
                Boundary::Oracle => Hop::Oracle,
                Boundary::Oms => Hop::Oms,
            },
        );
    }
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

/// Word 0 of a timer that is for the order manager alone.
const ORDER_TIMER: u64 = 1;

/// A timer that goes through every stage: held-back quotes whose time has come, and deadlines.
pub const fn market_timer(now: Nanos) -> Event {
    Event::new(EventKind::Timer, InstrumentId(0), Nanos::NONE, now, [0; 4])
}

/// A timer for the order manager alone: what threads with a clock of their own send it.
pub const fn order_timer(now: Nanos) -> Event {
    Event::new(EventKind::Timer, InstrumentId(0), Nanos::NONE, now, [ORDER_TIMER, 0, 0, 0])
}

/// True for market data.
#[inline]
pub const fn is_market(kind: EventKind) -> bool {
    matches!(kind, EventKind::Quote | EventKind::Trade | EventKind::Gap)
}

/// True for inputs that travel through every stage; the others go to the order manager alone.
#[inline]
pub const fn is_market_side(input: &Event) -> bool {
    is_market(input.kind) || matches!(input.kind, EventKind::Timer) && input.payload[0] != ORDER_TIMER
}

/// What is no market data goes past the first three stages.
#[inline]
fn to_order_manager(oms: &mut Oms, input: &Event, out: &mut Outbox) {
    match input.kind {
        EventKind::Timer => oms.on_timer(input.local_ns, out),
        EventKind::Control => oms.on_control(input, out),
        EventKind::Link
        | EventKind::PositionReport
        | EventKind::InventoryReport
        | EventKind::AccountReport
        | EventKind::OpenOrderReport
        | EventKind::Reconciled => oms.on_venue(input, out),
        kind if kind.is_input() => oms.on_execution(input, out),
        // An output record is not an input; a journal that mixes them is refused by its reader.
        _ => {}
    }
}

/// The four stages, to be spread over threads.
pub struct Stages {
    /// First.
    pub feed: Feed,
    /// Second.
    pub quant: Quant,
    /// Third.
    pub oracle: Oracle,
    /// Fourth.
    pub oms: Oms,
}

/// One session's engine.
pub struct Engine {
    feed: Feed,
    quant: Quant,
    oracle: Oracle,
    oms: Oms,
    /// Only where all stages share a thread.
    rehearsal: Option<Box<Rehearsal>>,
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
            rehearsal: Some(Box::new(Rehearsal::new(params, instruments)?)),
        })
    }

    /// Everything that one input makes the engine decide, into `out`.
    #[inline]
    pub fn on_event<P: Probe>(&mut self, input: &Event, out: &mut Outbox, probe: &mut P) {
        out.begin(input);
        if self.feed.next_due() <= input.local_ns && is_market_side(input) {
            while let Some(held_back) = self.feed.take_due(input.local_ns) {
                self.on_market(&held_back, out, probe);
            }
        }
        if is_market(input.kind) {
            let clean = self.feed.on_event(input);
            probe.mark(Boundary::Feed);
            if let Some(event) = clean {
                self.on_market(&event, out, probe);
            }
        } else {
            to_order_manager(&mut self.oms, input, out);
        }
    }

    /// The stages, for [`threads::run`].
    pub fn into_stages(self) -> Stages {
        Stages { feed: self.feed, quant: self.quant, oracle: self.oracle, oms: self.oms }
    }

    /// The same stages on one thread again.
    pub fn from_stages(stages: Stages) -> Self {
        let Stages { feed, quant, oracle, oms } = stages;
        Self { feed, quant, oracle, oms, rehearsal: None }
    }

    /// Makes up an order from the market as it is now and forgets it, so that the next real one, whose decisions will go
    /// to `out`, finds its code and tables in the caches. Changes nothing that counts. `bytes` may encode each made-up
    /// order, and must not send it. False where there is nothing to rehearse with: no quote yet, or a feature is
    /// undefined.
    pub fn rehearse(&mut self, out: &Outbox, bytes: impl FnMut(&Event)) -> bool {
        let Some(rehearsal) = &mut self.rehearsal else { return false };
        let id = rehearsal.next_instrument();
        let Some((quote, quoted)) = self.oms.quote(id) else { return false };
        let Some(signal) = self.quant.as_if_raised(id, quoted) else { return false };
        self.feed.fetch(id);
        self.quant.fetch(id);
        self.oms.fetch(id);
        self.oracle.fetch_around(&signal);
        out.fetch();
        rehearsal.round(id, &quote, signal, &self.oracle, bytes) > 0
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

//! The live world: one loop that asks the wire what happened, tells the engine, sends what it
//! decided, and shows the guardian how it stands.
//!
//! In each round, in this order: kill word, guardian, signals of the operator, what the wire has,
//! timers, snapshot. Every input is journalled before the engine sees it and every output before it
//! is sent, so that `pawl replay --verify` re-runs the session exactly. The loop owns its thread and
//! takes no lock; nothing in a round waits but [`Wire::wait`], and that only when nothing happened.

pub mod binance_wire;
mod clock;
pub mod demo_record;
mod gauges;
pub mod paper_wire;
pub mod prepare;
pub mod record;
mod stops;
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::config::live::{LiveParams, OnStop, Waiting};
use crate::core::payload::{Control, ControlCode};
use crate::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload, Qty};
use crate::engine::clock::{Stamp, StampClock};
use crate::engine::{Engine, NoProbe};
use crate::feed::FeedCounters;
use crate::journal::{Health, JournalError, SessionWriter};
use crate::oms::Outbox;
use crate::report::latency::{Hop, LatencyError, LatencyLog, LatencyRow, Recorder};
use crate::report::{Collector, Summary, TradeRecord};
use crate::snapshot::{EnginePage, EngineState, GuardianWatch, Progress, monotonic_ns};

use super::session::{Timed, measured};
use gauges::Gauges;
use stops::{Stop, Stops};

pub use clock::{session_clock, wall_drift};
pub use wire::Wire;

/// Events that one round may bring; more stay with the wire until the next.
const INBOX: usize = 4096;
/// Equity is sampled for the report this often.
const EQUITY_SAMPLE: u64 = 60 * crate::core::time::SECOND;
/// While ending, the order to flatten is repeated this often.
const FLATTEN_EVERY: u64 = crate::core::time::SECOND;
/// Hops are timed on one event in this many, the whole way on all others.
pub const HOPS_EVERY: u64 = 64;
/// A parked loop looks up at least this often: the heartbeat must beat.
const LONGEST_NAP: Duration = Duration::from_millis(1);

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// In good order: told to stop, and nothing was left to do.
    Finished,
    /// Told to stop a second time: what was open stayed open.
    AtOnce,
    /// Something was still open when the time for the end ran out.
    TimedOut,
    /// The guardian's kill word: nothing was sent from there on.
    Killed,
}

/// What a session leaves behind.
pub struct LiveOutcome {
    /// How it ended.
    pub ending: Ending,
    /// The trader's summary.
    pub summary: Summary,
    /// Every closed trade.
    pub trades: Vec<TradeRecord>,
    /// Nanoseconds by hop; totals from the read that brought the event.
    pub latency: Vec<LatencyRow>,
    /// Why the latency log is not whole, if it is not.
    pub latency_error: Option<LatencyError>,
    /// Inputs given to the engine.
    pub inputs: u64,
    /// Records that found no place in the journal.
    pub not_stored: u64,
    /// What the feed counted.
    pub feed: FeedCounters,
    /// The last thing that went wrong with the connections.
    pub trouble: Option<String>,
}

/// What a session is made of.
pub struct LiveSetup<W> {
    /// The venue.
    pub wire: W,
    /// The stages, fresh.
    pub engine: Engine,
    /// The session's journal, with its helper thread.
    pub journal: SessionWriter,
    /// The engine's page of shared memory.
    pub page: EnginePage,
    /// The watch on the guardian's.
    pub guardian: GuardianWatch,
    /// What is traded.
    pub instruments: InstrumentTable,
    /// Cash to start with; the first reconciliation replaces it.
    pub balance: Money,
    /// What was owned before, by instrument: never sold.
    pub baselines: Vec<(InstrumentId, Qty)>,
    /// Currency of the account.
    pub currency: String,
    /// How it is run.
    pub params: LiveParams,
}

/// A running session.
pub struct Live<W> {
    wire: W,
    engine: Engine,
    instruments: InstrumentTable,
    outbox: Outbox,
    inbox: Vec<Event>,
    journal: SessionWriter,
    page: EnginePage,
    progress: Progress,
    guardian: GuardianWatch,
    gauges: Gauges,
    stops: Stops,
    collector: Collector,
    latency: Recorder,
    latency_log: Option<LatencyLog>,
    params: LiveParams,
    inputs: u64,
    last_ns: Nanos,
    next_sample: Nanos,
    next_flatten: Nanos,
    ending_since: Option<Nanos>,
}

impl<W: Wire> Live<W> {
    /// Starts: the engine is told its balance and what is not its own.
    ///
    /// # Errors
    /// The journal cannot be written.
    ///
    /// # Panics
    /// Never: an engine page always has a first hot thread.
    pub fn start(setup: LiveSetup<W>) -> Result<Self, JournalError> {
        let progress = setup.page.progress(0).expect("an engine page has at least one hot thread");
        let mut live = Self {
            wire: setup.wire,
            engine: setup.engine,
            outbox: Outbox::new(),
            inbox: Vec::with_capacity(INBOX),
            journal: setup.journal,
            page: setup.page,
            progress,
            guardian: setup.guardian,
            gauges: Gauges::new(&setup.instruments),
            stops: Stops::default(),
            collector: Collector::new(&setup.instruments, setup.balance, &setup.currency),
            latency: Recorder::local(StampClock::calibrate()),
            latency_log: None,
            params: setup.params,
            instruments: setup.instruments,
            inputs: 0,
            last_ns: Nanos::NONE,
            next_sample: Nanos::NONE,
            next_flatten: Nanos::NONE,
            ending_since: None,
        };
        let now = session_clock();
        live.control(ControlCode::Start, InstrumentId(0), setup.balance, now);
        for (id, owned) in setup.baselines {
            live.control(ControlCode::Baseline, id, Money::from_units(owned.units()), now);
        }
        Ok(live)
    }

    /// Has latencies written to a log from here on, by its recorder.
    pub fn log_latency(&mut self, log: LatencyLog, recorder: Recorder) {
        (self.latency, self.latency_log) = (recorder, Some(log));
    }

    /// Runs until it is told to stop: `signals` counts how often.
    ///
    /// # Errors
    /// The journal cannot be closed.
    pub fn run(mut self, signals: &AtomicUsize) -> Result<LiveOutcome, JournalError> {
        let ending = loop {
            let kill = self.guardian.kill();
            if kill != 0 {
                self.wire.cut();
                self.page.acknowledge_kill(kill);
                break Ending::Killed;
            }
            let now = session_clock();
            let busy = self.round(now);
            self.publish(now);
            if let Some(ending) = self.ending(signals.load(Ordering::Relaxed), now) {
                break ending;
            }
            if !busy {
                self.wait(now);
            }
        };
        self.finish(ending)
    }

    /// One round; true when something happened.
    fn round(&mut self, now: Nanos) -> bool {
        if let Some(word) = self.guardian.poll(monotonic_ns()) {
            self.guardian_says(word, now);
        }
        let health = self.journal.health();
        self.stop_entries(Stop::Disk, health != Health::Good, now);
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut busy = self.wire.poll(now, &mut inbox);
        if inbox.is_empty() {
            self.latency.idle();
        } else {
            // Two clocks read at one instant: how long ago an event arrived is known on the one, and
            // its end is measured on the other. Events of one read pay for those before them.
            let (seen, stamp) = (session_clock(), self.latency.clock().now());
            for event in inbox.drain(..) {
                self.input(event, (stamp, seen.since(event.local_ns).0));
            }
        }
        self.inbox = inbox;
        let now = session_clock();
        if self.engine.next_due() <= now {
            let timer = Event::new(EventKind::Timer, InstrumentId(0), Nanos::NONE, now, [0; 4]);
            self.input(timer, (self.latency.clock().now(), 0));
            busy = true;
        }
        busy
    }

    fn guardian_says(&mut self, word: ControlCode, now: Nanos) {
        match word {
            ControlCode::StopEntries => self.stop_entries(Stop::Guardian, true, now),
            ControlCode::AllowEntries => self.stop_entries(Stop::Guardian, false, now),
            word => self.control(word, InstrumentId(0), Money::ZERO, now),
        }
    }

    fn stop_entries(&mut self, stop: Stop, holds: bool, now: Nanos) {
        if let Some(word) = self.stops.set(stop, holds) {
            self.control(word, InstrumentId(0), Money::ZERO, now);
        }
    }

    fn control(&mut self, code: ControlCode, id: InstrumentId, balance: Money, now: Nanos) {
        let control = Control { code: Some(code), balance }.event(EventKind::Control, id, Nanos::NONE, now);
        self.input(control, (self.latency.clock().now(), 0));
    }

    /// One input: stored, given to the engine, its outputs stored and sent. `seen` is a stamp, and how
    /// long before it the input had arrived.
    #[inline]
    fn input(&mut self, mut event: Event, seen: (Stamp, u64)) {
        // The engine's time never goes back, whatever a wire says.
        event.local_ns = event.local_ns.max(self.last_ns);
        self.latency.begin_late(seen.0, seen.1);
        let hops = self.inputs.is_multiple_of(HOPS_EVERY);
        if hops {
            self.latency.begin_hops();
        }
        let Some(sequence) = self.store(&event) else { return };
        if hops {
            self.latency.mark(Hop::Journal);
        }
        self.last_ns = event.local_ns;
        event.sequence = sequence;
        self.inputs += 1;
        self.gauges.on_input(&event);
        self.collector.on_input(&event);
        if hops {
            self.engine.on_event(&event, &mut self.outbox, &mut Timed(&mut self.latency));
        } else {
            self.engine.on_event(&event, &mut self.outbox, &mut NoProbe);
        }
        if !self.outbox.events().is_empty() {
            self.send_outputs(event.local_ns);
            if hops {
                self.latency.mark(Hop::Send);
            }
        }
        self.latency.end(self.outbox.events().iter().any(|output| output.kind == EventKind::Submit));
        if event.local_ns >= self.next_sample {
            self.collector.on_equity(event.local_ns, self.engine.equity());
            self.next_sample = Nanos(event.local_ns.0 - event.local_ns.0 % EQUITY_SAMPLE + EQUITY_SAMPLE);
        }
    }

    /// Stores an input and returns its number; `None` when it must not reach the engine. What the
    /// engine was told and a replay is not would be a difference, so market data that finds no place
    /// is dropped, unless a position needs it; everything else goes on even when it cannot be stored.
    #[inline]
    fn store(&mut self, event: &Event) -> Option<u64> {
        let market = matches!(event.kind, EventKind::Quote | EventKind::Trade | EventKind::Gap);
        let held = || self.engine.oms().status(event.instrument).is_some_and(|status| !status.open_lots.is_zero());
        let stored = if market {
            match self.journal.input.append(event) {
                Err(_) if held() => self.journal.input.append_essential(event),
                Err(_) => return None,
                stored => stored,
            }
        } else {
            self.journal.input.append_essential(event)
        };
        Some(stored.unwrap_or(self.inputs + 1))
    }

    fn send_outputs(&mut self, now: Nanos) {
        for output in self.outbox.events() {
            // A decision that cannot be stored is carried out all the same when it gets us out; the
            // writer counts it.
            let _ = self.journal.output.append_essential(output);
            self.gauges.on_output(output);
            self.collector.on_output(output);
            match output.kind {
                EventKind::Submit | EventKind::Cancel | EventKind::Query | EventKind::Reconcile
                    if self.guardian.kill() == 0 =>
                {
                    self.wire.command(output, now);
                }
                EventKind::TradeCosts => self.collector.on_equity(now, self.engine.equity()),
                _ => {}
            }
        }
    }

    fn publish(&mut self, now: Nanos) {
        let monotonic = monotonic_ns();
        self.progress.step(monotonic);
        let state = match self.ending_since {
            Some(_) => EngineState::Stopping,
            None if self.engine.oms().is_reconciled() => EngineState::Running,
            None => EngineState::Starting,
        };
        let journal = [self.journal.input.written(), self.journal.output.written()];
        if let Some(snapshot) = self.gauges.snapshot(self.engine.oms(), state, journal, now, monotonic) {
            self.page.publish(snapshot);
        }
    }

    /// How the session ends, once it does.
    fn ending(&mut self, signals: usize, now: Nanos) -> Option<Ending> {
        if signals == 0 {
            return None;
        }
        if signals > 1 {
            return Some(Ending::AtOnce);
        }
        let since = *self.ending_since.get_or_insert(now);
        self.stop_entries(Stop::Ending, true, now);
        let oms = self.engine.oms();
        let flat = self.params.on_stop == OnStop::Keep || oms.open_lots().is_zero();
        if flat && !oms.has_orders() {
            return Some(Ending::Finished);
        }
        if now.since(since) > self.params.stop_timeout {
            return Some(Ending::TimedOut);
        }
        if self.params.on_stop == OnStop::Flatten && now >= self.next_flatten {
            self.next_flatten = Nanos(now.0 + FLATTEN_EVERY);
            self.control(ControlCode::Flatten, InstrumentId(0), Money::ZERO, now);
        }
        None
    }

    fn wait(&mut self, now: Nanos) {
        match self.params.waiting {
            Waiting::Spin => std::hint::spin_loop(),
            Waiting::Yield => std::thread::yield_now(),
            Waiting::Park => {
                let timer = Duration::from_nanos(self.engine.next_due().since(now).0);
                self.wire.wait(timer.min(LONGEST_NAP));
            }
        }
    }

    fn finish(mut self, ending: Ending) -> Result<LiveOutcome, JournalError> {
        let now = session_clock();
        let trouble = self.wire.trouble();
        self.wire.cut();
        let (equity, open_lots) = (self.engine.equity(), self.engine.oms().open_lots());
        self.collector.on_equity(now.max(self.last_ns), equity);
        let monotonic = monotonic_ns();
        let state = if ending == Ending::Finished { EngineState::Stopped } else { EngineState::Stopping };
        let journal = [self.journal.input.written(), self.journal.output.written()];
        self.gauges.invalidate();
        if let Some(snapshot) = self.gauges.snapshot(self.engine.oms(), state, journal, now, monotonic) {
            self.page.publish(snapshot);
        }
        let not_stored = self.journal.input.not_stored() + self.journal.output.not_stored();
        self.journal.close()?;
        let trades = self.collector.trades().to_vec();
        let (latency, latency_error) = measured(self.latency, self.latency_log);
        Ok(LiveOutcome {
            ending,
            summary: self.collector.finish(equity, open_lots),
            trades,
            latency,
            latency_error,
            inputs: self.inputs,
            not_stored,
            feed: self.engine.feed_counters(&self.instruments),
            trouble,
        })
    }
}

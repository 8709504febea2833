//! One engine against the simulated exchange in virtual time: what backtest and demo share.
//!
//! Market events come in time order. Between two of them, the venue's reports and the engine's
//! timers are delivered at their own instants, so that a result depends on nothing but the events,
//! the configuration and the seed. Each input is numbered, journalled, given to the engine, and its
//! outputs are journalled, counted and, when they are commands, given to the venue.

use crate::core::payload::{Control, ControlCode};
use crate::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload};
use crate::engine::Engine;
use crate::engine::clock::StampClock;
use crate::feed::FeedCounters;
use crate::journal::{JournalError, SessionWriter};
use crate::oms::Outbox;
use crate::report::latency::{self, Basis, Hop, LatencyError, LatencyLog, LatencyRow, Recorder};
use crate::report::{Collector, Summary, TradeRecord};
use crate::venue::paper::PaperVenue;

/// Equity is sampled this often in event time.
const EQUITY_SAMPLE: u64 = 60 * crate::core::time::SECOND;
/// One input in this many is timed, end to end and hop by hop in turn, so that timing does not slow
/// a backtest down.
pub const TIMED_EVERY: u64 = 64;

/// A running simulated session.
pub struct Session {
    engine: Engine,
    venue: PaperVenue,
    collector: Collector,
    journal: Option<SessionWriter>,
    latency: Recorder,
    log: Option<LatencyLog>,
    outbox: Outbox,
    inputs: u64,
    now: Nanos,
    next_sample: Nanos,
}

/// What a session leaves behind.
pub struct Outcome {
    /// The trader's summary.
    pub summary: Summary,
    /// Every closed trade.
    pub trades: Vec<TradeRecord>,
    /// Nanoseconds by hop.
    pub latency: Vec<LatencyRow>,
    /// What their totals are measured from.
    pub basis: Basis,
    /// Why the latency log is not whole, if it is not.
    pub latency_error: Option<LatencyError>,
    /// What the feed counted.
    pub feed: FeedCounters,
    /// Input events given to the engine.
    pub inputs: u64,
}

impl Session {
    /// A session that has not started.
    pub fn new(engine: Engine, venue: PaperVenue, collector: Collector, journal: Option<SessionWriter>) -> Self {
        Self {
            engine,
            venue,
            collector,
            journal,
            latency: Recorder::local(StampClock::calibrate()),
            log: None,
            outbox: Outbox::new(),
            inputs: 0,
            now: Nanos::NONE,
            next_sample: Nanos::NONE,
        }
    }

    /// Has latencies written to a log from here on, by its recorder.
    pub fn log_latency(&mut self, log: LatencyLog, recorder: Recorder) {
        (self.latency, self.log) = (recorder, Some(log));
    }

    /// Tells the engine its balance; the first input of a session.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn start(&mut self, balance: Money, now: Nanos) -> Result<(), JournalError> {
        let control = Control { code: Some(ControlCode::Start), balance };
        self.input(control.event(EventKind::Control, InstrumentId(0), Nanos::NONE, now))
    }

    /// One market event, in time order; whatever is due before it is delivered first.
    ///
    /// # Errors
    /// The journal cannot be written.
    #[inline]
    pub fn on_market(&mut self, event: &Event) -> Result<(), JournalError> {
        let now = event.local_ns.max(self.now);
        if self.engine.next_due().min(self.venue.next_due()) <= now {
            self.deliver_due(now)?;
        }
        self.now = now;
        self.venue.on_market(event);
        self.input(*event)?;
        if now >= self.next_sample {
            self.collector.on_equity(now, self.engine.equity());
            self.next_sample = Nanos(now.0 - now.0 % EQUITY_SAMPLE + EQUITY_SAMPLE);
        }
        Ok(())
    }

    /// Delivers reports and timers up to and including `until`, each at its own instant.
    fn deliver_due(&mut self, until: Nanos) -> Result<(), JournalError> {
        loop {
            let (reports, timer) = (self.venue.next_due(), self.engine.next_due());
            let due = reports.min(timer);
            if due > until || due == Nanos::MAX {
                return Ok(());
            }
            self.now = self.now.max(due);
            if reports <= timer {
                while let Some(report) = self.venue.take_due(due) {
                    self.input(report)?;
                }
            } else {
                self.input(Event::new(EventKind::Timer, InstrumentId(0), Nanos::NONE, self.now, [0; 4]))?;
            }
        }
    }

    #[inline]
    fn input(&mut self, mut event: Event) -> Result<(), JournalError> {
        self.inputs += 1;
        event.sequence = self.inputs;
        self.collector.on_input(&event);
        if self.inputs.is_multiple_of(TIMED_EVERY) {
            self.timed_input(&event)?;
        } else {
            if let Some(journal) = &mut self.journal {
                journal.input.append(&event)?;
            }
            self.engine.on_event(&event, &mut self.outbox, &mut crate::engine::NoProbe);
        }
        if self.outbox.events().is_empty() { Ok(()) } else { self.deliver_outputs(event.local_ns) }
    }

    /// The same, timed: end to end and hop by hop in turn, since timing hops would show in the whole.
    fn timed_input(&mut self, event: &Event) -> Result<(), JournalError> {
        let hops = (self.inputs / TIMED_EVERY).is_multiple_of(2);
        self.latency.begin(self.latency.clock().now());
        if hops {
            self.latency.begin_hops();
        }
        if let Some(journal) = &mut self.journal {
            journal.input.append(event)?;
            if hops {
                self.latency.mark(Hop::Journal);
            }
        }
        if hops {
            self.engine.on_event(event, &mut self.outbox, &mut self.latency);
        } else {
            self.engine.on_event(event, &mut self.outbox, &mut crate::engine::NoProbe);
        }
        self.latency.end(self.outbox.events().iter().any(|output| output.kind == EventKind::Submit));
        Ok(())
    }

    fn deliver_outputs(&mut self, now: Nanos) -> Result<(), JournalError> {
        for output in self.outbox.events() {
            if let Some(journal) = &mut self.journal {
                journal.output.append(output)?;
            }
            self.collector.on_output(output);
            match output.kind {
                EventKind::Submit | EventKind::Cancel | EventKind::Query => self.venue.on_command(output, now),
                EventKind::TradeCosts => self.collector.on_equity(now, self.engine.equity()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends the session: no more entries, everything is closed at the last touch, reports are awaited.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn finish(mut self, instruments: &InstrumentTable) -> Result<Outcome, JournalError> {
        let flatten = Control { code: Some(ControlCode::Flatten), balance: Money::ZERO };
        // Ten minutes of virtual time are enough for every retry; what is still open then is reported as open.
        let deadline = self.now.plus(crate::core::Span::seconds(600));
        while self.now < deadline {
            self.input(flatten.event(EventKind::Control, InstrumentId(0), Nanos::NONE, self.now))?;
            let until = self.now.plus(crate::core::Span::seconds(5));
            self.deliver_due(until)?;
            self.now = until;
            if !self.engine.oms().has_orders() && self.engine.oms().open_lots().is_zero() {
                break;
            }
        }
        self.input(flatten.event(EventKind::Control, InstrumentId(0), Nanos::NONE, self.now))?;
        let (equity, open_lots) = (self.engine.equity(), self.engine.oms().open_lots());
        self.collector.on_equity(self.now, equity);
        let feed = self.engine.feed_counters(instruments);
        if let Some(journal) = self.journal {
            journal.close()?;
        }
        let trades = self.collector.trades().to_vec();
        let (latency, latency_error) = measured(vec![self.latency], self.log);
        Ok(Outcome {
            summary: self.collector.finish(equity, open_lots),
            trades,
            latency,
            basis: Basis::Service,
            latency_error,
            feed,
            inputs: self.inputs,
        })
    }

    /// Equity now, for a progress line.
    pub fn equity(&self) -> Money {
        self.engine.equity()
    }

    /// Trades closed so far.
    pub fn trades(&self) -> &[TradeRecord] {
        self.collector.trades()
    }
}

/// The table of what was measured, and why its log is not whole, if it is not.
pub(super) fn measured(recorders: Vec<Recorder>, log: Option<LatencyLog>) -> (Vec<LatencyRow>, Option<LatencyError>) {
    let Some(log) = log else {
        let frames = recorders.into_iter().map(Recorder::into_last_frame);
        return (frames.flat_map(|frame| latency::frame_rows(&frame)).collect(), None);
    };
    match log.finish(recorders) {
        Ok(totals) => (latency::rows(&totals), None),
        Err(error) => (Vec::new(), Some(error)),
    }
}

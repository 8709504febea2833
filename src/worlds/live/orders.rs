//! The order side of a live session: the order connection, the journal, the guardian's words, the
//! operator's signals, the snapshot.
//!
//! In each round, in this order: kill word, guardian, the disk's health, what the order connection has;
//! then, from the engine, what is stored and what was decided; at last the snapshot and the end. Every
//! input is journalled before the order manager sees it and every output before it is sent, so that
//! `pawl replay --verify` re-runs the session exactly. It owns its thread and takes no lock; nothing in
//! a round waits but [`OrderSide::wait`], and that only when nothing happened.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::core::payload::{Control, ControlCode};
use crate::core::{Event, EventKind, InstrumentId, Money, Nanos, Payload};
use crate::engine::clock::Stamp;
use crate::engine::is_market;
use crate::engine::threads::{Activity, Fault, HOPS_EVERY, OrderSide, Switch};
use crate::journal::{Health, JournalError, SessionWriter};
use crate::oms::Oms;
use crate::report::Collector;
use crate::report::latency::{Hop, Recorder, Spans};
use crate::snapshot::{EnginePage, EngineState, GuardianWatch};
use crate::venue::Delivery;
use crate::venue::net::Sent;

use super::clock::{Meeting, monotonic_at};
use super::ending::{End, Ending, Step};
use super::gauges::Gauges;
use super::poller::Poller;
use super::room::Room;
use super::stops::{Stop, Stops};
use super::{OrderWire, session_clock};

/// Equity is sampled for the report this often.
const EQUITY_SAMPLE: u64 = 60 * crate::core::time::SECOND;
/// Records of an order's decision that memory is asked for ahead.
const REHEARSED: usize = 8;
/// While the journal refuses market data, it is asked again this often.
const ASK_AGAIN: u64 = crate::core::time::SECOND;

/// The order manager's world.
pub(super) struct LiveOrders<W> {
    pub(super) wire: W,
    pub(super) poller: Poller,
    /// None once it is closed.
    pub(super) journal: Option<SessionWriter>,
    pub(super) page: EnginePage,
    pub(super) guardian: GuardianWatch,
    pub(super) gauges: Gauges,
    pub(super) collector: Collector,
    pub(super) stops: Stops,
    pub(super) end: End,
    pub(super) room: Arc<Room>,
    pub(super) switch: Arc<Switch>,
    pub(super) spans: Spans,
    /// The last decision's order was given to a connection: its bytes tell how long that took.
    pub(super) by_bytes: bool,
    /// When the clocks of events and of stamps last met.
    pub(super) meeting: Meeting,
    /// Words for the order manager, and answers that came while it decided: told at the next poll.
    pub(super) said: Vec<Event>,
    /// Inputs that the order manager was told.
    pub(super) inputs: u64,
    /// Latest time that it was told.
    pub(super) last: Nanos,
    pub(super) next_sample: Nanos,
    pub(super) next_ask: Nanos,
    pub(super) snapshots: u64,
    pub(super) records: Records,
}

/// What is known of the journal.
#[derive(Default)]
pub(super) struct Records {
    /// Records of inputs and of outputs.
    pub(super) written: [u64; 2],
    /// Records that found no place.
    pub(super) not_stored: u64,
    /// Why it could not be closed.
    pub(super) failure: Option<JournalError>,
}

impl<W: OrderWire> LiveOrders<W> {
    /// Something for the order manager, in its turn.
    pub(super) fn say(&mut self, code: ControlCode, id: InstrumentId, balance: Money, now: Nanos) {
        self.said.push(Control { code: Some(code), balance }.event(EventKind::Control, id, Nanos::NONE, now));
    }

    fn guardian_says(&mut self, word: ControlCode, now: Nanos) {
        match word {
            ControlCode::StopEntries => self.stop_entries(Stop::Guardian, true, now),
            ControlCode::AllowEntries => self.stop_entries(Stop::Guardian, false, now),
            word => self.say(word, InstrumentId(0), Money::ZERO, now),
        }
    }

    fn stop_entries(&mut self, stop: Stop, holds: bool, now: Nanos) {
        if let Some(word) = self.stops.set(stop, holds) {
            self.say(word, InstrumentId(0), Money::ZERO, now);
        }
    }

    /// The guardian's kill word: from here on nothing is sent.
    #[cold]
    fn obey(&mut self, kill: u64) {
        self.end.decide(Ending::Killed);
        self.wire.cut();
        self.page.acknowledge_kill(kill);
        self.switch.stop();
    }

    /// Gives a command to the wire. Of an order it is measured when its bytes were written.
    #[inline]
    fn carry_out(&mut self, command: &Event, cause: &Event, decided: Nanos) {
        if self.end.ending().is_some() || self.guardian.kill() != 0 {
            return;
        }
        let Self { wire, said, .. } = self;
        let delivery = wire.command(command, cause.local_ns, &mut |answer| said.push(answer));
        if command.kind != EventKind::Submit {
            return;
        }
        self.by_bytes |= delivery != Delivery::Noted;
        if let Delivery::Sent(Sent::Written(write)) = delivery {
            self.spans.add(Hop::Send, write.after.since(decided).0);
            self.spans.add(Hop::Write, write.after.since(write.before).0);
            self.spans.add(Hop::Order, write.after.since(cause.local_ns).0);
        }
    }

    /// Stores market data, in the reserve where there is no other place: stages before this one have
    /// seen it.
    #[inline]
    fn store_market(&mut self, input: &Event) -> Result<u64, JournalError> {
        let Self { wire, said, journal, room, .. } = self;
        wire.on_market(input, &mut |report| said.push(report));
        let Some(journal) = journal else { return Err(closed(input)) };
        journal.input.append(input).or_else(|_| {
            room.set_refused(true);
            journal.input.append_essential(input)
        })
    }

    /// Whether market data has a place again, and which is needed while it has none.
    #[cold]
    fn see_room(&mut self, oms: &Oms, now: Nanos) {
        if now >= self.next_ask {
            self.next_ask = Nanos(now.0 + ASK_AGAIN);
            return self.room.set_refused(false);
        }
        let is_held = |id: u16| oms.status(InstrumentId(id)).is_some_and(|status| !status.open_lots.is_zero());
        self.room.set_held((0..64u16).filter(|id| is_held(*id)).fold(0, |held, id| held | 1 << id));
    }

    fn publish(&mut self, oms: &Oms) {
        let state = if self.end.has_begun() || self.end.ending().is_some() {
            EngineState::Stopping
        } else if oms.may_close() {
            EngineState::Running
        } else {
            EngineState::Starting
        };
        if let Some(journal) = &self.journal {
            self.records.written = [journal.input.written(), journal.output.written()];
        }
        let Self { gauges, page, spans, snapshots, records, .. } = self;
        let now = session_clock();
        if let Some(snapshot) = gauges.snapshot(oms, state, records.written, now, monotonic_at(now)) {
            *snapshots += 1;
            if snapshots.is_multiple_of(HOPS_EVERY) {
                spans.time(Hop::Snapshot, || page.publish(snapshot));
            } else {
                page.publish(snapshot);
            }
        }
    }

    fn see_end(&mut self, oms: &Oms, now: Nanos) {
        match self.end.step(oms, self.said.is_empty(), now) {
            Step::Go => {}
            Step::StopEntries => self.stop_entries(Stop::Ending, true, now),
            Step::Flatten => self.say(ControlCode::Flatten, InstrumentId(0), Money::ZERO, now),
            Step::End(_) => self.switch.stop(),
        }
    }

    /// The last words of a session that has ended, for the page and the report.
    pub(super) fn finish(&mut self, oms: &Oms) {
        let now = session_clock();
        self.collector.on_equity(now.max(self.last), oms.equity());
        let finished = self.end.ending() == Some(Ending::Finished);
        let state = if finished { EngineState::Stopped } else { EngineState::Stopping };
        self.gauges.invalidate();
        if let Some(snapshot) = self.gauges.snapshot(oms, state, self.records.written, now, monotonic_at(now)) {
            self.page.publish(snapshot);
        }
    }
}

impl<W: OrderWire> OrderSide for LiveOrders<W> {
    fn poll(&mut self, inbox: &mut Vec<Event>) -> Activity {
        let now = self.meeting.look(self.spans.clock());
        let kill = self.guardian.kill();
        if kill != 0 {
            if self.end.ending() != Some(Ending::Killed) {
                self.obey(kill);
            }
            return Activity::Idle;
        }
        if let Some(word) = self.guardian.poll(monotonic_at(now)) {
            self.guardian_says(word, now);
        }
        let health = self.journal.as_ref().map_or(Health::Full, SessionWriter::health);
        self.stop_entries(Stop::Disk, health != Health::Good, now);
        inbox.append(&mut self.said);
        let more = self.wire.poll(now, &mut |event| inbox.push(event));
        for event in inbox {
            // The order manager's time never goes back, whatever a wire says.
            event.local_ns = event.local_ns.max(self.last);
            self.last = event.local_ns;
        }
        if more { Activity::Busy } else { Activity::Idle }
    }

    fn now(&mut self) -> Nanos {
        session_clock().max(self.last)
    }

    #[inline]
    fn store(&mut self, input: &Event) -> Result<u64, Fault> {
        self.inputs += 1;
        self.last = self.last.max(input.local_ns);
        self.gauges.on_input(input);
        self.collector.on_input(input);
        let stored = if is_market(input.kind) {
            self.store_market(input)
        } else {
            self.journal.as_mut().map_or_else(|| Err(closed(input)), |journal| journal.input.append_essential(input))
        };
        // What cannot be stored at all goes on all the same: it gets us out, and the writer counts it.
        Ok(stored.unwrap_or(self.inputs))
    }

    fn decided(&mut self, input: &Event, outputs: &[Event], oms: &Oms) -> Result<(), Fault> {
        let orders = outputs.iter().any(|output| output.kind == EventKind::Submit);
        let decided = if orders { session_clock() } else { input.local_ns };
        for output in outputs {
            if let Some(journal) = &mut self.journal {
                // A decision that cannot be stored is carried out all the same when it gets us out; the
                // writer counts it.
                let _ = journal.output.append_essential(output);
            }
            self.gauges.on_output(output);
            self.collector.on_output(output);
            match output.kind {
                EventKind::Submit | EventKind::Cancel | EventKind::Query | EventKind::Reconcile => {
                    self.carry_out(output, input, decided);
                }
                EventKind::TradeCosts => self.collector.on_equity(input.local_ns, oms.equity()),
                _ => {}
            }
        }
        Ok(())
    }

    fn round(&mut self, oms: &Oms) {
        self.publish(oms);
        if self.room.is_refused() {
            self.see_room(oms, self.meeting.looked());
        }
        if self.last >= self.next_sample {
            self.collector.on_equity(self.last, oms.equity());
            self.next_sample = Nanos(self.last.0 - self.last.0 % EQUITY_SAMPLE + EQUITY_SAMPLE);
        }
        self.see_end(oms, self.meeting.looked());
    }

    fn arrived(&self, input: &Event, _seen: Stamp) -> Stamp {
        self.meeting.stamp(input.local_ns, self.spans.clock())
    }

    fn rehearse(&mut self, order: &Event) {
        // The order's own time is made up, and the venue's limits are not.
        self.wire.rehearse(order, self.meeting.looked());
        if let Some(journal) = &self.journal {
            journal.input.fetch_next(1);
            journal.output.fetch_next(REHEARSED);
        }
    }

    fn measured(&mut self, recorder: &mut Recorder) -> bool {
        self.spans.hand_over(recorder);
        std::mem::take(&mut self.by_bytes)
    }

    fn on_failure(&mut self, inbox: &mut Vec<Event>) {
        self.end.decide(Ending::Failed);
        let control = Control { code: Some(ControlCode::StopEntries), balance: Money::ZERO };
        inbox.push(control.event(EventKind::Control, InstrumentId(0), Nanos::NONE, session_clock().max(self.last)));
    }

    fn close(&mut self, failure: Option<&str>) {
        if failure.is_some() {
            self.end.decide(Ending::Failed);
        }
        self.wire.cut();
        if let Some(journal) = self.journal.take() {
            self.records.written = [journal.input.written(), journal.output.written()];
            self.records.not_stored = journal.input.not_stored() + journal.output.not_stored();
            self.records.failure = journal.close().err();
        }
    }

    fn waker(&self) -> Option<Waker> {
        self.poller.waker()
    }

    fn wait(&mut self, at_most: Duration) {
        if self.said.is_empty() {
            self.poller.wait(at_most);
        }
    }
}

/// Nothing is told after the journal is closed; should it be, it is not stored.
#[cold]
fn closed(input: &Event) -> JournalError {
    debug_assert!(false, "told {input:?} after the journal was closed");
    JournalError::NotStored { stream: crate::journal::StreamName::Input, trouble: crate::journal::Trouble::Late }
}

#[cfg(test)]
mod tests;

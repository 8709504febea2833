//! The market's side of a live session: sockets in, events out, each with the stamp of the read that
//! brought it.
//!
//! Two spans are measured here, since nobody else can. How long an event may have lain unread: from the
//! last poll that looked at every socket to its end, to the read that brought the event; in between the
//! thread was busy, or slept. And how long decoding took: from that read to the event, TLS and framing
//! included, on the first frame of a read (the others wait for it, which their totals hold).

use std::sync::Arc;
use std::time::Duration;

use crate::core::{Event, EventKind, Nanos};
use crate::engine::intake::Intake;
use crate::engine::threads::{Activity, HOPS_EVERY, MarketSide};
use crate::report::latency::{Hop, Recorder, Spans};

use super::clock::Meeting;
use super::poller::Poller;
use super::room::Room;
use super::{MarketWire, session_clock};

/// The first thread's world.
pub(super) struct LiveMarket<M> {
    wire: M,
    /// None where the order side's poller has these sockets as well.
    poller: Option<Poller>,
    room: Arc<Room>,
    looks: Looks,
    /// Events that the journal had no room for.
    withheld: u64,
    /// The engine's time never goes back, whatever a wire says.
    last: Nanos,
}

/// What is known about reads.
struct Looks {
    spans: Spans,
    /// When every socket had been looked at to its end, at the latest.
    empty: Nanos,
    /// When the clocks of events and of stamps last met.
    meeting: Meeting,
    /// The read that brought the last event.
    read: Nanos,
    reads: u64,
}

impl<M: MarketWire> LiveMarket<M> {
    pub(super) fn new(wire: M, poller: Option<Poller>, room: Arc<Room>, spans: Spans) -> Self {
        let meeting = Meeting::now(spans.clock());
        let looks = Looks { spans, empty: Nanos::NONE, meeting, read: Nanos::NONE, reads: 0 };
        Self { wire, poller, room, looks, withheld: 0, last: Nanos::NONE }
    }

    /// Events that were withheld while the journal had no room.
    pub(super) fn withheld(&self) -> u64 {
        self.withheld
    }

    /// The latest thing that a person should know about the connections, if any.
    pub(super) fn trouble(&self) -> Option<String> {
        self.wire.trouble()
    }

    /// Gives up the connections.
    pub(super) fn cut(&mut self) {
        self.wire.cut();
    }
}

impl Looks {
    #[inline]
    fn on_event(&mut self, event: &Event) {
        if !matches!(event.kind, EventKind::Quote | EventKind::Trade) {
            return;
        }
        if self.empty != Nanos::NONE {
            self.spans.add(Hop::Unread, event.local_ns.since(self.empty).0);
        }
        if event.local_ns != self.read {
            self.read = event.local_ns;
            self.reads += 1;
            if self.reads.is_multiple_of(HOPS_EVERY) {
                self.spans.add(Hop::Decode, session_clock().since(event.local_ns).0);
            }
        }
    }
}

impl<M: MarketWire> MarketSide for LiveMarket<M> {
    #[inline]
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        let Self { wire, room, looks, withheld, last, .. } = self;
        let now = looks.meeting.look(looks.spans.clock());
        let mut brought = false;
        let more = wire.poll(now, &mut |mut event| {
            brought = true;
            looks.on_event(&event);
            if room.withholds(&event) {
                *withheld += 1;
                return;
            }
            let arrived = looks.meeting.stamp(event.local_ns, looks.spans.clock());
            event.local_ns = event.local_ns.max(*last);
            *last = event.local_ns;
            intake.push(event, arrived);
        });
        if !more {
            // The look that found nothing came after the last read.
            looks.empty = if brought { looks.read.max(now) } else { now };
        }
        if more || brought { Activity::Busy } else { Activity::Idle }
    }

    fn now(&mut self) -> Nanos {
        session_clock()
    }

    fn measured(&mut self, recorder: &mut Recorder) {
        self.looks.spans.hand_over(recorder);
    }

    fn rehearse(&mut self) {
        self.wire.rehearse();
    }

    fn wait(&mut self, at_most: Duration) {
        match &mut self.poller {
            Some(poller) => poller.wait(at_most),
            None => std::thread::park_timeout(at_most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::InstrumentId;
    use crate::engine::clock::StampClock;

    /// Gives what it is told to.
    struct Script(Vec<(bool, Vec<Event>)>);

    impl MarketWire for Script {
        fn poll(&mut self, _now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
            if self.0.is_empty() {
                return false;
            }
            let (more, events) = self.0.remove(0);
            events.into_iter().for_each(emit);
            more
        }

        fn trouble(&self) -> Option<String> {
            None
        }

        fn cut(&mut self) {}
    }

    fn quote(instrument: u16, at: Nanos) -> Event {
        Event::new(EventKind::Quote, InstrumentId(instrument), Nanos(1), at, [1, 2, 3, 4])
    }

    fn side(script: Vec<(bool, Vec<Event>)>) -> (LiveMarket<Script>, Recorder, Intake) {
        let recorder = Recorder::local(StampClock::monotonic());
        let market = LiveMarket::new(Script(script), None, Arc::new(Room::default()), Spans::of(&recorder));
        (market, recorder, Intake::new(4))
    }

    #[test]
    fn an_event_lay_unread_at_most_since_the_last_look_that_found_nothing() {
        let later = |seconds: u64| Nanos(session_clock().0 + seconds * crate::core::time::SECOND);
        // Nothing; two events of one read, with more in the socket; the rest.
        let (first, second) = (later(10), later(30));
        let script =
            vec![(false, vec![]), (true, vec![quote(0, first), quote(0, first)]), (false, vec![quote(0, second)])];
        let (mut market, mut recorder, mut intake) = side(script);
        assert_eq!(market.poll(&mut intake), Activity::Idle);
        assert_eq!(market.poll(&mut intake), Activity::Busy);
        assert_eq!(market.poll(&mut intake), Activity::Busy);
        assert_eq!(market.poll(&mut intake), Activity::Idle);
        market.measured(&mut recorder);
        let frame = recorder.into_last_frame();
        let unread = frame.hop(Hop::Unread);
        // The second read found what may have been there since before the first: ten seconds and thirty.
        assert_eq!(unread.len(), 3);
        assert!((9_800_000_000..10_100_000_000).contains(&unread.min()), "{}", unread.min());
        assert!((29_000_000_000..31_000_000_000).contains(&unread.max()), "{}", unread.max());
    }

    #[test]
    fn decoding_is_timed_on_the_first_frame_of_one_read_in_so_many() {
        let reads = 3 * HOPS_EVERY;
        let began = session_clock();
        let script = (1..=reads).map(|read| (false, vec![quote(0, Nanos(began.0 + read)); 2])).collect();
        let (mut market, mut recorder, mut intake) = side(script);
        (0..reads).for_each(|_| assert_eq!(market.poll(&mut intake), Activity::Busy));
        market.measured(&mut recorder);
        assert_eq!(recorder.into_last_frame().hop(Hop::Decode).len(), 3);
    }

    #[test]
    fn what_the_journal_has_no_room_for_reaches_no_stage_and_time_never_goes_back() {
        let now = session_clock();
        let script = vec![(false, vec![quote(0, now), quote(1, Nanos(now.0 - 5)), quote(2, now)])];
        let (mut market, _, mut intake) = side(script);
        market.room.set_refused(true);
        market.room.set_held(0b11);
        market.poll(&mut intake);
        assert_eq!((market.withheld(), market.last), (1, now));
        assert_eq!(intake.counters().most_waiting, 2);
    }
}

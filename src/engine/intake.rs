//! What came from the market and has not gone into the engine yet.
//!
//! As long as the first ring has room, everything passes in the order in which it came. While it is
//! full, the consumer is late, and old quotes are of no use to it: a newer quote of an instrument
//! takes the place of the one that waits. Trades are never dropped. When the kept quote goes on its
//! way, a [`EventKind::Gap`] with [`Flags::CONFLATED`] goes before it and says how many it replaced.
//! This happens before the first stage, so that what the journal does not hold, no stage has seen.

use std::collections::VecDeque;

use crate::core::{Event, EventKind, Flags};
use crate::engine::clock::Stamp;

/// Entries that wait without memory being asked for.
const CAPACITY: usize = 8192;
/// More than this never waits: the consumer is not late, it is gone. 80 MiB.
const MOST: usize = 1 << 20;
/// Replaced quotes are swept out when there are this many, and they are half of everything.
const SWEEP: usize = 1024;

struct Entry {
    event: Event,
    arrived: Stamp,
    /// Quotes that this one replaced.
    replaced: u64,
    /// Replaced by a later one.
    dead: bool,
}

/// What was conflated, for reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IntakeCounters {
    /// Quotes that a later one replaced while the ring was full.
    pub conflated: u64,
    /// Gap events that said so.
    pub gaps: u64,
    /// Most entries that ever waited.
    pub most_waiting: usize,
}

/// The market side's queue before the first stage.
pub struct Intake {
    entries: VecDeque<Entry>,
    /// Number of the first entry, counted from the beginning of time.
    first: u64,
    dead: usize,
    /// Number of the entry with the quote that waits, by instrument.
    waiting: Vec<Option<u64>>,
    congested: bool,
    counters: IntakeCounters,
}

impl Intake {
    /// An empty intake for this many instruments.
    pub fn new(instruments: usize) -> Self {
        Self {
            entries: VecDeque::with_capacity(CAPACITY),
            first: 0,
            dead: 0,
            waiting: vec![None; instruments],
            congested: false,
            counters: IntakeCounters::default(),
        }
    }

    /// Whether the first ring is full just now.
    pub(super) fn set_congested(&mut self, congested: bool) {
        self.congested = congested;
    }

    /// True when events wait: a market side should then leave the rest in its sockets for a moment.
    pub fn is_congested(&self) -> bool {
        self.congested
    }

    /// Adds an event that arrived at `arrived`.
    #[inline]
    pub fn push(&mut self, event: Event, arrived: Stamp) {
        let mut entry = Entry { event, arrived, replaced: 0, dead: false };
        if self.congested && event.kind == EventKind::Quote {
            self.conflate(&mut entry);
        }
        self.entries.push_back(entry);
        self.counters.most_waiting = self.counters.most_waiting.max(self.entries.len());
    }

    fn conflate(&mut self, entry: &mut Entry) {
        let number = self.first + self.entries.len() as u64;
        let Some(waiting) = self.waiting.get_mut(entry.event.instrument.index()) else { return };
        // One that waited since before the ring was full is in the table as well only if it came then.
        let earlier = waiting.replace(number).and_then(|number| number.checked_sub(self.first));
        if let Some(earlier) = earlier.and_then(|index| self.entries.get_mut(index as usize)) {
            earlier.dead = true;
            entry.replaced = earlier.replaced + 1;
            self.dead += 1;
            self.counters.conflated += 1;
        }
        if self.dead >= SWEEP && 2 * self.dead >= self.entries.len() {
            self.sweep();
            if let Some(waiting) = self.waiting.get_mut(entry.event.instrument.index()) {
                *waiting = Some(self.first + self.entries.len() as u64);
            }
        }
    }

    /// Takes the replaced quotes out and numbers the rest anew.
    fn sweep(&mut self) {
        self.entries.retain(|entry| !entry.dead);
        self.dead = 0;
        self.waiting.fill(None);
        for (index, entry) in self.entries.iter().enumerate().filter(|(_, e)| e.event.kind == EventKind::Quote) {
            if let Some(waiting) = self.waiting.get_mut(entry.event.instrument.index()) {
                *waiting = Some(self.first + index as u64);
            }
        }
    }

    /// The next event for the first stage.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Event, Stamp)> {
        loop {
            let entry = self.entries.front_mut()?;
            if !entry.dead && entry.replaced > 0 {
                let (quote, replaced) = (entry.event, std::mem::take(&mut entry.replaced));
                let payload = [replaced, 0, 0, 0];
                let gap = Event::new(EventKind::Gap, quote.instrument, quote.venue_ns, quote.local_ns, payload);
                self.counters.gaps += 1;
                return Some((gap.flagged(Flags::CONFLATED), entry.arrived));
            }
            let entry = self.entries.pop_front()?;
            self.first += 1;
            if entry.dead {
                self.dead -= 1;
                continue;
            }
            return Some((entry.event, entry.arrived));
        }
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True when more waits than ever should.
    pub(super) fn is_overrun(&self) -> bool {
        self.entries.len() > MOST
    }

    /// What was conflated so far.
    pub fn counters(&self) -> IntakeCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{InstrumentId, Nanos};
    use proptest::prelude::*;

    fn event(kind: EventKind, instrument: u16, number: u64) -> Event {
        Event::new(kind, InstrumentId(instrument), Nanos(number), Nanos(number), [number, 0, 0, 0])
    }

    fn drain(intake: &mut Intake) -> Vec<Event> {
        std::iter::from_fn(|| intake.pop()).map(|(event, _)| event).collect()
    }

    #[test]
    fn while_there_is_room_everything_passes_in_order() {
        let mut intake = Intake::new(1);
        let events: Vec<Event> = (1..=5).map(|number| event(EventKind::Quote, 0, number)).collect();
        for event in &events {
            intake.push(*event, Stamp(0));
        }
        assert_eq!(drain(&mut intake), events);
    }

    #[test]
    fn a_late_consumer_gets_the_latest_quote_after_a_gap_that_counts_the_others() {
        let mut intake = Intake::new(2);
        intake.set_congested(true);
        for number in 1..=4 {
            intake.push(event(EventKind::Quote, 0, number), Stamp(number));
        }
        intake.push(event(EventKind::Trade, 0, 5), Stamp(5));
        intake.push(event(EventKind::Quote, 1, 6), Stamp(6));
        let got = drain(&mut intake);
        let kinds: Vec<EventKind> = got.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Gap, EventKind::Quote, EventKind::Trade, EventKind::Quote]);
        assert!(got[0].flags.contains(Flags::CONFLATED) && got[0].payload[0] == 3);
        assert_eq!((got[1].payload[0], got[3].payload[0]), (4, 6));
        assert_eq!(intake.counters(), IntakeCounters { conflated: 3, gaps: 1, most_waiting: 6 });
    }

    proptest! {
        /// Whatever comes, in whatever state: no trade is lost, the last quote of each instrument is the
        /// last that came, every quote that is missing is in the count of a gap, and the order is kept.
        #[test]
        fn nothing_is_lost_but_quotes_that_a_later_one_replaced(
            steps in proptest::collection::vec((0u8..10, 0u16..3), 1..4000),
        ) {
            let mut intake = Intake::new(3);
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            for (number, (what, instrument)) in steps.into_iter().enumerate() {
                match what {
                    0 => intake.set_congested(true),
                    1 => intake.set_congested(false),
                    2 => got.extend(intake.pop().map(|(event, _)| event)),
                    what => {
                        let kind = if what == 3 { EventKind::Trade } else { EventKind::Quote };
                        let event = event(kind, instrument, number as u64 + 1);
                        intake.push(event, Stamp(0));
                        sent.push(event);
                    }
                }
            }
            got.extend(drain(&mut intake));
            let of = |events: &[Event], kind| events.iter().filter(|e| e.kind == kind).copied().collect::<Vec<_>>();
            prop_assert_eq!(of(&got, EventKind::Trade), of(&sent, EventKind::Trade));
            for instrument in 0..3 {
                let last = |events: &[Event]| {
                    of(events, EventKind::Quote).into_iter().rfind(|e| e.instrument == InstrumentId(instrument))
                };
                prop_assert_eq!(last(&got), last(&sent));
            }
            let numbers: Vec<u64> = got.iter().filter(|e| e.kind != EventKind::Gap).map(|e| e.payload[0]).collect();
            prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "out of order");
            let replaced: u64 = of(&got, EventKind::Gap).iter().map(|gap| gap.payload[0]).sum();
            let missing = of(&sent, EventKind::Quote).len() - of(&got, EventKind::Quote).len();
            prop_assert_eq!(replaced, missing as u64);
        }

        #[test]
        fn a_storm_of_quotes_needs_no_more_room_than_a_few_sweeps(count in 5_000u64..20_000) {
            let mut intake = Intake::new(2);
            intake.set_congested(true);
            for number in 1..=count {
                intake.push(event(EventKind::Quote, (number % 2) as u16, number), Stamp(0));
            }
            prop_assert!(intake.counters().most_waiting <= 2 * SWEEP + 4);
            let got = drain(&mut intake);
            prop_assert_eq!(got.len(), 4);
        }
    }
}

//! The first stage: adapter events become clean events.
//!
//! Per instrument, event time is the venue's where its quotes carry one, else the receive time; the
//! first quote decides, for good. The event that leaves carries event time in `venue_ns`, never zero.
//! Duplicates and late updates are flagged, and so is a stamp too far ahead to be believed alone; crossed
//! and non-positive quotes are counted and go no further: a crossed book is an error of the feed, not free money.

pub mod bars;
mod stamps;

use serde::{Deserialize, Serialize};

use crate::core::fetch::fetch;
use crate::core::payload::{Quote, Trade};
use crate::core::{Event, EventKind, Flags, InstrumentId, Nanos, Payload, Span};

use stamps::{Stamps, Verdict};

/// How the feed treats what comes in.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedParams {
    /// The last good quote of a burst of this length wins; zero (the default) passes every quote.
    pub debounce: Span,
}

/// What the feed saw of one instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FeedCounters {
    /// Quotes received.
    pub quotes: u64,
    /// Trades received.
    pub trades: u64,
    /// Quotes with bid above ask: rejected.
    pub crossed: u64,
    /// Quotes with bid equal to ask: passed.
    pub locked: u64,
    /// Quotes or trades with a price of zero or below: rejected.
    pub not_positive: u64,
    /// Quotes equal to the one before in every field the venue sent: flagged.
    pub duplicate: u64,
    /// Events earlier than one before them, or stamped too far ahead to be believed: flagged.
    pub out_of_order: u64,
    /// Quotes that another one of the same burst took the place of, or that a gap made worthless.
    pub debounced: u64,
    /// Gaps announced by the adapter.
    pub gaps: u64,
}

/// Which of an event's two times is its event time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TimeBasis {
    /// No quote has come yet.
    Undecided,
    Venue,
    Local,
}

/// The feed's state of one instrument.
#[derive(Clone, Debug)]
struct Channel {
    counters: FeedCounters,
    basis: TimeBasis,
    /// Event times of quotes, and of trades: a venue orders each stream, not the two together.
    stamps: [Stamps; 2],
    /// The last quote whose time was believed, or late.
    last: Option<(Nanos, Quote)>,
    /// The last quote of a running burst, and when the burst ends.
    held: Option<(Event, Nanos)>,
}

/// Normalises market events of all instruments.
pub struct Feed {
    debounce: Span,
    channels: Vec<Channel>,
    next_due: Nanos,
}

impl Feed {
    /// A feed for this many instruments.
    pub fn new(params: &FeedParams, instruments: usize) -> Self {
        let channel = Channel {
            counters: FeedCounters::default(),
            basis: TimeBasis::Undecided,
            stamps: [Stamps::default(); 2],
            last: None,
            held: None,
        };
        Self { debounce: params.debounce, channels: vec![channel; instruments], next_due: Nanos::MAX }
    }

    /// Asks for the memory that the instrument's next event changes.
    pub fn fetch(&self, id: InstrumentId) {
        if let Some(channel) = self.channels.get(id.index()) {
            fetch(channel);
        }
    }

    /// The clean form of a quote, trade or gap; `None` for what is rejected, held back, of another
    /// kind, or of an instrument outside the table.
    #[inline]
    pub fn on_event(&mut self, event: &Event) -> Option<Event> {
        let channel = self.channels.get_mut(event.instrument.index())?;
        match event.kind {
            EventKind::Quote => {
                let clean = channel.on_quote(event)?;
                if self.debounce == Span::ZERO { Some(clean) } else { self.hold_back(clean) }
            }
            EventKind::Trade => channel.on_trade(event),
            EventKind::Gap => {
                channel.counters.gaps += 1;
                // A gap belongs to no stream: its time, often only a receive time, makes nothing late.
                let clean = Event { venue_ns: channel.event_time(event), ..*event };
                if !event.flags.contains(Flags::CONFLATED) && channel.begin_anew() {
                    self.refresh_due();
                }
                Some(clean)
            }
            _ => None,
        }
    }

    /// Of a burst, only the last good quote is passed on, when the burst's time has run out.
    fn hold_back(&mut self, clean: Event) -> Option<Event> {
        let channel = &mut self.channels[clean.instrument.index()];
        // The next stage passes over what is flagged: in the place of a good quote it would swallow that one.
        let flagged = clean.flags.0 & (Flags::OUT_OF_ORDER.0 | Flags::DUPLICATE.0) != 0;
        let ends = match channel.held {
            Some(_) if flagged => {
                channel.counters.debounced += 1;
                return None;
            }
            None if flagged => return Some(clean),
            Some((_, ends)) => {
                channel.counters.debounced += 1;
                ends
            }
            None => clean.local_ns.plus(self.debounce),
        };
        channel.held = Some((clean, ends));
        self.next_due = self.next_due.min(ends);
        None
    }

    /// A held-back quote whose burst ended at or before `now`; call until `None`.
    pub fn take_due(&mut self, now: Nanos) -> Option<Event> {
        let due = |channel: &&mut Channel| channel.held.is_some_and(|(_, ends)| ends <= now);
        let taken = self.channels.iter_mut().find(due).and_then(|channel| channel.held.take());
        self.refresh_due();
        taken.map(|(event, _)| event)
    }

    fn refresh_due(&mut self) {
        let ends = self.channels.iter().filter_map(|channel| channel.held.map(|(_, ends)| ends));
        self.next_due = ends.min().unwrap_or(Nanos::MAX);
    }

    /// When the next held-back quote is due; [`Nanos::MAX`] when none is held.
    #[inline]
    pub fn next_due(&self) -> Nanos {
        self.next_due
    }

    /// What was seen of an instrument.
    pub fn counters(&self, id: InstrumentId) -> Option<&FeedCounters> {
        self.channels.get(id.index()).map(|channel| &channel.counters)
    }
}

impl Channel {
    fn event_time(&self, event: &Event) -> Nanos {
        let time = match self.basis {
            TimeBasis::Local => event.local_ns,
            TimeBasis::Venue | TimeBasis::Undecided => event.event_ns(),
        };
        // Never zero downstream: an event without any time happens with the latest one.
        let [quotes, trades] = &self.stamps;
        if time == Nanos::NONE { quotes.latest().max(trades.latest()).max(Nanos(1)) } else { time }
    }

    /// The event with its event time, flagged when that is late or not believed.
    #[inline]
    fn stamped(&mut self, mut event: Event, time: Nanos) -> (Event, Verdict) {
        event.venue_ns = time;
        let verdict = self.stamps[usize::from(event.kind == EventKind::Trade)].judge(time, event.local_ns);
        if verdict == Verdict::Believed {
            return (event, verdict);
        }
        self.counters.out_of_order += 1;
        (event.flagged(Flags::OUT_OF_ORDER), verdict)
    }

    /// After a gap: the venue's time may have been set, and a quote of before is no beginning for what comes after.
    /// True when one was held back.
    fn begin_anew(&mut self) -> bool {
        self.stamps = [Stamps::default(); 2];
        self.last = None;
        let dropped = self.held.take().is_some();
        self.counters.debounced += u64::from(dropped);
        dropped
    }

    #[inline]
    fn on_quote(&mut self, event: &Event) -> Option<Event> {
        self.counters.quotes += 1;
        let quote = Quote::of(event);
        if !quote.bid.is_positive() || !quote.ask.is_positive() {
            self.counters.not_positive += 1;
            return None;
        }
        if self.basis == TimeBasis::Undecided {
            self.basis = if event.venue_ns == Nanos::NONE { TimeBasis::Local } else { TimeBasis::Venue };
            self.stamps = [Stamps::default(); 2];
        }
        let time = self.event_time(event);
        if quote.bid >= quote.ask {
            if quote.bid > quote.ask {
                self.counters.crossed += 1;
                return None;
            }
            self.counters.locked += 1;
        }
        let duplicate = self.last == Some((time, quote));
        let (clean, verdict) = self.stamped(*event, time);
        // What is not believed leaves no trace: the quote after it is judged as if it had never come.
        if verdict != Verdict::Doubted {
            self.last = Some((time, quote));
        }
        if duplicate {
            self.counters.duplicate += 1;
            return Some(clean.flagged(Flags::DUPLICATE));
        }
        Some(clean)
    }

    fn on_trade(&mut self, event: &Event) -> Option<Event> {
        self.counters.trades += 1;
        let trade = Trade::of(event);
        if !trade.price.is_positive() || !trade.qty.is_positive() {
            self.counters.not_positive += 1;
            return None;
        }
        let time = self.event_time(event);
        Some(self.stamped(*event, time).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Price, Qty};

    const ID: InstrumentId = InstrumentId(0);

    fn quote(venue: u64, local: u64, bid: i64, ask: i64) -> Event {
        let payload =
            Quote { bid: Price::from_units(bid), ask: Price::from_units(ask), bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
        payload.event(EventKind::Quote, ID, Nanos(venue), Nanos(local))
    }

    fn feed(debounce: u64) -> Feed {
        Feed::new(&FeedParams { debounce: Span(debounce) }, 1)
    }

    #[test]
    fn what_cannot_be_traded_on_is_counted_and_goes_no_further() {
        let mut feed = feed(0);
        assert!(feed.on_event(&quote(1, 1, 11, 10)).is_none());
        assert!(feed.on_event(&quote(2, 2, 0, 10)).is_none());
        assert!(feed.on_event(&quote(3, 3, -1, 10)).is_none());
        assert!(feed.on_event(&quote(4, 4, 10, 10)).is_some());
        let mut foreign = quote(5, 5, 10, 11);
        foreign.instrument = InstrumentId(9);
        assert!(feed.on_event(&foreign).is_none());
        let counters = feed.counters(ID).unwrap();
        assert_eq!((counters.crossed, counters.not_positive, counters.locked), (1, 2, 1));
    }

    #[test]
    fn duplicates_and_late_quotes_are_flagged() {
        let mut feed = feed(0);
        assert_eq!(feed.on_event(&quote(5, 5, 10, 11)).unwrap().flags, Flags::NONE);
        assert_eq!(feed.on_event(&quote(5, 6, 10, 11)).unwrap().flags, Flags::DUPLICATE);
        assert_eq!(feed.on_event(&quote(4, 7, 10, 11)).unwrap().flags, Flags::OUT_OF_ORDER);
        assert_eq!(feed.on_event(&quote(6, 8, 10, 11)).unwrap().flags, Flags::NONE);
    }

    #[test]
    fn quotes_without_venue_time_put_the_whole_instrument_on_receive_time() {
        let mut feed = feed(0);
        assert_eq!(feed.on_event(&quote(0, 100, 10, 11)).unwrap().venue_ns, Nanos(100));
        let trade = Trade { price: Price::from_units(10), qty: Qty::from_units(1), trade_id: 1 };
        let late = trade.event(EventKind::Trade, ID, Nanos(9_999), Nanos(101));
        assert_eq!(feed.on_event(&late).unwrap().venue_ns, Nanos(101));
    }

    #[test]
    fn a_trade_that_trails_the_quotes_is_not_late() {
        let mut feed = feed(0);
        feed.on_event(&quote(100, 100, 10, 11));
        let trade = Trade { price: Price::from_units(10), qty: Qty::from_units(1), trade_id: 1 };
        let at = |time| trade.event(EventKind::Trade, ID, Nanos(time), Nanos(101));
        assert_eq!(feed.on_event(&at(99)).unwrap().flags, Flags::NONE);
        assert_eq!(feed.on_event(&at(98)).unwrap().flags, Flags::OUT_OF_ORDER);
    }

    #[test]
    fn a_gap_that_only_has_a_receive_time_makes_no_quote_late() {
        let mut feed = feed(0);
        feed.on_event(&quote(100, 105, 10, 11));
        let gap = Event::new(EventKind::Gap, ID, Nanos::NONE, Nanos(120), [0; 4]);
        assert_eq!(feed.on_event(&gap).unwrap().venue_ns, Nanos(120));
        assert_eq!(feed.on_event(&quote(116, 121, 10, 12)).unwrap().flags, Flags::NONE);
    }

    #[test]
    fn the_last_quote_of_a_burst_wins() {
        let mut feed = feed(10);
        assert!(feed.on_event(&quote(100, 100, 10, 11)).is_none());
        assert!(feed.on_event(&quote(105, 105, 12, 13)).is_none());
        assert_eq!((feed.next_due(), feed.take_due(Nanos(109))), (Nanos(110), None));
        let winner = feed.take_due(Nanos(110)).unwrap();
        assert_eq!(Quote::of(&winner).bid, Price::from_units(12));
        assert_eq!((feed.next_due(), feed.counters(ID).unwrap().debounced), (Nanos::MAX, 1));
    }

    #[test]
    fn a_flagged_quote_does_not_take_the_place_of_the_one_held_back() {
        for (time, bid, ask) in [(100, 10, 11), (90, 9, 10), (90_000_000_000, 9, 10)] {
            let mut feed = feed(10);
            assert!(feed.on_event(&quote(100, 100, 10, 11)).is_none());
            assert!(feed.on_event(&quote(time, 101, bid, ask)).is_none());
            let winner = feed.take_due(Nanos(110)).unwrap();
            assert_eq!((winner.flags, Quote::of(&winner).bid), (Flags::NONE, Price::from_units(10)));
            assert_eq!(feed.counters(ID).unwrap().debounced, 1);
            // With nothing held back it is passed on, flagged.
            assert_ne!(feed.on_event(&quote(time, 111, bid, ask)).unwrap().flags, Flags::NONE);
            assert_eq!(feed.next_due(), Nanos::MAX);
        }
    }

    #[test]
    fn a_quote_held_back_does_not_come_out_after_a_gap() {
        let gap = |flags| Event::new(EventKind::Gap, ID, Nanos::NONE, Nanos(105), [0; 4]).flagged(flags);
        let mut feed = feed(10);
        feed.on_event(&quote(100, 100, 10, 11));
        assert!(feed.on_event(&gap(Flags::NONE)).is_some());
        assert_eq!((feed.next_due(), feed.take_due(Nanos(110))), (Nanos::MAX, None));
        assert_eq!(feed.counters(ID).unwrap().debounced, 1);
        // Where only quotes were replaced by later ones, nothing begins anew.
        feed.on_event(&quote(106, 106, 10, 11));
        assert!(feed.on_event(&gap(Flags::CONFLATED)).is_some());
        assert!(feed.take_due(Nanos(116)).is_some());
    }

    #[test]
    fn after_a_gap_time_may_be_earlier_and_the_same_quote_is_news() {
        let mut feed = feed(0);
        feed.on_event(&quote(100, 100, 10, 11));
        feed.on_event(&Event::new(EventKind::Gap, ID, Nanos::NONE, Nanos(105), [0; 4]));
        assert_eq!(feed.on_event(&quote(100, 106, 10, 11)).unwrap().flags, Flags::NONE);
        feed.on_event(&Event::new(EventKind::Gap, ID, Nanos::NONE, Nanos(107), [0; 4]));
        assert_eq!(feed.on_event(&quote(90, 108, 10, 11)).unwrap().flags, Flags::NONE);
    }

    #[test]
    fn a_quote_or_trade_stamped_far_ahead_makes_no_other_late() {
        const DAY: u64 = 86_400_000_000_000;
        let trade = Trade { price: Price::from_units(10), qty: Qty::from_units(1), trade_id: 1 };
        let trade = |venue, local| trade.event(EventKind::Trade, ID, Nanos(venue), Nanos(local));
        let mut feed = feed(0);
        assert_eq!(feed.on_event(&quote(100, 100, 10, 11)).unwrap().flags, Flags::NONE);
        assert_eq!(feed.on_event(&trade(100, 100)).unwrap().flags, Flags::NONE);
        assert_eq!(feed.on_event(&quote(DAY, 101, 10, 11)).unwrap().flags, Flags::OUT_OF_ORDER);
        assert_eq!(feed.on_event(&trade(DAY, 101)).unwrap().flags, Flags::OUT_OF_ORDER);
        assert_eq!(feed.on_event(&quote(102, 102, 10, 12)).unwrap().flags, Flags::NONE);
        assert_eq!(feed.on_event(&trade(102, 102)).unwrap().flags, Flags::NONE);
        assert_eq!(feed.counters(ID).unwrap().out_of_order, 2);
    }
}

//! What travels between the threads of one engine: an input, and what the stages so far made of it.
//!
//! | bytes | what | written |
//! |---|---|---|
//! | 0..64 | the input as it was told | always |
//! | 64..128 | stamps, event time, flags, z-score, contents | always |
//! | 128..192 | a quote that was held back and is released by this input | when there is one |
//! | 192..320 | a raw signal with its features, and the oracle's answer | when there is one |
//!
//! Two cache lines cross from core to core for an ordinary event; the others are not touched.
//!
//! One input gives one parcel, after one more for each held-back quote that it releases. The last
//! parcel of an input is marked; until it has come, nothing else may be told to the order manager.

use crate::core::payload::Decision;
use crate::core::{Event, EventKind, Flags, InstrumentId, Nanos, Side};
use crate::engine::clock::Stamp;
use crate::quant::{Features, MarketView, RawSignal};

/// Something for quant and the order manager is in the parcel.
const MARKET: u8 = 1;
/// It is the held-back quote, not the input itself.
const HELD: u8 = 2;
/// Quant raised a signal.
const SIGNAL: u8 = 4;
/// The oracle answered it.
const DECIDED: u8 = 8;
/// The last parcel of its input.
const LAST: u8 = 16;

/// The second line of a parcel.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Head {
    sent: Stamp,
    arrived: Stamp,
    venue_ns: Nanos,
    z_score: f64,
    flags: Flags,
    contents: u8,
}

/// The fourth and fifth line of a parcel.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Question {
    signal: RawSignal,
    decision: Decision,
}

/// One message from thread to thread.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Parcel {
    input: Event,
    head: Head,
    held: Event,
    question: Question,
}

const _: () = assert!(std::mem::size_of::<Parcel>() == 320);

impl Default for Parcel {
    fn default() -> Self {
        let nothing = Event::new(EventKind::Timer, InstrumentId(0), Nanos::NONE, Nanos::NONE, [0; 4]);
        let features = Features {
            log_return: f64::NAN,
            volatility: f64::NAN,
            z_score: f64::NAN,
            adx: f64::NAN,
            rsi: f64::NAN,
            time_sin: f64::NAN,
            volume_delta: f64::NAN,
        };
        let decision = Decision { probability: f32::NAN, margin: f32::NAN, threshold: f32::NAN, action: None };
        Self {
            input: nothing,
            head: Head {
                sent: Stamp(0),
                arrived: Stamp(0),
                venue_ns: Nanos::NONE,
                z_score: f64::NAN,
                flags: Flags::NONE,
                contents: 0,
            },
            held: nothing,
            question: Question { signal: RawSignal { side: Side::Buy, features }, decision },
        }
    }
}

impl Parcel {
    /// Fills it with an input, as the feed cleaned it; `None` when the feed kept it.
    #[inline]
    pub fn fill(&mut self, input: &Event, arrived: Stamp, clean: Option<&Event>) {
        self.input = *input;
        self.head.arrived = arrived;
        self.head.contents = LAST;
        if let Some(clean) = clean {
            self.head.contents |= MARKET;
            (self.head.venue_ns, self.head.flags) = (clean.venue_ns, clean.flags);
            debug_assert_eq!(self.clean(), Some(*clean), "the feed changes event time and flags only");
        }
    }

    /// Fills it with a held-back quote that the input releases; more follows.
    #[inline]
    pub fn hold(&mut self, input: &Event, arrived: Stamp, held: &Event) {
        self.input = *input;
        self.held = *held;
        self.head.arrived = arrived;
        self.head.contents = MARKET | HELD;
    }

    /// Copies into a slot of a ring what is in use.
    #[inline]
    pub fn copy_to(&self, slot: &mut Self) {
        slot.input = self.input;
        slot.head = self.head;
        if self.has(HELD) {
            slot.held = self.held;
        }
        if self.has(SIGNAL) {
            slot.question = self.question;
        }
    }

    #[inline]
    const fn has(&self, content: u8) -> bool {
        self.head.contents & content != 0
    }

    /// The input as it was told.
    #[inline]
    pub const fn input(&self) -> &Event {
        &self.input
    }

    /// When the input arrived.
    #[inline]
    pub const fn arrived(&self) -> Stamp {
        self.head.arrived
    }

    /// When the parcel was put into the ring it was taken from.
    #[inline]
    pub const fn sent(&self) -> Stamp {
        self.head.sent
    }

    /// Marks the instant at which it is put into a ring.
    #[inline]
    pub const fn set_sent(&mut self, now: Stamp) {
        self.head.sent = now;
    }

    /// True when nothing more of this input follows.
    #[inline]
    pub const fn is_last(&self) -> bool {
        self.has(LAST)
    }

    /// The clean event for quant and the order manager, if there is one.
    #[inline]
    pub const fn clean(&self) -> Option<Event> {
        if !self.has(MARKET) {
            return None;
        }
        if self.has(HELD) {
            return Some(self.held);
        }
        let mut clean = self.input;
        clean.venue_ns = self.head.venue_ns;
        clean.flags = self.head.flags;
        Some(clean)
    }

    /// What quant said.
    #[inline]
    pub fn set_view(&mut self, view: &MarketView) {
        self.head.z_score = view.z_score;
        if let Some(signal) = view.signal {
            self.question.signal = signal;
            self.head.contents |= SIGNAL;
        }
    }

    /// What quant said.
    #[inline]
    pub fn view(&self) -> MarketView {
        MarketView { z_score: self.head.z_score, signal: self.signal() }
    }

    /// The signal, if quant raised one.
    #[inline]
    pub fn signal(&self) -> Option<RawSignal> {
        self.has(SIGNAL).then_some(self.question.signal)
    }

    /// What the oracle said.
    #[inline]
    pub const fn set_decision(&mut self, decision: Decision) {
        self.question.decision = decision;
        self.head.contents |= DECIDED;
    }

    /// The signal with the oracle's answer, if it was asked.
    #[inline]
    pub fn decision(&self) -> Option<(RawSignal, Decision)> {
        self.has(DECIDED).then_some((self.question.signal, self.question.decision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::payload::Action;

    #[test]
    fn a_used_slot_shows_nothing_of_what_was_in_it_before() {
        let quote = Event::new(EventKind::Quote, InstrumentId(1), Nanos(5), Nanos(6), [1, 2, 3, 4]);
        let mut first = Parcel::default();
        first.hold(&quote, Stamp(1), &quote);
        let features = Features { z_score: 2.5, ..Parcel::default().question.signal.features };
        first.set_view(&MarketView { z_score: 2.5, signal: Some(RawSignal { side: Side::Sell, features }) });
        let decision = Decision { probability: 0.9, margin: 2.0, threshold: 0.8, action: Some(Action::ExecuteSell) };
        first.set_decision(decision);
        let mut slot = Parcel::default();
        first.copy_to(&mut slot);
        assert_eq!(slot.decision().map(|(signal, decision)| (signal.side, decision)), Some((Side::Sell, decision)));
        assert_eq!((slot.clean(), slot.is_last()), (Some(quote), false));
        let timer = Event::new(EventKind::Timer, InstrumentId(0), Nanos::NONE, Nanos(9), [0; 4]);
        first.fill(&timer, Stamp(2), None);
        first.copy_to(&mut slot);
        assert_eq!((slot.clean(), slot.signal(), slot.decision()), (None, None, None));
        assert!(slot.is_last() && *slot.input() == timer);
    }

    #[test]
    fn the_clean_event_is_the_input_with_event_time_and_flags() {
        let quote = Event::new(EventKind::Quote, InstrumentId(1), Nanos::NONE, Nanos(6), [1, 2, 3, 4]);
        let clean = Event { venue_ns: Nanos(6), ..quote }.flagged(Flags::DUPLICATE);
        let mut parcel = Parcel::default();
        parcel.fill(&quote, Stamp(0), Some(&clean));
        assert_eq!(parcel.clean(), Some(clean));
    }
}

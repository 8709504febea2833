//! What one input made the engine decide: a buffer of fixed capacity that numbers its events.
//!
//! Output records carry in `venue_ns` the sequence of the input that caused them, so that every
//! decision can be traced to its tick. The buffer never grows: its owner drains it after each input.

use crate::core::fetch::fetch_at;
use crate::core::{Event, EventKind, InstrumentId, Nanos, Payload, Side};

/// Most events that one input may cause. A bound on every instrument's deadlines at one instant
/// would be larger; the order manager stops handling deadlines when fewer than
/// [`Outbox::RESERVE`] places are left and goes on at the next input.
const CAPACITY: usize = 256;

/// Collects the output events of one input.
pub struct Outbox {
    events: Vec<Event>,
    sequence: u64,
    cause: u64,
    now: Nanos,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// Places that one instrument may need for one input.
    pub const RESERVE: usize = 24;

    /// An empty buffer; the first event will have sequence 1.
    pub fn new() -> Self {
        Self { events: Vec::with_capacity(CAPACITY), sequence: 0, cause: 0, now: Nanos::NONE }
    }

    /// Empties the buffer for the next input.
    #[inline]
    pub fn begin(&mut self, cause: &Event) {
        self.events.clear();
        self.cause = cause.sequence;
        self.now = cause.local_ns;
    }

    /// What was decided since [`Outbox::begin`].
    #[inline]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Asks for the memory that an order's events go to.
    #[inline]
    pub(crate) fn fetch(&self) {
        fetch_at(self.events.as_ptr().cast(), Self::RESERVE * size_of::<Event>());
    }

    /// True while one more instrument may safely be served.
    pub fn has_room(&self) -> bool {
        self.events.len() + Self::RESERVE <= CAPACITY
    }

    /// Adds a payload as the next output event.
    pub fn push(&mut self, kind: EventKind, instrument: InstrumentId, payload: &impl Payload) {
        self.push_event(payload.event(kind, instrument, Nanos(self.cause), self.now));
    }

    /// Adds a payload marked with a side.
    pub fn push_sided(&mut self, kind: EventKind, instrument: InstrumentId, side: Side, payload: &impl Payload) {
        self.push_event(payload.event(kind, instrument, Nanos(self.cause), self.now).flagged(side.flag()));
    }

    fn push_event(&mut self, mut event: Event) {
        assert!(self.events.len() < CAPACITY, "one input caused more than {CAPACITY} outputs");
        assert!(!event.kind.is_input(), "an input kind cannot be an output");
        self.sequence += 1;
        event.sequence = self.sequence;
        self.events.push(event);
    }
}

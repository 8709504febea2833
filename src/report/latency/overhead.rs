//! What measuring costs, measured on the machine that measures, before it starts.

use serde::{Deserialize, Serialize};

use super::recorder::Recorder;
use crate::core::{Event, EventKind, InstrumentId, Nanos};
use crate::engine::clock::StampClock;

/// Nanoseconds that measuring adds. The budget is 20 ns an event.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Overhead {
    /// One stamp.
    pub stamp_ns: f64,
    /// Recording one span.
    pub record_ns: f64,
    /// One event end to end: a stamp at its end, one span recorded, the books kept. By how much longer an
    /// event's storing takes with it than without: work of the engine's own kind, since nothing else
    /// overlaps with the waits of a loop that does nothing but measure. Its arrival costs nothing more:
    /// live it is dated by the clock that dates the event anyway.
    pub event_ns: f64,
    /// One more hop timed: an ordered stamp and one span recorded.
    pub hop_ns: f64,
}

/// Repetitions of one batch.
const BATCH: u32 = 4096;
/// Batches; the quickest counts, since everything that disturbs a batch only adds to it.
const BATCHES: usize = 25;

impl Overhead {
    /// Most that measuring may add to an event.
    pub const BUDGET_NS: f64 = 20.0;

    /// Measures; about 20 ms.
    pub fn measure(clock: StampClock) -> Self {
        let mut recorder = Recorder::local(clock);
        let stamp_ns = quickest(&clock, || {
            std::hint::black_box(clock.now());
        });
        let mut value = 20u64;
        let record_ns = quickest(&clock, || {
            value = (value + 37) & 1023;
            recorder.record(super::Hop::Feed, value);
        });
        let event_ns = event_ns(&clock);
        let mut recorder = Recorder::local(clock);
        let hop_ns = quickest(&clock, || recorder.mark(super::Hop::Feed));
        Self { stamp_ns, record_ns, event_ns, hop_ns }
    }

    /// What an event costs on average, when hops are timed on one event in `every`.
    pub fn per_event_ns(&self, every: u64, hops: u32) -> f64 {
        self.event_ns + self.hop_ns * f64::from(hops) / every.max(1) as f64
    }
}

/// What measuring adds to an event that is sealed and stored; both are timed in turn, the quickest of
/// each counts.
fn event_ns(clock: &StampClock) -> f64 {
    let mut recorder = Recorder::local(*clock);
    let mut stored = Stored::new();
    let mut pair = || {
        let bare = batch_ns(clock, || stored.store());
        let measured = batch_ns(clock, || {
            recorder.begin_next();
            stored.store();
            recorder.end(false);
        });
        (bare, measured)
    };
    let (bare, measured) = (0..BATCHES)
        .map(|_| pair())
        .fold((f64::INFINITY, f64::INFINITY), |best, pair| (best.0.min(pair.0), best.1.min(pair.1)));
    (measured - bare).max(0.0)
}

/// Events as a journal keeps them.
struct Stored {
    page: Vec<Event>,
    sequence: u64,
}

impl Stored {
    fn new() -> Self {
        let quote = Event::new(EventKind::Quote, InstrumentId(0), Nanos(1), Nanos(2), [100, 3, 101, 4]);
        Self { page: vec![quote; 512], sequence: 0 }
    }

    #[inline]
    fn store(&mut self) {
        self.sequence += 1;
        let place = &mut self.page[(self.sequence % 512) as usize];
        *place = std::hint::black_box(*place).sealed(self.sequence);
    }
}

/// Nanoseconds of one call, in the quickest batch.
fn quickest(clock: &StampClock, mut call: impl FnMut()) -> f64 {
    (0..BATCHES).map(|_| batch_ns(clock, &mut call)).fold(f64::INFINITY, f64::min)
}

/// Nanoseconds of one call in a batch of them.
fn batch_ns(clock: &StampClock, mut call: impl FnMut()) -> f64 {
    let before = clock.now_ordered();
    for _ in 0..BATCH {
        call();
    }
    clock.nanos(before, clock.now_ordered()) as f64 / f64::from(BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_positive_and_adds_up() {
        let overhead = Overhead::measure(StampClock::calibrate());
        assert!(overhead.stamp_ns > 0.0 && overhead.event_ns > 0.0 && overhead.hop_ns > 0.0, "{overhead:?}");
        assert!(overhead.per_event_ns(64, 6) < overhead.per_event_ns(1, 6));
    }
}

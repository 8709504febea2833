//! What measuring costs, measured on the machine that measures, before it starts.

use serde::{Deserialize, Serialize};

use super::recorder::Recorder;
use crate::engine::clock::StampClock;

/// Nanoseconds that measuring adds. The budget is 20 ns an event.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Overhead {
    /// One stamp.
    pub stamp_ns: f64,
    /// Recording one span.
    pub record_ns: f64,
    /// One event end to end: a stamp at its end, one span recorded, the books kept. The stamp of its
    /// arrival is one for all events of a read, and comes to `stamp_ns` more a read.
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

    /// Measures; about 10 ms.
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
        let mut recorder = Recorder::local(clock);
        let event_ns = quickest(&clock, || {
            recorder.begin_next();
            recorder.end(false);
        });
        let mut recorder = Recorder::local(clock);
        let hop_ns = quickest(&clock, || recorder.mark(super::Hop::Feed));
        Self { stamp_ns, record_ns, event_ns, hop_ns }
    }

    /// What an event costs on average, when hops are timed on one event in `every`.
    pub fn per_event_ns(&self, every: u64, hops: u32) -> f64 {
        self.event_ns + self.hop_ns * f64::from(hops) / every.max(1) as f64
    }
}

/// Nanoseconds of one call, in the quickest batch.
fn quickest(clock: &StampClock, mut call: impl FnMut()) -> f64 {
    let batch = (0..BATCHES).map(|_| {
        let before = clock.now_ordered();
        for _ in 0..BATCH {
            call();
        }
        clock.nanos(before, clock.now_ordered())
    });
    batch.min().unwrap_or(0) as f64 / f64::from(BATCH)
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

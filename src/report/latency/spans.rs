//! Spans measured where no recorder is at hand: at a socket, at shared memory. They wait here, in the
//! order in which they were measured, until the thread's recorder takes them over, once a round at least.

use super::hop::Hop;
use super::recorder::Recorder;
use crate::engine::clock::StampClock;

/// Spans that wait without memory being asked for; more are not kept.
const CAPACITY: usize = 1024;

/// Spans on their way to a recorder of the same thread.
pub struct Spans {
    clock: StampClock,
    overhead_ns: u64,
    waiting: Vec<(Hop, u64)>,
}

impl Spans {
    /// None yet; measured as the recorder measures.
    pub fn of(recorder: &Recorder) -> Self {
        let (clock, overhead_ns) = (*recorder.clock(), recorder.overhead_ns());
        Self { clock, overhead_ns, waiting: Vec::with_capacity(CAPACITY) }
    }

    /// The clock of the recorder's stamps.
    #[inline]
    pub fn clock(&self) -> &StampClock {
        &self.clock
    }

    /// A span that the caller measured, nanoseconds. Zero, which a clock of whole nanoseconds may show,
    /// counts as one.
    #[inline]
    pub fn add(&mut self, hop: Hop, nanos: u64) {
        // Spans beyond a round's worth would be of one burst: a thousand of them tell as much.
        if self.waiting.len() < CAPACITY {
            self.waiting.push((hop, nanos.max(1)));
        }
    }

    /// Does some work and measures it; the stamps' own cost is not counted.
    #[inline]
    pub fn time<T>(&mut self, hop: Hop, work: impl FnOnce() -> T) -> T {
        let before = self.clock.now_ordered();
        let done = work();
        let nanos = self.clock.nanos(before, self.clock.now_ordered());
        self.add(hop, nanos.saturating_sub(self.overhead_ns));
        done
    }

    /// Gives everything to the recorder.
    #[inline]
    pub fn hand_over(&mut self, recorder: &mut Recorder) {
        for (hop, nanos) in self.waiting.drain(..) {
            recorder.record(hop, nanos);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_handed_over_once_and_a_burst_is_bounded() {
        let mut recorder = Recorder::local(StampClock::monotonic());
        let mut spans = Spans::of(&recorder);
        assert_eq!(spans.time(Hop::Snapshot, || 7), 7);
        (0..5_000).for_each(|nanos| spans.add(Hop::Unread, nanos));
        spans.hand_over(&mut recorder);
        spans.hand_over(&mut recorder);
        let frame = recorder.into_last_frame();
        assert_eq!((frame.hop(Hop::Snapshot).len(), frame.hop(Hop::Unread).len()), (1, CAPACITY as u64 - 1));
        assert_eq!(frame.hop(Hop::Unread).min(), 1);
    }
}

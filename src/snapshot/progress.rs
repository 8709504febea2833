//! A hot thread's sign of life: a counter and the time of its last step, alone in a cache line of the
//! engine's page. Each thread steps its own from its own loop, never from a timer thread: a loop that
//! hangs must be seen to hang.
//!
//! The counter is stored last and released: whoever has seen a count sees the time of that step, or a later one.
//! `tests/snapshot_loom.rs` runs [`step`] on loom's memory, and again without the release.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::page::MappedPage;
use super::seqlock::Word;

/// One hot thread's sign of life.
#[derive(Debug)]
pub struct Progress {
    page: Arc<MappedPage>,
    at: usize,
}

impl Progress {
    /// The cell that begins at word `at`.
    pub(super) fn new(page: Arc<MappedPage>, at: usize) -> Self {
        Self { page, at }
    }

    /// The loop went round once more. Two plain stores; call it from the loop itself.
    #[inline]
    pub fn step(&mut self, monotonic_ns: u64) {
        let words = self.page.words();
        step(&words[self.at], &words[self.at + 1], monotonic_ns);
    }
}

/// Counts one step. There is one writer of a cell.
#[inline]
pub fn step<W: Word>(count: &W, time: &W, monotonic_ns: u64) {
    let steps = count.load(Ordering::Relaxed);
    time.store(monotonic_ns, Ordering::Relaxed);
    count.store(steps.wrapping_add(1), Ordering::Release);
}

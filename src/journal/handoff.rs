//! How the helper thread gives the hot thread its next segment, and learns how far it has got.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | `cursor` | hot thread, after each record | helper: what may be synced, which segment is left |
//! | `number`, `base` | helper, once the hot thread stands on segment `number - 1` | hot thread, at its end |
//!
//! The hot thread takes segment `n + 1` only when it has filled segment `n`, and never touches `n`
//! again. So the helper may unmap `n` once the cursor is past the first record of `n + 1`, and may
//! offer `n + 2` from then on. Neither side ever waits for the other.

use std::sync::atomic::Ordering;

use super::slot::Slot;
use super::sync::{AtomicPtr, AtomicU64};

/// Alone on its cache lines: one side writes it all the time.
#[repr(align(128))]
struct Padded<T>(T);

/// Shared by the two threads of one stream.
pub(super) struct Handoff {
    cursor: Padded<AtomicU64>,
    number: AtomicU64,
    base: AtomicPtr<Slot>,
}

impl Handoff {
    /// Nothing is offered; `cursor` records are in the stream.
    pub(super) fn new(cursor: u64) -> Self {
        Self {
            cursor: Padded(AtomicU64::new(cursor)),
            number: AtomicU64::new(0),
            base: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Hot thread: the record with this sequence is stored.
    #[inline]
    pub(super) fn advance(&self, sequence: u64) {
        self.cursor.0.store(sequence, Ordering::Release);
    }

    /// Sequence of the last record stored.
    #[inline]
    pub(super) fn cursor(&self) -> u64 {
        self.cursor.0.load(Ordering::Acquire)
    }

    /// Helper: segment `number` is ready, its first record goes to `base`.
    pub(super) fn offer(&self, number: u64, base: *mut Slot) {
        self.base.store(base, Ordering::Relaxed);
        self.number.store(number, Ordering::Release);
    }

    /// Hot thread: where segment `number` begins, if it is ready.
    pub(super) fn take(&self, number: u64) -> Option<*mut Slot> {
        (self.number.load(Ordering::Acquire) == number).then(|| self.base.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    /// One-record segments: the hot thread writes them in turn as they are offered; the helper frees
    /// each as soon as the cursor says so. Loom fails on any access of a freed segment.
    #[test]
    fn loom_no_segment_is_freed_while_the_hot_thread_may_touch_it() {
        const SEGMENTS: usize = 3;
        loom::model(|| {
            let handoff = Arc::new(Handoff::new(0));
            let segments: Arc<[UnsafeCell<u64>; SEGMENTS]> = Arc::new(std::array::from_fn(|_| UnsafeCell::new(0)));
            let (theirs, places) = (handoff.clone(), segments.clone());
            let helper = loom::thread::spawn(move || {
                // Segment 1 belongs to the hot thread from the start; the base stands for its address.
                for number in 2..=SEGMENTS as u64 {
                    places[number as usize - 1].with_mut(|place| unsafe { *place = 100 });
                    theirs.offer(number, std::ptr::without_provenance_mut(number as usize));
                    while theirs.cursor() < number {
                        loom::thread::yield_now();
                    }
                    // The cursor is past the first record of `number`: the one before is ours again.
                    places[number as usize - 2].with_mut(|place| unsafe { *place = u64::MAX });
                }
            });
            for number in 1..=SEGMENTS as u64 {
                if number > 1 {
                    let base = loop {
                        match handoff.take(number) {
                            Some(base) => break base,
                            None => loom::thread::yield_now(),
                        }
                    };
                    assert_eq!(base.addr() as u64, number);
                }
                segments[number as usize - 1].with_mut(|place| unsafe {
                    assert_ne!(*place, u64::MAX, "freed");
                    *place = number;
                });
                handoff.advance(number);
            }
            helper.join().unwrap();
        });
    }
}

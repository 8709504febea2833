//! One place for a record in shared memory: seven words, then the commit word.
//!
//! The sequence is the commit word: it is stored last, with release, so that whoever loads it with
//! acquire and finds it non-zero sees the other 56 bytes. A committed slot never changes again.
//! There is one writer. The protocol is checked by loom (`RUSTFLAGS="--cfg loom"`) and by Miri.

use std::sync::atomic::Ordering;

use super::sync::{AtomicU64, UnsafeCell};
use crate::core::fetch::fetch_at;

/// 64 bytes of a segment, as both sides see them. Words are little-endian in memory.
#[repr(C, align(64))]
pub(super) struct Slot {
    commit: AtomicU64,
    rest: UnsafeCell<[u64; 7]>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64 && align_of::<Slot>() == 64);

// SAFETY: `rest` is written only by the one writer before `commit` is stored with release, and
// read only after `commit` was loaded with acquire and found non-zero.
unsafe impl Sync for Slot {}

impl Slot {
    /// Stores a record: `words[0]`, its sequence, is above zero and is stored last.
    ///
    /// # Safety
    /// The caller is the only writer and the slot is empty.
    #[inline]
    pub(super) unsafe fn store(&self, words: [u64; 8]) {
        let [sequence, rest @ ..] = words.map(u64::to_le);
        // SAFETY: the slot is empty and this is its only writer, so nobody reads `rest` yet.
        self.rest.with_mut(|cell| unsafe { cell.write(rest) });
        self.commit.store(sequence, Ordering::Release);
    }

    /// The record's words, or `None` while nothing is committed here.
    #[inline]
    pub(super) fn load(&self) -> Option<[u64; 8]> {
        let sequence = self.commit.load(Ordering::Acquire);
        if sequence == 0 {
            return None;
        }
        // SAFETY: committed, so `rest` is complete and never written again.
        let rest = self.rest.with(|cell| unsafe { cell.read() });
        let [second, third, fourth, fifth, sixth, seventh, eighth] = rest;
        Some([sequence, second, third, fourth, fifth, sixth, seventh, eighth].map(u64::from_le))
    }

    /// Asks for the cache line of the slot that is `distance` slots on, if there is one: a hint that reads nothing.
    #[inline]
    pub(super) fn fetch_ahead(&self, distance: usize) {
        fetch_at(std::ptr::from_ref(self).wrapping_add(distance).cast(), 1);
    }

    /// True once a record is here.
    #[inline]
    pub(super) fn is_committed(&self) -> bool {
        self.commit.load(Ordering::Acquire) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Slot {
        Slot { commit: AtomicU64::new(0), rest: UnsafeCell::new([0; 7]) }
    }

    fn words(sequence: u64) -> [u64; 8] {
        std::array::from_fn(|word| if word == 0 { sequence } else { sequence * 10 + word as u64 })
    }

    /// Two records in order; the reader sees a prefix, and whole records only.
    #[cfg(loom)]
    #[test]
    fn loom_a_reader_sees_whole_records_in_order() {
        loom::model(|| {
            let slots = loom::sync::Arc::new([empty(), empty()]);
            let shared = slots.clone();
            let writer = loom::thread::spawn(move || {
                for (slot, sequence) in shared.iter().zip(1..) {
                    // SAFETY: the only writer, each slot once.
                    unsafe { slot.store(words(sequence)) };
                }
            });
            let second = slots[1].load();
            let first = slots[0].load();
            assert!(first.is_none_or(|found| found == words(1)));
            assert!(second.is_none_or(|found| found == words(2)));
            assert!(second.is_none() || first.is_some(), "a record before its predecessor");
            writer.join().unwrap();
        });
    }

    /// The same with real threads: what Miri checks for races.
    #[cfg(not(loom))]
    #[test]
    fn a_reader_beside_the_writer_sees_whole_records_in_order() {
        let slots: Vec<Slot> = (0..200).map(|_| empty()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for (slot, sequence) in slots.iter().zip(1..) {
                    // SAFETY: the only writer, each slot once.
                    unsafe { slot.store(words(sequence)) };
                }
            });
            for (slot, sequence) in slots.iter().zip(1..) {
                let found = loop {
                    match slot.load() {
                        Some(found) => break found,
                        None => std::thread::yield_now(),
                    }
                };
                assert!(found == words(sequence) && slot.is_committed());
            }
        });
    }
}

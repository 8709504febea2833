//! A sequence lock over words: one writer that never waits, readers that never see half a write.
//!
//! | step | writer | reader |
//! |---|---|---|
//! | 1 | sequence becomes odd, relaxed | load the sequence, acquire; odd means a write is going on: try again |
//! | 2 | release fence | load the words, relaxed |
//! | 3 | store the words, relaxed | acquire fence |
//! | 4 | sequence becomes even, release | load the sequence again: the same as in step 1, or try again |
//!
//! The words are atomics, so that a reader racing a writer reads some value and not undefined
//! behaviour. The functions are generic over the memory they work on: the program runs them on
//! `AtomicU64`, `tests/snapshot_loom.rs` runs the same lines on loom's atomics, and again with either
//! fence taken away to prove that the model would notice.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// A 64-bit word that two threads or processes share.
pub trait Word {
    /// Loads it.
    fn load(&self, ordering: Ordering) -> u64;
    /// Stores it.
    fn store(&self, value: u64, ordering: Ordering);
    /// A fence of the memory that this word lives in.
    fn fence(ordering: Ordering);
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, ordering: Ordering) -> u64 {
        Self::load(self, ordering)
    }

    #[inline]
    fn store(&self, value: u64, ordering: Ordering) {
        Self::store(self, value, ordering);
    }

    #[inline]
    fn fence(ordering: Ordering) {
        fence(ordering);
    }
}

/// No whole value was seen in the tries allowed: the writer is busy, or died in the middle of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// Stores what `fill` stores, as one change. There is one writer: the caller holds the page mutably.
#[inline]
pub fn write<W: Word>(sequence: &W, fill: impl FnOnce(u64)) {
    // A writer before us may have died in the middle of a write; its odd sequence is left behind.
    let now = sequence.load(Ordering::Relaxed) & !1;
    sequence.store(now.wrapping_add(1), Ordering::Relaxed);
    W::fence(Ordering::Release);
    let next = now.wrapping_add(2);
    fill(next);
    sequence.store(next, Ordering::Release);
}

/// Copies `words` into `out` as one whole, and returns the sequence it belongs to.
///
/// # Errors
/// [`Busy`] when `tries` attempts met a write.
#[inline]
pub fn read<W: Word>(sequence: &W, words: &[W], out: &mut [u64], tries: u32) -> Result<u64, Busy> {
    for _ in 0..tries {
        let before = sequence.load(Ordering::Acquire);
        if before & 1 == 1 {
            std::hint::spin_loop();
            continue;
        }
        for (value, word) in out.iter_mut().zip(words) {
            *value = word.load(Ordering::Relaxed);
        }
        W::fence(Ordering::Acquire);
        if sequence.load(Ordering::Relaxed) == before {
            return Ok(before);
        }
    }
    Err(Busy)
}

/// A sum over words that tells a page from noise, zeros and another page's words.
///
/// Each word is multiplied by an odd number of its own position, so that no single changed word and no
/// swap goes unnoticed, and the products do not depend on each other, so that it costs one multiply
/// a word. It guards against accidents, not against an attacker who can write the page.
#[derive(Clone, Copy, Debug)]
pub struct Checksum {
    sum: u64,
    factor: u64,
}

impl Checksum {
    /// Starts with a salt, so that equal words under another salt have another sum.
    #[inline]
    pub const fn new(salt: u64) -> Self {
        Self { sum: (salt ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xD6E8_FEB8_6659_FD93), factor: 0xFF51_AFD7_ED55_8CCD }
    }

    /// Adds the next word.
    #[inline]
    #[must_use]
    pub const fn with(self, word: u64) -> Self {
        let product = (word ^ 0xA076_1D64_78BD_642F).wrapping_mul(self.factor);
        // High bits of a product never reach its low ones: fold them in.
        Self {
            sum: self.sum.wrapping_add(product ^ (product >> 32)),
            factor: self.factor.wrapping_add(0x2545_F491_4F6C_DD1E),
        }
    }

    /// The sum; never 0, so that a zeroed page is never right.
    #[inline]
    pub const fn finish(self) -> u64 {
        self.sum | 1
    }

    /// The sum over a slice.
    pub fn of(salt: u64, words: &[u64]) -> u64 {
        words.iter().fold(Self::new(salt), |sum, word| sum.with(*word)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_writer_that_died_in_the_middle_leaves_busy_and_the_next_write_heals_it() {
        let (sequence, words) = (AtomicU64::new(7), [AtomicU64::new(1), AtomicU64::new(2)]);
        let mut out = [0; 2];
        assert_eq!(read(&sequence, &words, &mut out, 10), Err(Busy));
        write(&sequence, |_| words.iter().for_each(|word| word.store(5, Ordering::Relaxed)));
        assert_eq!(read(&sequence, &words, &mut out, 1), Ok(8));
        assert_eq!(out, [5, 5]);
    }

    proptest! {
        #[test]
        fn one_changed_word_or_two_swapped_ones_change_the_sum(
            mut words in prop::collection::vec(any::<u64>(), 2..64), at: prop::sample::Index, bits in 1u64.., salt: u64,
        ) {
            let whole = Checksum::of(salt, &words);
            let index = at.index(words.len() - 1);
            let mut swapped = words.clone();
            swapped.swap(index, index + 1);
            prop_assert!(swapped == words || Checksum::of(salt, &swapped) != whole);
            words[index] ^= bits;
            prop_assert_ne!(Checksum::of(salt, &words), whole);
        }
    }
}

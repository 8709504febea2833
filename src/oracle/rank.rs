//! How many of a feature's thresholds are not above a value: sixteen blocks of sixteen at a time.
//!
//! Thresholds stand in blocks of 16 (one 64-byte line), filled up with +inf; the last of each block
//! is its pivot, and pivots again stand in blocks of 16. Counting the pivots not above a value gives
//! its block. Each count is 16 comparisons without a branch. +inf counts the filling too, so a rank
//! is cut to the number of thresholds; NaN compares with nothing and has a rank of its own.

#![expect(clippy::inline_always, reason = "one body, compiled anew under each kernel's instructions")]

use crate::quant::Features;

const FEATURES: usize = Features::COUNT;
const BLOCK: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Block([f32; BLOCK]);

const FILLING: Block = Block([f32::INFINITY; BLOCK]);

/// One feature's levels: `top` counts `pivots`' blocks, `pivots` counts `thresholds`' blocks.
#[derive(Clone, Copy, Debug, Default)]
struct Levels {
    count: u32,
    /// First block of each level.
    top: u32,
    pivots: u32,
    thresholds: u32,
}

/// The sorted thresholds of all features.
#[derive(Clone, Debug)]
pub(super) struct Ranks {
    blocks: Vec<Block>,
    levels: [Levels; FEATURES],
    /// True when some feature has more thresholds than one block of pivots covers.
    tall: bool,
}

impl Ranks {
    /// Most thresholds of one feature.
    pub(super) const MAX: usize = BLOCK * BLOCK * BLOCK;

    /// From thresholds that rise strictly, at most [`Ranks::MAX`] of each feature.
    pub(super) fn new(thresholds: &[Vec<f32>; FEATURES]) -> Self {
        let mut ranks = Self { blocks: Vec::new(), levels: [Levels::default(); FEATURES], tall: false };
        ranks.tall = thresholds.iter().any(|own| own.len() > BLOCK * BLOCK);
        for (feature, own) in thresholds.iter().enumerate() {
            let last_of_each = |values: &[f32], size: usize| -> Vec<f32> {
                values.chunks_exact(size).map(|block| block[size - 1]).collect()
            };
            let (pivots, tops) = (last_of_each(own, BLOCK), last_of_each(own, BLOCK * BLOCK));
            ranks.levels[feature] = Levels {
                count: own.len() as u32,
                top: ranks.push(&tops),
                pivots: ranks.push(&pivots),
                thresholds: ranks.push(own),
            };
        }
        ranks
    }

    /// Appends the values' whole blocks and the one behind them, filled up; returns the first.
    fn push(&mut self, values: &[f32]) -> u32 {
        let first = self.blocks.len() as u32;
        for block in 0..=values.len() / BLOCK {
            let mut filled = FILLING;
            for (place, value) in filled.0.iter_mut().zip(values.iter().skip(block * BLOCK)) {
                *place = *value;
            }
            self.blocks.push(filled);
        }
        first
    }

    /// Goes down the levels; `count` says how many of a block are not above the value.
    #[inline(always)]
    fn descend(&self, feature: usize, value: f32, count: impl Fn(&Block, f32) -> usize) -> usize {
        let levels = &self.levels[feature];
        let (all, pivots) = (levels.count as usize, levels.count as usize / BLOCK);
        let below = |first: u32, block: usize| block * BLOCK + count(&self.blocks[first as usize + block], value);
        let upper = if self.tall { below(levels.top, 0).min(pivots / BLOCK) } else { 0 };
        let middle = below(levels.pivots, upper).min(pivots);
        let rank = below(levels.thresholds, middle).min(all);
        if value.is_nan() { all + 1 } else { rank }
    }

    /// Without any instruction beyond the target's baseline.
    #[inline(always)]
    pub(super) fn portable(&self, feature: usize, value: f32) -> usize {
        self.descend(feature, value, |block, value| {
            block.0.iter().map(|threshold| usize::from(*threshold <= value)).sum()
        })
    }

    /// With AVX2.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn avx2(&self, feature: usize, value: f32) -> usize {
        use std::arch::x86_64::{_CMP_LE_OQ, _mm256_cmp_ps, _mm256_load_ps, _mm256_movemask_ps, _mm256_set1_ps};
        let value8 = _mm256_set1_ps(value);
        self.descend(feature, value, |block, _| {
            // SAFETY: a block is 16 floats aligned to 64 bytes, read as two aligned halves of 8; AVX2 is enabled here.
            let (low, high) = unsafe {
                let at = block.0.as_ptr();
                (
                    _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(_mm256_load_ps(at), value8)),
                    _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(_mm256_load_ps(at.add(8)), value8)),
                )
            };
            // Each half by itself: joined, the compiler packs the lanes in five steps more.
            (low.count_ones() + high.count_ones()) as usize
        })
    }

    /// With AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f,popcnt")]
    pub(super) fn avx512(&self, feature: usize, value: f32) -> usize {
        use std::arch::x86_64::{_CMP_LE_OQ, _mm512_cmp_ps_mask, _mm512_load_ps, _mm512_set1_ps};
        let value16 = _mm512_set1_ps(value);
        self.descend(feature, value, |block, _| {
            // SAFETY: a block is 16 floats aligned to 64 bytes; AVX-512 F is enabled here.
            let not_above = unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(_mm512_load_ps(block.0.as_ptr()), value16) };
            not_above.count_ones() as usize
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranks_of(own: &[f32]) -> Ranks {
        let mut thresholds: [Vec<f32>; FEATURES] = Default::default();
        thresholds[3] = own.to_vec();
        thresholds[5] = vec![0.5];
        Ranks::new(&thresholds)
    }

    /// Compares every way of counting with a plain count, at each threshold and beside it.
    fn check(own: &[f32]) {
        let ranks = ranks_of(own);
        let neighbours = own.iter().flat_map(|t| [*t, t.next_up(), t.next_down()]);
        for value in neighbours.chain([f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN, f32::NAN]) {
            let expected = if value.is_nan() {
                own.len() + 1
            } else {
                own.iter().filter(|threshold| **threshold <= value).count()
            };
            assert_eq!(ranks.portable(3, value), expected, "{value} of {own:?}");
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
                    // SAFETY: the instructions were seen.
                    assert_eq!(unsafe { ranks.avx2(3, value) }, expected, "AVX2, {value} of {own:?}");
                }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("popcnt") {
                    // SAFETY: the instructions were seen.
                    assert_eq!(unsafe { ranks.avx512(3, value) }, expected, "AVX-512, {value} of {own:?}");
                }
            }
        }
    }

    #[test]
    fn a_rank_is_the_number_of_thresholds_not_above_at_every_size() {
        for size in [0, 1, 2, 15, 16, 17, 31, 32, 33, 240, 255, 256, 257, 271, 272, 273, 1_000, 4_079, 4_095, 4_096] {
            let own: Vec<f32> = (0..size).map(|at| (at as f32 - 100.0) * 0.37).collect();
            check(&own);
            let mut extreme = own.clone();
            if let Some(first) = extreme.first_mut() {
                *first = f32::NEG_INFINITY;
            }
            if size > 1 {
                extreme[size - 1] = f32::INFINITY;
            }
            check(&extreme);
        }
    }

    proptest! {
        #[test]
        fn a_rank_is_the_number_of_thresholds_not_above_for_any_bits(bits in prop::collection::vec(any::<u32>(), 0..600)) {
            let mut own: Vec<f32> = bits.into_iter().map(f32::from_bits).filter(|value| !value.is_nan()).collect();
            own.sort_by(f32::total_cmp);
            own.dedup_by(|next, kept| next == kept);
            check(&own);
        }
    }
}

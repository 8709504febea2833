//! Counts spans of time as HdrHistogram does, in the same buckets, and nothing else: what a hot thread
//! fills. The histogram is made of it on the cold thread, where the smallest, the largest and the sum
//! are found as well, which a histogram keeps up at every record (5 ns instead of 1).

use hdrhistogram::Histogram;

use super::recorder::{LONGEST_NS, histogram};

/// Two decimal digits need 256 buckets for the first 256 values, and 128 for each doubling after.
const HALF: u32 = 7;
/// Buckets up to a minute: 28 doublings after the first 256 values.
const BUCKETS: usize = (29 << HALF) + (1 << HALF);

const _: () = assert!(bucket_of(LONGEST_NS) < BUCKETS);

/// How often spans of each length came, in several rows that lie in one piece: a row of its own for each would be one
/// more place in memory to fetch before a span is counted.
#[derive(Clone)]
pub(super) struct Tallies {
    counts: Box<[u64]>,
}

/// The bucket of a value.
#[inline]
const fn bucket_of(value: u64) -> usize {
    let shift = (value | (1 << HALF)).ilog2() - HALF;
    ((shift as usize) << HALF) + (value >> shift) as usize
}

/// The smallest value of a bucket.
const fn value_of(bucket: usize) -> u64 {
    let shift = (bucket >> HALF).saturating_sub(1);
    ((bucket - (shift << HALF)) as u64) << shift
}

impl Tallies {
    /// So many rows of nothing.
    pub(super) fn new(rows: usize) -> Self {
        Self { counts: vec![0; rows * BUCKETS].into_boxed_slice() }
    }

    /// Counts a span in a row; one longer than a minute counts as a minute.
    #[inline]
    pub(super) fn count(&mut self, row: usize, nanos: u64) {
        self.counts[row * BUCKETS + bucket_of(if nanos < LONGEST_NS { nanos } else { LONGEST_NS })] += 1;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// The histogram of what was counted in a row.
    pub(super) fn histogram(&self, row: usize) -> Histogram<u64> {
        let mut sum = histogram();
        for (bucket, count) in
            self.counts[row * BUCKETS..][..BUCKETS].iter().enumerate().filter(|(_, count)| **count > 0)
        {
            sum.saturating_record_n(value_of(bucket), *count);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The oracle is the reference's own recording.
        #[test]
        fn a_tally_is_the_histogram_of_the_same_values(
            values in proptest::collection::vec(prop_oneof![1u64..300, 1u64..1_000_000, 1u64..90_000_000_000], 1..300),
        ) {
            let (mut tallies, mut reference) = (Tallies::new(3), histogram());
            for value in values {
                tallies.count(1, value);
                // Longer than a minute counts as a minute.
                reference.record(value.min(LONGEST_NS)).unwrap();
            }
            let ours = tallies.histogram(1);
            prop_assert_eq!(ours.len(), reference.len());
            prop_assert_eq!(ours.max(), reference.max());
            for quantile in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
                prop_assert_eq!(ours.value_at_quantile(quantile), reference.value_at_quantile(quantile));
            }
            prop_assert!(tallies.histogram(0).is_empty() && tallies.histogram(2).is_empty());
            tallies.clear();
            prop_assert!(tallies.histogram(1).is_empty());
        }

        #[test]
        fn a_bucket_begins_with_its_smallest_value(value in 0u64..LONGEST_NS) {
            let first = value_of(bucket_of(value));
            prop_assert!(first <= value && bucket_of(first) == bucket_of(value));
            prop_assert!(first == 0 || bucket_of(first - 1) < bucket_of(first));
        }
    }
}

//! How far the venue's clock is ahead of ours: the offset measured by the round trip that was the
//! shortest of the last few, because the shortest hides the least.

use crate::core::{Nanos, Span};

/// Samples remembered.
const SAMPLES: usize = 8;

/// Estimates the venue's clock.
#[derive(Clone, Debug, Default)]
pub struct VenueClock {
    samples: [Option<(Span, i64)>; SAMPLES],
    next: usize,
    /// The sample that rules: chosen when one comes, since every order asks for it.
    best: Option<(Span, i64)>,
}

impl VenueClock {
    /// One question sent at `sent` and answered at `received` with the venue's time `server`.
    pub fn sample(&mut self, sent: Nanos, received: Nanos, server: Nanos) {
        let round_trip = received.since(sent);
        let middle = sent.plus(Span(round_trip.0 / 2));
        let offset = i64::try_from(i128::from(server.0) - i128::from(middle.0)).unwrap_or(0);
        self.samples[self.next] = Some((round_trip, offset));
        self.next = (self.next + 1) % SAMPLES;
        self.best = self.samples.iter().flatten().min_by_key(|(round_trip, _)| *round_trip).copied();
    }

    /// Venue time minus ours, nanoseconds; zero before the first sample.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.best.map_or(0, |(_, offset)| offset)
    }

    /// The shortest round trip remembered: the offset is wrong by at most half of it.
    #[must_use]
    pub fn round_trip(&self) -> Option<Span> {
        self.best.map(|(round_trip, _)| round_trip)
    }

    /// What the venue's clock shows when ours shows `now`.
    #[must_use]
    #[inline]
    pub fn venue_time(&self, now: Nanos) -> Nanos {
        Nanos(now.0.saturating_add_signed(self.offset()))
    }

    /// What our clock shows when the venue's shows `venue`: the inverse of [`VenueClock::venue_time`].
    #[must_use]
    pub fn local_time(&self, venue: Nanos) -> Nanos {
        Nanos(venue.0.saturating_add_signed(self.offset().saturating_neg()))
    }

    /// The venue does not agree with the estimate, for instance because our own clock was set: the next sample decides
    /// alone. Until it comes the old estimate rules, which is nearer the truth than none.
    pub fn doubt(&mut self) {
        (self.samples, self.next) = ([None; SAMPLES], 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_decides_and_old_samples_leave() {
        let mut clock = VenueClock::default();
        assert_eq!(clock.venue_time(Nanos(5)), Nanos(5));
        // True offset 1000; the slow sample is wrong by 400.
        clock.sample(Nanos(10_000), Nanos(11_000), Nanos(11_900));
        clock.sample(Nanos(20_000), Nanos(20_100), Nanos(21_050));
        assert_eq!((clock.offset(), clock.round_trip()), (1000, Some(Span(100))));
        // Our clock drifts: the good old sample must not rule for ever.
        for n in 0..SAMPLES as u64 {
            clock.sample(Nanos(30_000 + n), Nanos(30_200 + n), Nanos(28_100 + n));
        }
        assert_eq!(clock.offset(), -2000);
        assert_eq!(clock.venue_time(Nanos(1_000)), Nanos(0));
    }

    #[test]
    fn a_doubted_estimate_rules_until_the_next_sample() {
        let mut clock = VenueClock::default();
        clock.sample(Nanos(10_000), Nanos(10_002), Nanos(7_001));
        assert_eq!((clock.offset(), clock.local_time(Nanos(7_000))), (-3_000, Nanos(10_000)));
        clock.doubt();
        assert_eq!(clock.offset(), -3_000);
        // Slower than the one before, and believed all the same.
        clock.sample(Nanos(20_000), Nanos(20_100), Nanos(20_060));
        assert_eq!(clock.offset(), 10);
    }
}

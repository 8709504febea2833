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

    /// Forgets everything: our own clock was set.
    pub fn forget(&mut self) {
        *self = Self::default();
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
}

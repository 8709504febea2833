//! How long to wait before the next attempt: doubling, capped, jittered so that many clients do not
//! come back at one instant.

use crate::core::{Nanos, Span};
use crate::venue::random::Random;

const FIRST: Span = Span::millis(250);
const LONGEST: Span = Span::seconds(30);
/// A connection that lasted this long was a good one: the next wait is the first again.
const GOOD_AFTER: Span = Span::seconds(10);

/// Waits between attempts.
#[derive(Clone, Debug)]
pub struct Backoff {
    random: Random,
    failures: u32,
    since: Nanos,
}

impl Backoff {
    /// No failure yet. One seed gives one sequence of waits.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), failures: 0, since: Nanos::MAX }
    }

    /// The connection stands since `now`.
    pub fn connected(&mut self, now: Nanos) {
        self.since = now;
    }

    /// The attempt failed or the connection was lost; when to try next.
    pub fn failed(&mut self, now: Nanos) -> Nanos {
        if now.since(self.since) >= GOOD_AFTER {
            self.failures = 0;
        }
        self.since = Nanos::MAX;
        let longest = FIRST.0.saturating_mul(1 << self.failures.min(10)).min(LONGEST.0);
        self.failures = self.failures.saturating_add(1);
        let wait = longest / 2 + self.random.below(longest / 2 + 1);
        now.plus(Span(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew_after_a_good_connection() {
        let mut backoff = Backoff::new(1);
        let waits: Vec<u64> = (0..12).map(|_| backoff.failed(Nanos(0)).0).collect();
        assert!(waits[0] >= FIRST.0 / 2 && waits[0] <= FIRST.0);
        assert!(waits.iter().all(|wait| *wait <= LONGEST.0) && waits[11] >= LONGEST.0 / 2);
        backoff.connected(Nanos(0));
        assert!(backoff.failed(Nanos(1)).0 >= LONGEST.0 / 2, "a connection of one nanosecond is not a good one");
        backoff.connected(Nanos(0));
        let now = Nanos(GOOD_AFTER.0);
        assert!(backoff.failed(now).since(now).0 <= FIRST.0);
    }
}

//! When a channel may be used: its rate, what it asked for, and the pause after a failure. Pure; time
//! is given, in nanoseconds of any clock that does not go back.

use crate::core::time::SECOND;
use crate::core::{Nanos, Span};

/// Longest pause after failures.
const LONGEST: u64 = 60 * SECOND;
/// Pause after the channel said that its credentials are wrong.
const CREDENTIALS: u64 = 900 * SECOND;
/// Longest pause that a server may ask for.
const ASKED: u64 = 3600 * SECOND;

/// One channel's pace.
pub(super) struct Pace {
    /// Time that one message costs.
    cost: u64,
    /// Messages that may go at once after a rest.
    burst: u64,
    /// When the messages sent so far are paid for (generic cell rate algorithm).
    paid: Nanos,
    not_before: Nanos,
    failures: u32,
}

impl Pace {
    /// So many messages a minute, so many of them at once.
    pub(super) const fn new(per_minute: u32, burst: u32) -> Self {
        let cost = 60 * SECOND / if per_minute == 0 { 1 } else { per_minute as u64 };
        Self { cost, burst: burst as u64, paid: Nanos::NONE, not_before: Nanos::NONE, failures: 0 }
    }

    /// When the next message may go.
    pub(super) fn ready_at(&self) -> Nanos {
        let credit = self.cost.saturating_mul(self.burst.saturating_sub(1));
        self.not_before.max(Nanos(self.paid.0.saturating_sub(credit)))
    }

    /// A message goes now.
    pub(super) fn on_send(&mut self, now: Nanos) {
        self.paid = self.paid.max(now).plus(Span(self.cost));
    }

    /// It arrived.
    pub(super) fn on_delivered(&mut self) {
        self.failures = 0;
        self.not_before = Nanos::NONE;
    }

    /// It failed; the pause doubles from one second to a minute. Returns it.
    pub(super) fn on_failure(&mut self, now: Nanos) -> Span {
        let pause = Span((SECOND << self.failures.min(6)).min(LONGEST));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus(pause);
        pause
    }

    /// The server asked for a pause: obeyed, up to an hour.
    pub(super) fn on_asked(&mut self, now: Nanos, pause: Span) -> Span {
        let pause = Span(pause.0.clamp(SECOND / 10, ASKED));
        self.not_before = now.plus(pause);
        pause
    }

    /// The credentials are wrong: tried again now and then, for they may be mended.
    pub(super) fn on_locked_out(&mut self, now: Nanos) -> Span {
        self.not_before = now.plus(Span(CREDENTIALS));
        Span(CREDENTIALS)
    }

    /// Failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_ever_holds_more_than_the_rate_and_the_burst() {
        let mut pace = Pace::new(20, 5);
        let mut sent = Vec::new();
        let mut now = Nanos(7 * SECOND);
        for _ in 0..200 {
            now = now.max(pace.ready_at());
            pace.on_send(now);
            sent.push(now.0);
        }
        assert_eq!(sent[4], sent[0], "a burst of five goes at once");
        assert_eq!(sent[5] - sent[4], 3 * SECOND, "then one each three seconds");
        for (index, start) in sent.iter().enumerate() {
            let within = sent[index..].iter().take_while(|at| **at < start + 60 * SECOND).count();
            assert!(within <= 25, "{within} in a minute");
        }
    }

    #[test]
    fn what_the_server_asks_for_is_obeyed_and_failures_wait_longer() {
        let mut pace = Pace::new(60, 1);
        let now = Nanos(100 * SECOND);
        pace.on_send(now);
        pace.on_asked(now, Span::seconds(7));
        assert_eq!(pace.ready_at(), now.plus(Span::seconds(7)));
        assert_eq!(pace.on_asked(now, Span(u64::MAX)), Span::seconds(3600));
        let pauses: Vec<u64> = (0..8).map(|_| pace.on_failure(now).0 / SECOND).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        pace.on_delivered();
        assert_eq!(pace.on_failure(now), Span::seconds(1), "a success forgives");
    }
}

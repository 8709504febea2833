//! The session's clock: UTC, and never backward. The wall clock is read once, at the first call; from
//! there on the monotonic clock counts, so that a step of the date is no step of the engine. How far
//! the two have come apart is what the guardian's clock condition looks at.

use std::sync::OnceLock;

use crate::core::Nanos;
use crate::engine::clock::{Stamp, StampClock, monotonic_ns};
use crate::venue::net::wall_clock;

/// Where the session's time begins: on CLOCK_MONOTONIC, and as a date.
static START: OnceLock<(u64, Nanos)> = OnceLock::new();

#[inline]
fn start() -> &'static (u64, Nanos) {
    START.get_or_init(|| (monotonic_ns(), wall_clock()))
}

/// Now.
#[inline]
pub fn session_clock() -> Nanos {
    let (began, date) = start();
    Nanos(date.0.saturating_add(monotonic_ns().saturating_sub(*began)))
}

/// An instant of the session on CLOCK_MONOTONIC, which pages in shared memory are dated by: no reading
/// of a clock.
#[inline]
pub(super) fn monotonic_at(at: Nanos) -> u64 {
    let (began, date) = start();
    began.saturating_add(at.0.saturating_sub(date.0))
}

/// How far the wall clock is ahead of the session's, nanoseconds.
pub fn wall_drift() -> i64 {
    let (wall, session) = (wall_clock(), session_clock());
    wall.0.wrapping_sub(session.0) as i64
}

/// Two clocks read at one instant: the session's, which stamps events, and the one of measurements. So an
/// instant known on the first is known on the second, and what is measured costs no reading of its own.
#[derive(Clone, Copy)]
pub(super) struct Meeting {
    time: Nanos,
    stamp: Stamp,
    looked: Nanos,
}

/// The clocks meet anew after this long, nanoseconds. The system slews its clock by 500 millionths at most,
/// the other one ticks on: in between they come apart by 50 ns.
const MEET_EVERY: u64 = 100_000;

impl Meeting {
    /// They meet now. The stamp is read first: a thread that loses its core between the two readings
    /// makes events look as if they had waited longer, and never shorter.
    #[inline]
    pub(super) fn now(clock: &StampClock) -> Self {
        let stamp = clock.now();
        let time = session_clock();
        Self { time, stamp, looked: time }
    }

    /// The session's time; once in a while the clocks meet anew for it.
    #[inline]
    pub(super) fn look(&mut self, clock: &StampClock) -> Nanos {
        self.looked = session_clock();
        if self.looked.since(self.time).0 >= MEET_EVERY {
            *self = Self::now(clock);
        }
        self.looked
    }

    /// The session's time at the last look.
    #[inline]
    pub(super) fn looked(&self) -> Nanos {
        self.looked
    }

    /// The stamp of an instant of the session.
    #[inline]
    pub(super) fn stamp(&self, at: Nanos, clock: &StampClock) -> Stamp {
        if at >= self.time {
            Stamp(self.stamp.0.saturating_add(clock.ticks(at.since(self.time).0)))
        } else {
            Stamp(self.stamp.0.saturating_sub(clock.ticks(self.time.since(at).0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_of_the_session_has_a_stamp_before_and_after_the_meeting() {
        let clock = StampClock::monotonic();
        let meeting = Meeting { time: Nanos(5_000), stamp: Stamp(100_000), looked: Nanos(5_000) };
        let span = |at| {
            let stamp = meeting.stamp(Nanos(at), &clock);
            (clock.nanos(meeting.stamp, stamp), clock.nanos(stamp, meeting.stamp))
        };
        assert_eq!((span(8_000), span(5_000), span(1_000)), ((3_000, 0), (0, 0), (0, 4_000)));
    }

    #[test]
    fn the_clocks_meet_anew_once_the_last_time_is_long_ago_and_not_before() {
        let clock = StampClock::calibrate();
        let mut meeting = Meeting::now(&clock);
        let first = meeting;
        let mut now = meeting.look(&clock);
        while now.since(first.time).0 < MEET_EVERY {
            assert_eq!((meeting.time, meeting.stamp), (first.time, first.stamp));
            now = meeting.look(&clock);
        }
        assert!(meeting.time == now && meeting.stamp > first.stamp, "{now:?}");
    }

    #[test]
    fn an_instant_of_the_session_is_the_same_one_on_the_monotonic_clock() {
        let (before, at, after) = (monotonic_ns(), session_clock(), monotonic_ns());
        assert!((before..=after).contains(&monotonic_at(at)), "{before} {at:?} {after}");
    }
}

//! The session's clock: UTC, and never backward. The wall clock is read once, at the first call; from
//! there on the monotonic clock counts, so that a step of the date is no step of the engine. How far
//! the two have come apart is what the guardian's clock condition looks at.

use std::sync::OnceLock;
use std::time::Instant;

use crate::core::Nanos;
use crate::engine::clock::{Stamp, StampClock};
use crate::venue::net::wall_clock;

static START: OnceLock<(Instant, Nanos)> = OnceLock::new();

/// Now.
#[inline]
pub fn session_clock() -> Nanos {
    let (began, wall) = START.get_or_init(|| (Instant::now(), wall_clock()));
    Nanos(wall.0.saturating_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)))
}

/// How far the wall clock is ahead of the session's, nanoseconds.
pub fn wall_drift() -> i64 {
    let (wall, session) = (wall_clock(), session_clock());
    wall.0.wrapping_sub(session.0) as i64
}

/// Two clocks read at one instant: the session's, which stamps events, and the one of measurements. So an
/// instant known on the first is known on the second.
#[derive(Clone, Copy)]
pub(super) struct Meeting {
    time: Nanos,
    stamp: Stamp,
}

impl Meeting {
    /// They meet now.
    #[inline]
    pub(super) fn now(clock: &StampClock) -> Self {
        Self { time: session_clock(), stamp: clock.now() }
    }

    /// When, on the session's clock.
    #[inline]
    pub(super) fn time(&self) -> Nanos {
        self.time
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
        let meeting = Meeting { time: Nanos(5_000), stamp: Stamp(100_000) };
        let span = |at| {
            let stamp = meeting.stamp(Nanos(at), &clock);
            (clock.nanos(meeting.stamp, stamp), clock.nanos(stamp, meeting.stamp))
        };
        assert_eq!((span(8_000), span(5_000), span(1_000)), ((3_000, 0), (0, 0), (0, 4_000)));
    }
}

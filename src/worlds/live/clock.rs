//! The session's clock: UTC, and never backward. The wall clock is read once, at the first call; from
//! there on the monotonic clock counts, so that a step of the date is no step of the engine. How far
//! the two have come apart is what the guardian's clock condition looks at.

use std::sync::OnceLock;
use std::time::Instant;

use crate::core::Nanos;
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

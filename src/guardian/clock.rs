//! Time, as the guardian's loop is given it. Tests give it another.

use std::time::Duration;

use crate::core::{Nanos, Span};
use crate::snapshot::monotonic_ns;

/// Two clocks and a pause.
pub trait Clock {
    /// The date: may be stepped by anybody.
    fn utc(&self) -> Nanos;
    /// CLOCK_MONOTONIC, nanoseconds: no one can.
    fn monotonic_ns(&self) -> u64;
    /// Waits.
    fn pause(&self, span: Span);
}

/// The system's.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn utc(&self) -> Nanos {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Nanos(since.map_or(0, |since| since.as_nanos() as u64))
    }

    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn pause(&self, span: Span) {
        std::thread::sleep(Duration::from_nanos(span.0));
    }
}

//! How a thread waits when there is nothing to do.
//!
//! | waiting | costs | an event that comes is seen after | for |
//! |---|---|---|---|
//! | `spin` | the whole core | 50 to 100 ns | an isolated core, one thread each |
//! | `yield` | what nobody else wants | about a microsecond, while the core is quiet | shared cores |
//! | `park` | nothing | 20 to 60 us | laptops, demos |
//!
//! A spinning thread that shares its core with another spinning thread waits for the scheduler
//! instead of for the event: milliseconds. `layout.rs` refuses that.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a loop waits when there is nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waiting {
    /// Never: the loop polls without end. For an isolated core.
    Spin,
    /// Gives the core to others between polls.
    Yield,
    /// Sleeps until a socket is readable, a timer is due or a ring has something.
    #[default]
    Park,
}

impl Waiting {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Park => "park",
        }
    }
}

/// Looks before the core is given up: an event often comes right after the last one.
const LOOKS: u32 = 64;
/// Looks that found nothing between two rehearsals: some tens of microseconds, a rehearsal takes one.
pub const REHEARSE_EVERY: u32 = 64;
/// Longest sleep: a wake-up that got lost costs no more than this, and the heartbeat must beat.
pub const LONGEST_NAP: Duration = Duration::from_millis(1);

/// Counts the looks of one thread that found nothing, and waits accordingly.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    waiting: Waiting,
    looks: u32,
    /// Looks that found nothing, ever.
    quiet: u32,
}

impl Idle {
    /// A thread that waits like this.
    pub const fn new(waiting: Waiting) -> Self {
        Self { waiting, looks: 0, quiet: 0 }
    }

    /// Something was found: the next look comes at once.
    #[inline]
    pub fn reset(&mut self) {
        self.looks = 0;
    }

    /// True at one look in [`REHEARSE_EVERY`] that found nothing, where the thread does not sleep: time to keep warm.
    #[inline]
    pub fn is_time_to_rehearse(&mut self) -> bool {
        self.quiet = self.quiet.wrapping_add(1);
        self.waiting != Waiting::Park && self.quiet.is_multiple_of(REHEARSE_EVERY)
    }

    /// Nothing was found. `sleep` is called, with the longest nap, when it is time to sleep.
    #[inline]
    pub fn wait(&mut self, sleep: impl FnOnce(Duration)) {
        self.looks = self.looks.saturating_add(1);
        match self.waiting {
            Waiting::Spin => std::hint::spin_loop(),
            _ if self.looks < LOOKS => std::hint::spin_loop(),
            Waiting::Yield => std::thread::yield_now(),
            Waiting::Park => sleep(LONGEST_NAP),
        }
    }
}

/// Wakes a thread that sleeps in [`std::thread::park_timeout`].
struct WakeThread(Thread);

impl Wake for WakeThread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker of the calling thread, for a consumer that sleeps by parking. A wake-up that comes before
/// the sleep makes the sleep return at once: none is lost.
pub fn waker_of_this_thread() -> Waker {
    Waker::from(Arc::new(WakeThread(std::thread::current())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_parked_thread_sleeps_and_only_after_some_looks() {
        for (waiting, sleeps) in [(Waiting::Spin, 0), (Waiting::Yield, 0), (Waiting::Park, 37)] {
            let (mut idle, mut slept) = (Idle::new(waiting), 0);
            (0..100).for_each(|_| idle.wait(|_| slept += 1));
            assert_eq!(slept, sleeps, "{}", waiting.name());
            idle.reset();
            idle.wait(|_| slept += 1);
            assert_eq!(slept, sleeps, "after something was found, no sleep");
        }
    }

    #[test]
    fn a_thread_that_sleeps_never_rehearses_and_one_that_does_not_at_one_quiet_look_in_so_many() {
        for (waiting, expected) in [(Waiting::Spin, 10), (Waiting::Yield, 10), (Waiting::Park, 0)] {
            let mut idle = Idle::new(waiting);
            let times = (0..10 * REHEARSE_EVERY).filter(|_| {
                // What comes in between does not put it off for ever.
                idle.reset();
                idle.is_time_to_rehearse()
            });
            assert_eq!(times.count(), expected, "{}", waiting.name());
        }
    }

    #[test]
    fn a_wake_up_before_the_sleep_is_not_lost() {
        waker_of_this_thread().wake();
        // Would sleep for an hour, and the test would not end, if the wake-up were lost.
        std::thread::park_timeout(Duration::from_secs(3600));
    }
}

//! How a thread with sockets sleeps: until one of them is readable, another thread wakes it, or the
//! time is up. Readiness only ends the sleep; the thread then looks at every socket.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};

use crate::engine::layout::Layout;

/// Readiness events taken at a time.
const READINESS: usize = 64;
/// Not the token of a socket.
const WOKEN: Token = Token(usize::MAX);

/// The sockets of one thread.
pub struct Poller {
    poll: Poll,
    events: Events,
}

impl Poller {
    /// Without sockets yet.
    ///
    /// # Errors
    /// The system gives none.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(READINESS) })
    }

    /// Where sockets are registered.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Sleeps until a socket is ready, at most this long.
    pub fn wait(&mut self, at_most: Duration) {
        // Interrupted or not: the thread looks at every socket anyway.
        let _ = self.poll.poll(&mut self.events, Some(at_most));
    }

    /// Ends the sleep from another thread; `None` when the system has no more of these. Once only.
    pub fn waker(&self) -> Option<Waker> {
        let waker = mio::Waker::new(self.registry(), WOKEN).ok()?;
        Some(Waker::from(Arc::new(WakePoll(waker))))
    }
}

struct WakePoll(mio::Waker);

impl Wake for WakePoll {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // One that fails costs the longest nap, a millisecond.
        let _ = self.0.wake();
    }
}

/// The pollers of a layout: one for everything on one thread, else one a side.
pub struct Pollers {
    pub(super) market: Option<Poller>,
    pub(super) orders: Poller,
}

impl Pollers {
    /// As many as the layout needs.
    ///
    /// # Errors
    /// The system gives none.
    pub fn of(layout: &Layout) -> std::io::Result<Self> {
        let market = if layout.groups.len() > 1 { Some(Poller::new()?) } else { None };
        Ok(Self { market, orders: Poller::new()? })
    }

    /// Where the market's sockets are registered.
    pub fn market_registry(&self) -> &Registry {
        self.market.as_ref().unwrap_or(&self.orders).registry()
    }

    /// Where the sockets of the order connection are registered.
    pub fn orders_registry(&self) -> &Registry {
        self.orders.registry()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_sleep_ends_it_at_once() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker().unwrap();
        // Held on to, as a ring does: one that is gone wakes nobody.
        let other = waker.clone();
        std::thread::spawn(move || other.wake()).join().unwrap();
        // An hour: without the wake-up the test would not end.
        poller.wait(Duration::from_secs(3600));
        drop(waker);
    }

    #[test]
    fn one_thread_has_one_poller_and_two_have_two() {
        let fused = Layout::fused(crate::engine::waiting::Waiting::Park);
        assert!(Pollers::of(&fused).unwrap().market.is_none());
        let mut split = fused.clone();
        split.groups.push(split.groups[0].clone());
        assert!(Pollers::of(&split).unwrap().market.is_some());
    }
}

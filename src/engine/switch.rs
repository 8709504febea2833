//! How the threads of one engine are told to end, and how they tell each other that one failed.
//!
//! | flag | set by | read by |
//! |---|---|---|
//! | stopping | anybody, any number of times | every thread, once a round |
//! | failed, reason | the thread that failed first | every thread, once a round |
//! | closed | the order manager's thread, when the journal is closed | a panicking thread that waits for it |
//!
//! A flag only ever goes up. The reason is there before `failed` is: whoever sees the flag can say why.
//! Whoever sees `closed` sees everything that was done before. `tests/engine_loom.rs` runs these lines on
//! loom's memory, and again with weaker flags, to prove that the model would notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A flag that goes up once: the processor's, or a model's.
pub trait Flag: Default {
    /// Goes up; what was done before is seen by whoever sees it up.
    fn raise(&self);
    /// True when it is up.
    fn is_up(&self) -> bool;
}

impl Flag for AtomicBool {
    #[inline]
    fn raise(&self) {
        self.store(true, Ordering::Release);
    }

    #[inline]
    fn is_up(&self) -> bool {
        self.load(Ordering::Acquire)
    }
}

/// How the threads are told to end, and how they tell each other.
#[derive(Default)]
pub struct Switch<F: Flag = AtomicBool> {
    stopping: F,
    failed: F,
    /// The order side is closed.
    closed: F,
    reason: Mutex<Option<String>>,
}

impl<F: Flag> Switch<F> {
    /// Ends the engine in good order; may be called from anywhere, as often as one likes.
    pub fn stop(&self) {
        self.stopping.raise();
    }

    /// True when it was told to end.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_up()
    }

    /// Ends the engine for a reason; the first one counts.
    pub fn fail(&self, reason: &str) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.to_owned());
        self.failed.raise();
    }

    /// True when a thread failed.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed.is_up()
    }

    /// The order side is closed: the journal is whole.
    pub fn close(&self) {
        self.closed.raise();
    }

    /// True when the order side is closed.
    pub fn is_closed(&self) -> bool {
        self.closed.is_up()
    }

    /// Why.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

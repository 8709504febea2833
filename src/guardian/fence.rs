//! The fence: from here on the engine sends nothing, and that is certain.
//!
//! It is asked by the kill word and has a moment to confirm; then it is killed through its pidfd, which
//! reaches that process and no other. A stopped process would send its stale orders when it is
//! continued: it cannot confirm, so it is killed. A process that never confirms because there is none
//! is a fence as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::core::Span;

use super::eye::Eye;

/// How the engine came to be silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fenced {
    /// It confirmed the kill word.
    Confirmed,
    /// It was killed.
    Killed,
    /// There was no engine.
    NoEngine,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Asked { since_ns: u64, latch: u64 },
    Killing,
    Closed,
}

/// The fence.
#[derive(Debug)]
pub(super) struct Fence {
    timeout: Span,
    state: State,
    closed: Arc<AtomicBool>,
    engine: u64,
}

impl Fence {
    /// An open fence. `closed` tells the liquidation.
    pub(super) fn new(timeout: Span, closed: Arc<AtomicBool>) -> Self {
        Self { timeout, state: State::Open, closed, engine: 0 }
    }

    /// The kill word is set: wait for the answer, or do not.
    pub(super) fn begin(&mut self, latch: u64, by_force: bool, eye: &Eye, now: u64) {
        let asked_already = matches!(self.state, State::Asked { .. } | State::Closed) && !by_force;
        if asked_already || self.state == State::Killing {
            return;
        }
        if let (true, Some(handle)) = (by_force, eye.handle()) {
            self.closed.store(false, Ordering::Release);
            // A refusal shows as a process that does not end; the next round tries again.
            let _ = handle.kill();
            self.state = State::Killing;
        } else if self.state != State::Closed {
            self.state = State::Asked { since_ns: now, latch };
        }
    }

    /// Looks whether it is closed by now; says how, once.
    pub(super) fn poll(&mut self, eye: &Eye, now: u64) -> Option<Fenced> {
        let how = match self.state {
            // Another engine than the fenced one: it has no business here.
            State::Closed if eye.handle().is_some() && eye.number() != self.engine => {
                self.begin(1, true, eye, now);
                return None;
            }
            State::Open | State::Closed => return None,
            State::Asked { .. } if eye.handle().is_none() => Fenced::NoEngine,
            State::Asked { latch, .. } if eye.view().is_some_and(|view| view.kill_acknowledged == latch) => {
                Fenced::Confirmed
            }
            State::Asked { since_ns, latch } => {
                if now.saturating_sub(since_ns) >= self.timeout.0 {
                    self.begin(latch, true, eye, now);
                }
                return None;
            }
            // Reaped or not, an engine that the eye no longer holds has ended.
            State::Killing if eye.handle().is_none() => Fenced::Killed,
            State::Killing => {
                if let Some(handle) = eye.handle() {
                    let _ = handle.kill();
                }
                return None;
            }
        };
        self.state = State::Closed;
        self.engine = eye.number();
        self.closed.store(true, Ordering::Release);
        Some(how)
    }

    /// True while it is being closed: it is looked at more often then.
    pub(super) const fn is_closing(&self) -> bool {
        matches!(self.state, State::Asked { .. } | State::Killing)
    }

    /// Opens it again, when a person has cleared the latch.
    pub(super) fn open(&mut self) {
        self.state = State::Open;
        self.closed.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::InstrumentTable;
    use crate::snapshot::ProcessIdentity;

    const ASKED: u64 = 5_000_000_000;

    /// A process that never answers a kill word, and an eye on it.
    fn deaf() -> (std::process::Child, Eye) {
        let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let start_ticks = fields.split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
        let identity = ProcessIdentity { pid: child.id(), start_ticks, ..ProcessIdentity::current().unwrap() };
        let folder = tempfile::tempdir().unwrap();
        let eye = Eye::new(folder.path(), &InstrumentTable::new([]).unwrap(), Some(identity));
        assert!(eye.handle().is_some());
        (child, eye)
    }

    #[test]
    fn an_engine_that_does_not_answer_has_200_ms_and_is_killed_then() {
        let (mut child, mut eye) = deaf();
        let closed = Arc::new(AtomicBool::new(false));
        let timeout = crate::guardian::GuardianParams::default().liquidation.fence_timeout;
        assert_eq!(timeout, Span::millis(200));
        let mut fence = Fence::new(timeout, Arc::clone(&closed));
        fence.begin(1, false, &eye, ASKED);
        assert_eq!(fence.poll(&eye, ASKED + timeout.0 - 1), None);
        assert!(fence.is_closing() && eye.handle().is_some_and(|handle| !handle.has_ended_within(Span::ZERO)));
        assert_eq!(fence.poll(&eye, ASKED + timeout.0), None, "the order is given, the end not yet seen");
        assert!(eye.handle().is_some_and(|handle| handle.has_ended_within(Span::seconds(10))));
        assert!(!closed.load(Ordering::Acquire), "nothing is closed before its end is seen");
        eye.look(ASKED + timeout.0);
        assert_eq!(fence.poll(&eye, ASKED + timeout.0 + 1), Some(Fenced::Killed));
        assert!(closed.load(Ordering::Acquire));
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn by_force_there_is_no_waiting() {
        let (mut child, eye) = deaf();
        let mut fence = Fence::new(Span::seconds(3600), Arc::new(AtomicBool::new(false)));
        fence.begin(1, true, &eye, ASKED);
        assert!(eye.handle().is_some_and(|handle| handle.has_ended_within(Span::seconds(10))));
        assert!(!child.wait().unwrap().success());
    }
}

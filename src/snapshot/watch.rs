//! How the engine listens to the guardian: a few words for the order manager, now and then.
//!
//! The trading loop calls [`GuardianWatch::poll`] in each round (it looks at the page at most every
//! [`LOOK_EVERY`]) and gives what it returns to the engine as control events, so that replays see the
//! guardian exactly as the session did. Before each send the loop asks [`GuardianWatch::kill`], one load.

use std::path::{Path, PathBuf};

use crate::core::Span;
use crate::core::payload::ControlCode;

use super::guardian_page::{GuardianPage, GuardianView, Level};

/// The page is looked at this often.
const LOOK_EVERY: Span = Span::millis(1);
/// A living guardian is reported to the order manager this often.
const REPORT_EVERY: Span = Span::millis(100);
/// A silent page is attached anew this often: a restarted guardian makes a new one.
const ATTACH_EVERY: Span = Span::millis(100);

/// What the engine knows of the guardian.
#[derive(Debug)]
pub struct GuardianWatch {
    directory: PathBuf,
    page: Option<GuardianPage>,
    last: Option<GuardianView>,
    looked_ns: u64,
    moved_ns: u64,
    attached_ns: u64,
    reported_ns: u64,
    stopped_by_us: bool,
    latched: bool,
}

impl GuardianWatch {
    /// A watch on the page in this folder, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            page: None,
            last: None,
            looked_ns: 0,
            moved_ns: 0,
            attached_ns: 0,
            reported_ns: 0,
            stopped_by_us: false,
            latched: false,
        }
    }

    /// The kill word: not 0 means that nothing may be sent any more, not even an exit; answer with
    /// [`super::EnginePage::acknowledge_kill`].
    #[inline]
    pub fn kill(&self) -> u64 {
        self.page.as_ref().map_or(0, GuardianPage::kill)
    }

    /// The last whole view, for display.
    pub fn last(&self) -> Option<&GuardianView> {
        self.last.as_ref()
    }

    /// Looks at the page when it is time to, and returns at most one word for the order manager.
    ///
    /// A silent guardian is told by saying nothing: the order manager counts the time since the last
    /// [`ControlCode::GuardianAlive`].
    #[inline]
    pub fn poll(&mut self, monotonic_ns: u64) -> Option<ControlCode> {
        if monotonic_ns.wrapping_sub(self.looked_ns) < LOOK_EVERY.0 {
            return None;
        }
        self.looked_ns = monotonic_ns;
        self.look(monotonic_ns)
    }

    fn look(&mut self, now: u64) -> Option<ControlCode> {
        let view = self.page.as_ref().and_then(|page| page.view().ok());
        let beat = view.is_some_and(|view| self.last.is_none_or(|last| view.heartbeat != last.heartbeat));
        if !beat {
            self.attach_when_silent(now);
            return None;
        }
        self.last = view;
        self.moved_ns = now;
        let view = view?;
        if (view.latch != 0 || view.level.latches()) && !self.latched {
            self.latched = true;
            return Some(ControlCode::GuardianLatched);
        }
        let allowed = view.level == Level::Active && view.entries_allowed;
        if allowed == self.stopped_by_us {
            self.stopped_by_us = !allowed;
            return Some(if allowed { ControlCode::AllowEntries } else { ControlCode::StopEntries });
        }
        if now.wrapping_sub(self.reported_ns) < REPORT_EVERY.0 {
            return None;
        }
        self.reported_ns = now;
        Some(ControlCode::GuardianAlive)
    }

    #[cold]
    fn attach_when_silent(&mut self, now: u64) {
        let silent = now.wrapping_sub(self.moved_ns) >= ATTACH_EVERY.0;
        if !silent || now.wrapping_sub(self.attached_ns) < ATTACH_EVERY.0 {
            return;
        }
        self.attached_ns = now;
        // A kill word that was seen stays: a page that carries one is never exchanged for another.
        if self.kill() == 0
            && let Ok(page) = GuardianPage::attach(&self.directory)
            && self.page.as_ref().is_none_or(|old| old.owner() != page.owner())
        {
            self.page = Some(page);
            self.last = None;
        }
    }
}

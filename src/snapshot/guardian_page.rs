//! The guardian's page: its sign of life, its level, its latch and its kill word, for the engine.
//!
//! The engine maps it: [`GuardianPage::kill`] is one load, fit to be asked before every send. Should
//! somebody shorten the file under the mapping, the engine dies of SIGBUS, and the guardian does what
//! it does about dead engines.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::core::Money;

use super::page::{HEADER_WORDS, MappedPage, MappedView, PageError, PageKind, PageOwner, PagePlan, READ_TRIES};
use super::seqlock::{self, Checksum};

const LINE: usize = 8;
const KILL_AT: usize = HEADER_WORDS;
const SEQUENCE_AT: usize = KILL_AT + LINE;
const CHECKSUM_AT: usize = SEQUENCE_AT + 1;
const BODY_AT: usize = CHECKSUM_AT + 1;
const BODY_WORDS: usize = 14;
const PAGE_WORDS: usize = BODY_AT + BODY_WORDS;

/// Name of the page in its folder.
const FILE: &str = "guardian.page";

/// How much the guardian still allows. Upward by itself, downward only by a person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Everything.
    Active = 1,
    /// No entries; the engine closes what it holds when its rules say so.
    ReduceOnly = 2,
    /// No entries, resting entries are cancelled. Latches.
    Halt = 3,
    /// Everything is cancelled and closed. Latches.
    Flatten = 4,
}

impl Level {
    /// Every level, lowest first.
    pub const ALL: [Self; 4] = [Self::Active, Self::ReduceOnly, Self::Halt, Self::Flatten];

    /// The level with this number, or `None` for one this version does not know.
    pub const fn from_word(word: u64) -> Option<Self> {
        match word {
            1 => Some(Self::Active),
            2 => Some(Self::ReduceOnly),
            3 => Some(Self::Halt),
            4 => Some(Self::Flatten),
            _ => None,
        }
    }

    /// As in the event file and the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::ReduceOnly => "REDUCE_ONLY",
            Self::Halt => "HALT",
            Self::Flatten => "FLATTEN",
        }
    }

    /// True for the levels that only a person can leave, over restarts and reboots.
    pub const fn latches(self) -> bool {
        matches!(self, Self::Halt | Self::Flatten)
    }
}

/// What the guardian says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuardianView {
    /// Grows with each round of the guardian's loop: its sign of life.
    pub heartbeat: u64,
    /// CLOCK_MONOTONIC of that round, nanoseconds.
    pub heartbeat_ns: u64,
    /// How much is allowed.
    pub level: Level,
    /// True when entries are allowed: the level is ACTIVE, the day's reference is on disk and the
    /// guardian's own session with the venue answers.
    pub entries_allowed: bool,
    /// The number of the latch; 0 = not latched.
    pub latch: u64,
    /// The number of the condition that raised the level last ([`crate::guardian::Condition`]); 0 = none.
    pub reason: u64,
    /// Equity as the venue says it; zero before the first answer.
    pub venue_equity: Money,
    /// The day's reference; zero before there is one.
    pub day_reference: Money,
    /// The highest equity seen.
    pub peak_equity: Money,
}

impl Default for GuardianView {
    /// A guardian that has just started: nothing is allowed yet.
    fn default() -> Self {
        Self {
            heartbeat: 0,
            heartbeat_ns: 0,
            level: Level::Active,
            entries_allowed: false,
            latch: 0,
            reason: 0,
            venue_equity: Money::ZERO,
            day_reference: Money::ZERO,
            peak_equity: Money::ZERO,
        }
    }
}

impl GuardianView {
    const fn words(&self) -> [u64; BODY_WORDS] {
        [
            self.heartbeat,
            self.heartbeat_ns,
            self.level as u64,
            self.entries_allowed as u64,
            self.latch,
            self.reason,
            self.venue_equity.units() as u64,
            self.day_reference.units() as u64,
            self.peak_equity.units() as u64,
            0,
            0,
            0,
            0,
            0,
        ]
    }

    fn from_words(words: &[u64; BODY_WORDS]) -> Option<Self> {
        let money = |at: usize| Money::from_units(words[at] as i64);
        Some(Self {
            heartbeat: words[0],
            heartbeat_ns: words[1],
            level: Level::from_word(words[2])?,
            entries_allowed: words[3] == 1,
            latch: words[4],
            reason: words[5],
            venue_equity: money(6),
            day_reference: money(7),
            peak_equity: money(8),
        })
    }
}

/// The guardian's end.
#[derive(Debug)]
pub struct GuardianPageWriter {
    page: MappedPage,
}

impl GuardianPageWriter {
    /// Makes the page, replacing an earlier guardian's. Nothing is allowed until the first
    /// [`GuardianPageWriter::publish`].
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn create(directory: &Path) -> Result<Self, PageError> {
        let plan =
            PagePlan { kind: PageKind::Guardian, words: PAGE_WORDS, session: 0, rows: 0, threads: 0, names: &[] };
        let mut writer = Self { page: MappedPage::create(directory, FILE, &plan)? };
        writer.publish(&GuardianView::default());
        Ok(writer)
    }

    /// Stores what the engine is to know, as one change.
    pub fn publish(&mut self, view: &GuardianView) {
        let words = self.page.words();
        seqlock::write(&words[SEQUENCE_AT], |sequence| {
            let body = view.words();
            for (word, value) in words[BODY_AT..].iter().zip(body) {
                word.store(value, Ordering::Relaxed);
            }
            words[CHECKSUM_AT].store(Checksum::of(sequence, &body), Ordering::Relaxed);
        });
    }

    /// Tells the engine to send nothing any more. There is no way to take it back: a new engine
    /// starts with a new guardian page, and only after the latch was cleared.
    pub fn kill(&mut self, latch: u64) {
        self.page.words()[KILL_AT].store(latch.max(1), Ordering::Release);
    }
}

/// The engine's end, mapped.
#[derive(Debug)]
pub struct GuardianPage {
    view: MappedView,
}

impl GuardianPage {
    /// Maps the page in a folder, once it is checked.
    ///
    /// # Errors
    /// What is wrong with it: [`PageError`]. To the engine each means that there is no guardian.
    pub fn attach(directory: &Path) -> Result<Self, PageError> {
        Ok(Self { view: MappedView::attach(&directory.join(FILE), PageKind::Guardian, PAGE_WORDS)? })
    }

    /// The guardian's process.
    pub fn owner(&self) -> &PageOwner {
        &self.view.owner
    }

    /// The kill word: 0, or the number of the latch. One load; not 0 means: send nothing any more.
    #[inline]
    pub fn kill(&self) -> u64 {
        self.view.words()[KILL_AT].load(Ordering::Acquire)
    }

    /// One whole view, in nanoseconds; bounded.
    ///
    /// # Errors
    /// The guardian died in the middle of a write, or the page was overwritten.
    pub fn view(&self) -> Result<GuardianView, PageError> {
        let words = self.view.words();
        // Checksum and body are one block: both belong to the same write.
        let mut copy = [0; BODY_WORDS + 1];
        let sequence = seqlock::read(&words[SEQUENCE_AT], &words[CHECKSUM_AT..], &mut copy, READ_TRIES)
            .map_err(|_| PageError::Busy(self.view.path.clone()))?;
        let body: &[u64; BODY_WORDS] = copy[1..].try_into().map_err(|_| self.damaged())?;
        if Checksum::of(sequence, body) != copy[0] {
            return Err(self.damaged());
        }
        GuardianView::from_words(body).ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> PageError {
        PageError::Damaged(self.view.path.clone())
    }
}

//! One alert, before it is put into a channel's words.

use serde::{Deserialize, Serialize};

pub(super) use crate::config::Severity;
use crate::core::Nanos;

/// How an alert feels: chooses the mark in front of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mood {
    /// Neither good nor bad.
    #[default]
    Plain,
    /// A profit; a danger that is over.
    Good,
    /// A loss.
    Bad,
}

/// One thing that a person should know. Stored in the queue as JSON.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Alert {
    /// Names this occurrence for ever: the same occurrence read twice has the same id.
    pub(super) id: String,
    /// What repetitions of one complaint share; empty when each occurrence is news.
    pub(super) group: String,
    /// How grave.
    pub(super) severity: Severity,
    /// How it feels.
    pub(super) mood: Mood,
    /// When it happened, UTC nanoseconds.
    pub(super) at_ns: u64,
    /// What happened, in one line.
    pub(super) title: String,
    /// The numbers, a line each.
    pub(super) facts: Vec<String>,
    /// What the system is doing about it; may be empty.
    pub(super) doing: String,
    /// What the person must do; may be empty.
    pub(super) todo: String,
}

impl Alert {
    /// An alert with a title; the rest is set by name.
    pub(super) fn new(id: String, severity: Severity, at: Nanos, title: String) -> Self {
        Self { id, severity, at_ns: at.0, title, ..Self::default() }
    }

    /// When it happened.
    pub(super) fn at(&self) -> Nanos {
        Nanos(self.at_ns)
    }
}

impl Severity {
    /// The word printed.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

//! What can be wrong with a journal, in words for the person whose journal it is.

use std::io;
use std::path::{Path, PathBuf};

use crate::core::EventError;

/// A journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("journal: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder already holds a session.
    #[error("journal: expected a new folder, found a session in {}; choose another folder", .0.display())]
    Exists(PathBuf),
    /// Another process writes this session.
    #[error("journal: {} is being written by another process; a session has one writer", .0.display())]
    Locked(PathBuf),
    /// The folder holds no session.
    #[error("journal: expected a session folder with session.toml, found none in {}", .0.display())]
    NotASession(PathBuf),
    /// `session.toml` cannot be understood.
    #[error("journal: {}: {message}", path.display())]
    Description {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Not a segment, or not the one its name says.
    #[error("journal: {}: expected {expected}, found {found}", path.display())]
    Segment {
        /// Which file.
        path: PathBuf,
        /// What the format asks for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A record that is not what was written.
    #[error("journal: {} record {record} (byte {offset}): {source}; records before it are good", path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// Number of the record in the file, from 1.
        record: u64,
        /// Its offset.
        offset: u64,
        /// What is wrong with it.
        source: EventError,
    },
    /// An intact record out of its turn.
    #[error("journal: {} record {record}: expected sequence {expected}, found {found}; records before it are good", path.display())]
    Sequence {
        /// Which file.
        path: PathBuf,
        /// Number of the record in the file, from 1.
        record: u64,
        /// The next sequence.
        expected: u64,
        /// The stored one.
        found: u64,
    },
}

impl JournalError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

//! What can be wrong with a journal, in words for the person whose journal it is.

use std::io;
use std::path::{Path, PathBuf};

use super::{StreamName, Trouble};
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
    /// There is no place for a record: the next segment cannot be had. Nothing was stored, nothing is
    /// lost of what was; a later call may succeed.
    #[error("journal: {} record not stored: {trouble}", stream.name())]
    NotStored {
        /// Which stream.
        stream: StreamName,
        /// What is wrong with the disk.
        trouble: Trouble,
    },
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
    /// Records behind a slot that was never written: a power failure, or a damaged file.
    #[error("journal: {} record {record}: expected the end of the stream or a record, found an empty slot with records behind it (first: {stray}); records before it are good, `pawl journal verify` lists the others", path.display())]
    Hole {
        /// Which file.
        path: PathBuf,
        /// Number of the empty record in the file, from 1.
        record: u64,
        /// Number of the first record behind it.
        stray: u64,
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
    /// What is wrong with the disk, when the disk it is.
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Io { source, .. } => Trouble::of(source),
            _ => Trouble::System(0),
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

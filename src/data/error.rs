//! What can be wrong with a market-data file, said so that a trader can act on it.
//!
//! Every variant names the file; a bad line also its number, what was expected and what was found.

use std::path::{Path, PathBuf};

/// Why a file, or one of its lines, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The file cannot be opened or read.
    #[error("{}: cannot read: {reason}; check the path and its permissions", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system or the decompressor said.
        reason: String,
    },
    /// The compressed stream ends before its end mark.
    #[error("{}: truncated: the compressed data ends too early, after line {line}; fetch the file again", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// Complete lines before the end.
        line: u64,
    },
    /// The compressed stream contradicts itself or its checksum.
    #[error("{}: damaged: {reason}, after line {line}; fetch the file again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Complete lines before the damage was found.
        line: u64,
        /// What the decompressor said.
        reason: String,
    },
    /// The file as a whole cannot be read as market data.
    #[error("{}: expected {expected}, found {found}; {remedy}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// One line is bad.
    #[error(
        "{}:{line}: expected {expected}, found {found:?}; correct the line or pass --on-bad-line skip",
        file.display()
    )]
    Line {
        /// The file.
        file: PathBuf,
        /// 1-based number of the line (of the record in a bi5 file).
        line: u64,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
}

impl DataError {
    /// A fault of a whole file.
    pub(super) fn file(
        file: &Path,
        expected: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::File { file: file.to_owned(), expected: expected.into(), found: found.into(), remedy: remedy.into() }
    }
}

/// What is wrong with a line, before its file and number are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) expected: String,
    pub(super) found: String,
}

impl BadLine {
    pub(super) fn new(expected: impl Into<String>, found: &[u8]) -> Self {
        let text: String = String::from_utf8_lossy(found).chars().take(80).collect();
        Self { expected: expected.into(), found: text }
    }
}

//! The reader: checks every record, follows the segments, works while the writer still writes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;

use super::segment::{self, HEADER};
use super::{FORMAT_VERSION, JournalError, SESSION_FILE, SessionInfo, StreamName};
use crate::core::{EVENT_BYTES, Event, EventError};

/// Opens a session.
#[derive(Debug)]
pub struct SessionReader {
    directory: PathBuf,
    info: SessionInfo,
}

impl SessionReader {
    /// Reads the description of the session in a folder.
    ///
    /// # Errors
    /// There is none, or it is of another version.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(SESSION_FILE);
        if !path.is_file() {
            return Err(JournalError::NotASession(directory.to_owned()));
        }
        let text = std::fs::read_to_string(&path).map_err(JournalError::io("read", &path))?;
        let info: SessionInfo = toml::from_str(&text)
            .map_err(|error| JournalError::Description { path: path.clone(), message: error.message().to_owned() })?;
        if info.version != FORMAT_VERSION {
            let message =
                format!("expected format version {FORMAT_VERSION}, found {}; use the pawl that wrote it", info.version);
            return Err(JournalError::Description { path, message });
        }
        Ok(Self { directory: directory.to_owned(), info })
    }

    /// What the session ran with.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// A stream from its first record.
    ///
    /// # Errors
    /// Its first segment is missing or damaged.
    pub fn stream(&self, stream: StreamName) -> Result<StreamReader, JournalError> {
        let Some((map, path)) = segment::open(&self.directory, stream, 1, 1)? else {
            let path = segment::path(&self.directory, stream, 1);
            return Err(JournalError::Segment { path, expected: "a segment".into(), found: "no file".into() });
        };
        let total = self.stream_bytes(stream);
        let directory = self.directory.clone();
        Ok(StreamReader { directory, stream, number: 1, map, path, next: 0, sequence: 0, total, failed: false })
    }

    fn stream_bytes(&self, stream: StreamName) -> u64 {
        let lengths = (1..).map_while(|number| {
            let path = segment::path(&self.directory, stream, number);
            std::fs::metadata(path).ok().map(|metadata| metadata.len().saturating_sub(HEADER as u64))
        });
        lengths.sum()
    }
}

/// Reads one stream from its first record to its last.
#[derive(Debug)]
pub struct StreamReader {
    directory: PathBuf,
    stream: StreamName,
    number: u64,
    map: Mmap,
    path: PathBuf,
    /// Next record in the present segment.
    next: usize,
    sequence: u64,
    total: u64,
    failed: bool,
}

impl StreamReader {
    /// The next record; `None` at the end of what is written so far (a later call may find more).
    /// After an error, always `None`.
    #[inline]
    pub fn next_event(&mut self) -> Option<Result<Event, JournalError>> {
        loop {
            if self.failed {
                return None;
            }
            let start = HEADER + self.next * EVENT_BYTES;
            if let Some(record) = self.map.get(start..start + EVENT_BYTES) {
                return self.read(record.as_ptr(), start as u64);
            }
            match self.next_segment() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }

    #[inline]
    fn read(&mut self, record: *const u8, offset: u64) -> Option<Result<Event, JournalError>> {
        // SAFETY: `record` points at 64 mapped bytes, 64-byte aligned (see the writer). The commit
        // word is loaded atomically; once it is non-zero the writer never changes the record again.
        #[expect(clippy::cast_ptr_alignment, reason = "records are 64-byte aligned")]
        let commit = unsafe { &*record.cast::<AtomicU64>() };
        if commit.load(Ordering::Acquire) == 0 && self.is_empty_slot(offset) {
            return None;
        }
        // SAFETY: as above; 64 bytes are mapped and no longer written.
        let bytes = unsafe { &*record.cast::<[u8; EVENT_BYTES]>() };
        match Event::from_bytes(bytes) {
            Ok(event) if event.sequence == self.sequence + 1 => {
                self.next += 1;
                self.sequence += 1;
                Some(Ok(event))
            }
            other => Some(Err(self.damage(other, offset))),
        }
    }

    /// A sequence of zero with other bytes behind it may be a record under way: ask the next slot.
    #[cold]
    fn is_empty_slot(&self, offset: u64) -> bool {
        let after = offset as usize + EVENT_BYTES;
        let follower = self.map.get(after..after + 8);
        follower.is_none_or(|word| word.iter().all(|byte| *byte == 0))
    }

    #[cold]
    fn damage(&mut self, found: Result<Event, EventError>, offset: u64) -> JournalError {
        self.failed = true;
        let (path, record) = (self.path.clone(), self.next as u64 + 1);
        match found {
            Ok(event) => JournalError::Sequence { path, record, expected: self.sequence + 1, found: event.sequence },
            Err(source) => JournalError::Record { path, record, offset, source },
        }
    }

    #[cold]
    fn next_segment(&mut self) -> Result<bool, JournalError> {
        let next = segment::open(&self.directory, self.stream, self.number + 1, self.sequence + 1)?;
        let Some((map, path)) = next else {
            let after = segment::path(&self.directory, self.stream, self.number + 2);
            if after.exists() {
                let path = segment::path(&self.directory, self.stream, self.number + 1);
                return Err(JournalError::Segment { path, expected: "a segment".into(), found: "no file".into() });
            }
            return Ok(false);
        };
        (self.map, self.path, self.number, self.next) = (map, path, self.number + 1, 0);
        Ok(true)
    }

    /// Bytes read and bytes there are.
    pub fn progress(&self) -> (u64, u64) {
        (self.sequence * EVENT_BYTES as u64, self.total)
    }
}

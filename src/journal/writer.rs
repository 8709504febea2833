//! The writer: a 64-byte copy and one release store an event.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapMut;

use super::segment::{self, HEADER};
use super::{JournalError, LOCK_FILE, SESSION_FILE, SessionInfo, StreamName};
use crate::core::{EVENT_BYTES, Event};

/// How a session is written.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Records in a segment.
    pub segment_records: usize,
}

impl Default for WriterOptions {
    /// 2^18 records: 16 MiB a segment.
    fn default() -> Self {
        Self { segment_records: 1 << 18 }
    }
}

/// Writes one session; holds its lock until it is dropped.
pub struct SessionWriter {
    /// What the engine is told.
    pub input: StreamWriter,
    /// What it decides.
    pub output: StreamWriter,
    _lock: File,
}

impl SessionWriter {
    /// Starts a session in a folder that holds none yet.
    ///
    /// # Errors
    /// The folder holds a session, another writer has it, or the system refuses.
    pub fn create(directory: &Path, info: &SessionInfo, options: &WriterOptions) -> Result<Self, JournalError> {
        std::fs::create_dir_all(directory).map_err(JournalError::io("create", directory))?;
        let lock_path = directory.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(JournalError::io("open", &lock_path))?;
        // SAFETY: the descriptor is open and outlives the call; flock touches no memory.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(JournalError::Locked(directory.to_owned()));
        }
        let description = directory.join(SESSION_FILE);
        if description.exists() {
            return Err(JournalError::Exists(directory.to_owned()));
        }
        let text = toml::to_string(info)
            .map_err(|error| JournalError::Description { path: description.clone(), message: error.to_string() })?;
        let input = StreamWriter::create(directory, StreamName::Input, options)?;
        let output = StreamWriter::create(directory, StreamName::Output, options)?;
        std::fs::write(&description, text).map_err(JournalError::io("write", &description))?;
        Ok(Self { input, output, _lock: lock })
    }

    /// Cuts the last segments to what was written.
    ///
    /// # Errors
    /// The system refuses.
    pub fn close(self) -> Result<(), JournalError> {
        self.input.close()?;
        self.output.close()
    }
}

/// Appends to one stream.
pub struct StreamWriter {
    directory: PathBuf,
    stream: StreamName,
    segment_records: usize,
    number: u64,
    file: File,
    map: MmapMut,
    path: PathBuf,
    /// Records in the present segment.
    used: usize,
    sequence: u64,
}

impl StreamWriter {
    fn create(directory: &Path, stream: StreamName, options: &WriterOptions) -> Result<Self, JournalError> {
        let segment_records = options.segment_records.max(1);
        let (file, map, path) = segment::create(directory, stream, 1, 1, segment_records)?;
        let directory = directory.to_owned();
        Ok(Self { directory, stream, segment_records, number: 1, file, map, path, used: 0, sequence: 0 })
    }

    /// Records appended so far.
    pub fn written(&self) -> u64 {
        self.sequence
    }

    /// Stores an event as the next record and returns its sequence. When it returns, the record
    /// survives the death of the process.
    ///
    /// # Errors
    /// The next segment cannot be created; nothing was stored.
    #[inline]
    pub fn append(&mut self, event: &Event) -> Result<u64, JournalError> {
        if self.used == self.segment_records {
            self.roll_over()?;
        }
        let sequence = self.sequence + 1;
        let bytes = event.sealed(sequence).to_bytes();
        let start = HEADER + self.used * EVENT_BYTES;
        let record = &mut self.map[start..start + EVENT_BYTES];
        record[8..].copy_from_slice(&bytes[8..]);
        // The sequence is the commit word: stored last, so that a reader that sees it sees the rest.
        // SAFETY: `record` is 64 bytes, its start is 64-byte aligned (the map is page-aligned, header
        // and records are multiples of 64), and this writer is the only one; readers load atomically.
        #[expect(clippy::cast_ptr_alignment, reason = "records are 64-byte aligned")]
        let commit = unsafe { AtomicU64::from_ptr(record.as_mut_ptr().cast::<u64>()) };
        commit.store(sequence.to_le(), Ordering::Release);
        self.used += 1;
        self.sequence = sequence;
        Ok(sequence)
    }

    #[cold]
    fn roll_over(&mut self) -> Result<(), JournalError> {
        let number = self.number + 1;
        let (file, map, path) =
            segment::create(&self.directory, self.stream, number, self.sequence + 1, self.segment_records)?;
        (self.file, self.map, self.path, self.number, self.used) = (file, map, path, number, 0);
        Ok(())
    }

    fn close(self) -> Result<(), JournalError> {
        let Self { map, file, path, used, .. } = self;
        // Unmap before the file gets shorter than the mapping.
        drop(map);
        file.set_len((HEADER + used * EVENT_BYTES) as u64).map_err(JournalError::io("shorten", &path))
    }
}

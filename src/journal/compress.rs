//! Closed segments, compressed in place: every reader reads them as they are.

use std::path::Path;

use super::segment::{self, HEADER};
use super::{JournalError, SessionReader, StreamName, writer};

/// What a compression did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// Segments compressed now.
    pub segments: u64,
    /// Their bytes before.
    pub before: u64,
    /// And after.
    pub after: u64,
    /// Segments left as they are: still written to, or compressed before.
    pub left: u64,
}

/// Compresses every closed segment with zstd. The last segment of a stream that a process writes is
/// left. A segment is removed only after its compressed file was read back and found equal.
///
/// # Errors
/// A file cannot be read or written, or a segment is damaged: it is left as it is.
pub fn compress_session(session: &SessionReader, level: i32) -> Result<Compression, JournalError> {
    let mut done = Compression::default();
    let being_written = session.is_being_written();
    for stream in StreamName::ALL {
        let numbers = segment::numbers(session.directory(), stream)?;
        for (index, number) in numbers.iter().enumerate() {
            let path = segment::path(session.directory(), stream, *number);
            let closed = !being_written || is_left(session.directory(), stream, &numbers[index + 1..])?;
            if !path.exists() || !closed {
                done.left += 1;
                continue;
            }
            let opened = segment::open(session.directory(), stream, *number)?;
            opened.map_or(Ok(()), |opened| opened.check(stream, *number, session.session()))?;
            let (before, after) = compress(session.directory(), stream, *number, level)?;
            done.segments += 1;
            done.before += before;
            done.after += after;
        }
    }
    Ok(done)
}

/// True when a later segment holds a record: the writer never comes back.
fn is_left(directory: &Path, stream: StreamName, later: &[u64]) -> Result<bool, JournalError> {
    for number in later {
        let opened = segment::open(directory, stream, *number)?;
        if opened.is_some_and(|opened| opened.slots().first().is_some_and(super::slot::Slot::is_committed)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compress(directory: &Path, stream: StreamName, number: u64, level: i32) -> Result<(u64, u64), JournalError> {
    let (path, packed_path) =
        (segment::path(directory, stream, number), segment::compressed_path(directory, stream, number));
    let plain = std::fs::read(&path).map_err(JournalError::io("read", &path))?;
    debug_assert!(plain.len() >= HEADER);
    let packed = zstd::bulk::compress(&plain, level).map_err(JournalError::io("compress", &path))?;
    writer::write_whole(&packed_path, &packed, true)?;
    let error = JournalError::io("read back", &packed_path);
    let again = std::fs::read(&packed_path).and_then(|bytes| zstd::bulk::decompress(&bytes, plain.len()));
    if again.map_err(error)? != plain {
        let found = "other bytes; the segment was kept".to_owned();
        return Err(JournalError::Segment { path: packed_path, expected: "what was compressed".into(), found });
    }
    std::fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    Ok((plain.len() as u64, packed.len() as u64))
}

//! One segment file: its header, its preallocation and its mapping.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, MmapMut};

use super::{JournalError, StreamName};
use crate::core::EVENT_BYTES;
use crate::core::crc::crc32c_portable;

/// Bytes of the header page.
pub(super) const HEADER: usize = 4096;
const MAGIC: &[u8; 8] = b"pawlseg1";
/// Bytes of the header that carry something.
const USED: usize = 36;

/// Where a segment lives: `input-000001.seg`.
pub(super) fn path(directory: &Path, stream: StreamName, number: u64) -> PathBuf {
    directory.join(format!("{}-{number:06}.seg", stream.name()))
}

fn header(stream: StreamName, number: u64, first: u64) -> [u8; USED] {
    let mut bytes = [0; USED];
    bytes[0..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&(EVENT_BYTES as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&stream.number().to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..32].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c_portable(&bytes[0..32]);
    bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Creates, preallocates, maps and pre-faults a segment for `records` records.
pub(super) fn create(
    directory: &Path,
    stream: StreamName,
    number: u64,
    first: u64,
    records: usize,
) -> Result<(File, MmapMut, PathBuf), JournalError> {
    let final_path = path(directory, stream, number);
    // Made under another name, so that a process killed half-way leaves no damaged segment.
    let path = final_path.with_extension("new");
    let bytes = HEADER + records * EVENT_BYTES;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(JournalError::io("create", &path))?;
    // Reserve the blocks now: a full disk is an error here and not a SIGBUS at a store later.
    // SAFETY: the descriptor is open for writing and outlives the call; no memory is involved.
    let status = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) };
    if status != 0 {
        let source = std::io::Error::from_raw_os_error(status);
        // The reservation failed; an empty file must not look like a damaged segment.
        let _ = std::fs::remove_file(&path);
        return Err(JournalError::Io { action: "reserve disk space for", path, source });
    }
    // SAFETY: the file was created by us, is locked through the session's lock
    // file, and is never truncated while mapped.
    let mut map = unsafe { MmapMut::map_mut(&file) }.map_err(JournalError::io("map", &path))?;
    if map.advise(Advice::PopulateWrite).is_err() {
        // Older kernels: touch a byte of each page instead.
        for page in map.chunks_mut(4096) {
            page[0] = 0;
        }
    }
    map[..USED].copy_from_slice(&header(stream, number, first));
    std::fs::rename(&path, &final_path).map_err(JournalError::io("name", &final_path))?;
    Ok((file, map, final_path))
}

/// Opens and checks a segment; `None` when there is no such file.
pub(super) fn open(
    directory: &Path,
    stream: StreamName,
    number: u64,
    first: u64,
) -> Result<Option<(Mmap, PathBuf)>, JournalError> {
    let path = path(directory, stream, number);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(JournalError::io("open", &path)(error)),
    };
    let length = file.metadata().map_err(JournalError::io("read", &path))?.len();
    if length < HEADER as u64 {
        let expected = format!("a segment of at least {HEADER} bytes");
        return Err(JournalError::Segment { path, expected, found: format!("{length} bytes") });
    }
    // SAFETY: the length was checked; a writer only appends to it and shrinks it, on close, to what
    // was written, so every byte up to the last record stays mapped. Another program that truncates
    // a journal under a reader can still end the reader with SIGBUS: readers are not the engine.
    let map = unsafe { Mmap::map(&file) }.map_err(JournalError::io("map", &path))?;
    let expected = header(stream, number, first);
    if map[..8] != MAGIC[..] {
        let found = format!("{:?}", String::from_utf8_lossy(&map[..8]));
        return Err(JournalError::Segment { path, expected: "a pawl journal segment, version 1".into(), found });
    }
    if map[..USED] != expected {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| map[at + i]));
        let found = format!("segment {} starting at record {} (or a damaged header)", word(16), word(24));
        let expected = format!("{} segment {number} starting at record {first}", stream.name());
        return Err(JournalError::Segment { path, expected, found });
    }
    Ok(Some((map, path)))
}

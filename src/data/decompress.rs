//! Opens a file as a stream of plain bytes: gzip and zip are recognised by their first bytes.
//!
//! Never holds a whole file. Of a zip the first file entry is read. Invariant: the counter shows
//! compressed bytes taken from the disk, never more than the file's size at opening.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};

use super::error::DataError;

/// Bytes asked of the disk and of a decompressor at a time.
const BUFFER: usize = 128 * 1024;

/// A stream of plain bytes.
pub(super) type Stream = Box<dyn BufRead + Send>;

struct Counting {
    file: File,
    count: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.file.read(buffer)?;
        self.count.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }
}

/// The plain bytes of `path`, its size on disk, and the counter of bytes read from disk.
pub(super) fn open(path: &Path) -> Result<(Stream, u64, Arc<AtomicU64>), DataError> {
    let fault = |error: io::Error| io_fault(path, 0, &error);
    let file = File::open(path).map_err(fault)?;
    let facts = file.metadata().map_err(fault)?;
    if facts.is_dir() {
        return Err(DataError::file(path, "a file", "a folder", "name the files in it"));
    }
    let count = Arc::new(AtomicU64::new(0));
    let mut raw = BufReader::with_capacity(BUFFER, Counting { file, count: Arc::clone(&count) });
    let head = raw.fill_buf().map_err(fault)?;
    let stream: Stream = if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(raw)))
    } else if head.starts_with(b"PK\x03\x04") {
        open_zip(path, raw)?
    } else {
        Box::new(raw)
    };
    Ok((stream, facts.len(), count))
}

/// Positions a zip at the data of its first file entry, by the entry's local header (PKWARE
/// APPNOTE 4.3.7): 30 fixed bytes, then name and extra field.
fn open_zip(path: &Path, mut raw: BufReader<Counting>) -> Result<Stream, DataError> {
    let refuse = |found: &str| {
        DataError::file(
            path,
            "a zip whose first file is deflated or stored",
            found,
            "unpack it and name the file inside",
        )
    };
    loop {
        let mut head = [0u8; 30];
        raw.read_exact(&mut head).map_err(|error| io_fault(path, 0, &error))?;
        let [
            b'P',
            b'K',
            3,
            4,
            _,
            _,
            flags,
            _,
            method,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            _,
            _,
            _,
            _,
            n0,
            n1,
            x0,
            x1,
        ] = head
        else {
            return Err(refuse("no file entry"));
        };
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        let name_bytes = u64::from(u16::from_le_bytes([n0, n1]));
        let mut name = Vec::new();
        let skipped = (&mut raw)
            .take(name_bytes)
            .read_to_end(&mut name)
            .and_then(|_| io::copy(&mut (&mut raw).take(u64::from(u16::from_le_bytes([x0, x1]))), &mut io::sink()));
        skipped.map_err(|error| io_fault(path, 0, &error))?;
        if flags & 1 != 0 {
            return Err(refuse("an encrypted entry"));
        }
        if name.ends_with(b"/") {
            continue;
        }
        return match method {
            8 => Ok(Box::new(BufReader::with_capacity(BUFFER, DeflateDecoder::new(raw)))),
            0 if flags & 8 == 0 => Ok(Box::new(BufReader::with_capacity(BUFFER, raw.take(u64::from(size))))),
            _ => Err(refuse("another compression method")),
        };
    }
}

/// A read error as a data error: an early end of compressed data is [`DataError::Truncated`].
pub(super) fn io_fault(path: &Path, line: u64, error: &io::Error) -> DataError {
    if error.kind() == ErrorKind::UnexpectedEof {
        DataError::Truncated { file: path.to_owned(), line }
    } else {
        DataError::Io { file: path.to_owned(), reason: error.to_string() }
    }
}

//! Opens a file as a stream of plain bytes: gzip and zip are recognised by their first bytes.
//!
//! Never holds a whole file. The checksums of both are verified at the end of the stream. Of a zip
//! the one file in it is read, or the one `.csv` among several. Invariant: the counter shows
//! compressed bytes taken from the disk, never more than the file's size at opening.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Take};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::error::DataError;

/// Bytes asked of the disk and of a decompressor at a time.
const BUFFER: usize = 128 * 1024;

/// A stream of plain bytes.
pub(super) type Stream = Box<dyn BufRead + Send>;

/// An opened file.
pub(super) struct Opened {
    /// Its plain bytes.
    pub(super) stream: Stream,
    /// Size on disk, bytes.
    pub(super) size: u64,
    /// Bytes read from disk so far.
    pub(super) read: Arc<AtomicU64>,
    /// A checksum proves that the end of the stream is the end of what was written.
    pub(super) sealed: bool,
}

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

/// Opens a file of any compression.
pub(super) fn open(path: &Path) -> Result<Opened, DataError> {
    let fault = |error: io::Error| io_fault(path, 0, &error);
    let mut file = File::open(path).map_err(fault)?;
    let facts = file.metadata().map_err(fault)?;
    if facts.is_dir() {
        return Err(DataError::file(path, "a file", "a folder", "name the files in it"));
    }
    let mut head = Vec::new();
    (&mut file).take(4).read_to_end(&mut head).map_err(fault)?;
    let read = Arc::new(AtomicU64::new(0));
    let (stream, sealed): (Stream, bool) = if head.starts_with(b"PK") {
        (open_zip(path, file, &read)?, true)
    } else {
        file.seek(SeekFrom::Start(0)).map_err(fault)?;
        let raw = BufReader::with_capacity(BUFFER, Counting { file, count: Arc::clone(&read) });
        if head.starts_with(&[0x1f, 0x8b]) {
            (Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(raw))), true)
        } else {
            (Box::new(raw), false)
        }
    };
    Ok(Opened { stream, size: facts.len(), read, sealed })
}

/// Where the data of a zip's entry is, and what it must come to.
struct Entry {
    start: u64,
    packed: u64,
    plain: u64,
    crc: u32,
    method: CompressionMethod,
}

fn open_zip(path: &Path, file: File, read: &Arc<AtomicU64>) -> Result<Stream, DataError> {
    let (mut file, entry) = find_entry(path, file)?;
    file.seek(SeekFrom::Start(entry.start)).map_err(|error| io_fault(path, 0, &error))?;
    read.store(entry.start, Ordering::Relaxed);
    let counting = Counting { file, count: Arc::clone(read) };
    let raw = BufReader::with_capacity(BUFFER, counting.take(entry.packed));
    let inner = match entry.method {
        CompressionMethod::Stored => Unpacked::Stored(raw),
        _ => Unpacked::Deflated(DeflateDecoder::new(raw)),
    };
    let checked = Checked { inner, crc: Crc::new(), plain: entry.plain, expected: entry.crc };
    Ok(Box::new(BufReader::with_capacity(BUFFER, checked)))
}

/// Reads the directory at the zip's end and picks the entry.
fn find_entry(path: &Path, file: File) -> Result<(File, Entry), DataError> {
    let damaged = |error: ZipError| {
        let remedy = "the file is cut short or damaged: fetch it again";
        DataError::file(path, "a zip archive with a directory at its end", error.to_string(), remedy)
    };
    let refuse =
        |expected: &str, found: String| DataError::file(path, expected, found, "unpack it and name the file inside");
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let mut chosen: Vec<(usize, String)> = Vec::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(damaged)?;
        if !entry.is_dir() {
            chosen.push((at, String::from_utf8_lossy(entry.name_raw()).to_ascii_lowercase()));
        }
    }
    if chosen.len() > 1 {
        // HistData packs a report beside the data.
        chosen.retain(|(_, name)| name.as_bytes().ends_with(b".csv"));
    }
    let [(at, _)] = chosen.as_slice() else {
        return Err(refuse("a zip with one file, or one .csv among several", format!("{} of them", chosen.len())));
    };
    let entry = archive.by_index_raw(*at).map_err(damaged)?;
    if entry.encrypted() {
        return Err(refuse("a zip without a password", "an encrypted entry".to_owned()));
    }
    let method = entry.compression();
    if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(refuse("a zip entry stored or deflated", format!("compression method {method}")));
    }
    let start = entry.data_start().ok_or_else(|| damaged(ZipError::FileNotFound))?;
    let found = Entry { start, packed: entry.compressed_size(), plain: entry.size(), crc: entry.crc32(), method };
    drop(entry);
    Ok((archive.into_inner().into_inner(), found))
}

enum Unpacked {
    Stored(BufReader<Take<Counting>>),
    Deflated(DeflateDecoder<BufReader<Take<Counting>>>),
}

/// Compares length and CRC-32 with the directory's when the end is reached.
struct Checked {
    inner: Unpacked,
    crc: Crc,
    plain: u64,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = match &mut self.inner {
            Unpacked::Stored(raw) => raw.read(buffer)?,
            Unpacked::Deflated(packed) => packed.read(buffer)?,
        };
        self.crc.update(buffer.get(..taken).unwrap_or_default());
        // `amount` counts modulo 2^32, as the zip's own CRC trailer does.
        if taken == 0
            && !buffer.is_empty()
            && (self.crc.sum() != self.expected || self.crc.amount() != self.plain as u32)
        {
            return Err(io::Error::new(ErrorKind::InvalidData, "the checksum in the zip's directory does not match"));
        }
        Ok(taken)
    }
}

/// A read error as a data error: an early end of compressed data is [`DataError::Truncated`],
/// compressed data that makes no sense [`DataError::Damaged`].
pub(super) fn io_fault(path: &Path, line: u64, error: &io::Error) -> DataError {
    let (file, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::UnexpectedEof => DataError::Truncated { file, line },
        ErrorKind::InvalidData | ErrorKind::InvalidInput => DataError::Damaged { file, line, reason },
        _ => DataError::Io { file, reason },
    }
}

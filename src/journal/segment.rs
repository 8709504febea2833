//! One segment file: its header, its preallocation, its mappings.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Advice, Mmap, MmapMut, MmapRaw};

use super::ahead::MapAhead;
use super::slot::Slot;
use super::sync::AtomicU64;
use super::{JournalError, StreamName, disk};
use crate::core::EVENT_BYTES;
use crate::core::crc::crc32c_portable;

/// Bytes of the header page.
pub(super) const HEADER: usize = 4096;
/// Bytes of a page of memory: what is faulted in and synced at once.
const PAGE: usize = 4096;
/// The first seven bytes of every version's magic; the eighth is the version.
const MAGIC: &[u8; 7] = b"pawlseg";
const VERSION: u8 = b'1';
/// Bytes of the header that carry something.
const USED: usize = 48;
/// End of the name of a segment that is being made.
pub(super) const HALF_MADE: &str = "new";
/// Ends of the names of a segment and of a compressed one.
const PLAIN: &str = "seg";
const COMPRESSED: &str = "seg.zst";
/// No segment inflates to more than this: a forged size must not fill the memory.
const LARGEST: u64 = 64 << 30;

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) stream: StreamName,
    pub(super) number: u64,
    /// Sequence of its first record.
    pub(super) first: u64,
    /// The process that wrote it: 1 created the session, each that resumed it counts one more.
    pub(super) life: u32,
    /// CRC-32C of the session's description: a segment of another session is refused.
    pub(super) session: u32,
    /// Records that it was made for; a closed file may be shorter.
    pub(super) capacity: u32,
}

impl Header {
    fn encode(&self) -> [u8; USED] {
        let mut bytes = [0; USED];
        bytes[0..7].copy_from_slice(MAGIC);
        bytes[7] = VERSION;
        bytes[8..12].copy_from_slice(&(EVENT_BYTES as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.stream.number().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.life.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.session.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.capacity.to_le_bytes());
        let crc = crc32c_portable(&bytes[0..44]);
        bytes[44..48].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What was expected and what was found, when the bytes are not a header.
    fn decode(bytes: &[u8]) -> Result<Self, (String, String)> {
        let short = |found: usize| (format!("a segment of at least {HEADER} bytes"), format!("{found} bytes"));
        let Some(bytes) = bytes.get(..HEADER) else { return Err(short(bytes.len())) };
        if bytes[..7] != MAGIC[..] {
            let found = format!("a foreign file that begins with {:?}", String::from_utf8_lossy(&bytes[..8]));
            return Err(("a pawl journal segment".into(), found));
        }
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if bytes[7] != VERSION {
            let found = format!("version {:?}; use the pawl that wrote it", char::from(bytes[7]));
            return Err(("a segment of format version 1".into(), found));
        }
        if crc32c_portable(&bytes[0..44]) != half(44) {
            return Err(("an intact header".into(), "a header whose CRC does not hold: it is damaged".into()));
        }
        let stream = StreamName::ALL.into_iter().find(|stream| stream.number() == half(12));
        match (stream, half(8)) {
            (Some(stream), 64) => {
                let (number, first) = (word(16), word(24));
                Ok(Self { stream, number, first, life: half(32), session: half(36), capacity: half(40) })
            }
            (_, size) => Err(("64-byte records of stream 1 or 2".into(), format!("{size} bytes, stream {}", half(12)))),
        }
    }
}

/// Where a stream's segments live, and what all of them have in common.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) stream: StreamName,
    pub(super) life: u32,
    pub(super) session: u32,
    pub(super) records: usize,
}

/// The name of a segment: `input-000001.seg`.
pub(super) fn path(directory: &Path, stream: StreamName, number: u64) -> PathBuf {
    directory.join(format!("{}-{number:06}.{PLAIN}", stream.name()))
}

/// The name of a segment that was compressed: `input-000001.seg.zst`.
pub(super) fn compressed_path(directory: &Path, stream: StreamName, number: u64) -> PathBuf {
    directory.join(format!("{}-{number:06}.{COMPRESSED}", stream.name()))
}

/// Numbers of the stream's segments in a folder, in order; a number that is there twice counts once.
pub(super) fn numbers(directory: &Path, stream: StreamName) -> Result<Vec<u64>, JournalError> {
    let error = JournalError::io("list", directory);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(error)? {
        let name = entry.map_err(JournalError::io("list", directory))?.file_name();
        found.extend(name.to_str().and_then(|name| number_of(name, stream)));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The number in a segment's name.
pub(super) fn number_of(name: &str, stream: StreamName) -> Option<u64> {
    let (number, end) = name.strip_prefix(stream.name())?.strip_prefix('-')?.split_once('.')?;
    (end == PLAIN || end == COMPRESSED).then(|| number.parse().ok()).flatten()
}

/// Bytes of the records' places in a segment's file, inflated.
pub(super) fn record_bytes(directory: &Path, stream: StreamName, number: u64) -> Option<u64> {
    let length = if let Ok(metadata) = std::fs::metadata(path(directory, stream, number)) {
        metadata.len()
    } else {
        let mut head = [0; 18];
        File::open(compressed_path(directory, stream, number)).ok()?.read_exact(&mut head).ok()?;
        zstd::zstd_safe::get_frame_content_size(&head).ok()??
    };
    Some(length.saturating_sub(HEADER as u64))
}

/// A segment that is being written: reserved, mapped.
pub(super) struct Segment {
    pub(super) number: u64,
    /// Sequence of its first record.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    records: usize,
    file: File,
    map: MmapRaw,
}

impl Segment {
    /// Creates a segment with its blocks reserved on disk. `durable`: its name and size survive a
    /// power failure from here on.
    pub(super) fn create(place: &Place, number: u64, first: u64, durable: bool) -> Result<Self, JournalError> {
        let final_path = path(&place.directory, place.stream, number);
        // Made under another name, so that a process killed half-way leaves no damaged segment.
        let path = final_path.with_extension(HALF_MADE);
        let made = Self::make(place, number, first, durable, &path, &final_path);
        if made.is_err() {
            // What is half made only takes the space that is missing.
            let _ = std::fs::remove_file(&path);
        }
        made
    }

    fn make(
        place: &Place,
        number: u64,
        first: u64,
        durable: bool,
        path: &Path,
        final_path: &Path,
    ) -> Result<Self, JournalError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(JournalError::io("create", path))?;
        let bytes = HEADER + place.records * EVENT_BYTES;
        disk::reserve(&file, bytes as u64).map_err(JournalError::io("reserve disk space for", path))?;
        let (stream, life, session) = (place.stream, place.life, place.session);
        let header = Header { stream, number, first, life, session, capacity: place.records as u32 };
        file.write_all(&header.encode()).map_err(JournalError::io("write", path))?;
        if durable {
            file.sync_all().map_err(JournalError::io("sync", path))?;
        }
        let map = MmapRaw::map_raw(&file).map_err(JournalError::io("map", path))?;
        std::fs::rename(path, final_path).map_err(JournalError::io("name", final_path))?;
        if durable {
            disk::sync_directory(&place.directory).map_err(JournalError::io("sync", &place.directory))?;
        }
        Ok(Self { number, first, path: final_path.to_owned(), records: place.records, file, map })
    }

    /// Where its first record goes.
    pub(super) fn base(&self) -> *mut Slot {
        // SAFETY: the map is `HEADER + records * 64` bytes long, so the header lies within it.
        #[expect(clippy::cast_ptr_alignment, reason = "maps are page-aligned and the header is one page")]
        unsafe {
            self.map.as_mut_ptr().add(HEADER).cast::<Slot>()
        }
    }

    /// Sequence of the last record that fits.
    pub(super) fn last(&self) -> u64 {
        self.first + self.records as u64 - 1
    }

    /// Makes the pages of `count` records from the `from`-th on (0-based) writable without a fault.
    pub(super) fn prefault(&self, from: usize, count: usize) -> io::Result<()> {
        let (start, end) = (HEADER + from * EVENT_BYTES, HEADER + (from + count).min(self.records) * EVENT_BYTES);
        let start = start / PAGE * PAGE;
        if start >= end {
            return Ok(());
        }
        match self.map.advise_range(Advice::PopulateWrite, start, end - start) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                // Kernels before 5.14: touch a word of each page without changing it.
                for offset in (start..end).step_by(PAGE) {
                    // SAFETY: `offset` lies within the map and is page-aligned. The word is the commit
                    // word of a record, which the writer only ever stores atomically.
                    #[expect(clippy::cast_ptr_alignment, reason = "page-aligned")]
                    let word = unsafe { &*self.map.as_mut_ptr().add(offset).cast::<AtomicU64>() };
                    word.fetch_add(0, std::sync::atomic::Ordering::Relaxed);
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Writes the pages of the records `from..to` (0-based) to the disk. With `whole_pages`, the page
    /// that holds record `to` is left out: the writer is still on it.
    pub(super) fn sync(&self, from: usize, to: usize, whole_pages: bool) -> io::Result<()> {
        let start = (HEADER + from * EVENT_BYTES) / PAGE * PAGE;
        let end = HEADER + to.min(self.records) * EVENT_BYTES;
        let end = if whole_pages { end / PAGE * PAGE } else { end };
        if end <= start { Ok(()) } else { self.map.flush_range(start, end - start) }
    }

    /// Unmaps and cuts the file to `used` records.
    pub(super) fn close(self, used: usize, durable: bool) -> Result<(), JournalError> {
        let Self { map, file, path, records, .. } = self;
        // Unmap before the file gets shorter than the mapping.
        drop(map);
        file.set_len(shortened(used).min((HEADER + records * EVENT_BYTES) as u64))
            .map_err(JournalError::io("shorten", &path))?;
        if durable { file.sync_all().map_err(JournalError::io("sync", &path)) } else { Ok(()) }
    }

    /// Removes a segment that nothing was written to.
    pub(super) fn discard(self) -> Result<(), JournalError> {
        std::fs::remove_file(&self.path).map_err(JournalError::io("remove", &self.path))
    }
}

/// Records before the `to`-th that lie on pages wholly before it.
pub(super) fn whole_pages(to: usize) -> usize {
    ((HEADER + to * EVENT_BYTES) / PAGE * PAGE).saturating_sub(HEADER) / EVENT_BYTES
}

/// Bytes that a file with this many records keeps: two empty slots and the rest of their page, so
/// that a reader that looks behind the last record never looks behind the end of the file.
pub(super) fn shortened(records: usize) -> u64 {
    (HEADER + (records + 2) * EVENT_BYTES).next_multiple_of(PAGE) as u64
}

/// A segment that is read: mapped from its file, or inflated into memory.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) path: PathBuf,
    map: Arc<Mmap>,
}

impl Opened {
    /// The helper maps what the reader comes to from its `next`-th record on.
    pub(super) fn map_ahead(&self, helper: &MapAhead, next: usize) {
        helper.map(&self.map, (HEADER + next * EVENT_BYTES) / PAGE * PAGE);
    }

    /// True while its file is there and as long as the map. Whoever maps a file and reads it later asks again.
    pub(super) fn is_its_file(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() == self.map.len() as u64)
    }

    /// The helper unmaps it.
    pub(super) fn leave(self, helper: &MapAhead) {
        helper.leave(self.map);
    }

    /// Its slots, written or not.
    #[inline]
    pub(super) fn slots(&self) -> &[Slot] {
        let count = (self.map.len() - HEADER) / EVENT_BYTES;
        // SAFETY: `open` checked that the map is at least a header long; it is page-aligned and the
        // header is one page, so slots are aligned and `count` of them lie within the map. Slots are
        // atomics and cells: a writer may change them meanwhile under the slot's protocol. A journal
        // that another program truncates under a reader can end the reader with SIGBUS; a writer
        // never makes a file shorter than what its readers look at (see `shortened`).
        #[expect(clippy::cast_ptr_alignment, reason = "maps are page-aligned and the header is one page")]
        unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().add(HEADER).cast::<Slot>(), count)
        }
    }

    /// Bytes behind the last whole slot: a file that was cut.
    pub(super) fn remainder(&self) -> usize {
        (self.map.len() - HEADER) % EVENT_BYTES
    }

    /// True when the file ends within its records: whoever wrote it left it longer.
    pub(super) fn is_cut(&self) -> bool {
        let slots = self.slots();
        slots.len() < self.header.capacity as usize && slots.last().is_none_or(Slot::is_committed)
            || self.remainder() > 0
    }

    /// The error that says so.
    pub(super) fn cut_error(&self) -> JournalError {
        JournalError::Segment {
            path: self.path.clone(),
            expected: format!("room for {} records", self.header.capacity),
            found: format!("a file cut in or after record {}", self.slots().len() + usize::from(self.remainder() > 0)),
        }
    }

    /// Checks that it is the expected segment; the error names both.
    pub(super) fn check(&self, stream: StreamName, number: u64, session: u32) -> Result<(), JournalError> {
        let found = &self.header;
        let error =
            |expected: String, found: String| JournalError::Segment { path: self.path.clone(), expected, found };
        if (found.stream, found.number) != (stream, number) {
            let name = |stream: StreamName, number| format!("{} segment {number}", stream.name());
            return Err(error(name(stream, number), name(found.stream, found.number)));
        }
        if found.session != session {
            let text = |crc| format!("a segment of the session whose session.toml has CRC {crc:08x}");
            return Err(error(text(session), text(found.session) + " (or session.toml was changed)"));
        }
        Ok(())
    }
}

/// Opens a segment, compressed or not; `None` when there is no such file.
pub(super) fn open(directory: &Path, stream: StreamName, number: u64) -> Result<Option<Opened>, JournalError> {
    if let Some(opened) = open_plain(directory, stream, number)? {
        return Ok(Some(opened));
    }
    let path = compressed_path(directory, stream, number);
    there(&path)?.map(|file| inflate(file, path)).transpose()
}

/// Opens a segment that is not compressed; `None` when there is no such file.
pub(super) fn open_plain(directory: &Path, stream: StreamName, number: u64) -> Result<Option<Opened>, JournalError> {
    let path = path(directory, stream, number);
    there(&path)?.map(|file| map(&file, path)).transpose()
}

fn there(path: &Path) -> Result<Option<File>, JournalError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::io("open", path)(error)),
    }
}

fn map(file: &File, path: PathBuf) -> Result<Opened, JournalError> {
    let length = file.metadata().map_err(JournalError::io("read", &path))?.len();
    if length < HEADER as u64 {
        let expected = format!("a segment of at least {HEADER} bytes");
        return Err(JournalError::Segment { path, expected, found: format!("{length} bytes") });
    }
    // SAFETY: the length was checked; see `slots` for what other processes may do meanwhile.
    let map = unsafe { Mmap::map(file) }.map_err(JournalError::io("map", &path))?;
    opened(map, path)
}

/// Inflates a compressed segment into memory.
fn inflate(mut file: File, path: PathBuf) -> Result<Opened, JournalError> {
    let mut packed = Vec::new();
    file.read_to_end(&mut packed).map_err(JournalError::io("read", &path))?;
    let damaged = |found: String| JournalError::Segment {
        path: path.clone(),
        expected: "a segment compressed by `pawl journal compress`".into(),
        found,
    };
    let size = zstd::zstd_safe::get_frame_content_size(&packed).ok().flatten();
    let size = size.filter(|size| (HEADER as u64..LARGEST).contains(size));
    let Some(size) = size else { return Err(damaged("a file without a sensible content size".into())) };
    let mut memory = MmapMut::map_anon(size as usize).map_err(JournalError::io("map", &path))?;
    let written = zstd::bulk::decompress_to_buffer(&packed, &mut memory[..])
        .map_err(|error| damaged(format!("a damaged file ({error})")))?;
    if written as u64 != size {
        return Err(damaged(format!("{written} bytes instead of {size}")));
    }
    let map = memory.make_read_only().map_err(JournalError::io("map", &path))?;
    opened(map, path)
}

fn opened(map: Mmap, path: PathBuf) -> Result<Opened, JournalError> {
    match Header::decode(&map) {
        Ok(header) => Ok(Opened { header, path, map: Arc::new(map) }),
        Err((expected, found)) => Err(JournalError::Segment { path, expected, found }),
    }
}

//! The file under a page: made whole or not at all, checked before it is believed.
//!
//! Both pages open with the same 128-byte header of words in the machine's byte order:
//!
//! | word | meaning |
//! |---|---|
//! | 0 | magic `pawlpage` |
//! | 1 | layout version (low 32 bits), kind of page (high) |
//! | 2 | size of the file in bytes |
//! | 3 | pid of the writer (low), its uid (high) |
//! | 4 | start time of the writer in clock ticks |
//! | 5 | digest of the boot id |
//! | 6 | session |
//! | 7 | created, UTC nanoseconds |
//! | 8 | rows in use (low), hot threads in use (high) |
//! | 9 | checksum of the table of names |
//! | 10..15 | 0 |
//! | 15 | checksum of words 0..15 |
//!
//! A page is written to a temporary file and renamed, so that no reader meets half a header. It is
//! never changed into another page: a new writer makes a new file, and readers of the old one see that
//! it has no name any more. Size is checked before a mapping exists, since touching a mapped page
//! beyond the end of its file is a SIGBUS; readers that must survive a file shortened later do not map
//! but copy ([`PageFile`]).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{Mmap, MmapMut};

use super::process::ProcessIdentity;
use super::seqlock::Checksum;

/// `pawlpage`; a machine of the other byte order reads another number, and refuses.
pub(super) const MAGIC: u64 = u64::from_ne_bytes(*b"pawlpage");
/// Version of both layouts; a reader refuses any other.
pub const LAYOUT_VERSION: u32 = 1;
/// Words of the header.
pub(super) const HEADER_WORDS: usize = 16;
/// Tries of a reader before it calls a page busy. At 1 us a try this outlasts any living writer.
pub(super) const READ_TRIES: u32 = 256;
const WORD: usize = size_of::<u64>();

/// Which page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageKind {
    Engine = 1,
    Guardian = 2,
}

/// Why a page is not believed. To the guardian each of these is a dead engine; to the engine, a
/// silent guardian.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// There is no file.
    #[error("expected a page at {}, found no file: its writer is not running", .0.display())]
    Missing(PathBuf),
    /// The file lost its name: it was deleted, or a new writer has made a new one.
    #[error("expected {} to be the page that was attached, found it deleted or replaced: attach again", .0.display())]
    Replaced(PathBuf),
    /// The file is not ours, or others may write it, or it is a link.
    #[error("{}: expected a regular file of our own user with mode 0600, found {found}", path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// The file is shorter or longer than its layout.
    #[error("{}: expected {expected} bytes, found {found}", path.display())]
    Size {
        /// Which file.
        path: PathBuf,
        /// By the layout.
        expected: u64,
        /// By the system.
        found: u64,
    },
    /// The header is not one: zeros, noise, another kind of file, damage.
    #[error("{}: expected the header of a pawl page, found {found}", path.display())]
    NotAPage {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        found: &'static str,
    },
    /// Another version of pawl wrote it.
    #[error("{}: expected layout version {LAYOUT_VERSION}, found {found}: run one version of pawl", path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It was left behind by a writer of another boot.
    #[error("{}: expected a page of this boot, found one from before it", .0.display())]
    Foreign(PathBuf),
    /// The writer is in the middle of a write, or died there.
    #[error("{}: expected a whole snapshot, found one write that does not end: the writer is dead or stopped", .0.display())]
    Busy(PathBuf),
    /// The words do not add up.
    #[error("{}: expected words that match their checksum, found damage", .0.display())]
    Damaged(PathBuf),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PageError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path.to_owned()),
            _ if source.raw_os_error() == Some(libc::ELOOP) => {
                Self::Permissions { path: path.to_owned(), found: "a symbolic link".into() }
            }
            _ => Self::Io { path: path.to_owned(), source },
        }
    }
}

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageOwner {
    /// The writer.
    pub process: ProcessIdentity,
    /// The session it named.
    pub session: u64,
    /// When the page was made, UTC nanoseconds.
    pub created_ns: u64,
    pub(super) rows: u32,
    pub(super) threads: u32,
}

/// What a new page is to say of itself.
pub(super) struct PagePlan<'a> {
    pub kind: PageKind,
    pub words: usize,
    pub session: u64,
    pub rows: u32,
    pub threads: u32,
    /// Words written behind the header before the page gets its name.
    pub names: &'a [u64],
}

/// A page that is mapped for writing.
#[derive(Debug)]
pub(super) struct MappedPage {
    map: MmapMut,
}

impl MappedPage {
    /// Makes the folder if need be and the page in it, replacing an older page of that name.
    pub(super) fn create(directory: &Path, name: &str, plan: &PagePlan<'_>) -> Result<Self, PageError> {
        make_directory(directory)?;
        let path = directory.join(name);
        let process = ProcessIdentity::current().map_err(PageError::io(Path::new("/proc/self/stat")))?;
        let temporary = directory.join(format!(".{name}.{}", process.pid));
        // Left behind only by an earlier process with our pid that died between two lines.
        let _ = fs::remove_file(&temporary);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&temporary)
            .map_err(PageError::io(&temporary))?;
        allocate(&file, plan.words * WORD).map_err(PageError::io(&temporary))?;
        // SAFETY: the file was created just now under a name of our own, has its full size, and is only
        // ever shortened by a hostile hand of our own user; then SIGBUS ends us, which the guardian sees.
        let map = unsafe { MmapMut::map_mut(&file) }.map_err(PageError::io(&temporary))?;
        let page = Self { map };
        for (word, value) in page.words()[HEADER_WORDS..].iter().zip(plan.names) {
            word.store(*value, Ordering::Relaxed);
        }
        for (word, value) in page.words().iter().zip(header(plan, process)) {
            word.store(value, Ordering::Relaxed);
        }
        fence(Ordering::Release);
        fs::rename(&temporary, &path).map_err(PageError::io(&path))?;
        Ok(page)
    }

    #[inline]
    pub(super) fn words(&self) -> &[AtomicU64] {
        words_of(&self.map)
    }
}

/// A page of another process, mapped for reading.
#[derive(Debug)]
pub(super) struct MappedView {
    map: Mmap,
    pub(super) path: PathBuf,
    pub(super) owner: PageOwner,
}

impl MappedView {
    pub(super) fn attach(path: &Path, kind: PageKind, words: usize) -> Result<Self, PageError> {
        let file = PageFile::open(path, kind, words)?;
        // SAFETY: size and owner were checked a moment ago; the writer never shortens its page.
        let map = unsafe { Mmap::map(&file.file) }.map_err(PageError::io(path))?;
        Ok(Self { map, path: path.to_owned(), owner: file.owner })
    }

    #[inline]
    pub(super) fn words(&self) -> &[AtomicU64] {
        words_of(&self.map)
    }
}

#[inline]
fn words_of(bytes: &[u8]) -> &[AtomicU64] {
    // SAFETY: a mapping is page-aligned; AtomicU64 has the size and alignment of u64, any bytes are a
    // value of it, and every access of this program to the shared memory goes through these atomics.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / WORD) }
}

/// A page of another process, copied out by `pread`: a file shortened or deleted under it is an error
/// and never a signal.
#[derive(Debug)]
pub(super) struct PageFile {
    file: File,
    path: PathBuf,
    words: usize,
    header: [u64; HEADER_WORDS],
    pub(super) owner: PageOwner,
}

impl PageFile {
    pub(super) fn open(path: &Path, kind: PageKind, words: usize) -> Result<Self, PageError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)
            .map_err(PageError::io(path))?;
        let metadata = file.metadata().map_err(PageError::io(path))?;
        check_permissions(path, &metadata)?;
        check_size(path, words, metadata.len())?;
        let mut header = [0; HEADER_WORDS];
        copy_words(&file, path, 0, &mut header)?;
        let owner = check_header(path, &header, kind, words)?;
        Ok(Self { file, path: path.to_owned(), words, header, owner })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names behind the header, checked.
    pub(super) fn names(&self, count: usize) -> Result<Vec<u64>, PageError> {
        let mut names = vec![0; count];
        copy_words(&self.file, &self.path, HEADER_WORDS, &mut names)?;
        if Checksum::of(self.header[6], &names) == self.header[9] {
            Ok(names)
        } else {
            Err(PageError::NotAPage { path: self.path.clone(), found: "damaged names" })
        }
    }

    /// Is the file still the page that was attached: its name, its size, its header?
    pub(super) fn check(&self) -> Result<(), PageError> {
        let metadata = self.file.metadata().map_err(PageError::io(&self.path))?;
        if metadata.nlink() == 0 {
            return Err(PageError::Replaced(self.path.clone()));
        }
        check_size(&self.path, self.words, metadata.len())?;
        let mut header = [0; HEADER_WORDS];
        copy_words(&self.file, &self.path, 0, &mut header)?;
        if header == self.header {
            return Ok(());
        }
        let found = "another header than when it was attached";
        Err(PageError::NotAPage { path: self.path.clone(), found })
    }

    /// Copies the words from `from` on into `out` such that those behind the sequence at `sequence_at` are one
    /// whole write, by two signs: `is_whole` says so of their sum, which covers the sequence, and the sequence
    /// has not moved since. (The kernel need not copy in order, so the sequence alone would not prove it.)
    pub(super) fn copy(
        &self,
        from: usize,
        sequence_at: usize,
        out: &mut [u64],
        is_whole: impl Fn(&[u64]) -> bool,
    ) -> Result<u64, PageError> {
        let mut damaged = false;
        for _ in 0..READ_TRIES {
            copy_words(&self.file, &self.path, from, out)?;
            let before = out[sequence_at - from];
            if before & 1 == 1 {
                damaged = false;
                continue;
            }
            fence(Ordering::Acquire);
            let mut sequence = [0];
            copy_words(&self.file, &self.path, sequence_at, &mut sequence)?;
            // Words that do not add up while the sequence stands still are no write that is going on.
            damaged = sequence[0] == before && !is_whole(out);
            if sequence[0] == before && !damaged {
                return Ok(before);
            }
        }
        let path = self.path.clone();
        Err(if damaged { PageError::Damaged(path) } else { PageError::Busy(path) })
    }
}

fn header(plan: &PagePlan<'_>, process: ProcessIdentity) -> [u64; HEADER_WORDS] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let created = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut words = [0; HEADER_WORDS];
    words[0] = MAGIC;
    words[1] = pair(LAYOUT_VERSION, plan.kind as u32);
    words[2] = (plan.words * WORD) as u64;
    words[3] = pair(process.pid, own_uid());
    words[4] = process.start_ticks;
    words[5] = process.boot;
    words[6] = plan.session;
    words[7] = created.map_or(0, |since| since.as_nanos() as u64);
    words[8] = pair(plan.rows, plan.threads);
    words[9] = Checksum::of(plan.session, plan.names);
    words[15] = Checksum::of(0, &words[..15]);
    words
}

fn check_header(
    path: &Path,
    header: &[u64; HEADER_WORDS],
    kind: PageKind,
    words: usize,
) -> Result<PageOwner, PageError> {
    let not_a_page = |found| PageError::NotAPage { path: path.to_owned(), found };
    let (low, high) = (|word: u64| word as u32, |word: u64| (word >> 32) as u32);
    if header[0] != MAGIC {
        return Err(not_a_page(if header.iter().all(|word| *word == 0) { "zeros" } else { "another magic" }));
    }
    if low(header[1]) != LAYOUT_VERSION {
        return Err(PageError::Version { path: path.to_owned(), found: low(header[1]) });
    }
    if Checksum::of(0, &header[..15]) != header[15] {
        return Err(not_a_page("a header that does not match its checksum"));
    }
    if high(header[1]) != kind as u32 {
        return Err(not_a_page("the other kind of page"));
    }
    if header[2] != (words * WORD) as u64 {
        return Err(not_a_page("another size"));
    }
    let process = ProcessIdentity { pid: low(header[3]), start_ticks: header[4], boot: header[5] };
    let here = ProcessIdentity::current().map_err(PageError::io(Path::new("/proc/self/stat")))?;
    if process.boot != here.boot {
        return Err(PageError::Foreign(path.to_owned()));
    }
    let owner = PageOwner {
        process,
        session: header[6],
        created_ns: header[7],
        rows: low(header[8]),
        threads: high(header[8]),
    };
    Ok(owner)
}

fn check_permissions(path: &Path, metadata: &fs::Metadata) -> Result<(), PageError> {
    let found = if !metadata.is_file() {
        "something that is no regular file".to_owned()
    } else if metadata.uid() != own_uid() {
        format!("user {}", metadata.uid())
    } else if metadata.mode() & 0o077 != 0 {
        format!("mode {:03o}", metadata.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(PageError::Permissions { path: path.to_owned(), found })
}

fn check_size(path: &Path, words: usize, found: u64) -> Result<(), PageError> {
    let expected = (words * WORD) as u64;
    if found == expected { Ok(()) } else { Err(PageError::Size { path: path.to_owned(), expected, found }) }
}

fn copy_words(file: &File, path: &Path, from: usize, out: &mut [u64]) -> Result<(), PageError> {
    // SAFETY: the bytes of initialised words, exclusively borrowed; any bytes are valid words.
    let bytes = unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u8>(), std::mem::size_of_val(out)) };
    file.read_exact_at(bytes, (from * WORD) as u64).map_err(|source| match source.kind() {
        // Shortened between the look at its size and the copy.
        io::ErrorKind::UnexpectedEof => {
            PageError::Size { path: path.to_owned(), expected: (from * WORD + bytes.len()) as u64, found: 0 }
        }
        _ => PageError::Io { path: path.to_owned(), source },
    })
}

/// Makes a folder that only our user can enter, or checks that an existing one is.
fn make_directory(directory: &Path) -> Result<(), PageError> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(directory) {
        Ok(()) => {}
        Err(source) => return Err(PageError::Io { path: directory.to_owned(), source }),
    }
    let metadata = fs::metadata(directory).map_err(PageError::io(directory))?;
    if metadata.uid() != own_uid() || metadata.mode() & 0o022 != 0 {
        let found = format!("a folder of user {} with mode {:03o}", metadata.uid(), metadata.mode() & 0o777);
        return Err(PageError::Permissions { path: directory.to_owned(), found });
    }
    Ok(())
}

/// Reserves the blocks: a full memory file system is an error here and not a SIGBUS later.
fn allocate(file: &File, bytes: usize) -> io::Result<()> {
    // SAFETY: integers and an open descriptor.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn own_uid() -> u32 {
    // SAFETY: no arguments, never fails.
    unsafe { libc::geteuid() }
}

//! The writer of a session: its lock, its description, its two streams and the helper thread.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::keeper::Keeper;
use super::recovery::{self, Recovery};
use super::segment::Place;
use super::stream::StreamWriter;
use super::{
    Health, JournalError, LOCK_FILE, SESSION_FILE, SessionInfo, StreamName, SyncPolicy, Trouble, WriterOptions, disk,
    segment,
};
use crate::core::crc::crc32c_portable;

/// Writes one session; holds its lock until it is dropped.
///
/// A live engine asks for the helper thread ([`WriterOptions::with_helper`]) and creates the writer
/// *before* it pins its own thread: the helper inherits the cores that it may run on.
///
/// ```no_run
/// # use pawl::journal::*;
/// # use pawl::core::*;
/// # fn run(info: &SessionInfo, event: &Event) -> Result<(), JournalError> {
/// let options = WriterOptions::default().with_helper();
/// let mut journal = SessionWriter::create("journal/a".as_ref(), info, &options)?;
/// // Each turn of the loop:
/// let entries_allowed = journal.health() == Health::Good;
/// match journal.input.append(event) {
///     Ok(sequence) => { /* give the event to the engine under this number */ }
///     Err(JournalError::NotStored { .. }) => { /* market data while the disk is full: leave it out */ }
///     Err(error) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub struct SessionWriter {
    /// What the engine is told.
    pub input: StreamWriter,
    /// What it decides.
    pub output: StreamWriter,
    keepers: [Arc<Keeper>; 2],
    helper: Option<Helper>,
    life: u32,
    _lock: File,
}

impl SessionWriter {
    /// Starts a session in a folder that holds none yet.
    ///
    /// # Errors
    /// The folder holds a session, another writer has it, or the system refuses.
    pub fn create(directory: &Path, info: &SessionInfo, options: &WriterOptions) -> Result<Self, JournalError> {
        std::fs::create_dir_all(directory).map_err(JournalError::io("create", directory))?;
        let lock = lock(directory)?;
        let description = directory.join(SESSION_FILE);
        if description.exists() || !recovery::remove_empty(directory)? {
            return Err(JournalError::Exists(directory.to_owned()));
        }
        let text = toml::to_string(info)
            .map_err(|error| JournalError::Description { path: description.clone(), message: error.to_string() })?;
        let session = crc32c_portable(text.as_bytes());
        let writer = Self::open(directory, session, 1, [(1, 1), (1, 1)], lock, options)?;
        // The description comes last and whole: a folder with one is a session.
        write_whole(&description, text.as_bytes(), options.helper && options.sync != SyncPolicy::None)?;
        Ok(writer)
    }

    /// Goes on with a session whose writer died or was closed: finds the last good record of each
    /// stream, sets aside what lies behind a hole, and continues the sequence in a new segment. Takes
    /// time in proportion to one segment, not to the session.
    ///
    /// # Errors
    /// There is no session, another writer has it, or the system refuses.
    pub fn resume(directory: &Path, options: &WriterOptions) -> Result<(Self, Recovery), JournalError> {
        let path = directory.join(SESSION_FILE);
        if !path.is_file() {
            return Err(JournalError::NotASession(directory.to_owned()));
        }
        let mut lock = lock(directory)?;
        let text = std::fs::read(&path).map_err(JournalError::io("read", &path))?;
        let session = crc32c_portable(&text);
        let life = begin_life(directory, &mut lock)?;
        let recovery = recovery::recover(directory, session, life - 1)?;
        let next = |stream: &recovery::StreamRecovery| (stream.segment + 1, stream.last + 1);
        let firsts = [next(&recovery.input), next(&recovery.output)];
        let writer = Self::open(directory, session, recovery.life + 1, firsts, lock, options)?;
        Ok((writer, recovery))
    }

    fn open(
        directory: &Path,
        session: u32,
        life: u32,
        firsts: [(u64, u64); 2],
        lock: File,
        options: &WriterOptions,
    ) -> Result<Self, JournalError> {
        let options = options.limited();
        let keeper = |stream: StreamName, (number, first)| {
            let directory = directory.to_owned();
            let place = Place { directory, stream, life, session, records: options.segment_records };
            Keeper::new(place, &options, number, first).map(Arc::new)
        };
        let keepers = [keeper(StreamName::Input, firsts[0])?, keeper(StreamName::Output, firsts[1])?];
        let helper = if options.helper {
            // A session begins only where a second segment can be had for both streams.
            for keeper in &keepers {
                keeper.start()?;
            }
            Some(Helper::start(keepers.clone(), &options)?)
        } else {
            None
        };
        let [input, output] = &keepers;
        let inline = helper.is_none();
        Ok(Self {
            input: StreamWriter::new(input, inline),
            output: StreamWriter::new(output, inline),
            keepers,
            helper,
            life,
            _lock: lock,
        })
    }

    /// The worse of both streams: for every turn of a loop, two loads.
    #[inline]
    pub fn health(&self) -> Health {
        self.input.health().max(self.output.health())
    }

    /// What is wrong with the disk, for the alert; `None` while nothing is.
    pub fn trouble(&self) -> Option<Trouble> {
        self.input.trouble().or(self.output.trouble())
    }

    /// 1 for the process that created the session; each that resumed it counts one more.
    pub fn life(&self) -> u32 {
        self.life
    }

    /// Ends the helper thread and cuts the last segments to what was written.
    ///
    /// # Errors
    /// The system refuses.
    pub fn close(self) -> Result<(), JournalError> {
        let Self { input, output, keepers, helper, _lock, .. } = self;
        drop(helper);
        let written = [input.written(), output.written()];
        // The writers hold the keepers' mappings; from here on nobody stores any more.
        drop((input, output));
        for (keeper, written) in keepers.into_iter().zip(written) {
            if let Some(keeper) = Arc::into_inner(keeper) {
                keeper.close(written)?;
            }
        }
        Ok(())
    }
}

/// Takes the session's lock; it is held as long as the file is open.
fn lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(JournalError::io("open", &path))?;
    // A reader that asks whether the session is written, and a process forked by the last writer that
    // has not called exec yet, hold the lock for a moment: try for a while.
    for _ in 0..20 {
        // SAFETY: the descriptor is open and outlives the call; flock touches no memory.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(file);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(JournalError::Locked(directory.to_owned()))
}

/// Counts one more life in the lock file, before anything else is changed: a life's number is never
/// given twice, even when it ends before its first record.
fn begin_life(directory: &Path, lock: &mut File) -> Result<u32, JournalError> {
    let path = directory.join(LOCK_FILE);
    let mut text = String::new();
    lock.read_to_string(&mut text).map_err(JournalError::io("read", &path))?;
    let life = text.trim().parse::<u32>().unwrap_or(1).saturating_add(1);
    lock.write_all_at(format!("{life}\n").as_bytes(), 0)
        .and_then(|()| lock.sync_all())
        .map_err(JournalError::io("write", &path))?;
    Ok(life)
}

/// Removes the files of a session that nobody writes, and nothing else from its folder.
///
/// # Errors
/// A process writes it, or the system refuses.
pub fn remove_session(directory: &Path) -> Result<(), JournalError> {
    let _lock = lock(directory)?;
    // The description goes first: without it the folder is no session, whatever becomes of the rest.
    let mut files = vec![directory.join(SESSION_FILE)];
    for stream in StreamName::ALL {
        for number in segment::numbers(directory, stream)? {
            files.push(segment::path(directory, stream, number));
            files.push(segment::compressed_path(directory, stream, number));
        }
    }
    files.push(directory.join(LOCK_FILE));
    for path in files {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(JournalError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// True while a process writes the session in a folder.
pub(super) fn is_locked(directory: &Path) -> bool {
    let Ok(file) = File::open(directory.join(LOCK_FILE)) else { return false };
    // SAFETY: as in `lock`; a lock that is had is given back when the file is closed.
    (unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) }) != 0
}

/// Writes a file under another name and renames it: it is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8], durable: bool) -> Result<(), JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = File::create(&new).map_err(JournalError::io("create", &new))?;
    file.write_all(bytes).map_err(JournalError::io("write", &new))?;
    if durable {
        file.sync_all().map_err(JournalError::io("sync", &new))?;
    }
    std::fs::rename(&new, path).map_err(JournalError::io("name", path))?;
    match path.parent() {
        Some(directory) if durable => disk::sync_directory(directory).map_err(JournalError::io("sync", directory)),
        _ => Ok(()),
    }
}

/// The helper thread; ends when it is dropped.
struct Helper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    fn start(keepers: [Arc<Keeper>; 2], options: &WriterOptions) -> Result<Self, JournalError> {
        let stop = Arc::new(AtomicBool::new(false));
        let turn = match options.sync {
            SyncPolicy::Every(_) => Duration::from_millis(1),
            SyncPolicy::None | SyncPolicy::Interval(_) => Duration::from_millis(5),
        };
        let (stopped, directory) = (stop.clone(), keepers[0].place().directory.clone());
        let thread = std::thread::Builder::new()
            .name("pawl-journal".into())
            .spawn(move || {
                while !stopped.load(Ordering::Acquire) {
                    for keeper in &keepers {
                        keeper.turn(Instant::now());
                    }
                    std::thread::park_timeout(turn);
                }
            })
            .map_err(JournalError::io("start the helper thread for", &directory))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A helper that panicked has said so; the records are in the kernel either way.
            let _ = thread.join();
        }
    }
}

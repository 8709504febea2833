//! The latch: a file that is there until a person takes it away.
//!
//! `LATCH` in the state folder: a line of JSON (what, why, when, with what evidence) and a line with its
//! CRC-32C. Nothing but a missing file reads as "not latched": what cannot be read latches. The file
//! is made ready beforehand, blocks and all, so that writing it is one write and one rename: it takes
//! microseconds and a full disk does not prevent it. A rename survives the death of the process; it is
//! synced right after, while the liquidation already runs, and a power failure in between is met by the
//! account itself at the next start: a position without an engine, and a loss against a reference that is
//! on disk since the morning.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::core::Nanos;
use crate::core::crc::crc32c_portable;
use crate::snapshot::Level;

/// Name of the latch in the state folder.
pub const LATCH_FILE: &str = "LATCH";
const SPARE_FILE: &str = ".latch-spare";
/// A spare that is being made.
const NEW_SPARE_FILE: &str = ".latch-spare.new";
/// Made in an emergency for which there is no spare.
const URGENT_FILE: &str = ".latch-urgent";
const SPARE_BYTES: usize = 4096;

/// What a latch says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LatchRecord {
    /// Its number; grows over the life of the state folder.
    pub latch: u64,
    /// HALT or FLATTEN.
    pub level: Level,
    /// The condition that raised it.
    pub condition: String,
    /// What was found.
    pub value: String,
    /// What it was held to.
    pub limit: String,
    /// UTC nanoseconds.
    pub ts_ns: u64,
    /// The same, for a person.
    pub time: String,
    /// Version of the guardian.
    pub pawl: String,
    /// What engine and venue said at the time.
    pub evidence: BTreeMap<String, String>,
}

/// Whether anybody may trade.
#[derive(Clone, PartialEq, Debug)]
pub enum LatchState {
    /// There is no latch.
    Clear,
    /// There is one.
    Latched(Box<LatchRecord>),
    /// There is something that cannot be read as one; it latches all the same.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl LatchState {
    /// Why trading is refused, for a person; `None` when it is not.
    pub fn refusal(&self) -> Option<String> {
        let todo = "find the cause, then run `pawl guardian reset --reason \"...\"`";
        match self {
            Self::Clear => None,
            Self::Latched(record) => Some(format!(
                "latched at {} by {}: {}, limit {} (latch {}, {}); {todo}",
                record.time,
                record.condition,
                record.value,
                record.limit,
                record.latch,
                record.level.name()
            )),
            Self::Unreadable { path, reason } => Some(format!(
                "{}: expected no latch, found one that cannot be read ({reason}), which counts as latched; {todo}",
                path.display()
            )),
        }
    }

    /// Its number; 0 where there is none that can be read.
    pub fn number(&self) -> u64 {
        match self {
            Self::Latched(record) => record.latch,
            Self::Clear | Self::Unreadable { .. } => 0,
        }
    }

    /// The level in force because of it; what cannot be read is the worst.
    pub fn level(&self) -> Option<Level> {
        match self {
            Self::Clear => None,
            Self::Latched(record) => Some(record.level),
            Self::Unreadable { .. } => Some(Level::Flatten),
        }
    }
}

/// Looks whether there is a latch in a state folder. `pawl run` asks this before it does anything else.
pub fn check(state: &Path) -> LatchState {
    let path = state.join(LATCH_FILE);
    let unreadable = |reason: String| LatchState::Unreadable { path: path.clone(), reason };
    let text = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return LatchState::Clear,
        Err(error) => return unreadable(error.to_string()),
    };
    let mut lines = text.split(|byte| *byte == b'\n');
    let (json, sum) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if sum != checksum_line(json).as_bytes() {
        return unreadable("its checksum does not hold".into());
    }
    match serde_json::from_slice(json) {
        Ok(record) => LatchState::Latched(Box::new(record)),
        Err(error) => unreadable(error.to_string()),
    }
}

fn checksum_line(json: &[u8]) -> String {
    format!("crc32c {:08x}", crc32c_portable(json))
}

/// Writes latches, prepared for the worst.
#[derive(Debug)]
pub struct LatchWriter {
    state: PathBuf,
    spare: Spare,
}

/// The file that is ready to become a latch; another thread makes a new one when it was used.
#[derive(Clone, Debug)]
pub struct Spare {
    state: PathBuf,
    file: Arc<Mutex<Option<File>>>,
}

impl Spare {
    /// Makes a new one if there is none, its blocks reserved and on disk. One that an earlier guardian left is kept
    /// while it is whole: on a full disk there would be no other.
    ///
    /// # Errors
    /// The system refuses; the next latch is written without it.
    pub fn refill(&self) -> io::Result<()> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let path = self.state.join(SPARE_FILE);
            let file = match whole(&path) {
                Some(file) => Ok(file),
                None => self.make_new(&path),
            };
            *slot = Some(file?);
        }
        Ok(())
    }

    fn make_new(&self, path: &Path) -> io::Result<File> {
        let new = self.state.join(NEW_SPARE_FILE);
        let file = make(&new)?;
        file.sync_all()?;
        fs::rename(new, path)?;
        Ok(file)
    }

    /// True while the next latch would be written without one.
    pub(super) fn is_missing(&self) -> bool {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Takes it, unless it is being made this moment: nobody waits for a disk in an emergency.
    fn take(&self) -> Option<File> {
        self.file.try_lock().ok()?.take()
    }
}

/// A new file with room for a latch.
fn make(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // Half a file takes room that others need.
    file.write_all(&[b'\n'; SPARE_BYTES]).inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(file)
}

/// A spare that is there already, unused and with all of its blocks.
fn whole(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(SPARE_BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes == [b'\n'; SPARE_BYTES]).then_some(file)
}

/// Writes a latch into a file and gives it its name.
fn put(file: File, json: &[u8], from: &Path, latch: &Path) -> io::Result<File> {
    file.write_all_at(json, 0)?;
    fs::rename(from, latch)?;
    Ok(file)
}

impl LatchWriter {
    /// Makes the spare file with its blocks reserved and synced. What the system refuses is said and done without: a
    /// guardian that does not start for want of a file protects nobody.
    pub fn prepare(state: &Path) -> Self {
        let spare = Spare { state: state.to_owned(), file: Arc::default() };
        if let Err(error) = spare.refill() {
            eprintln!("pawl guardian: no file is ready for the next latch: {error}");
        }
        Self { state: state.to_owned(), spare }
    }

    /// For the thread that makes the next spare.
    pub fn spare(&self) -> Spare {
        self.spare.clone()
    }

    /// Puts the latch in place: a write and a rename. The file is returned to be synced with [`sync`]; a new
    /// spare is to be made after that.
    ///
    /// # Errors
    /// The system refuses; then there may be no latch on disk, and the caller acts all the same.
    pub fn write(&mut self, record: &LatchRecord) -> io::Result<File> {
        let mut json = serde_json::to_vec(record).map_err(io::Error::other)?;
        let sum = checksum_line(&json);
        json.extend_from_slice(format!("\n{sum}\n").as_bytes());
        let latch = self.state.join(LATCH_FILE);
        if let Some(file) = self.spare.take()
            && let Ok(file) = put(file, &json, &self.state.join(SPARE_FILE), &latch)
        {
            return Ok(file);
        }
        // A second latch (a higher level) close on the first, or a spare that somebody has deleted.
        let urgent = self.state.join(URGENT_FILE);
        let made = make(&urgent).and_then(|file| put(file, &json, &urgent, &latch));
        made.or_else(|_| {
            // On a disk that is full the first latch has the room; torn, it is a latch of the worst kind.
            let file = OpenOptions::new().write(true).open(latch)?;
            file.write_all_at(&json, 0)?;
            Ok(file)
        })
    }
}

/// Brings a latch and its name to the disk.
///
/// # Errors
/// The system refuses.
pub fn sync(state: &Path, file: &File) -> io::Result<()> {
    file.sync_all()?;
    File::open(state)?.sync_all()
}

/// Takes the latch away, for a person who has given a reason that is already on disk.
///
/// # Errors
/// The system refuses; it stays latched.
pub fn remove(state: &Path) -> io::Result<()> {
    match fs::remove_file(state.join(LATCH_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::open(state)?.sync_all(),
    }
}

impl LatchRecord {
    /// A record of now.
    pub fn new(latch: u64, level: Level, condition: &str, value: String, limit: String, now: Nanos) -> Self {
        Self {
            latch,
            level,
            condition: condition.to_owned(),
            value,
            limit,
            ts_ns: now.0,
            time: now.to_string(),
            pawl: env!("CARGO_PKG_VERSION").to_owned(),
            evidence: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn record(latch: u64, level: Level) -> LatchRecord {
        LatchRecord::new(latch, level, "daily-loss", "3.1 %".into(), "3 %".into(), Nanos(1_732_457_002_000_000_000))
    }

    #[test]
    fn a_latch_is_there_until_it_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check(folder.path()), LatchState::Clear);
        assert_eq!(check(&folder.path().join("never made")), LatchState::Clear);
        let mut writer = LatchWriter::prepare(folder.path());
        let file = writer.write(&record(1, Level::Halt)).unwrap();
        sync(folder.path(), &file).unwrap();
        assert_eq!(check(folder.path()), LatchState::Latched(Box::new(record(1, Level::Halt))));
        writer.write(&record(1, Level::Flatten)).unwrap();
        assert_eq!(check(folder.path()).level(), Some(Level::Flatten));
        // Without a spare, and without a way to make one, the latch that is there is overwritten.
        fs::create_dir(folder.path().join(URGENT_FILE)).unwrap();
        writer.write(&record(2, Level::Flatten)).unwrap();
        assert_eq!(check(folder.path()), LatchState::Latched(Box::new(record(2, Level::Flatten))));
        // With a spare again it is a new file.
        writer.spare().refill().unwrap();
        writer.write(&record(3, Level::Halt)).unwrap();
        assert_eq!(check(folder.path()), LatchState::Latched(Box::new(record(3, Level::Halt))));
        let refusal = check(folder.path()).refusal().unwrap();
        assert!(refusal.contains("daily-loss") && refusal.contains("pawl guardian reset"), "{refusal}");
        let mode = fs::metadata(folder.path().join(LATCH_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        remove(folder.path()).unwrap();
        assert_eq!(check(folder.path()), LatchState::Clear);
        remove(folder.path()).unwrap();
    }

    #[test]
    fn a_spare_that_is_whole_is_kept_and_one_that_is_not_is_replaced() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SPARE_FILE);
        let inode = || fs::metadata(&path).unwrap().ino();
        drop(LatchWriter::prepare(folder.path()));
        let first = inode();
        // Nothing can be made here any more, and nothing has to be.
        fs::create_dir(folder.path().join(NEW_SPARE_FILE)).unwrap();
        let mut writer = LatchWriter::prepare(folder.path());
        assert_eq!((inode(), writer.spare().is_missing()), (first, false));
        writer.write(&record(1, Level::Halt)).unwrap();
        assert_eq!(check(folder.path()), LatchState::Latched(Box::new(record(1, Level::Halt))));
        assert!(LatchWriter::prepare(folder.path()).spare().is_missing(), "without one it starts all the same");
        fs::remove_dir(folder.path().join(NEW_SPARE_FILE)).unwrap();
        for bad in [&b"\n"[..], &[0; SPARE_BYTES], &[b'\n'; SPARE_BYTES + 1]] {
            fs::write(&path, bad).unwrap();
            assert!(!LatchWriter::prepare(folder.path()).spare().is_missing());
            assert_eq!(fs::read(&path).unwrap(), [b'\n'; SPARE_BYTES]);
        }
    }

    #[test]
    fn a_spare_that_was_deleted_does_not_keep_the_latch_from_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = LatchWriter::prepare(folder.path());
        fs::remove_file(folder.path().join(SPARE_FILE)).unwrap();
        writer.write(&record(1, Level::Flatten)).unwrap();
        assert_eq!(check(folder.path()), LatchState::Latched(Box::new(record(1, Level::Flatten))));
        assert_eq!((check(folder.path()).number(), LatchState::Clear.number()), (1, 0));
    }

    #[test]
    fn every_damaged_latch_is_a_latch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LATCH_FILE);
        LatchWriter::prepare(folder.path()).write(&record(1, Level::Halt)).unwrap();
        let whole = fs::read(&path).unwrap();
        let used = whole.iter().rposition(|byte| *byte != b'\n').unwrap() + 1;
        let latched = || assert_ne!(check(folder.path()), LatchState::Clear);
        for length in 0..used {
            fs::write(&path, &whole[..length]).unwrap();
            latched();
            assert_eq!(check(folder.path()).level(), Some(Level::Flatten), "cut at {length}");
        }
        for byte in 0..used {
            let mut bent = whole.clone();
            bent[byte] ^= 1;
            fs::write(&path, &bent).unwrap();
            assert_eq!(check(folder.path()).level(), Some(Level::Flatten), "byte {byte}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        latched();
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        latched();
    }
}

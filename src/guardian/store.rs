//! The state folder: its lock, the ledger, what was learnt of the instruments.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::snapshot::{Level, ProcessIdentity};

use super::binance::KnownSymbol;
use super::cash::CashMark;
use super::ledger::Ledger;

const LEDGER_FILE: &str = "guardian-state.json";
const CASH_FILE: &str = "guardian-cash.json";
const LOCK_FILE: &str = "guardian.lock";

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `make` or `lock`.
        verb: &'static str,
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else is the guardian.
    #[error("{}: expected to be the only guardian of this account, found another one running", .0.display())]
    Locked(PathBuf),
}

impl StoreError {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }
}

/// What the ledger's file holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    ledger: Ledger,
    engine: Option<SavedProcess>,
    instruments: Vec<KnownSymbol>,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
struct SavedProcess {
    pid: u32,
    start_ticks: u64,
    boot: u64,
}

/// What is remembered.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Memory {
    /// Level, day, peak.
    pub ledger: Ledger,
    /// The engine that was attached last.
    pub engine: Option<ProcessIdentity>,
    /// The venue's grids when it last told them.
    pub instruments: Vec<KnownSymbol>,
    /// How far the account's cash was accounted for.
    pub cash: Option<CashMark>,
    /// What was there could not be read: nothing of it is believed.
    pub damaged: Option<String>,
}

/// The state folder of one account, held by one guardian.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _lock: File,
}

impl Store {
    /// Makes the folder if need be and takes its lock.
    ///
    /// # Errors
    /// Another guardian holds it, or the system refuses.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(StoreError::io("make", folder))?;
        let path = folder.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path).map_err(StoreError::io("lock", &path))?;
        // SAFETY: the descriptor is open and outlives the call; flock touches no memory.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(StoreError::Locked(folder.to_owned()));
        }
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is remembered. A file that cannot be read is not a first start: entries stay forbidden
    /// (REDUCE_ONLY) until a person has looked.
    pub fn recall(&self) -> Memory {
        let path = self.folder.join(LEDGER_FILE);
        let damaged = |why: String| Memory {
            ledger: Ledger { level: Level::ReduceOnly, ..Ledger::default() },
            damaged: Some(format!("{}: {why}", path.display())),
            ..Memory::default()
        };
        let cash = self.recall_cash();
        match read_json::<Saved>(&path) {
            Ok(saved) => {
                let identity = |saved: SavedProcess| ProcessIdentity {
                    pid: saved.pid,
                    start_ticks: saved.start_ticks,
                    boot: saved.boot,
                };
                Memory {
                    ledger: saved.ledger,
                    engine: saved.engine.map(identity),
                    instruments: saved.instruments,
                    cash,
                    damaged: None,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::default(),
            Err(error) => damaged(error.to_string()),
        }
    }

    /// How far the cash was accounted for; without it, what moved since then counts as profit or loss.
    fn recall_cash(&self) -> Option<CashMark> {
        let path = self.folder.join(CASH_FILE);
        match read_json(&path) {
            Ok(mark) => Some(mark),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let what = "a deposit or withdrawal made while no guardian ran counts as profit or loss";
                eprintln!("pawl guardian: {}: {error}: {what}", path.display());
                None
            }
        }
    }

    fn save_cash(&self, mark: &CashMark) -> io::Result<()> {
        let path = self.folder.join(CASH_FILE);
        serde_json::to_vec_pretty(mark).map_err(io::Error::other).and_then(|bytes| write_whole(&path, &bytes))
    }

    /// Remembers, on disk when it returns.
    ///
    /// # Errors
    /// The system refuses; what was remembered before stands.
    pub fn save(
        &self,
        ledger: &Ledger,
        engine: Option<ProcessIdentity>,
        instruments: Vec<KnownSymbol>,
    ) -> Result<(), StoreError> {
        let process = |engine: ProcessIdentity| SavedProcess {
            pid: engine.pid,
            start_ticks: engine.start_ticks,
            boot: engine.boot,
        };
        let saved = Saved { ledger: *ledger, engine: engine.map(process), instruments };
        let path = self.folder.join(LEDGER_FILE);
        let bytes = serde_json::to_vec_pretty(&saved).map_err(io::Error::other);
        bytes.and_then(|bytes| write_whole(&path, &bytes)).map_err(StoreError::io("write", &path))
    }
}

/// What was to be remembered, and whether it is.
pub(super) struct Outcome {
    pub(super) ledger: Ledger,
    pub(super) engine: Option<ProcessIdentity>,
    pub(super) result: Result<(), StoreError>,
}

/// What the saver is given.
#[derive(Debug)]
enum ToSave {
    Ledger(Ledger, Option<ProcessIdentity>),
    Cash(CashMark),
    /// There is nothing more.
    End,
}

/// The polling thread's way to the saver.
#[derive(Clone, Debug)]
pub(super) struct CashSaver(Sender<ToSave>);

impl CashSaver {
    /// Remembers it before long.
    pub(super) fn save(&self, mark: CashMark) {
        // The other end may be gone: the guardian is stopping.
        let _ = self.0.send(ToSave::Cash(mark));
    }
}

/// Remembers on a thread of its own: a close that waits for the fence must not wait for a disk.
#[derive(Debug)]
pub(super) struct Saver {
    orders: Sender<ToSave>,
    done: Receiver<Outcome>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// Starts the thread. It holds the folder's lock as long as this lives.
    pub(super) fn start(store: Store, instruments: Vec<KnownSymbol>) -> Self {
        let (orders, incoming) = channel();
        let (outgoing, done) = channel();
        let thread = std::thread::spawn(move || {
            for order in incoming {
                match order {
                    ToSave::Ledger(ledger, engine) => {
                        let result = store.save(&ledger, engine, instruments.clone());
                        // The other end may be gone: the guardian is stopping.
                        let _ = outgoing.send(Outcome { ledger, engine, result });
                    }
                    ToSave::Cash(mark) => {
                        if let Err(error) = store.save_cash(&mark) {
                            eprintln!("pawl guardian: cannot remember the account's cash: {error}");
                        }
                    }
                    ToSave::End => break,
                }
            }
        });
        Self { orders, done, busy: false, thread: Some(thread) }
    }

    /// For the thread that reads the account.
    pub(super) fn cash(&self) -> CashSaver {
        CashSaver(self.orders.clone())
    }

    /// False while something is being remembered: ask again.
    pub(super) fn save(&mut self, ledger: &Ledger, engine: Option<ProcessIdentity>) -> bool {
        if self.busy {
            return false;
        }
        self.busy = self.orders.send(ToSave::Ledger(*ledger, engine)).is_ok();
        self.busy
    }

    /// What became of the last one, once.
    pub(super) fn done(&mut self) -> Option<Outcome> {
        let done = self.done.try_recv().ok()?;
        self.busy = false;
        Some(done)
    }
}

impl Drop for Saver {
    /// Waits until everything is on disk.
    fn drop(&mut self) {
        let _ = self.orders.send(ToSave::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads JSON.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes a file such that it is there whole, on disk, or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Money;
    use crate::guardian::ledger::Day;

    #[test]
    fn what_is_saved_is_recalled_and_damage_is_no_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.recall(), Memory::default());
        let day = Day { number: 20_000, reference: Money::whole(10_000) };
        let (peak, transfers, unbooked) = (Some(Money::whole(11_000)), Some(Money::whole(-50)), Money::whole(-20));
        let ledger = Ledger { level: Level::Halt, latches: 3, day: Some(day), peak, transfers, unbooked };
        let me = ProcessIdentity::current().unwrap();
        store.save(&ledger, Some(me), vec![]).unwrap();
        let expected = Memory { ledger, engine: Some(me), ..Memory::default() };
        assert_eq!(store.recall(), expected);
        let path = folder.path().join(LEDGER_FILE);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            let memory = store.recall();
            assert!(memory.damaged.is_some() && memory.ledger.level == Level::ReduceOnly, "cut at {length}");
        }
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let day = Some(Day { number: 20_000, reference: Money::whole(10_000) });
        let ledger = Ledger { latches: 3, day, ..Ledger::default() };
        store.save(&ledger, None, vec![]).unwrap();
        let path = folder.path().join(LEDGER_FILE);
        let mut file: serde_json::Value = read_json(&path).unwrap();
        for field in ["transfers", "unbooked"] {
            file["ledger"].as_object_mut().unwrap().remove(field).unwrap();
        }
        fs::write(&path, file.to_string()).unwrap();
        let memory = store.recall();
        assert_eq!((memory.damaged, memory.ledger), (None, ledger));
    }

    #[test]
    fn one_account_has_one_guardian() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Locked(_))));
        drop(first);
        Store::open(folder.path()).unwrap();
    }
}

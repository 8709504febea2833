//! A disk that fills up, a file-size limit, a folder that vanishes and a read-only filesystem: no
//! signal, no lost record, entries stop, exits are still recorded, and the condition is named.
//!
//! Each case runs in a child process: a SIGBUS or SIGXFSZ would end it, and the parent would see it.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pawl::core::{Event, EventKind, InstrumentId, Nanos};
use pawl::journal::{
    Health, JournalError, SessionInfo, SessionReader, SessionWriter, StreamName, SyncPolicy, Trouble, WriterOptions,
    check_session,
};

const FOLDER: &str = "PAWL_TEST_FOLDER";

fn info() -> SessionInfo {
    SessionInfo { version: 1, ..SessionInfo::default() }
}

fn event(kind: EventKind, number: u64) -> Event {
    Event::new(kind, InstrumentId(1), Nanos(number), Nanos(number * 7), [number, !number, 5, number ^ 9])
}

fn options() -> WriterOptions {
    WriterOptions {
        segment_records: 1_024,
        reserve_records: 256,
        prefault_records: 256,
        min_free_bytes: 0,
        sync: SyncPolicy::Every(100),
        ..WriterOptions::default()
    }
    .with_helper()
}

/// Waits until the helper thread has seen to it; fails after a minute.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::yield_now();
    }
}

/// Runs a test of this file in a child process with a folder of its own.
fn in_a_child(test: &str, folder: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), None, "{test} was ended by a signal\n{text}");
    assert!(output.status.success(), "{text}");
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// A filesystem of one MiB in memory; `None`, said visibly, where mounting is not permitted.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn mount(options: &str) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(place)),
            _ => {
                eprintln!(
                    "SKIPPED: mounting a tmpfs is not permitted here; the file-size limit is tested all the same"
                );
                None
            }
        }
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_stops_entries_keeps_exits_and_heals() {
    let Some(disk) = TinyDisk::mount("size=1m") else { return };
    in_a_child("child_on_a_disk_that_fills_up", disk.0.path());
}

#[test]
fn child_on_a_disk_that_fills_up() {
    let Some(folder) = folder() else { return };
    let directory = folder.join("session");
    let mut session = SessionWriter::create(&directory, &info(), &options()).unwrap();
    assert_eq!(session.health(), Health::Good);
    // Somebody else fills the disk to its last byte.
    let filler = folder.join("filler");
    let mut bytes = vec![1u8; 1 << 20];
    while !bytes.is_empty() {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&filler).unwrap();
        if std::io::Write::write(&mut file, &bytes).is_err() {
            bytes.truncate(bytes.len() / 2);
        }
    }
    let (mut stored, mut quotes, mut refused_at) = (Vec::new(), 0u64, None);
    // The present segment and the spare are there; the next one cannot be had.
    while refused_at.is_none() {
        let quote = event(EventKind::Quote, quotes);
        quotes += 1;
        match session.input.append(&quote) {
            Ok(sequence) => stored.push(quote.sealed(sequence)),
            Err(JournalError::NotStored { trouble, .. }) => {
                if trouble == Trouble::Full {
                    assert_eq!((session.health(), session.trouble()), (Health::Full, Some(Trouble::Full)));
                    refused_at = Some(stored.len());
                } else {
                    assert_eq!(trouble, Trouble::Late, "{trouble}");
                }
            }
            Err(error) => panic!("{error}"),
        }
        if stored.len() == 1_024 + 500 {
            // Half a segment is left: entries stop now, and nothing has been refused yet.
            until("the disk's trouble is known", || session.health() == Health::LowSpace);
            assert_eq!(session.trouble(), Some(Trouble::Full));
        }
    }
    assert_eq!(refused_at, Some(2_048 - 256), "market data ends where the reserve begins");
    // Exits go on: executions, commands, and the quotes that they need.
    for number in 0..64 {
        for fill in [event(EventKind::Fill, number), event(EventKind::Timer, number)] {
            let sequence = session.input.append(&fill).unwrap();
            stored.push(fill.sealed(sequence));
        }
        let quote = event(EventKind::Quote, number);
        assert!(session.input.append(&quote).is_err(), "the reserve is not for the market at large");
        let sequence = session.input.append_essential(&quote).unwrap();
        stored.push(quote.sealed(sequence));
        session.output.append(&event(EventKind::Submit, number)).unwrap();
    }
    // When even the reserve is used up, an append says so and the caller goes on.
    while let Ok(sequence) = session.input.append(&event(EventKind::Timer, 7)) {
        stored.push(event(EventKind::Timer, 7).sealed(sequence));
    }
    assert_eq!(stored.len(), 2_048);
    assert!(session.input.not_stored() >= 64 + 2, "{}", session.input.not_stored());
    // There is space again: the helper finds out, and the stream goes on without a gap.
    std::fs::remove_file(&filler).unwrap();
    until("there is space again", || session.trouble().is_none());
    for number in 0..2_000 {
        let quote = event(EventKind::Quote, number);
        let mut sequence = Err(());
        until("a place", || {
            sequence = session.input.append(&quote).map_err(drop);
            sequence.is_ok()
        });
        stored.push(quote.sealed(sequence.unwrap()));
    }
    assert_eq!(session.health(), Health::Good);
    session.close().unwrap();
    let reader = SessionReader::open(&directory).unwrap();
    let mut stream = reader.stream(StreamName::Input).unwrap();
    let found: Vec<Event> = std::iter::from_fn(|| stream.next_event()).map(Result::unwrap).collect();
    assert!(found == stored, "{} of {} acknowledged records", found.len(), stored.len());
    assert!(check_session(&reader).unwrap().is_good());
}

#[test]
fn a_disk_too_small_for_a_session_is_refused_at_the_start() {
    let Some(disk) = TinyDisk::mount("size=100k") else { return };
    let error = SessionWriter::create(&disk.0.path().join("a"), &info(), &options()).err().unwrap().to_string();
    assert!(error.contains("reserve disk space for") && error.contains("No space left"), "{error}");
    assert!(!disk.0.path().join("a/session.toml").exists(), "half a session was left");
}

#[test]
fn a_read_only_filesystem_is_refused_at_the_start() {
    let Some(disk) = TinyDisk::mount("size=1m,ro") else { return };
    let error = SessionWriter::create(&disk.0.path().join("a"), &info(), &options()).err().unwrap().to_string();
    assert!(error.contains("Read-only file system"), "{error}");
}

#[test]
fn a_file_size_limit_is_an_error_and_not_a_signal() {
    in_a_child("child_under_a_file_size_limit", tempfile::tempdir().unwrap().path());
}

#[test]
fn child_under_a_file_size_limit() {
    let Some(folder) = folder() else { return };
    let limit = |bytes| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a plain struct that outlives the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    };
    let mut session = SessionWriter::create(&folder.join("a"), &info(), &options()).unwrap();
    limit(10_000);
    for number in 0..1_100 {
        until("a place", || session.input.append(&event(EventKind::Quote, number)).is_ok());
    }
    until("the limit is known", || session.health() != Health::Good);
    assert_eq!(session.trouble(), Some(Trouble::FileSize));
    limit(libc::RLIM_INFINITY);
    until("the limit is gone", || session.trouble().is_none());
    limit(10_000);
    // Without a helper thread the caller gets the error itself.
    let inline = WriterOptions { segment_records: 1_000, ..WriterOptions::default() };
    let error = SessionWriter::create(&folder.join("b"), &info(), &inline).err().unwrap().to_string();
    assert!(error.contains("File too large"), "{error}");
}

#[test]
fn a_folder_that_vanishes_stops_entries() {
    in_a_child("child_whose_folder_vanishes", tempfile::tempdir().unwrap().path());
}

#[test]
fn child_whose_folder_vanishes() {
    let Some(folder) = folder() else { return };
    let directory = folder.join("session");
    let mut session = SessionWriter::create(&directory, &info(), &options()).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    until("the loss is known", || session.health() == Health::LowSpace);
    assert_eq!(session.trouble(), Some(Trouble::Gone));
    // Exits can still be decided on: no store into a mapped file raises a signal.
    let stored = (0..5_000).filter(|number| session.input.append(&event(EventKind::Timer, *number)).is_ok()).count();
    assert_eq!(stored, 2_048);
}

#[test]
fn too_little_free_space_stops_entries_before_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let options = WriterOptions { min_free_bytes: u64::MAX, ..options() };
    let session = SessionWriter::create(folder.path(), &info(), &options).unwrap();
    until("the floor is seen", || session.health() == Health::LowSpace);
    assert_eq!(session.trouble(), Some(Trouble::Low));
}

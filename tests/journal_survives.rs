//! A killed writer loses no appended record, whatever it was doing; a reader beside it sees every
//! record once, in order and whole; a resumed session goes on where it ended.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memmap2::MmapRaw;
use pawl::core::{Event, EventKind, InstrumentId, Nanos, Span};
use pawl::journal::{
    JournalError, SessionInfo, SessionReader, SessionWriter, StreamName, StreamReader, StreamWriter, SyncPolicy,
    WriterOptions, check_session,
};

fn info() -> SessionInfo {
    SessionInfo { version: 1, ..SessionInfo::default() }
}

fn event(number: u64) -> Event {
    Event::new(EventKind::Trade, InstrumentId(3), Nanos(number), Nanos(number * 7), [number, !number, 5, number ^ 9])
}

fn small(segment_records: usize) -> WriterOptions {
    WriterOptions { segment_records, min_free_bytes: 0, ..WriterOptions::default() }
}

/// Every record up to the end; each must be the one that was written there.
fn read(directory: &Path, name: StreamName) -> u64 {
    let mut stream = SessionReader::open(directory).and_then(|session| session.stream(name)).unwrap();
    follow(&mut stream);
    stream.sequence()
}

fn follow(stream: &mut StreamReader) {
    while let Some(next) = stream.next_event() {
        let found = next.unwrap();
        assert_eq!(found, event(found.sequence).sealed(found.sequence));
    }
}

/// Appends until there is a place: the helper thread of a tiny segment is always late.
fn append(stream: &mut StreamWriter, event: &Event) -> u64 {
    loop {
        match stream.append(event) {
            Ok(sequence) => return sequence,
            Err(JournalError::NotStored { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn many_segments_read_back_in_order_while_they_are_written_and_after() {
    for helper in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let options = WriterOptions { helper, ..small(1_000) };
        let mut session = SessionWriter::create(folder.path(), &info(), &options).unwrap();
        let mut reader = SessionReader::open(folder.path()).unwrap().stream(StreamName::Input).unwrap();
        for number in 1..=12_345 {
            assert_eq!(append(&mut session.input, &event(number)), number);
            if number % 97 == 0 {
                follow(&mut reader);
                assert_eq!(reader.sequence(), number, "a reader sees a record as soon as its append returned");
            }
        }
        session.close().unwrap();
        follow(&mut reader);
        assert_eq!((reader.sequence(), read(folder.path(), StreamName::Input)), (12_345, 12_345));
        let check = check_session(&SessionReader::open(folder.path()).unwrap()).unwrap();
        assert!(check.is_good() && check.streams[0].good == [(1, 12_345)], "{check}");
        assert!(check.others.is_empty(), "a spare or a half-made segment was left: {check}");
    }
}

#[test]
fn a_resumed_session_goes_on_in_a_new_segment() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = 0;
    for life in 1..=6u32 {
        let options = WriterOptions { helper: life % 2 == 0, ..small(300) };
        let mut session = if life == 1 {
            SessionWriter::create(folder.path(), &info(), &options).unwrap()
        } else {
            let (session, found) = SessionWriter::resume(folder.path(), &options).unwrap();
            assert_eq!((found.input.last, found.input.stray, found.output.last), (written, 0, 0), "{found}");
            session
        };
        assert_eq!((session.life(), session.input.written()), (life, written));
        // A life may also write nothing at all.
        for _ in 0..[0, 1, 299, 300, 301, 900][life as usize - 1] {
            written += 1;
            assert_eq!(append(&mut session.input, &event(written)), written);
        }
        if life % 3 == 0 {
            session.close().unwrap();
        }
    }
    assert_eq!(read(folder.path(), StreamName::Input), written);
    let check = check_session(&SessionReader::open(folder.path()).unwrap()).unwrap();
    assert!(check.is_good() && check.streams[0].good == [(1, written)], "{check}");
}

/// A counter that survives the death of the process that writes it.
struct Acknowledged(MmapRaw);

impl Acknowledged {
    fn open(path: &Path) -> Self {
        let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len(16).unwrap();
        Self(MmapRaw::map_raw(&file).unwrap())
    }

    fn counter(&self, name: StreamName) -> &AtomicU64 {
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping begins at a page")]
        let first = self.0.as_ptr().cast::<AtomicU64>();
        // SAFETY: 16 bytes are mapped and page-aligned; both processes access them atomically.
        unsafe { &*first.add(name as usize) }
    }
}

const FOLDER: &str = "PAWL_TEST_JOURNAL";
const POLICY: &str = "PAWL_TEST_POLICY";

/// Run in a child process by the test below: goes on with the session, appends for ever, and counts
/// each record in shared memory once its append has returned.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let options = match std::env::var(POLICY).unwrap().as_str() {
        "inline" => small(700),
        "every" => WriterOptions { sync: SyncPolicy::Every(50), ..small(700).with_helper() },
        "interval" => WriterOptions { sync: SyncPolicy::Interval(Span::millis(2)), ..small(700).with_helper() },
        _ => WriterOptions { sync: SyncPolicy::None, ..small(700).with_helper() },
    };
    let session = folder.join("session");
    let mut writer = match SessionWriter::resume(&session, &options) {
        Ok((writer, found)) => {
            assert_eq!((found.input.stray, found.input.damaged), (0, 0), "a killed process leaves a clean end");
            writer
        }
        Err(JournalError::NotASession(_)) => SessionWriter::create(&session, &info(), &options).unwrap(),
        Err(error) => panic!("{error}"),
    };
    let acknowledged = Acknowledged::open(&folder.join("acknowledged"));
    loop {
        let next = event(writer.input.written() + 1);
        let number = append(&mut writer.input, &next);
        acknowledged.counter(StreamName::Input).store(number, Ordering::Release);
        if number.is_multiple_of(3) {
            let next = event(writer.output.written() + 1);
            let number = append(&mut writer.output, &next);
            acknowledged.counter(StreamName::Output).store(number, Ordering::Release);
        }
    }
}

fn spawn_writer(folder: &Path, policy: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(POLICY, policy)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// 320 kills: 40 sessions of 8 lives. Instants are random from the spawn on, so that some fall into
/// creating, resuming, rolling over and syncing.
#[test]
fn a_writer_killed_at_random_instants_loses_nothing_that_was_appended() {
    let (mut state, mut total) = (0x9e37_79b9_7f4a_7c15u64, 0);
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("session");
        let acknowledged = Acknowledged::open(&folder.path().join("acknowledged"));
        let mut readers: Option<[StreamReader; 2]> = None;
        for _life in 0..8 {
            let policy = ["inline", "none", "interval", "every"][random(4) as usize];
            let mut child = spawn_writer(folder.path(), policy);
            let until = Instant::now() + Duration::from_micros(random(60_000));
            while Instant::now() < until {
                // The reader follows the living writer.
                if readers.is_none()
                    && let Ok(session) = SessionReader::open(&directory)
                {
                    readers = Some(StreamName::ALL.map(|name| session.stream(name).unwrap()));
                }
                readers.iter_mut().flatten().for_each(follow);
                std::thread::sleep(Duration::from_micros(500));
            }
            assert!(child.try_wait().unwrap().is_none(), "round {round}, {policy}: the writer ended by itself");
            child.kill().unwrap();
            child.wait().unwrap();
            let Some(readers) = &mut readers else { continue };
            for (name, reader) in StreamName::ALL.into_iter().zip(readers) {
                let appended = acknowledged.counter(name).load(Ordering::Acquire);
                follow(reader);
                let (followed, found) = (reader.sequence(), read(&directory, name));
                assert!(found >= appended, "round {round}, {policy}: {found} of {appended} {} records", name.name());
                assert_eq!(followed, found, "round {round}, {policy}: the follower missed some: {reader:?}");
            }
        }
        if let Ok(session) = SessionReader::open(&directory) {
            let check = check_session(&session).unwrap();
            assert!(check.is_good(), "round {round}: {check}");
            total += check.streams.iter().map(pawl::journal::StreamCheck::records).sum::<u64>();
        }
    }
    eprintln!("320 kills, {total} records, none lost");
    assert!(total > 100_000, "the writers hardly wrote: {total}");
}

#[test]
fn a_second_writer_and_an_old_session_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let create = || SessionWriter::create(folder.path(), &info(), &small(8));
    let resume = || SessionWriter::resume(folder.path(), &small(8)).map(|(writer, _)| writer);
    assert!(matches!(resume().err(), Some(JournalError::NotASession(_))));
    let first = create().unwrap();
    assert!(matches!(create().err(), Some(JournalError::Locked(_))));
    assert!(matches!(resume().err(), Some(JournalError::Locked(_))));
    assert!(SessionReader::open(folder.path()).unwrap().is_being_written());
    first.close().unwrap();
    assert!(matches!(create().err(), Some(JournalError::Exists(_))));
    assert!(!SessionReader::open(folder.path()).unwrap().is_being_written());
    resume().unwrap();
}

#[test]
fn records_without_a_description_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = SessionWriter::create(folder.path(), &info(), &small(100)).unwrap();
    session.input.append(&event(1)).unwrap();
    session.close().unwrap();
    std::fs::remove_file(folder.path().join("session.toml")).unwrap();
    let again = || SessionWriter::create(folder.path(), &info(), &small(100));
    assert!(matches!(again().err(), Some(JournalError::Exists(_))));
    // What a creation that was killed leaves is in nobody's way.
    std::fs::remove_file(folder.path().join("input-000001.seg")).unwrap();
    again().unwrap();
}

#[test]
fn what_the_policy_promises_reaches_the_disk() {
    for (sync, records) in [(SyncPolicy::Every(1), 3), (SyncPolicy::Interval(Span::millis(20)), 3_000)] {
        let folder = tempfile::tempdir().unwrap();
        let options = WriterOptions { sync, ..small(1_000).with_helper() };
        let mut session = SessionWriter::create(folder.path(), &info(), &options).unwrap();
        for number in 1..=records {
            append(&mut session.input, &event(number));
        }
        // Also the records of the page that the writer still stands on.
        let deadline = Instant::now() + Duration::from_secs(60);
        while session.input.durable() < records {
            assert!(Instant::now() < deadline, "{sync:?}: {} of {records} durable", session.input.durable());
            std::thread::yield_now();
        }
        assert_eq!(session.trouble(), None);
    }
}

//! A killed writer loses no appended record; a damaged journal never yields what was not written.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use pawl::core::{Event, EventKind, InstrumentId, Nanos};
use pawl::journal::{JournalError, SessionInfo, SessionReader, SessionWriter, StreamName, WriterOptions};

fn info() -> SessionInfo {
    SessionInfo { version: 1, ..SessionInfo::default() }
}

fn event(number: u64) -> Event {
    Event::new(EventKind::Trade, InstrumentId(3), Nanos(number), Nanos(number * 7), [number, !number, 5, number ^ 9])
}

fn writer(directory: &Path, segment_records: usize) -> SessionWriter {
    SessionWriter::create(directory, &info(), &WriterOptions { segment_records }).unwrap()
}

/// Records up to the end or the first error.
fn read(directory: &Path) -> (Vec<Event>, Option<JournalError>) {
    let mut stream = match SessionReader::open(directory).and_then(|session| session.stream(StreamName::Input)) {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut events = Vec::new();
    while let Some(next) = stream.next_event() {
        match next {
            Ok(event) => events.push(event),
            Err(error) => return (events, Some(error)),
        }
    }
    (events, None)
}

fn is_what_was_written(events: &[Event]) -> bool {
    events.iter().zip(1..).all(|(found, number)| *found == event(number).sealed(number))
}

#[test]
fn many_segments_read_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = writer(folder.path(), 1_000);
    for number in 1..=12_345 {
        assert_eq!(session.input.append(&event(number)).unwrap(), number);
    }
    let (live, error) = read(folder.path());
    assert!(error.is_none() && live.len() == 12_345, "readable while it is written: {error:?}");
    session.close().unwrap();
    let (closed, error) = read(folder.path());
    assert!(error.is_none() && closed == live && is_what_was_written(&closed));
}

/// Run in a child process by the test below: appends for ever, telling after each record.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(directory) = std::env::var("PAWL_TEST_JOURNAL") else { return };
    let mut session = writer(Path::new(&directory), 500);
    for number in 1..=5_000_000 {
        session.input.append(&event(number)).unwrap();
        println!("appended {number}");
    }
}

#[test]
fn a_killed_writer_loses_no_appended_record() {
    for round in 0..20usize {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
            .env("PAWL_TEST_JOURNAL", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut appended = 0u64;
        while appended < (round as u64 + 1) * 137 {
            let line = lines.next().expect("the child is alive").unwrap();
            if let Some(number) = line.rsplit("appended ").next().and_then(|text| text.parse().ok()) {
                appended = number;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let said = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("appended ")?.parse().ok());
        let appended = said.fold(appended, u64::max);
        let (events, error) = read(folder.path());
        assert!(error.is_none(), "{error:?}");
        assert!(events.len() as u64 >= appended, "{} of {appended}", events.len());
        assert!(is_what_was_written(&events));
    }
}

#[test]
fn no_flipped_byte_and_no_cut_yields_a_record_that_was_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = writer(folder.path(), 64);
    for number in 1..=40 {
        session.input.append(&event(number)).unwrap();
    }
    session.close().unwrap();
    let path = folder.path().join("input-000001.seg");
    let good = std::fs::read(&path).unwrap();
    for at in (0..64).chain(4096..good.len()) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x5a;
        std::fs::write(&path, &bytes).unwrap();
        let (events, error) = read(folder.path());
        assert!(is_what_was_written(&events), "byte {at}");
        assert!(error.is_some() || events.len() < 40 || (36..64).contains(&at), "byte {at} went unnoticed");
    }
    for length in (0..good.len()).step_by(61) {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(is_what_was_written(&read(folder.path()).0), "cut at {length}");
    }
}

#[test]
fn a_second_writer_an_old_session_and_a_foreign_file_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let create = || SessionWriter::create(folder.path(), &info(), &WriterOptions { segment_records: 8 });
    let first = create().unwrap();
    assert!(matches!(create().err(), Some(JournalError::Locked(_))));
    first.close().unwrap();
    assert!(matches!(create().err(), Some(JournalError::Exists(_))));
    std::fs::write(folder.path().join("input-000001.seg"), vec![b'x'; 9_000]).unwrap();
    assert!(matches!(read(folder.path()).1, Some(JournalError::Segment { .. })));
    std::fs::remove_file(folder.path().join("input-000001.seg")).unwrap();
    assert!(matches!(read(folder.path()).1, Some(JournalError::Segment { .. })));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(read(empty.path()).1, Some(JournalError::NotASession(_))));
}

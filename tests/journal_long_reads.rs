//! A read that is long enough for a helper thread finds what a short one finds: every record once, in order, whatever
//! happens to the files meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use pawl::core::{Event, EventKind, InstrumentId, Nanos};
use pawl::journal::{
    JournalError, SessionInfo, SessionReader, SessionWriter, StreamName, StreamReader, WriterOptions, compress_session,
};

/// Longer than what a helper is not worth for.
const SEGMENT: usize = 100_000;
const RECORDS: u64 = 4 * SEGMENT as u64 + 5_000;

fn event(number: u64) -> Event {
    Event::new(EventKind::Quote, InstrumentId(0), Nanos(number), Nanos(number), [number, number ^ 0x4d, 3, 4])
}

fn writer(folder: &Path) -> SessionWriter {
    let options = WriterOptions { segment_records: SEGMENT, min_free_bytes: 0, ..WriterOptions::default() };
    let info = SessionInfo { version: 1, ..SessionInfo::default() };
    SessionWriter::create(folder, &info, &options).unwrap()
}

fn written(folder: &Path) -> SessionReader {
    let mut session = writer(folder);
    (1..=RECORDS).for_each(|number| assert_eq!(session.input.append(&event(number)).unwrap(), number));
    session.close().unwrap();
    SessionReader::open(folder).unwrap()
}

/// Reads up to the end or an error; each record must be the next one. The number of the last.
fn read_on(stream: &mut StreamReader, mut last: u64) -> (u64, Option<JournalError>) {
    while let Some(found) = stream.next_event() {
        match found {
            Ok(found) => {
                last += 1;
                assert_eq!((found.sequence, found.payload[1]), (last, last ^ 0x4d));
            }
            Err(error) => return (last, Some(error)),
        }
    }
    (last, None)
}

#[test]
fn every_record_comes_once_from_plain_and_from_compressed_segments_and_from_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let session = written(folder.path());
    let whole = || {
        for from in [1, 99_999, 100_001, 250_000] {
            let mut stream = session.stream_from(StreamName::Input, from).unwrap();
            let (last, failed) = read_on(&mut stream, from - 1);
            assert_eq!((last, failed.is_none()), (RECORDS, true), "{failed:?}");
            stream.check_end().unwrap();
        }
    };
    whole();
    // In the middle of a read, when the next segment is mapped already.
    let mut stream = session.stream(StreamName::Input).unwrap();
    (1..=50_000).for_each(|number| assert_eq!(stream.next_event().unwrap().unwrap().sequence, number));
    compress_session(&session, 1).unwrap();
    let (last, failed) = read_on(&mut stream, 50_000);
    assert_eq!((last, failed.is_none()), (RECORDS, true), "{failed:?}");
    whole();
}

#[test]
fn a_segment_that_goes_missing_or_gets_shorter_during_the_read_is_named() {
    for cut in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let session = written(folder.path());
        let mut stream = session.stream(StreamName::Input).unwrap();
        (1..=150_000).for_each(|number| assert_eq!(stream.next_event().unwrap().unwrap().sequence, number));
        // The third is mapped already.
        let third = folder.path().join("input-000003.seg");
        let good = if cut {
            // A header and a thousand records.
            std::fs::OpenOptions::new().write(true).open(&third).unwrap().set_len(4096 + 64 * 1000).unwrap();
            201_000
        } else {
            std::fs::remove_file(&third).unwrap();
            200_000
        };
        let (last, failed) = read_on(&mut stream, 150_000);
        let said = failed.expect("an error").to_string();
        assert_eq!(last, good, "{said}");
        assert!(said.contains("input-000003.seg"), "{said}");
        assert!(stream.next_event().is_none(), "nothing comes after an error");
    }
}

#[test]
fn a_long_read_follows_a_living_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut session, told) = (writer(folder.path()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..=RECORDS).for_each(|number| {
                session.input.append(&event(number)).unwrap();
                told.store(number, Ordering::Release);
            });
        });
        // What is worth a helper is there.
        while told.load(Ordering::Acquire) < 80_000 {
            std::thread::yield_now();
        }
        let mut stream = SessionReader::open(folder.path()).unwrap().stream(StreamName::Input).unwrap();
        let mut last = 0;
        while last < RECORDS {
            let there = told.load(Ordering::Acquire);
            let (read, failed) = read_on(&mut stream, last);
            assert!(failed.is_none() && read >= there, "{failed:?}: {there} were there, {read} were read");
            last = read;
        }
    });
}

#[test]
fn a_read_that_is_given_up_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let session = written(folder.path());
    // Its helper is joined: thousands of them would take the machine's threads.
    for _ in 0..200 {
        let mut stream = session.stream(StreamName::Input).unwrap();
        assert_eq!(stream.next_event().unwrap().unwrap().sequence, 1);
    }
}

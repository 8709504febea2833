//! A damaged journal never yields a record that was not written, never panics a reader, and says what
//! is wrong with it and which records are good.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pawl::core::{Event, EventKind, InstrumentId, Nanos};
use pawl::journal::{
    JournalError, SessionCheck, SessionInfo, SessionReader, SessionWriter, StreamName, WriterOptions, check_session,
};

fn info(config: &str) -> SessionInfo {
    SessionInfo { version: 1, config: config.into(), ..SessionInfo::default() }
}

fn event(number: u64) -> Event {
    Event::new(EventKind::Trade, InstrumentId(3), Nanos(number), Nanos(number * 7), [number, !number, 5, number ^ 9])
}

fn options(segment_records: usize) -> WriterOptions {
    WriterOptions { segment_records, ..WriterOptions::default() }
}

fn write(directory: &Path, segment_records: usize, records: u64) {
    let mut session = SessionWriter::create(directory, &info(""), &options(segment_records)).unwrap();
    for number in 1..=records {
        session.input.append(&event(number)).unwrap();
    }
    session.close().unwrap();
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
    (events, stream.check_end().err())
}

fn check(directory: &Path) -> SessionCheck {
    check_session(&SessionReader::open(directory).unwrap()).unwrap()
}

fn is_what_was_written(events: &[Event]) -> bool {
    events.iter().zip(1..).all(|(found, number)| *found == event(number).sealed(number))
}

fn segment(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("input-{number:06}.seg"))
}

#[test]
fn no_flipped_byte_at_any_offset_yields_a_record_that_was_not_written() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 64, 40);
    let path = segment(folder.path(), 1);
    let good = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for flip in [0x01, 0x5a, 0xff] {
        for (at, byte) in good.iter().enumerate() {
            file.write_all_at(&[byte ^ flip], at as u64).unwrap();
            let (events, error) = read(folder.path());
            assert!(is_what_was_written(&events), "byte {at}");
            let found = check(folder.path());
            let listed = found.streams[0].good.iter().flat_map(|(first, last)| *first..=*last);
            assert!(listed.clone().all(|sequence| (1..=40).contains(&sequence)), "byte {at}: {found}");
            // The rest of the header page carries nothing, nor does a slot without its commit word.
            let empty_slot = at >= 4096 + 40 * 64 && at % 64 >= 8;
            let meant = !(48..4096).contains(&at) && !empty_slot;
            assert_eq!(error.is_some(), meant, "byte {at} flipped by {flip:#x}: {error:?}");
            assert_eq!(found.is_good(), !meant, "byte {at} flipped by {flip:#x}: {found}");
            let (first_bad, listed) = (at.saturating_sub(4096) / 64 + 1, listed.count());
            assert!(listed >= 39, "byte {at}: only one record can be bad: {found}");
            assert!(at < 4096 || first_bad > 40 || events.len() + 1 == first_bad, "byte {at}: {} read", events.len());
            file.write_all_at(&[*byte], at as u64).unwrap();
        }
    }
}

#[test]
fn no_cut_at_any_length_yields_a_record_that_was_not_written_or_goes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 64, 40);
    let file = std::fs::OpenOptions::new().write(true).open(segment(folder.path(), 1)).unwrap();
    let full = file.metadata().unwrap().len() as usize;
    for length in (0..full).rev() {
        file.set_len(length as u64).unwrap();
        let (events, error) = read(folder.path());
        assert!(is_what_was_written(&events), "cut at {length}");
        let whole = length.saturating_sub(4096) / 64;
        assert_eq!(events.len(), whole.min(40), "cut at {length}");
        // With an empty slot left, every record is there.
        assert_eq!(error.is_none(), whole > 40, "cut at {length}: {error:?}");
        assert_eq!(check(folder.path()).is_good(), whole > 40 && length % 64 == 0, "cut at {length}");
    }
}

#[test]
fn each_kind_of_damage_has_its_own_message_and_the_good_records_are_named() {
    type Damage = fn(&Path);
    let zero_length: Damage = |folder| std::fs::write(segment(folder, 2), b"").unwrap();
    let short: Damage = |folder| std::fs::write(segment(folder, 2), vec![0; 100]).unwrap();
    let cut: Damage = |folder| {
        let bytes = std::fs::read(segment(folder, 2)).unwrap();
        std::fs::write(segment(folder, 2), &bytes[..4096 + 64 * 20 + 7]).unwrap();
    };
    let missing: Damage = |folder| std::fs::remove_file(segment(folder, 2)).unwrap();
    let foreign: Damage = |folder| std::fs::write(segment(folder, 2), vec![b'x'; 9_000]).unwrap();
    let version: Damage = |folder| edit(folder, 2, |bytes| bytes[7] = b'7');
    let header: Damage = |folder| edit(folder, 2, |bytes| bytes[17] ^= 1);
    let record: Damage = |folder| edit(folder, 2, |bytes| bytes[4096 + 64 * 4 + 40] ^= 1);
    let torn: Damage = |folder| edit(folder, 2, |bytes| bytes[4096 + 64 * 4 + 32..4096 + 64 * 5].fill(0));
    let hole: Damage = |folder| edit(folder, 2, |bytes| bytes[4096 + 64 * 4..4096 + 64 * 9].fill(0));
    let moved: Damage = |folder| edit(folder, 2, |bytes| bytes.copy_within(4096..4096 + 64, 4096 + 64 * 4));
    let swapped: Damage = |folder| std::fs::rename(segment(folder, 3), segment(folder, 2)).unwrap();
    let other: Damage = |folder| {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut session = SessionWriter::create(elsewhere.path(), &info("# another"), &options(100)).unwrap();
        for number in 1..=250 {
            session.input.append(&event(number)).unwrap();
        }
        session.close().unwrap();
        std::fs::copy(segment(elsewhere.path(), 2), segment(folder, 2)).unwrap();
    };
    let after = |sequences: &str| format!("1-100, {sequences}");
    for (damage, said, good, read_before) in [
        (zero_length, "found 0 bytes", after("201-250"), 100),
        (short, "found 100 bytes", after("201-250"), 100),
        (cut, "a file cut in or after record 21", "1-120, 201-250".to_owned(), 120),
        (missing, "this segment is missing", after("201-250"), 100),
        (foreign, "a foreign file that begins with \"xxxxxxxx\"", after("201-250"), 100),
        (version, "version '7'; use the pawl that wrote it", "1-250".to_owned(), 100),
        (header, "a header whose CRC does not hold", "1-250".to_owned(), 100),
        (
            record,
            "record 105 (slot 5, byte 4352): expected CRC",
            after("101-104, 106-250").replace("1-100, 101-104", "1-104"),
            104,
        ),
        (torn, "the record is torn or damaged", "1-104, 106-250".to_owned(), 104),
        (hole, "records 105-109 (slots 5-9, from byte 4352) never written or zeroed", "1-104, 110-250".to_owned(), 104),
        (moved, "holds record 101, intact but not in its place", "1-104, 106-250".to_owned(), 104),
        (swapped, "expected input segment 2, found input segment 3", "1-100, 201-250".to_owned(), 100),
        (other, "(or session.toml was changed)", "1-250".to_owned(), 100),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 100, 250);
        damage(folder.path());
        let found = check(folder.path());
        assert!(!found.is_good() && found.to_string().contains(said), "{said:?} expected in\n{found}");
        assert!(found.to_string().contains(&format!("good records: {good}\n")), "{good:?} expected in\n{found}");
        let (events, error) = read(folder.path());
        assert!(is_what_was_written(&events));
        assert_eq!(events.len(), read_before, "{said}: {error:?}");
        assert!(error.is_some(), "{said}: the reader noticed nothing");
    }
}

fn edit(folder: &Path, number: u32, change: impl FnOnce(&mut [u8])) {
    let mut bytes = std::fs::read(segment(folder, number)).unwrap();
    change(&mut bytes);
    std::fs::write(segment(folder, number), bytes).unwrap();
}

/// What a power failure leaves: pages that never reached the disk, and later ones that did.
#[test]
fn a_resume_ends_at_a_hole_and_sets_aside_what_lies_behind() {
    for (holed, last, stray) in [(3, 204, 41), (2, 104, 141)] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 100, 250);
        edit(folder.path(), holed, |bytes| bytes[4096 + 64 * 4..4096 + 64 * 9].fill(0));
        let (mut session, found) = SessionWriter::resume(folder.path(), &options(100)).unwrap();
        if holed == 3 {
            assert_eq!((found.input.last, found.input.stray), (last, stray), "{found}");
            assert!(found.to_string().contains("set aside: input-000003.seg.stray"), "{found}");
        } else {
            // Deeper than the last segment: its own records are good; only `verify` reads the whole.
            assert_eq!(found.input.last, 250, "{found}");
            assert!(!check(folder.path()).is_good());
            continue;
        }
        for number in last + 1..=last + 200 {
            assert_eq!(session.input.append(&event(number)).unwrap(), number);
        }
        session.close().unwrap();
        let (events, error) = read(folder.path());
        assert!(error.is_none() && events.len() as u64 == last + 200 && is_what_was_written(&events), "{error:?}");
        assert!(check(folder.path()).is_good(), "{}", check(folder.path()));
    }
}

#[test]
fn a_resume_sets_aside_segments_whose_predecessor_lost_its_end() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 100, 250);
    edit(folder.path(), 2, |bytes| bytes[4096 + 64 * 90..].fill(0));
    let (session, found) = SessionWriter::resume(folder.path(), &options(100)).unwrap();
    assert_eq!((found.input.last, found.input.segment, found.input.stray), (190, 2, 50), "{found}");
    assert_eq!(found.input.set_aside, ["input-000003.seg.stray"]);
    drop(session);
    let (events, error) = read(folder.path());
    assert!(error.is_none() && events.len() == 190 && is_what_was_written(&events), "{error:?}");
}

#[test]
fn a_resume_survives_a_last_segment_that_is_no_segment() {
    for bytes in [Vec::new(), vec![b'x'; 9_000]] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 100, 250);
        std::fs::write(segment(folder.path(), 3), bytes).unwrap();
        let (mut session, found) = SessionWriter::resume(folder.path(), &options(100)).unwrap();
        assert_eq!((found.input.last, found.input.segment), (200, 2), "{found}");
        assert_eq!(session.input.append(&event(201)).unwrap(), 201);
        session.close().unwrap();
        let (events, error) = read(folder.path());
        assert!(error.is_none() && events.len() == 201 && is_what_was_written(&events), "{error:?}");
    }
}

#[test]
fn a_folder_without_a_session_and_one_of_another_version_are_refused_by_name() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(read(empty.path()).1, Some(JournalError::NotASession(_))));
    write(empty.path(), 8, 3);
    let path = empty.path().join("session.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("version = 1", "version = 9")).unwrap();
    let error = read(empty.path()).1.unwrap().to_string();
    assert!(error.contains("expected format version 1, found 9; use the pawl that wrote it"), "{error}");
    std::fs::write(&path, "version = [").unwrap();
    assert!(matches!(read(empty.path()).1, Some(JournalError::Description { .. })));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(read(empty.path()).1, Some(JournalError::Description { .. })));
}

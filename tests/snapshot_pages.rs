//! What a page promises to its readers: whole snapshots from a living writer, and a name for every way
//! in which a page can be none.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pawl::core::payload::ControlCode;
use pawl::core::{InstrumentTable, Money, Price, Qty};
use pawl::snapshot::{
    CHECK_EVERY, EnginePage, EnginePlan, EngineReader, EngineState, GuardianPage, GuardianPageWriter, GuardianView,
    GuardianWatch, InstrumentRow, Level, PageError, Snapshot, monotonic_ns,
};
use pawl::venue::paper::synthetic::specs;
use proptest::prelude::*;

fn table(instruments: usize) -> InstrumentTable {
    InstrumentTable::new(specs(instruments)).unwrap()
}

fn engine(directory: &Path) -> EnginePage {
    EnginePage::create(directory, &EnginePlan { session: 7, instruments: &table(3), hot_threads: 2 }).unwrap()
}

/// A snapshot whose every field is a function of one number, so that half of one and half of another
/// is seen to be neither.
fn numbered(number: u64) -> Snapshot {
    let n = number as i64;
    let mut snapshot = Snapshot {
        published_ns: number,
        state: EngineState::Running,
        equity: Money::from_units(n + 1),
        balance: Money::from_units(n + 2),
        realised: Money::from_units(n + 3),
        unrealised: Money::from_units(-n),
        open_lots: Qty::from_units(n + 5),
        open_orders: number + 6,
        unknown_orders: number + 7,
        oldest_unknown_ns: number + 8,
        market_ns: number + 9,
        orders: number + 10,
        rejects: number + 11,
        fills: number + 12,
        alerts: number + 13,
        journal: [number + 14, number + 15],
        disk_free: number + 16,
        ..Snapshot::default()
    };
    for (index, row) in (17..).zip(&mut snapshot.instruments[..3]) {
        *row = InstrumentRow {
            position: Qty::from_units(-n - index),
            open_lots: Qty::from_units(n + index),
            entry: Price::from_units(n * 2 + index),
            market_ns: number + index as u64,
        };
    }
    snapshot
}

#[test]
fn what_is_published_is_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut page = engine(folder.path());
    let mut reader = EngineReader::attach(folder.path()).unwrap();
    assert_eq!(reader.read().unwrap().snapshot.state, EngineState::Starting, "whole from the first moment");
    page.publish(&numbered(1_000_000));
    page.progress(1).unwrap().step(55);
    assert!(page.progress(2).is_none());
    page.acknowledge_kill(3);
    let view = reader.read().unwrap();
    assert_eq!(view.snapshot, numbered(1_000_000));
    assert_eq!((view.instruments, view.threads, view.kill_acknowledged), (3, 2, 3));
    assert_eq!(view.progress[..2], [0, 1]);
    let expected: Vec<String> = specs(3).into_iter().map(|spec| spec.symbol).collect();
    assert_eq!(reader.symbols(), expected);
    assert_eq!((reader.owner().session, reader.owner().process.pid), (7, std::process::id()));
    assert!(reader.owner().process.is_alive());
}

/// Not a test of its own: the other process of the tests below.
#[test]
fn child_publishes_without_end() {
    let Some(folder) = std::env::var_os("PAWL_TEST_PAGE_FOLDER") else { return };
    let mut page = engine(Path::new(&folder));
    let mut progress = page.progress(0).unwrap();
    for number in 1.. {
        page.publish(&numbered(number));
        progress.step(number);
        // Long enough between two writes for a reader that needs three system calls.
        (0..2000).for_each(|_| std::hint::spin_loop());
    }
}

struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the writer in a process of its own and waits for its page.
fn writer(folder: &Path) -> (Writer, EngineReader) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_publishes_without_end", "--nocapture"])
        .env("PAWL_TEST_PAGE_FOLDER", folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let writer = Writer(child);
    let patience = Instant::now();
    loop {
        if let Ok(reader) = EngineReader::attach(folder) {
            return (writer, reader);
        }
        assert!(patience.elapsed() < Duration::from_secs(60), "the writer never made its page");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_reader_in_another_process_sees_only_whole_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let (_writer, mut reader) = writer(folder.path());
    let (mut last, mut distinct) = (0, 0);
    while distinct < 2_000 {
        let view = match reader.read() {
            Ok(view) => view,
            // On one core the writer may have been interrupted in the middle of a write.
            Err(PageError::Busy(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        let number = view.snapshot.published_ns;
        if number == 0 {
            continue;
        }
        assert_eq!(view.snapshot, numbered(number), "torn");
        assert!(number >= last, "backwards");
        distinct += u64::from(number > last);
        last = number;
    }
}

#[test]
fn a_killed_writer_is_told_from_a_living_one_and_its_page_stays_readable_or_busy() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = writer(folder.path());
    assert!(reader.owner().process.is_alive());
    let handle = reader.owner().process.open().unwrap();
    writer.0.kill().unwrap();
    assert!(handle.has_ended_within(pawl::core::Span::seconds(10)));
    assert!(!reader.owner().process.is_alive());
    match reader.read() {
        Ok(view) => {
            let again = reader.read().unwrap();
            assert_eq!(view, again, "nobody moves it any more");
        }
        Err(error) => assert!(matches!(error, PageError::Busy(_)), "{error}"),
    }
}

/// Stops the writer, so that it cannot mend what is damaged, and waits until it stands still: the signal is only on its
/// way when `kill` returns, and one more publication undoes the damage.
fn stop(writer: &std::process::Child) {
    let (id, mut status) = (writer.id() as i32, 0);
    // SAFETY: a signal to our own child, and a wait for it that fills in one integer of ours.
    let stopped = unsafe {
        assert_eq!(libc::kill(id, libc::SIGSTOP), 0);
        assert_eq!(libc::waitpid(id, &raw mut status, libc::WUNTRACED), id);
        libc::WIFSTOPPED(status)
    };
    assert!(stopped, "the writer ended: {status}");
}

/// Changes the bytes of a page behind its writer's back.
fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// What the reader has to say within the reads in which it looks at the file itself once.
fn error_of(reader: &mut EngineReader) -> Option<PageError> {
    (0..CHECK_EVERY).find_map(|_| reader.read().err())
}

#[test]
fn a_page_that_is_deleted_cut_zeroed_or_noise_is_named_as_such() {
    type Harm = (&'static str, fn(&Path), fn(&PageError) -> bool);
    let damage: [Harm; 7] = [
        ("deleted", |path| fs::remove_file(path).unwrap(), |error| matches!(error, PageError::Replaced(_))),
        ("cut", |path| cut(path, 100), |error| matches!(error, PageError::Size { found: 100, .. })),
        ("emptied", |path| cut(path, 0), |error| matches!(error, PageError::Size { found: 0, .. })),
        ("lengthened", |path| cut(path, 1 << 20), |error| matches!(error, PageError::Size { .. })),
        ("zeroed", |path| overwrite(path, 0, &[0; 4992]), |error| matches!(error, PageError::NotAPage { .. })),
        (
            "noise",
            |path| overwrite(path, 0, &noise()),
            |error| matches!(error, PageError::NotAPage { .. } | PageError::Busy(_)),
        ),
        (
            "noise in the account",
            |path| overwrite(path, 346 * 8, &noise()[..64]),
            |error| matches!(error, PageError::Damaged(_)),
        ),
    ];
    for (name, harm, expected) in damage {
        let folder = tempfile::tempdir().unwrap();
        // The writer lives in its own process: cutting a mapped page ends it by SIGBUS.
        let (mut writer, mut reader) = writer(folder.path());
        stop(&writer.0);
        let whole = reader.read();
        assert!(matches!(whole, Ok(_) | Err(PageError::Busy(_))), "{name}: {whole:?}");
        if whole.is_err() && name == "noise in the account" {
            continue;
        }
        harm(&folder.path().join("engine.page"));
        let error = error_of(&mut reader).unwrap_or_else(|| panic!("{name}: not noticed"));
        assert!(expected(&error), "{name}: {error}");
        if name != "noise in the account" {
            assert!(EngineReader::attach(folder.path()).is_err(), "{name}: attached anew");
        }
        writer.0.kill().unwrap();
    }
}

fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn noise() -> Vec<u8> {
    let mut state = 0x1234_5678_9ABC_DEF1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..4992).map(|_| next()).collect()
}

#[test]
fn a_page_of_another_user_kind_boot_version_or_mode_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.page");
    assert!(matches!(EngineReader::attach(folder.path()), Err(PageError::Missing(_))));
    let page = engine(folder.path());
    let whole = fs::read(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    fs::set_permissions(&path, Permissions::from_mode(0o622)).unwrap();
    assert!(matches!(EngineReader::attach(folder.path()), Err(PageError::Permissions { .. })));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();

    let mut future = whole.clone();
    future[8] = 99;
    fs::write(&path, &future).unwrap();
    assert!(matches!(EngineReader::attach(folder.path()), Err(PageError::Version { found: 99, .. })));

    for byte in 16..128 {
        let mut bent = whole.clone();
        bent[byte] ^= 0x40;
        fs::write(&path, &bent).unwrap();
        let error = EngineReader::attach(folder.path()).expect_err("a bent header");
        assert!(matches!(error, PageError::NotAPage { .. }), "byte {byte}: {error}");
    }
    fs::write(&path, &whole).unwrap();
    EngineReader::attach(folder.path()).unwrap();

    fs::rename(&path, folder.path().join("guardian.page")).unwrap();
    assert!(GuardianPage::attach(folder.path()).is_err(), "the other kind of page");
    symlink(folder.path().join("guardian.page"), &path).unwrap();
    assert!(matches!(EngineReader::attach(folder.path()), Err(PageError::Permissions { .. })), "a link");
    drop(page);
}

#[test]
fn a_new_engine_replaces_the_page_and_readers_of_the_old_one_know() {
    let folder = tempfile::tempdir().unwrap();
    let first = engine(folder.path());
    let mut reader = EngineReader::attach(folder.path()).unwrap();
    let _second = EnginePage::create(folder.path(), &EnginePlan { session: 8, instruments: &table(1), hot_threads: 1 });
    assert!(matches!(error_of(&mut reader), Some(PageError::Replaced(_))));
    assert_eq!(EngineReader::attach(folder.path()).unwrap().owner().session, 8);
    drop(first);
}

#[test]
fn a_page_has_room_for_64_instruments_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |instruments| EnginePlan { session: 1, instruments, hot_threads: 8 };
    let many: Vec<_> = (0..65)
        .map(|index| pawl::core::InstrumentSpec {
            symbol: format!("SYMBOL-OF-THIRTY-TWO-BYTES-{index:05}"),
            ..specs(1).remove(0)
        })
        .collect();
    let full = InstrumentTable::new(many[..64].iter().cloned()).unwrap();
    let mut page = EnginePage::create(folder.path(), &plan(&full)).unwrap();
    let mut reader = EngineReader::attach(folder.path()).unwrap();
    assert_eq!(reader.symbols()[63], many[63].symbol);
    let mut snapshot = numbered(5);
    snapshot.instruments[63].position = Qty::whole(-9);
    page.publish(&snapshot);
    assert_eq!(reader.read().unwrap().snapshot, snapshot);
    let error = EnginePage::create(folder.path(), &plan(&InstrumentTable::new(many).unwrap())).unwrap_err();
    assert!(error.to_string().contains("at most 64 instruments"), "{error}");
}

#[test]
fn the_guardian_is_heard_once_it_speaks_and_its_kill_word_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = GuardianWatch::new(folder.path());
    let start = monotonic_ns();
    let at = |millis: u64| start + millis * 1_000_000;
    assert_eq!((watch.poll(at(0)), watch.kill()), (None, 0), "no guardian: silence");

    let mut guardian = GuardianPageWriter::create(folder.path()).unwrap();
    let view = |heartbeat, level, entries_allowed| GuardianView {
        heartbeat,
        level,
        entries_allowed,
        ..GuardianView::default()
    };
    assert_eq!(watch.poll(at(200)), None, "attaches");
    assert_eq!(watch.poll(at(201)), Some(ControlCode::StopEntries), "not ready yet");
    guardian.publish(&view(1, Level::Active, true));
    assert_eq!(watch.poll(at(202)), Some(ControlCode::AllowEntries));
    assert_eq!(watch.poll(at(203)), None, "the same beat is no sign of life");
    guardian.publish(&view(2, Level::Active, true));
    assert_eq!(watch.poll(at(204)), Some(ControlCode::GuardianAlive));
    guardian.publish(&view(3, Level::Active, true));
    assert_eq!(watch.poll(at(205)), None, "reported a moment ago");
    guardian.publish(&view(4, Level::ReduceOnly, true));
    assert_eq!(watch.poll(at(206)), Some(ControlCode::StopEntries));
    guardian.kill(12);
    assert_eq!(watch.kill(), 12);
    guardian.publish(&GuardianView { latch: 12, ..view(5, Level::Flatten, false) });
    assert_eq!(watch.poll(at(207)), Some(ControlCode::GuardianLatched));
    guardian.publish(&GuardianView { latch: 12, ..view(6, Level::Flatten, false) });
    assert_ne!(watch.poll(at(400)), Some(ControlCode::AllowEntries));
    let _restarted = GuardianPageWriter::create(folder.path()).unwrap();
    watch.poll(at(900));
    watch.poll(at(1800));
    assert_eq!(watch.kill(), 12, "a kill word that was seen is not lost with the guardian");
}

#[test]
fn a_restarted_guardian_is_heard_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut watch = GuardianWatch::new(folder.path());
    let ready = |heartbeat| GuardianView { heartbeat, entries_allowed: true, ..GuardianView::default() };
    let start = monotonic_ns();
    let mut heard = Vec::new();
    for life in 0..2_u64 {
        let mut guardian = GuardianPageWriter::create(folder.path()).unwrap();
        for beat in 1..400 {
            guardian.publish(&ready(beat));
            heard.extend(watch.poll(start + (life * 1000 + beat) * 1_000_000).map(|code| (life, code)));
        }
    }
    assert!(heard.contains(&(0, ControlCode::GuardianAlive)), "{heard:?}");
    assert!(heard.contains(&(1, ControlCode::GuardianAlive)), "{heard:?}");
}

proptest! {
    #[test]
    fn no_single_changed_bit_of_the_used_words_passes(bit in 346_usize * 64..380 * 64) {
        let folder = tempfile::tempdir().unwrap();
        let mut page = engine(folder.path());
        page.publish(&numbered(77));
        let path = folder.path().join("engine.page");
        let mut bytes = fs::read(&path).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        overwrite(&path, 0, &bytes);
        let read = EngineReader::attach(folder.path()).unwrap().read();
        prop_assert!(matches!(read, Err(PageError::Damaged(_))), "{:?}", read);
    }
}

//! What a person does with a journal from the command line: check, look, convert, ask why.
//!
//! Readers that we did not write are the oracles: numpy, pandas and polars, where `PAWL_PYTHON` (or
//! `python3`) has them; their absence is said visibly.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pawl::core::{Event, EventKind, InstrumentId, Nanos};
use pawl::journal::{SessionInfo, SessionReader, SessionWriter, StreamName, WriterOptions};

fn pawl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pawl")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Standard output of a command that must succeed.
fn said(arguments: &[&str]) -> String {
    let output = pawl(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pawl {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Exit status and everything said by a command that must fail.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = pawl(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit status"), String::from_utf8_lossy(&text).into_owned())
}

/// A demo's session: two instruments, twelve hours, a gate.
fn demo(folder: &Path) -> String {
    let session = folder.join("session").display().to_string();
    said(&["demo", "--in-process", "--seconds", "0", "--hours", "12", "--json", "--journal", &session]);
    session
}

/// The first order that a session sent.
fn first_order(session: &str) -> String {
    let line = said(&["journal", "dump", session, "--kind", "submit", "--format", "json", "--limit", "1"]);
    serde_json::from_str::<serde_json::Value>(&line).unwrap()["order"].as_str().unwrap().to_owned()
}

/// Runs a script with a Python that has the modules; `None`, said visibly, when there is none.
fn python(modules: &str, script: &str, arguments: &[&str]) -> Option<String> {
    let program = std::env::var("PAWL_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&program).args(["-c", &format!("import {modules}")]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: {program} lacks {modules}; set PAWL_PYTHON to a Python that has them");
        return None;
    }
    let output = Command::new(&program).args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn records(session: &str, stream: StreamName) -> Vec<Event> {
    let mut stream = SessionReader::open(session.as_ref()).unwrap().stream(stream).unwrap();
    std::iter::from_fn(|| stream.next_event()).map(Result::unwrap).collect()
}

#[test]
fn the_numpy_reader_of_the_documentation_finds_every_record() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let script = include_str!("../tools/read_journal.py");
    let Some(text) = python("numpy", script, &[&session]) else { return };
    for (stream, line) in StreamName::ALL.into_iter().zip(text.lines()) {
        let events = records(&session, stream);
        let times = events.iter().fold(0u64, |sum, event| sum.wrapping_add(event.local_ns.0));
        let words = events.iter().flat_map(|event| event.payload).fold(0u64, u64::wrapping_add);
        assert!(line.starts_with(&format!("{} {} {{", stream.name(), events.len())), "{line}");
        assert!(line.ends_with(&format!("}} {times} {words}")), "{line}\n{times} {words}");
    }
    let path = Path::new(&session).join("input-000001.seg");
    let plain = std::fs::read(&path).unwrap();
    if python("numpy, zstandard", "", &[]).is_some() {
        said(&["journal", "compress", &session]);
        assert!(!path.exists());
        assert_eq!(python("numpy", script, &[&session]).unwrap(), text, "compressed");
        // As a process that was killed while it compressed leaves it.
        std::fs::write(&path, &plain).unwrap();
        assert_eq!(python("numpy", script, &[&session]).unwrap(), text, "one plain and compressed");
        std::fs::remove_file(path.with_extension("seg.zst")).unwrap();
    }
    // A record with a flipped bit ends the stream for numpy too.
    let mut bytes = plain;
    bytes[4096 + 64 * 99 + 40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let text = python("numpy", script, &[&session, "input"]).unwrap();
    assert!(text.starts_with("input 99 {"), "{text}");
}

#[test]
fn pandas_and_polars_read_the_export_with_proper_types_and_equal_sums() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let tables = folder.path().join("tables").display().to_string();
    said(&["journal", "export", &session, "--out", &tables]);
    let script = r#"
import sys, decimal, pandas as pd, polars as pl
folder = sys.argv[1]
for kind, column in [("quote", "bid"), ("fill", "price"), ("submit", "qty"), ("trade-costs", "gross")]:
    pandas = pd.read_parquet(f"{folder}/{kind}.parquet")
    polars = pl.read_parquet(f"{folder}/{kind}.parquet")
    assert str(pandas["local_time"].dtype) == "datetime64[ns, UTC]", pandas.dtypes
    assert polars["local_time"].dtype == pl.Datetime("ns", "UTC"), polars.schema
    assert polars[column].dtype == pl.Decimal(18, 8), polars.schema
    assert polars["symbol"].dtype == pl.String and polars["sequence"].dtype == pl.Int64
    exact = int(sum(pandas[column]).scaleb(8))
    assert exact == int(polars[column].sum().scaleb(8))
    times = [int(pandas["local_time"].astype("int64").sum()) % 2**64, int(polars["local_time"].dt.epoch("ns").sum()) % 2**64]
    assert times[0] == times[1]
    print(kind, len(pandas), exact, times[0])
signals = pl.read_parquet(f"{folder}/signal.parquet")
assert signals["z_score"].dtype == pl.Float64
print("z", repr(signals["z_score"].sum()))
"#;
    let Some(text) = python("pandas, pyarrow, polars", script, &[&tables]) else { return };
    let events: Vec<Event> = StreamName::ALL.iter().flat_map(|stream| records(&session, *stream)).collect();
    let mut lines = text.lines();
    for (kind, word) in
        [(EventKind::Quote, 0), (EventKind::Fill, 2), (EventKind::Submit, 2), (EventKind::TradeCosts, 0)]
    {
        let of_kind = || events.iter().filter(|event| event.kind == kind);
        let exact: i64 = of_kind().map(|event| event.payload[word] as i64).sum();
        let times = of_kind().fold(0u64, |sum, event| sum.wrapping_add(event.local_ns.0));
        assert_eq!(lines.next().unwrap(), format!("{} {} {exact} {times}", kind.name(), of_kind().count()));
    }
}

#[test]
fn compressed_segments_are_read_by_every_command_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let look = || {
        let (dump, verify) = (said(&["journal", "dump", &session, "--format", "csv"]), said(&["replay", &session]));
        (dump, verify, said(&["backtest", &session, "--json"]))
    };
    let before = look();
    let bytes = |name: &str| std::fs::metadata(Path::new(&session).join(name)).map(|found| found.len());
    let plain = bytes("input-000001.seg").unwrap();
    let segments = std::fs::read_dir(&session)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "seg"));
    let count = segments.count();
    assert!(said(&["journal", "compress", &session]).starts_with(&format!("{count} segments compressed")));
    assert!(bytes("input-000001.seg").is_err() && bytes("input-000001.seg.zst").unwrap() * 2 < plain);
    assert_eq!(look(), before);
    assert!(said(&["journal", "verify", &session]).contains("output  1 segments (1 compressed), good records: 1-"));
    assert!(said(&["journal", "info", &session]).contains("1 compressed"));
    assert!(said(&["journal", "compress", &session]).starts_with("0 segments compressed"), "again does nothing");
    // A session can be resumed all the same.
    let (writer, found) = SessionWriter::resume(session.as_ref(), &WriterOptions::default()).unwrap();
    assert_eq!(found.input.last, records(&session, StreamName::Input).len() as u64);
    writer.close().unwrap();
    // A damaged compressed file is named, whatever is wrong with it.
    let path = Path::new(&session).join("input-000001.seg.zst");
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(good.len() / 150) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x5a;
        std::fs::write(&path, &bytes).unwrap();
        let opened = SessionReader::open(session.as_ref()).unwrap();
        let check = pawl::journal::check_session(&opened).unwrap();
        let harmless = check.is_good() && check.streams[0].records() == found.input.last;
        assert!(harmless || check.to_string().contains("input-000001.seg.zst"), "byte {at}: {check}");
    }
}

#[test]
fn tail_follows_a_living_writer_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = WriterOptions { segment_records: 500, min_free_bytes: 0, ..WriterOptions::default() };
    let info = SessionInfo { version: 1, ..SessionInfo::default() };
    let mut writer = SessionWriter::create(folder.path(), &info, &options).unwrap();
    let event = |n| Event::new(EventKind::Trade, InstrumentId(0), Nanos(n), Nanos(n), [n; 4]);
    for number in 1..=20 {
        writer.input.append(&event(number)).unwrap();
    }
    let mut tail = Command::new(env!("CARGO_BIN_EXE_pawl"))
        .args(["journal", "tail", "-f", "-n", "5", "--format", "json"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || {
        let line: serde_json::Value = serde_json::from_str(&lines.next()?.unwrap()).unwrap();
        line["sequence"].as_u64()
    };
    // It has begun: what is appended from here on is followed live.
    assert_eq!(next(), Some(16));
    for number in 21..=1_600 {
        writer.input.append(&event(number)).unwrap();
    }
    for number in 17..=1_600 {
        assert_eq!(next(), Some(number));
    }
    writer.close().unwrap();
    assert_eq!(next(), None);
    assert!(tail.wait().unwrap().success());
}

#[test]
fn a_what_if_is_named_and_compared_and_is_no_corruption() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let identical = said(&["replay", &session, "--verify"]);
    assert!(identical.starts_with("identical: "), "{identical}");
    let text = said(&["replay", &session, "--threshold", "0.999"]);
    assert!(text.starts_with("what if: oracle.threshold = "), "{text}");
    for part in [
        "first difference, after ",
        "action: recorded EXECUTE_",
        ", recomputed NO_ACTION",
        " approved",
        "answers changed",
    ] {
        assert!(text.contains(part), "{part:?} expected in\n{text}");
    }
    // The same threshold changes nothing; a strict comparison ends with status 1.
    let (status, text) = refused(&["replay", &session, "--threshold", "0.999", "--verify"]);
    assert!(status == 1 && text.contains("the what-if differs from the recording"), "{text}");
    let text = said(&["replay", &session, "--no-gate"]);
    assert!(text.starts_with("what if: no model instead of the recorded one\n"), "{text}");
    // A model that somebody exchanged in the folder is refused beside the golden rows of the old one,
    // and named before anything is compared without them.
    std::fs::copy("models/model.json", Path::new(&session).join("model.json")).unwrap();
    let (status, text) = refused(&["replay", &session]);
    assert!(status == 1 && text.contains("golden rows"), "{text}");
    std::fs::remove_file(Path::new(&session).join("model.golden.json")).unwrap();
    let text = said(&["replay", &session]);
    assert!(text.starts_with("what if: model ") && text.contains("instead of the recorded one (CRC "), "{text}");
}

#[test]
fn an_orders_story_is_told_from_tick_to_execution() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let order = first_order(&session);
    let story = said(&["replay", &session, "--explain", &order]);
    let mut rest = story.as_str();
    // Each step of the chain, in this order.
    for step in [
        &format!("Order {order}: "),
        "market",
        "features",
        "signal",
        "probability",
        "size",
        "checks",
        "command",
        "fill",
        "closed",
        "result",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step:?} expected, in order, in\n{story}"));
        rest = &rest[at + step.len()..];
    }
    let (status, text) = refused(&["replay", &session, "--explain", "00000001-999999"]);
    assert!(status == 2 && text.contains("found none with id 00000001-999999"), "{text}");
    assert_eq!(refused(&["replay", &session, "--explain", "17"]).0, 2);
}

#[test]
fn tail_ends_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let sequences = |arguments: &[&str]| {
        let text = said(&[&["journal", "tail", &session, "--stream", "input", "--format", "json"], arguments].concat());
        let sequence = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].as_u64();
        text.lines().filter_map(sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences(&["--until", "#100", "-n", "3"]), [98, 99, 100]);
    assert_eq!(sequences(&["--until", "#100", "-n", "3", "--limit", "2"]), [99, 100]);
    assert_eq!(sequences(&["--until", "#100", "-n", "3", "--follow"]), [98, 99, 100]);
    assert_eq!(sequences(&["--limit", "0"]), [0; 0]);
    // The writer lives on.
    let living = folder.path().join("living");
    let info = SessionInfo { version: 1, ..SessionInfo::default() };
    let mut writer = SessionWriter::create(&living, &info, &WriterOptions::default()).unwrap();
    for n in 1..=20 {
        let event = Event::new(EventKind::Trade, InstrumentId(0), Nanos(n), Nanos(n), [n; 4]);
        writer.input.append(&event).unwrap();
    }
    let living = living.display().to_string();
    assert_eq!(said(&["journal", "tail", &living, "-f", "-n", "5", "--limit", "3"]).lines().count(), 3);
    assert_eq!(said(&["journal", "tail", &living, "-f", "-n", "5", "--until", "#12"]).lines().count(), 5);
    writer.close().unwrap();
}

#[test]
fn a_hole_is_told_by_every_command_that_comes_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let last = said(&["journal", "dump", &session, "--kind", "submit", "--format", "json"]);
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    let csv = folder.path().join("EURUSD_x.csv");
    let row = |i: u64| format!("{},1.38000,1.38010\n", 1_398_902_400_000_000_000 + i * 1_000_000_000);
    let text: String = ["ts_ns,bid,ask\n".to_owned()].into_iter().chain((0..3_000).map(row)).collect();
    std::fs::write(&csv, text).unwrap();
    let imported = folder.path().join("imported").display().to_string();
    said(&["journal", "import", csv.to_str().unwrap(), "--out", &imported]);
    for folder in [&session, &imported] {
        let path = Path::new(folder).join("input-000001.seg");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4096 + 64 * 500..4096 + 64 * 900].fill(0);
        std::fs::write(&path, bytes).unwrap();
    }
    let (status, said_of) = ("empty slot with records behind it", last["order"].as_str().unwrap());
    for command in [
        &["backtest", &session][..],
        &["backtest", &imported, "--no-gate", "--json"],
        &["journal", "dump", &session],
        &["journal", "tail", &session],
        &["journal", "tail", &imported, "--follow"],
        &["replay", &session, "--speed", "max"],
        &["replay", &session, "--layout", "fused"],
        &["replay", &session, "--explain", said_of],
    ] {
        let (code, text) = refused(command);
        assert!(code == 1 && text.contains(status), "{command:?}: {text}");
    }
    assert!(said(&["journal", "info", &session]).contains("\nDAMAGED: "));
    assert!(said(&["journal", "info", &imported]).contains(status));
    // The venue's market does not just stand still.
    let (mut feed, _) = pawl::venue::server::Feed::journal(imported.as_ref(), 1e6).unwrap();
    let mut events = 0;
    let error = loop {
        match feed.next_due(Nanos(1)) {
            Ok(due) => assert!(due != Nanos::MAX, "the market is over after {events} events"),
            Err(error) => break error.to_string(),
        }
        events += usize::from(feed.take().is_some());
    };
    assert!(events == 500 && error.contains(status), "{events}: {error}");
}

#[test]
fn filters_and_formats_show_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let events = records(&session, StreamName::Output);
    let submits = events.iter().filter(|event| event.kind == EventKind::Submit);
    let text = said(&["journal", "dump", &session, "--kind", "submit"]);
    let csv = said(&["journal", "dump", &session, "--kind", "submit", "--format", "csv"]);
    let header =
        "stream,sequence,cause,kind,symbol,side,flags,venue_time,local_time,order,price,qty,attempt,intent,tif,role";
    assert_eq!(csv.lines().next(), Some(header));
    assert_eq!((text.lines().count(), csv.lines().count() - 1), (submits.clone().count(), submits.clone().count()));
    let cause = submits.clone().nth(1).unwrap().venue_ns.0;
    let range = format!("#{cause}");
    let one = said(&["journal", "dump", &session, "--from", &range, "--until", &range]);
    let caused = events.iter().filter(|event| event.venue_ns.0 == cause).count();
    assert_eq!(one.lines().count(), 1 + caused, "the input and what it caused:\n{one}");
    assert!(one.starts_with("input "), "{one}");
    let (status, text) = refused(&["journal", "dump", &session, "--instrument", "NOPE"]);
    assert!(status == 2 && text.contains("expected one of the session's symbols"), "{text}");
    assert_eq!(refused(&["journal", "dump", &session, "--kind", "nope"]).0, 2);
    let until = said(&["replay", &session, "--until", &range]);
    assert!(until.starts_with(&format!("identical: {cause} inputs replayed")), "{until}");
    let first = events[0].venue_ns.0;
    let nothing = said(&["replay", &session, "--until", &format!("#{}", first - 1)]);
    assert!(nothing.starts_with("nothing was compared: "), "{nothing}");
}

#[test]
fn a_damaged_journal_ends_verify_and_replay_with_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let path = Path::new(&session).join("output-000001.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096 + 64 * 9 + 33] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let (status, text) = refused(&["journal", "verify", &session]);
    assert!(status == 1 && text.contains("WRONG output-000001.seg: record 10 (slot 10, byte 4672)"), "{text}");
    let (status, text) = refused(&["replay", &session]);
    assert!(status == 1 && text.contains("output-000001.seg record 10"), "{text}");
}

/// Always the smaller sets; every set with `PAWL_ALL_DATA=1`.
fn data_sets() -> Vec<PathBuf> {
    let Some(root) = common::shared_data() else { return Vec::new() };
    let all = std::env::var_os("PAWL_ALL_DATA").is_some();
    let mut files = Vec::new();
    for folder in ["bars_m1", "crypto_raw", "crypto_ticks", "fx_ticks"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if all || entry.metadata().unwrap().len() < 200_000 {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_backtests_journal_replays_to_the_same_decisions_on_real_data() {
    let mut replayed = 0;
    for file in data_sets() {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session").display().to_string();
        let file = file.display().to_string();
        // Without the gate there are more orders to compare.
        let run = pawl(&["backtest", &file, "--no-gate", "--on-bad-line", "skip", "--json", "--journal", &session]);
        if !run.status.success() {
            let text = String::from_utf8_lossy(&run.stderr).into_owned();
            assert!(text.contains("expected"), "{file}: {text}");
            eprintln!("not a market that can be traded: {file}: {}", text.trim());
            continue;
        }
        let verdict = said(&["replay", &session, "--verify"]);
        assert!(verdict.starts_with("identical: "), "{file}: {verdict}");
        assert!(said(&["journal", "verify", &session]).contains("good records: 1-"), "{file}");
        eprintln!("{}: {}", Path::new(&file).file_name().unwrap().display(), verdict.trim());
        replayed += 1;
    }
    if common::shared_data().is_some() {
        assert!(replayed >= 10, "{replayed} sets");
    }
}

#[test]
fn an_import_holds_what_a_backtest_reads() {
    for file in data_sets().into_iter().take(6) {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session").display().to_string();
        let file = file.display().to_string();
        let imported = pawl(&["journal", "import", &file, "--out", &session, "--on-bad-line", "skip"]);
        if !imported.status.success() {
            continue;
        }
        let direct = said(&["backtest", &file, "--no-gate", "--on-bad-line", "skip", "--json"]);
        let through = said(&["backtest", &session, "--no-gate", "--json"]);
        let summary = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["summary"].clone();
        assert_eq!(summary(&direct), summary(&through), "{file}");
    }
}

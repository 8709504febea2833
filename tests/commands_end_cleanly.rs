//! However a command ends - its reader gone, the disk full, its input damaged, killed - it says so with its exit status,
//! leaves no process behind, destroys nothing, and what it wrote until then can be read.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pawl::core::{Event, EventKind};
use pawl::journal::{SessionReader, StreamName};

const PAWL: &str = env!("CARGO_BIN_EXE_pawl");

fn pawl(arguments: &[&str]) -> Output {
    Command::new(PAWL).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn said(arguments: &[&str]) -> String {
    let output = pawl(arguments);
    assert!(output.status.success(), "pawl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command says that must end with this status.
fn refused(arguments: &[&str], status: i32, expected: &str) -> String {
    let output = pawl(arguments);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(status), "pawl {arguments:?}: {text}");
    assert!(text.contains(expected) && !text.contains("panicked"), "{expected:?} expected of {arguments:?} in\n{text}");
    text
}

/// A demo's session: two instruments, twelve hours, a gate.
fn demo(folder: &Path) -> String {
    let session = folder.join("session").display().to_string();
    said(&["demo", "--in-process", "--seconds", "0", "--hours", "12", "--json", "--journal", &session]);
    session
}

/// A file of quotes, every second from the same instant on; `more` is added at its end.
fn quotes(folder: &Path, name: &str, rows: u64, more: &str) -> String {
    let row = |i: u64| {
        format!("{},1.{:05},1.{:05}\n", 1_398_902_400_000_000_000 + i * 1_000_000_000, 38_000 + i % 90, 38_010 + i % 90)
    };
    let text = ["ts_ns,bid,ask\n".to_owned()].into_iter().chain((0..rows).map(row)).collect::<String>() + more;
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Commands that say something on standard output; what they write is in the folder.
fn talkers(session: &str, folder: &Path) -> Vec<Vec<String>> {
    let at = |name: &str| folder.join(name).display().to_string();
    let csv = quotes(folder, "EURUSD_x.csv", 100, "");
    let (tables, lists, new, config) = (at("tables"), at("lists"), at("new"), at("pawl.toml"));
    [
        &["journal", "export", session, "--out", &tables][..],
        &["journal", "export", session, "--out", &lists, "--format", "csv"],
        &["journal", "import", &csv, "--out", &new],
        &["journal", "compress", session],
        &["journal", "info", session],
        &["journal", "dump", session, "--limit", "3"],
        &["journal", "tail", session],
        &["config", "init", &config],
        &["config", "check", &config],
        &["demo", "--in-process", "--seconds", "0", "--hours", "1"],
        &["replay", session],
        &["replay", session, "--threshold", "0.999"],
        &["replay", session, "--layout", "fused"],
        &["replay", session, "--speed", "max"],
        &["report", "latency", session],
    ]
    .into_iter()
    .map(|command| command.iter().map(|&word| word.to_owned()).collect())
    .collect()
}

/// Every table of an export is a whole Parquet file.
fn assert_whole(tables: &Path) {
    let mut count = 0;
    for entry in std::fs::read_dir(tables).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1") && bytes.len() > 100, "{}", path.display());
        count += 1;
    }
    assert!(count > 1, "{count} tables");
}

#[test]
fn a_closed_pipe_ends_every_command_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    for command in talkers(&session, folder.path()) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(PAWL).args(&command).stdin(Stdio::null()).stdout(writer).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {text}");
        assert!(!text.contains("panicked"), "{command:?}: {text}");
    }
    assert_whole(&folder.path().join("tables"));
    assert!(said(&["journal", "info", &folder.path().join("new").display().to_string()]).contains("quote 100"));
}

#[test]
fn a_full_disk_ends_every_command_with_status_1_and_what_it_wrote_elsewhere_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    for command in talkers(&session, folder.path()) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(PAWL).args(&command).stdin(Stdio::null()).stdout(full).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
        assert!(text.contains("cannot write to standard output: No space left"), "{command:?}: {text}");
    }
    assert_whole(&folder.path().join("tables"));
    assert!(said(&["journal", "info", &folder.path().join("new").display().to_string()]).contains("quote 100"));
}

fn inputs(session: &str) -> Vec<Event> {
    let mut stream = SessionReader::open(session.as_ref()).unwrap().stream(StreamName::Input).unwrap();
    std::iter::from_fn(|| stream.next_event()).map_while(Result::ok).collect()
}

#[test]
fn an_export_of_a_damaged_journal_holds_the_good_records() {
    let folder = tempfile::tempdir().unwrap();
    let session = demo(folder.path());
    let path = Path::new(&session).join("input-000001.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096 + 64 * 500 + 33] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let good = inputs(&session);
    assert_eq!(good.len(), 500);
    let count = good.iter().filter(|event| event.kind == EventKind::Quote).count();
    let (tables, lists) = (folder.path().join("tables"), folder.path().join("lists"));
    for (out, format) in [(&tables, "parquet"), (&lists, "csv")] {
        let out = out.display().to_string();
        let text =
            refused(&["journal", "export", &session, "--out", &out, "--format", format], 1, "seg record 501 (byte ");
        assert!(text.lines().any(|line| line.split_whitespace().eq(["quote", &count.to_string(), "rows"])), "{text}");
    }
    assert_whole(&tables);
    let list = std::fs::read_to_string(lists.join("quote.csv")).unwrap();
    assert_eq!(list.lines().count(), count + 1);
}

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// State and parent of a process; `None` when it is gone, or only waits to be heard of.
fn parent_of(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" { None } else { fields.next()?.parse().ok() }
}

fn children_of(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|child| parent_of(*child) == Some(pid)).collect()
}

/// A demo over sockets with its three processes.
fn running_demo(folder: &Path) -> (Running, Vec<u32>) {
    let child = Command::new(PAWL)
        .args(["demo", "--seconds", "120", "--journal"])
        .arg(folder.join("demo"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let demo = Running(child);
    let journal = folder.join("demo/journal");
    // The engine has started when its session's folder is there.
    let began = Instant::now();
    loop {
        let children = children_of(demo.0.id());
        if children.len() == 3 && std::fs::read_dir(&journal).is_ok_and(|mut entries| entries.next().is_some()) {
            return (demo, children);
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{children:?} after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_gone(children: &[u32]) {
    // The engine may wait for live.stop_timeout, 30 seconds, for a venue that is gone.
    let began = Instant::now();
    while let Some(left) = children.iter().find(|child| parent_of(**child).is_some()) {
        if began.elapsed() > Duration::from_secs(90) {
            let command = std::fs::read_to_string(format!("/proc/{left}/cmdline")).unwrap_or_default();
            for child in children {
                // SAFETY: a signal; the processes were seen to be the demo's, which is the test's.
                unsafe { libc::kill(*child as i32, libc::SIGKILL) };
            }
            panic!("{} outlives the demo", command.replace('\0', " "));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_demo_that_is_killed_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (mut demo, children) = running_demo(folder.path());
    demo.0.kill().unwrap();
    demo.0.wait().unwrap();
    assert_gone(&children);
}

#[test]
fn a_demo_that_is_told_to_stop_ends_its_session_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut demo, children) = running_demo(folder.path());
    // The engine has said what it begins with before it can be asked to end.
    std::thread::sleep(Duration::from_secs(2));
    // SAFETY: a signal to our own child, which we have not reaped.
    assert_eq!(unsafe { libc::kill(demo.0.id() as i32, libc::SIGTERM) }, 0);
    let mut text = String::new();
    demo.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(demo.0.wait().unwrap().code(), Some(0), "{text}");
    assert!(text.contains("The venue's books: "), "{text}");
    assert_gone(&children);
    said(&["replay", &folder.path().join("demo").display().to_string(), "--verify"]);
}

#[test]
fn a_demo_whose_reader_leaves_ends_with_its_processes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut demo, children) = running_demo(folder.path());
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("pawl demo: "));
    drop(lines);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(demo.0.id() as i32, libc::SIGINT) }, 0);
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
    assert_gone(&children);
}

#[test]
fn nothing_that_is_read_is_written_over_and_what_was_there_stays_when_a_command_fails() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let data = quotes(folder.path(), "EURUSD_x.csv", 3_000, "");
    let whole = std::fs::read(&data).unwrap();
    // Bad behind what the first look at a file reads.
    let bad = quotes(folder.path(), "EURUSD_bad.csv", 3_000, "5,abc,1.4\n");
    let table = at("signals.csv");
    std::fs::write(&table, "of an earlier run").unwrap();
    refused(&["signals", &at("nowhere.csv"), "--out", &table], 1, "nowhere.csv");
    refused(&["signals", &bad, "--out", &table], 1, "EURUSD_bad.csv:3002");
    assert_eq!(std::fs::read_to_string(&table).unwrap(), "of an earlier run");
    std::fs::hard_link(&data, at("hard.csv")).unwrap();
    std::os::unix::fs::symlink(&data, at("soft.csv")).unwrap();
    for out in [&data, &at("hard.csv"), &at("soft.csv"), &at("./EURUSD_x.csv")] {
        refused(&["signals", &data, "--out", out], 2, "which is the input");
        refused(&["backtest", &data, "--trades", out], 2, "which is the input");
    }
    // The table is written under this name until it is whole.
    std::fs::copy(&data, at("EURUSD.new")).unwrap();
    refused(&["signals", &at("EURUSD.new"), "--out", &at("EURUSD")], 2, "which is the input");
    assert!(std::fs::read(&data).unwrap() == whole && std::fs::read(at("EURUSD.new")).unwrap() == whole);
    said(&["signals", &data, "--out", &table]);
    assert!(std::fs::read_to_string(&table).unwrap().lines().next().unwrap().contains(','));
    assert!(!Path::new(&at("signals.csv.new")).exists());

    let session = demo(folder.path());
    let log = Path::new(&session).join("latency.hlog");
    let (name, measured) = (log.display().to_string(), std::fs::read(&log).unwrap());
    assert!(!measured.is_empty());
    for option in ["--hlog", "--html"] {
        refused(&["report", "latency", &session, option, &name], 2, "which is the input");
    }
    assert!(std::fs::read(&log).unwrap() == measured);
    said(&["report", "latency", &session, "--hlog", &at("copy.hlog")]);
    assert!(std::fs::read(at("copy.hlog")).unwrap() == measured);
}

#[test]
fn what_a_failed_import_or_backtest_says_to_do_can_be_done() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let bad = quotes(folder.path(), "EURUSD_bad.csv", 3_000, "5,abc,1.4\n");
    for (command, option) in [(&["journal", "import"][..], "--out"), (&["backtest"], "--journal")] {
        let session = at(&command.join("-"));
        let once = [command, &[&bad, option, &session]].concat();
        refused(&once, 1, "pass --on-bad-line skip");
        assert!(!Path::new(&session).exists(), "{once:?}");
        said(&[&once[..], &["--on-bad-line", "skip"]].concat());
        assert!(said(&["journal", "info", &session]).contains("quote 3000"), "{once:?}");
        // A session that is there already is nobody's to remove, nor is what else a folder holds.
        refused(&once, 1, "expected a new folder, found a session");
        assert!(said(&["journal", "verify", &session]).contains("good records: 1-"), "{once:?}");
        let shared = at(&(command.join("-") + "-shared"));
        std::fs::create_dir(&shared).unwrap();
        std::fs::write(Path::new(&shared).join("latency.hlog"), "mine").unwrap();
        refused(&[command, &[&bad, option, &shared]].concat(), 1, "");
        let left: Vec<_> = std::fs::read_dir(&shared).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["latency.hlog"], "{once:?}");
    }
    // Market data alone: nothing was decided that could be compared.
    let imported = at("journal-import");
    for more in [&[][..], &["--verify"], &["--threshold", "0.9"], &["--layout", "fused"]] {
        let text = refused(&[&["replay", &imported], more].concat(), 2, "market data only: nothing was decided");
        assert!(text.contains(&format!("use `pawl backtest {imported}`")) && !text.contains("what if"), "{text}");
    }
    said(&["backtest", &imported, "--json"]);
}

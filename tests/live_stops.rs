//! A live session stops as it is told: once in good order, twice at once, three times whatever hangs; and it does not
//! start where it must not.

mod live_support;

use std::process::Output;

use live_support::{
    Running, assert_replays, configure, get, interrupt, pawl, post, session_folder, venue, wait, wait_for,
};
use pawl::journal::{SessionReader, StreamName};
use serde_json::Value;

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the venue holds beyond the ten coins that were there before.
fn held(url: &str) -> i64 {
    let truth = get(&format!("{url}/admin/truth"));
    let rows = truth["accounts"][0]["balances"].as_array().unwrap();
    let row = rows.iter().find(|row| row["asset"] == "BTC").unwrap();
    let units = |field: &str| row[field].as_str().unwrap().parse::<pawl::core::Qty>().unwrap().units();
    units("free") + units("locked") - pawl::core::Qty::whole(10).units()
}

fn open_orders(url: &str) -> usize {
    let truth = get(&format!("{url}/admin/truth"));
    let orders = truth["accounts"][0]["orders"].as_array().unwrap();
    orders.iter().filter(|order| order["status"] == "NEW" || order["status"] == "PARTIALLY_FILLED").count()
}

/// Less than the smallest order: nobody can sell it.
const DUST: i64 = 100_000;

/// An engine that has a position right now and, with its streams silent, no reason to close it.
fn engine_with_a_position(folder: &std::path::Path, url: &str, on_stop: &str) -> Running {
    configure(folder, url, &format!("on_stop = \"{on_stop}\""));
    let path = folder.join("pawl.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    // Long positions only: what is held beyond the start is then what is open.
    let patient = [
        ("short_from_inventory = true", "short_from_inventory = false"),
        ("max_hold = \"2s\"", "max_hold = \"10m\""),
        ("stale_after = \"3s\"", "stale_after = \"10m\""),
    ];
    let patient = patient.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the configuration");
        text.replace(from, to)
    });
    std::fs::write(&path, patient).unwrap();
    let mut engine = Running(pawl(folder, &["run", "--no-gate", "--json"]).spawn().unwrap());
    let faults = |stall: f64| {
        let rules = serde_json::json!({"stall": {"probability": stall}});
        post(&format!("{url}/admin/faults"), &serde_json::json!({"stall": "600s", "rules": rules}));
    };
    wait_for("a position that stays", || {
        assert!(engine.0.try_wait().unwrap().is_none(), "the engine ended");
        if held(url) <= DUST {
            return None;
        }
        faults(1.0);
        // An exit that was under way already is over after a while in which nothing changes.
        let (mut last, mut same) = (held(url), 0);
        while same < 50 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let now = held(url);
            same = if now == last && open_orders(url) == 0 { same + 1 } else { 0 };
            last = now;
        }
        if last > DUST {
            return Some(());
        }
        // It was closed; once more, with the streams anew.
        faults(0.0);
        post(&format!("{url}/admin/disconnect"), &serde_json::json!({"kind": "streams"}));
        None
    });
    engine
}

#[test]
fn told_once_it_closes_what_is_open_and_prints_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 20);
    let engine = engine_with_a_position(folder.path(), &url, "flatten");
    post(&format!("{url}/admin/faults"), &serde_json::json!({"rules": {"stall": {"probability": 0.0}}}));
    post(&format!("{url}/admin/disconnect"), &serde_json::json!({}));
    interrupt(&engine);
    let output = wait(engine);
    assert!(output.status.success(), "{}", errors(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["summary"]["open_lots"].as_str(), Some("0"));
    assert!(report["summary"]["trades"].as_u64().unwrap() > 0);
    let truth = get(&format!("{url}/admin/truth"));
    assert!(held(&url).abs() < DUST, "{} units are still held: {}", held(&url), truth["accounts"][0]["fills"]);
    assert_eq!(open_orders(&url), 0);
    assert_replays(&session_folder(folder.path()));
}

#[test]
fn told_once_with_keep_it_leaves_the_position_and_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 20);
    let engine = engine_with_a_position(folder.path(), &url, "keep");
    let kept = held(&url);
    interrupt(&engine);
    let output = wait(engine);
    assert!(output.status.success(), "{}", errors(&output));
    assert_eq!((held(&url), open_orders(&url)), (kept, 0), "the position was to be kept, and no order");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(report["summary"]["open_lots"].as_str(), Some("0"));
    assert_replays(&session_folder(folder.path()));
}

#[test]
fn told_twice_it_stops_at_once_and_says_what_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 20);
    let engine = engine_with_a_position(folder.path(), &url, "flatten");
    // Its key no longer works, so that it cannot close and has to wait: the second word finds it waiting.
    post(&format!("{url}/admin/key"), &serde_json::json!({"key": "engine-key", "enabled": false}));
    interrupt(&engine);
    let pages = pawl::snapshot::default_folder(&folder.path().join("state"));
    wait_for("the end to begin", || {
        let mut reader = pawl::snapshot::EngineReader::attach(&pages).ok()?;
        (reader.read().ok()?.snapshot.state == pawl::snapshot::EngineState::Stopping).then_some(())
    });
    interrupt(&engine);
    let output = wait(engine);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("stopped at once: look at the venue for what is still open"),
        "{}",
        errors(&output)
    );
    assert!(held(&url) > DUST);
    // The journal was closed all the same.
    assert_replays(&session_folder(folder.path()));
}

/// A thread that hangs never looks at what it was told: here the one that writes to a terminal which takes nothing
/// any more (Ctrl-S, or a pipe that nobody reads).
#[test]
fn told_three_times_even_an_engine_that_hangs_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 20);
    configure(folder.path(), &url, "");
    let (_unread, full) = full_pipe();
    let mut engine = Running(pawl(folder.path(), &["run", "--no-gate"]).stderr(full).spawn().unwrap());
    let pages = pawl::snapshot::default_folder(&folder.path().join("state"));
    wait_for("the session begins", || pawl::snapshot::EngineReader::attach(&pages).ok().map(|_| ()));
    for word in 1..=3 {
        assert!(engine.0.try_wait().unwrap().is_none(), "it ended before word {word}: it did not hang");
        interrupt(&engine);
        wait_for("the word is heard", || (!has_pending_signal(engine.0.id())).then_some(()));
    }
    let status = engine.0.wait().unwrap();
    assert_eq!(status.code(), Some(1), "ended by itself, and not well: {status}");
}

/// A pipe that takes no byte more: the end to read from, and the end to write to.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let set = |flags: libc::c_int| {
        // SAFETY: changes the flags of a descriptor that is open.
        assert_eq!(unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&writer), libc::F_SETFL, flags) }, 0);
    };
    set(libc::O_NONBLOCK);
    while std::io::Write::write(&mut &writer, &[0; 512]).is_ok() {}
    set(0);
    (reader, writer)
}

/// True while a signal was sent to the process and not yet delivered. A process that is gone has none.
fn has_pending_signal(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let pending = status.lines().filter(|line| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"));
    pending.filter_map(|line| line.split_whitespace().nth(1)).any(|bits| bits.bytes().any(|digit| digit != b'0'))
}

#[test]
fn it_does_not_start_where_it_must_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 1);
    configure(folder.path(), &url, "");
    let text = std::fs::read_to_string(folder.path().join("pawl.toml")).unwrap();
    let refused = |text: &str, arguments: &[&str], reason: &str| {
        std::fs::write(folder.path().join("pawl.toml"), text).unwrap();
        let output = pawl(folder.path(), arguments).output().unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?} was not refused");
        assert!(errors(&output).contains(reason), "expected {reason:?}, found: {}", errors(&output));
    };
    let live = text.replace("mode = \"demo\"", "mode = \"live\"");
    refused(&live, &["run", "--seconds", "1"], "say so with --yes-live");
    refused(&live, &["run", "--seconds", "1", "--yes-live", "--no-gate"], "live mode trades through the gate");
    refused(&live, &["run", "--seconds", "1", "--yes-live"], "run a session with mode = \"demo\" first");
    let production = text.replace(&url, "production");
    refused(&production, &["run", "--seconds", "1"], "would trade real money");
    let nobodys = text.replace("BTCUSDT = \"10\"", "");
    refused(&nobodys, &["run", "--seconds", "1"], "Say whose they are");
    let unknown = text.replace("BTCUSDT", "NOSUCH");
    refused(&unknown, &["run", "--seconds", "1"], "NOSUCH");
    // A stranger's key, and one that others can read.
    let strange = text.replace("[venue]", "[venue]\nsecret_file = \"key\"");
    std::fs::write(folder.path().join("key"), "not-the-secret").unwrap();
    let mode = |bits| {
        std::fs::set_permissions(folder.path().join("key"), std::os::unix::fs::PermissionsExt::from_mode(bits))
            .unwrap();
    };
    mode(0o644);
    refused(&strange, &["run", "--seconds", "1"], "key");
    mode(0o600);
    refused(&strange, &["run", "--seconds", "1"], "ignature");
    // Nothing of all this has left a session or an order behind.
    assert!(!folder.path().join("journal").exists());
    let truth = get(&format!("{url}/admin/truth"));
    assert_eq!(truth["accounts"][0]["orders"].as_array().unwrap().len(), 0);
}

#[test]
fn two_engines_do_not_share_a_state_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 20);
    let first = engine_with_a_position(folder.path(), &url, "keep");
    let second = pawl(folder.path(), &["run", "--no-gate", "--seconds", "1"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(errors(&second).contains("expected to be the only engine on this state folder"), "{}", errors(&second));
    drop(first);
}

#[test]
fn what_is_recorded_can_be_traded_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 20);
    configure(folder.path(), &url, "");
    // No key is needed to listen.
    let mut record = pawl(folder.path(), &["record", "--out", "market", "--json"]);
    let recorder = Running(record.env_remove("PAWL_API_KEY").env_remove("PAWL_API_SECRET").spawn().unwrap());
    let market = folder.path().join("market");
    wait_for("a thousand records", || {
        let mut stream = SessionReader::open(&market).ok()?.stream(StreamName::Input).ok()?;
        let written = std::iter::from_fn(|| stream.next_event()).take_while(Result::is_ok).count();
        (written > 1_000).then_some(())
    });
    interrupt(&recorder);
    let output = wait(recorder);
    assert!(output.status.success(), "{}", errors(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |field: &str| told[field].as_u64().unwrap();
    assert!(count("quotes") > 500 && count("trades") > 0, "{told}");
    assert_eq!((count("gaps"), count("lost")), (0, 0));
    let backtest = pawl(folder.path(), &["backtest", "market", "--no-gate", "--json"]).output().unwrap();
    assert!(backtest.status.success(), "{}", errors(&backtest));
    let report: Value = serde_json::from_slice(&backtest.stdout).unwrap();
    assert_eq!(report["feed"]["quotes"].as_u64(), Some(count("quotes")));
}

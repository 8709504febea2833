//! A live session gives the same account of itself on the threads of every layout: engine and venue agree
//! on every fill, the journal replays on one thread to the same decisions, each thread shows a sign of life of
//! its own, latencies are stamped where the bytes are, and the guardian's kill word is obeyed.

mod live_support;

use std::path::Path;

use hdrhistogram::Histogram;
use live_support::{assert_agreement, assert_replays, engine, session_folder, venue, wait_for, wait_for_connection};
use pawl::report::latency::{Hop, LATENCY_FILE, Measured, read};
use pawl::snapshot::{
    EngineReader, EngineState, EngineView, GuardianPageWriter, GuardianView, default_folder, monotonic_ns,
};
use serde_json::Value;

/// Seconds of market a second: a bar of a minute passes in 50 ms.
const SPEED: u32 = 1200;

fn configure(folder: &Path, endpoint: &str, threads: &str) {
    let text = format!(
        r#"
[quant]
bar = "50ms"
entry_z = 1.2
rearm_z = 0.8
adx_max = 80.0
[oms]
max_hold = "300ms"
acknowledge_timeout = "2s"
exit_retry_pause = "100ms"
max_order_lots = "2"
short_from_inventory = true
[live]
mode = "demo"
stop_timeout = "60s"
[threads]
{threads}
[venue]
symbols = ["BTCUSDT"]
endpoint = "{endpoint}"
[venue.base_inventory]
BTCUSDT = "10"
"#
    );
    std::fs::write(folder.join("pawl.toml"), text).unwrap();
}

/// A look at the engine's page, once there is one.
fn look(folder: &Path) -> Option<EngineView> {
    EngineReader::attach(&default_folder(&folder.join("state"))).ok()?.read().ok()
}

/// Waits until each of so many threads has gone on since an earlier look.
fn wait_for_progress(folder: &Path, threads: usize) {
    let first =
        wait_for("the engine trades", || look(folder).filter(|view| view.snapshot.state == EngineState::Running));
    assert_eq!(first.threads, threads, "a progress cell a thread");
    wait_for("every thread goes on", || {
        let now = look(folder)?;
        let mut pairs = now.progress.iter().zip(first.progress).take(threads);
        pairs.all(|(now, first)| *now > first).then_some(())
    });
}

fn samples(measured: &Measured, thread: usize, hop: Hop) -> u64 {
    measured.hops.get(&(thread, hop)).map_or(0, Histogram::len)
}

/// What was measured, and on which thread.
fn assert_stamps(session: &Path, threads: usize, fills: usize) {
    let measured = read(&session.join(LATENCY_FILE)).unwrap();
    assert_eq!(measured.header.threads.len(), threads);
    let last = threads - 1;
    for (thread, hop) in [(0, Hop::Unread), (0, Hop::Decode), (0, Hop::Feed), (last, Hop::Snapshot), (last, Hop::Oms)] {
        assert!(samples(&measured, thread, hop) > 0, "{} was not measured on thread {thread}", hop.name());
    }
    assert!((1..threads).all(|thread| samples(&measured, thread, Hop::Ring) > 0));
    // Orders are all measured, by their bytes; an order has one fill or more, or none.
    let orders = samples(&measured, last, Hop::Order);
    assert!(orders >= 2 && 4 * orders >= fills as u64, "{orders} orders measured, {fills} fills");
    assert_eq!((samples(&measured, last, Hop::Send), samples(&measured, last, Hop::Write)), (orders, orders));
    // Each is part of the next, order by order.
    let bounds = |hop| (measured.hops[&(last, hop)].min(), measured.hops[&(last, hop)].max());
    let (write, send, order) = (bounds(Hop::Write), bounds(Hop::Send), bounds(Hop::Order));
    assert!(write.0 <= send.0 && send.0 <= order.0 && write.1 <= send.1 && send.1 <= order.1);
    let reconnects: u64 = measured.causes.iter().map(|line| line.causes.reconnects).sum();
    assert!(reconnects >= 2, "both connections were made, found {reconnects} of them told");
}

fn a_short_session(threads: &str, count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), SPEED);
    configure(folder.path(), &url, threads);
    let engine = engine(folder.path(), 12);
    wait_for_progress(folder.path(), count);
    let output = engine.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the session did not end in good order: {errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let session = session_folder(folder.path());
    let fills = assert_agreement(&url, &session, &report);
    assert!(fills >= 4, "only {fills} fills: the test proves nothing");
    assert_replays(&session);
    assert_stamps(&session, count, fills);
}

#[test]
fn on_one_thread() {
    a_short_session("layout = \"fused\"\nwaiting = \"park\"", 1);
}

#[test]
fn on_two_threads_that_sleep() {
    a_short_session("layout = \"split\"\nwaiting = \"park\"", 2);
}

#[test]
fn on_four_threads_that_yield() {
    a_short_session("layout = \"pipeline\"\nwaiting = \"yield\"", 4);
}

/// The guardian's own page, alive and content until it is told otherwise.
fn guardian(folder: &Path) -> GuardianPageWriter {
    let mut page = GuardianPageWriter::create(&default_folder(&folder.join("state"))).unwrap();
    let view =
        GuardianView { heartbeat: 1, heartbeat_ns: monotonic_ns(), entries_allowed: true, ..GuardianView::default() };
    page.publish(&view);
    page
}

#[test]
fn the_kill_word_ends_a_session_on_three_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), SPEED);
    let groups = r#"layout = "groups"
[[threads.groups]]
stages = ["feed"]
waiting = "park"
[[threads.groups]]
stages = ["quant", "oracle"]
waiting = "yield"
[[threads.groups]]
stages = ["oms"]
waiting = "park"
"#;
    configure(folder.path(), &url, groups);
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let mut guardian = guardian(folder.path());
    let engine = engine(folder.path(), 600);
    wait_for_connection(&url);
    wait_for_progress(folder.path(), 3);
    guardian.kill(7);
    let output = engine.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && errors.contains("kill word"), "{:?}: {errors}", output.status);
    let view = look(folder.path()).expect("the page stays behind");
    assert_eq!((view.kill_acknowledged, view.snapshot.state), (7, EngineState::Stopping));
    assert_replays(&session_folder(folder.path()));
}

#[test]
fn a_layout_that_this_machine_cannot_carry_and_a_key_that_moved_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    let refusal = |threads: &str| {
        configure(folder.path(), "http://127.0.0.1:1", threads);
        let output = engine(folder.path(), 1).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    if cores < 4 {
        let said = refusal("layout = \"pipeline\"\nwaiting = \"spin\"");
        assert!(said.contains("4 spinning threads would share"), "{said}");
    }
    assert!(refusal("layout = \"split\"\ncores = [0]").contains("threads.cores: expected 2"));
    let text = std::fs::read_to_string(folder.path().join("pawl.toml")).unwrap();
    let text = text.replace("cores = [0]", "").replace("stop_timeout", "waiting = \"spin\"\nstop_timeout");
    std::fs::write(folder.path().join("pawl.toml"), text).unwrap();
    let output = engine(folder.path(), 1).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains("live.waiting: expected in the table [threads]"),
        "{said}"
    );
}

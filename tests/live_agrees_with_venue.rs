//! Engine and venue in two processes over real sockets, with faults of every kind switched on at
//! random: at the end they agree on every fill, on the balance and on the position, and the journal
//! replays to identical decisions.
//!
//! Runs for `PAWL_LIVE_SECONDS` (60); set it to 600 for the long run.

mod live_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use live_support::{
    Running, assert_agreement, assert_replays, configure, get, interrupt, pawl, post, session_folder, venue, wait,
    wait_for_connection,
};
use pawl::core::payload::OrderDone;
use pawl::core::{EventKind, Payload};
use pawl::journal::{SessionReader, StreamName};
use serde_json::Value;

/// Every kind of fault, often enough to strike within a minute.
fn bad_day() -> Value {
    // At random, and each a few times for certain.
    let certain = |probability: f64, count: u64| serde_json::json!({ "probability": probability, "count": count });
    serde_json::json!({
        "seed": 7, "latency_in": "1ms", "latency_out": "1ms", "jitter": "4ms", "stall": "1500ms", "late": "300ms",
        "clock_skew_ms": 200,
        "rules": {
            "disconnect": certain(0.01, 2), "stall": certain(0.01, 1), "reject": certain(0.1, 1), "requote": certain(0.1, 1),
            "lost_ack": certain(0.05, 2), "duplicate_report": certain(0.1, 1), "late_report": certain(0.1, 1),
            "too_many_requests": certain(0.02, 1), "server_error": certain(0.05, 1), "malformed": certain(0.0005, 2),
        }
    })
}

/// Counts of what the engine saw, to prove that the day was bad.
fn seen(session: &Path) -> BTreeMap<&'static str, u64> {
    let reader = SessionReader::open(session).unwrap();
    let mut counts = BTreeMap::new();
    for name in [StreamName::Input, StreamName::Output] {
        let mut stream = reader.stream(name).unwrap();
        while let Some(event) = stream.next_event() {
            let event = event.unwrap();
            *counts.entry(event.kind.name()).or_insert(0) += 1;
            if event.kind == EventKind::Query {
                assert_ne!(OrderDone::of(&event).order.0, 0);
            }
        }
    }
    counts
}

/// Fewer fills than this prove nothing.
const FILLS: usize = 10;

/// True once every kind of fault has struck and enough was traded.
fn enough(url: &str) -> bool {
    let struck = get(&format!("{url}/admin/faults"));
    let every = struck["struck"].as_object().unwrap().values().all(|count| count.as_u64() > Some(0));
    let truth = get(&format!("{url}/admin/truth"));
    every && truth["accounts"][0]["fills"].as_array().unwrap().len() >= FILLS
}

#[test]
fn after_a_bad_day_engine_and_venue_agree_on_everything_and_the_journal_replays() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), 20);
    configure(folder.path(), &url, "");
    let seconds: u64 = std::env::var("PAWL_LIVE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let engine = Running(pawl(folder.path(), &["run", "--no-gate", "--json"]).spawn().unwrap());
    // The start asks a few questions over HTTP that nobody repeats: the bad day begins after them.
    wait_for_connection(&url);
    post(&format!("{url}/admin/faults"), &bad_day());
    let began = Instant::now();
    // A day so bad that hardly anything was traded proves little: then it goes on.
    while began.elapsed() < Duration::from_secs(seconds) || !enough(&url) {
        assert!(began.elapsed() < Duration::from_secs(seconds + 240), "too little happened, for too long");
        std::thread::sleep(Duration::from_millis(500));
    }
    interrupt(&engine);
    let output = wait(engine);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the session did not end in good order: {errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let struck = get(&format!("{url}/admin/faults"));
    let session = session_folder(folder.path());
    let counts = seen(&session);
    eprintln!("struck {}\nseen {counts:?}\nalerts {}", struck["struck"], report["summary"]["alerts"]);
    let fills = assert_agreement(&url, &session, &report);
    assert!(fills >= FILLS);
    assert_replays(&session);
}

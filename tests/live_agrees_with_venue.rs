//! Engine and venue in two processes over real sockets, with faults of every kind switched on at
//! random: at the end they agree on every fill, on the balance and on the position, and the journal
//! replays to identical decisions.
//!
//! Runs for `PAWL_LIVE_SECONDS` (60); set it to 600 for the long run.

use std::collections::BTreeMap;
use std::path::Path;

use pawl::core::payload::{Fill, OrderDone};
use pawl::core::{EventKind, Money, Payload, Price, Qty};
use pawl::journal::{SessionReader, StreamName};
use serde_json::Value;

#[path = "common/live.rs"]
mod live;
use live::{assert_replays, configure, get, pawl, post, session_folder, venue, wait_for};

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

/// Fills by the venue's number: price and quantity.
type Fills = BTreeMap<u64, (Price, Qty)>;

fn decimal(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("expected decimal text, found {value}")).parse::<Qty>().unwrap().units()
}

fn fills_of_venue(account: &Value) -> Fills {
    let row = |fill: &Value| {
        let number = fill["tradeId"].as_u64().unwrap();
        (number, (Price::from_units(decimal(&fill["price"])), Qty::from_units(decimal(&fill["quantity"]))))
    };
    account["fills"].as_array().unwrap().iter().map(row).collect()
}

fn fills_of_journal(session: &Path) -> Fills {
    let session = SessionReader::open(session).unwrap();
    let mut stream = session.stream(StreamName::Input).unwrap();
    let mut fills = Fills::new();
    while let Some(event) = stream.next_event() {
        let event = event.unwrap();
        if event.kind == EventKind::Fill {
            let fill = Fill::of(&event);
            let told = fills.insert(fill.execution, (fill.price, fill.qty));
            assert!(told.is_none_or(|told| told == (fill.price, fill.qty)), "one execution told in two ways: {fill:?}");
        }
    }
    fills
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

#[test]
fn after_a_bad_day_engine_and_venue_agree_on_everything_and_the_journal_replays() {
    let folder = tempfile::tempdir().unwrap();
    let (_venue, url) = venue(folder.path(), &["--speed", "20"]);
    configure(folder.path(), &url, "");
    let seconds: u64 = std::env::var("PAWL_LIVE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let engine =
        pawl(folder.path(), &["run", "--no-gate", "--json", "--seconds", &seconds.to_string()]).spawn().unwrap();
    // The start asks a few questions over HTTP that nobody repeats: the bad day begins after them.
    wait_for("the engine", || get(&format!("{url}/admin/clients"))["api"].as_u64().filter(|clients| *clients > 0));
    post(&format!("{url}/admin/faults"), &bad_day());
    let output = engine.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the session did not end in good order: {errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let struck = get(&format!("{url}/admin/faults"));
    let truth = get(&format!("{url}/admin/truth"));
    let session = session_folder(folder.path());
    let counts = seen(&session);
    eprintln!("struck {}\nseen {counts:?}\nalerts {}", struck["struck"], report["summary"]["alerts"]);

    for (fault, count) in struck["struck"].as_object().unwrap() {
        assert!(count.as_u64().unwrap() > 0, "{fault} never struck: the test proves nothing about it");
    }
    let account = &truth["accounts"][0];
    let (venue_fills, our_fills) = (fills_of_venue(account), fills_of_journal(&session));
    assert!(venue_fills.len() >= 10, "only {} fills: the test proves nothing", venue_fills.len());
    assert_eq!(our_fills, venue_fills, "every fill, and none that was not");

    let balance = |asset: &str| {
        let rows = account["balances"].as_array().unwrap();
        let row = rows.iter().find(|row| row["asset"] == asset).unwrap();
        decimal(&row["free"]) + decimal(&row["locked"])
    };
    // What the venue holds: cash, and the base asset beyond what was there before, at the touch it
    // was booked at. The engine is flat, so only dust and base fees are left, each below a dollar or two.
    let cash = Money::from_units(balance("USDT"));
    let base = Qty::from_units(balance("BTC") - Qty::whole(10).units());
    let bid: Price = truth["symbols"][0]["bid"].as_str().unwrap().parse().unwrap();
    let worth = cash.to_f64() + base.to_f64() * bid.to_f64();
    let equity: Money = report["summary"]["end_equity"].as_str().unwrap().parse().unwrap();
    let traded: f64 = venue_fills.values().map(|(price, qty)| price.to_f64() * qty.to_f64()).sum();
    eprintln!("venue {worth:.4} engine {equity} base {base} traded {traded:.0} fills {}", venue_fills.len());
    // Base fees were booked at their fill's price and are valued here at the last bid.
    assert!((worth - equity.to_f64()).abs() < 1e-5 * traded + 1.0, "venue {worth}, engine {equity}");
    assert_eq!(report["summary"]["open_lots"].as_str(), Some("0"));
    for order in account["orders"].as_array().unwrap() {
        let status = order["status"].as_str().unwrap();
        assert!(!matches!(status, "NEW" | "PARTIALLY_FILLED"), "an order was left open: {order}");
    }

    assert_replays(&session);
}

//! The venue's own dead-man switch: kept wound while both live, and run out when both are gone.

use serde_json::Value;

use super::engine::{ENGINE, Engine};
use super::lab::{CALM, Lab, wait_for};

/// When the venue would cancel what rests on a symbol, UTC nanoseconds; `None` while the switch is not armed.
fn runs_out(lab: &Lab, symbol: &str) -> Option<u64> {
    let account = lab.account();
    let found = account["countdowns"].as_array().unwrap().iter().find(|row| row["symbol"] == symbol)?.clone();
    found["at"].as_u64()
}

fn resting(lab: &Lab) -> Value {
    lab.orders().into_iter().find(|order| order["clientOrderId"] == "rests").unwrap()
}

#[test]
fn the_dead_man_switch_is_wound_while_both_live_and_runs_out_when_both_are_gone() {
    let lab = Lab::on("futures", ENGINE, &format!("dead_man = \"3s\"\n{CALM}"));
    let mut guardian = lab.ready_guardian();
    assert_eq!(runs_out(&lab, "BTCUSDT"), None, "without an engine there is nobody to watch over");
    let mut engine = Engine::start(&lab);
    let far = format!("{:.1}", lab.bid("ETHUSDT").to_f64() * 0.9);
    let order =
        serde_json::json!({"symbol": "ETHUSDT", "side": "BUY", "quantity": "0.1", "price": far, "client_id": "rests"});
    lab.admin("order", &order);
    let first = ["BTCUSDT", "ETHUSDT"].map(|symbol| wait_for("the switch", || runs_out(&lab, symbol)));
    // Wound for longer than it runs: had it not been wound anew, the order would be gone.
    for (symbol, first) in ["BTCUSDT", "ETHUSDT"].into_iter().zip(first) {
        wait_for("the switch to be wound", || runs_out(&lab, symbol).filter(|at| *at > first + 4_000_000_000));
    }
    assert_eq!(resting(&lab)["status"], "NEW");

    guardian.kill();
    engine.process.kill();
    let cancelled =
        wait_for("the venue to cancel", || Some(resting(&lab)).filter(|order| order["status"] == "CANCELED"));
    assert!(cancelled["updated"].as_u64() >= Some(first[1]), "{cancelled}");
    assert_eq!(runs_out(&lab, "ETHUSDT"), None);
}

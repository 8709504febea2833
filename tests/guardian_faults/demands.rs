//! What people ask for: requests from afar, a reset, a drill.

use pawl::core::Qty;
use serde_json::Value;

use super::lab::{CALM, Lab, wait_for};
use super::stand_in;

#[test]
fn requests_from_afar_stop_things_and_a_reset_is_refused_while_something_is_open() {
    let lab = Lab::new(CALM);
    let _guardian = lab.ready_guardian();
    let _engine = stand_in::start(&lab);
    let taken = lab.request("pause");
    wait_for("the pause", || (!taken.exists() && lab.count("level-raised") == 1).then_some(()));
    assert_eq!(lab.held("BTCUSDT"), stand_in::HELD, "a pause closes nothing");
    let reset = lab.pawl(&["guardian", "reset", "--reason", "a test"]).output().unwrap();
    assert!(!reset.status.success(), "something is open");
    lab.request("kill");
    lab.assert_flat_and_told("operator");
}

#[test]
fn a_drill_flattens_a_demo_account_and_leaves_it_as_it_was() {
    let lab = Lab::new("");
    let drill = lab.pawl(&["guardian", "drill", "--json"]).output().unwrap();
    assert!(drill.status.success(), "{}", String::from_utf8_lossy(&drill.stderr));
    let report: Value = serde_json::from_slice(&drill.stdout).unwrap();
    let times = ["closed_us", "flat_us"].map(|name| report[name].as_u64().unwrap());
    assert!(times[0] > 0 && times[1] >= times[0], "{report}");
    assert_eq!(report["troubles"], serde_json::json!([]));
    assert_eq!((lab.open_lots(), lab.count("drill")), (Qty::ZERO, 1));
    // What is yours it does not touch.
    lab.admin("order", &serde_json::json!({"symbol": "ETHUSDT", "side": "BUY", "quantity": "1"}));
    let held = lab.held("ETHUSDT");
    let refused = lab.pawl(&["guardian", "drill"]).output().unwrap();
    assert!(!refused.status.success() && held.is_positive());
    assert_eq!(lab.held("ETHUSDT"), held);
}

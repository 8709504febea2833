//! A guardian that dies is succeeded by the next one, which finishes what was begun and does nothing twice.

use super::books::is_close;
use super::engine::Scene;
use super::lab::{CALM, wait_for};

#[test]
fn a_guardian_killed_before_its_first_close_is_succeeded() {
    let mut scene = Scene::open(CALM);
    // Nothing that is asked of the venue is answered before the guardian dies.
    scene.lab.admin("faults", &serde_json::json!({"latency_in": "2s"}));
    scene.engine.process.kill();
    scene.lab.wait_latch();
    scene.guardian.kill();
    scene.lab.admin("faults", &serde_json::json!({}));
    assert!(!scene.lab.orders().iter().any(is_close), "too late to be killed before");
    scene.guardian = scene.lab.guardian();
    scene.assert_cleaned_up("engine-exit");
    assert_eq!(scene.lab.closed_by_guardian(), scene.held.abs(), "closed once");
}

#[test]
fn a_guardian_killed_after_its_first_close_is_succeeded() {
    // The proof of flat takes longer than it takes to see the close and to kill.
    let slow = CALM.replace("[guardian.liquidation]\n", "[guardian.liquidation]\nconfirm_pause = \"5s\"\n");
    let mut scene = Scene::open(&slow);
    scene.engine.process.kill();
    wait_for("the first close", || scene.lab.orders().iter().any(is_close).then_some(()));
    scene.guardian.kill();
    assert_eq!(scene.lab.count("flat"), 0, "too late to be killed in the middle");
    scene.guardian = scene.lab.guardian();
    scene.assert_cleaned_up("engine-exit");
    assert_eq!(scene.lab.closed_by_guardian(), scene.held.abs(), "closed once");
}

#[test]
fn when_both_are_killed_the_next_guardian_cleans_up() {
    let mut scene = Scene::open(CALM);
    scene.guardian.kill();
    scene.engine.process.kill();
    let held = scene.lab.held("BTCUSDT");
    assert!(!held.is_zero());
    scene.guardian = scene.lab.guardian();
    scene.assert_cleaned_up("engine-exit");
    assert_eq!(scene.lab.closed_by_guardian(), held.abs());
}

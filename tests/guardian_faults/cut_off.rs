//! The venue cuts one of the two off: the other one still acts.

use pawl::guardian::latch::{LatchState, check};

use super::engine::Scene;
use super::lab::{CALM, Lab, wait_for};

fn enable(lab: &Lab, key: &str, enabled: bool) {
    lab.admin("key", &serde_json::json!({"key": key, "enabled": enabled}));
}

#[test]
fn a_venue_that_cuts_the_engine_off_does_not_cut_the_guardian_off() {
    let scene = Scene::open(CALM);
    let percent = scene.lab.losing_jump("BTCUSDT", 0.045);
    enable(&scene.lab, "pawl-engine-key", false);
    // The engine sees the fall and can do nothing about it.
    scene.lab.jump("BTCUSDT", percent);
    scene.assert_cleaned_up("daily-loss");
    assert_eq!(scene.lab.closed_by_guardian(), scene.held.abs());
}

#[test]
fn a_guardian_that_is_cut_off_forbids_entries_and_flattens_when_it_is_back() {
    let mut scene = Scene::open(&format!("{CALM}[guardian.venue]\nlimit = \"2s\"\nwarn = \"1s\"\n"));
    enable(&scene.lab, "pawl-guardian-key", false);
    scene.lab.wait_entries(false);
    scene.engine.process.kill();
    let held = scene.lab.held("BTCUSDT");
    wait_for("the latch", || (check(&scene.lab.state()) != LatchState::Clear).then_some(()));
    scene.lab.wait_event("liquidation-progress");
    assert_eq!(scene.lab.held("BTCUSDT"), held, "nobody can have touched it");
    enable(&scene.lab, "pawl-guardian-key", true);
    // An engine without a guardian may have come through its exit before it was killed.
    scene.assert_cleaned_up("engine-exit");
    assert_eq!(scene.lab.closed_by_guardian(), held.abs());
}

#[test]
fn a_reset_is_refused_until_the_venue_was_read_after_the_latch() {
    let lab = Lab::new(CALM);
    let _guardian = lab.ready_guardian();
    enable(&lab, "pawl-guardian-key", false);
    lab.request("halt");
    lab.wait_latch();
    let reset = || lab.pawl(&["guardian", "reset", "--reason", "a test"]).output().unwrap();
    // It was flat when it was read last; nobody knows what it is now.
    let refused = reset();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("has not been read since"), "{said}");
    assert_ne!(check(&lab.state()), LatchState::Clear);
    enable(&lab, "pawl-guardian-key", true);
    wait_for("the reset", || reset().status.success().then_some(()));
    assert_eq!(check(&lab.state()), LatchState::Clear);
}

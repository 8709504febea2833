//! An engine that hangs although its process lives, and one that does not listen.

use super::lab::{CALM, Lab, wait_for};
use super::stand_in;

#[test]
fn a_spinning_engine_is_hung_although_its_process_lives() {
    let lab = Lab::new("[guardian.heartbeat]\nlimit = \"2s\"\n");
    let _guardian = lab.ready_guardian();
    let mut engine = stand_in::start(&lab);
    stand_in::tell(&lab, "spin");
    lab.assert_flat_and_told("heartbeat");
    assert!(engine.ended().is_some());
}

#[test]
fn an_engine_that_sends_in_a_loop_and_does_not_listen_is_stopped_and_killed() {
    let lab = Lab::new(CALM);
    let _guardian = lab.ready_guardian();
    let mut engine = stand_in::start(&lab);
    stand_in::tell(&lab, "flood");
    wait_for("the engine's end", || engine.ended());
    lab.wait_event("flat");
    lab.assert_flat();
    lab.assert_nothing_sent_after_the_fence();
    let conditions: Vec<String> = lab
        .events()
        .iter()
        .filter(|event| event["code"] == "condition-breached")
        .map(|event| event["evidence"]["condition"].as_str().unwrap().to_owned())
        .collect();
    for expected in ["order-rate", "disobedience"] {
        assert!(conditions.iter().any(|condition| condition == expected), "{expected}: {conditions:?}");
    }
}

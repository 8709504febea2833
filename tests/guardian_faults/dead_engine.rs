//! An engine that dies, or hangs, with a position: the guardian cleans up after it, and it never comes back.

use std::os::unix::process::ExitStatusExt;

use pawl::guardian::latch::{LatchState, check};
use serde_json::Value;

use super::engine::{Engine, Scene};
use super::lab::{CALM, wait_for};

#[test]
fn an_engine_killed_with_a_position_is_cleaned_up_after_and_may_not_come_back() {
    let mut scene = Scene::open(CALM);
    scene.engine.process.kill();
    scene.assert_cleaned_up("engine-exit");
    let lab = &scene.lab;
    assert_eq!(lab.closed_by_guardian(), scene.held.abs(), "all of it, by the guardian");

    let refused = lab.pawl(&["run", "--no-gate"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("latched") && said.contains("pawl guardian reset"), "{said}");
    let status = lab.pawl(&["guardian", "status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let (level, alive) = (status["level"].as_str(), status["guardian_alive"].as_bool());
    assert_eq!((level, alive), (Some("FLATTEN"), Some(true)), "{status}");

    // A person clears it, with a reason; from then on an engine may trade again.
    let nothing = lab.pawl(&["guardian", "reset", "--reason", " "]).output().unwrap();
    assert!(!nothing.status.success());
    let reset = lab.pawl(&["guardian", "reset", "--reason", "cause found: kill -9 by a test"]).output().unwrap();
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    assert_eq!(check(&lab.state()), LatchState::Clear);
    let told = lab.wait_event("latch-reset");
    assert_eq!(told["evidence"]["reason"], "cause found: kill -9 by a test");
    lab.wait_entries(true);
    let mut second = Engine::start(lab);
    wait_for("the second engine to be seen", || (lab.count("engine-attached") == 2).then_some(()));
    second.enter(lab);
    assert_eq!(check(&lab.state()), LatchState::Clear, "the new engine is no dead one: {}", lab.said());
}

#[test]
fn a_stopped_engine_is_killed_so_that_it_never_sends_a_stale_order() {
    let mut scene = Scene::open("[guardian.heartbeat]\nlimit = \"2s\"\n");
    scene.engine.process.signal(libc::SIGSTOP);
    scene.assert_cleaned_up("heartbeat");
    // Continued too late: there is nobody left to continue.
    scene.engine.process.signal(libc::SIGCONT);
    let ended = wait_for("its end", || scene.engine.process.ended());
    assert_eq!(ended.signal(), Some(libc::SIGKILL));
    scene.lab.assert_nothing_sent_after_the_fence();
}

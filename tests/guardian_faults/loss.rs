//! The daily stop: the equity falls through the limit in one jump.

use super::engine::Scene;
use super::lab::{CALM, wait_for};

#[test]
fn an_equity_that_falls_through_the_limit_in_one_jump_flattens_and_the_engine_obeys() {
    let mut scene = Scene::open(CALM);
    let percent = scene.lab.losing_jump("BTCUSDT", 0.045);
    scene.lab.jump("BTCUSDT", percent);
    scene.assert_cleaned_up("daily-loss");
    // It stopped of itself: an exit status, and no signal.
    let ended = wait_for("the engine's end", || scene.engine.process.ended());
    assert!(ended.code().is_some_and(|code| code != 0), "{ended:?}");
    let said = scene.lab.read("engine.err");
    assert!(said.contains("the guardian's kill word"), "{said}");
    let fenced = scene.lab.wait_event("engine-fenced");
    assert!(fenced["title"].as_str().unwrap().contains("confirmed"), "{fenced}");
    println!("confirmed after {} us", fenced["evidence"]["elapsed_us"]);
}

//! An engine whose guardian is gone opens nothing; what it holds it still closes.

use pawl::core::payload::{ControlCode, Refusal};
use pawl::core::{Qty, Span};

use super::engine::{ENGINE, Engine, Scene};
use super::lab::{CALM, Lab, wait_for};

/// Lets the market do what makes an engine enter, until the engine says why it does not.
fn wait_refused(lab: &Lab, engine: &Engine) {
    let mut percent = -0.5;
    while engine.refusals(Refusal::GuardianSilent) == 0 {
        // About a window of the market: the signal is armed again.
        engine.wait_inputs(700);
        lab.jump("BTCUSDT", percent);
        percent = -percent;
        engine.wait_inputs(100);
    }
}

#[test]
fn without_a_guardian_exits_go_on_and_nothing_is_opened() {
    let mut scene = Scene::open(CALM);
    scene.guardian.kill();
    // Its own exit: nobody else is there.
    scene.lab.wait_held("the engine's exit", "BTCUSDT", Qty::is_zero);
    assert!(scene.lab.closed_by_guardian().is_zero());
    wait_refused(&scene.lab, &scene.engine);
    scene.engine.process.signal(libc::SIGTERM);
    let ended = wait_for("a stop in good order", || scene.engine.process.ended());
    assert!(ended.success(), "{}", scene.lab.said());
    let last_word = scene.engine.told(ControlCode::GuardianAlive).into_iter().max().expect("it had been heard");
    let silent = scene.engine.last_input_within(last_word, Span::seconds(1));
    assert_eq!(scene.engine.entries_after(silent), 0);
    scene.lab.assert_flat();
    scene.engine.assert_journal_holds();
}

#[test]
fn an_engine_that_never_had_a_guardian_opens_nothing() {
    let lab = Lab::on("futures", ENGINE, "");
    let engine = Engine::start(&lab);
    wait_refused(&lab, &engine);
    assert_eq!(engine.entries_after(0), 0);
    assert!(lab.orders().is_empty());
}

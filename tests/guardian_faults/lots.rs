//! The fat finger: lots that the engine never ordered.

use pawl::core::payload::ControlCode;
use pawl::guardian::latch::{LatchState, check};

use super::books::hundredths;
use super::engine::Scene;
use super::lab::{CALM, wait_for};

#[test]
fn lots_that_the_engine_never_ordered_are_cut_to_the_maximum_and_no_further() {
    let limit = hundredths(50);
    let scene = Scene::open(&format!("{CALM}[guardian.open_lots]\nlimit = \"0.5\"\n"));
    // More of what the engine holds, so that it does not hurry to close what it finds on its books.
    let side = if scene.held.is_positive() { "BUY" } else { "SELL" };
    let order = serde_json::json!({"symbol": "BTCUSDT", "side": side, "quantity": "0.7"});
    // The touch may be thin: an order fills as far as it does.
    wait_for("too many lots", || {
        scene.lab.admin("order", &order);
        (check(&scene.lab.state()) != LatchState::Clear || scene.lab.open_lots() > limit).then_some(())
    });
    scene.lab.wait_event("excess-closed");
    let latch = scene.lab.latched();
    assert_eq!((latch.condition.as_str(), latch.level.name()), ("open-lots", "HALT"));
    let closed = scene.lab.assert_only_excess_was_closed(limit);
    assert!(closed.is_positive() && scene.lab.open_lots() <= limit, "closed {closed} of {}", scene.lab.account());
    scene.lab.assert_told_once();
    scene.alerts.assert_every_alarm_came_once(&scene.lab);

    // The engine heard it, lives, and opens nothing more, whatever the market offers.
    let told = wait_for("the engine to hear it", || scene.engine.told(ControlCode::GuardianLatched).first().copied());
    for percent in [-0.5, 0.5] {
        scene.lab.jump("BTCUSDT", percent);
        scene.engine.wait_inputs(200);
    }
    assert_eq!(scene.engine.entries_after(told), 0);
}

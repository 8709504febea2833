//! Deposits and withdrawals are neither profit nor loss, also while no guardian runs; what trading costs is.

use pawl::core::Money;
use pawl::snapshot::Level;

use super::engine::{ENGINE, Engine};
use super::lab::{CALM, DEPOSIT, Lab, wait_for};

#[test]
fn on_futures_a_withdrawal_is_no_loss_and_a_loss_beside_it_still_is_one() {
    let lab = Lab::on("futures", ENGINE, CALM);
    let _guardian = lab.ready_guardian();
    let mut engine = Engine::start(&lab);
    lab.wait_event("engine-attached");
    engine.enter(&lab);
    let reference = |expected: i64| {
        let moved = Money::whole(expected);
        wait_for("the reference to move", || lab.view().filter(|view| view.day_reference == moved))
    };
    // Each is far beyond the daily limit, were it a loss.
    for (amount, left) in [("-2000", DEPOSIT - 2000), ("5000", DEPOSIT + 3000), ("-1000", DEPOSIT + 2000)] {
        lab.admin("balance", &serde_json::json!({"asset": "USDT", "amount": amount}));
        let view = reference(left);
        assert_eq!(view.latch, 0, "{}", lab.said());
        assert!(view.level < Level::Halt, "{}", lab.said());
    }
    assert_eq!(lab.count("cash-moved"), 3, "fills and their commission are no transfers: {}", lab.said());
    // What the market takes is a loss all the same.
    if lab.held("BTCUSDT").is_zero() {
        engine.enter(&lab);
    }
    lab.jump("BTCUSDT", lab.losing_jump("BTCUSDT", 0.045));
    lab.assert_flat_and_told("daily-loss");
    assert_eq!(lab.count("cash-moved"), 3, "a liquidation is no transfer: {}", lab.said());
}

/// The hole that this closes: a deposit made while no guardian ran would have hidden as large a loss of the day.
fn what_moves_while_no_guardian_runs_moves_the_reference(market: &str) {
    let lab = Lab::on(market, "", CALM);
    let mut guardian = lab.ready_guardian();
    assert_eq!(lab.view().unwrap().day_reference, Money::whole(DEPOSIT));
    let remembered = lab.state().join("guardian-cash.json");
    wait_for("the accounting to be remembered", || remembered.exists().then_some(()));
    for (amount, left, moves) in [("5000", DEPOSIT + 5000, 1), ("-3000", DEPOSIT + 2000, 2)] {
        guardian.kill();
        lab.admin("balance", &serde_json::json!({"asset": "USDT", "amount": amount}));
        guardian = lab.ready_guardian();
        let moved = Money::whole(left);
        let view = wait_for("the reference to move", || lab.view().filter(|view| view.day_reference == moved));
        assert_eq!((view.latch, view.peak_equity), (0, moved), "{}", lab.said());
        // Once it is on disk it is counted once.
        let saved = || lab.read("state/guardian-state.json").contains(&format!("\"{moved}\"")).then_some(());
        wait_for("the reference to be saved", saved);
        guardian.kill();
        guardian = lab.ready_guardian();
        let view = wait_for("the third guardian", || lab.view().filter(|view| view.heartbeat > 0));
        assert_eq!((view.day_reference, view.peak_equity), (moved, moved), "{}", lab.said());
        assert_eq!(lab.count("cash-moved"), moves, "{}", lab.said());
    }
}

#[test]
fn on_spot_a_transfer_is_found_by_the_next_guardian() {
    what_moves_while_no_guardian_runs_moves_the_reference("spot");
}

#[test]
fn on_futures_a_transfer_is_found_by_the_next_guardian() {
    what_moves_while_no_guardian_runs_moves_the_reference("futures");
}

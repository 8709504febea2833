//! Spot: a position is what is owned, a withdrawal is no loss, and what nobody attends is sold.

use pawl::core::Money;
use pawl::snapshot::Level;

use super::lab::{DEPOSIT, Lab, wait_for};

#[test]
fn on_spot_a_withdrawal_is_no_loss_and_what_nobody_attends_is_sold() {
    let lab = Lab::on("spot", "", "[guardian.engine_exit]\nunattended = \"1s\"\n");
    let _guardian = lab.ready_guardian();
    assert_eq!(lab.view().unwrap().day_reference, Money::whole(DEPOSIT));
    lab.admin("balance", &serde_json::json!({"asset": "USDT", "amount": "-500"}));
    lab.wait_event("cash-moved");
    let moved = Money::whole(DEPOSIT - 500);
    let view = wait_for("the reference to move", || lab.view().filter(|view| view.day_reference == moved));
    assert_eq!(view.level, Level::Active);
    // Somebody buys, and no engine is there.
    lab.admin("order", &serde_json::json!({"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.05"}));
    assert!(lab.held("BTCUSDT") > "0.001".parse().unwrap());
    lab.wait_event("flat");
    // Commission was taken in bitcoin: what is left is less than a lot.
    assert!(lab.held("BTCUSDT").abs() < "0.0001".parse().unwrap(), "{}", lab.held("BTCUSDT"));
    assert_eq!(lab.count("cash-moved"), 1, "trades and their commission are no transfers: {}", lab.said());
    assert_eq!(lab.latched().condition, "engine-exit");
}

//! After a connection is lost, nothing is assumed: orders are asked about, positions and cash are
//! the venue's, and no order leaves before they agree. On spot only what is owned is sold.

#[path = "common/desk.rs"]
mod desk;

use desk::{Desk, fill, refusals, submits};
use pawl::core::payload::{
    AccountReport, AlertCode, AlertRecord, ControlCode, ExitReason, Fee, InventoryReport, Link, LinkChannel, LinkState,
    OpenOrderReport, OrderAck, OrderDone, OrderRole, PositionReport, Reconciled, Refusal, TradeCosts,
};
use pawl::core::{ContractKind, Event, EventKind, Flags, Money, OrderId, Payload, Qty, Side, Span};
use pawl::oms::OmsParams;

fn link(state: LinkState) -> Link {
    Link { channel: Some(LinkChannel::Orders), state: Some(state), connections: 1 }
}

fn qty(text: &str) -> Qty {
    text.parse().unwrap()
}

fn alerts(events: &[Event]) -> Vec<AlertCode> {
    events.iter().filter(|e| e.kind == EventKind::Alert).filter_map(|e| AlertRecord::of(e).code).collect()
}

/// The round that the desk asked for.
fn asked(events: &[Event]) -> u64 {
    Reconciled::of(events.iter().find(|e| e.kind == EventKind::Reconcile).expect("a reconciliation is asked for")).round
}

fn cash(desk: &mut Desk, round: u64, free: &str) {
    let report = AccountReport { round, free: free.parse().unwrap(), locked: Money::ZERO, equity: Money::ZERO };
    desk.venue(EventKind::AccountReport, &report);
}

fn position(desk: &mut Desk, round: u64, signed: &str) {
    let entry = "1.1".parse().unwrap();
    desk.venue(EventKind::PositionReport, &PositionReport { round, signed_units: qty(signed).units(), entry });
}

fn done(desk: &mut Desk, round: u64) -> Vec<Event> {
    desk.venue(EventKind::Reconciled, &Reconciled { round, orders: 0 })
}

#[test]
fn no_order_leaves_before_the_first_reconciliation_is_complete() {
    let mut desk = Desk::new(&OmsParams::default());
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    assert_eq!(refusals(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy))), [Refusal::NotReconciled]);
    cash(&mut desk, round, "5000");
    assert!(alerts(&done(&mut desk, round)).is_empty(), "the first cash figure is news, not a difference");
    assert_eq!(desk.oms.balance(), Money::whole(5_000), "the venue is right");
    assert_eq!(submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0].qty, qty("0.33"));
}

#[test]
fn an_answer_to_another_question_changes_nothing() {
    let mut desk = Desk::new(&OmsParams::default());
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    position(&mut desk, round + 1, "1");
    assert!(done(&mut desk, round + 1).is_empty() && !desk.oms.is_reconciled());
    done(&mut desk, round);
    assert!(desk.oms.is_reconciled() && desk.oms.open_lots().is_zero());
}

#[test]
fn a_reconciliation_that_nobody_answers_is_asked_for_again() {
    let mut desk = Desk::new(&OmsParams::default());
    let first = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    let due = desk.oms.next_deadline();
    let late = desk.wait(due.since(desk.now));
    assert_eq!((alerts(&late), asked(&late)), (vec![AlertCode::ReconcileLate], first + 1));
    assert!(done(&mut desk, first).is_empty() && !desk.oms.is_reconciled(), "the old answer is too late");
}

#[test]
fn an_order_in_flight_when_the_link_breaks_is_asked_about_and_its_fill_is_booked_once() {
    let mut desk = Desk::new(&OmsParams::default());
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    assert_eq!(alerts(&desk.venue(EventKind::Link, &link(LinkState::Down))), [AlertCode::LinkDown]);
    assert_eq!(desk.oms.open_lots(), order.qty, "its exposure counts as open");
    assert!(desk.wait(Span::seconds(60)).is_empty(), "nobody can be asked while the line is down");

    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    position(&mut desk, round, "0.66");
    let questions = done(&mut desk, round);
    assert_eq!(questions.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::Query]);
    assert!(!desk.oms.is_reconciled(), "not before its fate is known");
    desk.report(EventKind::Fill, &fill(order.order, 7, "1.10010", order.qty));
    desk.report(EventKind::Fill, &fill(order.order, 7, "1.10010", order.qty));
    desk.report(EventKind::OrderExpired, &OrderDone { order: order.order, filled: order.qty });

    let due = desk.oms.next_deadline();
    let again = asked(&desk.wait(due.since(desk.now)));
    position(&mut desk, again, "0.66");
    assert!(alerts(&done(&mut desk, again)).is_empty(), "venue and books agree");
    assert!(desk.oms.is_reconciled());
    assert_eq!(desk.oms.open_lots(), order.qty);
    assert_eq!(submits(&desk.quote("1.09000", "1.09010", -3.0))[0].role, OrderRole::Exit, "and the stop works");
}

#[test]
fn no_exit_is_sent_into_a_broken_line() {
    let mut desk = Desk::new(&OmsParams::default());
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(order.order, 1, "1.10010", order.qty));
    desk.venue(EventKind::Link, &link(LinkState::Down));
    assert!(desk.quote("1.09000", "1.09010", -3.0).is_empty());
    assert!(desk.control(ControlCode::Flatten, Money::ZERO).is_empty());
    assert_eq!(desk.oms.next_deadline().0, u64::MAX, "and nothing spins on a deadline that cannot be served");
}

#[test]
fn the_venues_position_replaces_ours_and_is_managed() {
    let mut desk = Desk::new(&OmsParams::default());
    desk.quote("1.10000", "1.10010", 0.0);
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    position(&mut desk, round, "-0.5");
    let adopted = done(&mut desk, round);
    assert_eq!(alerts(&adopted), [AlertCode::PositionMismatch]);
    assert_eq!(desk.oms.open_lots(), qty("0.5"));
    let exit = desk.quote("1.10200", "1.10210", 1.0);
    assert_eq!((submits(&exit)[0].role, submits(&exit)[0].qty), (OrderRole::Exit, qty("0.5")), "stopped out");
}

#[test]
fn a_position_that_the_venue_does_not_have_is_dropped() {
    let mut desk = Desk::new(&OmsParams::default());
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(order.order, 1, "1.10010", order.qty));
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    assert_eq!(alerts(&done(&mut desk, round)), [AlertCode::PositionMismatch]);
    assert!(desk.oms.open_lots().is_zero());
}

#[test]
fn orders_of_an_earlier_session_are_cancelled_and_strangers_are_reported() {
    let mut desk = Desk::new(&OmsParams::default());
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    let open = |order| OpenOrderReport { round, order, remaining: qty("0.1"), filled: Qty::ZERO };
    let orphan = OrderId::new(99, 4);
    let found = desk.venue_sided(EventKind::OpenOrderReport, Side::Buy, &open(orphan));
    assert_eq!(alerts(&found), [AlertCode::OrphanOrder]);
    assert!(found.iter().any(|e| e.kind == EventKind::Cancel && OrderDone::of(e).order == orphan));
    let stranger = desk.venue_sided(EventKind::OpenOrderReport, Side::Buy, &open(OrderId::default()));
    assert_eq!((alerts(&stranger), stranger.len()), (vec![AlertCode::ForeignOrder], 1), "not ours to cancel");
}

#[test]
fn executions_may_come_in_any_order_and_each_counts_once() {
    let mut desk = Desk::new(&OmsParams::default());
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    for execution in [12, 11, 12, 10, 11] {
        desk.report(EventKind::Fill, &fill(order.order, execution, "1.10010", qty("0.1")));
    }
    assert_eq!(desk.oms.open_lots(), order.qty, "0.3 held, the rest still in flight");
    desk.report(EventKind::OrderAccepted, &OrderAck { order: order.order, venue_order: 3 });
    desk.report(EventKind::OrderExpired, &OrderDone { order: order.order, filled: qty("0.3") });
    assert_eq!(desk.oms.open_lots(), qty("0.3"));
}

/// A spot desk that owns `base` and has `money`, reconciled. A lot is one unit, worth 1.1.
fn spot(base: &str, money: &str) -> Desk {
    spot_with(&OmsParams { short_from_inventory: true, ..OmsParams::default() }, base, money)
}

fn spot_with(params: &OmsParams, base: &str, money: &str) -> Desk {
    let mut desk = Desk::trading(params, ContractKind::Spot);
    desk.quote("1.10000", "1.10010", 0.0);
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    cash(&mut desk, round, money);
    inventory(&mut desk, round, base);
    done(&mut desk, round);
    desk
}

fn inventory(desk: &mut Desk, round: u64, free: &str) {
    desk.venue(
        EventKind::InventoryReport,
        &InventoryReport { round, free: qty(free), locked: Qty::ZERO, moved: Qty::ZERO },
    );
}

#[test]
fn on_spot_a_short_signal_without_inventory_is_a_recorded_reason() {
    let mut desk = spot("0", "1000000");
    assert_eq!(refusals(&desk.signal("1.10000", "1.10010", 2.1, Some(Side::Sell))), [Refusal::NoInventory]);
    let mut desk = spot("0.05", "1000000");
    assert_eq!(submits(&desk.signal("1.10000", "1.10010", 2.1, Some(Side::Sell)))[0].qty, qty("0.05"), "what is owned");
    assert!(desk.oms.open_lots() > Qty::ZERO && desk.oms.position(desk::ID).unwrap().quantity().is_zero());
}

#[test]
fn unless_told_otherwise_what_was_owned_before_is_not_sold_by_a_short_signal() {
    let mut desk = spot_with(&OmsParams::default(), "5", "1000000");
    assert_eq!(refusals(&desk.signal("1.10000", "1.10010", 2.1, Some(Side::Sell))), [Refusal::NoInventory]);
    // A position of its own is bought and sold as ever.
    let mut desk = spot_with(&OmsParams::default(), "5", "1000");
    let entry = submits(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    let exit = submits(&desk.quote("1.10100", "1.10110", 0.5))[0];
    assert_eq!((exit.qty, exit.role), (entry.qty, OrderRole::Exit));
}

#[test]
fn on_spot_no_more_is_bought_than_cash_allows() {
    // The limit is the ask plus 5 points, 1.10005: 3 buy 2.72 lots, 0.01 buys less than a lot step.
    assert_eq!(submits(&spot("0", "3").signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0].qty, qty("2.72"));
    let refused = spot("0", "0.01").signal("1.09990", "1.10000", -2.1, Some(Side::Buy));
    assert_eq!(refusals(&refused), [Refusal::NoFunds]);
}

#[test]
fn what_was_owned_before_is_never_sold_as_a_position() {
    let mut desk = spot("3", "1000000");
    assert!(desk.oms.open_lots().is_zero());
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "3.5");
    assert_eq!(alerts(&done(&mut desk, round)), [AlertCode::PositionMismatch]);
    assert_eq!(desk.oms.open_lots(), qty("0.5"), "only what came since");
}

#[test]
fn a_difference_waits_for_a_price_and_no_order_leaves_before() {
    let mut desk = Desk::trading(&OmsParams::default(), ContractKind::Spot);
    desk.control(ControlCode::Baseline, Money::ZERO);
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "0.5");
    assert!(done(&mut desk, round).is_empty() && !desk.oms.is_reconciled());
    desk.quote("1.10000", "1.10010", -3.0);
    let due = desk.oms.next_deadline();
    let again = asked(&desk.wait(due.since(desk.now)));
    inventory(&mut desk, again, "0.5");
    assert_eq!(alerts(&done(&mut desk, again)), [AlertCode::PositionMismatch]);
    assert_eq!(desk.oms.open_lots(), qty("0.5"), "the operator said that nothing was owned before");
}

#[test]
fn a_base_fee_of_buying_a_short_back_makes_what_was_owned_less() {
    let mut desk = spot("3", "1000");
    let entry = submits(&desk.signal("1.10000", "1.10010", 2.1, Some(Side::Sell)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    let exit = submits(&desk.quote("1.09000", "1.09010", -0.5))[0];
    desk.report(EventKind::Fill, &fill(exit.order, 2, "1.09010", exit.qty));
    let fee = Fee { order: exit.order, execution: 2, amount: "0.0033".parse().unwrap(), base: qty("0.003") };
    desk.report(EventKind::Fee, &fee);
    let equity = desk.oms.equity();
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "2.997");
    // 1000 + 3 x 1.1 - 3 x 1.0901: the fee was taken of the base asset and moved no cash.
    cash(&mut desk, round, "1000.0297");
    assert!(alerts(&done(&mut desk, round)).is_empty(), "known, and no position");
    assert_eq!(desk.oms.equity(), equity, "the fee stays charged");
    assert_eq!(equity, "1000.0264".parse().unwrap());
}

#[test]
fn a_fee_taken_of_the_base_asset_shrinks_the_position_and_is_charged_once() {
    let mut desk = spot("0", "1000");
    let entry = submits(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0];
    assert_eq!(entry.qty, Qty::whole(5));
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    let before = desk.oms.equity();
    let fee = Fee { order: entry.order, execution: 1, amount: "0.0055".parse().unwrap(), base: qty("0.005") };
    desk.report(EventKind::Fee, &fee);
    assert_eq!(desk.oms.position(desk::ID).unwrap().quantity(), qty("4.995"));
    let lost = before.checked_sub(desk.oms.equity()).unwrap();
    assert_eq!(lost, "0.0054995".parse().unwrap(), "0.005 units at the bid of 1.0999");

    let exit = submits(&desk.quote("1.10100", "1.10110", 0.5))[0];
    assert_eq!(exit.qty, qty("4.99"), "rounded down to the lot step");
    let last = desk.report(EventKind::Fill, &fill(exit.order, 2, "1.10100", exit.qty));
    assert_eq!((submits(&last).len(), refusals(&last)), (0, vec![Refusal::Dust]));
    let costs = last.iter().find(|e| e.kind == EventKind::TradeCosts).map(TradeCosts::of).unwrap();
    // 4.995 were sold or left at 1.101 after costing 1.1; 0.005 went at cost.
    assert_eq!((costs.gross, costs.reason), ("0.004995".parse().unwrap(), Some(ExitReason::Reverted)));
    assert!(desk.oms.open_lots().is_zero() && !desk.oms.has_orders());
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "0.005");
    assert!(alerts(&done(&mut desk, round)).is_empty(), "the dust is known, not a position");
}

#[test]
fn a_round_that_finds_an_orphan_is_put_again_and_its_fill_is_looked_for() {
    let mut desk = Desk::new(&OmsParams::default());
    desk.quote("1.10000", "1.10010", 0.0);
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    let orphan = OrderId::new(99, 4);
    let open = |round| OpenOrderReport { round, order: orphan, remaining: qty("1"), filled: Qty::ZERO };
    desk.venue_sided(EventKind::OpenOrderReport, Side::Buy, &open(round));
    done(&mut desk, round);
    assert!(!desk.oms.is_reconciled(), "it may fill before its cancel arrives");
    let due = desk.oms.next_deadline();
    let again = asked(&desk.wait(due.since(desk.now)));
    done(&mut desk, again);
    assert!(desk.oms.is_reconciled());
    // It has filled after all, and is told only now.
    let told = desk.report(EventKind::Fill, &fill(orphan, 1, "1.10010", qty("1")));
    assert_eq!(alerts(&told), [AlertCode::UnknownExecution]);
    let due = desk.oms.next_deadline();
    let third = asked(&desk.wait(due.since(desk.now)));
    position(&mut desk, third, "1");
    done(&mut desk, third);
    assert_eq!(desk.oms.open_lots(), qty("1"));
    assert_eq!(submits(&desk.quote("1.09000", "1.09010", -3.0))[0].role, OrderRole::Exit, "and it is attended");
}

#[test]
fn an_orphan_that_cannot_be_cancelled_does_not_keep_positions_from_being_closed_for_ever() {
    let mut desk = Desk::new(&OmsParams::default());
    let mut round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    for _ in 0..20 {
        let open = OpenOrderReport { round, order: OrderId::new(99, 4), remaining: qty("1"), filled: Qty::ZERO };
        let found = desk.venue_sided(EventKind::OpenOrderReport, Side::Buy, &open);
        assert!(found.iter().any(|event| event.kind == EventKind::Cancel), "each round tries again");
        done(&mut desk, round);
        if desk.oms.is_reconciled() {
            return;
        }
        let due = desk.oms.next_deadline();
        round = asked(&desk.wait(due.since(desk.now)));
    }
    panic!("never");
}

/// A desk whose position was closed by nobody here understands what: it has put a question of its own.
fn doubting() -> (Desk, u64, Qty) {
    let mut desk = Desk::new(&OmsParams::default());
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    done(&mut desk, round);
    let entry = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10010", entry.qty));
    desk.report(EventKind::Fill, &fill(OrderId::new(99, 4), 2, "1.10010", qty("1")));
    let due = desk.oms.next_deadline();
    let question = asked(&desk.wait(due.since(desk.now)));
    (desk, question, entry.qty)
}

#[test]
fn a_question_of_our_own_keeps_no_position_from_being_closed_and_its_old_answer_changes_nothing() {
    let (mut desk, question, held) = doubting();
    assert!(!desk.oms.is_reconciled() && desk.oms.may_close());
    assert_eq!(refusals(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy))), [Refusal::NotReconciled]);
    position(&mut desk, question, "0.66");
    let exit = submits(&desk.quote("1.09000", "1.09010", -3.0))[0];
    assert_eq!((exit.role, exit.qty), (OrderRole::Exit, held), "the stop fires all the same");
    // The answer is complete while the exit is alive: it is neither cancelled nor asked about.
    assert!(done(&mut desk, question).is_empty());
    desk.report(EventKind::Fill, &fill(exit.order, 3, "1.09000", exit.qty));
    assert!(desk.oms.open_lots().is_zero());
    let due = desk.oms.next_deadline();
    let again = asked(&desk.wait(due.since(desk.now)));
    done(&mut desk, again);
    assert!(desk.oms.is_reconciled() && desk.oms.open_lots().is_zero());
}

#[test]
fn what_was_filled_during_a_round_is_not_taken_back_by_its_answer() {
    let (mut desk, question, held) = doubting();
    position(&mut desk, question, "0.66");
    let exit = submits(&desk.quote("1.09000", "1.09010", -3.0))[0];
    desk.report(EventKind::Fill, &fill(exit.order, 3, "1.09000", exit.qty));
    desk.report(EventKind::OrderExpired, &OrderDone { order: exit.order, filled: exit.qty });
    assert!(held.is_positive() && alerts(&done(&mut desk, question)).is_empty());
    assert!(desk.oms.open_lots().is_zero(), "the position of before the fill is not booked again");
}

#[test]
fn a_question_of_our_own_that_nobody_answers_is_put_again_and_closes_go_on() {
    let (mut desk, question, _) = doubting();
    let due = desk.oms.next_deadline();
    let late = desk.wait(due.since(desk.now));
    assert_eq!((alerts(&late), asked(&late)), (vec![AlertCode::ReconcileLate], question + 1));
    assert_eq!(submits(&desk.quote("1.09000", "1.09010", -3.0))[0].role, OrderRole::Exit);
}

#[test]
fn a_balance_that_is_told_before_its_execution_does_not_stop_the_rest_from_being_sold() {
    let mut desk = spot("0", "1000");
    let entry = submits(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    inventory(&mut desk, 0, "5");
    let exit = submits(&desk.quote("1.10100", "1.10110", 0.5))[0];
    inventory(&mut desk, 0, "2");
    desk.report(EventKind::Fill, &fill(exit.order, 2, "1.10100", Qty::whole(3)));
    let told = desk.report(EventKind::OrderExpired, &OrderDone { order: exit.order, filled: Qty::whole(3) });
    assert_eq!(submits(&told)[0].qty, Qty::whole(2));
}

#[test]
fn a_position_that_somebody_else_changed_is_asked_about() {
    let mut desk = Desk::new(&OmsParams::default());
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    done(&mut desk, round);
    desk.quote("1.10000", "1.10010", 0.0);
    position(&mut desk, 0, "0.5");
    assert!(desk.oms.is_reconciled(), "an execution of ours may be on its way");
    let due = desk.oms.next_deadline();
    let again = asked(&desk.wait(due.since(desk.now)));
    position(&mut desk, again, "0.5");
    done(&mut desk, again);
    assert_eq!(desk.oms.open_lots(), qty("0.5"));
    position(&mut desk, 0, "0.5");
    assert_eq!(desk.oms.next_deadline(), desk.now.plus(OmsParams::default().max_hold), "nothing is left to ask");
}

#[test]
fn somebody_else_s_execution_and_its_fee_change_nothing_of_ours() {
    let mut desk = spot("0", "1000");
    let entry = submits(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    let (equity, balance) = (desk.oms.equity(), desk.oms.balance());
    desk.report(EventKind::Fill, &fill(OrderId(0), 2, "1.10000", Qty::whole(3000)));
    let fee = Fee { order: OrderId(0), execution: 2, amount: "3.3".parse().unwrap(), base: Qty::whole(3) };
    desk.report(EventKind::Fee, &fee);
    assert_eq!((desk.oms.equity(), desk.oms.balance()), (equity, balance));
    assert_eq!(desk.oms.open_lots(), entry.qty);
}

#[test]
fn a_fee_paid_in_a_third_asset_is_a_cost_and_leaves_the_cash_as_it_is() {
    let mut desk = spot("0", "1000");
    let entry = submits(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    let (balance, equity) = (desk.oms.balance(), desk.oms.equity());
    let fee = |order, execution| Fee { order, execution, amount: "0.5".parse().unwrap(), base: Qty::ZERO };
    desk.report_flagged(EventKind::Fee, Flags::OTHER_ASSET, &fee(entry.order, 1));
    assert_eq!((desk.oms.balance(), desk.oms.equity()), (balance, equity));
    let exit = submits(&desk.quote("1.10100", "1.10110", 0.5))[0];
    desk.report(EventKind::Fill, &fill(exit.order, 2, "1.10100", exit.qty));
    let closed = desk.report_flagged(EventKind::Fee, Flags::OTHER_ASSET, &fee(exit.order, 2));
    let costs = closed.iter().find(|event| event.kind == EventKind::TradeCosts).map(TradeCosts::of).unwrap();
    assert_eq!(costs.fees, Money::whole(1));
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "0");
    cash(&mut desk, round, "1000.005");
    assert!(alerts(&done(&mut desk, round)).is_empty(), "books and cash agree");
}

#[test]
fn a_base_fee_that_takes_all_that_is_left_ends_the_trade() {
    let mut desk = spot("0", "1000");
    let entry = submits(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    let fee =
        |order, execution, base: &str| Fee { order, execution, amount: "0.0001".parse().unwrap(), base: qty(base) };
    desk.report(EventKind::Fee, &fee(entry.order, 1, "0.0075"));
    let first = submits(&desk.quote("1.10100", "1.10110", 0.5))[0];
    let lapsed = desk.report(EventKind::OrderExpired, &OrderDone { order: first.order, filled: Qty::ZERO });
    let second = submits(&lapsed)[0];
    assert_eq!(second.qty, qty("4.99"));
    desk.report(EventKind::Fill, &fill(second.order, 2, "1.10100", second.qty));
    // 0.0025 are left, below the smallest order; the fee of the sale takes them.
    desk.report(EventKind::Fee, &fee(second.order, 2, "0.0074"));
    desk.quote("1.10100", "1.10110", 0.5);
    assert!(desk.oms.open_lots().is_zero());
    desk.wait(OmsParams::default().max_hold);
    desk.wait(Span::seconds(1));
    assert!(desk.oms.next_deadline() > desk.now, "nothing is due for ever");
    assert_eq!(refusals(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy))), [], "and it may trade again");
}

#[test]
fn on_spot_no_more_is_sold_than_is_there_and_what_is_refused_twice_is_asked_about() {
    let mut desk = spot("0", "1000");
    let entry = submits(&desk.signal("1.09990", "1.10000", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10000", entry.qty));
    // Fees of other trades were taken of it.
    inventory(&mut desk, 0, "4.905");
    desk.now = desk.now.plus(Span::seconds(60));
    let exit = submits(&desk.quote("1.10100", "1.10110", 0.5))[0];
    assert_eq!(exit.qty, qty("4.90"));
    let reject = |order| pawl::core::payload::OrderReject { order, code: None, price: pawl::core::Price::ZERO };
    let second = submits(&desk.report(EventKind::OrderRejected, &reject(exit.order)))[0];
    let refused = desk.report(EventKind::OrderRejected, &reject(second.order));
    assert_eq!(alerts(&refused), [AlertCode::ExitFailing]);
    let round = asked(&desk.wait(Span::ZERO));
    inventory(&mut desk, round, "0");
    done(&mut desk, round);
    assert!(desk.oms.open_lots().is_zero(), "it is no longer there");
}

#[test]
fn a_spot_position_taken_up_at_the_start_is_in_the_balance() {
    let mut desk = Desk::trading(&OmsParams::default(), ContractKind::Spot);
    desk.control(ControlCode::Baseline, Money::ZERO);
    desk.quote("1.10000", "1.10010", -3.0);
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    cash(&mut desk, round, "1000");
    inventory(&mut desk, round, "100");
    done(&mut desk, round);
    assert_eq!(desk.oms.open_lots(), qty("100"));
    let worth: Money = "1110".parse().unwrap();
    let apart = worth.checked_sub(desk.oms.equity()).unwrap();
    assert!(apart.abs() <= "0.011".parse().unwrap(), "cash and what is held: {}", desk.oms.equity());
}

#[test]
fn what_its_owner_takes_away_is_no_short_position_to_be_bought_back() {
    let mut desk = spot_with(&OmsParams::default(), "3", "1000");
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "2.5");
    assert_eq!(alerts(&done(&mut desk, round)), [AlertCode::PositionMismatch], "a person must know");
    assert!(desk.oms.open_lots().is_zero());
    for z_score in [0.0, 3.0, -3.0, 0.0] {
        assert!(submits(&desk.quote("1.10000", "1.10010", z_score)).is_empty());
    }
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "2.5");
    assert!(alerts(&done(&mut desk, round)).is_empty(), "told once");
}

#[test]
fn what_its_owner_brings_is_no_position_to_be_sold() {
    let mut desk = spot_with(&OmsParams::default(), "3", "1000");
    let brought = InventoryReport { round: 0, free: Qty::ZERO, locked: Qty::ZERO, moved: qty("2") };
    desk.venue(EventKind::InventoryReport, &brought);
    let round = asked(&desk.venue(EventKind::Link, &link(LinkState::Up)));
    inventory(&mut desk, round, "5");
    assert!(alerts(&done(&mut desk, round)).is_empty(), "it was told");
    assert!(desk.oms.open_lots().is_zero());
}

#[test]
fn an_order_of_many_executions_is_booked_once_when_all_of_them_are_told_again() {
    let mut desk = Desk::new(&OmsParams::default());
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    for _ in 0..2 {
        for execution in 1..=500 {
            desk.report(EventKind::Fill, &fill(order.order, execution, "1.10010", qty("0.0001")));
        }
    }
    assert_eq!(desk.oms.position(desk::ID).unwrap().quantity(), qty("0.05"));
}

#[test]
fn an_entry_that_was_lost_sight_of_is_asked_about_however_often_the_supervisor_wants_to_be_flat() {
    let params = OmsParams { entry: pawl::oms::EntryStyle::Limit, ..OmsParams::default() };
    let mut desk = Desk::new(&params);
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    let mut questions = 0;
    for _ in 0..10 {
        desk.control(ControlCode::Flatten, Money::ZERO);
        let told = desk.wait(Span::seconds(1));
        questions += told.iter().filter(|event| event.kind == EventKind::Query).count();
    }
    assert!(questions >= 3, "{questions} of {:?}", order.order);
    assert!(desk.oms.status(desk::ID).unwrap().unknown_since.is_some(), "the guardian sees it");
}

//! Promises of the order manager, kept against a venue that answers anything in any order.

#[path = "common/desk.rs"]
mod desk;

use std::collections::BTreeMap;

use desk::{Desk, ID, fill, refusals, submits, table};
use pawl::core::payload::{
    AlertRecord, ControlCode, ExitReason, Fee, Fill, OrderAck, OrderDone, OrderReject, OrderRole, Refusal, RejectCode,
    Submit, TimeInForce, TradeCosts,
};
use pawl::core::{ContractKind, EventKind, Money, OrderId, Payload, Price, Qty, Side, Span};
use pawl::oms::{EntryStyle, OmsParams};
use proptest::prelude::*;

#[test]
fn a_signal_becomes_an_order_a_position_and_a_closed_trade() {
    let mut desk = Desk::new(&OmsParams::default());
    let entry = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    assert_eq!((entry.role, entry.tif, entry.attempt), (OrderRole::Entry, TimeInForce::Ioc, 1));
    assert_eq!(entry.qty, "0.66".parse().unwrap(), "1 % of 10,000 over 150 points of 1");
    assert_eq!(entry.price, "1.10015".parse::<Price>().unwrap(), "the ask plus 5 points");
    desk.report(EventKind::OrderAccepted, &OrderAck { order: entry.order, venue_order: 7 });
    let opened = desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10010", entry.qty));
    assert!(opened.iter().any(|e| e.kind == EventKind::TradeOpened));
    desk.report(EventKind::Fee, &Fee { order: entry.order, execution: 1, amount: Money::whole(2), base: Qty::ZERO });
    assert_eq!(desk.oms.equity(), "9991.4".parse().unwrap(), "spread of 10 points on 0.66 lots, and the fee");

    let exit = submits(&desk.quote("1.10050", "1.10060", 0.1))[0];
    assert_eq!((exit.role, exit.qty), (OrderRole::Exit, entry.qty));
    desk.report(EventKind::OrderAccepted, &OrderAck { order: exit.order, venue_order: 8 });
    desk.report(EventKind::Fill, &fill(exit.order, 2, "1.10050", exit.qty));
    let closed =
        desk.report(EventKind::Fee, &Fee { order: exit.order, execution: 2, amount: Money::whole(2), base: Qty::ZERO });
    let costs = closed.iter().find(|e| e.kind == EventKind::TradeCosts).map(TradeCosts::of).unwrap();
    assert_eq!(
        (costs.gross, costs.fees, costs.reason),
        ("26.4".parse().unwrap(), Money::whole(4), Some(ExitReason::Reverted))
    );
    assert_eq!(desk.oms.balance(), "10022.4".parse().unwrap());
}

#[test]
fn a_reject_is_retried_once_slightly_worse_and_then_no_more() {
    let mut desk = Desk::new(&OmsParams::default());
    let first = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    let reject = |order| OrderReject { order, code: Some(RejectCode::Requote), price: Price::ZERO };
    let second = submits(&desk.report(EventKind::OrderRejected, &reject(first.order)))[0];
    assert_eq!((second.intent, second.attempt, second.price), (first.intent, 2, "1.10020".parse().unwrap()));
    let end = desk.report(EventKind::OrderRejected, &reject(second.order));
    assert_eq!((submits(&end).len(), refusals(&end)), (0, vec![Refusal::RetriesExhausted]));
}

#[test]
fn a_limit_entry_is_cancelled_after_its_three_seconds() {
    let mut desk = Desk::new(&OmsParams { entry: EntryStyle::Limit, ..OmsParams::default() });
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    assert_eq!((order.tif, order.price), (TimeInForce::Limit, "1.1".parse().unwrap()));
    desk.report(EventKind::OrderAccepted, &OrderAck { order: order.order, venue_order: 1 });
    assert_eq!(desk.oms.next_deadline(), desk.now.plus(Span::seconds(3)));
    assert!(desk.wait(Span::millis(2_999)).is_empty());
    let due = desk.wait(Span::millis(1));
    assert_eq!(due.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::Cancel]);
    let done = desk.report(EventKind::OrderCancelled, &OrderDone { order: order.order, filled: Qty::ZERO });
    assert_eq!(refusals(&done), [Refusal::Unfilled]);
    assert!(!desk.oms.has_orders());
}

#[test]
fn an_unanswered_order_is_unknown_counts_as_open_and_is_asked_about() {
    let mut desk = Desk::new(&OmsParams::default());
    let order = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    let asked = desk.wait(Span::seconds(2));
    assert!(asked.iter().any(|e| e.kind == EventKind::Query && OrderDone::of(e).order == order.order));
    assert_eq!(desk.oms.open_lots(), order.qty);
    desk.now = desk.now.plus(Span::seconds(1));
    assert_eq!(refusals(&desk.signal("1.10000", "1.10010", -2.2, Some(Side::Buy))), [Refusal::UnknownOrder]);
    let lost = desk.report(EventKind::OrderNotFound, &OrderDone { order: order.order, filled: Qty::ZERO });
    assert!(lost.iter().any(|e| e.kind == EventKind::Alert));
    assert!(desk.oms.open_lots().is_zero());
}

#[test]
fn each_reason_for_not_entering_is_recorded() {
    let refused = |params: OmsParams, prepare: fn(&mut Desk)| {
        let mut desk = Desk::new(&params);
        prepare(&mut desk);
        let events = desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy));
        assert!(submits(&events).is_empty());
        refusals(&events)
    };
    let plain = OmsParams::default;
    let nothing: fn(&mut Desk) = |_| {};
    assert_eq!(refused(OmsParams { max_notional: Money::whole(100), ..plain() }, nothing), [Refusal::Notional]);
    assert_eq!(refused(OmsParams { max_open_lots: "0.5".parse().unwrap(), ..plain() }, nothing), [Refusal::OpenLots]);
    assert_eq!(refused(OmsParams { price_collar_points: 9, ..plain() }, nothing), [Refusal::PriceCollar]);
    assert_eq!(refused(OmsParams { guardian_required: true, ..plain() }, nothing), [Refusal::GuardianSilent]);
    assert_eq!(
        refused(plain(), |d| drop(d.control(ControlCode::GuardianLatched, Money::ZERO))),
        [Refusal::GuardianLatched]
    );
    assert_eq!(refused(plain(), |d| drop(d.control(ControlCode::StopEntries, Money::ZERO))), [Refusal::EntriesStopped]);
    assert_eq!(refused(plain(), |d| drop(d.control(ControlCode::Start, Money::ZERO))), [Refusal::NoFunds]);
    assert_eq!(refused(plain(), |d| drop(d.control(ControlCode::Start, Money::whole(1)))), [Refusal::BelowMinimumLot]);
    assert_eq!(refused(plain(), |d| drop(d.signal("1.1", "1.1001", -2.1, Some(Side::Buy)))), [Refusal::Busy]);
    assert_eq!(refused(plain(), |d| drop(d.signal("1.1", "1.1001", 2.1, Some(Side::Sell)))), [Refusal::SelfTrade]);
}

#[test]
fn a_silent_guardian_stops_entries_but_not_exits() {
    let mut desk = Desk::new(&OmsParams { guardian_required: true, ..OmsParams::default() });
    desk.control(ControlCode::GuardianAlive, Money::ZERO);
    let entry = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    desk.report(EventKind::Fill, &fill(entry.order, 1, "1.10010", entry.qty));
    desk.now = desk.now.plus(Span::seconds(10));
    desk.control(ControlCode::GuardianLatched, Money::ZERO);
    assert_eq!(submits(&desk.quote("1.09000", "1.09010", -3.0))[0].role, OrderRole::Exit);
}

#[test]
fn repeated_executions_are_booked_once_and_strange_ones_raise_an_alert() {
    let mut desk = Desk::new(&OmsParams::default());
    let entry = submits(&desk.signal("1.10000", "1.10010", -2.1, Some(Side::Buy)))[0];
    let execution = fill(entry.order, 5, "1.10010", "0.3".parse().unwrap());
    desk.report(EventKind::Fill, &execution);
    desk.report(EventKind::Fill, &execution);
    assert_eq!(desk.oms.position(ID).unwrap().quantity(), "0.3".parse().unwrap());
    let stranger = desk.report(EventKind::Fill, &fill(OrderId::new(9, 9), 6, "1.1", Qty::whole(1)));
    assert!(stranger.iter().any(|e| e.kind == EventKind::Alert && AlertRecord::of(e).order == OrderId::new(9, 9)));
    assert_eq!(desk.oms.position(ID).unwrap().quantity(), "0.3".parse().unwrap());
}

/// What the adversarial venue and market may do next.
#[derive(Debug, Clone)]
enum Move {
    Market { mid: i64, spread: i64, z: i8, signal: Option<bool> },
    Accept,
    Reject,
    Fill { part: u8, slip: i64 },
    Fee(i64),
    Expire,
    NotFound,
    Wait(u64),
    Flatten,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (100_000i64..120_000, 0i64..30, -4i8..=4, prop::option::weighted(0.7, any::<bool>()))
            .prop_map(|(mid, spread, z, signal)| Move::Market { mid, spread, z, signal }),
        2 => Just(Move::Accept),
        1 => Just(Move::Reject),
        4 => (1u8..=100, -20i64..20).prop_map(|(part, slip)| Move::Fill { part, slip }),
        1 => (0i64..1_000_000_000).prop_map(Move::Fee),
        2 => Just(Move::Expire),
        1 => Just(Move::NotFound),
        2 => (1u64..5_000).prop_map(Move::Wait),
        1 => Just(Move::Flatten),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_breaks_a_limit_and_the_books_always_balance(moves in prop::collection::vec(any_move(), 1..150), limit_entries: bool) {
        let entry = if limit_entries { EntryStyle::Limit } else { EntryStyle::Ioc };
        let mut desk = Desk::new(&OmsParams { entry, max_orders: 1000, ..OmsParams::default() });
        let spec = table(ContractKind::Linear).get(ID).unwrap().spec().clone();
        let mut alive: Option<(Submit, Side, i64)> = None;
        let (mut executions, mut held, mut cash, mut fees) = (0u64, 0i64, 0i128, 0i64);
        let (mut attempts, mut last): (BTreeMap<u32, u8>, OrderId) = (BTreeMap::new(), OrderId::default());
        for step in moves {
            desk.now = desk.now.plus(Span::millis(1));
            let events = match (step, alive) {
                (Move::Market { mid, spread, z, signal }, _) => {
                    let bid = Price::from_units(mid * 1_000).to_string();
                    let ask = Price::from_units((mid + spread) * 1_000).to_string();
                    let side = signal.map(|buy| if buy { Side::Buy } else { Side::Sell });
                    desk.signal(&bid, &ask, f64::from(z), side)
                }
                (Move::Accept, Some((order, ..))) => {
                    desk.report(EventKind::OrderAccepted, &OrderAck { order: order.order, venue_order: 1 })
                }
                (Move::Reject, Some((order, ..))) => {
                    alive = None;
                    desk.report(EventKind::OrderRejected, &OrderReject { order: order.order, code: None, price: Price::ZERO })
                }
                (Move::Fill { part, slip }, Some((order, side, filled))) => {
                    let left = order.qty.units() - filled;
                    let qty = (left * i64::from(part) / 100).max(1).min(left);
                    let price = Price::from_units((order.price.units() + slip * 1_000).max(1));
                    executions += 1;
                    held += qty * side.sign();
                    cash -= i128::from(price.units()) * i128::from(qty * side.sign());
                    alive = (qty < left).then_some((order, side, filled + qty));
                    desk.report(EventKind::Fill, &Fill { order: order.order, execution: executions, price, qty: Qty::from_units(qty) })
                }
                (Move::Fee(amount), _) if executions > 0 => {
                    fees += amount;
                    desk.report(EventKind::Fee, &Fee { order: last, execution: executions, amount: Money::from_units(amount), base: Qty::ZERO });
                    executions += 1;
                    Vec::new()
                }
                (Move::Expire, Some((order, _, filled))) => {
                    alive = None;
                    desk.report(EventKind::OrderExpired, &OrderDone { order: order.order, filled: Qty::from_units(filled) })
                }
                (Move::NotFound, Some((order, ..))) => {
                    alive = None;
                    desk.report(EventKind::OrderNotFound, &OrderDone { order: order.order, filled: Qty::ZERO })
                }
                (Move::Wait(millis), _) => desk.wait(Span::millis(millis)),
                (Move::Flatten, _) => {
                    let events = desk.control(ControlCode::Flatten, Money::ZERO);
                    desk.control(ControlCode::AllowEntries, Money::ZERO);
                    events
                }
                _ => Vec::new(),
            };
            for event in events.iter().filter(|e| e.kind == EventKind::Submit) {
                let (order, side) = (Submit::of(event), Side::from_flags(event.flags).unwrap());
                prop_assert!(alive.is_none(), "two orders alive: {:?} and {:?}", alive, order);
                prop_assert_eq!(order.qty.units() % spec.lot_step.units(), 0);
                prop_assert_eq!(order.price.units() % spec.tick_size.units(), 0);
                prop_assert!(order.qty.is_positive() && order.qty <= spec.max_lot);
                match order.role {
                    OrderRole::Entry => prop_assert!(order.qty >= spec.min_lot && held == 0),
                    OrderRole::Exit => prop_assert!(order.qty.units() <= held.abs() && held.signum() == -side.sign()),
                }
                let previous = attempts.insert(order.intent, order.attempt).unwrap_or(0);
                prop_assert_eq!(order.attempt, previous + 1);
                prop_assert!(order.attempt <= 2);
                (alive, last) = (Some((order, side, 0)), order.order);
            }
            let position = desk.oms.position(ID).unwrap();
            prop_assert_eq!(position.signed_units(), held, "sum of fills = position");
            let mark = if held >= 0 { desk.quote.bid } else { desk.quote.ask };
            let exact = cash + i128::from(held) * i128::from(mark.units());
            // 100,000 of contract size over a scale of 1e8: price × quantity units to money units.
            let expected = 1_000_000_000_000 - i128::from(fees) + exact.div_euclid(1_000);
            let equity = i128::from(desk.oms.equity().units());
            prop_assert!((expected - equity).abs() <= 1, "equity {} but cash and holdings say {}", equity, expected);
        }
    }
}

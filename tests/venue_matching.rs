//! The matcher keeps its rules whatever orders and markets it meets: quantity is conserved, nobody
//! trades beyond a limit or more than was shown, an IOC never rests, a cancel wins nothing back, and
//! every order ends exactly once.

use std::collections::BTreeMap;

use pawl::core::payload::{Quote, RejectCode, Trade};
use pawl::core::{
    ContractKind, Event, EventKind, InstrumentId, InstrumentSpec, InstrumentTable, Money, Nanos, OrderId, Payload,
    Price, Qty, Side,
};
use pawl::venue::paper::{Matcher, Order, OrderKind, RESTING, Verdict};
use proptest::prelude::*;

const ID: InstrumentId = InstrumentId(0);
const STEP: i64 = 1_000_000;
const TICK: i64 = 1_000;

fn table() -> InstrumentTable {
    let spec = InstrumentSpec {
        symbol: "TESTUSD".into(),
        tick_size: Price::from_units(TICK),
        lot_step: Qty::from_units(STEP),
        min_lot: Qty::from_units(2 * STEP),
        max_lot: Qty::from_units(200 * STEP),
        point_size: Price::from_units(TICK),
        point_value: Money::from_units(TICK),
        currency: "USD".into(),
        contract: ContractKind::Linear,
    };
    InstrumentTable::new([spec]).unwrap()
}

fn quote(bid: i64, spread: i64, bid_size: i64, ask_size: i64) -> Event {
    let quote = Quote {
        bid: Price::from_units(bid * TICK),
        ask: Price::from_units((bid + spread) * TICK),
        bid_qty: Qty::from_units(bid_size),
        ask_qty: Qty::from_units(ask_size),
    };
    quote.event(EventKind::Quote, ID, Nanos(1), Nanos(1))
}

fn order(number: u64, side: Side, price: i64, lots: i64, kind: OrderKind) -> Order {
    Order {
        instrument: ID,
        order: OrderId(number),
        side,
        price: Price::from_units(price * TICK),
        qty: Qty::from_units(lots * STEP),
        kind,
        closing: false,
    }
}

fn place(matcher: &mut Matcher, order: &Order) -> Vec<Verdict> {
    let mut out = Vec::new();
    matcher.place(order, &mut out);
    out.into_iter().map(|(_, verdict)| verdict).collect()
}

fn market(matcher: &mut Matcher, event: &Event) -> Vec<Verdict> {
    let mut out = Vec::new();
    matcher.on_market(event, &mut out);
    out.into_iter().map(|(_, verdict)| verdict).collect()
}

fn fills(verdicts: &[Verdict]) -> Vec<(u64, i64, i64)> {
    let fill = |verdict: &Verdict| match verdict {
        Verdict::Filled { order, price, qty, .. } => Some((order.0, price.units() / TICK, qty.units())),
        _ => None,
    };
    verdicts.iter().filter_map(fill).collect()
}

fn refused(verdicts: &[Verdict]) -> Option<RejectCode> {
    match verdicts {
        [Verdict::Rejected { code, .. }] => Some(*code),
        _ => None,
    }
}

#[test]
fn orders_off_the_grid_or_outside_the_lots_are_refused() {
    let mut matcher = Matcher::new(&table(), 0, RESTING);
    assert_eq!(refused(&place(&mut matcher, &order(1, Side::Buy, 100, 5, OrderKind::Ioc))), Some(RejectCode::NoMarket));
    market(&mut matcher, &quote(100, 2, 50 * STEP, 50 * STEP));
    let below = order(2, Side::Buy, 102, 1, OrderKind::Ioc);
    assert_eq!(refused(&place(&mut matcher, &below)), Some(RejectCode::Filter), "below the minimum lot");
    let closing = Order { closing: true, ..below };
    assert_eq!(fills(&place(&mut matcher, &closing)), [(2, 102, STEP)], "what a partial fill left can be closed");
    for bad in [
        order(3, Side::Buy, 102, 201, OrderKind::Ioc),
        order(3, Side::Buy, 0, 5, OrderKind::Ioc),
        Order { qty: Qty::from_units(2 * STEP + 1), ..order(3, Side::Buy, 102, 2, OrderKind::Ioc) },
        Order { price: Price::from_units(102 * TICK + 1), ..order(3, Side::Buy, 102, 2, OrderKind::Ioc) },
        Order { price: Price::from_units(i64::MAX / TICK * TICK), ..order(3, Side::Buy, 102, 200, OrderKind::Ioc) },
        Order { instrument: InstrumentId(9), ..order(3, Side::Buy, 102, 2, OrderKind::Ioc) },
    ] {
        assert_eq!(refused(&place(&mut matcher, &bad)), Some(RejectCode::Filter), "{bad:?}");
    }
}

#[test]
fn the_name_of_an_open_order_is_taken_until_it_is_done() {
    let mut matcher = Matcher::new(&table(), 0, RESTING);
    market(&mut matcher, &quote(100, 2, 50 * STEP, 50 * STEP));
    let resting = order(7, Side::Buy, 100, 5, OrderKind::Limit);
    assert_eq!(place(&mut matcher, &resting), [Verdict::Accepted { order: OrderId(7) }]);
    assert_eq!(refused(&place(&mut matcher, &resting)), Some(RejectCode::Other));
    let mut out = Vec::new();
    matcher.cancel(ID, OrderId(7), &mut out);
    assert_eq!(place(&mut matcher, &resting), [Verdict::Accepted { order: OrderId(7) }], "done: the name is free");
}

#[test]
fn the_better_price_is_served_first_and_then_the_older_order() {
    let mut matcher = Matcher::new(&table(), 0, RESTING);
    market(&mut matcher, &quote(100, 5, 50 * STEP, 50 * STEP));
    for (number, price) in [(1, 98), (2, 99), (3, 97), (4, 99)] {
        place(&mut matcher, &order(number, Side::Buy, price, 4, OrderKind::Limit));
    }
    // Ten lots are offered at 95: the two at 99 are filled, the one at 98 in part.
    let served = fills(&market(&mut matcher, &quote(94, 1, STEP, 10 * STEP)));
    assert_eq!(served, [(2, 99, 4 * STEP), (4, 99, 4 * STEP), (1, 98, 2 * STEP)]);
    let mut matcher = Matcher::new(&table(), 0, RESTING);
    market(&mut matcher, &quote(100, 5, 50 * STEP, 50 * STEP));
    for (number, price) in [(1, 107), (2, 106), (3, 106)] {
        place(&mut matcher, &order(number, Side::Sell, price, 4, OrderKind::Limit));
    }
    let trade = Trade { price: Price::from_units(110 * TICK), qty: Qty::from_units(9 * STEP), trade_id: 1 };
    let served = fills(&market(&mut matcher, &trade.event(EventKind::Trade, ID, Nanos(1), Nanos(1))));
    assert_eq!(served, [(2, 106, 4 * STEP), (3, 106, 4 * STEP), (1, 107, STEP)]);
}

#[test]
fn fok_post_only_and_market_orders_keep_their_word() {
    let mut matcher = Matcher::new(&table(), 0, RESTING);
    market(&mut matcher, &quote(100, 2, 5 * STEP, 5 * STEP));
    let expired = |number, filled| Verdict::Done {
        order: OrderId(number),
        filled: Qty::from_units(filled),
        kind: EventKind::OrderExpired,
    };
    let verdicts = place(&mut matcher, &order(1, Side::Buy, 102, 6, OrderKind::Fok));
    assert_eq!(verdicts, [Verdict::Accepted { order: OrderId(1) }, expired(1, 0)], "all or nothing");
    assert_eq!(fills(&place(&mut matcher, &order(2, Side::Buy, 102, 5, OrderKind::Fok))), [(2, 102, 5 * STEP)]);
    let taker = order(3, Side::Sell, 100, 3, OrderKind::PostOnly);
    assert_eq!(refused(&place(&mut matcher, &taker)), Some(RejectCode::Other));
    assert!(fills(&place(&mut matcher, &order(4, Side::Sell, 101, 3, OrderKind::PostOnly))).is_empty());
    let sold = place(&mut matcher, &order(5, Side::Sell, 0, 9, OrderKind::Market));
    assert_eq!(fills(&sold), [(5, 100, 5 * STEP)]);
    assert_eq!(sold.last(), Some(&expired(5, 5 * STEP)), "what the touch did not have lapses");
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Quote(i64, i64, i64, i64),
    Trade(i64, i64),
    Place(bool, i64, i64, u8),
    Cancel(usize),
    Reduce(usize, i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Sizes that are no multiple of the step, and none at all ("not told").
        (90i64..110, 1i64..4, 0i64..8 * STEP, 0i64..8 * STEP).prop_map(|(b, s, x, y)| Step::Quote(b, s, x, y)),
        (88i64..114, 0i64..5 * STEP).prop_map(|(price, qty)| Step::Trade(price, qty)),
        (any::<bool>(), 88i64..114, 1i64..12, 0u8..5).prop_map(|(buy, p, q, k)| Step::Place(buy, p, q, k)),
        any::<usize>().prop_map(Step::Cancel),
        (any::<usize>(), 1i64..10).prop_map(|(which, lots)| Step::Reduce(which, lots)),
    ]
}

const KINDS: [OrderKind; 5] =
    [OrderKind::Ioc, OrderKind::Limit, OrderKind::Fok, OrderKind::PostOnly, OrderKind::Market];

/// What the test itself knows of an order.
struct Known {
    order: Order,
    filled: i64,
    ends: u32,
    refused: bool,
}

#[derive(Default)]
struct Ledger {
    orders: BTreeMap<u64, Known>,
    /// Shown and not yet taken, by side of the order that would take it; `None` where not told.
    shown: [Option<i64>; 2],
}

impl Ledger {
    /// Checks verdicts against the rules and books them. `size` is what may trade in this step, by
    /// side of the order.
    fn book(&mut self, verdicts: &[Verdict], size: &mut [Option<i64>; 2], step: usize) {
        for verdict in verdicts {
            let (Verdict::Accepted { order }
            | Verdict::Rejected { order, .. }
            | Verdict::Filled { order, .. }
            | Verdict::Done { order, .. }) = verdict;
            let known = self.orders.get_mut(&order.0).expect("a verdict about an order that was sent");
            match verdict {
                Verdict::Accepted { .. } => assert_eq!((known.filled, known.ends), (0, 0), "step {step}"),
                Verdict::Rejected { .. } => {
                    assert_eq!((known.filled, known.ends), (0, 0), "refused orders never trade");
                    (known.ends, known.refused) = (1, true);
                }
                Verdict::Filled { price, qty, maker, .. } => {
                    assert_eq!(known.ends, 0, "step {step}: an order that is done trades again");
                    assert!(qty.is_positive() && qty.units() % STEP == 0, "whole steps");
                    let limit = known.order.price;
                    let kept = match (known.order.kind, known.order.side) {
                        (OrderKind::Market, _) => true,
                        (_, Side::Buy) => *price <= limit,
                        (_, Side::Sell) => *price >= limit,
                    };
                    assert!(kept, "step {step}: {price} beyond {limit}");
                    assert!(!maker || matches!(known.order.kind, OrderKind::Limit | OrderKind::PostOnly));
                    let left = &mut size[usize::from(known.order.side == Side::Sell)];
                    if let Some(left) = left {
                        *left -= qty.units();
                        assert!(*left >= 0, "step {step}: more than was shown");
                    }
                    known.filled += qty.units();
                    assert!(known.filled <= known.order.qty.units(), "step {step}: overfilled");
                    if known.filled == known.order.qty.units() {
                        known.ends += 1;
                    }
                }
                Verdict::Done { filled, kind, .. } => {
                    assert_eq!(filled.units(), known.filled, "step {step}: the venue's count is the sum of fills");
                    if matches!(kind, EventKind::OrderExpired | EventKind::OrderCancelled) {
                        known.ends += 1;
                    }
                    assert_eq!(known.ends, 1, "step {step}: ended {} times", known.ends);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_history_breaks_a_rule(steps in proptest::collection::vec(any_step(), 1..120), slippage in 0i64..3) {
        let mut matcher = Matcher::new(&table(), slippage, RESTING);
        let mut ledger = Ledger::default();
        let mut touch: Option<(i64, i64, i64, i64)> = None;
        for (number, step) in steps.into_iter().enumerate() {
            let open: Vec<u64> = ledger.orders.iter().filter(|(_, known)| known.ends == 0).map(|(id, _)| *id).collect();
            let mut out = Vec::new();
            match step {
                Step::Quote(bid, spread, bid_size, ask_size) => {
                    // Size is shown anew when that side changes.
                    let (ask, told) = (bid + spread, |size: i64| (size > 0).then_some(size));
                    if touch.is_none_or(|(b, _, size, _)| (b, size) != (bid, bid_size)) {
                        ledger.shown[1] = told(bid_size);
                    }
                    if touch.is_none_or(|(_, a, _, size)| (a, size) != (ask, ask_size)) {
                        ledger.shown[0] = told(ask_size);
                    }
                    touch = Some((bid, ask, bid_size, ask_size));
                    let mut shown = ledger.shown;
                    matcher.on_market(&quote(bid, spread, bid_size, ask_size), &mut out);
                    let verdicts: Vec<Verdict> = out.drain(..).map(|(_, verdict)| verdict).collect();
                    ledger.book(&verdicts, &mut shown, number);
                    ledger.shown = shown;
                }
                Step::Trade(price, qty) => {
                    let trade = Trade { price: Price::from_units(price * TICK), qty: Qty::from_units(qty), trade_id: 1 };
                    matcher.on_market(&trade.event(EventKind::Trade, ID, Nanos(1), Nanos(1)), &mut out);
                    let verdicts: Vec<Verdict> = out.drain(..).map(|(_, verdict)| verdict).collect();
                    let total: i64 = fills(&verdicts).iter().map(|(_, _, qty)| qty).sum();
                    prop_assert!(total <= qty, "more than was printed");
                    ledger.book(&verdicts, &mut [None, None], number);
                }
                Step::Place(buy, price, lots, kind) => {
                    let side = if buy { Side::Buy } else { Side::Sell };
                    let kind = KINDS[usize::from(kind)];
                    let new = order(number as u64 + 1, side, price, lots, kind);
                    ledger.orders.insert(new.order.0, Known { order: new, filled: 0, ends: 0, refused: false });
                    let mut shown = ledger.shown;
                    let verdicts = place(&mut matcher, &new);
                    ledger.book(&verdicts, &mut shown, number);
                    ledger.shown = shown;
                    let known = &ledger.orders[&new.order.0];
                    let may_rest = matches!(kind, OrderKind::Limit | OrderKind::PostOnly);
                    prop_assert!(may_rest || known.ends == 1, "{kind:?} never rests");
                    if kind == OrderKind::Fok && !known.refused {
                        prop_assert!(known.filled == 0 || known.filled == new.qty.units(), "all or nothing");
                    }
                    if kind == OrderKind::PostOnly {
                        prop_assert_eq!(known.filled, 0, "post-only never takes");
                    }
                }
                Step::Cancel(which) => {
                    let Some(id) = ledger.orders.keys().nth(which % ledger.orders.len().max(1)).copied() else { continue };
                    let before = ledger.orders[&id].filled;
                    matcher.cancel(ID, OrderId(id), &mut out);
                    let verdicts: Vec<Verdict> = out.drain(..).map(|(_, verdict)| verdict).collect();
                    let was_open = open.contains(&id);
                    let cancelled = matches!(verdicts[..], [Verdict::Done { kind: EventKind::OrderCancelled, .. }]);
                    prop_assert_eq!(cancelled, was_open, "only what is open can be cancelled");
                    if was_open {
                        ledger.book(&verdicts, &mut [None, None], number);
                    }
                    prop_assert_eq!(ledger.orders[&id].filled, before, "a cancel wins nothing back");
                }
                Step::Reduce(which, lots) => {
                    let Some(id) = open.get(which % open.len().max(1)).copied() else { continue };
                    let known = ledger.orders.get_mut(&id).unwrap();
                    let left = known.order.qty.units() - known.filled;
                    let reduced = matcher.reduce(OrderId(id), Qty::from_units(lots * STEP));
                    prop_assert_eq!(reduced, lots * STEP < left);
                    if reduced {
                        known.order.qty = Qty::from_units(known.filled + lots * STEP);
                    }
                }
            }
        }
        // What the test believes to be open is open, with what is left; the rest is known to be done.
        for (id, known) in &ledger.orders {
            let mut out = Vec::new();
            let question = Event::new(EventKind::Query, ID, Nanos(1), Nanos(1), [*id, 0, 0, 0]);
            matcher.cancel_or_query(&question, &mut out);
            match out[0].1 {
                Verdict::Accepted { .. } => prop_assert_eq!(known.ends, 0),
                Verdict::Done { filled, kind, .. } => {
                    prop_assert_eq!(kind == EventKind::OrderNotFound, known.refused);
                    prop_assert_eq!((known.ends, filled.units()), (1, known.filled));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}

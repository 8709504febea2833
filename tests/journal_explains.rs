//! An order's story is told of a journal that was written by hand, so that it holds what seldom happens.

use std::process::{Command, Stdio};

use pawl::core::payload::{
    Control, ControlCode, Fill, OrderReject, OrderRole, Quote, Submit, TimeInForce, TradeClosed, TradeCosts,
    TradeOpened,
};
use pawl::core::{EventKind, InstrumentId, Money, Nanos, OrderId, Payload, Price, Qty, Side};
use pawl::journal::{SessionInfo, SessionWriter, WriterOptions};

/// Standard output of a command that must succeed.
fn said(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pawl")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pawl {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A session of one instrument, as its writer stores it.
struct Desk(SessionWriter);

impl Desk {
    fn told(&mut self, kind: EventKind, payload: &impl Payload) {
        let now = Nanos(1_700_000_000_000_000_000 + self.0.input.written() * 1_000_000_000);
        self.0.input.append(&payload.event(kind, InstrumentId(0), now, now)).unwrap();
    }

    fn decides(&mut self, kind: EventKind, payload: &impl Payload) {
        let cause = self.0.input.written();
        let now = Nanos(1_700_000_000_000_000_000 + cause * 1_000_000_000);
        let event = payload.event(kind, InstrumentId(0), Nanos(cause), now).flagged(Side::Buy.flag());
        self.0.output.append(&event).unwrap();
    }

    /// A quote, and the order it makes the engine send.
    fn sends(&mut self, number: u32, role: OrderRole) -> OrderId {
        let (price, qty, order) = (PRICE.parse().unwrap(), Qty::whole(1), OrderId::new(1, number));
        let ask = "1.10010".parse().unwrap();
        self.told(EventKind::Quote, &Quote { bid: price, ask, bid_qty: qty, ask_qty: qty });
        let submit = Submit { order, price, qty, tif: TimeInForce::Ioc, role, attempt: 1, intent: number };
        self.decides(EventKind::Submit, &submit);
        order
    }

    fn fills(&mut self, order: OrderId, execution: u64) {
        self.told(EventKind::Fill, &Fill { order, execution, price: PRICE.parse().unwrap(), qty: Qty::whole(1) });
    }

    fn rejects(&mut self, order: OrderId) {
        self.told(EventKind::OrderRejected, &OrderReject { order, code: None, price: Price::ZERO });
    }

    fn opens(&mut self, intent: u32) {
        let (price, qty) = (PRICE.parse().unwrap(), Qty::whole(1));
        self.decides(EventKind::TradeOpened, &TradeOpened { intent, price, qty, bid_plus_ask: 0 });
    }

    fn closes(&mut self) {
        let (price, qty) = (PRICE.parse().unwrap(), Qty::whole(1));
        let opened = Nanos(1_700_000_000_000_000_000);
        self.decides(EventKind::TradeClosed, &TradeClosed { opened, entry: price, exit: price, qty });
        let (gross, fees) = (Money::whole(7), Money::ZERO);
        self.decides(EventKind::TradeCosts, &TradeCosts { gross, fees, reason: None, slippage: Money::ZERO });
    }
}

const PRICE: &str = "1.10000";

#[test]
fn an_order_that_did_not_fill_is_not_told_another_trades_result() {
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session").display().to_string();
    let info = SessionInfo {
        version: 1,
        session: 1,
        instruments: pawl::venue::paper::synthetic::specs(1),
        ..SessionInfo::default()
    };
    let writer = SessionWriter::create(session.as_ref(), &info, &WriterOptions::default()).unwrap();
    let mut desk = Desk(writer);
    desk.told(EventKind::Control, &Control { code: Some(ControlCode::Start), balance: Money::whole(10_000) });
    let unfilled = desk.sends(1, OrderRole::Entry);
    desk.rejects(unfilled);
    let first = desk.sends(2, OrderRole::Entry);
    desk.fills(first, 1);
    desk.opens(2);
    // Its exit does not fill either, and its end is not in the journal: another trade follows.
    let stuck = desk.sends(3, OrderRole::Exit);
    desk.rejects(stuck);
    let second = desk.sends(4, OrderRole::Entry);
    desk.fills(second, 2);
    desk.opens(4);
    let exit = desk.sends(5, OrderRole::Exit);
    desk.fills(exit, 3);
    desk.closes();
    desk.0.close().unwrap();
    for (order, has_result) in [(unfilled, false), (first, false), (stuck, false), (second, true), (exit, true)] {
        let story = said(&["replay", &session, "--explain", &order.to_string()]);
        assert!(story.starts_with(&format!("Order {order}: ")), "{story}");
        assert_eq!(story.contains("net 7"), has_result, "{order}:\n{story}");
        assert!(!story.contains("still open"), "{order}:\n{story}");
    }
}

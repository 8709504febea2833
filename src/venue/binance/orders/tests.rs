//! The order protocol against scripted answers: what is sent, what is told, in which order.

mod futures;
mod session;

use super::super::sign::websocket_payload;
use super::super::symbols::tests::spec;
use super::*;
use crate::core::payload::{AccountReport, Fee, Fill, InventoryReport, OpenOrderReport, OrderAck, TimeInForce};
use crate::core::{Flags, InstrumentTable, Money, Qty};
use serde_json::Value;

const NOW: Nanos = Nanos(1_700_000_000_000_000_000);
const BTC: InstrumentId = InstrumentId(0);

fn symbols() -> SymbolTable {
    let table = InstrumentTable::new([spec("BTCUSDT", "USDT"), spec("ETHUSDT", "USDT")]).unwrap();
    SymbolTable::new(&table, |_| None)
}

fn ed25519() -> Signer {
    Signer::from_ed25519_seed(&[7; 32]).unwrap()
}

/// The protocol and everything it told, with the requests it wants to send.
struct Desk {
    protocol: OrderProtocol,
    events: Vec<Event>,
    requests: Vec<Value>,
    now: Nanos,
}

impl Desk {
    fn at(market: Market, cash: &str, signer: Signer) -> Self {
        let credentials = Credentials { api_key: Secret::new(b"KEY1"), signer };
        let protocol = OrderProtocol::new(OrderParams::new(market, cash), symbols(), credentials, NOW);
        Self { protocol, events: Vec::new(), requests: Vec::new(), now: NOW }
    }

    fn with(signer: Signer) -> Self {
        Self::at(Market::Spot, "USDT", signer)
    }

    /// Connected, and told a time that is ours.
    fn open(&mut self) {
        self.protocol.on_open(self.now);
        let method = if self.protocol.params.market == Market::Spot { "time" } else { "session.status" };
        let time = self.sent(method);
        assert_eq!(self.requests, Vec::<Value>::new(), "what is stamped waits for the time");
        let now = self.now.0 / 1_000_000;
        self.answer(&time, &format!(r#"{{"serverTime":{now}}}"#));
    }

    fn close(&mut self) {
        let events = &mut self.events;
        self.protocol.on_close(self.now, &mut |event| events.push(event));
        self.requests.clear();
    }

    /// Logged on and subscribed.
    fn ready() -> Self {
        let mut desk = Self::with(ed25519());
        desk.open();
        let logon = desk.sent("session.logon");
        desk.answer(&logon, r#"{"apiKey":"KEY1","userDataStream":false}"#);
        let subscribe = desk.sent("userDataStream.subscribe");
        desk.answer(&subscribe, r#"{"subscriptionId":0}"#);
        assert_eq!(desk.told(), ["link"]);
        assert!(desk.protocol.is_ready());
        desk
    }

    fn drain(&mut self) {
        self.protocol.on_time(self.now);
        while let Some(request) = self.protocol.next_request(self.now) {
            self.requests.push(serde_json::from_slice(request).unwrap());
        }
    }

    /// The next request of this method.
    fn sent(&mut self, method: &str) -> Value {
        self.drain();
        let at = self.requests.iter().position(|request| request["method"] == method);
        let at = at.unwrap_or_else(|| panic!("no {method} in {:?}", self.requests));
        self.requests.remove(at)
    }

    fn frame(&mut self, frame: &str) {
        let events = &mut self.events;
        self.protocol.on_text(frame.as_bytes(), self.now, &mut |event| events.push(event));
    }

    fn answer(&mut self, request: &Value, result: &str) {
        let id = &request["id"];
        self.frame(&format!(r#"{{"id":{id},"status":200,"result":{result}}}"#));
    }

    fn refuse(&mut self, request: &Value, status: u16, code: i64, message: &str) {
        let id = &request["id"];
        self.frame(&format!(r#"{{"id":{id},"status":{status},"error":{{"code":{code},"msg":"{message}"}}}}"#));
    }

    fn event(&mut self, event: &str) {
        self.frame(&format!(r#"{{"subscriptionId":0,"event":{event}}}"#));
    }

    fn submit(&mut self, counter: u32) -> Value {
        let request = self.protocol.submit(&submit(counter), self.now).unwrap();
        serde_json::from_slice(request).unwrap()
    }

    fn command(&mut self, kind: EventKind, counter: u32) {
        let payload = OrderDone { order: OrderId::new(0x1a2b_3c4d, counter), filled: Qty::ZERO };
        self.protocol.command(&payload.event(kind, BTC, Nanos::NONE, self.now));
    }

    /// The kinds of what was told since the last look.
    fn told(&mut self) -> Vec<&'static str> {
        self.take().iter().map(|event| event.kind.name()).collect()
    }

    fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

fn submit(counter: u32) -> Event {
    let submit = Submit {
        order: OrderId::new(0x1a2b_3c4d, counter),
        price: "60000.5".parse().unwrap(),
        qty: "0.005".parse().unwrap(),
        tif: TimeInForce::Ioc,
        role: OrderRole::Entry,
        attempt: 1,
        intent: 1,
    };
    submit.event(EventKind::Submit, BTC, Nanos::NONE, NOW).flagged(Side::Buy.flag())
}

fn execution(kind: &str, status: &str, filled: &str, trade: Option<u64>) -> String {
    let (number, qty, price) = match trade {
        Some(number) => (number.to_string(), "0.00200000", "60000.50000000"),
        None => ("-1".into(), "0.00000000", "0.00000000"),
    };
    let asset = if trade.is_some() { "\"USDT\"" } else { "null" };
    format!(
        r#"{{"e":"executionReport","E":1700000000001,"s":"BTCUSDT","c":"pawl-1a2b3c4d-1","S":"BUY","o":"LIMIT","f":"IOC","q":"0.00500000","p":"60000.50000000","C":"","x":"{kind}","X":"{status}","r":"NONE","i":28,"l":"{qty}","z":"{filled}","L":"{price}","n":"0.12000100","N":{asset},"T":1700000000001,"t":{number},"w":true,"m":false,"v":3}}"#
    )
}

fn order(status: &str, executed: &str, fills: &str) -> String {
    format!(
        r#"{{"symbol":"BTCUSDT","orderId":28,"orderListId":-1,"clientOrderId":"pawl-1a2b3c4d-1","transactTime":1700000000001,"price":"60000.50000000","origQty":"0.00500000","executedQty":"{executed}","cummulativeQuoteQty":"0","status":"{status}","timeInForce":"IOC","type":"LIMIT","side":"BUY","fills":[{fills}]}}"#
    )
}

fn fill(number: u64, qty: &str) -> String {
    format!(
        r#"{{"price":"60000.50000000","qty":"{qty}","commission":"0.00000200","commissionAsset":"BTC","tradeId":{number}}}"#
    )
}

fn trades(rows: &[(u64, &str)]) -> String {
    let row = |(id, qty): &(u64, &str)| {
        format!(
            r#"{{"symbol":"BTCUSDT","id":{id},"orderId":28,"price":"60000.50","qty":"{qty}","commission":"0.1","commissionAsset":"USDT","time":1700000000001,"isBuyer":true}}"#
        )
    };
    format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(","))
}

#[test]
fn an_order_is_written_as_documented() {
    let mut desk = Desk::ready();
    let order = desk.submit(17);
    let expected = r#"{"newClientOrderId":"pawl-1a2b3c4d-17","newOrderRespType":"FULL","price":"60000.50","quantity":"0.00500","recvWindow":2000,"side":"BUY","symbol":"BTCUSDT","timeInForce":"IOC","timestamp":1700000000000,"type":"LIMIT"}"#;
    assert_eq!(order["method"], "order.place");
    assert_eq!(order["params"], serde_json::from_str::<Value>(expected).unwrap());
}

#[test]
fn a_rehearsed_order_leaves_no_trace() {
    let (mut plain, mut rehearsing) = (Desk::ready(), Desk::ready());
    for counter in 1..20 {
        for made_up in 1..4 {
            assert!(rehearsing.protocol.rehearse(&submit(1_000 + made_up), NOW));
        }
        assert!(rehearsing.protocol.next_request(NOW).is_none(), "a made-up order was to be sent");
        assert_eq!(plain.submit(counter), rehearsing.submit(counter));
    }
    // Of a real order an answer is told, of a made-up one nothing is known.
    rehearsing.event(&execution("NEW", "NEW", "0", None).replace("-1\",\"S", "-1001\",\"S"));
    plain.event(&execution("NEW", "NEW", "0", None).replace("-1\",\"S", "-1001\",\"S"));
    assert_eq!(plain.told(), rehearsing.told());
}

#[test]
fn a_key_that_cannot_log_on_signs_every_request() {
    let mut desk = Desk::with(Signer::from_secret(&Secret::new(b"secret")).unwrap());
    desk.open();
    let verifier = Signer::from_secret(&Secret::new(b"secret")).unwrap().verifier();
    let verify = |request: &Value| {
        let params = request["params"].as_object().unwrap();
        let texts: Vec<(String, String)> = params
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        let mut pairs: Vec<(&str, &str)> = texts.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut payload = Vec::new();
        websocket_payload(&mut pairs, &mut payload);
        assert_eq!(params["apiKey"], "KEY1");
        assert!(verifier.verify(&payload, params["signature"].as_str().unwrap().as_bytes()), "{request}");
    };
    let subscribe = desk.sent("userDataStream.subscribe.signature");
    verify(&subscribe);
    desk.answer(&subscribe, r#"{"subscriptionId":0}"#);
    assert_eq!(desk.told(), ["link"]);
    verify(&desk.submit(1));
    desk.command(EventKind::Cancel, 1);
    verify(&desk.sent("order.cancel"));
    desk.command(EventKind::Query, 1);
    verify(&desk.sent("order.status"));
    let reconcile = Reconciled { round: 1, orders: 0 };
    desk.protocol.command(&reconcile.event(EventKind::Reconcile, BTC, Nanos::NONE, NOW));
    verify(&desk.sent("openOrders.status"));
    verify(&desk.sent("account.status"));
}

#[test]
fn answer_and_event_of_one_order_say_one_thing() {
    let both = order("EXPIRED", "0.00200000", &fill(56, "0.00200000"));
    let events = [
        execution("NEW", "NEW", "0", None),
        execution("TRADE", "PARTIALLY_FILLED", "0.00200000", Some(56)),
        execution("EXPIRED", "EXPIRED", "0.00200000", None),
    ];
    // The answer first, last, and in between.
    for place in 0..=events.len() {
        let mut desk = Desk::ready();
        let request = desk.submit(1);
        for (index, event) in events.iter().enumerate() {
            if index == place {
                desk.answer(&request, &both);
            }
            desk.event(event);
        }
        if place == events.len() {
            desk.answer(&request, &both);
        }
        let told = desk.take();
        let mut kinds: Vec<&str> = told.iter().map(|event| event.kind.name()).collect();
        kinds.dedup();
        assert_eq!(kinds, ["order-accepted", "fill", "fee", "order-expired"], "answer at {place}");
        let order = OrderId::new(0x1a2b_3c4d, 1);
        assert_eq!(OrderAck::of(&told[0]), OrderAck { order, venue_order: 28 });
        let (price, qty) = ("60000.5".parse().unwrap(), "0.002".parse().unwrap());
        assert_eq!(Fill::of(&told[1]), Fill { order, execution: 56, price, qty });
        assert_eq!(told[1].venue_ns, Nanos(1_700_000_000_001_000_000));
        assert_eq!(OrderDone::of(told.last().unwrap()).filled, qty);
    }
}

#[test]
fn a_fee_in_the_base_asset_says_what_was_taken() {
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.answer(&request, &order("FILLED", "0.00500000", &fill(56, "0.00500000")));
    assert_eq!(
        desk.events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::OrderAccepted, EventKind::Fill, EventKind::Fee]
    );
    let fee = Fee::of(&desk.events[2]);
    assert_eq!((fee.amount, fee.base), ("0.120001".parse::<Money>().unwrap(), "0.000002".parse::<Qty>().unwrap()));
}

#[test]
fn a_fee_in_a_third_asset_says_so() {
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.answer(&request, &order("FILLED", "0.00500000", &fill(56, "0.00500000").replace("BTC", "BNB")));
    assert!(desk.events[2].kind == EventKind::Fee && desk.events[2].flags.contains(Flags::OTHER_ASSET));
}

#[test]
fn an_end_waits_for_executions_that_were_missed() {
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.answer(&request, &order("NEW", "0", ""));
    desk.event(&execution("TRADE", "PARTIALLY_FILLED", "0.00200000", Some(56)));
    assert_eq!(desk.told(), ["order-accepted", "fill", "fee"]);
    desk.event(&execution("EXPIRED", "EXPIRED", "0.00400000", None));
    assert_eq!(desk.told(), Vec::<&str>::new());
    let ask = desk.sent("myTrades");
    assert_eq!((&ask["params"]["orderId"], &ask["params"]["symbol"]), (&28.into(), &"BTCUSDT".into()));
    desk.answer(&ask, &trades(&[(56, "0.002"), (57, "0.002")]));
    let told = desk.take();
    assert_eq!(told.iter().map(|event| event.kind.name()).collect::<Vec<_>>(), ["fill", "fee", "order-expired"]);
    assert_eq!(Fill::of(&told[0]).execution, 57);
}

#[test]
fn what_may_have_been_done_ends_nothing() {
    for (status, code, message) in [
        (500, -1000, "Internal"),
        (504, -1007, "Timeout waiting for response from backend server."),
        (502, -1006, "x"),
        (400, -2010, "Duplicate order sent."),
    ] {
        let mut desk = Desk::ready();
        let request = desk.submit(1);
        desk.refuse(&request, status, code, message);
        assert_eq!(desk.told(), Vec::<&str>::new(), "{status} {code} {message}");
    }
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.refuse(&request, 400, -2010, "Account has insufficient balance for requested action.");
    assert_eq!(OrderReject::of(&desk.take()[0]).code, Some(RejectCode::InsufficientFunds));
}

#[test]
fn an_order_is_not_found_only_after_the_venue_cannot_take_it_any_more() {
    let mut desk = Desk::ready();
    desk.submit(1);
    for (seconds, told) in [(0, 0), (11, 0), (12, 1)] {
        desk.now = NOW.plus(Span::seconds(seconds));
        desk.command(EventKind::Query, 1);
        let ask = desk.sent("order.status");
        assert_eq!(ask["params"]["origClientOrderId"], "pawl-1a2b3c4d-1");
        desk.refuse(&ask, 400, -2013, "Order does not exist.");
        assert_eq!(desk.told().len(), told, "after {seconds} s");
    }
}

#[test]
fn the_answer_to_a_query_is_complete() {
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.answer(&request, &order("PARTIALLY_FILLED", "0.00200000", &fill(56, "0.00200000")));
    desk.take();
    desk.command(EventKind::Query, 1);
    let ask = desk.sent("order.status");
    assert_eq!(ask["params"]["orderId"], 28);
    desk.answer(&ask, &order("FILLED", "0.00500000", ""));
    let ask = desk.sent("myTrades");
    desk.answer(&ask, &trades(&[(56, "0.002"), (58, "0.003")]));
    // The one told before is repeated: the order manager knows which it has booked.
    assert_eq!(desk.told(), ["fill", "fee", "fill", "fee", "order-expired"]);
    desk.command(EventKind::Query, 1);
    let ask = desk.sent("order.status");
    desk.answer(&ask, &order("NEW", "0", ""));
    assert_eq!(desk.told(), ["order-accepted"]);
    desk.command(EventKind::Query, 1);
    let ask = desk.sent("order.status");
    desk.answer(&ask, &order("REJECTED", "0", ""));
    assert_eq!(desk.told(), ["order-expired"], "an order that was refused unheard has ended");
}

#[test]
fn a_cancel_tells_the_order_and_not_itself() {
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.answer(&request, &order("NEW", "0", ""));
    desk.take();
    desk.command(EventKind::Cancel, 1);
    let cancel = desk.sent("order.cancel");
    assert_eq!(cancel["params"]["orderId"], 28);
    let answer = order("CANCELED", "0", "")
        .replace(r#""clientOrderId":"#, r#""origClientOrderId":"pawl-1a2b3c4d-1","clientOrderId":"x","was":"#);
    desk.answer(&cancel, &answer);
    let report = execution("CANCELED", "CANCELED", "0", None)
        .replace(r#""c":"pawl-1a2b3c4d-1""#, r#""c":"x""#)
        .replace(r#""C":"""#, r#""C":"pawl-1a2b3c4d-1""#);
    desk.event(&report);
    let told = desk.take();
    assert!(!told.is_empty() && told.iter().all(|event| event.kind == EventKind::OrderCancelled));
    assert!(told.iter().all(|event| OrderDone::of(event).order == OrderId::new(0x1a2b_3c4d, 1)));
    desk.command(EventKind::Cancel, 1);
    let cancel = desk.sent("order.cancel");
    desk.refuse(&cancel, 400, -2011, "Unknown order sent.");
    assert_eq!(desk.told(), ["cancel-rejected"]);
}

#[test]
fn a_reconciliation_reports_everything_and_ends_last() {
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.answer(&request, &order("NEW", "0", ""));
    desk.take();
    let reconcile = Reconciled { round: 3, orders: 0 };
    desk.protocol.command(&reconcile.event(EventKind::Reconcile, BTC, Nanos::NONE, NOW));
    let (first, second) = (desk.sent("openOrders.status"), desk.sent("openOrders.status"));
    assert_eq!((&first["params"]["symbol"], &second["params"]["symbol"]), (&"BTCUSDT".into(), &"ETHUSDT".into()));
    let foreign = order("NEW", "0", "").replace("pawl-1a2b3c4d-1", "web_1");
    desk.answer(&first, &format!("[{},{foreign}]", order("PARTIALLY_FILLED", "0.00200000", "")));
    let account = desk.sent("account.status");
    desk.answer(&account, r#"{"balances":[{"asset":"BTC","free":"1.5","locked":"0.25"},{"asset":"USDT","free":"100","locked":"7"},{"asset":"SHIB","free":"999999999999","locked":"0"}]}"#);
    desk.answer(&second, "[]");
    let told = desk.take();
    assert_eq!(
        told.iter().map(|event| event.kind.name()).collect::<Vec<_>>(),
        ["open-order-report", "open-order-report", "inventory-report", "inventory-report", "account-report"]
    );
    let ours = OpenOrderReport::of(&told[0]);
    assert_eq!((ours.order.0 as u32, ours.round, ours.remaining), (1, 3, "0.003".parse().unwrap()));
    assert_eq!(OpenOrderReport::of(&told[1]).order, OrderId(0));
    let (free, locked) = ("1.5".parse().unwrap(), "0.25".parse().unwrap());
    assert_eq!(InventoryReport::of(&told[2]), InventoryReport { round: 3, free, locked, moved: Qty::ZERO });
    assert_eq!(
        InventoryReport::of(&told[3]),
        InventoryReport { round: 3, free: Qty::ZERO, locked: Qty::ZERO, moved: Qty::ZERO }
    );
    let (free, locked, equity) = (Money::whole(100), Money::whole(7), Money::ZERO);
    assert_eq!(AccountReport::of(&told[4]), AccountReport { round: 3, free, locked, equity });
    // It traded while nobody listened: its executions belong to the round.
    let missed = desk.sent("myTrades");
    desk.answer(&missed, &trades(&[(56, "0.002")]));
    let told = desk.take();
    assert_eq!(told.iter().map(|event| event.kind.name()).collect::<Vec<_>>(), ["fill", "fee", "reconciled"]);
    assert_eq!(Reconciled::of(&told[2]), Reconciled { round: 3, orders: 2 });
}

#[test]
fn a_lost_connection_is_told_once_and_logs_on_again() {
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    desk.close();
    desk.close();
    assert_eq!(desk.told(), ["link"]);
    // The answer of the old connection's request cannot come; should it, it is nobody's.
    desk.answer(&request, &order("NEW", "0", ""));
    assert_eq!(desk.told(), Vec::<&str>::new());
    let rejected = desk.protocol.submit(&submit(2), NOW).unwrap_err();
    assert_eq!(rejected.kind, EventKind::OrderRejected);
    desk.open();
    desk.sent("session.logon");
    // No answer to the logon: the connection is of no use.
    desk.now = NOW.plus(Span::seconds(11));
    desk.drain();
    assert!(desk.protocol.take_restart() && !desk.protocol.take_restart());
}

#[test]
fn limits_are_kept_before_the_venue_refuses() {
    let mut desk = Desk::ready();
    let accepted = (1..=60).take_while(|counter| desk.protocol.submit(&submit(*counter), NOW).is_ok()).count();
    assert_eq!(accepted, 45, "a tenth of fifty is left to exits");
    let rejected = desk.protocol.submit(&submit(61), NOW).unwrap_err();
    assert_eq!(OrderReject::of(&rejected).code, Some(RejectCode::RateLimit));
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    let id = &request["id"];
    desk.frame(&format!(r#"{{"id":{id},"status":429,"error":{{"code":-1003,"msg":"x","data":{{"serverTime":1700000000000,"retryAfter":1700000060000}}}}}}"#));
    assert_eq!(OrderReject::of(&desk.take()[0]).code, Some(RejectCode::RateLimit));
    // The silence ends for made-up orders as for real ones, whatever time they were made up for.
    assert!(!desk.protocol.rehearse(&submit(2), NOW.plus(Span::seconds(59))));
    assert!(desk.protocol.rehearse(&submit(2), NOW.plus(Span::seconds(61))));
    assert!(desk.protocol.submit(&submit(2), NOW.plus(Span::seconds(59))).is_err());
    assert!(desk.protocol.submit(&submit(3), NOW.plus(Span::seconds(61))).is_ok());
}

#[test]
fn a_refused_key_is_told_and_an_announced_end_asks_for_a_replacement() {
    let mut desk = Desk::with(ed25519());
    desk.open();
    let logon = desk.sent("session.logon");
    desk.refuse(&logon, 401, -2015, "Invalid API-key, IP, or permissions for action.");
    assert!(desk.protocol.take_restart());
    assert!(desk.protocol.trouble().unwrap().to_string().contains("-2015"));
    let mut desk = Desk::ready();
    desk.frame(r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#);
    assert!(desk.protocol.take_replace());
    desk.event(r#"{"e":"balanceUpdate","E":1,"a":"BTC","d":"-100.5","T":1}"#);
    desk.sent("account.status");
    let moved = desk.take().remove(0);
    let (nothing, taken) = (Qty::ZERO, "-100.5".parse().unwrap());
    assert_eq!(moved.instrument, BTC);
    assert_eq!(
        InventoryReport::of(&moved),
        InventoryReport { round: 0, free: nothing, locked: nothing, moved: taken },
        "what its owner has moved is no trade"
    );
    desk.event(r#"{"e":"balanceUpdate","E":1,"a":"DOGE","d":"5","T":1}"#);
    assert_eq!(desk.told(), Vec::<&str>::new(), "not traded here");
}

#[test]
fn hostile_frames_tell_nothing() {
    let mut desk = Desk::ready();
    desk.submit(1);
    let good = format!(r#"{{"subscriptionId":0,"event":{}}}"#, execution("TRADE", "FILLED", "0.005", Some(1)));
    for end in 0..good.len() {
        desk.frame(&good[..end]);
    }
    for frame in [
        good.replace("\"0.00200000\"", "\"-x\""),
        good.replace("\"0.00200000\"", "{}"),
        good.replace("\"BTCUSDT\"", "[]"),
        "[".repeat(100_000),
        r#"{"id":18446744073709551616}"#.into(),
        r#"{"id":3,"status":"200"}"#.into(),
        "[null,200]".into(),
    ] {
        desk.frame(&frame);
    }
    assert_eq!(desk.told(), Vec::<&str>::new());
    assert!(desk.protocol.counters().bad_frames > good.len() as u64);
}

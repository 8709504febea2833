//! Each fault strikes when it is told to, does what a real venue does on a bad day, and leaves the
//! books right: what was refused was never an order, what was executed is there although nobody said so.

use crate::client::{ENGINE, GUARDIAN, Venue, now_millis, params};
use serde_json::{Value, json};

/// A venue at which this fault strikes once.
fn struck_once(fault: &str) -> Venue {
    let venue = Venue::start(&params(), 1.0);
    plan(&venue, fault, &json!({}));
    venue
}

fn plan(venue: &Venue, fault: &str, more: &Value) {
    let mut plan = json!({"rules": {fault: {"count": 1}}});
    plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    venue.admin("faults", &plan);
}

fn orders(venue: &Venue) -> usize {
    venue.truth()["orders"].as_array().unwrap().len()
}

const BUY: &str = "side=BUY&type=MARKET&quantity=0.001";

fn buy() -> Value {
    json!({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"})
}

#[test]
fn what_is_refused_was_never_executed() {
    for (fault, status, code) in [
        ("reject", 400, -2010),
        ("requote", 400, -2010),
        ("too_many_requests", 429, -1003),
        ("server_error", 503, -1000),
    ] {
        let venue = struck_once(fault);
        let (found, value) = venue.order(BUY);
        assert_eq!((found, &value["code"]), (status, &json!(code)), "{fault}: {value}");
        assert_eq!((orders(&venue), venue.struck(fault)), (0, 1), "{fault}");
        assert_eq!(venue.order(BUY).0, 200, "{fault} strikes once");
    }
}

#[test]
fn a_lost_acknowledgement_hides_an_order_that_was_executed() {
    let venue = struck_once("lost_ack");
    let (status, value) = venue.order(BUY);
    assert_eq!((status, &value["code"]), (503, &json!(-1007)));
    assert_eq!(venue.truth()["orders"][0]["status"], "FILLED");

    plan(&venue, "lost_ack", &json!({}));
    let mut socket = venue.websocket("/ws-api/v3");
    socket.log_on();
    let lost = socket.post("order.place", buy());
    // Its own stream still tells, and the next answer is to the next question.
    assert_eq!((socket.event()["x"].as_str(), socket.event()["x"].as_str()), (Some("NEW"), Some("TRADE")));
    let next = socket.ask("ping", json!({}));
    assert_eq!((next["id"].as_u64(), orders(&venue)), (Some(lost + 1), 2));
}

#[test]
fn a_report_comes_twice() {
    let venue = Venue::start(&params(), 1.0);
    let mut socket = venue.websocket("/ws-api/v3");
    socket.log_on();
    plan(&venue, "duplicate_report", &json!({}));
    socket.ask("order.place", buy());
    let events: Vec<Value> = (0..3).map(|_| socket.event()).collect();
    assert_eq!(events[0], events[1], "the same execution, number and all");
    assert_eq!(events[2]["x"], "TRADE");
    assert_eq!(venue.truth()["fills"].as_array().unwrap().len(), 1);
}

#[test]
fn a_late_report_is_overtaken_by_those_after_it() {
    let venue = Venue::start(&params(), 1.0);
    let mut socket = venue.websocket("/ws-api/v3");
    socket.log_on();
    plan(&venue, "late_report", &json!({"late": "300ms"}));
    socket.ask("order.place", buy());
    let kinds: Vec<String> = (0..3)
        .map(|_| {
            let event = socket.event();
            event["x"].as_str().or(event["e"].as_str()).unwrap().to_owned()
        })
        .collect();
    assert_eq!(kinds, ["TRADE", "outboundAccountPosition", "NEW"], "the fill came before the acknowledgement");
}

#[test]
fn a_disconnect_takes_the_request_with_it() {
    let venue = struck_once("disconnect");
    assert_eq!(venue.order(BUY).0, 0, "no answer");
    assert_eq!(orders(&venue), 0);
    let mut socket = venue.websocket("/ws-api/v3");
    socket.log_on();
    plan(&venue, "disconnect", &json!({}));
    socket.post("order.place", buy());
    assert!(socket.next().is_none(), "hung up");
    assert_eq!(orders(&venue), 0);
    let mut streams = venue.websocket("/ws/btcusdt@bookTicker");
    streams.json();
    venue.admin("disconnect", &json!({"kind": "streams"}));
    while streams.next().is_some() {}
}

#[test]
fn a_stall_holds_the_answer_and_skips_the_market_but_keeps_the_connection() {
    let venue = Venue::start(&params(), 50.0);
    let mut streams = venue.websocket("/ws/btcusdt@bookTicker");
    let before = streams.json()["u"].as_u64().unwrap();
    plan(&venue, "stall", &json!({"stall": "1s"}));
    streams.send(&json!({"method": "LIST_SUBSCRIPTIONS", "id": 1}).to_string());
    // What was underway comes first, then the stall, then its answer, then the market of later.
    let mut last = before;
    let answer = loop {
        let message = streams.json();
        match message["u"].as_u64() {
            Some(update) => last = update,
            None => break message,
        }
    };
    assert_eq!(answer["result"], json!(["btcusdt@bookTicker"]));
    let after = streams.json()["u"].as_u64().unwrap();
    assert!(after > last + 10, "a second at 50 times the speed was skipped: {last} -> {after}");
    assert_eq!(venue.struck("stall"), 1);
}

#[test]
fn a_malformed_message_is_one_message_and_no_more() {
    let venue = Venue::start(&params(), 20.0);
    let mut damaged = 0;
    for seed in 1..=6 {
        let mut streams = venue.websocket("/ws/btcusdt@bookTicker");
        streams.json();
        venue.admin("faults", &json!({"seed": seed, "rules": {"malformed": {"count": 1}}}));
        let good = |message: &Value| message["b"].as_str().is_some_and(|bid| bid.parse::<f64>().is_ok());
        let messages: Vec<Value> = (0..200).map(|_| streams.json()).collect();
        damaged += messages.iter().filter(|message| !good(message)).count();
        assert!(messages.iter().filter(|message| !good(message)).count() <= 1);
    }
    assert!(damaged >= 3, "{damaged} of 6: a cut may fall behind the last byte");
}

#[test]
fn latency_delays_but_never_reorders_a_connection() {
    let mut params = params();
    params.faults.latency_in = pawl::core::Span::millis(3);
    params.faults.latency_out = pawl::core::Span::millis(3);
    params.faults.jitter = pawl::core::Span::millis(30);
    let venue = Venue::start(&params, 1.0);
    let mut socket = venue.websocket("/ws-api/v3");
    let sent: Vec<u64> = (0..30).map(|_| socket.post("ping", json!({}))).collect();
    let answered: Vec<u64> = (0..30).map(|_| socket.json()["id"].as_u64().unwrap()).collect();
    assert_eq!(sent, answered);
}

#[test]
fn a_skewed_clock_shows_and_refuses_honest_timestamps() {
    let mut params = params();
    params.faults.clock_skew_ms = -3_600_000;
    let venue = Venue::start(&params, 1.0);
    let time = venue.get("/api/v3/time")["serverTime"].as_u64().unwrap();
    assert!((3_000_000..4_200_000).contains(&(now_millis() - time)), "{time}");
    let (_, value) = venue.order(BUY);
    assert_eq!(value["msg"], "Timestamp for this request was 1000ms ahead of the server's time.");
    assert_eq!(orders(&venue), 0);
}

#[test]
fn faults_can_spare_one_key() {
    let venue = Venue::start(&params(), 1.0);
    let body = json!({"only_key": ENGINE, "rules": {"server_error": {"probability": 1.0}}});
    venue.admin("faults", &body);
    assert_eq!(venue.order(BUY).0, 503);
    let sell = "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.001";
    assert_eq!(venue.signed(GUARDIAN, "POST", "/api/v3/order", sell).0, 200);
    let (status, _, value) = venue.http("POST", "/admin/faults", None, r#"{"rules":{"reject":{"probability":2}}}"#);
    assert_eq!(status, 400, "{value}");
}

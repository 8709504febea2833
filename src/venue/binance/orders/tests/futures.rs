//! What only futures have: margin, positions, questions over HTTP.

use super::*;
use crate::core::Price;
use crate::core::payload::PositionReport;
use crate::venue::binance::rest::RestError;
use serde_json::value::RawValue;

/// Logged on, with the private stream open.
fn ready(cash: &str) -> Desk {
    let mut desk = Desk::at(Market::UsdMFutures, cash, ed25519());
    desk.open();
    let logon = desk.sent("session.logon");
    desk.answer(&logon, "{}");
    let start = desk.sent("userDataStream.start");
    desk.answer(&start, r#"{"listenKey":"LISTEN"}"#);
    assert_eq!(desk.protocol.take_listen_key().as_deref(), Some("LISTEN"));
    let Desk { protocol, events, .. } = &mut desk;
    protocol.on_private_open(NOW, &mut |event| events.push(event));
    assert_eq!(desk.told(), ["link"]);
    desk
}

fn reconcile(desk: &mut Desk, round: u64) {
    desk.protocol.command(&Reconciled { round, orders: 0 }.event(EventKind::Reconcile, BTC, Nanos::NONE, NOW));
    desk.drain();
}

/// Answers every question that was put over HTTP.
fn http(desk: &mut Desk, answer: impl Fn() -> Result<Box<RawValue>, RestError>) -> usize {
    let mut questions = 0;
    while let Some(question) = desk.protocol.next_http_question() {
        let Desk { protocol, events, now, .. } = desk;
        protocol.on_http(&question, &answer(), *now, &mut |event| events.push(event));
        questions += 1;
    }
    questions
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string("[]".into()).unwrap()
}

const MARGIN: &str = r#"{"totalWalletBalance":"50","totalMarginBalance":"60","availableBalance":"40","assets":[
    {"asset":"USDC","walletBalance":"1000","marginBalance":"1100.5","availableBalance":"900"},
    {"asset":"SHIB","walletBalance":"999999999999","marginBalance":"1","availableBalance":"1"}]}"#;

/// A reconciliation in which the positions are these.
fn with_positions(rows: &str) -> (Desk, Vec<Event>) {
    let mut desk = ready("USDT");
    reconcile(&mut desk, 1);
    assert_eq!(http(&mut desk, || Ok(nothing())), 2);
    let account = desk.sent("v2/account.status");
    desk.answer(&account, MARGIN);
    desk.take();
    let positions = desk.sent("v2/account.position");
    desk.answer(&positions, rows);
    let told = desk.take();
    (desk, told)
}

#[test]
fn an_average_with_many_digits_is_a_position_and_an_odd_row_hides_none() {
    let rows = r#"[
        {"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.010","entryPrice":"0.1066545918361"},
        {"symbol":"LUNAUSDT","positionSide":"BOTH","positionAmt":"much","entryPrice":"-"},
        {"symbol":"ETHUSDT","positionSide":"BOTH","positionAmt":"-2","entryPrice":"2.771E-4"}]"#;
    let (desk, told) = with_positions(rows);
    assert_eq!(
        told.iter().map(|event| event.kind.name()).collect::<Vec<_>>(),
        ["position-report", "position-report", "reconciled"]
    );
    let (first, second) = (PositionReport::of(&told[0]), PositionReport::of(&told[1]));
    assert_eq!((first.signed_units, first.entry), (1_000_000, "0.10665459".parse().unwrap()));
    assert_eq!((second.signed_units, second.entry), (-200_000_000, "0.0002771".parse().unwrap()));
    assert_eq!(desk.protocol.counters().bad_frames, 0);
    let (_, told) = with_positions(r#"[{"symbol":"BTCUSDT","positionAmt":"1","entryPrice":"NaN"}]"#);
    assert_eq!(PositionReport::of(&told[0]).entry, Price::ZERO);
}

#[test]
fn a_position_of_ours_that_is_no_number_is_not_taken_for_none() {
    let (desk, told) = with_positions(r#"[{"symbol":"BTCUSDT","positionAmt":"much","entryPrice":"1"}]"#);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(desk.protocol.counters().bad_frames, 1);
}

#[test]
fn two_positions_of_one_symbol_are_never_taken_for_one() {
    let rows = r#"[{"symbol":"BTCUSDT","positionSide":"LONG","positionAmt":"1","entryPrice":"1"},
        {"symbol":"BTCUSDT","positionSide":"SHORT","positionAmt":"0","entryPrice":"0"}]"#;
    let (mut desk, told) = with_positions(rows);
    assert!(told.is_empty(), "{told:?}");
    let trouble = desk.protocol.trouble().unwrap().to_string();
    assert!(trouble.contains("hedge mode") && trouble.contains("dualSidePosition=false"), "{trouble}");
    desk.frame(
        r#"{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"m":"ORDER","B":[],"P":[{"s":"BTCUSDT","pa":"0","ep":"0","ps":"SHORT"}]}}"#,
    );
    assert_eq!(desk.told(), Vec::<&str>::new());
}

#[test]
fn an_account_update_with_a_long_average_is_heard() {
    let mut desk = ready("USDT");
    desk.frame(
        r#"{"e":"ACCOUNT_UPDATE","E":1700000000002,"T":1700000000001,"a":{"m":"ORDER",
        "B":[{"a":"USDT","wb":"122624.123456789","cw":"100","bc":"0"}],
        "P":[{"s":"LUNAUSDT","pa":"much","ep":"x","ps":"BOTH"},{"s":"BTCUSDT","pa":"0.5","ep":"60000.12345678901","ps":"BOTH"}]}}"#,
    );
    let told = desk.take();
    assert_eq!((told.len(), told[0].kind), (1, EventKind::PositionReport));
    let report = PositionReport::of(&told[0]);
    assert_eq!((report.signed_units, report.entry), (50_000_000, "60000.12345679".parse().unwrap()));
    assert_eq!(desk.protocol.counters().bad_frames, 0);
    desk.sent("v2/account.status");
}

#[test]
fn the_account_is_measured_in_the_asset_that_is_traded() {
    let report = |cash: &str, answer: &str| {
        let mut desk = ready(cash);
        reconcile(&mut desk, 1);
        let account = desk.sent("v2/account.status");
        desk.answer(&account, answer);
        let told = desk.take();
        (told.first().map(AccountReport::of), desk)
    };
    let (free, locked, equity) = (Money::whole(900), Money::whole(100), "1100.5".parse().unwrap());
    assert_eq!(report("USDC", MARGIN).0, Some(AccountReport { round: 1, free, locked, equity }));
    // Without a row of its own, USDT is what the totals are in.
    let (free, locked, equity) = (Money::whole(40), Money::whole(10), Money::whole(60));
    assert_eq!(report("USDT", MARGIN).0, Some(AccountReport { round: 1, free, locked, equity }));
    for (cash, answer) in [("FDUSD", MARGIN), ("SHIB", MARGIN), ("USDT", "{}")] {
        let (told, desk) = report(cash, answer);
        assert_eq!(told, None, "{cash}");
        assert!(desk.protocol.trouble().unwrap().to_string().contains(cash));
        assert_eq!(desk.protocol.counters().bad_frames, 1);
    }
}

#[test]
fn the_time_is_asked_by_a_method_that_futures_document() {
    let mut desk = ready("USDT");
    desk.now = NOW.plus(Span::seconds(30));
    let status = desk.sent("session.status");
    desk.protocol.clock.doubt();
    desk.answer(&status, r#"{"apiKey":"KEY1","connectedSince":1,"serverTime":1700000031000}"#);
    assert_eq!(desk.protocol.clock().offset(), 1_000_000_000);
    assert!(desk.requests.iter().all(|request| request["method"] != "time"));
}

#[test]
fn a_limit_that_is_met_over_http_silences_everything() {
    let mut desk = ready("USDT");
    reconcile(&mut desk, 1);
    let limited = || {
        let (path, retry_after) = ("/fapi/v1/openOrders".to_owned(), Span::seconds(30));
        Err(RestError::Limited { path, status: 429, retry_after })
    };
    assert_eq!(http(&mut desk, limited), 2);
    desk.requests.clear();
    desk.now = NOW.plus(Span::seconds(29));
    reconcile(&mut desk, 2);
    desk.command(EventKind::Cancel, 1);
    desk.drain();
    assert_eq!(http(&mut desk, || Ok(nothing())), 0);
    assert!(desk.requests.is_empty() && desk.protocol.submit(&submit(1), desk.now).is_err());
    desk.now = NOW.plus(Span::seconds(30));
    reconcile(&mut desk, 3);
    assert_eq!(http(&mut desk, || Ok(nothing())), 2);
    desk.sent("v2/account.status");
    desk.submit(2);
}

#[test]
fn a_silence_that_the_private_stream_was_told_holds_the_session() {
    let mut desk = ready("USDT");
    desk.close();
    desk.protocol.silence(NOW.plus(Span::seconds(40)));
    desk.protocol.on_open(NOW);
    desk.drain();
    assert!(desk.requests.is_empty());
    desk.now = NOW.plus(Span::seconds(40));
    desk.sent("session.status");
}

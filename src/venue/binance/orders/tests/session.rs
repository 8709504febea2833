//! What keeps a session: the venue's clock, the logon that is stamped by it, and what happens to both in a silence.

use super::*;

const SECOND: Span = Span::seconds(1);

/// How a venue answers whose clock is behind ours.
#[derive(Clone, Copy, Debug)]
struct Habits {
    behind: Span,
    latest_first: bool,
    /// On the first connection.
    refuses_time: bool,
}

/// Connects until orders can be sent, one answer a poll; how many connections it took.
fn connect(desk: &mut Desk, habits: Habits) -> u32 {
    let mut connections = 1;
    desk.protocol.on_open(desk.now);
    for _ in 0..50 {
        desk.drain();
        if desk.protocol.take_restart() {
            desk.close();
            connections += 1;
            desk.protocol.on_open(desk.now);
            continue;
        }
        if desk.requests.is_empty() {
            continue;
        }
        let next = if habits.latest_first { desk.requests.len() - 1 } else { 0 };
        let request = desk.requests.remove(next);
        desk.now = desk.now.plus(Span::millis(10));
        let venue = (desk.now.0 - habits.behind.0) / 1_000_000;
        match request["method"].as_str().unwrap() {
            "time" if habits.refuses_time && connections == 1 => desk.refuse(&request, 400, -1020, "Not supported."),
            "time" => desk.answer(&request, &format!(r#"{{"serverTime":{venue}}}"#)),
            "session.logon" if request["params"]["timestamp"].as_u64().unwrap() >= venue + 1000 => {
                desk.refuse(&request, 400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.");
            }
            _ => desk.answer(&request, "{}"),
        }
        if desk.protocol.is_ready() {
            return connections;
        }
    }
    panic!("never ready: {habits:?}");
}

#[test]
fn a_clock_that_is_ahead_costs_at_most_one_connection() {
    for latest_first in [false, true] {
        for (refuses_time, wanted) in [(false, 1), (true, 2)] {
            let mut desk = Desk::with(ed25519());
            let habits = Habits { behind: Span::seconds(3), latest_first, refuses_time };
            assert_eq!(connect(&mut desk, habits), wanted, "{habits:?}");
            let offset = desk.protocol.clock().offset();
            assert!((-3_010_000_000..=-2_990_000_000).contains(&offset), "{offset}");
        }
    }
}

#[test]
fn a_refused_timestamp_keeps_the_estimate_until_a_better_one_comes() {
    let mut desk = Desk::with(ed25519());
    connect(&mut desk, Habits { behind: Span::seconds(3), latest_first: false, refuses_time: false });
    desk.drain();
    let (before, request) = (desk.protocol.clock().offset(), desk.submit(1));
    desk.refuse(&request, 400, -1021, "Timestamp for this request is outside of the recvWindow.");
    assert_eq!(desk.protocol.clock().offset(), before);
    let time = desk.sent("time");
    let stamped = desk.submit(2)["params"]["timestamp"].as_u64().unwrap();
    assert!(stamped + 2_900 < desk.now.0 / 1_000_000, "{stamped}");
    // However slow, the new sample is believed.
    desk.now = desk.now.plus(SECOND);
    let venue = desk.now.0 / 1_000_000 - 500;
    desk.answer(&time, &format!(r#"{{"serverTime":{venue}}}"#));
    assert_eq!(desk.protocol.clock().offset(), 0);
}

#[test]
fn an_error_proves_life_and_no_answer_proves_none() {
    let mut desk = Desk::ready();
    desk.now = NOW.plus(Span::seconds(30));
    let time = desk.sent("time");
    desk.refuse(&time, 400, -1000, "An unknown error occurred while processing the request.");
    desk.now = NOW.plus(Span::seconds(45));
    desk.drain();
    assert!(!desk.protocol.take_restart());
    desk.now = NOW.plus(Span::seconds(60));
    desk.sent("time");
    desk.now = NOW.plus(Span::seconds(71));
    desk.drain();
    assert!(desk.protocol.take_restart());
}

fn limit(desk: &mut Desk, request: &Value, status: u16, code: i64, until: Nanos) {
    let (id, until) = (&request["id"], until.0 / 1_000_000);
    desk.frame(&format!(
        r#"{{"id":{id},"status":{status},"error":{{"code":{code},"msg":"x","data":{{"retryAfter":{until}}}}}}}"#
    ));
}

#[test]
fn a_silence_is_waited_for_on_one_connection() {
    let mut desk = Desk::ready();
    let (request, end) = (desk.submit(1), NOW.plus(Span::seconds(60)));
    limit(&mut desk, &request, 418, -1003, end);
    desk.close();
    desk.protocol.on_open(NOW);
    desk.command(EventKind::Cancel, 1);
    for second in 0..60 {
        desk.now = NOW.plus(Span::seconds(second));
        desk.drain();
        assert!(!desk.protocol.take_restart(), "after {second} s");
        assert_eq!(desk.requests, Vec::<Value>::new(), "after {second} s");
        assert!(desk.protocol.next_due() > desk.now, "it would be polled without end");
    }
    // Nothing else has to wake it.
    assert!(desk.protocol.next_due() <= end, "{}", desk.protocol.next_due());
    desk.now = end;
    let time = desk.sent("time");
    assert_eq!(desk.requests, Vec::<Value>::new(), "the cancel is the order manager's to repeat");
    let now = end.0 / 1_000_000;
    desk.answer(&time, &format!(r#"{{"serverTime":{now}}}"#));
    desk.sent("session.logon");
}

#[test]
fn a_logon_that_comes_too_often_is_repeated_and_not_the_connection() {
    for refused in ["time", "session.logon"] {
        let mut desk = Desk::with(ed25519());
        desk.protocol.on_open(NOW);
        if refused == "session.logon" {
            let time = desk.sent("time");
            desk.answer(&time, r#"{"serverTime":1700000000000}"#);
        }
        let request = desk.sent(refused);
        limit(&mut desk, &request, 429, -1003, NOW.plus(Span::seconds(20)));
        desk.now = NOW.plus(Span::seconds(19));
        desk.drain();
        assert!(!desk.protocol.take_restart() && desk.requests.is_empty(), "{refused}");
        desk.now = NOW.plus(Span::seconds(20));
        desk.sent(refused);
    }
}

#[test]
fn too_many_orders_stop_orders_and_no_cancel() {
    for (status, until) in [(429, None), (400, None), (429, Some(NOW.plus(Span::seconds(10))))] {
        let mut desk = Desk::ready();
        let request = desk.submit(1);
        desk.answer(&request, &order("NEW", "0", ""));
        desk.take();
        let request = desk.submit(2);
        if let Some(until) = until {
            limit(&mut desk, &request, status, -1015, until);
        } else {
            desk.refuse(&request, status, -1015, "Too many new orders; current limit is 50 orders per 10 SECOND.");
        }
        let code = |event: &Event| OrderReject::of(event).code;
        assert_eq!(code(&desk.take()[0]), Some(RejectCode::RateLimit));
        desk.now = NOW.plus(Span::seconds(9));
        assert_eq!(code(&desk.protocol.submit(&submit(3), desk.now).unwrap_err()), Some(RejectCode::RateLimit));
        desk.command(EventKind::Cancel, 1);
        desk.sent("order.cancel");
        desk.command(EventKind::Query, 1);
        desk.sent("order.status");
        desk.protocol.command(&Reconciled { round: 1, orders: 0 }.event(EventKind::Reconcile, BTC, Nanos::NONE, NOW));
        desk.sent("account.status");
        // The venue's window of ten seconds began with the second of NOW.
        desk.now = NOW.plus(Span::seconds(10));
        desk.submit(4);
    }
    // A ban is a ban, whatever it is for.
    let mut desk = Desk::ready();
    let request = desk.submit(1);
    limit(&mut desk, &request, 418, -1015, NOW.plus(Span::seconds(60)));
    desk.command(EventKind::Cancel, 1);
    desk.drain();
    assert!(desk.requests.is_empty());
}

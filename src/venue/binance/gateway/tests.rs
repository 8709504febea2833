//! The gateway against a stand-in that announces its end, and one that refuses the account's events.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::{Message, WebSocket};

use super::super::sign::{Secret, Signer};
use super::super::symbols::tests::spec;
use super::*;
use crate::core::payload::{OrderRole, Submit, TimeInForce};
use crate::core::{InstrumentTable, OrderId, Side};
use crate::venue::net::wall_clock;

/// Serves time, logon and subscription of one connection.
fn serve_start(socket: &mut WebSocket<TcpStream>) {
    let mut left = 3;
    while left > 0 {
        let Message::Text(text) = socket.read().unwrap() else { continue };
        let request: Value = serde_json::from_str(&text).unwrap();
        let id = &request["id"];
        let now = wall_clock().0 / 1_000;
        socket
            .send(Message::text(format!(
                r#"{{"id":{id},"status":200,"result":{{"serverTime":{now},"listenKey":"K"}}}}"#
            )))
            .unwrap();
        left -= 1;
    }
}

fn gateway(endpoints: Endpoints, market: Market) -> OrderGateway {
    let orders = OrderParams::new(market, "USDT");
    let params = GatewayParams { endpoints, orders, root_certificate: None, clock: wall_clock, seed: 1 };
    let table = InstrumentTable::new([spec("BTCUSDT", "USDT")]).unwrap();
    let signer = Signer::from_ed25519_seed(&[3; 32]).unwrap();
    let credentials = Credentials { api_key: Secret::new(b"KEY"), signer };
    OrderGateway::new(params, credentials, SymbolTable::new(&table, |_| None), None).unwrap()
}

#[test]
fn an_announced_end_is_answered_by_a_connection_made_beforehand() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut first = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        serve_start(&mut first);
        first.send(Message::text(r#"{"event":{"e":"serverShutdown","E":1}}"#)).unwrap();
        // The second is accepted while the first is still open.
        let mut second = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        serve_start(&mut second);
        let closed = loop {
            match first.read() {
                Ok(Message::Close(_)) | Err(_) => break true,
                Ok(_) => {}
            }
        };
        let order = loop {
            if let Message::Text(text) = second.read().unwrap() {
                break text.to_string();
            }
        };
        (closed, order)
    });
    let mut gateway = gateway(Endpoints::loopback(&address, Market::Spot, false), Market::Spot);
    let (mut states, start) = (Vec::new(), Instant::now());
    while states.len() < 4 {
        assert!(start.elapsed() < Duration::from_secs(60), "{states:?} {:?}", gateway.last_failure());
        gateway.poll(wall_clock(), &mut |event| {
            if event.kind == EventKind::Link {
                states.push((Link::of(&event).state.unwrap(), Link::of(&event).connections));
            }
        });
        std::thread::yield_now();
    }
    let (up, down) = (LinkState::Up, LinkState::Down);
    assert_eq!(states, [(down, 0), (up, 1), (down, 1), (up, 2)]);
    assert_eq!(gateway.last_failure(), None, "nothing was lost");
    let submit = Submit {
        order: OrderId::new(1, 1),
        price: Price::whole(5),
        qty: crate::core::Qty::whole(1),
        tif: TimeInForce::Ioc,
        role: OrderRole::Entry,
        attempt: 1,
        intent: 1,
    };
    let command = submit.event(EventKind::Submit, InstrumentId(0), Nanos::NONE, wall_clock()).flagged(Side::Buy.flag());
    let delivery = gateway.command(&command, wall_clock(), &mut |event| panic!("{event:?}"));
    assert!(matches!(delivery, Delivery::Sent(_)), "{delivery:?}");
    let (closed, order) = server.join().unwrap();
    assert!(closed && order.contains("pawl-00000001-1"), "{order}");
}

#[test]
fn account_events_that_are_refused_for_a_while_leave_the_venue_alone_for_that_while() {
    let (api, private) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    let loopback = Endpoints::loopback(&address(&api), Market::UsdMFutures, false);
    let endpoints = Endpoints { private: format!("ws://{}/private", address(&private)), ..loopback };
    let server = std::thread::spawn(move || {
        let mut first = tungstenite::accept(api.accept().unwrap().0).unwrap();
        serve_start(&mut first);
        let (mut stream, _) = private.accept().unwrap();
        let (mut asked, mut byte) = (Vec::new(), [0]);
        while !asked.ends_with(b"\r\n\r\n") {
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            asked.push(byte[0]);
        }
        let answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
        std::io::Write::write_all(&mut stream, answer).unwrap();
        // Both are made anew; the new one has nothing to say for an hour.
        let mut second = tungstenite::accept(api.accept().unwrap().0).unwrap();
        second.get_ref().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        (String::from_utf8(asked).unwrap(), second.read())
    });
    let (mut gateway, start) = (gateway(endpoints, Market::UsdMFutures), Instant::now());
    while !server.is_finished() {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", gateway.last_failure());
        gateway.poll(wall_clock(), &mut |_| {});
        std::thread::yield_now();
    }
    let (asked, said) = server.join().unwrap();
    assert!(asked.starts_with("GET /private/ws?listenKey=K HTTP"), "{asked}");
    assert!(matches!(said, Err(tungstenite::Error::Io(_))), "{said:?}");
    assert!(!gateway.is_ready());
}

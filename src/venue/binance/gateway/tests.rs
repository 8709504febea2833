//! The gateway against a stand-in that announces its end.

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

/// Serves logon, time and subscription of one connection.
fn serve_start(socket: &mut WebSocket<TcpStream>) {
    let mut left = 3;
    while left > 0 {
        let Message::Text(text) = socket.read().unwrap() else { continue };
        let request: Value = serde_json::from_str(&text).unwrap();
        let id = &request["id"];
        let now = wall_clock().0 / 1_000;
        socket.send(Message::text(format!(r#"{{"id":{id},"status":200,"result":{{"serverTime":{now}}}}}"#))).unwrap();
        left -= 1;
    }
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
    let params = GatewayParams {
        endpoints: Endpoints::loopback(&address, Market::Spot, false),
        orders: OrderParams::new(Market::Spot, "USDT"),
        root_certificate: None,
        clock: wall_clock,
        seed: 1,
    };
    let table = InstrumentTable::new([spec("BTCUSDT", "USDT")]).unwrap();
    let signer = Signer::from_ed25519_seed(&[3; 32]).unwrap();
    let credentials = Credentials { api_key: Secret::new(b"KEY"), signer };
    let mut gateway = OrderGateway::new(params, credentials, SymbolTable::new(&table, |_| None), None).unwrap();
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

//! Everything from the wire is hostile: whatever a client sends, the venue neither panics nor grows
//! without bound, answers everybody else, and its books do not change.

use std::io::{Read, Write};

use crate::client::{Venue, params};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tungstenite::Message;

/// The venue still answers, and nobody traded.
fn unharmed(venue: &Venue) {
    assert_eq!(venue.http("GET", "/api/v3/ping", None, "").0, 200);
    assert!(venue.get("/api/v3/time")["serverTime"].is_u64());
    assert!(venue.truth()["orders"].as_array().unwrap().is_empty());
}

/// A client that talks and listens until the venue hangs up or has nothing to say.
fn talk(venue: &Venue, pieces: &[Vec<u8>]) {
    let mut stream = venue.connect();
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut answer);
}

const UPGRADE: &str = "GET /ws-api/v3 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "(GET|POST|DELETE|PUT) /[a-z/0-9]{0,20}\\?[ -~]{0,80} HTTP/1.1\r\n[A-Za-z-]{1,20}: [ -~]{0,40}\r\n\r\n"
            .prop_map(String::into_bytes),
        Just(b"GET /api/v3/depth?symbol=%zz HTTP/1.1\r\n\r\n".to_vec()),
        Just(b"POST /api/v3/order HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n".to_vec()),
        Just(b"POST /api/v3/order HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n".to_vec()),
        Just(b"POST /admin/faults HTTP/1.1\r\nContent-Length: 9\r\n\r\n\xff\xfe{[[[[[[".to_vec()),
    ]
}

#[test]
fn random_bytes_on_the_socket() {
    let venue = Venue::start(&params(), 1.0);
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let input = (any::<bool>(), proptest::collection::vec(any_bytes(), 1..4));
    runner
        .run(&input, |(upgrade, mut pieces)| {
            if upgrade {
                pieces.insert(0, UPGRADE.as_bytes().to_vec());
            }
            talk(&venue, &pieces);
            Ok(())
        })
        .unwrap();
    unharmed(&venue);
}

#[test]
fn a_request_split_at_each_byte_is_the_same_request() {
    let venue = Venue::start(&params(), 1.0);
    let request = b"GET /api/v3/ticker/price?symbol=BTCUSDT HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for at in 1..request.len() {
        let mut stream = venue.connect();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&request[..at]).unwrap();
        stream.write_all(&request[at..]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("BTCUSDT"), "split at {at}: {answer}");
    }
}

#[test]
fn odd_json_gets_an_error_not_a_crash() {
    let venue = Venue::start(&params(), 1.0);
    let deep = "[".repeat(30_000);
    let texts = [
        deep.clone(),
        format!("{{\"id\":1,\"method\":\"order.place\",\"params\":{deep}}}"),
        r#"{"id":1e400,"method":"ping"}"#.into(),
        r#"{"id":{"a":1},"method":"ping"}"#.into(),
        r#"{"id":1,"method":7}"#.into(),
        r#"{"id":1,"method":"order.place","params":[1,2]}"#.into(),
        r#"{"id":1,"method":"order.place","params":{"symbol":{"a":[]},"timestamp":null}}"#.into(),
        r#"{"id":1,"method":"klines","params":{"symbol":"BTCUSDT","interval":"1m","limit":99999999999999999999}}"#
            .into(),
        r#"{"id":1,"method":"session.logon","params":{"apiKey":"\u0000","timestamp":1,"signature":"\ud800"}}"#.into(),
        format!("{{\"id\":1,\"method\":\"{}\"}}", "x".repeat(40_000)),
        "\u{0}\u{0}".into(),
    ];
    let mut api = venue.websocket("/ws-api/v3");
    let mut streams = Vec::new();
    for text in &texts {
        api.send(text);
        let status = api.json()["status"].as_u64();
        assert!(matches!(status, Some(400..=499)), "{}: {status:?}", &text[..text.len().min(80)]);
        let mut stream = venue.websocket("/ws");
        stream.send(text);
        assert!(stream.json()["code"].is_u64());
        streams.push(stream);
    }
    assert_eq!(api.ask("ping", json!({}))["status"], 200, "the same connection goes on");
    unharmed(&venue);
}

#[test]
fn frames_that_break_the_protocol_end_their_connection_only() {
    let venue = Venue::start(&params(), 1.0);
    let mut bystander = venue.websocket("/ws-api/v3");
    let oversized = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let frames: [&[u8]; 6] = [
        &oversized,
        b"\x81\x05hello",                    // not masked
        b"\x81\x82\x00\x00\x00\x00\xff\xfe", // bad UTF-8
        b"\xf1\x80\x00\x00\x00\x00",         // reserved bits
        b"\x89\xfe\x00\xff\x00\x00\x00\x00", // a ping that is too long
        b"\x00\x80\x00\x00\x00\x00",         // a continuation of nothing
    ];
    for frame in frames {
        talk(&venue, &[UPGRADE.as_bytes().to_vec(), frame.to_vec()]);
    }
    let mut large = venue.websocket("/ws-api/v3");
    // It may hang up before it has read all of it.
    let _ = large.inner.send(Message::Text("x".repeat(70_000).into()));
    assert!(large.next().is_none(), "a message above the bound ends the connection");
    assert_eq!(bystander.ask("ping", json!({}))["status"], 200);
    unharmed(&venue);
}

#[test]
fn a_client_that_does_not_read_is_dropped_and_its_neighbour_is_served() {
    let venue = Venue::start(&params(), 2_000.0);
    let names = ["bookTicker", "trade", "aggTrade"].map(|topic| format!("btcusdt@{topic}"));
    let path = format!("/stream?streams={}", names.join("/"));
    let mut lazy = venue.websocket(&path);
    let mut reader = venue.websocket("/ws/btcusdt@bookTicker");
    // Some megabytes of market pass; the one who reads gets them all.
    let mut seen = 0u64;
    while venue.get("/admin/clients")["streams"] != 1 {
        for _ in 0..2_000 {
            assert!(reader.json()["u"].as_u64().unwrap() > seen);
            seen += 1;
        }
        assert!(seen < 10_000_000, "the client that does not read is still connected");
    }
    while lazy.next().is_some() {}
    assert!(reader.json()["b"].is_string());
}

#[test]
fn no_more_connections_than_the_bound() {
    let venue = Venue::start(&params(), 1.0);
    let mut held = Vec::new();
    for _ in 0..1_100 {
        match std::net::TcpStream::connect(venue.address) {
            Ok(stream) => held.push(stream),
            // This process may run out of descriptors first: then there is nothing to show.
            Err(_) => break,
        }
    }
    drop(held);
    // Refused while the others still hang up, welcome again afterwards.
    while venue.http("GET", "/api/v3/ping", None, "").0 != 200 {}
    unharmed(&venue);
}

//! The feed against a stand-in that announces its end: the next connection takes over before it comes.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::{Message, WebSocket};

use super::super::symbols::tests::spec;
use super::*;
use crate::core::InstrumentTable;
use crate::core::payload::Quote;
use crate::venue::net::wall_clock;

fn quote(update: u64) -> Message {
    Message::text(format!(
        r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{update},"s":"BTCUSDT","b":"{update}.0","B":"1","a":"{update}.5","A":"1"}}}}"#
    ))
}

fn accept(listener: &TcpListener) -> WebSocket<TcpStream> {
    tungstenite::accept(listener.accept().unwrap().0).unwrap()
}

fn feed(listener: &TcpListener) -> MarketFeed {
    let address = listener.local_addr().unwrap().to_string();
    let params = FeedParams {
        endpoints: Endpoints::loopback(&address, Market::Spot, false),
        market: Market::Spot,
        encoding: StreamEncoding::Json,
        trades: true,
        api_key: None,
        stale_after: Span::seconds(60),
        root_certificate: None,
        clock: wall_clock,
        seed: 1,
    };
    let table = InstrumentTable::new([spec("BTCUSDT", "USDT")]).unwrap();
    MarketFeed::new(params, SymbolTable::new(&table, |_| None), None).unwrap()
}

/// Polls until so many quotes have come.
fn until(feed: &mut MarketFeed, events: &mut Vec<Event>, quotes: usize) {
    let start = Instant::now();
    while events.iter().filter(|event| event.kind == EventKind::Quote).count() < quotes {
        assert!(start.elapsed() < Duration::from_secs(60), "{events:?} {:?}", feed.last_failure());
        feed.poll(wall_clock(), &mut |event| events.push(event));
        std::thread::yield_now();
    }
}

#[test]
fn an_announced_end_costs_no_quote_and_none_comes_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut feed = feed(&listener);
    let server = std::thread::spawn(move || {
        let mut first = accept(&listener);
        first.send(quote(1)).unwrap();
        first.send(Message::text(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#)).unwrap();
        let mut second = accept(&listener);
        // Both are alive and say the same for a while.
        first.send(quote(2)).unwrap();
        second.send(quote(1)).unwrap();
        second.send(quote(2)).unwrap();
        second.send(quote(3)).unwrap();
        // The old one is closed by the client, the new one is kept.
        while first.read().is_ok() {}
        second.send(quote(4)).unwrap();
        second
    });
    let mut events = Vec::new();
    until(&mut feed, &mut events, 4);
    let kinds: Vec<EventKind> =
        events.iter().map(|event| event.kind).filter(|kind| *kind != EventKind::Quote).collect();
    assert_eq!(kinds, [EventKind::Link], "up once, never down, no gap");
    let bids: Vec<i64> = events
        .iter()
        .filter(|event| event.kind == EventKind::Quote)
        .map(|event| Quote::of(event).bid.units() / crate::core::SCALE)
        .collect();
    assert_eq!(bids, [1, 2, 3, 4]);
    drop(server.join().unwrap());
}

#[test]
fn numbers_that_begin_anew_after_a_loss_are_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut feed = feed(&listener);
    let server = std::thread::spawn(move || {
        let mut first = accept(&listener);
        first.send(quote(9)).unwrap();
        drop(first);
        let mut second = accept(&listener);
        second.send(quote(1)).unwrap();
        second
    });
    let mut events = Vec::new();
    until(&mut feed, &mut events, 2);
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.name()).filter(|name| *name != "link").collect();
    assert_eq!(kinds, ["quote", "gap", "quote"]);
    drop(server.join().unwrap());
}

#[test]
fn every_stream_has_its_address() {
    let names: Vec<String> = (0..60).map(|n| format!("A{n}USDT")).collect();
    let table = InstrumentTable::new(names.iter().map(|name| spec(name, "USDT"))).unwrap();
    let symbols = SymbolTable::new(&table, |_| None);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut params = feed(&listener).make.params.clone();
    params.endpoints = Endpoints::production(Market::Spot);
    let urls_of = |params: &FeedParams| urls(params, &symbols);
    let found = urls_of(&params);
    assert_eq!(found.len(), 2, "a hundred streams each");
    assert!(found[0].starts_with("wss://stream.binance.com:443/stream?streams=a0usdt@bookTicker/a1usdt@bookTicker/"));
    assert!(found[1].ends_with("a59usdt@trade&timeUnit=MICROSECOND"));
    (params.market, params.endpoints) = (Market::UsdMFutures, Endpoints::production(Market::UsdMFutures));
    let found = urls_of(&params);
    assert!(found[0].starts_with("wss://fstream.binance.com/public/stream?streams=a0usdt@bookTicker/"));
    assert!(found[1].starts_with("wss://fstream.binance.com/market/stream?streams=a0usdt@aggTrade/"));
}

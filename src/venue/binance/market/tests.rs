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
    let urls_of =
        |params: &FeedParams| -> Vec<String> { routes(params, &symbols).into_iter().map(|route| route.url).collect() };
    let found = urls_of(&params);
    assert_eq!(found.len(), 2, "a hundred streams each");
    assert!(found[0].starts_with("wss://stream.binance.com:443/stream?streams=a0usdt@bookTicker/a1usdt@bookTicker/"));
    assert!(found[1].ends_with("a59usdt@trade&timeUnit=MICROSECOND"));
    (params.market, params.endpoints) = (Market::UsdMFutures, Endpoints::production(Market::UsdMFutures));
    let found = urls_of(&params);
    assert!(found[0].starts_with("wss://fstream.binance.com/public/stream?streams=a0usdt@bookTicker/"));
    assert!(found[1].starts_with("wss://fstream.binance.com/market/stream?streams=a0usdt@aggTrade/"));
}

/// A feed of two lines, quotes and trades apart as on futures, by a clock that the test moves.
fn split(quotes: &TcpListener, trades: &TcpListener, clock: fn() -> Nanos) -> MarketFeed {
    let address = |listener: &TcpListener| format!("ws://{}", listener.local_addr().unwrap());
    let mut params = feed(quotes).make.params.clone();
    (params.endpoints.quotes, params.endpoints.trades) = (address(quotes), address(trades));
    (params.stale_after, params.clock) = (Span::seconds(10), clock);
    let table = InstrumentTable::new([spec("BTCUSDT", "USDT")]).unwrap();
    MarketFeed::new(params, SymbolTable::new(&table, |_| None), None).unwrap()
}

fn trade(number: u64) -> Message {
    Message::text(format!(
        r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"s":"BTCUSDT","t":{number},"p":"1.0","q":"1","T":1,"m":true,"M":true}}}}"#
    ))
}

/// Polls until `done`; what was told, by kind, links by their state.
fn told(feed: &mut MarketFeed, clock: fn() -> Nanos, done: impl Fn(&MarketFeed, &[&str]) -> bool) -> Vec<&'static str> {
    let (mut names, start) = (Vec::new(), Instant::now());
    while !done(feed, &names) {
        assert!(start.elapsed() < Duration::from_secs(60), "{names:?} {:?}", feed.last_failure());
        feed.poll(clock(), &mut |event| {
            names.push(match event.kind {
                EventKind::Link if Link::of(&event).state == Some(LinkState::Up) => "up",
                EventKind::Link => "down",
                kind => kind.name(),
            });
        });
        std::thread::yield_now();
    }
    names
}

/// What is told until all lines are up and this has come. Which of the two is first depends on the packets.
fn until_up(feed: &mut MarketFeed, clock: fn() -> Nanos, name: &str) -> Vec<&'static str> {
    let mut names = told(feed, clock, |_, names| names.contains(&"up") && names.contains(&name));
    names.retain(|name| *name != "up");
    names
}

/// Answers pings until the other side is gone; how many.
fn answer_pings(mut socket: WebSocket<TcpStream>) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut pings = 0;
        while let Ok(message) = socket.read() {
            pings += usize::from(message.is_ping());
        }
        pings
    })
}

#[test]
fn a_quiet_line_is_asked_and_one_of_trades_may_be_quiet_for_ever() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    fn clock() -> Nanos {
        wall_clock().plus(Span(AHEAD.load(Ordering::Relaxed)))
    }
    let pass = |seconds| AHEAD.fetch_add(Span::seconds(seconds).0, Ordering::Relaxed);
    let (quotes, trades) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut feed = split(&quotes, &trades, clock);
    let servers = std::thread::spawn(move || {
        let (mut first, second) = (accept(&quotes), accept(&trades));
        first.send(quote(1)).unwrap();
        let served = (answer_pings(first), answer_pings(second));
        let mut again = accept(&quotes);
        again.send(quote(2)).unwrap();
        (served, again)
    });
    assert_eq!(told(&mut feed, clock, |_, names| names.len() == 2).len(), 2, "up and a quote");
    // Five times as long as a line may be without data: each time a pong comes, and nothing is lost.
    for _ in 0..5 {
        pass(10);
        let asked = clock();
        let heard = |feed: &MarketFeed, _: &[&str]| feed.lines.iter().all(|line| line.client.last_pong() >= asked);
        assert_eq!(told(&mut feed, clock, heard), Vec::<&str>::new());
    }
    // Quotes that do not come for six times as long are frozen. Trades are not.
    pass(10);
    assert_eq!(until_up(&mut feed, clock, "quote"), ["down", "gap", "quote"]);
    assert!(feed.last_failure().unwrap().contains("no data"), "{:?}", feed.last_failure());
    feed.close();
    let ((quotes, trades), again) = servers.join().unwrap();
    drop(again);
    drop(feed);
    assert_eq!(quotes.join().unwrap(), 5, "no more than one ping for each quiet time");
    assert!((5..=6).contains(&trades.join().unwrap()));
}

#[test]
fn a_dead_line_is_found_soon_after_it_went_quiet() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    fn clock() -> Nanos {
        wall_clock().plus(Span(AHEAD.load(Ordering::Relaxed)))
    }
    let pass = |seconds| AHEAD.fetch_add(Span::seconds(seconds).0, Ordering::Relaxed);
    let (quotes, trades) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut feed = split(&quotes, &trades, clock);
    let servers = std::thread::spawn(move || {
        let (mut first, silent) = (accept(&quotes), accept(&trades));
        first.send(quote(1)).unwrap();
        (first, silent, trades)
    });
    told(&mut feed, clock, |_, names| names.len() == 2);
    let (mut first, silent, trades) = servers.join().unwrap();
    pass(10);
    // The quotes are alive; the trades' end takes the ping and says nothing.
    first.send(quote(2)).unwrap();
    assert_eq!(told(&mut feed, clock, |_, names| !names.is_empty()), ["quote"]);
    assert!(feed.lines[1].due(Span::seconds(10)).since(clock()) <= Span::seconds(3));
    pass(3);
    let reader = std::thread::spawn(move || accept(&trades));
    assert_eq!(told(&mut feed, clock, |_, names| names.len() == 2), ["down", "up"]);
    // No quote was lost.
    first.send(quote(3)).unwrap();
    assert_eq!(told(&mut feed, clock, |_, names| !names.is_empty()), ["quote"]);
    drop((silent, reader.join().unwrap()));
}

#[test]
fn what_a_lost_line_did_not_carry_is_not_lost() {
    let (quotes, trades) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut feed = split(&quotes, &trades, wall_clock);
    let servers = std::thread::spawn(move || {
        let (mut first, mut second) = (accept(&quotes), accept(&trades));
        first.send(quote(7)).unwrap();
        second.send(trade(7)).unwrap();
        (first, second, quotes, trades)
    });
    told(&mut feed, wall_clock, |_, names| names.contains(&"quote") && names.contains(&"trade"));
    let (mut first, second, quotes, trades) = servers.join().unwrap();
    // Trades are lost: the next quote follows the last one, and is no older for it.
    drop(second);
    assert_eq!(told(&mut feed, wall_clock, |_, names| !names.is_empty()), ["down"]);
    first.send(quote(7)).unwrap();
    first.send(quote(8)).unwrap();
    assert_eq!(told(&mut feed, wall_clock, |_, names| !names.is_empty()), ["quote"]);
    // Numbers that begin anew are believed of what was lost.
    let server = std::thread::spawn(move || {
        let mut second = accept(&trades);
        second.send(trade(1)).unwrap();
        second
    });
    assert_eq!(until_up(&mut feed, wall_clock, "trade"), ["trade"]);
    let mut second = server.join().unwrap();
    // Quotes are lost: trades go on, and the gap comes before the first quote.
    drop(first);
    assert_eq!(told(&mut feed, wall_clock, |_, names| !names.is_empty()), ["down"]);
    second.send(trade(2)).unwrap();
    assert_eq!(told(&mut feed, wall_clock, |_, names| !names.is_empty()), ["trade"]);
    let server = std::thread::spawn(move || {
        let mut first = accept(&quotes);
        first.send(quote(1)).unwrap();
        first
    });
    assert_eq!(until_up(&mut feed, wall_clock, "quote"), ["gap", "quote"]);
    drop((server.join().unwrap(), second));
}

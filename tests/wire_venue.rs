//! The adapter against `pawl venue` over real sockets on this machine: market data in both encodings,
//! orders with both kinds of key, faults, and the end of a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pawl::core::payload::{
    AccountReport, Fee, Fill, InventoryReport, Link, LinkChannel, LinkState, OpenOrderReport, OrderAck, OrderDone,
    OrderReject, OrderRole, PositionReport, Quote, Reconciled, Submit, TimeInForce,
};
use pawl::core::{
    Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, OrderId, Payload, Price, Qty, Side, Span,
};
use pawl::venue::binance::endpoints::{Endpoints, Market};
use pawl::venue::binance::gateway::{GatewayParams, OrderGateway};
use pawl::venue::binance::market::{FeedParams, MarketFeed, StreamEncoding};
use pawl::venue::binance::orders::OrderParams;
use pawl::venue::binance::rest::{Credentials, NewOrder, Rest, RestParams};
use pawl::venue::binance::sign::{Secret, Signer, Verifier};
use pawl::venue::binance::symbols::SymbolTable;
use pawl::venue::net::{Sent, wall_clock};
use pawl::venue::server::{self, AccountSpec, Feed, KeySpec, Server, ServerHandle, ServerParams};
use pawl::venue::{Delivery, MarketData, OrderEntry};

const SEED: [u8; 32] = [9; 32];
const BTC: InstrumentId = InstrumentId(0);

/// A running venue.
struct Venue {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Venue {
    fn start(change: impl FnOnce(&mut ServerParams)) -> Self {
        let (feed, symbols) = Feed::synthetic(&["BTCUSDT".into(), "ETHUSDT".into()], 1, 20.0).unwrap();
        let Verifier::Ed25519(public) = ed25519().verifier() else { panic!("an Ed25519 key") };
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend_from_slice(&public);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(der));
        let mut params = ServerParams {
            accounts: vec![AccountSpec {
                name: "desk".into(),
                keys: vec![
                    KeySpec { key: "EDKEY".into(), secret: pem },
                    KeySpec { key: "HMACKEY".into(), secret: "secret".into() },
                ],
                balances: vec![("USDT".into(), Money::whole(100_000)), ("BTC".into(), Money::whole(2))],
            }],
            ..ServerParams::default()
        };
        change(&mut params);
        if params.market == server::Market::Futures {
            params.accounts[0].balances.truncate(1);
        }
        let mut server = Server::bind(&params, feed, symbols).unwrap();
        let (address, handle) = (server.address(), server.handle());
        let thread = std::thread::spawn(move || server.run().unwrap());
        Self { address, handle, thread: Some(thread) }
    }

    fn endpoints(&self, market: Market) -> Endpoints {
        Endpoints::loopback(&self.address.to_string(), market, false)
    }

    /// A word of the operator.
    fn admin(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ed25519() -> Signer {
    Signer::from_ed25519_seed(&SEED).unwrap()
}

fn credentials(hmac: bool) -> Credentials {
    if hmac {
        let signer = Signer::from_secret(&Secret::new(b"secret")).unwrap();
        return Credentials { api_key: Secret::new(b"HMACKEY"), signer };
    }
    Credentials { api_key: Secret::new(b"EDKEY"), signer: ed25519() }
}

fn rest(venue: &Venue, market: Market) -> Rest {
    let params = RestParams {
        base: venue.endpoints(market).rest,
        timeout: Span::seconds(20),
        receive_window: Span::seconds(5),
        root_certificate: None,
        clock: wall_clock,
    };
    Rest::new(&params, market, Some(credentials(true))).unwrap()
}

/// Instruments as the venue describes them.
fn instruments(venue: &Venue, market: Market) -> (InstrumentTable, SymbolTable) {
    let rules = rest(venue, market).exchange_info(&["BTCUSDT", "ETHUSDT"]).unwrap();
    assert!(rules.symbols.iter().all(|symbol| symbol.trading));
    let table = InstrumentTable::new(rules.symbols.iter().map(pawl::venue::binance::rest::SymbolInfo::spec)).unwrap();
    let symbols = SymbolTable::new(&table, |name| {
        let found = rules.symbols.iter().find(|symbol| symbol.symbol == name)?;
        Some((found.base_asset.clone(), found.quote_asset.clone()))
    });
    (table, symbols)
}

fn feed(venue: &Venue, market: Market, encoding: StreamEncoding) -> MarketFeed {
    let params = FeedParams {
        endpoints: venue.endpoints(market),
        market,
        encoding,
        trades: true,
        api_key: Some(Secret::new(b"EDKEY")),
        stale_after: Span::seconds(20),
        root_certificate: None,
        clock: wall_clock,
        seed: 1,
    };
    MarketFeed::new(params, instruments(venue, market).1, None).unwrap()
}

/// Polls until `done`; everything that was told.
fn listen(feed: &mut MarketFeed, mut done: impl FnMut(&[Event]) -> bool) -> Vec<Event> {
    let (mut events, start) = (Vec::new(), Instant::now());
    while !done(&events) {
        assert!(start.elapsed() < Duration::from_secs(60), "after {events:?}: {:?}", feed.last_failure());
        feed.poll(wall_clock(), &mut |event| events.push(event));
        std::thread::yield_now();
    }
    events
}

fn count(events: &[Event], kind: EventKind) -> usize {
    events.iter().filter(|event| event.kind == kind).count()
}

fn is_link(event: &Event, channel: LinkChannel, state: LinkState) -> bool {
    event.kind == EventKind::Link && {
        let link = Link::of(event);
        (link.channel, link.state) == (Some(channel), Some(state))
    }
}

/// A gateway and everything it told.
struct Desk {
    gateway: OrderGateway,
    events: Vec<Event>,
    orders: u32,
}

impl Desk {
    fn new(venue: &Venue, market: Market, hmac: bool) -> Self {
        Self::at(venue, venue.endpoints(market), market, hmac)
    }

    fn at(venue: &Venue, endpoints: Endpoints, market: Market, hmac: bool) -> Self {
        let mut orders = OrderParams::new(market, "USDT");
        orders.answer_timeout = Span::seconds(20);
        let params = GatewayParams { endpoints, orders, root_certificate: None, clock: wall_clock, seed: 1 };
        let gateway = OrderGateway::new(params, credentials(hmac), instruments(venue, market).1, None).unwrap();
        Self { gateway, events: Vec::new(), orders: 0 }
    }

    /// Connected, logged on, reconciled.
    fn ready(venue: &Venue, market: Market, hmac: bool) -> Self {
        Self::new(venue, market, hmac).reconciled()
    }

    fn reconciled(mut self) -> Self {
        let desk = &mut self;
        desk.until("up", |events| events.iter().any(|event| is_link(event, LinkChannel::Orders, LinkState::Up)));
        assert!(is_link(&desk.events[0], LinkChannel::Orders, LinkState::Down), "nothing is trusted before");
        desk.command(&Reconciled { round: 1, orders: 0 }, EventKind::Reconcile);
        desk.until("reconciled", |events| count(events, EventKind::Reconciled) == 1);
        self
    }

    fn poll(&mut self) {
        let events = &mut self.events;
        self.gateway.poll(wall_clock(), &mut |event| events.push(event));
        std::thread::yield_now();
    }

    fn until(&mut self, what: &str, done: impl Fn(&[Event]) -> bool) {
        let start = Instant::now();
        while !done(&self.events) {
            let told = (&self.events, self.gateway.last_failure(), self.gateway.trouble(), self.gateway.counters());
            assert!(start.elapsed() < Duration::from_secs(60), "no {what}: {told:?}");
            self.poll();
        }
    }

    fn command(&mut self, payload: &impl Payload, kind: EventKind) -> Delivery {
        let command = payload.event(kind, BTC, Nanos::NONE, wall_clock());
        let events = &mut self.events;
        self.gateway.command(&command, wall_clock(), &mut |event| events.push(event))
    }

    fn submit(&mut self, side: Side, price: Price, qty: &str, tif: TimeInForce) -> (OrderId, Delivery) {
        self.orders += 1;
        let order = OrderId::new(0x1a2b_3c4d, self.orders);
        let role = if side == Side::Buy { OrderRole::Entry } else { OrderRole::Exit };
        let submit = Submit { order, price, qty: qty.parse().unwrap(), tif, role, attempt: 1, intent: self.orders };
        let command = submit.event(EventKind::Submit, BTC, Nanos::NONE, wall_clock()).flagged(side.flag());
        let events = &mut self.events;
        (order, self.gateway.command(&command, wall_clock(), &mut |event| events.push(event)))
    }

    /// The events of one order, by kind.
    fn of(&self, order: OrderId) -> Vec<Event> {
        let executions = EventKind::OrderAccepted..=EventKind::CancelRejected;
        let mine = |event: &&Event| executions.contains(&event.kind) && event.payload[0] == order.0;
        self.events.iter().filter(mine).copied().collect()
    }

    fn until_order(&mut self, order: OrderId, kind: EventKind) -> Vec<Event> {
        let mine = move |event: &Event| event.kind == kind && event.payload[0] == order.0;
        self.until(kind.name(), |events| events.iter().any(mine));
        self.of(order)
    }
}

/// Prices that trade at once and prices that rest, around the market of now.
fn prices(venue: &Venue, market: Market) -> (Price, Price, Price) {
    let quote: Quote = rest(venue, market).book_ticker("BTCUSDT").unwrap();
    let tick = Price::from_units(1_000_000);
    let part = |price: Price, percent: i64| Price::from_units(price.units() / 100 * percent).floor_to(tick).unwrap();
    (part(quote.ask, 102), part(quote.bid, 98), part(quote.bid, 90))
}

#[test]
fn both_encodings_bring_quotes_and_trades_with_their_times() {
    let venue = Venue::start(|_| {});
    for encoding in [StreamEncoding::Json, StreamEncoding::Binary] {
        let mut feed = feed(&venue, Market::Spot, encoding);
        let events =
            listen(&mut feed, |events| count(events, EventKind::Quote) > 20 && count(events, EventKind::Trade) > 0);
        assert!(events.iter().any(|event| is_link(event, LinkChannel::Market, LinkState::Up)));
        assert_eq!(count(&events, EventKind::Gap), 0);
        let counters = feed.counters();
        assert_eq!((counters.bad, counters.foreign), (0, 0), "{encoding:?}");
        match encoding {
            StreamEncoding::Json => assert!(counters.scanned > 20 && counters.parsed == 0, "{counters:?}"),
            StreamEncoding::Binary => assert!(counters.binary > 20, "{counters:?}"),
        }
        for event in events.iter().filter(|event| event.kind == EventKind::Quote) {
            let quote = Quote::of(event);
            assert!(quote.bid.is_positive() && quote.bid < quote.ask, "{event:?}");
            assert_eq!(event.venue_ns == Nanos::NONE, encoding == StreamEncoding::Json);
            assert!(event.local_ns > Nanos::NONE);
        }
    }
}

#[test]
fn a_lost_stream_begins_again_with_a_gap() {
    let venue = Venue::start(|_| {});
    let mut feed = feed(&venue, Market::Spot, StreamEncoding::Json);
    listen(&mut feed, |events| count(events, EventKind::Quote) > 0);
    venue.admin("/admin/disconnect", r#"{"kind":"streams"}"#);
    let events = listen(&mut feed, |events| count(events, EventKind::Link) == 2 && count(events, EventKind::Quote) > 0);
    let events = if count(&events, EventKind::Gap) == 2 {
        events
    } else {
        let mut all = events;
        all.extend(listen(&mut feed, |events| count(events, EventKind::Quote) > 0));
        all
    };
    let down = events.iter().position(|event| is_link(event, LinkChannel::Market, LinkState::Down)).unwrap();
    let gaps: Vec<usize> = (0..events.len()).filter(|at| events[*at].kind == EventKind::Gap).collect();
    assert_eq!(gaps.len(), 2, "one for each instrument");
    let next = events[down..].iter().position(|event| event.kind == EventKind::Quote).unwrap() + down;
    assert!(gaps.iter().all(|gap| (down..next).contains(gap)), "between the loss and the next data");
}

#[test]
fn a_silent_stream_is_given_up_though_it_answers_pings() {
    let venue = Venue::start(|params| {
        // It upgrades and pings, and has nothing to say: no symbol of ours is traded there.
        // More pongs than five a second it would not take.
        params.care.ping = Span::millis(400);
    });
    let params = FeedParams {
        endpoints: Endpoints { quotes: format!("ws://{}/ws", venue.address), ..venue.endpoints(Market::Spot) },
        market: Market::Spot,
        encoding: StreamEncoding::Json,
        trades: false,
        api_key: None,
        stale_after: Span::millis(500),
        root_certificate: None,
        clock: wall_clock,
        seed: 1,
    };
    let (table, _) = instruments(&venue, Market::Spot);
    let spec = pawl::core::InstrumentSpec { symbol: "ETHBTC".into(), ..table.get(BTC).unwrap().spec().clone() };
    let silent = InstrumentTable::new([spec]).unwrap();
    let mut feed = MarketFeed::new(params, SymbolTable::new(&silent, |_| None), None).unwrap();
    let events = listen(&mut feed, |events| count(events, EventKind::Link) >= 3);
    assert!(is_link(&events[0], LinkChannel::Market, LinkState::Up));
    assert!(is_link(&events[1], LinkChannel::Market, LinkState::Down));
    assert!(feed.last_failure().unwrap().contains("no data"), "{:?}", feed.last_failure());
}

#[test]
fn orders_trade_rest_and_end_with_either_key() {
    let venue = Venue::start(|_| {});
    for hmac in [false, true] {
        let mut desk = Desk::ready(&venue, Market::Spot, hmac);
        let cash = desk.events.iter().find(|event| event.kind == EventKind::AccountReport).map(AccountReport::of);
        assert!(cash.unwrap().free > Money::whole(50_000));
        let owned = desk.events.iter().find(|event| event.kind == EventKind::InventoryReport).map(InventoryReport::of);
        assert!(owned.unwrap().free > Qty::whole(1));

        let (above, below, far) = prices(&venue, Market::Spot);
        let (order, delivery) = desk.submit(Side::Buy, above, "0.01", TimeInForce::Ioc);
        assert!(matches!(delivery, Delivery::Sent(Sent::Written(stamps)) if stamps.before <= stamps.after));
        desk.until("a fill", |events| events.iter().any(|event| event.kind == EventKind::Fee));
        let told = desk.of(order);
        assert_eq!(told[0].kind, EventKind::OrderAccepted);
        assert!(OrderAck::of(&told[0]).venue_order > 0);
        let fill = told.iter().find(|event| event.kind == EventKind::Fill).map(Fill::of).unwrap();
        assert!(fill.qty.is_positive() && fill.price <= above);
        let fee = told.iter().find(|event| event.kind == EventKind::Fee).map(Fee::of).unwrap();
        assert!(fee.amount.is_positive() && fee.execution == fill.execution);

        let (order, _) = desk.submit(Side::Sell, below, "0.001", TimeInForce::Ioc);
        let told = desk.until_order(order, EventKind::Fee);
        assert!(told.iter().any(|event| event.kind == EventKind::Fill));

        let (order, _) = desk.submit(Side::Buy, far, "0.001", TimeInForce::Limit);
        desk.until_order(order, EventKind::OrderAccepted);
        desk.command(&Reconciled { round: 2, orders: 0 }, EventKind::Reconcile);
        desk.until("reconciled", |events| {
            events.iter().any(|event| event.kind == EventKind::Reconciled && Reconciled::of(event).round == 2)
        });
        let open = desk.events.iter().find(|event| event.kind == EventKind::OpenOrderReport).map(OpenOrderReport::of);
        assert_eq!(open.unwrap().order, order);
        desk.command(&OrderDone { order, filled: Qty::ZERO }, EventKind::Cancel);
        desk.until_order(order, EventKind::OrderCancelled);
        desk.command(&OrderDone { order, filled: Qty::ZERO }, EventKind::Cancel);
        desk.until_order(order, EventKind::CancelRejected);

        // Never sent: the venue does not know it, but that is no proof so soon.
        let lost = OrderDone { order: OrderId::new(0x1a2b_3c4d, 999), filled: Qty::ZERO };
        desk.command(&lost, EventKind::Query);
        let (order, _) = desk.submit(Side::Buy, above, "0.00000001", TimeInForce::Ioc);
        let told = desk.until_order(order, EventKind::OrderRejected);
        assert_eq!(told.len(), 1);
        assert_eq!(OrderReject::of(&told[0]).code.map(pawl::core::payload::RejectCode::name), Some("filter"));
        assert_eq!(count(&desk.events, EventKind::OrderNotFound), 0);
        assert_eq!(desk.gateway.counters().bad_frames, 0);
        assert!(desk.gateway.clock_offset().1.is_some());
    }
}

#[test]
fn a_lost_answer_is_found_by_asking() {
    let venue = Venue::start(|_| {});
    let mut desk = Desk::ready(&venue, Market::Spot, false);
    let (above, ..) = prices(&venue, Market::Spot);
    venue.admin("/admin/faults", r#"{"rules":{"lost_ack":{"count":1}}}"#);
    let (order, _) = desk.submit(Side::Buy, above, "0.01", TimeInForce::Ioc);
    // Its execution reports still come; a query tells it all again, in order.
    desk.until_order(order, EventKind::Fill);
    desk.events.clear();
    desk.command(&OrderDone { order, filled: Qty::ZERO }, EventKind::Query);
    let told = desk.until_order(order, EventKind::OrderExpired);
    assert_eq!(told[0].kind, EventKind::Fill);
    let filled: i64 = told.iter().filter(|e| e.kind == EventKind::Fill).map(|e| Fill::of(e).qty.units()).sum();
    assert_eq!(OrderDone::of(told.last().unwrap()).filled, Qty::from_units(filled));
}

#[test]
fn a_cut_connection_goes_down_and_up_and_finds_what_traded_meanwhile() {
    let venue = Venue::start(|_| {});
    let mut desk = Desk::ready(&venue, Market::Spot, false);
    let (_, _, far) = prices(&venue, Market::Spot);
    let (order, _) = desk.submit(Side::Buy, far, "0.001", TimeInForce::Limit);
    desk.until_order(order, EventKind::OrderAccepted);
    desk.events.clear();
    venue.admin("/admin/disconnect", r#"{"kind":"api"}"#);
    // The market falls to the order while nobody listens.
    venue.admin("/admin/price", r#"{"symbol":"BTCUSDT","percent":-15}"#);
    desk.until("up", |events| events.iter().any(|event| is_link(event, LinkChannel::Orders, LinkState::Up)));
    assert!(is_link(&desk.events[0], LinkChannel::Orders, LinkState::Down));
    desk.command(&OrderDone { order, filled: Qty::ZERO }, EventKind::Query);
    desk.until("the missed fill", |events| count(events, EventKind::Fill) > 0);
    let told = desk.until_order(order, EventKind::OrderExpired);
    assert_eq!(OrderDone::of(told.last().unwrap()).filled, "0.001".parse().unwrap());
}

#[test]
fn a_connection_that_the_venue_ends_is_made_again() {
    let venue = Venue::start(|params| params.care.life = Span::seconds(3));
    let mut desk = Desk::ready(&venue, Market::Spot, false);
    let ups =
        |events: &[Event]| events.iter().filter(|event| is_link(event, LinkChannel::Orders, LinkState::Up)).count();
    desk.until("a second connection", |events| ups(events) >= 2);
    let (above, ..) = prices(&venue, Market::Spot);
    let (order, _) = desk.submit(Side::Buy, above, "0.01", TimeInForce::Ioc);
    desk.until_order(order, EventKind::Fill);
}

#[test]
fn futures_report_positions_and_trade_over_the_private_stream() {
    let venue = Venue::start(|params| params.market = server::Market::Futures);
    let mut market = feed(&venue, Market::UsdMFutures, StreamEncoding::Json);
    listen(&mut market, |events| count(events, EventKind::Quote) > 0 && count(events, EventKind::Trade) > 0);
    let mut desk = Desk::ready(&venue, Market::UsdMFutures, false);
    let (above, ..) = prices(&venue, Market::UsdMFutures);
    let (order, _) = desk.submit(Side::Buy, above, "0.01", TimeInForce::Ioc);
    let told = desk.until_order(order, EventKind::Fee);
    assert_eq!(told[0].kind, EventKind::OrderAccepted);
    let held = |event: &&Event| event.kind == EventKind::PositionReport && event.payload[1] as i64 > 0;
    desk.until("a position", |events| events.iter().any(|event| held(&event)));
    let report = desk.events.iter().find(held).map(PositionReport::of).unwrap();
    assert!(report.entry.is_positive() && report.entry <= above, "{report:?}");
    // The same by a question, and by HTTP: the venue writes an average with more digits than we have.
    desk.events.clear();
    desk.command(&Reconciled { round: 2, orders: 0 }, EventKind::Reconcile);
    desk.until("reconciled", |events| count(events, EventKind::Reconciled) == 1);
    let asked = desk.events.iter().find(held).map(PositionReport::of).unwrap();
    assert_eq!(
        (asked.round, asked.entry.units().abs_diff(report.entry.units()) <= 1),
        (2, true),
        "{asked:?} {report:?}"
    );
    let mut rest = rest(&venue, Market::UsdMFutures);
    assert!(!rest.is_in_hedge_mode().unwrap());
    let positions = rest.positions().unwrap();
    assert_eq!((positions.len(), positions[0].entry_price, positions[0].unreadable), (1, asked.entry, false));
    assert_eq!(rest.account().unwrap().margin_in("USDT").map(|margin| margin.wallet.is_positive()), Some(true));
    assert_eq!(desk.gateway.counters().bad_frames, 0);
}

#[test]
fn account_events_of_an_unsplit_host_are_heard_too() {
    let venue = Venue::start(|params| params.market = server::Market::Futures);
    let endpoints = venue.endpoints(Market::UsdMFutures);
    // As the venue's test network is: no `/private`, the key in the path.
    let unsplit = Endpoints { private: endpoints.quotes.clone(), ..endpoints };
    assert!(unsplit.account_events("KEY").ends_with("/ws/KEY"));
    let mut desk = Desk::at(&venue, unsplit, Market::UsdMFutures, false).reconciled();
    let (above, ..) = prices(&venue, Market::UsdMFutures);
    let (order, _) = desk.submit(Side::Buy, above, "0.01", TimeInForce::Ioc);
    desk.until_order(order, EventKind::Fee);
}

#[test]
fn a_clock_that_is_wrong_by_seconds_costs_no_second_connection() {
    for market in [Market::Spot, Market::UsdMFutures] {
        let venue = Venue::start(|params| {
            params.faults.clock_skew_ms = -3_000;
            if market == Market::UsdMFutures {
                params.market = server::Market::Futures;
            }
        });
        let mut desk = Desk::new(&venue, market, false);
        desk.until("up", |events| events.iter().any(|event| is_link(event, LinkChannel::Orders, LinkState::Up)));
        assert_eq!((desk.gateway.last_failure(), desk.gateway.trouble()), (None, None), "{market:?}");
        assert!((-4_000_000_000..=-2_000_000_000).contains(&desk.gateway.clock_offset().0));
    }
}

#[test]
fn the_http_client_sees_cancels_and_flattens() {
    let venue = Venue::start(|_| {});
    let mut rest = rest(&venue, Market::Spot);
    assert!(rest.sync_clock(3).unwrap().abs() < 1_000_000_000);
    let (above, _, far) = prices(&venue, Market::Spot);
    let qty: Qty = "0.01".parse().unwrap();
    let new = |client_id, price, side, immediate| NewOrder {
        symbol: "BTCUSDT",
        side,
        price,
        qty,
        immediate,
        client_id,
        reduce_only: false,
    };
    let resting = rest.place(&new("rest-1", Some(far), Side::Buy, false)).unwrap();
    assert!(!resting.status.is_done());
    assert_eq!(rest.open_orders(None).unwrap().len(), 1);
    rest.cancel_all("BTCUSDT").unwrap();
    rest.cancel_all("BTCUSDT").unwrap();
    assert_eq!(rest.open_orders(Some("BTCUSDT")).unwrap().len(), 0);
    assert!(rest.order("BTCUSDT", "rest-1").unwrap().unwrap().status.is_done());
    assert_eq!(rest.order("BTCUSDT", "rest-9").unwrap(), None);
    assert_eq!(rest.cancel("BTCUSDT", "rest-1").unwrap(), None);
    let before = rest.account().unwrap();
    let taken = rest.place(&new("rest-2", Some(above), Side::Buy, true)).unwrap();
    assert!(taken.executed_qty.is_positive());
    let sold = rest.place(&new("rest-3", None, Side::Sell, true)).unwrap();
    assert!(sold.status.is_done());
    let after = rest.account().unwrap();
    assert_ne!(before.balances, after.balances);
    let trades = rest.trades("BTCUSDT", 10).unwrap();
    assert!(trades.iter().any(|trade| trade.buyer) && trades.iter().any(|trade| !trade.buyer));
}

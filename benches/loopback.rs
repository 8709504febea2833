//! Tick sent by a venue to order received by it, over loopback TCP: `cargo bench --bench loopback`.
//!
//! Two threads, each on its own core where there are two, both spinning (on one core they only wait for
//! each other: then the figures say nothing). One is a venue of the least
//! kind: it writes one bookTicker frame, waits until the engine has dealt with it, and answers an order
//! with a full fill. The other is what `pawl run` polls: market feed, engine, order gateway. One frame
//! is under way at a time, so that an order belongs to its tick; the time between two frames lets both
//! sides grow as cold as a spinning loop does. The bare sockets stand beside it, with messages of the
//! same sizes: what is above them is ours.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use hdrhistogram::Histogram;
use pawl::core::{EventKind, Nanos, Span};
use pawl::engine::NoProbe;
use pawl::oms::Outbox;
use pawl::venue::binance::endpoints::{Endpoints, Market};
use pawl::venue::binance::gateway::{GatewayParams, OrderGateway};
use pawl::venue::binance::limits::LimitParams;
use pawl::venue::binance::market::{FeedParams, MarketFeed, StreamEncoding};
use pawl::venue::binance::orders::OrderParams;
use pawl::venue::binance::rest::Credentials;
use pawl::venue::binance::sign::{Secret, Signer};
use pawl::venue::binance::symbols::SymbolTable;
use pawl::venue::net::wall_clock;
use pawl::venue::{MarketData, OrderEntry};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

mod common;

/// Time between two frames.
const PAUSE: Duration = Duration::from_micros(20);
/// Bytes of an order's frame, for the bare sockets.
const ORDER_BYTES: usize = 270;
const FRAME_BYTES: usize = 150;

/// When the market says it is: the engine lives in the synthetic market's time.
static MARKET_TIME: AtomicU64 = AtomicU64::new(0);
/// Frames dealt with, orders included.
static HANDLED: AtomicU64 = AtomicU64::new(0);
/// Orders whose fill was dealt with.
static FILLED: AtomicU64 = AtomicU64::new(0);
static READY: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);

/// The first two cores, looked up once: a pinned thread and those it starts see no other than their own.
fn pin(core: usize) {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    let cores = CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default());
    if cores.len() > 1 {
        core_affinity::set_for_current(cores[core]);
    }
}

fn report(name: &str, histogram: &Histogram<u64>) {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "  {name:<44} n {:>6}  p50 {:>7.1}  p90 {:>7.1}  p99 {:>7.1}  p99.9 {:>8.1}  max {:>8.1} us",
        histogram.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        histogram.max() as f64 / 1e3
    );
}

/// The engine's side: everything that one thread of `pawl run` polls.
fn engine(address: &str) {
    pin(1);
    let symbols = || SymbolTable::new(&common::table(), |_| None);
    let endpoints = Endpoints::loopback(address, Market::Spot, false);
    let mut orders = OrderParams::new(Market::Spot, "USDT");
    orders.limits = LimitParams { weight_per_minute: u32::MAX, orders_per_10s: u32::MAX, orders_per_day: u32::MAX };
    let credentials =
        Credentials { api_key: Secret::new(b"KEY"), signer: Signer::from_ed25519_seed(&[1; 32]).expect("a key") };
    let params =
        GatewayParams { endpoints: endpoints.clone(), orders, root_certificate: None, clock: wall_clock, seed: 1 };
    let mut gateway = OrderGateway::new(params, credentials, symbols(), None).expect("a gateway");
    let params = FeedParams {
        endpoints,
        market: Market::Spot,
        encoding: StreamEncoding::Json,
        trades: false,
        api_key: None,
        stale_after: Span::seconds(3600),
        root_certificate: None,
        clock: wall_clock,
        seed: 2,
    };
    let mut feed = MarketFeed::new(params, symbols(), None).expect("a feed");
    let mut out = Outbox::new();
    let mut engine = common::engine(&mut out);
    let (mut frames, mut fills) = (0, 0);
    while !OVER.load(Ordering::Relaxed) {
        let market_time = || Nanos(MARKET_TIME.load(Ordering::Acquire));
        let before = fills;
        gateway.poll(wall_clock(), &mut |mut event| {
            if matches!(event.kind, EventKind::OrderAccepted | EventKind::Fill | EventKind::Fee) {
                event.local_ns = market_time();
                engine.on_event(&event, &mut out, &mut NoProbe);
                fills += u64::from(event.kind == EventKind::Fee);
            }
        });
        if fills > before {
            FILLED.store(fills, Ordering::Release);
        }
        let before = frames;
        feed.poll(wall_clock(), &mut |mut event| {
            if event.kind != EventKind::Quote {
                return;
            }
            frames += 1;
            event.local_ns = market_time();
            engine.on_event(&event, &mut out, &mut NoProbe);
            for command in out.events().iter().filter(|event| event.kind == EventKind::Submit) {
                gateway.command(command, wall_clock(), &mut |event| panic!("refused: {event:?}"));
            }
        });
        if frames > before {
            HANDLED.store(frames, Ordering::Release);
        }
        // The market's line counts as up with its first frame.
        if gateway.is_ready() {
            READY.store(true, Ordering::Release);
        }
    }
}

/// The venue's two connections.
struct Venue {
    market: WebSocket<TcpStream>,
    orders: WebSocket<TcpStream>,
}

impl Venue {
    fn open(listener: &TcpListener) -> Self {
        let (mut market, mut orders) = (None, None);
        while market.is_none() || orders.is_none() {
            let (socket, _) = listener.accept().expect("a connection");
            socket.set_nodelay(true).expect("no delay");
            let mut path = String::new();
            #[expect(clippy::result_large_err, reason = "the library's own type")]
            let look = |request: &Request, response: Response| {
                request.uri().path().clone_into(&mut path);
                Ok(response)
            };
            let socket = tungstenite::accept_hdr(socket, look).expect("an upgrade");
            socket.get_ref().set_nonblocking(true).expect("not blocking");
            if path.contains("ws-api") { orders = Some(socket) } else { market = Some(socket) }
        }
        let [market, orders] = [market, orders].map(|socket| socket.expect("both are open"));
        Self { market, orders }
    }

    /// The next request, if one has come.
    fn request(&mut self) -> Option<Message> {
        match self.orders.read() {
            Ok(message) if message.is_text() => Some(message),
            Ok(_) => None,
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("the engine is gone: {error}"),
        }
    }

    /// Answers a request; an order fills whole at its price.
    fn answer(&mut self, request: &Message, number: u64) {
        let request: serde_json::Value = serde_json::from_str(request.to_text().expect("text")).expect("JSON");
        let params = &request["params"];
        let result = if request["method"] == "order.place" {
            serde_json::json!({
                "symbol": "BTCUSDT", "orderId": number, "orderListId": -1, "status": "FILLED", "type": "LIMIT",
                "clientOrderId": params["newClientOrderId"], "transactTime": 1, "price": params["price"],
                "origQty": params["quantity"], "executedQty": params["quantity"], "cummulativeQuoteQty": "1",
                "timeInForce": params["timeInForce"], "side": params["side"],
                "fills": [{"price": params["price"], "qty": params["quantity"], "commission": "0",
                           "commissionAsset": "USDT", "tradeId": number}],
            })
        } else {
            serde_json::json!({"serverTime": 1})
        };
        let answer = serde_json::json!({"id": request["id"], "status": 200, "result": result});
        self.orders.send(Message::text(answer.to_string())).expect("answered");
    }

    /// Sends one frame and waits until it is dealt with; how long the order took that it caused, if any.
    fn tick(&mut self, frame: &str, number: u64, filled: &mut u64) -> Option<Duration> {
        let message = Message::text(frame);
        let began = Instant::now();
        self.market.send(message).expect("sent");
        let (order, took) = loop {
            // The order leaves before the frame counts as dealt with: a look after that finds it.
            let handled = HANDLED.load(Ordering::Acquire) >= number;
            if let Some(request) = self.request() {
                let took = began.elapsed();
                if request.to_text().expect("text").contains("order.place") {
                    break (request, took);
                }
                self.answer(&request, number);
            } else if handled {
                return None;
            }
        };
        self.answer(&order, number);
        *filled += 1;
        while FILLED.load(Ordering::Acquire) < *filled || HANDLED.load(Ordering::Acquire) < number {
            if let Some(request) = self.request() {
                self.answer(&request, number);
            }
        }
        Some(took)
    }
}

/// The whole way, and whether every order was met.
fn whole_way(frames: &[(Nanos, String)]) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| engine(&address));
        pin(0);
        let mut venue = Venue::open(&listener);
        while !READY.load(Ordering::Acquire) {
            if let Some(request) = venue.request() {
                venue.answer(&request, 1);
            }
        }
        let (mut histogram, mut filled) = (common::histogram(), 0);
        for ((local, frame), number) in frames.iter().zip(1..) {
            MARKET_TIME.store(local.0, Ordering::Release);
            if let Some(took) = venue.tick(frame, number, &mut filled) {
                histogram.saturating_record(took.as_nanos() as u64);
            }
            let until = Instant::now() + PAUSE;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        OVER.store(true, Ordering::Relaxed);
        assert!(!histogram.is_empty(), "no tick caused an order");
        report("tick sent to order received, pawl", &histogram);
    });
}

/// The same bytes through bare sockets: what the system takes of it.
fn bare_sockets(count: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let spin = |socket: &mut TcpStream, buffer: &mut [u8]| {
        let mut have = 0;
        while have < buffer.len() {
            match socket.read(&mut buffer[have..]) {
                Ok(0) => return false,
                Ok(read) => have += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => panic!("{error}"),
            }
        }
        true
    };
    let ready = |socket: &TcpStream| {
        socket.set_nodelay(true).expect("no delay");
        socket.set_nonblocking(true).expect("not blocking");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let mut socket = TcpStream::connect(address).expect("connected");
            ready(&socket);
            let mut frame = [0; FRAME_BYTES];
            while spin(&mut socket, &mut frame) {
                socket.write_all(&[7; ORDER_BYTES]).expect("written");
            }
        });
        pin(0);
        let (mut socket, _) = listener.accept().expect("a connection");
        ready(&socket);
        let (mut histogram, mut order) = (common::histogram(), [0; ORDER_BYTES]);
        for _ in 0..count {
            let began = Instant::now();
            socket.write_all(&[5; FRAME_BYTES]).expect("written");
            spin(&mut socket, &mut order);
            histogram.saturating_record(began.elapsed().as_nanos() as u64);
            let until = Instant::now() + PAUSE;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        report("the same bytes there and back, bare sockets", &histogram);
    });
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let frames: Vec<_> = common::frames(if test { 60_000 } else { 1_000_000 }).collect();
    println!("Over loopback TCP, {} frames, one at a time, {} us apart", frames.len(), PAUSE.as_micros());
    bare_sockets(if test { 100 } else { 50_000 });
    whole_way(&frames);
    bare_sockets(if test { 100 } else { 50_000 });
}

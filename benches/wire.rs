//! Bytes to event, decision to bytes, and the whole way between them, beside the budget of DESIGN
//! section 11. The JSON scanner stands beside the binary decoder, the full parser and a plain
//! `serde_json` structure in the same run.

#![expect(missing_docs, reason = "criterion_group makes undocumented functions")]

use std::hint::black_box;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use pawl::core::payload::{Fee, Fill, OrderRole, Quote, Submit, TimeInForce};
use pawl::core::{Event, EventKind, InstrumentId, Money, Nanos, OrderId, Payload, Price, Qty, Side};
use pawl::engine::{Boundary, Engine, NoProbe, Probe};
use pawl::oms::Outbox;
use pawl::venue::binance::decode::MarketDecoder;
use pawl::venue::binance::endpoints::Market;
use pawl::venue::binance::full;
use pawl::venue::binance::limits::LimitParams;
use pawl::venue::binance::orders::{OrderParams, OrderProtocol};
use pawl::venue::binance::rest::Credentials;
use pawl::venue::binance::sbe::{self, BestBidAsk, Exponents};
use pawl::venue::binance::scan::scan;
use pawl::venue::binance::sign::{Secret, Signer};
use pawl::venue::binance::symbols::SymbolTable;

mod common;
use common::table;

const FRAME: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}"#;

fn protocol(signer: Signer) -> OrderProtocol {
    let mut params = OrderParams::new(Market::Spot, "USDT");
    params.limits = LimitParams { weight_per_minute: u32::MAX, orders_per_10s: u32::MAX, orders_per_day: u32::MAX };
    let credentials = Credentials { api_key: Secret::new(b"KEY"), signer };
    let mut protocol = OrderProtocol::new(params, SymbolTable::new(&table(), |_| None), credentials, Nanos(1));
    protocol.on_open(Nanos(1));
    for id in 1..=3 {
        while protocol.next_request(Nanos(1)).is_some() {}
        protocol.on_text(
            format!(r#"{{"id":{id},"status":200,"result":{{"serverTime":1}}}}"#).as_bytes(),
            Nanos(1),
            &mut |_| {},
        );
    }
    assert!(protocol.is_ready());
    protocol
}

/// Percentiles of one operation, by the clock around each; the clock's own cost is printed beside.
fn percentiles(name: &str, budget: &str, count: u64, mut operation: impl FnMut(u64)) {
    let mut histogram = common::histogram();
    for n in 0..count {
        let start = Instant::now();
        operation(n);
        histogram.saturating_record(start.elapsed().as_nanos() as u64);
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    println!("{name}: p50 {} ns, p99 {} ns, p99.9 {} ns (budget {budget})", at(0.5), at(0.99), at(0.999));
}

fn frames(criterion: &mut Criterion) {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: Ticker<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Ticker<'a> {
        u: u64,
        s: &'a str,
        b: &'a str,
        #[serde(rename = "B")]
        bid_qty: &'a str,
        a: &'a str,
        #[serde(rename = "A")]
        ask_qty: &'a str,
    }
    let quote = Quote {
        bid: "61837.63".parse().unwrap(),
        ask: "61837.64".parse().unwrap(),
        bid_qty: "3.78826".parse().unwrap(),
        ask_qty: "1.54698".parse().unwrap(),
    };
    let mut binary = Vec::new();
    let best = BestBidAsk { event_time_us: 1_700_000_000_000_000, book_update_id: 7, quote, symbol: b"BTCUSDT" };
    best.encode(Exponents { price: -2, qty: -5 }, &mut binary).unwrap();
    let mut group = criterion.benchmark_group("bookTicker");
    group.bench_function("JSON frame to event (budget 150 ns)", |bencher| {
        let mut decoder = MarketDecoder::new(SymbolTable::new(&table(), |_| None));
        bencher.iter(|| {
            decoder.forget();
            let mut told = 0;
            decoder.text(black_box(FRAME.as_bytes()), Nanos(1), &mut |event: Event| told ^= event.payload[0]);
            told
        });
    });
    group.bench_function("binary frame to event", |bencher| {
        let mut decoder = MarketDecoder::new(SymbolTable::new(&table(), |_| None));
        bencher.iter(|| {
            decoder.forget();
            let mut told = 0;
            decoder.binary(black_box(&binary), Nanos(1), &mut |event: Event| told ^= event.payload[0]);
            told
        });
    });
    group.bench_function("scanner alone", |bencher| bencher.iter(|| scan(black_box(FRAME.as_bytes()))));
    group.bench_function("binary decoder alone", |bencher| bencher.iter(|| sbe::decode(black_box(&binary)).is_ok()));
    group.bench_function("full parser", |bencher| bencher.iter(|| full::parse(black_box(FRAME.as_bytes())).is_ok()));
    group.bench_function("plain serde_json structure", |bencher| {
        bencher.iter(|| {
            let Envelope { data } = serde_json::from_slice(black_box(FRAME.as_bytes())).unwrap();
            let price = |text: &str| Price::parse(text.as_bytes()).unwrap().units();
            (data.u, data.s.len(), price(data.b), price(data.bid_qty), price(data.a), price(data.ask_qty))
        });
    });
    group.finish();
    percentiles("an empty measurement", "none", 1_000_000, |n| {
        black_box(n);
    });
    let mut decoder = MarketDecoder::new(SymbolTable::new(&table(), |_| None));
    percentiles("bookTicker frame to event", "150 ns p50, 1 us p99.9", 1_000_000, |_| {
        decoder.forget();
        decoder.text(black_box(FRAME.as_bytes()), Nanos(1), &mut |event| {
            black_box(event);
        });
    });
}

fn orders(criterion: &mut Criterion) {
    let submit = |counter: u64| {
        let submit = Submit {
            order: OrderId::new(7, counter as u32 + 1),
            price: "61837.64".parse().unwrap(),
            qty: "0.005".parse().unwrap(),
            tif: TimeInForce::Ioc,
            role: OrderRole::Entry,
            attempt: 1,
            intent: 1,
        };
        submit.event(EventKind::Submit, InstrumentId(0), Nanos::NONE, Nanos(5)).flagged(Side::Buy.flag())
    };
    let mut group = criterion.benchmark_group("order");
    let signers = [
        ("decision to bytes, session logged on (budget 300 ns)", Signer::from_ed25519_seed(&[1; 32]).unwrap()),
        ("decision to bytes, each signed with HMAC", Signer::from_secret(&Secret::new(b"secret")).unwrap()),
    ];
    for (name, signer) in signers {
        let mut protocol = protocol(signer);
        let mut counter = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                counter += 1;
                protocol.submit(&submit(counter), Nanos(5)).unwrap().len()
            });
        });
    }
    group.finish();
    let mut protocol = protocol(Signer::from_ed25519_seed(&[1; 32]).unwrap());
    percentiles("decision to order bytes", "300 ns p50", 1_000_000, |n| {
        black_box(protocol.submit(&submit(n), Nanos(5)).unwrap().len());
    });
}

/// When each stage of the present frame ended.
struct Marks([Option<Instant>; 4]);

impl Probe for Marks {
    fn mark(&mut self, boundary: Boundary) {
        self.0[boundary as usize] = Some(Instant::now());
    }
}

/// The parts of the way from a frame to its order's bytes.
const PARTS: [&str; 6] = ["frame to event", "feed", "quant", "oracle", "order manager", "order to bytes"];

/// What the thread did before a frame came: that decides what the processor's caches hold.
const BEFORE: [&str; 3] = ["right behind other frames", "after a quiet time", "after a quiet time with rehearsals"];

/// Looks that find nothing between two rehearsals, as the engine's waiting has it.
const QUIET_LOOKS: u64 = 64;

/// Decoder, engine and order encoder.
struct Way {
    decoder: MarketDecoder,
    engine: Engine,
    protocol: OrderProtocol,
    out: Outbox,
    orders: Vec<Event>,
}

/// The clock at the beginning, between the parts and at the end.
type Times = [Option<Instant>; 7];

impl Way {
    fn new() -> Self {
        let mut out = Outbox::new();
        Self {
            engine: common::engine(&mut out),
            decoder: MarketDecoder::new(SymbolTable::new(&table(), |_| None)),
            protocol: protocol(Signer::from_ed25519_seed(&[1; 32]).unwrap()),
            out,
            orders: Vec::with_capacity(16),
        }
    }

    /// One frame, until its order's bytes are there. Looking at the clock between the parts takes time of its own: the
    /// whole way is timed without.
    fn frame(&mut self, frame: &[u8], local: Nanos, in_parts: bool) -> Times {
        let Self { decoder, engine, protocol, out, orders } = self;
        let (begin, mut marks, mut decoded, mut decided) = (Instant::now(), Marks([None; 4]), None, None);
        decoder.text(frame, local, &mut |event| {
            if in_parts {
                decoded = Some(Instant::now());
                engine.on_event(&event, out, &mut marks);
            } else {
                engine.on_event(&event, out, &mut NoProbe);
            }
            for command in out.events().iter().filter(|event| event.kind == EventKind::Submit) {
                decided = in_parts.then(Instant::now);
                black_box(protocol.submit(command, local).map_or(0, <[u8]>::len));
                orders.push(*command);
            }
        });
        let [feed, quant, oracle, _] = marks.0;
        [Some(begin), decoded, feed, quant, oracle, decided, Some(Instant::now())]
    }

    /// Its orders fill; how many there were.
    fn fill(&mut self, local: Nanos) -> usize {
        let Self { engine, out, orders, .. } = self;
        orders.drain(..).map(|command| fill(engine, &command, local, out)).count()
    }

    fn rehearse(&mut self) {
        let Self { decoder, engine, protocol, out, .. } = self;
        decoder.rehearse();
        engine.rehearse(out, |order| assert!(protocol.rehearse(order, order.local_ns)));
    }
}

/// Two sockets on which nothing comes, looked at as the engine does while nothing comes.
struct QuietSockets {
    ours: [TcpStream; 2],
    _theirs: [TcpStream; 2],
}

impl QuietSockets {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = [(); 2].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let theirs = [(); 2].map(|()| listener.accept().unwrap().0);
        for socket in &ours {
            socket.set_nonblocking(true).unwrap();
        }
        Self { ours, _theirs: theirs }
    }

    fn look(&mut self, times: u64) {
        for _ in 0..times {
            for socket in &mut self.ours {
                assert!(socket.read(&mut [0; 4096]).is_err(), "nothing was sent");
            }
            black_box((Instant::now(), Instant::now()));
        }
    }
}

/// The synthetic market's quotes as frames, through decoder, engine and order encoder. The way that counts is that of
/// the frames that end in an order. They are rare, and what was done before decides how long they take: a first run
/// finds out which they are, and before each of them the thread does what a live one would. A frame is copied into the
/// buffer before its time begins, as the read of a socket leaves it.
fn fused(_: &mut Criterion) {
    let test = std::env::args().any(|argument| argument == "--test");
    let count = if test { 400_000 } else { usize::MAX };
    let (mut way, mut with_order) = (Way::new(), Vec::new());
    for (number, (local, frame)) in common::frames(count).enumerate() {
        way.frame(frame.as_bytes(), local, false);
        if way.fill(local) > 0 {
            with_order.push(number);
        }
    }
    let mut ways = BEFORE.map(|_| (common::histogram(), PARTS.map(|_| common::histogram())));
    let (mut sockets, mut floor) = (QuietSockets::new(), common::histogram());
    // In each run another of them is timed after another time before it, in parts or whole.
    for run in 0..if test { 1 } else { 2 * BEFORE.len() } {
        let (mut way, mut next, mut buffer) = (Way::new(), 0, Vec::with_capacity(4096));
        for (number, (local, frame)) in common::frames(count).enumerate() {
            let ends_in_order = with_order.get(next) == Some(&number);
            let (before, in_parts) = ((next + run) % BEFORE.len(), (next + run) / BEFORE.len() % 2 == 1);
            // The frame comes at any time between two rehearsals.
            let quiet = number as u64 * 2_654_435_761 % QUIET_LOOKS;
            match before {
                _ if !ends_in_order => {}
                0 => {}
                1 => sockets.look(2 * QUIET_LOOKS + quiet),
                _ => {
                    for looks in [QUIET_LOOKS, QUIET_LOOKS, quiet] {
                        sockets.look(looks);
                        if looks == QUIET_LOOKS {
                            way.rehearse();
                        }
                    }
                }
            }
            buffer.clear();
            buffer.extend_from_slice(frame.as_bytes());
            let times = way.frame(&buffer, local, ends_in_order && in_parts);
            assert_eq!(way.fill(local) > 0, ends_in_order, "the engine decides the same in each run");
            if ends_in_order {
                next += 1;
                record(&mut ways[before], &times, in_parts);
                // What the machine takes away of a microsecond in which nothing is done.
                floor.saturating_record(idle_microsecond());
            }
        }
    }
    for (before, (whole, parts)) in BEFORE.iter().zip(&ways) {
        show(&format!("frame in, order bytes out, fused, {before}"), whole, "1 us p50, 5 us p99.9");
        for (name, part) in PARTS.iter().zip(parts) {
            show(&format!("  of it {name}"), part, "none");
        }
    }
    show("the machine's part: a microsecond in which nothing is done", &floor, "none");
}

/// How long looking at the clock for a microsecond takes.
fn idle_microsecond() -> u64 {
    let begin = Instant::now();
    loop {
        let nanos = begin.elapsed().as_nanos() as u64;
        if nanos >= 1_000 {
            return nanos;
        }
    }
}

fn record((whole, parts): &mut (Histogram<u64>, [Histogram<u64>; 6]), times: &Times, in_parts: bool) {
    let nanos = |from: Instant, to: Instant| to.duration_since(from).as_nanos() as u64;
    let (Some(begin), Some(end)) = (times[0], times[6]) else { unreachable!("both are always there") };
    if !in_parts {
        return whole.saturating_record(nanos(begin, end));
    }
    let mut from = begin;
    for (part, to) in parts.iter_mut().zip(&times[1..]) {
        // An exit asks no oracle.
        if let Some(to) = *to {
            part.saturating_record(nanos(from, to));
            from = to;
        }
    }
}

fn show(name: &str, histogram: &Histogram<u64>, budget: &str) {
    let at = |quantile| histogram.value_at_quantile(quantile);
    println!(
        "{name}: n {}, p50 {} ns, p90 {} ns, p99 {} ns, p99.9 {} ns, max {} ns (budget {budget})",
        histogram.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        histogram.max()
    );
}

/// An order fills whole, at its limit and for nothing, so that the next can come.
fn fill(engine: &mut Engine, command: &Event, at: Nanos, out: &mut Outbox) {
    let Submit { order, price, qty, .. } = Submit::of(command);
    let fill = Fill { order, execution: order.0, price, qty };
    engine.on_event(&fill.event(EventKind::Fill, InstrumentId(0), at, at), out, &mut NoProbe);
    let fee = Fee { order, execution: order.0, amount: Money::ZERO, base: Qty::ZERO };
    engine.on_event(&fee.event(EventKind::Fee, InstrumentId(0), at, at), out, &mut NoProbe);
}

criterion_group!(benches, frames, orders, fused);
criterion_main!(benches);

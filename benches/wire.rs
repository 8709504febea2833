//! Bytes to event, decision to bytes, and the whole way between them, beside the budget of DESIGN
//! section 11. The JSON scanner stands beside the binary decoder, the full parser and a plain
//! `serde_json` structure in the same run.

#![expect(missing_docs, reason = "criterion_group makes undocumented functions")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use pawl::config::Config;
use pawl::core::payload::{Control, ControlCode, OrderRole, Quote, Submit, TimeInForce};
use pawl::core::{
    ContractKind, Event, EventKind, InstrumentId, InstrumentSpec, InstrumentTable, Money, Nanos, OrderId, Payload,
    Price, Qty, Side, Span,
};
use pawl::engine::{Engine, NoProbe};
use pawl::oms::Outbox;
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
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
use pawl::venue::paper::synthetic::SyntheticMarket;

const FRAME: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}"#;

fn table() -> InstrumentTable {
    InstrumentTable::new([InstrumentSpec {
        symbol: "BTCUSDT".into(),
        tick_size: "0.01".parse().unwrap(),
        lot_step: "0.00001".parse().unwrap(),
        min_lot: "0.00001".parse().unwrap(),
        max_lot: Qty::whole(9000),
        point_size: "0.01".parse().unwrap(),
        point_value: Money::from_units(1_000_000),
        currency: "USDT".into(),
        contract: ContractKind::Linear,
    }])
    .unwrap()
}

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
    let mut histogram = Histogram::<u64>::new(3).unwrap();
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

/// The synthetic market's quotes as frames, through decoder, engine and order encoder. Only inputs
/// that end in an order are reported: that is the way whose length counts.
fn fused(_: &mut Criterion) {
    let model = Model::from_bytes(include_bytes!("../models/demo.json"), &Features::NAMES).unwrap();
    let oracle = Oracle::gated(model, &OracleParams { threshold: 0.5 }).unwrap();
    let table = table();
    let mut config = Config::default().engine();
    config.oms.slippage_points = 10;
    config.oms.price_collar_points = 1_000_000;
    let mut engine = Engine::new(&config, oracle, &table, 1).unwrap();
    let mut decoder = MarketDecoder::new(SymbolTable::new(&table, |_| None));
    let mut protocol = protocol(Signer::from_ed25519_seed(&[1; 32]).unwrap());
    let mut out = Outbox::new();
    let start_time = Nanos(1_700_000_000_000_000_000);
    let events: Vec<Event> = SyntheticMarket::new(2, 1, start_time, Span::seconds(20 * 86_400)).collect();
    let start = Control { code: Some(ControlCode::Start), balance: Money::whole(100_000) };
    engine.on_event(&start.event(EventKind::Control, InstrumentId(0), Nanos::NONE, start_time), &mut out, &mut NoProbe);
    let frames: Vec<(Nanos, String)> = events
        .iter()
        .enumerate()
        .filter(|(_, event)| event.kind == EventKind::Quote)
        .map(|(n, event)| {
            let quote = Quote::of(event);
            // The walk is of a currency pair; as a coin's price it is a thousand times finer.
            let price = |price: Price| Price::from_units(price.units() * 1000 / 1_000_000 * 1_000_000);
            let frame = format!(
                r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{},"s":"BTCUSDT","b":"{:.8}","B":"{:.8}","a":"{:.8}","A":"{:.8}"}}}}"#,
                n + 1, price(quote.bid), quote.bid_qty, price(quote.ask), quote.ask_qty
            );
            (event.local_ns, frame)
        })
        .collect();
    let (mut quotes, mut orders) = (Histogram::<u64>::new(3).unwrap(), Histogram::<u64>::new(3).unwrap());
    let mut pending = Vec::with_capacity(16);
    for (local, frame) in &frames {
        let (mut sent, begin) = (0, Instant::now());
        decoder.text(frame.as_bytes(), *local, &mut |event| {
            engine.on_event(&event, &mut out, &mut NoProbe);
            for command in out.events().iter().filter(|event| event.kind == EventKind::Submit) {
                sent += black_box(protocol.submit(command, *local).map_or(0, <[u8]>::len));
                pending.push(*command);
            }
        });
        let spent = begin.elapsed().as_nanos() as u64;
        let histogram = if sent > 0 { &mut orders } else { &mut quotes };
        histogram.saturating_record(spent);
        // Every order fills at its limit, so that the next can come.
        for command in pending.drain(..) {
            let submit = Submit::of(&command);
            let order = submit.order;
            let fill = pawl::core::payload::Fill { order, execution: order.0, price: submit.price, qty: submit.qty };
            engine.on_event(&fill.event(EventKind::Fill, InstrumentId(0), *local, *local), &mut out, &mut NoProbe);
            let fee = pawl::core::payload::Fee { order, execution: order.0, amount: Money::ZERO, base: Qty::ZERO };
            engine.on_event(&fee.event(EventKind::Fee, InstrumentId(0), *local, *local), &mut out, &mut NoProbe);
        }
    }
    for (name, histogram, budget) in
        [("frame in, order bytes out, fused", &orders, "1 us p50, 5 us p99.9"), ("frame in, no order", &quotes, "none")]
    {
        let at = |quantile| histogram.value_at_quantile(quantile);
        println!(
            "{name}: n {}, p50 {} ns, p99 {} ns, p99.9 {} ns (budget {budget})",
            histogram.len(),
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
}

criterion_group!(benches, frames, orders, fused);
criterion_main!(benches);

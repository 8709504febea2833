//! Market frames to events and commands to order bytes allocate nothing, and hostile frames no more
//! than a small multiple of their size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use pawl::core::payload::{OrderRole, Submit, TimeInForce};
use pawl::core::{
    ContractKind, Event, EventKind, InstrumentId, InstrumentSpec, InstrumentTable, Money, Nanos, OrderId, Payload,
    Price, Qty, Side,
};
use pawl::venue::binance::decode::MarketDecoder;
use pawl::venue::binance::endpoints::Market;
use pawl::venue::binance::limits::LimitParams;
use pawl::venue::binance::orders::{OrderParams, OrderProtocol};
use pawl::venue::binance::rest::Credentials;
use pawl::venue::binance::sbe::{BestBidAsk, Exponents, TradeEntry, encode_trades};
use pawl::venue::binance::sign::{Secret, Signer};
use pawl::venue::binance::symbols::SymbolTable;
use pawl::venue::random::Random;

struct Counting;
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged; only counters are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn symbols() -> SymbolTable {
    let spec = |symbol: &str| InstrumentSpec {
        symbol: symbol.into(),
        tick_size: "0.01".parse().unwrap(),
        lot_step: "0.00001".parse().unwrap(),
        min_lot: "0.00001".parse().unwrap(),
        max_lot: Qty::whole(9000),
        point_size: "0.01".parse().unwrap(),
        point_value: Money::from_units(1_000_000),
        currency: "USDT".into(),
        contract: ContractKind::Linear,
    };
    SymbolTable::new(&InstrumentTable::new([spec("BTCUSDT"), spec("ETHUSDT")]).unwrap(), |_| None)
}

fn market_frames_allocate_nothing() {
    let mut decoder = MarketDecoder::new(symbols());
    let text: Vec<String> = (1..=1000)
        .flat_map(|n| {
            [
                format!(r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{n},"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}}}"#),
                format!(r#"{{"e":"trade","E":1700000000000,"s":"ETHUSDT","t":{n},"p":"2683.80","q":"0.010","T":1700000000001,"m":true,"M":true}}"#),
                // Through the full parser: spaced, and of a stream that nobody needs.
                format!(r#"{{"u": {n}, "s":"ETHUSDT","b":"1.0","B":"2","a":"3","A":"4"}}"#),
                r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["1","2"]],"a":[]}"#.to_owned(),
            ]
        })
        .collect();
    let binary: Vec<Vec<u8>> = (1001..=2000)
        .flat_map(|n| {
            let quote = pawl::core::payload::Quote { bid: Price::whole(5), ask: Price::whole(6), ..Default::default() };
            let best = BestBidAsk { event_time_us: 1, book_update_id: n, quote, symbol: b"BTCUSDT" };
            let trade = TradeEntry { id: n, price: Price::whole(5), qty: Qty::whole(1), buyer_is_maker: true };
            let (mut first, mut second) = (Vec::new(), Vec::new());
            best.encode(Exponents::UNITS, &mut first).unwrap();
            encode_trades(
                1,
                1,
                b"ETHUSDT",
                &[trade, TradeEntry { id: n + 1000, ..trade }],
                Exponents::UNITS,
                &mut second,
            )
            .unwrap();
            [first, second]
        })
        .collect();
    let mut told = 0u64;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for frame in &text {
        decoder.text(frame.as_bytes(), Nanos(1), &mut |event| {
            told += u64::from(event.kind == EventKind::Quote || event.kind == EventKind::Trade);
        });
    }
    for frame in &binary {
        decoder.binary(frame, Nanos(1), &mut |_| told += 1);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert!(told > 5000, "only {told} events: the test saw nothing");
    assert_eq!(decoder.counters().bad, 0);
}

fn order_bytes_allocate_nothing() {
    let signers = [Signer::from_secret(&Secret::new(b"secret")).unwrap(), Signer::from_ed25519_seed(&[1; 32]).unwrap()];
    for signer in signers {
        let hmac = !signer.can_log_on();
        let mut params = OrderParams::new(Market::Spot, "USDT");
        params.limits = LimitParams { weight_per_minute: 1 << 30, orders_per_10s: 1 << 30, orders_per_day: 1 << 30 };
        let credentials = Credentials { api_key: Secret::new(b"KEY"), signer };
        let mut protocol = OrderProtocol::new(params, symbols(), credentials, Nanos(1));
        protocol.on_open(Nanos(1));
        let mut ids = Vec::new();
        while let Some(request) = protocol.next_request(Nanos(1)) {
            ids.push(request.to_vec());
        }
        // The time is asked first, then the session is logged on and subscribed to, or subscribed to at once.
        for id in 1..=3 {
            let answer = format!(r#"{{"id":{id},"status":200,"result":{{"serverTime":1}}}}"#);
            protocol.on_text(answer.as_bytes(), Nanos(1), &mut |_: Event| {});
            while protocol.next_request(Nanos(1)).is_some() {}
        }
        assert!(protocol.is_ready(), "hmac {hmac}");
        let submit = |counter: u32| {
            let submit = Submit {
                order: OrderId::new(7, counter),
                price: "60000.5".parse().unwrap(),
                qty: "0.005".parse().unwrap(),
                tif: TimeInForce::Ioc,
                role: OrderRole::Entry,
                attempt: 1,
                intent: counter,
            };
            submit.event(EventKind::Submit, InstrumentId(0), Nanos::NONE, Nanos(5)).flagged(Side::Buy.flag())
        };
        protocol.submit(&submit(1), Nanos(5)).unwrap();
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let mut bytes = 0;
        for counter in 2..2000 {
            assert_eq!(protocol.rehearse(&submit(counter), Nanos(5)), !hmac);
            bytes += protocol.submit(&submit(counter), Nanos(5)).unwrap().len();
        }
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "hmac {hmac}");
        assert!(bytes > 200_000);
    }
}

fn hostile_frames_allocate_within_a_bound() {
    let mut decoder = MarketDecoder::new(symbols());
    let credentials =
        Credentials { api_key: Secret::new(b"KEY"), signer: Signer::from_ed25519_seed(&[1; 32]).unwrap() };
    let mut protocol = OrderProtocol::new(OrderParams::new(Market::Spot, "USDT"), symbols(), credentials, Nanos(1));
    let seeds = [
        r#"{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}"#,
        r#"{"subscriptionId":0,"event":{"e":"executionReport","E":1,"s":"BTCUSDT","c":"pawl-00000007-1","S":"BUY","x":"TRADE","X":"FILLED","i":28,"l":"0.002","z":"0.002","L":"60000.5","n":"0.1","N":"USDT","T":1,"t":5}}"#,
        r#"{"id":1,"status":200,"result":[{"symbol":"BTCUSDT","orderId":28,"clientOrderId":"x","status":"NEW","side":"BUY","origQty":"1","executedQty":"0"}]}"#,
    ];
    let mut random = Random::new(3);
    let mut frames: Vec<Vec<u8>> = vec![
        b"[".repeat(200_000),
        b"{\"data\":".repeat(50_000),
        format!("{{\"u\":{}}}", "9".repeat(100_000)).into_bytes(),
        format!("{{\"b\":\"{}\"}}", "9".repeat(100_000)).into_bytes(),
        format!("{{\"b\":\"{}\"}}", "\\u0031".repeat(20_000)).into_bytes(),
        vec![0xff; 100_000],
    ];
    for _ in 0..20_000 {
        let mut frame = seeds[random.below(3) as usize].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(frame.len() as u64) as usize;
            match random.below(4) {
                0 => frame[at] = random.next_u64() as u8,
                1 => frame.truncate(at.max(1)),
                2 => frame.insert(at, b"{}[]\",:0"[random.below(8) as usize]),
                _ => drop(frame.splice(at..at, seeds[random.below(3) as usize].bytes())),
            }
        }
        frames.push(frame);
    }
    for frame in &frames {
        let before = BYTES.load(Ordering::Relaxed);
        decoder.text(frame, Nanos(1), &mut |_| {});
        decoder.binary(frame, Nanos(1), &mut |_| {});
        protocol.on_text(frame, Nanos(1), &mut |_| {});
        let spent = BYTES.load(Ordering::Relaxed) - before;
        assert!(spent <= 16 * frame.len() as u64 + 4096, "{spent} bytes for a frame of {}", frame.len());
    }
}

/// One test: the counters are the whole process's.
#[test]
fn the_wire_allocates_nothing_and_hostile_frames_little() {
    market_frames_allocate_nothing();
    order_bytes_allocate_nothing();
    hostile_frames_allocate_within_a_bound();
}

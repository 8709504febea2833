//! What the benches of the wire share: one coin, an engine that trades it often, and the synthetic
//! market's quotes as the venue's frames.

use hdrhistogram::Histogram;
use pawl::config::Config;
use pawl::core::payload::{Control, ControlCode, Quote};
use pawl::core::{
    ContractKind, EventKind, InstrumentId, InstrumentSpec, InstrumentTable, Money, Nanos, Payload, Price, Qty, Span,
};
use pawl::engine::{Engine, NoProbe};
use pawl::oms::Outbox;
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
use pawl::venue::paper::synthetic::SyntheticMarket;

/// Up to ten seconds, in nanoseconds. Bounds are named: one that grows by itself cuts every value to 2047 in
/// `saturating_record`.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).unwrap()
}

/// When the synthetic market opens.
const START: Nanos = Nanos(1_700_000_000_000_000_000);

/// BTCUSDT alone.
pub(crate) fn table() -> InstrumentTable {
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

/// An engine with money, whose gate and collar let most signals through.
pub(crate) fn engine(out: &mut Outbox) -> Engine {
    let model = Model::from_bytes(include_bytes!("../../models/demo.json"), &Features::NAMES).unwrap();
    let oracle = Oracle::gated(model, &OracleParams { threshold: 0.5 }).unwrap();
    let mut config = Config::default().engine();
    config.oms.slippage_points = 10;
    config.oms.price_collar_points = 1_000_000;
    let mut engine = Engine::new(&config, oracle, &table(), 1).unwrap();
    let start = Control { code: Some(ControlCode::Start), balance: Money::whole(100_000) };
    engine.on_event(&start.event(EventKind::Control, InstrumentId(0), Nanos::NONE, START), out, &mut NoProbe);
    engine
}

/// The first quotes of at most sixty synthetic days of one instrument: when each comes, and its bookTicker frame.
pub(crate) fn frames(count: usize) -> impl Iterator<Item = (Nanos, String)> {
    SyntheticMarket::new(2, 1, START, Span::seconds(60 * 86_400))
        .enumerate()
        .filter(|(_, event)| event.kind == EventKind::Quote)
        .take(count)
        .map(|(n, event)| {
            let quote = Quote::of(&event);
            // The walk is of a currency pair; as a coin's price it is a thousand times finer.
            let price = |price: Price| Price::from_units(price.units() * 1000 / 1_000_000 * 1_000_000);
            let frame = format!(
                r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{},"s":"BTCUSDT","b":"{:.8}","B":"{:.8}","a":"{:.8}","A":"{:.8}"}}}}"#,
                n + 1,
                price(quote.bid),
                quote.bid_qty,
                price(quote.ask),
                quote.ask_qty
            );
            (event.local_ns, frame)
        })
}

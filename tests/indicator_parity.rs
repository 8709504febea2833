//! Features equal TA-Lib's and numpy's on tables made by `tests/oracles/make_indicator_tables.py`;
//! rolling statistics do not drift.

use pawl::core::payload::{Quote, Trade};
use pawl::core::{EventKind, Flags, InstrumentId, Nanos, Payload, Price, Qty, Span};
use pawl::quant::{Deviation, DirectionalIndex, Quant, QuantParams, Range, RelativeStrength};
use ta::{Next, Reset};

const TABLE: &str = include_str!("oracles/indicators.csv");

fn rows() -> impl Iterator<Item = (&'static str, [Option<f64>; 7])> {
    TABLE.lines().skip(1).map(|line| {
        let mut columns = line.split(',');
        let name = columns.next().unwrap();
        (name, std::array::from_fn(|_| columns.next().unwrap().parse().ok()))
    })
}

fn assert_same(what: &str, line: usize, ours: f64, expected: Option<f64>) {
    match expected {
        None => assert!(ours.is_nan(), "{what} line {line}: undefined, found {ours}"),
        Some(value) => {
            assert!((ours - value).abs() <= 1e-9 * value.abs().max(1.0), "{what} line {line}: {value}, found {ours}");
        }
    }
}

#[test]
fn rsi_adx_and_volatility_equal_the_reference_libraries() {
    let (mut rsi, mut adx) = (RelativeStrength::new(14), DirectionalIndex::new(14));
    let mut returns = Deviation::new(20, 1);
    let (mut series, mut previous) = ("", None::<f64>);
    let mut compared = 0;
    for (line, (name, [high, low, close, expected_rsi, expected_adx, _, volatility])) in rows().enumerate() {
        let (high, low, close) = (high.unwrap(), low.unwrap(), close.unwrap());
        if name != series {
            rsi.reset();
            adx.reset();
            returns.reset();
            (series, previous) = (name, None);
        }
        // A flat window is 50 for us and 0 for TA-Lib: the one documented difference.
        let ours = rsi.next(close);
        if ours != 50.0 || expected_rsi != Some(0.0) {
            assert_same("rsi", line, ours, expected_rsi);
        }
        assert_same("adx", line, adx.next(Range { high, low, close }), expected_adx);
        if let Some(before) = previous.replace(close) {
            let ours = returns.next((close / before).ln());
            match volatility {
                Some(value) => {
                    assert!((ours - value).abs() <= 1e-9 * value.abs() + 1e-15, "line {line}: {value} {ours}");
                }
                None => assert!(ours.is_nan()),
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 940);
}

#[test]
fn the_z_score_at_a_bars_close_equals_the_plain_rolling_window() {
    let params = QuantParams { bar: Span::seconds(60), ..QuantParams::default() };
    let mut quant = Quant::new(&params, 1).unwrap();
    let (mut series, mut minute) = ("", 0u64);
    for (line, (name, [_, _, close, _, _, z, _])) in rows().enumerate() {
        if name != series {
            (series, quant) = (name, Quant::new(&params, 1).unwrap());
        }
        minute += 1;
        let price = Price::from_units((close.unwrap() * 1e8).round() as i64);
        let quote = Quote { bid: price, ask: price, bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
        // The last instant of the minute: its tick is the close.
        let now = Nanos(minute * 60_000_000_000 - 1);
        let view = quant.on_event(&quote.event(EventKind::Quote, InstrumentId(0), now, now));
        match z {
            Some(z) => assert!((view.z_score - z).abs() <= 1e-7, "{name} line {line}: {z}, found {}", view.z_score),
            None => assert!(view.z_score.is_nan(), "{name} line {line}: undefined, found {}", view.z_score),
        }
    }
}

#[test]
fn ten_million_updates_do_not_drift() {
    let mut window = Deviation::new(20, 0);
    let (mut last, mut state, mut price) = ([0.0f64; 20], 1u64, 61_800.0f64);
    for step in 0..10_000_000u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Calm after storm: what ruins a running sum.
        let scale = if step / 1_000_000 % 2 == 0 { 10.0 } else { 1e-3 };
        price += ((state >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * scale;
        window.push(price);
        last[(step % 20) as usize] = price;
        if step > 20 && step % 1_000 == 0 {
            let reference = last[0];
            let mean = last.iter().map(|v| v - reference).sum::<f64>() / 20.0;
            let plain = (last.iter().map(|v| (v - reference - mean).powi(2)).sum::<f64>() / 20.0).sqrt();
            assert!((window.deviation() - plain).abs() <= 1e-9 * plain, "step {step}: {plain} {}", window.deviation());
        }
    }
}

#[test]
fn trades_without_a_side_leave_the_tick_rule_on() {
    // One quote every 300 ms, and after each, where asked for, a trade with these flags.
    let deltas = |trades: Option<Flags>| {
        let params = QuantParams { bar: Span::seconds(1), ..QuantParams::default() };
        let mut quant = Quant::new(&params, 1).unwrap();
        let id = InstrumentId(0);
        let (mut state, mut units) = (1u64, 110_000_000i64);
        let mut found = Vec::new();
        for step in 1..600u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            units += (state >> 40) as i64 % 2_001 - 1_000;
            let (price, now) = (Price::from_units(units), Nanos(step * 300_000_000));
            let quote = Quote { bid: price, ask: price, bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
            quant.on_event(&quote.event(EventKind::Quote, id, now, now));
            found.extend(quant.as_if_raised(id, now).map(|signal| signal.features.volume_delta));
            if let Some(flags) = trades {
                let (trade, now) = (Trade { price, qty: Qty::whole(5), trade_id: step }, now.plus(Span::millis(100)));
                quant.on_event(&trade.event(EventKind::Trade, id, now, now).flagged(flags));
            }
        }
        found
    };
    let alone = deltas(None);
    assert!(alone.len() > 400 && alone.iter().any(|delta| *delta != 0.0), "{alone:?}");
    assert_eq!(deltas(Some(Flags::NONE)), alone);
    assert_ne!(deltas(Some(Flags::BUY)), alone);
}

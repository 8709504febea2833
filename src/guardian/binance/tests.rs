//! The session against a stand-in: which accounts it refuses, and whose money it measures.

use super::*;
use crate::core::ContractKind;
use crate::venue::binance::rest::tests::{rest, stand_in};

fn plan() -> SessionPlan {
    SessionPlan {
        market: Market::UsdMFutures,
        base: String::new(),
        key_env: String::new(),
        secret_env: String::new(),
        secret_file: None,
        root_certificate: None,
        timeout: Span::seconds(20),
        receive_window: Span::seconds(2),
        symbols: vec!["BTCUSDC".into()],
        inventory: vec![Qty::ZERO],
    }
}

fn session(base: &str) -> BinanceSession {
    let (tick, step): (Price, Qty) = ("0.1".parse().unwrap(), "0.001".parse().unwrap());
    let spec = InstrumentSpec {
        symbol: "BTCUSDC".into(),
        tick_size: tick,
        lot_step: step,
        min_lot: step,
        max_lot: Qty::whole(1000),
        point_size: tick,
        point_value: Money::from_units(tick.units()),
        currency: "USDC".into(),
        contract: ContractKind::Linear,
    };
    let instruments = InstrumentTable::new([spec.clone()]).unwrap();
    let known = vec![KnownSymbol { spec, base_asset: "BTC".into() }];
    BinanceSession::new(&plan(), rest(base, Market::UsdMFutures), known, instruments, Money::ZERO)
}

#[test]
fn an_account_in_hedge_mode_is_refused_with_what_to_do() {
    let time = r#"{"serverTime":1700000000000}"#;
    let (base, server) = stand_in(vec![
        (200, "", time.into()),
        (200, "", time.into()),
        (200, "", time.into()),
        (200, "", r#"{"dualSidePosition":true}"#.into()),
    ]);
    let error = plan().learn(&mut rest(&base, Market::UsdMFutures)).unwrap_err();
    assert!(matches!(error, SessionError::HedgeMode), "{error}");
    assert!(error.to_string().contains("dualSidePosition=false"), "{error}");
    server.join().unwrap();
}

#[test]
fn the_account_is_measured_in_the_quote_asset_and_a_long_average_hides_no_position() {
    let row = |asset: &str, wallet: &str| {
        format!(r#"{{"asset":"{asset}","walletBalance":"{wallet}","marginBalance":"8","availableBalance":"6"}}"#)
    };
    let totals = r#""totalMarginBalance":"60","totalWalletBalance":"50","availableBalance":"40""#;
    let rows = r#"[{"symbol":"BTCUSDC","positionSide":"BOTH","positionAmt":"-0.5","entryPrice":"60000.1066545918361"},
        {"symbol":"XUSDT","positionSide":"BOTH","positionAmt":"much","entryPrice":"-"}]"#;
    let (base, server) = stand_in(vec![
        (200, "", format!(r#"{{{totals},"assets":[{},{}]}}"#, row("USDT", "1"), row("USDC", "7"))),
        (200, "", rows.into()),
        (200, "", format!(r#"{{{totals},"assets":[{}]}}"#, row("USDT", "1"))),
        (200, "", format!(r#"{{{totals},"assets":[{}]}}"#, row("USDC", "7"))),
        (200, "", rows.replace("-0.5", "much")),
    ]);
    let mut session = session(&base);
    assert_eq!(session.account(&[]).unwrap(), (vec!["-0.5".parse().unwrap()], Money::whole(7), Money::whole(8)));
    let error = session.account(&[]).unwrap_err().to_string();
    assert!(error.contains("USDC"), "the totals are of USDT: {error}");
    let error = session.account(&[]).unwrap_err().to_string();
    assert!(error.contains("BTCUSDC"), "what is held is not known: {error}");
    server.join().unwrap();
}

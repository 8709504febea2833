//! Guesses an instrument's contract from its symbol and its data, so that `pawl backtest FILE`
//! needs no configuration. A guess is printed in the summary; the configuration overrides it.

use crate::core::{ContractKind, InstrumentSpec, Money, Price, Qty};
use crate::data::{SymbolSurvey, currency_pair, units_in_a_lot};

/// Quote currencies of crypto symbols, longest first so that `USDT` is not read as `USD`.
const CRYPTO_QUOTES: [&str; 13] =
    ["USDT", "USDC", "BUSD", "FDUSD", "USD", "EUR", "GBP", "AUD", "BRL", "TRY", "BTC", "ETH", "BNB"];

/// What one lot is, by the kind of symbol.
struct Kind {
    currency: String,
    contract_size: i64,
    lot_step: Qty,
    max_lot: i64,
    contract: ContractKind,
}

/// The guess. FX: a lot is 100,000 (metals: 100 ounces), in steps of 0.01; everything else: a lot
/// is one unit of the base, in the steps seen in the data. A point is the power of ten nearest
/// below 2e-5 of the price, at least one tick: the fifth decimal for EURUSD, the third for USDJPY.
pub fn infer_instrument(survey: &SymbolSurvey) -> InstrumentSpec {
    let kind = kind_of(&survey.symbol, survey.lot);
    let tick = survey.tick.units().max(1);
    let point = usual_point(survey.first_price, survey.tick).units();
    let point_value = point.saturating_mul(kind.contract_size);
    InstrumentSpec {
        symbol: survey.symbol.clone(),
        tick_size: Price::from_units(tick),
        lot_step: kind.lot_step,
        min_lot: kind.lot_step,
        max_lot: Qty::whole(kind.max_lot).floor_to(kind.lot_step).unwrap_or(kind.lot_step).max(kind.lot_step),
        point_size: Price::from_units(point),
        point_value: Money::from_units(point_value),
        currency: kind.currency,
        contract: kind.contract,
    }
}

/// The price move that traders call a point: the power of ten nearest below 2e-5 of the price, at
/// least one tick. A tick finer than a tenth of it is padding, not a grid anybody trades on.
pub fn usual_point(price: Price, tick: Price) -> Price {
    let mut point = 1;
    while point * 10 <= price.units() / 50_000 {
        point *= 10;
    }
    Price::from_units(point.max(tick.units()).max(1))
}

fn kind_of(symbol: &str, seen_step: Qty) -> Kind {
    // The exchange in `BITMEX/BTCUSDT` says where, not what.
    let symbol = symbol.rsplit('/').next().unwrap_or(symbol);
    if let Some((_, quote)) = currency_pair(symbol) {
        return Kind {
            currency: quote.into(),
            contract_size: units_in_a_lot(symbol),
            lot_step: Qty::from_units(1_000_000),
            max_lot: 100,
            contract: ContractKind::Linear,
        };
    }
    let plain: String = symbol.chars().filter(char::is_ascii_alphanumeric).collect();
    let inverse = symbol.ends_with("_PERP") || symbol.contains("USD_");
    let quote = CRYPTO_QUOTES.iter().find(|quote| plain.trim_end_matches("PERP").ends_with(*quote));
    let lot_step = if seen_step.is_positive() { seen_step.min(Qty::whole(1)) } else { Qty::from_units(100_000) };
    let contract = if inverse { ContractKind::Inverse } else { ContractKind::Linear };
    Kind {
        currency: quote.map_or_else(|| "USD".into(), |quote| (*quote).to_owned()),
        contract_size: units_in_a_lot(symbol),
        lot_step,
        max_lot: 100_000,
        contract,
    }
}

/// The balance a simulated account starts with when none is configured.
pub fn default_balance(currency: &str) -> Money {
    if currency == "JPY" { Money::whole(1_000_000) } else { Money::whole(10_000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Instrument;

    fn infer(symbol: &str, tick: &str, price: &str) -> InstrumentSpec {
        infer_instrument(&SymbolSurvey {
            symbol: symbol.into(),
            tick: tick.parse().unwrap(),
            lot: Qty::ZERO,
            first_price: price.parse().unwrap(),
        })
    }

    #[test]
    fn the_point_is_the_one_traders_use() {
        for (symbol, tick, price, point, value) in [
            ("EURUSD", "0.00001", "1.38727", "0.00001", "1"),
            ("NZDUSD", "0.00001", "0.86164", "0.00001", "1"),
            ("AUDUSD", "0.00001", "0.67067", "0.00001", "1"),
            ("USDJPY", "0.001", "119.456", "0.001", "100"),
            ("XAUUSD", "0.01", "1290.33", "0.01", "1"),
            ("BTCUSDT", "0.1", "61800.2", "1", "1"),
        ] {
            let spec = infer(symbol, tick, price);
            assert_eq!(
                (spec.point_size.to_string().as_str(), spec.point_value.to_string().as_str()),
                (point, value),
                "{symbol}"
            );
            Instrument::new(spec).unwrap();
        }
    }

    #[test]
    fn contract_and_currency_follow_the_symbol() {
        assert_eq!(infer("BTCUSD_PERP", "0.1", "61800").contract, ContractKind::Inverse);
        assert_eq!(infer("BTCUSDT", "0.1", "61800").currency, "USDT");
        assert_eq!(infer("AXSBNB", "0.00001", "0.0267").currency, "BNB");
        assert_eq!(infer("BAND-GBP", "0.0001", "14.8").currency, "GBP");
        assert_eq!(infer("USDJPY", "0.001", "119").currency, "JPY");
        assert_eq!(infer("BINANCE-DELIVERY/BTCUSD_PERP", "0.1", "61800").contract, ContractKind::Inverse);
        assert_eq!(infer("BITMEX/BTCUSDT", "0.1", "61800").currency, "USDT");
    }
}

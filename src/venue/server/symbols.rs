//! What the venue lists: the instrument, its two assets, and the filters that follow from them.

use crate::core::{ContractKind, InstrumentSpec, Money, Price, Qty};

/// Quote assets that a symbol may end in, longest first.
const QUOTES: [&str; 16] = [
    "FDUSD", "USDT", "USDC", "BUSD", "USD", "EUR", "GBP", "JPY", "AUD", "CHF", "CAD", "BRL", "TRY", "BTC", "ETH", "BNB",
];

/// One listed symbol. Quantities are in units of the base asset: a lot is one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    /// Grids and limits; the matcher's instrument.
    pub spec: InstrumentSpec,
    /// Asset that is traded.
    pub base: String,
    /// Asset that it is priced in.
    pub quote: String,
    /// Smallest price × quantity of an order.
    pub min_notional: Money,
    /// Largest price × quantity of an order.
    pub max_notional: Money,
}

/// How a symbol of the synthetic market looks: grids, and what one of its ticks is worth.
struct Shape {
    symbol: &'static str,
    tick: i64,
    step: i64,
    /// Ticks of the symbol per tick of the synthetic walk, which moves around 110,000 of them.
    factor: i64,
    /// Synthetic lots per unit of the base, as a divisor.
    size_divisor: i64,
    min_notional: i64,
}

const SHAPES: [Shape; 3] = [
    Shape { symbol: "BTCUSDT", tick: 1_000_000, step: 1_000, factor: 50, size_divisor: 1, min_notional: 5 },
    Shape { symbol: "ETHUSDT", tick: 1_000_000, step: 10_000, factor: 3, size_divisor: 1, min_notional: 5 },
    Shape { symbol: "EURUSDT", tick: 1_000, step: 1_000_000, factor: 1, size_divisor: 1, min_notional: 1 },
];
/// Of a symbol without a shape of its own: about 11.00 in ticks of 0.0001.
const OTHER: Shape = Shape { symbol: "", tick: 10_000, step: 1_000_000, factor: 1, size_divisor: 1, min_notional: 5 };

impl Symbol {
    /// A symbol of the synthetic market, and the factor from synthetic ticks to its own.
    ///
    /// # Errors
    /// A name that is not `BASE/QUOTE`, or `BASEQUOTE` with a known quote asset.
    pub fn synthetic(name: &str) -> Result<(Self, i64), SymbolError> {
        let (base, quote) = split(name)?;
        let symbol = format!("{base}{quote}");
        let shape = SHAPES.iter().find(|shape| shape.symbol == symbol).unwrap_or(&OTHER);
        let step = Qty::from_units(shape.step * shape.size_divisor);
        let tick = Price::from_units(shape.tick);
        Ok((Self::new(base, quote, tick, step, Money::whole(shape.min_notional)), shape.factor))
    }

    /// A symbol seen in data, with the grids found there.
    ///
    /// # Errors
    /// A name without a known quote asset.
    pub fn seen(name: &str, tick: Price, step: Qty) -> Result<Self, SymbolError> {
        let (base, quote) = split(name)?;
        let step = if step.is_positive() { step.min(Qty::whole(1)) } else { Qty::from_units(1_000_000) };
        Ok(Self::new(base, quote, tick.max(Price::from_units(1)), step, Money::whole(1)))
    }

    fn new(base: String, quote: String, tick: Price, step: Qty, min_notional: Money) -> Self {
        let most = Qty::whole(9_000).floor_to(step).unwrap_or(step).max(step);
        let spec = InstrumentSpec {
            symbol: format!("{base}{quote}"),
            tick_size: tick,
            lot_step: step,
            min_lot: step,
            max_lot: most,
            point_size: tick,
            point_value: Money::from_units(tick.units()),
            currency: quote.clone(),
            contract: ContractKind::Linear,
        };
        Self { spec, base, quote, min_notional, max_notional: Money::whole(9_000_000) }
    }

    /// The name that clients use.
    pub fn name(&self) -> &str {
        &self.spec.symbol
    }

    /// Digits after the point of a price.
    pub fn price_digits(&self) -> usize {
        digits(self.spec.tick_size.units())
    }

    /// Digits after the point of a quantity.
    pub fn quantity_digits(&self) -> usize {
        digits(self.spec.lot_step.units())
    }
}

fn digits(units: i64) -> usize {
    let text = Price::from_units(units).to_string();
    text.find('.').map_or(0, |point| text.len() - point - 1)
}

fn split(name: &str) -> Result<(String, String), SymbolError> {
    let upper = name.to_ascii_uppercase();
    let good = |part: &str| (1..=12).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let parts = match upper.split_once(['/', '-']) {
        Some(parts) => Some(parts),
        None => QUOTES.iter().find_map(|quote| upper.strip_suffix(quote).map(|base| (base, *quote))),
    };
    match parts {
        Some((base, quote)) if good(base) && good(quote) => Ok((base.to_owned(), quote.to_owned())),
        _ => Err(SymbolError { found: name.to_owned() }),
    }
}

/// A name that tells no two assets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a symbol such as BTCUSDT or EUR/USD, found {found:?}; write it as BASE/QUOTE")]
pub struct SymbolError {
    found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_two_assets() {
        let assets = |name: &str| Symbol::synthetic(name).map(|(symbol, _)| (symbol.base, symbol.quote));
        assert_eq!(assets("btcusdt"), Ok(("BTC".into(), "USDT".into())));
        assert_eq!(assets("XYZ/ABC"), Ok(("XYZ".into(), "ABC".into())));
        for bad in ["BTC", "USDT", "", "A B/USD", "/USD", "BTC/"] {
            assert!(assets(bad).is_err(), "{bad:?}");
        }
    }
}

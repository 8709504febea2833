//! What an execution cost, in the account's currency.
//!
//! | charged in | booked |
//! |---|---|
//! | quote asset | exactly |
//! | base asset (spot buys) | worth at the fill's price, rounded up, and the quantity taken in [`Fee::base`] |
//! | another asset (BNB) with a known mark | worth at the mark, rounded up, flagged [`Flags::OTHER_ASSET`] |
//! | another asset without one | the fallback rate on the notional, rounded up, flagged, and counted |
//!
//! Rounding is against us, so that no sequence of fees makes money. A third asset is never free, but what it costs
//! leaves the cash as it is.
//!
//! [`Flags::OTHER_ASSET`]: crate::core::Flags::OTHER_ASSET

use crate::core::payload::Fee;
use crate::core::{Money, OrderId, Price, Qty, SCALE};

use super::super::symbols::Symbol;

/// A fee with how it was found.
pub(super) struct FeeFound {
    pub(super) fee: Fee,
    /// True when the fallback rate was used.
    pub(super) estimated: bool,
    /// True when it was paid in a third asset.
    pub(super) other_asset: bool,
}

/// The execution that a fee belongs to.
#[derive(Clone, Copy)]
pub(super) struct Execution {
    pub(super) order: OrderId,
    pub(super) number: u64,
    pub(super) price: Price,
    pub(super) qty: Qty,
}

/// The fee of an execution; `mark` is the price of `asset` in the account's currency, if known, and
/// `fallback` the rate used otherwise, in millionths of the notional.
pub(super) fn fee(
    symbol: &Symbol,
    execution: Execution,
    (commission, asset): (Qty, &str),
    mark: Option<Price>,
    fallback: u32,
) -> FeeFound {
    let Execution { order, number, price, qty } = execution;
    let found = |amount: Option<Money>, base: Qty, estimated: bool| FeeFound {
        // Beyond our range: the largest number, which stops trading rather than being overlooked.
        fee: Fee { order, execution: number, amount: amount.unwrap_or(Money::MAX), base },
        estimated,
        other_asset: !commission.is_zero() && asset != symbol.quote && asset != symbol.base,
    };
    if commission.is_zero() || asset == symbol.quote {
        found(Some(Money::from_units(commission.units())), Qty::ZERO, false)
    } else if asset == symbol.base {
        found(worth(commission, price), commission, false)
    } else if let Some(mark) = mark {
        found(worth(commission, mark), Qty::ZERO, false)
    } else {
        let product = i128::from(price.units()) * i128::from(qty.units());
        let amount = product.checked_mul(i128::from(fallback)).map(|value| ceil(value, i128::from(SCALE) * 1_000_000));
        found(amount.and_then(money), Qty::ZERO, true)
    }
}

fn worth(quantity: Qty, price: Price) -> Option<Money> {
    money(ceil(i128::from(quantity.units()) * i128::from(price.units()), i128::from(SCALE)))
}

fn ceil(value: i128, divisor: i128) -> i128 {
    -(-value).div_euclid(divisor)
}

fn money(units: i128) -> Option<Money> {
    i64::try_from(units).ok().map(Money::from_units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(commission: &str, asset: &str, mark: Option<&str>) -> (String, String, [bool; 2]) {
        let symbol = Symbol {
            name: "BTCUSDT".into(),
            base: "BTC".into(),
            quote: "USDT".into(),
            price_decimals: 2,
            qty_decimals: 5,
        };
        let execution = Execution {
            order: OrderId(1),
            number: 2,
            price: "60000.01".parse().unwrap(),
            qty: "0.005".parse().unwrap(),
        };
        let mark = mark.map(|mark| mark.parse().unwrap());
        let FeeFound { fee, estimated, other_asset } =
            fee(&symbol, execution, (commission.parse().unwrap(), asset), mark, 1000);
        (fee.amount.to_string(), fee.base.to_string(), [estimated, other_asset])
    }

    #[test]
    fn a_fee_is_exact_or_rounded_against_us_and_never_free() {
        let expect = |amount: &str, base: &str, found| (amount.to_owned(), base.to_owned(), found);
        assert_eq!(of("0.3", "USDT", None), expect("0.3", "0", [false, false]));
        assert_eq!(of("0.00000501", "BTC", None), expect("0.30060006", "0.00000501", [false, false]));
        // A rebate shrinks by rounding.
        assert_eq!(of("-0.00000501", "BTC", None), expect("-0.30060005", "-0.00000501", [false, false]));
        assert_eq!(of("0.00050001", "BNB", Some("599.99")), expect("0.300001", "0", [false, true]));
        // 300.00005 * 0.1 %.
        assert_eq!(of("0.0005", "BNB", None), expect("0.30000005", "0", [true, true]));
        assert_eq!(of("0", "BNB", None), expect("0", "0", [false, false]));
    }
}

//! One instrument's position and profit, exact to the last unit.
//!
//! Cost and realised profit are sums of price × quantity products (units of 1e-16) in `i128`, so
//! that no fill is ever rounded. Invariant: realised + unrealised = cash + quantity × mark, where
//! cash is minus the sum of signed price × quantity over all fills.

use crate::core::{Price, Qty, Side};

/// A signed holding with its average-cost basis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Signed quantity in units of 1e-8: above zero is long.
    quantity: i64,
    /// Signed price × quantity of what is held, units of 1e-16.
    cost: i128,
    /// Profit of what was closed, units of 1e-16.
    realised: i128,
}

impl Position {
    /// Signed quantity in units of 1e-8.
    pub const fn signed_units(&self) -> i64 {
        self.quantity
    }

    /// Magnitude.
    pub const fn quantity(&self) -> Qty {
        Qty::from_units(self.quantity).abs()
    }

    /// The side held, or `None` when flat.
    pub const fn side(&self) -> Option<Side> {
        match self.quantity {
            0 => None,
            1.. => Some(Side::Buy),
            _ => Some(Side::Sell),
        }
    }

    /// Signed price × quantity of what is held, units of 1e-16: above zero was paid, below zero was received.
    pub const fn cost(&self) -> i128 {
        self.cost
    }

    /// Realised profit since the start, price × quantity in units of 1e-16.
    pub const fn realised(&self) -> i128 {
        self.realised
    }

    /// Average entry price, rounded toward zero; `None` when flat.
    pub fn average_price(&self) -> Option<Price> {
        let price = self.cost.checked_div(i128::from(self.quantity))?;
        i64::try_from(price).ok().map(Price::from_units)
    }

    /// Profit of what is held at `mark`, price × quantity in units of 1e-16; `None` on overflow.
    pub fn unrealised(&self, mark: Price) -> Option<i128> {
        (i128::from(self.quantity) * i128::from(mark.units())).checked_sub(self.cost)
    }

    /// Books a fill. `None`, with nothing changed, when a sum would leave its range.
    pub fn apply(&mut self, side: Side, price: Price, quantity: Qty) -> Option<()> {
        debug_assert!(quantity.is_positive() && price.is_positive(), "fills are checked before they are booked");
        let signed = quantity.units().checked_mul(side.sign())?;
        let opposite = self.quantity != 0 && (self.quantity > 0) != (signed > 0);
        let closing = if opposite { signed.abs().min(self.quantity.abs()) } else { 0 };
        let mut next = *self;
        if closing > 0 {
            let held = i128::from(self.quantity.abs());
            let released = if i128::from(closing) == held {
                self.cost
            } else {
                self.cost.checked_mul(i128::from(closing))?.checked_div(held)?
            };
            // Selling what was bought brings price × closed; buying back what was sold costs it.
            let proceeds = i128::from(price.units()) * i128::from(closing) * i128::from(-side.sign());
            next.cost = self.cost.checked_sub(released)?;
            next.realised = self.realised.checked_add(proceeds)?.checked_sub(released)?;
        }
        let opening = signed - closing * side.sign();
        next.cost = next.cost.checked_add(i128::from(price.units()) * i128::from(opening))?;
        next.quantity = self.quantity.checked_add(signed)?;
        *self = next;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_round_trip_realises_the_difference() {
        let mut position = Position::default();
        position.apply(Side::Buy, price("1.1"), Qty::whole(2)).unwrap();
        assert_eq!(position.average_price(), Some(price("1.1")));
        position.apply(Side::Sell, price("1.2"), Qty::whole(1)).unwrap();
        assert_eq!(position.realised(), 1_000_000_000_000_000, "0.1 on one lot");
        position.apply(Side::Sell, price("1.3"), Qty::whole(2)).unwrap();
        assert_eq!((position.side(), position.quantity()), (Some(Side::Sell), Qty::whole(1)), "flipped");
        assert_eq!(position.average_price(), Some(price("1.3")));
        assert_eq!(position.unrealised(price("1.2")), Some(1_000_000_000_000_000));
    }

    proptest! {
        #[test]
        fn profit_is_cash_plus_holdings_and_fills_sum_to_the_position(
            fills in prop::collection::vec((any::<bool>(), 1i64..10_000_000_000_000, 1i64..10_000_000_000), 1..60),
            mark in 1i64..10_000_000_000_000,
        ) {
            let mut position = Position::default();
            let (mut cash, mut held) = (0i128, 0i64);
            for (buy, price, quantity) in fills {
                let side = if buy { Side::Buy } else { Side::Sell };
                position.apply(side, Price::from_units(price), Qty::from_units(quantity)).unwrap();
                cash -= i128::from(price) * i128::from(quantity * side.sign());
                held += quantity * side.sign();
                prop_assert_eq!(position.signed_units(), held);
                let profit = position.realised() + position.unrealised(Price::from_units(mark)).unwrap();
                prop_assert_eq!(profit, cash + i128::from(held) * i128::from(mark));
                prop_assert!(held != 0 || position.unrealised(Price::from_units(mark)) == Some(0));
            }
        }

        #[test]
        fn what_does_not_fit_changes_nothing(quantity in i64::MAX - 5..=i64::MAX, price in i64::MAX - 5..=i64::MAX) {
            let mut position = Position::default();
            let mut before = position;
            for _ in 0..4 {
                if position.apply(Side::Buy, Price::from_units(price), Qty::from_units(quantity)).is_none() {
                    prop_assert_eq!(position, before);
                }
                before = position;
            }
        }
    }
}

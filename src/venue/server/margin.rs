//! Futures money: one wallet in the quote asset, signed positions, margin by a fixed leverage.
//! Simplified where no test needs more: cross margin, one-way positions, no funding, no liquidation.

use crate::core::{InstrumentId, Money, Price, Qty, Side};

use super::error::ApiError;
use super::exchange::{Exchange, LEVERAGE, Market};
use super::records::{AccountId, AssetId, NewOrder, difference, sum, worth};

/// Units of 1e-16 to money, rounded down, so that no sequence of roundings makes money.
pub(super) fn money(product: i128) -> Money {
    Money::from_units(product.div_euclid(i128::from(crate::core::SCALE)) as i64)
}

impl Exchange {
    /// Price halfway between bid and ask: what positions and assets are valued at.
    pub(super) fn mark(&self, symbol: InstrumentId) -> Option<Price> {
        let touch = self.touch(symbol)?;
        Some(Price::from_units(i64::midpoint(touch.bid.units(), touch.ask.units())))
    }

    /// Futures: profit of every open position of an account at the mark.
    pub(super) fn unrealised(&self, account: AccountId) -> Money {
        let ids = (0..self.symbols.len() as u16).map(InstrumentId);
        let profit = ids.filter_map(|id| {
            let position = &self.accounts[account.0].positions[id.index()];
            self.mark(id).map(|mark| money(position.profit(mark)))
        });
        profit.fold(Money::ZERO, sum)
    }

    /// Futures: margin that positions and open orders need.
    pub(super) fn margin_used(&self, account: AccountId) -> Money {
        let ids = (0..self.symbols.len() as u16).map(InstrumentId);
        let positions = ids.filter_map(|id| {
            let units = self.accounts[account.0].positions[id.index()].units;
            self.mark(id).map(|mark| worth(mark, Qty::from_units(units.saturating_abs()), true))
        });
        let orders = self.open_orders(account, None).filter(|order| !order.order.reduce_only);
        let value = positions.chain(orders.map(|order| worth(order.order.price, order.left(), true)));
        Money::from_units(value.fold(Money::ZERO, sum).units() / LEVERAGE)
    }

    /// Futures: whether the account may take this order. A reduce-only order is cut to the position.
    pub(super) fn check_margin(&self, account: AccountId, new: &mut NewOrder, price: Price) -> Result<(), ApiError> {
        let units = self.accounts[account.0].positions[new.symbol.index()].units;
        let closes = match new.side {
            Side::Buy => units.min(0).unsigned_abs() as i64,
            Side::Sell => units.max(0),
        };
        if new.reduce_only {
            if closes == 0 {
                return Err(ApiError::REDUCE_ONLY);
            }
            new.qty = new.qty.min(Qty::from_units(closes));
        }
        let opens = Qty::from_units((new.qty.units() - closes).max(0));
        let (_, quote) = self.assets_of(new.symbol);
        let wallet = self.accounts[account.0].balances[quote].total();
        let available = difference(sum(wallet, self.unrealised(account)), self.margin_used(account));
        let needed = Money::from_units(worth(price, opens, true).units() / LEVERAGE);
        if opens.is_positive() && available < needed { Err(ApiError::MARGIN) } else { Ok(()) }
    }

    /// Futures: books a fill on the position and the wallet.
    pub(super) fn move_position(
        &mut self,
        index: usize,
        price: Price,
        qty: Qty,
        value: Money,
        maker: bool,
    ) -> (Money, AssetId, Money) {
        let (account, symbol, side) =
            (self.orders[index].account, self.orders[index].order.symbol, self.orders[index].order.side);
        let (_, quote) = self.assets_of(symbol);
        let commission = self.commission(value, maker);
        let holder = &mut self.accounts[account.0];
        let realised = money(holder.positions[symbol.index()].apply(side, price, qty));
        let wallet = &mut holder.balances[quote];
        wallet.free = difference(sum(wallet.free, realised), commission);
        self.touch_balance(account, quote);
        self.touch_position(account, symbol);
        (commission, quote, realised)
    }

    /// What an account is worth in an asset, everything valued at the mark. Spot: assets without a
    /// symbol priced in `asset` count nothing. Futures: the wallet and what positions would bring.
    pub(super) fn equity(&self, account: AccountId, asset: AssetId) -> Money {
        let balances = self.accounts[account.0].balances.iter().enumerate();
        let value = balances.map(|(held, balance)| {
            if held == asset {
                return balance.total();
            }
            if self.market == Market::Futures {
                return Money::ZERO;
            }
            let symbol =
                (0..self.symbols.len() as u16).map(InstrumentId).find(|id| self.assets_of(*id) == (held, asset));
            let mark = symbol.and_then(|symbol| self.mark(symbol));
            mark.map_or(Money::ZERO, |mark| worth(mark, Qty::from_units(balance.total().units()), false))
        });
        sum(value.fold(Money::ZERO, sum), self.unrealised(account))
    }
}

//! What a verdict of the matcher does to the books: orders, trades, balances, and the events that
//! tell their owners. The one place where a fill becomes money.

use crate::core::InstrumentId;
use crate::core::{EventKind, Money, Nanos, Price, Qty, Side};
use crate::venue::paper::{OrderKind, Verdict};

use super::exchange::{Exchange, FIRST_ORDER, Market};
use super::records::{AccountId, AssetId, Happened, OrderType, Status, TradeRecord, UserEvent, difference, sum, worth};

impl Exchange {
    /// Books what the matcher decided.
    pub(super) fn settle(&mut self, now: Nanos) {
        if self.verdicts.is_empty() {
            return;
        }
        let mut verdicts = std::mem::take(&mut self.verdicts);
        for (_, verdict) in verdicts.drain(..) {
            self.on_verdict(verdict, now);
        }
        self.verdicts = verdicts;
        self.finish_batch(now);
    }

    fn on_verdict(&mut self, verdict: Verdict, now: Nanos) {
        let (Verdict::Accepted { order }
        | Verdict::Rejected { order, .. }
        | Verdict::Filled { order, .. }
        | Verdict::Done { order, .. }) = verdict;
        let index = (order.0.wrapping_sub(FIRST_ORDER)) as usize;
        let Some(record) = self.orders.get_mut(index) else { return };
        record.updated = now;
        match verdict {
            Verdict::Accepted { .. } => self.report(index, Happened::New),
            Verdict::Filled { price, qty, maker, .. } => self.fill(index, price, qty, maker, now),
            Verdict::Done { kind: EventKind::OrderCancelled, .. } => {
                record.status = Status::Canceled;
                self.release(index);
                self.report(index, Happened::Canceled);
            }
            Verdict::Done { kind: EventKind::OrderExpired, .. } => {
                record.status = Status::Expired;
                record.expiry = Some(match record.kind() {
                    OrderKind::Fok => "UNFILLED_FOK_ORDER_EXPIRED",
                    OrderKind::Market => "INSUFFICIENT_LIQUIDITY",
                    _ => "UNFILLED_IOC_QUANTITY_EXPIRED",
                });
                self.release(index);
                self.report(index, Happened::Expired);
            }
            Verdict::Rejected { .. } | Verdict::Done { .. } => {}
        }
        if !self.orders[index].status.is_open() {
            self.open.retain(|open| *open != index);
        }
    }

    /// One execution: the record, the money, the report.
    fn fill(&mut self, index: usize, price: Price, qty: Qty, maker: bool, now: Nanos) {
        let order = &mut self.orders[index];
        let (account, symbol, side) = (order.account, order.order.symbol, order.order.side);
        let quote_value = worth(price, qty, false);
        order.filled = order.filled.checked_add(qty).unwrap_or(Qty::MAX);
        order.traded = sum(order.traded, quote_value);
        order.status = if order.left().is_zero() { Status::Filled } else { Status::PartiallyFilled };
        let (commission, commission_asset, realised) = match self.market {
            Market::Spot => self.exchange_assets(index, qty, quote_value, maker),
            Market::Futures => self.move_position(index, price, qty, quote_value, maker),
        };
        let id = self.trades.iter().rev().find(|trade| trade.symbol == symbol).map_or(1, |trade| trade.id + 1);
        let order = self.orders[index].id;
        self.orders[index].trades.push(self.trades.len());
        self.trades.push(TradeRecord {
            id,
            order,
            account,
            symbol,
            side,
            price,
            qty,
            quote: quote_value,
            commission,
            commission_asset,
            realised,
            time: now,
            maker,
        });
        if self.orders[index].status == Status::Filled {
            self.release(index);
        }
        self.report(index, Happened::Trade(self.trades.len() - 1));
    }

    pub(super) fn commission(&self, amount: Money, maker: bool) -> Money {
        let rate = if maker { self.fees.0 } else { self.fees.1 };
        let product = i128::from(amount.units()) * i128::from(rate.units());
        let units = -(-product).div_euclid(10_000 * i128::from(crate::core::SCALE));
        Money::from_units(units as i64)
    }

    /// Spot: base against quote; the commission comes off what is received.
    fn exchange_assets(&mut self, index: usize, qty: Qty, value: Money, maker: bool) -> (Money, AssetId, Money) {
        let (account, symbol, side) =
            (self.orders[index].account, self.orders[index].order.symbol, self.orders[index].order.side);
        let (base, quote) = self.assets_of(symbol);
        let base_amount = Money::from_units(qty.units());
        let (spent, spent_asset, got, got_asset) = match side {
            Side::Buy => (value, quote, base_amount, base),
            Side::Sell => (base_amount, base, value, quote),
        };
        let commission = self.commission(got, maker);
        let keep = self.reserved_for(index, self.orders[index].left());
        let order = &mut self.orders[index];
        // A market order keeps its reserve until it is done: it has no limit to measure the rest by.
        let keep = match order.order.order_type {
            OrderType::Market => difference(order.locked, spent),
            _ => keep,
        };
        let unlocked = difference(order.locked, keep);
        order.locked = keep;
        let balances = &mut self.accounts[account.0].balances;
        balances[spent_asset].locked = difference(balances[spent_asset].locked, unlocked);
        balances[spent_asset].free = sum(balances[spent_asset].free, difference(unlocked, spent));
        balances[got_asset].free = sum(balances[got_asset].free, difference(got, commission));
        self.touch_balance(account, spent_asset);
        self.touch_balance(account, got_asset);
        (commission, got_asset, Money::ZERO)
    }

    pub(super) fn touch_balance(&mut self, account: AccountId, asset: AssetId) {
        if !self.touched.contains(&(account, asset)) {
            self.touched.push((account, asset));
        }
    }

    pub(super) fn touch_position(&mut self, account: AccountId, symbol: InstrumentId) {
        if !self.moved.contains(&(account, symbol)) {
            self.moved.push((account, symbol));
        }
    }

    pub(super) fn report(&mut self, index: usize, happened: Happened) {
        self.executions += 1;
        let order = Box::new(self.orders[index].clone());
        let event = UserEvent::Execution { number: self.executions, happened, order };
        self.events.push((self.orders[index].account, event));
    }

    /// Tells the owners which balances and positions changed.
    pub(super) fn finish_batch(&mut self, now: Nanos) {
        let mut touched = std::mem::take(&mut self.touched);
        let mut moved = std::mem::take(&mut self.moved);
        for index in 0..self.accounts.len() {
            let account = AccountId(index);
            let of = touched.iter().filter(|(owner, _)| *owner == account);
            let changed: Vec<_> = of.map(|(_, asset)| (*asset, self.accounts[index].balances[*asset])).collect();
            let of = moved.iter().filter(|(owner, _)| *owner == account);
            let positions: Vec<_> =
                of.map(|(_, symbol)| (*symbol, self.accounts[index].positions[symbol.index()])).collect();
            if !changed.is_empty() || !positions.is_empty() {
                self.accounts[index].updated = now;
            }
            if self.market == Market::Spot && !changed.is_empty() {
                self.events.push((account, UserEvent::Balances(changed)));
            } else if self.market == Market::Futures && !(changed.is_empty() && positions.is_empty()) {
                self.events.push((account, UserEvent::Positions(positions)));
            }
        }
        touched.clear();
        moved.clear();
        (self.touched, self.moved) = (touched, moved);
    }
}

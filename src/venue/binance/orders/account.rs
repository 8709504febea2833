//! What the account holds, as answers and events tell it: cash and inventory of spot, margin and positions of futures.

use serde_json::value::RawValue;

use super::super::endpoints::Market;
use super::super::message::time;
use super::super::rest::{AccountState, FuturesAccount, HEDGE_MODE, is_hedged};
use super::apply::read;
use super::asks::Ask;
use super::replies::{AccountReply, AccountUpdate, BalanceReply, BalanceUpdate, PositionReply};
use super::{OrderProtocol, Trouble};
use crate::core::payload::{AccountReport, InventoryReport, PositionReport};
use crate::core::{Event, EventKind, InstrumentId, Money, Nanos, Payload, Price, Qty};

impl OrderProtocol {
    /// The answer to a question about the account; `None` when it is not what was asked for.
    pub(super) fn on_account(
        &mut self,
        round: u64,
        result: &RawValue,
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) -> Option<()> {
        if self.params.market == Market::UsdMFutures {
            return self.on_margin(round, &read::<FuturesAccount>(result)?.into(), at, emit);
        }
        let account: AccountReply<'_> = read(result)?;
        self.balances(round, &account.balances, Nanos::NONE, at, emit);
        Some(())
    }

    fn on_margin(&mut self, round: u64, account: &AccountState, at: Nanos, emit: &mut impl FnMut(Event)) -> Option<()> {
        let Some(margin) = account.margin_in(&self.params.cash_asset) else {
            self.trouble = Some(Trouble::Account(format!("no balance of {}", self.params.cash_asset)));
            return None;
        };
        let locked = margin.wallet.checked_sub(margin.available).unwrap_or_default();
        let report = AccountReport { round, free: margin.available, locked, equity: margin.equity };
        emit(report.event(EventKind::AccountReport, InstrumentId(0), Nanos::NONE, at));
        Some(())
    }

    /// A deposit or withdrawal of what is traded: the order manager must not take it for a position.
    pub(super) fn on_moved(&mut self, update: &BalanceUpdate<'_>, at: Nanos, emit: &mut impl FnMut(Event)) {
        if update.difference == Qty::ZERO {
            return;
        }
        for (instrument, _) in self.symbols.iter().filter(|(_, symbol)| symbol.base == update.asset) {
            let report = InventoryReport { round: 0, free: Qty::ZERO, locked: Qty::ZERO, moved: update.difference };
            emit(report.event(EventKind::InventoryReport, instrument, time(update.time), at));
        }
    }

    /// Balances of a spot account: inventory of each instrument, and the account's cash.
    pub(super) fn balances(
        &mut self,
        round: u64,
        balances: &[BalanceReply<'_>],
        venue: Nanos,
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) {
        let find = |asset: &str| balances.iter().find(|balance| balance.asset == asset);
        let mut unreadable = false;
        for (instrument, symbol) in self.symbols.iter().filter(|(_, symbol)| !symbol.base.is_empty()) {
            let read = |balance: &BalanceReply<'_>| Some((balance.free.parse().ok()?, balance.locked.parse().ok()?));
            let (free, locked) = match find(&symbol.base).map(read) {
                Some(Some(balance)) => balance,
                // A full list that leaves an asset out says that there is none of it.
                None if round > 0 => (Qty::ZERO, Qty::ZERO),
                None => continue,
                Some(None) => {
                    unreadable = true;
                    continue;
                }
            };
            let report = InventoryReport { round, free, locked, moved: Qty::ZERO };
            emit(report.event(EventKind::InventoryReport, instrument, venue, at));
        }
        if let Some(balance) = find(&self.params.cash_asset) {
            match (balance.free.parse::<Money>(), balance.locked.parse::<Money>()) {
                (Ok(free), Ok(locked)) => {
                    let report = AccountReport { round, free, locked, equity: Money::ZERO };
                    emit(report.event(EventKind::AccountReport, InstrumentId(0), venue, at));
                }
                _ => unreadable = true,
            }
        } else if round > 0 {
            let report = AccountReport { round, free: Money::ZERO, locked: Money::ZERO, equity: Money::ZERO };
            emit(report.event(EventKind::AccountReport, InstrumentId(0), venue, at));
        }
        self.counters.bad_frames += u64::from(unreadable);
    }

    /// The answer to a question about all positions; `None` when it is not what was asked for.
    pub(super) fn on_positions(
        &mut self,
        round: u64,
        positions: &[PositionReply<'_>],
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) -> Option<()> {
        // Two positions of one symbol are not one: none is told, so that neither passes for the whole.
        if positions.iter().any(|position| is_hedged(position.position_side.as_deref())) {
            self.hedged();
            return None;
        }
        let mut readable = true;
        for position in positions {
            let held = (position.position_amt, position.entry_price);
            readable &= self.position((round, Nanos::NONE), &position.symbol, held, at, emit);
        }
        readable.then_some(())
    }

    pub(super) fn on_account_update(&mut self, update: &AccountUpdate<'_>, at: Nanos, emit: &mut impl FnMut(Event)) {
        let venue = time(update.time);
        for change in &update.a.positions {
            if is_hedged(change.ps.as_deref()) {
                self.hedged();
                self.bad_frame();
            } else if !self.position((0, venue), &change.s, (change.pa, change.ep), at, emit) {
                self.bad_frame();
            }
        }
        // The wallet alone says neither what is free nor the equity: the whole is asked for.
        if update.a.balances.iter().any(|change| change.a == self.params.cash_asset) {
            self.queue.push(Ask::Account { round: 0 });
        }
    }

    /// False for a position of ours that is no number of ours.
    fn position(
        &mut self,
        (round, venue): (u64, Nanos),
        symbol: &str,
        (qty, entry): (Option<Qty>, Price),
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) -> bool {
        let Some(instrument) = self.symbols.find(symbol.as_bytes()) else { return true };
        let Some(qty) = qty else { return false };
        let report = PositionReport { round, signed_units: qty.units(), entry };
        emit(report.event(EventKind::PositionReport, instrument, venue, at));
        true
    }

    #[cold]
    fn hedged(&mut self) {
        self.trouble = Some(Trouble::Account(HEDGE_MODE.to_owned()));
    }
}

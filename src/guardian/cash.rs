//! Deposits and withdrawals, found by accounting: a change of cash that no execution explains came from
//! elsewhere. Commission, and whatever else trading costs, stays profit and loss.
//!
//! The venue's list of executions may lag behind its account. Spot: a purchase that is not in the list yet looks like
//! a withdrawal, but what was bought is there: while the executions do not explain what is owned of the base assets
//! either, nothing counts. What they do explain, and is unexplained in cash still after [`PATIENCE`], is a deposit or
//! a withdrawal. Futures: it may be funding as well, so the venue's own list of what moved the wallet is asked, and
//! only its transfers count. The list is dear, so it is asked only then; it may lag as well, so it is asked again for
//! a while. What is not found for [`ASK_FOR`] is profit or loss.
//!
//! A book is remembered ([`CashMark`]), so that what moved while no guardian ran is found by the next one. Book and
//! ledger are saved at different times; both count from the same beginning, so neither order loses or doubles anything.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::core::{Money, Nanos, Qty, SCALE, Span};
use crate::venue::binance::endpoints::Market;
use crate::venue::binance::rest::{IncomeState, TradeState};

/// What the venue may have rounded an execution's value by, units of 1e-8.
const ROUNDING: i128 = 2;
/// Between two questions for what moved the cash.
const ASK_EVERY: Span = Span::seconds(2);
/// What is not found for so long is profit or loss.
const ASK_FOR: Span = Span::seconds(60);
/// So long an execution may come after the account that it moved (spot), and the list of income after the wallet
/// (futures), before anything is made of it.
const PATIENCE: Span = Span::seconds(5);
/// The list is read from so long before the wallet was last known, by the venue's clock.
const OVERLAP: Span = Span::seconds(5);
/// Kinds of income that executions explain.
const TRADING: [&str; 2] = ["REALIZED_PNL", "COMMISSION"];
/// Kinds of income that are neither earned nor lost: money of the account's owner, moved.
const TRANSFERS: [&str; 6] = [
    "TRANSFER",
    "INTERNAL_TRANSFER",
    "CROSS_COLLATERAL_TRANSFER",
    "COIN_SWAP_DEPOSIT",
    "COIN_SWAP_WITHDRAW",
    "STRATEGY_UMFUTURES_TRANSFER",
];

/// Where a book stood: what a later one goes on from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CashMark {
    symbols: Vec<String>,
    cash: Money,
    /// What was owned of each base asset; missing in files of earlier versions.
    #[serde(default)]
    held: Option<Vec<Qty>>,
    last: Vec<Option<u64>>,
    total: Money,
    counted: Vec<(String, String)>,
    known_at_ns: u64,
}

/// The cash of one quote asset, explained.
#[derive(Clone, Debug)]
pub(super) struct CashBook {
    market: Market,
    quote: String,
    /// What each symbol buys and sells.
    bases: Vec<String>,
    cash: Option<Money>,
    /// Spot: what was owned of each base asset when the cash was last known.
    held: Option<Vec<Qty>>,
    /// The last execution of each symbol that is accounted for.
    last: Vec<Option<u64>>,
    /// Deposits minus withdrawals since the first book was opened.
    total: Money,
    wanted: Option<Wanted>,
    /// Transfers that are in the total.
    counted: BTreeSet<(String, String)>,
    /// The venue's time at which the cash was last known.
    known_at: Nanos,
}

/// A movement of the cash that nothing explains yet. Amounts in units of 1e-8.
#[derive(Clone, Debug)]
struct Wanted {
    amount: i128,
    /// Spot: what of each base asset the executions do not explain either. All zero: none is missing.
    missing: Vec<i128>,
    /// What rounding may leave of the amount.
    slack: i128,
    /// The cash was last known before it at this time.
    since: Nanos,
    /// When the first of it moved: nothing passes for a deposit or withdrawal for long because more keeps moving.
    opened: Nanos,
    /// The amount is what it is since this time.
    changed: Nanos,
    asked: Option<Nanos>,
    until: Nanos,
}

impl Wanted {
    fn is_complete(&self) -> bool {
        self.missing.iter().all(|units| *units == 0)
    }

    fn is_due(&self, now: Nanos) -> bool {
        self.asked.is_none_or(|asked| now.since(asked) >= ASK_EVERY)
    }
}

/// Executions that were not accounted for yet.
struct Fresh {
    /// What they did to the cash.
    flow: i128,
    /// And to each base asset.
    bases: Vec<i128>,
    count: i128,
    /// There may be others that the answer does not show.
    hidden: bool,
}

impl CashBook {
    /// A book that begins with what it finds: of the cash in this asset, moved by executions that buy and sell these.
    /// `total` is what earlier books have counted.
    pub(super) fn new(market: Market, quote: &str, bases: Vec<String>, total: Money) -> Self {
        Self {
            market,
            quote: quote.to_owned(),
            cash: None,
            held: None,
            last: vec![None; bases.len()],
            bases,
            total,
            wanted: None,
            counted: BTreeSet::new(),
            known_at: Nanos::NONE,
        }
    }

    /// Goes on from where an earlier book stood. A mark of other symbols is none: it knows nothing of the
    /// executions that moved the cash.
    pub(super) fn go_on(&mut self, mark: CashMark, symbols: &[String]) {
        if mark.symbols == symbols && mark.last.len() == self.last.len() {
            (self.cash, self.last, self.total) = (Some(mark.cash), mark.last, mark.total);
            self.held = mark.held.filter(|held| held.len() == self.bases.len());
            (self.counted, self.known_at) = (mark.counted.into_iter().collect(), Nanos(mark.known_at_ns));
        }
    }

    /// Where the book stands, while everything in it is explained.
    pub(super) fn mark(&self, symbols: &[String]) -> Option<CashMark> {
        let cash = self.cash.filter(|_| self.wanted.is_none())?;
        Some(CashMark {
            symbols: symbols.to_vec(),
            cash,
            held: self.held.clone(),
            last: self.last.clone(),
            total: self.total,
            counted: self.counted.iter().cloned().collect(),
            known_at_ns: self.known_at.0,
        })
    }

    /// False when this account needs no look at the executions now. `now` is the venue's time here and below.
    pub(super) fn needs_look(&mut self, cash: Money, held: &[Qty], now: Nanos) -> bool {
        self.expire(now);
        if self.cash != Some(cash) {
            return true;
        }
        if let Some(wanted) = &self.wanted {
            return self.market == Market::Spot && wanted.is_due(now);
        }
        // No execution leaves the cash alone: what else came and went is not ours to explain.
        self.held = Some(held.to_vec());
        false
    }

    /// Deposits minus withdrawals found so far.
    pub(super) const fn total(&self) -> Money {
        self.total
    }

    /// Takes in the present cash, what is owned of each base asset, and the latest executions of each symbol, oldest
    /// first, as they were while the account did not move. `full` is how many executions an answer can hold: an
    /// answer of new ones only may hide others, and then nothing can be said of what moved.
    pub(super) fn explain(&mut self, cash: Money, held: &[Qty], trades: &[Vec<TradeState>], full: usize, now: Nanos) {
        let spot = self.market == Market::Spot;
        let fresh = self.take_trades(trades, full);
        match self.cash.filter(|_| !fresh.hidden) {
            Some(before) => {
                let moved = i128::from(cash.units()) - i128::from(before.units()) - fresh.flow;
                let missing = self.missing(held, &fresh.bases);
                self.moved(moved, &missing, ROUNDING * fresh.count, now);
            }
            // On futures the list still says it.
            None if spot => self.wanted = None,
            None => {}
        }
        (self.cash, self.held, self.known_at) = (Some(cash), Some(held.to_vec()), now);
        if spot {
            self.settle(now);
        }
    }

    fn take_trades(&mut self, trades: &[Vec<TradeState>], full: usize) -> Fresh {
        let mut found = Fresh { flow: 0, bases: vec![0; self.bases.len()], count: 0, hidden: false };
        for (index, (last, trades)) in self.last.iter_mut().zip(trades).enumerate() {
            let fresh: Vec<&TradeState> =
                trades.iter().filter(|trade| last.is_none_or(|last| trade.id > last)).collect();
            // Numbers that go backwards are another account's, or a test venue's that began anew.
            let latest = trades.last().map_or(0, |trade| trade.id);
            let rewound = last.is_some_and(|last| latest < last);
            found.hidden |= fresh.len() >= full || rewound;
            found.count += fresh.len() as i128;
            for trade in fresh {
                found.flow += flow_of(self.market, trade, &self.quote);
                let traded = i128::from(trade.qty.units());
                found.bases[index] += if trade.buyer { traded } else { -traded };
                if let Some(paid) = self.bases.iter().position(|base| *base == trade.commission_asset) {
                    found.bases[paid] -= i128::from(trade.commission.units());
                }
            }
            // An account that never traded begins before the first execution.
            *last = Some(latest);
        }
        found
    }

    /// Spot: what of each base asset these executions do not explain. Futures own nothing.
    fn missing(&self, held: &[Qty], traded: &[i128]) -> Vec<i128> {
        let Some(before) = self.held.as_ref().filter(|_| self.market == Market::Spot) else { return Vec::new() };
        let parts = held.iter().zip(before).zip(traded);
        parts.map(|((now, before), traded)| i128::from(now.units()) - i128::from(before.units()) - traded).collect()
    }

    /// So much of the cash moved for no reason that is known, be it nothing.
    fn moved(&mut self, moved: i128, missing: &[i128], slack: i128, now: Nanos) {
        let nothing = moved.abs() <= slack;
        if nothing && self.wanted.is_none() {
            return;
        }
        let (since, bases) = (self.known_at, self.bases.len());
        let wanted = self.wanted.get_or_insert_with(|| Wanted {
            amount: 0,
            missing: vec![0; bases],
            slack: 0,
            since,
            opened: now,
            changed: now,
            asked: None,
            until: now,
        });
        wanted.amount += moved;
        wanted.slack += slack;
        wanted.missing.iter_mut().zip(missing).for_each(|(sum, units)| *sum += units);
        if !nothing {
            (wanted.changed, wanted.asked, wanted.until) = (now, None, now.plus(ASK_FOR));
        }
        // Executions that came late have explained it.
        if wanted.amount.abs() <= wanted.slack {
            self.wanted = None;
        }
    }

    /// Spot, after a look: what no execution explains, although none is missing, came from elsewhere.
    fn settle(&mut self, now: Nanos) {
        let Some(wanted) = &mut self.wanted else { return };
        wanted.asked = Some(now);
        if wanted.is_complete() && now.since(wanted.changed) >= PATIENCE {
            let amount = wanted.amount;
            self.wanted = None;
            self.count(amount);
        }
    }

    fn count(&mut self, units: i128) {
        let moved = i64::try_from(units).ok().and_then(|units| self.total.checked_add(Money::from_units(units)));
        self.total = moved.unwrap_or(self.total);
    }

    /// What was not found by now is profit or loss.
    fn expire(&mut self, now: Nanos) {
        self.wanted = self.wanted.take().filter(|wanted| now <= wanted.until);
    }

    /// Futures: since when the venue's list is to be read now, if it is.
    pub(super) fn question(&mut self, now: Nanos) -> Option<Nanos> {
        self.expire(now);
        let wanted = self.wanted.as_mut().filter(|wanted| wanted.is_due(now))?;
        if self.market == Market::Spot {
            return None;
        }
        wanted.asked = Some(now);
        Some(Nanos(wanted.since.0.saturating_sub(OVERLAP.0)))
    }

    /// The question was not answered: it is put again at once.
    pub(super) fn ask_again(&mut self) {
        if let Some(wanted) = &mut self.wanted {
            wanted.asked = None;
        }
    }

    /// Futures: takes in the venue's list. Profit and commission are explained by the executions already; everything
    /// else in it explains what moved, and a transfer counts as one.
    pub(super) fn learn(&mut self, list: &[IncomeState]) {
        let beside = |row: &&IncomeState| {
            row.asset == self.quote
                && !TRADING.contains(&row.income_type.as_str())
                && !self.counted.contains(&name(row))
        };
        let fresh: Vec<&IncomeState> = list.iter().filter(beside).collect();
        let Some(wanted) = &self.wanted else { return };
        // As one sum first: where 500 came and 400 went, neither alone is nearer to what is wanted.
        let late = |row: &&&IncomeState| (row.time + 1).saturating_mul(1_000_000) > wanted.since.0;
        let together: Vec<&IncomeState> = fresh.iter().filter(late).copied().collect();
        let sum: i128 = together.iter().map(|row| i128::from(row.income.units())).sum();
        let chosen = if (wanted.amount - sum).abs() <= wanted.slack { together } else { nearer(wanted, &fresh) };
        let mut left = wanted.amount;
        let slack = wanted.slack;
        for row in chosen {
            left -= i128::from(row.income.units());
            self.counted.insert(name(row));
            if TRANSFERS.contains(&row.income_type.as_str()) {
                self.count(i128::from(row.income.units()));
            }
        }
        self.wanted = self.wanted.take().filter(|_| left.abs() > slack).map(|wanted| Wanted { amount: left, ..wanted });
    }

    /// True while it is not known where the cash came from or went to: no peak, no reference is taken from it.
    pub(super) const fn is_open(&self) -> bool {
        self.wanted.is_some()
    }

    /// What of the cash is held for a deposit or withdrawal before that is certain: neither profit nor loss meanwhile.
    pub(super) fn pending(&self, now: Nanos) -> Money {
        let likely = |wanted: &&Wanted| match self.market {
            Market::Spot => wanted.is_complete() && now.since(wanted.opened) <= ASK_FOR,
            // A loss must not pass for a withdrawal for longer than the list may be late.
            Market::UsdMFutures => now.since(wanted.opened) < PATIENCE,
        };
        let amount = self.wanted.as_ref().filter(likely).map_or(0, |wanted| wanted.amount);
        Money::from_units(i64::try_from(amount).unwrap_or(0))
    }
}

/// The rows that bring it nearer to nothing, one by one. What the cash held before explains nothing: it leaves more,
/// not less.
fn nearer<'a>(wanted: &Wanted, rows: &[&'a IncomeState]) -> Vec<&'a IncomeState> {
    let mut left = wanted.amount;
    let mut chosen = Vec::new();
    for row in rows {
        let without = left - i128::from(row.income.units());
        if left.abs() > wanted.slack && without.abs() < left.abs() {
            left = without;
            chosen.push(*row);
        }
    }
    chosen
}

fn name(row: &IncomeState) -> (String, String) {
    (row.income_type.clone(), row.tran_id.clone())
}

/// What an execution did to the cash, units of 1e-8, its commission included where that was paid in cash.
fn flow_of(market: Market, trade: &TradeState, quote: &str) -> i128 {
    let commission = if trade.commission_asset == quote { trade.commission } else { Qty::ZERO };
    let gained = match market {
        Market::Spot => {
            let value = i128::from(trade.price.units()) * i128::from(trade.qty.units()) / i128::from(SCALE);
            if trade.buyer { -value } else { value }
        }
        Market::UsdMFutures => i128::from(trade.realized_pnl.units()),
    };
    gained - i128::from(commission.units())
}

#[cfg(test)]
mod tests;

//! Deposits and withdrawals, found by accounting: a change of cash that no execution explains came from
//! elsewhere. Commission, and whatever else trading costs, stays profit and loss.
//!
//! Spot: what is left unexplained is a deposit or a withdrawal; nothing else moves the cash. Futures: it may be
//! funding as well, so the venue's own list of what moved the wallet is asked, and only its transfers count.
//! The list is dear, so it is asked only then; it may lag behind the wallet, so it is asked again for a while.
//!
//! A book is remembered ([`CashMark`]), so that what moved while no guardian ran is found by the next one. Book and
//! ledger are saved at different times; both count from the same beginning, so neither order loses or doubles anything.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::core::{Money, Nanos, Qty, SCALE, Span};
use crate::venue::binance::endpoints::Market;
use crate::venue::binance::rest::{IncomeState, TradeState};

/// What the venue may have rounded an execution's value by, units of 1e-8.
const ROUNDING: i64 = 2;
/// Between two questions for what moved the wallet.
const ASK_EVERY: Span = Span::seconds(2);
/// What is not found for so long is profit or loss.
const ASK_FOR: Span = Span::seconds(60);
/// So long a read is held back for the list: a withdrawal must not be taken for a loss because the list is
/// behind the wallet. The engine's page is looked at all the while.
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
    last: Vec<Option<u64>>,
    total: Money,
    counted: Vec<(String, String)>,
    known_at_ns: u64,
}

/// The cash of one quote asset, explained.
#[derive(Clone, Debug)]
pub(super) struct CashBook {
    market: Market,
    cash: Option<Money>,
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

/// Futures: a movement of the wallet that is to be found in the venue's list.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    amount: Money,
    since: Nanos,
    asked: Option<Nanos>,
    until: Nanos,
}

impl CashBook {
    /// A book that begins with what it finds. `total` is what earlier books have counted.
    pub(super) fn new(market: Market, symbols: usize, total: Money) -> Self {
        Self {
            market,
            cash: None,
            last: vec![None; symbols],
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
            (self.counted, self.known_at) = (mark.counted.into_iter().collect(), Nanos(mark.known_at_ns));
        }
    }

    /// Where the book stands, while everything in it is explained.
    pub(super) fn mark(&self, symbols: &[String]) -> Option<CashMark> {
        let cash = self.cash.filter(|_| self.wanted.is_none())?;
        Some(CashMark {
            symbols: symbols.to_vec(),
            cash,
            last: self.last.clone(),
            total: self.total,
            counted: self.counted.iter().cloned().collect(),
            known_at_ns: self.known_at.0,
        })
    }

    /// True when this much cash needs no explaining.
    pub(super) fn is_explained(&self, cash: Money) -> bool {
        self.cash == Some(cash)
    }

    /// Deposits minus withdrawals found so far.
    pub(super) const fn total(&self) -> Money {
        self.total
    }

    /// Takes in the present cash and the latest executions of each symbol, oldest first, as they were while
    /// the cash did not move. `full` is how many executions an answer can hold: an answer of new ones only
    /// may hide others, and then nothing can be said of what moved. `now` is the venue's time.
    pub(super) fn explain(&mut self, cash: Money, quote: &str, trades: &[Vec<TradeState>], full: usize, now: Nanos) {
        let mut flow = 0i128;
        let (mut new, mut hidden) = (0, false);
        for (last, trades) in self.last.iter_mut().zip(trades) {
            let fresh: Vec<&TradeState> =
                trades.iter().filter(|trade| last.is_none_or(|last| trade.id > last)).collect();
            // Numbers that go backwards are another account's, or a test venue's that began anew.
            let latest = trades.last().map_or(0, |trade| trade.id);
            let rewound = last.is_some_and(|last| latest < last);
            hidden |= fresh.len() >= full || rewound;
            new += fresh.len() as i64;
            flow += fresh.iter().map(|trade| flow_of(self.market, trade, quote)).sum::<i128>();
            // An account that never traded begins before the first execution.
            *last = Some(latest);
        }
        if let Some(before) = self.cash.filter(|_| !hidden) {
            let moved = i128::from(cash.units()) - i128::from(before.units()) - flow;
            if moved.abs() > i128::from(ROUNDING * new)
                && let Ok(moved) = i64::try_from(moved)
            {
                self.came_from_elsewhere(Money::from_units(moved), now);
            }
        }
        (self.cash, self.known_at) = (Some(cash), now);
    }

    fn came_from_elsewhere(&mut self, moved: Money, now: Nanos) {
        match self.market {
            Market::Spot => self.count(moved),
            Market::UsdMFutures => {
                let before = self.wanted.map_or(Money::ZERO, |wanted| wanted.amount);
                let since = self.wanted.map_or(self.known_at, |wanted| wanted.since);
                let amount = before.checked_add(moved).unwrap_or(moved);
                self.wanted = Some(Wanted { amount, since, asked: None, until: now.plus(ASK_FOR) });
            }
        }
    }

    fn count(&mut self, moved: Money) {
        self.total = self.total.checked_add(moved).unwrap_or(self.total);
    }

    /// Futures: since when the venue's list is to be read now, if it is.
    pub(super) fn question(&mut self, now: Nanos) -> Option<Nanos> {
        let wanted = self.wanted.as_mut()?;
        if now > wanted.until {
            self.wanted = None;
            return None;
        }
        if wanted.asked.is_some_and(|asked| now.since(asked) < ASK_EVERY) {
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

    /// Takes in the venue's list. Profit and commission are explained by the executions already; everything
    /// else in it explains what moved, and a transfer counts as one.
    pub(super) fn learn(&mut self, quote: &str, list: &[IncomeState]) {
        let beside = |row: &&IncomeState| row.asset == quote && !TRADING.contains(&row.income_type.as_str());
        for row in list.iter().filter(beside) {
            let Some(wanted) = &mut self.wanted else { return };
            let name = (row.income_type.clone(), row.tran_id.clone());
            let left = wanted.amount.checked_sub(row.income).unwrap_or(Money::MAX);
            // What the cash held before explains nothing: it leaves more, not less.
            if self.counted.contains(&name) || left.abs() >= wanted.amount.abs() {
                continue;
            }
            wanted.amount = left;
            self.counted.insert(name);
            if TRANSFERS.contains(&row.income_type.as_str()) {
                self.count(row.income);
            }
            if left.is_zero() {
                self.wanted = None;
            }
        }
    }

    /// True while the list may still be about to say what moved the wallet: what is read now is no fact yet.
    pub(super) fn is_open(&self, now: Nanos) -> bool {
        self.wanted.is_some_and(|wanted| now.plus(Span(ASK_FOR.0 - PATIENCE.0)) < wanted.until)
    }
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
mod tests {
    use super::*;

    fn trade(id: u64, buyer: bool, price: &str, qty: &str, commission: &str, asset: &str) -> TradeState {
        TradeState {
            symbol: "BTCUSDT".into(),
            id,
            order_id: 1,
            price: price.parse().unwrap(),
            qty: qty.parse().unwrap(),
            commission: commission.parse().unwrap(),
            commission_asset: asset.into(),
            time: 0,
            realized_pnl: Money::ZERO,
            buyer,
        }
    }

    #[test]
    fn what_no_execution_explains_came_from_outside() {
        let mut book = CashBook::new(Market::Spot, 1, Money::ZERO);
        let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
        let mut see = |cash: &str, trades: &[TradeState]| {
            book.explain(cash.parse().unwrap(), "USDT", &[trades.to_vec()], 500, Nanos(1));
            book.total().to_string()
        };
        assert_eq!(see("1000", &trades), "0", "what was before is not judged");
        trades.push(trade(8, true, "50000.5", "0.01", "0.00001", "BTC"));
        assert_eq!(see("499.995", &trades), "0", "bought, commission in what was bought");
        trades.push(trade(9, false, "51000", "0.01", "0.51", "USDT"));
        assert_eq!(see("1009.485", &trades), "0", "sold, commission in cash is a cost, not a withdrawal");
        assert_eq!(see("909.485", &trades), "-100", "withdrawn");
        trades.push(trade(10, false, "51000", "0.01", "0", "BNB"));
        assert_eq!(see("1669.485", &trades), "150", "sold and deposited 250 at once");
        trades.push(trade(11, false, "0.33333333", "0.1", "0", "BNB"));
        assert_eq!(see("1669.51833334", &trades), "150", "a rounding is no deposit");
        assert!(book.is_explained("1669.51833334".parse().unwrap()));
    }

    #[test]
    fn a_book_that_goes_on_finds_what_moved_in_between_and_nothing_twice() {
        let symbols = ["BTCUSDT".to_owned()];
        let resumed = |mark: &CashMark, symbols: &[String]| {
            let bytes = serde_json::to_vec(mark).unwrap();
            let mut book = CashBook::new(Market::Spot, symbols.len(), Money::whole(7));
            book.go_on(serde_json::from_slice(&bytes).unwrap(), symbols);
            book
        };
        let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
        let mut book = CashBook::new(Market::Spot, 1, Money::whole(7));
        assert_eq!(book.mark(&symbols), None, "nothing is known yet");
        book.explain(Money::whole(1000), "USDT", &[trades.clone()], 500, Nanos(1));
        book.explain(Money::whole(1100), "USDT", &[trades.clone()], 500, Nanos(2));
        assert_eq!(book.total(), Money::whole(107), "it goes on from what was counted before");
        let mark = book.mark(&symbols).unwrap();
        // While nobody looked: one bought for 500, 50 withdrawn.
        trades.push(trade(8, true, "50000", "0.01", "0", "BTC"));
        for _ in 0..2 {
            let mut book = resumed(&mark, &symbols);
            assert!(book.is_explained(Money::whole(1100)));
            book.explain(Money::whole(550), "USDT", &[trades.clone()], 500, Nanos(9));
            assert_eq!(book.total(), Money::whole(57), "the same from the same mark, however often");
        }
        let mut other = resumed(&mark, &["ETHUSDT".to_owned()]);
        other.explain(Money::whole(550), "USDT", &[trades.clone()], 500, Nanos(9));
        assert_eq!(other.total(), Money::whole(7), "other symbols: it begins with what it finds");
    }

    #[test]
    fn a_venue_that_begins_anew_is_not_judged_by_its_old_executions() {
        let symbols = ["BTCUSDT".to_owned()];
        let mut before = CashBook::new(Market::Spot, 1, Money::ZERO);
        before.explain(Money::whole(1000), "USDT", &[vec![trade(500, true, "1", "1", "0", "USDT")]], 500, Nanos(1));
        let mut book = CashBook::new(Market::Spot, 1, Money::ZERO);
        book.go_on(before.mark(&symbols).unwrap(), &symbols);
        let mut trades = vec![];
        book.explain(Money::whole(10_000), "USDT", &[trades.clone()], 500, Nanos(2));
        trades.push(trade(1, true, "50000", "0.01", "0", "BTC"));
        book.explain(Money::whole(9_500), "USDT", &[trades.clone()], 500, Nanos(3));
        assert_eq!(book.total(), Money::ZERO, "neither the new balance nor the first purchase");
        book.explain(Money::whole(9_400), "USDT", &[trades], 500, Nanos(4));
        assert_eq!(book.total(), Money::whole(-100), "from there on it accounts again");
    }

    #[test]
    fn an_answer_that_may_hide_executions_says_nothing() {
        let mut book = CashBook::new(Market::Spot, 1, Money::ZERO);
        book.explain(Money::whole(1000), "USDT", &[vec![]], 2, Nanos(1));
        let trades = vec![trade(8, true, "10", "1", "0", "USDT"), trade(9, true, "10", "1", "0", "USDT")];
        book.explain(Money::whole(900), "USDT", &[trades.clone()], 2, Nanos(1));
        assert_eq!(book.total(), Money::ZERO);
        book.explain(Money::whole(950), "USDT", &[trades], 2, Nanos(1));
        assert_eq!(book.total(), Money::whole(50), "from there on it accounts again");
    }

    fn income(kind: &str, number: u64, amount: &str) -> IncomeState {
        IncomeState {
            income_type: kind.into(),
            income: amount.parse().unwrap(),
            asset: "USDT".into(),
            time: 0,
            tran_id: number.to_string(),
        }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn on_futures_only_what_the_venue_calls_a_transfer_is_one() {
        let at = |seconds: u64| Nanos(1_000 * SECOND + seconds * SECOND);
        let mut book = CashBook::new(Market::UsdMFutures, 1, Money::ZERO);
        let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
        let see = |book: &mut CashBook, cash: &str, trades: &[TradeState], now| {
            book.explain(cash.parse().unwrap(), "USDT", &[trades.to_vec()], 500, now);
            book.question(now)
        };
        assert_eq!(see(&mut book, "1000", &trades, at(0)), None, "what was before is not judged");
        trades.push(TradeState {
            realized_pnl: "-30".parse().unwrap(),
            ..trade(8, false, "50000", "0.01", "0.5", "USDT")
        });
        assert_eq!(see(&mut book, "969.5", &trades, at(1)), None, "a loss and its commission explain themselves");
        // Funding, and a withdrawal that the list does not show yet.
        assert_eq!(see(&mut book, "868.5", &trades, at(2)), Some(Nanos(at(1).0 - OVERLAP.0)));
        let funding = income("FUNDING_FEE", 1, "-1");
        book.learn("USDT", std::slice::from_ref(&funding));
        assert_eq!((book.total(), book.question(at(3))), (Money::ZERO, None), "not asked again at once");
        assert!(book.question(at(4)).is_some());
        assert!(book.is_open(at(6)) && !book.is_open(at(7)), "the read is held back, and not for ever");
        let list = [funding, income("COMMISSION", 9, "-0.5"), income("TRANSFER", 1, "-100")];
        book.learn("USDT", &list);
        assert_eq!((book.total(), book.is_open(at(4))), (Money::whole(-100), false));
        assert_eq!(see(&mut book, "768.5", &trades, at(8)), Some(Nanos(at(2).0 - OVERLAP.0)));
        book.learn("USDT", &list);
        assert_eq!(book.total(), Money::whole(-100), "counted once");
        assert_eq!(book.question(at(69)), None, "what is not found for a minute is a loss");
        book.learn("USDT", &[income("TRANSFER", 2, "-100")]);
        assert_eq!(book.total(), Money::whole(-100));
    }

    #[test]
    fn a_transfer_from_before_the_book_explains_nothing() {
        let mut book = CashBook::new(Market::UsdMFutures, 1, Money::ZERO);
        book.explain(Money::whole(1000), "USDT", &[vec![]], 500, Nanos(100 * SECOND));
        book.explain(Money::whole(1500), "USDT", &[vec![]], 500, Nanos(101 * SECOND));
        assert!(book.question(Nanos(101 * SECOND)).is_some());
        book.learn("USDT", &[income("TRANSFER", 1, "-4000"), income("TRANSFER", 2, "500")]);
        assert_eq!(book.total(), Money::whole(500));
    }
}

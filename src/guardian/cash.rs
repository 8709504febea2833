//! Deposits and withdrawals of a spot account, found by accounting: a change of cash that no execution
//! explains came from outside. Commission, and whatever else trading costs, stays profit and loss.

use crate::core::{Money, Qty, SCALE};
use crate::venue::binance::rest::TradeState;

/// What the venue may have rounded an execution's value by, units of 1e-8.
const ROUNDING: i64 = 2;

/// The cash of one quote asset, explained.
#[derive(Clone, Debug, Default)]
pub(super) struct CashBook {
    cash: Option<Money>,
    /// The last execution of each symbol that is accounted for.
    last: Vec<Option<u64>>,
    /// Deposits minus withdrawals since this book was opened.
    total: Money,
}

impl CashBook {
    pub(super) fn new(symbols: usize) -> Self {
        Self { cash: None, last: vec![None; symbols], total: Money::ZERO }
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
    /// may hide others, and then nothing can be said of what moved.
    pub(super) fn explain(&mut self, cash: Money, quote: &str, trades: &[Vec<TradeState>], full: usize) {
        let mut flow = 0i128;
        let (mut new, mut hidden) = (0, false);
        for (last, trades) in self.last.iter_mut().zip(trades) {
            let fresh: Vec<&TradeState> =
                trades.iter().filter(|trade| last.is_none_or(|last| trade.id > last)).collect();
            hidden |= fresh.len() >= full;
            new += fresh.len() as i64;
            flow += fresh.iter().map(|trade| flow_of(trade, quote)).sum::<i128>();
            // An account that never traded begins before the first execution.
            *last = trades.last().map(|trade| trade.id).or(*last).or(Some(0));
        }
        if let Some(before) = self.cash.filter(|_| !hidden) {
            let moved = i128::from(cash.units()) - i128::from(before.units()) - flow;
            let explained = moved.abs() <= i128::from(ROUNDING * new);
            if let Some(total) = i64::try_from(moved).ok().and_then(|moved| self.total.units().checked_add(moved)) {
                self.total = if explained { self.total } else { Money::from_units(total) };
            }
        }
        self.cash = Some(cash);
    }
}

/// What an execution did to the cash, units of 1e-8, its commission included where that was paid in cash.
fn flow_of(trade: &TradeState, quote: &str) -> i128 {
    let value = i128::from(trade.price.units()) * i128::from(trade.qty.units()) / i128::from(SCALE);
    let commission = if trade.commission_asset == quote { trade.commission } else { Qty::ZERO };
    let signed = if trade.buyer { -value } else { value };
    signed - i128::from(commission.units())
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
            buyer,
        }
    }

    #[test]
    fn what_no_execution_explains_came_from_outside() {
        let mut book = CashBook::new(1);
        let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
        let mut see = |cash: &str, trades: &[TradeState]| {
            book.explain(cash.parse().unwrap(), "USDT", &[trades.to_vec()], 500);
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
    fn an_answer_that_may_hide_executions_says_nothing() {
        let mut book = CashBook::new(1);
        book.explain(Money::whole(1000), "USDT", &[vec![]], 2);
        let trades = vec![trade(8, true, "10", "1", "0", "USDT"), trade(9, true, "10", "1", "0", "USDT")];
        book.explain(Money::whole(900), "USDT", &[trades], 2);
        assert_eq!(book.total(), Money::ZERO);
        book.explain(Money::whole(950), "USDT", &[vec![]], 2);
        assert_eq!(book.total(), Money::whole(50), "from there on it accounts again");
    }
}

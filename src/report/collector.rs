//! Counts and adds up one session.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;

use crate::core::payload::{
    Action, AlertRecord, Decision, ExitReason, Fill, OrderRole, RefusalRecord, Submit, TradeClosed, TradeCosts,
};
use crate::core::time::{DAY, SECOND};
use crate::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, OrderId, Payload, Price, Qty, Side};

/// One closed trade.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeRecord {
    /// On which instrument.
    pub instrument: InstrumentId,
    /// The side of the position.
    pub side: Side,
    /// Time of the first fill.
    pub opened: Nanos,
    /// Time it was flat again.
    pub closed: Nanos,
    /// Lots.
    pub qty: Qty,
    /// Average entry price.
    pub entry: Price,
    /// Average exit price.
    pub exit: Price,
    /// Profit before fees.
    pub gross: Money,
    /// Fees.
    pub fees: Money,
    /// Profit after fees.
    pub net: Money,
    /// Worse than the touch at each decision, as money.
    pub slippage: Money,
    /// Why it was closed.
    pub reason: Option<ExitReason>,
}

/// Everything a trader expects to read. Ratios that cannot be computed are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Currency of every amount.
    pub currency: String,
    /// First and last event time.
    pub first: String,
    /// Last event time.
    pub last: String,
    /// Length of the data in hours.
    pub hours: f64,
    /// Events by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Raw signals.
    pub signals: u64,
    /// Signals that the gate let pass.
    pub executed: u64,
    /// Highest probability the gate gave.
    pub highest_probability: Option<f32>,
    /// Reasons for not trading.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Things a person must see.
    pub alerts: BTreeMap<String, u64>,
    /// Orders sent.
    pub orders: u64,
    /// Filled over wanted quantity of entries. A retry serves the same intent and is not wanted twice.
    pub entry_fill_ratio: Option<f64>,
    /// Closed trades.
    pub trades: u64,
    /// Winners over all, after fees.
    pub win_rate: Option<f64>,
    /// Profit before fees.
    pub gross: Money,
    /// Fees.
    pub fees: Money,
    /// Profit after fees.
    pub net: Money,
    /// Average winner.
    pub average_win: Option<f64>,
    /// Average loser.
    pub average_loss: Option<f64>,
    /// Sum of winners over sum of losers; absent without losers.
    pub profit_factor: Option<f64>,
    /// Average net profit of a trade.
    pub expectancy: Option<f64>,
    /// Average slippage of a trade.
    pub average_slippage: Option<f64>,
    /// Average holding time in seconds.
    pub average_hold_seconds: Option<f64>,
    /// Trades by reason of exit.
    pub exits: BTreeMap<&'static str, u64>,
    /// Equity at the start.
    pub start_equity: Money,
    /// Lots still open at the end: their unrealised profit is in the end equity and in no trade.
    pub open_lots: Qty,
    /// Equity at the end.
    pub end_equity: Money,
    /// Largest fall of equity from a peak.
    pub max_drawdown: Money,
    /// Largest fall in percent of the peak before it; not always the same fall.
    pub max_drawdown_percent: f64,
    /// Annualised Sharpe ratio.
    pub sharpe: Option<f64>,
    /// Annualised Sortino ratio.
    pub sortino: Option<f64>,
    /// How the two were annualised, in words.
    pub annualisation: String,
}

/// Listens to a session.
pub struct Collector {
    counts: [u64; 256],
    first: Nanos,
    last: Nanos,
    summary: Summary,
    entry_orders: BTreeSet<OrderId>,
    wanted: i128,
    filled: i128,
    executions: BTreeSet<(InstrumentId, u64)>,
    pending: Option<(Event, TradeClosed)>,
    trades: Vec<TradeRecord>,
    equity: Vec<(Nanos, Money)>,
    peak: Money,
}

impl Collector {
    /// A collector for an account that starts with this balance.
    pub fn new(_instruments: &InstrumentTable, start_balance: Money, currency: &str) -> Self {
        let summary = Summary { currency: currency.to_owned(), start_equity: start_balance, ..Summary::default() };
        Self {
            counts: [0; 256],
            first: Nanos::NONE,
            last: Nanos::NONE,
            summary,
            entry_orders: BTreeSet::new(),
            wanted: 0,
            filled: 0,
            executions: BTreeSet::new(),
            pending: None,
            trades: Vec::new(),
            equity: Vec::new(),
            peak: start_balance,
        }
    }

    /// One input.
    #[inline]
    pub fn on_input(&mut self, event: &Event) {
        self.counts[event.kind as usize] += 1;
        if matches!(event.kind, EventKind::Quote | EventKind::Trade) {
            self.last = event.local_ns;
            if self.first == Nanos::NONE {
                self.first = event.local_ns;
            }
        } else if event.kind == EventKind::Fill {
            let fill = Fill::of(event);
            if self.entry_orders.contains(&fill.order) && self.executions.insert((event.instrument, fill.execution)) {
                self.filled += i128::from(fill.qty.units());
            }
        }
    }

    /// One decision of the engine.
    pub fn on_output(&mut self, event: &Event) {
        let summary = &mut self.summary;
        match event.kind {
            EventKind::Signal => summary.signals += 1,
            EventKind::Decision => {
                let decision = Decision::of(event);
                summary.executed += u64::from(!matches!(decision.action, Some(Action::NoAction) | None));
                if decision.probability.is_finite() {
                    let highest = summary.highest_probability.unwrap_or(0.0).max(decision.probability);
                    summary.highest_probability = Some(highest);
                }
            }
            EventKind::Refusal => {
                let name = RefusalRecord::of(event).reason.map_or("unknown", |reason| reason.name());
                *summary.refusals.entry(name).or_default() += 1;
            }
            EventKind::Alert => {
                let name = AlertRecord::of(event).code.map_or("unknown", |code| code.name());
                *summary.alerts.entry(name.to_owned()).or_default() += 1;
            }
            EventKind::Submit => {
                summary.orders += 1;
                let submit = Submit::of(event);
                if submit.role == OrderRole::Entry {
                    if submit.attempt == 1 {
                        self.wanted += i128::from(submit.qty.units());
                    }
                    self.entry_orders.insert(submit.order);
                }
            }
            EventKind::TradeClosed => self.pending = Some((*event, TradeClosed::of(event))),
            EventKind::TradeCosts => self.on_costs(&TradeCosts::of(event)),
            _ => {}
        }
    }

    fn on_costs(&mut self, costs: &TradeCosts) {
        let Some((event, closed)) = self.pending.take() else { return };
        // A net that leaves its range must not look like a good trade.
        let net = costs.gross.checked_sub(costs.fees).unwrap_or(Money::from_units(i64::MIN));
        self.trades.push(TradeRecord {
            instrument: event.instrument,
            side: Side::from_flags(event.flags).unwrap_or(Side::Buy),
            opened: closed.opened,
            closed: event.local_ns,
            qty: closed.qty,
            entry: closed.entry,
            exit: closed.exit,
            gross: costs.gross,
            fees: costs.fees,
            net,
            slippage: costs.slippage,
            reason: costs.reason,
        });
    }

    /// Equity at an instant; instants do not go back.
    pub fn on_equity(&mut self, now: Nanos, equity: Money) {
        self.equity.push((now, equity));
        self.peak = self.peak.max(equity);
        let fall = self.peak.checked_sub(equity).unwrap_or(Money::MAX);
        self.summary.max_drawdown = self.summary.max_drawdown.max(fall);
        if self.peak.is_positive() {
            let percent = 100.0 * fall.to_f64() / self.peak.to_f64();
            self.summary.max_drawdown_percent = self.summary.max_drawdown_percent.max(percent);
        }
    }

    /// Every closed trade so far.
    pub fn trades(&self) -> &[TradeRecord] {
        &self.trades
    }

    /// The summary.
    pub fn finish(mut self, end_equity: Money, open_lots: Qty) -> Summary {
        let trades = std::mem::take(&mut self.trades);
        let mut summary = self.summary;
        summary.end_equity = end_equity;
        summary.open_lots = open_lots;
        (summary.first, summary.last) = (self.first.to_string(), self.last.to_string());
        let span = self.last.since(self.first);
        summary.hours = span.as_seconds() / 3600.0;
        for kind in EventKind::ALL {
            if self.counts[*kind as usize] > 0 {
                summary.events.insert(kind.name(), self.counts[*kind as usize]);
            }
        }
        let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        summary.entry_fill_ratio = ratio(self.filled as f64, self.wanted as f64);
        let count = trades.len() as f64;
        let sum = |amount: fn(&TradeRecord) -> Money| {
            let units = trades.iter().map(|trade| i128::from(amount(trade).units())).sum::<i128>();
            let limit = if units < 0 { i64::MIN } else { i64::MAX };
            Money::from_units(i64::try_from(units).unwrap_or(limit))
        };
        (summary.gross, summary.fees, summary.net) = (sum(|t| t.gross), sum(|t| t.fees), sum(|t| t.net));
        let nets = || trades.iter().map(|trade| trade.net.to_f64());
        let wins: Vec<f64> = nets().filter(|net| *net > 0.0).collect();
        let losses: Vec<f64> = nets().filter(|net| *net < 0.0).collect();
        let (won, lost) = (wins.iter().sum::<f64>(), -losses.iter().sum::<f64>());
        summary.trades = trades.len() as u64;
        summary.win_rate = ratio(wins.len() as f64, count);
        summary.average_win = ratio(won, wins.len() as f64);
        summary.average_loss = ratio(-lost, losses.len() as f64);
        summary.profit_factor = ratio(won, lost);
        summary.expectancy = ratio(summary.net.to_f64(), count);
        summary.average_slippage = ratio(sum(|t| t.slippage).to_f64(), count);
        let held: f64 = trades.iter().map(|trade| trade.closed.since(trade.opened).as_seconds()).sum();
        summary.average_hold_seconds = ratio(held, count);
        for trade in &trades {
            *summary.exits.entry(trade.reason.map_or("unknown", |reason| reason.name())).or_default() += 1;
        }
        let (interval, word) = match span.0 {
            span if span >= 20 * DAY => (DAY, "daily"),
            span if span >= 20 * 3600 * SECOND => (3600 * SECOND, "hourly"),
            _ => (60 * SECOND, "one-minute"),
        };
        let yearly = (365.0 * DAY as f64 / interval as f64).sqrt();
        summary.annualisation = format!("{word} returns x sqrt(intervals in 365 days) = {yearly:.1}; risk-free 0");
        (summary.sharpe, summary.sortino) = risk_ratios(&returns(&self.equity, interval), yearly);
        summary
    }
}

/// Most intervals that ratios are computed over: 19 years of minutes. More is a wrong time stamp.
const MOST_INTERVALS: u64 = 10_000_000;

/// Relative changes of equity from interval to interval, the last sample of each. Begins with the
/// first interval and ends with the last one, of which only a part may be covered.
fn returns(equity: &[(Nanos, Money)], interval: u64) -> Vec<f64> {
    let Some(&(start, first)) = equity.first() else { return Vec::new() };
    let last = equity.last().map_or(start, |(last, _)| *last);
    if last.since(start).0 / interval > MOST_INTERVALS {
        return Vec::new();
    }
    let (mut slot, mut previous, mut current) = (start.0 / interval, first.to_f64(), first.to_f64());
    let mut changes = Vec::new();
    for (now, sample) in equity {
        while now.0 / interval > slot {
            changes.push(current / previous - 1.0);
            previous = current;
            slot += 1;
        }
        current = sample.to_f64();
    }
    changes.push(current / previous - 1.0);
    changes
}

/// Sharpe and Sortino; absent under 10 returns or without deviation.
fn risk_ratios(returns: &[f64], yearly: f64) -> (Option<f64>, Option<f64>) {
    if returns.len() < 10 || returns.iter().any(|change| !change.is_finite()) {
        return (None, None);
    }
    let count = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / count;
    let deviation = (returns.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / (count - 1.0)).sqrt();
    let downside = (returns.iter().map(|r| r.min(0.0) * r.min(0.0)).sum::<f64>() / count).sqrt();
    let ratio = |risk: f64| (risk > 0.0).then(|| mean / risk * yearly);
    (ratio(deviation), ratio(downside))
}

/// Writes closed trades as CSV with a header.
///
/// # Errors
/// The output cannot be written.
pub fn write_trades_csv(trades: &[TradeRecord], instruments: &InstrumentTable, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "instrument,side,opened,closed,lots,entry,exit,gross,fees,net,slippage,reason")?;
    for trade in trades {
        let symbol = instruments.get(trade.instrument).map_or("?", |instrument| instrument.spec().symbol.as_str());
        writeln!(
            out,
            "{symbol},{},{},{},{},{},{},{},{},{},{},{}",
            trade.side.name(),
            trade.opened,
            trade.closed,
            trade.qty,
            trade.entry,
            trade.exit,
            trade.gross,
            trade.fees,
            trade.net,
            trade.slippage,
            trade.reason.map_or("unknown", |reason| reason.name())
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equity(values: &[i64]) -> Vec<(Nanos, Money)> {
        values.iter().enumerate().map(|(i, v)| (Nanos(i as u64 * 60 * SECOND + 1), Money::whole(*v))).collect()
    }

    #[test]
    fn the_drawdown_is_measured_from_the_highest_peak_before_it() {
        let mut collector = Collector::new(&InstrumentTable::default(), Money::whole(100), "USD");
        for (now, value) in equity(&[100, 120, 90, 130, 104]) {
            collector.on_equity(now, value);
        }
        let summary = collector.finish(Money::whole(104), Qty::ZERO);
        assert_eq!((summary.max_drawdown, summary.max_drawdown_percent), (Money::whole(30), 25.0));
    }

    #[test]
    fn the_worst_percentage_is_not_hidden_by_a_larger_amount() {
        let mut collector = Collector::new(&InstrumentTable::default(), Money::whole(10), "USD");
        for (now, value) in equity(&[10, 1, 1000, 900]) {
            collector.on_equity(now, value);
        }
        let summary = collector.finish(Money::whole(900), Qty::ZERO);
        assert_eq!((summary.max_drawdown, summary.max_drawdown_percent), (Money::whole(100), 90.0));
    }

    #[test]
    fn sharpe_is_the_one_computed_by_hand() {
        let changes = [0.01, -0.01, 0.02, 0.0, 0.01, -0.02, 0.03, 0.0, 0.01, 0.01];
        let (sharpe, sortino) = risk_ratios(&changes, 2.0);
        // mean 0.006; squared deviations sum to 0.00184; downside squares sum to 0.0005.
        assert!((sharpe.unwrap() - 0.006 / (0.001_84f64 / 9.0).sqrt() * 2.0).abs() < 1e-9);
        assert!((sortino.unwrap() - 0.006 / (0.000_5f64 / 10.0).sqrt() * 2.0).abs() < 1e-9);
        assert_eq!(risk_ratios(&changes[..9], 1.0), (None, None));
        assert_eq!(risk_ratios(&[0.0; 20], 1.0), (None, None));
    }

    #[test]
    fn an_interval_without_a_sample_has_a_return_of_zero() {
        let samples = [(Nanos(1), Money::whole(100)), (Nanos(3 * 60 * SECOND), Money::whole(110))];
        let changes = returns(&samples, 60 * SECOND);
        assert_eq!(changes.len(), 4);
        assert!((changes[3] - 0.1).abs() < 1e-12 && changes[..3] == [0.0; 3]);
    }

    #[test]
    fn a_time_stamp_in_the_far_future_costs_no_memory() {
        let samples = [(Nanos(1), Money::whole(100)), (Nanos(u64::MAX), Money::whole(110))];
        assert!(returns(&samples, 60 * SECOND).is_empty());
    }

    #[test]
    fn a_retry_that_fills_is_a_full_fill() {
        let mut collector = Collector::new(&InstrumentTable::default(), Money::whole(1), "USD");
        let id = InstrumentId(0);
        for attempt in 1..=2u8 {
            let submit = Submit {
                order: OrderId::new(1, u32::from(attempt)),
                price: Price::whole(1),
                qty: Qty::whole(1),
                tif: crate::core::payload::TimeInForce::Ioc,
                role: OrderRole::Entry,
                attempt,
                intent: 1,
            };
            collector.on_output(&submit.event(EventKind::Submit, id, Nanos(1), Nanos(1)));
        }
        for execution in [9, 8, 9] {
            let qty = Qty::from_units(Qty::whole(1).units() / 2);
            let fill = Fill { order: OrderId::new(1, 2), execution, price: Price::whole(1), qty };
            collector.on_input(&fill.event(EventKind::Fill, id, Nanos(1), Nanos(1)));
        }
        assert_eq!(collector.finish(Money::whole(1), Qty::ZERO).entry_fill_ratio, Some(1.0));
    }

    #[test]
    fn an_empty_run_makes_valid_json() {
        let summary =
            Collector::new(&InstrumentTable::default(), Money::whole(1), "USD").finish(Money::whole(1), Qty::ZERO);
        assert!(!serde_json::to_string(&summary).unwrap().contains("NaN"));
    }
}

//! The simulated exchange: one matching core in virtual time. Deterministic; allocates nothing in
//! steady state.
//!
//! Why a fill happens here:
//! - An order arrives one latency after it was sent and meets the touch *of that instant*.
//! - An IOC trades against the touch if its limit allows, up to the size that is left there (a size
//!   of 0 means the source does not tell, and counts as enough); what does not trade lapses. Size
//!   that was taken is gone until a quote changes that side.
//! - A LIMIT trades its marketable part the same way and rests with the remainder. A resting buy
//!   fills at its limit when a later ask is at or below it, or when a public trade prints strictly
//!   below it. A trade at exactly the limit does not fill: we are last in the queue.
//! - Resting orders are served by price and then by age. Fills are whole lot steps, so that what
//!   is left can always be traded.
//! - A FOK trades wholly or not at all, a post-only order is refused if it would trade, a market
//!   order trades against the touch like an IOC without a limit.
//! - `slippage_points` worsens the price, never beyond the limit.
//! - Refused: a price off the tick, a quantity off the step or outside the lot limits (an exit may
//!   be below the minimum), a value beyond the range of money, the name of an order still open.
//! - Crossed and non-positive quotes are no market and are ignored.
//!
//! Reports arrive one latency later and never overtake each other.

mod matching;
pub mod synthetic;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use crate::core::payload::{Fee, Fill, OrderAck, OrderDone, OrderReject, RejectCode};
use crate::core::{
    Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, OrderId, Payload, Price, Qty, Side, Span,
};

use super::random::Random;
pub use matching::{Matcher, Order, OrderKind, RESTING, Verdict};

/// How the simulated exchange behaves.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaperParams {
    /// Seed of everything random.
    pub seed: u64,
    /// From the engine to the venue.
    pub latency_to_venue: Span,
    /// From the venue to the engine.
    pub latency_from_venue: Span,
    /// Uniform extra, 0 to this, each way.
    pub latency_jitter: Span,
    /// Fee in basis points of the notional, per fill.
    pub fee_basis_points: Price,
    /// Commission per lot and side, in the account's currency.
    pub commission_per_lot: Money,
    /// Every fill against the touch is this many points worse.
    pub slippage_points: i64,
    /// Probability that an order is refused.
    pub reject_probability: f64,
    /// Probability that an order is answered with a new price.
    pub requote_probability: f64,
}

impl Default for PaperParams {
    fn default() -> Self {
        Self {
            seed: 1,
            latency_to_venue: Span::millis(2),
            latency_from_venue: Span::millis(2),
            latency_jitter: Span::ZERO,
            fee_basis_points: Price::ZERO,
            commission_per_lot: Money::ZERO,
            slippage_points: 0,
            reject_probability: 0.0,
            requote_probability: 0.0,
        }
    }
}

/// A parameter that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("paper.{field}: expected {expected}, found {found}")]
pub struct PaperError {
    field: &'static str,
    expected: &'static str,
    found: String,
}

impl PaperParams {
    /// Checks every field that has a range.
    ///
    /// # Errors
    /// Names the first field that is out of it.
    pub fn check(&self) -> Result<(), PaperError> {
        let probability = |value: f64| (0.0..=1.0).contains(&value);
        let rules: [(bool, &'static str, &'static str, String); 5] = [
            (probability(self.reject_probability), "reject_probability", "0 to 1", self.reject_probability.to_string()),
            (
                probability(self.requote_probability),
                "requote_probability",
                "0 to 1",
                self.requote_probability.to_string(),
            ),
            (
                (0..=1_000_000).contains(&self.slippage_points),
                "slippage_points",
                "0 to 1000000 points",
                self.slippage_points.to_string(),
            ),
            (
                self.fee_basis_points >= Price::ZERO && self.fee_basis_points <= Price::whole(10_000),
                "fee_basis_points",
                "0 to 10000",
                self.fee_basis_points.to_string(),
            ),
            (
                self.commission_per_lot >= Money::ZERO,
                "commission_per_lot",
                "0 or more",
                self.commission_per_lot.to_string(),
            ),
        ];
        match rules.into_iter().find(|(good, ..)| !good) {
            Some((_, field, expected, found)) => Err(PaperError { field, expected, found }),
            None => Ok(()),
        }
    }
}

/// Room for arrivals and reports under way; beyond it the queue grows, which only costs time.
const QUEUE: usize = 1024;

/// The simulated exchange.
pub struct PaperVenue {
    params: PaperParams,
    instruments: InstrumentTable,
    matcher: Matcher,
    random: Random,
    arrivals: BinaryHeap<Reverse<(Nanos, u64, usize)>>,
    commands: Vec<Option<Event>>,
    reports: std::collections::VecDeque<Event>,
    queued: u64,
    last_arrival: Nanos,
    last_report: Nanos,
    executions: u64,
    verdicts: Vec<(InstrumentId, Verdict)>,
}

impl PaperVenue {
    /// A venue with no market yet.
    ///
    /// # Errors
    /// A parameter out of its range.
    pub fn new(params: &PaperParams, instruments: &InstrumentTable) -> Result<Self, PaperError> {
        params.check()?;
        Ok(Self {
            matcher: Matcher::new(instruments, params.slippage_points, RESTING),
            random: Random::new(params.seed),
            params: params.clone(),
            instruments: instruments.clone(),
            arrivals: BinaryHeap::with_capacity(QUEUE),
            commands: vec![None; QUEUE],
            reports: std::collections::VecDeque::with_capacity(QUEUE),
            queued: 0,
            last_arrival: Nanos::NONE,
            last_report: Nanos::NONE,
            executions: 0,
            verdicts: Vec::with_capacity(QUEUE),
        })
    }

    /// A market event; arrivals due before it have been taken with [`PaperVenue::take_due`].
    #[inline]
    pub fn on_market(&mut self, event: &Event) {
        self.matcher.on_market(event, &mut self.verdicts);
        if !self.verdicts.is_empty() {
            self.report_verdicts(event.local_ns);
        }
    }

    /// A command leaves the engine at `now`.
    pub fn on_command(&mut self, command: &Event, now: Nanos) {
        let delay = self.delay(self.params.latency_to_venue);
        let slot = self.commands.iter().position(Option::is_none).unwrap_or_else(|| {
            self.commands.push(None);
            self.commands.len() - 1
        });
        self.commands[slot] = Some(*command);
        self.queued += 1;
        // One connection: a cancel never overtakes the order it is about.
        self.last_arrival = now.plus(delay).max(self.last_arrival);
        self.arrivals.push(Reverse((self.last_arrival, self.queued, slot)));
    }

    fn delay(&mut self, base: Span) -> Span {
        Span(base.0.saturating_add(self.random.below(self.params.latency_jitter.0)))
    }

    /// The earliest arrival or report under way; [`Nanos::MAX`] when none.
    #[inline]
    pub fn next_due(&self) -> Nanos {
        let arrival = self.arrivals.peek().map_or(Nanos::MAX, |Reverse((due, ..))| *due);
        self.reports.front().map_or(arrival, |report| report.local_ns.min(arrival))
    }

    /// The next report due at or before `now`; arrivals due by then are matched on the way.
    pub fn take_due(&mut self, now: Nanos) -> Option<Event> {
        while let Some(Reverse((due, _, slot))) = self.arrivals.peek().copied().filter(|Reverse((due, ..))| *due <= now)
        {
            self.arrivals.pop();
            if let Some(command) = self.commands[slot].take() {
                self.arrive(&command, due);
            }
        }
        if self.reports.front().is_some_and(|report| report.local_ns <= now) { self.reports.pop_front() } else { None }
    }

    fn arrive(&mut self, command: &Event, now: Nanos) {
        if command.kind == EventKind::Submit {
            self.arrive_order(command);
        } else {
            self.matcher.cancel_or_query(command, &mut self.verdicts);
        }
        self.report_verdicts(now);
    }

    fn arrive_order(&mut self, command: &Event) {
        let (id, order) = (command.instrument, OrderId(command.payload[0]));
        let mut refuse = |code, price| self.verdicts.push((id, Verdict::Rejected { order, code, price }));
        if self.random.chance(self.params.reject_probability) {
            return refuse(RejectCode::Other, Price::ZERO);
        }
        if self.random.chance(self.params.requote_probability) {
            let offer = self.matcher.touch(id).zip(Side::from_flags(command.flags)).map(|(touch, side)| match side {
                Side::Buy => touch.ask,
                Side::Sell => touch.bid,
            });
            return match offer {
                Some(price) => refuse(RejectCode::Requote, price),
                None => refuse(RejectCode::NoMarket, Price::ZERO),
            };
        }
        self.matcher.on_submit(command, &mut self.verdicts);
    }

    /// Turns what the matcher decided into reports on their way to the engine.
    fn report_verdicts(&mut self, now: Nanos) {
        let mut verdicts = std::mem::take(&mut self.verdicts);
        for (id, verdict) in verdicts.drain(..) {
            let delay = self.delay(self.params.latency_from_venue);
            let due = now.plus(delay).max(self.last_report);
            self.last_report = due;
            let event = match verdict {
                Verdict::Accepted { order } => {
                    OrderAck { order, venue_order: order.0 }.event(EventKind::OrderAccepted, id, now, due)
                }
                Verdict::Rejected { order, code, price } => {
                    OrderReject { order, code: Some(code), price }.event(EventKind::OrderRejected, id, now, due)
                }
                Verdict::Done { order, filled, kind } => OrderDone { order, filled }.event(kind, id, now, due),
                Verdict::Filled { order, price, qty, .. } => {
                    self.executions += 1;
                    let execution = self.executions;
                    self.reports.push_back(Fill { order, execution, price, qty }.event(EventKind::Fill, id, now, due));
                    let amount = self.fee(id, price, qty);
                    if amount.is_zero() {
                        continue;
                    }
                    Fee { order, execution, amount, base: Qty::ZERO }.event(EventKind::Fee, id, now, due)
                }
            };
            self.reports.push_back(event);
        }
        self.verdicts = verdicts;
    }

    /// Basis points of the notional plus commission, rounded up: in the venue's favour. A fee that
    /// leaves the range of [`Money`] is its largest value, so that nobody trades for nothing.
    fn fee(&self, id: InstrumentId, price: Price, qty: Qty) -> Money {
        let ceil = |numerator: i128, denominator: i128| -((-numerator).div_euclid(denominator));
        let scale = i128::from(crate::core::SCALE);
        let notional = self.instruments.get(id).and_then(|instrument| instrument.notional(price, qty));
        let points = match notional {
            _ if self.params.fee_basis_points.is_zero() => 0,
            Some(notional) => i128::from(notional.units()) * i128::from(self.params.fee_basis_points.units()),
            None => return Money::MAX,
        };
        let commission = i128::from(self.params.commission_per_lot.units()) * i128::from(qty.units());
        let units = ceil(points, 10_000 * scale) + ceil(commission, scale);
        Money::from_units(i64::try_from(units).unwrap_or(i64::MAX))
    }
}

//! The pre-trade checks of an entry: pure functions of what is known, each with its own reason.
//!
//! Exits pass none of them: a check must never stand between a position and its end.

use crate::core::fetch::fetch;
use crate::core::payload::Refusal;
use crate::core::{Instrument, Money, Nanos, Price, Qty, Side, Span};

use super::book::{Book, Phase};
use super::params::{MAX_ORDER_RATE, OmsParams};

/// A rule that forbids the entry, with what was found and what was allowed, in the rule's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) reason: Refusal,
    pub(super) found: i64,
    pub(super) limit: i64,
}

/// Shorthand for a broken rule.
pub(super) const fn broken(reason: Refusal, found: i64, limit: i64) -> Broken {
    Broken { reason, found, limit }
}

/// What the guardian last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GuardianView {
    pub(super) last_heard: Nanos,
    pub(super) latched: bool,
}

/// Send times of the last entries, for the order rate. Bounded; allocated once.
#[derive(Debug)]
pub(super) struct RateLimiter {
    sent: Vec<Nanos>,
    next: usize,
    limit: usize,
    window: Span,
}

impl RateLimiter {
    pub(super) fn new(params: &OmsParams) -> Self {
        let limit = params.max_orders.min(MAX_ORDER_RATE) as usize;
        Self { sent: vec![Nanos::NONE; limit], next: 0, limit, window: params.order_rate_window }
    }

    /// Asks for the memory that the next entry's time goes to.
    pub(super) fn fetch(&self) {
        if let Some(place) = self.sent.get(self.next) {
            fetch(place);
        }
    }

    /// As it was after [`RateLimiter::new`].
    pub(super) fn begin_anew(&mut self) {
        let Self { sent, next, limit: _, window: _ } = self;
        sent.fill(Nanos::NONE);
        *next = 0;
    }

    /// Refuses when the order sent `limit` orders ago is still within the window.
    pub(super) fn check(&self, now: Nanos) -> Result<(), Broken> {
        let oldest = self.sent[self.next];
        if oldest != Nanos::NONE && now.since(oldest) < self.window {
            return Err(broken(Refusal::OrderRate, self.limit as i64 + 1, self.limit as i64));
        }
        Ok(())
    }

    pub(super) fn record(&mut self, now: Nanos) {
        self.sent[self.next] = now;
        self.next = (self.next + 1) % self.limit;
    }
}

/// The state of the world must allow an entry: guardian, clocks, data, no order or position alive.
pub(super) fn check_state(
    params: &OmsParams,
    book: &Book,
    guardian: GuardianView,
    side: Side,
    now: Nanos,
) -> Result<(), Broken> {
    if guardian.latched {
        return Err(broken(Refusal::GuardianLatched, 1, 0));
    }
    let silence = now.since(guardian.last_heard);
    if params.guardian_required && silence > params.guardian_timeout {
        return Err(broken(Refusal::GuardianSilent, silence.0 as i64, params.guardian_timeout.0 as i64));
    }
    match &book.phase {
        Phase::Idle | Phase::Settling(_) => {}
        Phase::Entering(order) | Phase::Exiting(order, _) if order.state.is_unknown() => {
            return Err(broken(Refusal::UnknownOrder, 1, 0));
        }
        Phase::Entering(order) if order.side != side => return Err(broken(Refusal::SelfTrade, 1, 0)),
        Phase::Entering(_) | Phase::Holding { .. } | Phase::Exiting(..) => {
            return Err(broken(Refusal::Busy, book.exposure(), 0));
        }
    }
    let age = now.since(book.quoted);
    if book.quoted == Nanos::NONE || age > params.max_quote_age {
        return Err(broken(Refusal::StaleMarketData, age.0 as i64, params.max_quote_age.0 as i64));
    }
    if book.clock_skew > params.max_clock_skew.0 || book.quoted > now {
        return Err(broken(Refusal::Clock, book.clock_skew as i64, params.max_clock_skew.0 as i64));
    }
    if let Some((last_side, sent)) = book.last_entry {
        let since = now.since(sent);
        if last_side == side && since < params.duplicate_window {
            return Err(broken(Refusal::Duplicate, since.0 as i64, params.duplicate_window.0 as i64));
        }
    }
    Ok(())
}

/// `lots = balance * risk_percent / (stop_loss_points * point_value)`, rounded down to the lot step
/// and clamped to the limits (DESIGN section 4).
pub(super) fn size(params: &OmsParams, instrument: &Instrument, balance: Money) -> Result<Qty, Broken> {
    let spec = instrument.spec();
    if !balance.is_positive() {
        return Err(broken(Refusal::NoFunds, balance.units(), 0));
    }
    let overflow = broken(Refusal::Overflow, balance.units(), 0);
    let risked = i128::from(balance.units()) * i128::from(params.risk_percent.units());
    let per_lot = i128::from(params.stop_loss_points)
        .checked_mul(i128::from(spec.point_value.units()))
        .and_then(|value| value.checked_mul(100))
        .ok_or(overflow)?;
    let lots = i64::try_from(risked / per_lot).unwrap_or(i64::MAX);
    let capped = Qty::from_units(lots).min(spec.max_lot).min(params.max_order_lots);
    let stepped = capped.floor_to(spec.lot_step).ok_or(overflow)?;
    if stepped < spec.min_lot {
        return Err(broken(Refusal::BelowMinimumLot, stepped.units(), spec.min_lot.units()));
    }
    Ok(stepped)
}

/// The limits on one order: notional, open lots over all instruments, price collar around the mid.
pub(super) fn check_order(
    params: &OmsParams,
    instrument: &Instrument,
    book: &Book,
    open_units: i64,
    price: Price,
    quantity: Qty,
) -> Result<(), Broken> {
    let Some(notional) = instrument.notional(price, quantity) else {
        return Err(broken(Refusal::Overflow, quantity.units(), 0));
    };
    if params.max_notional.is_positive() && notional > params.max_notional {
        return Err(broken(Refusal::Notional, notional.units(), params.max_notional.units()));
    }
    let total = open_units.saturating_add(quantity.units());
    if total > params.max_open_lots.units() {
        return Err(broken(Refusal::OpenLots, total, params.max_open_lots.units()));
    }
    let collar = instrument.points(params.price_collar_points).map_or(i64::MAX, Price::units);
    // Twice the distance from the mid, so that half units stay exact.
    let distance = (i128::from(price.units()) * 2 - i128::from(book.bid_plus_ask())).abs();
    if !price.is_positive() || distance > i128::from(collar) * 2 {
        return Err(broken(Refusal::PriceCollar, i64::try_from(distance / 2).unwrap_or(i64::MAX), collar));
    }
    Ok(())
}

/// A limit price `points` through the far touch, on the tick, rounded to stay marketable.
pub(super) fn marketable_price(instrument: &Instrument, touch: Price, side: Side, points: i64) -> Option<Price> {
    let distance = instrument.points(points)?;
    let tick = instrument.spec().tick_size;
    match side {
        Side::Buy => touch.checked_add(distance)?.ceil_to(tick),
        // Never below one tick: a price of zero is refused everywhere.
        Side::Sell => touch.checked_sub(distance)?.floor_to(tick).map(|price| price.max(tick)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{ContractKind, InstrumentSpec};
    use proptest::prelude::*;

    fn instrument(step: i64, minimum: i64, maximum: i64, point_value: i64) -> Instrument {
        Instrument::new(InstrumentSpec {
            symbol: "TEST".into(),
            tick_size: "0.00001".parse().unwrap(),
            lot_step: Qty::from_units(step),
            min_lot: Qty::from_units(step * minimum),
            max_lot: Qty::from_units(step * (minimum + maximum)),
            point_size: "0.00001".parse().unwrap(),
            point_value: Money::from_units(point_value),
            currency: "USD".into(),
            contract: ContractKind::Linear,
        })
        .unwrap()
    }

    #[test]
    fn the_documented_example_of_sizing_holds() {
        // 10,000 at 1 % risks 100; a stop of 150 points at 1 a point and lot costs 150 a lot.
        let lots = size(&OmsParams::default(), &instrument(1_000_000, 1, 5000, 100_000_000), Money::whole(10_000));
        assert_eq!(lots, Ok("0.66".parse().unwrap()));
    }

    #[test]
    fn an_empty_account_trades_nothing() {
        for balance in [Money::ZERO, Money::whole(-5)] {
            let refused = size(&OmsParams::default(), &instrument(1_000_000, 1, 5000, 100_000_000), balance);
            assert_eq!(refused.unwrap_err().reason, Refusal::NoFunds);
        }
    }

    proptest! {
        #[test]
        fn no_size_is_off_the_step_or_outside_the_limits(
            balance in 1i64..,
            step in 1i64..1_000_000_000,
            minimum in 1i64..100,
            maximum in 0i64..1_000_000,
            point_value in 1i64..1_000_000_000_000,
            stop in 1i64..1_000_000,
        ) {
            let instrument = instrument(step, minimum, maximum, point_value);
            let params = OmsParams { stop_loss_points: stop, ..OmsParams::default() };
            let spec = instrument.spec();
            match size(&params, &instrument, Money::from_units(balance)) {
                Ok(lots) => {
                    prop_assert_eq!(lots.units() % step, 0);
                    prop_assert!(lots >= spec.min_lot && lots <= spec.max_lot && lots <= params.max_order_lots);
                    let risk = i128::from(lots.units()) * i128::from(stop) * i128::from(point_value) * 100;
                    prop_assert!(risk <= i128::from(balance) * i128::from(params.risk_percent.units()));
                }
                Err(refused) => prop_assert_eq!(refused.reason, Refusal::BelowMinimumLot),
            }
        }

        #[test]
        fn marketable_prices_are_on_the_tick_and_reach_the_touch(touch in 1000i64..1_000_000_000_000, points in 0i64..1000) {
            let instrument = instrument(1, 1, 1, 1);
            let tick = instrument.spec().tick_size;
            let touch = Price::from_units(touch);
            let buy = marketable_price(&instrument, touch, Side::Buy, points).unwrap();
            let sell = marketable_price(&instrument, touch, Side::Sell, points).unwrap();
            prop_assert!(buy >= touch && buy.units() % tick.units() == 0);
            prop_assert!(sell.is_positive() && (sell <= touch || sell == tick) && sell.units() % tick.units() == 0);
        }
    }
}

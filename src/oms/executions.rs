//! What the venue says of an order: acknowledged, done, not found, filled, charged. Fills and fees are booked once each,
//! and the phase of the instrument follows.

use crate::core::payload::{AlertCode, ExitReason, Fee, Fill, OrderAck, OrderDone, Refusal, TimeInForce};
use crate::core::{EventKind, InstrumentId, Nanos, OrderId, Qty, Side};

use super::book::{OrderState, Phase, WorkingOrder};
use super::{Oms, Outbox, alert, checks, refuse};

impl Oms {
    pub(super) fn on_accepted(&mut self, id: InstrumentId, ack: OrderAck, now: Nanos) {
        let max_life = self.params.limit_time_to_live;
        let timeout = self.params.acknowledge_timeout;
        let Some(order) = self.books[id.index()].order_mut().filter(|order| order.id == ack.order) else { return };
        match order.state {
            OrderState::Sent => {
                order.state = OrderState::Working;
                // An IOC that neither fills nor lapses in time is as unknown as one never answered.
                let life = if order.time_in_force == TimeInForce::Limit { max_life } else { timeout };
                order.deadline = now.plus(life);
            }
            // Found after all: take it back, whatever it was for.
            OrderState::Unknown { .. } => {
                order.state = OrderState::Working;
                order.deadline = now;
            }
            OrderState::Working | OrderState::Cancelling => {}
        }
    }

    pub(super) fn on_done(&mut self, id: InstrumentId, done: OrderDone, now: Nanos, out: &mut Outbox) {
        let book = &mut self.books[id.index()];
        let Some(order) = book.order_mut().filter(|order| order.id == done.order) else { return };
        if done.filled > order.filled {
            // Fills are still on their way (or were lost): not done until they are booked.
            order.state = order.state.unknown(now);
            order.deadline = now.plus(self.params.acknowledge_timeout);
            return;
        }
        self.order_finished(id, now, out);
    }

    pub(super) fn on_not_found(&mut self, id: InstrumentId, done: OrderDone, now: Nanos, out: &mut Outbox) {
        let Some(order) = self.books[id.index()].order().filter(|order| order.id == done.order) else { return };
        out.push(EventKind::Alert, id, &alert(AlertCode::OrderLost, order.id, 0, order.quantity.units()));
        self.order_finished(id, now, out);
    }

    /// Books a fill. Its order may be the live one, an older one (late), or unknown.
    pub(super) fn on_fill(&mut self, id: InstrumentId, fill: Fill, now: Nanos, out: &mut Outbox) {
        if !fill.qty.is_positive() || !fill.price.is_positive() {
            return out.push(
                EventKind::Alert,
                id,
                &alert(AlertCode::UnknownExecution, fill.order, fill.qty.units(), 1),
            );
        }
        let book = &mut self.books[id.index()];
        let known = book.order().filter(|order| order.id == fill.order).copied();
        let Some(side) = book.side_of(fill.order) else {
            // An order of an earlier session, or somebody else's: what is held now, the venue must say.
            self.ask_by(now);
            return out.push(
                EventKind::Alert,
                id,
                &alert(AlertCode::UnknownExecution, fill.order, fill.qty.units(), 0),
            );
        };
        if self.books[id.index()].executions.insert(fill.execution) {
            self.book_fill(id, side, &fill, known.as_ref(), now, out);
        }
    }

    /// Books a fill that was checked and is new.
    pub(super) fn book_fill(
        &mut self,
        id: InstrumentId,
        side: Side,
        fill: &Fill,
        known: Option<&WorkingOrder>,
        now: Nanos,
        out: &mut Outbox,
    ) {
        self.disturbed |= fill.order != OrderId::default();
        let book = &mut self.books[id.index()];
        let held_before = book.position.signed_units();
        if book.position.apply(side, fill.price, fill.qty).is_none() {
            self.books_broken = true;
            return out.push(EventKind::Alert, id, &alert(AlertCode::AccountOverflow, fill.order, fill.qty.units(), 0));
        }
        if let Some(order) = book.order_mut().filter(|order| order.id == fill.order) {
            if fill.qty > order.remaining() {
                let (found, expected) = (fill.qty.units(), order.remaining().units());
                order.filled = order.filled.checked_add(fill.qty).unwrap_or(Qty::MAX);
                out.push(EventKind::Alert, id, &alert(AlertCode::Overfill, fill.order, found, expected));
            } else {
                order.filled = order.filled.checked_add(fill.qty).unwrap_or(Qty::MAX);
            }
        } else if fill.order != OrderId::default() {
            out.push(EventKind::Alert, id, &alert(AlertCode::UnknownExecution, fill.order, fill.qty.units(), 0));
        }
        self.track_holdings(id, side, fill);
        self.account_for_fill(id, side, fill, known, held_before, now, out);
        if self.books[id.index()].order().is_some_and(|order| order.remaining().is_zero()) {
            self.order_finished(id, now, out);
        } else {
            self.adopt_position(id, now);
        }
    }

    /// Books a fee. One that `moved_cash` not was paid of an asset that the account is not measured in: a cost of the
    /// trade all the same.
    pub(super) fn on_fee(&mut self, id: InstrumentId, fee: Fee, moved_cash: bool, now: Nanos, out: &mut Outbox) {
        let book = &mut self.books[id.index()];
        // The fee of a fill that is not in the books is not in them either.
        if book.side_of(fee.order).is_none() || !book.fees.insert(fee.execution) {
            return;
        }
        self.disturbed = true;
        let book = &mut self.books[id.index()];
        if let Some(trade) = &mut book.trade {
            trade.fees = trade.fees.checked_add(fee.amount).unwrap_or(trade.fees);
        }
        if moved_cash && self.account.charge(fee.amount).is_none() {
            self.books_broken = true;
            out.push(EventKind::Alert, id, &alert(AlertCode::AccountOverflow, fee.order, fee.amount.units(), 0));
        }
        self.take_base_fee(id, fee, out);
        // It may have taken all that was left.
        self.adopt_position(id, now);
        let book = &self.books[id.index()];
        if let Phase::Settling(reason) = book.phase
            && fee.execution >= book.executions.highest()
        {
            self.close_trade(id, reason, out);
        }
    }

    /// The live order will not trade any more: the phase moves on.
    pub(super) fn order_finished(&mut self, id: InstrumentId, now: Nanos, out: &mut Outbox) {
        let book = &mut self.books[id.index()];
        let flat = book.position.side().is_none();
        match book.phase {
            Phase::Entering(order) => {
                if flat {
                    book.phase = Phase::Idle;
                    let broken = checks::broken(Refusal::Unfilled, order.filled.units(), order.quantity.units());
                    refuse(id, broken, order.id, out);
                } else {
                    book.phase = Phase::Holding { not_before: now };
                }
            }
            Phase::Exiting(_, reason) if flat => book.phase = Phase::Settling(reason),
            Phase::Exiting(order, reason) => self.retry_exit(id, order, reason, now, out),
            Phase::Idle | Phase::Holding { .. } | Phase::Settling(_) => {}
        }
    }

    /// A position without a phase that knows of it (a late fill) is held from here on.
    pub(super) fn adopt_position(&mut self, id: InstrumentId, now: Nanos) {
        let book = &mut self.books[id.index()];
        let open = book.position.side().is_some();
        match book.phase {
            Phase::Idle | Phase::Settling(_) if open => book.phase = Phase::Holding { not_before: now },
            Phase::Holding { .. } if !open => book.phase = Phase::Settling(ExitReason::Operator),
            _ => {}
        }
    }
}

//! Exits: when a position ends and how it is closed. No entry check applies, the oracle is not
//! asked, and an exit is never larger than what is held.

use crate::core::payload::{AlertCode, ExitReason, OrderRole, Refusal, TimeInForce};
use crate::core::{EventKind, InstrumentId, Nanos, OrderId, Side};

use super::book::{OrderState, Phase, WorkingOrder};
use super::checks::{self, broken};
use super::entry::Plan;
use super::{Oms, Outbox, alert, refuse};

impl Oms {
    /// Why the position should end now, if it should. The stop comes first: it is about loss.
    pub(super) fn exit_reason(&self, id: InstrumentId, now: Nanos) -> Option<ExitReason> {
        let book = &self.books[id.index()];
        let (side, trade) = (book.position.side()?, book.trade.as_ref()?);
        let mark = book.mark();
        let (stopped, reached, reverted) = match side {
            Side::Buy => (
                mark <= trade.stop,
                trade.target.is_some_and(|target| mark >= target),
                book.z_score >= -self.params.exit_z,
            ),
            Side::Sell => (
                mark >= trade.stop,
                trade.target.is_some_and(|target| mark <= target),
                book.z_score <= self.params.exit_z,
            ),
        };
        let expired = self.params.max_hold.0 > 0 && now.since(trade.opened) >= self.params.max_hold;
        match (stopped, reached, reverted, expired) {
            (true, ..) => Some(ExitReason::StopLoss),
            (_, true, ..) => Some(ExitReason::TakeProfit),
            (_, _, true, _) => Some(ExitReason::Reverted),
            (.., true) => Some(ExitReason::MaxHold),
            _ => None,
        }
    }

    /// Closes the position if there is a reason to.
    pub(super) fn try_exit(&mut self, id: InstrumentId, now: Nanos, out: &mut Outbox) {
        if let Some(reason) = self.exit_reason(id, now) {
            self.start_exit(id, reason, now, out);
            self.refresh_deadline();
        }
    }

    /// Closes the position, or takes back the entry, whatever the market says.
    pub(super) fn flatten(&mut self, id: InstrumentId, now: Nanos, out: &mut Outbox) {
        match self.books[id.index()].phase {
            Phase::Holding { .. } if self.may_close() => self.start_exit(id, ExitReason::Operator, now, out),
            // One that is being taken back already, or was lost sight of, is being asked about.
            Phase::Entering(order)
                if order.time_in_force == TimeInForce::Limit
                    && matches!(order.state, OrderState::Sent | OrderState::Working) =>
            {
                self.send_cancel(id, now, out);
            }
            Phase::Settling(reason) => self.close_trade(id, reason, out),
            // A position that cannot be closed now is closed when the supervisor says so again.
            Phase::Idle | Phase::Holding { .. } | Phase::Entering(_) | Phase::Exiting(..) => {}
        }
    }

    fn start_exit(&mut self, id: InstrumentId, reason: ExitReason, now: Nanos, out: &mut Outbox) {
        let Some(intent) = self.intents.checked_add(1) else { return };
        self.intents = intent;
        self.send_exit(id, reason, intent, 1, now, out);
    }

    /// An exit that was refused or did not fill: one retry, worse; then a pause and a new intent.
    pub(super) fn retry_exit(
        &mut self,
        id: InstrumentId,
        order: WorkingOrder,
        reason: ExitReason,
        now: Nanos,
        out: &mut Outbox,
    ) {
        if order.attempt == 1 && self.may_close() {
            return self.send_exit(id, reason, order.intent, 2, now, out);
        }
        if order.filled.is_positive() {
            // A thin touch, not a failing exit: the rest goes with the next quote.
            self.books[id.index()].phase = Phase::Holding { not_before: now };
            return;
        }
        let left = self.books[id.index()].position.quantity().units();
        refuse(id, broken(Refusal::RetriesExhausted, i64::from(order.attempt), 2), order.id, out);
        out.push(EventKind::Alert, id, &alert(AlertCode::ExitFailing, order.id, left, 0));
        // Perhaps what is to be closed is no longer there.
        self.ask_by(now);
        self.pause_exit(id, now);
    }

    fn send_exit(
        &mut self,
        id: InstrumentId,
        reason: ExitReason,
        intent: u32,
        attempt: u8,
        now: Nanos,
        out: &mut Outbox,
    ) {
        let book = &self.books[id.index()];
        let instrument = self.instrument(id);
        let Some(side) = book.position.side().map(Side::opposite) else { return };
        let worse = self.params.retry_points * i64::from(attempt - 1);
        let touch = book.far_touch(side);
        let price = checks::marketable_price(instrument, touch, side, self.params.slippage_points + worse);
        if self.is_dust(id) {
            return self.leave_dust(id, reason, touch, out);
        }
        // What the venue's grid cannot express stays; never more than is held.
        let quantity = self.closable(id, side).min(instrument.spec().max_lot).floor_to(instrument.spec().lot_step);
        let (Some(price), Some(quantity)) = (price, quantity.filter(|quantity| quantity.is_positive())) else {
            out.push(EventKind::Alert, id, &alert(AlertCode::ExitFailing, OrderId::default(), touch.units(), 0));
            self.ask_by(now);
            return self.pause_exit(id, now);
        };
        let plan =
            Plan { side, price, quantity, time_in_force: TimeInForce::Ioc, role: OrderRole::Exit, intent, attempt };
        let order = self.send(id, &plan, now, out);
        self.books[id.index()].phase = Phase::Exiting(order, reason);
    }

    fn pause_exit(&mut self, id: InstrumentId, now: Nanos) {
        let not_before = now.plus(self.params.exit_retry_pause);
        self.books[id.index()].phase = Phase::Holding { not_before };
    }
}

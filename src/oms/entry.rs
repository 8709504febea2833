//! Entries: from an approved signal to an order at the venue, and its one retry.

use crate::core::payload::{OrderReject, OrderRole, Refusal, Submit, TimeInForce};
use crate::core::{ContractKind, EventKind, InstrumentId, Nanos, Price, Qty, Side};

use super::book::{OrderState, Phase, WorkingOrder};
use super::checks::{self, Broken, broken};
use super::{EntryStyle, Oms, Outbox, refuse};

impl Oms {
    /// Sizes, checks and sends an entry; `Err` is the first rule that forbids it.
    pub(super) fn try_enter(
        &mut self,
        id: InstrumentId,
        side: Side,
        now: Nanos,
        out: &mut Outbox,
    ) -> Result<(), Broken> {
        if !self.entries_allowed || self.books_broken {
            return Err(broken(Refusal::EntriesStopped, 1, 0));
        }
        if self.instrument(id).spec().contract == ContractKind::Inverse {
            return Err(broken(Refusal::Contract, 1, 0));
        }
        if !self.trusts_venue() {
            return Err(broken(Refusal::NotReconciled, 1, 0));
        }
        checks::check_state(&self.params, &self.books[id.index()], self.guardian, side, now)?;
        if let Phase::Settling(reason) = self.books[id.index()].phase {
            self.close_trade(id, reason, out);
        }
        self.rate.check(now)?;
        let sized = checks::size(&self.params, self.instrument(id), self.balance())?;
        let (price, time_in_force) = self.entry_price(id, side, 0)?;
        let quantity = self.within_holdings(id, side, price, sized)?;
        self.check_entry_order(id, price, quantity)?;
        self.intents = self.intents.checked_add(1).ok_or(broken(Refusal::Overflow, i64::from(u32::MAX), 0))?;
        self.rate.record(now);
        self.books[id.index()].last_entry = Some((side, now));
        let plan =
            Plan { side, price, quantity, time_in_force, role: OrderRole::Entry, intent: self.intents, attempt: 1 };
        let order = self.send(id, &plan, now, out);
        self.books[id.index()].phase = Phase::Entering(order);
        Ok(())
    }

    /// The venue refused an order: one retry, `retry_points` worse, then no more.
    pub(super) fn on_rejected(&mut self, id: InstrumentId, reject: OrderReject, now: Nanos, out: &mut Outbox) {
        match self.books[id.index()].phase {
            Phase::Entering(order) if order.id == reject.order => {
                self.books[id.index()].phase = Phase::Idle;
                if self.books[id.index()].position.side().is_some() {
                    // Part of it traded before the venue said no: hold that, enter nothing more.
                    refuse(id, broken(Refusal::Busy, order.filled.units(), 0), order.id, out);
                } else if order.attempt == 1 {
                    if let Err(broken) = self.retry_entry(id, order, now, out) {
                        refuse(id, broken, order.id, out);
                    }
                } else {
                    refuse(id, broken(Refusal::RetriesExhausted, i64::from(order.attempt), 2), order.id, out);
                }
                self.adopt_position(id, now);
            }
            Phase::Exiting(order, reason) if order.id == reject.order => {
                self.retry_exit(id, order, reason, now, out);
            }
            _ => {}
        }
    }

    fn retry_entry(
        &mut self,
        id: InstrumentId,
        first: WorkingOrder,
        now: Nanos,
        out: &mut Outbox,
    ) -> Result<(), Broken> {
        if !self.entries_allowed || self.books_broken {
            return Err(broken(Refusal::EntriesStopped, 1, 0));
        }
        if !self.trusts_venue() {
            return Err(broken(Refusal::NotReconciled, 1, 0));
        }
        // The retry is the same intent, so the duplicate rule is not about it; every other rule is.
        let last_entry = self.books[id.index()].last_entry.take();
        let state = checks::check_state(&self.params, &self.books[id.index()], self.guardian, first.side, now);
        self.books[id.index()].last_entry = last_entry;
        state?;
        self.rate.check(now)?;
        let (price, time_in_force) = self.entry_price(id, first.side, self.params.retry_points)?;
        let quantity = self.within_holdings(id, first.side, price, first.quantity)?;
        self.check_entry_order(id, price, quantity)?;
        self.rate.record(now);
        let plan = Plan {
            side: first.side,
            price,
            quantity,
            time_in_force,
            role: OrderRole::Entry,
            intent: first.intent,
            attempt: 2,
        };
        let order = self.send(id, &plan, now, out);
        self.books[id.index()].phase = Phase::Entering(order);
        Ok(())
    }

    /// The limit price of an entry, `worse` points beyond the usual one.
    fn entry_price(&self, id: InstrumentId, side: Side, worse: i64) -> Result<(Price, TimeInForce), Broken> {
        let (book, instrument) = (&self.books[id.index()], self.instrument(id));
        let overflow = broken(Refusal::Overflow, book.far_touch(side).units(), 0);
        match self.params.entry {
            EntryStyle::Ioc => {
                let points = self.params.slippage_points + worse;
                let price = checks::marketable_price(instrument, book.far_touch(side), side, points);
                Ok((price.ok_or(overflow)?, TimeInForce::Ioc))
            }
            EntryStyle::Limit => {
                let tick = instrument.spec().tick_size;
                let near = book.far_touch(side.opposite());
                let distance = instrument.points(worse).ok_or(overflow)?;
                let price = match side {
                    Side::Buy => near.checked_add(distance).and_then(|price| price.floor_to(tick)),
                    Side::Sell => near.checked_sub(distance).and_then(|price| price.ceil_to(tick)),
                };
                Ok((price.ok_or(overflow)?, TimeInForce::Limit))
            }
        }
    }

    fn check_entry_order(&self, id: InstrumentId, price: Price, quantity: Qty) -> Result<(), Broken> {
        let open = self.open_lots().units();
        checks::check_order(&self.params, self.instrument(id), &self.books[id.index()], open, price, quantity)
    }

    /// Hands an order to the venue. The one place where a [`Submit`] is made.
    pub(super) fn send(&mut self, id: InstrumentId, plan: &Plan, now: Nanos, out: &mut Outbox) -> WorkingOrder {
        let spec = self.instrument(id).spec();
        assert!(plan.quantity.is_positive() && plan.quantity.units() % spec.lot_step.units() == 0, "lots off the step");
        assert!(plan.price.is_positive() && plan.price.units() % spec.tick_size.units() == 0, "price off the tick");
        assert!(
            plan.role == OrderRole::Exit || (spec.min_lot <= plan.quantity && plan.quantity <= spec.max_lot),
            "an entry outside the lot limits"
        );
        assert!(
            self.books[id.index()]
                .order()
                .is_none_or(|order| order.intent != plan.intent || order.attempt < plan.attempt)
        );
        let order_id = self.next_order_id();
        let submit = Submit {
            order: order_id,
            price: plan.price,
            qty: plan.quantity,
            tif: plan.time_in_force,
            role: plan.role,
            attempt: plan.attempt,
            intent: plan.intent,
        };
        out.push_sided(EventKind::Submit, id, plan.side, &submit);
        let book = &mut self.books[id.index()];
        book.remember(order_id, plan.side);
        WorkingOrder {
            id: order_id,
            intent: plan.intent,
            attempt: plan.attempt,
            side: plan.side,
            quantity: plan.quantity,
            filled: Qty::ZERO,
            time_in_force: plan.time_in_force,
            state: OrderState::Sent,
            deadline: now.plus(self.params.acknowledge_timeout),
            reference: book.far_touch(plan.side),
            bid_plus_ask: book.bid_plus_ask(),
        }
    }
}

/// An order about to be sent.
pub(super) struct Plan {
    pub(super) side: Side,
    pub(super) price: Price,
    pub(super) quantity: Qty,
    pub(super) time_in_force: TimeInForce,
    pub(super) role: OrderRole,
    pub(super) intent: u32,
    pub(super) attempt: u8,
}

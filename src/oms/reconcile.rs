//! The venue is right: what the order manager does when a connection is lost and found again.
//!
//! | state | what it means | new orders |
//! |---|---|---|
//! | [`Trust::Full`] | venue and books agree, as far as is known | yes |
//! | [`Trust::Lost`] | the order connection is down; every order in flight is unknown | none |
//! | [`Trust::Asked`] | connected anew, a reconciliation was asked for | none |
//! | [`Trust::Doubted`] | something is not understood, a reconciliation was asked for | those that close |
//!
//! A reconciliation is a numbered question ([`EventKind::Reconcile`]) whose answer is a run of
//! reports that ends with [`EventKind::Reconciled`]. Orders of ours that are open at the venue and
//! that nobody here waits for are cancelled; an order that is awaited here and not open there is
//! asked about, and the question is put again once its fate is known. Only a round without any order
//! in flight compares positions and cash; a difference is alerted and the venue's figure is booked. A fill that no order
//! here explains, and an exit that the venue refuses again and again, are reasons to ask as well; such a question waits
//! until no order is in flight, keeps no position from being closed, and changes nothing when something was sent or filled
//! before its answer was complete: it is put again.
//!
//! A simulated venue sends no [`EventKind::Link`], so a backtest is in [`Trust::Full`] throughout.

use crate::core::payload::{
    AccountReport, AlertCode, Control, InventoryReport, Link, LinkChannel, LinkState, OpenOrderReport, OrderDone,
    PositionReport, Reconciled,
};
use crate::core::{
    ContractKind, Event, EventKind, InstrumentId, Money, Nanos, OrderId, Payload, Price, Qty, Side, Span,
};

use super::book::OrderState;
use super::{Oms, Outbox, alert};

/// Acknowledge timeouts that a reconciliation may take before it is asked for again.
const PATIENCE: u64 = 5;

/// Rounds that are put again because of orders that nobody here waits for: one that cannot be cancelled must not keep
/// positions from being closed.
const ORPHAN_ROUNDS: u32 = 5;

/// A hundredth of a cent: fees and dust are rounded to units of 1e-8, each by at most one.
const ROUNDING: u64 = 10_000;

/// How far the books can be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// Venue and books agree.
    Full,
    /// The order connection is down.
    Lost,
    /// A reconciliation is under way; it is asked for again at `again`. Once it was `answered`, only
    /// the fate of orders in flight is awaited.
    Asked { again: Nanos, answered: bool },
    /// Something is not understood. The answer is given up at `until`.
    Doubted { until: Nanos },
}

/// What is owned of a spot instrument's base asset, and how much of it is not ours to sell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// Free to sell, as last told, with our own fills since.
    pub(super) free: Qty,
    /// Free and locked, as last told. Our own purchases since add to it, and nothing but a report takes away from it: a
    /// report may come before the executions that it reports of, and what is too much here does no harm.
    pub(super) total: Qty,
    /// Owned before the session and never counted as a position.
    pub(super) baseline: Option<Qty>,
}

impl Inventory {
    /// A deposit or withdrawal: there is more or less that is not ours. How much there is now, a report of its own says,
    /// before or after.
    fn owner_moves(&mut self, moved: Qty) {
        self.baseline = self.baseline.map(|owned| owned.checked_add(moved).unwrap_or(owned));
    }
}

impl Oms {
    /// True when orders may be sent at all.
    pub(super) fn trusts_venue(&self) -> bool {
        self.trust == Trust::Full
    }

    /// True when orders that close a position may be sent: the books mean something.
    pub fn may_close(&self) -> bool {
        matches!(self.trust, Trust::Full | Trust::Doubted { .. })
    }

    /// True while the order connection is up and venue and books agree. A backtest always is.
    pub fn is_reconciled(&self) -> bool {
        self.trusts_venue()
    }

    /// What the venue reported of its own accord, or in answer to a reconciliation.
    pub fn on_venue(&mut self, event: &Event, out: &mut Outbox) {
        let (id, now) = (event.instrument, event.local_ns);
        match event.kind {
            EventKind::Link => self.on_link(Link::of(event), now, out),
            EventKind::AccountReport => self.on_account(AccountReport::of(event)),
            EventKind::InventoryReport => self.on_inventory(id, InventoryReport::of(event)),
            EventKind::PositionReport => self.on_position(id, PositionReport::of(event), now),
            EventKind::OpenOrderReport => self.on_open_order(id, OpenOrderReport::of(event), out),
            EventKind::Reconciled => self.on_reconciled(Reconciled::of(event), now, out),
            _ => {}
        }
        self.refresh_deadline();
    }

    /// What was owned before pawl came, told by an operator: never counted as a position.
    pub(super) fn set_baseline(&mut self, id: InstrumentId, control: Control) {
        if let Some(book) = self.books.get_mut(id.index()) {
            book.inventory.get_or_insert_default().baseline = Some(Qty::from_units(control.balance.units()));
        }
    }

    fn on_link(&mut self, link: Link, now: Nanos, out: &mut Outbox) {
        if link.channel != Some(LinkChannel::Orders) {
            // Market data that stops is caught by its age; its return begins with a gap event.
            return;
        }
        if link.state == Some(LinkState::Up) {
            let again = now.plus(self.patience());
            return self.ask(Trust::Asked { again, answered: false }, now, out);
        }
        // A state that this version does not know is not a working connection.
        self.trust = Trust::Lost;
        out.push(EventKind::Alert, InstrumentId(0), &alert(AlertCode::LinkDown, OrderId::default(), 0, 0));
        for book in &mut self.books {
            if let Some(order) = book.order_mut() {
                order.state = order.state.unknown(now);
            }
        }
    }

    /// How long an answer may take.
    fn patience(&self) -> Span {
        Span(self.params.acknowledge_timeout.0.saturating_mul(PATIENCE))
    }

    /// Something happened that the books do not explain: the venue is asked at `due`, and not sooner than an answer may
    /// take after the last question. Where there is no connection, there is nobody to be asked.
    pub(super) fn ask_by(&mut self, due: Nanos) {
        if self.round > 0 {
            self.ask_due = self.ask_due.min(due.max(self.asked.plus(self.patience())));
        }
    }

    /// When the venue is to be asked about what is not understood; never while an order is in flight.
    pub(super) fn doubt_due(&self) -> Nanos {
        if self.ask_due == Nanos::MAX || self.has_orders() { Nanos::MAX } else { self.ask_due }
    }

    /// Puts the question to the venue.
    fn ask(&mut self, trust: Trust, now: Nanos, out: &mut Outbox) {
        self.round += 1;
        for book in &mut self.books {
            (book.reported, book.seen_open, book.orphaned) = (None, false, false);
        }
        (self.reported_cash, self.disturbed) = (None, false);
        (self.asked, self.ask_due) = (now, Nanos::MAX);
        self.trust = trust;
        out.push(EventKind::Reconcile, InstrumentId(0), &Reconciled { round: self.round, orders: 0 });
    }

    /// A reconciliation that nobody answered is asked for again, and one that something called for is asked for.
    pub(super) fn serve_reconciliation(&mut self, now: Nanos, out: &mut Outbox) {
        let until = now.plus(self.patience());
        let late = alert(AlertCode::ReconcileLate, OrderId::default(), self.round as i64, 0);
        match self.trust {
            Trust::Asked { again, answered } if again <= now => {
                if !answered {
                    out.push(EventKind::Alert, InstrumentId(0), &late);
                }
                return self.ask(Trust::Asked { again: until, answered: false }, now, out);
            }
            Trust::Doubted { until } if until <= now => {
                out.push(EventKind::Alert, InstrumentId(0), &late);
                (self.trust, self.ask_due) = (Trust::Full, now);
            }
            Trust::Full | Trust::Lost | Trust::Asked { .. } | Trust::Doubted { .. } => {}
        }
        if self.trust == Trust::Full && self.doubt_due() <= now {
            self.ask(Trust::Doubted { until }, now, out);
        }
    }

    fn on_account(&mut self, report: AccountReport) {
        self.free_cash = Some(report.free);
        if report.round == self.round && report.round > 0 {
            self.reported_cash = report.free.checked_add(report.locked);
        }
    }

    fn on_inventory(&mut self, id: InstrumentId, report: InventoryReport) {
        let (round, Some(book)) = (self.round, self.books.get_mut(id.index())) else { return };
        let Some(total) = report.free.checked_add(report.locked) else { return };
        let inventory = book.inventory.get_or_insert_default();
        if !report.moved.is_zero() {
            return inventory.owner_moves(report.moved);
        }
        (inventory.free, inventory.total) = (report.free, total);
        // What was there before the first order is not ours, unless an operator said otherwise.
        let held = Qty::from_units(book.position.signed_units());
        let baseline = *inventory.baseline.get_or_insert(total.checked_sub(held).unwrap_or(total));
        if report.round == round && round > 0 {
            book.reported = total.checked_sub(baseline).map(|units| (units.units(), Price::ZERO));
        }
    }

    fn on_position(&mut self, id: InstrumentId, report: PositionReport, now: Nanos) {
        let (round, timeout) = (self.round, self.params.acknowledge_timeout);
        let Some(book) = self.books.get_mut(id.index()) else { return };
        if report.round == round && round > 0 {
            book.reported = Some((report.signed_units, report.entry));
        } else if report.round == 0 && book.order().is_none() && report.signed_units != book.position.signed_units() {
            // A person, a liquidation, the guardian. An execution of ours would be told within this time.
            self.ask_by(now.plus(timeout));
        }
    }

    fn on_open_order(&mut self, id: InstrumentId, report: OpenOrderReport, out: &mut Outbox) {
        if report.round != self.round {
            return;
        }
        let Some(book) = self.books.get_mut(id.index()) else { return };
        if book.order().is_some_and(|order| order.id == report.order) {
            book.seen_open = true;
        } else if report.order == OrderId::default() {
            // Somebody else trades this account. Not ours to cancel; a person must know.
            let left = report.remaining.units();
            out.push(EventKind::Alert, id, &alert(AlertCode::ForeignOrder, report.order, left, 0));
        } else {
            let left = report.remaining.units();
            book.orphaned = true;
            out.push(EventKind::Alert, id, &alert(AlertCode::OrphanOrder, report.order, left, 0));
            out.push(EventKind::Cancel, id, &OrderDone { order: report.order, filled: Qty::ZERO });
        }
    }

    fn on_reconciled(&mut self, answer: Reconciled, now: Nanos, out: &mut Outbox) {
        if answer.round != self.round || !matches!(self.trust, Trust::Asked { .. } | Trust::Doubted { .. }) {
            return;
        }
        let orphaned = self.books.iter().any(|book| book.orphaned);
        let lacks_price = (0..self.books.len()).any(|index| self.lacks_price(index));
        if matches!(self.trust, Trust::Doubted { .. })
            && (self.has_orders() || self.disturbed || orphaned || lacks_price)
        {
            // What was answered is older than what happened since: another time.
            self.trust = Trust::Full;
            return self.ask_by(now.plus(self.params.acknowledge_timeout));
        }
        let mut in_flight = false;
        for index in 0..self.books.len() {
            let id = InstrumentId(index as u16);
            let book = &mut self.books[index];
            let seen = book.seen_open;
            if let Some(order) = book.order_mut() {
                in_flight = true;
                order.deadline = now.plus(self.params.acknowledge_timeout);
                if seen {
                    // Open after all: taken back, whatever it was for.
                    order.state = OrderState::Cancelling;
                    let cancel = OrderDone { order: order.id, filled: Qty::ZERO };
                    out.push(EventKind::Cancel, id, &cancel);
                } else {
                    order.state = order.state.unknown(now);
                    out.push(EventKind::Query, id, &OrderDone { order: order.id, filled: Qty::ZERO });
                }
            }
        }
        // What an orphan still trades before its cancel arrives is in none of this round's answers.
        self.orphan_rounds = if orphaned { self.orphan_rounds.saturating_add(1) } else { 0 };
        let orphaned = orphaned && self.orphan_rounds <= ORPHAN_ROUNDS;
        if in_flight || orphaned || self.disturbed || lacks_price {
            // Asked again when the fates are known, or a price has come at which a difference can be booked.
            self.trust = Trust::Asked { again: now.plus(self.params.acknowledge_timeout), answered: true };
            return;
        }
        for index in 0..self.books.len() {
            self.adopt_reported(InstrumentId(index as u16), now, out);
        }
        self.adopt_cash(out);
        self.trust = Trust::Full;
    }

    /// The venue's signed position and entry price, where it differs from ours by a lot step or more.
    fn difference(&self, index: usize) -> Option<(i64, Price)> {
        let spec = self.instrument(InstrumentId(index as u16)).spec();
        let book = &self.books[index];
        let ours = book.position.signed_units();
        let (theirs, entry) = match book.reported {
            Some(reported) => reported,
            // Derivatives: what is not reported is not there. Spot: nothing is known, nothing changes.
            None if spec.contract == ContractKind::Spot => return None,
            None => (0, Price::ZERO),
        };
        (theirs.abs_diff(ours) >= spec.lot_step.units().unsigned_abs()).then_some((theirs, entry))
    }

    /// A difference that no quote and no report gives a price for.
    fn lacks_price(&self, index: usize) -> bool {
        let quoted = self.books[index].quote.bid.is_positive();
        !quoted && self.difference(index).is_some_and(|(_, entry)| !entry.is_positive())
    }

    /// The venue's position is booked where it differs by a lot step or more.
    fn adopt_reported(&mut self, id: InstrumentId, now: Nanos, out: &mut Outbox) {
        let Some((reported, entry)) = self.difference(id.index()) else { return };
        let theirs = self.without_withdrawn(id, reported);
        let book = &self.books[id.index()];
        let ours = book.position.signed_units();
        let Some(difference) = theirs.checked_sub(ours) else { return };
        out.push(EventKind::Alert, id, &alert(AlertCode::PositionMismatch, OrderId::default(), reported, ours));
        if difference == 0 {
            return;
        }
        let side = if difference > 0 { Side::Buy } else { Side::Sell };
        let mark = book.far_touch(side);
        let price = if entry.is_positive() && ours == 0 { entry } else { mark };
        let price = if price.is_positive() { price } else { entry };
        assert!(price.is_positive(), "a difference without a price is not adopted yet");
        let fill = crate::core::payload::Fill {
            order: OrderId::default(),
            execution: 0,
            price,
            qty: Qty::from_units(difference).abs(),
        };
        self.book_fill(id, side, &fill, None, now, out);
    }

    /// Spot, where nothing is sold that was owned before: less than that is no short position of ours, which would be
    /// bought back. Its owner has moved it, and what is left is what is owned before.
    fn without_withdrawn(&mut self, id: InstrumentId, theirs: i64) -> i64 {
        let spot = self.instrument(id).spec().contract == ContractKind::Spot;
        if !spot || theirs >= 0 || self.params.short_from_inventory {
            return theirs;
        }
        if let Some(baseline) = self.books[id.index()].inventory.as_mut().and_then(|owned| owned.baseline.as_mut()) {
            *baseline = Qty::from_units(baseline.units().saturating_add(theirs));
        }
        0
    }

    /// What the positions cost, where they were paid for in cash; `None` where a position is held that was not, or a
    /// sum leaves its range.
    fn paid_for_positions(&self) -> Option<Money> {
        let mut paid = Money::ZERO;
        for (book, (_, instrument)) in self.books.iter().zip(self.instruments.iter()) {
            if book.position.side().is_some() {
                if instrument.spec().contract != ContractKind::Spot {
                    return None;
                }
                paid = paid.checked_add(instrument.value(book.position.cost())?)?;
            }
        }
        Some(paid)
    }

    /// The venue's cash replaces ours, but for what is held that would explain a difference. A unit or two of rounding
    /// is none.
    fn adopt_cash(&mut self, out: &mut Outbox) {
        let booked = self.reported_cash.and_then(|cash| cash.checked_add(self.beside_cash));
        let Some(cash) = booked.zip(self.paid_for_positions()).and_then(|(cash, paid)| cash.checked_add(paid)) else {
            return;
        };
        let ours = self.account.balance();
        if cash.units().abs_diff(ours.units()) <= ROUNDING {
            return;
        }
        if self.round > 1 {
            let found = alert(AlertCode::BalanceMismatch, OrderId::default(), cash.units(), ours.units());
            out.push(EventKind::Alert, InstrumentId(0), &found);
        }
        self.account.adopt(cash);
    }

    /// Free cash, where the venue reports it.
    pub(super) fn affordable(&self, id: InstrumentId, price: Price, wanted: Qty) -> Qty {
        let (Some(free), Some(one)) = (self.free_cash, self.instrument(id).notional(price, Qty::whole(1))) else {
            return wanted;
        };
        if !one.is_positive() || !free.is_positive() {
            return Qty::ZERO;
        }
        let units = i128::from(free.units()) * i128::from(crate::core::SCALE) / i128::from(one.units());
        wanted.min(Qty::from_units(i64::try_from(units).unwrap_or(i64::MAX)))
    }

    /// Cash spent or received by our own fills until the venue reports anew.
    pub(super) fn move_cash(&mut self, amount: Option<Money>) {
        if let (Some(free), Some(amount)) = (self.free_cash, amount) {
            self.free_cash = free.checked_add(amount);
        }
    }
}

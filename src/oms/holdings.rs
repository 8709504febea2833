//! Spot: only what is owned can be sold, and only what is in cash can be spent.
//!
//! Between two reports of the venue the holdings are kept up with our own fills. Fees that the venue
//! takes of the base asset make a position smaller than its fills; what is then left below the
//! smallest order cannot be sold: it is dust, booked at the touch and from then on part of what is
//! owned beside the position. Other contracts pass through here unchanged.

use crate::core::payload::{ExitReason, Fee, Fill, Refusal};
use crate::core::{ContractKind, InstrumentId, Money, OrderId, Price, Qty, SCALE, Side};

use super::book::Phase;
use super::checks::{Broken, broken};
use super::{Oms, Outbox, refuse};

impl Oms {
    /// The quantity that inventory and cash allow, on the lot step.
    pub(super) fn within_holdings(
        &self,
        id: InstrumentId,
        side: Side,
        price: Price,
        wanted: Qty,
    ) -> Result<Qty, Broken> {
        let spec = self.instrument(id).spec();
        if spec.contract != ContractKind::Spot {
            return Ok(wanted);
        }
        let (available, reason) = match side {
            Side::Buy => (self.affordable(id, price, wanted), Refusal::NoFunds),
            // Entries only come here: a position is closed by its own size.
            Side::Sell if !self.params.short_from_inventory => (Qty::ZERO, Refusal::NoInventory),
            Side::Sell => {
                let inventory = self.books[id.index()].inventory;
                (inventory.map_or(Qty::ZERO, |inventory| inventory.free.min(wanted)), Refusal::NoInventory)
            }
        };
        match available.floor_to(spec.lot_step) {
            Some(quantity) if quantity >= spec.min_lot => Ok(quantity),
            _ => Err(broken(reason, available.units(), wanted.units())),
        }
    }

    /// A fill of ours moves inventory and cash before the venue's own report does.
    pub(super) fn track_holdings(&mut self, id: InstrumentId, side: Side, fill: &Fill) {
        if self.instrument(id).spec().contract != ContractKind::Spot || fill.order == OrderId::default() {
            return;
        }
        let cost = self.instrument(id).notional(fill.price, fill.qty);
        self.move_cash(cost.and_then(|cost| cost.checked_mul(-side.sign())));
        if let Some(inventory) = &mut self.books[id.index()].inventory {
            let moved = |owned: Qty| {
                let owned = match side {
                    Side::Buy => owned.checked_add(fill.qty),
                    Side::Sell => owned.checked_sub(fill.qty),
                };
                owned.unwrap_or(Qty::ZERO).max(Qty::ZERO)
            };
            inventory.free = moved(inventory.free);
            if side == Side::Buy {
                inventory.total = moved(inventory.total);
            }
        }
    }

    /// A fee taken of the base asset. Its worth was charged as a fee; its quantity leaves a long
    /// position at that worth, so that equity falls by the fee once, not twice. Without a long
    /// position (a short was bought back) what was owned before has become less.
    pub(super) fn take_base_fee(&mut self, id: InstrumentId, fee: Fee, out: &mut Outbox) {
        let book = &mut self.books[id.index()];
        if !fee.base.is_positive() {
            return;
        }
        let long = Qty::from_units(book.position.signed_units().max(0));
        let taken = fee.base.min(long);
        let unit = unit_price(fee.amount, fee.base);
        if let Some(inventory) = &mut book.inventory {
            inventory.free = inventory.free.checked_sub(fee.base).unwrap_or(Qty::ZERO).max(Qty::ZERO);
            let rest = fee.base.checked_sub(taken).unwrap_or(Qty::ZERO);
            inventory.baseline = inventory.baseline.map(|owned| owned.checked_sub(rest).unwrap_or(owned));
            // Charged in the books, but no cash moved.
            self.book_beside_cash(id, unit.unwrap_or(Price::ZERO), rest, -1);
        }
        let book = &mut self.books[id.index()];
        // Of a fee that is only partly taken from the position, that part of its worth.
        let Some(worth) = unit.filter(|_| taken.is_positive()) else { return };
        if book.position.apply(Side::Sell, worth, taken).is_none() {
            refuse(id, broken(Refusal::Overflow, taken.units(), 0), fee.order, out);
            return;
        }
        self.sync_realised(id);
    }

    /// Notes what the books moved and cash did not: `quantity` at `price`, with this sign.
    fn book_beside_cash(&mut self, id: InstrumentId, price: Price, quantity: Qty, sign: i64) {
        let worth = self.instrument(id).notional(price, quantity).and_then(|worth| worth.checked_mul(sign));
        if let Some(beside) = worth.and_then(|worth| self.beside_cash.checked_add(worth)) {
            self.beside_cash = beside;
        }
    }

    /// What an order that closes a position may be for: on spot not more than is owned, whatever the books say.
    pub(super) fn closable(&self, id: InstrumentId, side: Side) -> Qty {
        let book = &self.books[id.index()];
        let held = book.position.quantity();
        match (self.instrument(id).spec().contract, side, book.inventory) {
            (ContractKind::Spot, Side::Sell, Some(inventory)) => held.min(inventory.total),
            _ => held,
        }
    }

    /// True when what is left of a spot position is below the smallest order.
    pub(super) fn is_dust(&self, id: InstrumentId) -> bool {
        let (spec, held) = (self.instrument(id).spec(), self.books[id.index()].position.quantity());
        spec.contract == ContractKind::Spot && held.floor_to(spec.lot_step).is_none_or(|lots| lots < spec.min_lot)
    }

    /// What is left cannot be sold: it stays in the inventory, booked at the touch.
    pub(super) fn leave_dust(&mut self, id: InstrumentId, reason: ExitReason, touch: Price, out: &mut Outbox) {
        let book = &mut self.books[id.index()];
        let (Some(side), dust) = (book.position.side(), book.position.quantity()) else { return };
        if !touch.is_positive() || book.position.apply(side.opposite(), touch, dust).is_none() {
            return;
        }
        if let Some(baseline) = book.inventory.as_mut().and_then(|inventory| inventory.baseline.as_mut()) {
            let left = dust.units().saturating_mul(side.sign());
            *baseline = Qty::from_units(baseline.units().saturating_add(left));
        }
        book.phase = Phase::Settling(reason);
        // Booked as if it had been traded, but no cash moved.
        self.book_beside_cash(id, touch, dust, side.sign());
        refuse(id, broken(Refusal::Dust, dust.units(), 0), OrderId::default(), out);
        self.sync_realised(id);
        self.close_trade(id, reason, out);
    }
}

/// What one unit costs when `quantity` is worth `amount`, rounded down; `None` unless both are
/// above zero. On spot a lot is one unit of the base, so money and price × quantity agree.
fn unit_price(amount: Money, quantity: Qty) -> Option<Price> {
    let units = (i128::from(amount.units()) * i128::from(SCALE)).checked_div(i128::from(quantity.units()))?;
    i64::try_from(units).ok().map(Price::from_units).filter(|price| price.is_positive())
}

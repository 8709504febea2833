//! Orders against the touch: who trades, at what price, how much. The rules are in the parent's head.

use crate::core::payload::{Quote, RejectCode, Submit, TimeInForce, Trade};
use crate::core::{Event, EventKind, InstrumentId, InstrumentTable, OrderId, Payload, Price, Qty, Side};

/// What matching decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Accepted { order: OrderId },
    Rejected { order: OrderId, code: RejectCode, price: Price },
    Filled { order: OrderId, price: Price, qty: Qty },
    Done { order: OrderId, filled: Qty, kind: EventKind },
}

/// A resting order.
#[derive(Clone, Copy, Debug)]
struct Resting {
    id: InstrumentId,
    order: OrderId,
    side: Side,
    price: Price,
    left: Qty,
    filled: Qty,
}

/// One side of the touch and what is left of its size; `None` when the source tells no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Level {
    price: Price,
    quoted: Qty,
    left: Option<Qty>,
}

impl Level {
    fn update(&mut self, price: Price, quoted: Qty) {
        if (self.price, self.quoted) != (price, quoted) {
            *self = Self { price, quoted, left: quoted.is_positive().then_some(quoted) };
        }
    }

    /// Takes up to `wanted`; returns what was there.
    fn take(&mut self, wanted: Qty) -> Qty {
        let Some(left) = self.left else { return wanted };
        let taken = wanted.min(left);
        self.left = left.checked_sub(taken);
        taken
    }
}

/// How many finished orders are remembered for queries.
const REMEMBERED: usize = 1024;
/// Most resting orders.
const RESTING: usize = 256;

/// The touch of every instrument and the orders resting on it.
pub(super) struct Matcher {
    instruments: InstrumentTable,
    slippage_points: i64,
    touch: Vec<Option<(Level, Level)>>,
    resting: Vec<Resting>,
    done: std::collections::VecDeque<(OrderId, Qty, EventKind)>,
}

impl Matcher {
    pub(super) fn new(instruments: &InstrumentTable, slippage_points: i64) -> Self {
        Self {
            touch: vec![None; instruments.len()],
            instruments: instruments.clone(),
            slippage_points,
            resting: Vec::with_capacity(RESTING),
            done: std::collections::VecDeque::with_capacity(REMEMBERED + 1),
        }
    }

    #[inline]
    pub(super) fn on_market(&mut self, event: &Event, out: &mut Vec<(InstrumentId, Verdict)>) {
        let id = event.instrument;
        match event.kind {
            EventKind::Quote => {
                let quote = Quote::of(event);
                let Some(touch) = self.touch.get_mut(id.index()) else { return };
                if quote.bid > quote.ask || !quote.bid.is_positive() {
                    return;
                }
                let (bid, ask) = touch.get_or_insert_default();
                bid.update(quote.bid, quote.bid_qty);
                ask.update(quote.ask, quote.ask_qty);
                if !self.resting.is_empty() {
                    self.match_resting(id, None, out);
                }
            }
            EventKind::Trade if !self.resting.is_empty() => self.match_resting(id, Some(Trade::of(event)), out),
            _ => {}
        }
    }

    /// Resting orders of `id` against the touch, or against a public trade that printed through them.
    fn match_resting(&mut self, id: InstrumentId, trade: Option<Trade>, out: &mut Vec<(InstrumentId, Verdict)>) {
        let Some(Some((bid, ask))) = self.touch.get_mut(id.index()) else { return };
        let mut printed = trade.map_or(Qty::ZERO, |trade| trade.qty);
        for order in self.resting.iter_mut().filter(|order| order.id == id) {
            let through = |price: Price, strictly: bool| match order.side {
                Side::Buy => price < order.price || (!strictly && price == order.price),
                Side::Sell => price > order.price || (!strictly && price == order.price),
            };
            let quantity = match trade {
                Some(trade) if through(trade.price, true) => {
                    let quantity = order.left.min(printed);
                    printed = printed.checked_sub(quantity).unwrap_or(Qty::ZERO);
                    quantity
                }
                Some(_) => Qty::ZERO,
                None => {
                    let level = if order.side == Side::Buy { &mut *ask } else { &mut *bid };
                    if through(level.price, false) { level.take(order.left) } else { Qty::ZERO }
                }
            };
            if quantity.is_positive() {
                order.left = order.left.checked_sub(quantity).unwrap_or(Qty::ZERO);
                order.filled = order.filled.checked_add(quantity).unwrap_or(Qty::MAX);
                out.push((id, Verdict::Filled { order: order.order, price: order.price, qty: quantity }));
            }
        }
        let mut index = 0;
        while index < self.resting.len() {
            if self.resting[index].left.is_zero() {
                let order = self.resting.remove(index);
                self.remember(order.order, order.filled, EventKind::OrderExpired);
            } else {
                index += 1;
            }
        }
    }

    /// A new order meets the touch.
    pub(super) fn submit(&mut self, command: &Event, out: &mut Vec<(InstrumentId, Verdict)>) {
        let (id, submit) = (command.instrument, Submit::of(command));
        let order = submit.order;
        let side = Side::from_flags(command.flags);
        let reject = |code, price| (id, Verdict::Rejected { order, code, price });
        let (Some(side), Some(instrument)) = (side, self.instruments.get(id)) else {
            return out.push(reject(RejectCode::Filter, Price::ZERO));
        };
        let spec = instrument.spec();
        let on_grid = submit.price.is_positive()
            && submit.price.units() % spec.tick_size.units() == 0
            && submit.qty.is_positive()
            && submit.qty.units() % spec.lot_step.units() == 0
            && submit.qty <= spec.max_lot;
        if !on_grid || self.resting.len() >= RESTING {
            return out.push(reject(RejectCode::Filter, Price::ZERO));
        }
        let slippage = instrument.points(self.slippage_points).unwrap_or(Price::ZERO).units();
        let Some(Some((bid, ask))) = self.touch.get_mut(id.index()) else {
            return out.push(reject(RejectCode::NoMarket, Price::ZERO));
        };
        out.push((id, Verdict::Accepted { order }));
        let (level, worse) = if side == Side::Buy { (ask, slippage) } else { (bid, -slippage) };
        let marketable = match side {
            Side::Buy => level.price <= submit.price,
            Side::Sell => level.price >= submit.price,
        };
        let mut filled = Qty::ZERO;
        if marketable {
            let slipped = Price::from_units(level.price.units().saturating_add(worse));
            let price = if side == Side::Buy { slipped.min(submit.price) } else { slipped.max(submit.price) };
            filled = level.take(submit.qty);
            if filled.is_positive() {
                out.push((id, Verdict::Filled { order, price, qty: filled }));
            }
        }
        let left = submit.qty.checked_sub(filled).unwrap_or(Qty::ZERO);
        match submit.tif {
            TimeInForce::Limit if left.is_positive() => {
                self.resting.push(Resting { id, order, side, price: submit.price, left, filled });
            }
            TimeInForce::Ioc if left.is_positive() => self.finish(id, order, filled, EventKind::OrderExpired, out),
            TimeInForce::Limit | TimeInForce::Ioc => self.remember(order, filled, EventKind::OrderExpired),
        }
    }

    /// A cancel, or a question about an order.
    pub(super) fn cancel_or_query(&mut self, command: &Event, out: &mut Vec<(InstrumentId, Verdict)>) {
        let (id, order) = (command.instrument, OrderId(command.payload[0]));
        let found = self.resting.iter().position(|resting| resting.order == order);
        let done = self.done.iter().find(|(known, ..)| *known == order).copied();
        match (found, done, command.kind) {
            (Some(index), _, EventKind::Cancel) => {
                let resting = self.resting.remove(index);
                self.finish(id, order, resting.filled, EventKind::OrderCancelled, out);
            }
            (Some(_), ..) => out.push((id, Verdict::Accepted { order })),
            (None, Some((_, filled, _)), EventKind::Cancel) => {
                out.push((id, Verdict::Done { order, filled, kind: EventKind::CancelRejected }));
            }
            (None, Some((_, filled, kind)), _) => out.push((id, Verdict::Done { order, filled, kind })),
            (None, None, _) => {
                out.push((id, Verdict::Done { order, filled: Qty::ZERO, kind: EventKind::OrderNotFound }));
            }
        }
    }

    fn finish(
        &mut self,
        id: InstrumentId,
        order: OrderId,
        filled: Qty,
        kind: EventKind,
        out: &mut Vec<(InstrumentId, Verdict)>,
    ) {
        out.push((id, Verdict::Done { order, filled, kind }));
        self.remember(order, filled, kind);
    }

    fn remember(&mut self, order: OrderId, filled: Qty, kind: EventKind) {
        if self.done.len() == REMEMBERED {
            self.done.pop_front();
        }
        self.done.push_back((order, filled, kind));
    }
}

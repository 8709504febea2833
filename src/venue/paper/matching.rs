//! Orders against the touch: who trades, at what price, how much. The rules are in the parent's head.
//!
//! One [`Matcher`] serves the backtest and the venue that `pawl venue` opens to the world. It knows
//! orders, not accounts: whoever calls it has checked that the account may send this one, and is
//! told by [`Verdict`]s what became of it. Every order gets exactly one terminal verdict, or rests.

use std::collections::VecDeque;

use crate::core::payload::{OrderRole, Quote, RejectCode, Submit, TimeInForce, Trade};
use crate::core::{Event, EventKind, Instrument, InstrumentId, InstrumentTable, OrderId, Payload, Price, Qty, Side};

/// How an order lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderKind {
    /// Limit; what does not trade at once lapses.
    Ioc,
    /// Limit; what does not trade at once rests.
    Limit,
    /// Limit; trades wholly at once, or not at all.
    Fok,
    /// Limit; refused if it would trade at once.
    PostOnly,
    /// No limit; what does not trade at once lapses.
    Market,
}

/// An order as it reaches the matcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// What is traded.
    pub instrument: InstrumentId,
    /// The caller's name for it, unique among open orders.
    pub order: OrderId,
    /// Buy or sell.
    pub side: Side,
    /// The limit, on the tick; not looked at in a market order.
    pub price: Price,
    /// How much, on the lot step.
    pub qty: Qty,
    /// How it lives.
    pub kind: OrderKind,
    /// It closes a position: it may be smaller than the minimum lot, which a partial fill can leave.
    pub closing: bool,
}

/// What matching decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It passed every check. First verdict of every order that is not refused.
    Accepted {
        /// Which order.
        order: OrderId,
    },
    /// It never was an order. Terminal.
    Rejected {
        /// Which order.
        order: OrderId,
        /// Why.
        code: RejectCode,
        /// The price on offer with [`RejectCode::Requote`], else zero.
        price: Price,
    },
    /// It traded. Terminal when the whole quantity has.
    Filled {
        /// Which order.
        order: OrderId,
        /// Price of this execution, never beyond the limit.
        price: Price,
        /// Quantity of this execution.
        qty: Qty,
        /// It rested, and somebody came to it.
        maker: bool,
    },
    /// It will not trade any more, or an answer about an order that does not rest.
    Done {
        /// Which order.
        order: OrderId,
        /// Filled over its life.
        filled: Qty,
        /// Expired, cancelled, not found, or cancel-rejected.
        kind: EventKind,
    },
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

impl Resting {
    /// Sorts by instrument, side, and then best price first; equal keys stay in order of age.
    fn priority(&self) -> (InstrumentId, bool, i64) {
        let better_first = match self.side {
            Side::Buy => -self.price.units(),
            Side::Sell => self.price.units(),
        };
        (self.id, self.side == Side::Sell, better_first)
    }
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

    /// What an order of `wanted` would get: whole lot steps only.
    fn available(&self, wanted: Qty, step: Qty) -> Qty {
        let Some(left) = self.left else { return wanted };
        left.floor_to(step).map_or(Qty::ZERO, |left| left.min(wanted))
    }

    /// Takes up to `wanted`; returns what was there.
    fn take(&mut self, wanted: Qty, step: Qty) -> Qty {
        let taken = self.available(wanted, step);
        self.left = self.left.and_then(|left| left.checked_sub(taken));
        taken
    }
}

/// How many finished orders are remembered for queries.
const REMEMBERED: usize = 1024;
/// Most resting orders, unless the caller asks for more.
pub const RESTING: usize = 256;

/// The touch of every instrument and the orders resting on it.
pub struct Matcher {
    instruments: InstrumentTable,
    slippage_points: i64,
    touch: Vec<Option<(Level, Level)>>,
    /// In order of [`Resting::priority`].
    resting: Vec<Resting>,
    most_resting: usize,
    done: VecDeque<(OrderId, Qty, EventKind)>,
}

impl Matcher {
    /// No market and no orders; at most `most_resting` orders will rest at a time.
    pub fn new(instruments: &InstrumentTable, slippage_points: i64, most_resting: usize) -> Self {
        Self {
            touch: vec![None; instruments.len()],
            instruments: instruments.clone(),
            slippage_points,
            resting: Vec::with_capacity(most_resting),
            most_resting,
            done: VecDeque::with_capacity(REMEMBERED + 1),
        }
    }

    /// The best bid and ask with their shown sizes, `None` before the first good quote.
    pub fn touch(&self, id: InstrumentId) -> Option<Quote> {
        let (bid, ask) = (*self.touch.get(id.index())?)?;
        Some(Quote { bid: bid.price, ask: ask.price, bid_qty: bid.quoted, ask_qty: ask.quoted })
    }

    /// A quote or a public trade; everything else is ignored.
    #[inline]
    pub fn on_market(&mut self, event: &Event, out: &mut Vec<(InstrumentId, Verdict)>) {
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
        let (Some(Some((bid, ask))), Some(instrument)) = (self.touch.get_mut(id.index()), self.instruments.get(id))
        else {
            return;
        };
        let step = instrument.spec().lot_step;
        let mut printed = trade.map_or(Level::default(), |trade| Level { left: Some(trade.qty), ..Level::default() });
        let first = self.resting.partition_point(|order| order.id < id);
        let mut finished = false;
        for order in self.resting[first..].iter_mut().take_while(|order| order.id == id) {
            let through = |price: Price, strictly: bool| match order.side {
                Side::Buy => price < order.price || (!strictly && price == order.price),
                Side::Sell => price > order.price || (!strictly && price == order.price),
            };
            let quantity = match trade {
                Some(trade) if through(trade.price, true) => printed.take(order.left, step),
                Some(_) => Qty::ZERO,
                None => {
                    let level = if order.side == Side::Buy { &mut *ask } else { &mut *bid };
                    if through(level.price, false) { level.take(order.left, step) } else { Qty::ZERO }
                }
            };
            if quantity.is_positive() {
                order.left = order.left.checked_sub(quantity).unwrap_or(Qty::ZERO);
                order.filled = order.filled.checked_add(quantity).unwrap_or(Qty::MAX);
                finished |= order.left.is_zero();
                let fill = Verdict::Filled { order: order.order, price: order.price, qty: quantity, maker: true };
                out.push((id, fill));
            }
        }
        let mut index = first;
        while finished && index < self.resting.len() {
            if self.resting[index].left.is_zero() {
                let order = self.resting.remove(index);
                self.remember(order.order, order.filled, EventKind::OrderExpired);
            } else {
                index += 1;
            }
        }
    }

    /// An engine's [`Submit`] meets the touch.
    pub fn on_submit(&mut self, command: &Event, out: &mut Vec<(InstrumentId, Verdict)>) {
        let (id, submit) = (command.instrument, Submit::of(command));
        let Some(side) = Side::from_flags(command.flags) else {
            return out.push((id, rejected(submit.order, RejectCode::Filter)));
        };
        let kind = match submit.tif {
            TimeInForce::Ioc => OrderKind::Ioc,
            TimeInForce::Limit => OrderKind::Limit,
        };
        let closing = submit.role == OrderRole::Exit;
        let order =
            Order { instrument: id, order: submit.order, side, price: submit.price, qty: submit.qty, kind, closing };
        self.place(&order, out);
    }

    /// Why this order cannot be, whatever the market.
    fn refusal(&self, order: &Order, instrument: &Instrument) -> Option<RejectCode> {
        let spec = instrument.spec();
        let market = order.kind == OrderKind::Market;
        let price_good = market || (order.price.is_positive() && order.price.units() % spec.tick_size.units() == 0);
        let quantity_good = order.qty.is_positive()
            && order.qty.units() % spec.lot_step.units() == 0
            && order.qty <= spec.max_lot
            && (order.closing || order.qty >= spec.min_lot);
        let worth = market || instrument.notional(order.price, order.qty).is_some();
        if !price_good || !quantity_good || !worth || self.resting.len() >= self.most_resting {
            return Some(RejectCode::Filter);
        }
        self.resting.iter().any(|resting| resting.order == order.order).then_some(RejectCode::Other)
    }

    /// A new order meets the touch.
    pub fn place(&mut self, order: &Order, out: &mut Vec<(InstrumentId, Verdict)>) {
        let (id, name) = (order.instrument, order.order);
        let Some(instrument) = self.instruments.get(id) else {
            return out.push((id, rejected(name, RejectCode::Filter)));
        };
        if let Some(code) = self.refusal(order, instrument) {
            return out.push((id, rejected(name, code)));
        }
        let step = instrument.spec().lot_step;
        let slippage = instrument.points(self.slippage_points).unwrap_or(Price::ZERO).units();
        let Some(Some((bid, ask))) = self.touch.get_mut(id.index()) else {
            return out.push((id, rejected(name, RejectCode::NoMarket)));
        };
        let level = if order.side == Side::Buy { ask } else { bid };
        let marketable = order.kind == OrderKind::Market
            || match order.side {
                Side::Buy => level.price <= order.price,
                Side::Sell => level.price >= order.price,
            };
        if marketable && order.kind == OrderKind::PostOnly {
            return out.push((id, rejected(name, RejectCode::Other)));
        }
        out.push((id, Verdict::Accepted { order: name }));
        let enough = order.kind != OrderKind::Fok || level.available(order.qty, step) == order.qty;
        let filled = if marketable && enough { level.take(order.qty, step) } else { Qty::ZERO };
        if filled.is_positive() {
            let price = execution_price(order, level.price, slippage);
            out.push((id, Verdict::Filled { order: name, price, qty: filled, maker: false }));
        }
        let left = order.qty.checked_sub(filled).unwrap_or(Qty::ZERO);
        match order.kind {
            _ if left.is_zero() => self.remember(name, filled, EventKind::OrderExpired),
            OrderKind::Limit | OrderKind::PostOnly => {
                self.rest(Resting { id, order: name, side: order.side, price: order.price, left, filled });
            }
            OrderKind::Ioc | OrderKind::Fok | OrderKind::Market => {
                self.finish(id, name, filled, EventKind::OrderExpired, out);
            }
        }
    }

    fn rest(&mut self, order: Resting) {
        let place = self.resting.partition_point(|resting| resting.priority() <= order.priority());
        self.resting.insert(place, order);
    }

    /// Makes a resting order smaller without losing its place; false when that cannot be.
    pub fn reduce(&mut self, order: OrderId, left: Qty) -> bool {
        match self.resting.iter_mut().find(|resting| resting.order == order) {
            Some(resting) if left.is_positive() && left < resting.left => {
                resting.left = left;
                true
            }
            _ => false,
        }
    }

    /// An engine's cancel, or its question about an order.
    pub fn cancel_or_query(&mut self, command: &Event, out: &mut Vec<(InstrumentId, Verdict)>) {
        let (id, order) = (command.instrument, OrderId(command.payload[0]));
        if command.kind == EventKind::Cancel {
            return self.cancel(id, order, out);
        }
        if self.resting.iter().any(|resting| resting.order == order) {
            return out.push((id, Verdict::Accepted { order }));
        }
        let (filled, kind) = self.known(order).unwrap_or((Qty::ZERO, EventKind::OrderNotFound));
        out.push((id, Verdict::Done { order, filled, kind }));
    }

    /// Takes an order off the book; what has traded stays traded.
    pub fn cancel(&mut self, id: InstrumentId, order: OrderId, out: &mut Vec<(InstrumentId, Verdict)>) {
        if let Some(index) = self.resting.iter().position(|resting| resting.order == order) {
            let resting = self.resting.remove(index);
            return self.finish(id, order, resting.filled, EventKind::OrderCancelled, out);
        }
        let (filled, kind) = match self.known(order) {
            Some((filled, _)) => (filled, EventKind::CancelRejected),
            None => (Qty::ZERO, EventKind::OrderNotFound),
        };
        out.push((id, Verdict::Done { order, filled, kind }));
    }

    /// How a finished order ended. The latest of that name: a name may be used again.
    fn known(&self, order: OrderId) -> Option<(Qty, EventKind)> {
        let latest = self.done.iter().rev().find(|(known, ..)| *known == order)?;
        Some((latest.1, latest.2))
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

/// The touch, worsened by the slippage, never beyond the limit, never below one tick of nothing.
fn execution_price(order: &Order, touch: Price, slippage: i64) -> Price {
    let worse = if order.side == Side::Buy { slippage } else { -slippage };
    let slipped = Price::from_units(touch.units().saturating_add(worse));
    match (order.kind, order.side) {
        (OrderKind::Market, _) => slipped.max(Price::from_units(1)),
        (_, Side::Buy) => slipped.min(order.price),
        (_, Side::Sell) => slipped.max(order.price),
    }
}

fn rejected(order: OrderId, code: RejectCode) -> Verdict {
    Verdict::Rejected { order, code, price: Price::ZERO }
}

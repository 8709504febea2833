//! What the order manager knows of one instrument: touch, position, the one order alive, and where
//! the trade stands. [`Phase`] makes two live orders for one intent unrepresentable: an order exists
//! only inside a phase, and a phase holds one.

use crate::core::payload::{ExitReason, Quote, TimeInForce};
use crate::core::{Money, Nanos, OrderId, Price, Qty, Side};

use super::position::Position;
use super::reconcile::Inventory;

/// Where an instrument's trade stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// No position, no order.
    Idle,
    /// An entry order is alive; part of it may have traded.
    Entering(WorkingOrder),
    /// A position, no order. No exit is tried before `not_before`.
    Holding { not_before: Nanos },
    /// A position and an exit order.
    Exiting(WorkingOrder, ExitReason),
    /// Flat again; the closing fees may still be on their way.
    Settling(ExitReason),
}

/// What the venue has said about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderState {
    /// Sent, not acknowledged.
    Sent,
    /// Acknowledged.
    Working,
    /// A cancel was sent.
    Cancelling,
    /// Nothing was heard in time: it counts as open until the venue answers.
    Unknown {
        /// Receive time from which on it is unknown.
        since: Nanos,
    },
}

impl OrderState {
    /// Unknown from `now` on, or from before, if it is so already.
    pub(super) fn unknown(self, now: Nanos) -> Self {
        match self {
            Self::Unknown { since } => Self::Unknown { since },
            Self::Sent | Self::Working | Self::Cancelling => Self::Unknown { since: now },
        }
    }

    /// True when its fate is unknown.
    pub(super) fn is_unknown(self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// The one order alive on an instrument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WorkingOrder {
    pub(super) id: OrderId,
    pub(super) intent: u32,
    pub(super) attempt: u8,
    pub(super) side: Side,
    pub(super) quantity: Qty,
    pub(super) filled: Qty,
    pub(super) time_in_force: TimeInForce,
    pub(super) state: OrderState,
    /// When it needs attention: its time to live ends, or its acknowledgement is overdue.
    pub(super) deadline: Nanos,
    /// The far touch when it was decided: what slippage is measured from.
    pub(super) reference: Price,
    /// Bid plus ask when it was decided.
    pub(super) bid_plus_ask: i64,
}

impl WorkingOrder {
    /// What may still trade.
    pub(super) fn remaining(&self) -> Qty {
        self.quantity.checked_sub(self.filled).map_or(Qty::ZERO, |rest| rest.max(Qty::ZERO))
    }
}

/// The open trade, from its first fill until it is flat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OpenTrade {
    pub(super) side: Side,
    pub(super) opened: Nanos,
    /// Realised profit of the position when the trade began, units of 1e-16.
    pub(super) realised_before: i128,
    pub(super) fees: Money,
    /// Worse than the reference, price × quantity in units of 1e-16.
    pub(super) slippage: i128,
    pub(super) entry_value: i128,
    pub(super) entry_quantity: i64,
    pub(super) exit_value: i128,
    pub(super) exit_quantity: i64,
    /// Prices at which stop-loss and take-profit are due.
    pub(super) stop: Price,
    pub(super) target: Option<Price>,
}

/// Everything known of one instrument.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) quote: Quote,
    /// Receive time of `quote`; [`Nanos::NONE`] before the first.
    pub(super) quoted: Nanos,
    /// |venue time - receive time| of `quote`, nanoseconds.
    pub(super) clock_skew: u64,
    /// Latest z-score; NaN while undefined.
    pub(super) z_score: f64,
    pub(super) phase: Phase,
    pub(super) position: Position,
    pub(super) trade: Option<OpenTrade>,
    /// Executions booked: repeats are ignored, and lower numbers may come after higher ones.
    pub(super) executions: Seen,
    /// Executions whose fee was booked.
    pub(super) fees: Seen,
    /// Spot only: what is owned of the base asset.
    pub(super) inventory: Option<Inventory>,
    /// Position (signed units) and entry price that the present reconciliation reported.
    pub(super) reported: Option<(i64, Price)>,
    /// The present reconciliation reported the live order as open.
    pub(super) seen_open: bool,
    /// It reported an order of ours that nobody here waits for; its cancel is on its way.
    pub(super) orphaned: bool,
    pub(super) last_entry: Option<(Side, Nanos)>,
    /// The last orders sent, newest last, so that a late fill still finds its side.
    recent: [(OrderId, Option<Side>); REMEMBERED],
}

/// Orders of an instrument that are remembered after they are done.
const REMEMBERED: usize = 16;
/// Executions remembered: more than a venue tells in one answer when it is asked for an order's executions, all of
/// which then come a second time.
const EXECUTIONS: usize = 2048;

/// The last execution numbers, so that one that comes twice is booked once.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// A ring, apart from the book, whose memory is asked for before each order.
    numbers: Box<[u64]>,
    next: usize,
    highest: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { numbers: vec![0; EXECUTIONS].into_boxed_slice(), next: 0, highest: 0 }
    }
}

impl Seen {
    /// Notes a number; false when it is remembered already. Zero is never remembered.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        // Nearly all are higher than any before them.
        if number != 0 && number <= self.highest && self.numbers.contains(&number) {
            return false;
        }
        self.numbers[self.next] = number;
        self.next = (self.next + 1) % EXECUTIONS;
        self.highest = self.highest.max(number);
        true
    }

    /// Forgets all.
    fn clear(&mut self) {
        self.numbers.fill(0);
        (self.next, self.highest) = (0, 0);
    }

    /// The highest number noted.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }
}

impl Default for Book {
    fn default() -> Self {
        Self {
            quote: Quote::default(),
            quoted: Nanos::NONE,
            clock_skew: 0,
            z_score: f64::NAN,
            phase: Phase::Idle,
            position: Position::default(),
            trade: None,
            executions: Seen::default(),
            fees: Seen::default(),
            inventory: None,
            reported: None,
            seen_open: false,
            orphaned: false,
            last_entry: None,
            recent: [(OrderId(0), None); REMEMBERED],
        }
    }
}

impl Book {
    /// As it was after [`Book::default`], in the same memory.
    pub(super) fn begin_anew(&mut self) {
        // By name, so that a new field cannot be forgotten.
        let Self {
            quote,
            quoted,
            clock_skew,
            z_score,
            phase,
            position,
            trade,
            executions,
            fees,
            inventory,
            reported,
            seen_open,
            orphaned,
            last_entry,
            recent,
        } = self;
        executions.clear();
        fees.clear();
        (*quote, *quoted, *clock_skew, *z_score) = (Quote::default(), Nanos::NONE, 0, f64::NAN);
        (*phase, *position, *trade, *inventory) = (Phase::Idle, Position::default(), None, None);
        (*reported, *seen_open, *orphaned, *last_entry) = (None, false, false, None);
        *recent = [(OrderId(0), None); REMEMBERED];
    }

    /// Notes an order that was sent.
    pub(super) fn remember(&mut self, order: OrderId, side: Side) {
        self.recent.rotate_left(1);
        self.recent[REMEMBERED - 1] = (order, Some(side));
    }

    /// The side of one of the last orders sent, dead or alive.
    pub(super) fn side_of(&self, order: OrderId) -> Option<Side> {
        self.recent.iter().find(|(id, _)| *id == order).and_then(|(_, side)| *side)
    }

    /// The price that an order on this side trades at.
    pub(super) fn far_touch(&self, side: Side) -> Price {
        match side {
            Side::Buy => self.quote.ask,
            Side::Sell => self.quote.bid,
        }
    }

    /// Bid plus ask: twice the mid.
    pub(super) fn bid_plus_ask(&self) -> i64 {
        self.quote.bid.units().saturating_add(self.quote.ask.units())
    }

    /// The price that would close the position.
    pub(super) fn mark(&self) -> Price {
        self.far_touch(self.position.side().map_or(Side::Sell, Side::opposite))
    }

    /// The order alive, if any.
    pub(super) fn order(&self) -> Option<&WorkingOrder> {
        match &self.phase {
            Phase::Entering(order) | Phase::Exiting(order, _) => Some(order),
            Phase::Idle | Phase::Holding { .. } | Phase::Settling(_) => None,
        }
    }

    /// The order alive, to be changed.
    pub(super) fn order_mut(&mut self) -> Option<&mut WorkingOrder> {
        match &mut self.phase {
            Phase::Entering(order) | Phase::Exiting(order, _) => Some(order),
            Phase::Idle | Phase::Holding { .. } | Phase::Settling(_) => None,
        }
    }

    /// Lots held or possibly about to be held, in units of 1e-8. Exits count nothing: they only
    /// reduce. An unknown entry counts as open.
    pub(super) fn exposure(&self) -> i64 {
        let in_flight = match &self.phase {
            Phase::Entering(order) => order.remaining().units(),
            _ => 0,
        };
        self.position.quantity().units().saturating_add(in_flight)
    }
}

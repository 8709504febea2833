//! What the adapter remembers of the session's last orders, and which executions it has handed on.
//! Fixed arrays: an old order makes room for a new one, and is then known by its name only.

use crate::core::fetch::fetch;
use crate::core::{InstrumentId, Nanos, OrderId, Qty};
use crate::venue::binance::rest::OrderStatus;

/// Orders remembered.
const ORDERS: usize = 512;
/// Executions remembered.
const EXECUTIONS: usize = 1024;

/// One order of this session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) order: OrderId,
    pub(super) sent: Nanos,
    /// The venue's number; 0 until known.
    pub(super) venue_order: u64,
    /// Sum of the executions handed on.
    pub(super) filled: Qty,
    /// Its acknowledgement was handed on.
    pub(super) accepted: bool,
    /// It ended, but executions are missing: its end is told once they have come.
    pub(super) ended: Option<(OrderStatus, Qty)>,
}

/// The last orders and executions.
pub(super) struct Tracker {
    orders: Vec<Option<Record>>,
    executions: Vec<(InstrumentId, u64)>,
    next: usize,
    /// The last order that was sent.
    last: OrderId,
}

impl Tracker {
    pub(super) fn new() -> Self {
        // The venue's numbers are signed 64-bit: this one is none of them.
        Self {
            orders: vec![None; ORDERS],
            executions: vec![(InstrumentId(0), u64::MAX); EXECUTIONS],
            next: 0,
            last: OrderId(0),
        }
    }

    /// An order is about to be sent.
    pub(super) fn sent(&mut self, order: OrderId, now: Nanos) {
        let record = Record { order, sent: now, venue_order: 0, filled: Qty::ZERO, accepted: false, ended: None };
        self.orders[slot(order)] = Some(record);
        self.last = order;
    }

    /// Asks for the memory that the next order is noted in.
    pub(super) fn fetch_next(&self) {
        fetch(&self.orders[slot(OrderId(self.last.0.wrapping_add(1)))]);
    }

    /// The order, if it is still remembered.
    pub(super) fn get(&mut self, order: OrderId) -> Option<&mut Record> {
        self.orders[slot(order)].as_mut().filter(|record| record.order == order)
    }

    /// True the first time that this execution is seen.
    pub(super) fn first_time(&mut self, instrument: InstrumentId, execution: u64) -> bool {
        let seen = (instrument, execution);
        if self.executions.contains(&seen) {
            return false;
        }
        self.executions[self.next] = seen;
        self.next = (self.next + 1) % EXECUTIONS;
        true
    }
}

/// Counters of one session rise: two orders share a slot only when 512 lie between them.
fn slot(order: OrderId) -> usize {
    order.0 as usize % ORDERS
}

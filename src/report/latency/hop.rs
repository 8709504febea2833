//! What is measured: the hops of an event's way through the engine, each with its budget.

use serde::Serialize;

/// One step of an event's way, or the whole of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Hop {
    /// From the last look at the socket that found nothing to the one that found the frame: how long
    /// the frame may have lain unread. A stall of the thread shows here and nowhere else.
    Unread,
    /// From the read that completed a frame to its event: TLS, framing, parsing.
    Decode,
    /// Journal append of the input.
    Journal,
    /// Normalising.
    Feed,
    /// Features.
    Quant,
    /// The model, when asked.
    Oracle,
    /// Orders, positions, checks.
    Oms,
    /// From the ring's producer to its consumer, waiting for it included.
    Ring,
    /// From the order to after the write that gave its bytes to the system: journal, encoding, signing,
    /// TLS, the write.
    Send,
    /// Of that, the system's write alone: before it to after it.
    Write,
    /// A snapshot stored in shared memory.
    Snapshot,
    /// From the arrival to after the write of the order's bytes: only events that caused an order.
    Order,
    /// From the arrival to the last decision: every event that is timed.
    Total,
}

/// Median and 99.9th percentile that DESIGN section 11 allows, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Budget {
    /// Median.
    pub p50: u64,
    /// 99.9th percentile.
    pub p999: u64,
}

/// Name, meaning for a reader, and budget of every hop, in the order of the enumeration.
const TABLE: [(Hop, &str, &str, Option<Budget>); Hop::COUNT] = [
    (Hop::Unread, "unread", "may have lain unread in the socket", None),
    (Hop::Decode, "decode", "frame bytes to event", Some(Budget { p50: 150, p999: 1_000 })),
    (Hop::Journal, "journal", "append to the journal", Some(Budget { p50: 10, p999: 100 })),
    (Hop::Feed, "feed", "normalise", None),
    (Hop::Quant, "quant", "features", Some(Budget { p50: 25, p999: 100 })),
    (Hop::Oracle, "oracle", "model, when asked", Some(Budget { p50: 110, p999: 250 })),
    (Hop::Oms, "oms", "orders, positions, checks", None),
    (Hop::Ring, "ring", "from one thread to the next", Some(Budget { p50: 100, p999: 1_000 })),
    (Hop::Send, "send", "order to bytes on the wire", None),
    (Hop::Write, "write", "of that, the system's write", None),
    (Hop::Snapshot, "snapshot", "shared memory", Some(Budget { p50: 50, p999: 200 })),
    (Hop::Order, "order", "arrival to order, events with one", Some(Budget { p50: 1_000, p999: 5_000 })),
    (Hop::Total, "total", "arrival to last decision", Some(Budget { p50: 1_000, p999: 5_000 })),
];

impl Hop {
    /// How many.
    pub const COUNT: usize = 13;

    /// Every hop, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(hop, ..)| *hop)
    }

    /// Its name in tables and tags.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Its meaning, for a reader.
    pub const fn meaning(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// What DESIGN section 11 allows.
    pub const fn budget(self) -> Option<Budget> {
        TABLE[self as usize].3
    }

    /// The hop of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|(_, known, ..)| *known == name).map(|(hop, ..)| *hop)
    }
}

impl Serialize for Hop {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enumeration() {
        for (index, hop) in Hop::all().enumerate() {
            assert_eq!(hop as usize, index);
            assert_eq!(Hop::from_name(hop.name()), Some(hop));
        }
    }
}

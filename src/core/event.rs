//! The event is the record: what the feed writes, the rings carry, the journal stores and a
//! replay reads. 64 bytes, one cache line, little-endian.
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | `sequence` | 1-based, gapless per stream; 0 = never written |
//! | 8 | 4 | `crc` | CRC-32C of the other 60 bytes |
//! | 12 | 2 | `instrument` | index into the session's instrument table |
//! | 14 | 1 | `kind` | [`EventKind`] |
//! | 15 | 1 | `flags` | [`Flags`] |
//! | 16 | 8 | `venue_ns` | exchange time (0 = none); in an output record the `sequence` of its cause |
//! | 24 | 8 | `local_ns` | receive time |
//! | 32 | 32 | `payload` | four 64-bit words, by kind: see [`crate::core::payload`] |
//!
//! An `Event` in memory always has a known kind; bytes from outside become one only through
//! [`Event::from_bytes`], which checks kind and CRC.

use std::fmt;
use std::mem::{align_of, offset_of, size_of};

use super::crc::crc32c_record;
use super::instrument::InstrumentId;
use super::time::Nanos;

/// Bytes of an event, in memory and on disk.
pub const EVENT_BYTES: usize = 64;

/// One thing that was told to the engine, or that it decided. The table is in the module's head.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// 1-based and gapless within its stream; 0 = never written.
    pub sequence: u64,
    /// CRC-32C of the other 60 bytes; valid only once sealed (see [`Event::sealed`]).
    pub crc: u32,
    /// Index into the session's instrument table.
    pub instrument: InstrumentId,
    /// What the payload means.
    pub kind: EventKind,
    /// Modifiers, by kind.
    pub flags: Flags,
    /// Exchange time, [`Nanos::NONE`] when the venue sent none. In output records: the cause.
    pub venue_ns: Nanos,
    /// Receive time: the engine's only clock.
    pub local_ns: Nanos,
    /// Four words whose meaning is given by `kind`.
    pub payload: [u64; 4],
}

const _: () = {
    assert!(size_of::<Event>() == EVENT_BYTES && align_of::<Event>() == EVENT_BYTES);
    assert!(offset_of!(Event, sequence) == 0);
    assert!(offset_of!(Event, crc) == 8);
    assert!(offset_of!(Event, instrument) == 12);
    assert!(offset_of!(Event, kind) == 14);
    assert!(offset_of!(Event, flags) == 15);
    assert!(offset_of!(Event, venue_ns) == 16);
    assert!(offset_of!(Event, local_ns) == 24);
    assert!(offset_of!(Event, payload) == 32);
};

/// Declares the kinds once: number, name, and the text printed for each.
macro_rules! event_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What happened. Below 64 the engine was told (input), from 64 on it decided (output).
        #[repr(u8)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum EventKind { $($(#[$doc])* $name = $number,)* }

        impl EventKind {
            /// Every kind, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The kind with this number, or `None` for one this version does not know.
            #[must_use]
            #[inline]
            pub const fn from_u8(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// The name used in text output, lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

event_kinds! {
    /// Best bid and ask: [`super::payload::Quote`].
    Quote = 1, "quote";
    /// A public trade: [`super::payload::Trade`].
    Trade = 2, "trade";
    /// Market data was lost here; state built on it must start anew, unless [`Flags::CONFLATED`] is set.
    Gap = 3, "gap";
    /// Time passed: `local_ns` is now.
    Timer = 4, "timer";
    /// An operator or supervisor spoke: [`super::payload::Control`].
    Control = 5, "control";
    /// A connection to the venue changed: [`super::payload::Link`].
    Link = 6, "link";
    /// The venue took an order: [`super::payload::OrderAck`].
    OrderAccepted = 16, "order-accepted";
    /// The venue refused an order: [`super::payload::OrderReject`].
    OrderRejected = 17, "order-rejected";
    /// The order's remainder was cancelled: [`super::payload::OrderDone`].
    OrderCancelled = 18, "order-cancelled";
    /// The order's remainder lapsed (IOC, time in force): [`super::payload::OrderDone`].
    OrderExpired = 19, "order-expired";
    /// The order traded: [`super::payload::Fill`].
    Fill = 20, "fill";
    /// What a fill cost: [`super::payload::Fee`].
    Fee = 21, "fee";
    /// The venue has never heard of an order that was asked about: [`super::payload::OrderDone`].
    OrderNotFound = 22, "order-not-found";
    /// The venue refused a cancel because the order is done: [`super::payload::OrderDone`].
    CancelRejected = 23, "cancel-rejected";
    /// Reconciliation: a derivatives position as the venue holds it: [`super::payload::PositionReport`].
    PositionReport = 24, "position-report";
    /// Reconciliation, or a change pushed by the venue: what is owned of a spot instrument's base asset:
    /// [`super::payload::InventoryReport`].
    InventoryReport = 25, "inventory-report";
    /// Reconciliation, or a change pushed by the venue: cash of the account:
    /// [`super::payload::AccountReport`].
    AccountReport = 26, "account-report";
    /// Reconciliation: an order that is open at the venue: [`super::payload::OpenOrderReport`].
    OpenOrderReport = 27, "open-order-report";
    /// A reconciliation is complete: what was not reported is not there:
    /// [`super::payload::Reconciled`].
    Reconciled = 28, "reconciled";
    /// First half of a raw signal: [`super::payload::Signal`].
    Signal = 64, "signal";
    /// Second half of a raw signal: [`super::payload::SignalContext`].
    SignalContext = 65, "signal-context";
    /// The oracle's answer: [`super::payload::Decision`].
    Decision = 66, "decision";
    /// A reason for not trading: [`super::payload::RefusalRecord`].
    Refusal = 67, "refusal";
    /// An order to the venue: [`super::payload::Submit`].
    Submit = 68, "submit";
    /// A cancel to the venue: [`super::payload::OrderDone`].
    Cancel = 69, "cancel";
    /// A question to the venue about an order whose fate is unknown: [`super::payload::OrderDone`].
    Query = 70, "query";
    /// A position went from flat to open: [`super::payload::TradeOpened`].
    TradeOpened = 71, "trade-opened";
    /// A position went back to flat: [`super::payload::TradeClosed`].
    TradeClosed = 72, "trade-closed";
    /// The money side of the closed position: [`super::payload::TradeCosts`].
    TradeCosts = 73, "trade-costs";
    /// Something a person must see: [`super::payload::AlertRecord`].
    Alert = 74, "alert";
    /// Asks the venue for open orders, positions and balances: [`super::payload::Reconciled`].
    Reconcile = 75, "reconcile";
}

impl EventKind {
    /// True for what the engine was told, false for what it decided.
    #[must_use]
    pub const fn is_input(self) -> bool {
        (self as u8) < 64
    }
}

/// Eight modifier bits of an event.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No modifier.
    pub const NONE: Self = Self(0);
    /// The aggressor of a trade bought; on orders and signals: the buy side.
    pub const BUY: Self = Self(0x01);
    /// The aggressor of a trade sold; on orders and signals: the sell side.
    pub const SELL: Self = Self(0x02);
    /// Part of a snapshot, not an update.
    pub const SNAPSHOT: Self = Self(0x04);
    /// The last event that one frame produced.
    pub const LAST_OF_BATCH: Self = Self(0x08);
    /// Its time is before that of an earlier event of the same stream, or too far ahead to be believed.
    pub const OUT_OF_ORDER: Self = Self(0x10);
    /// Equal to the event before it in every field the venue sent.
    pub const DUPLICATE: Self = Self(0x20);
    /// On a fee: paid in an asset that is neither the cash nor what is traded.
    pub const OTHER_ASSET: Self = Self(0x40);
    /// On a gap: quotes were replaced by later ones (word 0 says how many), and nothing else is missing.
    pub const CONFLATED: Self = Self(0x80);

    /// Both sets of bits.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Flags, &str); 8] = [
            (Flags::BUY, "buy"),
            (Flags::SELL, "sell"),
            (Flags::SNAPSHOT, "snapshot"),
            (Flags::LAST_OF_BATCH, "last-of-batch"),
            (Flags::OUT_OF_ORDER, "out-of-order"),
            (Flags::DUPLICATE, "duplicate"),
            (Flags::OTHER_ASSET, "other-asset"),
            (Flags::CONFLATED, "conflated"),
        ];
        let mut separator = "";
        for (flag, name) in NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        Ok(())
    }
}

/// Why 64 bytes are not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// All zero sequence: nothing was ever written here.
    #[error("expected a record, found an empty slot (sequence 0)")]
    Empty,
    /// The bytes are not the ones that were written.
    #[error("expected CRC {expected:#010x}, found {found:#010x}: the record is torn or damaged")]
    Crc {
        /// Computed from the bytes.
        expected: u32,
        /// Stored in the record.
        found: u32,
    },
    /// Intact, but of a kind that this version does not know.
    #[error("expected a known event kind, found {0}: written by a newer version?")]
    Kind(u8),
}

impl Event {
    /// An event that is not yet part of a stream: sequence and CRC are zero.
    #[must_use]
    pub const fn new(
        kind: EventKind,
        instrument: InstrumentId,
        venue_ns: Nanos,
        local_ns: Nanos,
        payload: [u64; 4],
    ) -> Self {
        Self { sequence: 0, crc: 0, instrument, kind, flags: Flags::NONE, venue_ns, local_ns, payload }
    }

    /// The same event with more flags.
    #[must_use]
    pub const fn flagged(mut self, flags: Flags) -> Self {
        self.flags = self.flags.with(flags);
        self
    }

    /// When it happened: the venue's time, or the receive time where the venue sends none.
    #[must_use]
    pub fn event_ns(&self) -> Nanos {
        if self.venue_ns == Nanos::NONE { self.local_ns } else { self.venue_ns }
    }

    /// The CRC that the other 60 bytes should have.
    #[must_use]
    #[inline]
    pub fn expected_crc(&self) -> u32 {
        let [a, b, c, d] = self.payload;
        crc32c_record([self.sequence, self.venue_ns.0, self.local_ns.0, a, b, c, d], self.head())
    }

    /// The event as the record with this number, CRC included: ready to be stored.
    #[must_use]
    #[inline]
    pub fn sealed(mut self, sequence: u64) -> Self {
        self.sequence = sequence;
        self.crc = self.expected_crc();
        self
    }

    /// The record with this number as eight words: what [`Event::sealed`] gives, ready to be stored.
    #[must_use]
    #[inline]
    pub fn sealed_words(&self, sequence: u64) -> [u64; 8] {
        let head = self.head();
        let [a, b, c, d] = self.payload;
        let crc = crc32c_record([sequence, self.venue_ns.0, self.local_ns.0, a, b, c, d], head);
        [sequence, u64::from(head) << 32 | u64::from(crc), self.venue_ns.0, self.local_ns.0, a, b, c, d]
    }

    /// Instrument, kind and flags: bytes 12 to 15.
    #[inline]
    fn head(&self) -> u32 {
        u32::from(self.instrument.0) | u32::from(self.kind as u8) << 16 | u32::from(self.flags.0) << 24
    }

    /// The 64 bytes, little-endian, by the table in the module's head.
    #[must_use]
    #[inline]
    pub fn to_bytes(&self) -> [u8; EVENT_BYTES] {
        let [a, b, c, d] = self.payload;
        let second = u64::from(self.head()) << 32 | u64::from(self.crc);
        let words = [self.sequence, second, self.venue_ns.0, self.local_ns.0, a, b, c, d];
        let mut bytes = [0; EVENT_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads and checks 64 bytes from outside.
    ///
    /// # Errors
    /// [`EventError`]: an empty slot, a damaged record, or an unknown kind.
    #[inline]
    pub fn from_bytes(bytes: &[u8; EVENT_BYTES]) -> Result<Self, EventError> {
        Self::from_words(std::array::from_fn(|word| {
            u64::from_le_bytes(std::array::from_fn(|byte| bytes[word * 8 + byte]))
        }))
    }

    /// Reads and checks eight words from outside.
    ///
    /// # Errors
    /// As [`Event::from_bytes`].
    #[inline]
    pub fn from_words(words: [u64; 8]) -> Result<Self, EventError> {
        let [sequence, second, venue, local, a, b, c, d] = words;
        if sequence == 0 {
            return Err(EventError::Empty);
        }
        let (found, head) = (second as u32, (second >> 32) as u32);
        let expected = crc32c_record([sequence, venue, local, a, b, c, d], head);
        if expected != found {
            return Err(EventError::Crc { expected, found });
        }
        let kind = EventKind::from_u8((head >> 16) as u8).ok_or(EventError::Kind((head >> 16) as u8))?;
        Ok(Self {
            sequence,
            crc: found,
            instrument: InstrumentId(head as u16),
            kind,
            flags: Flags((head >> 24) as u8),
            venue_ns: Nanos(venue),
            local_ns: Nanos(local),
            payload: [a, b, c, d],
        })
    }
}

/// One line: `#17 signal inst=0 [buy] 2024-… {payload}`.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} inst={} [{:?}] ", self.sequence, self.kind.name(), self.instrument.0, self.flags)?;
        if self.kind.is_input() {
            write!(f, "venue={} local={} ", self.venue_ns, self.local_ns)?;
        } else {
            write!(f, "cause=#{} local={} ", self.venue_ns.0, self.local_ns)?;
        }
        super::payload::describe(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = Event> {
        (any::<[u64; 4]>(), any::<u64>(), any::<u64>(), any::<u16>(), 0..EventKind::ALL.len(), any::<u8>()).prop_map(
            |(payload, venue, local, instrument, kind, flags)| {
                Event::new(EventKind::ALL[kind], InstrumentId(instrument), Nanos(venue), Nanos(local), payload)
                    .flagged(Flags(flags))
            },
        )
    }

    proptest! {
        #[test]
        fn bytes_carry_every_field(event in any_event(), sequence in 1u64..) {
            let sealed = event.sealed(sequence);
            prop_assert_eq!(Event::from_bytes(&sealed.to_bytes()), Ok(sealed));
        }

        #[test]
        fn any_flipped_bit_is_noticed(event in any_event(), sequence in 1u64.., bit in 0usize..512) {
            let mut bytes = event.sealed(sequence).to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Event::from_bytes(&bytes).is_err());
        }

        #[test]
        fn arbitrary_words_print_without_panic(event in any_event()) {
            let text = format!("{event:?}");
            prop_assert!(!text.is_empty());
        }
    }

    #[test]
    fn the_stored_crc_is_the_one_of_the_documented_bytes() {
        let event = Event::new(EventKind::Trade, InstrumentId(7), Nanos(1), Nanos(2), [3, 4, 5, 6]).sealed(9);
        let bytes = event.to_bytes();
        let mut covered = Vec::new();
        covered.extend_from_slice(&bytes[0..8]);
        covered.extend_from_slice(&bytes[16..64]);
        covered.extend_from_slice(&bytes[12..16]);
        assert_eq!(event.crc, super::super::crc::crc32c_portable(&covered));
    }
}

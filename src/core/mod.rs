//! What everything speaks: exact numbers, time, instruments and the 64-byte event.
//!
//! No I/O, no clock, no thread, no randomness; nothing here allocates after start-up.

pub mod codes;
pub mod crc;
pub mod event;
pub(crate) mod fetch;
pub mod fixed;
pub mod instrument;
pub mod payload;
pub mod time;

pub use event::{EVENT_BYTES, Event, EventError, EventKind, Flags};
pub use fixed::{FixedError, Money, Price, Qty, SCALE};
pub use instrument::{ContractKind, Instrument, InstrumentError, InstrumentId, InstrumentSpec, InstrumentTable};
pub use payload::{OrderId, Payload, Side};
pub use time::{Nanos, Span};

//! Where a live session's events come from and where its commands go. The engine's threads know no
//! venue: they know these two. A wire is polled, never waits, and hands over events in the order in
//! which the engine must see them.

use crate::core::{Event, Nanos};
use crate::venue::Delivery;

/// The market data of a venue.
pub trait MarketWire: Send {
    /// Reads what there is and does what is due. The `local_ns` of an event is the time of the read that
    /// completed it. True when something is left to be done at once: only when it returns false was every
    /// socket looked at to its end.
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool;

    /// Decodes a made-up frame to keep the code warm; nothing comes of it.
    fn rehearse(&mut self) {}

    /// The latest thing that a person should know about the connections, if any.
    fn trouble(&self) -> Option<String>;

    /// Gives up its connections.
    fn cut(&mut self);
}

/// An account at a venue.
pub trait OrderWire: Send {
    /// Reads what there is and does what is due, as [`MarketWire::poll`].
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool;

    /// Takes a command of the engine. It is sent now, queued, or answered by a later event; a command
    /// whose fate is not known is answered by nothing, and the engine asks. A rejection that is certain at
    /// once is emitted at once.
    fn command(&mut self, command: &Event, now: Nanos, emit: &mut impl FnMut(Event)) -> Delivery;

    /// Encodes a made-up order to keep the code warm, and throws the bytes away.
    fn rehearse(&mut self, _order: &Event, _now: Nanos) {}

    /// Sees the market as the engine is told it; only a simulated venue looks.
    fn on_market(&mut self, _event: &Event, _emit: &mut impl FnMut(Event)) {}

    /// The latest thing that a person should know about the connections, if any.
    fn trouble(&self) -> Option<String>;

    /// Sends nothing any more and gives up its connections.
    fn cut(&mut self);
}

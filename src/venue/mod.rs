//! Venues: where market data comes from and orders go. The simulated exchange lives in [`paper`], and
//! [`server`] serves it over sockets.
//!
//! A venue is two small traits, polled by one thread: [`MarketData`] (bytes in, events out) and
//! [`OrderEntry`] (commands in, executions out). Both are statically dispatched.

pub mod binance;
pub mod net;
pub mod paper;
pub mod random;
pub mod secret;
pub mod server;

use crate::core::{Event, Nanos};
use net::Sent;

/// A source of quotes and trades that never blocks.
pub trait MarketData {
    /// Reads what has come. True when more is there to be done at once, without waiting for a socket.
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool;

    /// When a poll is wanted even if every socket stays silent; [`Nanos::MAX`] when never.
    fn next_due(&self) -> Nanos;
}

/// An account that orders are sent to, without ever blocking.
pub trait OrderEntry {
    /// Reads what has come and sends what waits. True when more is there to be done at once.
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool;

    /// Passes one command of the engine on (submit, cancel, query, reconcile; anything else is passed
    /// over). A rejection that is certain at once is emitted at once.
    fn command(&mut self, command: &Event, now: Nanos, emit: &mut impl FnMut(Event)) -> Delivery;

    /// When a poll is wanted even if every socket stays silent; [`Nanos::MAX`] when never.
    fn next_due(&self) -> Nanos;
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// An order on the wire, with the times around its write, or queued at a full socket.
    Sent(Sent),
    /// Passed on, or of no concern to the venue. If it gets lost, the order manager asks again.
    Noted,
    /// An order that was certainly not sent; its rejection was emitted.
    Refused,
    /// An order during which the connection broke: its fate is unknown; the link goes down at the next
    /// poll.
    Unknown,
}

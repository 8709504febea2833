//! What the liquidation asks a venue, and what it may hear: six questions, each answered by one reply.
//!
//! A reply keeps apart what the venue did, what it refused, and what nobody knows. Only the last one
//! is dangerous: it is asked about and never repeated blindly.

use crate::core::{InstrumentId, Price, Qty, Side, Span};
use crate::snapshot::MAX_INSTRUMENTS;

/// How a close is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseKind {
    /// Immediate or cancel at this limit.
    Ioc(Price),
    /// At the market.
    Market,
}

/// An order that closes: it never opens or turns a position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloseOrder {
    /// Of what.
    pub instrument: InstrumentId,
    /// The side that reduces what is held.
    pub side: Side,
    /// On the lot grid, never more than is held.
    pub qty: Qty,
    /// How.
    pub kind: CloseKind,
    /// Made of the latch, the instrument and a counter: the same order has the same id, always.
    pub client_id: String,
}

/// An open order at the venue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeskOrder {
    /// Of what.
    pub instrument: InstrumentId,
    /// Its client id: every order has one.
    pub client_id: String,
    /// It can only reduce a position: kept until there is none.
    pub protective: bool,
}

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeskRequest {
    /// Every open order.
    Orders,
    /// Every position.
    Positions,
    /// Best bid and ask.
    Touch(InstrumentId),
    /// Cancel an order, by its client id.
    Cancel(InstrumentId, String),
    /// Send a close.
    Close(CloseOrder),
    /// What became of a close, by its client id.
    Query(InstrumentId, String),
}

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeskReply {
    /// To `Orders`.
    Orders(Vec<DeskOrder>),
    /// To `Positions`: signed, beyond the configured inventory, by instrument.
    Positions(Box<[Qty; MAX_INSTRUMENTS]>),
    /// To `Touch`.
    Touch {
        /// Best bid.
        bid: Price,
        /// Best ask.
        ask: Price,
    },
    /// To `Cancel`: cancelled, or gone before.
    Cancelled,
    /// To `Close` and `Query`: the venue has the order.
    Order {
        /// Nothing more can trade.
        done: bool,
        /// Traded so far.
        executed: Qty,
    },
    /// To `Query`: the venue has never heard of it, so far.
    NotFound,
    /// Not done, and the venue says why.
    Refused(String),
    /// Not done: too many requests; nothing is to be asked for this long.
    Limited(Span),
    /// Perhaps done: no answer, or none that can be read.
    Unknown(String),
    /// Certainly not done: it was never sent.
    NotSent(String),
}

/// A venue, as far as the liquidation needs one. Blocking; every call is one request and is not repeated.
pub trait Desk {
    /// Asks, and waits for the reply, at most the configured time.
    fn ask(&mut self, request: &DeskRequest) -> DeskReply;
}

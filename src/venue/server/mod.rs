//! `pawl venue`: the simulated exchange on real sockets, in the Binance dialect. One thread, one
//! [`mio`] poll: connections, the market's events at their instants, and the clock.
//!
//! | file | what lives there |
//! |---|---|
//! | `socket`, `wire`, `tls` | bytes: TCP and TLS; HTTP and WebSocket without a socket |
//! | `hub`, `rest_door`, `api_door`, `stream_door`, `admin` | who is connected and asks what; no I/O |
//! | `endpoints`, `public`, `trading`, `accounts`, `futures` | every question and its answer, in one table |
//! | `exchange`, `settle`, `margin`, `records`, `filters`, `symbols` | the books around the paper matcher: the truth |
//! | `board`, `streams`, `user_stream` | what the public and the owners are told |
//! | `feed` | where the market comes from |
//! | `keys`, `limits`, `faults` | who may, how often, and what goes wrong |
//!
//! Bounds: 1024 connections; 16 KiB of request head, 64 KiB of body or message; 8 MiB underway and
//! 4 MiB unsent to a client, who is dropped beyond. Everything from the wire is hostile.

// Every answer of the endpoint table has one type, whether it can fail or not.
#![allow(clippy::unnecessary_wraps)]

mod accounts;
mod admin;
mod api_door;
mod board;
mod caller;
mod endpoints;
mod error;
mod exchange;
mod faults;
mod feed;
mod filters;
mod futures;
mod hub;
mod income;
mod json;
mod keys;
mod limits;
mod margin;
mod params;
mod public;
mod records;
mod rest_door;
mod run;
mod settle;
#[cfg(test)]
mod settlement_tests;
mod socket;
mod stream_door;
mod streams;
mod symbols;
mod tls;
mod trading;
mod user_stream;
mod wire;

pub use exchange::Market;
pub use faults::{FAULTS, Fault, FaultPlan, Rule};
pub use feed::{Feed, FeedError};
pub use hub::Care;
pub use limits::LimitParams;
pub use run::{AccountSpec, KeySpec, Server, ServerError, ServerHandle, ServerParams};
pub use symbols::{Symbol, SymbolError};
pub use tls::TlsError;

//! Sockets at the rim: TLS, a time-stamping TCP stream and a WebSocket client that never blocks, for
//! every venue that speaks over them. No protocol of a venue lives here.

mod backoff;
mod resolve;
mod stream;
mod tls;
mod websocket;

pub use backoff::Backoff;
pub use stream::{Stamped, WriteStamps};
pub use tls::{TlsError, client_config};
pub use websocket::{Incoming, SendError, Sent, UrlError, WebSocketClient, WebSocketParams};

use crate::core::Nanos;

/// The wall clock, UTC. What an adapter is given where no other clock is meant.
pub fn wall_clock() -> Nanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

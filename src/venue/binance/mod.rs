//! Binance: spot wholly, USD-M futures where they differ by data. Streams and the WebSocket API.

pub mod sbe;
pub mod sign;

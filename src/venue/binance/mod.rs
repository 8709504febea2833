//! Binance: spot wholly, USD-M futures where they differ by data. Streams and the WebSocket API.

pub mod decode;
pub mod endpoints;
pub mod errors;
pub mod full;
pub mod message;
pub mod rest;
pub mod sbe;
pub mod scan;
pub mod sign;
pub mod symbols;

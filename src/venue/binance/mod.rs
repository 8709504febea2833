//! Binance: spot wholly, USD-M futures where they differ by data. Streams and the WebSocket API.

mod aside;
pub mod clock;
pub mod decode;
pub mod endpoints;
pub mod errors;
pub mod full;
pub mod gateway;
pub mod limits;
pub mod market;
pub mod message;
pub mod orders;
pub mod rest;
pub mod sbe;
pub mod scan;
pub mod sign;
pub mod symbols;

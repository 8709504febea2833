//! Venues: where market data comes from and orders go. The simulated exchange lives in [`paper`].

pub mod binance;
pub mod paper;
pub mod random;
pub mod secret;
pub mod server;

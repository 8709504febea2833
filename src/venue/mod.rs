//! Venues: where market data comes from and orders go. The simulated exchange lives in [`paper`], and
//! [`server`] serves it over sockets.

pub mod binance;
pub mod net;
pub mod paper;
pub mod random;
pub mod secret;
pub mod server;

//! `pawl venue` over real sockets, in this process on a free port: its dialect, its faults, and what
//! it does with clients that mean harm.

mod client;
mod dialect;
mod faults;
mod hostile;
mod market;

//! Who feeds the engine: [`session`] is the simulated world that backtest and demo share,
//! [`replay`] feeds a journal back and compares.

pub mod explain;
pub mod labels;
pub mod layout_replay;
pub mod live;
pub mod replay;
pub mod session;

//! pawl: market ticks in, checked orders out, one tick forward at a time.
//!
//! The map of the house; dependencies point from the bottom of this list to its top.
//!
//! | module | what lives there | may do I/O |
//! |---|---|---|
//! | [`core`] | the 64-byte event, exact prices and money, instruments, time | no |
//! | [`feed`] | normalising, debounce, bars | no |
//! | [`quant`] | features and the raw signal | no |
//! | [`oracle`] | the XGBoost model and the gate | no |
//! | [`oms`] | sizing, orders, positions, account, pre-trade checks | no |
//! | [`engine`] | the four stages composed on one thread, or joined by rings | no |
//! | [`journal`] | memory-mapped record of everything told and decided | yes |
//! | [`snapshot`] | two pages of shared memory: the engine's and the guardian's | yes |
//! | [`data`] | market data files of other people's formats | yes |
//! | [`venue`] | venue adapters; the simulated exchange, its market, and its sockets | yes |
//! | [`guardian`] | the kill switch: watches, latches, flattens; its own process | yes |
//! | [`report`] | summaries, latency tables, progress | yes |
//! | [`doctor`] | is this machine fit to run pinned | yes |
//! | [`config`] | one TOML file, every field checked | yes |
//! | [`worlds`] | backtest, replay and demo: who feeds the engine | yes |
//! | [`notify`] | alerts: a process beside the engine | yes |
//! | [`cli`] | one file a subcommand, wiring only | yes |

pub mod cli;
pub mod config;
pub mod core;
pub mod data;
pub mod doctor;
pub mod engine;
pub mod feed;
pub mod guardian;
pub mod journal;
pub mod notify;
pub mod oms;
pub mod oracle;
pub mod quant;
pub mod report;
pub mod snapshot;
pub mod venue;
pub mod worlds;

//! What a trader reads after a run: summary, closed trades, latency by hop, progress.
//!
//! The summary is built from events and equity samples only, so that a journal alone can make it.

mod collector;
pub mod latency;
mod progress;
mod text;

pub use collector::{Collector, Summary, TradeRecord, write_trades_csv};
pub use latency::{LatencyRow, Recorder, latency_text};
pub use progress::{Progress, Style};
pub use text::print_text;

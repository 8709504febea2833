//! Latencies: measured on the hot threads, handed to a cold one, written to `latency.hlog` in the
//! session's folder, and read back as a report that does not fool its reader.
//!
//! Setup: [`LatencyLog::start`] gives one [`Recorder`] a thread. Hot: [`Recorder::begin`], `mark`,
//! `end`. Shutdown: [`LatencyLog::finish`] with the recorders. Later: [`read`] and [`report`].
//!
//! | file | what |
//! |---|---|
//! | `hop` | what is measured, with budgets |
//! | `recorder` | the hot side, and how coordinated omission is avoided |
//! | `spans` | what is measured where no recorder is at hand |
//! | `tally` | the counts of a histogram, and nothing else |
//! | `handover` | the slot between the hot and the cold thread |
//! | `causes` | counters that explain an outlier |
//! | `overhead` | what measuring costs |
//! | `log` | the cold side and the format of the file |
//! | `read`, `analyse` | back again: rows, hours, regressions |
//! | `text`, `hgrm`, `page`, `plot` | for people and for plotters |

mod analyse;
mod causes;
pub mod handover;
mod hgrm;
mod hop;
mod log;
mod overhead;
mod page;
mod plot;
mod read;
mod recorder;
mod spans;
mod tally;
mod text;

pub use analyse::{
    LatencyReport, LatencyRow, OutlierRow, ReportRow, TimeRow, frame_rows, previous_session, report, row, rows,
};
pub use causes::Causes;
pub use hgrm::hgrm;
pub use hop::{Budget, Hop};
pub use log::{Basis, CausesLine, Header, LATENCY_FILE, LatencyError, LatencyLog, LogOptions, OutlierLine, Totals};
pub use overhead::Overhead;
pub use page::page;
pub use read::{Measured, Stretch, latency_file, read, read_header};
pub use recorder::{Frame, Outlier, Recorder, histogram};
pub use spans::Spans;
pub use text::{latency_text, report_text, span};

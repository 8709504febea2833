//! Why a command ended without doing its job: one message, one exit status.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::core::InstrumentError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::engine::layout::LayoutError;
use crate::journal::JournalError;
use crate::notify::NotifyError;
use crate::oracle::{GoldenError, ModelError, OracleError};
use crate::report::latency::LatencyError;
use crate::venue::paper::PaperError;
use crate::venue::server::{FeedError, ServerError};
use crate::worlds::layout_replay::LayoutReplayError;
use crate::worlds::live::prepare::PrepareError;

/// A command's failure.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Market data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A parameter is out of its range.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An instrument cannot be.
    #[error(transparent)]
    Instrument(#[from] InstrumentError),
    /// The simulated exchange's parameters are wrong.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// The gate's parameters are wrong.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// The journal cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The venue cannot be served.
    #[error("venue: {0}")]
    Venue(#[from] ServerError),
    /// The venue has no market.
    #[error("venue: {0}")]
    VenueMarket(#[from] FeedError),
    /// The notifier cannot start, or a test message was not delivered.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The layout is refused.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A replay on threads came to no verdict.
    #[error(transparent)]
    LayoutReplay(#[from] LayoutReplayError),
    /// Latencies cannot be written or read.
    #[error(transparent)]
    Latency(#[from] LatencyError),
    /// The machine failed a check.
    #[error("{0}")]
    Unfit(String),
    /// The model does not fit.
    #[error("model {}: {source}", path.display())]
    Model {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: ModelError,
    },
    /// The model does not answer as libxgboost did where it was made.
    #[error("{}: {source}", path.display())]
    Golden {
        /// The file with the golden rows.
        path: PathBuf,
        /// What is wrong.
        source: GoldenError,
    },
    /// A file cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// A live session cannot start.
    #[error(transparent)]
    Prepare(#[from] crate::worlds::live::prepare::PrepareError),
    /// The connections cannot be set up.
    #[error(transparent)]
    Wire(#[from] crate::worlds::live::binance_wire::WireError),
    /// A live session did not begin, or its journal cannot be closed.
    #[error(transparent)]
    Live(#[from] crate::worlds::live::LiveError),
    /// The demo record does not allow it, or cannot be written.
    #[error(transparent)]
    DemoRecord(#[from] crate::worlds::live::demo_record::DemoRecordError),
    /// The engine's page of shared memory cannot be made.
    #[error(transparent)]
    Page(#[from] crate::snapshot::EnginePageError),
    /// Something forbids the start.
    #[error("{0}")]
    Refused(String),
    /// A live session ended, but not in good order.
    #[error("{0}")]
    Ended(String),
    /// There is no guardian.
    #[error(transparent)]
    Guardian(#[from] crate::guardian::run::RunError),
    /// A drill did not end flat.
    #[error(transparent)]
    Drill(#[from] crate::guardian::drill::DrillError),
    /// The arguments contradict each other.
    #[error("{0}")]
    Usage(String),
    /// A replay found other decisions than the journal holds.
    #[error("{0}")]
    Different(String),
}

impl Failure {
    /// 2 for what the user can mend in the command or configuration, 1 otherwise.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Prepare(PrepareError::NoSymbols | PrepareError::Endpoint(_) | PrepareError::Mode(_))
            | Self::Config(_)
            | Self::Engine(_)
            | Self::Layout(_)
            | Self::Instrument(_)
            | Self::Paper(_)
            | Self::Oracle(_)
            | Self::Guardian(crate::guardian::run::RunError::Params(_))
            | Self::Notify(NotifyError::Config(_) | NotifyError::NoChannel { .. } | NotifyError::Channel(_)) => 2,
            Self::Data(_)
            | Self::Journal(_)
            | Self::Venue(_)
            | Self::VenueMarket(_)
            | Self::Notify(_)
            | Self::Prepare(_)
            | Self::Wire(_)
            | Self::Live(_)
            | Self::DemoRecord(_)
            | Self::Page(_)
            | Self::Refused(_)
            | Self::Ended(_)
            | Self::Latency(_)
            | Self::LayoutReplay(_)
            | Self::Unfit(_)
            | Self::Model { .. }
            | Self::Golden { .. }
            | Self::File { .. }
            | Self::Output(_)
            | Self::Guardian(_)
            | Self::Drill(_)
            | Self::Different(_) => 1,
        }
    }

    /// True when whoever reads the output has gone.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

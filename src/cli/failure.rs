//! Why a command ended without doing its job: one message, one exit status.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::core::InstrumentError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::journal::JournalError;
use crate::notify::NotifyError;
use crate::oracle::{GoldenError, ModelError, OracleError};
use crate::venue::paper::PaperError;
use crate::venue::server::{FeedError, ServerError};

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
            | Self::Config(_)
            | Self::Engine(_)
            | Self::Instrument(_)
            | Self::Paper(_)
            | Self::Oracle(_)
            | Self::Notify(NotifyError::Config(_) | NotifyError::NoChannel { .. } | NotifyError::Channel(_)) => 2,
            Self::Data(_)
            | Self::Journal(_)
            | Self::Venue(_)
            | Self::VenueMarket(_)
            | Self::Notify(_)
            | Self::Model { .. }
            | Self::Golden { .. }
            | Self::File { .. }
            | Self::Output(_)
            | Self::Different(_) => 1,
        }
    }

    /// True when whoever reads the output has gone.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

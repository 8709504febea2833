//! pawl-train: trains pawl's gate on real libxgboost, and says what it is worth.
//!
//! | module | what lives there |
//! |---|---|
//! | [`xgboost`] | the C interface of libxgboost, loaded at run time |
//! | [`rows`] | labelled signals from data files, journals or made-up markets, through pawl's own feed and quant |
//! | [`folds`] | purged and embargoed walk-forward blocks |
//! | [`metrics`] | what probabilities and trades are worth |
//! | [`fit`] | the search, early stopping, the final model |
//! | [`trial`] | a backtest with and without the gate |
//! | [`card`], [`plot`] | the model card and its pictures |

pub mod card;
pub mod fit;
pub mod folds;
pub mod metrics;
pub mod plot;
pub mod rows;
pub mod trial;
pub mod xgboost;

use std::path::PathBuf;

/// Why a training did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// libxgboost is absent, too old, or refused a call.
    #[error(transparent)]
    Xgboost(#[from] xgboost::XgboostError),
    /// Market data cannot be read.
    #[error(transparent)]
    Data(#[from] pawl::data::DataError),
    /// A journal cannot be read.
    #[error(transparent)]
    Journal(#[from] pawl::journal::JournalError),
    /// A configuration is wrong.
    #[error(transparent)]
    Config(#[from] pawl::config::ConfigError),
    /// An instrument cannot be.
    #[error(transparent)]
    Instrument(#[from] pawl::core::InstrumentError),
    /// A stage refused a parameter.
    #[error(transparent)]
    Engine(#[from] pawl::engine::EngineError),
    /// The simulated exchange refused a parameter.
    #[error(transparent)]
    Paper(#[from] pawl::venue::paper::PaperError),
    /// The model that was trained is one that pawl refuses.
    #[error("the trained model: {0}")]
    Model(#[from] pawl::oracle::ModelError),
    /// The oracle refuses.
    #[error(transparent)]
    Oracle(#[from] pawl::oracle::OracleError),
    /// pawl and libxgboost answer differently.
    #[error(
        "row {row:?}: libxgboost answers margin {expected}, pawl {found}; this is a bug of pawl, the model was not written"
    )]
    Parity {
        /// The row.
        row: pawl::oracle::Row,
        /// libxgboost's margin.
        expected: f32,
        /// pawl's margin.
        found: f32,
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
    /// There is too little to learn from.
    #[error("expected {expected}, found {found}; {advice}")]
    TooLittle {
        /// What training needs.
        expected: String,
        /// What there is.
        found: String,
        /// What to do.
        advice: &'static str,
    },
}

/// Where libxgboost is looked for when `PAWL_LIBXGBOOST` does not name it: where the README's two
/// commands put it.
pub const LIBRARY_BESIDE_TARGET: &str = "target/xgboost/xgboost/lib/libxgboost.so";

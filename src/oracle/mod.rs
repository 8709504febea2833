//! The third stage: the XGBoost model and the gate. Only a raw signal asks it.
//!
//! The gate compares margins: the logistic function never falls over the `f32` numbers, so
//! `probability > threshold` is `margin >= the smallest margin whose probability is above it`,
//! found once by bisection.
//!
//! Before it answers, a model is checked: the fast method against the plain walk, and, where golden
//! rows came with the model, every answer against libxgboost's. Any difference refuses to trade.
//!
//! `file` (with `json`, `ubjson`) reads and refuses; `forest` holds checked trees; `tables`, `rank`
//! and `kernel` are the fast way through them.

mod file;
mod forest;
mod golden;
mod json;
mod kernel;
mod model;
mod rank;
mod tables;
mod ubjson;

use serde::{Deserialize, Serialize};

use crate::core::Side;
use crate::core::payload::{Action, Decision};
use crate::quant::RawSignal;

pub use golden::{Golden, GoldenError, GoldenRow};
pub use kernel::Kernel;
pub use model::{Importance, Method, Model, ModelError, Row, Shape, sigmoid};

/// The gate's parameters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OracleParams {
    /// A signal passes when the model's probability is strictly above this.
    pub threshold: f32,
}

impl Default for OracleParams {
    fn default() -> Self {
        Self { threshold: 0.85 }
    }
}

impl OracleParams {
    /// Checks the threshold.
    ///
    /// # Errors
    /// It is not a probability between 0 and 1.
    pub fn check(&self) -> Result<(), OracleError> {
        if self.threshold > 0.0 && self.threshold < 1.0 { Ok(()) } else { Err(OracleError::Threshold(self.threshold)) }
    }
}

/// Why an oracle refuses to answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OracleError {
    /// A parameter that cannot be.
    #[error("oracle.threshold: expected a probability above 0 and below 1, found {0}")]
    Threshold(f32),
    /// Two ways through the same trees differ on this machine.
    #[error(
        "the model's {method} gives another answer than its plain walk for the row {row:?}; this machine computes wrongly: do not trade on it"
    )]
    Method {
        /// The method in use.
        method: Method,
        /// The row it differs on.
        row: Row,
    },
    /// The model does not answer as it did where it was made.
    #[error(transparent)]
    Golden(#[from] GoldenError),
}

/// Rows of the check of the fast method at start-up: a few milliseconds.
const START_UP_ROWS: usize = 1_024;

/// Answers raw signals.
pub struct Oracle {
    gate: Gate,
}

enum Gate {
    Open,
    Model { model: Box<Model>, threshold: f32, smallest_margin: f32 },
}

impl Oracle {
    /// A gate that a model guards. The model's fast method is checked against its plain walk first.
    ///
    /// # Errors
    /// The threshold is not a probability, or the methods differ.
    pub fn gated(model: Model, params: &OracleParams) -> Result<Self, OracleError> {
        let threshold = params.threshold;
        params.check()?;
        if let Some(row) = model.first_row_that_differs(START_UP_ROWS) {
            return Err(OracleError::Method { method: model.method(), row });
        }
        let smallest_margin = smallest_margin_above(threshold);
        Ok(Self { gate: Gate::Model { model: Box::new(model), threshold, smallest_margin } })
    }

    /// A gate whose model has answered the golden rows that came with it as libxgboost did.
    ///
    /// # Errors
    /// As [`Oracle::gated`], or the first golden row that differs.
    pub fn checked(model: Model, golden: &Golden, params: &OracleParams) -> Result<Self, OracleError> {
        golden.check(&model)?;
        Self::gated(model, params)
    }

    /// No model: every signal with defined features passes.
    pub fn open() -> Self {
        Self { gate: Gate::Open }
    }

    /// Asks for the memory that signals near this one will need.
    pub fn fetch_around(&self, signal: &RawSignal) {
        if let Gate::Model { model, .. } = &self.gate {
            model.fetch_around(&signal.features.to_row());
        }
    }

    /// What to do about a signal. A row with an undefined or infinite feature never reaches the model.
    pub fn decide(&self, signal: &RawSignal) -> Decision {
        let row = signal.features.to_row();
        let execute = match signal.side {
            Side::Buy => Action::ExecuteBuy,
            Side::Sell => Action::ExecuteSell,
        };
        let unasked =
            |action| Decision { probability: f32::NAN, margin: f32::NAN, threshold: f32::NAN, action: Some(action) };
        if row.iter().any(|feature| !feature.is_finite()) {
            return unasked(Action::NoAction);
        }
        match &self.gate {
            Gate::Open => unasked(execute),
            Gate::Model { model, threshold, smallest_margin } => {
                let margin = model.margin(&row);
                // Leaves that add up to infinity are a damaged model, not certainty.
                let passes = margin.is_finite() && margin >= *smallest_margin;
                let action = if passes { execute } else { Action::NoAction };
                Decision { probability: sigmoid(margin), margin, threshold: *threshold, action: Some(action) }
            }
        }
    }
}

/// The smallest `f32` whose [`sigmoid`] is above `threshold`.
pub fn smallest_margin_above(threshold: f32) -> f32 {
    // Order-preserving map between f32 and i32, so that bisection walks every float.
    let to_float = |key: i32| f32::from_bits((if key < 0 { !key | i32::MIN } else { key }) as u32);
    let (mut low, mut high) = (-1_123_000_000i32, 1_123_000_000i32);
    while low + 1 < high {
        let middle = i32::midpoint(low, high);
        if sigmoid(to_float(middle)) > threshold { high = middle } else { low = middle }
    }
    to_float(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::Features;
    use proptest::prelude::*;

    #[test]
    fn the_margin_of_the_default_threshold_is_the_documented_one() {
        // Found exhaustively over every f32: bits 0x3fde076f.
        assert_eq!(smallest_margin_above(0.85).to_bits(), 0x3fde_076f);
    }

    #[test]
    fn an_undefined_feature_never_passes() {
        let features = Features {
            log_return: 0.0,
            volatility: f64::NAN,
            z_score: -3.0,
            adx: 1.0,
            rsi: 1.0,
            time_sin: 0.0,
            volume_delta: 0.0,
        };
        let decision = Oracle::open().decide(&RawSignal { side: Side::Buy, features });
        assert_eq!(decision.action, Some(Action::NoAction));
    }

    proptest! {
        #[test]
        fn margins_and_probabilities_give_the_same_answer(margin in -20.0f32..20.0, threshold in 0.01f32..0.99) {
            prop_assert_eq!(margin >= smallest_margin_above(threshold), sigmoid(margin) > threshold);
        }
    }
}

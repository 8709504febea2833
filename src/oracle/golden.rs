//! Golden rows: answers of libxgboost that travel beside a model, in `NAME.golden.json`. A model
//! that does not give them bit for bit is not the model that was judged, or this machine computes
//! otherwise: either way it must not trade.
//!
//! | key | meaning |
//! |---|---|
//! | `made_by` | who answered, for example `libxgboost 3.4.1` |
//! | `model_crc32c` | CRC-32C of the model's file, 8 hex digits |
//! | `features` | names, in order |
//! | `rows` | one string a row: the features, the margin and the probability as 8 hex digits each, the bits of an `f32`, separated by spaces |

use serde::{Deserialize, Serialize};

use super::model::{Model, Row, sigmoid};
use crate::core::crc::crc32c_portable;
use crate::quant::Features;

/// Largest sidecar that is read.
const MAX_BYTES: usize = 16 << 20;

/// Why golden rows refuse a model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GoldenError {
    /// The sidecar is not one.
    #[error("golden rows: expected {expected}, found {found}; make them anew with `pawl-train golden MODEL`")]
    Format {
        /// What a sidecar holds.
        expected: String,
        /// What this one holds.
        found: String,
    },
    /// The sidecar was made for another file.
    #[error(
        "golden rows: expected those of a model with CRC-32C {expected}, found a model with {found}; the model was changed, or the rows belong to another: make them anew with `pawl-train golden MODEL`"
    )]
    OtherModel {
        /// CRC in the sidecar.
        expected: String,
        /// CRC of the model's bytes.
        found: String,
    },
    /// An answer differs.
    #[error(
        "golden row {row}: expected margin {} (bits {expected_margin:08x}) and probability {}, found {} (bits {found_margin:08x}) and {}; this model does not answer as {made_by} did, so it must not trade",
        f32::from_bits(*expected_margin), f32::from_bits(*expected_probability),
        f32::from_bits(*found_margin), f32::from_bits(*found_probability)
    )]
    Differs {
        /// 0-based row.
        row: usize,
        /// Who answered the expected.
        made_by: String,
        /// Bits of the expected margin.
        expected_margin: u32,
        /// Bits of the margin now.
        found_margin: u32,
        /// Bits of the expected probability.
        expected_probability: u32,
        /// Bits of the probability now.
        found_probability: u32,
    },
}

/// A row and what libxgboost answered.
#[derive(Clone, Copy, Debug)]
pub struct GoldenRow {
    /// The features.
    pub row: Row,
    /// libxgboost's margin.
    pub margin: f32,
    /// libxgboost's probability.
    pub probability: f32,
}

/// The answers that a model must give.
#[derive(Clone, Debug)]
pub struct Golden {
    made_by: String,
    rows: Vec<GoldenRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    made_by: String,
    model_crc32c: String,
    features: Vec<String>,
    rows: Vec<String>,
}

fn format(expected: impl Into<String>, found: impl Into<String>) -> GoldenError {
    GoldenError::Format { expected: expected.into(), found: found.into() }
}

impl Golden {
    /// Reads a sidecar and checks that it belongs to the model with these bytes.
    ///
    /// # Errors
    /// It is not a sidecar, holds no row, or belongs to another model.
    pub fn from_bytes(bytes: &[u8], model: &[u8]) -> Result<Self, GoldenError> {
        if bytes.len() > MAX_BYTES {
            return Err(format("at most 16 MiB", format!("{} bytes", bytes.len())));
        }
        let file: File = serde_json::from_slice(bytes).map_err(|error| format("a sidecar", error.to_string()))?;
        let found = crc_text(model);
        if file.model_crc32c != found {
            return Err(GoldenError::OtherModel { expected: file.model_crc32c, found });
        }
        if file.features != Features::NAMES {
            return Err(format(format!("features {}", Features::NAMES.join(", ")), file.features.join(", ")));
        }
        if file.rows.is_empty() {
            return Err(format("at least one row", "none"));
        }
        let rows = file.rows.iter().map(|text| row(text)).collect::<Result<_, _>>()?;
        Ok(Self { made_by: file.made_by, rows })
    }

    /// The sidecar's text for a model with these bytes.
    pub fn text(made_by: &str, model: &[u8], rows: &[GoldenRow]) -> String {
        let hex = |value: &f32| format!("{:08x}", value.to_bits());
        let line = |golden: &GoldenRow| {
            let values = golden.row.iter().chain([&golden.margin, &golden.probability]);
            values.map(hex).collect::<Vec<_>>().join(" ")
        };
        let rows: Vec<String> = rows.iter().map(|golden| format!("  \"{}\"", line(golden))).collect();
        format!(
            "{{\n \"made_by\": \"{made_by}\",\n \"model_crc32c\": \"{}\",\n \"features\": [\"{}\"],\n \"rows\": [\n{}\n ]\n}}\n",
            crc_text(model),
            Features::NAMES.join("\", \""),
            rows.join(",\n")
        )
    }

    /// Scores every row. Margins must be equal bit for bit; probabilities may differ in the last
    /// bit, because they depend on the C library's `expf` (the gate never looks at them).
    ///
    /// # Errors
    /// The first row that differs.
    pub fn check(&self, model: &Model) -> Result<(), GoldenError> {
        for (at, golden) in self.rows.iter().enumerate() {
            let margin = model.margin(&golden.row);
            let probability = sigmoid(margin);
            let near = probability.to_bits().abs_diff(golden.probability.to_bits()) <= 1;
            if margin.to_bits() != golden.margin.to_bits() || !near {
                return Err(GoldenError::Differs {
                    row: at,
                    made_by: self.made_by.clone(),
                    expected_margin: golden.margin.to_bits(),
                    found_margin: margin.to_bits(),
                    expected_probability: golden.probability.to_bits(),
                    found_probability: probability.to_bits(),
                });
            }
        }
        Ok(())
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never true: a sidecar without rows is refused.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Who answered them.
    pub fn made_by(&self) -> &str {
        &self.made_by
    }
}

fn crc_text(model: &[u8]) -> String {
    format!("{:08x}", crc32c_portable(model))
}

fn row(text: &str) -> Result<GoldenRow, GoldenError> {
    let wrong = || format(format!("{} words of 8 hex digits in a row", Features::COUNT + 2), format!("{text:?}"));
    let mut values = [0.0; Features::COUNT + 2];
    let mut words = text.split(' ');
    for value in &mut values {
        let word = words.next().filter(|word| word.len() == 8).ok_or_else(wrong)?;
        *value = f32::from_bits(u32::from_str_radix(word, 16).map_err(|_| wrong())?);
    }
    if words.next().is_some() {
        return Err(wrong());
    }
    let row = std::array::from_fn(|feature| values[feature]);
    Ok(GoldenRow { row, margin: values[Features::COUNT], probability: values[Features::COUNT + 1] })
}

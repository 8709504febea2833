//! A checked model that answers for one row, bit for bit as libxgboost does: `f32` sums in tree
//! order, starting from the base margin.
//!
//! How it answers is chosen at load: look-up tables with the best instructions of this processor, or
//! a walk where the tables would be too large. Every method gives the same bits.

use std::fmt;

use ndarray::{Array1, ArrayView2, ArrayViewMut1, Zip};

use super::file;
use super::forest::{Forest, row_of};
use super::kernel::Kernel;
use super::tables::Tables;
use crate::quant::Features;

pub use super::file::ModelError;

/// What a model is asked with: the features in the order of [`Features::NAMES`].
pub type Row = [f32; Features::COUNT];

/// How a margin is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// One node after the other: the definition, and the slowest.
    PlainWalk,
    /// Eight trees side by side.
    InterleavedWalk,
    /// Look-up tables.
    Tables(Kernel),
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainWalk => f.write_str("plain walk"),
            Self::InterleavedWalk => f.write_str("interleaved walk"),
            Self::Tables(kernel) => write!(f, "tables, {kernel}"),
        }
    }
}

/// What a model is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// `JSON` or `UBJSON`.
    pub format: &'static str,
    /// Version of XGBoost that wrote the file.
    pub version: Vec<u32>,
    /// Trees.
    pub trees: usize,
    /// Boosting rounds.
    pub rounds: usize,
    /// Splits and leaves that a row can reach.
    pub nodes: usize,
    /// Splits on the longest path.
    pub depth: u32,
    /// Leaves of the widest tree.
    pub leaves: u32,
    /// Prior probability.
    pub base_score: f32,
    /// Log odds of the prior.
    pub base_margin: f32,
    /// Weight of positive rows in training; anything but 1 bends probabilities.
    pub scale_pos_weight: f32,
    /// Different thresholds of each feature.
    pub thresholds: [usize; Features::COUNT],
    /// Bits of a leaf mask, and bytes of the tables; `None` where the model is walked.
    pub tables: Option<(u32, usize)>,
    /// Why there are no tables.
    pub no_tables: Option<String>,
}

/// How much one feature contributed in training, as XGBoost's `get_score` counts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Importance {
    /// The feature's name.
    pub feature: &'static str,
    /// Splits on it (`weight`).
    pub splits: u32,
    /// Mean loss reduction of a split (`gain`); 0 without splits.
    pub gain: f64,
    /// Sum of loss reductions (`total_gain`).
    pub total_gain: f64,
    /// Mean weight of the rows at a split (`cover`); 0 without splits.
    pub cover: f64,
}

/// A checked model.
#[derive(Debug, Clone)]
pub struct Model {
    base_margin: f32,
    forest: Forest,
    tables: Option<Tables>,
    method: Method,
    shape: Shape,
}

/// The logistic function as libxgboost computes it.
pub fn sigmoid(margin: f32) -> f32 {
    1.0 / ((-margin).min(88.7).exp() + 1.0)
}

impl Model {
    /// Reads and checks a model (JSON or UBJSON) trained on features with these names, in this order.
    ///
    /// # Errors
    /// The first thing that does not fit, with what was expected and found.
    pub fn from_bytes(bytes: &[u8], names: &[&str]) -> Result<Self, ModelError> {
        if names.len() != Features::COUNT {
            return Err(file::unsupported(format!("{} features", Features::COUNT), names.len().to_string()));
        }
        let file = file::read(bytes, names)?;
        let forest = Forest::new(&file.trees, names.len())?;
        let base_margin = -(1.0 / file.base_score - 1.0).ln();
        let (tables, no_tables) = match Tables::new(&forest) {
            Ok(tables) => (Some(tables), None),
            Err(why) => (None, Some(why)),
        };
        let method = if tables.is_some() { Method::Tables(Kernel::best()) } else { Method::InterleavedWalk };
        let shape = Shape {
            format: file.format,
            version: file.version,
            trees: forest.roots.len(),
            rounds: file.rounds,
            nodes: forest.nodes.len(),
            depth: forest.depths.iter().copied().max().unwrap_or(0),
            leaves: forest.leaves.iter().copied().max().unwrap_or(0),
            base_score: file.base_score,
            base_margin,
            scale_pos_weight: file.scale_pos_weight,
            thresholds: std::array::from_fn(|feature| forest.thresholds(feature).len()),
            tables: tables.as_ref().map(|tables| (tables.mask_bits(), tables.bytes())),
            no_tables,
        };
        Ok(Self { base_margin, forest, tables, method, shape })
    }

    /// How many trees.
    pub fn tree_count(&self) -> usize {
        self.forest.roots.len()
    }

    /// What the model is made of.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The log odds of one row. NaN goes where the tree was trained to send what is missing.
    #[inline]
    pub fn margin(&self, row: &Row) -> f32 {
        match (self.method, &self.tables) {
            (Method::Tables(kernel), Some(tables)) => tables.margin(kernel, self.base_margin, row),
            (Method::PlainWalk, _) => self.forest.walk(self.base_margin, row),
            _ => self.forest.walk_interleaved(self.base_margin, row),
        }
    }

    /// Asks for the memory that rows near this one will need.
    pub(super) fn fetch_around(&self, row: &Row) {
        if let (Method::Tables(_), Some(tables)) = (self.method, &self.tables) {
            tables.fetch_around(row);
        }
    }

    /// The log odds of many rows, one a row of the view, into a view as long.
    ///
    /// # Panics
    /// The views do not fit each other or the model.
    pub fn margins_into(&self, rows: &ArrayView2<'_, f32>, out: ArrayViewMut1<'_, f32>) {
        assert_eq!(rows.ncols(), Features::COUNT, "one column a feature");
        Zip::from(out).and(rows.rows()).for_each(|margin, row| *margin = self.margin(&row_of(&row)));
    }

    /// The log odds of many rows, one a row of the view.
    ///
    /// # Panics
    /// The view has another number of columns than there are features.
    pub fn margins(&self, rows: &ArrayView2<'_, f32>) -> Array1<f32> {
        let mut margins = Array1::zeros(rows.nrows());
        self.margins_into(rows, margins.view_mut());
        margins
    }

    /// How margins are computed.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Every method that can be chosen for this model on this processor.
    pub fn methods(&self) -> Vec<Method> {
        let mut methods = vec![Method::PlainWalk, Method::InterleavedWalk];
        if self.tables.is_some() {
            methods.extend(Kernel::available().into_iter().map(Method::Tables));
        }
        methods
    }

    /// The same model with another method; the answers are the same. `None` where the model has no
    /// tables for it.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Option<Self> {
        if matches!(method, Method::Tables(_)) && self.tables.is_none() {
            return None;
        }
        self.method = method;
        Some(self)
    }

    /// How much each feature contributed in training.
    pub fn importance(&self) -> [Importance; Features::COUNT] {
        std::array::from_fn(|feature| {
            let sums = &self.forest.sums[feature];
            let mean = |sum: f64| if sums.splits == 0 { 0.0 } else { sum / f64::from(sums.splits) };
            Importance {
                feature: Features::NAMES[feature],
                splits: sums.splits,
                gain: mean(sums.gain),
                total_gain: sums.gain,
                cover: mean(sums.cover),
            }
        })
    }

    /// Rows at and beside this model's own thresholds, with missing and infinite values: where two
    /// ways of computing part, if they do. The same model gives the same rows.
    pub fn probe_rows(&self, count: usize) -> Vec<Row> {
        let values: [Vec<f32>; Features::COUNT] = std::array::from_fn(|feature| {
            let mut own = self.forest.thresholds(feature);
            own.extend([f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0]);
            own
        });
        // Each feature goes through its own values in its own scattered order, so that they meet in many ways.
        let row = |at: usize| {
            std::array::from_fn(|feature| {
                let own = &values[feature];
                let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(9 * feature as u32 + 5);
                let value = own[(mixed % own.len() as u64) as usize];
                match (mixed >> 40) % 3 {
                    0 => value,
                    1 => value.next_down(),
                    _ => value.next_up(),
                }
            })
        };
        (0..count).map(row).collect()
    }

    /// Compares the method in use with the plain walk on that many [`Model::probe_rows`]; returns
    /// the first that differs.
    pub fn first_row_that_differs(&self, rows: usize) -> Option<Row> {
        let plain = |row: &Row| self.forest.walk(self.base_margin, row);
        self.probe_rows(rows).into_iter().find(|row| self.margin(row).to_bits() != plain(row).to_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_model_is_refused() {
        for bytes in [&b""[..], b"{", b"\x00\xff", b"[]", b"{\"version\":[3,0,0]}", b"\"\\", b"{L", b"{i\x01a"] {
            assert!(matches!(Model::from_bytes(bytes, &Features::NAMES), Err(ModelError::Format(_))), "{bytes:?}");
        }
    }

    #[test]
    fn a_foreign_file_is_named() {
        let message = |bytes: &[u8]| Model::from_bytes(bytes, &Features::NAMES).unwrap_err().to_string();
        assert!(message(b"binf\0\0").contains("before 3.1"));
        assert!(message(b"\x80\x04\x95").contains("pickle"));
        assert!(message(b"\x1f\x8b\x08").contains("gzip"));
        assert!(message(b"").contains("empty"));
    }
}

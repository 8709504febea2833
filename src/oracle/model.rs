//! Reads `model.json` as XGBoost (1.7 to 3.x) saves it and answers for one row, bit for bit as
//! libxgboost does: `f32` sums in tree order, starting from the base margin.
//!
//! What the reader does not understand it refuses: a model that is silently misread trades.

use serde::Deserialize;

use super::json::{Number, quote_bare_tokens};
use crate::quant::Features;

/// Why a model is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// Not JSON, cut short, or without a field that every model has.
    #[error(
        "expected an XGBoost model.json, found something else: {0}; save it with Booster.save_model(\"model.json\")"
    )]
    Format(String),
    /// A model that pawl does not evaluate.
    #[error("expected {expected}, found {found}")]
    Unsupported {
        /// What pawl evaluates.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// A tree that contradicts itself.
    #[error("tree {tree}: expected {expected}, found {found}; the file is damaged")]
    Tree {
        /// Index of the tree.
        tree: usize,
        /// What every tree has.
        expected: &'static str,
        /// What this one has.
        found: String,
    },
}

/// Largest file that is read.
const MAX_BYTES: usize = 256 << 20;
/// Most trees.
const MAX_TREES: usize = 10_000;

#[derive(Deserialize)]
struct File {
    version: Vec<u32>,
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    feature_names: Vec<String>,
    #[serde(default)]
    feature_types: Vec<String>,
    #[serde(rename = "learner_model_param")]
    param: LearnerParam,
    objective: Named,
    gradient_booster: Booster,
}

#[derive(Deserialize)]
struct LearnerParam {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    #[serde(default)]
    model: Option<Forest>,
}

#[derive(Deserialize)]
struct Forest {
    trees: Vec<TreeFile>,
    gbtree_model_param: ForestParam,
    #[serde(default)]
    weight_drop: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct ForestParam {
    num_trees: String,
    #[serde(default)]
    num_parallel_tree: Option<String>,
}

#[derive(Deserialize)]
struct TreeFile {
    tree_param: TreeParam,
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<u64>,
    split_conditions: Vec<Number>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<i64>,
}

#[derive(Deserialize)]
struct TreeParam {
    num_nodes: String,
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// 0 or 1, or in old files `false` or `true`.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Flag {
    Number(u8),
    Bool(bool),
}

impl Flag {
    const fn is_set(self) -> bool {
        match self {
            Self::Number(number) => number != 0,
            Self::Bool(set) => set,
        }
    }
}

/// A node: a split, or a leaf whose value is `threshold` and whose `left` is [`LEAF`].
#[derive(Clone, Copy, Debug)]
struct Node {
    threshold: f32,
    feature: u16,
    default_left: bool,
    left: u32,
    right: u32,
}

const LEAF: u32 = u32::MAX;

/// A checked model.
#[derive(Debug, Clone)]
pub struct Model {
    base_margin: f32,
    nodes: Vec<Node>,
    roots: Vec<u32>,
}

/// The logistic function as libxgboost computes it.
pub fn sigmoid(margin: f32) -> f32 {
    1.0 / ((-margin).min(88.7).exp() + 1.0)
}

fn unsupported(expected: impl Into<String>, found: impl Into<String>) -> ModelError {
    ModelError::Unsupported { expected: expected.into(), found: found.into() }
}

impl Model {
    /// Reads and checks a model trained on features with these names, in this order.
    ///
    /// # Errors
    /// The first thing that does not fit, with what was expected and found.
    pub fn from_bytes(bytes: &[u8], names: &[&str]) -> Result<Self, ModelError> {
        if names.len() != Features::COUNT {
            return Err(unsupported(format!("{} features", Features::COUNT), names.len().to_string()));
        }
        if bytes.len() > MAX_BYTES {
            return Err(unsupported("a model of at most 256 MiB", format!("{} bytes", bytes.len())));
        }
        let file: File =
            serde_json::from_slice(&quote_bare_tokens(bytes)).map_err(|error| ModelError::Format(error.to_string()))?;
        let base_margin = check_learner(&file, names)?;
        let forest = file.learner.gradient_booster.model.ok_or_else(|| ModelError::Format("no trees".into()))?;
        if forest.weight_drop.is_some() {
            return Err(unsupported("booster gbtree", "dart (the model has weight_drop)"));
        }
        if forest.trees.is_empty() || forest.trees.len() > MAX_TREES {
            return Err(unsupported("1 to 10000 trees", forest.trees.len().to_string()));
        }
        if forest.gbtree_model_param.num_trees != forest.trees.len().to_string() {
            let expected = format!("{} trees, as num_trees says", forest.gbtree_model_param.num_trees);
            return Err(unsupported(expected, forest.trees.len().to_string()));
        }
        check_best_iteration(&file.learner.attributes, &forest)?;
        let mut model = Self { base_margin, nodes: Vec::new(), roots: Vec::with_capacity(forest.trees.len()) };
        for (index, tree) in forest.trees.iter().enumerate() {
            model.add_tree(index, tree, names.len())?;
        }
        Ok(model)
    }

    /// How many trees.
    pub fn tree_count(&self) -> usize {
        self.roots.len()
    }

    /// The log odds of one row. NaN goes where the tree was trained to send what is missing.
    pub fn margin(&self, row: &[f32; Features::COUNT]) -> f32 {
        let mut sum = self.base_margin;
        for &root in &self.roots {
            let mut node = &self.nodes[root as usize];
            while node.left != LEAF {
                let value = row[usize::from(node.feature)];
                let left = if value.is_nan() { node.default_left } else { value < node.threshold };
                node = &self.nodes[(if left { node.left } else { node.right }) as usize];
            }
            sum += node.threshold;
        }
        sum
    }

    fn add_tree(&mut self, index: usize, tree: &TreeFile, features: usize) -> Result<(), ModelError> {
        let broken = |expected, found: String| ModelError::Tree { tree: index, expected, found };
        let count = tree.left_children.len();
        if tree.tree_param.num_nodes != count.to_string() || count == 0 || count > 1 << 20 {
            return Err(broken("as many nodes as num_nodes says", count.to_string()));
        }
        let lengths =
            [tree.right_children.len(), tree.split_indices.len(), tree.split_conditions.len(), tree.default_left.len()];
        if let Some(length) = lengths.into_iter().find(|length| *length != count) {
            return Err(broken("arrays of one length", format!("{length} and {count}")));
        }
        if tree.split_type.iter().any(|kind| *kind != 0) || !tree.categories.is_empty() {
            return Err(unsupported("numerical splits only", format!("a categorical split in tree {index}")));
        }
        if tree.tree_param.size_leaf_vector.as_deref().is_some_and(|size| size != "0" && size != "1") {
            return Err(unsupported("one value a leaf", format!("a leaf vector in tree {index}")));
        }
        let base = self.nodes.len() as u32;
        let mut reached = vec![false; count];
        let mut waiting = vec![0usize];
        let placeholder = Node { threshold: 0.0, feature: 0, default_left: false, left: LEAF, right: LEAF };
        // Deleted nodes are unreachable and stay placeholders.
        self.nodes.resize(self.nodes.len() + count, placeholder);
        while let Some(at) = waiting.pop() {
            if std::mem::replace(&mut reached[at], true) {
                return Err(broken("a tree", format!("node {at} reached twice")));
            }
            let threshold = tree.split_conditions[at].0;
            let node = &mut self.nodes[base as usize + at];
            if tree.left_children[at] == -1 {
                if !threshold.is_finite() {
                    return Err(broken("finite leaves", threshold.to_string()));
                }
                *node = Node { threshold, ..placeholder };
                continue;
            }
            let child = |child: i64| match usize::try_from(child) {
                Ok(child) if child < count => Ok(child),
                _ => Err(broken("children within the tree", child.to_string())),
            };
            let (left, right) = (child(tree.left_children[at])?, child(tree.right_children[at])?);
            let feature = tree.split_indices[at];
            if feature >= features as u64 {
                return Err(broken("a feature of the model", feature.to_string()));
            }
            if threshold.is_nan() {
                return Err(broken("a threshold that is a number", threshold.to_string()));
            }
            let default_left = tree.default_left[at].is_set();
            let (left_node, right_node) = (base + left as u32, base + right as u32);
            *node = Node { threshold, feature: feature as u16, default_left, left: left_node, right: right_node };
            waiting.extend([left, right]);
        }
        self.roots.push(base);
        Ok(())
    }
}

/// Checks everything above the trees and returns the base margin.
fn check_learner(file: &File, names: &[&str]) -> Result<f32, ModelError> {
    let learner = &file.learner;
    let param = &learner.param;
    if !matches!(file.version.first(), Some(1..=3)) {
        return Err(unsupported("XGBoost 1.x to 3.x", format!("version {:?}", file.version)));
    }
    if learner.objective.name != "binary:logistic" {
        return Err(unsupported("objective binary:logistic", learner.objective.name.clone()));
    }
    if learner.gradient_booster.name != "gbtree" {
        return Err(unsupported("booster gbtree", learner.gradient_booster.name.clone()));
    }
    if !matches!(param.num_class.as_str(), "0" | "1") {
        return Err(unsupported("a binary model", format!("{} classes", param.num_class)));
    }
    if let Some(targets) = param.num_target.as_deref().filter(|targets| !matches!(*targets, "0" | "1")) {
        return Err(unsupported("one target", targets));
    }
    if param.num_feature != names.len().to_string() {
        return Err(unsupported(format!("{} features", names.len()), param.num_feature.clone()));
    }
    if learner.feature_names != names {
        let expected = format!("features {}", names.join(", "));
        return Err(unsupported(expected, format!("[{}]", learner.feature_names.join(", "))));
    }
    if learner.feature_types.iter().any(|kind| kind == "c") {
        return Err(unsupported("numerical features", "a categorical one"));
    }
    let text = param.base_score.trim_start_matches('[').trim_end_matches(']');
    let base_score: f32 = text.parse().unwrap_or(f32::NAN);
    if !(base_score > 0.0 && base_score < 1.0) {
        return Err(unsupported("a base_score above 0 and below 1", param.base_score.clone()));
    }
    let clamped = base_score.clamp(1e-6, 1.0 - 1e-6);
    Ok(-(1.0 / clamped - 1.0).ln())
}

/// A model saved after early stopping holds trees that prediction was not meant to use.
fn check_best_iteration(
    attributes: &std::collections::BTreeMap<String, String>,
    forest: &Forest,
) -> Result<(), ModelError> {
    let Some(best) = attributes.get("best_iteration").and_then(|text| text.parse::<usize>().ok()) else {
        return Ok(());
    };
    let parallel = forest.gbtree_model_param.num_parallel_tree.as_deref().and_then(|text| text.parse().ok());
    let rounds = forest.trees.len() / parallel.unwrap_or(1usize).max(1);
    if best.checked_add(1) == Some(rounds) {
        return Ok(());
    }
    let expected = format!("{best}+1 rounds, the best iteration; save the slice booster[:best_iteration + 1]");
    Err(unsupported(expected, format!("{rounds} rounds")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_tokens_are_read_and_strings_are_left_alone() {
        let quoted = quote_bare_tokens(br#"{"NaN": [NaN, -Infinity, 1], "a\"NaN": Infinity}"#);
        assert_eq!(quoted, br#"{"NaN": ["NaN", "-Infinity", 1], "a\"NaN": "Infinity"}"#);
    }

    #[test]
    fn what_is_not_a_model_is_refused() {
        for bytes in [&b""[..], b"{", b"\x00\xff", b"[]", b"{\"version\":[3,0,0]}", b"\"\\"] {
            assert!(matches!(Model::from_bytes(bytes, &Features::NAMES), Err(ModelError::Format(_))));
        }
    }
}

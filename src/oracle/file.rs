//! The model file as XGBoost 1.7 to 3.x saves it, JSON or UBJSON, and everything that is refused
//! before a tree is looked at.
//!
//! What the reader does not understand it refuses by name: a model that is silently misread trades.
//! Fields that say nothing about the answer are skipped without being kept, so that what is held in
//! memory is bounded by a small multiple of the file.

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;

use super::json::{Number, quote_bare_tokens};
use super::ubjson::Reader;

/// Why a model is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// Not JSON or UBJSON, cut short, or without a field that every model has.
    #[error(
        "expected an XGBoost model.json or .ubj, found something else: {0}; save it with Booster.save_model(\"model.json\")"
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

pub(super) fn unsupported(expected: impl Into<String>, found: impl Into<String>) -> ModelError {
    ModelError::Unsupported { expected: expected.into(), found: found.into() }
}

/// Largest file that is read: a thousand trees of depth 8 take 40 MB of JSON.
const MAX_BYTES: usize = 64 << 20;
/// Most trees.
const MAX_TREES: usize = 10_000;
/// Most names in a list of names.
const MAX_NAMES: usize = 1024;

#[derive(Deserialize)]
struct File {
    version: Names<u32>,
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Names<String>,
    #[serde(default)]
    feature_types: Names<String>,
    #[serde(rename = "learner_model_param")]
    param: LearnerParam,
    objective: Objective,
    gradient_booster: Booster,
}

#[derive(Deserialize, Default)]
struct Attributes {
    #[serde(default)]
    best_iteration: Option<String>,
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
struct Objective {
    name: String,
    #[serde(default)]
    reg_loss_param: Option<RegLossParam>,
}

#[derive(Deserialize)]
struct RegLossParam {
    #[serde(default)]
    scale_pos_weight: Option<String>,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    #[serde(default)]
    model: Option<ForestFile>,
}

#[derive(Deserialize)]
struct ForestFile {
    trees: Vec<TreeFile>,
    gbtree_model_param: ForestParam,
    #[serde(default)]
    iteration_indptr: Option<Vec<i64>>,
    #[serde(default)]
    weight_drop: Option<IgnoredAny>,
    #[serde(default)]
    cats: Option<Categories>,
}

#[derive(Deserialize)]
struct Categories {
    #[serde(default)]
    enc: Count,
}

#[derive(Deserialize)]
struct ForestParam {
    num_trees: String,
    #[serde(default)]
    num_parallel_tree: Option<String>,
}

/// One tree as the file holds it.
#[derive(Deserialize)]
pub(super) struct TreeFile {
    pub(super) tree_param: TreeParam,
    pub(super) left_children: Vec<i32>,
    pub(super) right_children: Vec<i32>,
    pub(super) split_indices: Vec<u32>,
    pub(super) split_conditions: Vec<Number>,
    pub(super) default_left: Vec<Flag>,
    #[serde(default)]
    pub(super) split_type: Vec<u8>,
    #[serde(default)]
    pub(super) categories: Count,
    #[serde(default)]
    pub(super) leaf_weights: Count,
    /// Gain of each split, for the importance table.
    #[serde(default)]
    pub(super) loss_changes: Vec<Number>,
    /// Weight of the rows at each node, for the importance table.
    #[serde(default)]
    pub(super) sum_hessian: Vec<Number>,
}

#[derive(Deserialize)]
pub(super) struct TreeParam {
    pub(super) num_nodes: String,
    #[serde(default)]
    pub(super) size_leaf_vector: Option<String>,
}

/// 0 or 1, or in old files `false` or `true`.
#[derive(Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0, 1, false or true")
            }
            fn visit_bool<E: de::Error>(self, set: bool) -> Result<Flag, E> {
                Ok(Flag(set))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Flag, E> {
                match number {
                    0 | 1 => Ok(Flag(number == 1)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Flag, E> {
                self.visit_u64(number as u64)
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}

/// A short list; a long one is refused while it is read.
struct Names<T>(Vec<T>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Names<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NamesVisitor<T> {
            type Value = Names<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX_NAMES}")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Names<T>, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    if names.len() == MAX_NAMES {
                        return Err(de::Error::invalid_length(MAX_NAMES + 1, &self));
                    }
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_seq(NamesVisitor(std::marker::PhantomData))
    }
}

/// How many elements a list has; the elements are not kept.
#[derive(Clone, Copy, Default)]
pub(super) struct Count(pub(super) usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(CountVisitor)
    }
}

/// A file whose learner is one that pawl evaluates; its trees are not checked yet.
pub(super) struct CheckedFile {
    /// `JSON` or `UBJSON`.
    pub(super) format: &'static str,
    /// Version of XGBoost that wrote it.
    pub(super) version: Vec<u32>,
    /// Prior probability, clamped as libxgboost does.
    pub(super) base_score: f32,
    /// Boosting rounds: trees divided by the trees that grow together.
    pub(super) rounds: usize,
    /// Weight of positive rows in training; anything but 1 bends probabilities.
    pub(super) scale_pos_weight: f32,
    /// The trees.
    pub(super) trees: Vec<TreeFile>,
}

/// Reads a model and checks everything above the trees against features with these names.
pub(super) fn read(bytes: &[u8], names: &[&str]) -> Result<CheckedFile, ModelError> {
    if bytes.len() > MAX_BYTES {
        return Err(unsupported("a model of at most 64 MiB", format!("{} bytes", bytes.len())));
    }
    let (format, file) = parse(bytes)?;
    check_learner(&file, names)?;
    let base_score = base_score(&file.learner.param.base_score)?;
    let learner = file.learner;
    let weight = learner.objective.reg_loss_param.and_then(|param| param.scale_pos_weight);
    let scale_pos_weight = match weight.as_deref().map(str::parse::<f32>) {
        None => 1.0,
        Some(Ok(weight)) if weight.is_finite() => weight,
        Some(_) => return Err(unsupported("a scale_pos_weight that is a number", weight.unwrap_or_default())),
    };
    let forest = learner.gradient_booster.model.ok_or_else(|| ModelError::Format("no trees".into()))?;
    if forest.weight_drop.is_some() {
        return Err(unsupported("booster gbtree", "dart (the model has weight_drop)"));
    }
    if forest.cats.as_ref().is_some_and(|cats| cats.enc.0 > 0) {
        return Err(unsupported("numerical features", "categories (cats.enc is not empty)"));
    }
    if forest.trees.is_empty() || forest.trees.len() > MAX_TREES {
        return Err(unsupported("1 to 10000 trees", forest.trees.len().to_string()));
    }
    if forest.gbtree_model_param.num_trees != forest.trees.len().to_string() {
        let expected = format!("{} trees, as num_trees says", forest.gbtree_model_param.num_trees);
        return Err(unsupported(expected, forest.trees.len().to_string()));
    }
    let rounds = rounds(&forest)?;
    check_best_iteration(learner.attributes.best_iteration.as_deref(), rounds)?;
    Ok(CheckedFile { format, version: file.version.0, base_score, rounds, scale_pos_weight, trees: forest.trees })
}

/// Decides what the bytes are and reads them.
fn parse(bytes: &[u8]) -> Result<(&'static str, File), ModelError> {
    let other = |what: &str| Err(ModelError::Format(what.to_owned()));
    match bytes {
        [] => other("an empty file"),
        [b'b', b'i', b'n', b'f', ..] => other("a binary model of XGBoost before 3.1 (\"binf\")"),
        [0x80, ..] => other("a Python pickle"),
        [0x1f, 0x8b, ..] => other("a gzip file"),
        // A UBJSON key opens with the marker of its length, a JSON object with a quote or a space.
        [b'{', b'L' | b'i' | b'U' | b'I' | b'l' | b'#' | b'$', ..] => {
            let mut reader = Reader::new(bytes);
            let file = File::deserialize(&mut reader).and_then(|file| reader.end().map(|()| file));
            file.map(|file| ("UBJSON", file)).map_err(|error| ModelError::Format(error.to_string()))
        }
        _ => serde_json::from_slice(&quote_bare_tokens(bytes))
            .map(|file| ("JSON", file))
            .map_err(|error| ModelError::Format(error.to_string())),
    }
}

fn check_learner(file: &File, names: &[&str]) -> Result<(), ModelError> {
    let learner = &file.learner;
    let param = &learner.param;
    if !matches!(file.version.0.first(), Some(1..=3)) {
        return Err(unsupported("XGBoost 1.x to 3.x", format!("version {:?}", file.version.0)));
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
    if learner.feature_names.0 != names {
        let expected = format!("features {}", names.join(", "));
        return Err(unsupported(expected, format!("[{}]", learner.feature_names.0.join(", "))));
    }
    if learner.feature_types.0.iter().any(|kind| kind.starts_with('c')) {
        return Err(unsupported("numerical features", "a categorical one"));
    }
    Ok(())
}

/// `base_score` is a probability in every version: `"5E-1"`, or since 3.1 a list of one, `"[5E-1]"`.
fn base_score(text: &str) -> Result<f32, ModelError> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match inner.trim().parse::<f32>() {
        Ok(score) if score > 0.0 && score < 1.0 => Ok(score.clamp(1e-6, 1.0 - 1e-6)),
        _ => Err(unsupported("one base_score above 0 and below 1", text)),
    }
}

fn rounds(forest: &ForestFile) -> Result<usize, ModelError> {
    let trees = forest.trees.len();
    if let Some(offsets) = &forest.iteration_indptr {
        let grows = offsets.is_sorted() && offsets.first() == Some(&0) && offsets.last() == Some(&(trees as i64));
        if !grows {
            return Err(unsupported(format!("an iteration_indptr from 0 to {trees}"), "another"));
        }
        return Ok(offsets.len() - 1);
    }
    let text = forest.gbtree_model_param.num_parallel_tree.as_deref();
    match text.map_or(Ok(1), str::parse::<usize>) {
        Ok(0) => Ok(trees),
        Ok(parallel) if trees.is_multiple_of(parallel) => Ok(trees / parallel),
        _ => Err(unsupported("a num_parallel_tree that divides the trees", text.unwrap_or_default())),
    }
}

/// A model saved after early stopping holds trees that prediction was not meant to use.
fn check_best_iteration(best: Option<&str>, rounds: usize) -> Result<(), ModelError> {
    let Some(text) = best else { return Ok(()) };
    let Ok(best) = text.parse::<usize>() else {
        return Err(unsupported("a best_iteration that is a whole number", format!("{text:?}")));
    };
    if best.checked_add(1) == Some(rounds) {
        return Ok(());
    }
    let expected = format!("{best}+1 rounds, the best iteration; save the slice booster[:best_iteration + 1]");
    Err(unsupported(expected, format!("{rounds} rounds")))
}

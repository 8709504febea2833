//! The search, early stopping and the final model.
//!
//! The last fifth of the rows is a hold-out: nothing is chosen by it, and it is looked at once. On
//! the rest, every point of a small grid is judged by purged walk-forward, by log loss on what no model
//! had seen; the final model learns from all of the rest with the winning point. Early stopping has a
//! purged block of its own, and only the rounds up to the best are kept. No class weights: they bend
//! probabilities.

use pawl::core::Span;
use pawl::oracle::{Golden, GoldenRow, Model, Row};
use pawl::quant::Features;

use crate::TrainError;
use crate::folds::{Fold, fold, walk_forward};
use crate::metrics::{Scores, scores};
use crate::rows::TrainingRow;
use crate::xgboost::{Booster, Kind, Matrix, Xgboost};

/// What a training is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Seed of libxgboost's row sampling.
    pub seed: u32,
    /// Blocks of the walk-forward.
    pub folds: usize,
    /// Time left empty before each block that is judged or stopped at.
    pub embargo: Span,
    /// Share of the rows, the last in time, that is looked at once.
    pub hold_out: f64,
    /// Most rounds of boosting.
    pub rounds: i32,
    /// Rounds without improvement after which boosting stops.
    pub patience: i32,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, folds: 5, embargo: Span::seconds(100 * 60), hold_out: 0.2, rounds: 300, patience: 25 }
    }
}

/// One point of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Deepest a tree may grow.
    pub max_depth: u32,
    /// Smallest weight of a leaf: how many rows it must speak for.
    pub min_child_weight: u32,
    /// Step of each round.
    pub eta: f32,
}

/// The grid: small, so that its best point is not the luckiest of many.
pub const GRID: [Point; 8] = {
    const fn point(max_depth: u32, min_child_weight: u32, eta: f32) -> Point {
        Point { max_depth, min_child_weight, eta }
    }
    [
        point(2, 20, 0.05),
        point(2, 50, 0.05),
        point(3, 20, 0.05),
        point(3, 50, 0.05),
        point(4, 20, 0.05),
        point(4, 50, 0.05),
        point(3, 50, 0.02),
        point(4, 50, 0.02),
    ]
};

/// Parameters that no point changes.
pub const FIXED: [(&str, &str); 6] = [
    ("objective", "binary:logistic"),
    ("tree_method", "hist"),
    ("max_bin", "256"),
    ("subsample", "0.8"),
    ("nthread", "1"),
    ("verbosity", "0"),
];

impl Point {
    /// Every parameter for libxgboost.
    pub fn parameters(&self, seed: u32) -> Vec<(&'static str, String)> {
        let mut all: Vec<(&str, String)> = FIXED.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        all.push(("max_depth", self.max_depth.to_string()));
        all.push(("min_child_weight", self.min_child_weight.to_string()));
        all.push(("eta", self.eta.to_string()));
        all.push(("seed", seed.to_string()));
        all
    }
}

/// A point and what it was worth on what no model had seen.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The point.
    pub point: Point,
    /// Over all walk-forward blocks.
    pub scores: Scores,
    /// Rounds kept in each block.
    pub rounds: Vec<i32>,
}

/// A row that was judged by a model that had not seen it.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Which walk-forward block.
    pub fold: usize,
    /// The probability it got.
    pub probability: f32,
    /// Its label.
    pub label: f32,
    /// Net result in basis points.
    pub net_bp: f64,
}

/// What training leaves behind.
pub struct Fitted {
    /// The model's file.
    pub json: Vec<u8>,
    /// libxgboost's answers for it.
    pub golden: Vec<GoldenRow>,
    /// Every point of the grid.
    pub tried: Vec<Tried>,
    /// Index of the winning point.
    pub best: usize,
    /// Walk-forward rows of the winning point.
    pub judged: Vec<Judged>,
    /// The walk-forward blocks.
    pub folds: Vec<Fold>,
    /// Blocks of the final model; `test` is the hold-out.
    pub last: Fold,
    /// Rounds of the final model.
    pub rounds: i32,
    /// Hold-out rows under the final model.
    pub held: Vec<Judged>,
}

/// Fewest rows that are worth a training.
const FEWEST_ROWS: usize = 300;
/// Golden rows beside a model.
const GOLDEN_ROWS: usize = 512;

/// Trains on rows in time order. `progress` is told how many of how many models are done.
///
/// # Errors
/// Too few rows, only wins or only losses, or libxgboost refuses.
pub fn train(
    library: &Xgboost,
    rows: &[TrainingRow],
    plan: &Plan,
    mut progress: impl FnMut(usize, usize),
) -> Result<Fitted, TrainError> {
    check_enough(rows)?;
    let held_from = rows.len() - (rows.len() as f64 * plan.hold_out) as usize;
    let development = &rows[..held_from];
    let folds = walk_forward(development, plan.folds, plan.embargo);
    let last = fold(rows, held_from..rows.len(), plan.embargo);
    if folds.iter().chain([&last]).any(|fold| fold.train.len() < 50 || fold.stop.len() < 10) {
        return Err(TrainError::TooLittle {
            expected: "50 rows to learn from and 10 to stop at in every block".into(),
            found: "a block with fewer".into(),
            advice: "give more data, fewer --folds or a shorter --embargo",
        });
    }
    let total = GRID.len() * folds.len() + 1;
    let (mut tried, mut judged_by_point) = (Vec::new(), Vec::new());
    for point in GRID {
        let (mut judged, mut rounds) = (Vec::new(), Vec::new());
        for (at, fold) in folds.iter().enumerate() {
            let (booster, kept) = boost(library, rows, fold, &point, plan)?;
            judged.extend(judge(library, &booster, rows, fold, at)?);
            rounds.push(kept);
            progress(tried.len() * folds.len() + at + 1, total);
        }
        tried.push(Tried { point, scores: judged_scores(&judged), rounds });
        judged_by_point.push(judged);
    }
    let loss = |at: &usize| tried[*at].scores.log_loss;
    let best = (0..tried.len()).min_by(|left, right| loss(left).total_cmp(&loss(right))).unwrap_or(0);
    let (booster, rounds) = boost(library, rows, &last, &tried[best].point, plan)?;
    let held = judge(library, &booster, rows, &last, 0)?;
    progress(total, total);
    let json = booster.to_bytes("json")?;
    let golden = golden_rows(library, &json, development)?;
    let judged = judged_by_point.swap_remove(best);
    Ok(Fitted { json, golden, tried, best, judged, folds, last, rounds, held })
}

fn check_enough(rows: &[TrainingRow]) -> Result<(), TrainError> {
    let wins = rows.iter().filter(|row| row.net_bp > 0.0).count();
    let (expected, found, advice) = if rows.len() < FEWEST_ROWS {
        (format!("{FEWEST_ROWS} signals or more"), rows.len().to_string(), "give more data")
    } else if wins == 0 || wins == rows.len() {
        ("wins and losses".to_owned(), format!("{wins} wins of {}", rows.len()), "look at the costs in [paper]")
    } else {
        return Ok(());
    };
    Err(TrainError::TooLittle { expected, found, advice })
}

/// Scores of judged rows.
pub fn judged_scores(judged: &[Judged]) -> Scores {
    let part = |value: fn(&Judged) -> f32| judged.iter().map(value).collect::<Vec<_>>();
    scores(&part(|row| row.probability), &part(|row| row.label))
}

fn matrix(library: &Xgboost, rows: &[TrainingRow], part: &[usize]) -> Result<Matrix, TrainError> {
    let features: Vec<Row> = part.iter().map(|at| rows[*at].row).collect();
    let labels: Vec<f32> = part.iter().map(|at| rows[*at].label()).collect();
    Ok(Matrix::new(library, &features, &labels)?)
}

/// Boosts on the fold's training rows until its own block says stop; keeps the rounds up to the best.
fn boost(
    library: &Xgboost,
    rows: &[TrainingRow],
    fold: &Fold,
    point: &Point,
    plan: &Plan,
) -> Result<(Booster, i32), TrainError> {
    let (learn, stop) = (matrix(library, rows, &fold.train)?, matrix(library, rows, &fold.stop)?);
    let labels: Vec<f32> = fold.stop.iter().map(|at| rows[*at].label()).collect();
    let mut booster = Booster::new(library, &learn, &point.parameters(plan.seed))?;
    let (mut best, mut lowest) = (0, f64::INFINITY);
    for round in 0..plan.rounds {
        booster.update(round, &learn)?;
        let loss = scores(&booster.predict(&stop, Kind::Probability)?, &labels).log_loss;
        if loss < lowest {
            (best, lowest) = (round, loss);
        } else if round - best >= plan.patience {
            break;
        }
    }
    Ok((booster.first_rounds(best + 1)?, best + 1))
}

fn judge(
    library: &Xgboost,
    booster: &Booster,
    rows: &[TrainingRow],
    fold: &Fold,
    number: usize,
) -> Result<Vec<Judged>, TrainError> {
    let probabilities = booster.predict(&matrix(library, rows, &fold.test)?, Kind::Probability)?;
    let judged = |(at, probability): (&usize, &f32)| Judged {
        fold: number,
        probability: *probability,
        label: rows[*at].label(),
        net_bp: rows[*at].net_bp,
    };
    Ok(fold.test.iter().zip(&probabilities).map(judged).collect())
}

/// Scores rows with libxgboost and with pawl and keeps libxgboost's answers: half are rows of the
/// training, half lie at the model's own thresholds and beside them.
///
/// # Errors
/// pawl refuses the model, or answers differently.
pub fn golden_rows(library: &Xgboost, json: &[u8], rows: &[TrainingRow]) -> Result<Vec<GoldenRow>, TrainError> {
    let model = Model::from_bytes(json, &Features::NAMES)?;
    let every = (rows.len() / (GOLDEN_ROWS / 2)).max(1);
    let mut chosen: Vec<Row> = rows.iter().step_by(every).take(GOLDEN_ROWS / 2).map(|row| row.row).collect();
    chosen.extend(model.probe_rows(GOLDEN_ROWS - chosen.len()));
    let booster = Booster::from_bytes(library, json)?;
    let margins = booster.predict_in_place(&chosen, Kind::Margin)?;
    let probabilities = booster.predict_in_place(&chosen, Kind::Probability)?;
    let answers = chosen.iter().zip(margins).zip(probabilities);
    answers
        .map(|((row, margin), probability)| {
            let found = model.margin(row);
            if found.to_bits() == margin.to_bits() {
                Ok(GoldenRow { row: *row, margin, probability })
            } else {
                Err(TrainError::Parity { row: *row, expected: margin, found })
            }
        })
        .collect()
}

/// The text of the sidecar beside a model.
pub fn golden_text(library: &Xgboost, json: &[u8], rows: &[GoldenRow]) -> String {
    Golden::text(&library.name(), json, rows)
}

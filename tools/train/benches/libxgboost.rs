//! pawl and libxgboost's own single-row call on the same models and rows, in one run.

use std::time::Instant;

use pawl::oracle::{Model, Row};
use pawl::quant::Features;
use pawl::venue::random::Random;
use pawl_train::xgboost::{Booster, Kind, Matrix, Xgboost};

const ROWS: usize = 1 << 13;

/// Median nanoseconds over batches of 16 calls.
fn median(calls: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut means: Vec<f64> = (0..calls / 16)
        .map(|batch| {
            let began = Instant::now();
            (0..16).for_each(|at| call((batch * 16 + at) * 2_713 % ROWS));
            began.elapsed().as_nanos() as f64 / 16.0
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means[means.len() / 2]
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let library = Xgboost::load().expect("libxgboost: see tools/train/README.md");
    let mut random = Random::new(1);
    let rows: Vec<Row> = (0..ROWS).map(|_| std::array::from_fn(|_| random.normal() as f32)).collect();
    let labels: Vec<f32> =
        rows.iter().map(|row| f32::from(f64::from(row[2] * row[4] - row[0]) + random.normal() > 0.0)).collect();
    let matrix = Matrix::new(&library, &rows, &labels).expect("rows");
    println!("one row to its margin, median nanoseconds: pawl, {} PredictFromDense", library.name());
    for (trees, depth) in [(100, 4), (100, 6), (500, 6), (1000, 8)] {
        let parameters = [
            ("objective", "binary:logistic".to_owned()),
            ("nthread", "1".to_owned()),
            ("max_depth", depth.to_string()),
            ("min_child_weight", "0".to_owned()),
            ("eta", "0.02".to_owned()),
        ];
        let mut booster = Booster::new(&library, &matrix, &parameters).expect("parameters");
        for round in 0..if test { 10 } else { trees } {
            booster.update(round, &matrix).expect("a round");
        }
        let bytes = booster.to_bytes("ubj").expect("a model");
        let (booster, model) = (
            Booster::from_bytes(&library, &bytes).expect("a model"),
            Model::from_bytes(&bytes, &Features::NAMES).expect("a model"),
        );
        let calls = if test { 64 } else { 40_000 };
        let mut sum = 0.0;
        let own = median(calls, |at| sum += model.margin(&rows[(at + usize::from(sum > 0.0)) % ROWS]));
        let theirs =
            median(calls / 4, |at| sum += booster.predict_in_place(&rows[at..=at], Kind::Margin).expect("a row")[0]);
        println!(
            "{trees:>5} x {depth}  {own:>8.0}  {theirs:>8.0}  ratio {:.0}  ({}, {sum:.0})",
            theirs / own,
            model.method()
        );
    }
}

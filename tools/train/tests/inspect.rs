//! What `pawl model inspect` prints of a model is what libxgboost says of the same file: for the shipped model, and for
//! models that were trained on nothing.

use pawl::oracle::{Model, Row};
use pawl::quant::Features;
use pawl::venue::random::Random;
use pawl_train::xgboost::{Booster, Matrix, Xgboost};

/// Compares every feature's figures; a feature without a split is one that libxgboost does not name.
fn compare(name: &str, library: &Xgboost, bytes: &[u8]) {
    let model = Model::from_bytes(bytes, &Features::NAMES).unwrap();
    let booster = Booster::from_bytes(library, bytes).unwrap();
    let mut compared = 0;
    for kind in ["weight", "gain", "total_gain", "cover"] {
        let theirs = booster.importance(kind).unwrap();
        for own in model.importance() {
            let value = match kind {
                "weight" => f64::from(own.splits),
                "gain" => own.gain,
                "total_gain" => own.total_gain,
                _ => own.cover,
            };
            let found = theirs.iter().find(|(feature, _)| feature == own.feature);
            let expected = found.map_or(0.0, |(_, score)| f64::from(*score));
            assert_eq!(found.is_some(), own.splits > 0, "{name}: {} {kind}", own.feature);
            // Theirs are sums of f32.
            assert!(
                (value - expected).abs() <= 2e-5 * expected.abs().max(1e-3),
                "{name}: {kind} of {}: {value}, libxgboost {expected}",
                own.feature
            );
            compared += usize::from(own.splits > 0);
        }
    }
    assert!(compared > 0, "{name}: no feature was compared");
}

#[test]
fn inspect_says_what_libxgboost_says() {
    let library = Xgboost::load().expect("libxgboost: see tools/train/README.md");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/model.json");
    compare("models/model.json", &library, &std::fs::read(shipped).unwrap());
    let mut random = Random::new(11);
    for number in 0..30 {
        let rows: Vec<Row> = (0..400).map(|_| std::array::from_fn(|_| random.normal() as f32)).collect();
        let labels: Vec<f32> =
            rows.iter().map(|row| f32::from(f64::from(row[1] + row[5]) + random.normal() > 0.2)).collect();
        let matrix = Matrix::new(&library, &rows, &labels).unwrap();
        let parameters = [
            ("objective", "binary:logistic".to_owned()),
            ("nthread", "1".to_owned()),
            ("max_depth", (1 + number % 7).to_string()),
            ("subsample", "0.8".to_owned()),
            ("seed", number.to_string()),
        ];
        let mut booster = Booster::new(&library, &matrix, &parameters).unwrap();
        for round in 0..12 {
            booster.update(round, &matrix).unwrap();
        }
        let format = if number % 2 == 0 { "json" } else { "ubj" };
        compare(&format!("model {number}"), &library, &booster.to_bytes(format).unwrap());
    }
}

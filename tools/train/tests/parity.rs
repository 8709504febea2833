//! pawl answers as real libxgboost does: a thousand random models, a hundred rows and more each.
//!
//! Models are trained by the library itself on random data with random parameters; then base score and
//! missing directions are changed at random in the file, so that the trees take roads that no training
//! takes. Every method of this machine must give every margin bit for bit.

use pawl::oracle::{Model, Row, sigmoid};
use pawl::quant::Features;
use pawl::venue::random::Random;
use pawl_train::xgboost::{Booster, Kind, Matrix, Xgboost};

const MODELS: u64 = 1_000;
const ROWS: usize = 120;

fn uniform(random: &mut Random, low: f64, high: f64) -> f64 {
    low + random.uniform() * (high - low)
}

/// Ordinary values with holes; a coarse grid now and then, so that thresholds are met exactly.
fn training(random: &mut Random, rows: usize) -> (Vec<Row>, Vec<f32>) {
    let missing = [0.0, 0.05, 0.3][random.below(3) as usize];
    let coarse = random.chance(0.3);
    let value = |random: &mut Random| {
        let value = random.normal() as f32;
        if random.chance(missing) {
            f32::NAN
        } else if coarse {
            (value * 4.0).round()
        } else {
            value
        }
    };
    let rows: Vec<Row> = (0..rows).map(|_| std::array::from_fn(|_| value(random))).collect();
    let label = |row: &Row, random: &mut Random| {
        let known = |at: usize| if row[at].is_nan() { 0.7 } else { f64::from(row[at]) };
        f32::from(known(2) - known(0) * known(4) + random.normal() > 0.3)
    };
    let labels = rows.iter().map(|row| label(row, random)).collect();
    (rows, labels)
}

fn parameters(random: &mut Random, deep: bool) -> Vec<(&'static str, String)> {
    let method = ["hist", "hist", "approx", "exact"][random.below(4) as usize];
    let mut all = vec![
        ("objective", "binary:logistic".to_owned()),
        ("tree_method", method.to_owned()),
        ("nthread", "1".to_owned()),
        ("verbosity", "0".to_owned()),
        ("max_depth", (1 + random.below(8)).to_string()),
        ("eta", format!("{:.3}", uniform(random, 0.02, 1.0))),
        ("min_child_weight", format!("{:.2}", uniform(random, 0.0, 5.0))),
        ("subsample", format!("{:.2}", uniform(random, 0.5, 1.0))),
        ("max_bin", (4 + random.below(253)).to_string()),
        ("num_parallel_tree", (1 + random.below(3)).to_string()),
        ("seed", random.below(1 << 20).to_string()),
    ];
    if random.chance(0.3) {
        all.push(("gamma", format!("{:.2}", uniform(random, 0.0, 3.0))));
    }
    if random.chance(0.3) {
        all.push(("base_score", format!("{:e}", 10f64.powf(uniform(random, -5.0, -0.001)))));
    }
    if method == "hist" && random.chance(0.4) {
        all.push(("monotone_constraints", "(1,0,-1,1,-1,0,0)".to_owned()));
    }
    if method == "hist" && random.chance(0.2) {
        all.push(("grow_policy", "lossguide".to_owned()));
        all.push(("max_leaves", (2 + random.below(80)).to_string()));
    }
    if deep {
        all.extend([
            ("max_depth", "10".to_owned()),
            ("min_child_weight", "0".to_owned()),
            ("max_bin", "256".to_owned()),
        ]);
        all.retain(|(name, _)| !matches!(*name, "gamma" | "max_leaves" | "grow_policy"));
    }
    all
}

/// Puts `value` between the only `from` and the `to` after it.
fn replace(text: &mut String, from: &str, to: char, value: &str) {
    let start = text.find(from).unwrap() + from.len();
    let end = start + text[start..].find(to).unwrap();
    text.replace_range(start..end, value);
}

/// Flips missing directions, and sets base score and version, as text: the file stays what XGBoost writes.
fn disturb(json: &[u8], random: &mut Random) -> Vec<u8> {
    let text = String::from_utf8(json.to_vec()).unwrap();
    let mut parts = text.split("\"default_left\":[");
    let mut changed = parts.next().unwrap().to_owned();
    for part in parts {
        let (flags, rest) = part.split_once(']').unwrap();
        // A deleted node is known by its feature and its missing direction together: leave its tree alone.
        let (indices, _) = rest.split_once("\"split_indices\":[").unwrap().1.split_once(']').unwrap();
        let flips = !indices.contains("2147483647");
        let flip = |flag: char, random: &mut Random| match flag {
            '0' | '1' if flips && random.chance(0.3) => char::from(b'0' + (random.below(2) as u8)),
            other => other,
        };
        changed.push_str("\"default_left\":[");
        changed.extend(flags.chars().map(|flag| flip(flag, random)));
        changed.push(']');
        changed.push_str(rest);
    }
    // Since 3.1 the base score is a list of one; before, a number. Files of any age must be read.
    let version = ["[1,7,6]", "[2,1,4]", "[3,0,5]", "[3,4,1]"][random.below(4) as usize];
    if random.chance(0.5) {
        let score = 10f64.powf(uniform(random, -7.0, -1e-4)) as f32;
        let listed = version == "[3,4,1]";
        replace(
            &mut changed,
            "\"base_score\":\"",
            '"',
            &if listed { format!("[{score:e}]") } else { format!("{score:e}") },
        );
        replace(&mut changed, "\"version\":", '}', version);
    }
    changed.into_bytes()
}

/// Rows of every kind: the model's own thresholds and neighbours, missing, infinite, denormal, any bits.
fn probes(model: &Model, random: &mut Random) -> Vec<Row> {
    let mut rows = model.probe_rows(ROWS / 2);
    let special =
        [0.0, -0.0, 1e-42, -1e-42, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE];
    let one = |kind: u64, random: &mut Random| match kind {
        0 => special[random.below(special.len() as u64) as usize],
        1 => f32::from_bits(random.next_u64() as u32),
        2 => (random.normal() as f32 * 4.0).round(),
        _ => random.normal() as f32,
    };
    rows.extend((rows.len()..ROWS).map(|_| std::array::from_fn(|_| one(random.below(4), random))));
    rows
}

#[test]
fn a_thousand_random_models_answer_bit_for_bit() {
    let library = Xgboost::load().unwrap();
    let mut random = Random::new(7);
    let (mut compared, mut methods, mut infinite, mut walked) = (0usize, std::collections::BTreeSet::new(), 0, 0);
    for number in 0..MODELS {
        // One in twenty is deep enough that its tables would be too wide, so that it is walked.
        let deep = number % 20 == 19;
        let (rows, labels) = training(&mut random, if deep { 2_500 } else { 80 + (number % 5) as usize * 120 });
        let matrix = Matrix::new(&library, &rows, &labels).unwrap();
        let mut booster = Booster::new(&library, &matrix, &parameters(&mut random, deep)).unwrap();
        let rounds = 1 + random.below(if number % 50 == 0 { 60 } else { 8 }) as i32;
        for round in 0..rounds {
            booster.update(round, &matrix).unwrap();
        }
        let format = if number % 3 == 0 { "ubj" } else { "json" };
        let mut bytes = booster.to_bytes(format).unwrap();
        if format == "json" {
            bytes = disturb(&bytes, &mut random);
            infinite += usize::from(bytes.windows(9).any(|nine| nine == b"-Infinity"));
        }
        let booster = Booster::from_bytes(&library, &bytes).unwrap();
        let model = Model::from_bytes(&bytes, &Features::NAMES).unwrap();
        walked += usize::from(model.shape().tables.is_none());
        let rows = probes(&model, &mut random);
        let margins = booster.predict_in_place(&rows, Kind::Margin).unwrap();
        let probabilities = booster.predict_in_place(&rows, Kind::Probability).unwrap();
        for method in model.methods() {
            methods.insert(method.to_string());
            let model = model.clone().with_method(method).unwrap();
            for ((row, margin), probability) in rows.iter().zip(&margins).zip(&probabilities) {
                let found = model.margin(row);
                assert_eq!(
                    found.to_bits(),
                    margin.to_bits(),
                    "model {number}, {method}, {row:?}: {found} and {margin}"
                );
                let apart = sigmoid(found).to_bits().abs_diff(probability.to_bits());
                assert!(apart <= 1, "model {number}, {row:?}: probabilities {apart} ulp apart");
                compared += 1;
            }
        }
    }
    println!(
        "{compared} answers of {MODELS} models equal by {methods:?}; {infinite} models with -Infinity, {walked} without tables"
    );
    assert!(compared >= 3 * MODELS as usize * 100);
    assert!(infinite > 20 && walked > 20, "the models are too tame: {infinite} {walked}");
}

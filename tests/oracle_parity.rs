//! The oracle answers as libxgboost does, bit for bit, by every method of this machine.
//!
//! The expected bits were made with libxgboost by `tests/oracles/xgb/make_rows.py` (the shipped
//! models) and `make_fixture.py` (small models of many kinds, and of XGBoost 1.7, 2.1 and 3.0, whose answers
//! are those old libraries' own). `tools/train` compares with the
//! library itself, on a thousand random models.

use std::path::Path;

use ndarray::{Array2, s};
use pawl::oracle::{Kernel, Method, Model, Row, sigmoid};
use pawl::quant::Features;
use serde_json::Value;

const KINDS: [&str; 21] = [
    "plain.json",
    "plain_ubj.ubj",
    "deep.json",
    "exact.json",
    "approx.ubj",
    "pruned.json",
    "lossguide.json",
    "forest.ubj",
    "base_score.json",
    "weighted.json",
    "monotone.json",
    "monotone_ubj.ubj",
    "v1_7_plain.json",
    "v1_7_ubj.ubj",
    "v1_7_base_score.json",
    "v2_1_plain.json",
    "v2_1_ubj.ubj",
    "v2_1_base_score.json",
    "v3_0_plain.json",
    "v3_0_ubj.ubj",
    "v3_0_base_score.json",
];

fn kind_bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/xgb/kinds");
    std::fs::read(folder.join(name)).unwrap()
}

fn read(bytes: &[u8]) -> Model {
    Model::from_bytes(bytes, &Features::NAMES).unwrap()
}

struct Expected {
    row: Row,
    margin: u32,
    probability: u32,
}

fn expected_rows(text: &str) -> Vec<Expected> {
    let parse = |line: &str| {
        let bits: Vec<u32> = line.split(',').map(|hex| u32::from_str_radix(hex, 16).unwrap()).collect();
        Expected { row: std::array::from_fn(|at| f32::from_bits(bits[at])), margin: bits[7], probability: bits[8] }
    };
    text.lines().map(parse).collect()
}

/// Panics at the first row where any method differs from libxgboost.
fn compare(name: &str, model: &Model, rows: &[Expected]) {
    for method in model.methods() {
        let model = model.clone().with_method(method).unwrap();
        for (at, expected) in rows.iter().enumerate() {
            let margin = model.margin(&expected.row);
            assert_eq!(margin.to_bits(), expected.margin, "{name}, {method}, row {at}: {:?}", expected.row);
            let apart = sigmoid(margin).to_bits().abs_diff(expected.probability);
            assert!(apart <= 1, "{name}, {method}, row {at}: probability {apart} ulp apart");
        }
    }
}

#[test]
fn the_shipped_models_answer_as_libxgboost() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["model", "demo"] {
        let model = read(&std::fs::read(folder.join(format!("models/{name}.json"))).unwrap());
        let rows = std::fs::read_to_string(folder.join(format!("tests/oracles/xgb/{name}.csv"))).unwrap();
        let rows = expected_rows(&rows);
        assert_eq!(rows.len(), 600);
        compare(name, &model, &rows);
    }
}

#[test]
fn models_of_every_kind_answer_as_libxgboost_by_every_method() {
    for name in KINDS {
        let stem = name.split('.').next().unwrap();
        let rows = expected_rows(&String::from_utf8(kind_bytes(&format!("{stem}.csv"))).unwrap());
        assert_eq!(rows.len(), 160);
        compare(name, &read(&kind_bytes(name)), &rows);
    }
}

#[test]
fn the_method_is_chosen_by_the_size_of_the_tables() {
    assert_eq!(read(&kind_bytes("plain.json")).method(), Method::Tables(Kernel::best()));
    let deep = read(&kind_bytes("deep.json"));
    assert_eq!(deep.method(), Method::InterleavedWalk);
    assert!(deep.shape().no_tables.as_deref().unwrap().contains("wider than a mask of 64"));
}

#[test]
fn thresholds_of_minus_infinity_are_read_from_both_forms() {
    for name in ["monotone.json", "monotone_ubj.ubj"] {
        let bytes = kind_bytes(name);
        let model = read(&bytes);
        // A value below every finite threshold and a missing one part at such a split.
        let lowest = model.margin(&[f32::NEG_INFINITY; 7]);
        assert_ne!(lowest.to_bits(), model.margin(&[f32::NAN; 7]).to_bits(), "{name}");
    }
    let text = String::from_utf8(kind_bytes("monotone.json")).unwrap();
    assert!(text.contains("-Infinity"), "the fixture lost what it is for");
}

#[test]
fn a_batch_answers_as_row_by_row_whatever_the_view() {
    let rows = expected_rows(&String::from_utf8(kind_bytes("plain.csv")).unwrap());
    let model = read(&kind_bytes("plain.json"));
    // Twice as wide and as long as needed, in column order: the view strides through it.
    let mut table = Array2::<f32>::zeros((14, 2 * rows.len()));
    for (at, expected) in rows.iter().enumerate() {
        for (feature, value) in expected.row.iter().enumerate() {
            table[[2 * feature, 2 * at]] = *value;
        }
    }
    let margins = model.margins(&table.slice(s![..;2, ..;2]).t());
    let bits: Vec<u32> = margins.iter().map(|margin| margin.to_bits()).collect();
    assert_eq!(bits, rows.iter().map(|expected| expected.margin).collect::<Vec<_>>());
}

#[test]
fn importance_is_what_xgboost_counts() {
    for name in KINDS {
        let stem = name.split('.').next().unwrap();
        let theirs: Value = serde_json::from_slice(&kind_bytes(&format!("{stem}.importance.json"))).unwrap();
        for own in read(&kind_bytes(name)).importance() {
            for (kind, value) in [
                ("weight", f64::from(own.splits)),
                ("gain", own.gain),
                ("total_gain", own.total_gain),
                ("cover", own.cover),
            ] {
                let expected = theirs[kind][own.feature].as_f64().unwrap_or(0.0);
                // XGBoost sums in f32.
                assert!((value - expected).abs() <= 1e-5 * expected.abs(), "{name} {kind} {}: {value}", own.feature);
            }
        }
    }
}

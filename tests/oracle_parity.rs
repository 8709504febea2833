//! The oracle answers as libxgboost does, bit for bit; and refuses what it cannot answer.
//! The expected bits were made by `tests/oracles/xgb/make_rows.py` with libxgboost.

use pawl::oracle::{Model, sigmoid};
use pawl::quant::Features;
use serde_json::Value;

const SHIPPED: &[u8] = include_bytes!("../models/model.json");
const DEMO: &[u8] = include_bytes!("../models/demo.json");

fn mismatches(model: &[u8], rows: &str) -> (usize, usize) {
    let model = Model::from_bytes(model, &Features::NAMES).unwrap();
    let mut wrong = 0;
    for line in rows.lines() {
        let bits: Vec<f32> = line.split(',').map(|hex| f32::from_bits(u32::from_str_radix(hex, 16).unwrap())).collect();
        let row: [f32; 7] = bits[..7].try_into().unwrap();
        let margin = model.margin(&row);
        wrong += usize::from(margin.to_bits() != bits[7].to_bits() || sigmoid(margin).to_bits() != bits[8].to_bits());
    }
    (wrong, rows.lines().count())
}

#[test]
fn every_margin_and_probability_equals_libxgboost() {
    assert_eq!(mismatches(SHIPPED, include_str!("oracles/xgb/model.csv")), (0, 600));
    assert_eq!(mismatches(DEMO, include_str!("oracles/xgb/demo.csv")), (0, 600));
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_slice(SHIPPED).unwrap();
    change(&mut value);
    Model::from_bytes(&serde_json::to_vec(&value).unwrap(), &Features::NAMES).unwrap_err().to_string()
}

#[test]
fn a_model_that_does_not_fit_is_refused_by_name() {
    let tree = |v: &mut Value| v["learner"]["gradient_booster"]["model"]["trees"][0].take();
    let with_tree = |edit: fn(&mut Value)| {
        refused(|v| {
            let mut first = tree(v);
            edit(&mut first);
            v["learner"]["gradient_booster"]["model"]["trees"][0] = first;
        })
    };
    assert!(refused(|v| v["learner"]["objective"]["name"] = "reg:squarederror".into()).contains("binary:logistic"));
    assert!(refused(|v| v["learner"]["gradient_booster"]["name"] = "dart".into()).contains("gbtree"));
    assert!(refused(|v| v["learner"]["learner_model_param"]["num_class"] = "3".into()).contains("3 classes"));
    assert!(refused(|v| v["learner"]["learner_model_param"]["num_feature"] = "5".into()).contains("7 features"));
    assert!(refused(|v| v["learner"]["feature_names"][0] = "rsi2".into()).contains("rsi2"));
    assert!(refused(|v| v["learner"]["learner_model_param"]["base_score"] = "NaN".into()).contains("base_score"));
    assert!(refused(|v| v["version"][0] = 9.into()).contains("version"));
    assert!(
        refused(|v| v["learner"]["gradient_booster"]["model"]["weight_drop"] = Value::Array(vec![])).contains("dart")
    );
    assert!(refused(|v| v["learner"]["attributes"]["best_iteration"] = "3".into()).contains("best"));
    assert!(with_tree(|t| t["split_type"][0] = 1.into()).contains("numerical"));
    assert!(with_tree(|t| t["left_children"][0] = 0.into()).contains("twice"));
    assert!(with_tree(|t| t["right_children"][0] = 99_999.into()).contains("within the tree"));
    assert!(with_tree(|t| t["split_conditions"][0] = "NaN".into()).contains("number"));
    assert!(with_tree(|t| drop(t["split_indices"].as_array_mut().unwrap().pop())).contains("one length"));
}

#[test]
fn no_truncation_and_no_flipped_byte_panics() {
    for cut in (0..SHIPPED.len()).step_by(997) {
        assert!(Model::from_bytes(&SHIPPED[..cut], &Features::NAMES).is_err());
    }
    for at in (0..SHIPPED.len()).step_by(1_499) {
        let mut bytes = SHIPPED.to_vec();
        bytes[at] ^= 0x11;
        // Refused, or still a model: never a panic.
        let _ = Model::from_bytes(&bytes, &Features::NAMES);
    }
}

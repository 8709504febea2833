//! What pawl does not evaluate it refuses by name; what is hostile it refuses without harm: no
//! panic, no endless loop, memory bounded by a small multiple of the file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pawl::oracle::{Golden, GoldenRow, Model, Oracle, OracleParams, sigmoid};
use pawl::quant::Features;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Counts the bytes that are held, and the most there ever were.
struct Counting;
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// Tests that load models take turns, so that the count is one model's.
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: every call is passed on to the system allocator unchanged; only counters are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn kind(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/xgb/kinds").join(name)).unwrap()
}

fn load(bytes: &[u8]) -> Result<Model, String> {
    Model::from_bytes(bytes, &Features::NAMES).map_err(|error| error.to_string())
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_slice(&kind("plain.json")).unwrap();
    change(&mut value);
    load(&serde_json::to_vec(&value).unwrap()).unwrap_err()
}

fn refused_tree(edit: impl FnOnce(&mut Value)) -> String {
    refused(|model| edit(&mut model["learner"]["gradient_booster"]["model"]["trees"][2]))
}

#[track_caller]
fn names(message: &str, words: &[&str]) {
    assert!(words.iter().all(|word| message.contains(word)), "expected {words:?} in: {message}");
}

#[test]
fn a_model_that_does_not_fit_is_refused_by_name() {
    let learner = |edit: fn(&mut Value)| refused(|model| edit(&mut model["learner"]));
    let forest = |edit: fn(&mut Value)| refused(|model| edit(&mut model["learner"]["gradient_booster"]["model"]));
    names(&learner(|l| l["objective"]["name"] = "reg:squarederror".into()), &["binary:logistic", "reg:squarederror"]);
    names(&learner(|l| l["objective"]["name"] = "binary:logitraw".into()), &["binary:logitraw"]);
    names(&learner(|l| l["gradient_booster"]["name"] = "dart".into()), &["gbtree", "dart"]);
    names(&learner(|l| l["gradient_booster"] = json!({"name": "gblinear", "model": {"weights": [1.0]}})), &["trees"]);
    names(&forest(|f| f["weight_drop"] = json!([1.0])), &["dart", "weight_drop"]);
    names(&learner(|l| l["learner_model_param"]["num_class"] = "3".into()), &["3 classes"]);
    names(&learner(|l| l["learner_model_param"]["num_target"] = "2".into()), &["one target", "2"]);
    names(&learner(|l| l["learner_model_param"]["num_feature"] = "5".into()), &["7 features", "5"]);
    names(&learner(|l| l["feature_names"][0] = "rsi2".into()), &["log_return", "rsi2"]);
    names(&learner(|l| l["feature_names"] = json!([])), &["log_return", "[]"]);
    names(&learner(|l| l["feature_types"] = json!(["c"])), &["categorical"]);
    names(&forest(|f| f["cats"] = json!({"enc": [{"a": 1}]})), &["cats.enc"]);
    for score in ["NaN", "0", "1", "-1E-1", "[5E-1,5E-1]", "[[5E-1]]", "[]", "", "inf"] {
        let message = refused(|model| model["learner"]["learner_model_param"]["base_score"] = score.into());
        names(&message, &["base_score", score]);
    }
    names(&refused(|model| model["version"][0] = 9.into()), &["1.x to 3.x", "9"]);
    names(&refused(|model| model["version"] = json!([])), &["1.x to 3.x"]);
    names(&forest(|f| f["gbtree_model_param"]["num_trees"] = "3".into()), &["3 trees", "8"]);
    names(&forest(|f| f["trees"] = json!([])), &["1 to 10000 trees"]);
    names(&forest(|f| f["iteration_indptr"] = json!([0, 9])), &["iteration_indptr"]);
    names(&learner(|l| l["objective"]["reg_loss_param"]["scale_pos_weight"] = "much".into()), &["scale_pos_weight"]);
}

#[test]
fn a_best_iteration_that_is_not_the_last_or_not_a_number_is_refused() {
    let best = |text: &str| refused(|model| model["learner"]["attributes"]["best_iteration"] = text.into());
    names(&best("3"), &["3+1 rounds", "8 rounds", "[:best_iteration + 1]"]);
    names(&best("18446744073709551615"), &["8 rounds"]);
    for text in ["", "4.0", "-1", "best", "99999999999999999999999"] {
        names(&best(text), &["best_iteration that is a whole number", text]);
    }
    names(&refused(|model| model["learner"]["attributes"]["best_iteration"] = 7.into()), &["string"]);
    let mut last: Value = serde_json::from_slice(&kind("plain.json")).unwrap();
    last["learner"]["attributes"]["best_iteration"] = "7".into();
    assert!(load(&serde_json::to_vec(&last).unwrap()).is_ok());
}

#[test]
fn a_tree_that_contradicts_itself_is_refused_by_name() {
    names(&refused_tree(|t| t["split_type"][0] = 1.into()), &["categorical split in tree 2"]);
    names(&refused_tree(|t| t["categories"] = json!([1])), &["categorical"]);
    names(&refused_tree(|t| t["tree_param"]["size_leaf_vector"] = "2".into()), &["leaf vector in tree 2"]);
    names(&refused_tree(|t| t["leaf_weights"] = json!([1.0])), &["leaf_weights in tree 2"]);
    names(&refused_tree(|t| t["left_children"][0] = 0.into()), &["tree 2", "node 0 reached twice"]);
    names(&refused_tree(|t| t["right_children"][0] = t["left_children"][0].clone()), &["reached twice"]);
    names(&refused_tree(|t| t["right_children"][0] = 99_999.into()), &["within the tree", "99999"]);
    names(&refused_tree(|t| t["right_children"][0] = (-1).into()), &["within the tree", "-1"]);
    names(&refused_tree(|t| t["left_children"][0] = (-2).into()), &["within the tree", "-2"]);
    names(&refused_tree(|t| t["split_indices"][0] = 7.into()), &["feature of the model", "7"]);
    names(&refused_tree(|t| t["split_conditions"][0] = "NaN".into()), &["threshold that is a number"]);
    for value in ["NaN", "Infinity", "-Infinity"] {
        let message = refused_tree(|t| {
            let leaf = t["left_children"].as_array().unwrap().iter().position(|child| *child == -1).unwrap();
            t["split_conditions"][leaf] = value.into();
        });
        names(&message, &["finite leaves"]);
    }
    for list in ["right_children", "split_indices", "split_conditions", "default_left", "split_type", "loss_changes"] {
        names(&refused_tree(|t| drop(t[list].as_array_mut().unwrap().pop())), &["arrays of one length"]);
    }
    names(&refused_tree(|t| t["tree_param"]["num_nodes"] = "3".into()), &["num_nodes"]);
    names(&refused_tree(|t| t["default_left"][0] = 2.into()), &["0, 1, false or true"]);
    names(&refused_tree(|t| t["left_children"] = "none".into()), &["sequence"]);
    names(&refused_tree(|t| t["split_indices"][0] = 0.5.into()), &["u32"]);
}

#[test]
fn a_file_cut_short_at_any_byte_is_refused() {
    let _turn = TURN.lock();
    for name in ["base_score.json", "approx.ubj"] {
        let bytes = kind(name);
        assert!(load(&bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(load(&bytes[..cut]).is_err(), "{name} cut at {cut}");
        }
        let mut longer = bytes;
        longer.push(b'{');
        assert!(load(&longer).is_err(), "{name} with a byte too many");
    }
}

/// Bytes that loading took at most, beside the file itself.
fn most_held(bytes: &[u8]) -> usize {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let _ = load(bytes);
    MOST.load(Relaxed) - before
}

#[test]
fn a_hostile_file_is_held_in_a_small_multiple_of_its_size() {
    let _turn = TURN.lock();
    let plain = String::from_utf8(kind("plain.json")).unwrap();
    let million = |item: &str| vec![item; 1_000_000].join(",");
    let with = |from: &str, to: String| plain.replacen(from, &to, 1).into_bytes();
    let ubj_claim =
        |marker: &[u8], length: &[u8]| [b"{L\0\0\0\0\0\0\0\x07version[$", marker, b"#L", length, &[0; 64]].concat();
    let hostile = [
        with("\"left_children\":[", format!("\"left_children\":[{},", million("0"))),
        with("\"feature_names\":[", format!("\"feature_names\":[{},", million("\"\""))),
        with("\"version\":[", format!("\"version\":[{},", million("3"))),
        with("\"attributes\":{", format!("\"attributes\":{{\"a\":[{}],", million("[]"))),
        with("\"categories\":[", format!("\"categories\":[{}", million("1"))),
        with("\"trees\":[", format!("\"trees\":[{},", million("{}"))),
        "[".repeat(1_000_000).into_bytes(),
        format!("{{\"version\":{}", "[".repeat(1_000_000)).into_bytes(),
        format!("{{\"learner\":{{\"attributes\":{}", "{\"a\":".repeat(200_000)).into_bytes(),
        [b"{".as_slice(), &b"L\0\0\0\0\0\0\0\x01a{".repeat(100_000)].concat(),
        ubj_claim(b"d", &i64::MAX.to_be_bytes()),
        ubj_claim(b"Z", &i64::MAX.to_be_bytes()),
        ubj_claim(b"U", &(-1i64).to_be_bytes()),
        [b"{L\0\0\0\0\0\0\0\x07version[", vec![b'['; 100_000].as_slice()].concat(),
    ];
    for (at, bytes) in hostile.iter().enumerate() {
        let most = most_held(bytes);
        assert!(load(bytes).is_err(), "file {at}");
        assert!(most <= 8 * bytes.len() + (1 << 16), "file {at} of {} bytes took {most}", bytes.len());
    }
    assert!(most_held(&vec![b' '; (64 << 20) + 1]) < 1 << 16);
    names(&load(&vec![b' '; (64 << 20) + 1]).unwrap_err(), &["64 MiB"]);
}

#[test]
fn a_tree_that_is_one_long_chain_is_walked_and_its_tables_are_not_made() {
    let _turn = TURN.lock();
    // 100,000 splits, each with a leaf to the left: as deep as a file can make it.
    let (splits, nodes) = (100_000usize, 200_001usize);
    let list = |value: &dyn Fn(usize) -> Value| Value::Array((0..nodes).map(value).collect());
    let mut model: Value = serde_json::from_slice(&kind("base_score.json")).unwrap();
    model["learner"]["gradient_booster"]["model"]["trees"] = json!([{
        "tree_param": {"num_nodes": nodes.to_string()},
        "left_children": list(&|node| if node < splits { json!(node + splits + 1) } else { json!(-1) }),
        "right_children": list(&|node| if node < splits { json!(node + 1) } else { json!(-1) }),
        "split_indices": list(&|_| json!(2)),
        "split_conditions": list(&|node| json!(node as f32)),
        "default_left": list(&|_| json!(0)),
    }]);
    model["learner"]["gradient_booster"]["model"]["gbtree_model_param"]["num_trees"] = "1".into();
    model["learner"]["gradient_booster"]["model"]["iteration_indptr"] = json!([0, 1]);
    let model = load(&serde_json::to_vec(&model).unwrap()).unwrap();
    assert_eq!((model.shape().depth, model.shape().leaves), (100_000, 100_001));
    assert!(model.shape().tables.is_none());
    assert!(model.margin(&[1e9; 7]).is_finite());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Refused, or a model whose methods agree: never a panic.
    #[test]
    fn no_mutation_makes_it_panic_or_disagree_with_itself(
        ubjson in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let mut bytes = kind(if ubjson { "approx.ubj" } else { "base_score.json" });
        for (place, byte, how) in &edits {
            let at = place.index(bytes.len());
            match how {
                0 => bytes[at] = *byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, *byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(model) = load(&bytes) {
            prop_assert_eq!(model.first_row_that_differs(300), None);
        }
    }

    /// Digits become other digits: the file stays JSON, and the trees become wrong ones.
    #[test]
    fn no_changed_number_makes_it_panic_or_disagree_with_itself(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..10), 1..8),
    ) {
        let mut bytes = kind("base_score.json");
        let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
        for (place, digit) in &edits {
            bytes[digits[place.index(digits.len())]] = b'0' + digit;
        }
        if let Ok(model) = load(&bytes) {
            prop_assert_eq!(model.first_row_that_differs(300), None);
        }
    }
}

fn golden_of(model: &Model) -> Vec<GoldenRow> {
    let rows = [[0.0; 7], [f32::NAN; 7], [1e-3, 1e-4, -2.5, 14.0, 40.0, 0.5, 9.0]];
    rows.map(|row| GoldenRow { row, margin: model.margin(&row), probability: sigmoid(model.margin(&row)) }).to_vec()
}

#[test]
fn a_model_that_does_not_answer_as_its_golden_rows_say_does_not_trade() {
    let bytes = kind("plain.json");
    let model = load(&bytes).unwrap();
    let rows = golden_of(&model);
    let start = |rows: &[GoldenRow], model_bytes: &[u8]| {
        let text = Golden::text("libxgboost 3.4.1", &bytes, rows);
        let golden = Golden::from_bytes(text.as_bytes(), model_bytes).map_err(|error| error.to_string())?;
        Oracle::checked(model.clone(), &golden, &OracleParams::default()).map_err(|error| error.to_string())?;
        Ok::<usize, String>(golden.len())
    };
    assert_eq!(start(&rows, &bytes), Ok(3));
    for at in 0..rows.len() {
        let mut wrong = rows.clone();
        wrong[at].margin = wrong[at].margin.next_up();
        names(
            &start(&wrong, &bytes).unwrap_err(),
            &[&format!("golden row {at}"), "must not trade", "libxgboost 3.4.1"],
        );
        let mut wrong = rows.clone();
        wrong[at].probability = wrong[at].probability.next_up().next_up();
        names(&start(&wrong, &bytes).unwrap_err(), &["must not trade"]);
    }
    names(&start(&rows, &kind("deep.json")).unwrap_err(), &["CRC-32C", "belong to another"]);
}

#[test]
fn a_damaged_sidecar_is_refused_by_name() {
    let bytes = kind("plain.json");
    let text = Golden::text("libxgboost 3.4.1", &bytes, &golden_of(&load(&bytes).unwrap()));
    let refused = |text: &str| Golden::from_bytes(text.as_bytes(), &bytes).unwrap_err().to_string();
    for cut in 0..text.len() - 2 {
        names(&refused(&text[..cut]), &["golden rows: expected"]);
    }
    names(&refused(&text.replace("\"rsi\"", "\"rsi2\"")), &["features", "rsi2"]);
    names(&refused(&text.replacen("00000000 ", "0000000 ", 1)), &["8 hex digits"]);
    names(&refused(&text.replacen("00000000 ", "00000000 00000000 ", 1)), &["8 hex digits"]);
    names(&refused(&text.replacen("\"made_by\"", "\"maker\"", 1)), &["maker"]);
    let empty = format!("{}\"rows\": []}}", text.split("\"rows\"").next().unwrap());
    names(&refused(&empty), &["at least one row"]);
}

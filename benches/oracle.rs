//! One row through forests of four sizes, by every method of this machine, in one run.
//!
//! Each call depends on the one before (its row is chosen by the last margin's sign), and the rows
//! are 16,384 different ones visited in a scattered order, so that a branch predictor can learn
//! nothing by heart. A tenth of the values is missing. The first column is the floor: as many
//! dependent `f32` additions as there are trees, which any exact method must do.
//!
//! `p50` is the median over batches of 64 calls; `p99.9` is of single calls, the timer's own cost
//! taken off. libxgboost stands beside these in the bench of `tools/train`.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use pawl::oracle::{Method, Model, Row};
use pawl::quant::Features;

const ROWS: usize = 1 << 14;
const BATCH: usize = 64;

/// A small seeded generator (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Between -1 and 1.
    fn unit(&mut self) -> f32 {
        (self.next() % 2_000_001) as f32 / 1e6 - 1.0
    }
}

/// A full forest as `hist` makes it: 255 thresholds a feature, every leaf at the same depth.
fn forest(trees: usize, depth: u32, random: &mut Random) -> Vec<u8> {
    let cuts: Vec<Vec<f32>> = (0..Features::COUNT).map(|_| (0..255).map(|_| random.unit()).collect()).collect();
    let (splits, nodes) = ((1usize << depth) - 1, (1usize << (depth + 1)) - 1);
    let list = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(",");
    let mut text = String::new();
    for tree in 0..trees {
        let features: Vec<usize> = (0..nodes).map(|_| random.below(Features::COUNT)).collect();
        let child = |node: usize, side: usize| if node < splits { (2 * node + side).to_string() } else { "-1".into() };
        let conditions = list(&mut (0..nodes).map(|node| {
            if node < splits {
                cuts[features[node]][random.below(255)].to_string()
            } else {
                (random.unit() * 0.05).to_string()
            }
        }));
        let comma = if tree == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}{{\"tree_param\":{{\"num_nodes\":\"{nodes}\"}},\"left_children\":[{}],\"right_children\":[{}],\"split_indices\":[{}],\"split_conditions\":[{conditions}],\"default_left\":[{}]}}",
            list(&mut (0..nodes).map(|node| child(node, 1))),
            list(&mut (0..nodes).map(|node| child(node, 2))),
            list(&mut features.iter().map(ToString::to_string)),
            list(&mut (0..nodes).map(|_| random.below(2).to_string())),
        );
    }
    format!(
        "{{\"version\":[3,4,1],\"learner\":{{\"feature_names\":[\"{}\"],\"learner_model_param\":{{\"base_score\":\"[3E-1]\",\"num_class\":\"0\",\"num_feature\":\"7\"}},\"objective\":{{\"name\":\"binary:logistic\"}},\"gradient_booster\":{{\"name\":\"gbtree\",\"model\":{{\"gbtree_model_param\":{{\"num_trees\":\"{trees}\"}},\"trees\":[{text}]}}}}}}}}",
        Features::NAMES.join("\",\"")
    )
    .into_bytes()
}

fn rows(random: &mut Random) -> Vec<Row> {
    let value = |random: &mut Random| if random.below(10) == 0 { f32::NAN } else { random.unit() };
    (0..ROWS).map(|_| std::array::from_fn(|_| value(random))).collect()
}

/// Nanoseconds: median over batches, and 99.9th percentile of single calls.
fn measure(rows: &[Row], batches: usize, answer: impl Fn(&Row) -> f32) -> (f64, f64) {
    let mut at = 0usize;
    let mut step = |answer: &dyn Fn(&Row) -> f32| {
        let negative = answer(&rows[at]).is_sign_negative();
        at = (at + 5_417 + usize::from(negative)) & (ROWS - 1);
    };
    let mut means: Vec<f64> = (0..batches)
        .map(|_| {
            let began = Instant::now();
            (0..BATCH).for_each(|_| step(&answer));
            began.elapsed().as_nanos() as f64 / BATCH as f64
        })
        .collect();
    let mut timer: Vec<u128> = (0..batches).map(|_| Instant::now().elapsed().as_nanos()).collect();
    let mut singles: Vec<u128> = (0..batches * 16)
        .map(|_| {
            let began = Instant::now();
            step(&answer);
            began.elapsed().as_nanos()
        })
        .collect();
    black_box(at);
    means.sort_by(f64::total_cmp);
    timer.sort_unstable();
    singles.sort_unstable();
    let tail = singles[singles.len() * 999 / 1000].saturating_sub(timer[timer.len() / 2]);
    (means[means.len() / 2], tail as f64)
}

/// As many dependent additions as there are trees.
fn floor(leaves: &[f32], start: f32) -> f32 {
    leaves.iter().fold(start, |sum, leaf| sum + leaf)
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let rows = rows(&mut random);
    println!("oracle: one row to its margin, nanoseconds: p50 (p99.9); budget for 100 x 6: 110 (250)");
    for (trees, depth) in [(100, 4), (100, 6), (500, 6), (1000, 6), (1000, 8)] {
        let model = Model::from_bytes(&forest(trees, depth, &mut random), &Features::NAMES).expect("a forest");
        let batches = |cost: usize| if test { 4 } else { (40_000_000 / (trees * cost)).clamp(100, 20_000) };
        let leaves: Vec<f32> = (0..trees).map(|_| random.unit() * 0.05).collect();
        let (least, _) = measure(&rows, batches(20), |row| floor(black_box(&leaves), row[0]));
        let size = model
            .shape()
            .tables
            .map_or(String::from("no tables"), |(bits, bytes)| format!("{bits}-bit masks, {} KiB", bytes >> 10));
        println!("{trees:>5} x {depth} ({size}; chosen: {}): floor {least:.0}", model.method());
        for method in model.methods() {
            let model = model.clone().with_method(method).expect("a method of this model");
            let cost = if matches!(method, Method::Tables(_)) { 20 } else { 200 };
            let (p50, tail) = measure(&rows, batches(cost), |row| model.margin(row));
            println!("        {:<18} {p50:>8.0} ({tail:.0})", method.to_string());
        }
    }
}

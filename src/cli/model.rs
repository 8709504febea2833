//! `pawl model inspect`: what a model is made of, whether it answers as it should, and how fast on
//! this machine.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::core::crc::crc32c_portable;
use crate::oracle::{Golden, Importance, Model, Row, Shape, smallest_margin_above};
use crate::quant::Features;

use super::Failure;
use super::common::{golden_path, read_file};

/// Arguments of `pawl model`.
#[derive(Args)]
pub(super) struct ModelArguments {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Subcommand)]
enum ModelCommand {
    /// Shape, importance, latency on this machine and self-check of a model
    #[command(after_help = "Example:\n  pawl model inspect models/model.json")]
    Inspect(InspectArguments),
}

#[derive(Args)]
struct InspectArguments {
    /// The model, JSON or UBJSON; its golden rows are looked for beside it
    file: PathBuf,
    /// Gate threshold to show as a margin, a probability
    #[arg(long, default_value_t = 0.85)]
    threshold: f32,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Rows of the comparison with the plain walk.
const CHECKED_ROWS: usize = 4_096;
/// Different rows of the latency loop: too many for a branch predictor to know by heart.
const TIMED_ROWS: usize = 8_192;
/// Calls of the latency loop: some milliseconds.
const TIMED_CALLS: usize = 65_536;

/// All that is said about a model, as a program reads it.
#[derive(Serialize)]
struct Inspection {
    file: String,
    format: &'static str,
    xgboost_version: String,
    crc32c: String,
    trees: usize,
    rounds: usize,
    depth: u32,
    leaves: u32,
    nodes: usize,
    base_score: f32,
    base_margin: f32,
    scale_pos_weight: f32,
    method: String,
    mask_bits: Option<u32>,
    table_bytes: Option<usize>,
    no_tables_because: Option<String>,
    features: Vec<FeatureRow>,
    threshold: f32,
    smallest_margin: f32,
    /// Rows at and beside the model's thresholds on which the method equals the plain walk.
    self_checked_rows: usize,
    golden_rows: Option<usize>,
    golden_made_by: Option<String>,
    latency_ns: Latency,
}

#[derive(Serialize)]
struct FeatureRow {
    name: &'static str,
    thresholds: usize,
    splits: u32,
    gain: f64,
    total_gain: f64,
    cover: f64,
    share: f64,
}

/// Nanoseconds of one answer.
#[derive(Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &ModelArguments) -> Result<(), Failure> {
    let ModelCommand::Inspect(arguments) = &arguments.command;
    let inspection = inspect(&arguments.file, arguments.threshold)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&inspection).map_err(|error| Failure::Usage(error.to_string()))? + "\n"
    } else {
        describe(&inspection)
    };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::Output)
}

fn inspect(path: &Path, threshold: f32) -> Result<Inspection, Failure> {
    if !(threshold > 0.0 && threshold < 1.0) {
        return Err(Failure::Usage(format!(
            "--threshold: expected a probability above 0 and below 1, found {threshold}"
        )));
    }
    let bytes = read_file(path)?;
    let model = Model::from_bytes(&bytes, &Features::NAMES)
        .map_err(|source| Failure::Model { path: path.to_owned(), source })?;
    if let Some(row) = model.first_row_that_differs(CHECKED_ROWS) {
        return Err(crate::oracle::OracleError::Method { method: model.method(), row }.into());
    }
    let beside = golden_path(path);
    let golden = if beside.exists() {
        let failure = |source| Failure::Golden { path: beside.clone(), source };
        let golden = Golden::from_bytes(&read_file(&beside)?, &bytes).map_err(failure)?;
        golden.check(&model).map_err(failure)?;
        Some(golden)
    } else {
        None
    };
    let Shape { format, version, trees, rounds, nodes, depth, leaves, .. } = model.shape().clone();
    let shape = model.shape();
    let importance = model.importance();
    let all: f64 = importance.iter().map(|one| one.total_gain).sum();
    let row = |(one, thresholds): (&Importance, &usize)| FeatureRow {
        name: one.feature,
        thresholds: *thresholds,
        splits: one.splits,
        gain: one.gain,
        total_gain: one.total_gain,
        cover: one.cover,
        share: if all > 0.0 { one.total_gain / all } else { 0.0 },
    };
    Ok(Inspection {
        file: path.display().to_string(),
        format,
        xgboost_version: version.iter().map(ToString::to_string).collect::<Vec<_>>().join("."),
        crc32c: format!("{:08x}", crc32c_portable(&bytes)),
        trees,
        rounds,
        depth,
        leaves,
        nodes,
        base_score: shape.base_score,
        base_margin: shape.base_margin,
        scale_pos_weight: shape.scale_pos_weight,
        method: model.method().to_string(),
        mask_bits: shape.tables.map(|(bits, _)| bits),
        table_bytes: shape.tables.map(|(_, bytes)| bytes),
        no_tables_because: shape.no_tables.clone(),
        features: importance.iter().zip(&shape.thresholds).map(row).collect(),
        threshold,
        smallest_margin: smallest_margin_above(threshold),
        self_checked_rows: CHECKED_ROWS,
        golden_rows: golden.as_ref().map(Golden::len),
        golden_made_by: golden.map(|golden| golden.made_by().to_owned()),
        latency_ns: measure(&model),
    })
}

/// Times single answers, each of which depends on the one before; the timer's own cost is taken off.
fn measure(model: &Model) -> Latency {
    let rows: Vec<Row> = model.probe_rows(TIMED_ROWS);
    let mut at = 0;
    let mut step = || {
        let negative = model.margin(&rows[at]).is_sign_negative();
        at = (at + 2_713 + usize::from(negative)) % TIMED_ROWS;
    };
    (0..TIMED_ROWS).for_each(|_| step());
    let timed = |call: &mut dyn FnMut()| {
        let began = Instant::now();
        call();
        began.elapsed().as_nanos() as f64
    };
    let mut calls: Vec<f64> = (0..TIMED_CALLS).map(|_| timed(&mut step)).collect();
    let mut timer: Vec<f64> = (0..TIMED_CALLS).map(|_| timed(&mut || ())).collect();
    black_box(at);
    calls.sort_by(f64::total_cmp);
    timer.sort_by(f64::total_cmp);
    let own = timer[TIMED_CALLS / 2];
    let percentile = |share: f64| (calls[(TIMED_CALLS as f64 * share) as usize] - own).max(0.0);
    Latency { p50: percentile(0.5), p99: percentile(0.99), p999: percentile(0.999) }
}

fn describe(i: &Inspection) -> String {
    let mut text = String::new();
    let layout = match (i.mask_bits, i.table_bytes, &i.no_tables_because) {
        (Some(bits), Some(bytes), _) => format!("{bits}-bit leaf masks, {} KiB", bytes.div_ceil(1024)),
        (.., Some(why)) => why.clone(),
        _ => String::new(),
    };
    let golden = match (i.golden_rows, &i.golden_made_by) {
        (Some(rows), Some(who)) => format!("{rows} rows answered by {who}: equal bit for bit"),
        _ => "none beside the model; `pawl-train golden` writes them".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{file}: {format} of XGBoost {version}, CRC-32C {crc}\n\
         \n  trees       {trees} in {rounds} rounds, depth {depth}, at most {leaves} leaves, {nodes} nodes\
         \n  base score  {base} (margin {margin})\
         \n  gate        probability > {threshold} is margin >= {smallest}\
         \n  method      {method} ({layout})\
         \n  latency     p50 {p50:.0} ns, p99 {p99:.0} ns, p99.9 {p999:.0} ns a row, measured just now on this machine\
         \n  self-check  {checked} rows at and beside the thresholds: equal to the plain walk bit for bit\
         \n  golden rows {golden}\n",
        file = i.file,
        format = i.format,
        version = i.xgboost_version,
        crc = i.crc32c,
        trees = i.trees,
        rounds = i.rounds,
        depth = i.depth,
        leaves = i.leaves,
        nodes = i.nodes,
        base = i.base_score,
        margin = i.base_margin,
        threshold = i.threshold,
        smallest = i.smallest_margin,
        method = i.method,
        p50 = i.latency_ns.p50,
        p99 = i.latency_ns.p99,
        p999 = i.latency_ns.p999,
        checked = i.self_checked_rows,
    );
    if i.scale_pos_weight != 1.0 {
        let _ = writeln!(
            text,
            "  WARNING     trained with scale_pos_weight {}: its probabilities are bent, and a gate on them means something else",
            i.scale_pos_weight
        );
    }
    let _ = writeln!(
        text,
        "\n  {:<14} {:>10} {:>8} {:>12} {:>12} {:>12} {:>8}",
        "feature", "thresholds", "splits", "gain", "total gain", "cover", "share"
    );
    for feature in &i.features {
        let _ = writeln!(
            text,
            "  {:<14} {:>10} {:>8} {:>12.4} {:>12.4} {:>12.2} {:>7.1}%",
            feature.name,
            feature.thresholds,
            feature.splits,
            feature.gain,
            feature.total_gain,
            feature.cover,
            feature.share * 100.0
        );
    }
    text
}

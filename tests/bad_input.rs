//! Bad input gives one clear error and exit status 1 or 2, never a panic.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

fn pawl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pawl")).args(arguments).output().unwrap()
}

fn refused(arguments: &[&str], status: i32, expected: &str) {
    let output = pawl(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
    assert!(error.to_lowercase().contains(expected), "{arguments:?} should say {expected:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

const HEADER: &str = "ts_ns,bid,ask\n";
const ROW: &str = "1398902400292000000,1.38676,1.38686\n";

#[test]
fn every_bad_file_has_its_own_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| write(folder.path(), name, bytes);
    refused(&["backtest", "no-such-file.csv"], 1, "no-such-file.csv");
    refused(&["backtest", &file("EURUSD_garbage.csv", &[0xfe, 0x00, 0x9b, 0x07].repeat(500))], 1, "expected");
    let negative = format!("{HEADER}{ROW}1398902400292000001,-1.3,1.4\n");
    refused(&["backtest", &file("EURUSD_negative.csv", negative.as_bytes())], 1, "expected");
    let words = format!("{HEADER}{ROW}1398902400292000001,abc,1.4\n");
    refused(&["backtest", &file("EURUSD_words.csv", words.as_bytes())], 1, ":3");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(HEADER.as_bytes()).unwrap();
    (0..5_000u64)
        .for_each(|i| writeln!(packed, "{},1.{:05},1.9", 1_398_902_400_292_000_000 + i, i * 7919 % 90_000).unwrap());
    let packed = packed.finish().unwrap();
    refused(&["backtest", &file("EURUSD_cut.csv.gz", &packed[..packed.len() / 2])], 1, "");
    let empty = pawl(&["backtest", &file("EURUSD_empty.csv", b"")]);
    assert!(matches!(empty.status.code(), Some(1 | 2)), "{empty:?}");
}

#[test]
fn skipped_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{HEADER}{ROW}1398902400292000001,abc,1.4\n{ROW}");
    let output =
        pawl(&["backtest", &write(folder.path(), "EURUSD_x.csv", text.as_bytes()), "--on-bad-line", "skip", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["bad_lines"], &report["feed"]["quotes"]), (&1.into(), &2.into()));
}

#[test]
fn bad_configurations_models_and_journals_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| write(folder.path(), name, bytes);
    let good = file("EURUSD_good.csv", format!("{HEADER}{ROW}").as_bytes());
    let config = |text: &str, expected: &str| {
        refused(&["backtest", &good, "--config", &file("pawl.toml", text.as_bytes())], 2, expected);
    };
    config("[quant]\nentri_z = 2\n", "did you mean `entry_z`");
    config("[oms]\nstop_loss_points = 0\n", "stop_loss_points");
    config("[paper]\nreject_probability = 2.0\n", "reject_probability");
    config(
        "[[instruments]]\nsymbol = \"EURUSD\"\ntick_size = 0.00001\nlot_step = 0.01\nmin_lot = 0.01\nmax_lot = 1\npoint_size = 0.00001\npoint_value = 0\ncurrency = \"USD\"\n",
        "point_value above 0",
    );
    refused(&["backtest", &good, "--model", &file("model.json", b"{\"version\":[3")], 1, "model.json");
    refused(&["backtest", &good, "--threshold", "1.5"], 2, "threshold");
    refused(&["replay", &folder.path().display().to_string()], 1, "session.toml");
    refused(&["backtest"], 2, "usage");
}

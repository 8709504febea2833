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

/// The counters that a run over these bytes reports; it must succeed.
fn counted(name: &str, bytes: &[u8], more: &[&str]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), name, bytes);
    let output = pawl(&[&["backtest", &file, "--json"], more].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name}: {error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zipped(files: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut packed = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        packed.start_file(*name, options).unwrap();
        packed.write_all(bytes).unwrap();
    }
    packed.finish().unwrap().into_inner()
}

/// A valid file of some 150 KB.
fn many_rows() -> Vec<u8> {
    let row = |i: u64| format!("{},1.{:05},1.9\n", 1_398_902_400_292_000_000 + i, i * 7919 % 90_000);
    [HEADER.to_owned()].into_iter().chain((0..5_000).map(row)).collect::<String>().into_bytes()
}

#[test]
fn every_bad_file_has_its_own_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| write(folder.path(), name, bytes);
    let bad = |name: &str, bytes: &[u8], status: i32, expected: &str| {
        refused(&["backtest", &file(name, bytes)], status, expected);
    };
    refused(&["backtest", "no-such-file.csv"], 1, "no-such-file.csv");
    refused(&["backtest", &folder.path().display().to_string()], 1, "session.toml");
    let one = file("EURUSD_good.csv", format!("{HEADER}{ROW}").as_bytes());
    refused(&["backtest", &one, &folder.path().display().to_string()], 1, "found a folder");
    bad("EURUSD_empty.csv", b"", 1, "an empty file");
    let header = file("EURUSD_header.csv", HEADER.as_bytes());
    refused(&["backtest", &header], 2, &format!("no quote and no trade in {header}").to_lowercase());
    let said = String::from_utf8_lossy(&pawl(&["backtest", &header]).stderr).into_owned();
    assert!(!said.contains("currencies"), "an empty file has none: {said}");
    // What comes out of a pipe cannot be read twice.
    let mut piped = Command::new(env!("CARGO_BIN_EXE_pawl"));
    let piped = piped.args(["backtest", "/dev/stdin"]).stdin(std::process::Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&piped.stderr);
    assert!(piped.status.code() == Some(1) && said.contains("expected a regular file"), "{said}");
    bad("EURUSD_blank.csv", b"\n\n\n", 1, "a known market-data format");
    bad("EURUSD_garbage.csv", &[0xfe, 0x00, 0x9b, 0x07].repeat(500), 1, "a known market-data format");
    bad("EURUSD_nul.csv", &[0; 5_000], 1, "a known market-data format");
    bad("EURUSD_utf16.csv", b"\xff\xfet\0s\0", 1, "a known market-data format");
    bad("garbage.bi5", &[7; 500], 1, "a path such as");
    bad("quotes.csv", format!("{HEADER}{ROW}").as_bytes(), 1, "pass --symbol");
    bad("EURUSD_bars.csv", b"ts_s,o,h,l,c\n1,1,1,1,1\n", 1, "hold no quotes");
    let wide = ",x".repeat(40);
    bad("EURUSD_wide.csv", format!("ts_ns,bid,ask{wide}\n").as_bytes(), 1, "at most 32 columns");
}

#[test]
fn every_bad_line_is_named_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    for (at, (line, expected)) in [
        ("1398902400292000001,-1.3,1.4\n", ":3: expected a price above 0, found \"-1.3\""),
        ("1398902400292000001,0,1.4\n", ":3: expected a price above 0, found \"0\""),
        ("1398902400292000001,abc,1.4\n", ":3: expected a price"),
        ("1398902400292000001,1.3\0,1.4\n", ":3: expected a price"),
        ("1398902400292000001,1e5,1.4\n", ":3: expected a price"),
        ("1398902400292000001,99999999999999999999,1.4\n", ":3: expected a price"),
        ("1398902400292000001,,1.4\n", ":3: expected a price"),
        ("-5,1.3,1.4\n", ":3: expected a time, found \"-5\""),
        ("99999999999999999999,1.3,1.4\n", ":3: expected a time"),
        ("4102444800000000000,1.3,1.4\n", ":3: expected a time before the year 2100"),
        ("1398902400292000001,1.3\n", ":3: expected 3 columns"),
        ("1398902400292000001,1.3,1.4,7\n", ":3: expected 3 columns"),
        (&format!("1398902400292000001,1.3,1.4{}\n", ",9".repeat(40)), ":3: expected 3 columns"),
        ("1398902400292000001,1.3,1.4", ":3: expected a line end"),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("{HEADER}{ROW}{line}");
        let file = write(folder.path(), &format!("EURUSD_{at}.csv"), text.as_bytes());
        refused(&["backtest", &file], 1, &expected.to_lowercase());
        let report = counted("EURUSD_x.csv", text.as_bytes(), &["--on-bad-line", "skip"]);
        assert_eq!((&report["bad_lines"], &report["feed"]["quotes"]), (&1.into(), &1.into()), "{line}");
    }
}

#[test]
fn a_file_without_a_line_end_needs_bounded_memory() {
    // 256 MB in a few hundred kilobytes: read whole, it would not fit the limit below.
    let folder = tempfile::tempdir().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("{HEADER}{ROW}").as_bytes()).unwrap();
    let block = vec![b'1'; 1 << 20];
    (0..256).for_each(|_| packed.write_all(&block).unwrap());
    let file = write(folder.path(), "EURUSD_long.csv.gz", &packed.finish().unwrap());
    let limited = format!("ulimit -v 200000; exec {} backtest {file}", env!("CARGO_BIN_EXE_pawl"));
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("line 3 of over 4 MiB"), "{error}");
}

#[test]
fn damaged_archives_are_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let bad = |name: &str, bytes: &[u8], expected: &str| {
        let file = write(folder.path(), name, bytes);
        refused(&["backtest", &file], 1, expected);
    };
    let (rows, deflated) = (many_rows(), zip::CompressionMethod::Deflated);
    let packed = gzip(&rows);
    bad("EURUSD_a.csv.gz", &packed[..packed.len() / 2], "truncated");
    bad("EURUSD_b.csv.gz", &packed[..packed.len() - 1], "truncated");
    bad("EURUSD_c.csv.gz", &packed[..5], "truncated");
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    bad("EURUSD_d.csv.gz", &flipped(&packed, packed.len() - 8), "damaged");
    let archive = zipped(&[("EURUSD.csv", &rows)], deflated);
    bad("EURUSD_a.zip", &archive[..archive.len() / 2], "cut short or damaged");
    bad("EURUSD_b.zip", &archive[..archive.len() - 1], "cut short or damaged");
    bad("EURUSD_c.zip", &archive[..10], "cut short or damaged");
    // A digit flipped in a stored entry is still a price: only the checksum tells.
    let stored = zipped(&[("EURUSD.csv", &rows)], zip::CompressionMethod::Stored);
    let digit = stored.windows(3).position(|three| three == b",1.").unwrap() + 3;
    bad("EURUSD_d.zip", &flipped(&stored, digit), "damaged: the checksum");
    bad("EURUSD_e.zip", &zipped(&[("a.csv", &rows), ("b.csv", &rows)], deflated), "found 2 of them");
    bad("EURUSD_f.zip", &zipped(&[], deflated), "found 0 of them");
    // Method 99 in the entry's local and central headers, and the encryption flag in both.
    let header = |at: usize, byte: u8| {
        let mut bytes = archive.clone();
        let central = bytes.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
        (bytes[at], bytes[central + at + 2]) = (byte, byte);
        bytes
    };
    bad("EURUSD_g.zip", &header(8, 12), "compression method");
    bad("EURUSD_h.zip", &header(6, 1), "encrypted");
}

#[test]
fn a_cut_or_damaged_hour_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hour = folder.path().join("EURUSD/2019/01/04");
    std::fs::create_dir_all(&hour).unwrap();
    let record = |millis: u32, bid: u32| {
        [millis, bid + 2, bid, 2.06f32.to_bits(), 1f32.to_bits()].map(u32::to_be_bytes).concat()
    };
    let pack = |plain: &[u8]| {
        let mut packed = Vec::new();
        lzma_rs::lzma_compress(&mut &plain[..], &mut packed).unwrap();
        packed
    };
    let good: Vec<u8> = (0..200).flat_map(|i| record(i * 1_000, 114_500 + i)).collect();
    let packed = pack(&good);
    let path = write(&hour, "07h_ticks.bi5", &packed[..packed.len() / 2]);
    refused(&["backtest", &path], 1, "an lzma hour of 20-byte records");
    write(&hour, "07h_ticks.bi5", &pack(&good[..good.len() - 7]));
    refused(&["backtest", &path], 1, "an lzma hour of 20-byte records");
    write(&hour, "07h_ticks.bi5", &pack(&[&good[..], &record(9_000_000, 114_500)].concat()));
    refused(&["backtest", &path], 1, ":201: expected milliseconds within the hour");
    let output = pawl(&["backtest", &path, "--on-bad-line", "skip", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["bad_lines"], &report["feed"]["quotes"]), (&1.into(), &200.into()));
    // 17 MiB of nothing: more than any hour holds.
    let mut bomb = Vec::new();
    lzma_rs::lzma_compress(&mut std::io::BufReader::new(std::io::Read::take(std::io::repeat(0), 17 << 20)), &mut bomb)
        .unwrap();
    write(&hour, "07h_ticks.bi5", &bomb);
    refused(&["backtest", &path], 1, "16 mib");
}

#[test]
fn what_other_systems_write_is_read() {
    let text = format!("{HEADER}{ROW}{ROW}");
    for (name, bytes) in [
        ("EURUSD_crlf.csv", text.replace('\n', "\r\n").into_bytes()),
        ("EURUSD_bom.csv", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("EURUSD_blank_lines.csv", text.replace('\n', "\n\n").into_bytes()),
        ("EURUSD_packed.csv.gz", gzip(text.trim_end().as_bytes())),
        ("EURUSD_packed.zip", zipped(&[("x.csv", text.as_bytes())], zip::CompressionMethod::Deflated)),
        ("EURUSD_report.zip", zipped(&[("x.txt", b"ok"), ("x.csv", text.as_bytes())], zip::CompressionMethod::Stored)),
    ] {
        let report = counted(name, &bytes, &[]);
        assert_eq!((&report["bad_lines"], &report["feed"]["quotes"]), (&0.into(), &2.into()), "{name}");
        assert_eq!(report["feed"]["duplicate"], 1, "{name}");
    }
}

#[test]
fn time_that_goes_backwards_is_counted() {
    let text = format!("{HEADER}{ROW}1398902400291000000,1.38676,1.38686\n1398902400293000000,1.38676,1.38686\n");
    let report = counted("EURUSD_back.csv", text.as_bytes(), &[]);
    assert_eq!((&report["feed"]["quotes"], &report["feed"]["out_of_order"]), (&3.into(), &1.into()));
    // Decades ahead, once: what follows is late, and the run ends at once all the same.
    let text = format!("{HEADER}{ROW}4102444799000000000,1.38676,1.38686\n1398902400293000000,1.38676,1.38686\n");
    let report = counted("EURUSD_future.csv", text.as_bytes(), &[]);
    assert_eq!((&report["feed"]["quotes"], &report["feed"]["out_of_order"]), (&3.into(), &1.into()));
}

/// Of each text format one good line, and the same with one field spoiled.
#[test]
fn bad_lines_of_every_text_format_are_reported_and_counted() {
    let coinbase = r#"1618677817.079694: {"type":"ticker","product_id":"BAND-GBP","best_bid":"14.7550","best_ask":"14.8060","time":"2021-04-17T16:43:30.244075Z"}"#;
    let binance = r#"1723161256207640365 {"stream":"btcusdt@bookTicker","data":{"s":"BTCUSDT","b":"61800.2","B":"1","a":"61800.3","A":"2","T":1723161257465}}"#;
    for (name, head, good, spoil) in [
        ("EURUSD_own.csv", HEADER, ROW.trim_end(), ("1.38676", "x")),
        ("x.csv", "", "EUR/USD,20160104 18:00:40.420,1.08196,1.082", ("1.082", "x")),
        ("EURUSD.csv", "", "20200101 170000065,1.121200,1.121720,0", ("1.121720", "x")),
        (
            "EURUSD.csv",
            "Gmt time,Ask,Bid,AskVolume,BidVolume\n",
            "04.02.2019 00:00:00.994,1.14545,1.14543,1,2.06",
            (".2019", "/2019"),
        ),
        ("BTCUSDT.csv", "", "28457,4261.48,0.1,426.1,1502942432285,True,True", ("True", "maybe")),
        ("BTCUSDT.csv", "", "26129,4261.48,0.1,27781,27781,1502942432285,False,True", ("0.1", "-0.1")),
        (
            "x.csv",
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n",
            "binance-futures,BTCUSDT,1582329601096000,1582329603502092,0.84,9682,9681.92,0.67",
            ("BTCUSDT", "B T"),
        ),
        (
            "BTCUSDT.csv",
            "ev,exch_ts,local_ts,px,qty,order_id,ival,fval\n",
            "3758096386,1582329601096000000,1582329603502092000,9682,0.5,0,0,0.0",
            ("3758096386", "trade"),
        ),
        ("x.txt", "", binance, ("61800.2", "-1")),
        ("x.txt", "", coinbase, ("14.7550", "x")),
    ] {
        let spoiled = good.replace(spoil.0, spoil.1);
        assert_ne!(spoiled, good);
        let text = format!("{head}{good}\n{spoiled}\n{good}\n");
        let line = 2 + head.lines().count();
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), name, text.as_bytes());
        refused(&["backtest", &file], 1, &format!("{name}:{line}: expected ").to_lowercase());
        let output = pawl(&["backtest", &file, "--on-bad-line", "skip"]);
        let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{good}: {noted}");
        assert!(said.contains("bad lines 1"), "{said}");
        assert!(
            noted.contains("1 bad lines skipped") && noted.contains(&format!("{name}:{line}: expected ")),
            "{noted}"
        );
        let report = counted(name, text.as_bytes(), &["--on-bad-line", "skip"]);
        let seen = report["feed"]["quotes"].as_u64().unwrap() + report["feed"]["trades"].as_u64().unwrap();
        assert_eq!(seen, 2, "{good}");
    }
}

#[test]
fn a_file_of_several_symbols_is_several_instruments() {
    let instruments = |name: &str, text: &str| {
        let report = counted(name, text.as_bytes(), &[]);
        let list = report["instruments"].as_array().unwrap();
        list.iter().map(|one| one["symbol"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let truefx = "EUR/USD,20160104 18:00:40.420,1.08196,1.082\nUSD/JPY,20160104 18:00:40.500,119.456,119.46\n";
    assert_eq!(instruments("x.csv", truefx), ["EURUSD", "USDJPY"]);
    let head = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n";
    let row = |exchange: &str, symbol: &str| {
        format!("{exchange},{symbol},1582329602111000,1582329602418379,1,buy,9682,0.1\n")
    };
    let one = format!("{head}{}{}", row("binance-futures", "BTCUSDT"), row("binance-futures", "ETHUSDT"));
    assert_eq!(instruments("x.csv", &one), ["BTCUSDT", "ETHUSDT"]);
    let two = format!("{head}{}{}", row("binance-futures", "BTCUSDT"), row("bybit", "BTCUSDT"));
    assert_eq!(instruments("x.csv", &two), ["BINANCE-FUTURES/BTCUSDT", "BYBIT/BTCUSDT"]);
}

#[test]
fn skipped_lines_are_counted() {
    let text = format!("{HEADER}{ROW}1398902400292000001,abc,1.4\n{ROW}");
    let report = counted("EURUSD_x.csv", text.as_bytes(), &["--on-bad-line", "skip"]);
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
    refused(&["backtest", &good, "--threshold", "5", "--no-gate"], 2, "threshold");
    for speed in ["1e-300x", "0x", "NaNx", "fast"] {
        refused(&["replay", &good, "--speed", speed], 2, "expected 1x, 10x or max");
    }
    refused(&["replay", &good, "--from", "2024-08-08-99"], 2, "expected #input, a utc time");
    refused(&["replay", &folder.path().display().to_string()], 1, "session.toml");
    refused(&["backtest"], 2, "usage");
}

//! Whatever bytes a file holds, reading it ends: with rows, or with one error. A file cut anywhere
//! yields rows that were in it, in their order, and never one that was not.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use pawl::core::{Event, Nanos};
use pawl::data::{Format, OnBadLine, Options, Source, survey};
use proptest::prelude::*;

/// A small valid file of each format: its name, its bytes.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let own = "ts_ns,bid,ask\n1398902400292000000,1.38676,1.38686\n1398902400293000000,1.38677,1.38687\n";
    let texts = [
        ("EURUSD_own.csv", own),
        (
            "EURUSD_bars.csv",
            "ts_s,bid_o,bid_h,bid_l,bid_c,ask_o,ask_h,ask_l,ask_c\n1398902400,1.1,1.4,1.1,1.3,1.2,1.5,1.2,1.4\n",
        ),
        ("truefx.csv", "EUR/USD,20160104 18:00:40.420,1.08196,1.082\nUSD/JPY,20160104 18:00:40.500,119.456,119.46\n"),
        ("EURUSD_hd.csv", "20200101 170000065,1.121200,1.121720,0\n20200101 170010447,1.121200,1.121920,0\n"),
        ("EURUSD_d.csv", "Gmt time,Ask,Bid,AskVolume,BidVolume\n04.02.2019 00:00:00.994,1.14545,1.14543,1,2.06\n"),
        (
            "BTCUSDT_t.csv",
            "28457,4261.48,0.1,426.1,1502942432285,True,True\n28458,4261.49,0.2,852.2,1502942432286,False,True\n",
        ),
        (
            "BTCUSDT_a.csv",
            "26129,4261.48,0.1,27781,27781,1502942432285,False,True\n26130,4261.5,2,27782,27783,1502942432289,True,True\n",
        ),
        (
            "tardis.csv",
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\nbinance,BTCUSDT,1582329601096000,1582329603502092,0.84,9682,9681.92,0.67\n",
        ),
        (
            "BTCUSDT_e.csv",
            "ev,exch_ts,local_ts,px,qty\n3758096389,1582329601096000000,1582329603502092000,9681,0.5\n3489660933,1582329601097000000,1582329603503092000,9682,0.25\n3758096386,1582329601098000000,1582329603504092000,9682,0.125\n",
        ),
        (
            "b.txt",
            "1723161256207640365 {\"stream\":\"btcusdt@bookTicker\",\"data\":{\"s\":\"BTCUSDT\",\"b\":\"61800.2\",\"B\":\"1\",\"a\":\"61800.3\",\"A\":\"2\",\"T\":1723161257465}}\n",
        ),
        (
            "c.txt",
            "1618677817.12: {\"type\":\"match\",\"trade_id\":280232,\"side\":\"sell\",\"size\":\"985\",\"price\":\"0.00001305\",\"product_id\":\"SKL-BTC\",\"time\":\"2021-04-17T16:43:37.089723Z\"}\n",
        ),
    ];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(own.as_bytes()).unwrap();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("EURUSD.csv", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(own.as_bytes()).unwrap();
    let hour: Vec<u8> = (1..20u32)
        .flat_map(|i| {
            [i * 1_000, 114_545 + i, 114_543 + i, 1f32.to_bits(), 2.06f32.to_bits()].map(u32::to_be_bytes).concat()
        })
        .collect();
    let mut native = Vec::new();
    lzma_rs::lzma_compress(&mut &hour[..], &mut native).unwrap();
    let texts = texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec()));
    texts
        .chain([
            ("EURUSD_own.csv.gz", packed.finish().unwrap()),
            ("EURUSD_own.zip", archive.finish().unwrap().into_inner()),
            ("EURUSD/2019/01/04/07h_ticks.bi5", native),
        ])
        .collect()
}

/// What an event says, with its instrument by name.
type Said = (String, Nanos, Nanos, [u64; 4]);

/// The events up to the end or the error, if the file can be opened at all.
fn read(path: &Path, format: Option<Format>, on_bad_line: OnBadLine) -> Vec<Said> {
    let options = Options { format, on_bad_line, ..Options::default() };
    let paths = [PathBuf::from(path)];
    let Ok(found) = survey(&paths, &options) else { return Vec::new() };
    let symbols: Vec<String> = found.into_iter().map(|found| found.symbol).collect();
    let Ok(mut source) = Source::open(&paths, &options, &symbols) else { return Vec::new() };
    let events = std::iter::from_fn(|| source.next_event()).map_while(Result::ok);
    let said = |e: Event| (symbols[e.instrument.index()].clone(), e.local_ns, e.venue_ns, e.payload);
    events.map(said).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_file_cut_at_any_byte_yields_only_rows_that_were_in_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in samples() {
        let whole = read(&write(folder.path(), name, &bytes), None, OnBadLine::Stop);
        assert!(!whole.is_empty(), "{name}");
        for cut in 0..bytes.len() {
            let path = write(folder.path(), name, &bytes[..cut]);
            for mode in [OnBadLine::Stop, OnBadLine::Skip] {
                let part = read(&path, None, mode);
                assert!(whole.starts_with(&part), "{name} cut at {cut}: {part:?}");
            }
        }
    }
}

/// A sample with some bytes put in the place of others.
fn spoiled() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let samples = samples();
    let spoil = (0..samples.len(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..12), 0..12usize);
    spoil.prop_map(move |(sample, at, bytes, removed)| {
        let mut spoiled = samples[sample].1.clone();
        let at = at.index(spoiled.len());
        let end = (at + removed).min(spoiled.len());
        spoiled.splice(at..end, bytes);
        (sample, spoiled)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn spoiled_files_never_panic((sample, bytes) in spoiled()) {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), samples()[sample].0, &bytes);
        read(&path, None, OnBadLine::Skip);
        read(&path, None, OnBadLine::Stop);
    }

    #[test]
    fn any_bytes_in_any_format_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "EURUSD/2019/01/04/07h_ticks.bi5", &bytes);
        for format in Format::value_variants() {
            read(&path, Some(*format), OnBadLine::Skip);
        }
    }

    #[test]
    fn any_text_in_any_format_never_panics(text in "[0-9a-zA-Z.,:;{}\" /\\-\n]{0,200}") {
        let folder = tempfile::tempdir().unwrap();
        let headed = [b"ts_ns,bid,ask,symbol\n", text.as_bytes(), b"\n"].concat();
        let path = write(folder.path(), "EURUSD.csv", &headed);
        for format in Format::value_variants() {
            read(&path, Some(*format), OnBadLine::Skip);
        }
    }
}

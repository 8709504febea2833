//! Real files: what pawl reads from each is what another program counted in it, and the same market
//! read two ways is the same market.
//!
//! `oracles/market_data.csv` was written by `oracles/count_market_data.py`, which shares no code with
//! pawl. Each file is read once for all its counts.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pawl::core::{Event, EventKind, InstrumentId};
use pawl::data::{Options, Source, survey};
use pawl::feed::{Feed, FeedCounters, FeedParams};

const TABLE: &str = include_str!("oracles/market_data.csv");

/// Symbols, quotes, trades, crossed, locked, duplicate, out of order, not positive.
type Counts = [u64; 8];

fn table() -> BTreeMap<&'static str, Counts> {
    let line = |line: &'static str| {
        let mut columns = line.split(',');
        let file = columns.next().unwrap();
        let counts: Vec<u64> = columns.map(|text| text.parse().unwrap()).collect();
        (file, counts.try_into().unwrap())
    };
    TABLE.lines().skip(1).map(line).collect()
}

fn options(file: &Path) -> Options {
    // Neither its lines nor its name tell: the README says HistData EURUSD.
    let named = file.ends_with("quote_tick_data.csv.gz");
    Options { symbol: named.then(|| "EURUSD".to_owned()), ..Options::default() }
}

fn open(paths: &[PathBuf]) -> (Source, Vec<String>) {
    let options = options(&paths[0]);
    let symbols: Vec<String> = survey(paths, &options).unwrap().into_iter().map(|found| found.symbol).collect();
    (Source::open(paths, &options, &symbols).unwrap(), symbols)
}

fn events(paths: &[PathBuf]) -> Vec<Event> {
    let (mut source, _) = open(paths);
    std::iter::from_fn(|| source.next_event()).collect::<Result<_, _>>().unwrap()
}

fn count(path: PathBuf) -> Counts {
    let (mut source, symbols) = open(&[path]);
    let mut feed = Feed::new(&FeedParams::default(), symbols.len());
    while let Some(event) = source.next_event() {
        let _ = feed.on_event(&event.unwrap());
    }
    assert_eq!(source.bad_lines(), 0);
    let counters = (0..symbols.len()).map(|id| feed.counters(InstrumentId(id as u16)).unwrap());
    let sum = |field: fn(&FeedCounters) -> u64| counters.clone().map(field).sum();
    [
        symbols.len() as u64,
        sum(|c| c.quotes),
        sum(|c| c.trades),
        sum(|c| c.crossed),
        sum(|c| c.locked),
        sum(|c| c.duplicate),
        sum(|c| c.out_of_order),
        sum(|c| c.not_positive),
    ]
}

/// Every file of a folder is what the other program counted.
fn compare(folder: &str) {
    let Some(root) = common::shared_data() else { return };
    let mut compared = 0;
    for (file, counts) in table().into_iter().filter(|(file, _)| file.starts_with(folder)) {
        assert_eq!(count(root.join(file)), counts, "{file}");
        compared += 1;
    }
    assert!(compared > 0, "no file of {folder} in the table");
}

#[test]
fn fx_ticks_are_what_another_program_counts() {
    compare("fx_ticks/");
}

#[test]
fn minute_bars_are_what_another_program_counts() {
    compare("bars_m1/");
}

#[test]
fn crypto_ticks_are_what_another_program_counts() {
    compare("crypto_ticks/");
}

#[test]
fn captures_are_what_another_program_counts() {
    compare("crypto_raw/");
}

#[test]
fn originals_are_what_another_program_counts() {
    compare("original/");
}

/// Files that hold neither quotes nor trades in a format of pawl: LEAN zips (milliseconds of a day
/// that only the name tells), Parquet, bars of one side or of trades.
#[test]
fn every_other_file_is_refused_with_a_reason() {
    let Some(root) = common::shared_data() else { return };
    let (known, mut folders, mut refused) = (table(), vec![root.clone()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !known.contains_key(name.as_str()) && path.extension().is_none_or(|end| end != "md") {
                let error = survey(&[path], &Options::default()).expect_err(&name).to_string();
                assert!(error.contains("expected") && error.contains("found"), "{error}");
                refused.insert(name);
            }
        }
    }
    let of = |part: &str| refused.iter().filter(|name| name.contains(part)).count();
    let expected = of("original/lean/") + of("M1trade") + of("M1bid") + of("m1") + of("M1_2023") + of("parquet");
    assert!(refused.len() <= expected, "{refused:?}");
}

#[test]
fn native_hours_are_the_day_of_the_csv_with_its_sizes() {
    let Some(root) = common::shared_data() else { return };
    let hours: Vec<PathBuf> =
        (0..24).map(|hour| root.join(format!("original/dukascopy/EURUSD/2019/01/04/{hour:02}h_ticks.bi5"))).collect();
    let (native, text) = (events(&hours), events(&[root.join("fx_ticks/EURUSD_dukascopy_20190204.csv.gz")]));
    assert_eq!((native.len(), text.len()), (136_741, 136_741));
    assert!(
        native.iter().map(|event| (event.local_ns, event.payload)).eq(text.iter().map(|e| (e.local_ns, e.payload)))
    );
    // The CSV's first line: 2.06 and 1 million are 20.6 and 10 lots of 100,000.
    assert_eq!(text[0].payload[2..], [2_060_000_000, 1_000_000_000]);
}

#[test]
fn a_capture_is_its_csv() {
    let Some(root) = common::shared_data() else { return };
    for series in ["usdm_btcusdt_20240808", "usdm_btcusdt_20230404", "spot_ethusdt_20240808", "cm_btcusd_perp_20240808"]
    {
        let raw = events(&[root.join(format!("crypto_raw/binance_{series}.gz"))]);
        for (kind, name) in [(EventKind::Quote, "quotes"), (EventKind::Trade, "trades")] {
            let text = events(&[root.join(format!("crypto_ticks/binance_{series}_{name}.csv.gz"))]);
            assert!(raw.iter().filter(|event| event.kind == kind).eq(text.iter()), "{series} {name}");
        }
    }
}

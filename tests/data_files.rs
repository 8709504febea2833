//! Real files: every row is read, and the same market read two ways is the same market.

use std::path::PathBuf;

use pawl::core::{Event, EventKind};
use pawl::data::{Options, Source, survey};

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("PAWL_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from)
        .join("data");
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("SKIPPED: no shared market data; set PAWL_SHARED");
    None
}

fn events(paths: &[PathBuf]) -> Vec<Event> {
    let options = Options::default();
    let symbols: Vec<String> = survey(paths, &options).unwrap().into_iter().map(|found| found.symbol).collect();
    let mut source = Source::open(paths, &options, &symbols).unwrap();
    std::iter::from_fn(|| source.next_event()).collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_row_is_read() {
    let Some(root) = shared() else { return };
    for (file, rows) in [
        ("fx_ticks/EURUSD_fxcm_20140501-20140509.csv.gz", 675_401),
        ("fx_ticks/NZDUSD_oanda_20140501-20140509.csv.gz", 274_268),
        ("fx_ticks/EURUSD_truefx_20160104-20160106.csv.gz", 205_129),
        ("crypto_ticks/binance_usdm_btcusdt_20240808_quotes.csv.gz", 66_089),
        ("bars_m1/EURUSD_oanda_M1quote_20140501-20140509.csv.gz", 4 * 9_552),
    ] {
        assert_eq!(events(&[root.join(file)]).len(), rows, "{file}");
    }
}

#[test]
fn native_hours_are_the_day_of_the_csv() {
    let Some(root) = shared() else { return };
    let hours: Vec<PathBuf> =
        (0..24).map(|hour| root.join(format!("original/dukascopy/EURUSD/2019/01/04/{hour:02}h_ticks.bi5"))).collect();
    let (native, text) = (events(&hours), events(&[root.join("fx_ticks/EURUSD_dukascopy_20190204.csv.gz")]));
    assert_eq!((native.len(), text.len()), (136_741, 136_741));
    let key = |event: &Event| (event.local_ns, event.payload[0], event.payload[1]);
    assert!(native.iter().map(key).eq(text.iter().map(key)));
}

#[test]
fn a_capture_is_its_csv() {
    let Some(root) = shared() else { return };
    let raw = events(&[root.join("crypto_raw/binance_usdm_btcusdt_20240808.gz")]);
    for (kind, name) in [(EventKind::Quote, "quotes"), (EventKind::Trade, "trades")] {
        let text = events(&[root.join(format!("crypto_ticks/binance_usdm_btcusdt_20240808_{name}.csv.gz"))]);
        assert!(raw.iter().filter(|event| event.kind == kind).eq(text.iter()), "{name}");
    }
}

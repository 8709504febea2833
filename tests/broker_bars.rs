//! Bars built from broker ticks equal the broker's own minute bars, in all eight fields.

mod common;

use std::io::Read;
use std::path::Path;

use pawl::core::{Nanos, Price, Span};
use pawl::feed::bars::{Bar, BarBuilder};

fn lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

fn fields(bar: &Bar) -> [Price; 8] {
    [bar.bid.open, bar.bid.high, bar.bid.low, bar.bid.close, bar.ask.open, bar.ask.high, bar.ask.low, bar.ask.close]
}

#[test]
fn every_minute_equals_the_brokers_own() {
    let Some(data) = common::shared_data() else { return };
    let mut equal = 0;
    for series in ["EURUSD_fxcm", "NZDUSD_fxcm", "EURUSD_oanda", "NZDUSD_oanda"] {
        let mut bars = BarBuilder::new(Span::seconds(60));
        let mut built = Vec::new();
        for line in lines(&data.join(format!("fx_ticks/{series}_20140501-20140509.csv.gz"))) {
            let columns: Vec<&str> = line.split(',').collect();
            let now = Nanos(columns[0].parse().unwrap());
            while let Some(bar) = bars.roll(now) {
                built.push(bar);
            }
            // Crossed ticks included: the broker's bars hold them too.
            bars.on_quote(columns[1].parse().unwrap(), columns[2].parse().unwrap());
        }
        built.extend(bars.roll(Nanos::MAX));
        // The broker has no bar for a minute without a tick.
        let mut built = built.iter().filter(|bar| bar.ticks > 0);
        for line in lines(&data.join(format!("bars_m1/{series}_M1quote_20140501-20140509.csv.gz"))) {
            let columns: Vec<&str> = line.split(',').collect();
            let bar = built.next().expect("as many bars as the broker's");
            assert_eq!(bar.open_ns.0, columns[0].parse::<u64>().unwrap() * 1_000_000_000, "{series}");
            let golden: Vec<Price> = columns[1..9].iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(fields(bar)[..], golden[..], "{series} {line}");
            equal += 1;
        }
        assert!(built.next().is_none(), "{series}: more bars than the broker's");
    }
    assert_eq!(equal, 38_461);
}

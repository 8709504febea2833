//! What one line of each format means: instrument, times, prices, sizes, side.

use std::path::PathBuf;

use pawl::core::payload::{Payload, Quote, Trade};
use pawl::core::{EventKind, Side};
use pawl::data::{Options, Source, survey};

/// The events of a file as `instrument venue_ns local_ns quote bid ask bid_qty ask_qty`, or
/// `... trade price qty id side`.
fn said(name: &str, text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let paths = [PathBuf::from(folder.path()).join(name)];
    std::fs::write(&paths[0], text).unwrap();
    let options = Options::default();
    let symbols: Vec<String> = survey(&paths, &options).unwrap().into_iter().map(|found| found.symbol).collect();
    let mut source = Source::open(&paths, &options, &symbols).unwrap();
    let events = std::iter::from_fn(|| source.next_event()).map(Result::unwrap);
    let say = |event: pawl::core::Event| {
        let head = format!("{} {} {}", symbols[event.instrument.index()], event.venue_ns.0, event.local_ns.0);
        if event.kind == EventKind::Trade {
            let Trade { price, qty, trade_id } = Trade::of(&event);
            let side = Side::from_flags(event.flags).map_or("unknown", Side::name);
            format!("{head} trade {price} {qty} {trade_id} {side}")
        } else {
            let Quote { bid, ask, bid_qty, ask_qty } = Quote::of(&event);
            format!("{head} quote {bid} {ask} {bid_qty} {ask_qty}")
        }
    };
    events.map(say).collect()
}

#[test]
fn the_own_csv() {
    let text = "ts_ns,bid,ask,bid_qty,ask_qty\n1398902400292000000,1.38676,1.38686,10,12.5\n";
    let expected = "EURUSD 1398902400292000000 1398902400292000000 quote 1.38676 1.38686 10 12.5";
    assert_eq!(said("EURUSD.csv", text), [expected]);
}

#[test]
fn the_lines_name_the_instrument() {
    let text = "EUR/USD,20160104 18:00:40.420,1.08196,1.082\nUSD/JPY,20160104 18:00:40.420,119.456,119.46\n";
    assert_eq!(
        said("GBPUSD.csv", text),
        [
            "EURUSD 1451930440420000000 1451930440420000000 quote 1.08196 1.082 0 0",
            "USDJPY 1451930440420000000 1451930440420000000 quote 119.456 119.46 0 0",
        ]
    );
}

#[test]
fn tardis_quotes_and_trades() {
    let text = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\nbinance-futures,BTCUSDT,1582329601096000,1582329603502092,0.84,9682,9681.92,0.67\n";
    let expected = "BTCUSDT 1582329601096000000 1582329603502092000 quote 9681.92 9682 0.67 0.84";
    assert_eq!(said("quotes.csv", text), [expected]);
    let text = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nbitmex,XBTUSD,1582329602111000,1582329602418379,42377944,sell,9682,132\nbitmex,XBTUSD,1582329602111000,1582329602418379,,unknown,9682,132\n";
    assert_eq!(
        said("trades.csv", text),
        [
            "XBTUSD 1582329602111000000 1582329602418379000 trade 9682 132 42377944 sell",
            "XBTUSD 1582329602111000000 1582329602418379000 trade 9682 132 0 unknown",
        ]
    );
}

/// Flags as hftbacktest's constants: EXCH 1<<31, LOCAL 1<<30, BUY 1<<29, SELL 1<<28; depth 1, trade 2,
/// best prices 5.
#[test]
fn hftbacktest_events() {
    let seen = 3u64 << 30;
    let (buy, sell) = (1u64 << 29, 1u64 << 28);
    let rows = [
        (seen | buy | 1, "9680", "7"),
        (seen | buy | 5, "9681", "0.5"),
        (seen | sell | 5, "9682", "0.25"),
        (seen | buy | 2, "9682", "0.125"),
        // The exchange's half of an event whose local half is a row of its own.
        (1 << 31 | sell | 2, "9681", "3"),
        (seen | buy | 5, "9681.5", "1"),
    ];
    let row =
        |(ev, px, qty): (u64, &str, &str)| format!("{ev},1582329601096000000,1582329603502092000,{px},{qty},0,0,0.0\n");
    let text: String =
        ["ev,exch_ts,local_ts,px,qty,order_id,ival,fval\n".to_owned()].into_iter().chain(rows.map(row)).collect();
    let head = "BTCUSDT 1582329601096000000 1582329603502092000";
    assert_eq!(
        said("BTCUSDT_events.csv", &text),
        [
            format!("{head} quote 9681 9682 0.5 0.25"),
            format!("{head} trade 9682 0.125 0 buy"),
            format!("{head} quote 9681.5 9682 1 0.25"),
        ]
    );
    let text =
        "exch_ts,local_ts,bid_px,bid_qty,ask_px,ask_qty\n1582329601096000000,1582329603502092000,9681,0.5,9682,0.25\n";
    assert_eq!(said("BTCUSDT_quotes.csv", text), [format!("{head} quote 9681 9682 0.5 0.25")]);
}

#[test]
fn dukascopy_volumes_are_millions_and_become_lots() {
    let header = "Gmt time,Ask,Bid,AskVolume,BidVolume\n";
    let row = "04.02.2019 00:00:00.994,1.14545,1.14543,1,2.06\n";
    let expected = "EURUSD 1549238400994000000 1549238400994000000 quote 1.14543 1.14545 20.6 10";
    assert_eq!(said("EURUSD.csv", &format!("{header}{row}")), [expected]);
    let row = "04.02.2019 00:00:00.994,1316.5,1316.2,0.00015,0.0003\n";
    let expected = "XAUUSD 1549238400994000000 1549238400994000000 quote 1316.2 1316.5 3 1.5";
    assert_eq!(said("XAUUSD.csv", &format!("{header}{row}")), [expected]);
}

#[test]
fn binance_public_data() {
    let text = "28457,4261.48,0.1,426.1,1502942432285,True,True\n";
    let expected = "BTCUSDT 1502942432285000000 1502942432285000000 trade 4261.48 0.1 28457 sell";
    assert_eq!(said("BTCUSDT-trades-2017-08.csv", text), [expected]);
    let text = "26129,4261.48,0.1,27781,27781,1502942432285123,False,True\n";
    let expected = "BTCUSDT 1502942432285123000 1502942432285123000 trade 4261.48 0.1 26129 buy";
    assert_eq!(said("BTCUSDT-aggTrades-2025-01.csv", text), [expected]);
    let text = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n1,27000.1,2,27000.2,3,1682899200010,1682899200015\n";
    let expected = "BTCUSDT 1682899200010000000 1682899200010000000 quote 27000.1 27000.2 2 3";
    assert_eq!(said("BTCUSDT-bookTicker-2023-05.csv", text), [expected]);
}

#[test]
fn captures_as_received() {
    let text = concat!(
        "1723161256207640365 {\"stream\":\"btcusdt@aggTrade\",\"data\":{\"e\":\"aggTrade\",\"s\":\"BTCUSDT\",\"a\":77,\"p\":\"61800.2\",\"q\":\"0.5\",\"T\":1723161257465,\"m\":true}}\n",
        "1723161256207640366 {\"stream\":\"btcusdt@depth@0ms\",\"data\":{}}\n",
    );
    let expected = "BTCUSDT 1723161257465000000 1723161256207640365 trade 61800.2 0.5 77 sell";
    assert_eq!(said("x.txt", text), [expected]);
    // The maker sold: the aggressor bought.
    let text = concat!(
        "wss://ws-feed.pro.coinbase.com <-> 1618677816.8434298\n",
        "1618677817.1295161: {\"type\":\"match\",\"trade_id\":280232,\"side\":\"sell\",\"size\":\"985\",\"price\":\"0.00001305\",\"product_id\":\"SKL-BTC\",\"time\":\"2021-04-17T16:43:37.089723Z\"}\n",
        "1618677817.13: {\"type\":\"last_match\",\"trade_id\":1}\n",
        "1618677817.2: {\"type\":\"ticker\",\"product_id\":\"SKL-BTC\",\"price\":\"0.00001305\",\"best_bid\":\"0.00001300\",\"best_ask\":\"0.00001306\",\"side\":\"buy\",\"time\":\"2021-04-17T16:43:37.089723Z\"}\n",
    );
    assert_eq!(
        said("x.txt", text),
        [
            "SKL-BTC 1618677817089723000 1618677817129516100 trade 0.00001305 985 280232 buy",
            "SKL-BTC 1618677817089723000 1618677817200000000 quote 0.000013 0.00001306 0 0",
        ]
    );
}

//! The market may come from a data file or a journal: the same quotes, at their own distances.

use std::path::Path;

use pawl::core::payload::Quote;
use pawl::core::{ContractKind, EventKind, InstrumentId, InstrumentSpec, Money, Nanos, Payload, Price, Qty};
use pawl::data::Options;
use pawl::journal::{FORMAT_VERSION, SessionInfo, SessionWriter, WriterOptions};
use pawl::venue::server::Feed;

use crate::client::{Venue, params};

/// Bid and ask in ticks of 0.1, a second apart.
const QUOTES: [(i64, i64); 4] = [(500_000, 500_010), (500_020, 500_030), (499_000, 499_020), (501_230, 501_240)];
const START: u64 = 1_700_000_000_000_000_000;

fn at(index: usize) -> Nanos {
    Nanos(START + index as u64 * 1_000_000_000)
}

fn write_file(path: &Path) {
    let row = |(index, (bid, ask)): (usize, &(i64, i64))| {
        format!("{},{}.{},1.5,{}.{},2.5\n", at(index).0, bid / 10, bid % 10, ask / 10, ask % 10)
    };
    let rows: Vec<String> = QUOTES.iter().enumerate().map(row).collect();
    std::fs::write(path, format!("ts_recv_ns,bid,bid_qty,ask,ask_qty\n{}", rows.concat())).unwrap();
}

fn write_journal(folder: &Path) {
    let tick = Price::from_units(10_000_000);
    let spec = InstrumentSpec {
        symbol: "BTCUSDT".into(),
        tick_size: tick,
        lot_step: Qty::from_units(10_000_000),
        min_lot: Qty::from_units(10_000_000),
        max_lot: Qty::whole(100),
        point_size: tick,
        point_value: Money::from_units(tick.units()),
        currency: "USDT".into(),
        contract: ContractKind::Linear,
    };
    let info = SessionInfo { version: FORMAT_VERSION, instruments: vec![spec], ..SessionInfo::default() };
    let mut writer = SessionWriter::create(folder, &info, &WriterOptions::default()).unwrap();
    for (index, (bid, ask)) in QUOTES.iter().enumerate() {
        let quote = Quote {
            bid: Price::from_units(bid * 10_000_000),
            ask: Price::from_units(ask * 10_000_000),
            bid_qty: "1.5".parse().unwrap(),
            ask_qty: "2.5".parse().unwrap(),
        };
        let event = quote.event(EventKind::Quote, InstrumentId(0), at(index), at(index));
        writer.input.append(&event.sealed(index as u64 + 1)).unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn a_file_and_a_journal_are_markets_to_trade_in() {
    let folder = tempfile::tempdir().unwrap();
    let (file, journal) = (folder.path().join("BTCUSDT.csv"), folder.path().join("session"));
    write_file(&file);
    write_journal(&journal);
    // At a thousandth of the speed only the first quote has come; at a million times all have.
    for (speed, (bid, ask)) in [(0.001, QUOTES[0]), (1e6, QUOTES[3])] {
        let feeds = [
            Feed::files(std::slice::from_ref(&file), &Options::default(), speed).unwrap(),
            Feed::journal(&journal, speed).unwrap(),
        ];
        for (feed, symbols) in feeds {
            assert_eq!((symbols[0].base.as_str(), symbols[0].quote.as_str()), ("BTC", "USDT"));
            let venue = Venue::open(&params(), feed, symbols);
            let wanted = (bid as f64 / 10.0, ask as f64 / 10.0);
            while venue.touch() != wanted {}
            let (status, bought) = venue.order("side=BUY&type=MARKET&quantity=0.5");
            assert_eq!(status, 200, "{bought}");
            assert_eq!(bought["fills"][0]["price"], format!("{:.8}", wanted.1));
        }
    }
}

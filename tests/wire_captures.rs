//! Every line of the recorded captures through the hot scanner, the full parser and the reader of data
//! files: the same events, or refused by all.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use common::shared_data;
use flate2::read::MultiGzDecoder;
use pawl::core::payload::{Payload, Quote, Trade};
use pawl::core::{EventKind, Flags, Nanos};
use pawl::data::{Options, Source, survey};
use pawl::venue::binance::full::{self, TextFrame};
use pawl::venue::binance::message::MarketMessage;
use pawl::venue::binance::scan::scan;

/// What one capture held.
#[derive(Default, Debug)]
struct Tally {
    lines: u64,
    scanned: u64,
    parsed_only: u64,
    other: u64,
}

/// The JSON of a line and when it was received, as hftbacktest and cryptofeed record it.
fn frame(line: &str) -> Option<&str> {
    let (stamp, json) = line.split_once(' ')?;
    let stamp = stamp.strip_suffix(':').unwrap_or(stamp);
    (stamp.parse::<f64>().is_ok() && json.starts_with('{')).then_some(json)
}

/// What makes an event, apart from its receive time.
type Row = (String, EventKind, Nanos, [u64; 4], Flags);

fn row(message: &MarketMessage<'_>) -> Row {
    let name = |symbol: &[u8]| String::from_utf8(symbol.to_vec()).unwrap();
    match message {
        MarketMessage::Quote(quote) => {
            (name(quote.symbol), EventKind::Quote, quote.venue, quote.quote.to_words(), Flags::NONE)
        }
        MarketMessage::Trade(trade) => {
            let side = if trade.buyer_is_maker { Flags::SELL } else { Flags::BUY };
            (name(trade.symbol), EventKind::Trade, trade.venue, trade.trade.to_words(), side)
        }
    }
}

fn compare(path: &PathBuf) -> Tally {
    let options = Options::default();
    let symbols: Vec<String> = survey(std::slice::from_ref(path), &options)
        .map(|found| found.into_iter().map(|seen| seen.symbol).collect())
        .unwrap_or_default();
    let mut reader = Source::open(std::slice::from_ref(path), &options, &symbols).ok();
    let file = BufReader::new(MultiGzDecoder::new(std::fs::File::open(path).unwrap()));
    let mut tally = Tally::default();
    for line in file.lines().map(Result::unwrap) {
        let Some(json) = frame(&line) else { continue };
        tally.lines += 1;
        let (fast, slow) = (scan(json.as_bytes()), full::parse(json.as_bytes()));
        if let Some(message) = &fast {
            assert_eq!(slow, Ok(TextFrame::Market(*message)), "{json}");
        }
        // The two hot messages must take the fast path, or it is none.
        let hot = json.contains("@bookTicker\"") || json.contains("@trade\"") || json.contains("@aggTrade\"");
        assert_eq!(fast.is_some(), hot, "{json}");
        match slow.unwrap() {
            TextFrame::Market(message) => {
                tally.scanned += u64::from(fast.is_some());
                tally.parsed_only += u64::from(fast.is_none());
                let Some(reader) = &mut reader else { continue };
                let event = reader.next_event().unwrap().unwrap();
                let read = (
                    symbols[event.instrument.index()].clone(),
                    event.kind,
                    event.venue_ns,
                    match event.kind {
                        EventKind::Quote => Quote::of(&event).to_words(),
                        _ => Trade::of(&event).to_words(),
                    },
                    event.flags,
                );
                assert_eq!(row(&message), read, "{json}");
            }
            _ => tally.other += 1,
        }
    }
    if let Some(mut reader) = reader {
        assert!(reader.next_event().is_none(), "{}: the reader of data files saw more", path.display());
    }
    tally
}

#[test]
fn every_captured_frame_reads_the_same_by_every_reader() {
    let Some(data) = shared_data() else { return };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(data.join("crypto_raw")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut total = BTreeMap::new();
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        // Another venue's frames: only refused, or nothing of ours.
        if name.contains("COINBASE") {
            continue;
        }
        let tally = compare(path);
        eprintln!("{name}: {tally:?}");
        assert!(tally.lines > 0 && tally.parsed_only == 0, "{name}");
        total.insert(name.to_owned(), tally);
    }
    let frames: u64 = total.values().map(|tally| tally.lines).sum();
    let scanned: u64 = total.values().map(|tally| tally.scanned).sum();
    eprintln!("{frames} frames, {scanned} of them on the fast path");
    assert!(frames > 300_000 && scanned > 200_000, "{frames} {scanned}");
}

#[test]
fn frames_of_another_venue_are_never_market_data() {
    let Some(data) = shared_data() else { return };
    let path = std::fs::read_dir(data.join("crypto_raw"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().is_some_and(|name| name.contains("COINBASE")));
    let Some(path) = path else { return };
    let file = BufReader::new(MultiGzDecoder::new(std::fs::File::open(path).unwrap()));
    let mut lines = 0;
    for line in file.lines().map(Result::unwrap) {
        let Some(at) = line.find('{') else { continue };
        lines += 1;
        let json = &line.as_bytes()[at..];
        assert_eq!(scan(json), None);
        assert!(!matches!(full::parse(json), Ok(TextFrame::Market(_))), "{line}");
    }
    assert!(lines > 1000);
}

//! Frames of every form against the events they mean, and the fast path against the full parser.

use super::super::symbols::tests::spec;
use super::*;
use crate::core::payload::Quote;
use crate::core::{InstrumentId, InstrumentTable, Price};
use proptest::prelude::*;

fn decoder() -> MarketDecoder {
    let table = InstrumentTable::new([spec("BTCUSDT", "USDT"), spec("ETHUSDT", "USDT")]).unwrap();
    MarketDecoder::new(SymbolTable::new(&table, |_| None))
}

/// The events of a text frame, and what kind it was.
fn text(decoder: &mut MarketDecoder, frame: &str) -> (FrameKind, Vec<Event>) {
    let mut events = Vec::new();
    let kind = decoder.text(frame.as_bytes(), Nanos(7), &mut |event| events.push(event));
    (kind, events)
}

const SPOT_QUOTE: &str =
    r#"{"u":400900217,"s":"BTCUSDT","b":"60000.00000000","B":"2.50000000","a":"60000.01000000","A":"1.10000000"}"#;

#[test]
fn every_documented_form_becomes_its_event_on_the_fast_path() {
    let expected = Quote {
        bid: "60000".parse().unwrap(),
        ask: "60000.01".parse().unwrap(),
        bid_qty: "2.5".parse().unwrap(),
        ask_qty: "1.1".parse().unwrap(),
    };
    let futures = r#"{"e":"bookTicker","u":400900217,"s":"BTCUSDT","ps":"BTCUSDT","b":"60000.00","B":"2.5","a":"60000.01","A":"1.10","T":1700000000001,"E":1700000000002,"st":1}"#;
    for (frame, venue) in [
        (SPOT_QUOTE.to_owned(), 0),
        (format!(r#"{{"stream":"btcusdt@bookTicker","data":{SPOT_QUOTE}}}"#), 0),
        (futures.to_owned(), 1_700_000_000_001_000_000),
        (format!(r#"{{"stream":"btcusdt@bookTicker","data":{futures}}}"#), 1_700_000_000_001_000_000),
    ] {
        let mut decoder = decoder();
        let (kind, events) = text(&mut decoder, &frame);
        assert_eq!((kind, decoder.counters().scanned), (FrameKind::Data, 1), "{frame}");
        let event = expected.event(EventKind::Quote, InstrumentId(0), Nanos(venue), Nanos(7));
        assert_eq!(events, [event.flagged(Flags::LAST_OF_BATCH)], "{frame}");
    }
    let trade = Trade { price: "2683.8".parse().unwrap(), qty: "0.01".parse().unwrap(), trade_id: 12_345 };
    for (frame, side) in [
        (
            r#"{"e":"trade","E":1700000000002,"s":"ETHUSDT","t":12345,"p":"2683.80","q":"0.010","T":1700000000001,"m":true,"M":true}"#,
            Flags::SELL,
        ),
        (
            r#"{"e":"trade","E":1700000000002000,"s":"ETHUSDT","t":12345,"p":"2683.8","q":"0.01","T":1700000000001000,"m":false}"#,
            Flags::BUY,
        ),
        (
            r#"{"e":"aggTrade","E":2,"s":"ETHUSDT","a":12345,"p":"2683.80000000","q":"0.01000000","f":1,"l":3,"T":1700000000001,"m":true,"M":true}"#,
            Flags::SELL,
        ),
        (
            r#"{"e":"trade","E":1,"T":1700000000001,"s":"ETHUSDT","t":12345,"p":"2683.80","q":"0.010","X":"MARKET","m":false}"#,
            Flags::BUY,
        ),
    ] {
        let mut decoder = decoder();
        let (kind, events) = text(&mut decoder, frame);
        assert_eq!((kind, decoder.counters().scanned), (FrameKind::Data, 1), "{frame}");
        let event = trade.event(EventKind::Trade, InstrumentId(1), Nanos(1_700_000_000_001_000_000), Nanos(7));
        assert_eq!(events, [event.flagged(side.with(Flags::LAST_OF_BATCH))], "{frame}");
    }
}

#[test]
fn what_the_scanner_does_not_know_goes_through_the_full_parser() {
    let spaced = SPOT_QUOTE.replace(':', ": ");
    let reordered = format!(r#"{{"data":{SPOT_QUOTE},"stream":"btcusdt@bookTicker"}}"#);
    for frame in [&spaced, &reordered] {
        let mut decoder = decoder();
        let (kind, events) = text(&mut decoder, frame);
        assert_eq!((kind, events.len(), decoder.counters().scanned), (FrameKind::Data, 1, 0), "{frame}");
    }
    let mut decoder = decoder();
    for (frame, kind) in [
        (r#"{"result":null,"id":3}"#, FrameKind::Answer { id: Some(3), refused: None }),
        (r#"{"code":2,"msg":"Invalid request","id":4}"#, FrameKind::Answer { id: Some(4), refused: Some(2) }),
        (r#"{"e":"serverShutdown","E":1770123456789}"#, FrameKind::ServerShutdown),
        (r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#, FrameKind::ServerShutdown),
        (r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["1","2"]],"a":[]}"#, FrameKind::Other),
        (r#"{"lastUpdateId":160,"bids":[["1","2"]],"asks":[]}"#, FrameKind::Other),
        (r#"{"stream":"btcusdt@depth20","data":{"lastUpdateId":160,"bids":[],"asks":[]}}"#, FrameKind::Other),
    ] {
        assert_eq!(text(&mut decoder, frame), (kind, vec![]), "{frame}");
    }
}

#[test]
fn a_price_that_is_not_plain_is_refused_and_counted() {
    let mut decoder = decoder();
    let hostile = [
        SPOT_QUOTE.replace("60000.00000000", "-60000.00000000"),
        SPOT_QUOTE.replace("60000.00000000", "60000.000000001"),
        SPOT_QUOTE.replace("60000.00000000", "6e4"),
        SPOT_QUOTE.replace("60000.00000000", ""),
        SPOT_QUOTE.replace("60000.00000000", "99999999999999999999"),
        SPOT_QUOTE.replace("60000.00000000", "6\\u0030000.00"),
        SPOT_QUOTE.replace("\"60000.00000000\"", "60000.00000000"),
        SPOT_QUOTE.replace("\"60000.00000000\"", "null"),
        SPOT_QUOTE.replace("400900217", "-1"),
        SPOT_QUOTE.replace("400900217", "1e9"),
        SPOT_QUOTE.replace("\"BTCUSDT\"", "7"),
        format!("{SPOT_QUOTE}x"),
        SPOT_QUOTE.replace("{\"u\"", "{\"b\":\"1\",\"u\""),
        String::new(),
        "[]".to_owned(),
        r#"["bookTicker","BTCUSDT",1,2,"1","1","1","1"]"#.to_owned(),
        r#"{"data":["bookTicker","BTCUSDT",1,2,"1","1","1","1"]}"#.to_owned(),
        "{\"data\":{\"data\":{\"data\":1}}}".repeat(50),
        "{\"data\":null}".to_owned(),
        "[".repeat(10_000),
        "{\"data\":".repeat(10_000),
    ];
    for (count, frame) in hostile.iter().enumerate() {
        assert_eq!(text(&mut decoder, frame), (FrameKind::Bad, vec![]), "{frame}");
        assert_eq!(decoder.counters().bad, count as u64 + 1);
    }
    assert!(decoder.last_error().is_some());
}

#[test]
fn only_newer_updates_of_our_symbols_are_handed_on() {
    let mut decoder = decoder();
    assert_eq!(text(&mut decoder, SPOT_QUOTE).1.len(), 1);
    assert_eq!(text(&mut decoder, SPOT_QUOTE).1.len(), 0);
    assert_eq!(text(&mut decoder, &SPOT_QUOTE.replace("400900217", "400900216")).1.len(), 0);
    assert_eq!(text(&mut decoder, &SPOT_QUOTE.replace("BTCUSDT", "XRPUSDT")).1.len(), 0);
    assert_eq!((decoder.counters().stale, decoder.counters().foreign), (2, 1));
    decoder.forget();
    assert_eq!(text(&mut decoder, SPOT_QUOTE).1.len(), 1);
}

#[test]
fn a_binary_frame_of_trades_marks_its_last_event() {
    let mut decoder = decoder();
    let entry = |id, buyer_is_maker| sbe::TradeEntry {
        id,
        price: Price::whole(5),
        qty: "0.1".parse().unwrap(),
        buyer_is_maker,
    };
    let mut frame = Vec::new();
    let entries = [entry(1, true), entry(2, false)];
    sbe::encode_trades(9, 8, b"ETHUSDT", &entries, sbe::Exponents::UNITS, &mut frame).unwrap();
    let mut events = Vec::new();
    assert_eq!(decoder.binary(&frame, Nanos(7), &mut |event| events.push(event)), FrameKind::Data);
    let flags: Vec<Flags> = events.iter().map(|event| event.flags).collect();
    assert_eq!(flags, [Flags::SELL, Flags::BUY.with(Flags::LAST_OF_BATCH)]);
    assert!(events.iter().all(|event| event.venue_ns == Nanos(8_000) && event.instrument == InstrumentId(1)));
    assert_eq!(decoder.binary(&frame[..20], Nanos(7), &mut |_| panic!()), FrameKind::Bad);
}

/// Frames near the truth: the documented forms with pieces replaced.
fn near_frame() -> impl Strategy<Value = String> {
    let number = prop_oneof!["[0-9]{1,12}\\.[0-9]{1,9}", "[0-9]{1,20}", "-?[0-9.eE+]{0,6}", "\\PC{0,4}"];
    let value = prop_oneof![
        4 => number.prop_map(|text| format!("\"{text}\"")),
        2 => "[0-9]{1,21}",
        1 => "true|false|null|-1|1\\.5|\\[\\]|\\{\\}|\"a\\\\u0031\"",
    ];
    let key = "[esubBaApqTtmEMXfl]|ps|st|id|data|code|\\PC{0,2}";
    let event = prop_oneof![
        Just(String::new()),
        Just("\"e\":\"bookTicker\",".into()),
        Just("\"e\":\"trade\",".into()),
        Just("\"e\":\"aggTrade\",".into())
    ];
    let good = |text: &'static str| Just(text.to_owned());
    let body = prop_oneof![
        (event, prop::collection::vec((key, value.clone()), 0..12)).prop_map(|(event, fields)| {
            let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{event}{}}}", fields.join(","))
        }),
        (good(SPOT_QUOTE), value.clone()).prop_map(|(text, value)| text.replace("\"60000.01000000\"", &value)),
        (good(SPOT_QUOTE), value).prop_map(|(text, value)| text.replace("400900217", &value)),
    ];
    (body, any::<bool>(), any::<prop::sample::Index>(), 0..4).prop_map(|(body, wrapped, at, change)| {
        let mut text = if wrapped { format!("{{\"stream\":\"x@y\",\"data\":{body}}}") } else { body };
        let mut at = at.index(text.len().max(1));
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        match change {
            0 => text.truncate(at),
            1 => text.insert(at, ' '),
            _ => {}
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever the scanner accepts, the full parser reads the same; and a price handed on stands
    /// in the frame.
    #[test]
    fn the_scanner_never_differs_from_the_full_parser(frame in near_frame()) {
        let parsed = full::parse(frame.as_bytes());
        if let Some(message) = scan(frame.as_bytes()) {
            prop_assert_eq!(&parsed, &Ok(TextFrame::Market(message)));
        }
        if let Ok(TextFrame::Market(message)) = parsed {
            let numbers: Vec<i64> = frame.split('"').filter_map(|text| text.parse::<Price>().ok()).map(Price::units).collect();
            let used = match message {
                MarketMessage::Quote(QuoteMessage { quote, .. }) =>
                    vec![quote.bid.units(), quote.ask.units(), quote.bid_qty.units(), quote.ask_qty.units()],
                MarketMessage::Trade(TradeMessage { trade, .. }) => vec![trade.price.units(), trade.qty.units()],
            };
            prop_assert!(used.iter().all(|units| numbers.contains(units)), "{:?} not all in {}", used, frame);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(frame in any::<Vec<u8>>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let mut decoder = decoder();
        decoder.text(&frame, Nanos(1), &mut |_| {});
        decoder.binary(&frame, Nanos(1), &mut |_| {});
        let mut near = SPOT_QUOTE.as_bytes().to_vec();
        for (at, byte) in flips {
            let at = at.index(near.len());
            near[at] = byte;
        }
        if let Some(message) = scan(&near) {
            prop_assert_eq!(full::parse(&near), Ok(TextFrame::Market(message)));
        }
    }

    #[test]
    fn decimals_are_read_exactly(units in 0..=i64::MAX, digits in 0usize..9) {
        let price = Price::from_units(units);
        let frame = SPOT_QUOTE.replace("60000.00000000", &format!("{price:.digits$}"));
        let Ok(TextFrame::Market(MarketMessage::Quote(message))) = full::parse(frame.as_bytes()) else { panic!("{frame}") };
        prop_assert_eq!(message.quote.bid, price);
        prop_assert_eq!(scan(frame.as_bytes()), Some(MarketMessage::Quote(message)));
    }
}

#[test]
fn a_frame_cut_at_any_byte_yields_nothing() {
    for end in 0..SPOT_QUOTE.len() {
        assert_eq!(text(&mut decoder(), &SPOT_QUOTE[..end]), (FrameKind::Bad, vec![]), "{end}");
    }
}

#[test]
fn a_made_up_frame_is_one_that_the_hot_path_reads_and_leaves_no_trace() {
    let mut decoder = decoder();
    let [made_up, binary] = decoder.rehearsed.clone();
    let before = decoder.counters();
    decoder.rehearse();
    assert_eq!(decoder.counters(), before);
    let mut events = Vec::new();
    let kind = decoder.text(&made_up, Nanos(7), &mut |event| events.push(event));
    assert_eq!((kind, decoder.counters().scanned, events.len()), (FrameKind::Data, 1, 1));
    decoder.forget();
    assert_eq!(decoder.binary(&binary, Nanos(7), &mut |event| events.push(event)), FrameKind::Data);
    assert_eq!(Quote::of(&events[0]), Quote::of(&events[1]));
    // From here on the binary way is rehearsed.
    let before = decoder.counters();
    decoder.rehearse();
    assert_eq!(decoder.counters(), before);
}

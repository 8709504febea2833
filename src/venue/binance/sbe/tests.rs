//! The binary decoder against the schema, its own encoder, and hostile bytes.

use super::*;
use proptest::prelude::*;

fn quote(bid: &str, bid_qty: &str, ask: &str, ask_qty: &str) -> Quote {
    Quote {
        bid: bid.parse().unwrap(),
        ask: ask.parse().unwrap(),
        bid_qty: bid_qty.parse().unwrap(),
        ask_qty: ask_qty.parse().unwrap(),
    }
}

fn sample() -> BestBidAsk<'static> {
    let quote = quote("60000.00", "2.5", "60000.01", "1.1");
    BestBidAsk { event_time_us: 1_700_000_000_123_456, book_update_id: 400_900_217, quote, symbol: b"BTCUSDT" }
}

/// The table of the schema, written out by hand: the layout is not only our own inverse.
#[test]
fn a_frame_has_the_bytes_of_the_schema() {
    let mut frame = Vec::new();
    sample().encode(Exponents { price: -2, qty: -5 }, &mut frame).unwrap();
    let mut expected = vec![50, 0, 0x11, 0x27, 1, 0, 0, 0];
    expected.extend_from_slice(&1_700_000_000_123_456i64.to_le_bytes());
    expected.extend_from_slice(&400_900_217i64.to_le_bytes());
    expected.extend_from_slice(&[0xfe, 0xfb]);
    for mantissa in [6_000_000i64, 250_000, 6_000_001, 110_000] {
        expected.extend_from_slice(&mantissa.to_le_bytes());
    }
    expected.extend_from_slice(b"\x07BTCUSDT");
    assert_eq!(frame, expected);
    assert_eq!(decode(&frame), Ok(SbeMessage::BestBidAsk(sample())));
}

#[test]
fn what_is_not_exact_is_refused() {
    let mut out = Vec::new();
    let error = sample().encode(Exponents { price: 0, qty: -8 }, &mut out).unwrap_err();
    assert_eq!(error, SbeError::Number { mantissa: 6_000_001_000_000, exponent: 0 });
    assert!(out.is_empty());
    assert_eq!(to_units(123_456_789_012, -10), Err(SbeError::Number { mantissa: 123_456_789_012, exponent: -10 }));
    assert_eq!(to_units(1_234_567_890_100, -10), Ok(12_345_678_901));
    assert_eq!(to_units(1, 2), Ok(10_000_000_000));
    assert_eq!(to_units(0, 127), Ok(0));
    for (mantissa, exponent) in [(1, 127), (1, -128), (i64::MAX, -7), (i64::MIN, -8), (-1, -8)] {
        assert!(to_units(mantissa, exponent).is_err(), "{mantissa}e{exponent}");
    }
}

#[test]
fn longer_blocks_of_a_newer_version_are_passed_over() {
    let mut frame = Vec::new();
    sample().encode(Exponents::UNITS, &mut frame).unwrap();
    frame[0] = 53;
    frame[6] = 1;
    frame.splice(58..58, [9, 9, 9]);
    assert_eq!(decode(&frame), Ok(SbeMessage::BestBidAsk(sample())));
    frame[0] = 49;
    assert_eq!(decode(&frame), Err(SbeError::Block { expected: 50, found: 49 }));
}

#[test]
fn other_templates_are_named_and_other_schemas_refused() {
    assert_eq!(decode(&[0, 0, 0x13, 0x27, 1, 0, 0, 0]), Ok(SbeMessage::Other(10_003)));
    assert_eq!(decode(&[0, 0, 0x13, 0x27, 3, 0, 0, 0]), Err(SbeError::Schema(3)));
}

#[test]
fn a_group_that_claims_more_than_the_frame_holds_is_refused() {
    let mut frame = Vec::new();
    let trade = TradeEntry { id: 1, price: Price::whole(1), qty: Qty::whole(1), buyer_is_maker: true };
    encode_trades(1, 2, b"X", &[trade], Exponents::UNITS, &mut frame).unwrap();
    frame[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode(&frame), Err(SbeError::Truncated { part: "the trades", .. })));
    frame[26..28].copy_from_slice(&0u16.to_le_bytes());
    assert_eq!(decode(&frame), Err(SbeError::Block { expected: 25, found: 0 }));
}

fn any_units() -> impl Strategy<Value = i64> {
    prop_oneof![0..=i64::MAX, 0..1_000_000_000_000i64]
}

fn any_trade() -> impl Strategy<Value = TradeEntry> {
    (any::<i64>(), any_units(), any_units(), any::<bool>()).prop_map(|(id, price, qty, buyer_is_maker)| TradeEntry {
        id,
        price: Price::from_units(price),
        qty: Qty::from_units(qty),
        buyer_is_maker,
    })
}

proptest! {
    #[test]
    fn quotes_survive_the_round_trip(
        times in any::<[i64; 2]>(), units in prop::array::uniform4(any_units()), coarse in any::<[bool; 2]>(),
        symbol in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        // A coarser exponent when every value allows it.
        let exponents = Exponents {
            price: if coarse[0] && units[0] % 100 == 0 && units[1] % 100 == 0 { -6 } else { -8 },
            qty: if coarse[1] && units[2] % 1000 == 0 && units[3] % 1000 == 0 { -5 } else { -8 },
        };
        let [bid, ask] = [units[0], units[1]].map(Price::from_units);
        let [bid_qty, ask_qty] = [units[2], units[3]].map(Qty::from_units);
        let message = BestBidAsk {
            event_time_us: times[0], book_update_id: times[1],
            quote: Quote { bid, ask, bid_qty, ask_qty }, symbol: &symbol,
        };
        let mut frame = Vec::new();
        message.encode(exponents, &mut frame).unwrap();
        prop_assert_eq!(decode(&frame), Ok(SbeMessage::BestBidAsk(message)));
        for end in 0..frame.len() {
            prop_assert!(decode(&frame[..end]).is_err());
        }
    }

    #[test]
    fn trades_survive_the_round_trip(
        times in any::<[i64; 2]>(), entries in prop::collection::vec(any_trade(), 0..20),
        symbol in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut frame = Vec::new();
        encode_trades(times[0], times[1], &symbol, &entries, Exponents::UNITS, &mut frame).unwrap();
        let Ok(SbeMessage::Trades(trades)) = decode(&frame) else { panic!("not trades") };
        prop_assert_eq!((trades.event_time_us, trades.transact_time_us, trades.symbol), (times[0], times[1], &symbol[..]));
        prop_assert_eq!(trades.len(), entries.len());
        prop_assert_eq!(trades.iter().collect::<Vec<_>>(), entries);
        for end in 0..frame.len() {
            prop_assert!(decode(&frame[..end]).is_err());
        }
    }

    #[test]
    fn hostile_bytes_never_panic(mut frame in prop::collection::vec(any::<u8>(), 0..200), template in 9_999u16..10_005) {
        let _ = decode(&frame);
        if frame.len() >= 8 {
            frame[2..4].copy_from_slice(&template.to_le_bytes());
            frame[4..6].copy_from_slice(&SCHEMA.to_le_bytes());
            if let Ok(SbeMessage::Trades(trades)) = decode(&frame) {
                prop_assert_eq!(trades.iter().count(), trades.len());
            }
        }
    }

    /// Exactness against arithmetic that cannot overflow.
    #[test]
    fn a_number_is_exact_or_refused(mantissa in any::<i64>(), exponent in any::<i8>()) {
        let shift = i32::from(exponent) + 8;
        let exact = match shift {
            _ if mantissa == 0 => Some(0),
            0..=18 => i128::from(mantissa).checked_mul(10i128.pow(shift as u32)),
            -18..=-1 => { let p = 10i128.pow(-shift as u32); (i128::from(mantissa) % p == 0).then(|| i128::from(mantissa) / p) }
            _ => None,
        }.and_then(|value| i64::try_from(value).ok()).filter(|value| *value >= 0);
        prop_assert_eq!(to_units(mantissa, exponent).ok(), exact);
    }
}

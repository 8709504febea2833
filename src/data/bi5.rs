//! Native Dukascopy hours: LZMA of 20-byte big-endian records.
//!
//! | offset | type | meaning |
//! |---|---|---|
//! | 0 | u32 | milliseconds since the hour |
//! | 4, 8 | u32 | ask, bid in points of the symbol |
//! | 12, 16 | f32 | ask and bid volume, millions of units of the base currency |
//!
//! Symbol and hour come from the path `EURUSD/2019/01/04/07h_ticks.bi5`, whose month is 0-based.
//! A point is 1e-5; 1e-4 where the quote currency is CZK; 1e-3 where it is JPY or HUF, and for gold
//! and silver. Other symbols (indices, shares, crypto) have points of their own and are refused.

use std::io::{self, BufRead, ErrorKind, Write};
use std::path::Path;

use super::csv::{Body, Row, qty};
use super::error::{BadLine, DataError};
use super::lots::currency_pair;
use super::time_text::number;
use crate::core::fixed::DECIMALS;
use crate::core::payload::Quote;
use crate::core::time::SECOND;
use crate::core::{Nanos, Price, Qty};

/// Most decompressed bytes of an hour: 838,860 ticks, far above any real hour.
const LARGEST_HOUR: usize = 16 << 20;

/// Symbol and start of the hour, from the path.
pub(super) fn place(path: &Path) -> Result<(String, Nanos), DataError> {
    let parts: Vec<String> = path.iter().rev().take(5).map(|part| part.to_string_lossy().into_owned()).collect();
    let found = || {
        let [file, day, month, year, symbol] = parts.as_slice() else { return None };
        let field = |text: &str| number(text.as_bytes());
        let hour = field(file.strip_suffix("h_ticks.bi5")?)?;
        let month = u32::try_from(field(month)?).ok()?.checked_add(1)?;
        let nanos = hour.checked_mul(3600 * SECOND)?;
        let start =
            Nanos::from_civil(i64::try_from(field(year)?).ok()?, month, u32::try_from(field(day)?).ok()?, nanos)?;
        Some((symbol.to_ascii_uppercase(), start))
    };
    found().ok_or_else(|| {
        DataError::file(
            path,
            "a path such as EURUSD/2019/01/04/07h_ticks.bi5",
            "another",
            "keep the download's folders",
        )
    })
}

/// Price units of 1e-8 in one point of a symbol.
fn point(symbol: &str) -> Option<i64> {
    Some(match currency_pair(symbol)? {
        ("XAU" | "XAG", _) | (_, "JPY" | "HUF") => 100_000,
        (_, "CZK") => 10_000,
        _ => 1_000,
    })
}

/// Collects at most [`LARGEST_HOUR`] bytes.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > LARGEST_HOUR {
            return Err(io::Error::new(ErrorKind::InvalidData, "more than 16 MiB of ticks in one hour"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Emits the records of one hour in turn, good or bad, until `emit` refuses one.
pub(super) fn decode(
    path: &Path,
    stream: &mut dyn BufRead,
    mut emit: impl FnMut(Result<Row, BadLine>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (symbol, start) = place(path)?;
    let fault = |found: String| DataError::file(path, "an LZMA hour of 20-byte records", found, "fetch the file again");
    let point = point(&symbol).ok_or_else(|| {
        DataError::file(path, "a currency pair, gold or silver", &symbol, "export it as CSV, which has its prices")
    })?;
    let (mut input, mut bytes) = (stream, Bounded(Vec::new()));
    let options = lzma_rs::decompress::Options { memlimit: Some(LARGEST_HOUR), ..Default::default() };
    lzma_rs::lzma_decompress_with_options(&mut input, &mut bytes, &options)
        .map_err(|error| fault(format!("{error:?}")))?;
    let (records, rest) = bytes.0.as_chunks::<20>();
    if !rest.is_empty() {
        return Err(fault(format!("{} bytes", bytes.0.len())));
    }
    records.iter().try_for_each(|record| emit(row(record, point, start)))
}

fn row(record: &[u8; 20], point: i64, start: Nanos) -> Result<Row, BadLine> {
    let [t0, t1, t2, t3, a0, a1, a2, a3, b0, b1, b2, b3, v0, v1, v2, v3, w0, w1, w2, w3] = *record;
    let price = |points: [u8; 4]| match u32::from_be_bytes(points) {
        0 => Err(BadLine::new("a price above 0", b"0")),
        points => Ok(Price::from_units(i64::from(points) * point)),
    };
    let millis = u64::from(u32::from_be_bytes([t0, t1, t2, t3]));
    if millis >= 3_600_000 {
        return Err(BadLine::new("milliseconds within the hour", millis.to_string().as_bytes()));
    }
    let quote = Quote {
        bid: price([b0, b1, b2, b3])?,
        ask: price([a0, a1, a2, a3])?,
        bid_qty: millions(f32::from_be_bytes([w0, w1, w2, w3]))?,
        ask_qty: millions(f32::from_be_bytes([v0, v1, v2, v3]))?,
    };
    let local = Nanos(start.0 + millis * 1_000_000);
    Ok(Row { local, venue: local, body: Body::Quote(quote) })
}

/// A volume in millions: the shortest decimal that is this f32, as Dukascopy's own CSV writes it.
fn millions(volume: f32) -> Result<Qty, BadLine> {
    let text = format!("{volume}");
    let decimals = text.split('.').nth(1).map_or(0, str::len);
    qty(Some(if decimals > DECIMALS { format!("{volume:.DECIMALS$}") } else { text }.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(millis: u32, ask: u32, bid: u32, volume: f32) -> [u8; 20] {
        let mut record = [0; 20];
        let words = [millis, ask, bid, volume.to_bits(), volume.to_bits()];
        for (slot, word) in record.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *slot = word.to_be_bytes();
        }
        record
    }

    #[test]
    fn volumes_are_the_decimals_that_dukascopy_writes() {
        for (volume, text) in [(2.06, "2.06"), (77.77, "77.77"), (1e-9, "0"), (0.0, "0"), (16.5e3, "16500")] {
            assert_eq!(millions(volume).unwrap().to_string(), text);
        }
        for bad in [-1.0, f32::NAN, f32::INFINITY, 1e30] {
            assert!(millions(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bad_record_is_said_to_be_bad() {
        assert!(row(&record(0, 114_545, 114_543, 1.0), 1_000, Nanos(1)).is_ok());
        for bad in [record(3_600_000, 1, 1, 1.0), record(0, 0, 1, 1.0), record(0, 1, 0, 1.0), record(0, 1, 1, -1.0)] {
            assert!(row(&bad, 1_000, Nanos(1)).is_err());
        }
    }

    #[test]
    fn points_follow_the_quote_currency() {
        for (symbol, units) in [
            ("EURUSD", Some(1_000)),
            ("USDJPY", Some(100_000)),
            ("EURCZK", Some(10_000)),
            ("XAUUSD", Some(100_000)),
            ("USA500IDXUSD", None),
            ("BTCUSD", None),
        ] {
            assert_eq!(point(symbol), units, "{symbol}");
        }
    }
}

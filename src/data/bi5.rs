//! Native Dukascopy hours: LZMA of 20-byte big-endian records.
//!
//! | offset | type | meaning |
//! |---|---|---|
//! | 0 | u32 | milliseconds since the hour |
//! | 4, 8 | u32 | ask, bid in points: 1e-5, or 1e-3 for JPY pairs and metals |
//! | 12, 16 | f32 | ask and bid volume in millions, not read: sizes are "not known" |
//!
//! Symbol and hour come from the path `EURUSD/2019/01/04/07h_ticks.bi5`, whose month is 0-based.

use std::io::BufRead;
use std::path::Path;

use super::csv::{Body, Row};
use super::error::DataError;
use super::time_text::number;
use crate::core::payload::Quote;
use crate::core::time::SECOND;
use crate::core::{Nanos, Price};

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

/// The rows of one hour.
pub(super) fn decode(path: &Path, stream: &mut dyn BufRead) -> Result<Vec<Row>, DataError> {
    let (symbol, start) = place(path)?;
    let fault = |found: String| DataError::file(path, "an LZMA hour of 20-byte records", found, "fetch the file again");
    let (mut input, mut bytes) = (stream, Vec::new());
    lzma_rs::lzma_decompress(&mut input, &mut bytes).map_err(|error| fault(format!("{error:?}")))?;
    if bytes.len() % 20 != 0 {
        return Err(fault(format!("{} bytes", bytes.len())));
    }
    let point = if symbol.ends_with("JPY") || symbol.starts_with("XA") { 100_000 } else { 1_000 };
    let word = |record: &[u8], at: usize| {
        record.get(at..at + 4).map_or(0, |four| four.iter().fold(0u32, |sum, &byte| sum << 8 | u32::from(byte)))
    };
    let mut rows = Vec::with_capacity(bytes.len() / 20);
    for record in bytes.chunks_exact(20) {
        let price = |at| Price::from_units(i64::from(word(record, at)) * point);
        let quote = Quote { bid: price(8), ask: price(4), ..Quote::default() };
        if !quote.bid.is_positive() || !quote.ask.is_positive() {
            return Err(fault("a price of 0".to_owned()));
        }
        let local = Nanos(start.0 + u64::from(word(record, 0)) * 1_000_000);
        rows.push(Row { local, venue: local, body: Body::Quote(quote) });
    }
    Ok(rows)
}

//! Times as market-data files write them, read to UTC nanoseconds without allocation.
//!
//! | text | meaning |
//! |---|---|
//! | `1723161256207640365` | number: s, ms, µs or ns by its magnitude |
//! | `2013-01-01 22:00:00.295000+00:00`, `...T...Z` | ISO 8601, UTC |
//! | `20160104 18:00:40.420` | TrueFX, UTC |
//! | `20200101 170000065` | HistData, fixed UTC−5 |
//! | `04.02.2019 00:00:00.994` | Dukascopy export, UTC |

use crate::core::Nanos;
use crate::core::time::SECOND;

/// HistData stamps fixed Eastern Standard Time.
const HISTDATA_OFFSET: u64 = 5 * 3600 * SECOND;

/// An unsigned whole number.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { sum.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

/// An epoch number in the given unit, with an optional fraction of at most nine digits.
pub(super) fn epoch(text: &[u8], nanos_per_unit: u64) -> Option<Nanos> {
    let (whole, fraction) = match text.iter().position(|&b| b == b'.') {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None => (text, &b"0"[..]),
    };
    let nanos = number(whole)?.checked_mul(nanos_per_unit)?;
    Some(Nanos(nanos.checked_add(fraction_nanos(fraction)? / (SECOND / nanos_per_unit))?)).filter(|time| time.0 > 0)
}

/// A time in any of the documented texts.
pub(super) fn any(text: &[u8]) -> Option<Nanos> {
    if text.contains(&b':') { iso(text) } else { epoch(text, magnitude(text)) }
}

/// Nanoseconds in the unit that an epoch number of this length is written in: seconds have up to
/// 11 digits until the year 5138, and milliseconds have 12 or more from 1973 on.
pub(super) fn magnitude(text: &[u8]) -> u64 {
    match text.iter().position(|&b| b == b'.').unwrap_or(text.len()) {
        0..=11 => SECOND,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    }
}

fn fraction_nanos(digits: &[u8]) -> Option<u64> {
    if digits.len() > 9 {
        return None;
    }
    Some(number(digits)? * 10u64.pow(9 - digits.len() as u32))
}

fn part(text: &[u8], from: usize, to: usize) -> Option<u64> {
    number(text.get(from..to)?)
}

fn civil(year: u64, month: u64, day: u64, nanos_of_day: u64) -> Option<Nanos> {
    Nanos::from_civil(year as i64, month as u32, day as u32, nanos_of_day).filter(|time| time.0 > 0)
}

/// `HH:MM:SS[.fraction]` as nanoseconds of the day.
fn clock(text: &[u8]) -> Option<u64> {
    if text.get(2) != Some(&b':') || text.get(5) != Some(&b':') {
        return None;
    }
    let (hour, minute, second) = (part(text, 0, 2)?, part(text, 3, 5)?, part(text, 6, 8)?);
    let fraction = match text.get(8..)? {
        [] => 0,
        [b'.', digits @ ..] => fraction_nanos(digits)?,
        _ => return None,
    };
    of_day(hour, minute, second, fraction)
}

fn of_day(hour: u64, minute: u64, second: u64, fraction: u64) -> Option<u64> {
    (hour < 24 && minute < 60 && second < 60).then(|| (hour * 3600 + minute * 60 + second) * SECOND + fraction)
}

fn iso(text: &[u8]) -> Option<Nanos> {
    let text = text.strip_suffix(b"+00:00").or_else(|| text.strip_suffix(b"Z")).unwrap_or(text);
    if text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') || !matches!(text.get(10), Some(b' ' | b'T')) {
        return None;
    }
    civil(part(text, 0, 4)?, part(text, 5, 7)?, part(text, 8, 10)?, clock(text.get(11..)?)?)
}

/// `20160104 18:00:40.420`.
pub(super) fn truefx(text: &[u8]) -> Option<Nanos> {
    if text.get(8) != Some(&b' ') {
        return None;
    }
    civil(part(text, 0, 4)?, part(text, 4, 6)?, part(text, 6, 8)?, clock(text.get(9..)?)?)
}

/// `20200101 170000065` at UTC−5.
pub(super) fn histdata(text: &[u8]) -> Option<Nanos> {
    if text.get(8) != Some(&b' ') || text.len() != 18 {
        return None;
    }
    let of_day = of_day(part(text, 9, 11)?, part(text, 11, 13)?, part(text, 13, 15)?, part(text, 15, 18)? * 1_000_000)?;
    let local = civil(part(text, 0, 4)?, part(text, 4, 6)?, part(text, 6, 8)?, of_day)?;
    local.0.checked_add(HISTDATA_OFFSET).map(Nanos)
}

/// `04.02.2019 00:00:00.994`.
pub(super) fn dukascopy(text: &[u8]) -> Option<Nanos> {
    if text.get(2) != Some(&b'.') || text.get(5) != Some(&b'.') || text.get(10) != Some(&b' ') {
        return None;
    }
    civil(part(text, 6, 10)?, part(text, 3, 5)?, part(text, 0, 2)?, clock(text.get(11..)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_text_is_the_same_instant() {
        let expected = any(b"2020-01-01T22:00:00.065Z");
        assert_eq!(expected.map(|time| time.to_string()), Some("2020-01-01T22:00:00.065000000Z".into()));
        assert_eq!(histdata(b"20200101 170000065"), expected);
        assert_eq!(truefx(b"20200101 22:00:00.065"), expected);
        assert_eq!(dukascopy(b"01.01.2020 22:00:00.065"), expected);
        for text in [&b"1577916000065"[..], b"1577916000065000", b"1577916000065000000", b"1577916000.065"] {
            assert_eq!(any(text), expected);
        }
        assert_eq!(any(b"2020-01-01 22:00:00.065000+00:00"), expected);
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            &b""[..],
            b"0",
            b"-5",
            b"2020-13-01 00:00:00",
            b"2020-01-01 24:00:00",
            b"1.2.3",
            b"2020-01-01 00:00:00+01:00",
        ] {
            assert_eq!(any(text), None, "{:?}", String::from_utf8_lossy(text));
        }
        assert_eq!(histdata("20200101 17000\u{e9}".as_bytes()), None);
    }
}

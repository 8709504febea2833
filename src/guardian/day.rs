//! Trading days: where one begins, in the zone that the account's rules name.
//!
//! A zone is a rule, not an offset: New York's day begins an hour earlier in UTC when its clocks are an
//! hour ahead. The two rules known here are those of the places whose midnight or five o'clock the
//! trade goes by; any other is named as a fixed offset. The rules are those in force since 2007 (USA)
//! and 1996 (EU, UK).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::Nanos;
use crate::core::time::{DAY, SECOND};

const HOUR: i64 = 3600;
const DAY_SECONDS: i64 = 86_400;

/// What the day's reference is taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The larger of balance and equity: the strictest.
    #[default]
    Larger,
    /// Equity: floating profit is carried in.
    Equity,
    /// Balance: only what is realised.
    Balance,
}

/// A text that is none of a day's parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct DayError {
    expected: &'static str,
    found: String,
}

/// Hours and minutes of a local day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u16,
}

impl FromStr for TimeOfDay {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error = || DayError { expected: "a time of day such as \"17:00\"", found: text.to_owned() };
        let (hours, minutes) = hours_and_minutes(text).filter(|(hours, _)| *hours < 24).ok_or_else(error)?;
        Ok(Self { minutes: hours * 60 + minutes })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

/// Where the clock on the wall hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Zone {
    /// Minutes ahead of UTC, always.
    Fixed(i16),
    /// `America/New_York`.
    NewYork,
    /// `Europe/London`.
    London,
}

impl Default for Zone {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl FromStr for Zone {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let expected = "\"UTC\", \"America/New_York\", \"Europe/London\" or an offset such as \"+02:00\"";
        let error = || DayError { expected, found: text.to_owned() };
        let offset = |text: &str, sign: i16| {
            let (hours, minutes) = hours_and_minutes(text).filter(|(hours, _)| *hours <= 14).ok_or_else(error)?;
            Ok(Self::Fixed(sign * (hours * 60 + minutes) as i16))
        };
        match (text, text.get(..1), text.get(1..)) {
            ("UTC", ..) => Ok(Self::Fixed(0)),
            ("America/New_York", ..) => Ok(Self::NewYork),
            ("Europe/London", ..) => Ok(Self::London),
            (_, Some("+"), Some(rest)) => offset(rest, 1),
            (_, Some("-"), Some(rest)) => offset(rest, -1),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(0) => f.write_str("UTC"),
            Self::Fixed(minutes) => {
                let sign = if *minutes < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
            Self::NewYork => f.write_str("America/New_York"),
            Self::London => f.write_str("Europe/London"),
        }
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = DayError;
            fn try_from(text: String) -> Result<Self, DayError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(TimeOfDay, Zone);

fn hours_and_minutes(text: &str) -> Option<(u16, u16)> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| if text.len() == 2 { text.parse::<u16>().ok() } else { None };
    Some((number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?))
}

impl Zone {
    /// Seconds that the wall clock is ahead of UTC at this instant.
    pub fn offset_at(self, utc: Nanos) -> i64 {
        let seconds = (utc.0 / SECOND) as i64;
        let (year, ..) = utc.civil_date();
        match self {
            Self::Fixed(minutes) => i64::from(minutes) * 60,
            Self::NewYork => {
                // Second Sunday of March to first Sunday of November, both at 02:00 of the wall clock.
                let begin = sunday_on_or_after(year, 3, 8) + 7 * HOUR;
                let end = sunday_on_or_after(year, 11, 1) + 6 * HOUR;
                if (begin..end).contains(&seconds) { -4 * HOUR } else { -5 * HOUR }
            }
            Self::London => {
                // Last Sunday of March to last Sunday of October, both at 01:00 UTC.
                let begin = sunday_on_or_after(year, 3, 25) + HOUR;
                let end = sunday_on_or_after(year, 10, 25) + HOUR;
                if (begin..end).contains(&seconds) { HOUR } else { 0 }
            }
        }
    }
}

/// Seconds since the epoch at 00:00 UTC of the first Sunday on or after a date.
fn sunday_on_or_after(year: u64, month: u32, day: u32) -> i64 {
    let days = Nanos::from_civil(year as i64, month, day, 0).map_or(0, |at| (at.0 / DAY) as i64);
    // 1970-01-01 was a Thursday.
    (days + (3 - days).rem_euclid(7)) * DAY_SECONDS
}

/// The number of the trading day that an instant belongs to; the next day has the next number.
pub fn day_number(utc: Nanos, start: TimeOfDay, zone: Zone) -> i64 {
    let local = (utc.0 / SECOND) as i64 + zone.offset_at(utc);
    (local - i64::from(start.minutes) * 60).div_euclid(DAY_SECONDS)
}

/// The instant at which the trading day of `utc` began.
pub fn day_began(utc: Nanos, start: TimeOfDay, zone: Zone) -> Nanos {
    let local = day_number(utc, start, zone) * DAY_SECONDS + i64::from(start.minutes) * 60;
    // The offset at the start may differ from the one now: twice is enough, as it changes once a day at most.
    let guess = |offset: i64| Nanos((local - offset).max(0) as u64 * SECOND);
    guess(zone.offset_at(guess(zone.offset_at(utc))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i64, month: u32, day: u32, hour: u64, minute: u64) -> Nanos {
        Nanos::from_civil(year, month, day, (hour * 3600 + minute * 60) * SECOND).unwrap()
    }

    /// From Python's zoneinfo: the UTC instant of every change of the clocks.
    const NEW_YORK: [(i64, u32, u32, u64); 6] =
        [(2024, 3, 10, 7), (2024, 11, 3, 6), (2025, 3, 9, 7), (2025, 11, 2, 6), (2026, 3, 8, 7), (2026, 11, 1, 6)];
    const LONDON: [(i64, u32, u32, u64); 6] =
        [(2024, 3, 31, 1), (2024, 10, 27, 1), (2025, 3, 30, 1), (2025, 10, 26, 1), (2026, 3, 29, 1), (2026, 10, 25, 1)];

    #[test]
    fn the_clocks_change_when_they_do() {
        for (zone, changes, winter) in [(Zone::NewYork, NEW_YORK, -5 * HOUR), (Zone::London, LONDON, 0)] {
            for (index, (year, month, day, hour)) in changes.into_iter().enumerate() {
                let change = at(year, month, day, hour, 0);
                let (before, after) = if index % 2 == 0 { (winter, winter + HOUR) } else { (winter + HOUR, winter) };
                assert_eq!(zone.offset_at(Nanos(change.0 - 1)), before, "{zone} {change}");
                assert_eq!(zone.offset_at(change), after, "{zone} {change}");
            }
        }
    }

    #[test]
    fn a_day_begins_at_five_in_new_york_in_winter_and_summer() {
        let five: TimeOfDay = "17:00".parse().unwrap();
        for (begins, hour) in [((2024, 1, 15), 22), ((2024, 7, 15), 21), ((2024, 3, 9), 22), ((2024, 3, 10), 21)] {
            let (year, month, day) = begins;
            let begin = at(year, month, day, hour, 0);
            let number = |instant| day_number(instant, five, Zone::NewYork);
            assert_eq!(number(begin), number(Nanos(begin.0 - 1)) + 1, "{begin}");
            assert_eq!(day_began(Nanos(begin.0 + 3600 * SECOND), five, Zone::NewYork), begin);
            assert_eq!(day_began(Nanos(begin.0 + 20 * 3600 * SECOND), five, Zone::NewYork), begin, "over the change");
        }
    }

    #[test]
    fn days_are_numbered_without_a_gap_and_only_forward() {
        let start: TimeOfDay = "00:00".parse().unwrap();
        for zone in [Zone::Fixed(0), Zone::Fixed(330), Zone::NewYork, Zone::London] {
            let mut last = day_number(at(2024, 1, 1, 0, 0), start, zone);
            for quarter in 0..4 * 24 * 800 {
                let number = day_number(Nanos(at(2024, 1, 1, 0, 0).0 + quarter * 900 * SECOND), start, zone);
                assert!(number == last || number == last + 1, "{zone}");
                last = number;
            }
        }
    }

    #[test]
    fn parameters_are_text() {
        for zone in ["UTC", "America/New_York", "Europe/London", "+02:00", "-03:30"] {
            assert_eq!(zone.parse::<Zone>().unwrap().to_string(), zone);
        }
        assert_eq!("07:05".parse::<TimeOfDay>().unwrap().to_string(), "07:05");
        for bad in ["", "7:00", "24:00", "12:60", "noon", "-1:00", "12:00:00"] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
        for bad in ["", "utc", "Mars", "+2", "+15:00", "02:00", "é"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
    }
}

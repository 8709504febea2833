//! Time is data: UTC nanoseconds since the Unix epoch, carried by events and never read here.
//!
//! Civil dates are the proleptic Gregorian calendar without leap seconds, as in POSIX; the
//! day arithmetic is the well-known `days_from_civil` algorithm (Hinnant, "chrono-compatible
//! low-level date algorithms").

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a UTC day.
pub const DAY: u64 = 86_400 * SECOND;

/// A point in time: UTC nanoseconds since 1970-01-01, 0 meaning "not known". Ends in the year 2554.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// "Not known": the venue sent no time.
    pub const NONE: Self = Self(0);
    /// Later than everything.
    pub const MAX: Self = Self(u64::MAX);

    /// This instant plus a span; saturates.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span since an earlier instant; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Seconds of the UTC day, with fraction, in 0..86400.
    #[must_use]
    pub fn seconds_of_day(self) -> f64 {
        (self.0 % DAY) as f64 / SECOND as f64
    }

    /// From a civil date and time of day; `None` when a field is out of range or before 1970.
    #[must_use]
    pub fn from_civil(year: i64, month: u32, day: u32, nanos_of_day: u64) -> Option<Self> {
        if !(1970..=2553).contains(&year) || !(1..=12).contains(&month) || nanos_of_day >= DAY {
            return None;
        }
        if day == 0 || day > days_in_month(year, month) {
            return None;
        }
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted / 400;
        let year_of_era = shifted - era * 400;
        let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        Some(Self(u64::try_from(days).ok()? * DAY + nanos_of_day))
    }

    /// Year, month and day of the UTC date.
    #[must_use]
    pub fn civil_date(self) -> (u64, u64, u64) {
        let days = self.0 / DAY + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        (year_of_era + era * 400 + u64::from(month <= 2), month, day)
    }
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `2024-08-08T23:54:16.207640365Z`, or `-` when not known.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.pad("-");
        }
        let (year, month, day) = self.civil_date();
        let (seconds, nanos) = (self.0 % DAY / SECOND, self.0 % SECOND);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A length of time in nanoseconds. In configuration a text with its unit: `"250ms"`, `"1h"`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// From seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * SECOND)
    }

    /// Seconds as a float, for display.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }

    /// Parses a whole number and a unit: `ns`, `us`, `ms`, `s`, `m`, `h` or `d`.
    ///
    /// # Errors
    /// Says what was expected and found.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        let error = || SpanError { found: text.to_owned() };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        let count: u64 = number.parse().map_err(|_| error())?;
        count.checked_mul(*nanos).map(Self).ok_or_else(error)
    }
}

/// Units of time, largest first.
const UNITS: [(&str, u64); 7] =
    [("d", DAY), ("h", 3600 * SECOND), ("m", 60 * SECOND), ("s", SECOND), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// A text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a length of time such as \"250ms\", \"30s\", \"5m\" or \"1h\", found {found:?}")]
pub struct SpanError {
    found: String,
}

/// In the largest unit that divides it: `250ms`, `1h`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let (unit, nanos) = UNITS.iter().find(|(_, nanos)| self.0.is_multiple_of(*nanos)).unwrap_or(&("ns", 1));
        f.pad(&format!("{}{unit}", self.0 / nanos))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants_print_as_their_date() {
        assert_eq!(Nanos(1_723_161_256_207_640_365).to_string(), "2024-08-08T23:54:16.207640365Z");
        assert_eq!(Nanos::from_civil(2000, 2, 29, 0), Some(Nanos(951_782_400 * SECOND)));
        assert_eq!(Nanos::from_civil(1970, 1, 1, 1), Some(Nanos(1)));
        assert_eq!(Nanos::from_civil(1900, 2, 29, 0), None);
        assert_eq!(Nanos::from_civil(2023, 2, 29, 0), None);
        assert_eq!(Nanos::from_civil(2023, 13, 1, 0), None);
    }

    #[test]
    fn spans_are_text_with_a_unit() {
        for text in ["250ms", "1h", "90s", "1d", "7us", "3ns", "5m"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "5", "ms", "1.5s", "-1s", "1 s", "99999999999d", "5 minutes"] {
            assert!(Span::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_day_survives_the_round_trip(day in 0u64..213_000) {
            let (year, month, day_of_month) = Nanos(day * DAY).civil_date();
            let back = Nanos::from_civil(year as i64, month as u32, day_of_month as u32, 0);
            prop_assert_eq!(back, Some(Nanos(day * DAY)));
        }
    }
}

//! Exact decimal numbers: `Price`, `Qty` and `Money` are integers in units of 1e-8.
//!
//! The three share one implementation and never mix: a unit marker makes `Price + Qty` a type
//! error. Text goes in and the same number comes out; nothing that a venue will compare passes
//! through a float. Arithmetic is checked: it answers `None` instead of wrapping.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// Units in one whole: a value of 1.0 is stored as 100,000,000.
pub const SCALE: i64 = 100_000_000;
/// Decimal digits kept after the point.
pub const DECIMALS: usize = 8;

/// A fixed-point number in units of 1e-8 whose meaning is `U`.
///
/// Range: ±92,233,720,368.54775807.
pub struct Fixed<U> {
    units: i64,
    unit: PhantomData<U>,
}

/// Marker of [`Price`].
pub enum PriceUnit {}
/// Marker of [`Qty`].
pub enum QtyUnit {}
/// Marker of [`Money`].
pub enum MoneyUnit {}

/// A price in the instrument's quote currency, units of 1e-8.
pub type Price = Fixed<PriceUnit>;
/// A quantity in lots (or base units where the venue has no lots), units of 1e-8.
pub type Qty = Fixed<QtyUnit>;
/// An amount in the account's currency, units of 1e-8.
pub type Money = Fixed<MoneyUnit>;

impl<U> Fixed<U> {
    /// Zero.
    pub const ZERO: Self = Self::from_units(0);
    /// The largest value.
    pub const MAX: Self = Self::from_units(i64::MAX);

    /// From a count of 1e-8 units.
    #[must_use]
    pub const fn from_units(units: i64) -> Self {
        Self { units, unit: PhantomData }
    }

    /// From a whole number; for constants, panics at compile time when out of range.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        assert!(value.abs() <= i64::MAX / SCALE, "whole number out of the fixed-point range");
        Self::from_units(value * SCALE)
    }

    /// The count of 1e-8 units.
    #[must_use]
    pub const fn units(self) -> i64 {
        self.units
    }

    /// The nearest `f64`, for statistics and display; never for money.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.units as f64 / SCALE as f64
    }

    /// True for exactly zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.units == 0
    }

    /// True above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.units > 0
    }

    /// Sum, or `None` on overflow.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.units.checked_add(other.units) {
            Some(units) => Some(Self::from_units(units)),
            None => None,
        }
    }

    /// Difference, or `None` on overflow.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.units.checked_sub(other.units) {
            Some(units) => Some(Self::from_units(units)),
            None => None,
        }
    }

    /// `self` times an integer, or `None` on overflow.
    #[must_use]
    pub const fn checked_mul(self, times: i64) -> Option<Self> {
        match self.units.checked_mul(times) {
            Some(units) => Some(Self::from_units(units)),
            None => None,
        }
    }

    /// The largest multiple of `step` that is not above `self`; `None` unless `step` is positive.
    #[must_use]
    pub const fn floor_to(self, step: Self) -> Option<Self> {
        if step.units <= 0 {
            return None;
        }
        match self.units.checked_sub(self.units.rem_euclid(step.units)) {
            Some(units) => Some(Self::from_units(units)),
            None => None,
        }
    }

    /// The smallest multiple of `step` that is not below `self`; `None` unless `step` is positive.
    #[must_use]
    pub const fn ceil_to(self, step: Self) -> Option<Self> {
        if step.units <= 0 {
            return None;
        }
        let rest = self.units.rem_euclid(step.units);
        if rest == 0 {
            return Some(self);
        }
        match self.units.checked_add(step.units - rest) {
            Some(units) => Some(Self::from_units(units)),
            None => None,
        }
    }

    /// Magnitude; saturates at [`Fixed::MAX`] for the one value that has none.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self::from_units(self.units.saturating_abs())
    }

    /// Parses plain decimal text: `-?digits[.digits]`, at most 8 digits after the point.
    ///
    /// # Errors
    /// Says which rule the text breaks. Exponents, signs other than a leading `-`, blanks and
    /// thousands separators are refused: they are signs of a column that is not a price.
    pub fn parse(text: &[u8]) -> Result<Self, FixedError> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let point = digits.iter().position(|&b| b == b'.').unwrap_or(digits.len());
        let (whole, fraction) = digits.split_at(point);
        let fraction = match fraction {
            [] => fraction,
            [_, rest @ ..] if !rest.is_empty() => rest,
            _ => return Err(FixedError::NotDecimal),
        };
        if whole.is_empty() {
            return Err(if text.is_empty() { FixedError::Empty } else { FixedError::NotDecimal });
        }
        let mut units: i64 = 0;
        for &byte in whole.iter().chain(fraction) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Err(FixedError::NotDecimal);
            }
            units = match units.checked_mul(10) {
                Some(scaled) => scaled.checked_sub(i64::from(digit)).ok_or(FixedError::Overflow)?,
                None => return Err(FixedError::Overflow),
            };
        }
        if fraction.len() > DECIMALS {
            return Err(FixedError::TooManyDigits { found: fraction.len() });
        }
        // Accumulated below zero, where the range is one larger, so that the minimum parses too.
        let scaled = units.checked_mul(POWERS_OF_TEN[DECIMALS - fraction.len()]).ok_or(FixedError::Overflow)?;
        let signed = if negative { Some(scaled) } else { scaled.checked_neg() };
        signed.map(Self::from_units).ok_or(FixedError::Overflow)
    }
}

const POWERS_OF_TEN: [i64; DECIMALS + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Why a text is not a fixed-point number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FixedError {
    /// Nothing there.
    #[error("expected a decimal number, found nothing")]
    Empty,
    /// A byte that does not belong, or a point without digits on both sides.
    #[error("expected a plain decimal number such as 1.08195")]
    NotDecimal,
    /// More than 8 digits after the point: keeping them would change the number.
    #[error("expected at most 8 digits after the point, found {found}")]
    TooManyDigits {
        /// Digits after the point.
        found: usize,
    },
    /// Outside ±92,233,720,368.54775807.
    #[error("expected a number within ±92233720368.54775807")]
    Overflow,
}

impl<U> Clone for Fixed<U> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<U> Copy for Fixed<U> {}
impl<U> Default for Fixed<U> {
    fn default() -> Self {
        Self::ZERO
    }
}
impl<U> PartialEq for Fixed<U> {
    fn eq(&self, other: &Self) -> bool {
        self.units == other.units
    }
}
impl<U> Eq for Fixed<U> {}
impl<U> PartialOrd for Fixed<U> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<U> Ord for Fixed<U> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.units.cmp(&other.units)
    }
}
impl<U> Hash for Fixed<U> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.units.hash(state);
    }
}

/// The shortest exact decimal text; `{:.5}` pads (never cuts) to five digits after the point.
impl<U> fmt::Display for Fixed<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.units.unsigned_abs();
        let (whole, mut fraction) = (magnitude / SCALE as u64, magnitude % SCALE as u64);
        let mut digits = DECIMALS;
        while digits > f.precision().unwrap_or(0).min(DECIMALS) && fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        let sign = if self.units < 0 { "-" } else { "" };
        if digits == 0 {
            f.pad_integral(true, "", &format!("{sign}{whole}"))
        } else {
            f.pad_integral(true, "", &format!("{sign}{whole}.{fraction:0digits$}"))
        }
    }
}

impl<U> fmt::Debug for Fixed<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<U> FromStr for Fixed<U> {
    type Err = FixedError;
    fn from_str(text: &str) -> Result<Self, FixedError> {
        Self::parse(text.as_bytes())
    }
}

impl<U> Serialize for Fixed<U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Accepts decimal text, or a number whose shortest decimal text is exact (`0.01`).
impl<'de, U> Deserialize<'de> for Fixed<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FixedVisitor<U>(PhantomData<U>);
        impl<U> Visitor<'_> for FixedVisitor<U> {
            type Value = Fixed<U>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number with at most 8 digits after the point")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Fixed::parse(text.as_bytes()).map_err(|error| E::custom(format!("{error}, found {text:?}")))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(FixedVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_in_and_the_same_text_comes_out() {
        for text in ["0", "1", "-1", "1.08195", "-0.00000001", "92233720368.54775807", "-92233720368.54775808"] {
            let price: Price = text.parse().unwrap();
            assert_eq!(price.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        let parse = |text: &str| text.parse::<Price>();
        assert_eq!(parse(""), Err(FixedError::Empty));
        for text in ["-", ".", "1.", ".5", "+1", "1e5", " 1", "1 ", "1,000", "nan", "inf", "--1", "1.2.3"] {
            assert_eq!(parse(text), Err(FixedError::NotDecimal), "{text:?}");
        }
        assert_eq!(parse("1.000000001"), Err(FixedError::TooManyDigits { found: 9 }));
        assert_eq!(parse("92233720368.54775808"), Err(FixedError::Overflow));
        assert_eq!(parse("99999999999999999999"), Err(FixedError::Overflow));
    }

    #[test]
    fn padding_keeps_every_digit() {
        let price: Price = "1.1".parse().unwrap();
        assert_eq!(format!("{price:.5}"), "1.10000");
        let fine: Price = "1.12345678".parse().unwrap();
        assert_eq!(format!("{fine:.5}"), "1.12345678");
    }

    #[test]
    fn steps_round_toward_the_named_side_on_both_sides_of_zero() {
        let step: Qty = "0.05".parse().unwrap();
        let floor = |text: &str| text.parse::<Qty>().unwrap().floor_to(step).unwrap().to_string();
        let ceil = |text: &str| text.parse::<Qty>().unwrap().ceil_to(step).unwrap().to_string();
        assert_eq!((floor("0.12"), ceil("0.12")), ("0.1".into(), "0.15".into()));
        assert_eq!((floor("-0.12"), ceil("-0.12")), ("-0.15".into(), "-0.1".into()));
        assert_eq!((floor("0.1"), ceil("0.1")), ("0.1".into(), "0.1".into()));
        assert_eq!(Qty::whole(1).floor_to(Qty::ZERO), None);
        assert_eq!(Qty::MAX.ceil_to(Qty::whole(7)), None);
    }
}

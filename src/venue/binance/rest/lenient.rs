//! Numbers that a venue reckons instead of copying: an average entry price has as many digits as the division gave
//! (`"0.1066545918361"`), or an exponent (`"2.771E-4"`). They are rounded to units of ours. One that is no number of
//! ours must not hide the rest of an answer.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{self, Visitor};

use crate::core::fixed::{DECIMALS, Fixed};

/// Digits beyond so many change no unit of ours.
const DIGITS: i128 = 10_i128.pow(28);

/// The nearest number of ours, halves away from zero; `None` for text that is no number or lies outside the range.
fn parse<U>(text: &[u8]) -> Option<Fixed<U>> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let (digits, exponent) = text.split_at(end);
    let exponent: i32 = match exponent {
        [] => 0,
        [_, number @ ..] => std::str::from_utf8(number).ok()?.parse().ok()?,
    };
    // The value in units is `mantissa` times ten to the `power`.
    let (mut mantissa, mut power) = (0_i128, i64::from(exponent) + DECIMALS as i64);
    let (mut point, mut found) = (false, false);
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                found = true;
                if mantissa < DIGITS {
                    mantissa = mantissa * 10 + i128::from(byte - b'0');
                    power -= i64::from(point);
                } else {
                    power += i64::from(!point);
                }
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    let scale = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10_i128.checked_pow(power));
    let units = match (mantissa, scale) {
        _ if !found => return None,
        (0, _) => 0,
        (_, Some(scale)) if power >= 0 => mantissa.checked_mul(scale)?,
        (_, Some(scale)) => (mantissa + scale / 2) / scale,
        (_, None) if power >= 0 => return None,
        // Less than the smallest unit.
        (_, None) => 0,
    };
    i64::try_from(if negative { -units } else { units }).ok().map(Fixed::from_units)
}

/// For `deserialize_with`: a number of ours, or zero.
pub(in crate::venue::binance) fn or_zero<'de, D: Deserializer<'de>, U>(deserializer: D) -> Result<Fixed<U>, D::Error> {
    option(deserializer).map(Option::unwrap_or_default)
}

/// For `deserialize_with`: a number of ours, or none.
pub(in crate::venue::binance) fn option<'de, D: Deserializer<'de>, U>(
    deserializer: D,
) -> Result<Option<Fixed<U>>, D::Error> {
    struct Lenient<U>(PhantomData<U>);
    impl<U> Visitor<'_> for Lenient<U> {
        type Value = Option<Fixed<U>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(parse(text.as_bytes()))
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
        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Lenient(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixed::PriceUnit;
    use crate::core::{Price, Qty};

    #[test]
    fn averages_are_rounded_and_exponents_read() {
        for (text, wanted) in [
            ("0.1066545918361", "0.10665459"),
            ("0.106654595", "0.1066546"),
            ("-0.106654595", "-0.1066546"),
            ("2.771E-4", "0.0002771"),
            ("2.771e-4", "0.0002771"),
            ("6.00005E+4", "60000.5"),
            ("0E-8", "0"),
            ("0E+99999", "0"),
            ("1E-9", "0"),
            ("5E-9", "0.00000001"),
            ("1E-99999", "0"),
            ("60000.5", "60000.5"),
            ("0.0", "0"),
            ("+1", "1"),
            ("92233720368.54775807", "92233720368.54775807"),
            ("1.00000000000000000000000000000000000000000000000001", "1"),
            ("0.00000000000000000000000000000000000000000000000001", "0"),
            ("10000000000000000000000000000000000000000000000E-46", "1"),
        ] {
            assert_eq!(parse::<PriceUnit>(text.as_bytes()), wanted.parse().ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_ours_is_none() {
        for text in
            ["", "-", ".", "E4", "1E", "1E4.5", "1.2.3", "NaN", "Infinity", "1,5", " 1", "1E11", "92233720368.6"]
        {
            assert_eq!(parse::<PriceUnit>(text.as_bytes()), None, "{text:?}");
        }
        for text in ["1E99999999999", "1E2147483647", "1E-2147483648x"] {
            assert_eq!(parse::<PriceUnit>(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn one_odd_number_does_not_fail_its_row() {
        #[derive(serde::Deserialize)]
        struct Row {
            #[serde(default, deserialize_with = "or_zero")]
            price: Price,
            #[serde(default, deserialize_with = "option")]
            qty: Option<Qty>,
        }
        let rows: Vec<Row> = serde_json::from_str(
            r#"[{"price":"0.1066545918361","qty":"1.5"},{"price":"NaN","qty":"-"},{"price":null,"qty":null},{},{"price":0.25,"qty":3}]"#,
        )
        .unwrap();
        let found: Vec<String> =
            rows.iter().map(|row| format!("{} {:?}", row.price, row.qty.map(Qty::units))).collect();
        let wanted = ["0.10665459 Some(150000000)", "0 None", "0 None", "0 None", "0.25 Some(300000000)"];
        assert_eq!(found, wanted);
    }
}

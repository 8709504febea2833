//! Parameters of a request, wherever they came from: query string, form body, or a JSON object. Bytes
//! from outside; every typed access answers with the venue's own error.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use crate::core::{Price, Qty, Side};

use super::error::ApiError;

/// Most parameters in one request.
const MOST: usize = 64;
/// What a number must look like, in the venue's words.
const DECIMAL: &str = "^([0-9]{1,20})(\\.[0-9]{1,20})?$";

/// Names and values of one request, each name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// From a query string and a form body. The query wins where both have a name.
    ///
    /// # Errors
    /// A name twice in one of them, too many, or text that is not percent-encoded UTF-8.
    pub(super) fn from_form(query: &str, body: &str) -> Result<Self, ApiError> {
        let mut params = Self::default();
        for (part, again) in [(query, false), (body, true)] {
            let known = params.pairs.len();
            for pair in part.split('&').filter(|pair| !pair.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let (name, value) = (decode(name)?, decode(value)?);
                match params.pairs.iter().position(|(have, _)| *have == name) {
                    Some(place) if again && place < known => {}
                    Some(_) => return Err(ApiError::DUPLICATE_PARAMETER),
                    None => params.pairs.push((name.into_owned(), value.into_owned())),
                }
                if params.pairs.len() > MOST {
                    return Err(ApiError::invalid("too many parameters"));
                }
            }
        }
        Ok(params)
    }

    /// From the `params` of a WebSocket API request. Numbers and booleans keep their JSON spelling.
    ///
    /// # Errors
    /// Not an object, or too many members.
    pub(super) fn from_json(value: Option<&Value>) -> Result<Self, ApiError> {
        let object = match value {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Object(object)) if object.len() <= MOST => object,
            Some(_) => return Err(ApiError::INVALID_JSON),
        };
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(Self { pairs: object.iter().map(|(name, value)| (name.clone(), text(value))).collect() })
    }

    /// The value of a name, if it was sent and is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(have, _)| have == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// -1102.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::mandatory(name))
    }

    /// What a WebSocket API signature covers: all but the signature, sorted by name.
    pub(super) fn signed_text(&self, encode_values: bool) -> String {
        let mut pairs: Vec<_> = self.pairs.iter().filter(|(name, _)| name != "signature").collect();
        pairs.sort();
        let pair = |(name, value): &(String, String)| {
            if encode_values { format!("{name}={}", encode(value)) } else { format!("{name}={value}") }
        };
        pairs.into_iter().map(pair).collect::<Vec<_>>().join("&")
    }

    /// A whole number.
    ///
    /// # Errors
    /// -1100 when it is something else.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| ApiError::illegal(name, "^[0-9]{1,20}$"))
    }

    /// A price; `None` when not sent.
    ///
    /// # Errors
    /// -1100, -1111.
    pub(super) fn price(&self, name: &str) -> Result<Option<Price>, ApiError> {
        self.get(name).map(|text| decimal(name, text).map(Price::from_units)).transpose()
    }

    /// A quantity; `None` when not sent.
    ///
    /// # Errors
    /// -1100, -1111.
    pub(super) fn qty(&self, name: &str) -> Result<Option<Qty>, ApiError> {
        self.get(name).map(|text| decimal(name, text).map(Qty::from_units)).transpose()
    }

    /// `BUY` or `SELL`.
    ///
    /// # Errors
    /// -1102, -1117.
    pub(super) fn side(&self) -> Result<Side, ApiError> {
        match self.required("side")? {
            "BUY" => Ok(Side::Buy),
            "SELL" => Ok(Side::Sell),
            _ => Err(ApiError::INVALID_SIDE),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// -1130.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some("true" | "TRUE" | "True") => Ok(Some(true)),
            Some("false" | "FALSE" | "False") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid(name)),
        }
    }

    /// A client order id.
    ///
    /// # Errors
    /// -1100 for other characters or more than 36 of them.
    pub(super) fn client_id(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
        if text.len() > 36 || !text.bytes().all(good) {
            return Err(ApiError::illegal(name, "^[a-zA-Z0-9-_\\.:/]{1,36}$"));
        }
        Ok(Some(text))
    }
}

/// Units of 1e-8 of plain decimal text, not negative.
fn decimal(name: &str, text: &str) -> Result<i64, ApiError> {
    match text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| Price::parse(text.as_bytes())) {
        Some(Ok(price)) => Ok(price.units()),
        Some(Err(crate::core::FixedError::TooManyDigits { .. })) => {
            // Surplus zeros change nothing, and real clients send them.
            let trimmed = text.trim_end_matches('0');
            match Price::parse(trimmed.as_bytes()) {
                Ok(price) => Ok(price.units()),
                Err(_) => Err(ApiError::precision(name)),
            }
        }
        _ => Err(ApiError::illegal(name, DECIMAL)),
    }
}

/// Percent-decodes; `+` is a blank, as in forms.
fn decode(text: &str) -> Result<Cow<'_, str>, ApiError> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let hex = |digit: Option<&u8>| digit.and_then(|digit| (*digit as char).to_digit(16));
    let (bytes, mut out, mut index) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (hex(bytes.get(index)), hex(bytes.get(index + 1))) else {
                    return Err(ApiError::illegal("query", "percent-encoded UTF-8"));
                };
                out.push((high * 16 + low) as u8);
                index += 2;
            }
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| ApiError::illegal("query", "percent-encoded UTF-8"))
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_query_wins_over_the_body_and_a_name_comes_once() {
        let params = Params::from_form("a=1&b=%32", "b=9&c=x+y").unwrap();
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), Some("2"), Some("x y")));
        assert_eq!(Params::from_form("a=1&a=1", ""), Err(ApiError::DUPLICATE_PARAMETER));
    }

    #[test]
    fn what_is_signed_is_sorted_and_without_the_signature() {
        let value = serde_json::json!({"b": 2, "signature": "x", "a": false, "c": "é"});
        let params = Params::from_json(Some(&value)).unwrap();
        assert_eq!(params.signed_text(false), "a=false&b=2&c=é");
        assert_eq!(params.signed_text(true), "a=false&b=2&c=%C3%A9");
    }

    #[test]
    fn numbers_are_refused_in_the_venues_words() {
        let price = |text: &str| Params::from_form(&format!("price={text}"), "").unwrap().price("price");
        assert_eq!(price("54000.0"), Ok(Some(Price::whole(54_000))));
        assert_eq!(price("1.1000000000"), Ok(Some("1.1".parse().unwrap())));
        assert_eq!(price("1.123456789"), Err(ApiError::precision("price")));
        for bad in ["-1", "1e5", "abc", "1.", "99999999999999999999999"] {
            assert_eq!(price(bad), Err(ApiError::illegal("price", DECIMAL)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in any::<String>(), body in any::<String>()) {
            let _ = Params::from_form(&query, &body);
        }

        #[test]
        fn encoding_and_decoding_are_inverse(text in any::<String>()) {
            let coded = encode(&text);
            prop_assert_eq!(decode(&coded).unwrap(), text);
        }
    }
}

//! Writes JSON in the order it is told, which is the order of the venue's documents: a scanner that
//! relies on it can be tested here. Reading is `serde_json`'s work.

use std::fmt::{Display, Write as _};

/// An object under construction.
pub(super) struct Object {
    text: String,
}

impl Object {
    /// `{`.
    pub(super) fn new() -> Self {
        Self { text: String::from("{") }
    }

    fn key(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        let _ = write!(self.text, "\"{name}\":");
    }

    /// A number, `true`, `null`, or JSON text.
    pub(super) fn raw(mut self, name: &str, value: impl Display) -> Self {
        self.key(name);
        let _ = write!(self.text, "{value}");
        self
    }

    /// A text from outside: escaped.
    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.key(name);
        escape(&mut self.text, value);
        self
    }

    /// A price, quantity or amount: a string with exactly eight digits after the point.
    pub(super) fn decimal(mut self, name: &str, value: impl Display) -> Self {
        self.key(name);
        let _ = write!(self.text, "\"{value:.8}\"");
        self
    }

    /// A member that may be missing.
    pub(super) fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.raw(name, value),
            None => self,
        }
    }

    /// `}`.
    pub(super) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// An array of JSON texts.
pub(super) fn array(items: impl IntoIterator<Item = String>) -> String {
    let mut out = String::from("[");
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&item);
    }
    out.push(']');
    out
}

/// A JSON string of any text.
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    escape(&mut out, text);
    out
}

/// Appends a JSON string.
pub(super) fn escape(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if (control as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_survives_a_json_reader(text in any::<String>()) {
            let object = Object::new().text("t", &text).raw("n", 7).end();
            let back: serde_json::Value = serde_json::from_str(&object).unwrap();
            prop_assert_eq!(back["t"].as_str(), Some(text.as_str()));
            prop_assert_eq!(back["n"].as_u64(), Some(7));
        }
    }
}

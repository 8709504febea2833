//! Universal Binary JSON as XGBoost writes it (`.ubj`), as a serde deserializer: the same structures
//! read either form of a model.
//!
//! | marker | what follows |
//! |---|---|
//! | `Z` `T` `F` | nothing: null, true, false |
//! | `i` `U` `I` `l` `L` | an integer: i8, u8, i16, i32, i64, big-endian |
//! | `d` `D` | a float: f32, f64, big-endian |
//! | `C` | one ASCII character |
//! | `S` | a length (an integer with its marker), then as many bytes of UTF-8 |
//! | `[` … `]` | values; `[#n`: exactly n of them; `[$t#n`: n of type t, without their markers |
//! | `{` … `}` | pairs of a length-prefixed key (no marker) and a value; `{#n`: exactly n |
//!
//! Every length is checked against the bytes that are left before anything is set aside for it.

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Deepest nesting that is read.
const MAX_DEPTH: u32 = 64;

/// What cannot be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("{message} at byte {at}")]
pub(super) struct UbjsonError {
    message: String,
    at: usize,
}

impl de::Error for UbjsonError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), at: 0 }
    }
}

/// A reader of one document.
pub(super) struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: u32,
}

type Result<T> = std::result::Result<T, UbjsonError>;

impl<'de> Reader<'de> {
    /// A reader at the start of `bytes`.
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// Checks that nothing follows the document.
    pub(super) fn end(&self) -> Result<()> {
        if self.at == self.bytes.len() { Ok(()) } else { self.fail("expected the end of the file, found more bytes") }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(UbjsonError { message: message.into(), at: self.at })
    }

    fn peek(&self) -> Result<u8> {
        self.bytes.get(self.at).map_or_else(|| self.fail("expected a value, found the end of the file"), |b| Ok(*b))
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, count: usize) -> Result<&'de [u8]> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..count)) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => self.fail(format!("expected {count} more bytes, found the end of the file")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn integer(&mut self, marker: u8) -> Result<i64> {
        Ok(match marker {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(u8::from_be_bytes(self.array()?)),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return self.fail(format!("expected an integer, found marker {:?}", char::from(marker))),
        })
    }

    /// A length, which what is left of the file bounds: every element takes at least one byte.
    fn length(&mut self) -> Result<usize> {
        let marker = self.byte()?;
        let length = self.integer(marker)?;
        match usize::try_from(length) {
            Ok(length) if length <= self.bytes.len() - self.at => Ok(length),
            _ => self.fail(format!("expected a length within the file, found {length}")),
        }
    }

    fn text(&mut self) -> Result<&'de str> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).or_else(|_| self.fail("expected UTF-8 text, found other bytes"))
    }

    /// Reads `$type` and `#count` of a container.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>)> {
        let mut kind = None;
        if self.peek()? == b'$' {
            self.at += 1;
            let marker = self.byte()?;
            // A type without a payload would let a count stand for elements that take no bytes.
            if !matches!(marker, b'i' | b'U' | b'I' | b'l' | b'L' | b'd' | b'D') {
                return self.fail(format!("expected an array of numbers, found type {:?}", char::from(marker)));
            }
            if self.peek()? != b'#' {
                return self.fail("expected a count after the type of an array, found none");
            }
            kind = Some(marker);
        }
        if self.peek()? != b'#' {
            return Ok((kind, None));
        }
        self.at += 1;
        Ok((kind, Some(self.length()?)))
    }

    fn value<V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Result<V::Value> {
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'C' => visitor.visit_char(char::from(self.byte()?)),
            b'S' => visitor.visit_borrowed_str(self.text()?),
            b'[' | b'{' => {
                if self.depth == MAX_DEPTH {
                    return self.fail("expected a model, found nesting without end");
                }
                self.depth += 1;
                let (kind, left) = self.header()?;
                let value = if marker == b'[' {
                    visitor.visit_seq(Items { reader: self, kind, left })
                } else if kind.is_some() {
                    self.fail("expected an object, found a typed one")
                } else {
                    visitor.visit_map(Items { reader: self, kind, left })
                };
                self.depth -= 1;
                value
            }
            _ => visitor.visit_i64(self.integer(marker)?),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let marker = self.byte()?;
        self.value(marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.peek()? == b'Z' {
            self.at += 1;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// An element of a typed array: its marker stands before the array.
struct Typed<'a, 'de> {
    reader: &'a mut Reader<'de>,
    marker: u8,
}

impl<'de> Deserializer<'de> for Typed<'_, 'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.reader.value(self.marker, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What is left of a container: a count, or everything up to its closing marker.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    kind: Option<u8>,
    left: Option<usize>,
}

impl Items<'_, '_> {
    /// True when there is another element; the closing marker is consumed.
    fn another(&mut self, close: u8) -> Result<bool> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.reader.peek()? == close => {
                self.reader.at += 1;
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = UbjsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if !self.another(b']')? {
            return Ok(None);
        }
        match self.kind {
            Some(marker) => seed.deserialize(Typed { reader: &mut *self.reader, marker }).map(Some),
            None => seed.deserialize(&mut *self.reader).map(Some),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.left
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = UbjsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if !self.another(b'}')? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    fn read(bytes: &[u8]) -> Result<Value> {
        let mut reader = Reader::new(bytes);
        let value = Value::deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    #[test]
    fn every_marker_reads_as_its_table_says() {
        let bytes = b"{i\x01a[i\xffU\xffI\x01\x00l\x00\x01\x00\x00L\x00\x00\x00\x00\x00\x00\x00\x07TFZCxSi\x02hi]L\0\0\0\0\0\0\0\x01b[$d#i\x01\x3f\x80\0\0}";
        let expected = json!({"a": [-1, 255, 256, 65_536, 7, true, false, null, "x", "hi"], "b": [1.0]});
        assert_eq!(read(bytes).unwrap(), expected);
        assert_eq!(read(b"[#i\x02TT").unwrap(), json!([true, true]));
        assert_eq!(read(b"{#i\x01i\x01kF").unwrap(), json!({"k": false}));
    }

    #[test]
    fn a_length_that_the_file_cannot_hold_is_refused_before_it_is_set_aside() {
        assert!(read(b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff\0").unwrap_err().to_string().contains("length"));
        assert!(read(b"[$Z#l\x00\xff\xff\xff").unwrap_err().to_string().contains("numbers"));
        assert!(read(b"Si\xffx").unwrap_err().to_string().contains("length"));
        assert!(read(&vec![b'['; 100_000]).unwrap_err().to_string().contains("nesting"));
        assert!(read(b"Z!").unwrap_err().to_string().contains("more bytes"));
    }
}

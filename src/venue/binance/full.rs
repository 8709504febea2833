//! Every text frame of a market stream, through a full JSON parser: the reference for the hot scanner
//! and what it falls back to. Unknown keys are passed over; known keys of an unexpected type make a
//! quote or a trade malformed, never approximate.
//!
//! Numbers are taken from the frame as they stand: an escaped string is not read as a price.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::message::{MarketMessage, QuoteMessage, TradeMessage, time};
use crate::core::fixed::Fixed;
use crate::core::payload::{Quote, Trade};
use crate::core::{Price, Qty};

/// What a text frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextFrame<'a> {
    /// A quote or a trade.
    Market(MarketMessage<'a>),
    /// The answer to a control message, by its number; `code` is set when it was refused.
    Answer {
        /// The number we gave it, where it is one.
        id: Option<u64>,
        /// The venue's error code.
        code: Option<i64>,
    },
    /// The venue will close this connection soon.
    ServerShutdown,
    /// Another stream: nothing that the engine uses.
    Other,
}

/// Why a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not one JSON object.
    #[error("expected a JSON object, found {0}")]
    Json(String),
    /// A quote or trade that lacks a field, or whose field is of another type or out of range.
    #[error("expected {0} in a market message, found none that is usable")]
    Field(&'static str),
}

/// Parses a text frame.
///
/// # Errors
/// [`FrameError`]; nothing of a bad frame is used.
pub fn parse(frame: &[u8]) -> Result<TextFrame<'_>, FrameError> {
    let mut deserializer = serde_json::Deserializer::from_slice(frame);
    // Only an error's text is allocated; its length is bounded by the parser.
    let body = BodySeed { inside: false }
        .deserialize(&mut deserializer)
        .and_then(|body| deserializer.end().map(|()| body))
        .map_err(|error| FrameError::Json(error.to_string()))?;
    body.classify()
}

/// Keys that are looked at, in the order of [`Body::words`].
const KEYS: [&str; 15] = ["e", "s", "T", "u", "b", "B", "a", "A", "p", "q", "t", "m", "id", "code", "result"];
const E: usize = 0;
const SYMBOL: usize = 1;
const TIME: usize = 2;
const UPDATE: usize = 3;
const BID: usize = 4;
const BID_QTY: usize = 5;
const ASK: usize = 6;
const ASK_QTY: usize = 7;
const PRICE: usize = 8;
const QTY: usize = 9;
const TRADE_ID: usize = 10;
const MAKER: usize = 11;
const ID: usize = 12;
const CODE: usize = 13;
const RESULT: usize = 14;
/// Where the object under `data` would stand.
const DATA: usize = KEYS.len();

/// One object of a stream. A derived structure would also accept an array, by position.
struct Body<'a> {
    words: [Word<'a>; KEYS.len()],
}

/// Reads an object; the one under `data` takes its place, one level deep.
struct BodySeed {
    inside: bool,
}

impl<'de> DeserializeSeed<'de> for BodySeed {
    type Value = Body<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BodySeed {
    type Value = Body<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut words = [Word::Absent; KEYS.len()];
        let mut data = None;
        while let Some(Key(key)) = map.next_key()? {
            match key {
                Some(at) if at < DATA => {
                    if words[at] != Word::Absent {
                        return Err(de::Error::duplicate_field(KEYS[at]));
                    }
                    words[at] = map.next_value()?;
                }
                Some(_) if !self.inside => {
                    if data.is_some() {
                        return Err(de::Error::duplicate_field("data"));
                    }
                    data = Some(map.next_value_seed(BodySeed { inside: true })?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(data.unwrap_or(Body { words }))
    }
}

/// A key's place in [`KEYS`], [`DATA`], or none.
struct Key(Option<usize>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
                Ok(Key(KEYS.iter().position(|known| *known == key).or((key == "data").then_some(DATA))))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'a> Body<'a> {
    fn classify(&self) -> Result<TextFrame<'a>, FrameError> {
        let has = |at: usize| self.words[at] != Word::Absent;
        match self.words[E] {
            Word::Text("bookTicker") => self.quote(),
            Word::Text("trade") => self.trade(TRADE_ID),
            Word::Text("aggTrade") => self.trade(ASK),
            Word::Text("serverShutdown") => Ok(TextFrame::ServerShutdown),
            Word::Absent if has(BID) && has(ASK) => self.quote(),
            Word::Absent if has(ID) || has(CODE) || has(RESULT) => {
                let number = |at: usize| if let Word::Number(number) = self.words[at] { Some(number) } else { None };
                let id = number(ID).and_then(|id| u64::try_from(id).ok());
                Ok(TextFrame::Answer { id, code: number(CODE).and_then(|code| i64::try_from(code).ok()) })
            }
            _ => Ok(TextFrame::Other),
        }
    }

    fn quote(&self) -> Result<TextFrame<'a>, FrameError> {
        let quote = Quote {
            bid: Price::from_units(self.decimal(BID, "bid \"b\"")?),
            ask: Price::from_units(self.decimal(ASK, "ask \"a\"")?),
            bid_qty: Qty::from_units(self.decimal(BID_QTY, "bid size \"B\"")?),
            ask_qty: Qty::from_units(self.decimal(ASK_QTY, "ask size \"A\"")?),
        };
        let when = if self.words[TIME] == Word::Absent { 0 } else { self.number(TIME, "time \"T\"")? };
        let update_id = self.number(UPDATE, "update id \"u\"")?;
        let message = QuoteMessage { symbol: self.symbol()?, update_id, venue: time(when), quote };
        Ok(TextFrame::Market(MarketMessage::Quote(message)))
    }

    fn trade(&self, number: usize) -> Result<TextFrame<'a>, FrameError> {
        let trade = Trade {
            price: Price::from_units(self.decimal(PRICE, "price \"p\"")?),
            qty: Qty::from_units(self.decimal(QTY, "size \"q\"")?),
            trade_id: self.number(number, "trade id \"t\" or \"a\"")?,
        };
        let venue = time(self.number(TIME, "time \"T\"")?);
        let Word::Bool(buyer_is_maker) = self.words[MAKER] else {
            return Err(FrameError::Field("maker's side \"m\""));
        };
        let message = TradeMessage { symbol: self.symbol()?, venue, trade, buyer_is_maker };
        Ok(TextFrame::Market(MarketMessage::Trade(message)))
    }

    fn symbol(&self) -> Result<&'a [u8], FrameError> {
        match self.words[SYMBOL] {
            Word::Text(symbol) => Ok(symbol.as_bytes()),
            _ => Err(FrameError::Field("symbol \"s\"")),
        }
    }

    /// A decimal of 0 or more, in units of 1e-8.
    fn decimal(&self, at: usize, name: &'static str) -> Result<i64, FrameError> {
        let Word::Text(text) = self.words[at] else { return Err(FrameError::Field(name)) };
        let units = Fixed::<()>::parse(text.as_bytes()).ok().map(Fixed::units);
        units.filter(|_| !text.starts_with('-')).ok_or(FrameError::Field(name))
    }

    fn number(&self, at: usize, name: &'static str) -> Result<u64, FrameError> {
        match self.words[at] {
            Word::Number(number) => u64::try_from(number).map_err(|_| FrameError::Field(name)),
            _ => Err(FrameError::Field(name)),
        }
    }
}

/// One JSON value, as far as market messages need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Word<'a> {
    #[default]
    Absent,
    Text(&'a str),
    Number(i128),
    Bool(bool),
    /// Anything else: an escaped string, a fraction, null, an array, an object.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for WordVisitor<'a> {
            type Value = Word<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Word<'a>, E> {
                Ok(Word::Text(text))
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Word<'a>, E> {
                Ok(Word::Other)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word<'a>, E> {
                Ok(Word::Number(number.into()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word<'a>, E> {
                Ok(Word::Number(number.into()))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Word<'a>, E> {
                Ok(Word::Other)
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Word<'a>, E> {
                Ok(Word::Bool(value))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Word<'a>, E> {
                Ok(Word::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Word<'a>, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Word::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Word<'a>, A::Error> {
                while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Word::Other)
            }
        }
        deserializer.deserialize_any(WordVisitor(PhantomData))
    }
}

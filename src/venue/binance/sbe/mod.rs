//! Binary market streams: Simple Binary Encoding, schema `stream_1_0.xml` (id 1, version 0),
//! little-endian. Both sides use this file: the adapter decodes, the simulated venue encodes.
//!
//! | template | root block | then |
//! |---|---|---|
//! | 10000 `trade` | event time i64, transaction time i64, price exponent i8, quantity exponent i8 | trades: block length u16, count u32, each id i64, price i64, quantity i64, buyer is maker u8; symbol |
//! | 10001 `bestBidAsk` | event time i64, book update id i64, price exponent i8, quantity exponent i8, bid price, bid quantity, ask price, ask quantity i64 | symbol |
//!
//! A frame begins with block length, template, schema and version (u16 each); a symbol is its length
//! (u8) and UTF-8. Times are microseconds. A number is `mantissa * 10^exponent` and becomes units of
//! 1e-8 exactly or not at all. Blocks longer than ours are of a newer version: the surplus is passed
//! over, by their own length. Decoding borrows from the frame and allocates nothing.

use crate::core::payload::Quote;
use crate::core::{Price, Qty};

/// The schema that both templates belong to.
const SCHEMA: u16 = 1;
const TRADE: u16 = 10_000;
const BEST_BID_ASK: u16 = 10_001;
const TRADE_BLOCK: u16 = 18;
const BEST_BID_ASK_BLOCK: u16 = 50;
/// Bytes of one trade in the group.
const TRADE_ENTRY: u16 = 25;
/// The exponent of 1e-8 units: mantissa and units are the same number.
const UNIT_EXPONENT: i8 = -8;

/// Decimal exponents of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exponents {
    /// Of prices.
    pub price: i8,
    /// Of quantities.
    pub qty: i8,
}

impl Exponents {
    /// Mantissas in units of 1e-8: every value can be written.
    pub const UNITS: Self = Self { price: UNIT_EXPONENT, qty: UNIT_EXPONENT };
}

/// Best prices of one symbol: template 10001.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BestBidAsk<'a> {
    /// When the venue made it, microseconds since the epoch.
    pub event_time_us: i64,
    /// Rising per symbol; may jump.
    pub book_update_id: i64,
    /// Prices and quantities.
    pub quote: Quote,
    /// Upper case, as the venue writes it; not yet known to be a symbol of ours.
    pub symbol: &'a [u8],
}

/// One trade of a [`Trades`] message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradeEntry {
    /// The venue's number of the trade.
    pub id: i64,
    /// Price traded.
    pub price: Price,
    /// Quantity traded.
    pub qty: Qty,
    /// True when the aggressor sold.
    pub buyer_is_maker: bool,
}

/// One or more trades of one symbol: template 10000. Entries are decoded as they are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trades<'a> {
    /// When the venue made the message, microseconds since the epoch.
    pub event_time_us: i64,
    /// When they traded, microseconds since the epoch.
    pub transact_time_us: i64,
    /// Upper case, as the venue writes it.
    pub symbol: &'a [u8],
    exponents: Exponents,
    entries: &'a [u8],
    entry_bytes: usize,
}

/// A decoded frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SbeMessage<'a> {
    /// Best prices.
    BestBidAsk(BestBidAsk<'a>),
    /// Trades.
    Trades(Trades<'a>),
    /// Another template of the same schema (depth): nothing that the engine uses.
    Other(u16),
}

/// Why bytes are not a message, or a value cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SbeError {
    /// The frame ends too early.
    #[error("expected {needed} more bytes of {part}, found {found}: the frame is truncated")]
    Truncated {
        /// What was being read.
        part: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes left.
        found: usize,
    },
    /// Another schema.
    #[error("expected SBE schema {SCHEMA}, found {0}: not a market stream, or a newer one")]
    Schema(u16),
    /// A block shorter than its fields.
    #[error("expected a block of at least {expected} bytes, found {found}")]
    Block {
        /// Bytes of the fields.
        expected: u16,
        /// Length the frame claims.
        found: u16,
    },
    /// The number does not fit units of 1e-8, or this message's exponent, without rounding.
    #[error("expected a number of at least 0 that is exact in units of 1e-8, found {mantissa}e{exponent}")]
    Number {
        /// Mantissa (units when encoding).
        mantissa: i64,
        /// Decimal exponent.
        exponent: i8,
    },
    /// The field `isBuyerMaker` is neither 0 nor 1.
    #[error("expected 0 or 1 for isBuyerMaker, found {0}")]
    Bool(u8),
    /// Too long for its length field.
    #[error("expected a symbol of at most 255 bytes, found {0}")]
    Symbol(usize),
}

/// Decodes one binary frame.
///
/// # Errors
/// [`SbeError`]; no part of a bad frame is used. Every trade of a [`Trades`] has been checked.
#[inline]
pub fn decode(frame: &[u8]) -> Result<SbeMessage<'_>, SbeError> {
    let mut cursor = Cursor { rest: frame };
    let [block, template, schema, _version] = [cursor.u16()?, cursor.u16()?, cursor.u16()?, cursor.u16()?];
    if schema != SCHEMA {
        return Err(SbeError::Schema(schema));
    }
    match template {
        BEST_BID_ASK => {
            let root = cursor.block(block, BEST_BID_ASK_BLOCK)?;
            let symbol = cursor.symbol()?;
            best_bid_ask(root, symbol).map(SbeMessage::BestBidAsk)
        }
        TRADE => trades(cursor, block).map(SbeMessage::Trades),
        other => Ok(SbeMessage::Other(other)),
    }
}

fn best_bid_ask<'a>(mut root: Cursor<'a>, symbol: &'a [u8]) -> Result<BestBidAsk<'a>, SbeError> {
    let (event_time_us, book_update_id) = (root.i64()?, root.i64()?);
    let exponents = Exponents { price: root.i8()?, qty: root.i8()? };
    let quote = Quote {
        bid: Price::from_units(to_units(root.i64()?, exponents.price)?),
        bid_qty: Qty::from_units(to_units(root.i64()?, exponents.qty)?),
        ask: Price::from_units(to_units(root.i64()?, exponents.price)?),
        ask_qty: Qty::from_units(to_units(root.i64()?, exponents.qty)?),
    };
    Ok(BestBidAsk { event_time_us, book_update_id, quote, symbol })
}

fn trades(mut cursor: Cursor<'_>, block: u16) -> Result<Trades<'_>, SbeError> {
    let mut root = cursor.block(block, TRADE_BLOCK)?;
    let (event_time_us, transact_time_us) = (root.i64()?, root.i64()?);
    let exponents = Exponents { price: root.i8()?, qty: root.i8()? };
    let (entry, count) = (cursor.u16()?, cursor.u32()?);
    if entry < TRADE_ENTRY {
        return Err(SbeError::Block { expected: TRADE_ENTRY, found: entry });
    }
    let bytes = u64::from(entry) * u64::from(count);
    let entries = cursor.take(usize::try_from(bytes).unwrap_or(usize::MAX), "the trades")?;
    let symbol = cursor.symbol()?;
    let entry_bytes = usize::from(entry);
    let trades = Trades { event_time_us, transact_time_us, symbol, exponents, entries, entry_bytes };
    trades.entries.chunks_exact(entry_bytes).try_for_each(|entry| trades.entry(entry).map(|_| ()))?;
    Ok(trades)
}

impl<'a> Trades<'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() / self.entry_bytes
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The trades, in the venue's order.
    pub fn iter(&self) -> impl Iterator<Item = TradeEntry> + 'a {
        let trades = *self;
        // Checked once by `decode`: nothing is left out here.
        self.entries.chunks_exact(self.entry_bytes).filter_map(move |entry| trades.entry(entry).ok())
    }

    fn entry(&self, bytes: &[u8]) -> Result<TradeEntry, SbeError> {
        let mut entry = Cursor { rest: bytes };
        Ok(TradeEntry {
            id: entry.i64()?,
            price: Price::from_units(to_units(entry.i64()?, self.exponents.price)?),
            qty: Qty::from_units(to_units(entry.i64()?, self.exponents.qty)?),
            buyer_is_maker: match entry.u8()? {
                0 => false,
                1 => true,
                other => return Err(SbeError::Bool(other)),
            },
        })
    }
}

impl BestBidAsk<'_> {
    /// Appends the frame.
    ///
    /// # Errors
    /// A value that these exponents cannot express, or a symbol of over 255 bytes; nothing is
    /// appended then.
    pub fn encode(&self, exponents: Exponents, out: &mut Vec<u8>) -> Result<(), SbeError> {
        let Quote { bid, ask, bid_qty, ask_qty } = self.quote;
        let values = [
            to_mantissa(bid.units(), exponents.price)?,
            to_mantissa(bid_qty.units(), exponents.qty)?,
            to_mantissa(ask.units(), exponents.price)?,
            to_mantissa(ask_qty.units(), exponents.qty)?,
        ];
        let symbol_length = symbol_length(self.symbol)?;
        push_head(out, BEST_BID_ASK_BLOCK, BEST_BID_ASK);
        out.extend_from_slice(&self.event_time_us.to_le_bytes());
        out.extend_from_slice(&self.book_update_id.to_le_bytes());
        out.extend_from_slice(&[exponents.price as u8, exponents.qty as u8]);
        for value in values {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.push(symbol_length);
        out.extend_from_slice(self.symbol);
        Ok(())
    }
}

/// Appends a frame of trades, all of one transaction time.
///
/// # Errors
/// A value that these exponents cannot express, or a symbol of over 255 bytes; nothing is appended
/// then.
pub fn encode_trades(
    event_time_us: i64,
    transact_time_us: i64,
    symbol: &[u8],
    trades: &[TradeEntry],
    exponents: Exponents,
    out: &mut Vec<u8>,
) -> Result<(), SbeError> {
    let (start, symbol_length) = (out.len(), symbol_length(symbol)?);
    push_head(out, TRADE_BLOCK, TRADE);
    out.extend_from_slice(&event_time_us.to_le_bytes());
    out.extend_from_slice(&transact_time_us.to_le_bytes());
    out.extend_from_slice(&[exponents.price as u8, exponents.qty as u8]);
    out.extend_from_slice(&TRADE_ENTRY.to_le_bytes());
    out.extend_from_slice(&(trades.len() as u32).to_le_bytes());
    for trade in trades {
        let price = to_mantissa(trade.price.units(), exponents.price);
        let qty = to_mantissa(trade.qty.units(), exponents.qty);
        let (price, qty) = match (price, qty) {
            (Ok(price), Ok(qty)) => (price, qty),
            (Err(error), _) | (_, Err(error)) => {
                out.truncate(start);
                return Err(error);
            }
        };
        for value in [trade.id, price, qty] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.push(u8::from(trade.buyer_is_maker));
    }
    out.push(symbol_length);
    out.extend_from_slice(symbol);
    Ok(())
}

fn push_head(out: &mut Vec<u8>, block: u16, template: u16) {
    for word in [block, template, SCHEMA, 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn symbol_length(symbol: &[u8]) -> Result<u8, SbeError> {
    u8::try_from(symbol.len()).map_err(|_| SbeError::Symbol(symbol.len()))
}

/// Powers of ten that an `i64` holds.
const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// `mantissa * 10^exponent` in units of 1e-8, if that is a whole number of them in 0..=i64::MAX.
#[inline]
fn to_units(mantissa: i64, exponent: i8) -> Result<i64, SbeError> {
    let shift = i32::from(exponent) - i32::from(UNIT_EXPONENT);
    scaled(mantissa, shift).ok_or(SbeError::Number { mantissa, exponent })
}

/// The mantissa that stands for `units` of 1e-8 at this exponent, if there is one.
fn to_mantissa(units: i64, exponent: i8) -> Result<i64, SbeError> {
    let shift = i32::from(UNIT_EXPONENT) - i32::from(exponent);
    scaled(units, shift).ok_or(SbeError::Number { mantissa: units, exponent })
}

/// `value * 10^shift`, exactly, for a value of 0 or more.
#[inline]
fn scaled(value: i64, shift: i32) -> Option<i64> {
    if value <= 0 {
        return (value == 0).then_some(0);
    }
    let power = *POWERS.get(shift.unsigned_abs() as usize)?;
    if shift >= 0 { value.checked_mul(power) } else { (value % power == 0).then_some(value / power) }
}

/// The part of a frame that is still to be read.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn take(&mut self, bytes: usize, part: &'static str) -> Result<&'a [u8], SbeError> {
        let found = self.rest.len();
        let (head, rest) =
            self.rest.split_at_checked(bytes).ok_or(SbeError::Truncated { part, needed: bytes, found })?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SbeError> {
        let found = self.rest.len();
        let (head, rest) =
            self.rest.split_first_chunk().ok_or(SbeError::Truncated { part: "a field", needed: N, found })?;
        self.rest = rest;
        Ok(*head)
    }

    /// A block whose length the frame states: the fields known here, the surplus passed over.
    #[inline]
    fn block(&mut self, length: u16, fields: u16) -> Result<Cursor<'a>, SbeError> {
        if length < fields {
            return Err(SbeError::Block { expected: fields, found: length });
        }
        Ok(Cursor { rest: self.take(usize::from(length), "the root block")? })
    }

    #[inline]
    fn symbol(&mut self) -> Result<&'a [u8], SbeError> {
        let length = self.u8()?;
        self.take(usize::from(length), "the symbol")
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, SbeError> {
        self.array().map(u8::from_le_bytes)
    }
    #[inline]
    fn i8(&mut self) -> Result<i8, SbeError> {
        self.array().map(i8::from_le_bytes)
    }
    #[inline]
    fn u16(&mut self) -> Result<u16, SbeError> {
        self.array().map(u16::from_le_bytes)
    }
    #[inline]
    fn u32(&mut self) -> Result<u32, SbeError> {
        self.array().map(u32::from_le_bytes)
    }
    #[inline]
    fn i64(&mut self) -> Result<i64, SbeError> {
        self.array().map(i64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests;

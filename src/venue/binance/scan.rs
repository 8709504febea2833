//! The two hot messages of the JSON streams, best prices and trades, from bytes to numbers without
//! allocation: a scanner that knows their shape and gives up on anything it does not.
//!
//! It accepts a subset of what the full parser ([`super::full`]) accepts, and whenever it accepts it
//! yields the same: one flat object, bare or under `{"stream":"..","data":..}`, keys in any order and
//! none twice, no blanks, plain ASCII strings without escapes, whole numbers without sign or leading
//! zero, decimals of at most eight digits after the point. `None` means "ask the full parser", never
//! "bad".
//!
//! | message | keys used |
//! |---|---|
//! | bookTicker | `u` update id, `s` symbol, `b` bid, `B` bid size, `a` ask, `A` ask size, futures also `e`, `T` |
//! | trade | `e`, `s`, `t` trade id, `p` price, `q` size, `T` time, `m` buyer is maker |
//! | aggTrade | as trade, the number of the aggregate in `a` |

use super::message::{MarketMessage, QuoteMessage, TradeMessage, time};
use crate::core::payload::{Quote, Trade};
use crate::core::{Price, Qty};

/// The message in a frame, if it is one of the two in the venue's usual spelling.
#[must_use]
#[inline]
pub fn scan(frame: &[u8]) -> Option<MarketMessage<'_>> {
    let Some(rest) = frame.strip_prefix(b"{\"stream\":\"") else { return object(frame) };
    let length = plain_length(rest)?;
    let data = rest.get(length..)?.strip_prefix(b"\",\"data\":")?;
    object(data.strip_suffix(b"}")?)
}

/// Keys that matter, as bits of "seen". One bit each, so that a key that comes twice is noticed.
const fn bit(key: u8) -> u64 {
    1 << (key & 63)
}
const QUOTE_KEYS: u64 = bit(b'u') | bit(b's') | bit(b'b') | bit(b'B') | bit(b'a') | bit(b'A');
const TRADE_KEYS: u64 = bit(b's') | bit(b'p') | bit(b'q') | bit(b'T') | bit(b'm');

#[derive(Clone, Copy)]
enum Event {
    None,
    BookTicker,
    Trade,
    AggTrade,
}

/// Everything that either message may hold.
struct Fields<'a> {
    seen: u64,
    event: Event,
    symbol: &'a [u8],
    time: u64,
    update: u64,
    trade_id: u64,
    /// `a`: the ask of a bookTicker (text), the number of an aggTrade (number).
    ask: i64,
    aggregate: u64,
    ask_is_text: bool,
    bid: i64,
    bid_qty: i64,
    ask_qty: i64,
    price: i64,
    qty: i64,
    buyer_is_maker: bool,
}

#[inline]
fn object(text: &[u8]) -> Option<MarketMessage<'_>> {
    let mut rest = text.strip_prefix(b"{")?;
    let mut fields = Fields {
        seen: 0,
        event: Event::None,
        symbol: &[],
        time: 0,
        update: 0,
        trade_id: 0,
        ask: 0,
        aggregate: 0,
        ask_is_text: false,
        bid: 0,
        bid_qty: 0,
        ask_qty: 0,
        price: 0,
        qty: 0,
        buyer_is_maker: false,
    };
    loop {
        rest = match rest {
            [b'"', key, b'"', b':', after @ ..] => fields.take(*key, after)?,
            // Futures add fields of two letters (`ps`, `st`): nothing that either message needs.
            [b'"', first, second, b'"', b':', after @ ..] => {
                let plain = first.is_ascii_lowercase() && second.is_ascii_lowercase() && [*first, *second] != *b"id";
                skip(plain.then_some(after)?)?
            }
            _ => return None,
        };
        match rest {
            [b',', after @ ..] => rest = after,
            [b'}'] => return fields.finish(),
            _ => return None,
        }
    }
}

impl<'a> Fields<'a> {
    /// Reads the value of a key; what follows it.
    #[inline]
    fn take(&mut self, key: u8, value: &'a [u8]) -> Option<&'a [u8]> {
        if !key.is_ascii_alphabetic() || self.seen & bit(key) != 0 {
            return None;
        }
        self.seen |= bit(key);
        match key {
            b's' => text(value).map(|(symbol, rest)| {
                self.symbol = symbol;
                rest
            }),
            b'b' => decimal(value, &mut self.bid),
            b'B' => decimal(value, &mut self.bid_qty),
            b'A' => decimal(value, &mut self.ask_qty),
            b'p' => decimal(value, &mut self.price),
            b'q' => decimal(value, &mut self.qty),
            b'u' => integer(value, &mut self.update),
            b'T' => integer(value, &mut self.time),
            b't' => integer(value, &mut self.trade_id),
            b'a' => {
                self.ask_is_text = value.first() == Some(&b'"');
                if self.ask_is_text { decimal(value, &mut self.ask) } else { integer(value, &mut self.aggregate) }
            }
            b'm' => {
                self.buyer_is_maker = value.starts_with(b"true");
                boolean(value)
            }
            b'e' => {
                let (name, rest) = text(value)?;
                self.event = match name {
                    b"bookTicker" => Event::BookTicker,
                    b"trade" => Event::Trade,
                    b"aggTrade" => Event::AggTrade,
                    _ => return None,
                };
                Some(rest)
            }
            _ => skip(value),
        }
    }

    #[inline]
    fn finish(&self) -> Option<MarketMessage<'a>> {
        let has = |keys: u64| self.seen & keys == keys;
        match self.event {
            Event::None | Event::BookTicker => {
                if !has(QUOTE_KEYS) || !self.ask_is_text {
                    return None;
                }
                let quote = Quote {
                    bid: Price::from_units(self.bid),
                    ask: Price::from_units(self.ask),
                    bid_qty: Qty::from_units(self.bid_qty),
                    ask_qty: Qty::from_units(self.ask_qty),
                };
                let venue = time(self.time);
                Some(MarketMessage::Quote(QuoteMessage { symbol: self.symbol, update_id: self.update, venue, quote }))
            }
            Event::Trade | Event::AggTrade => {
                let aggregated = matches!(self.event, Event::AggTrade);
                let number = if aggregated { bit(b'a') } else { bit(b't') };
                if !has(TRADE_KEYS | number) || (aggregated && self.ask_is_text) {
                    return None;
                }
                let trade_id = if aggregated { self.aggregate } else { self.trade_id };
                let trade = Trade { price: Price::from_units(self.price), qty: Qty::from_units(self.qty), trade_id };
                let (venue, buyer_is_maker) = (time(self.time), self.buyer_is_maker);
                Some(MarketMessage::Trade(TradeMessage { symbol: self.symbol, venue, trade, buyer_is_maker }))
            }
        }
    }
}

/// Bytes before the closing quotation mark; `None` for an escape, a control character or non-ASCII.
#[inline]
fn plain_length(text: &[u8]) -> Option<usize> {
    let length = text.iter().position(|&byte| byte == b'"' || byte == b'\\' || !(0x20..0x7f).contains(&byte))?;
    (text[length] == b'"').then_some(length)
}

/// A plain string and what follows it.
#[inline]
fn text(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = value.strip_prefix(b"\"")?;
    let length = plain_length(inside)?;
    Some((&inside[..length], &inside[length + 1..]))
}

/// `"61837.63000000"` in units of 1e-8.
#[inline]
fn decimal<'a>(value: &'a [u8], units: &mut i64) -> Option<&'a [u8]> {
    let mut rest = value.strip_prefix(b"\"")?;
    let mut whole: u64 = 0;
    let mut digits = 0;
    let end = loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break byte;
        }
        whole = whole * 10 + u64::from(digit);
        digits += 1;
        // More cannot be a price of ours; fewer cannot overflow here.
        if digits > 12 {
            return None;
        }
    };
    if digits == 0 {
        return None;
    }
    let mut fraction: u64 = 0;
    match end {
        b'"' => {}
        b'.' => {
            if let Some((eight, after)) = rest.split_first_chunk::<8>()
                && let Some(parsed) = eight_digits(*eight)
            {
                fraction = parsed;
                rest = after.strip_prefix(b"\"")?;
            } else {
                let mut power: u64 = 100_000_000;
                loop {
                    let (&byte, after) = rest.split_first()?;
                    rest = after;
                    let digit = byte.wrapping_sub(b'0');
                    if digit > 9 {
                        if byte != b'"' || power == 100_000_000 {
                            return None;
                        }
                        break;
                    }
                    power /= 10;
                    if power == 0 {
                        return None;
                    }
                    fraction += u64::from(digit) * power;
                }
            }
        }
        _ => return None,
    }
    // At most 12 digits before the point: whole < 10^12, the product below 10^20 may leave i64.
    let total = whole.checked_mul(100_000_000)?.checked_add(fraction)?;
    *units = i64::try_from(total).ok()?;
    Some(rest)
}

/// Eight ASCII digits at once; `None` unless all are.
#[inline]
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(bytes);
    let low = word.wrapping_sub(0x3030_3030_3030_3030);
    // A byte is a digit when subtracting '0' and adding 118 both stay below 128.
    if (word | low | low.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (low.wrapping_mul(10).wrapping_add(low >> 8)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((quads.wrapping_mul(10_000).wrapping_add(quads >> 32)) & 0xffff_ffff)
}

/// A whole number without sign or leading zero.
#[inline]
fn integer<'a>(value: &'a [u8], number: &mut u64) -> Option<&'a [u8]> {
    let length = value.iter().position(|byte| !byte.is_ascii_digit())?;
    // 19 digits cannot overflow; a point or an exponent makes it another kind of number.
    if length == 0 || length > 19 || (value[0] == b'0' && length > 1) {
        return None;
    }
    let (digits, rest) = value.split_at(length);
    *number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(rest)
}

#[inline]
fn boolean(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"true").or_else(|| value.strip_prefix(b"false"))
}

/// A value nobody needs: a plain string, a whole number, a boolean.
#[inline]
fn skip(value: &[u8]) -> Option<&[u8]> {
    match value.first()? {
        b'"' => text(value).map(|(_, rest)| rest),
        b't' | b'f' => boolean(value),
        _ => integer(value, &mut 0),
    }
}

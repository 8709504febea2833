//! What a market frame says, before it is known whether it concerns us: the common tongue of the hot
//! scanner, the full parser and the binary decoder. Borrowed from the frame.

use crate::core::Nanos;
use crate::core::payload::{Quote, Trade};

/// A market message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarketMessage<'a> {
    /// Best bid and ask.
    Quote(QuoteMessage<'a>),
    /// A trade, or trades of one order at one price (aggTrade).
    Trade(TradeMessage<'a>),
}

/// Best bid and ask of one symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuoteMessage<'a> {
    /// Upper case, as the venue writes it; not yet known to be one of ours.
    pub symbol: &'a [u8],
    /// The book's update number: rising within a symbol.
    pub update_id: u64,
    /// When it happened; [`Nanos::NONE`] on spot's JSON stream, which has no time.
    pub venue: Nanos,
    /// Prices and sizes.
    pub quote: Quote,
}

/// One trade of one symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradeMessage<'a> {
    /// Upper case, as the venue writes it; not yet known to be one of ours.
    pub symbol: &'a [u8],
    /// When it traded.
    pub venue: Nanos,
    /// Price, size and number.
    pub trade: Trade,
    /// True when the aggressor sold.
    pub buyer_is_maker: bool,
}

/// A time of the venue, in milliseconds or microseconds; which of them, its size tells: 10^14
/// milliseconds are the year 5138. A time beyond the year 2554 reads as not known.
#[must_use]
#[inline]
pub fn time(value: u64) -> Nanos {
    let nanos = if value >= 100_000_000_000_000 { value.checked_mul(1_000) } else { value.checked_mul(1_000_000) };
    Nanos(nanos.unwrap_or(0))
}

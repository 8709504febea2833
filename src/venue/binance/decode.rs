//! Market frames to events: fast scanner, full parser or binary decoder by what the frame is, then
//! symbol to instrument, stale and repeated updates dropped, everything counted.
//!
//! Two connections may carry the same stream while one replaces the other: update and trade numbers
//! rise within a symbol, so what is not newer is dropped. After a loss the numbers of what was lost start anew
//! ([`MarketDecoder::forget_quotes`], [`MarketDecoder::forget_trades`]): the venue may have been reset.
//!
//! Nothing is allocated per frame. A bad frame is counted and yields no event.

use std::hint::black_box;

use super::full::{self, FrameError, TextFrame};
use super::message::{MarketMessage, QuoteMessage, TradeMessage};
use super::sbe::{self, BestBidAsk, Exponents, SbeError, SbeMessage};
use super::scan::scan;
use super::symbols::SymbolTable;
use crate::core::fetch::fetch;
use crate::core::payload::{Payload, Quote, Trade};
use crate::core::{Event, EventKind, Flags, InstrumentId, Nanos, Price, Qty};

/// What a frame was, for whoever keeps the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// Market data of ours or of another symbol.
    Data,
    /// The answer to a control message; `refused` holds the venue's error code.
    Answer {
        /// The number we gave the message.
        id: Option<u64>,
        /// The venue's error code, if it refused.
        refused: Option<i64>,
    },
    /// The venue will close this connection soon: replace it.
    ServerShutdown,
    /// Nothing that the engine uses.
    Other,
    /// Refused; counted.
    Bad,
}

/// What the decoder has seen since it was made.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct DecodeCounters {
    /// Events handed on.
    pub events: u64,
    /// Text frames that the hot scanner read.
    pub scanned: u64,
    /// Text frames that went through the full parser.
    pub parsed: u64,
    /// Binary frames.
    pub binary: u64,
    /// Messages of a symbol that is not ours.
    pub foreign: u64,
    /// Updates not newer than one already handed on.
    pub stale: u64,
    /// Frames refused.
    pub bad: u64,
}

#[derive(Clone, Copy, Default)]
struct Last {
    update: u64,
    trade: u64,
}

/// Turns frames into events.
pub struct MarketDecoder {
    symbols: SymbolTable,
    last: Vec<Last>,
    counters: DecodeCounters,
    last_error: Option<BadFrame>,
    /// Made-up frames, as text and binary.
    rehearsed: [Vec<u8>; 2],
}

/// The last frame that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// A text frame.
    #[error(transparent)]
    Text(#[from] FrameError),
    /// A binary frame.
    #[error(transparent)]
    Binary(#[from] SbeError),
}

impl MarketDecoder {
    /// A decoder for these symbols.
    pub fn new(symbols: SymbolTable) -> Self {
        Self {
            rehearsed: made_up(&symbols),
            last: vec![Last::default(); symbols.len()],
            symbols,
            counters: DecodeCounters::default(),
            last_error: None,
        }
    }

    /// What was seen so far.
    pub fn counters(&self) -> DecodeCounters {
        self.counters
    }

    /// Why the latest bad frame was refused.
    pub fn last_error(&self) -> Option<&BadFrame> {
        self.last_error.as_ref()
    }

    /// Forgets update and trade numbers: the next connection starts anew.
    pub fn forget(&mut self) {
        self.last.fill(Last::default());
    }

    /// Forgets the update numbers of these instruments.
    pub fn forget_quotes(&mut self, instruments: &[InstrumentId]) {
        for instrument in instruments {
            self.last[instrument.index()].update = 0;
        }
    }

    /// Forgets the trade numbers of these instruments.
    pub fn forget_trades(&mut self, instruments: &[InstrumentId]) {
        for instrument in instruments {
            self.last[instrument.index()].trade = 0;
        }
    }

    /// Reads a made-up frame, so that the code is at hand when a real one comes; it is not counted and yields nothing.
    pub fn rehearse(&self) {
        let [text, binary] = &self.rehearsed;
        if self.counters.binary > 0 {
            black_box(sbe::decode(black_box(binary)).is_ok());
        } else if let Some(MarketMessage::Quote(quote)) = scan(black_box(text)) {
            black_box((self.symbols.find(quote.symbol), quote.quote));
        }
        fetch::<[Last]>(&self.last);
    }

    /// One text frame that was complete at `local`.
    #[inline]
    pub fn text(&mut self, frame: &[u8], local: Nanos, emit: &mut impl FnMut(Event)) -> FrameKind {
        if let Some(message) = scan(frame) {
            self.counters.scanned += 1;
            self.market(&message, local, emit);
            return FrameKind::Data;
        }
        self.counters.parsed += 1;
        match full::parse(frame) {
            Ok(TextFrame::Market(message)) => {
                self.market(&message, local, emit);
                FrameKind::Data
            }
            Ok(TextFrame::Answer { id, code }) => FrameKind::Answer { id, refused: code },
            Ok(TextFrame::ServerShutdown) => FrameKind::ServerShutdown,
            Ok(TextFrame::Other) => FrameKind::Other,
            Err(error) => self.bad(error.into()),
        }
    }

    /// One binary frame that was complete at `local`.
    #[inline]
    pub fn binary(&mut self, frame: &[u8], local: Nanos, emit: &mut impl FnMut(Event)) -> FrameKind {
        self.counters.binary += 1;
        match sbe::decode(frame) {
            Ok(SbeMessage::BestBidAsk(best)) => {
                let (symbol, quote, venue) = (best.symbol, best.quote, micros(best.event_time_us));
                // Update numbers are positive; a negative one is older than everything.
                let update_id = u64::try_from(best.book_update_id).unwrap_or(0);
                self.market(&MarketMessage::Quote(QuoteMessage { symbol, update_id, venue, quote }), local, emit);
                FrameKind::Data
            }
            Ok(SbeMessage::Trades(trades)) => {
                let (symbol, venue) = (trades.symbol, micros(trades.transact_time_us));
                let mut left = trades.len();
                for entry in trades.iter() {
                    left -= 1;
                    let trade_id = u64::try_from(entry.id).unwrap_or(0);
                    let trade = Trade { price: entry.price, qty: entry.qty, trade_id };
                    let message = TradeMessage { symbol, venue, trade, buyer_is_maker: entry.buyer_is_maker };
                    self.trade(&message, local, left == 0, emit);
                }
                FrameKind::Data
            }
            Ok(SbeMessage::Other(_)) => FrameKind::Other,
            Err(error) => self.bad(error.into()),
        }
    }

    #[inline]
    fn market(&mut self, message: &MarketMessage<'_>, local: Nanos, emit: &mut impl FnMut(Event)) {
        match message {
            MarketMessage::Quote(message) => self.quote(message, local, emit),
            MarketMessage::Trade(message) => self.trade(message, local, true, emit),
        }
    }

    #[inline]
    fn quote(&mut self, message: &QuoteMessage<'_>, local: Nanos, emit: &mut impl FnMut(Event)) {
        let Some(id) = self.symbols.find(message.symbol) else {
            self.counters.foreign += 1;
            return;
        };
        let last = &mut self.last[id.index()];
        if message.update_id <= last.update {
            self.counters.stale += 1;
            return;
        }
        last.update = message.update_id;
        self.counters.events += 1;
        emit(message.quote.event(EventKind::Quote, id, message.venue, local).flagged(Flags::LAST_OF_BATCH));
    }

    #[inline]
    fn trade(&mut self, message: &TradeMessage<'_>, local: Nanos, last_of_frame: bool, emit: &mut impl FnMut(Event)) {
        let Some(id) = self.symbols.find(message.symbol) else {
            self.counters.foreign += 1;
            return;
        };
        let last = &mut self.last[id.index()];
        if message.trade.trade_id <= last.trade {
            self.counters.stale += 1;
            return;
        }
        last.trade = message.trade.trade_id;
        self.counters.events += 1;
        let side = if message.buyer_is_maker { Flags::SELL } else { Flags::BUY };
        let batch = if last_of_frame { Flags::LAST_OF_BATCH } else { Flags::NONE };
        emit(message.trade.event(EventKind::Trade, id, message.venue, local).flagged(side.with(batch)));
    }

    #[cold]
    fn bad(&mut self, error: BadFrame) -> FrameKind {
        self.counters.bad += 1;
        self.last_error = Some(error);
        FrameKind::Bad
    }
}

/// A best bid and ask of the first symbol, as the venue's text and binary streams have it.
fn made_up(symbols: &SymbolTable) -> [Vec<u8>; 2] {
    let name = symbols.iter().next().map_or("", |(_, symbol)| &symbol.name);
    let (price, qty) = (Price::whole(60_000), Qty::whole(1));
    let text = format!(
        r#"{{"stream":"{}@bookTicker","data":{{"u":1,"s":"{name}","b":"{price:.8}","B":"{qty:.8}","a":"{price:.8}","A":"{qty:.8}"}}}}"#,
        name.to_lowercase()
    );
    let quote = Quote { bid: price, ask: price, bid_qty: qty, ask_qty: qty };
    let best = BestBidAsk { event_time_us: 1, book_update_id: 1, quote, symbol: name.as_bytes() };
    let mut binary = Vec::new();
    // A name that is too long for the binary stream is on none: then there is nothing to rehearse.
    let _ = best.encode(Exponents { price: -2, qty: -5 }, &mut binary);
    [text.into_bytes(), binary]
}

/// Microseconds since the epoch; what lies outside the range of [`Nanos`] reads as not known.
fn micros(value: i64) -> Nanos {
    Nanos(u64::try_from(value).ok().and_then(|value| value.checked_mul(1_000)).unwrap_or(0))
}

#[cfg(test)]
mod tests;

//! Line formats with separated columns: one plan per file says which column means what.
//!
//! | time column | meaning |
//! |---|---|
//! | `ts_recv_ns`, `local_timestamp`, `ts_ns`, `ts_s`, `timestamp`, `time`, `Gmt time` | local |
//! | `ts_event_ms`, `event_time`, `ts_txn_ms`, `transaction_time`, `transact_time` | venue |
//!
//! Quote bars become four quotes: open at the stamp, low and high (high first in a falling bar) at
//! +15 s and +30 s, close at +59.999 s. That order inside the minute is a reconstruction.

use super::Format;
use super::error::BadLine;
use super::time_text as time;
use crate::core::payload::{Quote, Trade};
use crate::core::time::SECOND;
use crate::core::{Flags, Nanos, Price, Qty};

/// What one row said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) local: Nanos,
    pub(super) venue: Nanos,
    pub(super) body: Body,
}

/// Quote or trade.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Quote(Quote),
    Trade(Trade, Flags),
}

type TimeReader = fn(&[u8]) -> Option<Nanos>;
const MAX_COLUMNS: usize = 32;

#[derive(Clone, Copy, Default)]
struct QuoteColumns {
    bid: usize,
    ask: usize,
    bid_qty: Option<usize>,
    ask_qty: Option<usize>,
}

#[derive(Clone, Copy)]
enum Shape {
    Quote(QuoteColumns),
    Trade { price: usize, qty: Option<usize>, side: Option<usize>, id: Option<usize> },
    Bar { bid: [usize; 4], ask: [usize; 4] },
}

/// Which column means what.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    local: Option<usize>,
    venue: Option<usize>,
    read_time: TimeReader,
    shape: Shape,
    /// The first line is a header.
    pub(super) header: bool,
}

impl Plan {
    /// The plan of a format, from the first line of the file.
    pub(super) fn of(format: Format, first: &[u8]) -> Result<Self, BadLine> {
        let quote = |local, bid, ask, read_time: TimeReader| Self {
            local: Some(local),
            venue: None,
            read_time,
            shape: Shape::Quote(QuoteColumns { bid, ask, ..QuoteColumns::default() }),
            header: false,
        };
        let trade = |time_column, side| Self {
            local: Some(time_column),
            venue: None,
            read_time: time::any,
            shape: Shape::Trade { price: 1, qty: Some(2), side: Some(side), id: Some(0) },
            header: false,
        };
        match format {
            Format::TrueFx => Ok(quote(1, 2, 3, time::truefx)),
            Format::HistData => Ok(quote(0, 1, 2, time::histdata)),
            Format::BinanceTrades => Ok(trade(4, 5)),
            Format::BinanceAggTrades => Ok(trade(5, 6)),
            _ => Self::from_header(first),
        }
    }

    fn from_header(first: &[u8]) -> Result<Self, BadLine> {
        let text = String::from_utf8_lossy(first).to_ascii_lowercase();
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let find = |wanted: &[&str]| wanted.iter().find_map(|name| names.iter().position(|have| have == name));
        let local = find(&["ts_recv_ns", "local_timestamp", "ts_ns", "ts_s", "timestamp", "gmt time", "time"]);
        let stamped = local.filter(|_| find(&["local_timestamp"]).is_some());
        let venue = find(&["ts_txn_ms", "ts_event_ms", "transaction_time", "transact_time", "event_time"])
            .or_else(|| stamped.and_then(|_| find(&["timestamp"])));
        let read_time = if find(&["gmt time"]).is_some() { time::dukascopy } else { time::any };
        if local.is_none() && venue.is_none() {
            return Err(BadLine::new(
                "a header with a time column such as ts_ns or timestamp (or pass --format)",
                first,
            ));
        }
        let side = |s: &str| {
            let name = |form: &str| form.replace('#', s);
            let price = find(&[&name("#"), &name("#_price"), &name("best_#_price")]);
            let qty = find(&["#_qty", "#_size", "#_amount", "best_#_qty"].map(name).each_ref().map(String::as_str));
            let bar = ["o", "h", "l", "c"].map(|letter| find(&[&format!("{s}_{letter}")]));
            (price, qty, bar)
        };
        let ((bid, bid_qty, bid_bar), (ask, ask_qty, ask_bar)) = (side("bid"), side("ask"));
        let shape = if let (Some(bid), Some(ask)) = (bid, ask) {
            Shape::Quote(QuoteColumns { bid, ask, bid_qty, ask_qty })
        } else if let ([Some(bo), Some(bh), Some(bl), Some(bc)], [Some(ao), Some(ah), Some(al), Some(ac)]) =
            (bid_bar, ask_bar)
        {
            Shape::Bar { bid: [bo, bh, bl, bc], ask: [ao, ah, al, ac] }
        } else if let Some(price) = find(&["price"]) {
            let side = find(&["buyer_is_maker", "is_buyer_maker", "side"]);
            let id = find(&["trade_id", "agg_trade_id", "id"]);
            Shape::Trade { price, qty: find(&["qty", "quantity", "size", "amount"]), side, id }
        } else {
            return Err(BadLine::new(
                "bid and ask, or price columns; bars of one side or of trades hold no quotes",
                first,
            ));
        };
        Ok(Self { local, venue, read_time, shape, header: true })
    }

    /// Reads one line into rows.
    pub(super) fn parse(&self, line: &[u8], mut emit: impl FnMut(Row)) -> Result<(), BadLine> {
        let mut columns: [&[u8]; MAX_COLUMNS] = [&[]; MAX_COLUMNS];
        for (slot, text) in columns.iter_mut().zip(line.split(|&byte| byte == b',')) {
            *slot = text;
        }
        let column = |at: usize| columns.get(at).copied().unwrap_or_default();
        let when = |at: Option<usize>| match at.map(column) {
            None | Some([]) => Ok(None),
            Some(text) => (self.read_time)(text).map(Some).ok_or_else(|| BadLine::new("a time", text)),
        };
        let (local, venue) = (when(self.local)?, when(self.venue)?);
        let local = local.or(if self.local.is_none() { venue } else { None });
        let local = local.ok_or_else(|| BadLine::new("a time", line))?;
        // With a receive column, an empty venue column means that the venue sent no time.
        let venue = venue.unwrap_or(if self.venue.is_some() { Nanos::NONE } else { local });
        match self.shape {
            Shape::Quote(at) => {
                let quote = Quote {
                    bid: price(column(at.bid))?,
                    ask: price(column(at.ask))?,
                    bid_qty: qty(at.bid_qty.map(column))?,
                    ask_qty: qty(at.ask_qty.map(column))?,
                };
                emit(Row { local, venue, body: Body::Quote(quote) });
            }
            Shape::Trade { price: at, qty: size, side, id } => {
                let flags = side.map_or(Ok(Flags::default()), |at| aggressor(column(at)))?;
                let trade_id = id.and_then(|at| time::number(column(at))).unwrap_or(0);
                let trade = Trade { price: price(column(at))?, qty: qty(size.map(column))?, trade_id };
                emit(Row { local, venue, body: Body::Trade(trade, flags) });
            }
            Shape::Bar { bid, ask } => {
                let ([bo, bh, bl, bc], [ao, ah, al, ac]) = (bid.map(column), ask.map(column));
                let read = |bid, ask| Ok::<_, BadLine>((price(bid)?, price(ask)?));
                let (open, high, low, close) = (read(bo, ao)?, read(bh, ah)?, read(bl, al)?, read(bc, ac)?);
                let (second, third) = if close.0 >= open.0 { (low, high) } else { (high, low) };
                for ((bid, ask), millis) in [(open, 0), (second, 15_000), (third, 30_000), (close, 59_999)] {
                    let after = crate::core::Span(millis * (SECOND / 1000));
                    let body = Body::Quote(Quote { bid, ask, ..Quote::default() });
                    emit(Row { local: local.plus(after), venue: venue.plus(after), body });
                }
            }
        }
        Ok(())
    }
}

/// A price above zero.
pub(super) fn price(text: &[u8]) -> Result<Price, BadLine> {
    match Price::parse(text) {
        Ok(price) if price.is_positive() => Ok(price),
        Ok(_) => Err(BadLine::new("a price above 0", text)),
        Err(error) => Err(BadLine::new(format!("a price ({error})"), text)),
    }
}

/// A size of zero or more; zero when there is none.
pub(super) fn qty(text: Option<&[u8]>) -> Result<Qty, BadLine> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Qty::ZERO) };
    match Qty::parse(text) {
        Ok(qty) if qty >= Qty::ZERO => Ok(qty),
        Ok(_) => Err(BadLine::new("a size of 0 or more", text)),
        Err(error) => Err(BadLine::new(format!("a size ({error})"), text)),
    }
}

fn aggressor(text: &[u8]) -> Result<Flags, BadLine> {
    match text {
        b"buy" | b"0" | b"false" | b"False" => Ok(Flags::BUY),
        b"sell" | b"1" | b"true" | b"True" => Ok(Flags::SELL),
        _ => Err(BadLine::new("buy, sell, or whether the buyer is the maker (0, 1, true, false)", text)),
    }
}

/// The format that the first line shows.
pub(super) fn detect(first: &[u8]) -> Option<Format> {
    let mut parts = first.split(|&byte| byte == b',');
    let (zero, one) = (parts.next()?, parts.next().unwrap_or_default());
    let columns = first.split(|&byte| byte == b',').count();
    let third_last = first.split(|&byte| byte == b',').nth(4).unwrap_or_default();
    if first.starts_with(b"configuration:") || first.starts_with(b"wss://") || first.windows(2).any(|w| w == b" {") {
        Some(Format::BinanceRaw)
    } else if time::truefx(one).is_some() {
        Some(Format::TrueFx)
    } else if time::histdata(zero).is_some() {
        Some(Format::HistData)
    } else if first.starts_with(b"Gmt time") {
        Some(Format::DukascopyCsv)
    } else if time::number(zero).is_some() && Price::parse(one).is_ok() && columns >= 6 {
        Some(if third_last.len() >= 13 { Format::BinanceTrades } else { Format::BinanceAggTrades })
    } else if zero.first().is_some_and(u8::is_ascii_alphabetic) && first.is_ascii() && columns >= 3 {
        Some(Format::Csv)
    } else {
        None
    }
}

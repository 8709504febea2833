//! Line formats with separated columns: one plan per file says which column means what.
//!
//! | column | meaning |
//! |---|---|
//! | `ts_recv_ns`, `local_timestamp`, `local_ts`, `ts_ns`, `ts_s`, `timestamp`, `time`, `Gmt time` | receive time |
//! | `ts_txn_ms`, `ts_event_ms`, `exch_ts`, `transaction_time`, `transact_time`, `event_time` | venue time |
//! | `symbol`, `exchange` | the instrument of the line |
//! | `bid`, `bid_price`, `best_bid_price`, `bid_px`, `bidPrice`; the same of `ask` | best prices |
//! | `bid_qty`, `bid_size`, `bid_amount`, `best_bid_qty`; `bid_vol_m`, `BidVolume` in millions | sizes |
//! | `bid_o`, `bid_h`, `bid_l`, `bid_c` | a bar of one side |
//! | `price`, `qty` or `size` or `amount`, `side` or `is_buyer_maker`, `trade_id` or `id` | a trade |
//! | `ev`, `px`, `qty` | an event of hftbacktest's dtype |
//!
//! Quote bars become four quotes: open at the stamp, low and high (high first in a falling bar) at
//! +15 s and +30 s, close at +59.999 s. That order inside the minute is a reconstruction made with
//! the close already known: it flatters a rule that trades inside the minute.

use super::Format;
use super::error::BadLine;
use super::time_text as time;
use crate::core::payload::{Quote, Trade};
use crate::core::{Flags, Nanos, Price, Qty, Span};

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

/// hftbacktest's event flags: what happened, who sees it, which side.
const EV_KIND: u64 = 0xff;
const EV_TRADE: u64 = 2;
const EV_BEST: u64 = 5;
const EV_LOCAL: u64 = 1 << 30;
const EV_BUY: u64 = 1 << 29;
const EV_SELL: u64 = 1 << 28;

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
    Event { ev: usize, price: usize, qty: usize },
}

/// Which column means what.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    local: Option<usize>,
    venue: Option<usize>,
    read_time: TimeReader,
    symbol: Option<usize>,
    exchange: Option<usize>,
    shape: Shape,
    /// Columns of every line.
    count: usize,
    /// Sizes are millions of units of the base currency.
    pub(super) millions: bool,
    /// The first line is a header.
    pub(super) header: bool,
}

/// The columns of one line.
pub(super) struct Columns<'a>([&'a [u8]; MAX_COLUMNS]);

impl<'a> Columns<'a> {
    fn at(&self, at: usize) -> &'a [u8] {
        self.0.get(at).copied().unwrap_or_default()
    }
}

fn count_columns(line: &[u8]) -> Result<usize, BadLine> {
    let count = line.split(|&byte| byte == b',').count();
    if count > MAX_COLUMNS {
        return Err(BadLine::new(format!("at most {MAX_COLUMNS} columns"), format!("{count}").as_bytes()));
    }
    Ok(count)
}

impl Plan {
    /// The plan of a format, from the first line of the file.
    pub(super) fn of(format: Format, first: &[u8]) -> Result<Self, BadLine> {
        let plan = |time_column, read_time: TimeReader, shape| {
            let (local, count) = (Some(time_column), count_columns(first)?);
            let (venue, symbol, exchange, millions, header) = (None, None, None, false, false);
            Ok(Self { local, venue, read_time, symbol, exchange, shape, count, millions, header })
        };
        let quote = |bid| Shape::Quote(QuoteColumns { bid, ask: bid + 1, ..QuoteColumns::default() });
        let trade = |side| Shape::Trade { price: 1, qty: Some(2), side: Some(side), id: Some(0) };
        match format {
            Format::TrueFx => plan(1, time::truefx, quote(2)).map(|plan| Self { symbol: Some(0), ..plan }),
            Format::HistData => plan(0, time::histdata, quote(1)),
            Format::BinanceTrades => plan(4, time::any, trade(5)),
            Format::BinanceAggTrades => plan(5, time::any, trade(6)),
            _ => Self::from_header(first),
        }
    }

    fn from_header(first: &[u8]) -> Result<Self, BadLine> {
        let text = String::from_utf8_lossy(first).to_ascii_lowercase();
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let find = |wanted: &[&str]| wanted.iter().find_map(|name| names.iter().position(|have| have == name));
        let received = find(&["ts_recv_ns", "local_timestamp", "local_ts"]);
        let local = received.or_else(|| find(&["ts_ns", "ts_s", "timestamp", "gmt time", "time"]));
        let venue = find(&["ts_txn_ms", "ts_event_ms", "exch_ts", "transaction_time", "transact_time", "event_time"])
            .or_else(|| received.and_then(|_| find(&["timestamp"])));
        if local.is_none() && venue.is_none() {
            return Err(BadLine::new(
                "a header with a time column such as ts_ns or timestamp (or pass --format)",
                first,
            ));
        }
        let shape = if let (Some(ev), Some(price), Some(qty)) = (find(&["ev"]), find(&["px"]), find(&["qty"])) {
            Shape::Event { ev, price, qty }
        } else {
            shape_of(&names).ok_or_else(|| {
                BadLine::new("bid and ask, or price columns; bars of one side or of trades hold no quotes", first)
            })?
        };
        Ok(Self {
            local,
            venue,
            read_time: if find(&["gmt time"]).is_some() { time::dukascopy } else { time::any },
            symbol: find(&["symbol"]),
            exchange: find(&["exchange"]),
            shape,
            count: count_columns(first)?,
            millions: find(&["bid_vol_m", "bidvolume"]).is_some(),
            header: true,
        })
    }

    /// The lines name their symbols.
    pub(super) fn has_symbol(&self) -> bool {
        self.symbol.is_some()
    }

    /// The lines are minute bars.
    pub(super) fn is_bars(&self) -> bool {
        matches!(self.shape, Shape::Bar { .. })
    }

    /// Splits a line, whose number of columns must be the file's.
    pub(super) fn split<'a>(&self, line: &'a [u8]) -> Result<Columns<'a>, BadLine> {
        let mut columns: [&[u8]; MAX_COLUMNS] = [&[]; MAX_COLUMNS];
        let mut count = 0;
        for text in line.split(|&byte| byte == b',') {
            if let Some(slot) = columns.get_mut(count) {
                *slot = text;
            }
            count += 1;
        }
        if count != self.count {
            return Err(BadLine::new(format!("{} columns", self.count), line));
        }
        Ok(Columns(columns))
    }

    /// Symbol and exchange of a line, where its file has them.
    pub(super) fn instrument<'a>(&self, columns: &Columns<'a>) -> Option<(&'a [u8], &'a [u8])> {
        Some((columns.at(self.symbol?), self.exchange.map_or(&b""[..], |at| columns.at(at))))
    }

    /// Receive and venue time of a line.
    fn times(&self, columns: &Columns) -> Result<(Nanos, Nanos), BadLine> {
        let when = |at: Option<usize>| match at.map(|at| columns.at(at)) {
            None | Some([]) => Ok(None),
            Some(text) => (self.read_time)(text).map(Some).ok_or_else(|| BadLine::new("a time", text)),
        };
        let (local, venue) = (when(self.local)?, when(self.venue)?);
        let local = local.or(if self.local.is_none() { venue } else { None });
        let local = local.ok_or_else(|| BadLine::new("a time", b""))?;
        // With a receive column, an empty venue column means that the venue sent no time.
        Ok((local, venue.unwrap_or(if self.venue.is_some() { Nanos::NONE } else { local })))
    }

    /// Reads one line into rows. `touch` is what lines of one side have told of this instrument.
    pub(super) fn parse(
        &self,
        columns: &Columns,
        touch: &mut Quote,
        mut emit: impl FnMut(Row) -> Result<(), BadLine>,
    ) -> Result<(), BadLine> {
        let (local, venue) = self.times(columns)?;
        let column = |at: usize| columns.at(at);
        let mut one = |body| emit(Row { local, venue, body });
        match self.shape {
            Shape::Quote(at) => one(Body::Quote(Quote {
                bid: price(column(at.bid))?,
                ask: price(column(at.ask))?,
                bid_qty: qty(at.bid_qty.map(column))?,
                ask_qty: qty(at.ask_qty.map(column))?,
            })),
            Shape::Trade { price: at, qty: size, side, id } => {
                let flags = side.map_or(Ok(Flags::default()), |at| aggressor(column(at)))?;
                let trade_id = id.and_then(|at| time::number(column(at))).unwrap_or(0);
                let trade = Trade { price: price(column(at))?, qty: qty(size.map(column))?, trade_id };
                one(Body::Trade(trade, flags))
            }
            Shape::Bar { bid, ask } => {
                let ([bo, bh, bl, bc], [ao, ah, al, ac]) = (bid.map(column), ask.map(column));
                let read = |bid, ask| Ok::<_, BadLine>((price(bid)?, price(ask)?));
                let (open, high, low, close) = (read(bo, ao)?, read(bh, ah)?, read(bl, al)?, read(bc, ac)?);
                let (second, third) = if close.0 >= open.0 { (low, high) } else { (high, low) };
                for ((bid, ask), millis) in [(open, 0), (second, 15_000), (third, 30_000), (close, 59_999)] {
                    let after = Span::millis(millis);
                    let body = Body::Quote(Quote { bid, ask, ..Quote::default() });
                    emit(Row { local: local.plus(after), venue: venue.plus(after), body })?;
                }
                Ok(())
            }
            Shape::Event { ev, price: at, qty: size } => {
                let text = column(ev);
                let ev = time::number(text).ok_or_else(|| BadLine::new("an event number", text))?;
                event(ev, column(at), column(size), touch)?.map_or(Ok(()), one)
            }
        }
    }
}

/// The shape that the names of a header tell.
fn shape_of(names: &[&str]) -> Option<Shape> {
    let find = |wanted: &[&str]| wanted.iter().find_map(|name| names.iter().position(|have| have == name));
    let side = |s: &str| {
        let any = |forms: &[&str]| forms.iter().find_map(|form| find(&[&form.replace('#', s)]));
        let price = any(&["#", "#_price", "best_#_price", "#_px", "#price"]);
        let qty = any(&["#_qty", "#_size", "#_amount", "best_#_qty", "#_vol_m", "#volume"]);
        (price, qty, ["#_o", "#_h", "#_l", "#_c"].map(|form| any(&[form])))
    };
    let ((bid, bid_qty, bid_bar), (ask, ask_qty, ask_bar)) = (side("bid"), side("ask"));
    if let (Some(bid), Some(ask)) = (bid, ask) {
        Some(Shape::Quote(QuoteColumns { bid, ask, bid_qty, ask_qty }))
    } else if let ([Some(bo), Some(bh), Some(bl), Some(bc)], [Some(ao), Some(ah), Some(al), Some(ac)]) =
        (bid_bar, ask_bar)
    {
        Some(Shape::Bar { bid: [bo, bh, bl, bc], ask: [ao, ah, al, ac] })
    } else {
        let price = find(&["price", "px"])?;
        let side = find(&["buyer_is_maker", "is_buyer_maker", "side"]);
        let id = find(&["trade_id", "agg_trade_id", "id"]);
        Some(Shape::Trade { price, qty: find(&["qty", "quantity", "size", "amount"]), side, id })
    }
}

/// What an event of hftbacktest says: a trade, or one side of the best prices, which makes a quote
/// once both sides are known. Depth is passed over, and so is what was not seen locally.
fn event(ev: u64, at: &[u8], size: &[u8], touch: &mut Quote) -> Result<Option<Body>, BadLine> {
    let (buy, sell) = (ev & EV_BUY != 0, ev & EV_SELL != 0);
    if ev & EV_LOCAL == 0 || !matches!(ev & EV_KIND, EV_TRADE | EV_BEST) {
        return Ok(None);
    }
    let (at, size) = (price(at)?, qty(Some(size))?);
    if ev & EV_KIND == EV_TRADE {
        let flags = match (buy, sell) {
            (true, false) => Flags::BUY,
            (false, true) => Flags::SELL,
            _ => Flags::default(),
        };
        return Ok(Some(Body::Trade(Trade { price: at, qty: size, trade_id: 0 }, flags)));
    }
    match (buy, sell) {
        (true, false) => (touch.bid, touch.bid_qty) = (at, size),
        (false, true) => (touch.ask, touch.ask_qty) = (at, size),
        _ => return Err(BadLine::new("an event of one side", ev.to_string().as_bytes())),
    }
    let known = touch.bid.is_positive() && touch.ask.is_positive();
    Ok(known.then_some(Body::Quote(*touch)))
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
        // Tardis: the exchange did not say.
        b"unknown" | b"" => Ok(Flags::default()),
        _ => Err(BadLine::new("buy, sell, or whether the buyer is the maker (0, 1, true, false)", text)),
    }
}

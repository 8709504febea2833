//! Market-data files of other people's formats, as a stream of events in time order.
//!
//! Files are streamed, never held whole (a bi5 hour excepted). Rows are passed on as they are,
//! crossed, duplicate or out of order: judging them is the feed's work. Prices are parsed exactly.

mod bi5;
mod coinbase;
mod csv;
mod decompress;
mod detect;
mod error;
mod lots;
mod raw;
mod reader;
mod source;
mod survey;
mod symbols;
mod time_text;

pub use error::DataError;
pub use lots::{currency_pair, units_in_a_lot};
pub use source::Source;
pub use survey::{SymbolSurvey, survey};

/// A file format. Compression is not part of it: gzip and zip are recognised in every format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated with a header: columns by name (own, Tardis, hftbacktest, Binance, quote bars).
    Csv,
    /// `EUR/USD,20160104 18:00:40.420,bid,ask` without a header.
    TrueFx,
    /// `20200101 170000065,bid,ask,volume` at fixed UTC-5 without a header.
    HistData,
    /// Header `Gmt time,Ask,Bid,AskVolume,BidVolume`.
    DukascopyCsv,
    /// Native Dukascopy hour, LZMA.
    Bi5,
    /// Binance trades without a header (spot): `id,price,qty,quote_qty,time,is_buyer_maker,...`.
    BinanceTrades,
    /// Binance aggTrades without a header: `id,price,qty,first,last,time,is_buyer_maker,...`.
    BinanceAggTrades,
    /// Recorded Binance WebSocket messages: `<time> <json>` or `<time>: <json>`.
    BinanceRaw,
    /// Recorded Coinbase WebSocket messages: `<epoch seconds>: <json>`.
    CoinbaseRaw,
}

/// What to do with a line that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum OnBadLine {
    /// Count it and go on.
    Skip,
    /// End with its error.
    #[default]
    Stop,
}

/// How files are read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The format; found from the content when `None`.
    pub format: Option<Format>,
    /// What to do with a bad line.
    pub on_bad_line: OnBadLine,
    /// The instrument of files whose lines name none; derived from the file's name when `None`.
    pub symbol: Option<String>,
}

//! One file as a stream of rows, each with the index of its symbol.
//!
//! Memory is bounded whatever the file holds: a line has at most 4 MiB, a file at most 4,096
//! symbols, an hour of bi5 at most 16 MiB. A bad line is counted and, unless skipped, ends the file.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::csv::{Body, Plan, Row};
use super::decompress::{self, Stream, io_fault};
use super::detect::detect;
use super::error::{BadLine, DataError};
use super::lots::units_in_a_lot;
use super::raw::{self, Venue};
use super::symbols::{self, Symbols};
use super::{Format, OnBadLine, Options, bi5};
use crate::core::payload::Quote;
use crate::core::{Nanos, Qty};

/// Longest line accepted, bytes; a REST depth snapshot has some 60,000.
const LONGEST_LINE: usize = 4 << 20;
/// 2100-01-01: no tick is later, so a later stamp is a wrong unit or a damaged digit, and would make
/// every tick after it late.
const LATEST: Nanos = Nanos(4_102_444_800_000_000_000);

/// How the lines of a file are read.
#[derive(Clone, Copy)]
enum Lines {
    Columns(Plan),
    Capture(Venue),
}

/// One file.
pub(super) struct Reader {
    pub(super) path: PathBuf,
    stream: Stream,
    pub(super) size: u64,
    pub(super) read: Arc<AtomicU64>,
    /// The stream's end is proved by a checksum.
    sealed: bool,
    line: Vec<u8>,
    /// The line has its line end, or needs none.
    whole: bool,
    number: u64,
    lines: Option<Lines>,
    rows: Rows,
    /// Lines name their symbols, so that only the whole file tells them all.
    pub(super) multi: bool,
    on_bad_line: OnBadLine,
    pub(super) bad: u64,
    pub(super) first_bad: Option<DataError>,
}

/// Rows that are read but not yet taken, and what reading the next one needs.
#[derive(Default)]
struct Rows {
    pending: VecDeque<(usize, Row)>,
    symbols: Symbols,
    /// Best prices of each symbol, where a line tells one side.
    touches: Vec<Quote>,
    millions: bool,
}

impl Reader {
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, DataError> {
        let opened = decompress::open(path)?;
        let mut reader = Self {
            path: path.to_owned(),
            stream: opened.stream,
            size: opened.size,
            read: opened.read,
            sealed: opened.sealed,
            line: Vec::new(),
            whole: false,
            number: 0,
            lines: None,
            rows: Rows::default(),
            multi: false,
            on_bad_line: options.on_bad_line,
            bad: 0,
            first_bad: None,
        };
        let native = path.extension().is_some_and(|end| end == "bi5");
        if options.format == Some(Format::Bi5) || (options.format.is_none() && native) {
            reader.take_hour(options)?;
        } else {
            reader.take_first_line(options)?;
        }
        Ok(reader)
    }

    /// The file holds minute bars, whose inside is reconstructed.
    pub(super) fn is_bars(&self) -> bool {
        matches!(&self.lines, Some(Lines::Columns(plan)) if plan.is_bars())
    }

    pub(super) fn symbol(&self, at: usize) -> Option<&String> {
        self.rows.symbols.name(at)
    }

    /// The symbol that the user named.
    fn named(&self, options: &Options) -> Result<Option<String>, DataError> {
        let Some(named) = &options.symbol else { return Ok(None) };
        let bad = || DataError::file(&self.path, "--symbol such as EURUSD", format!("{named:?}"), "correct it");
        symbols::clean(named.as_bytes()).ok_or_else(bad).map(Some)
    }

    /// A bi5 file, whole.
    fn take_hour(&mut self, options: &Options) -> Result<(), DataError> {
        let (symbol, _) = bi5::place(&self.path)?;
        self.rows.symbols.push(self.named(options)?.unwrap_or(symbol));
        self.rows.millions = true;
        // An hour without a tick is an empty file.
        if self.size == 0 {
            return Ok(());
        }
        let (path, mut stream) = (self.path.clone(), std::mem::replace(&mut self.stream, Box::new(std::io::empty())));
        bi5::decode(&path, &mut *stream, |record| {
            self.number += 1;
            let outcome = record.and_then(|row| self.rows.admit(0, row));
            self.judge(outcome)
        })
    }

    /// Recognises the format, and reads the first line unless it is a header.
    fn take_first_line(&mut self, options: &Options) -> Result<(), DataError> {
        let path = self.path.clone();
        if !self.next_line()? {
            return Err(DataError::file(&path, "market data", "an empty file", "fetch the file again"));
        }
        let Some(format) = options.format.or_else(|| detect(&self.line)) else {
            let found = format!("{:?}", BadLine::new("", &self.line).found);
            let remedy = "pass --format, or convert it to a format of docs/data.md";
            return Err(DataError::file(&path, "a known market-data format", found, remedy));
        };
        let venue = match format {
            Format::BinanceRaw => Some(Venue::Binance),
            Format::CoinbaseRaw => Some(Venue::Coinbase),
            _ => None,
        };
        if let Some(venue) = venue {
            self.multi = true;
            self.lines = Some(Lines::Capture(venue));
            return self.take_line();
        }
        let plan = Plan::of(format, &self.line).map_err(|bad| {
            DataError::file(&path, bad.expected, format!("{:?}", bad.found), "choose another file or convert it")
        })?;
        self.lines = Some(Lines::Columns(plan));
        self.rows.millions = plan.millions;
        self.multi = plan.has_symbol();
        if !self.multi {
            let symbol = self.named(options)?.or_else(|| symbols::of_file_name(&path));
            let none = || DataError::file(&path, "a symbol in the file's name", "none", "pass --symbol");
            self.rows.symbols.push(symbol.ok_or_else(none)?);
        }
        if plan.header { Ok(()) } else { self.take_line() }
    }

    fn next_line(&mut self) -> Result<bool, DataError> {
        self.line.clear();
        let mut limited = std::io::Read::take(&mut self.stream, LONGEST_LINE as u64);
        let taken = limited.read_until(b'\n', &mut self.line).map_err(|e| io_fault(&self.path, self.number, &e))?;
        self.number += u64::from(taken > 0);
        if taken == LONGEST_LINE {
            return Err(DataError::file(
                &self.path,
                "lines of text",
                format!("a line {} of over 4 MiB", self.number),
                "check that it is market data",
            ));
        }
        self.whole = self.sealed || self.line.ends_with(b"\n");
        while matches!(self.line.last(), Some(b'\n' | b'\r')) {
            self.line.pop();
        }
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        Ok(taken > 0)
    }

    fn take_line(&mut self) -> Result<(), DataError> {
        if self.line.is_empty() {
            return Ok(());
        }
        let outcome = match &self.lines {
            // Half of `1.38676` is a price too: without a line end only a checksum says it is whole.
            _ if !self.whole => {
                Err(BadLine::new("a line end after the last line (the file may be cut short)", &self.line))
            }
            Some(Lines::Columns(plan)) => self.rows.take_columns(plan, &self.line),
            Some(Lines::Capture(venue)) => self.rows.take_message(*venue, &self.line),
            None => Ok(()),
        };
        self.judge(outcome)
    }

    /// Counts a bad line, and makes it an error unless it is to be skipped.
    fn judge(&mut self, outcome: Result<(), BadLine>) -> Result<(), DataError> {
        let Err(BadLine { expected, found }) = outcome else { return Ok(()) };
        let error = DataError::Line { file: self.path.clone(), line: self.number, expected, found };
        self.bad += 1;
        self.first_bad.get_or_insert_with(|| error.clone());
        if self.on_bad_line == OnBadLine::Stop { Err(error) } else { Ok(()) }
    }

    /// The next row and the index of its symbol in this file.
    pub(super) fn next_row(&mut self) -> Result<Option<(usize, Row)>, DataError> {
        loop {
            if let Some(row) = self.rows.pending.pop_front() {
                return Ok(Some(row));
            }
            if !self.next_line()? {
                return Ok(None);
            }
            self.take_line()?;
        }
    }
}

impl Rows {
    fn take_columns(&mut self, plan: &Plan, line: &[u8]) -> Result<(), BadLine> {
        let columns = plan.split(line)?;
        let at = match plan.instrument(&columns) {
            Some((symbol, exchange)) => self.symbols.index_of(symbol, exchange)?,
            None => 0,
        };
        if self.touches.len() <= at {
            self.touches.resize(at + 1, Quote::default());
        }
        let mut touch = self.touches.get(at).copied().unwrap_or_default();
        let whole = self.pending.len();
        let outcome = plan.parse(&columns, &mut touch, |row| self.admit(at, row));
        if let Some(kept) = self.touches.get_mut(at) {
            *kept = touch;
        }
        if outcome.is_err() {
            // Of a bad bar, no quote: a line is taken whole or not at all.
            self.pending.truncate(whole);
        }
        outcome
    }

    fn take_message(&mut self, venue: Venue, line: &[u8]) -> Result<(), BadLine> {
        let Some((symbol, row)) = raw::parse(venue, line)? else { return Ok(()) };
        let at = self.symbols.index_of(symbol.as_bytes(), b"")?;
        self.admit(at, row)
    }

    /// Takes a row of a symbol in, with its sizes in lots.
    fn admit(&mut self, symbol: usize, mut row: Row) -> Result<(), BadLine> {
        for time in [row.local, row.venue] {
            if time >= LATEST {
                return Err(BadLine::new("a time before the year 2100", time.to_string().as_bytes()));
            }
        }
        if let (true, Body::Quote(quote)) = (self.millions, &mut row.body) {
            let lot = self.symbols.name(symbol).map_or(1, |name| units_in_a_lot(name));
            quote.bid_qty = lots(quote.bid_qty, lot)?;
            quote.ask_qty = lots(quote.ask_qty, lot)?;
        }
        self.pending.push_back((symbol, row));
        Ok(())
    }
}

/// Millions of units as lots of that many units.
fn lots(millions: Qty, lot: i64) -> Result<Qty, BadLine> {
    let too_large = || BadLine::new("a volume that fits in lots", millions.to_string().as_bytes());
    millions.checked_mul(1_000_000 / lot).ok_or_else(too_large)
}

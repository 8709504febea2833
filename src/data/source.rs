//! Files as one stream of events, merged by receive time. A file's own order is never changed:
//! the merge compares only the next row of each file, and the first file named wins a tie.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::csv::{self, Body, Plan, Row};
use super::decompress::{self, Stream, io_fault};
use super::error::{BadLine, DataError};
use super::{Format, OnBadLine, Options, bi5, raw};
use crate::core::payload::Payload;
use crate::core::{Event, EventKind, InstrumentId};

/// Longest line accepted, bytes; a REST depth snapshot has some 60,000.
const LONGEST_LINE: usize = 4 << 20;

/// One file.
pub(super) struct Reader {
    path: PathBuf,
    stream: Stream,
    pub(super) size: u64,
    pub(super) read: Arc<AtomicU64>,
    line: Vec<u8>,
    number: u64,
    plan: Option<Plan>,
    pending: VecDeque<(usize, Row)>,
    /// Symbols in the order first seen.
    pub(super) symbols: Vec<String>,
    /// Many symbols in one file.
    pub(super) multi: bool,
    on_bad_line: OnBadLine,
    pub(super) bad: u64,
    pub(super) first_bad: Option<DataError>,
}

impl Reader {
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, DataError> {
        let (stream, size, read) = decompress::open(path)?;
        let mut reader = Self {
            path: path.to_owned(),
            stream,
            size,
            read,
            line: Vec::new(),
            number: 0,
            plan: None,
            pending: VecDeque::new(),
            symbols: Vec::new(),
            multi: false,
            on_bad_line: options.on_bad_line,
            bad: 0,
            first_bad: None,
        };
        let native = path.extension().is_some_and(|end| end == "bi5");
        if options.format == Some(Format::Bi5) || (options.format.is_none() && native) {
            reader.symbols.push(options.symbol.clone().map_or_else(|| bi5::place(path).map(|(symbol, _)| symbol), Ok)?);
            // An hour without a tick is an empty file.
            if size > 0 {
                let rows = bi5::decode(path, &mut *reader.stream)?;
                reader.pending.extend(rows.into_iter().map(|row| (0, row)));
                reader.stream = Box::new(std::io::empty());
            }
            return Ok(reader);
        }
        if !reader.next_line()? {
            return Err(DataError::file(path, "market data", "an empty file", "fetch the file again"));
        }
        let Some(format) = options.format.or_else(|| csv::detect(&reader.line)) else {
            let found = BadLine::new("", &reader.line).found;
            return Err(DataError::file(path, "a known market-data format", format!("{found:?}"), "pass --format"));
        };
        if format == Format::BinanceRaw {
            reader.multi = true;
            reader.take_line()?;
            return Ok(reader);
        }
        let plan = Plan::of(format, &reader.line).map_err(|bad| {
            DataError::file(path, bad.expected, format!("{:?}", bad.found), "choose another file or convert it")
        })?;
        reader.plan = Some(plan);
        reader.symbols.push(
            options
                .symbol
                .clone()
                .or_else(|| symbol_of(path))
                .ok_or_else(|| DataError::file(path, "a symbol in the file's name", "none", "pass --symbol"))?,
        );
        if !plan.header {
            reader.take_line()?;
        }
        Ok(reader)
    }

    fn next_line(&mut self) -> Result<bool, DataError> {
        self.line.clear();
        let mut limited = std::io::Read::take(&mut self.stream, LONGEST_LINE as u64);
        let taken = limited.read_until(b'\n', &mut self.line).map_err(|e| io_fault(&self.path, self.number, &e))?;
        if taken == LONGEST_LINE {
            return Err(DataError::file(
                &self.path,
                "lines of text",
                "a line of over 4 MiB",
                "check that it is market data",
            ));
        }
        self.number += u64::from(taken > 0);
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
        let pending = &mut self.pending;
        let outcome = if let Some(plan) = &self.plan {
            plan.parse(&self.line, |row| pending.push_back((0, row)))
        } else {
            raw::parse(&self.line).map(|found| {
                if let Some((symbol, row)) = found {
                    let at = self.symbols.iter().position(|have| have == symbol).unwrap_or_else(|| {
                        self.symbols.push(symbol.to_owned());
                        self.symbols.len() - 1
                    });
                    pending.push_back((at, row));
                }
            })
        };
        let Err(BadLine { expected, found }) = outcome else { return Ok(()) };
        let error = DataError::Line { file: self.path.clone(), line: self.number, expected, found };
        self.bad += 1;
        self.first_bad.get_or_insert_with(|| error.clone());
        if self.on_bad_line == OnBadLine::Stop { Err(error) } else { Ok(()) }
    }

    /// The next row and the index of its symbol in this file.
    pub(super) fn next_row(&mut self) -> Result<Option<(usize, Row)>, DataError> {
        loop {
            if let Some(row) = self.pending.pop_front() {
                return Ok(Some(row));
            }
            if !self.next_line()? {
                return Ok(None);
            }
            self.take_line()?;
        }
    }
}

/// The symbol that a file's name starts with.
fn symbol_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.split('.').next()?.to_ascii_uppercase();
    let mut parts = stem.split(['_', '-']).skip_while(|part| matches!(*part, "DAT" | "ASCII"));
    let first = parts.next()?;
    let symbol = if first == "BINANCE" {
        let _market = parts.next()?;
        let symbol = parts.next()?.to_owned();
        if parts.next() == Some("PERP") { format!("{symbol}_PERP") } else { symbol }
    } else {
        first.to_owned()
    };
    (symbol.len() >= 5 && symbol.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(symbol)
}

/// The merged stream of all files.
pub struct Source {
    readers: Vec<Reader>,
    heads: Vec<Option<(usize, Row)>>,
    symbols: Vec<String>,
    failed: Option<DataError>,
}

impl Source {
    /// Opens the files; an event's instrument is the index of its symbol in `symbols`.
    ///
    /// # Errors
    /// A file that cannot be read, or whose format or symbol is not known.
    pub fn open(paths: &[PathBuf], options: &Options, symbols: &[String]) -> Result<Self, DataError> {
        let mut readers = paths.iter().map(|path| Reader::open(path, options)).collect::<Result<Vec<_>, _>>()?;
        let heads = readers.iter_mut().map(Reader::next_row).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { readers, heads, symbols: symbols.to_vec(), failed: None })
    }

    /// The next event, `None` at the end; after an error the stream is at its end.
    pub fn next_event(&mut self) -> Option<Result<Event, DataError>> {
        if let Some(error) = self.failed.take() {
            self.heads.clear();
            return Some(Err(error));
        }
        let earliest = |(at, head): (usize, &Option<(usize, Row)>)| head.map(|(_, row)| (row.local, at));
        let (_, at) = self.heads.iter().enumerate().filter_map(earliest).min()?;
        let (head, reader) = (self.heads.get_mut(at)?, self.readers.get_mut(at)?);
        let (symbol, row) = head.take()?;
        match reader.next_row() {
            Ok(next) => *head = next,
            Err(error) => self.failed = Some(error),
        }
        let name = reader.symbols.get(symbol)?;
        let Some(instrument) = self.symbols.iter().position(|have| have == name) else {
            let known = format!("one of the session's symbols {:?}", self.symbols);
            let error = DataError::file(&reader.path, known, name, "name its instrument or leave the file out");
            self.heads.clear();
            return Some(Err(error));
        };
        let instrument = InstrumentId(u16::try_from(instrument).unwrap_or(u16::MAX));
        Some(Ok(match row.body {
            Body::Quote(quote) => quote.event(EventKind::Quote, instrument, row.venue, row.local),
            Body::Trade(trade, side) => trade.event(EventKind::Trade, instrument, row.venue, row.local).flagged(side),
        }))
    }

    /// Compressed bytes read and their total.
    pub fn progress(&self) -> (u64, u64) {
        let read = self.readers.iter().map(|reader| reader.read.load(Ordering::Relaxed)).sum();
        (read, self.readers.iter().map(|reader| reader.size).sum())
    }

    /// Bad lines so far.
    pub fn bad_lines(&self) -> u64 {
        self.readers.iter().map(|reader| reader.bad).sum()
    }

    /// The first bad line of the first file that has one.
    pub fn first_bad(&self) -> Option<&DataError> {
        self.readers.iter().find_map(|reader| reader.first_bad.as_ref())
    }
}

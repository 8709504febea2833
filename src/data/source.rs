//! Files as one stream of events, merged by receive time. A file's own order is never changed:
//! the merge compares only the next row of each file, and the first file named wins a tie.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::Options;
use super::csv::{Body, Row};
use super::error::DataError;
use super::reader::Reader;
use super::symbols::without_exchange;
use crate::core::payload::Payload;
use crate::core::{Event, EventKind, InstrumentId};

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
        let name = reader.symbol(symbol)?;
        let known = |wanted: &str| self.symbols.iter().position(|have| have == wanted);
        let Some(instrument) = known(name).or_else(|| known(without_exchange(name))) else {
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

    /// Some file holds minute bars, whose prices inside the minute are in a reconstructed order.
    pub fn has_bars(&self) -> bool {
        self.readers.iter().any(Reader::is_bars)
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

//! Where the venue's market comes from: the synthetic generator, data files, or a journal; each event
//! at its own instant, at real or scaled speed, with the operator's price jumps applied.

use std::path::{Path, PathBuf};

use crate::core::payload::{Quote, Trade};
use crate::core::{Event, EventKind, InstrumentId, Nanos, Payload, Price, Span};
use crate::data::{DataError, Options, Source, survey};
use crate::journal::{JournalError, SessionReader, StreamName, StreamReader};
use crate::venue::paper::synthetic::{SyntheticMarket, TICK};

use super::symbols::{Symbol, SymbolError};

/// Why there is no market.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A file cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A symbol without two assets.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
}

enum Origin {
    Synthetic {
        market: Box<SyntheticMarket>,
        factors: Vec<i64>,
    },
    Files(Box<Source>),
    /// `growing` where a process was writing it: then its end is not to be judged.
    Journal {
        stream: Box<StreamReader>,
        growing: bool,
    },
}

/// Market events in the order of time.
pub struct Feed {
    origin: Origin,
    /// Events per second of their own time that pass in a second of ours.
    speed: f64,
    /// The first event's own time, and ours when it was due.
    began: Option<(Nanos, Nanos)>,
    next: Option<(Nanos, Event)>,
    ticks: Vec<Price>,
    /// Price factor of each symbol after the operator's jumps.
    factors: Vec<f64>,
    last: Vec<Option<Event>>,
}

/// Synthetic time runs for so long; then the market stands still.
const LIFE: Span = Span::seconds(10 * 365 * 86_400);
/// A Monday, where every synthetic market begins.
const START: Nanos = Nanos(1_704_067_200_000_000_000);

impl Feed {
    /// A synthetic market of these symbols.
    ///
    /// # Errors
    /// A symbol without two assets.
    pub fn synthetic(names: &[String], seed: u64, speed: f64) -> Result<(Self, Vec<Symbol>), FeedError> {
        let listed = names.iter().map(|name| Symbol::synthetic(name)).collect::<Result<Vec<_>, _>>()?;
        let (symbols, factors): (Vec<Symbol>, Vec<i64>) = listed.into_iter().unzip();
        let market = Box::new(SyntheticMarket::new(seed, symbols.len(), START, LIFE));
        let scaled = symbols.iter().zip(factors).map(|(symbol, factor)| symbol.spec.tick_size.units() * factor);
        let origin = Origin::Synthetic { market, factors: scaled.collect() };
        Ok((Self::new(origin, &symbols, speed), symbols))
    }

    /// Data files, merged by time.
    ///
    /// # Errors
    /// A file that cannot be read, or a symbol without two assets.
    pub fn files(paths: &[PathBuf], options: &Options, speed: f64) -> Result<(Self, Vec<Symbol>), FeedError> {
        let found = survey(paths, options)?;
        let symbols: Vec<Symbol> =
            found.iter().map(|seen| Symbol::seen(&seen.symbol, seen.tick, seen.lot)).collect::<Result<_, _>>()?;
        let names: Vec<String> = found.into_iter().map(|seen| seen.symbol).collect();
        let source = Source::open(paths, options, &names)?;
        Ok((Self::new(Origin::Files(Box::new(source)), &symbols, speed), symbols))
    }

    /// The market data in a journal.
    ///
    /// # Errors
    /// No journal, or a symbol without two assets.
    pub fn journal(directory: &Path, speed: f64) -> Result<(Self, Vec<Symbol>), FeedError> {
        let session = SessionReader::open(directory)?;
        let symbols: Vec<Symbol> = session
            .info()
            .instruments
            .iter()
            .map(|spec| Symbol::seen(&spec.symbol, spec.tick_size, spec.lot_step))
            .collect::<Result<_, _>>()?;
        let growing = session.is_being_written();
        let stream = Box::new(session.stream(StreamName::Input)?);
        Ok((Self::new(Origin::Journal { stream, growing }, &symbols, speed), symbols))
    }

    fn new(origin: Origin, symbols: &[Symbol], speed: f64) -> Self {
        Self {
            origin,
            speed,
            began: None,
            next: None,
            ticks: symbols.iter().map(|symbol| symbol.spec.tick_size).collect(),
            factors: vec![1.0; symbols.len()],
            last: vec![None; symbols.len()],
        }
    }

    /// When the next event is due; [`Nanos::MAX`] after the last.
    ///
    /// # Errors
    /// The file or journal cannot be read on.
    pub fn next_due(&mut self, now: Nanos) -> Result<Nanos, FeedError> {
        if self.next.is_none() {
            let Some(event) = self.read()? else { return Ok(Nanos::MAX) };
            let own = event.local_ns;
            let (first, start) = *self.began.get_or_insert((own, now));
            if matches!(self.origin, Origin::Synthetic { .. }) && self.last.iter().any(Option::is_none) {
                // The market opens with a quote of every symbol: time begins then.
                self.began = Some((own, now));
                self.next = Some((now, event));
                return Ok(now);
            }
            let offset = (own.since(first).0 as f64 / self.speed) as u64;
            self.next = Some((start.plus(Span(offset)), event));
        }
        Ok(self.next.as_ref().map_or(Nanos::MAX, |(due, _)| *due))
    }

    /// The event that was due.
    pub fn take(&mut self) -> Option<Event> {
        let (_, event) = self.next.take()?;
        let place = event.instrument.index();
        if event.kind == EventKind::Quote
            && let Some(last) = self.last.get_mut(place)
        {
            *last = Some(event);
        }
        Some(self.jumped(event))
    }

    /// Moves a symbol (or all) by a percentage, for good; the quotes to send at once.
    pub fn jump(&mut self, symbol: Option<InstrumentId>, percent: f64) -> Vec<Event> {
        let chosen = (0..self.factors.len() as u16).map(InstrumentId);
        let chosen: Vec<_> = chosen.filter(|id| symbol.is_none_or(|symbol| symbol == *id)).collect();
        for id in &chosen {
            self.factors[id.index()] *= 1.0 + percent / 100.0;
        }
        chosen.into_iter().filter_map(|id| self.last[id.index()].map(|event| self.jumped(event))).collect()
    }

    fn jumped(&self, event: Event) -> Event {
        let place = event.instrument.index();
        let (Some(factor), Some(tick)) = (self.factors.get(place).copied(), self.ticks.get(place).copied()) else {
            return event;
        };
        if factor == 1.0 {
            return event;
        }
        // The bid goes down to the tick and the ask up, so that they never cross.
        let scaled = |price: Price| Price::from_units((price.units() as f64 * factor) as i64);
        let down = |price: Price| scaled(price).floor_to(tick).unwrap_or(price).max(tick);
        let up = |price: Price| scaled(price).ceil_to(tick).unwrap_or(price).max(tick);
        let payload = match event.kind {
            EventKind::Quote => {
                let quote = Quote::of(&event);
                Quote { bid: down(quote.bid), ask: up(quote.ask), ..quote }.to_words()
            }
            EventKind::Trade => {
                let trade = Trade::of(&event);
                Trade { price: down(trade.price), ..trade }.to_words()
            }
            _ => return event,
        };
        Event { payload, ..event }
    }

    fn read(&mut self) -> Result<Option<Event>, FeedError> {
        loop {
            let event = match &mut self.origin {
                Origin::Synthetic { market, factors } => market.next().map(|event| scale(event, factors)),
                Origin::Files(source) => source.next_event().transpose()?,
                Origin::Journal { stream, growing } => {
                    let event = stream.next_event().transpose()?;
                    if event.is_none() && !std::mem::replace(growing, true) {
                        // Once: a market that stands still behind a hole would look like one that is over.
                        stream.check_end()?;
                    }
                    event
                }
            };
            match event {
                Some(event) if !matches!(event.kind, EventKind::Quote | EventKind::Trade) => {}
                other => return Ok(other),
            }
        }
    }
}

/// A synthetic event in the prices of its symbol.
fn scale(event: Event, factors: &[i64]) -> Event {
    let factor = factors.get(event.instrument.index()).copied().unwrap_or(TICK);
    let scaled = |price: Price| Price::from_units(price.units() / TICK * factor);
    let payload = if event.kind == EventKind::Quote {
        let quote = Quote::of(&event);
        Quote { bid: scaled(quote.bid), ask: scaled(quote.ask), ..quote }.to_words()
    } else {
        let trade = Trade::of(&event);
        Trade { price: scaled(trade.price), ..trade }.to_words()
    };
    Event { payload, ..event }
}

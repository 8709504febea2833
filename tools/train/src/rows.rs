//! Labelled signals, through the same feed and quant as live trading.
//!
//! A *series* is one stream that the engine would see: one data file, one journal, one made-up market.
//! Each has its own feed and quant, so that two recordings of one symbol are never mixed.

use std::path::{Path, PathBuf};

use pawl::config::{Config, infer_instrument};
use pawl::core::crc::crc32c_portable;
use pawl::core::payload::Quote;
use pawl::core::{Event, EventKind, InstrumentId, InstrumentSpec, InstrumentTable, Nanos, Payload, Price, Qty, Span};
use pawl::data::{self, OnBadLine, Options, Source};
use pawl::engine::EngineError;
use pawl::journal::{SessionReader, StreamName};
use pawl::oracle::Row;
use pawl::venue::paper::synthetic::{self, SyntheticMarket};
use pawl::venue::random::Random;
use pawl::worlds::labels::{Barrier, Fees, LabelledSignal, Labeller};

use crate::TrainError;

/// Monday 2024-01-01 00:00 UTC, where made-up markets begin.
pub const START: Nanos = Nanos(1_704_067_200_000_000_000);

/// One training row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingRow {
    /// What the model is asked with, rounded once as the engine does.
    pub row: Row,
    /// When the signal was raised.
    pub raised: Nanos,
    /// When its label was known.
    pub exit: Nanos,
    /// Net result in basis points, after spread and fees.
    pub net_bp: f64,
    /// How the trade ended.
    pub barrier: Barrier,
}

impl TrainingRow {
    /// The row of a labelled signal.
    pub fn of(signal: &LabelledSignal) -> Self {
        Self {
            row: signal.features.to_row(),
            raised: signal.raised,
            exit: signal.exit,
            net_bp: signal.net_bp,
            barrier: signal.barrier,
        }
    }

    /// 1 when the trade nets a profit.
    pub fn label(&self) -> f32 {
        if self.net_bp > 0.0 { 1.0 } else { 0.0 }
    }
}

/// Where a series comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A market data file.
    File(PathBuf),
    /// A journal's folder.
    Journal(PathBuf),
    /// pawl's made-up market, where prices revert by construction.
    Synthetic {
        /// Seed.
        seed: u64,
        /// Market hours.
        hours: u64,
    },
    /// A pure random walk: no rule can earn on it.
    RandomWalk {
        /// Seed.
        seed: u64,
        /// Market hours.
        hours: u64,
    },
}

impl Origin {
    /// A file or folder.
    pub fn of_path(path: &Path) -> Self {
        if path.is_dir() { Self::Journal(path.to_owned()) } else { Self::File(path.to_owned()) }
    }

    /// Name and digest for the card. A journal's digest is that of its `session.toml`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn describe(&self) -> Result<(String, String), TrainError> {
        let digest = |path: &Path| {
            let source = |source| TrainError::File { verb: "read", path: path.to_owned(), source };
            std::fs::read(path).map(|bytes| format!("{:08x}", crc32c_portable(&bytes))).map_err(source)
        };
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(match self {
            Self::File(path) => (name(path), digest(path)?),
            Self::Journal(path) => (name(path), digest(&path.join("session.toml"))?),
            Self::Synthetic { seed, hours } => (format!("synthetic market, seed {seed}, {hours} h"), "-".to_owned()),
            Self::RandomWalk { seed, hours } => (format!("random walk, seed {seed}, {hours} h"), "-".to_owned()),
        })
    }

    /// The instruments and the market events of the series, in order.
    ///
    /// # Errors
    /// What cannot be opened; an event that cannot be read is an error in its place.
    pub fn open(&self, config: &Config) -> Result<(InstrumentTable, Market), TrainError> {
        Ok(match self {
            Self::File(path) => {
                let files = [path.clone()];
                let options = Options { format: None, on_bad_line: OnBadLine::Stop, symbol: None };
                let spec = |found: &data::SymbolSurvey| {
                    let configured = config.instruments.iter().find(|spec| spec.symbol == found.symbol);
                    configured.cloned().unwrap_or_else(|| infer_instrument(found))
                };
                let specs: Vec<InstrumentSpec> = data::survey(&files, &options)?.iter().map(spec).collect();
                let symbols: Vec<String> = specs.iter().map(|spec| spec.symbol.clone()).collect();
                let mut source = Source::open(&files, &options, &symbols)?;
                let market =
                    std::iter::from_fn(move || source.next_event().map(|event| event.map_err(TrainError::from)));
                (InstrumentTable::new(specs)?, Box::new(market) as Market)
            }
            Self::Journal(path) => {
                let session = SessionReader::open(path)?;
                let table = InstrumentTable::new(session.info().instruments.iter().cloned())?;
                let mut stream = session.stream(StreamName::Input)?;
                let events =
                    std::iter::from_fn(move || stream.next_event().map(|event| event.map_err(TrainError::from)));
                let of_market = |event: &Result<Event, TrainError>| {
                    event.as_ref().map_or(true, |event| {
                        matches!(event.kind, EventKind::Quote | EventKind::Trade | EventKind::Gap)
                    })
                };
                (table, Box::new(events.filter(of_market)))
            }
            Self::Synthetic { seed, hours } => {
                let market = SyntheticMarket::new(*seed, 1, START, Span::seconds(hours * 3600));
                (InstrumentTable::new(synthetic::specs(1))?, Box::new(market.map(Ok)))
            }
            Self::RandomWalk { seed, hours } => {
                (InstrumentTable::new(synthetic::specs(1))?, Box::new(random_walk(*seed, *hours).map(Ok)))
            }
        })
    }

    /// Every labelled signal of the series.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn rows(&self, config: &Config) -> Result<Vec<TrainingRow>, TrainError> {
        let (table, market) = self.open(config)?;
        let mut labeller =
            Labeller::new(&config.engine(), Fees::of(&config.paper), &table).map_err(EngineError::from)?;
        let mut rows = Vec::new();
        for event in market {
            labeller.on_event(&event?, |signal| rows.push(TrainingRow::of(&signal)));
        }
        Ok(rows)
    }
}

/// Market events, each readable or not.
pub type Market = Box<dyn Iterator<Item = Result<Event, TrainError>>>;

/// Rows of several series in the order in which their signals were raised.
///
/// # Errors
/// What cannot be read.
pub fn collect(
    origins: &[Origin],
    config: &Config,
    mut progress: impl FnMut(usize),
) -> Result<Vec<TrainingRow>, TrainError> {
    let mut rows = Vec::new();
    for (done, origin) in origins.iter().enumerate() {
        rows.extend(origin.rows(config)?);
        progress(done + 1);
    }
    rows.sort_by_key(|row| (row.raised, row.exit));
    Ok(rows)
}

/// Quotes of a driftless Gaussian walk, one every five seconds, one tick of spread.
pub fn random_walk(seed: u64, hours: u64) -> impl Iterator<Item = Event> {
    const TICK: i64 = 1_000;
    let mut random = Random::new(seed);
    let mut ticks = 1_000_000.0f64;
    (0..hours * 720).map(move |step| {
        ticks = (ticks + random.normal() * 12.0).max(1_000.0);
        let now = START.plus(Span::seconds(step * 5));
        let bid = Price::from_units(ticks as i64 * TICK);
        let ask = Price::from_units((ticks as i64 + 1) * TICK);
        Quote { bid, ask, bid_qty: Qty::whole(1), ask_qty: Qty::whole(1) }.event(
            EventKind::Quote,
            InstrumentId(0),
            now,
            now,
        )
    })
}

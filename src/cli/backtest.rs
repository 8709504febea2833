//! `pawl backtest`: market data files, or a journal, against the simulated exchange.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use crate::config::{Config, default_balance, infer_instrument};
use crate::core::{Event, EventKind, InstrumentSpec, InstrumentTable};
use crate::data::{self, DataError, Format, OnBadLine, Options, Source};
use crate::engine::Engine;
use crate::journal::{SessionReader, StreamName, StreamReader};
use crate::report::{Collector, Progress};
use crate::venue::paper::PaperVenue;
use crate::worlds::session::Session;

use super::Failure;
use super::common::{Gate, Print, SHIPPED_MODEL, Unfinished, log_latency, print_outcome, write_trades};
use super::new_file::refuse_input;

/// Arguments of `pawl backtest`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  pawl backtest EURUSD_2014.csv.gz --trades trades.csv\n  pawl backtest BTCUSDT_quotes.csv.gz BTCUSDT_trades.csv.gz --config pawl.toml --json"
)]
pub(super) struct BacktestArguments {
    /// Market data files (several are merged by time), or one journal folder
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Configuration; without it every default, and instruments guessed from the data
    #[arg(long)]
    config: Option<PathBuf>,
    /// Format of the files; without it recognised from their content
    #[arg(long)]
    format: Option<Format>,
    /// Symbol of files whose lines name none; without it the file's name tells
    #[arg(long)]
    symbol: Option<String>,
    /// What a line that cannot be read does
    #[arg(long, value_enum, default_value = "stop")]
    on_bad_line: OnBadLine,
    /// XGBoost model; without it the shipped one
    #[arg(long, conflicts_with = "no_gate")]
    model: Option<PathBuf>,
    /// Let every signal pass: judge the rule without the model
    #[arg(long)]
    no_gate: bool,
    /// Gate threshold, a probability (default from the configuration, 0.85)
    #[arg(long)]
    threshold: Option<f32>,
    /// Write a journal of the run into this new folder
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Write the closed trades to this CSV file
    #[arg(long)]
    trades: Option<PathBuf>,
    /// Print JSON instead of text; the same inputs give the same bytes
    #[arg(long)]
    json: bool,
    /// JSON with latency per stage and ticks per second, which differ from run to run
    #[arg(long)]
    timings: bool,
}

/// Where the market events come from.
enum Market {
    Files(Box<Source>),
    /// `growing` where a process was writing it: then its end is not to be judged.
    Journal {
        stream: Box<StreamReader>,
        growing: bool,
    },
}

impl Market {
    fn next_event(&mut self) -> Option<Result<Event, Failure>> {
        match self {
            Self::Files(source) => source.next_event().map(|event| event.map_err(Failure::from)),
            Self::Journal { stream, growing } => loop {
                match stream.next_event() {
                    // Of a journal, only the market is replayed here: the exchange answers anew.
                    Some(Ok(event)) if matches!(event.kind, EventKind::Quote | EventKind::Trade | EventKind::Gap) => {
                        return Some(Ok(event));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Some(Err(error.into())),
                    // A result over the half before a hole would look like one over the whole.
                    None if !*growing => return stream.check_end().err().map(|error| Err(error.into())),
                    None => return None,
                }
            },
        }
    }

    fn progress(&self) -> (u64, u64) {
        match self {
            Self::Files(source) => source.progress(),
            Self::Journal { stream, .. } => stream.progress(),
        }
    }

    fn bad_lines(&self) -> u64 {
        match self {
            Self::Files(source) => source.bad_lines(),
            Self::Journal { .. } => 0,
        }
    }

    fn has_bars(&self) -> bool {
        match self {
            Self::Files(source) => source.has_bars(),
            Self::Journal { .. } => false,
        }
    }

    fn first_bad(&self) -> Option<&DataError> {
        match self {
            Self::Files(source) => source.first_bad(),
            Self::Journal { .. } => None,
        }
    }
}

/// Opens the market and decides the instruments: configured ones first, the rest guessed.
fn open_market(arguments: &BacktestArguments, config: &Config) -> Result<(Market, InstrumentTable), Failure> {
    if let [folder] = arguments.files.as_slice()
        && folder.is_dir()
    {
        let session = SessionReader::open(folder)?;
        let instruments = InstrumentTable::new(session.info().instruments.iter().cloned())?;
        let growing = session.is_being_written();
        let stream = Box::new(session.stream(StreamName::Input)?);
        return Ok((Market::Journal { stream, growing }, instruments));
    }
    let options =
        Options { format: arguments.format, on_bad_line: arguments.on_bad_line, symbol: arguments.symbol.clone() };
    let (source, instruments) = open_files(&arguments.files, &options, config)?;
    Ok((Market::Files(Box::new(source)), instruments))
}

/// Opens market data files with their instruments.
pub(super) fn open_files(
    files: &[PathBuf],
    options: &Options,
    config: &Config,
) -> Result<(Source, InstrumentTable), Failure> {
    files.iter().try_for_each(|path| refuse_pipe(path))?;
    let survey = data::survey(files, options)?;
    if survey.is_empty() {
        return Err(no_market(files));
    }
    let specs: Vec<InstrumentSpec> = survey
        .iter()
        .map(|found| {
            let configured = config.instruments.iter().find(|spec| spec.symbol == found.symbol);
            configured.cloned().unwrap_or_else(|| infer_instrument(found))
        })
        .collect();
    let symbols: Vec<String> = specs.iter().map(|spec| spec.symbol.clone()).collect();
    let instruments = InstrumentTable::new(specs)?;
    Ok((Source::open(files, options, &symbols)?, instruments))
}

/// Files are read twice, first for their symbols and steps.
fn refuse_pipe(path: &Path) -> Result<(), Failure> {
    // What is not there, and what a folder is, is said by who reads it.
    let readable = |found: std::fs::Metadata| found.is_file() || found.is_dir();
    if std::fs::metadata(path).map_or(true, readable) {
        return Ok(());
    }
    let (expected, found) = ("a regular file, since it is read twice".to_owned(), "a pipe or a device".to_owned());
    let remedy = "write what comes out of it to a file and name that".to_owned();
    Err(DataError::File { file: path.to_owned(), expected, found, remedy }.into())
}

fn no_market(files: &[PathBuf]) -> Failure {
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    Failure::Usage(format!("expected market data, found no quote and no trade in {}", names.join(", ")))
}

/// Currencies of all instruments: one account can only hold one.
fn account_currency(instruments: &InstrumentTable) -> String {
    let currencies: BTreeSet<&str> = instruments.iter().map(|(_, i)| i.spec().currency.as_str()).collect();
    match currencies.iter().next() {
        Some(_) if currencies.len() > 1 => "mixed".to_owned(),
        only => only.map_or_else(String::new, |only| (*only).to_owned()),
    }
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &BacktestArguments) -> Result<(), Failure> {
    let print = Print::from_flags(arguments.json, arguments.timings);
    let mut config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(threshold) = arguments.threshold {
        config.oracle.threshold = threshold;
    }
    let gate = match (&arguments.model, arguments.no_gate) {
        (Some(path), _) => Gate::read(path)?,
        (None, true) => Gate::Open,
        (None, false) => Gate::shipped(SHIPPED_MODEL, "models/model.json"),
    };
    let (mut market, instruments) = open_market(arguments, &config)?;
    if let Some(path) = &arguments.trades {
        refuse_input(path, arguments.files.iter().chain(&arguments.config).chain(&arguments.model))?;
    }
    let currency = account_currency(&instruments);
    if currency == "mixed" && !print.is_json() {
        eprintln!("pawl: note: instruments of several currencies; profits are added up without conversion");
    }
    if market.has_bars() {
        eprintln!(
            "pawl: note: minute bars: the order of prices inside a minute is reconstructed with its close known, \
             which flatters a strategy that trades inside the minute; judge one on ticks"
        );
    }
    let balance = config.account.balance.unwrap_or_else(|| default_balance(&currency));
    let engine = Engine::new(&config.engine(), gate.oracle(&config)?, &instruments, 1)?;
    let venue = PaperVenue::new(&config.paper, &instruments)?;
    // A run that fails can be had again, with what its message says was changed: it leaves no session in the way.
    let journal = arguments.journal.as_deref();
    let journal = journal.map(|directory| Unfinished::create(directory, &config, &gate, &instruments));
    let (unfinished, journal) = journal.transpose()?.unzip();
    let collector = Collector::new(&instruments, balance, &currency);
    let mut session = Session::new(engine, venue, collector, journal);
    if let Some(directory) = &arguments.journal {
        log_latency(&mut session, directory)?;
    }
    let mut progress = Progress::new("backtest", std::io::stderr().is_terminal());
    let began = Instant::now();
    let mut events = 0u64;
    while let Some(event) = market.next_event() {
        let event = event?;
        if events == 0 {
            session.start(balance, event.local_ns)?;
        }
        session.on_market(&event)?;
        events += 1;
        if events.is_multiple_of(65_536) {
            let (done, total) = market.progress();
            progress.update(done, total, events);
        }
    }
    progress.finish();
    if events == 0 {
        return Err(no_market(&arguments.files));
    }
    let seconds = began.elapsed().as_secs_f64();
    let outcome = session.finish(&instruments)?;
    if let Some(unfinished) = unfinished {
        unfinished.keep();
    }
    if let Some(first) = market.first_bad() {
        eprintln!("pawl: note: {} bad lines skipped; the first: {first}", market.bad_lines());
    }
    if let Some(path) = &arguments.trades {
        write_trades(path, &outcome, &instruments)?;
    }
    print_outcome(&outcome, &instruments, market.bad_lines(), print, events as f64 / seconds)
}

//! `pawl signals`: every raw signal with its features and outcome, as a table to train on.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::core::InstrumentTable;
use crate::data::{OnBadLine, Options, Source};
use crate::engine::EngineError;
use crate::report::Progress;
use crate::venue::paper::synthetic::SyntheticMarket;
use crate::worlds::labels::{Fees, Labeller, write_header, write_row};

use super::Failure;
use super::backtest::open_files;
use super::new_file::NewFile;

/// Arguments of `pawl signals`.
#[derive(Args)]
#[command(after_help = "Example:\n  pawl signals GBPUSD_M1quote_2012.csv.gz --out signals.csv")]
pub(super) struct SignalsArguments {
    /// Market data files; with `--synthetic-hours`, none
    files: Vec<PathBuf>,
    /// Use this many hours of the demo's synthetic market instead of files
    #[arg(long, conflicts_with = "files")]
    synthetic_hours: Option<u64>,
    /// Seed of the synthetic market
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Configuration; without it every default
    #[arg(long)]
    config: Option<PathBuf>,
    /// The CSV file to write
    #[arg(long)]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &SignalsArguments) -> Result<(), Failure> {
    let config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    // The inputs come first: where one is missing, the table of an earlier run stays as it is.
    let market = match arguments.synthetic_hours {
        Some(hours) => Market::Synthetic(super::demo::synthetic_market(arguments.seed, 1, hours)?),
        None if arguments.files.is_empty() => {
            return Err(Failure::Usage(
                "expected market data files, found none; name some or pass --synthetic-hours".into(),
            ));
        }
        None => {
            let options = Options { format: None, on_bad_line: OnBadLine::Stop, symbol: None };
            Market::Files(Box::new(open_files(&arguments.files, &options, &config)?))
        }
    };
    let mut out = NewFile::create(&arguments.out, arguments.files.iter().chain(&arguments.config))?;
    let error = |source| Failure::File { verb: "write", path: arguments.out.clone(), source };
    write_header(&mut out).map_err(error)?;
    let fees = Fees::of(&config.paper);
    let (mut rows, mut written) = (0u64, Ok(()));
    let mut write = |symbol: &str, row| {
        rows += 1;
        if written.is_ok() {
            written = write_row(&mut out, symbol, &row);
        }
    };
    let symbol_of = |instruments: &InstrumentTable, id| {
        instruments.get(id).map_or_else(String::new, |instrument| instrument.spec().symbol.clone())
    };
    match market {
        Market::Synthetic((instruments, market)) => {
            let mut labeller = Labeller::new(&config.engine(), fees, &instruments).map_err(EngineError::from)?;
            for event in market {
                labeller.on_event(&event, |row| write(&symbol_of(&instruments, row.instrument), row));
            }
        }
        Market::Files(files) => {
            let (mut source, instruments) = *files;
            let mut labeller = Labeller::new(&config.engine(), fees, &instruments).map_err(EngineError::from)?;
            let mut progress = Progress::new("signals", std::io::stderr().is_terminal());
            let mut events = 0u64;
            while let Some(event) = source.next_event() {
                labeller.on_event(&event?, |row| write(&symbol_of(&instruments, row.instrument), row));
                events += 1;
                if events.is_multiple_of(65_536) {
                    let (done, total) = source.progress();
                    progress.update(done, total, events);
                }
            }
            progress.finish();
            if let Some(first) = source.first_bad() {
                eprintln!("pawl: note: {} bad lines skipped; the first: {first}", source.bad_lines());
            }
        }
    }
    written.map_err(error)?;
    out.finish()?;
    eprintln!("{rows} signals written to {}", arguments.out.display());
    Ok(())
}

/// Where the signals come from.
enum Market {
    Synthetic((InstrumentTable, SyntheticMarket)),
    Files(Box<(Source, InstrumentTable)>),
}

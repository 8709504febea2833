//! `pawl journal`: look at a session, check it, convert it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::Config;
use crate::core::{EventKind, InstrumentId};
use crate::data::{Format, OnBadLine, Options};
use crate::journal::{
    ParquetTable, Position, Selection, SessionReader, Story, StreamName, check_session, compress_session, journal_info,
};
use crate::report::Progress;

use super::Failure;
use super::backtest::open_files;
use super::common::{Gate, create_journal, session_parser};
use super::records::{Printer, RecordFormat, for_each};

/// Arguments of `pawl journal`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  pawl journal info journal/a\n  pawl journal dump journal/a --kind submit,fill --format csv\n  pawl journal export journal/a --out parquet/ --format parquet"
)]
pub(super) struct JournalArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Span, counts by kind, gaps, rates and sizes
    Info(InfoArguments),
    /// Print records as text, JSON lines or CSV
    Dump(DumpArguments),
    /// Print records as they are written, like `tail -f`
    Tail(TailArguments),
    /// Check every record; exit status 1 when something is wrong
    Verify(InfoArguments),
    /// Write market data files into a new session
    Import(ImportArguments),
    /// Write each kind of record into a table of its own, Parquet or CSV
    Export(ExportArguments),
    /// Compress closed segments with zstd; every command reads them as they are
    Compress(CompressArguments),
}

#[derive(Args)]
struct InfoArguments {
    /// The session's folder, or one that holds sessions: then the newest
    #[arg(value_parser = session_parser())]
    session: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Which records.
#[derive(Args)]
pub(super) struct Filter {
    /// Only this stream
    #[arg(long, value_enum)]
    stream: Option<Stream>,
    /// Only these kinds, e.g. `submit,fill`
    #[arg(long, value_delimiter = ',', value_parser = parse_kind)]
    kind: Vec<EventKind>,
    /// Only this symbol
    #[arg(long)]
    instrument: Option<String>,
    /// From here on: `2024-08-08T23:54:16.25Z`, epoch nanoseconds, or `#INPUT`
    #[arg(long, value_parser = Position::parse)]
    from: Option<Position>,
    /// Up to and including this
    #[arg(long, value_parser = Position::parse)]
    until: Option<Position>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Stream {
    Input,
    Output,
}

#[derive(Args)]
struct DumpArguments {
    /// The session's folder, or one that holds sessions: then the newest
    #[arg(value_parser = session_parser())]
    session: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    format: RecordFormat,
    /// Print at most this many records
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    limit: u64,
}

#[derive(Args)]
struct TailArguments {
    #[command(flatten)]
    dump: DumpArguments,
    /// Wait for more records as long as a process writes the session
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last so many records
    #[arg(short = 'n', long, default_value_t = 10)]
    lines: usize,
}

#[derive(Args)]
struct ImportArguments {
    /// Market data files (several are merged by time)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The new session's folder
    #[arg(long)]
    out: PathBuf,
    /// Configuration, for its instruments; others are guessed from the data
    #[arg(long)]
    config: Option<PathBuf>,
    /// Format of the files; without it recognised from their content
    #[arg(long)]
    format: Option<Format>,
    /// Symbol, where neither content nor file name tells
    #[arg(long)]
    symbol: Option<String>,
    /// What a line that cannot be read does
    #[arg(long, value_enum, default_value = "stop")]
    on_bad_line: OnBadLine,
}

#[derive(Args)]
struct ExportArguments {
    /// The session's folder, or one that holds sessions: then the newest
    #[arg(value_parser = session_parser())]
    session: PathBuf,
    #[command(flatten)]
    filter: Filter,
    /// Folder of the tables, one a kind: `quote.parquet`, `fill.parquet`, ...
    #[arg(long)]
    out: PathBuf,
    /// What the tables are
    #[arg(long, value_enum, default_value = "parquet")]
    format: TableFormat,
    /// Prices, quantities and money as doubles instead of exact decimals (Parquet)
    #[arg(long)]
    floats: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableFormat {
    /// Times are UTC nanoseconds, prices exact decimals; pandas and polars read both
    Parquet,
    /// Comma-separated, with a header
    Csv,
}

#[derive(Args)]
struct CompressArguments {
    /// The session's folder, or one that holds sessions: then the newest
    #[arg(value_parser = session_parser())]
    session: PathBuf,
    /// 1 is fast, 19 is small
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
}

fn parse_kind(text: &str) -> Result<EventKind, String> {
    let known = || EventKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    let kind = EventKind::ALL.iter().find(|kind| kind.name() == text);
    kind.copied().ok_or_else(|| format!("expected one of {}", known()))
}

impl Filter {
    /// The selection, with the symbol looked up.
    pub(super) fn selection(&self, session: &SessionReader) -> Result<Selection, Failure> {
        let stream = self.stream.map(|stream| match stream {
            Stream::Input => StreamName::Input,
            Stream::Output => StreamName::Output,
        });
        let instrument = self.instrument.as_deref().map(|symbol| find_instrument(session, symbol)).transpose()?;
        Ok(Selection { stream, kinds: self.kind.clone(), instrument, from: self.from, until: self.until })
    }
}

/// The id of a symbol in a session.
pub(super) fn find_instrument(session: &SessionReader, symbol: &str) -> Result<InstrumentId, Failure> {
    let specs = &session.info().instruments;
    let index = specs.iter().position(|spec| spec.symbol == symbol).ok_or_else(|| {
        let known: Vec<&str> = specs.iter().map(|spec| spec.symbol.as_str()).collect();
        Failure::Usage(format!("expected one of the session's symbols {known:?}, found {symbol:?}"))
    })?;
    Ok(InstrumentId(u16::try_from(index).unwrap_or(u16::MAX)))
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`]; [`Failure::Different`] when `verify` finds something wrong.
pub(super) fn run(arguments: &JournalArguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Info(arguments) => info(arguments),
        What::Dump(arguments) => dump(arguments),
        What::Tail(arguments) => tail(arguments),
        What::Verify(arguments) => verify(arguments),
        What::Import(arguments) => import(arguments),
        What::Export(arguments) => export(arguments),
        What::Compress(arguments) => compress(arguments),
    }
}

/// Prints to standard output: JSON for a program, or text for a person.
fn print(json: bool, value: &(impl serde::Serialize + std::fmt::Display)) -> Result<(), Failure> {
    let text = if json {
        serde_json::to_string_pretty(value).map_err(|error| Failure::Usage(error.to_string()))?
    } else {
        value.to_string()
    };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end()).map_err(Failure::Output)
}

fn info(arguments: &InfoArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let mut progress = Progress::new("info", std::io::stderr().is_terminal());
    let info = journal_info(&session, |done, total| progress.update(done, total, done / 64))?;
    progress.finish();
    print(arguments.json, &info)
}

fn verify(arguments: &InfoArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let check = check_session(&session)?;
    print(arguments.json, &check)?;
    if check.is_good() {
        return Ok(());
    }
    let count: usize = check.streams.iter().map(|stream| stream.findings.len()).sum();
    Err(Failure::Different(format!(
        "{}: {count} findings; the good records are listed above",
        arguments.session.display()
    )))
}

/// Prints to standard output.
fn stdout_printer(
    session: &SessionReader,
    format: RecordFormat,
    selection: &Selection,
) -> Result<Printer<BufWriter<StdoutLock<'static>>>, Failure> {
    let only = if let [only] = selection.kinds.as_slice() { Some(*only) } else { None };
    let symbols: Vec<String> = session.info().instruments.iter().map(|spec| spec.symbol.clone()).collect();
    Printer::new(&symbols, format, only, BufWriter::new(std::io::stdout().lock()))
}

fn dump(arguments: &DumpArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let selection = arguments.filter.selection(&session)?;
    let mut printer = stdout_printer(&session, arguments.format, &selection)?;
    let mut printed = 0;
    let outcome = for_each(&session, &selection, |event| {
        if printed < arguments.limit {
            printed += 1;
            printer.print(event)?;
        }
        Ok(printed < arguments.limit)
    });
    printer.flush()?;
    outcome
}

fn tail(arguments: &TailArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.dump.session)?;
    let selection = arguments.dump.filter.selection(&session)?;
    let mut printer = stdout_printer(&session, arguments.dump.format, &selection)?;
    let mut story = Story::open(&session)?;
    let mut last = std::collections::VecDeque::new();
    while let Some(event) = story.next_event()? {
        if selection.wants(&event) {
            last.push_back(event);
            if last.len() > arguments.lines {
                last.pop_front();
            }
        }
    }
    for event in last {
        printer.print(&event)?;
    }
    printer.flush()?;
    if !arguments.follow {
        return Ok(());
    }
    loop {
        // Asked before reading: what was written before the writer left is still read.
        let alive = session.is_being_written();
        while let Some(event) = story.next_event()? {
            if selection.wants(&event) {
                printer.print(&event)?;
            }
        }
        printer.flush()?;
        if !alive {
            eprintln!("pawl: the writer has closed the session");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn import(arguments: &ImportArguments) -> Result<(), Failure> {
    let config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let options =
        Options { format: arguments.format, on_bad_line: arguments.on_bad_line, symbol: arguments.symbol.clone() };
    let (mut source, instruments) = open_files(&arguments.files, &options, &config)?;
    let mut writer = create_journal(&arguments.out, &config, &Gate::Open, &instruments, None)?;
    let mut progress = Progress::new("import", std::io::stderr().is_terminal());
    while let Some(event) = source.next_event() {
        let sequence = writer.input.append(&event?)?;
        if sequence.is_multiple_of(65_536) {
            let (done, total) = source.progress();
            progress.update(done, total, sequence);
        }
    }
    progress.finish();
    let (records, bad) = (writer.input.written(), source.bad_lines());
    writer.close()?;
    println!(
        "{records} records of {} instruments written to {}, {bad} bad lines",
        instruments.len(),
        display(&arguments.out)
    );
    Ok(())
}

/// A table that is being written.
enum Table {
    Parquet(Box<ParquetTable>),
    Csv(Printer<BufWriter<File>>),
}

fn export(arguments: &ExportArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let selection = arguments.filter.selection(&session)?;
    let error = |source| Failure::File { verb: "create", path: arguments.out.clone(), source };
    std::fs::create_dir_all(&arguments.out).map_err(error)?;
    let mut tables: BTreeMap<EventKind, (Table, u64)> = BTreeMap::new();
    let symbols: Vec<String> = session.info().instruments.iter().map(|spec| spec.symbol.clone()).collect();
    for_each(&session, &selection, |event| {
        let symbol = symbols.get(event.instrument.index()).map_or("-", String::as_str);
        let (table, rows) = match tables.entry(event.kind) {
            Entry::Occupied(table) => table.into_mut(),
            Entry::Vacant(place) => {
                let name = event.kind.name();
                let table = if arguments.format == TableFormat::Parquet {
                    let path = arguments.out.join(format!("{name}.parquet"));
                    Table::Parquet(Box::new(ParquetTable::create(&path, event, symbol, arguments.floats)?))
                } else {
                    let path = arguments.out.join(format!("{name}.csv"));
                    let file = File::create(&path).map_err(|source| Failure::File { verb: "create", path, source })?;
                    Table::Csv(Printer::new(&symbols, RecordFormat::Csv, Some(event.kind), BufWriter::new(file))?)
                };
                place.insert((table, 0))
            }
        };
        *rows += 1;
        match table {
            Table::Parquet(table) => table.add(event, symbol)?,
            Table::Csv(table) => table.print(event)?,
        }
        Ok(true)
    })?;
    for (kind, (table, rows)) in tables {
        match table {
            Table::Parquet(table) => table.close()?,
            Table::Csv(mut table) => table.flush()?,
        }
        println!("{:<18} {rows:>10} rows", kind.name());
    }
    Ok(())
}

fn display(path: &Path) -> std::path::Display<'_> {
    path.display()
}

fn compress(arguments: &CompressArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let done = compress_session(&session, arguments.level)?;
    let ratio = done.before as f64 / done.after.max(1) as f64;
    println!(
        "{} segments compressed, {} to {} bytes ({ratio:.1} times smaller), {} left as they are",
        done.segments, done.before, done.after, done.left
    );
    Ok(())
}

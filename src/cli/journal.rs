//! `pawl journal`: look at a session, check it, convert it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::Config;
use crate::core::{Event, EventKind, InstrumentId};
use crate::data::{Format, OnBadLine, Options};
use crate::journal::{
    ParquetTable, Position, Selection, SessionReader, Story, StreamName, check_session, compress_session, journal_info,
};
use crate::report::Progress;

use super::Failure;
use super::backtest::open_files;
use super::common::{Gate, Unfinished, say, session_parser};
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
    let mut left = arguments.dump.limit;
    let keep = arguments.lines.min(usize::try_from(left).unwrap_or(usize::MAX));
    let mut printer = stdout_printer(&session, arguments.dump.format, &selection)?;
    let mut story = Story::open(&session)?;
    // Asked before reading: what was written before the writer left is still read.
    let mut alive = session.is_being_written();
    let mut last = VecDeque::new();
    let read = read_on(&mut story, &selection, |event| {
        last.push_back(*event);
        if last.len() > keep {
            last.pop_front();
        }
        Ok(true)
    });
    left -= last.len() as u64;
    for event in last {
        printer.print(&event)?;
    }
    printer.flush()?;
    // Told after the good records before it.
    let mut over = read? || left == 0;
    while arguments.follow && alive && !over {
        std::thread::sleep(Duration::from_millis(20));
        alive = session.is_being_written();
        over = read_on(&mut story, &selection, |event| {
            left -= 1;
            printer.print(event)?;
            Ok(left > 0)
        })?;
        printer.flush()?;
    }
    if over || alive {
        return Ok(());
    }
    if arguments.follow {
        eprintln!("pawl: the writer has closed the session");
    }
    Ok(story.check_end()?)
}

/// Shows what is wanted of the records that are there by now; true when no later one is.
fn read_on(
    story: &mut Story,
    selection: &Selection,
    mut see: impl FnMut(&Event) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    while let Some(event) = story.next_event()? {
        if selection.is_over(&event) || selection.wants(&event) && !see(&event)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn import(arguments: &ImportArguments) -> Result<(), Failure> {
    let config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let options =
        Options { format: arguments.format, on_bad_line: arguments.on_bad_line, symbol: arguments.symbol.clone() };
    let (mut source, instruments) = open_files(&arguments.files, &options, &config)?;
    // Until it is whole it is of no use, and would be in the way of the same command given again.
    let (unfinished, mut writer) = Unfinished::create(&arguments.out, &config, &Gate::Open, &instruments)?;
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
    unfinished.keep();
    let (count, out) = (instruments.len(), arguments.out.display());
    say(format_args!("{records} records of {count} instruments written to {out}, {bad} bad lines"))
}

/// A table that is being written.
enum Table {
    Parquet(Box<ParquetTable>),
    Csv(Printer<BufWriter<File>>, PathBuf),
}

impl Table {
    fn create(path: PathBuf, event: &Event, symbols: &[String], arguments: &ExportArguments) -> Result<Self, Failure> {
        if arguments.format == TableFormat::Parquet {
            let table = ParquetTable::create(&path, event, symbol_of(symbols, event), arguments.floats)?;
            return Ok(Self::Parquet(Box::new(table)));
        }
        let file = match File::create(&path) {
            Ok(file) => BufWriter::new(file),
            Err(source) => return Err(Failure::File { verb: "create", path, source }),
        };
        let printer = Printer::new(symbols, RecordFormat::Csv, Some(event.kind), file);
        printer.map(|table| Self::Csv(table, path.clone())).map_err(|failure| of_file(failure, &path))
    }

    fn add(&mut self, event: &Event, symbols: &[String]) -> Result<(), Failure> {
        match self {
            Self::Parquet(table) => Ok(table.add(event, symbol_of(symbols, event))?),
            Self::Csv(table, path) => table.print(event).map_err(|failure| of_file(failure, path)),
        }
    }

    fn close(self) -> Result<(), Failure> {
        match self {
            Self::Parquet(table) => Ok(table.close()?),
            Self::Csv(mut table, path) => table.flush().map_err(|failure| of_file(failure, &path)),
        }
    }
}

fn symbol_of<'a>(symbols: &'a [String], event: &Event) -> &'a str {
    symbols.get(event.instrument.index()).map_or("-", String::as_str)
}

/// A printer speaks of standard output: here it is a file.
fn of_file(failure: Failure, path: &Path) -> Failure {
    match failure {
        Failure::Output(source) => Failure::File { verb: "write", path: path.to_owned(), source },
        other => other,
    }
}

fn export(arguments: &ExportArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let selection = arguments.filter.selection(&session)?;
    let error = |source| Failure::File { verb: "create", path: arguments.out.clone(), source };
    std::fs::create_dir_all(&arguments.out).map_err(error)?;
    let end = if arguments.format == TableFormat::Parquet { "parquet" } else { "csv" };
    let mut tables: BTreeMap<EventKind, (Table, u64)> = BTreeMap::new();
    let symbols: Vec<String> = session.info().instruments.iter().map(|spec| spec.symbol.clone()).collect();
    let read = for_each(&session, &selection, |event| {
        let (table, rows) = match tables.entry(event.kind) {
            Entry::Occupied(table) => table.into_mut(),
            Entry::Vacant(place) => {
                let path = arguments.out.join(format!("{}.{end}", event.kind.name()));
                place.insert((Table::create(path, event, &symbols, arguments)?, 0))
            }
        };
        table.add(event, &symbols)?;
        *rows += 1;
        Ok(true)
    });
    // Every table is ended before anything is said, also behind a damage: the good records before it are in the tables.
    let (mut closed, mut lines) = (Ok(()), Vec::new());
    for (kind, (table, rows)) in tables {
        match table.close() {
            Ok(()) => lines.push(format!("{:<18} {rows:>10} rows", kind.name())),
            failed => closed = closed.and(failed),
        }
    }
    let said = lines.into_iter().try_for_each(say);
    read.and(closed).and(said)
}

fn compress(arguments: &CompressArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let done = compress_session(&session, arguments.level)?;
    let ratio = done.before as f64 / done.after.max(1) as f64;
    say(format_args!(
        "{} segments compressed, {} to {} bytes ({ratio:.1} times smaller), {} left as they are",
        done.segments, done.before, done.after, done.left
    ))
}

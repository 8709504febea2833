//! What backtest, demo and replay share: the model, the journal, and printing an outcome.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use serde::Serialize;

use crate::config::Config;
use crate::core::crc::crc32c_portable;
use crate::core::{InstrumentSpec, InstrumentTable, Nanos};
use crate::engine::clock::StampClock;
use crate::feed::FeedCounters;
use crate::journal::{SESSION_FILE, SessionInfo, SessionWriter, WriterOptions, remove_session};
use crate::oracle::{Golden, Model, Oracle, OracleError};
use crate::quant::Features;
use crate::report::latency::{Basis, LATENCY_FILE, LatencyLog, LogOptions, Recorder};
use crate::report::{LatencyRow, Style, Summary, latency_text, print_text, write_trades_csv};
use crate::worlds::session::{Outcome, Session, TIMED_EVERY};

use super::Failure;

/// The model shipped with pawl: trained on real FX minute bars, see `models/README.md`.
pub(super) const SHIPPED_MODEL: &[u8] = include_bytes!("../../models/model.json");
/// The model of the demo: trained on the synthetic market, see `models/README.md`.
pub(super) const DEMO_MODEL: &[u8] = include_bytes!("../../models/demo.json");
/// What libxgboost answered for the demo's model.
pub(super) const DEMO_GOLDEN: &[u8] = include_bytes!("../../models/demo.golden.json");
/// What libxgboost answered for the models that are part of the program.
const SHIPPED_GOLDEN: [(&str, &[u8]); 2] =
    [("models/model.json", include_bytes!("../../models/model.golden.json")), ("models/demo.json", DEMO_GOLDEN)];
/// Name of the model's copy in a session's folder.
pub(super) const MODEL_FILE: &str = "model.json";

/// Writes a line to standard output. Not with `println!`, which panics, hence aborts, when a reader has gone or the disk
/// is full.
pub(super) fn say(text: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(Failure::Output)
}

/// Reads the argument that names a session.
pub(super) fn session_parser() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(session_folder)
}

/// The session that is meant by a folder: itself, or the newest one in it or in its `journal` folder, which is where
/// `pawl demo` and `pawl run` keep theirs.
fn session_folder(named: PathBuf) -> PathBuf {
    let created = |folder: &Path| std::fs::metadata(folder.join(SESSION_FILE)).and_then(|file| file.modified()).ok();
    if !named.is_dir() || created(&named).is_some() {
        return named;
    }
    let inside = [named.clone(), named.join("journal")].into_iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let folders = inside.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let newest = folders.filter_map(|folder| Some((created(&folder)?, folder))).max();
    newest.map_or(named, |(_, folder)| folder)
}

/// Which model gates the signals.
pub(super) enum Gate {
    /// A model's bytes, where they come from for messages, and the golden rows that came with it.
    Model { bytes: Vec<u8>, name: PathBuf, golden: Option<Vec<u8>> },
    /// No model: every signal passes.
    Open,
}

impl Gate {
    /// The model in a file, with the golden rows beside it.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_file(path)?;
        let beside = golden_path(path);
        let golden = if beside.exists() { Some(read_file(&beside)?) } else { None };
        Ok(Self::Model { bytes, name: path.to_owned(), golden })
    }

    /// A model that is part of the program.
    pub(super) fn shipped(bytes: &[u8], name: &str) -> Self {
        let golden = SHIPPED_GOLDEN.iter().find(|(model, _)| *model == name).map(|(_, golden)| golden.to_vec());
        Self::Model { bytes: bytes.to_vec(), name: PathBuf::from(name), golden }
    }

    /// What tells one model from another: CRC-32C of its bytes, hexadecimal.
    pub(super) fn digest(&self) -> String {
        let bytes: &[u8] = match self {
            Self::Model { bytes, .. } => bytes,
            Self::Open => &[],
        };
        format!("{:08x}", crc32c_portable(bytes))
    }

    /// The oracle that answers with it.
    pub(super) fn oracle(&self, config: &Config) -> Result<Oracle, Failure> {
        match self {
            Self::Open => {
                // Not asked for here, and not to be accepted either.
                config.oracle.check()?;
                Ok(Oracle::open())
            }
            Self::Model { bytes, name, golden } => {
                let model = Model::from_bytes(bytes, &Features::NAMES)
                    .map_err(|source| Failure::Model { path: name.clone(), source })?;
                let Some(golden) = golden else {
                    eprintln!(
                        "pawl: note: no golden rows beside {}, so its answers are not compared with libxgboost's; `pawl-train golden {}` writes them",
                        name.display(),
                        name.display()
                    );
                    return Ok(Oracle::gated(model, &config.oracle)?);
                };
                let golden_failure = |source| Failure::Golden { path: golden_path(name), source };
                let golden = Golden::from_bytes(golden, bytes).map_err(golden_failure)?;
                Oracle::checked(model, &golden, &config.oracle).map_err(|error| match error {
                    OracleError::Golden(source) => golden_failure(source),
                    other => other.into(),
                })
            }
        }
    }
}

/// Where a model's golden rows are: `NAME.golden.json` beside `NAME.json`.
pub(super) fn golden_path(model: &Path) -> PathBuf {
    model.with_extension("golden.json")
}

/// Reads a file whole, with its name in the error.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::File { verb: "read", path: path.to_owned(), source })
}

/// Creates a session's journal, with the configuration and a copy of the model in it. `live` is the
/// number of a live session, which has a helper thread: it is created before the caller is pinned.
pub(super) fn create_journal(
    directory: &Path,
    config: &Config,
    gate: &Gate,
    instruments: &InstrumentTable,
    live: Option<u32>,
) -> Result<SessionWriter, Failure> {
    let text = toml::to_string(config).map_err(|error| Failure::Usage(error.to_string()))?;
    let model: &[u8] = match gate {
        Gate::Model { bytes, .. } => bytes,
        Gate::Open => &[],
    };
    let info = SessionInfo {
        version: 1,
        pawl: env!("CARGO_PKG_VERSION").to_owned(),
        created: live.map_or_else(String::new, |_| now().to_string()),
        session: live.unwrap_or(1),
        config_crc: format!("{:08x}", crc32c_portable(text.as_bytes())),
        config: text,
        model_crc: format!("{:08x}", crc32c_portable(model)),
        instruments: instruments.iter().map(|(_, instrument)| instrument.spec().clone()).collect(),
    };
    let options = WriterOptions { helper: live.is_some(), ..config.journal.clone() };
    let writer = SessionWriter::create(directory, &info, &options)?;
    if let Err(failure) = copy_model(directory, gate) {
        drop(writer);
        // Nothing was recorded, and without its model nothing could be replayed. What cannot be removed is named by the
        // next attempt.
        let _ = remove_session(directory);
        return Err(failure);
    }
    Ok(writer)
}

/// Puts the model, and the golden rows that came with it, beside a session.
fn copy_model(directory: &Path, gate: &Gate) -> Result<(), Failure> {
    let Gate::Model { bytes, golden, .. } = gate else { return Ok(()) };
    let write = |path: PathBuf, bytes: &[u8]| {
        std::fs::write(&path, bytes).map_err(|source| Failure::File { verb: "write", path, source })
    };
    let path = directory.join(MODEL_FILE);
    if let Some(golden) = golden {
        write(golden_path(&path), golden)?;
    }
    write(path, bytes)
}

/// A session that is of no use unless its command comes to its end, since the command can be given again: dropped
/// without [`Unfinished::keep`], it removes what the command has made, and only that. Drop its writer before.
pub(super) struct Unfinished {
    folder: PathBuf,
    /// What is beside the session's own files and was not there before.
    beside: Vec<PathBuf>,
    /// The folder was not there before.
    new_folder: bool,
    kept: bool,
}

impl Unfinished {
    /// Creates a journal, as [`create_journal`] does.
    pub(super) fn create(
        directory: &Path,
        config: &Config,
        gate: &Gate,
        instruments: &InstrumentTable,
    ) -> Result<(Self, SessionWriter), Failure> {
        let model = directory.join(MODEL_FILE);
        let mut beside = vec![golden_path(&model), model, directory.join(LATENCY_FILE)];
        beside.retain(|path| !path.exists());
        let new_folder = !directory.exists();
        let writer = create_journal(directory, config, gate, instruments, None)?;
        Ok((Self { folder: directory.to_owned(), beside, new_folder, kept: false }, writer))
    }

    /// It is finished, and stays.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let folder = self.folder.display();
        match remove_session(&self.folder) {
            Ok(()) => eprintln!("pawl: note: the unfinished session in {folder} was removed"),
            Err(error) => return eprintln!("pawl: note: the unfinished session in {folder} stays: {error}"),
        }
        for path in &self.beside {
            // Not every session has all of them.
            let _ = std::fs::remove_file(path);
        }
        if self.new_folder {
            // What somebody else put there meanwhile stays, and the folder with it.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// The system's time, UTC.
fn now() -> Nanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Nanos(since.map_or(0, |since| since.as_nanos() as u64))
}

/// The folder of the shared-memory pages.
pub(super) fn page_folder(config: &Config) -> PathBuf {
    config.guardian.page_folder(&config.live.state)
}

/// Has a session in virtual time write its latencies beside its journal.
pub(super) fn log_latency(session: &mut Session, directory: &Path) -> Result<(), Failure> {
    let (layout, interval) = ("fused, 1 thread, virtual time", Duration::from_millis(100));
    let (log, recorders) = start_latency(directory, layout, &["engine"], Basis::Service, TIMED_EVERY, interval)?;
    let [recorder] = <[_; 1]>::try_from(recorders).unwrap_or_else(|_| unreachable!("one name gives one recorder"));
    session.log_latency(log, recorder);
    Ok(())
}

/// Starts the latency log of a session whose engine runs on these threads.
pub(super) fn start_latency(
    directory: &Path,
    layout: &str,
    threads: &[&str],
    basis: Basis,
    every: u64,
    interval: Duration,
) -> Result<(LatencyLog, Vec<Recorder>), Failure> {
    let options = LogOptions { layout: layout.to_owned(), basis, every, interval };
    let path = directory.join(LATENCY_FILE);
    Ok(LatencyLog::start(&path, &options, threads, StampClock::calibrate())?)
}

/// Everything a run says, as a program reads it. What was measured is left out unless asked for,
/// since the same inputs must give the same bytes.
#[derive(Serialize)]
struct Report<'a> {
    summary: &'a Summary,
    feed: &'a FeedCounters,
    bad_lines: u64,
    instruments: Vec<&'a InstrumentSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measured<'a>>,
}

/// What differs from run to run.
#[derive(Serialize)]
struct Measured<'a> {
    ticks_per_second: f64,
    latency_ns: &'a [LatencyRow],
}

/// How an outcome is printed.
#[derive(Clone, Copy)]
pub(super) enum Print {
    /// Text for a person.
    Text,
    /// JSON; with what was measured, or without, so that equal inputs give equal bytes.
    Json { measured: bool },
}

impl Print {
    /// From the `--json` and `--timings` flags.
    pub(super) fn from_flags(json: bool, timings: bool) -> Self {
        if json || timings { Self::Json { measured: timings } } else { Self::Text }
    }

    /// True when a program reads.
    pub(super) fn is_json(self) -> bool {
        matches!(self, Self::Json { .. })
    }
}

/// Prints an outcome to standard output: JSON, or text for a person.
pub(super) fn print_outcome(
    outcome: &Outcome,
    instruments: &InstrumentTable,
    bad_lines: u64,
    print: Print,
    ticks_per_second: f64,
) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = if let Print::Json { measured } = print {
        let report = Report {
            summary: &outcome.summary,
            feed: &outcome.feed,
            bad_lines,
            instruments: instruments.iter().map(|(_, instrument)| instrument.spec()).collect(),
            measured: measured.then_some(Measured { ticks_per_second, latency_ns: &outcome.latency }),
        };
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::Usage(error.to_string()))?;
        writeln!(out, "{text}")
    } else {
        let style = Style::for_stdout();
        let feed = &outcome.feed;
        write!(out, "{}", print_text(&outcome.summary, &style)).and_then(|()| {
            writeln!(
                out,
                "\nFeed\n  quotes {}  trades {}  crossed {}  locked {}  not positive {}\n  duplicate {}  out of order {}  debounced {}  gaps {}  bad lines {bad_lines}",
                feed.quotes, feed.trades, feed.crossed, feed.locked, feed.not_positive, feed.duplicate,
                feed.out_of_order, feed.debounced, feed.gaps
            )?;
            writeln!(out, "\n{}", latency_text(&outcome.latency, outcome.basis))?;
            writeln!(out, "{} inputs, {:.2} million a second", outcome.inputs, ticks_per_second / 1e6)
        })
    };
    if let Some(error) = &outcome.latency_error {
        eprintln!("pawl: note: {error}; the run itself is whole");
    }
    written.map_err(Failure::Output)
}

/// Writes the closed trades as CSV.
pub(super) fn write_trades(path: &Path, outcome: &Outcome, instruments: &InstrumentTable) -> Result<(), Failure> {
    let error = |source| Failure::File { verb: "write", path: path.to_owned(), source };
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(error)?);
    write_trades_csv(&outcome.trades, instruments, &mut file).and_then(|()| file.flush()).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_means_its_own_session_or_the_newest_within() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let make = |name: &str, age: u64| {
            std::fs::create_dir_all(at(name)).unwrap();
            let file = std::fs::File::create(at(name).join(SESSION_FILE)).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age)).unwrap();
        };
        std::fs::create_dir_all(at("demo/state")).unwrap();
        assert_eq!(session_folder(at("demo")), at("demo"), "there is none: the reader says so of the folder named");
        make("demo/journal/b", 10);
        make("demo/journal/a", 5);
        make("demo/journal/c", 20);
        for named in ["demo", "demo/journal", "demo/journal/a"] {
            assert_eq!(session_folder(at(named)), at("demo/journal/a"), "{named}");
        }
        assert_eq!(session_folder(at("demo/journal/c")), at("demo/journal/c"));
        assert_eq!(session_folder(at("nowhere")), at("nowhere"));
    }
}

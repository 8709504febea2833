//! `pawl report`: what a session's folder tells about it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::core::Nanos;
use crate::report::Style;
use crate::report::latency::{self, Hop, LatencyReport, Measured};

use super::Failure;
use super::common::{read_file, session_parser};
use super::new_file::NewFile;

/// Arguments of `pawl report`.
#[derive(Args)]
pub(super) struct ReportArguments {
    #[command(subcommand)]
    report: Report,
}

#[derive(Subcommand)]
enum Report {
    /// Latency by hop and end to end: percentiles, over time, by hour, against the session before
    Latency(LatencyArguments),
}

/// Arguments of `pawl report latency`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  pawl demo --journal journal/a\n  pawl report latency journal/a --html latency.html\n  pawl report latency journal/b --against journal/a --json"
)]
struct LatencyArguments {
    /// The session's folder, its latency.hlog, or a folder that holds sessions: then the newest
    #[arg(value_parser = session_parser())]
    session: PathBuf,
    /// The session to compare with, or `none`; without it the one before, in the same folder
    #[arg(long)]
    against: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Write one self-contained HTML page to this file
    #[arg(long)]
    html: Option<PathBuf>,
    /// Copy the HdrHistogram interval log to this file
    #[arg(long)]
    hlog: Option<PathBuf>,
    /// Write a percentile distribution (.hgrm) of each hop into this folder, in nanoseconds
    #[arg(long)]
    hgrm: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &ReportArguments) -> Result<(), Failure> {
    match &arguments.report {
        Report::Latency(arguments) => run_latency(arguments),
    }
}

fn run_latency(arguments: &LatencyArguments) -> Result<(), Failure> {
    let measured = latency::read(&latency::latency_file(&arguments.session)?)?;
    let before = session_before(arguments, measured.from)?;
    let report = latency::report(&measured, before.as_ref());
    let logs: Vec<PathBuf> = [Some(&measured), before.as_ref()].into_iter().flatten().map(|m| m.path.clone()).collect();
    if let Some(path) = &arguments.html {
        write_file(path, &logs, latency::page(&report, &measured, before.as_ref()).as_bytes())?;
    }
    if let Some(path) = &arguments.hlog {
        write_file(path, &logs, &read_file(&measured.path)?)?;
    }
    if let Some(folder) = &arguments.hgrm {
        write_distributions(folder, &logs, &measured)?;
    }
    print(arguments, &report)
}

fn session_before(arguments: &LatencyArguments, from: Nanos) -> Result<Option<Measured>, Failure> {
    match &arguments.against {
        Some(none) if none.as_os_str() == "none" => Ok(None),
        // Asked for by name: not being able to read it is an error.
        Some(path) => Ok(Some(latency::read(&latency::latency_file(path)?)?)),
        // Found by looking around: one that cannot be read is none.
        None => Ok(latency::previous_session(&arguments.session, from)
            .and_then(|path| latency::latency_file(&path).and_then(|file| latency::read(&file)).ok())),
    }
}

fn print(arguments: &LatencyArguments, report: &LatencyReport) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = if arguments.json {
        let text = serde_json::to_string_pretty(report).map_err(|error| Failure::Usage(error.to_string()))?;
        writeln!(out, "{text}")
    } else {
        let mut text = latency::report_text(report, &Style::for_stdout());
        let files = [&arguments.html, &arguments.hlog, &arguments.hgrm];
        for path in files.into_iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\nwrote {}", path.display());
        }
        writeln!(out, "{}", text.trim_end())
    };
    written.map_err(Failure::Output)
}

/// Writes a file that is none of the logs.
fn write_file(path: &Path, logs: &[PathBuf], bytes: &[u8]) -> Result<(), Failure> {
    let mut file = NewFile::create(path, logs)?;
    file.write_all(bytes).map_err(|source| Failure::File { verb: "write", path: path.to_owned(), source })?;
    file.finish()
}

/// One `.hgrm` a hop and thread: `total.hgrm`, `quant.hgrm`, or `quant@oms.hgrm` with several threads.
fn write_distributions(folder: &Path, logs: &[PathBuf], measured: &Measured) -> Result<(), Failure> {
    let error = |source| Failure::File { verb: "create", path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(error)?;
    let single = measured.header.threads.len() == 1;
    for ((thread, hop), histogram) in &measured.hops {
        let name = if single { hop.name().to_owned() } else { of_thread(*hop, &measured.header.threads[*thread]) };
        write_file(&folder.join(format!("{name}.hgrm")), logs, latency::hgrm(histogram, 1.0).as_bytes())?;
    }
    Ok(())
}

/// A thread's name in a file's name: only letters, digits, `-` and `_`, whatever the log holds.
fn of_thread(hop: Hop, thread: &str) -> String {
    let safe: String =
        thread.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect();
    format!("{}@{safe}", hop.name())
}

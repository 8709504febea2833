//! `pawl doctor`: is this machine fit to run pinned?

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::core::Span;
use crate::doctor::{Examination, Finding, Target, Verdict, worst};
use crate::engine::machine::{SystemFiles, parse_cores};
use crate::report::Style;

use super::Failure;

/// Arguments of `pawl doctor`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  pawl doctor --venue wss://stream.binance.com:9443/ws\n  pawl doctor --cores 2-3 --journal /var/lib/pawl --json\n\nExit status: 0 when nothing failed, 1 when something did (with --strict: or warns). docs/vps.md tells what to do."
)]
pub(super) struct DoctorArguments {
    /// Cores that the engine is to run on, as 2-3 or 1,3 (default: the isolated ones, else all but the first)
    #[arg(long)]
    cores: Option<String>,
    /// Folder of the journal
    #[arg(long, default_value = "journal")]
    journal: PathBuf,
    /// The venue: wss://host/path, ws://host/path or host:port
    #[arg(long, value_parser = |text: &str| text.parse::<Target>())]
    venue: Option<Target>,
    /// How long each core is watched for gaps; 0s leaves it out
    #[arg(long, default_value = "2s", value_parser = Span::parse)]
    watch: Span,
    /// A warning fails as well
    #[arg(long)]
    strict: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// What a program reads.
#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    findings: &'a [Finding],
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Unfit`] when a check failed.
pub(super) fn run(arguments: &DoctorArguments) -> Result<(), Failure> {
    let cores = match &arguments.cores {
        None => None,
        Some(text) => {
            let cores = parse_cores(text).filter(|cores| !cores.is_empty());
            let usage = || Failure::Usage(format!("--cores: expected cores such as 2-3 or 1,3, found {text:?}"));
            Some(cores.ok_or_else(usage)?.into_iter().collect())
        }
    };
    let examination = Examination {
        files: SystemFiles::of_this_machine(),
        cores,
        journal: arguments.journal.clone(),
        venue: arguments.venue.clone(),
        watch: Duration::from_nanos(arguments.watch.0),
    };
    let show = std::io::stderr().is_terminal();
    let findings = examination.run(|what| {
        if show {
            eprint!("\rmeasuring: {what}\x1b[K");
        }
    });
    if show {
        eprint!("\r\x1b[K");
    }
    print(arguments, &findings).map_err(Failure::Output)?;
    let limit = if arguments.strict { Verdict::Warn } else { Verdict::Fail };
    let bad = findings.iter().filter(|finding| finding.verdict >= limit).count();
    if bad == 0 { Ok(()) } else { Err(Failure::Unfit(format!("{bad} of {} checks failed", findings.len()))) }
}

fn print(arguments: &DoctorArguments, findings: &[Finding]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let report = Report { verdict: worst(findings), findings };
        return writeln!(out, "{}", serde_json::to_string_pretty(&report).map_err(std::io::Error::other)?);
    }
    let style = Style::for_stdout();
    for finding in findings {
        let sign = match finding.verdict {
            Verdict::Ok => 1,
            Verdict::Unknown => 0,
            Verdict::Warn | Verdict::Fail => -1,
        };
        let verdict = style.tone(sign, &format!("{:<7}", finding.verdict.name()));
        writeln!(out, "{verdict} {:<14} {}", finding.check, finding.found)?;
        if finding.verdict != Verdict::Ok {
            writeln!(out, "{:22} wanted: {}", "", finding.wanted)?;
            writeln!(out, "{:22} fix:    {}", "", finding.fix)?;
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    writeln!(
        out,
        "\n{} ok, {} unknown, {} warn, {} fail. What each line means and how to mend it: docs/vps.md",
        count(Verdict::Ok),
        count(Verdict::Unknown),
        count(Verdict::Warn),
        count(Verdict::Fail)
    )
}

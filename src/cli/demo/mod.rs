//! `pawl demo`: a seeded synthetic market and everything around it, with nothing to configure.
//!
//! By default it is the real thing on one machine: venue, guardian and engine as processes of their
//! own over loopback sockets. `--in-process` runs the same engine and the same exchange in virtual
//! time instead: days of market in seconds, and the same result every time.

mod in_process;
mod processes;

use std::path::PathBuf;

use clap::Args;

use super::Failure;

pub(super) use in_process::synthetic_market;

/// Arguments of `pawl demo`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  pawl demo                         venue, guardian and engine over loopback sockets\n  pawl demo --in-process --hours 72 three days of market in ten seconds, the same every time"
)]
pub(super) struct DemoArguments {
    /// How long to show it, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=3600))]
    seconds: u64,
    /// Seed of the synthetic market and of the simulated exchange
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instruments in the synthetic market
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    instruments: u16,
    /// Keep journal, logs and configuration in this new folder
    #[arg(long)]
    journal: Option<PathBuf>,
    /// No sockets and no processes: virtual time; the pace changes, the result does not
    #[arg(long)]
    in_process: bool,
    /// Let every signal pass: what the rule loses without the model
    #[arg(long)]
    no_gate: bool,
    /// Hours of market time
    #[arg(long, default_value_t = 72, requires = "in_process", value_parser = clap::value_parser!(u64).range(1..=8760))]
    hours: u64,
    /// Print JSON instead of text; the same inputs give the same bytes
    #[arg(long, requires = "in_process")]
    json: bool,
    /// JSON with latency per stage and ticks per second, which differ from run to run
    #[arg(long, requires = "in_process")]
    timings: bool,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    if arguments.in_process { in_process::run(arguments) } else { processes::run(arguments) }
}

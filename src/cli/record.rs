//! `pawl record`: journal market data only.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::config::Config;
use crate::config::live::Mode;
use crate::worlds::live::binance_wire::{WireError, market_data};
use crate::worlds::live::poller::Poller;
use crate::worlds::live::record::{Recorded, record};
use crate::worlds::live::{prepare, session_clock};

use super::Failure;
use super::common::{Gate, create_journal};

/// Arguments of `pawl record`.
#[derive(Args)]
#[command(after_help = "Example:\n  pawl record --config pawl.toml --out journal/btc --seconds 3600")]
pub(super) struct RecordArguments {
    /// Configuration: [venue] says what to listen to
    #[arg(long, default_value = "pawl.toml")]
    config: PathBuf,
    /// The new folder; without it one under live.journal
    #[arg(long)]
    out: Option<PathBuf>,
    /// Stop after this many seconds; without it at Ctrl-C
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Print JSON at the end instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`]; also when nothing came.
pub(super) fn run(arguments: &RecordArguments) -> Result<(), Failure> {
    let mut config = Config::load(&arguments.config)?;
    super::config::check_ranges(&config)?;
    // Nothing is traded: neither key nor account is asked for.
    config.live.mode = Mode::Paper;
    let prepared = prepare::prepare(&config)?;
    let session = (session_clock().0 / crate::core::time::SECOND) as u32;
    let folder = arguments.out.clone().unwrap_or_else(|| config.live.journal.join(format!("{session:08x}-market")));
    let journal = create_journal(&folder, &config, &Gate::Open, &prepared.instruments, Some(session))?;
    let api_key = prepare::credentials(&config.venue).ok().map(|keys| keys.api_key);
    let poller = Poller::new().map_err(WireError::from)?;
    let wire = market_data(&config, &prepared, api_key, u64::from(session), poller.registry())?;
    let signals = super::run::signals(arguments.seconds)?;
    let show = std::io::stderr().is_terminal() && !arguments.json;
    let mut drawn: Option<Instant> = None;
    let recorded = record(wire, poller, journal, &signals, |so_far| {
        if show && drawn.is_none_or(|drawn| drawn.elapsed() >= Duration::from_millis(200)) {
            drawn = Some(Instant::now());
            let Recorded { quotes, trades, gaps, lost } = so_far;
            eprint!("\r  recording  {quotes} quotes  {trades} trades  {gaps} gaps  {lost} lost\x1b[K");
            // A terminal that cannot be flushed only misses one line.
            let _ = std::io::stderr().flush();
        }
    })?;
    if show {
        eprint!("\r\x1b[K");
    }
    let Recorded { quotes, trades, gaps, lost } = recorded;
    let mut out = std::io::stdout().lock();
    let written = if arguments.json {
        let text =
            serde_json::json!({"journal": folder, "quotes": quotes, "trades": trades, "gaps": gaps, "lost": lost});
        writeln!(out, "{text}")
    } else {
        writeln!(out, "{}: {quotes} quotes, {trades} trades, {gaps} gaps, {lost} lost", folder.display())
    };
    written.map_err(Failure::Output)?;
    if quotes + trades == 0 {
        return Err(Failure::Ended("no market data came: check [venue] symbols and endpoint".into()));
    }
    Ok(())
}

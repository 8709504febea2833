//! `pawl config`: write a commented configuration, or explain one.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Config, TEMPLATE, changed_keys};
use crate::core::InstrumentTable;
use crate::engine::Engine;
use crate::oracle::Oracle;

use super::Failure;
use super::common::say;

/// Arguments of `pawl config`.
#[derive(Args)]
#[command(after_help = "Example:\n  pawl config init pawl.toml\n  pawl config check pawl.toml")]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Write a configuration with every key, its meaning and its default
    Init {
        /// The new file; an existing one is never overwritten
        #[arg(default_value = "pawl.toml")]
        file: PathBuf,
    },
    /// Read a configuration, check every value, and say what it changes
    Check {
        /// The file
        #[arg(default_value = "pawl.toml")]
        file: PathBuf,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The file exists, cannot be written or read, or is not a configuration.
pub(super) fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    match &arguments.command {
        ConfigCommand::Init { file } => init(file),
        ConfigCommand::Check { file, json } => check(file, *json),
    }
}

fn init(path: &PathBuf) -> Result<(), Failure> {
    let error = |source| Failure::File { verb: "write", path: path.clone(), source };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(error)?;
    file.write_all(TEMPLATE.as_bytes()).map_err(error)?;
    say(format_args!("{} written: every key with its default. Next: pawl config check {0}", path.display()))
}

fn check(path: &std::path::Path, json: bool) -> Result<(), Failure> {
    let config = Config::load(path)?;
    check_ranges(&config)?;
    let changed = changed_keys(&config);
    let mut out = std::io::stdout().lock();
    let written = if json {
        let rows: Vec<_> = changed
            .iter()
            .map(|change| serde_json::json!({"key": change.key, "value": change.value, "default": change.default}))
            .collect();
        writeln!(out, "{}", serde_json::json!({"ok": true, "changed": rows}))
    } else {
        explain(&mut out, path, &config, &changed)
    };
    written.map_err(Failure::Output)
}

/// Checks what TOML alone cannot: every stage looks at its own values.
pub(super) fn check_ranges(config: &Config) -> Result<(), Failure> {
    let instruments = InstrumentTable::new(config.instruments.iter().cloned())?;
    Engine::new(&config.engine(), Oracle::open(), &instruments, 1)?;
    config.oracle.check()?;
    config.paper.check()?;
    Ok(())
}

/// The file in words: what differs from the defaults, and what the risk rules amount to.
fn explain(
    out: &mut impl Write,
    path: &std::path::Path,
    config: &Config,
    changed: &[crate::config::Change],
) -> std::io::Result<()> {
    writeln!(out, "{}: every key is known and every value is in its range.", path.display())?;
    if changed.is_empty() {
        writeln!(out, "\nNothing differs from the defaults.")?;
    } else {
        writeln!(out, "\nDifferent from the defaults")?;
        for change in changed {
            writeln!(out, "  {:<28} {} (default {})", change.key, change.value, change.default)?;
        }
    }
    let (oms, quant) = (&config.oms, &config.quant);
    writeln!(out, "\nIn words")?;
    writeln!(
        out,
        "  A signal: |z| >= {} over {} bars of {}, ADX below {}; the gate wants a probability above {}.",
        quant.entry_z, quant.window, quant.bar, quant.adx_max, config.oracle.threshold
    )?;
    writeln!(
        out,
        "  A trade risks {} % of the balance over {} points, at most {} lots an order, {} open in all.",
        oms.risk_percent, oms.stop_loss_points, oms.max_order_lots, oms.max_open_lots
    )?;
    let hold =
        if oms.max_hold.0 == 0 { "no time limit".to_owned() } else { format!("at the latest after {}", oms.max_hold) };
    writeln!(out, "  It ends when |z| is back at {}, at the stop, {hold}.", oms.exit_z)?;
    let live = &config.live;
    let symbols =
        if config.venue.symbols.is_empty() { "no symbol yet".to_owned() } else { config.venue.symbols.join(", ") };
    writeln!(
        out,
        "  `pawl run`: mode {:?}, {} at {}, journal under {}.",
        live.mode,
        symbols,
        config.venue.endpoint,
        live.journal.display()
    )
}

//! `pawl replay`: feed a journal back to the engine and compare every decision.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Config;
use crate::core::InstrumentTable;
use crate::engine::Engine;
use crate::journal::SessionReader;
use crate::oracle::Oracle;
use crate::report::Progress;
use crate::worlds::replay::{Difference, verify};

use super::Failure;
use super::common::{Gate, MODEL_FILE};

/// Arguments of `pawl replay`.
#[derive(Args)]
#[command(after_help = "Example:\n  pawl backtest EURUSD.csv.gz --journal journal/a\n  pawl replay journal/a --verify")]
pub(super) struct ReplayArguments {
    /// The session's folder
    session: PathBuf,
    /// Compare with what was recorded (what replay does so far; the flag says it in scripts)
    #[arg(long)]
    verify: bool,
    /// Replay with this gate threshold instead of the recorded one: what would have changed?
    #[arg(long)]
    threshold: Option<f32>,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`]; [`Failure::Different`] when a decision differs.
pub(super) fn run(arguments: &ReplayArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let info = session.info();
    let mut config = Config::parse(&info.config, &arguments.session.join("session.toml"))?;
    if let Some(threshold) = arguments.threshold {
        println!("what if: gate threshold {threshold} instead of the recorded {}", config.oracle.threshold);
        config.oracle.threshold = threshold;
    }
    let instruments = InstrumentTable::new(info.instruments.iter().cloned())?;
    let oracle = recorded_oracle(&arguments.session, &config)?;
    let mut engine = Engine::new(&config.engine(), oracle, &instruments, info.session)?;
    let mut progress = Progress::new("replay", std::io::stderr().is_terminal());
    let verdict = verify(&session, &mut engine, |inputs| {
        if inputs.is_multiple_of(65_536) {
            progress.update(0, 0, inputs);
        }
    })?;
    progress.finish();
    match verdict.difference {
        None => {
            println!("identical: {} inputs replayed, {} outputs equal to the journal", verdict.inputs, verdict.outputs);
            Ok(())
        }
        Some(difference) => Err(Failure::Different(describe(&difference, verdict.outputs))),
    }
}

/// The oracle of a session: the model's copy in its folder, or none if it ran without.
fn recorded_oracle(session: &Path, config: &Config) -> Result<Oracle, Failure> {
    let path = session.join(MODEL_FILE);
    if path.exists() { Gate::read(&path)?.oracle(config) } else { Ok(Oracle::open()) }
}

fn describe(difference: &Difference, equal: u64) -> String {
    let side = |event: &Option<crate::core::Event>| match event {
        Some(event) => format!("{event:?}"),
        None => "nothing".to_owned(),
    };
    format!(
        "different after {equal} equal outputs\n  cause      {:?}\n  recorded   {}\n  recomputed {}",
        difference.cause,
        side(&difference.recorded),
        side(&difference.recomputed)
    )
}

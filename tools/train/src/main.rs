//! The command line of pawl-train.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use pawl::config::Config;
use pawl::core::{Nanos, Span};
use pawl::oracle::Model;
use pawl::quant::Features;
use pawl_train::card::{Card, verdict};
use pawl_train::fit::{Plan, golden_rows, golden_text, judged_scores, train};
use pawl_train::rows::{Origin, collect};
use pawl_train::trial::trial;
use pawl_train::xgboost::Xgboost;
use pawl_train::{TrainError, plot};

/// Trains pawl's gate on real libxgboost, and says what it is worth.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model, with its card, pictures and golden rows
    #[command(
        after_help = "Examples:\n  pawl-train train ticks/*.csv.gz --out models/model.json\n  pawl-train train journal/a journal/b --config pawl.toml --out models/mine.json\n  pawl-train train --synthetic-hours 2400 --out models/demo.json"
    )]
    Train(Box<TrainArguments>),
    /// Write libxgboost's answers beside a model that was trained elsewhere
    #[command(after_help = "Example:\n  pawl-train golden mine.json")]
    Golden {
        /// The model, JSON or UBJSON
        model: PathBuf,
    },
    /// Say which libxgboost is found
    Version,
}

#[derive(Args)]
struct TrainArguments {
    /// Market data files and journal folders, each a series of its own
    series: Vec<PathBuf>,
    /// This many hours of the demo's synthetic market, whose prices revert by construction
    #[arg(long, conflicts_with_all = ["series", "random_walk_hours"])]
    synthetic_hours: Option<u64>,
    /// This many hours of a pure random walk, on which nothing can be learnt
    #[arg(long, conflicts_with = "series")]
    random_walk_hours: Option<u64>,
    /// Seed of the market that is made up; the backtest uses the next one
    #[arg(long, default_value_t = 12_345)]
    market_seed: u64,
    /// Configuration; without it every default
    #[arg(long)]
    config: Option<PathBuf>,
    /// The model to write; card, pictures and golden rows go beside it
    #[arg(long)]
    out: PathBuf,
    /// Seed of libxgboost
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Walk-forward blocks
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=50))]
    folds: u16,
    /// Time left empty before each block that is judged or stopped at
    #[arg(long, default_value = "100m", value_parser = Span::parse)]
    embargo: Span,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Train(arguments) => run(&arguments),
        Command::Golden { model } => golden(&model),
        Command::Version => Xgboost::load().map(|library| println!("{}", library.name())).map_err(TrainError::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pawl-train: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    std::fs::write(path, bytes).map_err(|source| TrainError::File { verb: "write", path: path.to_owned(), source })
}

fn golden(path: &Path) -> Result<(), TrainError> {
    let library = Xgboost::load()?;
    let bytes =
        std::fs::read(path).map_err(|source| TrainError::File { verb: "read", path: path.to_owned(), source })?;
    let rows = golden_rows(&library, &bytes, &[])?;
    write(&path.with_extension("golden.json"), golden_text(&library, &bytes, &rows).as_bytes())?;
    println!("{} rows answered by {}", rows.len(), library.name());
    Ok(())
}

/// One line that fills up, where a person looks.
struct Bar {
    label: &'static str,
    shown: bool,
}

impl Bar {
    fn new(label: &'static str) -> Self {
        Self { label, shown: std::io::stderr().is_terminal() }
    }

    fn update(&self, done: usize, total: usize) {
        if !self.shown {
            return;
        }
        let filled = 30 * done / total.max(1);
        eprint!("\r  {:<12} [{}{}] {done}/{total}\x1b[K", self.label, "#".repeat(filled), ".".repeat(30 - filled));
        if done >= total {
            eprintln!();
        }
        // A terminal that cannot be flushed only misses one line.
        let _ = std::io::stderr().flush();
    }
}

fn run(arguments: &TrainArguments) -> Result<(), TrainError> {
    let library = Xgboost::load()?;
    let config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let seed = arguments.market_seed;
    let origins: Vec<Origin> = match (arguments.synthetic_hours, arguments.random_walk_hours) {
        (Some(hours), _) => vec![Origin::Synthetic { seed, hours }],
        (None, Some(hours)) => vec![Origin::RandomWalk { seed, hours }],
        (None, None) => arguments.series.iter().map(|path| Origin::of_path(path)).collect(),
    };
    let bar = Bar::new("reading");
    let rows = collect(&origins, &config, |done| bar.update(done, origins.len()))?;
    let plan = Plan {
        seed: arguments.seed,
        folds: usize::from(arguments.folds),
        embargo: arguments.embargo,
        ..Plan::default()
    };
    let bar = Bar::new("boosting");
    let fitted = train(&library, &rows, &plan, |done, total| bar.update(done, total))?;
    let model = Model::from_bytes(&fitted.json, &Features::NAMES)?;
    let held_from = fitted.last.test.first().map_or(Nanos::MAX, |at| rows[*at].raised);
    let (name, market, from) = match &origins[..] {
        // A made-up market goes on for ever: the backtest gets one that no row came from.
        [Origin::Synthetic { .. }] => {
            ("a fresh synthetic market", vec![Origin::Synthetic { seed: seed + 1, hours: 240 }], Nanos::NONE)
        }
        [Origin::RandomWalk { .. }] => {
            ("a fresh random walk", vec![Origin::RandomWalk { seed: seed + 1, hours: 240 }], Nanos::NONE)
        }
        _ => ("the data's last part", origins.clone(), held_from),
    };
    let trials = vec![(name.to_owned(), trial(&market, &config, &fitted.json, from)?)];
    let counted = |origin: &Origin| {
        let (name, digest) = origin.describe()?;
        Ok((name, digest, origin.rows(&config)?.len()))
    };
    let stem = arguments.out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let card = Card {
        name: &stem,
        command: command_line(),
        made_with: library.name(),
        origins: origins.iter().map(counted).collect::<Result<_, TrainError>>()?,
        rows: &rows,
        config: &config,
        plan: &plan,
        fitted: &fitted,
        model: &model,
        trials,
    };
    let beside = |extension: &str| arguments.out.with_extension(extension);
    write(&arguments.out, &fitted.json)?;
    write(&beside("golden.json"), golden_text(&library, &fitted.json, &fitted.golden).as_bytes())?;
    write(&beside("md"), card.text().as_bytes())?;
    let title = format!("{stem}: calibration, walk-forward");
    write(&beside("calibration.svg"), plot::reliability(&title, &judged_scores(&fitted.judged)).as_bytes())?;
    let importance = model.importance();
    let all: f64 = importance.iter().map(|one| one.total_gain).sum::<f64>().max(f64::MIN_POSITIVE);
    let shares: Vec<(&str, f64)> = importance.iter().map(|one| (one.feature, one.total_gain / all)).collect();
    write(
        &beside("importance.svg"),
        plot::importance(&format!("{stem}: what the model looks at"), &shares).as_bytes(),
    )?;
    println!(
        "{}\nwritten: {} and its card {}",
        verdict(&fitted.judged, &fitted.held, config.oracle.threshold),
        arguments.out.display(),
        beside("md").display()
    );
    Ok(())
}

/// The command without the folders of this machine.
fn command_line() -> String {
    let short = |argument: String| match Path::new(&argument).file_name() {
        Some(name) if argument.contains('/') => name.to_string_lossy().into_owned(),
        _ => argument,
    };
    std::iter::once("pawl-train".to_owned()).chain(std::env::args().skip(1).map(short)).collect::<Vec<_>>().join(" ")
}

//! The command line: one file a subcommand, wiring only.

// They panic, hence abort, when a reader has gone or the disk is full: `common::say` tells.
#![deny(clippy::print_stdout)]

mod backtest;
mod common;
mod config;
mod demo;
mod doctor;
mod failure;
mod guardian;
mod journal;
mod model;
mod new_file;
mod notify;
mod record;
mod records;
mod replay;
mod report;
mod run;
mod signals;
mod venue;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::Failure;

/// A low-latency, deterministic trading engine: ticks in, checked orders out.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything on this machine with no configuration: a synthetic market and the whole engine
    Demo(demo::DemoArguments),
    /// Run market data files, or a journal, against the simulated exchange
    Backtest(backtest::BacktestArguments),
    /// Trade on a live venue: paper, demo or real money
    Run(run::RunArguments),
    /// Journal a venue's market data, and nothing else
    Record(record::RecordArguments),
    /// Feed a journal back to the engine and compare every decision
    Replay(replay::ReplayArguments),
    /// Write a commented configuration, or explain one
    Config(config::ConfigArguments),
    /// Look at a journal, check it, convert it
    Journal(journal::JournalArguments),
    /// What a session's journal tells about it
    Report(report::ReportArguments),
    /// Is this machine fit to run the engine on pinned cores?
    Doctor(doctor::DoctorArguments),
    /// Write every raw signal with its features and outcome, to train a model on
    Signals(signals::SignalsArguments),
    /// Look into a trained model: shape, importance, latency on this machine, self-check
    Model(model::ModelArguments),
    /// The simulated exchange on real sockets, in the Binance dialect
    Venue(Box<venue::VenueArguments>),
    /// The kill switch: a process of its own that watches, cancels, flattens and latches
    Guardian(guardian::GuardianArguments),
    /// Alerts on Telegram, Discord, by mail and SMS
    Notify(notify::NotifyArguments),
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Backtest(arguments) => backtest::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Record(arguments) => record::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Journal(arguments) => journal::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Signals(arguments) => signals::run(&arguments),
        Command::Model(arguments) => model::run(&arguments),
        Command::Venue(arguments) => venue::run(&arguments),
        Command::Guardian(arguments) => guardian::run(&arguments),
        Command::Notify(arguments) => notify::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that closed the pipe (`| head`) has seen enough.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody reads it, the exit status is all there is to tell.
            let _ = writeln!(std::io::stderr(), "pawl: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

//! `pawl notify`: alerts on Telegram, Discord, by mail and by SMS.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::notify;

use super::Failure;

/// Arguments of `pawl notify`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  pawl notify test --config pawl.toml\n  pawl notify run --config pawl.toml\n\nChannels, commands and guarantees: docs/notify.md"
)]
pub(super) struct NotifyArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Watch the journal and the guardian, and tell; until SIGINT or SIGTERM
    #[command(after_help = "Example:\n  pawl notify run --config pawl.toml")]
    Run {
        /// Configuration with a [notify] table
        #[arg(long)]
        config: PathBuf,
    },
    /// Send a test message by one channel, or by every one
    #[command(after_help = "Example:\n  pawl notify test telegram --config pawl.toml")]
    Test {
        /// telegram, discord, email, twilio or webhook; without it all that are configured
        channel: Option<String>,
        /// Configuration with a [notify] table
        #[arg(long)]
        config: PathBuf,
    },
    /// Print a sample of every kind of message; sends nothing
    #[command(after_help = "Example:\n  pawl notify preview sms")]
    Preview {
        /// How it is shown there
        #[arg(default_value = "plain", value_parser = ["plain", "telegram", "discord", "email", "sms"])]
        medium: String,
        /// Configuration, for environment, account and desk
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &NotifyArguments) -> Result<(), Failure> {
    match &arguments.action {
        Action::Run { config } => {
            let params = Config::load(config)?.notify;
            let stop = Arc::new(AtomicBool::new(false));
            for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
                signal_hook::flag::register(signal, Arc::clone(&stop))
                    .map_err(|error| Failure::Usage(format!("cannot listen to signals: {error}")))?;
            }
            Ok(notify::run(&params, &stop)?)
        }
        Action::Test { channel, config } => {
            let params = Config::load(config)?.notify;
            let mut out = std::io::stdout().lock();
            let mut written = Ok(());
            let tested = notify::test(&params, channel.as_deref(), |line| {
                written = writeln!(out, "{line}").and_then(|()| out.flush());
            });
            written.map_err(Failure::Output)?;
            Ok(tested?)
        }
        Action::Preview { medium, config } => {
            let params = match config {
                Some(path) => Config::load(path)?.notify,
                None => Config::default().notify,
            };
            writeln!(std::io::stdout().lock(), "{}", notify::preview(&params, medium)).map_err(Failure::Output)
        }
    }
}

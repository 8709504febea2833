//! Alerts: a process of its own that reads the journal and the guardian's events and tells a person, on
//! Telegram, Discord, by mail and by SMS. It never writes to either; it can crash or hang without the engine
//! noticing. Format, guarantees and commands: `docs/notify.md`.
//!
//! | file | what |
//! |---|---|
//! | [`alert`], [`render`] | one alert, and its words in each medium |
//! | [`desk`], [`story`], [`digest`], [`tables`] | what the journal's records mean to a person; no I/O |
//! | [`journal_watch`], [`guardian_watch`] | following the two sources from a saved position |
//! | [`repeats`], [`pace`] | the same complaint once; how fast a channel may be used; pure |
//! | [`spool`], [`hub`] | each channel's queue on disk; one thread a channel |
//! | [`channel`] | the media |
//! | [`commands`], [`requests`], [`poller`] | what people may ask from afar: only ever less risk |
//! | [`run`] | the loop |
//!
//! Order of writes: alert into the queue, then the source's position; channel says yes, then the id into the
//! log, then the file goes. So an alert is delivered at least once, and twice only when the process dies
//! between a channel's yes and the log.

mod alert;
mod channel;
mod commands;
mod desk;
mod digest;
mod guardian_watch;
mod hub;
mod journal_watch;
mod pace;
mod poller;
mod preview;
mod render;
mod repeats;
mod requests;
mod run;
mod secret;
mod spool;
mod story;
mod tables;

use std::path::PathBuf;

pub use channel::ChannelError;
pub use preview::preview;
pub use run::{run, test};
pub use secret::SecretError;

/// Why the notifier cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The configuration cannot be.
    #[error("{}", .0.join("\n  and "))]
    Config(Vec<String>),
    /// A channel cannot be used.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// No channel by that name, or none at all.
    #[error("expected {expected}, found {found}; see docs/notify.md")]
    NoChannel {
        /// What is configured.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// A file of the notifier's own state cannot be used.
    #[error("notify: cannot {action} {}: {source}", path.display())]
    State {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another notifier uses this state.
    #[error("notify: {} is used by another notifier; one is enough, two would send everything twice", .0.display())]
    Locked(PathBuf),
    /// A channel did not deliver the test.
    #[error("not every channel delivered the test message")]
    TestFailed,
}

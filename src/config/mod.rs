//! One TOML file, every field with a default; unknown keys are refused with the line and a
//! suggestion. What a session ran with is written back the same way into its journal.

mod infer;
pub mod live;
mod notify;
mod secret;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::{InstrumentSpec, Money};
use crate::engine::EngineParams;
use crate::engine::layout::ThreadParams;
use crate::feed::FeedParams;
use crate::guardian::GuardianParams;
use crate::journal::WriterOptions;
use crate::oms::OmsParams;
use crate::oracle::OracleParams;
use crate::quant::QuantParams;
use crate::venue::paper::PaperParams;

pub use infer::{default_balance, infer_instrument, usual_point};
pub use live::{LiveParams, VenueParams};
pub use notify::{
    DiscordParams, EmailParams, MailSecurity, NotifyParams, Severity, TelegramParams, TwilioParams, WebhookParams,
};
pub use secret::{SecretSource, is_loopback, is_protected};

/// The whole configuration.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Money to start with.
    pub account: AccountParams,
    /// First stage.
    pub feed: FeedParams,
    /// Second stage.
    pub quant: QuantParams,
    /// Third stage.
    pub oracle: OracleParams,
    /// Fourth stage.
    pub oms: OmsParams,
    /// The simulated exchange.
    pub paper: PaperParams,
    /// How a session's journal is written.
    pub journal: WriterOptions,
    /// How a live session is run.
    pub live: LiveParams,
    /// Which stages share a thread, and where each runs.
    pub threads: ThreadParams,
    /// The venue of a live session.
    pub venue: VenueParams,
    /// Alerts. Not written into a session's journal: telephone and chat numbers are nobody's who reads a journal.
    #[serde(skip_serializing)]
    pub notify: NotifyParams,
    /// The kill switch.
    pub guardian: GuardianParams,
    /// Instruments; those not named here are inferred from the data.
    pub instruments: Vec<InstrumentSpec>,
}

/// The simulated account.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountParams {
    /// Start balance in the account's currency. Default: 10,000 (1,000,000 JPY).
    pub balance: Option<Money>,
}

/// A configuration with every key, its meaning and its default: what `pawl config init` writes.
pub const TEMPLATE: &str = include_str!("template.toml");

/// A key whose value differs from its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Dotted, as in `oms.risk_percent`.
    pub key: String,
    /// Its value, as TOML.
    pub value: String,
    /// Its default, as TOML; `none` where there is none.
    pub default: String,
}

/// What a configuration changes, in the order of the keys.
pub fn changed_keys(config: &Config) -> Vec<Change> {
    differing_keys(config, &Config::default())
}

/// What a configuration has that differs from another's, in the order of the keys.
pub fn differing_keys(config: &Config, other: &Config) -> Vec<Change> {
    let flat = |config: &Config| {
        let mut keys = std::collections::BTreeMap::new();
        // A configuration that was read can be written. By way of its text, since a value of TOML holds doubles: a
        // threshold of 0.9 would become 0.8999999761581421 there.
        let text = toml::to_string(config).unwrap_or_default();
        if let Ok(table) = text.parse::<toml::Table>() {
            flatten("", &table, &mut keys);
        }
        keys
    };
    let (ours, defaults) = (flat(config), flat(other));
    let changed = ours.into_iter().filter(|(key, value)| defaults.get(key) != Some(value));
    let none = || "none".to_owned();
    changed
        .map(|(key, value)| Change { default: defaults.get(&key).cloned().unwrap_or_else(none), key, value })
        .collect()
}

fn flatten(prefix: &str, table: &toml::Table, keys: &mut std::collections::BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, keys),
            other => drop(keys.insert(key, other.to_string())),
        }
    }
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not a configuration.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What was expected and found.
        message: String,
    },
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with the file, the line and, for a misspelt key, the nearest known one.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses TOML text; `path` is for the message.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..at].split(|byte| *byte == b'\n').count();
            let message = with_suggestion(error.message());
            ConfigError::Invalid { path: path.to_owned(), line, message }
        })
    }

    /// The parameters of the engine's stages.
    pub fn engine(&self) -> EngineParams {
        EngineParams { feed: self.feed.clone(), quant: self.quant.clone(), oms: self.oms.clone() }
    }
}

/// Adds the nearest known name to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => match quoted.min_by_key(|known| edit_distance(unknown, known)) {
            Some(nearest) => format!("unknown key `{unknown}`; did you mean `{nearest}`? ({message})"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}

/// Levenshtein distance.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text, Path::new("pawl.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_typo_is_refused_with_its_line_and_the_nearest_key() {
        let message = error("[quant]\nwindow = 20\nentri_z = 2.0\n");
        assert!(message.starts_with("pawl.toml:3: unknown key `entri_z`; did you mean `entry_z`?"), "{message}");
        assert!(error("[qant]\n").contains("did you mean `quant`?"));
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_was_expected() {
        assert!(error("[quant]\nbar = \"5 minutes\"\n").contains("expected a length of time"));
        assert!(error("[oms]\nmax_order_lots = \"1e5\"\n").contains("expected a plain decimal number"));
        assert!(error("[quant\n").starts_with("pawl.toml:1:"));
    }

    #[test]
    fn the_template_names_every_key_and_changes_none() {
        let template = Config::parse(TEMPLATE, Path::new("template.toml")).unwrap();
        assert_eq!(changed_keys(&template), []);
        let mut keys = std::collections::BTreeMap::new();
        flatten("", &toml::Table::try_from(Config::default()).unwrap(), &mut keys);
        let mut written = std::collections::BTreeMap::new();
        flatten("", &TEMPLATE.parse::<toml::Table>().unwrap(), &mut written);
        for key in keys.keys().filter(|key| *key != "instruments") {
            assert!(written.contains_key(key), "{key} is missing in template.toml");
        }
    }

    #[test]
    fn a_key_that_moved_is_read_named_and_not_written_again() {
        let old = Config::parse("[live]\nwaiting = \"spin\"\ncore = 1\n", Path::new("x")).unwrap();
        assert_eq!(old.live.moved_key(), Some("live.waiting"));
        assert_eq!(Config::default().live.moved_key(), None);
        assert!(!toml::to_string(&old.live).unwrap().contains("waiting"));
    }

    #[test]
    fn a_change_is_told_with_its_default() {
        let config = Config::parse("[oms]\nrisk_percent = \"2\"\n", Path::new("x")).unwrap();
        let change = Change { key: "oms.risk_percent".into(), value: "\"2\"".into(), default: "\"1\"".into() };
        assert_eq!(changed_keys(&config), [change]);
    }

    #[test]
    fn a_single_precision_number_is_told_as_it_was_written() {
        let config = Config::parse("[oracle]\nthreshold = 0.9\n", Path::new("x")).unwrap();
        let change = Change { key: "oracle.threshold".into(), value: "0.9".into(), default: "0.85".into() };
        assert_eq!(changed_keys(&config), [change]);
    }

    #[test]
    fn what_a_session_ran_with_reads_back_the_same() {
        let config = Config::default();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(Config::parse(&text, Path::new("x")).unwrap(), config);
        assert_eq!(Config::parse("", Path::new("x")).unwrap(), config);
    }
}

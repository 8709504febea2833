//! The demo record: what `mode = "live"` wants to see first. A session in demo mode that ended in good
//! order leaves one in the state folder; it names the rules it traded by, so that a changed strategy
//! has to pass again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::core::crc::crc32c_portable;
use crate::core::payload::AlertCode;
use crate::core::{Nanos, Span};

use super::{Ending, LiveOutcome};

const FILE: &str = "demo-record.json";
/// A record older than this proves nothing any more.
const LIFE: Span = Span::seconds(30 * 86_400);
/// Alerts that a passed demo must not have raised: books and venue came apart, or records were lost.
const DISQUALIFYING: [AlertCode; 5] = [
    AlertCode::PositionMismatch,
    AlertCode::Overfill,
    AlertCode::UnknownExecution,
    AlertCode::OrderLost,
    AlertCode::AccountOverflow,
];

/// What a demo session proved.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DemoRecord {
    /// True when every condition held.
    pub passed: bool,
    /// What did not.
    pub failures: Vec<String>,
    /// When the session ended.
    pub ended_ns: u64,
    /// Version of pawl.
    pub pawl: String,
    /// CRC-32C of the stages' configuration, hexadecimal.
    pub rules: String,
    /// CRC-32C of the model, hexadecimal.
    pub model: String,
    /// Trades closed.
    pub trades: u64,
}

/// Why live trading is refused.
#[derive(Debug, thiserror::Error)]
pub enum DemoRecordError {
    /// The record cannot be read or written.
    #[error("{}: expected a demo record, found: {reason}; run a session with mode = \"demo\" first", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system or the parser said.
        reason: String,
    },
    /// It does not allow live trading.
    #[error("mode = \"live\" needs a passed demo record, found one that {0}; run a session with mode = \"demo\" again")]
    Refused(String),
}

/// What tells one set of trading rules from another.
pub fn rules_digest(config: &Config) -> String {
    let rules = (&config.feed, &config.quant, &config.oracle, &config.oms);
    // These tables hold numbers and text only.
    let text = serde_json::to_string(&rules).unwrap_or_default();
    format!("{:08x}", crc32c_portable(text.as_bytes()))
}

impl DemoRecord {
    /// The record of a session that has just ended.
    pub fn of(outcome: &LiveOutcome, config: &Config, model: &str, now: Nanos) -> Self {
        let mut failures = Vec::new();
        if outcome.ending != Ending::Finished {
            failures.push(format!("did not end in good order: {:?}", outcome.ending));
        }
        if outcome.summary.trades == 0 {
            failures.push("closed no trade".to_owned());
        }
        if outcome.not_stored > 0 {
            failures.push(format!("lost {} journal records", outcome.not_stored));
        }
        for code in DISQUALIFYING {
            if outcome.summary.alerts.contains_key(code.name()) {
                failures.push(format!("raised the alert {}", code.name()));
            }
        }
        Self {
            passed: failures.is_empty(),
            failures,
            ended_ns: now.0,
            pawl: env!("CARGO_PKG_VERSION").to_owned(),
            rules: rules_digest(config),
            model: model.to_owned(),
            trades: outcome.summary.trades,
        }
    }

    /// Writes it into the state folder, whole or not at all.
    ///
    /// # Errors
    /// The system refuses.
    pub fn store(&self, state: &Path) -> Result<(), DemoRecordError> {
        let path = state.join(FILE);
        let error = |source: std::io::Error| DemoRecordError::File { path: path.clone(), reason: source.to_string() };
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        let fresh = path.with_extension("new");
        std::fs::create_dir_all(state).map_err(error)?;
        std::fs::write(&fresh, text).map_err(error)?;
        std::fs::rename(&fresh, &path).map_err(error)
    }

    /// Looks whether live trading is allowed by the record in the state folder.
    ///
    /// # Errors
    /// There is none, it failed, is too old, or is about other rules.
    pub fn require(state: &Path, config: &Config, model: &str, now: Nanos) -> Result<(), DemoRecordError> {
        let path = state.join(FILE);
        let error = |reason: String| DemoRecordError::File { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|source| error(source.to_string()))?;
        let record: Self = serde_json::from_str(&text).map_err(|source| error(source.to_string()))?;
        let refuse = |why: String| Err(DemoRecordError::Refused(why));
        if !record.passed {
            return refuse(record.failures.join(", "));
        }
        let age = now.since(Nanos(record.ended_ns));
        if age > LIFE || record.ended_ns > now.0 {
            return refuse(format!("is {} days old", age.0 / (86_400 * crate::core::time::SECOND)));
        }
        if record.rules != rules_digest(config) || record.model != model {
            return refuse("was made with other trading rules or another model".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(config: &Config) -> DemoRecord {
        DemoRecord {
            passed: true,
            failures: Vec::new(),
            ended_ns: 1_000,
            pawl: String::new(),
            rules: rules_digest(config),
            model: "m".to_owned(),
            trades: 1,
        }
    }

    #[test]
    fn live_needs_a_passed_recent_record_of_the_same_rules() {
        let (folder, config) = (tempfile::tempdir().unwrap(), Config::default());
        let ask = |config: &Config, model, now| {
            DemoRecord::require(folder.path(), config, model, Nanos(now)).map_err(|error| error.to_string())
        };
        assert!(ask(&config, "m", 2_000).unwrap_err().contains("run a session with mode = \"demo\" first"));
        record(&config).store(folder.path()).unwrap();
        assert_eq!(ask(&config, "m", 2_000), Ok(()));
        assert!(ask(&config, "other", 2_000).unwrap_err().contains("another model"));
        assert!(ask(&config, "m", 500).unwrap_err().contains("days old"), "from the future");
        assert!(ask(&config, "m", 1_000 + LIFE.0 + 1).unwrap_err().contains("30 days old"));
        let mut changed = config.clone();
        changed.oms.stop_loss_points += 1;
        assert!(ask(&changed, "m", 2_000).unwrap_err().contains("other trading rules"));
        DemoRecord { passed: false, failures: vec!["closed no trade".into()], ..record(&config) }
            .store(folder.path())
            .unwrap();
        assert!(ask(&config, "m", 2_000).unwrap_err().contains("closed no trade"));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(ask(&config, "m", 2_000).is_err());
    }
}

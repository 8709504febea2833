//! What must survive a restart, as data: the level, the day's reference, the peak. The file it lives in
//! is written by `store`.

use serde::{Deserialize, Serialize};

use crate::core::Money;
use crate::snapshot::Level;

/// The day and what it is measured against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// See [`super::day::day_number`].
    pub number: i64,
    /// What a loss is measured against, moved by deposits and withdrawals only.
    pub reference: Money,
}

/// Everything that outlives the guardian's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The level in force.
    pub level: Level,
    /// How many times it has latched: the number of the last latch.
    pub latches: u64,
    /// The day, once a reference was taken.
    pub day: Option<Day>,
    /// The highest equity the venue has named, moved by deposits and withdrawals.
    pub peak: Option<Money>,
    /// Deposits minus withdrawals by which reference and peak were moved so far, since the first start; `None` before
    /// the first read, and in files of versions that did not write it: what is found then moves nothing.
    #[serde(default)]
    pub transfers: Option<Money>,
    /// The part of them that the engine's books do not show yet.
    #[serde(default)]
    pub unbooked: Money,
}

impl Default for Ledger {
    /// Before the first start.
    fn default() -> Self {
        Self { level: Level::Active, latches: 0, day: None, peak: None, transfers: None, unbooked: Money::ZERO }
    }
}

impl Ledger {
    /// What a loss is measured against.
    pub fn reference(&self) -> Option<Money> {
        self.day.map(|day| day.reference)
    }

    /// What a drawdown is measured against.
    pub fn peak(&self) -> Option<Money> {
        self.peak
    }
}

//! How a session is written: the `[journal]` table of the configuration.

use serde::{Deserialize, Serialize};

use crate::core::Span;

/// When records go to the disk itself. A killed process loses nothing under any policy: its records
/// are in the kernel. The policy decides what a power failure or a kernel crash may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncPolicy {
    /// Whenever the kernel likes (usually within 35 s). Any of those records may be lost, and not
    /// only the last ones: pages reach the disk in any order, so there may be holes.
    #[default]
    None,
    /// By the helper thread, so that a record older than this is on disk. Lost at most: the records
    /// of the last interval and of one sync under way.
    Interval(Span),
    /// By the helper thread, as soon as this many records wait. Lost at most: these, and those
    /// appended while it woke up and synced.
    Every(u64),
}

/// How a session is written. In the configuration: the table `[journal]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriterOptions {
    /// Records in a segment, at least 64. Default 2^18: files of 16 MiB.
    pub segment_records: usize,
    /// When records go to the disk itself: `"none"`, `{ interval = "1s" }` or `{ every = 1000 }`.
    /// Default: an interval of one second. Without the helper thread a segment is synced when it is full.
    pub sync: SyncPolicy,
    /// Records ahead of the writer whose memory is kept ready. Default 2^16: 4 MiB.
    pub prefault_records: usize,
    /// Last places of a segment that market data may not use while no next segment can be had: they
    /// are kept for executions, decisions and commands. Default 2^14; at most half a segment.
    pub reserve_records: usize,
    /// With less free disk space than this, entries stop. Bytes; default 256 MiB.
    pub min_free_bytes: u64,
    /// A helper thread prepares, pre-faults and syncs segments, and an append never waits. Without
    /// it (backtests) an append at a segment's end makes the next one itself.
    #[serde(skip)]
    pub helper: bool,
}

impl Default for WriterOptions {
    /// Without the helper thread.
    fn default() -> Self {
        Self {
            segment_records: 1 << 18,
            sync: SyncPolicy::Interval(Span::seconds(1)),
            prefault_records: 1 << 16,
            reserve_records: 1 << 14,
            min_free_bytes: 256 << 20,
            helper: false,
        }
    }
}

impl WriterOptions {
    /// The same with the helper thread: what a live engine uses.
    pub fn with_helper(mut self) -> Self {
        self.helper = true;
        self
    }

    /// The same within its limits.
    pub(super) fn limited(&self) -> Self {
        let segment_records = self.segment_records.max(1);
        Self {
            segment_records,
            reserve_records: self.reserve_records.min(segment_records / 2),
            prefault_records: self.prefault_records.max(64),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sync_policy_is_written_as_documented() {
        let parse = |text: &str| toml::from_str::<WriterOptions>(text).map(|options| options.sync);
        assert_eq!(parse("sync = \"none\""), Ok(SyncPolicy::None));
        assert_eq!(parse("sync = { interval = \"250ms\" }"), Ok(SyncPolicy::Interval(Span::millis(250))));
        assert_eq!(parse("sync = { every = 1000 }"), Ok(SyncPolicy::Every(1000)));
        assert_eq!(parse(""), Ok(SyncPolicy::Interval(Span::seconds(1))));
        assert!(parse("sync = \"sometimes\"").is_err() && parse("synk = \"none\"").is_err());
    }
}

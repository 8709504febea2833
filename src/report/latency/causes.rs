//! What may have delayed an event: counters that the system and the engine keep for a thread.

use serde::{Deserialize, Serialize};

/// Counters of one thread since it began, or their difference over a time.
#[expect(clippy::unsafe_derive_deserialize, reason = "the unsafe call fills a value of the system's, not this one")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Causes {
    /// Page faults answered from memory.
    pub minor_faults: u64,
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// The system took the core away.
    pub involuntary_switches: u64,
    /// The thread gave the core up: a wait, a yield, a system call that blocks.
    pub voluntary_switches: u64,
    /// A connection to the venue was lost or made; counted by the engine.
    pub reconnects: u64,
    /// Ring hops that seemed to end before they began: the counters of two cores differ.
    pub skewed: u64,
}

impl Causes {
    /// What the system has counted for the calling thread; about half a microsecond.
    pub fn of_this_thread() -> Self {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: `usage` is a valid place for a rusage; zeroed is a valid value should the call fail.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
            usage.assume_init()
        };
        Self {
            minor_faults: usage.ru_minflt as u64,
            major_faults: usage.ru_majflt as u64,
            involuntary_switches: usage.ru_nivcsw as u64,
            voluntary_switches: usage.ru_nvcsw as u64,
            reconnects: 0,
            skewed: 0,
        }
    }

    /// What was counted since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            minor_faults: self.minor_faults.saturating_sub(earlier.minor_faults),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            reconnects: self.reconnects.saturating_sub(earlier.reconnects),
            skewed: self.skewed.saturating_sub(earlier.skewed),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            minor_faults: self.minor_faults + other.minor_faults,
            major_faults: self.major_faults + other.major_faults,
            involuntary_switches: self.involuntary_switches + other.involuntary_switches,
            voluntary_switches: self.voluntary_switches + other.voluntary_switches,
            reconnects: self.reconnects + other.reconnects,
            skewed: self.skewed + other.skewed,
        }
    }

    /// In words, the likeliest first; empty when nothing was counted.
    pub fn describe(&self) -> String {
        let counted = [
            (self.reconnects, "reconnect"),
            (self.major_faults, "major page fault"),
            (self.involuntary_switches, "involuntary context switch"),
            (self.minor_faults, "minor page fault"),
            (self.voluntary_switches, "voluntary context switch"),
        ];
        let words: Vec<String> = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| match (count, name.ends_with("switch")) {
                (1, _) => (*name).to_owned(),
                (_, true) => format!("{count} {name}es"),
                (_, false) => format!("{count} {name}s"),
            })
            .collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_page_is_counted() {
        let before = Causes::of_this_thread();
        // Fresh anonymous pages: each first store is a fault that the system counts.
        let mut pages = memmap2::MmapMut::map_anon(1 << 20).unwrap();
        pages.chunks_mut(4096).for_each(|page| page[0] = 1);
        let delta = Causes::of_this_thread().since(&before);
        assert!(delta.minor_faults >= 1, "{delta:?}");
    }

    #[test]
    fn words_name_what_was_counted() {
        let causes = Causes { minor_faults: 2, involuntary_switches: 1, ..Causes::default() };
        assert_eq!(causes.describe(), "involuntary context switch, 2 minor page faults");
        let causes = Causes { involuntary_switches: 3, ..Causes::default() };
        assert_eq!(causes.describe(), "3 involuntary context switches");
        assert_eq!(Causes::default().describe(), "");
    }
}

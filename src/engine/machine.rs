//! What the machine offers a pinned engine: the cores it may use, and which of them nobody else does.
//!
//! Everything is read below a root folder, `/` in life and a made-up tree in tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files in which Linux tells about itself.
#[derive(Clone, Debug)]
pub struct SystemFiles {
    root: PathBuf,
}

impl SystemFiles {
    /// The machine that this runs on.
    pub fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// A tree with the same paths.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The text of a file, without its last line end; `None` when it is not there or not readable.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(path.trim_start_matches('/'))).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// The names in a folder, sorted; empty when it is not there.
    pub fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.join(path.trim_start_matches('/'))) else { return Vec::new() };
        let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Processor time that control groups grant this process.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Quota {
    /// No file tells: another version of control groups, or they are hidden.
    #[default]
    Unknown,
    /// No limit.
    Unlimited,
    /// So many cores' worth.
    Cores(f64),
}

/// The cores of a machine.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Machine {
    /// Cores that this process may run on.
    pub allowed: BTreeSet<usize>,
    /// Of these, the ones that the kernel keeps for whoever is pinned there (`isolcpus`).
    pub isolated: BTreeSet<usize>,
    /// What control groups grant of the cores' time.
    pub quota: Quota,
    /// Threads that wanted a core in the last minute, on average; `None` when unknown.
    pub load: Option<f64>,
}

impl Machine {
    /// Reads what this process may use.
    pub fn read(files: &SystemFiles) -> Self {
        let status = files.read("/proc/self/status").unwrap_or_default();
        let listed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = listed
            .and_then(parse_cores)
            .or_else(|| files.read("/sys/devices/system/cpu/online").as_deref().and_then(parse_cores));
        let allowed = allowed.unwrap_or_else(|| BTreeSet::from([0]));
        let isolated =
            files.read("/sys/devices/system/cpu/isolated").as_deref().and_then(parse_cores).unwrap_or_default();
        // An isolated core is outside the mask that the system starts processes with, and yet one may be
        // pinned to it: allowed are both.
        let allowed = allowed.union(&isolated).copied().collect();
        Self { allowed, isolated, quota: quota(files), load: load(files) }
    }

    /// Cores that may be used and are not isolated.
    pub fn shared(&self) -> BTreeSet<usize> {
        self.allowed.difference(&self.isolated).copied().collect()
    }

    /// Allowed cores that nobody wanted in the last minute, on average; zero when unknown.
    pub fn idle_cores(&self) -> f64 {
        self.load.map_or(0.0, |load| (self.allowed.len() as f64 - load).max(0.0))
    }

    /// In words: `4 cores (isolated 2-3)`.
    pub fn describe(&self) -> String {
        let cores = match self.allowed.len() {
            1 => "1 core".to_owned(),
            many => format!("{many} cores"),
        };
        if self.isolated.is_empty() {
            format!("{cores}, none isolated")
        } else {
            format!("{cores}, isolated {}", format_cores(&self.isolated))
        }
    }
}

fn load(files: &SystemFiles) -> Option<f64> {
    files.read("/proc/loadavg")?.split_whitespace().next()?.parse().ok()
}

/// The tightest `cpu.max` of the process's control group and of those above it, version 2.
fn quota(files: &SystemFiles) -> Quota {
    let groups = files.read("/proc/self/cgroup").unwrap_or_default();
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::")) else { return Quota::Unknown };
    let limits = Path::new(group).ancestors().filter_map(|group| {
        let text = files.read(&format!("/sys/fs/cgroup/{}/cpu.max", group.display()))?;
        let (most, period) = text.split_once(' ')?;
        let period: f64 = period.parse().ok().filter(|period| *period > 0.0)?;
        if most == "max" { Some(f64::INFINITY) } else { Some(most.parse::<f64>().ok()? / period) }
    });
    match limits.min_by(f64::total_cmp) {
        None => Quota::Unknown,
        Some(cores) if cores.is_finite() => Quota::Cores(cores),
        Some(_) => Quota::Unlimited,
    }
}

/// Parses the kernel's `0-3,5,8-9`; `None` when it is something else. Empty text is no core.
pub fn parse_cores(text: &str) -> Option<BTreeSet<usize>> {
    const MOST: usize = 4096;
    let mut cores = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// The kernel's way to write a set of cores.
pub fn format_cores(cores: &BTreeSet<usize>) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for core in cores {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *core => *last = *core,
            _ => parts.push((*core, *core)),
        }
    }
    let words =
        parts.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_isolated_core_may_be_used_although_the_mask_leaves_it_out() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/status", "Name:\tpawl\nCpus_allowed_list:\t0-1\n");
        write("sys/devices/system/cpu/isolated", "2-3\n");
        write("proc/self/cgroup", "0::/app\n");
        write("sys/fs/cgroup/app/cpu.max", "max 100000\n");
        write("sys/fs/cgroup/cpu.max", "150000 100000\n");
        let machine = Machine::read(&SystemFiles::below(folder.path()));
        assert_eq!(machine.allowed, BTreeSet::from([0, 1, 2, 3]));
        assert_eq!(machine.shared(), BTreeSet::from([0, 1]));
        assert_eq!(machine.quota, Quota::Cores(1.5), "the limit of a group above counts");
        assert_eq!(machine.describe(), "4 cores, isolated 2-3");
    }

    #[test]
    fn nonsense_is_not_a_set_of_cores() {
        for text in ["a", "3-1", "1-", "0-999999999", "-"] {
            assert_eq!(parse_cores(text), None, "{text}");
        }
        assert_eq!(parse_cores("\n"), Some(BTreeSet::new()));
    }

    proptest! {
        #[test]
        fn cores_survive_the_round_trip(cores in proptest::collection::btree_set(0usize..200, 0..30)) {
            prop_assert_eq!(parse_cores(&format_cores(&cores)), Some(cores));
        }
    }
}

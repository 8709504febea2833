//! Memory and limits: what makes a page fault out of a store, and what the process may ask for.

use super::Verdict::{Fail, Ok, Unknown, Warn};
use super::{Finding, verdict};
use crate::engine::machine::SystemFiles;

/// Lockable memory that rings, state and stacks need; the journal is not locked.
const MEMLOCK_BYTES: u64 = 256 << 20;

pub(super) fn examine(files: &SystemFiles) -> Vec<Finding> {
    vec![huge_pages(files), swap(files), memory_lock(files), real_time(files)]
}

fn huge_pages(files: &SystemFiles) -> Finding {
    let text = files.read("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = text.as_deref().and_then(|text| text.split_once('[')?.1.split_once(']')).map(|(chosen, _)| chosen);
    let found = match chosen {
        Some(chosen) => (verdict(chosen != "always", Warn), chosen.to_owned()),
        None => (Unknown, "/sys/kernel/mm/transparent_hugepage/enabled cannot be read".to_owned()),
    };
    let wanted = "madvise or never: no page is moved behind the engine's back";
    Finding::new("huge-pages", wanted, found, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
}

fn swap(files: &SystemFiles) -> Finding {
    let found = match files.read("/proc/swaps") {
        None => (Unknown, "/proc/swaps cannot be read".to_owned()),
        Some(text) => {
            match text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect::<Vec<_>>() {
                used if used.is_empty() => (Ok, "none".to_owned()),
                used => (Warn, used.join(", ")),
            }
        }
    };
    Finding::new(
        "swap",
        "none, or everything locked",
        found,
        "swapoff -a, and remove it from /etc/fstab; or [threads] lock_memory = true",
    )
}

/// A row of `/proc/self/limits`: the soft limit, all there is for unlimited.
fn limit(files: &SystemFiles, name: &str) -> Option<u64> {
    let text = files.read("/proc/self/limits")?;
    let row = text.lines().find_map(|line| line.strip_prefix(name))?;
    let soft = row.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

fn memory_lock(files: &SystemFiles) -> Finding {
    let found = match limit(files, "Max locked memory") {
        None => (Unknown, "/proc/self/limits cannot be read".to_owned()),
        Some(u64::MAX) => (Ok, "unlimited".to_owned()),
        Some(bytes) => (verdict(bytes >= MEMLOCK_BYTES, Warn), format!("{} KiB", bytes >> 10)),
    };
    let wanted = "256 MiB or more, for [threads] lock_memory";
    Finding::new(
        "memory-lock",
        wanted,
        found,
        "LimitMEMLOCK=infinity in the unit, or memlock in /etc/security/limits.conf",
    )
}

fn real_time(files: &SystemFiles) -> Finding {
    let found = match limit(files, "Max realtime priority") {
        None => (Unknown, "/proc/self/limits cannot be read".to_owned()),
        Some(u64::MAX) => (Ok, "any priority".to_owned()),
        Some(0) if is_root(files) => (Ok, "as root".to_owned()),
        Some(0) => (Warn, "none: [threads] priority will be refused".to_owned()),
        Some(most) => (Ok, format!("up to {most}")),
    };
    let wanted = "allowed, where [threads] asks for a priority (only worth it on isolated cores)";
    Finding::new("real-time", wanted, found, "LimitRTPRIO=50 in the unit, or CAP_SYS_NICE")
}

/// Root, with the capability to set priorities (bit 23).
fn is_root(files: &SystemFiles) -> bool {
    let status = files.read("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & (1 << 23) != 0)
}

/// Bytes as a person says them.
pub(super) fn mebibytes(bytes: u64) -> String {
    if bytes >> 30 > 9 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

/// Below this much free space the journal stops new entries soon.
pub(super) const FREE_BYTES: u64 = 1 << 30;

/// The verdict on free space.
pub(super) fn free_space(bytes: u64) -> Finding {
    let found = (verdict(bytes >= FREE_BYTES, Fail), mebibytes(bytes));
    Finding::new("disk-space", "1 GiB or more", found, "make room, or put the journal on a larger disk")
}

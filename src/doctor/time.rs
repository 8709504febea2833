//! Time: the counter, the clock, how far it is from the world's, and what the hypervisor takes.

use super::Verdict::{Fail, Ok, Unknown, Warn};
use super::{Finding, verdict};
use crate::engine::clock::is_invariant;
use crate::engine::machine::SystemFiles;

/// Clock errors above this look like latency in every comparison with the venue's times, microseconds.
const OFFSET_WARN_US: f64 = 1_000.0;
/// Above this a venue refuses requests.
const OFFSET_FAIL_US: f64 = 500_000.0;

pub(super) fn examine(files: &SystemFiles) -> Vec<Finding> {
    vec![counter(files), source(files), offset(), stolen(files)]
}

fn counter(files: &SystemFiles) -> Finding {
    let found = match files.read("/proc/cpuinfo") {
        None => (Unknown, "/proc/cpuinfo cannot be read".to_owned()),
        Some(text) if is_invariant(&text) => (Ok, "constant_tsc nonstop_tsc on every core".to_owned()),
        Some(_) => (Warn, "not invariant: latencies are measured by CLOCK_MONOTONIC, at twice the cost".to_owned()),
    };
    Finding::new(
        "tsc",
        "an invariant time-stamp counter",
        found,
        "another instance type; nothing in the guest changes it",
    )
}

fn source(files: &SystemFiles) -> Finding {
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let found = match files.read(&format!("{folder}/current_clocksource")) {
        None => (Unknown, "the clock source cannot be read".to_owned()),
        Some(source) => (verdict(source == "tsc", Warn), source),
    };
    let offered = files.read(&format!("{folder}/available_clocksource")).unwrap_or_default();
    let fix = if offered.split_whitespace().any(|source| source == "tsc") {
        format!("echo tsc > {folder}/current_clocksource, and clocksource=tsc tsc=reliable at boot")
    } else {
        "another instance type: this one does not offer tsc".to_owned()
    };
    Finding::new("clock-source", "tsc: reading the time costs 20 ns, not a system call", found, &fix)
}

/// What the kernel knows of its own clock's error.
fn offset() -> Finding {
    let mut state = std::mem::MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: a zeroed timex asks for nothing to be changed (modes 0) and is a valid value.
    let (status, state) = unsafe {
        let status = libc::adjtimex(state.as_mut_ptr());
        (status, state.assume_init())
    };
    let nanoseconds = state.status & libc::STA_NANO != 0;
    let offset_us = if nanoseconds { state.offset as f64 / 1e3 } else { state.offset as f64 };
    let error_us = state.esterror as f64;
    let synchronised = status >= 0 && state.status & libc::STA_UNSYNC == 0;
    let found = if status < 0 {
        (Unknown, "the kernel does not tell (adjtimex)".to_owned())
    } else {
        judge_offset(synchronised, offset_us, error_us)
    };
    let wanted = "synchronised, within 1 ms";
    let fix = "apt-get install chrony; in a cloud add its own server, e.g. 169.254.169.123; then chronyc tracking";
    Finding::new("clock-offset", wanted, found, fix)
}

fn judge_offset(synchronised: bool, offset_us: f64, error_us: f64) -> (super::Verdict, String) {
    let worst = offset_us.abs() + error_us;
    let text = format!("offset {offset_us:+.0} us, estimated error {error_us:.0} us");
    match synchronised {
        false => (Fail, format!("nothing disciplines the clock (unsynchronised); {text}")),
        true if worst > OFFSET_FAIL_US => (Fail, text),
        true if worst > OFFSET_WARN_US => (Warn, text),
        true => (Ok, text),
    }
}

/// Share of the time since boot that the hypervisor gave to others, percent.
const STOLEN_WARN: f64 = 0.1;
const STOLEN_FAIL: f64 = 2.0;

fn stolen(files: &SystemFiles) -> Finding {
    let text = files.read("/proc/stat").unwrap_or_default();
    let found = match stolen_percent(&text) {
        None => (Unknown, "/proc/stat has no stolen time".to_owned()),
        Some(share) => {
            let verdict = match share {
                share if share > STOLEN_FAIL => Fail,
                share if share > STOLEN_WARN => Warn,
                _ => Ok,
            };
            (verdict, format!("{share:.2} % of the time since boot"))
        }
    };
    let fix = "a dedicated instance (not burstable, not oversold); nothing in the guest changes it";
    Finding::new("stolen-time", "below 0.1 %", found, fix)
}

/// Stolen of all time, of the first row of `/proc/stat`.
fn stolen_percent(stat: &str) -> Option<f64> {
    let row = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<f64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already.
    let all: f64 = times.iter().take(8).sum();
    (all > 0.0).then(|| 100.0 * times.get(7).copied().unwrap_or(0.0) / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_judged_by_what_it_may_be_wrong_by() {
        assert_eq!(judge_offset(true, 12.0, 30.0).0, Ok);
        assert_eq!(judge_offset(true, -900.0, 200.0).0, Warn);
        assert_eq!(judge_offset(true, 0.0, 600_000.0).0, Fail);
        assert_eq!(judge_offset(false, 0.0, 0.0).0, Fail);
    }

    #[test]
    fn stolen_time_is_the_eighth_column() {
        assert_eq!(stolen_percent("cpu  50 0 20 20 0 0 0 10 0 0\ncpu0 1 2 3\n"), Some(10.0));
        assert_eq!(stolen_percent("intr 5\n"), None);
    }
}

//! The platform's own hiccups: a thread on each core does nothing but read the clock, and every gap
//! between two readings is time that somebody took: the scheduler, an interrupt, the hypervisor.
//! No program on that core can answer faster than that.

use std::time::Duration;

use super::Verdict::{Fail, Ok, Unknown, Warn};
use super::{Finding, Verdict};
use crate::engine::clock::StampClock;
use crate::engine::machine::{Machine, SystemFiles};
use crate::report::latency::{Causes, histogram, span};

/// Gaps shorter than this are the loop itself, nanoseconds.
const GAP_NS: u64 = 1_000;

/// What was seen on one core.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Gaps {
    /// Gaps above one microsecond.
    pub count: u64,
    /// Their median, nanoseconds.
    pub p50_ns: u64,
    /// The longest, nanoseconds.
    pub max_ns: u64,
    /// Nanoseconds lost in gaps.
    pub lost_ns: u64,
    /// Nanoseconds watched.
    pub watched_ns: u64,
    /// Times that the scheduler took the core away.
    pub preempted: u64,
}

impl Gaps {
    /// Share of the time that was lost, percent.
    pub fn lost_percent(&self) -> f64 {
        100.0 * self.lost_ns as f64 / self.watched_ns.max(1) as f64
    }
}

/// Watches the core that the calling thread runs on.
pub(super) fn watch(clock: &StampClock, length: Duration) -> Gaps {
    let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let mut gaps = histogram();
    let (before, began) = (Causes::of_this_thread(), clock.now());
    let (mut last, mut lost_ns) = (began, 0);
    while clock.nanos(began, last) < length_ns {
        let now = clock.now();
        let gap = clock.nanos(last, now);
        if gap >= GAP_NS {
            gaps.saturating_record(gap);
            lost_ns += gap;
        }
        last = now;
    }
    let causes = Causes::of_this_thread().since(&before);
    Gaps {
        count: gaps.len(),
        p50_ns: gaps.value_at_quantile(0.5),
        max_ns: gaps.max(),
        lost_ns,
        watched_ns: clock.nanos(began, last),
        preempted: causes.involuntary_switches,
    }
}

/// Watches one core from a thread pinned to it; `None` when the system does not let a thread there.
pub fn watch_core(core: usize, clock: StampClock, length: Duration) -> Option<Gaps> {
    let watcher = std::thread::Builder::new().name(format!("watch-{core}")).spawn(move || {
        let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: core });
        pinned.then(|| watch(&clock, length))
    });
    watcher.ok()?.join().ok().flatten()
}

/// One core after another, so that the watchers do not disturb each other.
pub(super) fn examine(
    files: &SystemFiles,
    machine: &Machine,
    engine: &[usize],
    length: Duration,
    progress: &mut impl FnMut(&str),
) -> Vec<Finding> {
    const WANTED: &str = "engine cores: no gap above 100 us, less than 0.1 % lost";
    if length.is_zero() {
        let found = (Unknown, "not measured (--watch 0s)".to_owned());
        return vec![Finding::new("jitter", WANTED, found, "run again with --watch 2s")];
    }
    let clock = StampClock::calibrate();
    let cores = machine.allowed.iter().copied();
    cores
        .map(|core| {
            progress(&format!("jitter of core {core}"));
            let interrupts = interrupts_of(files, core);
            let found = match watch_core(core, clock, length) {
                None => (Unknown, format!("core {core}: a thread cannot be pinned there")),
                Some(gaps) => {
                    let fired = interrupts_of(files, core).saturating_sub(interrupts);
                    (judge(&gaps, engine.contains(&core)), describe(core, &gaps, fired))
                }
            };
            let fix =
                "keep others away (isolation, interrupts above); what remains is the hypervisor: a dedicated instance";
            Finding::new("jitter", WANTED, found, fix)
        })
        .collect()
}

fn judge(gaps: &Gaps, engine: bool) -> Verdict {
    match (gaps.max_ns, gaps.lost_percent()) {
        // Nothing of the engine runs there: what it suffers is said, not held against the machine.
        _ if !engine => Ok,
        (max, lost) if max > 5_000_000 || lost > 2.0 => Fail,
        (max, lost) if max > 100_000 || lost > 0.1 => Warn,
        _ => Ok,
    }
}

fn describe(core: usize, gaps: &Gaps, interrupts: u64) -> String {
    let seconds = gaps.watched_ns as f64 / 1e9;
    format!(
        "core {core}: {:.0} gaps/s, median {}, longest {}, {:.2} % lost; preempted {} times, {:.0} interrupts/s",
        gaps.count as f64 / seconds.max(1e-9),
        span(gaps.p50_ns),
        span(gaps.max_ns),
        gaps.lost_percent(),
        gaps.preempted,
        interrupts as f64 / seconds.max(1e-9)
    )
}

/// Interrupts that a core has served since boot.
fn interrupts_of(files: &SystemFiles, core: usize) -> u64 {
    let table = files.read("/proc/interrupts").unwrap_or_default();
    let mut lines = table.lines();
    let name = format!("CPU{core}");
    let Some(column) = lines.next().and_then(|head| head.split_whitespace().position(|word| word == name)) else {
        return 0;
    };
    let counts = lines.filter_map(|line| line.split_once(':')?.1.split_whitespace().nth(column)?.parse::<u64>().ok());
    counts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_engines_cores_are_judged() {
        let gaps = Gaps { max_ns: 10_000_000, lost_ns: 1, watched_ns: 1_000_000_000, ..Gaps::default() };
        assert_eq!((judge(&gaps, true), judge(&gaps, false)), (Fail, Ok));
        let gaps = Gaps { max_ns: 200_000, ..gaps };
        assert_eq!(judge(&gaps, true), Warn);
        let gaps = Gaps { max_ns: 50_000, ..gaps };
        assert_eq!(judge(&gaps, true), Ok);
        let gaps = Gaps { lost_ns: 50_000_000, ..gaps };
        assert_eq!(judge(&gaps, true), Fail, "5 % lost in short gaps are lost all the same");
    }

    #[test]
    fn a_watched_core_tells_how_long_it_was_watched() {
        let gaps = watch(&StampClock::calibrate(), Duration::from_millis(5));
        assert!(gaps.watched_ns >= 5_000_000 && gaps.lost_ns <= gaps.watched_ns, "{gaps:?}");
        assert_eq!(gaps.count == 0, gaps.lost_ns == 0);
    }
}

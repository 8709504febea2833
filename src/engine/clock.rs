//! The clock of measurements: the processor's time-stamp counter, scaled to nanoseconds.
//!
//! Setup: [`StampClock::calibrate`], once, off the hot path. Then [`StampClock::now`] is one `rdtsc`
//! (about 10 ns) and [`StampClock::nanos`] one multiplication. Where the counter does not tick at one
//! rate through every sleep state and frequency (no `constant_tsc` and `nonstop_tsc`), or the
//! processor has none, stamps are nanoseconds of CLOCK_MONOTONIC instead: right, and dearer.
//!
//! Stamps measure. They are never an input of the engine: its only clock is `local_ns` of an event.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::core::Nanos;

/// A reading of the clock, in its own ticks; only the difference of two means something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Stamp(pub u64);

/// Where stamps come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StampSource {
    /// The time-stamp counter.
    Tsc,
    /// CLOCK_MONOTONIC.
    Monotonic,
}

/// Turns stamps into nanoseconds. Small and `Copy`: each thread has its own.
#[derive(Clone, Copy, Debug)]
pub struct StampClock {
    source: StampSource,
    /// Nanoseconds a tick, in units of 2^-32.
    scale: u64,
    /// Ticks a nanosecond, in units of 2^-32.
    inverse: u64,
    /// Where the two clocks met, to tell the date of a stamp.
    anchor: (Stamp, Nanos),
}

/// How many units make one nanosecond a tick.
const SCALE_ONE: u64 = 1 << 32;

impl StampClock {
    /// Compares the counter with CLOCK_MONOTONIC for 20 ms.
    pub fn calibrate() -> Self {
        let invariant = std::fs::read_to_string(Path::new("/proc/cpuinfo")).is_ok_and(|text| is_invariant(&text));
        if !(cfg!(target_arch = "x86_64") && invariant) {
            return Self::monotonic();
        }
        let (first_ticks, first_time) = meet(monotonic_ns);
        std::thread::sleep(Duration::from_millis(20));
        let (ticks, time) = meet(monotonic_ns);
        let (ticks, time) = (ticks.saturating_sub(first_ticks), time.saturating_sub(first_time));
        let scale = (u128::from(time) << 32).checked_div(u128::from(ticks)).unwrap_or(0) as u64;
        // Between 20 MHz and 50 GHz: outside, a hypervisor is telling stories.
        if !(SCALE_ONE / 50..=SCALE_ONE * 50).contains(&scale) {
            return Self::monotonic();
        }
        Self::scaled(StampSource::Tsc, scale)
    }

    /// A clock on CLOCK_MONOTONIC, as the fall-back is.
    pub fn monotonic() -> Self {
        Self::scaled(StampSource::Monotonic, SCALE_ONE)
    }

    fn scaled(source: StampSource, scale: u64) -> Self {
        // Rounded: a span of a day comes back within a tick in a thousand million.
        let inverse = ((1u128 << 64) + u128::from(scale) / 2) / u128::from(scale);
        let mut clock = Self { source, scale, inverse: inverse as u64, anchor: (Stamp(0), Nanos::NONE) };
        clock.anchor();
        clock
    }

    /// Now. Not ordered with the loads and stores around it: right for spans of 100 ns and more.
    #[inline]
    pub fn now(&self) -> Stamp {
        match self.source {
            StampSource::Tsc => Stamp(counter()),
            StampSource::Monotonic => Stamp(monotonic_ns()),
        }
    }

    /// Now, after everything before it has happened: for single stages, which are shorter than what
    /// the processor may reorder. A few nanoseconds dearer.
    #[inline]
    pub fn now_ordered(&self) -> Stamp {
        match self.source {
            StampSource::Tsc => Stamp(counter_ordered()),
            StampSource::Monotonic => Stamp(monotonic_ns()),
        }
    }

    /// Nanoseconds from `earlier` to `later`; zero when it is the other way round, which two cores
    /// whose counters differ may show.
    #[inline]
    pub fn nanos(&self, earlier: Stamp, later: Stamp) -> u64 {
        let ticks = later.0.saturating_sub(earlier.0);
        ((u128::from(ticks) * u128::from(self.scale)) >> 32) as u64
    }

    /// Ticks in this many nanoseconds.
    #[inline]
    pub fn ticks(&self, nanos: u64) -> u64 {
        ((u128::from(nanos) * u128::from(self.inverse)) >> 32) as u64
    }

    /// Where stamps come from.
    pub fn source(&self) -> StampSource {
        self.source
    }

    /// Ticks a second, for display.
    pub fn frequency(&self) -> f64 {
        1e9 * SCALE_ONE as f64 / self.scale as f64
    }

    /// Takes the date anew; once a second keeps [`StampClock::date`] within microseconds of the system's.
    pub fn anchor(&mut self) {
        let (ticks, date) = match self.source {
            StampSource::Tsc => meet(date_ns),
            StampSource::Monotonic => (monotonic_ns(), date_ns()),
        };
        self.anchor = (Stamp(ticks), Nanos(date));
    }

    /// The date of a stamp, UTC.
    #[inline]
    pub fn date(&self, stamp: Stamp) -> Nanos {
        let (anchor, date) = self.anchor;
        if stamp >= anchor {
            Nanos(date.0.saturating_add(self.nanos(anchor, stamp)))
        } else {
            Nanos(date.0.saturating_sub(self.nanos(stamp, anchor)))
        }
    }
}

/// True when every processor says that its counter ticks at one rate through every state.
pub fn is_invariant(cpuinfo: &str) -> bool {
    let mut flags = cpuinfo.lines().filter(|line| line.starts_with("flags")).peekable();
    flags.peek().is_some()
        && flags.all(|line| {
            let has = |flag: &str| line.split_whitespace().any(|word| word == flag);
            has("constant_tsc") && has("nonstop_tsc")
        })
}

/// The counter and another clock read at one instant: of some tries the one with the smallest doubt.
fn meet(other: impl Fn() -> u64) -> (u64, u64) {
    let tries = (0..16).map(|_| {
        let before = counter_ordered();
        let time = other();
        let after = counter_ordered();
        (after.wrapping_sub(before), before.wrapping_add(after.wrapping_sub(before) / 2), time)
    });
    tries.min_by_key(|(doubt, ..)| *doubt).map_or((0, 0), |(_, ticks, time)| (ticks, time))
}

#[inline]
fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: reading the time-stamp counter has no precondition on x86-64.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        monotonic_ns()
    }
}

#[inline]
fn counter_ordered() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut core = 0;
        // SAFETY: `rdtscp` exists on every x86-64 processor with an invariant counter; it writes the
        // core's number to a local.
        unsafe { std::arch::x86_64::__rdtscp(&raw mut core) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        monotonic_ns()
    }
}

/// Nanoseconds of a clock of the system.
#[inline]
fn system_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec; both clocks used here always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec as u64).saturating_mul(crate::core::time::SECOND).saturating_add(time.tv_nsec as u64)
}

/// CLOCK_MONOTONIC: moves forward only, whatever happens to the date.
#[inline]
pub fn monotonic_ns() -> u64 {
    system_ns(libc::CLOCK_MONOTONIC)
}

fn date_ns() -> u64 {
    system_ns(libc::CLOCK_REALTIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "processor : 0\nflags : fpu constant_tsc rdtscp nonstop_tsc\n";

    #[test]
    fn one_processor_without_an_invariant_counter_is_enough_to_distrust_it() {
        assert!(is_invariant(GOOD));
        assert!(is_invariant(&GOOD.repeat(2)));
        assert!(!is_invariant(&format!("{GOOD}flags : fpu constant_tsc\n")));
        assert!(!is_invariant("processor : 0\n") && !is_invariant(""));
    }

    #[test]
    fn ticks_and_nanoseconds_are_each_others_inverse() {
        for source in [StampClock::calibrate(), StampClock::monotonic()] {
            for nanos in [0u64, 1_000, 1_000_000_000, 86_400_000_000_000] {
                let there = source.ticks(nanos);
                let back = source.nanos(Stamp(5), Stamp(5 + there));
                assert!(nanos.abs_diff(back) <= 1 + nanos / 1_000_000_000, "{nanos} came back as {back}");
            }
            assert_eq!(source.nanos(Stamp(9), Stamp(5)), 0, "time does not run backwards");
        }
    }

    #[test]
    fn the_counter_and_the_systems_clock_agree_about_a_span() {
        let clock = StampClock::calibrate();
        let (first, began) = meet_any(&clock);
        std::thread::sleep(Duration::from_millis(50));
        let (last, ended) = meet_any(&clock);
        let (ours, theirs) = (clock.nanos(first, last) as f64, (ended - began) as f64);
        // Bracketed readings: a preempted one is recognised and not used, so load does not matter.
        assert!((ours / theirs - 1.0).abs() < 0.001, "{ours} ns by stamps, {theirs} ns by the system");
    }

    fn meet_any(clock: &StampClock) -> (Stamp, u64) {
        match clock.source() {
            StampSource::Tsc => {
                let (ticks, time) = meet(monotonic_ns);
                (Stamp(ticks), time)
            }
            StampSource::Monotonic => (clock.now(), monotonic_ns()),
        }
    }
}

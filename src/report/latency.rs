//! Nanoseconds by stage, from the processor's time-stamp counter.
//!
//! Reading the counter costs about 10 ns itself, so stages are timed on a sample of the events and
//! the smallest cost of a pair of readings, measured at start, is subtracted from each interval.

use std::fmt::Write;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// What is timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Journal append of the input.
    Journal,
    /// Normalising.
    Feed,
    /// Features.
    Quant,
    /// The model, when asked.
    Oracle,
    /// Orders, positions, checks.
    Oms,
    /// From the input's arrival to the last decision.
    Total,
}

impl Stage {
    const ALL: [Self; 6] = [Self::Journal, Self::Feed, Self::Quant, Self::Oracle, Self::Oms, Self::Total];

    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Feed => "feed",
            Self::Quant => "quant",
            Self::Oracle => "oracle",
            Self::Oms => "oms",
            Self::Total => "total",
        }
    }

    /// The budget of DESIGN section 11, p50 and p99.9 in nanoseconds.
    const fn budget(self) -> Option<(u64, u64)> {
        match self {
            Self::Journal => Some((10, 100)),
            Self::Quant => Some((25, 100)),
            Self::Oracle => Some((110, 250)),
            Self::Feed | Self::Oms | Self::Total => None,
        }
    }
}

/// Percentiles of one stage, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyRow {
    /// Which stage.
    pub stage: Stage,
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// Records intervals between marks.
pub struct LatencyProbe {
    histograms: Vec<Histogram<u64>>,
    nanos_per_tick: f64,
    overhead: u64,
    began: u64,
    last: u64,
}

impl Default for LatencyProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyProbe {
    /// Calibrates the counter for 20 ms.
    pub fn new() -> Self {
        let (clock, ticks) = (Instant::now(), counter());
        while clock.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let elapsed = counter().wrapping_sub(ticks).max(1);
        let nanos_per_tick = clock.elapsed().as_nanos() as f64 / elapsed as f64;
        let pair = || {
            let first = counter();
            counter().wrapping_sub(first)
        };
        let overhead = (0..10_000).map(|_| pair()).min().unwrap_or(0);
        let histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds are valid");
        Self { histograms: vec![histogram; Stage::ALL.len()], nanos_per_tick, overhead, began: 0, last: 0 }
    }

    /// An event arrives.
    #[inline]
    pub fn start(&mut self) {
        self.began = counter();
        self.last = self.began;
    }

    /// A stage ended.
    #[inline]
    pub fn mark(&mut self, stage: Stage) {
        let now = counter();
        self.record(stage, now.wrapping_sub(self.last));
        self.last = counter();
    }

    /// Everything about the event is done.
    #[inline]
    pub fn end(&mut self) {
        let ticks = counter().wrapping_sub(self.began);
        self.record(Stage::Total, ticks);
    }

    fn record(&mut self, stage: Stage, ticks: u64) {
        self.histograms[stage as usize].saturating_record(ticks.saturating_sub(self.overhead).max(1));
    }

    /// The stages that have samples.
    pub fn table(&self) -> Vec<LatencyRow> {
        let nanos = |ticks: u64| (ticks as f64 * self.nanos_per_tick).round() as u64;
        let rows = Stage::ALL.into_iter().map(|stage| {
            let histogram = &self.histograms[stage as usize];
            let at = |quantile: f64| nanos(histogram.value_at_quantile(quantile));
            let (count, max) = (histogram.len(), nanos(histogram.max()));
            LatencyRow { stage, count, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max }
        });
        rows.filter(|row| row.count > 0).collect()
    }
}

/// The time-stamp counter; on other processors than x86-64 a monotonic clock in nanoseconds.
#[inline]
fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: reading the time-stamp counter has no precondition on x86-64.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        use std::sync::OnceLock;
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// The table as text, each row beside its budget.
pub fn latency_text(rows: &[LatencyRow]) -> String {
    let mut out = String::from("Latency, ns (sampled; total includes the cost of timing the stages)\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "  {:<8} {:>9} {:>7} {:>7} {:>7} {:>8} {:>10}  budget p50/p99.9",
        "stage", "samples", "p50", "p90", "p99", "p99.9", "max"
    );
    for row in rows {
        let budget = row.stage.budget().map_or("-".to_owned(), |(p50, p999)| format!("{p50}/{p999}"));
        let _ = writeln!(
            out,
            "  {:<8} {:>9} {:>7} {:>7} {:>7} {:>8} {:>10}  {budget}",
            row.stage.name(),
            row.count,
            row.p50,
            row.p90,
            row.p99,
            row.p999,
            row.max
        );
    }
    out
}

//! Turns measurements into what a person or a program reads: rows of percentiles, each against its
//! budget and against the previous session.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::hop::{Budget, Hop};
use super::log::{Header, LATENCY_FILE, OutlierLine, Totals};
use super::read::{Measured, Stretch, read_header};
use super::recorder::Frame;
use crate::core::Nanos;

/// Percentiles of one hop, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyRow {
    /// On which thread; empty where there is only one.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub thread: String,
    /// Which hop.
    pub hop: Hop,
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
    /// 99.99th percentile.
    pub p9999: u64,
    /// Largest.
    pub max: u64,
}

/// Percentiles and the verdicts on them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportRow {
    /// The percentiles.
    #[serde(flatten)]
    pub row: LatencyRow,
    /// What is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Percentiles that are over the budget: `p50`, `p99.9`.
    pub over_budget: Vec<&'static str>,
    /// The same hop in the session compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<LatencyRow>,
    /// Percentiles that are worse than before by more than noise.
    pub regressions: Vec<&'static str>,
}

/// One point of the time-line, or one hour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeRow {
    /// Begin.
    pub from: String,
    /// Begin, UTC nanoseconds.
    pub from_ns: u64,
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

/// An outlier with its cause in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutlierRow {
    /// When.
    pub at: String,
    /// The likely cause: what was counted in the window; `unknown` when nothing was.
    pub cause: String,
    /// The figures.
    #[serde(flatten)]
    pub line: OutlierLine,
}

/// Everything that a report of latencies says.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyReport {
    /// The session's folder.
    pub session: PathBuf,
    /// The session compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<PathBuf>,
    /// What it was measured with.
    pub header: Header,
    /// What totals are measured from, in words.
    pub basis: &'static str,
    /// Begin.
    pub from: String,
    /// End.
    pub until: String,
    /// Length, seconds.
    pub seconds: f64,
    /// True when the process was killed while it wrote.
    pub cut_off: bool,
    /// A row a hop and thread.
    pub rows: Vec<ReportRow>,
    /// End to end by hour of the clock, UTC.
    pub hours: Vec<TimeRow>,
    /// End to end over time.
    pub points: Vec<TimeRow>,
    /// The slowest events.
    pub outliers: Vec<OutlierRow>,
}

/// The percentiles of one histogram.
pub fn row(thread: &str, hop: Hop, histogram: &Histogram<u64>) -> LatencyRow {
    let at = |quantile: f64| histogram.value_at_quantile(quantile);
    LatencyRow {
        thread: thread.to_owned(),
        hop,
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: histogram.max(),
    }
}

/// Rows of a session's sums; without the thread's name where there is only one.
pub fn rows(totals: &Totals) -> Vec<LatencyRow> {
    let single = totals.len() == 1;
    let of = |(name, sums): &(String, BTreeMap<Hop, Histogram<u64>>)| {
        let name = if single { "" } else { name.as_str() };
        sums.iter().map(|(hop, histogram)| row(name, *hop, histogram)).collect::<Vec<_>>()
    };
    totals.iter().flat_map(of).collect()
}

/// Rows of one thread's only frame.
pub fn frame_rows(frame: &Frame) -> Vec<LatencyRow> {
    let timed = Hop::all().filter(|hop| !frame.hop(*hop).is_empty());
    timed.map(|hop| row("", hop, &frame.hop(hop))).collect()
}

/// The report of a session, against another one where there is one.
pub fn report(measured: &Measured, before: Option<&Measured>) -> LatencyReport {
    let single = measured.header.threads.len() == 1;
    let rows = measured.hops.iter().map(|((thread, hop), histogram)| {
        let name = &measured.header.threads[*thread];
        let now = row(if single { "" } else { name }, *hop, histogram);
        let before = before.and_then(|before| counterpart(before, name, *hop));
        judge(now, before)
    });
    LatencyReport {
        session: session_of(&measured.path),
        against: before.map(|before| session_of(&before.path)),
        header: measured.header.clone(),
        basis: measured.header.basis.meaning(),
        from: measured.from.to_string(),
        until: measured.until.to_string(),
        seconds: measured.until.since(measured.from).as_seconds(),
        cut_off: measured.cut_off,
        rows: rows.collect(),
        hours: measured.hours.iter().map(time_row).collect(),
        points: measured.points.iter().map(time_row).collect(),
        outliers: measured.outliers.iter().map(outlier_row).collect(),
    }
}

fn session_of(path: &Path) -> PathBuf {
    path.parent().filter(|_| path.ends_with(LATENCY_FILE)).unwrap_or(path).to_owned()
}

/// The same hop on the thread of the same name, or on the only thread that has it.
fn counterpart(before: &Measured, thread: &str, hop: Hop) -> Option<LatencyRow> {
    let of_hop = || before.hops.iter().filter(|((_, other), _)| *other == hop);
    let same = of_hop().find(|((index, _), _)| before.header.threads[*index] == thread);
    let only = || of_hop().next().filter(|_| of_hop().count() == 1);
    same.or_else(only).map(|((index, _), histogram)| row(&before.header.threads[*index], hop, histogram))
}

/// Samples under which a percentile of a tail says nothing: ten events must lie beyond it.
const fn enough(quantile_beyond: u64, count: u64) -> bool {
    count >= 10 * quantile_beyond
}

/// Worse than before is worse by a tenth and by 20 ns: less is the histogram's grain and the clock's.
const fn is_worse(now: u64, before: u64) -> bool {
    now > before + 20 && now * 10 > before * 11
}

/// Names and values that are judged: one event in how many lies beyond.
const fn judged(row: &LatencyRow) -> [(&'static str, u64, u64); 3] {
    [("p50", 2, row.p50), ("p99", 100, row.p99), ("p99.9", 1000, row.p999)]
}

fn judge(row: LatencyRow, before: Option<LatencyRow>) -> ReportRow {
    let budget = row.hop.budget();
    let mut over_budget = Vec::new();
    if let Some(budget) = budget {
        let limits = [("p50", row.p50, budget.p50), ("p99.9", row.p999, budget.p999)];
        over_budget.extend(limits.iter().filter(|(_, found, limit)| found > limit).map(|(name, ..)| *name));
    }
    let regressions = before.as_ref().map_or_else(Vec::new, |before| {
        let pairs = judged(&row).into_iter().zip(judged(before));
        pairs
            .filter(|((_, beyond, now), (_, _, then))| {
                enough(*beyond, row.count) && enough(*beyond, before.count) && is_worse(*now, *then)
            })
            .map(|((name, ..), _)| name)
            .collect()
    });
    ReportRow { row, budget, over_budget, before, regressions }
}

fn time_row(stretch: &Stretch) -> TimeRow {
    let at = |quantile: f64| stretch.total.value_at_quantile(quantile);
    TimeRow {
        from: stretch.from.to_string(),
        from_ns: stretch.from.0,
        count: stretch.total.len(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max: stretch.total.max(),
    }
}

fn outlier_row(line: &OutlierLine) -> OutlierRow {
    let counted = line.causes.describe();
    let cause = if counted.is_empty() { "unknown".to_owned() } else { counted };
    OutlierRow { at: Nanos(line.at).to_string(), cause, line: line.clone() }
}

/// The session before this one: among the folders beside it the one whose log began last before
/// this one's. Folders without a log, or with one that cannot be read, are passed over.
pub fn previous_session(session: &Path, from: Nanos) -> Option<PathBuf> {
    let folder = if session.is_dir() { session } else { session.parent()? };
    let folder = folder.canonicalize().ok()?;
    let beside = std::fs::read_dir(folder.parent()?).ok()?;
    let began = |path: &Path| {
        let file = path.join(LATENCY_FILE);
        read_header(&file).ok()?;
        start_of(&file)
    };
    let candidates = beside.flatten().map(|entry| entry.path()).filter(|path| *path != folder);
    let earlier = candidates.filter_map(|path| began(&path).filter(|began| *began < from).map(|began| (began, path)));
    earlier.max().map(|(_, path)| path)
}

/// The `#[StartTime: ...]` of a log.
fn start_of(file: &Path) -> Option<Nanos> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("#[StartTime: "))?;
    let seconds: f64 = line.split_whitespace().next()?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(Nanos((seconds * 1e9) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::latency::recorder::histogram;

    fn of(values: &[u64], times: u64) -> LatencyRow {
        let mut sum = histogram();
        for value in values {
            sum.record_n(*value, times).unwrap();
        }
        row("", Hop::Quant, &sum)
    }

    #[test]
    fn a_tenth_and_twenty_nanoseconds_worse_is_a_regression_and_less_is_not() {
        let before = of(&[1_000], 10_000);
        let verdict = |now: u64| judge(of(&[now], 10_000), Some(before.clone())).regressions;
        assert!(verdict(1_000).is_empty() && verdict(1_090).is_empty() && verdict(900).is_empty());
        assert_eq!(verdict(1_200), ["p50", "p99", "p99.9"]);
        assert!(
            judge(of(&[30], 10_000), Some(of(&[15], 10_000))).regressions.is_empty(),
            "15 ns are the clock's grain"
        );
    }

    #[test]
    fn a_tail_of_too_few_samples_is_not_judged() {
        let verdict = judge(of(&[2_000], 1_500), Some(of(&[1_000], 1_500)));
        assert_eq!(verdict.regressions, ["p50", "p99"], "1500 samples say nothing about one in a thousand");
    }

    #[test]
    fn over_budget_names_the_percentile() {
        assert_eq!(judge(of(&[30], 10), None).over_budget, ["p50"]);
        assert!(judge(of(&[20], 10), None).over_budget.is_empty());
    }
}

//! The report of latencies as a person reads it in a terminal.

use std::fmt::Write;

use super::analyse::{LatencyReport, LatencyRow, ReportRow, TimeRow};
use super::log::Basis;
use super::overhead::Overhead;
use crate::report::Style;

/// A span in the unit that suits it, three digits: `87 ns`, `1.24 us`, `13.5 ms`.
pub fn span(nanos: u64) -> String {
    let nanos = nanos as f64;
    let (value, unit) = match nanos {
        below if below < 1e3 => return format!("{nanos:.0} ns"),
        below if below < 1e6 => (nanos / 1e3, "us"),
        below if below < 1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// The table of a run that has just ended, each row beside its budget.
pub fn latency_text(rows: &[LatencyRow], basis: Basis) -> String {
    let mut out = format!("Latency, ns (totals: {})\n", basis.meaning());
    let name = |row: &LatencyRow| match row.thread.as_str() {
        "" => row.hop.name().to_owned(),
        thread => format!("{}@{thread}", row.hop.name()),
    };
    let width = rows.iter().map(|row| name(row).len()).max().unwrap_or(0).max(8);
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "  {:<width$} {:>9} {:>7} {:>7} {:>7} {:>8} {:>10}  budget p50/p99.9",
        "hop", "samples", "p50", "p90", "p99", "p99.9", "max"
    );
    for row in rows {
        let budget = row.hop.budget().map_or("-".to_owned(), |budget| format!("{}/{}", budget.p50, budget.p999));
        let name = name(row);
        let _ = writeln!(
            out,
            "  {name:<width$} {:>9} {:>7} {:>7} {:>7} {:>8} {:>10}  {budget}",
            row.count, row.p50, row.p90, row.p99, row.p999, row.max
        );
    }
    out
}

/// The whole report.
pub fn report_text(report: &LatencyReport, style: &Style) -> String {
    let mut out = String::new();
    let header = &report.header;
    let overhead = &header.overhead;
    let _ = writeln!(out, "{}", style.bold(&format!("Latency of {}", report.session.display())));
    let _ = writeln!(out, "  from      {}\n  to        {} ({:.1} s)", report.from, report.until, report.seconds);
    let _ = writeln!(out, "  layout    {}", header.layout);
    let _ = writeln!(out, "  measured  {}", report.basis);
    let _ = writeln!(
        out,
        "  clock     {}, {:.3} GHz; hops timed on one event in {}",
        header.clock,
        header.frequency / 1e9,
        header.every
    );
    let verdict = if overhead.event_ns <= Overhead::BUDGET_NS { "within" } else { "OVER" };
    let _ = writeln!(
        out,
        "  overhead  {:.1} ns an event ({verdict} the {:.0} ns allowed), {:.1} ns more a timed hop",
        overhead.event_ns,
        Overhead::BUDGET_NS,
        overhead.hop_ns
    );
    if let Some(against) = &report.against {
        let _ = writeln!(out, "  against   {}", against.display());
    }
    if report.cut_off {
        let _ = writeln!(out, "  note      the log ends in the middle of a line: the process was killed");
    }
    hop_table(&mut out, report, style);
    time_table(&mut out, "By hour, UTC", &report.hours, 24, style);
    time_table(&mut out, "Over time", &thinned(&report.points, 12), 12, style);
    outlier_table(&mut out, report, style);
    out
}

fn hop_table(out: &mut String, report: &LatencyReport, style: &Style) {
    let _ = writeln!(
        out,
        "\n{}",
        style.bold(&format!(
            "  {:<15} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  verdict",
            "hop", "samples", "p50", "p90", "p99", "p99.9", "p99.99", "max"
        ))
    );
    for row in &report.rows {
        let figures = &row.row;
        let name = if figures.thread.is_empty() {
            figures.hop.name().to_owned()
        } else {
            format!("{}@{}", figures.hop.name(), figures.thread)
        };
        let [p50, p90, p99, p999, p9999, max] =
            [figures.p50, figures.p90, figures.p99, figures.p999, figures.p9999, figures.max].map(span);
        let _ = writeln!(
            out,
            "  {name:<15} {:>10} {p50:>8} {p90:>8} {p99:>8} {p999:>8} {p9999:>8} {max:>8}  {}",
            figures.count,
            verdict(row, style)
        );
    }
}

/// What a row comes to, in words.
fn verdict(row: &ReportRow, style: &Style) -> String {
    let mut parts = Vec::new();
    if let Some(budget) = row.budget {
        let allowed = format!("{} / {}", span(budget.p50), span(budget.p999));
        parts.push(if row.over_budget.is_empty() {
            style.tone(1, &format!("within {allowed}"))
        } else {
            style.tone(-1, &format!("{} over {allowed}", row.over_budget.join(", ")))
        });
    }
    if let Some(before) = &row.before {
        for name in &row.regressions {
            let then = match *name {
                "p50" => before.p50,
                "p99" => before.p99,
                _ => before.p999,
            };
            parts.push(style.tone(-1, &format!("REGRESSION {name} was {}", span(then))));
        }
    }
    parts.join("; ")
}

fn time_table(out: &mut String, title: &str, rows: &[TimeRow], most: usize, style: &Style) {
    let heading = format!("  {:<20} {:>10} {:>8} {:>8} {:>8} {:>8}", title, "samples", "p50", "p99", "p99.9", "max");
    let _ = writeln!(out, "\n{}", style.bold(&heading));
    for row in rows.iter().take(most) {
        let [p50, p99, p999, max] = [row.p50, row.p99, row.p999, row.max].map(span);
        let from = row.from.get(..19).unwrap_or(&row.from);
        let _ = writeln!(out, "  {from:<20} {:>10} {p50:>8} {p99:>8} {p999:>8} {max:>8}", row.count);
    }
    if rows.len() > most {
        let _ = writeln!(out, "  ... {} more with --json", rows.len() - most);
    }
}

/// Every n-th row so that at most `most` are left: the figures of the rows kept are their own.
fn thinned(rows: &[TimeRow], most: usize) -> Vec<TimeRow> {
    let step = rows.len().div_ceil(most).max(1);
    rows.iter().step_by(step).cloned().collect()
}

fn outlier_table(out: &mut String, report: &LatencyReport, style: &Style) {
    if report.outliers.is_empty() {
        let _ = writeln!(out, "\n  no event took longer than the budget's p99.9");
        return;
    }
    let heading = format!("  {:<27} {:>8} {:<16} cause", "Slowest events", "total", "slowest hop");
    let _ = writeln!(out, "\n{}", style.bold(&heading));
    for outlier in report.outliers.iter().take(10) {
        let line = &outlier.line;
        let hop = match (&line.hop, line.hop_ns) {
            (Some(hop), Some(nanos)) => format!("{hop} {}", span(nanos)),
            _ => "not timed".to_owned(),
        };
        let at = outlier.at.get(..26).unwrap_or(&outlier.at);
        let window = span(line.window_ns);
        let _ =
            writeln!(out, "  {at:<27} {:>8} {hop:<16} {} (in the {window} before)", span(line.total_ns), outlier.cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_three_digits_and_a_unit() {
        let cases = [(7, "7 ns"), (999, "999 ns"), (1_240, "1.24 us"), (13_500_000, "13.5 ms"), (250_000, "250 us")];
        for (nanos, text) in cases {
            assert_eq!(span(nanos), text);
        }
        assert_eq!(span(60_000_000_000), "60.0 s");
    }
}

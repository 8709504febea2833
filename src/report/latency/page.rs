//! The report as one self-contained HTML page: no script, nothing loaded from anywhere, light or dark
//! as the reader's system is.

use std::fmt::Write;

use super::analyse::{LatencyReport, LatencyRow, ReportRow};
use super::hop::Hop;
use super::overhead::Overhead;
use super::plot::{Curve, percentiles, timeline};
use super::read::Measured;
use super::text::span;

const STYLE: &str = include_str!("page.css");

/// The page of a report; `measured` and `before` are what the report was made of.
pub fn page(report: &LatencyReport, measured: &Measured, before: Option<&Measured>) -> String {
    let name =
        report.session.file_name().map_or_else(|| report.session.to_string_lossy(), |name| name.to_string_lossy());
    let name = escape(&name);
    let mut out = String::with_capacity(64 * 1024);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\
         <title>Latency of {name}</title><style>{STYLE}</style></head><body><main>"
    );
    head(&mut out, report, &name);
    tiles(&mut out, report);
    let _ = write!(
        out,
        "<section><h2>Percentiles</h2><p class='note'>How long a hop took, against how rare that is. \
         Each step to the right is ten times rarer.</p><div class='plot'>{}</div></section>",
        percentiles(&curves(measured, before))
    );
    let _ = write!(
        out,
        "<section><h2>End to end over time</h2><p class='note'>Band: median to 99 %. Dots: the slowest \
         events; filled where the system counted something that explains them.</p><div class='plot'>{}</div></section>",
        timeline(&report.points, &report.outliers)
    );
    hops(&mut out, report);
    hours(&mut out, report);
    outliers(&mut out, report);
    foot(&mut out, report);
    out.push_str("</main></body></html>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

fn head(out: &mut String, report: &LatencyReport, name: &str) {
    let from = report.from.get(..19).unwrap_or(&report.from).replace('T', " ");
    let layout = escape(&report.header.layout);
    let _ =
        write!(out, "<h1>Latency of {name}</h1><p class='sub'>{from} UTC, {} · {layout}</p>", length(report.seconds));
    let against = report.against.as_ref().and_then(|path| path.file_name());
    if let Some(against) = against {
        let _ = write!(out, "<p class='sub'>compared with {}</p>", escape(&against.to_string_lossy()));
    }
    if report.cut_off {
        out.push_str("<p class='sub bad'>The log ends in the middle of a line: the process was killed.</p>");
    }
}

fn length(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{seconds:.1} s"),
        middling if middling < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn tiles(out: &mut String, report: &LatencyReport) {
    let Some(total) = report.rows.iter().find(|row| row.row.hop == Hop::Total) else { return };
    let budget = total.budget;
    let figures = [
        ("median", total.row.p50, budget.map(|budget| budget.p50)),
        ("99 %", total.row.p99, None),
        ("99.9 %", total.row.p999, budget.map(|budget| budget.p999)),
        ("largest", total.row.max, None),
    ];
    out.push_str("<div class='tiles'>");
    for (what, found, limit) in figures {
        let verdict = match limit {
            Some(limit) if found > limit => format!(" · <span class='over'>over {}</span>", span(limit)),
            Some(limit) => format!(" · <span class='ok'>within {}</span>", span(limit)),
            None => String::new(),
        };
        let _ = write!(out, "<div class='tile'><b>{}</b><span>{what}{verdict}</span></div>", span(found));
    }
    out.push_str("</div>");
}

fn curves<'a>(measured: &'a Measured, before: Option<&'a Measured>) -> Vec<Curve<'a>> {
    let classes: [&'static str; Hop::COUNT] = [
        "h-unread",
        "h-decode",
        "h-journal",
        "h-feed",
        "h-quant",
        "h-oracle",
        "h-oms",
        "h-ring",
        "h-send",
        "h-write",
        "h-snapshot",
        "h-order",
        "h-total",
    ];
    // Of a hop on several threads the busiest is drawn; the table has all.
    let busiest = |measured: &'a Measured, hop: Hop| {
        let all = measured.hops.iter().filter(move |((_, other), _)| *other == hop);
        all.max_by_key(|(_, histogram)| histogram.len()).map(|(_, histogram)| histogram)
    };
    let now = Hop::all().filter_map(|hop| {
        let histogram = busiest(measured, hop)?;
        Some(Curve { label: hop.name(), class: classes[hop as usize], histogram })
    });
    let then = before.and_then(|before| busiest(before, Hop::Total));
    let then = then.map(|histogram| Curve { label: "total before", class: "h-before", histogram });
    then.into_iter().chain(now).collect()
}

fn hops(out: &mut String, report: &LatencyReport) {
    let before = report.against.is_some();
    out.push_str("<section><h2>Hops</h2><div class='scroll'><table><tr><th>hop</th><th>samples</th>");
    for name in ["p50", "p90", "p99", "p99.9", "p99.99", "max", "budget"] {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str(if before { "<th>p50 to before</th></tr>" } else { "</tr>" });
    for row in &report.rows {
        hop_row(out, row, before);
    }
    out.push_str("</table></div></section>");
}

fn hop_row(out: &mut String, row: &ReportRow, before: bool) {
    let figures = &row.row;
    let hop = figures.hop;
    let class = if hop == Hop::Total { " class='whole'" } else { "" };
    let thread = if figures.thread.is_empty() { String::new() } else { format!("@{}", escape(&figures.thread)) };
    let _ = write!(
        out,
        "<tr{class}><td class='h-{0}'><i></i>{0}{thread}<small>{1}</small></td><td>{2}</td>",
        hop.name(),
        hop.meaning(),
        thousands(figures.count)
    );
    let cells = [("p50", figures.p50), ("", figures.p90), ("p99", figures.p99), ("p99.9", figures.p999)];
    for (name, value) in cells.into_iter().chain([("", figures.p9999), ("", figures.max)]) {
        let judged = row.budget.is_some() && (name == "p50" || name == "p99.9");
        let class = match judged {
            true if row.over_budget.contains(&name) => " class='hot'",
            true => " class='cool'",
            false => "",
        };
        let _ = write!(out, "<td{class}>{}</td>", span(value));
    }
    let budget = row.budget.map_or("–".to_owned(), |budget| format!("{} / {}", span(budget.p50), span(budget.p999)));
    let _ = write!(out, "<td>{budget}</td>");
    if before {
        let _ = write!(
            out,
            "<td class='change'>{}</td>",
            row.before.as_ref().map_or(String::new(), |before| change(row, before))
        );
    }
    out.push_str("</tr>");
}

/// How the median and the regressions compare, in a word or two.
fn change(row: &ReportRow, before: &LatencyRow) -> String {
    if row.regressions.is_empty() {
        let percent = 100.0 * (row.row.p50 as f64 / before.p50.max(1) as f64 - 1.0);
        return format!("<span class='pill good'>{percent:+.0} %</span>");
    }
    let pill = |name: &&str| format!("<span class='pill bad'>{name}</span>");
    format!("<span class='bad'>worse</span> {}", row.regressions.iter().map(pill).collect::<Vec<_>>().join(" "))
}

fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn hours(out: &mut String, report: &LatencyReport) {
    if report.hours.len() < 2 {
        return;
    }
    out.push_str("<section><h2>By hour, UTC</h2><div class='scroll'><table><tr><th>hour</th><th>samples</th><th>p50</th><th>p99</th><th>p99.9</th><th>max</th></tr>");
    for hour in &report.hours {
        let from = hour.from.get(..13).unwrap_or(&hour.from).replace('T', " ");
        let [p50, p99, p999, max] = [hour.p50, hour.p99, hour.p999, hour.max].map(span);
        let _ = write!(
            out,
            "<tr><td>{from}:00</td><td>{}</td><td>{p50}</td><td>{p99}</td><td>{p999}</td><td>{max}</td></tr>",
            thousands(hour.count)
        );
    }
    out.push_str("</table></div></section>");
}

fn outliers(out: &mut String, report: &LatencyReport) {
    if report.outliers.is_empty() {
        return;
    }
    out.push_str(
        "<section><h2>Slowest events</h2><div class='scroll'><table><tr><th>when, UTC</th><th>took</th><th>slowest hop</th>\
         <th class='text'>counted since the sample before</th><th>window</th></tr>",
    );
    for outlier in report.outliers.iter().take(12) {
        let line = &outlier.line;
        let hop = match (&line.hop, line.hop_ns) {
            (Some(hop), Some(nanos)) => format!("{} {}", escape(hop), span(nanos)),
            _ => "not timed".to_owned(),
        };
        let at = outlier.at.get(11..26).unwrap_or(&outlier.at);
        let _ = write!(
            out,
            "<tr><td>{at}</td><td>{}</td><td>{hop}</td><td class='text'>{}</td><td>{}</td></tr>",
            span(line.total_ns),
            escape(&outlier.cause),
            span(line.window_ns)
        );
    }
    out.push_str("</table></div></section>");
}

fn foot(out: &mut String, report: &LatencyReport) {
    let header = &report.header;
    let overhead = &header.overhead;
    let _ = write!(
        out,
        "<footer>Totals: {}. Clock: {} at {:.3} GHz; hops are timed on one event in {}. Measuring costs {:.1} ns an \
         event ({} ns allowed) and {:.1} ns more a timed hop, of which the stamps' own cost is subtracted. Histograms \
         keep two digits: a figure is right to 1 %. pawl {}.</footer>",
        escape(report.basis),
        escape(&header.clock),
        header.frequency / 1e9,
        header.every,
        overhead.event_ns,
        Overhead::BUDGET_NS,
        overhead.hop_ns,
        escape(&header.pawl)
    );
}

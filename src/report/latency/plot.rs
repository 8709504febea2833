//! The two plots of the page as SVG: percentiles against how rare they are, and the time-line.
//! Colours are names of CSS classes, so that one drawing serves light and dark.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::analyse::{OutlierRow, TimeRow};
use super::text::span;

const WIDTH: f64 = 1040.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;

/// A curve of the percentile plot.
pub(super) struct Curve<'a> {
    /// Text at its end.
    pub(super) label: &'a str,
    /// CSS class that gives its colour.
    pub(super) class: &'a str,
    /// What it shows.
    pub(super) histogram: &'a Histogram<u64>,
}

/// A logarithmic scale of nanoseconds over the height of a plot.
struct Scale {
    /// Exponents of ten.
    low: f64,
    high: f64,
    height: f64,
}

impl Scale {
    fn new(smallest: u64, largest: u64, height: f64) -> Self {
        let low = (smallest.max(1) as f64).log10().floor();
        let high = (largest.max(10) as f64).log10().ceil().max(low + 1.0);
        Self { low, high, height }
    }

    fn y(&self, nanos: u64) -> f64 {
        let exponent = (nanos.max(1) as f64).log10().clamp(self.low, self.high);
        TOP + (self.high - exponent) / (self.high - self.low) * (self.height - TOP - BOTTOM)
    }

    /// Lines and labels at each power of ten, fainter lines between.
    fn grid(&self, out: &mut String) {
        let right = WIDTH - RIGHT;
        for exponent in self.low as i32..=self.high as i32 {
            let value = 10u64.pow(exponent.clamp(0, 18) as u32);
            let y = self.y(value);
            // Writing to a string cannot fail.
            let _ = write!(out, "<line class='grid' x1='{LEFT}' x2='{right}' y1='{y:.1}' y2='{y:.1}'/>");
            let label = span(value).replace(".00", "").replace(".0", "");
            let _ = write!(
                out,
                "<text class='tick' x='{}' y='{:.1}' text-anchor='end'>{label}</text>",
                LEFT - 8.0,
                y + 4.0
            );
            if f64::from(exponent) < self.high {
                for part in 2..10 {
                    let y = self.y(value.saturating_mul(part));
                    let _ = write!(out, "<line class='faint' x1='{LEFT}' x2='{right}' y1='{y:.1}' y2='{y:.1}'/>");
                }
            }
        }
    }
}

fn open(height: f64, title: &str) -> String {
    format!("<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{title}' preserveAspectRatio='xMidYMid meet'>")
}

/// Percentiles: how long (upwards, logarithmic) against how rare (to the right, each nine as far as
/// the one before).
pub(super) fn percentiles(curves: &[Curve<'_>]) -> String {
    const HEIGHT: f64 = 420.0;
    let smallest = curves.iter().map(|curve| curve.histogram.min()).min().unwrap_or(1);
    let largest = curves.iter().map(|curve| curve.histogram.max()).max().unwrap_or(10);
    let scale = Scale::new(smallest, largest, HEIGHT);
    let samples = curves.iter().map(|curve| curve.histogram.len()).max().unwrap_or(1).max(10);
    let nines = (samples as f64).log10().min(7.0);
    let x = |quantile: f64| {
        let rare = -(1.0 - quantile).max(1e-9).log10();
        LEFT + (rare / nines).min(1.0) * (WIDTH - LEFT - RIGHT)
    };
    let mut out = open(HEIGHT, "Percentiles of each hop");
    scale.grid(&mut out);
    let ticks = [(0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];
    let rarer = [(0.99999, "99.999 %"), (0.999_999, "99.9999 %")];
    for (quantile, label) in ticks.into_iter().chain(rarer) {
        if -(1.0f64 - quantile).log10() > nines {
            break;
        }
        let (at, foot) = (x(quantile), HEIGHT - BOTTOM);
        let _ = write!(out, "<line class='grid' x1='{at:.1}' x2='{at:.1}' y1='{TOP}' y2='{foot}'/>");
        let _ = write!(out, "<text class='tick' x='{at:.1}' y='{}' text-anchor='middle'>{label}</text>", foot + 20.0);
    }
    let mut ends = Vec::new();
    for curve in curves.iter().filter(|curve| !curve.histogram.is_empty()) {
        let mut path = String::new();
        let mut last = (LEFT, scale.y(curve.histogram.min()));
        let _ = write!(path, "M{:.1} {:.1}", last.0, last.1);
        for step in curve.histogram.iter_quantiles(8) {
            // The last step is the largest value: drawn where one event in all of them lies.
            let quantile = step.quantile_iterated_to().min(1.0 - 1.0 / curve.histogram.len() as f64);
            last = (x(quantile).max(last.0), scale.y(step.value_iterated_to()));
            let _ = write!(path, "L{:.1} {:.1}", last.0, last.1);
        }
        let count = curve.histogram.len();
        let title = format!("{}: {count} samples, largest {}", curve.label, span(curve.histogram.max()));
        let _ = write!(out, "<path class='curve {}' d='{path}'><title>{title}</title></path>", curve.class);
        let _ = write!(out, "<circle class='end {}' cx='{:.1}' cy='{:.1}' r='3'/>", curve.class, last.0, last.1);
        ends.push((curve, last));
    }
    labels(&mut out, ends, HEIGHT);
    out.push_str("</svg>");
    out
}

/// The names of the curves, right of the plot, moved apart so that none covers another, each with a
/// thin line to where its curve ends.
fn labels(out: &mut String, mut ends: Vec<(&Curve<'_>, (f64, f64))>, height: f64) {
    const APART: f64 = 17.0;
    ends.sort_by(|(_, (_, left)), (_, (_, right))| left.total_cmp(right));
    let mut places: Vec<f64> = ends.iter().map(|(_, (_, y))| *y).collect();
    for index in 1..places.len() {
        places[index] = places[index].max(places[index - 1] + APART);
    }
    // Pushed down too far: back up from the bottom.
    let mut floor = height - BOTTOM;
    for place in places.iter_mut().rev() {
        *place = place.min(floor);
        floor = *place - APART;
    }
    let right = WIDTH - RIGHT;
    for ((curve, (x, y)), place) in ends.into_iter().zip(places) {
        let class = curve.class;
        let _ = write!(
            out,
            "<path class='lead {class}' d='M{:.1} {y:.1}L{:.1} {y:.1}L{:.1} {place:.1}'/>",
            x + 5.0,
            right.max(x + 5.0),
            right + 14.0
        );
        let _ = write!(
            out,
            "<text class='name {class}' x='{:.1}' y='{:.1}'>{}</text>",
            right + 18.0,
            place + 4.0,
            curve.label
        );
    }
}

/// A figure of a stretch of time.
type Pick = fn(&TimeRow) -> u64;

/// Over time: median, 99 %, 99.9 % and the largest of each stretch, and the outliers as dots.
pub(super) fn timeline(points: &[TimeRow], outliers: &[OutlierRow]) -> String {
    const HEIGHT: f64 = 320.0;
    let points: Vec<&TimeRow> = points.iter().filter(|point| point.count > 0).collect();
    let mut out = open(HEIGHT, "End to end over time");
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        out.push_str("</svg>");
        return out;
    };
    let smallest = points.iter().map(|point| point.p50).min().unwrap_or(1);
    let largest = points.iter().map(|point| point.max).max().unwrap_or(10);
    let scale = Scale::new(smallest, largest, HEIGHT);
    scale.grid(&mut out);
    let length = last.from_ns.saturating_sub(first.from_ns).max(1) as f64;
    let x = |at: u64| {
        let share = at.saturating_sub(first.from_ns) as f64 / length;
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    };
    time_ticks(&mut out, first, length, HEIGHT, &x);
    let series: [(&str, &str, Pick); 4] = [
        ("max", "t-max", |point| point.max),
        ("p99.9", "t-p999", |point| point.p999),
        ("p99", "t-p99", |point| point.p99),
        ("p50", "t-p50", |point| point.p50),
    ];
    let line = |value: Pick| {
        let path = points.iter().map(|point| format!("{:.1} {:.1}", x(point.from_ns), scale.y(value(point))));
        path.collect::<Vec<_>>().join("L")
    };
    let back = points.iter().rev().map(|point| format!("L{:.1} {:.1}", x(point.from_ns), scale.y(point.p50)));
    let band: String = back.collect();
    let _ = write!(out, "<path class='band' d='M{}{band}Z'/>", line(|point| point.p99));
    let mut places: Vec<(f64, &str, &str)> = Vec::new();
    for (name, class, value) in series {
        let _ = write!(out, "<path class='curve {class}' d='M{}'/>", line(value));
        if points.len() < 60 {
            for point in &points {
                let title = format!("{} {name} {}", clock(&point.from), span(value(point)));
                let (at, y) = (x(point.from_ns), scale.y(value(point)));
                let _ = write!(
                    out,
                    "<circle class='end {class}' cx='{at:.1}' cy='{y:.1}' r='2.5'><title>{title}</title></circle>"
                );
            }
        }
        places.push((scale.y(value(last)), name, class));
    }
    places.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut lowest = 0.0f64;
    for (y, name, class) in places {
        let place = y.max(lowest);
        lowest = place + 17.0;
        let _ = write!(
            out,
            "<text class='name {class}' x='{:.1}' y='{:.1}'>{name}</text>",
            WIDTH - RIGHT + 12.0,
            place + 4.0
        );
    }
    for outlier in outliers {
        let (at, y) = (x(outlier.line.at), scale.y(outlier.line.total_ns));
        let class = if outlier.cause == "unknown" { "dot" } else { "dot known" };
        let title = format!("{} {}: {}", clock(&outlier.at), span(outlier.line.total_ns), outlier.cause);
        let _ = write!(out, "<circle class='{class}' cx='{at:.1}' cy='{y:.1}' r='4'><title>{title}</title></circle>");
    }
    out.push_str("</svg>");
    out
}

/// `hh:mm:ss.mmm` of a printed instant.
fn clock(instant: &str) -> &str {
    instant.get(11..23).unwrap_or(instant)
}

fn time_ticks(out: &mut String, first: &TimeRow, length: f64, height: f64, x: &dyn Fn(u64) -> f64) {
    // At most eight marks, at round times of the clock.
    const STEPS: [f64; 16] =
        [1e6, 1e7, 1e8, 2.5e8, 5e8, 1e9, 2e9, 5e9, 15e9, 60e9, 300e9, 900e9, 3600e9, 10_800e9, 43_200e9, 86_400e9];
    let step = STEPS.into_iter().find(|step| length / step <= 8.0).unwrap_or(length / 8.0) as u64;
    let mut at = first.from_ns.div_ceil(step) * step;
    while (at - first.from_ns) as f64 <= length {
        let text = crate::core::Nanos(at).to_string();
        let label = match step {
            step if step >= 60_000_000_000 => text.get(11..16),
            step if step >= 1_000_000_000 => text.get(11..19),
            _ => text.get(11..23),
        };
        let (place, foot) = (x(at), height - BOTTOM);
        let _ = write!(out, "<line class='grid' x1='{place:.1}' x2='{place:.1}' y1='{TOP}' y2='{foot}'/>");
        let label = label.unwrap_or_default();
        let _ =
            write!(out, "<text class='tick' x='{place:.1}' y='{}' text-anchor='middle'>{label}</text>", foot + 20.0);
        at += step;
    }
}

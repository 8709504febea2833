//! Two pictures as SVG: how well probabilities are calibrated, and what the model looks at. Ink on
//! white, readable in a terminal's browser and on GitHub; no script, no font beyond the reader's own.

use std::fmt::Write;

use crate::metrics::Scores;

const INK: &str = "#1f2933";
const FAINT: &str = "#c3cdd6";
const BAR: &str = "#2f6f9f";

fn open(width: u32, height: u32, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"{INK}\">\n<title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n"
    )
}

/// Claimed against realised probability; a circle's area grows with the rows behind it.
pub fn reliability(title: &str, scores: &Scores) -> String {
    const SIZE: f64 = 300.0;
    const LEFT: f64 = 56.0;
    const TOP: f64 = 40.0;
    let x = |p: f64| LEFT + p * SIZE;
    let y = |p: f64| TOP + (1.0 - p) * SIZE;
    let mut svg = open(400, 400, title);
    // Writing to a String cannot fail.
    for tick in 0..=5 {
        let p = f64::from(tick) / 5.0;
        let _ = writeln!(
            svg,
            "<path d=\"M{x0} {y}H{x1}M{x} {y0}V{y1}\" stroke=\"{FAINT}\" fill=\"none\"/>\
             <text x=\"{tx}\" y=\"{ty}\" text-anchor=\"end\">{p:.1}</text><text x=\"{x}\" y=\"{by}\" text-anchor=\"middle\">{p:.1}</text>",
            x0 = x(0.0),
            x1 = x(1.0),
            y = y(p),
            x = x(p),
            y0 = y(0.0),
            y1 = y(1.0),
            tx = x(0.0) - 6.0,
            ty = y(p) + 4.0,
            by = y(0.0) + 16.0,
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{} {}L{} {}\" stroke=\"{INK}\" stroke-dasharray=\"4 4\" fill=\"none\"/>",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0)
    );
    let most = scores.reliability.iter().map(|bin| bin.rows).max().unwrap_or(1) as f64;
    let points: Vec<String> =
        scores.reliability.iter().map(|bin| format!("{:.1} {:.1}", x(bin.claimed), y(bin.realised))).collect();
    let _ = writeln!(svg, "<path d=\"M{}\" stroke=\"{BAR}\" stroke-width=\"1.5\" fill=\"none\"/>", points.join("L"));
    for bin in &scores.reliability {
        let radius = 3.0 + 9.0 * (bin.rows as f64 / most).sqrt();
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\" fill=\"{BAR}\" fill-opacity=\"0.55\"><title>{} rows</title></circle>",
            x(bin.claimed),
            y(bin.realised),
            bin.rows
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">probability claimed</text>\n\
         <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">share of trades that won</text>\n</svg>\n",
        x(0.5),
        y(0.0) + 38.0,
        y(0.5)
    );
    svg
}

/// A bar a feature, longest first.
pub fn importance(title: &str, shares: &[(&str, f64)]) -> String {
    let mut sorted = shares.to_vec();
    sorted.sort_by(|left, right| right.1.total_cmp(&left.1));
    let height = 64 + 26 * sorted.len() as u32;
    let mut svg = open(520, height, title);
    let most = sorted.first().map_or(1.0, |(_, share)| share.max(1e-9));
    for (at, (name, share)) in sorted.iter().enumerate() {
        let top = 40 + 26 * at;
        let width = 300.0 * share / most;
        let _ = writeln!(
            svg,
            "<text x=\"118\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"126\" y=\"{top}\" width=\"{width:.1}\" height=\"16\" fill=\"{BAR}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{:.1} %</text>",
            top + 13,
            134.0 + width,
            top + 13,
            share * 100.0
        );
    }
    let _ = write!(svg, "<text x=\"126\" y=\"{}\" fill=\"{INK}\">share of total gain</text>\n</svg>\n", height - 10);
    svg
}

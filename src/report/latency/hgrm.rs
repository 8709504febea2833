//! The percentile distribution of one histogram as text, in the form that the HdrHistogram plotters
//! read (`.hgrm`); byte for byte what the Java reference prints for the same counts.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Steps for each halving of the distance to 100 %, as the reference's own tools use.
const STEPS: u32 = 5;

/// Values, percentiles and sums of counts at the reference's steps. The crate's own iterator rounds
/// otherwise where a step falls on a count exactly, so the reference's arithmetic is done here.
fn steps(histogram: &Histogram<u64>) -> Vec<(u64, f64, u64)> {
    let count = histogram.len();
    let (mut rows, mut level, mut total) = (Vec::new(), 0.0f64, 0);
    for recorded in histogram.iter_recorded() {
        let before = total;
        total += recorded.count_since_last_iteration();
        let value = histogram.highest_equivalent(recorded.value_iterated_to());
        while 100.0 * total as f64 / count as f64 >= level && (before < count && level < 100.0) {
            rows.push((value, level, total));
            let halvings = ((100.0 / (100.0 - level)).ln() / std::f64::consts::LN_2) as i32 + 1;
            level += 100.0 / (f64::from(STEPS) * 2f64.powi(halvings));
            if total == count {
                break;
            }
        }
    }
    if count > 0 {
        rows.push((histogram.highest_equivalent(histogram.max()), 100.0, count));
    }
    rows
}

/// The distribution, values divided by `unit` (1 for nanoseconds, 1000 for microseconds).
pub fn hgrm(histogram: &Histogram<u64>, unit: f64) -> String {
    let mut out = String::new();
    // As many decimals as the histogram keeps digits: what the reference does.
    let digits = usize::from(histogram.sigfig());
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    for (value, percent, total) in steps(histogram) {
        // The reference rounds halves up, this language to even: a nudge makes them agree.
        let (value, quantile) = (value as f64 / unit, (percent / 100.0).next_up());
        if percent < 100.0 {
            let distance = 1.0 / (1.0 - percent / 100.0);
            let _ = writeln!(out, "{value:12.digits$} {quantile:2.12} {total:10} {distance:14.2}");
        } else {
            let _ = writeln!(out, "{value:12.digits$} {quantile:2.12} {total:10}");
        }
    }
    let (mean, deviation) = (histogram.mean() / unit, histogram.stdev() / unit);
    let _ = writeln!(out, "#[Mean    = {mean:12.digits$}, StdDeviation   = {deviation:12.digits$}]");
    let _ = writeln!(
        out,
        "#[Max     = {:12.digits$}, Total count    = {:12}]",
        histogram.max() as f64 / unit,
        histogram.len()
    );
    let sub_buckets = 2 * 10u64.pow(u32::from(histogram.sigfig()));
    let sub_buckets = sub_buckets.next_power_of_two();
    // Buckets double the range that the sub-buckets cover until it holds the largest value.
    let buckets = (0..64).find(|shift| sub_buckets.checked_shl(*shift).is_none_or(|top| top > histogram.high()));
    let buckets = buckets.unwrap_or(64) + 1;
    let _ = writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
    out
}

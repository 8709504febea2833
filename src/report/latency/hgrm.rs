//! The percentile distribution of one histogram as text, in the form that the HdrHistogram plotters
//! read (`.hgrm`); byte for byte what the Java reference prints for the same counts.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Steps for each halving of the distance to 100 %, as the reference's own tools use.
const STEPS: u32 = 5;

/// The distribution, values divided by `unit` (1 for nanoseconds, 1000 for microseconds).
pub fn hgrm(histogram: &Histogram<u64>, unit: f64) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS) {
        let (value, quantile) = (step.value_iterated_to() as f64 / unit, step.quantile_iterated_to());
        // The iterator tells what was added at this step; the format wants the sum so far.
        total += step.count_since_last_iteration();
        if quantile < 1.0 {
            let distance = 1.0 / (1.0 - quantile);
            let _ = writeln!(out, "{value:12.3} {quantile:2.12} {total:10} {distance:14.2}");
        } else {
            let _ = writeln!(out, "{value:12.3} {quantile:2.12} {total:10}");
        }
    }
    let (mean, deviation) = (histogram.mean() / unit, histogram.stdev() / unit);
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ =
        writeln!(out, "#[Max     = {:12.3}, Total count    = {:12}]", histogram.max() as f64 / unit, histogram.len());
    let sub_buckets = 2 * 10u64.pow(u32::from(histogram.sigfig()));
    let sub_buckets = sub_buckets.next_power_of_two();
    // Buckets double the range that the sub-buckets cover until it holds the largest value.
    let buckets = (0..64).find(|shift| sub_buckets.checked_shl(*shift).is_none_or(|top| top > histogram.high()));
    let buckets = buckets.unwrap_or(64) + 1;
    let _ = writeln!(out, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
    out
}

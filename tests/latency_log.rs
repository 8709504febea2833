//! A session's latency log: what was recorded is what is read back, by us and by the reference
//! implementation in Java; a killed writer costs one line, other damage is told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pawl::engine::clock::{Stamp, StampClock};
use pawl::report::latency::{
    self, Basis, Hop, LATENCY_FILE, LatencyError, LatencyLog, LogOptions, Measured, previous_session,
};

/// A session in which each event takes as many nanoseconds as `spans` says, on two threads.
fn session(folder: &Path, spans: &[u64]) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(LATENCY_FILE);
    let options = LogOptions {
        layout: "split, 2 threads".into(),
        basis: Basis::Arrival,
        every: 1,
        interval: Duration::from_millis(4),
    };
    let clock = StampClock::monotonic();
    let (log, mut recorders) = LatencyLog::start(&path, &options, &["feed", "oms"], clock).unwrap();
    for chunk in spans.chunks(1000) {
        for nanos in chunk {
            recorders[0].record(Hop::Feed, nanos / 2);
            recorders[1].record(Hop::Ring, nanos / 4);
            recorders[1].record(Hop::Total, *nanos);
        }
        std::thread::sleep(Duration::from_millis(5));
        recorders.iter_mut().for_each(latency::Recorder::idle);
    }
    // One event that is truly slow, so that an outlier is written with its counters.
    let arrival = Stamp(clock.now().0 - 30_000_000);
    recorders[1].begin(arrival);
    recorders[1].end(true);
    let totals = log.finish(recorders).unwrap();
    assert_eq!(totals[0].1[&Hop::Feed].len(), spans.len() as u64);
    path
}

fn spans() -> Vec<u64> {
    (1..=5000u64).map(|step| 100 + step * step % 9_973).collect()
}

fn sum(measured: &Measured, thread: usize, hop: Hop) -> &hdrhistogram::Histogram<u64> {
    &measured.hops[&(thread, hop)]
}

#[test]
fn what_was_recorded_is_what_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let spans = spans();
    let measured = latency::read(&session(folder.path(), &spans)).unwrap();
    let mut sorted = spans.clone();
    sorted.sort_unstable();
    let total = sum(&measured, 1, Hop::Total);
    assert_eq!(total.len(), spans.len() as u64 + 1);
    // The oracle is the sorted list; a histogram of two digits is right to 1 %.
    for quantile in [0.5, 0.9, 0.99, 0.999] {
        let exact = sorted[((quantile * total.len() as f64).ceil() as usize).min(sorted.len()) - 1] as f64;
        let found = total.value_at_quantile(quantile) as f64;
        assert!((found / exact - 1.0).abs() < 0.011, "p{quantile}: {found} instead of {exact}");
    }
    assert_eq!((sum(&measured, 0, Hop::Feed).len(), sum(&measured, 1, Hop::Order).len()), (5000, 1));
    let over_time: u64 = measured.points.iter().map(|point| point.total.len()).sum();
    let by_hour: u64 = measured.hours.iter().map(|hour| hour.total.len()).sum();
    assert_eq!((over_time, by_hour), (total.len(), total.len()));
    assert!(measured.points.len() > 1, "several intervals give several points");
    assert_eq!(measured.outliers.len(), 1);
    assert!(measured.outliers[0].total_ns >= 30_000_000 && !measured.cut_off);
}

#[test]
fn a_killed_writer_costs_the_line_under_way_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = session(folder.path(), &spans());
    let whole = std::fs::read(&path).unwrap();
    let before = latency::read(&path).unwrap();
    // Cut in the middle of the last interval.
    let text = String::from_utf8(whole).unwrap();
    let last = text.lines().rev().find(|line| !line.starts_with('#')).unwrap();
    let cut = text.rfind(last).unwrap() + last.len() / 2;
    std::fs::write(&path, &text[..cut]).unwrap();
    let after = latency::read(&path).unwrap();
    assert!(after.cut_off);
    assert!(after.points.iter().map(|p| p.total.len()).sum::<u64>() <= sum(&before, 1, Hop::Total).len());
    assert_eq!(after.header, before.header);
}

#[test]
fn damage_in_the_middle_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = session(folder.path(), &spans());
    let text = std::fs::read_to_string(&path).unwrap();
    let (line, victim) = text.lines().enumerate().find(|(_, line)| line.starts_with("Tag=")).unwrap();
    let damaged = text.replacen(victim, &victim.replace("HISTFAAA", "HISTxAAA"), 1);
    assert_ne!(damaged, text);
    std::fs::write(&path, damaged).unwrap();
    match latency::read(&path) {
        Err(LatencyError::Format { line: found, .. }) => assert_eq!(found, line + 1),
        other => panic!("expected the damaged line, found {other:?}"),
    }
    std::fs::write(&path, "#[Histogram log format version 1.3]\n").unwrap();
    assert!(latency::read(&path).unwrap_err().to_string().contains("pawl-latency"));
}

#[test]
fn any_byte_changed_is_read_or_refused_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = session(folder.path(), &spans()[..1000]);
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] = damaged[at].wrapping_add(1 + (at % 13) as u8) & 0x7f;
        std::fs::write(&path, &damaged).unwrap();
        if let Ok(measured) = latency::read(&path) {
            let _ = latency::page(&latency::report(&measured, None), &measured, None);
        }
    }
}

#[test]
fn a_slower_session_is_found_out_against_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let before = latency::read(&session(&first, &spans())).unwrap();
    let slower: Vec<u64> = spans().iter().map(|nanos| nanos * 3 / 2).collect();
    let now = latency::read(&session(&second, &slower)).unwrap();
    assert_eq!(previous_session(&second, now.from).unwrap(), first.canonicalize().unwrap());
    assert_eq!(previous_session(&first, before.from), None);
    let report = latency::report(&now, Some(&before));
    let total = report.rows.iter().find(|row| row.row.hop == Hop::Total).unwrap();
    assert_eq!(total.regressions, ["p50", "p99"], "5001 samples say nothing about one in a thousand");
    let same = latency::report(&before, Some(&before));
    assert!(same.rows.iter().all(|row| row.regressions.is_empty()));
}

#[test]
fn the_page_needs_nothing_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let measured = latency::read(&session(folder.path(), &spans())).unwrap();
    let page = latency::page(&latency::report(&measured, None), &measured, None);
    for foreign in ["http:", "https:", "src=", "@import", "url(", "<script"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(page.contains("prefers-color-scheme: dark") && !page.contains("NaN"));
}

/// The Java reference, where this machine has it.
fn reference() -> Option<PathBuf> {
    let named = std::env::var_os("PAWL_HDR_JAR").map(PathBuf::from);
    let jar = named.unwrap_or_else(|| PathBuf::from("/usr/share/java/hdrhistogram.jar"));
    let java = Command::new("java").arg("-version").output().is_ok();
    if jar.is_file() && java {
        return Some(jar);
    }
    eprintln!("SKIPPED: no Java or no {}; install libhdrhistogram-java or set PAWL_HDR_JAR", jar.display());
    None
}

/// What the reference's `HistogramLogProcessor` prints for the lines of one tag (or of none).
fn processed(jar: &Path, log: &Path, tag: Option<&str>) -> String {
    let mut command = Command::new("java");
    command.arg("-cp").arg(jar).arg("org.HdrHistogram.HistogramLogProcessor");
    command.args(["-outputValueUnitRatio", "1", "-i"]).arg(log);
    // With -o it writes the distribution to a file of that name and `.hgrm`.
    let out = log.with_extension("reference");
    command.arg("-o").arg(&out);
    if let Some(tag) = tag {
        command.args(["-tag", tag]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(out.with_extension("reference.hgrm")).unwrap()
}

#[test]
fn the_java_reference_reads_our_log_and_prints_our_distributions() {
    let Some(jar) = reference() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = session(folder.path(), &spans());
    let measured = latency::read(&path).unwrap();
    for (tag, thread, hop) in
        [(None, 1, Hop::Total), (Some("feed@feed"), 0, Hop::Feed), (Some("ring@oms"), 1, Hop::Ring)]
    {
        let theirs = processed(&jar, &path, tag);
        let ours = latency::hgrm(sum(&measured, thread, hop), 1.0);
        // Theirs begins with comments about the log.
        let theirs = theirs.split_once("       Value").map(|(_, rest)| format!("       Value{rest}")).unwrap();
        assert_eq!(ours, theirs, "{tag:?}");
    }
}

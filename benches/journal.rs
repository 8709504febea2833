//! The journal beside its budgets (DESIGN section 11) and beside the other ways to keep a record:
//! `cargo bench --bench journal`, and with `--features bench-sqlite` SQLite too (it is built from source).
//!
//! Append latency is measured one append a microsecond, between two readings of the time-stamp counter
//! whose own cost is subtracted, while the helper thread syncs the stream on its interval, in short bursts
//! of SCHED_FIFO where permitted. Each figure is the median of several repetitions, the best beside it.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use pawl::core::{Event, EventKind, InstrumentId, Nanos, Span};
use pawl::journal::{SessionInfo, SessionReader, SessionWriter, StreamName, SyncPolicy, WriterOptions};

/// Repetitions of each measurement.
const REPETITIONS: usize = 7;

/// One where only the bench itself is tried (`--test`).
fn repetitions() -> usize {
    if std::env::args().any(|argument| argument == "--test") { 1 } else { REPETITIONS }
}

/// Records appended as fast as possible: one segment, 128 MiB.
const RECORDS: usize = 1 << 21;
/// Records appended one a microsecond.
const PACED: usize = 300_000;

fn info() -> SessionInfo {
    SessionInfo { version: 1, ..SessionInfo::default() }
}

fn event(number: u64) -> Event {
    let words = [108_206_000 + number, 108_208_000 + number, 5_000_000, 7_000_000];
    Event::new(EventKind::Quote, InstrumentId(1), Nanos(1_700_000_000_000_000_000 + number), Nanos(number), words)
}

/// The segment is pre-faulted whole, so that the writer never outruns the helper.
fn options(sync: SyncPolicy) -> WriterOptions {
    WriterOptions { segment_records: RECORDS, prefault_records: RECORDS, sync, ..WriterOptions::default() }
        .with_helper()
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: reading the time-stamp counter has no precondition on x86-64.
    unsafe {
        let mut core = 0;
        std::arch::x86_64::__rdtscp(&raw mut core)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Nanoseconds of one tick, and the ticks that two readings in a row take.
fn calibrate() -> (f64, u64) {
    let (clock, first) = (Instant::now(), ticks());
    while clock.elapsed() < Duration::from_millis(100) {
        std::hint::spin_loop();
    }
    let nanos = clock.elapsed().as_nanos() as f64 / (ticks() - first) as f64;
    let pair = || {
        let first = ticks();
        ticks() - first
    };
    let mut pairs: Vec<u64> = (0..100_000).map(|_| pair()).collect();
    pairs.sort_unstable();
    (nanos, pairs[pairs.len() / 2])
}

fn median(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0])
}

/// Time on the clock, and time of this thread on a processor: the second is what an own core takes.
struct Watch(Instant, Duration);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), cpu_time())
    }

    fn stop(&self) -> (Duration, Duration) {
        (self.0.elapsed(), cpu_time().saturating_sub(self.1))
    }
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes a timespec that outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds a record of `run`, which stores `records` and is given a new folder each time.
fn throughput(name: &str, records: usize, mut run: impl FnMut(&Path) -> (Duration, Duration)) {
    let (mut clock, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..repetitions() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (wall, busy) = run(folder.path());
        clock.push(wall.as_nanos() as f64 / records as f64);
        cpu.push(busy.as_nanos() as f64 / records as f64);
    }
    let ((wall, best_wall), (busy, best_busy)) = (median(&mut clock), median(&mut cpu));
    println!(
        "  {name:<52} {busy:>10.2} ({best_busy:.2}) ns CPU {:>8.2} M/s   {wall:>10.2} ({best_wall:.2}) ns clock",
        1e3 / busy
    );
}

/// Takes the processor for itself, as an isolated core would give it; false where that is not permitted.
fn alone(on: bool) -> bool {
    let (policy, priority) = if on { (libc::SCHED_FIFO, 10) } else { (libc::SCHED_OTHER, 0) };
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: a plain struct that outlives the call; 0 is this thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

/// One call of `append` a microsecond; percentiles of its cost.
fn latency(name: &str, budget: &str, calls: usize, (nanos, overhead): (f64, u64), mut append: impl FnMut(u64)) {
    let mut rows: Vec<[f64; 5]> = Vec::new();
    let mut number = 0;
    for _ in 0..repetitions() {
        let gap = (1_000.0 / nanos) as u64;
        let mut costs = Vec::with_capacity(calls);
        // A burst of a third of a second: longer would starve the rest of the machine.
        alone(true);
        let mut due = ticks() + gap;
        for _ in 0..calls {
            while ticks() < due {
                std::hint::spin_loop();
            }
            number += 1;
            let began = ticks();
            append(number);
            let ended = ticks();
            costs.push(ended.wrapping_sub(began).saturating_sub(overhead));
            due = ended.max(due) + gap;
        }
        alone(false);
        costs.sort_unstable();
        let at = |part: f64| costs[((costs.len() - 1) as f64 * part) as usize] as f64 * nanos;
        rows.push([at(0.5), at(0.99), at(0.999), at(0.9999), at(1.0)]);
    }
    let mut line = format!("  {name:<40}");
    for at in 0..5 {
        let (middle, best) = median(&mut rows.iter().map(|row| row[at]).collect::<Vec<_>>());
        let cell = if at == 4 { format!(" {middle:>11.0}") } else { format!(" {middle:>8.1} ({best:.1})") };
        line.push_str(&cell);
    }
    println!("{line}   {budget}");
}

fn appends() {
    println!("Appending {RECORDS} records as fast as possible, ns a record (budget: 80 M/s)");
    for (name, sync) in [("none", SyncPolicy::None), ("interval 1s", SyncPolicy::Interval(Span::seconds(1)))] {
        throughput(&format!("pawl journal, CRC, helper, sync {name}"), RECORDS, |folder| {
            let mut session = SessionWriter::create(folder, &info(), &options(sync)).expect("a journal");
            let watch = Watch::start();
            for number in 0..RECORDS as u64 {
                session.input.append(&event(number)).expect("a place");
            }
            watch.stop()
        });
    }
    throughput("BufWriter (64 KiB) + write, with CRC", RECORDS, |folder| {
        let mut file = BufWriter::with_capacity(1 << 16, File::create(folder.join("file")).expect("a file"));
        let watch = Watch::start();
        for number in 0..RECORDS as u64 {
            file.write_all(&event(number).sealed(number + 1).to_bytes()).expect("written");
        }
        file.flush().expect("written");
        watch.stop()
    });
    throughput("write a record", 100_000, |folder| {
        let mut file = File::create(folder.join("file")).expect("a file");
        let watch = Watch::start();
        for number in 0..100_000 {
            file.write_all(&event(number).sealed(number + 1).to_bytes()).expect("written");
        }
        watch.stop()
    });
    throughput("write + fdatasync a record", 100, |folder| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(folder.join("file")).expect("a file");
        let watch = Watch::start();
        for number in 0..100 {
            file.write_all(&event(number).sealed(number + 1).to_bytes()).expect("written");
            // SAFETY: the descriptor is open; no memory is involved.
            assert_eq!(unsafe { libc::fdatasync(file.as_raw_fd()) }, 0);
        }
        watch.stop()
    });
    #[cfg(feature = "bench-sqlite")]
    for (name, batch, records) in [("1 row", 1, 5_000), ("1000 rows", 1_000, 100_000)] {
        throughput(&format!("SQLite, WAL, synchronous NORMAL, {name} a transaction"), records, |folder| {
            sqlite(&folder.join("db"), records, batch)
        });
    }
}

#[cfg(feature = "bench-sqlite")]
fn sqlite(path: &Path, records: usize, batch: usize) -> (Duration, Duration) {
    let mut database = rusqlite::Connection::open(path).expect("a database");
    database
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE r (s INTEGER PRIMARY KEY, b BLOB)",
        )
        .expect("a table");
    let watch = Watch::start();
    for first in (0..records).step_by(batch) {
        let transaction = database.transaction().expect("a transaction");
        {
            let mut insert = transaction.prepare_cached("INSERT INTO r VALUES (?1, ?2)").expect("a statement");
            for number in first..first + batch {
                let bytes = event(number as u64).sealed(number as u64 + 1).to_bytes();
                insert.execute((number as i64 + 1, &bytes[..])).expect("a row");
            }
        }
        transaction.commit().expect("committed");
    }
    watch.stop()
}

fn latencies() {
    let clock = calibrate();
    let how =
        if alone(true) { "in bursts of SCHED_FIFO" } else { "beside whatever else runs: SCHED_FIFO is not permitted" };
    alone(false);
    println!("\nOne append a microsecond, {PACED} of them, {how}: ns, median of {} (best)", repetitions());
    println!("  {:<40} {:>16} {:>16} {:>16} {:>16} {:>11}", "", "p50", "p99", "p99.9", "p99.99", "max");
    latency("nothing: the machine's own interruptions", "", PACED, clock, |number| {
        black_box(event(number));
    });
    let budget = "budget p50 10, p99.9 100";
    for (name, sync) in [
        ("pawl journal, sync none", SyncPolicy::None),
        ("pawl journal, sync interval 1s", SyncPolicy::Interval(Span::seconds(1))),
        ("pawl journal, sync interval 20ms", SyncPolicy::Interval(Span::millis(20))),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut session = SessionWriter::create(folder.path(), &info(), &options(sync)).expect("a journal");
        latency(name, budget, PACED, clock, |number| {
            // Where the helper is starved by other programs, a record may find no place.
            let _ = black_box(session.input.append(black_box(&event(number))));
        });
        if session.input.not_stored() > 0 {
            println!("    {} records found no place: the helper thread was starved", session.input.not_stored());
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut file = BufWriter::with_capacity(1 << 16, File::create(folder.path().join("file")).expect("a file"));
    latency("BufWriter (64 KiB) + write, with CRC", "", PACED, clock, |number| {
        file.write_all(&event(number).sealed(number).to_bytes()).expect("written");
    });
    let mut file = File::create(folder.path().join("other")).expect("a file");
    latency("write a record", "", 30_000, clock, |number| {
        file.write_all(&event(number).sealed(number).to_bytes()).expect("written");
    });
}

fn reads() {
    println!("\nReading {RECORDS} records back with CRC check, from page cache (budget: 150 M/s)");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = WriterOptions { segment_records: RECORDS / 4, ..WriterOptions::default() };
    let mut session = SessionWriter::create(folder.path(), &info(), &options).expect("a journal");
    for number in 0..RECORDS as u64 {
        session.input.append(&event(number)).expect("a place");
    }
    session.close().expect("closed");
    let session = SessionReader::open(folder.path()).expect("a session");
    let memory = vec![1u64; RECORDS * 8];
    throughput("one word of each 64 bytes of memory, nothing checked", RECORDS, |_| {
        let watch = Watch::start();
        black_box(memory.iter().step_by(8).fold(0u64, |sum, word| sum.wrapping_add(*word)));
        watch.stop()
    });
    drop(memory);
    throughput("pawl journal, record by record", RECORDS, |_| {
        let mut stream = session.stream(StreamName::Input).expect("a stream");
        let (watch, mut sum, mut records) = (Watch::start(), 0u64, 0);
        while let Some(event) = stream.next_event() {
            sum = sum.wrapping_add(event.expect("a record").payload[0]);
            records += 1;
        }
        black_box(sum);
        assert_eq!(records, RECORDS);
        watch.stop()
    });
}

/// All parts, or those named: `cargo bench --bench journal -- reads`.
fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let parts: [(&str, fn()); 3] = [("appends", appends), ("latencies", latencies), ("reads", reads)];
    for (name, part) in parts {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            part();
        }
    }
}

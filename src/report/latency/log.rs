//! The cold side of measuring: a thread that takes full frames from the recorders, adds them up, and
//! appends them to `latency.hlog` in the session's folder.
//!
//! The file is an HdrHistogram interval log, version 1.3, which the standard tools read. Values are
//! nanoseconds. Each interval of each thread gives one line a hop, tagged `hop@thread`, and one line
//! without a tag: the end-to-end figures of that interval. What the format has no place for is in
//! comments, which other tools skip:
//!
//! | comment | content, JSON |
//! |---|---|
//! | `#[pawl-latency: {...}]` | [`Header`], once, before the first interval |
//! | `#[pawl-causes: {...}]` | what the system counted for a thread in an interval: [`CausesLine`] |
//! | `#[pawl-outlier: {...}]` | one of the slowest events of an interval: [`OutlierLine`] |
//!
//! A killed process loses at most the interval that was under way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, Tag};
use serde::{Deserialize, Serialize};

use super::causes::Causes;
use super::hop::Hop;
use super::overhead::Overhead;
use super::recorder::{Exchange, Frame, Recorder, histogram};
use crate::core::Nanos;
use crate::engine::clock::StampClock;

/// Name of the file in a session's folder.
pub const LATENCY_FILE: &str = "latency.hlog";
/// Version of the comments.
pub(super) const LATENCY_VERSION: u32 = 1;

/// What the totals of a session are measured from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The end of the read that brought the frame.
    Arrival,
    /// The instant at which the event was meant to come.
    Intended,
    /// The moment the engine took the event up: no waiting is in it.
    Service,
}

impl Basis {
    /// For a reader of the report.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Arrival => "from the end of the read that brought the frame; what the socket held back is `unread`",
            Self::Intended => "from the instant at which each event was meant to come: waiting is in it",
            Self::Service => "service time: the next event is read when the last is done, so no waiting is in it",
        }
    }
}

/// What a session's figures were measured with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`LATENCY_VERSION`].
    pub version: u32,
    /// Version of pawl.
    pub pawl: String,
    /// The layout, in words.
    pub layout: String,
    /// What totals are measured from.
    pub basis: Basis,
    /// `tsc` or `monotonic`.
    pub clock: String,
    /// Ticks a second of it.
    pub frequency: f64,
    /// Hops are timed on one event in this many; totals too where the basis is service time.
    pub every: u64,
    /// The measured threads.
    pub threads: Vec<String>,
    /// What the measurement itself costs.
    pub overhead: Overhead,
}

/// What was counted for a thread in one interval.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CausesLine {
    /// End of the interval, UTC nanoseconds.
    pub at: u64,
    /// Which thread.
    pub thread: String,
    /// Its length, nanoseconds.
    pub span_ns: u64,
    /// What was counted.
    #[serde(flatten)]
    pub causes: Causes,
}

/// One of the slowest events.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OutlierLine {
    /// When it was done, UTC nanoseconds.
    pub at: u64,
    /// On which thread.
    pub thread: String,
    /// From arrival to last decision, nanoseconds.
    pub total_ns: u64,
    /// Its slowest hop, where this event's hops were timed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hop: Option<String>,
    /// How long that hop took, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hop_ns: Option<u64>,
    /// What was counted in the window that ends with it.
    #[serde(flatten)]
    pub causes: Causes,
    /// Length of that window, nanoseconds.
    pub window_ns: u64,
}

/// The latency log cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LatencyError {
    /// The system refused.
    #[error("latency log: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a latency log of a session.
    #[error("latency log: {} line {line}: expected {expected}, found {found}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What the format asks for.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The session was not measured.
    #[error("latency log: expected {LATENCY_FILE} in {}, found none; was the session run with --journal?", .0.display())]
    Missing(PathBuf),
}

impl LatencyError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// How a log is written.
pub struct LogOptions {
    /// The layout, in words.
    pub layout: String,
    /// What totals are measured from.
    pub basis: Basis,
    /// Hops are timed on one event in this many.
    pub every: u64,
    /// Length of an interval: a line a hop each.
    pub interval: Duration,
}

/// Sums by hop of each thread, threads in the order in which they were named.
pub type Totals = Vec<(String, BTreeMap<Hop, Histogram<u64>>)>;

/// The cold thread, from outside.
pub struct LatencyLog {
    stop: Sender<Vec<Frame>>,
    thread: JoinHandle<Result<Totals, LatencyError>>,
}

impl LatencyLog {
    /// Creates the file and starts the thread; returns a recorder for each name, in their order. The
    /// end-to-end figures are expected from the last one.
    ///
    /// # Errors
    /// The file exists or cannot be created.
    pub fn start(
        path: &Path,
        options: &LogOptions,
        threads: &[&str],
        clock: StampClock,
    ) -> Result<(Self, Vec<Recorder>), LatencyError> {
        let file = File::options().write(true).create_new(true).open(path).map_err(LatencyError::io("create", path))?;
        let header = Header {
            version: LATENCY_VERSION,
            pawl: env!("CARGO_PKG_VERSION").to_owned(),
            layout: options.layout.clone(),
            basis: options.basis,
            clock: format!("{:?}", clock.source()).to_lowercase(),
            frequency: clock.frequency(),
            every: options.every,
            threads: threads.iter().map(|name| (*name).to_owned()).collect(),
            overhead: Overhead::measure(clock),
        };
        let exchanges: Vec<Arc<Exchange>> = threads.iter().map(|_| Arc::new(Exchange::new())).collect();
        let interval_ns = u64::try_from(options.interval.as_nanos()).unwrap_or(u64::MAX - 1);
        let recorders =
            exchanges.iter().map(|exchange| Recorder::new(clock, Some(Arc::clone(exchange)), interval_ns)).collect();
        let (stop, stopped) = channel();
        let sink = Sink { path: path.to_owned(), file, header, exchanges, clock, pause: options.interval / 4 };
        let thread = std::thread::Builder::new()
            .name("latency".into())
            .spawn(move || sink.run(&stopped))
            .map_err(LatencyError::io("start a thread for", path))?;
        Ok((Self { stop, thread }, recorders))
    }

    /// Ends the log with what the recorders still hold, in the order of their threads.
    ///
    /// # Errors
    /// The file could not be written, now or earlier.
    ///
    /// # Panics
    /// When the cold thread panicked, with its panic.
    pub fn finish(self, recorders: Vec<Recorder>) -> Result<Totals, LatencyError> {
        let last = recorders.into_iter().map(|recorder| *recorder.into_last_frame()).collect();
        // A thread that has gone is heard of by the join.
        let _ = self.stop.send(last);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What the cold thread owns.
struct Sink {
    path: PathBuf,
    file: File,
    header: Header,
    exchanges: Vec<Arc<Exchange>>,
    clock: StampClock,
    pause: Duration,
}

impl Sink {
    fn run(mut self, stopped: &Receiver<Vec<Frame>>) -> Result<Totals, LatencyError> {
        let mut totals: Totals = self.header.threads.iter().map(|name| (name.clone(), BTreeMap::new())).collect();
        let mut writer = BufWriter::new(&self.file);
        let mut serializer = V2DeflateSerializer::new();
        let start = SystemTime::now();
        let mut builder = IntervalLogWriterBuilder::new();
        let json = serde_json::to_string(&self.header).unwrap_or_default();
        builder
            .add_comment("[Histogram log format version 1.3]")
            .add_comment(&format!("[pawl-latency: {json}]"))
            .with_start_time(start)
            .with_base_time(start);
        let mut failure = None;
        {
            let mut flushed = Flushed(&mut writer);
            let mut log =
                builder.begin_log_with(&mut flushed, &mut serializer).map_err(LatencyError::io("write", &self.path))?;
            let base = Nanos(start.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64));
            // The legend that the reference implementation writes.
            let legend = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";
            failure = failure.or(log.write_comment(&format!("[Legend: {legend}]")).err());
            loop {
                let last = match stopped.recv_timeout(self.pause) {
                    Ok(last) => Some(last),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
                };
                self.clock.anchor();
                for (thread, exchange) in self.exchanges.iter().enumerate() {
                    if let Some(frame) = exchange.collect() {
                        let result = write_frame(&mut log, &frame, &self.header.threads, thread, base, &self.clock);
                        failure = failure.or(result.err());
                        add(&mut totals[thread].1, &frame);
                        exchange.give_back(frame);
                    }
                }
                if let Some(last) = last {
                    for (thread, frame) in last.iter().enumerate() {
                        let result = write_frame(&mut log, frame, &self.header.threads, thread, base, &self.clock);
                        failure = failure.or(result.err());
                        add(&mut totals[thread].1, frame);
                    }
                    break;
                }
            }
        }
        // After a failure the recorders were served to the end all the same; it is told here.
        match failure.or(writer.flush().err()) {
            Some(source) => Err(LatencyError::Io { action: "write", path: self.path.clone(), source }),
            None => Ok(totals),
        }
    }
}

/// Passes lines on to the file at once: an interval that was written survives the process.
struct Flushed<'a, 'b>(&'a mut BufWriter<&'b File>);

impl Write for Flushed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        if bytes[..written].ends_with(b"\n") {
            self.0.flush()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

type Log<'a, 'b, W> = IntervalLogWriter<'a, 'b, W, V2DeflateSerializer>;

fn write_frame<W: Write>(
    log: &mut Log<'_, '_, W>,
    frame: &Frame,
    threads: &[String],
    thread: usize,
    base: Nanos,
    clock: &StampClock,
) -> io::Result<()> {
    let name = &threads[thread];
    let from = Duration::from_nanos(clock.date(frame.from).since(base).0);
    let span = Duration::from_nanos(clock.nanos(frame.from, frame.until));
    let mut line = |histogram: &Histogram<u64>, tag: Option<Tag<'_>>| {
        log.write_histogram(histogram, from, span, tag).map_err(|error| io::Error::other(error.to_string()))
    };
    for hop in Hop::all().filter(|hop| !frame.hop(*hop).is_empty()) {
        let tag = format!("{}@{name}", hop.name());
        line(&frame.hop(hop), Tag::new(&tag))?;
    }
    // The reference tools need a line without a tag; where nothing was timed end to end, an empty one.
    let total = frame.hop(Hop::Total);
    if thread + 1 == threads.len() || !total.is_empty() {
        line(&total, None)?;
    }
    let at = |stamp| clock.date(stamp).0;
    if frame.causes != Causes::default() {
        let counted = CausesLine {
            at: at(frame.until),
            thread: name.clone(),
            span_ns: span.as_nanos() as u64,
            causes: frame.causes,
        };
        log.write_comment(&format!("[pawl-causes: {}]", serde_json::to_string(&counted).unwrap_or_default()))?;
    }
    for outlier in &frame.outliers {
        let line = OutlierLine {
            at: at(outlier.at),
            thread: name.clone(),
            total_ns: outlier.total_ns,
            hop: outlier.slowest.map(|(hop, _)| hop.name().to_owned()),
            hop_ns: outlier.slowest.map(|(_, nanos)| nanos),
            causes: outlier.causes,
            window_ns: outlier.window_ns,
        };
        log.write_comment(&format!("[pawl-outlier: {}]", serde_json::to_string(&line).unwrap_or_default()))?;
    }
    Ok(())
}

/// Adds a frame to a thread's sums.
pub(super) fn add(sums: &mut BTreeMap<Hop, Histogram<u64>>, frame: &Frame) {
    for hop in Hop::all().filter(|hop| !frame.hop(*hop).is_empty()) {
        // Equal bounds: adding cannot fail.
        let _ = sums.entry(hop).or_insert_with(histogram).add(frame.hop(hop));
    }
}

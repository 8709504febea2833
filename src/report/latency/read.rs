//! Reads a session's `latency.hlog` back: sums by hop and thread, by hour, over time, and the outliers.
//!
//! A long session has more intervals than fit in memory as histograms, so they are added up while
//! they are read: the whole, each hour, and at most [`POINTS`] points of time. A process that was
//! killed may leave a line unfinished at the end: it is said and skipped. Any other damage is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use super::hop::Hop;
use super::log::{CausesLine, Header, LATENCY_FILE, LATENCY_VERSION, LatencyError, OutlierLine};
use super::recorder::histogram;
use crate::core::Nanos;

/// Most points of the time-line.
pub(super) const POINTS: u64 = 240;
/// Most hours kept apart, three months; later ones are added to the last.
const HOURS: u64 = 2208;
/// Most outliers kept, the slowest.
const OUTLIERS: usize = 50;
const HOUR_NS: u64 = 3600 * crate::core::time::SECOND;

/// A stretch of time and what was measured end to end in it.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Its first instant.
    pub from: Nanos,
    /// From arrival to last decision.
    pub total: Histogram<u64>,
}

/// One session's measurements.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Where they were read.
    pub path: PathBuf,
    /// What they were measured with.
    pub header: Header,
    /// Begin of the first interval.
    pub from: Nanos,
    /// End of the last interval.
    pub until: Nanos,
    /// Sums by thread (in the header's order) and hop.
    pub hops: BTreeMap<(usize, Hop), Histogram<u64>>,
    /// End to end, by hour of the clock, UTC.
    pub hours: Vec<Stretch>,
    /// End to end, over time.
    pub points: Vec<Stretch>,
    /// The slowest events, slowest first.
    pub outliers: Vec<OutlierLine>,
    /// What the system counted, by interval and thread.
    pub causes: Vec<CausesLine>,
    /// True when the last line was cut off: the process was killed.
    pub cut_off: bool,
}

/// The file of a session given by its folder, or the file itself.
///
/// # Errors
/// There is none.
pub fn latency_file(session: &Path) -> Result<PathBuf, LatencyError> {
    let path = if session.is_dir() { session.join(LATENCY_FILE) } else { session.to_owned() };
    if path.is_file() { Ok(path) } else { Err(LatencyError::Missing(session.to_owned())) }
}

/// Reads the header alone.
///
/// # Errors
/// There is no such file, or it has none.
pub fn read_header(path: &Path) -> Result<Header, LatencyError> {
    let text = std::fs::read_to_string(path).map_err(LatencyError::io("read", path))?;
    let reader = Reader { path, text: &text };
    reader.header()
}

/// Reads a file whole.
///
/// # Errors
/// It cannot be read, is of another version, or is damaged before its last line.
pub fn read(path: &Path) -> Result<Measured, LatencyError> {
    let text = std::fs::read_to_string(path).map_err(LatencyError::io("read", path))?;
    Reader { path, text: &text }.read()
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self, line: usize, expected: &'static str, found: impl Into<String>) -> LatencyError {
        LatencyError::Format { path: self.path.to_owned(), line, expected, found: found.into() }
    }

    /// The comments of one name with their line numbers, as JSON text.
    fn comments<'t>(&'t self, name: &'t str) -> impl Iterator<Item = (usize, &'t str)> {
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            let json = line.strip_prefix("#[")?.strip_prefix(name)?.strip_prefix(": ")?.strip_suffix(']')?;
            Some((index + 1, json))
        })
    }

    fn header(&self) -> Result<Header, LatencyError> {
        let expected = "the comment #[pawl-latency: {...}] of a pawl session";
        let (line, json) = self.comments("pawl-latency").next().ok_or_else(|| self.error(1, expected, "none"))?;
        let header: Header =
            serde_json::from_str(json).map_err(|error| self.error(line, expected, error.to_string()))?;
        if header.version != LATENCY_VERSION {
            return Err(self.error(line, "version 1", header.version.to_string()));
        }
        if header.threads.is_empty() {
            return Err(self.error(line, "at least one thread", "none"));
        }
        Ok(header)
    }

    fn read(&self) -> Result<Measured, LatencyError> {
        let header = self.header()?;
        // A line is written with its end; what follows the last end was cut off.
        let complete = self.text.rfind('\n').map_or(0, |at| at + 1);
        let (from, until) = self.span(&self.text[..complete])?;
        let mut measured = Measured {
            path: self.path.to_owned(),
            header,
            from,
            until,
            hops: BTreeMap::new(),
            hours: Vec::new(),
            points: Vec::new(),
            outliers: self.outliers()?,
            causes: self.causes()?,
            cut_off: complete < self.text.len(),
        };
        let mut deserializer = Deserializer::new();
        self.for_each_interval(&self.text[..complete], |line, start, interval| {
            let decoded = decode(&mut deserializer, interval)
                .map_err(|found| self.error(line, "a V2 histogram in base64", found))?;
            // An interval counts where its middle lies.
            let half = u64::try_from(interval.duration().as_nanos() / 2).unwrap_or(0);
            let middle = Nanos(start.0.saturating_add(half));
            self.add(&mut measured, line, middle, interval.tag().map(|tag| tag.as_str()), &decoded)
        })?;
        Ok(measured)
    }

    /// Calls `each` with the number of the interval's line, its start and itself.
    fn for_each_interval(
        &self,
        text: &str,
        mut each: impl FnMut(usize, Nanos, &IntervalLogHistogram<'_>) -> Result<(), LatencyError>,
    ) -> Result<(), LatencyError> {
        let mut base = Nanos(0);
        // Interval lines, in order: for messages only.
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.starts_with('"'));
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            match entry {
                Ok(LogEntry::BaseTime(time)) => base = Nanos(u64::try_from(time.as_nanos()).unwrap_or(0)),
                Ok(LogEntry::StartTime(_)) => {}
                Ok(LogEntry::Interval(interval)) => {
                    let line = lines.next().map_or(0, |(index, _)| index + 1);
                    let start = u64::try_from(interval.start_timestamp().as_nanos()).unwrap_or(0);
                    each(line, Nanos(base.0.saturating_add(start)), &interval)?;
                }
                Err(error) => return Err(self.error(0, "an interval log", format!("{error:?}"))),
            }
        }
        Ok(())
    }

    fn span(&self, text: &str) -> Result<(Nanos, Nanos), LatencyError> {
        let (mut from, mut until) = (Nanos::MAX, Nanos::NONE);
        self.for_each_interval(text, |_, start, interval| {
            from = from.min(start);
            let span = u64::try_from(interval.duration().as_nanos()).unwrap_or(0);
            until = until.max(Nanos(start.0.saturating_add(span)));
            Ok(())
        })?;
        if from == Nanos::MAX { Err(self.error(1, "at least one interval", "none")) } else { Ok((from, until)) }
    }

    fn add(
        &self,
        measured: &mut Measured,
        line: usize,
        middle: Nanos,
        tag: Option<&str>,
        decoded: &Histogram<u64>,
    ) -> Result<(), LatencyError> {
        let Some(tag) = tag else {
            let width = point_width(measured);
            let point = middle.since(measured.from).0 / width;
            add_to(&mut measured.points, Nanos(measured.from.0 + point * width), decoded);
            let hour = (middle.0 / HOUR_NS).min(measured.from.0 / HOUR_NS + HOURS);
            add_to(&mut measured.hours, Nanos(hour * HOUR_NS), decoded);
            return Ok(());
        };
        let expected = "a tag hop@thread of the header's threads";
        let parts = tag.split_once('@').and_then(|(hop, thread)| {
            let thread = measured.header.threads.iter().position(|name| name == thread)?;
            Some((thread, Hop::from_name(hop)?))
        });
        let key = parts.ok_or_else(|| self.error(line, expected, tag))?;
        add_saturating(measured.hops.entry(key).or_insert_with(histogram), decoded);
        Ok(())
    }

    fn outliers(&self) -> Result<Vec<OutlierLine>, LatencyError> {
        let mut all: Vec<OutlierLine> = Vec::new();
        for (line, json) in self.comments("pawl-outlier") {
            let found = serde_json::from_str(json);
            all.push(found.map_err(|error| self.error(line, "an outlier in JSON", error.to_string()))?);
            if all.len() > 2 * OUTLIERS {
                keep_slowest(&mut all);
            }
        }
        keep_slowest(&mut all);
        Ok(all)
    }

    fn causes(&self) -> Result<Vec<CausesLine>, LatencyError> {
        self.comments("pawl-causes")
            .map(|(line, json)| {
                serde_json::from_str(json).map_err(|error| self.error(line, "counters in JSON", error.to_string()))
            })
            .collect()
    }
}

fn keep_slowest(outliers: &mut Vec<OutlierLine>) {
    outliers.sort_by_key(|outlier| std::cmp::Reverse(outlier.total_ns));
    outliers.truncate(OUTLIERS);
}

/// Width of a point of the time-line, nanoseconds.
fn point_width(measured: &Measured) -> u64 {
    (measured.until.since(measured.from).0 / POINTS).max(1)
}

/// Adds to the stretch that begins at `from`, wherever it stands.
fn add_to(stretches: &mut Vec<Stretch>, from: Nanos, decoded: &Histogram<u64>) {
    let index = match stretches.binary_search_by_key(&from, |stretch| stretch.from) {
        Ok(index) => index,
        Err(index) => {
            stretches.insert(index, Stretch { from, total: histogram() });
            index
        }
    };
    add_saturating(&mut stretches[index].total, decoded);
}

/// Adds a histogram of any bounds.
fn add_saturating(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    if sum.add(other).is_err() {
        for value in other.iter_recorded() {
            sum.saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
    }
}

fn decode(deserializer: &mut Deserializer, interval: &IntervalLogHistogram<'_>) -> Result<Histogram<u64>, String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(interval.encoded_histogram())
        .map_err(|error| error.to_string())?;
    deserializer.deserialize(&mut bytes.as_slice()).map_err(|error| format!("{error:?}"))
}

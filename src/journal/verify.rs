//! Every segment of a session, with everything that is wrong with it and which records are good.
//! Never stops at the first fault: what can be read is said to be readable.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::segment::{self, HEADER, Opened};
use super::{JournalError, SessionReader, StreamName};
use crate::core::{EVENT_BYTES, Event};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In which file.
    pub file: String,
    /// What, in words.
    pub what: String,
}

/// One stream, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamCheck {
    /// `input` or `output`.
    pub stream: &'static str,
    /// Segments, spares not counted.
    pub segments: u64,
    /// Of those, compressed ones.
    pub compressed: u64,
    /// First and last sequence of each run of good records.
    pub good: Vec<(u64, u64)>,
    /// What is wrong; empty when nothing is.
    pub findings: Vec<Finding>,
}

/// A session, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionCheck {
    /// Input, then output.
    pub streams: [StreamCheck; 2],
    /// A process writes it now, so that its end moves.
    pub being_written: bool,
    /// Files that are not part of the journal, with why they are there where that is known.
    pub others: Vec<Finding>,
}

impl SessionCheck {
    /// True when nothing is wrong with any record or segment.
    pub fn is_good(&self) -> bool {
        self.streams.iter().all(|stream| stream.findings.is_empty())
    }
}

impl StreamCheck {
    /// Good records.
    pub fn records(&self) -> u64 {
        self.good.iter().map(|(first, last)| last - first + 1).sum()
    }

    fn find(&mut self, path: &Path, what: String) {
        self.findings.push(Finding { file: name_of(path), what });
    }

    fn add_good(&mut self, sequence: u64) {
        match self.good.last_mut() {
            Some((_, last)) if *last + 1 == sequence => *last = sequence,
            _ => self.good.push((sequence, sequence)),
        }
    }
}

impl fmt::Display for StreamCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compressed = match self.compressed {
            0 => String::new(),
            count => format!(" ({count} compressed)"),
        };
        let good: Vec<String> = self.good.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let good = if good.is_empty() { "none".to_owned() } else { good.join(", ") };
        write!(f, "{:<6}  {} segments{compressed}, good records: {good}", self.stream, self.segments)?;
        for finding in &self.findings {
            write!(f, "\n  WRONG {}: {}", finding.file, finding.what)?;
        }
        Ok(())
    }
}

impl fmt::Display for SessionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.streams[0], self.streams[1])?;
        for other in &self.others {
            write!(f, "\n  note {}: {}", other.file, other.what)?;
        }
        if self.being_written {
            write!(f, "\n  note: a process is writing this session now")?;
        }
        Ok(())
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Checks every record of a session.
///
/// # Errors
/// The folder cannot be listed or a file cannot be read; damage is a finding, not an error.
pub fn check_session(session: &SessionReader) -> Result<SessionCheck, JournalError> {
    let being_written = session.is_being_written();
    let streams = [check_stream(session, StreamName::Input)?, check_stream(session, StreamName::Output)?];
    Ok(SessionCheck { streams, being_written, others: others(session.directory())? })
}

fn check_stream(session: &SessionReader, stream: StreamName) -> Result<StreamCheck, JournalError> {
    let mut check =
        StreamCheck { stream: stream.name(), segments: 0, compressed: 0, good: Vec::new(), findings: Vec::new() };
    let directory = session.directory();
    let numbers = segment::numbers(directory, stream)?;
    let (mut expected, mut previous) = (1, 0);
    for number in numbers {
        for lost in previous + 1..number {
            check.find(&segment::path(directory, stream, lost), "this segment is missing".into());
        }
        previous = number;
        let path = segment::path(directory, stream, number);
        let opened = match segment::open(directory, stream, number) {
            Ok(Some(opened)) => opened,
            Ok(None) => continue,
            Err(JournalError::Segment { path, expected: wanted, found }) => {
                check.segments += 1;
                check.find(&path, format!("expected {wanted}, found {found}"));
                if let Some(last) = salvage(&mut check, &path) {
                    expected = last + 1;
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Err(JournalError::Segment { expected: wanted, found, .. }) =
            opened.check(stream, number, session.session())
        {
            check.find(&opened.path, format!("expected {wanted}, found {found}"));
        }
        if !opened.slots().iter().any(super::slot::Slot::is_committed) && number > 1 && opened.header.first >= expected
        {
            // A spare, or what a resume began and nothing was written to.
            continue;
        }
        check.segments += 1;
        check.compressed += u64::from(!path.exists());
        let first = opened.header.first;
        if first > expected {
            check.find(
                &opened.path,
                format!("begins with record {first}: records {expected}-{} are missing", first - 1),
            );
        } else if first < expected {
            check.find(&opened.path, format!("begins with record {first}, which an earlier segment holds already"));
        }
        expected = check_records(&mut check, &opened);
    }
    if previous == 0 {
        check.find(&segment::path(directory, stream, 1), "this segment is missing".into());
    }
    Ok(check)
}

/// Judges one segment's records and returns the sequence that the next segment should begin with.
fn check_records(check: &mut StreamCheck, opened: &Opened) -> u64 {
    let first = opened.header.first;
    let (mut next, mut bad) = (0u64, None::<(u64, u64, String)>);
    for (index, slot) in (0u64..).zip(opened.slots()) {
        let what = match slot.load().map(Event::from_words) {
            None => continue,
            Some(Ok(event)) if event.sequence == first + index => None,
            Some(Ok(event)) => Some(format!("holds record {}, intact but not in its place", event.sequence)),
            Some(Err(error)) => Some(error.to_string()),
        };
        if index > next {
            report(check, opened, bad.take());
            let range = range(first, next, index - 1);
            check.find(&opened.path, format!("{range} never written or zeroed, and records follow"));
        }
        match what {
            None => {
                report(check, opened, bad.take());
                check.add_good(first + index);
            }
            Some(what) => {
                bad = Some(match bad.take() {
                    Some((from, _, first_what)) => (from, index, first_what),
                    None => (index, index, what),
                });
            }
        }
        next = index + 1;
    }
    report(check, opened, bad);
    if opened.is_cut() {
        let JournalError::Segment { expected, found, .. } = opened.cut_error() else { return first + next };
        check.find(&opened.path, format!("expected {expected}, found {found}"));
    }
    first + next
}

fn range(first: u64, from: u64, to: u64) -> String {
    let bytes = HEADER as u64 + from * EVENT_BYTES as u64;
    if from == to {
        format!("record {} (slot {}, byte {bytes})", first + from, from + 1)
    } else {
        format!("records {}-{} (slots {}-{}, from byte {bytes})", first + from, first + to, from + 1, to + 1)
    }
}

fn report(check: &mut StreamCheck, opened: &Opened, bad: Option<(u64, u64, String)>) {
    if let Some((from, to, what)) = bad {
        check.find(&opened.path, format!("{}: {what}", range(opened.header.first, from, to)));
    }
}

/// Intact records of a file whose header cannot be read; returns the last one's sequence.
fn salvage(check: &mut StreamCheck, path: &Path) -> Option<u64> {
    let bytes = std::fs::read(path).ok()?;
    let (records, _) = bytes.get(HEADER..)?.as_chunks::<EVENT_BYTES>();
    let mut last = None;
    for record in records {
        if let Ok(event) = Event::from_bytes(record) {
            check.add_good(event.sequence);
            last = Some(event.sequence);
        }
    }
    last
}

/// Files in the folder that are no segment.
fn others(directory: &Path) -> Result<Vec<Finding>, JournalError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(JournalError::io("list", directory))? {
        let file = name_of(&entry.map_err(JournalError::io("list", directory))?.path());
        let segment = StreamName::ALL.iter().any(|stream| segment::number_of(&file, *stream).is_some());
        let known = ["session.toml", "session.lock", "model.json"].contains(&file.as_str());
        let what = if segment || known {
            continue;
        } else if file.contains(".stray") {
            "set aside by a recovery: records behind a hole"
        } else if Path::new(&file).extension().is_some_and(|end| end == segment::HALF_MADE) {
            "half made when a writer died; the next resume removes it"
        } else {
            "not part of the journal"
        };
        found.push(Finding { file, what: what.into() });
    }
    found.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(found)
}

//! The end of a stream whose writer died: the last good record, found in time proportional to one
//! segment; and what lies behind a hole, set aside for whoever wants to look.
//!
//! A killed process leaves a clean end. Only a power failure, whose pages reach the disk in any order,
//! leaves a hole with records behind it: those cannot be part of the stream, because a reader could
//! not tell what is missing before them.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::segment::{self, Opened};
use super::{JournalError, StreamName};
use crate::core::{EVENT_BYTES, Event};

/// What was found in one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecovery {
    /// Which.
    pub stream: StreamName,
    /// Sequence of its last good record; 0 when it has none.
    pub last: u64,
    /// Number of the segment that holds it.
    pub segment: u64,
    /// Intact records behind a hole or a damaged record; they were set aside.
    pub stray: u64,
    /// Damaged records from there on.
    pub damaged: u64,
    /// Files that hold what was set aside.
    pub set_aside: Vec<String>,
}

/// What was found when a session was resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// What the engine was told.
    pub input: StreamRecovery,
    /// What it decided.
    pub output: StreamRecovery,
    /// The life that ended: 1 for the process that created the session.
    pub life: u32,
}

impl fmt::Display for StreamRecovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: last good record {}, in segment {}", self.stream.name(), self.last, self.segment)?;
        if self.stray + self.damaged > 0 {
            write!(
                f,
                "; behind it a hole, then {} intact and {} damaged records, which are not part of the stream any more",
                self.stray, self.damaged
            )?;
        }
        if !self.set_aside.is_empty() {
            write!(f, "; set aside: {}", self.set_aside.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.input, self.output)
    }
}

/// Recovers both streams, of which `lives` are known. The caller holds the session's lock.
pub(super) fn recover(directory: &Path, session: u32, lives: u32) -> Result<Recovery, JournalError> {
    let (input, first_life) = recover_stream(directory, StreamName::Input, session)?;
    let (output, second_life) = recover_stream(directory, StreamName::Output, session)?;
    Ok(Recovery { input, output, life: lives.max(first_life).max(second_life) })
}

/// Removes the segments of a session whose creation was cut short: no record was ever written to
/// them. False, and nothing is removed, when one holds a record or is no segment.
pub(super) fn remove_empty(directory: &Path) -> Result<bool, JournalError> {
    let mut empty = Vec::new();
    for stream in StreamName::ALL {
        for number in segment::numbers(directory, stream)? {
            match segment::open(directory, stream, number) {
                Ok(Some(opened)) if !opened.slots().iter().any(super::slot::Slot::is_committed) => {
                    empty.push(opened.path);
                }
                Ok(None) => {}
                Ok(Some(_)) | Err(JournalError::Segment { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        remove_half_made(directory, stream)?;
    }
    for path in empty {
        std::fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    }
    Ok(true)
}

/// The records of one segment, judged.
struct Scan {
    /// Good ones from the first slot on.
    good: usize,
    /// Intact ones behind those.
    stray: u64,
    /// Committed slots that are neither.
    damaged: u64,
}

fn scan(opened: &Opened) -> Scan {
    let mut found = Scan { good: 0, stray: 0, damaged: 0 };
    for (index, slot) in opened.slots().iter().enumerate() {
        let Some(words) = slot.load() else { continue };
        let valid = Event::from_words(words).is_ok_and(|event| event.sequence == opened.header.first + index as u64);
        match (valid, found.good == index) {
            (true, true) => found.good += 1,
            (true, false) => found.stray += 1,
            (false, _) => found.damaged += 1,
        }
    }
    found
}

fn recover_stream(directory: &Path, stream: StreamName, session: u32) -> Result<(StreamRecovery, u32), JournalError> {
    remove_half_made(directory, stream)?;
    let mut found = StreamRecovery { stream, last: 0, segment: 0, stray: 0, damaged: 0, set_aside: Vec::new() };
    let mut life = 1;
    // From the last segment back: spares are removed, what cannot be read or has lost its beginning
    // is set aside, the first that begins with a good record is the end of the stream.
    for number in segment::numbers(directory, stream)?.into_iter().rev() {
        let path = segment::path(directory, stream, number);
        let opened = match segment::open(directory, stream, number) {
            Ok(Some(opened)) => opened,
            Ok(None) => continue,
            Err(JournalError::Segment { .. }) if number > 1 => {
                set_aside(&path, &mut found)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        opened.check(stream, number, session)?;
        life = life.max(opened.header.life);
        let Scan { good, stray, damaged } = scan(&opened);
        found.stray += stray;
        found.damaged += damaged;
        let follows = number == 1 || last_record_is_good(directory, stream, number - 1, opened.header.first - 1)?;
        if number > 1 && (good == 0 || !follows) {
            found.stray += good as u64;
            if good as u64 + stray + damaged == 0 {
                std::fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
            } else {
                set_aside(&path, &mut found)?;
            }
            continue;
        }
        found.last = opened.header.first - 1 + good as u64;
        found.segment = number;
        let capacity = opened.header.capacity;
        drop(opened);
        shorten(&path, capacity, good, stray + damaged > 0, &mut found)?;
        return Ok((found, life));
    }
    // Not even a first segment: the stream begins anew.
    Ok((found, life))
}

/// True when the segment before ends with the record that must come before this one's first. A
/// segment that was left early (by a resume) ends with it too, before its empty slots.
fn last_record_is_good(directory: &Path, stream: StreamName, number: u64, sequence: u64) -> Result<bool, JournalError> {
    let opened = match segment::open(directory, stream, number) {
        Ok(Some(opened)) => opened,
        Ok(None) | Err(JournalError::Segment { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    if sequence < opened.header.first {
        // It holds no record, and this one takes its place.
        return Ok(sequence + 1 == opened.header.first);
    }
    let words = opened.slots().get((sequence - opened.header.first) as usize).and_then(super::slot::Slot::load);
    Ok(words.is_some_and(|words| Event::from_words(words).is_ok_and(|event| event.sequence == sequence)))
}

/// Removes what a process killed while it made a segment left behind.
fn remove_half_made(directory: &Path, stream: StreamName) -> Result<(), JournalError> {
    for entry in std::fs::read_dir(directory).map_err(JournalError::io("list", directory))? {
        let path = entry.map_err(JournalError::io("list", directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(stream.name()) && path.extension().is_some_and(|end| end == segment::HALF_MADE) {
            std::fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Renames a file that cannot be part of the stream any more.
fn set_aside(path: &Path, found: &mut StreamRecovery) -> Result<(), JournalError> {
    let aside = stray_name(path);
    std::fs::rename(path, &aside).map_err(JournalError::io("set aside", path))?;
    found.set_aside.extend(aside.file_name().map(|name| name.to_string_lossy().into_owned()));
    Ok(())
}

/// A name ending in `.stray` that is still free.
fn stray_name(path: &Path) -> PathBuf {
    let names = (1..).map(|count| match count {
        1 => path.with_extension("seg.stray"),
        _ => path.with_extension(format!("seg.stray-{count}")),
    });
    names.into_iter().find(|name| !name.exists()).unwrap_or_else(|| path.with_extension("seg.stray"))
}

/// Cuts the last segment to its good records; with anything behind them, a copy is kept.
fn shorten(
    path: &Path,
    capacity: u32,
    good: usize,
    dirty: bool,
    found: &mut StreamRecovery,
) -> Result<(), JournalError> {
    if !path.exists() {
        // Compressed: closed long ago, nothing to cut.
        return Ok(());
    }
    if dirty {
        let aside = stray_name(path);
        std::fs::copy(path, &aside).map_err(JournalError::io("copy", path))?;
        found.set_aside.extend(aside.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    let file = OpenOptions::new().write(true).open(path).map_err(JournalError::io("open", path))?;
    let end = (segment::HEADER + good * EVENT_BYTES) as u64;
    let keep = segment::shortened(good).min((segment::HEADER + capacity as usize * EVENT_BYTES) as u64);
    // What lay behind the good records becomes empty slots; a reader that looks there never finds the
    // end of the file instead.
    let zeros = vec![0; (keep - end) as usize];
    file.write_all_at(&zeros, end)
        .and_then(|()| file.set_len(keep))
        .and_then(|()| file.sync_all())
        .map_err(JournalError::io("shorten", path))
}

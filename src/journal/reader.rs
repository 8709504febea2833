//! The reader: checks every record, follows the segments, works while the writer still writes.

use std::path::{Path, PathBuf};

use super::ahead::MapAhead;
use super::segment::{self, Opened};
use super::{FORMAT_VERSION, JournalError, SESSION_FILE, SessionInfo, StreamName, writer};
use crate::core::crc::crc32c_portable;
use crate::core::{EVENT_BYTES, Event, EventError};

/// Records between the one that is checked and the one that is fetched from memory: a page, where the processor's own
/// prefetching ends.
const FETCHED: usize = 64;
/// A read of more records than this is worth a helper thread.
const LONG: usize = 1 << 16;

/// Opens a session.
#[derive(Debug)]
pub struct SessionReader {
    directory: PathBuf,
    info: SessionInfo,
    session: u32,
}

impl SessionReader {
    /// Reads the description of the session in a folder.
    ///
    /// # Errors
    /// There is none, or it is of another version.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(SESSION_FILE);
        if !path.is_file() {
            return Err(JournalError::NotASession(directory.to_owned()));
        }
        let bytes = std::fs::read(&path).map_err(JournalError::io("read", &path))?;
        let session = crc32c_portable(&bytes);
        let described = |message: String| JournalError::Description { path: path.clone(), message };
        let text = String::from_utf8(bytes).map_err(|error| described(error.to_string()))?;
        let info: SessionInfo = toml::from_str(&text).map_err(|error| described(error.message().to_owned()))?;
        if info.version != FORMAT_VERSION {
            let message =
                format!("expected format version {FORMAT_VERSION}, found {}; use the pawl that wrote it", info.version);
            return Err(described(message));
        }
        Ok(Self { directory: directory.to_owned(), info, session })
    }

    /// What the session ran with.
    pub fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// The folder it lives in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// CRC-32C of its description, which its segments carry.
    pub(super) fn session(&self) -> u32 {
        self.session
    }

    /// True while a process writes it.
    pub fn is_being_written(&self) -> bool {
        writer::is_locked(&self.directory)
    }

    /// A stream from its first record.
    ///
    /// # Errors
    /// Its first segment is missing or damaged.
    pub fn stream(&self, stream: StreamName) -> Result<StreamReader, JournalError> {
        self.stream_from(stream, 1)
    }

    /// A stream from the record with this sequence, found by the segments' headers.
    ///
    /// # Errors
    /// A segment that is looked at is missing or damaged.
    pub fn stream_from(&self, stream: StreamName, sequence: u64) -> Result<StreamReader, JournalError> {
        let numbers = segment::numbers(&self.directory, stream)?;
        let mut failed = None;
        // The last segment that begins at or before the sequence.
        let after = numbers.partition_point(|number| match self.open_segment(stream, *number) {
            Ok(opened) => opened.header.first <= sequence.max(1),
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        if let Some(error) = failed
            && sequence > 1
        {
            return Err(error);
        }
        let number = if sequence <= 1 { 1 } else { numbers.get(after.max(1) - 1).copied().unwrap_or(1) };
        let opened = self.open_segment(stream, number)?;
        let total = numbers.iter().filter_map(|number| segment::record_bytes(&self.directory, stream, *number)).sum();
        let (directory, session, first) = (self.directory.clone(), self.session, opened.header.first);
        let next = sequence.max(first).saturating_sub(first) as usize;
        let sequence = first - 1 + next as u64;
        if number == 1 && first != 1 {
            let found = format!("one starting at record {first}");
            let expected = format!("{} segment 1 starting at record 1", stream.name());
            return Err(JournalError::Segment { path: opened.path, expected, found });
        }
        let mut reader = StreamReader {
            directory,
            stream,
            session,
            number,
            opened,
            next,
            sequence,
            total,
            failed: false,
            helper: None,
            upcoming: None,
        };
        reader.map_ahead();
        Ok(reader)
    }

    fn open_segment(&self, stream: StreamName, number: u64) -> Result<Opened, JournalError> {
        let opened = segment::open(&self.directory, stream, number)?;
        let opened = opened.ok_or_else(|| missing(&self.directory, stream, number))?;
        opened.check(stream, number, self.session)?;
        Ok(opened)
    }
}

fn missing(directory: &Path, stream: StreamName, number: u64) -> JournalError {
    let path = segment::path(directory, stream, number);
    JournalError::Segment { path, expected: "a segment".into(), found: "no file".into() }
}

/// Reads one stream from its first record to its last.
#[derive(Debug)]
pub struct StreamReader {
    directory: PathBuf,
    stream: StreamName,
    session: u32,
    number: u64,
    opened: Opened,
    /// Next record in the present segment.
    next: usize,
    sequence: u64,
    total: u64,
    failed: bool,
    /// The next segment, where the helper is to map it in time. Only one that holds records: an empty one may yet be
    /// replaced.
    upcoming: Option<Opened>,
    /// None until the read turns out to be long. Last, so that the maps are given up before it is waited for.
    helper: Option<MapAhead>,
}

impl StreamReader {
    /// The next record; `None` at the end of what is written so far (a later call may find more).
    /// After an error, always `None`.
    #[inline]
    pub fn next_event(&mut self) -> Option<Result<Event, JournalError>> {
        loop {
            if let Some(event) = self.next_good() {
                return Some(Ok(event));
            }
            match self.look_closer() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    // No record is at this place: from here on none is found.
                    (self.failed, self.next) = (true, usize::MAX);
                    return Some(Err(error));
                }
            }
        }
    }

    /// The next record where it is as it must be. The processor works on the CRCs of several records at once by itself,
    /// as long as little is done between them.
    #[inline]
    fn next_good(&mut self) -> Option<Event> {
        let slot = self.opened.slots().get(self.next)?;
        slot.fetch_ahead(FETCHED);
        let event = Event::from_words(slot.load()?).ok().filter(|event| event.sequence == self.sequence + 1)?;
        self.next += 1;
        self.sequence = event.sequence;
        Some(event)
    }

    /// Where the next record is not good: an error, the end, or a record after all (true).
    #[cold]
    fn look_closer(&mut self) -> Result<bool, JournalError> {
        if self.failed {
            return Ok(false);
        }
        match self.opened.slots().get(self.next).and_then(super::slot::Slot::load).map(Event::from_words) {
            Some(Ok(event)) if event.sequence == self.sequence + 1 => Ok(true),
            Some(other) => Err(self.damage(other)),
            None => self.go_on(),
        }
    }

    fn damage(&self, found: Result<Event, EventError>) -> JournalError {
        let (path, record) = (self.opened.path.clone(), self.next as u64 + 1);
        match found {
            Ok(event) => JournalError::Sequence { path, record, expected: self.sequence + 1, found: event.sequence },
            Err(source) => {
                let offset = (segment::HEADER + self.next * EVENT_BYTES) as u64;
                JournalError::Record { path, record, offset, source }
            }
        }
    }

    /// At an empty slot or behind the last one: true when there is a record after all, here or in the
    /// next segment; false at the end of what is written.
    fn go_on(&mut self) -> Result<bool, JournalError> {
        let slots = self.opened.slots();
        let within = self.next < slots.len();
        if !within && self.opened.is_cut() {
            return Err(self.opened.cut_error());
        }
        if within && slots.get(self.next + 1).is_some_and(super::slot::Slot::is_committed) {
            // Its successor was written after it: now it is there, or it never will be.
            return if slots[self.next].is_committed() { Ok(true) } else { Err(self.hole(self.next + 1)) };
        }
        if within && self.next == 0 && self.was_replaced()? {
            return Ok(true);
        }
        let number = self.number + 1;
        let upcoming = self.upcoming.take().filter(|opened| opened.header.number == number && opened.is_its_file());
        let Some(opened) = upcoming.map_or_else(|| self.open_next(number), |opened| Ok(Some(opened)))? else {
            return Ok(false);
        };
        opened.check(self.stream, number, self.session)?;
        let continues = opened.header.first == self.sequence + 1;
        if within && !(continues && opened.header.life > self.opened.header.life) {
            // The next segment is prepared, or goes on where this one will be full.
            return Ok(false);
        }
        if !continues {
            let name = |first| format!("{} segment {number} starting at record {first}", self.stream.name());
            let (expected, found) = (name(self.sequence + 1), name(opened.header.first));
            return Err(JournalError::Segment { path: opened.path, expected, found });
        }
        let left = std::mem::replace(&mut self.opened, opened);
        (self.number, self.next) = (number, 0);
        self.map_ahead();
        // Last: it may take its time.
        if let Some(helper) = &self.helper {
            left.leave(helper);
        }
        Ok(true)
    }

    /// Where much is left of the present segment, its pages are mapped ahead.
    fn map_ahead(&mut self) {
        if !self.opened.slots().get(self.next + LONG).is_some_and(super::slot::Slot::is_committed) {
            return;
        }
        if self.helper.is_none() {
            self.helper = MapAhead::begin();
            if let Some(helper) = &self.helper {
                self.opened.map_ahead(helper, self.next);
            }
        }
        let Some(helper) = &self.helper else { return };
        // Whatever is wrong with it is told when its turn has come.
        let upcoming = segment::open_plain(&self.directory, self.stream, self.number + 1).ok().flatten();
        let upcoming = upcoming.filter(|opened| opened.slots().first().is_some_and(super::slot::Slot::is_committed));
        if let Some(opened) = &upcoming {
            opened.map_ahead(helper, 0);
        }
        self.upcoming = upcoming;
    }

    /// The segment with this number, if there is one. A later one must not stand in for it: without
    /// it, the stream would end here as if nothing were missing.
    fn open_next(&self, number: u64) -> Result<Option<Opened>, JournalError> {
        let open = || segment::open(&self.directory, self.stream, number);
        if let Some(opened) = open()? {
            return Ok(Some(opened));
        }
        if !segment::numbers(&self.directory, self.stream)?.iter().any(|other| *other > number) {
            return Ok(None);
        }
        // A living writer may have made both since the first look.
        open()?.map(Some).ok_or_else(|| missing(&self.directory, self.stream, number))
    }

    /// A prepared segment that nothing was written to is made anew when its session is resumed: a
    /// reader that already waits in the old file goes over to the new one.
    fn was_replaced(&mut self) -> Result<bool, JournalError> {
        match segment::open(&self.directory, self.stream, self.number)? {
            Some(again) if again.header.life > self.opened.header.life => {
                again.check(self.stream, self.number, self.session)?;
                self.opened = again;
                Ok(self.opened.header.first == self.sequence + 1
                    && self.opened.slots().iter().take(1).any(super::slot::Slot::is_committed))
            }
            _ => Ok(false),
        }
    }

    fn hole(&self, stray: usize) -> JournalError {
        let (path, record) = (self.opened.path.clone(), self.next as u64 + 1);
        JournalError::Hole { path, record, stray: stray as u64 + 1 }
    }

    /// At the end of a stream that nobody writes any more: is it really the end? After a power
    /// failure there may be records behind a hole.
    ///
    /// # Errors
    /// [`JournalError::Hole`], or what is wrong with the next segment.
    pub fn check_end(&mut self) -> Result<(), JournalError> {
        // Whoever closed the session since it was mapped made the file shorter: behind its new end is no memory to look at.
        if !self.opened.is_its_file()
            && let Some(again) = segment::open(&self.directory, self.stream, self.number)?
        {
            again.check(self.stream, self.number, self.session)?;
            self.opened = again;
        }
        let behind = self.opened.slots().iter().skip(self.next).position(super::slot::Slot::is_committed);
        if let Some(distance) = behind {
            return Err(self.hole(self.next + distance));
        }
        for number in segment::numbers(&self.directory, self.stream)?.into_iter().filter(|n| *n > self.number) {
            let Some(opened) = segment::open(&self.directory, self.stream, number)? else { continue };
            if opened.slots().iter().any(super::slot::Slot::is_committed) {
                let name = |first| format!("{} segment {number} starting at record {first}", self.stream.name());
                let (expected, found) = (name(self.sequence + 1), name(opened.header.first));
                return Err(JournalError::Segment { path: opened.path, expected, found });
            }
        }
        Ok(())
    }

    /// Sequence of the last record read.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The process that wrote the segment now read: 1 created the session, each resume counts one more.
    pub fn life(&self) -> u32 {
        self.opened.header.life
    }

    /// Bytes read and bytes there are.
    pub fn progress(&self) -> (u64, u64) {
        (self.sequence * EVENT_BYTES as u64, self.total)
    }
}

//! Looking at the engine: its page and its process, as one [`EngineSight`].
//!
//! A page that vanished, a page that cannot be read, a process that ended: each has its name, and a new
//! engine under the same name is told from the old one by its process, not by its page.

use std::path::{Path, PathBuf};

use crate::core::{InstrumentTable, Span};
use crate::snapshot::{
    EngineReader, EngineState, EngineView, InstrumentRow, PageError, ProcessHandle, ProcessIdentity,
};

use super::clock::Clock;
use super::observation::EngineSight;

/// A page that is not there is looked for this often.
const ATTACH_EVERY: Span = Span::millis(10);

/// What became of the last engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Past {
    /// There was none, or a person has dealt with it.
    Nothing,
    /// It ended.
    Ended { in_good_order: bool },
    /// Its page is gone or bad, and its process, if we know it, lives.
    Lost,
}

/// The guardian's eye on the engine.
#[derive(Debug)]
pub(super) struct Eye {
    folder: PathBuf,
    symbols: Vec<String>,
    reader: Option<EngineReader>,
    handle: Option<ProcessHandle>,
    identity: Option<ProcessIdentity>,
    /// A dead engine that a person has dealt with.
    forgotten: Option<ProcessIdentity>,
    rows: Vec<usize>,
    view: Option<EngineView>,
    past: Past,
    looked_ns: u64,
    /// The last pause saw the process live to its end: there is no need to look again at once.
    seen_alive: bool,
    trouble: String,
}

impl Eye {
    /// An eye on the page in a folder. `known` is the engine that was attached before this guardian
    /// started: should it live, a page that is missing now was deleted.
    pub(super) fn new(folder: &Path, instruments: &InstrumentTable, known: Option<ProcessIdentity>) -> Self {
        let handle = known.and_then(|engine| engine.open().ok());
        Self {
            folder: folder.to_owned(),
            symbols: instruments.iter().map(|(_, instrument)| instrument.spec().symbol.clone()).collect(),
            reader: None,
            past: if handle.is_some() { Past::Lost } else { Past::Nothing },
            identity: known.filter(|_| handle.is_some()),
            handle,
            forgotten: None,
            rows: Vec::new(),
            view: None,
            looked_ns: 0,
            seen_alive: false,
            trouble: String::new(),
        }
    }

    /// Waits between two looks, on the engine's process where there is one: its death ends the pause, and one
    /// call does for two.
    pub(super) fn pause(&mut self, clock: &impl Clock, span: Span) {
        match &self.handle {
            Some(handle) => self.seen_alive = !handle.has_ended_within(span),
            None => clock.pause(span),
        }
    }

    /// Looks; answers what is seen, and the number of the engine it is seen of (see [`Eye::number`]).
    pub(super) fn look(&mut self, now: u64) -> (EngineSight<'_>, u64) {
        let seen_alive = std::mem::take(&mut self.seen_alive);
        if !seen_alive && self.handle.as_ref().is_some_and(|handle| handle.has_ended_within(Span::ZERO)) {
            self.bury();
        }
        if self.reader.is_none() && (self.looked_ns == 0 || now.saturating_sub(self.looked_ns) >= ATTACH_EVERY.0) {
            self.looked_ns = now.max(1);
            self.attach();
        }
        if let Some(reader) = &mut self.reader {
            match reader.read() {
                Ok(view) => {
                    self.view = Some(rearranged(view, &self.rows));
                }
                Err(error) => self.lose(&error),
            }
        }
        let sight = match (&self.view, self.past) {
            (Some(view), _) => EngineSight::Alive(view),
            (None, Past::Nothing) => EngineSight::Absent,
            (None, Past::Ended { in_good_order }) => EngineSight::Ended { in_good_order },
            (None, Past::Lost) => EngineSight::Unreadable,
        };
        (sight, self.number())
    }

    /// The process ended: its last word says in which order.
    fn bury(&mut self) {
        let last = self.reader.as_mut().and_then(|reader| reader.read().ok());
        let state = last.or(self.view).map(|view| view.snapshot.state);
        self.past = Past::Ended { in_good_order: state == Some(EngineState::Stopped) };
        (self.handle, self.reader, self.view) = (None, None, None);
        // Its page is still there; it is not another engine's.
        self.forgotten = self.identity;
    }

    fn lose(&mut self, error: &PageError) {
        self.trouble = error.to_string();
        self.view = None;
        if matches!(error, PageError::Replaced(_)) {
            // Perhaps a new engine's page has its name already.
            self.reader = None;
            self.attach();
        }
        self.past = if self.view.is_some() { self.past } else { Past::Lost };
    }

    fn attach(&mut self) {
        match EngineReader::attach(&self.folder) {
            Ok(mut reader) => {
                let owner = reader.owner().process;
                if Some(owner) == self.forgotten {
                    return;
                }
                if self.identity != Some(owner) || self.handle.is_none() {
                    (self.identity, self.handle) = (Some(owner), owner.open().ok());
                }
                let symbol = |name: &String| self.symbols.iter().position(|symbol| symbol == name);
                if let Some(rows) = reader.symbols().iter().map(symbol).collect::<Option<Vec<_>>>() {
                    self.rows = rows;
                    self.view = reader.read().ok().map(|view| rearranged(view, &self.rows));
                } else {
                    // Its numbers mean nothing here, but its process is known: while it lives it can send.
                    let (theirs, ours) = (reader.symbols(), &self.symbols);
                    self.trouble = format!("it trades {theirs:?}, the guardian knows {ours:?}");
                    self.past = Past::Lost;
                    if self.handle.is_some() {
                        return;
                    }
                }
                self.reader = Some(reader);
                if self.handle.is_none() {
                    self.bury();
                }
            }
            // Nothing to attach to is the past's to judge: no engine yet, one that ended, or a page that vanished.
            Err(PageError::Missing(_)) => {}
            Err(error) => {
                self.trouble = error.to_string();
                self.past = Past::Lost;
            }
        }
    }

    /// The engine's process, as far as it is known.
    pub(super) fn identity(&self) -> Option<ProcessIdentity> {
        self.identity
    }

    /// A number that another engine would not have.
    pub(super) fn number(&self) -> u64 {
        self.identity.map_or(0, |process| u64::from(process.pid) ^ process.start_ticks << 22)
    }

    /// The engine's process, while it lives.
    pub(super) fn handle(&self) -> Option<&ProcessHandle> {
        self.handle.as_ref()
    }

    /// The last view, while the page can be read.
    pub(super) fn view(&self) -> Option<&EngineView> {
        self.view.as_ref()
    }

    /// What is wrong with the page, for a person.
    pub(super) fn trouble(&self) -> &str {
        &self.trouble
    }

    /// A person has dealt with the engine that is gone.
    pub(super) fn forget(&mut self) {
        if self.handle.is_none() {
            (self.reader, self.view, self.past) = (None, None, Past::Nothing);
            self.forgotten = self.identity;
        }
    }
}

/// The rows in the order of the guardian's instruments.
fn rearranged(mut view: EngineView, rows: &[usize]) -> EngineView {
    if rows.iter().enumerate().all(|(row, place)| row == *place) {
        return view;
    }
    let theirs = view.snapshot.instruments;
    view.snapshot.instruments = [InstrumentRow::default(); crate::snapshot::MAX_INSTRUMENTS];
    for (row, place) in theirs.iter().zip(rows) {
        view.snapshot.instruments[*place] = *row;
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{EnginePage, EnginePlan};
    use crate::venue::paper::synthetic::specs;

    #[test]
    fn an_engine_with_other_symbols_cannot_be_read_but_is_there_to_be_fenced() {
        let folder = tempfile::tempdir().unwrap();
        let table = InstrumentTable::new(specs(2)).unwrap();
        // This very process is the engine.
        let plan = EnginePlan { session: 1, instruments: &table, hot_threads: 1 };
        let _page = EnginePage::create(folder.path(), &plan).unwrap();
        let known = InstrumentTable::new(specs(1)).unwrap();
        let mut eye = Eye::new(folder.path(), &known, None);
        for look in 1..4 {
            let (sight, number) = eye.look(look * 2 * ATTACH_EVERY.0);
            assert_eq!((sight, number != 0), (EngineSight::Unreadable, true));
            assert!(eye.handle().is_some_and(|engine| !engine.has_ended_within(Span::ZERO)));
        }
        assert_eq!(eye.identity(), ProcessIdentity::current().ok());
        assert!(eye.trouble().contains("SYNTH2"), "{}", eye.trouble());
    }
}

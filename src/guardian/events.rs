//! `guardian-events.jsonl`: the story, one line an event. Format: `docs/guardian.md`.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::latch::Spare;
use crate::core::Nanos;
use crate::snapshot::Level;

/// Name of the file in the state folder.
pub const EVENTS_FILE: &str = "guardian-events.jsonl";
/// Longest line, with its end.
const LONGEST_LINE: usize = 4096;
const LONGEST_TITLE: usize = 120;
const LONGEST_TEXT: usize = 1000;
/// What a disk refuses is tried again this often.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Events kept while the disk refuses: the first ones are the ones that matter.
const MOST_WAITING: usize = 1024;
/// The tail that holds the last whole line for certain.
const TAIL: u64 = 3 * LONGEST_LINE as u64;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What an event is about. A name is never changed, and never used for anything else; what each means
        /// stands in `docs/guardian.md`, what a person is told to do in `notify`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As in the file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The guardian watches.
    GuardianStarted = "guardian-started";
    /// It was told to stop.
    GuardianStopped = "guardian-stopped";
    /// A live engine's page was found.
    EngineAttached = "engine-attached";
    /// The engine's process ended.
    EngineStopped = "engine-stopped";
    /// A new day's reference was taken.
    DayOpened = "day-opened";
    /// A deposit or withdrawal moved the reference.
    CashMoved = "cash-moved";
    /// A condition passed its warning threshold.
    ConditionWarned = "condition-warned";
    /// A condition is breached.
    ConditionBreached = "condition-breached";
    /// It is back within its limit.
    ConditionCleared = "condition-cleared";
    /// The level went up.
    LevelRaised = "level-raised";
    /// The latch is on disk.
    Latched = "latched";
    /// The latch could not be written.
    LatchFailed = "latch-failed";
    /// The engine sends nothing any more.
    EngineFenced = "engine-fenced";
    /// Something was closed, refused, or is slow.
    LiquidationProgress = "liquidation-progress";
    /// Open lots were above the maximum; the excess was closed.
    ExcessClosed = "excess-closed";
    /// Proved flat.
    Flat = "flat";
    /// A bound was reached and the account is not flat.
    NotFlat = "not-flat";
    /// No entry orders, no excess.
    EntriesCancelled = "entries-cancelled";
    /// A request from afar was taken up.
    RequestTaken = "request-taken";
    /// A person cleared the latch.
    LatchReset = "latch-reset";
    /// A drill ran.
    Drill = "drill";
}

impl Code {
    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// How much a person should care.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

/// One event, without its number.
#[derive(Clone, PartialEq, Debug)]
pub struct GuardianEvent {
    /// When, UTC.
    pub at: Nanos,
    /// The level after it.
    pub level: Level,
    /// What it is about.
    pub code: Code,
    /// How much a person should care.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// What happened, and what is being done.
    pub text: String,
    /// Flat: texts, integers, booleans.
    pub evidence: Map<String, Value>,
}

/// A line of the file, in the order of its fields.
#[derive(Serialize)]
struct Line<'a> {
    ts_ns: u64,
    seq: u64,
    level: Level,
    code: &'a str,
    severity: Severity,
    title: &'a str,
    text: &'a str,
    evidence: &'a Map<String, Value>,
}

/// The file. There is one writer: whoever holds the guardian's lock.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    last: u64,
    /// A line was written in part and could not be taken back: the next one begins by ending it.
    torn: bool,
}

impl EventLog {
    /// Opens the file to go on where it ends. A last line without its end is ended before the next one begins.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(state: &Path) -> io::Result<Self> {
        let path = state.join(EVENTS_FILE);
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        Read::by_ref(&mut file).take(TAIL).read_to_end(&mut tail)?;
        let torn = tail.last().is_some_and(|byte| *byte != b'\n');
        let number = |line: &[u8]| serde_json::from_slice::<Value>(line).ok()?.get("seq")?.as_u64();
        let last = tail.split(|byte| *byte == b'\n').rev().find_map(number).unwrap_or(0);
        Ok(Self { file, last, torn })
    }

    /// Appends an event and returns its number; with `sync` it is on disk then.
    ///
    /// # Errors
    /// The system refuses; then the event is not in the file, nor half of it, and may be appended again.
    pub fn append(&mut self, event: &GuardianEvent, sync: bool) -> io::Result<u64> {
        let seq = self.last + 1;
        let mut evidence = &event.evidence;
        let nothing = Map::new();
        let line = loop {
            let line = Line {
                ts_ns: event.at.0,
                seq,
                level: event.level,
                code: event.code.name(),
                severity: event.severity,
                title: cut(&event.title, LONGEST_TITLE),
                text: cut(&event.text, LONGEST_TEXT),
                evidence,
            };
            let mut line = serde_json::to_vec(&line).map_err(io::Error::other)?;
            line.push(b'\n');
            if line.len() <= LONGEST_LINE || evidence.is_empty() {
                break line;
            }
            // Better told without its evidence than not at all.
            evidence = &nothing;
        };
        self.write(&line)?;
        self.last = seq;
        if sync {
            self.file.sync_data()?;
        }
        Ok(seq)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        let length = self.file.metadata()?.len();
        self.file.write_all(line).inspect_err(|_| {
            // A disk that is full has taken a part: no reader has taken that up, it waits for the line's end.
            self.torn = self.file.set_len(length).is_err();
        })
    }
}

fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(at, _)| &text[..at])
}

enum Message {
    Event(Box<GuardianEvent>, bool),
    SyncLatch(File),
}

/// Writes events and syncs on a thread of its own, so that no slow disk holds the guardian up.
#[derive(Debug)]
pub struct Recorder {
    sender: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts the thread. A file that cannot be opened is tried again when there is something to write.
    pub fn start(log: Option<EventLog>, state: &Path, spare: Spare) -> Self {
        let (sender, receiver) = channel();
        let state = state.to_owned();
        let thread = std::thread::spawn(move || record(log, &state, &spare, &receiver));
        Self { sender: Some(sender), thread: Some(thread) }
    }

    /// Hands an event over; with `sync` it is brought to the disk at once.
    pub fn tell(&self, event: GuardianEvent, sync: bool) {
        self.send(Message::Event(Box::new(event), sync));
    }

    /// Hands a latch over to be brought to the disk.
    pub fn sync_latch(&self, file: File) {
        self.send(Message::SyncLatch(file));
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // The thread ends only with this handle, or by a panic, which ends the process.
            let _ = sender.send(message);
        }
    }
}

impl Drop for Recorder {
    /// Waits until everything is written.
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the disk refuses waits, in order, and is tried again: a story without its end, or an alarm that nobody
/// reads because it was never written, is worse than one that comes late.
fn record(mut log: Option<EventLog>, state: &Path, spare: &Spare, receiver: &Receiver<Message>) {
    let mut bare = spare.is_missing();
    let mut waiting: VecDeque<(Box<GuardianEvent>, bool)> = VecDeque::new();
    loop {
        let message = if waiting.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(TRY_AGAIN)
        };
        match message {
            Ok(Message::Event(event, sync)) if waiting.len() < MOST_WAITING => waiting.push_back((event, sync)),
            Ok(Message::Event(event, _)) => eprintln!("pawl guardian: not recorded: {}", event.title),
            Ok(Message::SyncLatch(file)) => {
                bare = true;
                if let Err(error) = super::latch::sync(state, &file).and_then(|()| spare.refill()) {
                    eprintln!("pawl guardian: the latch may not be on disk, or the next one has no spare: {error}");
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                write_as_far_as_it_goes(&mut log, state, &mut waiting);
                return;
            }
        }
        write_as_far_as_it_goes(&mut log, state, &mut waiting);
        if bare && waiting.is_empty() {
            // The disk takes things: perhaps there is room for a spare again.
            bare = spare.refill().is_err();
        }
    }
}

/// The same, where the file may not even be open.
fn write_as_far_as_it_goes(
    log: &mut Option<EventLog>,
    state: &Path,
    waiting: &mut VecDeque<(Box<GuardianEvent>, bool)>,
) {
    if log.is_none() && !waiting.is_empty() {
        let opened =
            EventLog::open(state).inspect_err(|error| eprintln!("pawl guardian: cannot record events: {error}"));
        *log = opened.ok();
    }
    if let Some(log) = log {
        write_waiting(log, waiting);
    }
}

fn write_waiting(log: &mut EventLog, waiting: &mut VecDeque<(Box<GuardianEvent>, bool)>) {
    while let Some((event, sync)) = waiting.front() {
        let before = log.last;
        if let Err(error) = log.append(event, *sync) {
            // A disk that cannot be written must not stop the guardian; the terminal (or systemd) still hears.
            eprintln!("pawl guardian: cannot record {:?}: {error}", event.title);
            if log.last == before {
                return;
            }
            // Written, but not synced: it is not written again.
        }
        waiting.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(title: &str) -> GuardianEvent {
        GuardianEvent {
            at: Nanos(5),
            level: Level::ReduceOnly,
            code: Code::LevelRaised,
            severity: Severity::Warning,
            title: title.into(),
            text: "a\nb".into(),
            evidence: Map::from_iter([("value".to_owned(), Value::from("3.1"))]),
        }
    }

    #[test]
    fn numbers_go_on_over_restarts_and_a_torn_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENTS_FILE);
        let mut log = EventLog::open(folder.path()).unwrap();
        assert_eq!((log.append(&event("one"), false).unwrap(), log.append(&event("two"), true).unwrap()), (1, 2));
        drop(log);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"ts_ns\":5,\"se");
        std::fs::write(&path, &text).unwrap();
        assert_eq!(EventLog::open(folder.path()).unwrap().append(&event("three"), false).unwrap(), 3);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            r#"{"ts_ns":5,"seq":1,"level":"REDUCE_ONLY","code":"level-raised","severity":"warning","title":"one","text":"a\nb","evidence":{"value":"3.1"}}"#
        );
        assert_eq!(lines.len(), 4);
        assert!(lines[3].contains("\"seq\":3"));
    }

    #[test]
    fn what_the_disk_refuses_waits_and_is_written_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(folder.path()).unwrap();
        let mut waiting: VecDeque<_> = ["one", "two"].map(|title| (Box::new(event(title)), true)).into();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let good = std::mem::replace(&mut log.file, full);
        write_waiting(&mut log, &mut waiting);
        assert_eq!(waiting.len(), 2, "a full disk takes nothing");
        log.file = good;
        waiting.push_back((Box::new(event("three")), false));
        write_waiting(&mut log, &mut waiting);
        let text = std::fs::read_to_string(folder.path().join(EVENTS_FILE)).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty());
        let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> =
            lines.iter().map(|line| (line["seq"].as_u64().unwrap(), line["title"].as_str().unwrap())).collect();
        assert_eq!(told, [(1, "one"), (2, "two"), (3, "three")]);
    }

    #[test]
    fn no_line_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(folder.path()).unwrap();
        let mut long = event(&"é\"".repeat(3000));
        long.text = "\u{1}".repeat(500);
        long.evidence.insert("much".into(), Value::from("x".repeat(5000)));
        log.append(&long, false).unwrap();
        let text = std::fs::read_to_string(folder.path().join(EVENTS_FILE)).unwrap();
        assert!(text.len() <= LONGEST_LINE, "{}", text.len());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["seq"], 1);
    }
}

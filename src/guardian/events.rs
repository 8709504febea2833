//! `guardian-events.jsonl`: the story, one line an event. Format: `docs/guardian.md`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::core::Nanos;
use crate::snapshot::Level;

/// Name of the file in the state folder.
pub const EVENTS_FILE: &str = "guardian-events.jsonl";
/// Longest line, with its end.
const LONGEST_LINE: usize = 4096;
const LONGEST_TITLE: usize = 120;
const LONGEST_TEXT: usize = 1000;
/// The tail that holds the last whole line for certain.
const TAIL: u64 = 3 * LONGEST_LINE as u64;

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
    /// Stable name.
    pub code: &'static str,
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
}

impl EventLog {
    /// Opens the file to go on where it ends. A last line without its end is ended.
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
        if tail.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
        }
        let number = |line: &[u8]| serde_json::from_slice::<Value>(line).ok()?.get("seq")?.as_u64();
        let last = tail.split(|byte| *byte == b'\n').rev().find_map(number).unwrap_or(0);
        Ok(Self { file, last })
    }

    /// Appends an event and returns its number; with `sync` it is on disk then.
    ///
    /// # Errors
    /// The system refuses.
    pub fn append(&mut self, event: &GuardianEvent, sync: bool) -> io::Result<u64> {
        let seq = self.last + 1;
        let mut evidence = &event.evidence;
        let nothing = Map::new();
        let line = loop {
            let line = Line {
                ts_ns: event.at.0,
                seq,
                level: event.level,
                code: event.code,
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
        self.file.write_all(&line)?;
        self.last = seq;
        if sync {
            self.file.sync_data()?;
        }
        Ok(seq)
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
    /// Starts the thread.
    pub fn start(log: EventLog, state: &Path) -> Self {
        let (sender, receiver) = channel();
        let state = state.to_owned();
        let thread = std::thread::spawn(move || record(log, &state, &receiver));
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

fn record(mut log: EventLog, state: &Path, receiver: &Receiver<Message>) {
    for message in receiver {
        let result = match message {
            Message::Event(event, sync) => log.append(&event, sync).map(drop),
            Message::SyncLatch(file) => super::latch::sync(state, &file),
        };
        if let Err(error) = result {
            // A disk that cannot be written must not stop the guardian; the terminal (or systemd) still hears.
            eprintln!("pawl guardian: cannot record: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(title: &str) -> GuardianEvent {
        GuardianEvent {
            at: Nanos(5),
            level: Level::ReduceOnly,
            code: "level-raised",
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

//! Follows the guardian's `guardian-events.jsonl`: one JSON object a line, append-only
//! (`docs/guardian.md`). A line without its end is still being written and is waited for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::alert::{Alert, Mood, Severity};
use super::desk::Desk;
use super::render::cut;
use super::tables::guardian_words;
use crate::core::Nanos;
use crate::guardian::events::Code;

/// Longest line; the guardian promises 4096 bytes.
const LINE: usize = 16 * 1024;
/// Bytes read before anything else gets its turn.
const CHUNK: usize = 64 * 1024;

/// How far the events have been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GuardianCursor {
    /// Of which file.
    pub(super) inode: u64,
    /// Bytes read, whole lines only.
    pub(super) offset: u64,
}

/// One line, as `docs/guardian.md` has it. What is missing reads as empty: a strange line is still told.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Line {
    ts_ns: u64,
    seq: u64,
    level: String,
    code: String,
    severity: String,
    title: String,
    text: String,
    evidence: serde_json::Map<String, serde_json::Value>,
}

/// Follows one file.
pub(super) struct GuardianWatch {
    path: PathBuf,
    pub(super) cursor: Option<GuardianCursor>,
}

impl GuardianWatch {
    /// A watch over the guardian's state folder; without a cursor what is there is history.
    pub(super) fn new(folder: &Path, cursor: Option<GuardianCursor>) -> Self {
        Self { path: folder.join("guardian-events.jsonl"), cursor }
    }

    /// Reads what is new and gives it to the desk as alerts.
    ///
    /// # Errors
    /// The file cannot be read; one that does not exist yet is no error.
    pub(super) fn poll(&mut self, desk: &mut Desk) -> std::io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Made later, it is new from its first line on.
                self.cursor.get_or_insert_default();
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let quiet = self.cursor.is_none();
        let cursor = self.cursor.get_or_insert(GuardianCursor { inode: metadata.ino(), offset: 0 });
        if cursor.inode != metadata.ino() || metadata.len() < cursor.offset {
            // Another file of that name, or one cut short: from its start.
            *cursor = GuardianCursor { inode: metadata.ino(), offset: 0 };
        }
        file.seek(SeekFrom::Start(cursor.offset))?;
        loop {
            let mut chunk =
                Vec::with_capacity(CHUNK.min((metadata.len() - cursor.offset.min(metadata.len())) as usize + 1));
            let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
            let whole = match chunk.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                // A line too long to be one is passed over, or it would stop the watch for ever.
                None if read > LINE => read,
                None => return Ok(()),
            };
            for line in chunk[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                tell(line, cursor.offset, quiet, desk);
            }
            cursor.offset += whole as u64;
            file.seek(SeekFrom::Start(cursor.offset))?;
            if read < CHUNK {
                return Ok(());
            }
        }
    }
}

fn tell(bytes: &[u8], offset: u64, quiet: bool, desk: &mut Desk) {
    let Ok(line) = serde_json::from_slice::<Line>(bytes) else {
        if !quiet {
            let title = "A line of the guardian's events cannot be read".to_owned();
            let mut alert = Alert::new(format!("guardian#byte{offset}"), Severity::Warning, Nanos::NONE, title);
            alert.facts.push(cut(&String::from_utf8_lossy(bytes), 200));
            alert.todo = "look at guardian-events.jsonl".into();
            desk.tell(alert);
        }
        return;
    };
    if !line.level.is_empty() {
        let since = match &desk.level {
            Some((level, since)) if *level == line.level => *since,
            _ => Nanos(line.ts_ns),
        };
        desk.level = Some((cut(&line.level, 20), since));
    }
    if !quiet {
        desk.tell(alert_of(&line));
    }
}

/// The guardian's event in the common layout.
fn alert_of(line: &Line) -> Alert {
    // A severity that this version does not know is taken for the gravest.
    let severity = match line.severity.as_str() {
        "info" => Severity::Info,
        "warning" => Severity::Warning,
        _ => Severity::Critical,
    };
    let title = if line.title.is_empty() { format!("guardian: {}", line.code) } else { one_line(&line.title, 200) };
    // The file may be started anew, so the time is part of the occurrence's name.
    let id = format!("guardian#{}@{:x}", line.seq, (line.ts_ns / 1_000_000) & 0xff_ffff);
    let mut alert = Alert::new(id, severity, Nanos(line.ts_ns), title);
    if !line.text.is_empty() {
        alert.facts.push(one_line(&line.text, 1000));
    }
    let evidence: Vec<String> = EVIDENCE
        .iter()
        .filter_map(|(key, name)| Some(format!("{name} {}", plain_value(line.evidence.get(*key)?)?)))
        .collect();
    if !evidence.is_empty() {
        alert.facts.push(evidence.join(", "));
    }
    alert.facts.push(format!("level {}", line.level));
    // A code of a newer guardian is told in the guardian's own words alone.
    let code = Code::from_name(&line.code);
    let (mood, todo) = code.map_or((Mood::Plain, ""), guardian_words);
    (alert.mood, alert.todo) = (mood, todo.to_owned());
    if let (Some(Code::NotFlat), Some(desk)) = (code, line.evidence.get("desk").and_then(plain_value)) {
        alert.todo = format!("CALL THE DESK at {desk}: the account is not flat");
    }
    alert
}

/// Evidence a person wants to read, in this order; the rest is in the file.
const EVIDENCE: [(&str, &str); 9] = [
    ("value", "value"),
    ("limit", "limit"),
    ("venue_equity", "equity at the venue"),
    ("engine_equity", "by the engine"),
    ("day_reference", "day began with"),
    ("open_lots", "open lots"),
    ("symbol", "symbol"),
    ("position", "position"),
    ("who", "by"),
];

/// A text from outside without line breaks and other control characters.
fn one_line(text: &str, limit: usize) -> String {
    cut(&text.replace(char::is_control, " "), limit)
}

fn plain_value(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(one_line(text, 60)),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::render::Letterhead;
    use super::*;
    use crate::core::Span;
    use std::io::Write;

    fn desk() -> Desk {
        Desk::new(Letterhead::default(), Span::ZERO)
    }

    fn line(seq: u64, code: &str) -> String {
        format!(
            "{{\"ts_ns\":1732457002117000000,\"seq\":{seq},\"level\":\"FLATTEN\",\"code\":\"{code}\",\"severity\":\"critical\",\
             \"title\":\"t{seq}\",\"text\":\"x\",\"evidence\":{{\"value\":\"-3.02\",\"desk\":\"+44\",\"new_key\":[1]}}}}\n"
        )
    }

    fn titles(watch: &mut GuardianWatch, desk: &mut Desk) -> Vec<String> {
        watch.poll(desk).unwrap();
        desk.take().into_iter().map(|alert| alert.title).collect()
    }

    #[test]
    fn old_lines_are_history_and_new_ones_are_told_once_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guardian-events.jsonl");
        std::fs::write(&path, line(1, "latched")).unwrap();
        let (mut watch, mut desk) = (GuardianWatch::new(folder.path(), None), desk());
        assert_eq!(titles(&mut watch, &mut desk), Vec::<String>::new());
        assert_eq!(desk.level.as_ref().map(|(level, _)| level.as_str()), Some("FLATTEN"), "history is known");
        let mut file = File::options().append(true).open(&path).unwrap();
        let next = line(2, "not-flat");
        file.write_all(&next.as_bytes()[..50]).unwrap();
        assert_eq!(titles(&mut watch, &mut desk), Vec::<String>::new(), "half a line waits");
        file.write_all(&next.as_bytes()[50..]).unwrap();
        watch.poll(&mut desk).unwrap();
        let told = desk.take();
        assert_eq!(told.len(), 1);
        assert!(told[0].todo.contains("CALL THE DESK at +44"), "{told:?}");
        // A later run goes on where this one stopped.
        file.write_all(b"not json\n").unwrap();
        file.write_all(line(3, "flat").as_bytes()).unwrap();
        let mut later = GuardianWatch::new(folder.path(), watch.cursor);
        assert_eq!(titles(&mut later, &mut desk), ["A line of the guardian's events cannot be read", "t3"]);
        assert_eq!(titles(&mut later, &mut desk), Vec::<String>::new());
    }

    #[test]
    fn every_code_of_the_guardian_is_told_and_stands_in_its_documentation() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, mut desk) = (GuardianWatch::new(folder.path(), None), desk());
        titles(&mut watch, &mut desk);
        let lines: String = Code::ALL.iter().zip(1..).map(|(code, seq)| line(seq, code.name())).collect();
        std::fs::write(folder.path().join("guardian-events.jsonl"), lines).unwrap();
        watch.poll(&mut desk).unwrap();
        let told = desk.take();
        assert_eq!(told.len(), Code::ALL.len());
        for (alert, code) in told.iter().zip(Code::ALL) {
            let (mood, todo) = guardian_words(*code);
            assert_eq!(alert.mood, mood, "{code:?}");
            assert!(alert.todo.starts_with(todo.split(':').next().unwrap()), "{code:?}: {alert:?}");
        }
        // The last table of the documentation is that of the codes.
        let text = include_str!("../../docs/guardian.md");
        let (_, table) = text.rsplit_once("| code | severity | when |").expect("the table of codes");
        let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
        let mut documented: Vec<&str> = rows.collect();
        let mut written: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        documented.sort_unstable();
        written.sort_unstable();
        assert_eq!(documented, written);
    }

    #[test]
    fn a_file_that_appears_later_is_new_from_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, mut desk) = (GuardianWatch::new(folder.path(), None), desk());
        assert_eq!(titles(&mut watch, &mut desk), Vec::<String>::new());
        std::fs::write(folder.path().join("guardian-events.jsonl"), line(1, "latched")).unwrap();
        assert_eq!(titles(&mut watch, &mut desk), ["t1"]);
    }

    #[test]
    fn a_flood_is_read_to_its_end_and_an_endless_line_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guardian-events.jsonl");
        let (mut watch, mut desk) = (GuardianWatch::new(folder.path(), None), desk());
        titles(&mut watch, &mut desk);
        let text: String = (1..=2000).map(|seq| line(seq, "drill")).collect();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(titles(&mut watch, &mut desk).len(), 2000);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(&vec![b'x'; 3 * CHUNK]).unwrap();
        file.write_all(b"\n").unwrap();
        file.write_all(line(2001, "flat").as_bytes()).unwrap();
        for _ in 0..4 {
            watch.poll(&mut desk).unwrap();
        }
        assert_eq!(desk.take().last().map(|alert| alert.title.clone()), Some("t2001".into()));
    }
}

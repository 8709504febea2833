//! What a person asks the guardian for from afar: a file in its `requests/` folder. Downward only:
//! there is no request that raises risk, clears a latch, changes a limit or sends an entry.
//!
//! One JSON file a request, there whole or not at all (written aside, synced, renamed). The guardian
//! acts and then removes the file; one that still lies there after [`TAKEN_WITHIN`] was not taken, and
//! the notifier says so loudly. Format: `docs/notify.md`.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::alert::{Alert, Severity};
use super::render::duration;
use super::spool::write_whole;
use crate::core::{Nanos, Span};

/// A request not taken within this time is an alarm.
pub(super) const TAKEN_WITHIN: Span = Span::seconds(10);

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wish {
    /// No new entries; exits go on.
    Pause,
    /// Cancel everything, close everything, latch.
    Kill,
}

impl Wish {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Kill => "kill",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Asker {
    /// Through which channel.
    pub(super) source: &'static str,
    /// The channel's number of the person.
    pub(super) user: i64,
    /// And of the chat.
    pub(super) chat: i64,
    /// The name shown there.
    pub(super) name: String,
}

#[derive(Serialize)]
struct File<'a> {
    version: u32,
    id: &'a str,
    ts_ns: u64,
    action: Wish,
    #[serde(flatten)]
    asker: &'a Asker,
}

/// Requests that were written and not yet seen taken.
pub(super) struct Requests {
    folder: PathBuf,
    open: Vec<(PathBuf, Wish, Nanos)>,
    last: u64,
}

impl Requests {
    /// Requests to the guardian whose state folder this is.
    pub(super) fn new(guardian_dir: &Path) -> Self {
        Self { folder: guardian_dir.join("requests"), open: Vec::new(), last: 0 }
    }

    /// Writes a request and returns its id.
    ///
    /// # Errors
    /// The file cannot be written: nobody will act.
    pub(super) fn write(&mut self, wish: Wish, asker: &Asker, now: Nanos) -> io::Result<String> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        // Names sort by time and never repeat, whatever the clock does.
        self.last = now.0.max(self.last + 1);
        let id = format!("{:020}-{}", self.last, wish.name());
        let file = File { version: 1, id: &id, ts_ns: now.0, action: wish, asker };
        let bytes = serde_json::to_vec(&file).map_err(io::Error::other)?;
        let path = self.folder.join(format!("{id}.json"));
        write_whole(&path, &bytes)?;
        self.open.push((path, wish, now));
        Ok(id)
    }

    /// One alarm for each request that nobody took in time.
    pub(super) fn not_taken(&mut self, now: Nanos) -> Vec<Alert> {
        let mut alarms = Vec::new();
        self.open.retain(|(path, wish, written)| {
            if !path.exists() {
                return false;
            }
            let age = now.since(*written);
            if age < TAKEN_WITHIN {
                return true;
            }
            let title = format!("/{} NOT TAKEN by the guardian after {}", wish.name(), duration(age.0));
            let id = format!("request-{}-{}", wish.name(), written.0);
            let mut alert = Alert::new(id, Severity::Critical, now, title);
            alert.facts.push("nobody removed the request from the guardian's folder: is the guardian running?".into());
            alert.doing = "the request stays there and is acted on when a guardian starts".into();
            alert.todo = "act by hand at the venue now".into();
            alarms.push(alert);
            false
        });
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::SECOND;

    #[test]
    fn a_request_is_a_whole_file_and_an_untaken_one_an_alarm() {
        let folder = tempfile::tempdir().unwrap();
        let mut requests = Requests::new(folder.path());
        let asker = Asker { source: "telegram", user: 7, chat: -100, name: "al \"x\"".into() };
        let now = Nanos(1_732_457_002 * SECOND);
        requests.write(Wish::Pause, &asker, now).unwrap();
        let id = requests.write(Wish::Kill, &asker, now).unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path().join("requests"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["01732457002000000000-pause.json", "01732457002000000001-kill.json"]);
        let path = folder.path().join("requests").join(format!("{id}.json"));
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"version": 1, "id": id, "ts_ns": now.0, "action": "kill", "source": "telegram",
                               "user": 7, "chat": -100, "name": "al \"x\""})
        );
        std::fs::remove_file(&path).unwrap();
        assert!(requests.not_taken(now.plus(Span::seconds(9))).is_empty());
        let alarms = requests.not_taken(now.plus(Span::seconds(10)));
        assert_eq!(alarms.len(), 1, "the kill was taken, the pause was not");
        assert!(alarms[0].title.starts_with("/pause NOT TAKEN"));
        assert!(requests.not_taken(now.plus(Span::seconds(99))).is_empty(), "told once");
    }
}

//! What people ask for through the state folder: `requests/` (from afar, downward only, see
//! `docs/notify.md`) and `reset.json` (by a person on this machine).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::{Nanos, Span};
use crate::snapshot::Level;

use super::clock::{Clock, SystemClock};
use super::latch::{self, LatchState};
use super::store::{read_json, write_whole};

const REQUESTS: &str = "requests";
const RESET_FILE: &str = "reset.json";
const ANSWER_FILE: &str = "reset-answer.json";

/// Files taken up in one round; the rest waits for the next.
const MOST_AT_ONCE: usize = 16;
/// A reset that lies there for longer is not meant any more: whoever asked for it has seen that nothing happened.
const RESET_LIFE: Span = Span::seconds(30);

/// One request from `requests/`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Request {
    path: PathBuf,
    /// What it demands.
    pub(super) level: Level,
    /// Who asks, as far as the file says.
    pub(super) who: String,
}

#[derive(Deserialize)]
struct RequestFile {
    action: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    user: i64,
}

/// Every request that lies there, oldest first. One that cannot be read was meant to stop something:
/// it stops entries.
pub(super) fn pending(state: &Path) -> Vec<Request> {
    let Ok(folder) = fs::read_dir(state.join(REQUESTS)) else { return Vec::new() };
    let is_request = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut paths: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).filter(is_request).collect();
    paths.sort();
    paths.truncate(MOST_AT_ONCE);
    let read = |path: PathBuf| match read_json::<RequestFile>(&path) {
        Ok(file) => {
            let level = match file.action.as_str() {
                "kill" => Level::Flatten,
                "halt" => Level::Halt,
                _ => Level::ReduceOnly,
            };
            let who = format!("{} {} ({}): {}", file.source, file.name, file.user, file.action);
            Request { path, level, who }
        }
        Err(error) => Request { level: Level::ReduceOnly, who: format!("{}: {error}", path.display()), path },
    };
    paths.into_iter().map(read).collect()
}

impl Request {
    /// It was acted on.
    pub(super) fn done(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A person's wish to clear the latch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResetRequest {
    /// Tells the answer to this request from others.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Login name.
    pub who: String,
    /// User id.
    pub uid: u32,
    /// Although something is still open at the venue.
    pub accept_positions: bool,
    /// The losses so far are accepted: day and peak begin anew.
    pub new_reference: bool,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResetAnswer {
    /// Of the request.
    pub id: String,
    /// Cleared.
    pub cleared: bool,
    /// In words.
    pub text: String,
}

/// A request as it lies there, with what tells one that is still meant from one that was forgotten.
#[derive(Serialize, Deserialize)]
struct Left {
    request: ResetRequest,
    /// When, UTC.
    asked_ns: u64,
    /// The latch that was to be cleared.
    latch: u64,
}

/// The number of the latch that lies in a state folder; one that cannot be read has one of its own.
fn latch_in(state: &Path) -> u64 {
    match latch::check(state) {
        LatchState::Unreadable { .. } => u64::MAX,
        readable => readable.number(),
    }
}

impl ResetRequest {
    /// Leaves the request for the guardian that runs: it is for the latch that is there now.
    ///
    /// # Errors
    /// The system refuses.
    pub fn leave(&self, state: &Path) -> io::Result<()> {
        let left = Left { request: self.clone(), asked_ns: SystemClock.utc().0, latch: latch_in(state) };
        write_whole(&state.join(RESET_FILE), &serde_json::to_vec(&left).map_err(io::Error::other)?)
    }

    /// Takes it back, where the guardian has not taken it up.
    pub fn withdraw(&self, state: &Path) {
        let path = state.join(RESET_FILE);
        if read_json::<Left>(&path).is_ok_and(|left| left.request.id == self.id) {
            let _ = fs::remove_file(path);
        }
    }

    /// The guardian's answer, once there is one.
    pub fn answer(&self, state: &Path) -> Option<ResetAnswer> {
        read_json::<ResetAnswer>(&state.join(ANSWER_FILE)).ok().filter(|answer| answer.id == self.id)
    }

    /// Takes up a request that lies there, and says why not if it is not to be done; one that cannot be read is thrown
    /// away.
    pub(super) fn take(state: &Path, now: Nanos) -> Option<(Self, Result<(), &'static str>)> {
        let path = state.join(RESET_FILE);
        let left: Option<Left> = match read_json(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            other => other.ok(),
        };
        let _ = fs::remove_file(path);
        let Left { request, asked_ns, latch } = left?;
        let meant = if now.0.abs_diff(asked_ns) > RESET_LIFE.0 {
            Err("it was asked for too long ago: ask again")
        } else if latch != latch_in(state) {
            Err("it has latched anew since: look why, then ask again")
        } else {
            Ok(())
        };
        Some((request, meant))
    }

    /// Answers it.
    pub(super) fn reply(&self, state: &Path, cleared: bool, text: &str) {
        let answer = ResetAnswer { id: self.id.clone(), cleared, text: text.to_owned() };
        if let Ok(bytes) = serde_json::to_vec(&answer) {
            let _ = write_whole(&state.join(ANSWER_FILE), &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_for_the_latch_that_was_there_and_for_a_moment() {
        let state = tempfile::tempdir().unwrap();
        let request = ResetRequest {
            id: "1".into(),
            reason: "found".into(),
            who: "al".into(),
            uid: 1,
            accept_positions: false,
            new_reference: false,
        };
        let now = || SystemClock.utc();
        let latch = |number| {
            let text = String::new;
            let record = latch::LatchRecord::new(number, Level::Halt, "operator", text(), text(), now());
            latch::LatchWriter::prepare(state.path()).write(&record).unwrap();
        };
        let take = |at| ResetRequest::take(state.path(), at).map(|(taken, meant)| (taken == request, meant.is_ok()));
        assert_eq!(take(now()), None);
        latch(1);
        request.leave(state.path()).unwrap();
        assert_eq!(take(now()), Some((true, true)));
        assert_eq!(take(now()), None, "once");
        for age in [Span::seconds(31), Span::seconds(86_400)] {
            request.leave(state.path()).unwrap();
            assert_eq!(take(now().plus(age)), Some((true, false)), "forgotten for {age}");
        }
        request.leave(state.path()).unwrap();
        latch(2);
        assert_eq!(take(now()), Some((true, false)), "another latch");
        // Nobody waits for it any more.
        request.leave(state.path()).unwrap();
        ResetRequest { id: "2".into(), ..request.clone() }.withdraw(state.path());
        assert!(state.path().join(RESET_FILE).exists(), "not another's");
        request.withdraw(state.path());
        assert_eq!(take(now()), None);
        // A file of an earlier version says neither.
        fs::write(state.path().join(RESET_FILE), serde_json::to_vec(&request).unwrap()).unwrap();
        assert_eq!((take(now()), state.path().join(RESET_FILE).exists()), (None, false));
    }

    #[test]
    fn requests_only_ever_stop_something() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(pending(state.path()), []);
        let folder = state.path().join(REQUESTS);
        fs::create_dir(&folder).unwrap();
        for (name, text) in [
            (
                "1.json",
                r#"{"version":1,"id":"1","ts_ns":5,"action":"pause","source":"telegram","user":7,"chat":1,"name":"al"}"#,
            ),
            ("2.json", r#"{"action":"kill"}"#),
            ("3.json", r#"{"action":"allow-entries"}"#),
            ("4.json", "{"),
            ("5.tmp", r#"{"action":"kill"}"#),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let found = pending(state.path());
        let levels: Vec<Level> = found.iter().map(|request| request.level).collect();
        assert_eq!(levels, [Level::ReduceOnly, Level::Flatten, Level::ReduceOnly, Level::ReduceOnly]);
        assert_eq!(found[0].who, "telegram al (7): pause");
        found.iter().for_each(Request::done);
        assert_eq!(pending(state.path()), []);
    }
}

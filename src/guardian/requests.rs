//! What people ask for through the state folder: `requests/` (from afar, downward only, see
//! `docs/notify.md`) and `reset.json` (by a person on this machine).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::snapshot::Level;

use super::store::{read_json, write_whole};

const REQUESTS: &str = "requests";
const RESET_FILE: &str = "reset.json";
const ANSWER_FILE: &str = "reset-answer.json";

/// Files taken up in one round; the rest waits for the next.
const MOST_AT_ONCE: usize = 16;

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

impl ResetRequest {
    /// Leaves the request for the guardian that runs.
    ///
    /// # Errors
    /// The system refuses.
    pub fn leave(&self, state: &Path) -> io::Result<()> {
        write_whole(&state.join(RESET_FILE), &serde_json::to_vec(self).map_err(io::Error::other)?)
    }

    /// The guardian's answer, once there is one.
    pub fn answer(&self, state: &Path) -> Option<ResetAnswer> {
        read_json::<ResetAnswer>(&state.join(ANSWER_FILE)).ok().filter(|answer| answer.id == self.id)
    }

    /// Takes up a request that lies there; one that cannot be read is thrown away.
    pub(super) fn take(state: &Path) -> Option<Self> {
        let path = state.join(RESET_FILE);
        let request = match read_json(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            other => other.ok(),
        };
        let _ = fs::remove_file(path);
        request
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

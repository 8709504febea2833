//! The loop: look at the sources, publish, save the position; and the test message.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::NotifyError;
use super::alert::{Alert, Severity};
use super::channel::{self, Outcome, Outlet, Telegram};
use super::commands::{Allowed, Commands};
use super::desk::{Day, Desk};
use super::guardian_watch::{GuardianCursor, GuardianWatch};
use super::hub::{Hub, utc_now};
use super::journal_watch::{JournalCursor, JournalWatch, Progress};
use super::pace::Pace;
use super::poller::{Poller, Shared};
use super::render::{Letterhead, duration};
use super::requests::Requests;
use super::secret::load;
use super::spool::{Spool, write_whole};
use crate::config::NotifyParams;
use crate::core::time::DAY;
use crate::core::{Nanos, Span};

/// Between two looks at the sources.
const LOOK: Duration = Duration::from_millis(200);

/// What is kept over restarts: `position.json`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    journal: Option<JournalCursor>,
    guardian: Option<GuardianCursor>,
    today: Day,
    yesterday: Option<Day>,
    /// Start of the last day whose summary was queued.
    summarised: u64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks the values and reads the letterhead.
fn letterhead(params: &NotifyParams) -> Result<Letterhead, NotifyError> {
    let faults = params.faults();
    if !faults.is_empty() {
        return Err(NotifyError::Config(faults));
    }
    Ok(Letterhead::new(&params.environment, &params.account, &params.desk_phone))
}

/// The configured channels, at least one.
fn outlets(params: &NotifyParams, head: &Letterhead) -> Result<(Vec<Outlet>, super::secret::Scrubber), NotifyError> {
    let (outlets, scrubber) = channel::open(params, head)?;
    if outlets.is_empty() {
        let expected = "a table such as [notify.telegram] in the configuration".to_owned();
        return Err(NotifyError::NoChannel { expected, found: "no channel".into() });
    }
    Ok((outlets, scrubber))
}

/// Sends a test message by one channel, or by all, without the queue. A line for each goes to `print`.
///
/// # Errors
/// The configuration, or a channel that did not deliver.
pub fn test(params: &NotifyParams, only: Option<&str>, mut print: impl FnMut(&str)) -> Result<(), NotifyError> {
    let head = letterhead(params)?;
    let (mut outlets, _) = outlets(params, &head)?;
    if let Some(name) = only {
        let names: Vec<String> = outlets.iter().map(|outlet| outlet.name.clone()).collect();
        outlets.retain(|outlet| outlet.name == name || outlet.name.starts_with(&format!("{name}-")));
        if outlets.is_empty() {
            return Err(NotifyError::NoChannel {
                expected: format!("one of {}", names.join(", ")),
                found: name.into(),
            });
        }
    }
    let mut failed = false;
    for outlet in &mut outlets {
        let now = utc_now();
        let mut alert =
            Alert::new(format!("test-{}", now.0 / 1_000_000), Severity::Info, now, "TEST: alerts reach you".into());
        alert.facts.push(format!("channel {}, from {} up", outlet.name, outlet.min_severity.word()));
        alert.facts.push("characters: 1 < 2 & 3 > 2, \"quotes\", under_score *star*".into());
        let outcome = outlet.channel.send(&[alert]);
        let took = duration(utc_now().since(now).0);
        let (good, text) = match outcome {
            Outcome::Delivered => (true, format!("delivered in {took}")),
            Outcome::Wait(pause) => (false, format!("NOT DELIVERED: asked to wait {}", duration(pause.0))),
            Outcome::Failed(why) => (false, format!("NOT DELIVERED: {why}")),
            Outcome::Refused(why) => (false, format!("NOT DELIVERED, refused: {why}")),
            Outcome::LockedOut(why) => (false, format!("NOT DELIVERED, locked out: {why}")),
        };
        failed |= !good;
        print(&format!("{:<10} {text}", outlet.name));
    }
    if failed { Err(NotifyError::TestFailed) } else { Ok(()) }
}

/// Runs until `stop` becomes true.
///
/// # Errors
/// The configuration, a channel, or the state folder.
pub fn run(params: &NotifyParams, stop: &AtomicBool) -> Result<(), NotifyError> {
    let head = letterhead(params)?;
    let (outlets, scrubber) = outlets(params, &head)?;
    let state = &params.state_dir;
    make_private(state)?;
    let _lock = lock(state)?;
    let mut lanes = Vec::new();
    for outlet in &outlets {
        let folder = state.join("queue").join(&outlet.name);
        let spool = Spool::open(&folder, params.queue_limit).map_err(failed("open the queue", &folder))?;
        lanes.push((outlet.name.clone(), outlet.min_severity, spool));
    }
    let path = state.join("position.json");
    let position = read_position(&path);
    let day_offset = params.day_offset().unwrap_or(Span::ZERO);
    let mut desk = Desk::new(head, day_offset);
    desk.today = position.today.clone();
    desk.yesterday.clone_from(&position.yesterday);
    let shared = Arc::new(Shared {
        hub: Hub::new(lanes, params.repeat_window, scrubber),
        desk: Mutex::new(desk),
        requests: Mutex::new(Requests::new(&params.guardian_dir)),
    });
    let mut threads = Vec::new();
    for (index, mut outlet) in outlets.into_iter().enumerate() {
        let shared = Arc::clone(&shared);
        let mut pace = Pace::new(outlet.per_minute, outlet.burst);
        threads.push(std::thread::spawn(move || shared.hub.serve(index, outlet.channel.as_mut(), &mut pace)));
    }
    start_poller(params, &shared)?;
    let mut watch = Watch {
        journal: JournalWatch::new(&params.journal, position.journal.clone()),
        guardian: GuardianWatch::new(&params.guardian_dir, position.guardian),
        summary: !params.daily_summary.is_empty(),
        late_after: params.late_after,
        saved: position,
        path,
        guardian_error: false,
    };
    let waiting: usize = shared.hub.waiting().iter().map(|(_, count)| count).sum();
    let names: Vec<String> = shared.hub.waiting().into_iter().map(|(name, _)| name).collect();
    shared.hub.log(&format!("watching, {} ready; {waiting} undelivered from before", names.join(", ")));
    while !stop.load(Ordering::Acquire) {
        if watch.look(&shared) == Progress::AtEnd {
            std::thread::sleep(LOOK);
        }
    }
    watch.look(&shared);
    shared.hub.stop();
    for thread in threads {
        // A channel that panicked has its alerts on disk; the next start sends them.
        let _ = thread.join();
    }
    let waiting: usize = shared.hub.waiting().iter().map(|(_, count)| count).sum();
    shared.hub.log(&format!("stopped; {waiting} alerts wait for the next start"));
    Ok(())
}

/// Starts the command thread where commands are allowed to anybody. It is not waited for at the end: a poll
/// that is held open has nothing to lose.
fn start_poller(params: &NotifyParams, shared: &Arc<Shared>) -> Result<(), NotifyError> {
    let Some(telegram) = params.telegram.as_ref().filter(|telegram| !telegram.allowed_users.is_empty()) else {
        return Ok(());
    };
    let source = |source| channel::ChannelError::Secret { name: "telegram", source };
    let bot = Telegram::new(telegram, load(&telegram.token).map_err(source)?);
    let chats = if telegram.allowed_chats.is_empty() { vec![telegram.chat_id] } else { telegram.allowed_chats.clone() };
    let commands = Commands::new(Allowed { users: telegram.allowed_users.clone(), chats });
    let mut poller = Poller::new(bot, commands, params.state_dir.join("telegram-offset"));
    let shared = Arc::clone(shared);
    std::thread::spawn(move || poller.run(&shared));
    Ok(())
}

struct Watch {
    journal: JournalWatch,
    guardian: GuardianWatch,
    summary: bool,
    late_after: Span,
    saved: Position,
    path: PathBuf,
    guardian_error: bool,
}

impl Watch {
    /// One look at every source; publishes, then saves how far.
    fn look(&mut self, shared: &Shared) -> Progress {
        let now = utc_now();
        let mut desk = held(&shared.desk);
        let late = self.journal.catching_up;
        let progress = self.journal.poll(&mut desk, now);
        let mut alerts = desk.take();
        match self.guardian.poll(&mut desk) {
            Ok(()) => self.guardian_error = false,
            Err(error) if !std::mem::replace(&mut self.guardian_error, true) => {
                shared.hub.log(&format!("the guardian's events cannot be read: {error}"));
            }
            Err(_) => {}
        }
        alerts.extend(desk.take());
        if late {
            alerts = fold_late(alerts, now, self.late_after);
        }
        if progress == Progress::AtEnd {
            desk.roll(now);
        }
        let mut summarised = self.saved.summarised;
        if self.summary
            && let Some(day) = &desk.yesterday
            && day.start_ns > summarised
        {
            summarised = day.start_ns;
            // A day that ended long ago is no news; a session replayed from the past has many.
            if now.since(Nanos(day.start_ns + DAY)) < Span(DAY) {
                alerts.push(desk.summary(day));
            }
        }
        let next = Position {
            journal: Some(self.journal.cursor.clone()),
            guardian: self.guardian.cursor,
            today: desk.today.clone(),
            yesterday: desk.yesterday.clone(),
            summarised,
        };
        drop(desk);
        for alert in &alerts {
            shared.hub.publish(alert);
        }
        let alarms = held(&shared.requests).not_taken(now);
        for alarm in &alarms {
            shared.hub.publish(alarm);
        }
        shared.hub.tell_repeats();
        // Half-read history must not look like news to the next start. What was told already is known by its id.
        if !self.journal.catching_up {
            self.save(next, !alerts.is_empty(), shared);
        }
        progress
    }

    /// The position moves only after its alerts are queued.
    fn save(&mut self, next: Position, told: bool, shared: &Shared) {
        // Quotes move the position all the time; a restart that reads some again tells nothing twice.
        let moved = |position: &Position| position.journal.as_ref().map_or(0, |cursor| cursor.input);
        let far = moved(&next).abs_diff(moved(&self.saved)) > 1 << 16;
        let session =
            |position: &Position| position.journal.as_ref().map(|cursor| (cursor.session.clone(), cursor.ended));
        let other = session(&next) != session(&self.saved)
            || next.guardian != self.saved.guardian
            || next.today != self.saved.today
            || next.summarised != self.saved.summarised;
        if !(told || far || other) {
            return;
        }
        let bytes = serde_json::to_vec(&next).unwrap_or_default();
        match write_whole(&self.path, &bytes) {
            Ok(()) => self.saved = next,
            Err(error) => shared.hub.log(&format!("cannot write {}: {error}", self.path.display())),
        }
    }
}

/// What happened while nobody was there to tell it: notices are counted, graver alerts are sent and marked.
fn fold_late(alerts: Vec<Alert>, now: Nanos, late_after: Span) -> Vec<Alert> {
    let mut kept = Vec::new();
    let mut folded: Vec<Alert> = Vec::new();
    for mut alert in alerts {
        let age = now.since(alert.at());
        if age <= late_after {
            kept.push(alert);
        } else if alert.severity == Severity::Info {
            folded.push(alert);
        } else {
            alert.title = format!("LATE by {}: {}", duration(age.0), alert.title);
            kept.push(alert);
        }
    }
    if let (Some(first), Some(last)) = (folded.first(), folded.last()) {
        let title = format!("{} notices while the notifier was away", folded.len());
        let mut alert = Alert::new(format!("away-{}", first.id), Severity::Info, last.at(), title);
        alert.facts = folded.iter().rev().take(8).rev().map(|folded| folded.title.clone()).collect();
        if folded.len() > 8 {
            alert.facts.insert(0, "the last of them:".into());
        }
        kept.insert(0, alert);
    }
    kept
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> NotifyError + 'a {
    move |source| NotifyError::State { action, path: path.to_owned(), source }
}

fn make_private(folder: &Path) -> Result<(), NotifyError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("create", folder))
}

fn lock(folder: &Path) -> Result<File, NotifyError> {
    let path = folder.join("notify.lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(failed("open", &path))?;
    // SAFETY: the descriptor is open and outlives the call; flock touches no memory.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(NotifyError::Locked(folder.to_owned()));
    }
    Ok(file)
}

/// The saved position; a missing or damaged one means a quiet start.
fn read_position(path: &Path) -> Position {
    std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::SECOND;

    #[test]
    fn old_notices_are_counted_and_old_alarms_sent_as_late() {
        let now = Nanos(1_732_457_002 * SECOND);
        let alert = |id: u64, severity: Severity, age: u64| {
            Alert::new(id.to_string(), severity, Nanos(now.0 - age * SECOND), format!("t{id}"))
        };
        let mut alerts: Vec<Alert> = (0..20).map(|id| alert(id, Severity::Info, 4000 - id)).collect();
        alerts.push(alert(20, Severity::Critical, 7500));
        alerts.push(alert(21, Severity::Info, 60));
        let kept = fold_late(alerts, now, Span::seconds(600));
        let titles: Vec<&str> = kept.iter().map(|alert| alert.title.as_str()).collect();
        assert_eq!(titles, ["20 notices while the notifier was away", "LATE by 2h 05m: t20", "t21"]);
        assert_eq!(kept[0].facts, ["the last of them:", "t12", "t13", "t14", "t15", "t16", "t17", "t18", "t19"]);
    }
}

//! Asks Telegram for commands and answers them. Its own thread and connection: a poll that hangs delays
//! no alert.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use super::alert::{Alert, Severity};
use super::channel::{Http, HttpAnswer, Outcome, Telegram};
use super::commands::{Caller, Commands, Verdict};
use super::desk::Desk;
use super::hub::{Hub, utc_now};
use super::pace::Pace;
use super::requests::{Asker, Requests, Wish};
use super::spool::write_whole;
use crate::core::{Nanos, Span};

/// Seconds that Telegram holds a poll open when there is nothing to say.
const HOLD: u64 = 25;
/// Updates in one answer: few enough that the longest messages fit into what is read of an answer.
const UPDATES: u64 = 10;

/// What the poller shares with the loop.
pub(super) struct Shared {
    pub(super) hub: Hub,
    pub(super) desk: Mutex<Desk>,
    pub(super) requests: Mutex<Requests>,
}

/// Polls one bot.
pub(super) struct Poller {
    telegram: Telegram,
    commands: Commands,
    http: Http,
    /// The first update that was not handled, kept over restarts.
    offset: i64,
    offset_file: PathBuf,
}

impl Poller {
    pub(super) fn new(telegram: Telegram, commands: Commands, offset_file: PathBuf) -> Self {
        let offset = std::fs::read_to_string(&offset_file).ok().and_then(|text| text.trim().parse().ok());
        Self { telegram, commands, http: Http::new(Span::seconds(HOLD + 15)), offset: offset.unwrap_or(0), offset_file }
    }

    /// Polls until the hub stops.
    pub(super) fn run(&mut self, shared: &Shared) {
        let mut pace = Pace::new(60, 60);
        while !shared.hub.is_stopping() {
            let wait = pace.ready_at().since(shared.hub.monotonic());
            if wait > Span::ZERO {
                std::thread::sleep(std::time::Duration::from_nanos(wait.0.min(500_000_000)));
                continue;
            }
            // An empty answer comes after `HOLD`; only a server that answers at once is slowed by the pace.
            pace.on_send(shared.hub.monotonic());
            let body =
                json!({"offset": self.offset, "timeout": HOLD, "limit": UPDATES, "allowed_updates": ["message"]});
            let outcome = match self.http.send(&self.telegram.call("getUpdates", &body)) {
                Ok(answer) => self.on_answer(&answer, shared),
                Err(failure) => Outcome::Failed(failure.to_string()),
            };
            let now = shared.hub.monotonic();
            match outcome {
                Outcome::Delivered => pace.on_delivered(),
                Outcome::Wait(asked) => drop(pace.on_asked(now, asked)),
                Outcome::Failed(why) | Outcome::Refused(why) => {
                    pace.on_failure(now);
                    if pace.failures().is_power_of_two() {
                        shared.hub.log(&format!("telegram commands: {why}"));
                    }
                }
                Outcome::LockedOut(why) => {
                    pace.on_locked_out(now);
                    shared.hub.log(&format!("telegram commands: {why}"));
                }
            }
        }
    }

    fn on_answer(&mut self, answer: &HttpAnswer, shared: &Shared) -> Outcome {
        let outcome = Telegram::verdict(answer);
        if outcome != Outcome::Delivered {
            return outcome;
        }
        let mut fresh = false;
        for update in answer.json()["result"].as_array().into_iter().flatten() {
            let Some(number) = update["update_id"].as_i64() else { continue };
            if number < self.offset {
                continue;
            }
            self.handle(update, shared);
            self.offset = number.saturating_add(1);
            fresh = true;
        }
        if fresh {
            // Lost, the number only means that a message younger than a minute is judged again: a pause asked for
            // twice is one pause, and a code is good for one process and once.
            let _ = write_whole(&self.offset_file, self.offset.to_string().as_bytes());
        }
        outcome
    }

    fn handle(&mut self, update: &Value, shared: &Shared) {
        let now = utc_now();
        let verdict = self.commands.judge(update, now, shared.hub.monotonic(), new_code);
        let (caller, text) = match verdict {
            Verdict::Ignore(why) => return shared.hub.log(&format!("telegram commands: ignored {why}")),
            Verdict::Say(caller, text) => (caller, text),
            Verdict::Status(caller) => (caller, with_desk(shared, |desk| desk.status(now, &shared.hub.waiting()))),
            Verdict::Profit(caller) => (caller, with_desk(shared, |desk| desk.profit(now))),
            Verdict::Positions(caller) => (caller, with_desk(shared, |desk| desk.positions(now))),
            Verdict::Pause(caller) => request(shared, Wish::Pause, caller, now),
            Verdict::Kill(caller) => request(shared, Wish::Kill, caller, now),
        };
        if let Err(failure) = self.http.send(&self.telegram.reply(caller.chat, &text)) {
            shared.hub.log(&format!("telegram commands: the answer was not sent: {failure}"));
        }
    }
}

fn with_desk(shared: &Shared, ask: impl FnOnce(&Desk) -> String) -> String {
    ask(&shared.desk.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Writes the request, tells every channel, and answers.
fn request(shared: &Shared, wish: Wish, caller: Caller, now: Nanos) -> (Caller, String) {
    let asker = Asker { source: "telegram", user: caller.user, chat: caller.chat, name: caller.name.clone() };
    let written = shared.requests.lock().unwrap_or_else(PoisonError::into_inner).write(wish, &asker, now);
    let who = format!("{} ({}) on Telegram", caller.name, caller.user);
    let (severity, title, text) = match &written {
        Ok(id) => (
            if wish == Wish::Kill { Severity::Critical } else { Severity::Warning },
            format!("/{} asked for by {who}", wish.name()),
            format!(
                "{} is asked for.\nRequest {id}\nThe guardian's answer follows; if none comes in 10 s you are told.",
                wish.name().to_uppercase()
            ),
        ),
        Err(error) => (
            Severity::Critical,
            format!("/{} by {who} FAILED: the request cannot be written", wish.name()),
            format!("FAILED: the request cannot be written ({error}). Nothing was done. Act at the venue yourself."),
        ),
    };
    let id = written.unwrap_or_else(|_| format!("{}-{}-failed", now.0, wish.name()));
    shared.hub.publish(&Alert::new(format!("request-{id}"), severity, now, title));
    (caller, text)
}

/// Four digits that cannot be guessed from the last ones.
fn new_code() -> String {
    let mut bytes = [0; 4];
    // Without randomness there is no code that could be right: nobody is killed by a guess.
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => format!("{:04}", u32::from_le_bytes(bytes) % 10_000),
        Err(_) => "(no code can be made)".to_owned(),
    }
}

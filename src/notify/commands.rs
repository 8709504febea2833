//! Commands from a chat, as a pure state machine: an update in, a verdict out.
//!
//! Obeyed are users on the list, in chats on the list, with messages at most a minute old; everybody
//! else is ignored without an answer. What can be asked only lowers risk. /kill takes two messages: the
//! first is answered with a code that is good for 30 seconds, once, for that user in that chat.

use serde_json::Value;

use crate::core::time::SECOND;
use crate::core::{Nanos, Span};

/// Older messages are ignored: after an outage yesterday's /kill must not be obeyed.
const OLDEST: u64 = 60;
/// How long a code is good.
const CODE_LIFE: Span = Span::seconds(30);
/// Wrong codes after which a code is void.
const WRONG: u32 = 3;

/// Who may command.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    /// User numbers.
    pub(super) users: Vec<i64>,
    /// Chat numbers.
    pub(super) chats: Vec<i64>,
}

/// Who commanded, where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    pub(super) user: i64,
    pub(super) chat: i64,
    pub(super) name: String,
}

/// What to do about an update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing, and no answer; why, for the log.
    Ignore(String),
    /// Answer with the status.
    Status(Caller),
    /// Answer with the profit.
    Profit(Caller),
    /// Answer with the positions.
    Positions(Caller),
    /// Answer with this text.
    Say(Caller, String),
    /// Ask for no new entries.
    Pause(Caller),
    /// Ask for the end: confirmed by a code.
    Kill(Caller),
}

struct Pending {
    user: i64,
    chat: i64,
    code: String,
    until: Nanos,
    wrong: u32,
}

/// Judges updates.
pub(super) struct Commands {
    allowed: Allowed,
    pending: Option<Pending>,
}

/// What /help says.
pub(super) const HELP: &str = "/status  am I safe, what runs\n/pnl  the day's profit\n/positions  what is open\n\
/pause  no new entries, exits go on\n/kill  cancel and close everything, latch (asks for a code)\n\
Nothing here raises risk or clears a latch: that takes a person at the machine.";

impl Commands {
    /// Obeys these.
    pub(super) const fn new(allowed: Allowed) -> Self {
        Self { allowed, pending: None }
    }

    /// Judges one update. `utc` is compared with the message's date, `monotonic` with a code's life; `code` makes a
    /// new code of four digits.
    pub(super) fn judge(
        &mut self,
        update: &Value,
        utc: Nanos,
        monotonic: Nanos,
        code: impl FnOnce() -> String,
    ) -> Verdict {
        let message = &update["message"];
        let (Some(user), Some(chat), Some(date)) =
            (message["from"]["id"].as_i64(), message["chat"]["id"].as_i64(), message["date"].as_i64())
        else {
            return Verdict::Ignore("an update that is no message".into());
        };
        if !self.allowed.users.contains(&user) || !self.allowed.chats.contains(&chat) {
            return Verdict::Ignore(format!("user {user} in chat {chat} is not on the list"));
        }
        let age = (utc.0 / SECOND) as i64 - date;
        if age.unsigned_abs() > OLDEST {
            return Verdict::Ignore(format!("a message {age} s old (or this machine's clock is wrong)"));
        }
        let text = message["text"].as_str().unwrap_or_default();
        let mut words = text.split_whitespace();
        let first = words.next().unwrap_or_default();
        // In a group a command may carry the bot's name: /kill@my_bot.
        let command = first.split('@').next().unwrap_or_default().to_lowercase();
        let name: String = message["from"]["first_name"]
            .as_str()
            .unwrap_or("?")
            .chars()
            .filter(|c| !c.is_control())
            .take(40)
            .collect();
        let caller = Caller { user, chat, name };
        match (command.as_str(), words.next()) {
            ("/status", _) => Verdict::Status(caller),
            ("/pnl", _) => Verdict::Profit(caller),
            ("/positions", _) => Verdict::Positions(caller),
            ("/help" | "/start", _) => Verdict::Say(caller, HELP.into()),
            ("/pause", _) => Verdict::Pause(caller),
            ("/kill", None) => self.ask_for_code(caller, monotonic, code()),
            ("/kill", Some(given)) => self.check_code(caller, monotonic, given),
            (other, _) if other.starts_with('/') => Verdict::Say(caller, format!("Not a command I know.\n{HELP}")),
            _ => Verdict::Ignore("not a command".into()),
        }
    }

    fn ask_for_code(&mut self, caller: Caller, now: Nanos, code: String) -> Verdict {
        let text = format!(
            "KILL cancels every order, closes every position and latches: only a person at the machine can start again.\n\
             To do it, send within 30 seconds:\n/kill {code}"
        );
        self.pending =
            Some(Pending { user: caller.user, chat: caller.chat, code, until: now.plus(CODE_LIFE), wrong: 0 });
        Verdict::Say(caller, text)
    }

    fn check_code(&mut self, caller: Caller, now: Nanos, given: &str) -> Verdict {
        let Some(pending) = &mut self.pending else {
            return Verdict::Say(caller, "No code is open. Send /kill for one.".into());
        };
        if now > pending.until {
            self.pending = None;
            return Verdict::Say(caller, "That code is too old, nothing was done. Send /kill for a new one.".into());
        }
        if (pending.user, pending.chat) != (caller.user, caller.chat) {
            return Verdict::Say(caller, "That code was given to somebody else. Send /kill for your own.".into());
        }
        if pending.code == given {
            self.pending = None;
            return Verdict::Kill(caller);
        }
        pending.wrong += 1;
        if pending.wrong >= WRONG {
            self.pending = None;
            return Verdict::Say(caller, "Wrong three times: the code is void, nothing was done.".into());
        }
        Verdict::Say(caller, "Wrong code, nothing was done.".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const UTC: Nanos = Nanos(1_732_457_002 * SECOND);

    fn message(user: i64, chat: i64, age: i64, text: &str) -> Value {
        json!({"update_id": 1, "message": {"from": {"id": user, "first_name": "Al"}, "chat": {"id": chat},
               "date": 1_732_457_002 - age, "text": text}})
    }

    fn commands() -> Commands {
        Commands::new(Allowed { users: vec![7, 8], chats: vec![-100] })
    }

    fn at(seconds: u64) -> Nanos {
        Nanos(1 + seconds * SECOND)
    }

    fn judge(commands: &mut Commands, update: &Value, seconds: u64) -> Verdict {
        commands.judge(update, UTC, at(seconds), || "4821".into())
    }

    #[test]
    fn only_listed_users_in_listed_chats_are_answered() {
        for (user, chat) in [(9, -100), (7, -101), (7, 7), (-100, 7)] {
            for text in ["/kill", "/kill 4821", "/status", "/help", "/pause"] {
                let verdict = judge(&mut commands(), &message(user, chat, 0, text), 0);
                assert!(matches!(verdict, Verdict::Ignore(_)), "{user} {chat} {text}: {verdict:?}");
            }
        }
        for strange in [json!(null), json!({}), json!({"message": {"text": "/kill"}}), json!({"callback_query": {}})] {
            assert!(matches!(judge(&mut commands(), &strange, 0), Verdict::Ignore(_)));
        }
    }

    #[test]
    fn a_message_older_than_a_minute_is_ignored() {
        assert!(matches!(judge(&mut commands(), &message(7, -100, 60, "/pause"), 0), Verdict::Pause(_)));
        for age in [61, 86_400, -61] {
            assert!(matches!(judge(&mut commands(), &message(7, -100, age, "/pause"), 0), Verdict::Ignore(_)), "{age}");
        }
    }

    #[test]
    fn kill_takes_the_right_code_from_the_right_person_in_time_once() {
        let mut commands = commands();
        let Verdict::Say(_, text) = judge(&mut commands, &message(7, -100, 0, "/kill@pawl_bot"), 0) else { panic!() };
        assert!(text.contains("/kill 4821"), "{text}");
        let says = |verdict: Verdict| matches!(verdict, Verdict::Say(..));
        assert!(says(judge(&mut commands, &message(8, -100, 0, "/kill 4821"), 1)), "another person");
        assert!(says(judge(&mut commands, &message(7, -100, 0, "/kill 1111"), 2)), "a wrong code");
        assert!(matches!(judge(&mut commands, &message(7, -100, 0, "/kill 4821"), 30), Verdict::Kill(_)));
        assert!(says(judge(&mut commands, &message(7, -100, 0, "/kill 4821"), 30)), "only once");
        judge(&mut commands, &message(7, -100, 0, "/kill"), 100);
        assert!(says(judge(&mut commands, &message(7, -100, 0, "/kill 4821"), 131)), "too late");
        judge(&mut commands, &message(7, -100, 0, "/kill"), 200);
        for _ in 0..3 {
            judge(&mut commands, &message(7, -100, 0, "/kill 0000"), 201);
        }
        assert!(says(judge(&mut commands, &message(7, -100, 0, "/kill 4821"), 202)), "void after three wrong ones");
        assert!(says(commands.judge(&message(7, -100, 0, "/kill 4821"), UTC, at(0), || "1".into())));
    }

    #[test]
    fn nothing_can_be_said_that_raises_risk() {
        for text in
            ["/resume", "/start", "/reset", "/buy 1", "/allow", "/unpause", "/latch clear", "/config", "kill", "/kill@"]
        {
            let verdict = judge(&mut commands(), &message(7, -100, 0, text), 0);
            assert!(matches!(verdict, Verdict::Say(..) | Verdict::Ignore(_)), "{text}: {verdict:?}");
        }
    }
}

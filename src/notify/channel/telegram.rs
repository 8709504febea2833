//! Telegram: `sendMessage` in HTML, again as plain text when the HTML is refused. The token is part of
//! the address, which is why no address is ever printed.

use serde_json::{Value, json};

use super::http::span_of_seconds;
use super::{HttpAnswer, HttpRequest, Outcome, Protocol, by_status};
use crate::config::TelegramParams;
use crate::notify::alert::{Alert, Severity};
use crate::notify::render::{Letterhead, cut, html_all, plain_all};
use crate::notify::secret::Secret;

/// Characters of a message; Telegram's limit is 4096 after its markup is read.
const CHARACTERS: usize = 3800;

/// One bot in one chat.
#[derive(Clone)]
pub(in crate::notify) struct Telegram {
    server: String,
    token: Secret,
    chat_id: i64,
    silent_below: Severity,
}

impl Telegram {
    /// The bot of the configuration.
    pub(in crate::notify) fn new(params: &TelegramParams, token: Secret) -> Self {
        let server = params.server.trim_end_matches('/').to_owned();
        Self { server, token, chat_id: params.chat_id, silent_below: params.silent_below }
    }

    /// A call of the bot's API.
    pub(in crate::notify) fn call(&self, method: &str, body: &Value) -> HttpRequest {
        HttpRequest {
            url: Secret::new(format!("{}/bot{}/{method}", self.server, self.token.expose())),
            headers: Vec::new(),
            content_type: "application/json",
            body: body.to_string(),
        }
    }

    /// A plain answer to a person.
    pub(in crate::notify) fn reply(&self, chat: i64, text: &str) -> HttpRequest {
        let body = json!({
            "chat_id": chat,
            "text": cut(text, CHARACTERS),
            "link_preview_options": { "is_disabled": true },
        });
        self.call("sendMessage", &body)
    }

    /// What an answer of the API means.
    pub(in crate::notify) fn verdict(answer: &HttpAnswer) -> Outcome {
        let json = answer.json();
        let said = json["description"].as_str().unwrap_or("no explanation");
        let code = json["error_code"].as_u64().unwrap_or(u64::from(answer.status));
        match (json["ok"].as_bool(), code) {
            (Some(true), _) => Outcome::Delivered,
            (_, 429) => {
                let asked = json["parameters"]["retry_after"].as_f64().and_then(span_of_seconds);
                let asked = asked.or(answer.retry_after);
                by_status(&HttpAnswer { status: 429, retry_after: asked, body: String::new() }, said)
            }
            (_, 401 | 404) => Outcome::LockedOut(format!("{code} {said}: the bot's token is wrong or revoked")),
            (_, 403) => Outcome::LockedOut(format!("403 {said}: the bot may not write to this chat")),
            (_, 409) => Outcome::Failed(format!("409 {said}: another program polls this bot; use one bot for each")),
            // A 200 that is not Telegram's, e.g. the page of a captive portal, delivered nothing.
            (None, 200..=299) => Outcome::Failed("an answer that is not Telegram's".into()),
            (_, code) => {
                let answer = HttpAnswer { status: code as u16, ..answer.clone() };
                by_status(&answer, said)
            }
        }
    }
}

impl Protocol for Telegram {
    fn request(&self, alerts: &[Alert], head: &Letterhead, simple: bool) -> HttpRequest {
        let gravest = alerts.iter().map(|alert| alert.severity).max().unwrap_or_default();
        let html = html_all(alerts, head);
        // Cutting could tear a tag: what is too long goes plain.
        let simple = simple || html.chars().count() > CHARACTERS;
        let mut body = json!({
            "chat_id": self.chat_id,
            "text": if simple { cut(&plain_all(alerts, head), CHARACTERS) } else { html },
            "disable_notification": gravest < self.silent_below,
            "link_preview_options": { "is_disabled": true },
        });
        if !simple {
            body["parse_mode"] = "HTML".into();
        }
        self.call("sendMessage", &body)
    }

    fn judge(&self, answer: &HttpAnswer, simple: bool) -> Option<Outcome> {
        match Self::verdict(answer) {
            Outcome::Refused(_) if !simple => None,
            outcome => Some(outcome),
        }
    }

    fn most(&self) -> usize {
        10
    }
}

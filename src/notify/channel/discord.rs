//! Discord: a channel's webhook, one embed for each alert. The whole address is the secret.

use super::http::span_of_seconds;
use super::{HttpAnswer, HttpRequest, Outcome, Protocol, by_status};
use crate::notify::alert::Alert;
use crate::notify::render::{Letterhead, discord, discord_plain};
use crate::notify::secret::Secret;

/// One webhook.
pub(super) struct Discord {
    webhook: Secret,
}

impl Discord {
    pub(super) fn new(webhook: &Secret) -> Self {
        let text = webhook.expose();
        // With `wait` the answer says whether the message was stored, not merely taken.
        let joint = if text.contains('?') { '&' } else { '?' };
        Self { webhook: Secret::new(format!("{text}{joint}wait=true")) }
    }
}

impl Protocol for Discord {
    fn request(&self, alerts: &[Alert], head: &Letterhead, simple: bool) -> HttpRequest {
        let message = if simple { discord_plain(alerts, head) } else { discord(alerts, head) };
        HttpRequest {
            url: self.webhook.clone(),
            headers: Vec::new(),
            content_type: "application/json",
            body: message.to_string(),
        }
    }

    fn judge(&self, answer: &HttpAnswer, simple: bool) -> Option<Outcome> {
        let json = answer.json();
        let said = json["message"].as_str().unwrap_or("no explanation");
        let asked = json["retry_after"].as_f64().and_then(span_of_seconds).or(answer.retry_after);
        let answer = HttpAnswer { retry_after: asked, ..answer.clone() };
        match by_status(&answer, said) {
            Outcome::Refused(_) if !simple => None,
            outcome => Some(outcome),
        }
    }

    fn most(&self) -> usize {
        10
    }
}

//! SMS by Twilio: a form, with basic authentication. One alert a message, in the 7-bit alphabet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{HttpAnswer, HttpRequest, Outcome, Protocol, by_status};
use crate::config::TwilioParams;
use crate::notify::alert::Alert;
use crate::notify::render::{Letterhead, sms};
use crate::notify::secret::{Scrubber, Secret, percent_encoded};

/// One receiver.
pub(super) struct Twilio {
    url: String,
    authorization: Secret,
    sender: (&'static str, String),
    to: String,
}

impl Twilio {
    pub(super) fn new(params: &TwilioParams, to: &str, token: &Secret, scrubber: &mut Scrubber) -> Self {
        let user = if params.key_sid.is_empty() { &params.account_sid } else { &params.key_sid };
        let basic = STANDARD.encode(format!("{user}:{}", token.expose()));
        scrubber.learn(&basic);
        let sender = if params.from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let server = params.server.trim_end_matches('/');
        Self {
            url: format!("{server}/2010-04-01/Accounts/{}/Messages.json", percent_encoded(&params.account_sid)),
            authorization: Secret::new(format!("Basic {basic}")),
            sender: (sender, params.from.clone()),
            to: to.to_owned(),
        }
    }
}

impl Protocol for Twilio {
    fn request(&self, alerts: &[Alert], head: &Letterhead, _simple: bool) -> HttpRequest {
        let text = alerts.first().map(|alert| sms(alert, head)).unwrap_or_default();
        let form = [("To", self.to.as_str()), (self.sender.0, self.sender.1.as_str()), ("Body", text.as_str())];
        let pairs: Vec<String> = form.iter().map(|(key, value)| format!("{key}={}", percent_encoded(value))).collect();
        HttpRequest {
            url: Secret::new(self.url.clone()),
            headers: vec![("authorization", self.authorization.clone())],
            content_type: "application/x-www-form-urlencoded",
            body: pairs.join("&"),
        }
    }

    fn judge(&self, answer: &HttpAnswer, _simple: bool) -> Option<Outcome> {
        let json = answer.json();
        let code = json["code"].as_u64().map_or_else(String::new, |code| format!("{code} "));
        let said = format!("{code}{}", json["message"].as_str().unwrap_or("no explanation"));
        Some(by_status(answer, &said))
    }

    fn most(&self) -> usize {
        1
    }
}

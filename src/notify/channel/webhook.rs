//! Any HTTP receiver: a JSON post, pawl's own or made from a template, with the alert's id as
//! `Idempotency-Key`, so that a receiver which knows the header drops a message sent twice.

use serde_json::json;

use super::{HttpAnswer, HttpRequest, Outcome, Protocol, by_status};
use crate::notify::alert::Alert;
use crate::notify::render::{Letterhead, clock, sms};
use crate::notify::secret::Secret;

/// One receiver.
pub(super) struct Webhook {
    url: Secret,
    authorization: Option<Secret>,
    template: String,
}

impl Webhook {
    pub(super) fn new(url: Secret, authorization: Option<Secret>, template: &str) -> Self {
        Self { url, authorization, template: template.to_owned() }
    }

    fn body(&self, alert: &Alert, head: &Letterhead) -> String {
        if self.template.is_empty() {
            let body = json!({
                "id": alert.id,
                "environment": head.environment,
                "account": head.account,
                "severity": alert.severity,
                "at_ns": alert.at_ns,
                "time": clock(alert.at()),
                "title": alert.title,
                "facts": alert.facts,
                "doing": alert.doing,
                "todo": alert.todo,
                "text": sms(alert, head),
            });
            return body.to_string();
        }
        let values = [
            ("{text}", sms(alert, head)),
            ("{title}", alert.title.clone()),
            ("{severity}", alert.severity.word().to_owned()),
            ("{environment}", head.environment.clone()),
            ("{id}", alert.id.clone()),
        ];
        fill(&self.template, &values)
    }
}

/// Puts values in place of their names, in one pass: a value that looks like a name stays text.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let (mut filled, mut rest) = (String::new(), template);
    while let Some(brace) = rest.find('{') {
        filled.push_str(&rest[..brace]);
        rest = &rest[brace..];
        if let Some((name, value)) = values.iter().find(|(name, _)| rest.starts_with(name)) {
            let quoted = serde_json::Value::from(value.as_str()).to_string();
            filled.push_str(&quoted[1..quoted.len() - 1]);
            rest = &rest[name.len()..];
        } else {
            filled.push('{');
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    filled
}

impl Protocol for Webhook {
    fn request(&self, alerts: &[Alert], head: &Letterhead, _simple: bool) -> HttpRequest {
        let alert = alerts.first().cloned().unwrap_or_default();
        let key: String = alert.id.chars().filter(char::is_ascii_graphic).collect();
        let mut headers = vec![("idempotency-key", Secret::new(key))];
        headers.extend(self.authorization.iter().map(|value| ("authorization", value.clone())));
        let body = self.body(&alert, head);
        HttpRequest { url: self.url.clone(), headers, content_type: "application/json", body }
    }

    fn judge(&self, answer: &HttpAnswer, _simple: bool) -> Option<Outcome> {
        Some(by_status(answer, &answer.body))
    }

    fn most(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_once_and_stays_json() {
        let alert = Alert { title: "say \"{id}\" \\ {x}\n".into(), id: "g1".into(), ..Alert::default() };
        let template = r#"{"to":"+1","m":"{title}","n":{"id":"{id}"},"k":"{unknown}"}"#;
        let webhook = Webhook::new(Secret::new(String::new()), None, template);
        let value: serde_json::Value = serde_json::from_str(&webhook.body(&alert, &Letterhead::default())).unwrap();
        assert_eq!(value, json!({"to": "+1", "m": alert.title, "n": {"id": "g1"}, "k": "{unknown}"}));
    }
}

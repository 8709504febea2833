//! `[notify]`: where alerts come from and where they go. No secret stands in the file itself: a token,
//! password or webhook address is named by an environment variable or by a private file.
//!
//! A channel whose table is absent is off. Addresses of servers can be changed for tests and
//! self-hosted gateways; without TLS only on this machine's own loopback.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secret::{SecretSource, is_loopback, is_protected};
use crate::core::Span;
use crate::core::time::SECOND;

/// How grave an alert is. The order is that of gravity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know: a trade, a start.
    #[default]
    Info,
    /// Look at it today: entries stopped, a connection lost.
    Warning,
    /// Look at it now: money is at risk.
    Critical,
}

/// Alerts: `pawl notify`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyParams {
    /// Shown first in every message: `paper`, `demo` or `live`. Default: `paper`.
    pub environment: String,
    /// Account number; only its last four characters are ever shown. Default: none.
    pub account: String,
    /// A session's folder, or the folder that holds the sessions; then the newest is followed. Default: `journal`.
    pub journal: PathBuf,
    /// The guardian's state folder: `guardian-events.jsonl` is read there, requests are written to `requests/`
    /// in it. Default: `state`, as `live.state`.
    pub guardian_dir: PathBuf,
    /// Own folder: queue and position in the sources, so that an alert outlives a restart. Default: `state/notify`.
    pub state_dir: PathBuf,
    /// Where the trading day ends and the summary is sent, UTC, `HH:MM`; empty for no summary. Default: `00:00`.
    pub daily_summary: String,
    /// Telephone of the broker's or venue's desk, printed in every critical message. Default: none.
    pub desk_phone: String,
    /// The same complaint is sent once in this time, then counted. Default: 5m. Range: 1s to 1d.
    pub repeat_window: Span,
    /// After a pause of the notifier, notices older than this are counted in one message instead of sent one by
    /// one; warnings and critical alerts are always sent, marked late. Default: 10m.
    pub late_after: Span,
    /// Undelivered alerts kept for each channel; beyond it the oldest of the least grave goes. Default: 1000.
    /// Range: 10 to 100,000.
    pub queue_limit: usize,
    /// Telegram.
    pub telegram: Option<TelegramParams>,
    /// Discord.
    pub discord: Option<DiscordParams>,
    /// E-mail.
    pub email: Option<EmailParams>,
    /// SMS by Twilio.
    pub twilio: Option<TwilioParams>,
    /// Any HTTP receiver, for example another SMS gateway.
    pub webhook: Option<WebhookParams>,
}

impl Default for NotifyParams {
    fn default() -> Self {
        Self {
            environment: "paper".into(),
            account: String::new(),
            journal: "journal".into(),
            guardian_dir: "state".into(),
            state_dir: "state/notify".into(),
            daily_summary: "00:00".into(),
            desk_phone: String::new(),
            repeat_window: Span::seconds(300),
            late_after: Span::seconds(600),
            queue_limit: 1000,
            telegram: None,
            discord: None,
            email: None,
            twilio: None,
            webhook: None,
        }
    }
}

/// Telegram: messages, and commands from people on a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelegramParams {
    /// The bot's token. One bot for each environment: two pollers of one bot steal each other's commands.
    pub token: SecretSource,
    /// The chat that messages go to.
    pub chat_id: i64,
    /// Least gravity that is sent. Default: `info`.
    #[serde(default)]
    pub min_severity: Severity,
    /// Below this gravity a message makes no sound. Default: `warning`.
    #[serde(default = "warning")]
    pub silent_below: Severity,
    /// Messages a minute; Telegram allows 20 in a group. Default: 20. Range: 1 to 60.
    #[serde(default = "twenty")]
    pub per_minute: u32,
    /// User numbers whose commands are obeyed. Empty, the default: no commands at all.
    #[serde(default)]
    pub allowed_users: Vec<i64>,
    /// Chats in which those users are obeyed. Empty, the default: only `chat_id`.
    #[serde(default)]
    pub allowed_chats: Vec<i64>,
    /// The server. Default: `https://api.telegram.org`.
    #[serde(default = "telegram_server")]
    pub server: String,
}

/// Discord: a channel's webhook.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscordParams {
    /// The webhook's whole address, which is its secret.
    pub webhook: SecretSource,
    /// Least gravity that is sent. Default: `info`.
    #[serde(default)]
    pub min_severity: Severity,
    /// Messages a minute; Discord allows 30 for a channel. Default: 20. Range: 1 to 60.
    #[serde(default = "twenty")]
    pub per_minute: u32,
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// Plain at first, then TLS before anything else is said; no TLS, no mail. Usually port 587.
    #[default]
    Starttls,
    /// TLS from the first byte. Usually port 465.
    Tls,
    /// No protection: only for a relay on this machine.
    None,
}

/// E-mail over SMTP.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailParams {
    /// The mail server.
    pub host: String,
    /// Its port. Default: 587.
    #[serde(default = "submission_port")]
    pub port: u16,
    /// `starttls` (default), `tls` or `none`.
    #[serde(default)]
    pub security: MailSecurity,
    /// User name; empty for a server that asks for none.
    #[serde(default)]
    pub user: String,
    /// Password of that user.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// Sender.
    pub from: String,
    /// Receivers.
    pub to: Vec<String>,
    /// Certificate (PEM) of a private authority that signed the server's, beside the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Least gravity that is sent. Default: `warning`.
    #[serde(default = "warning")]
    pub min_severity: Severity,
    /// Mails a minute. Default: 10. Range: 1 to 60.
    #[serde(default = "ten")]
    pub per_minute: u32,
}

/// SMS by Twilio.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwilioParams {
    /// The account's SID, `AC...`.
    pub account_sid: String,
    /// SID of an API key, `SK...`, when `token` is that key's secret; empty when it is the account's token.
    #[serde(default)]
    pub key_sid: String,
    /// The key's secret, or the account's token.
    pub token: SecretSource,
    /// Sender: a number with `+`, or a messaging service's SID, `MG...`.
    pub from: String,
    /// Receivers, numbers with `+`.
    pub to: Vec<String>,
    /// Least gravity that is sent. Default: `critical`.
    #[serde(default = "critical")]
    pub min_severity: Severity,
    /// Messages a minute to each number. Default: 10. Range: 1 to 60.
    #[serde(default = "ten")]
    pub per_minute: u32,
    /// The server. Default: `https://api.twilio.com`.
    #[serde(default = "twilio_server")]
    pub server: String,
}

/// Any HTTP receiver: a POST with a JSON body.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookParams {
    /// The whole address, which may hold a secret.
    pub url: SecretSource,
    /// Value of the `Authorization` header, e.g. `Bearer ...`.
    #[serde(default)]
    pub authorization: Option<SecretSource>,
    /// The body, with `{text}`, `{title}`, `{severity}`, `{environment}` and `{id}` in place, each escaped for a JSON
    /// string. Empty, the default: pawl's own JSON, see `docs/notify.md`.
    #[serde(default)]
    pub body: String,
    /// Least gravity that is sent. Default: `critical`.
    #[serde(default = "critical")]
    pub min_severity: Severity,
    /// Messages a minute. Default: 10. Range: 1 to 60.
    #[serde(default = "ten")]
    pub per_minute: u32,
}

const fn warning() -> Severity {
    Severity::Warning
}
const fn critical() -> Severity {
    Severity::Critical
}
const fn ten() -> u32 {
    10
}
const fn twenty() -> u32 {
    20
}
const fn submission_port() -> u16 {
    587
}
fn telegram_server() -> String {
    "https://api.telegram.org".into()
}
fn twilio_server() -> String {
    "https://api.twilio.com".into()
}

impl NotifyParams {
    /// Everything that is wrong with the values, one sentence each; empty when nothing is.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut need = |good: bool, text: String| {
            if !good {
                faults.push(format!("notify.{text}"));
            }
        };
        need(
            !self.environment.trim().is_empty(),
            "environment: expected a word such as \"demo\", found nothing".into(),
        );
        let day = &self.daily_summary;
        need(
            self.day_offset().is_some() || day.is_empty(),
            format!("daily_summary: expected \"HH:MM\" in UTC or \"\", found {day:?}"),
        );
        let window = self.repeat_window;
        need(
            (SECOND..=86_400 * SECOND).contains(&window.0),
            format!("repeat_window: expected 1s to 1d, found {window}"),
        );
        let limit = self.queue_limit;
        need((10..=100_000).contains(&limit), format!("queue_limit: expected 10 to 100000, found {limit}"));
        let paces = [
            ("telegram", self.telegram.as_ref().map(|channel| channel.per_minute)),
            ("discord", self.discord.as_ref().map(|channel| channel.per_minute)),
            ("email", self.email.as_ref().map(|channel| channel.per_minute)),
            ("twilio", self.twilio.as_ref().map(|channel| channel.per_minute)),
            ("webhook", self.webhook.as_ref().map(|channel| channel.per_minute)),
        ];
        for (name, pace) in paces {
            let pace = pace.unwrap_or(1);
            need((1..=60).contains(&pace), format!("{name}.per_minute: expected 1 to 60, found {pace}"));
        }
        let servers = [
            ("telegram", self.telegram.as_ref().map(|channel| channel.server.as_str())),
            ("twilio", self.twilio.as_ref().map(|channel| channel.server.as_str())),
        ];
        for (name, server) in servers {
            let server = server.unwrap_or("https://");
            need(
                is_protected(server),
                format!("{name}.server: expected https:// (http:// only for loopback), found {server:?}"),
            );
        }
        if let Some(email) = &self.email {
            need(!email.to.is_empty(), "email.to: expected at least one receiver, found none".into());
            need(
                email.user.is_empty() == email.password.is_none(),
                "email: expected user and password together, found one of them".into(),
            );
            need(
                email.security != MailSecurity::None || is_loopback(&email.host),
                format!(
                    "email.security: expected starttls or tls, found none for {:?}, which is not this machine",
                    email.host
                ),
            );
        }
        if let Some(twilio) = &self.twilio {
            need(!twilio.to.is_empty(), "twilio.to: expected at least one receiver, found none".into());
            let numbers = twilio.to.iter().all(|number| number.starts_with('+'));
            need(numbers, "twilio.to: expected numbers with a leading +, found another".into());
            need(
                twilio.account_sid.starts_with("AC"),
                "twilio.account_sid: expected AC..., found something else".into(),
            );
        }
        faults
    }

    /// Where in the UTC day the trading day ends; `None` when the text is not a time of day.
    pub fn day_offset(&self) -> Option<Span> {
        let (hours, minutes) = self.daily_summary.split_once(':')?;
        let two = |text: &str| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        (hours < 24 && minutes < 60).then(|| Span::seconds(hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<NotifyParams, String> {
        Config::parse(text, Path::new("pawl.toml")).map(|config| config.notify).map_err(|error| error.to_string())
    }

    #[test]
    fn every_channel_reads_from_its_table() {
        let text = r#"
            [notify]
            environment = "live"
            daily_summary = "22:00"
            [notify.telegram]
            token = { env = "PAWL_TELEGRAM_TOKEN" }
            chat_id = -100
            allowed_users = [7]
            [notify.discord]
            webhook = { file = "/etc/pawl/discord" }
            [notify.email]
            host = "smtp.example.org"
            from = "pawl@example.org"
            to = ["me@example.org"]
            [notify.twilio]
            account_sid = "AC1"
            token = { env = "PAWL_TWILIO" }
            from = "+1"
            to = ["+2"]
            [notify.webhook]
            url = { env = "PAWL_HOOK" }
        "#;
        let params = parse(text).unwrap();
        assert_eq!(params.faults(), Vec::<String>::new());
        assert_eq!(params.day_offset(), Some(Span::seconds(22 * 3600)));
        assert_eq!(params.email.unwrap().security, MailSecurity::Starttls);
    }

    #[test]
    fn what_cannot_be_is_said_all_at_once() {
        let text = r#"
            [notify]
            daily_summary = "24:00"
            repeat_window = "0s"
            queue_limit = 1
            [notify.telegram]
            token = { env = "T" }
            chat_id = 1
            per_minute = 0
            server = "http://api.telegram.org"
            [notify.email]
            host = "smtp.example.org"
            security = "none"
            user = "me"
            from = "a@b"
            to = []
        "#;
        let faults = parse(text).unwrap().faults();
        assert_eq!(faults.len(), 8, "{faults:#?}");
    }
}

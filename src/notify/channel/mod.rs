//! The media. Each HTTP medium is two pure functions, alerts to request and answer to outcome; one
//! struct posts for them all, so that two media differ only by what their wires differ in.

mod discord;
mod http;
mod mail;
mod telegram;
mod twilio;
mod webhook;

pub(super) use http::{Http, HttpAnswer, HttpRequest};
pub(super) use telegram::Telegram;

use super::alert::{Alert, Severity};
use super::render::Letterhead;
use super::secret::{Scrubber, Secret, SecretError, load};
use crate::config::{NotifyParams, SecretSource, is_protected};
use crate::core::Span;

/// What became of an attempt. Texts are scrubbed of secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The medium has taken it over.
    Delivered,
    /// Too fast: not before this time has passed.
    Wait(Span),
    /// It did not work this time.
    Failed(String),
    /// The medium will never take this message.
    Refused(String),
    /// The credentials or the address are wrong: no message will go.
    LockedOut(String),
}

/// A medium that delivers alerts.
pub(super) trait Channel: Send {
    /// Delivers these alerts as one message.
    fn send(&mut self, alerts: &[Alert]) -> Outcome;
    /// How many notices may share a message.
    fn most(&self) -> usize;
}

/// A channel with what the dispatcher must know about it.
pub(super) struct Outlet {
    /// Its name in the configuration; receivers of SMS are numbered.
    pub(super) name: String,
    /// Least gravity that is sent.
    pub(super) min_severity: Severity,
    /// Messages a minute.
    pub(super) per_minute: u32,
    /// Messages that may go at once after a rest.
    pub(super) burst: u32,
    /// The medium.
    pub(super) channel: Box<dyn Channel>,
}

/// Why a channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Its secret cannot be had.
    #[error("notify.{name}: {source}")]
    Secret {
        /// Which channel.
        name: &'static str,
        /// What is wrong.
        source: SecretError,
    },
    /// Its address would carry the secret unprotected, or is none.
    #[error("notify.{0}: expected an address with https:// (http:// only for loopback), found another (not shown)")]
    Address(&'static str),
    /// Sender, receiver, certificate or host cannot be used.
    #[error("notify.{name}: {message}")]
    Value {
        /// Which channel.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// An HTTP medium's two halves.
pub(super) trait Protocol: Send {
    /// The request; `simple` after the first form was refused as malformed.
    fn request(&self, alerts: &[Alert], head: &Letterhead, simple: bool) -> HttpRequest;
    /// What an answer means. `None`: malformed, worth one try in the simple form.
    fn judge(&self, answer: &HttpAnswer, simple: bool) -> Option<Outcome>;
    /// How many notices may share a message.
    fn most(&self) -> usize;
}

/// A medium reached by one HTTP post for each message.
struct HttpChannel<P> {
    protocol: P,
    http: Http,
    head: Letterhead,
    scrubber: Scrubber,
}

impl<P: Protocol> Channel for HttpChannel<P> {
    fn send(&mut self, alerts: &[Alert]) -> Outcome {
        let mut simple = false;
        loop {
            let request = self.protocol.request(alerts, &self.head, simple);
            let answer = match self.http.send(&request) {
                Ok(answer) => answer,
                Err(failure) => return Outcome::Failed(failure.to_string()),
            };
            match self.protocol.judge(&answer, simple) {
                Some(outcome) => return scrubbed(outcome, &self.scrubber),
                None if simple => return Outcome::Refused("malformed in both forms".into()),
                None => simple = true,
            }
        }
    }

    fn most(&self) -> usize {
        self.protocol.most()
    }
}

fn scrubbed(outcome: Outcome, scrubber: &Scrubber) -> Outcome {
    match outcome {
        Outcome::Failed(text) => Outcome::Failed(scrubber.clean(&text)),
        Outcome::Refused(text) => Outcome::Refused(scrubber.clean(&text)),
        Outcome::LockedOut(text) => Outcome::LockedOut(scrubber.clean(&text)),
        other => other,
    }
}

/// What every HTTP medium means by its status; `detail` is its own explanation.
fn by_status(answer: &HttpAnswer, detail: &str) -> Outcome {
    let said = format!("HTTP {}: {detail}", answer.status);
    match answer.status {
        200..=299 => Outcome::Delivered,
        429 => Outcome::Wait(answer.retry_after.unwrap_or(Span::seconds(5))),
        401 | 403 | 404 | 410 => Outcome::LockedOut(said),
        400 | 413 | 422 => Outcome::Refused(said),
        503 if answer.retry_after.is_some() => Outcome::Wait(answer.retry_after.unwrap_or_default()),
        _ => Outcome::Failed(said),
    }
}

/// Loads a secret and teaches it to the scrubber.
fn secret(name: &'static str, source: &SecretSource, scrubber: &mut Scrubber) -> Result<Secret, ChannelError> {
    let secret = load(source).map_err(|source| ChannelError::Secret { name, source })?;
    scrubber.learn(secret.expose());
    Ok(secret)
}

/// The channels that are configured, and what scrubs their secrets from every text.
///
/// # Errors
/// The first channel that cannot be used.
pub(super) fn open(params: &NotifyParams, head: &Letterhead) -> Result<(Vec<Outlet>, Scrubber), ChannelError> {
    let mut scrubber = Scrubber::default();
    let mut outlets = Vec::new();
    if let Some(telegram) = &params.telegram {
        let token = secret("telegram", &telegram.token, &mut scrubber)?;
        let protocol = Telegram::new(telegram, token);
        outlets
            .push((("telegram".to_owned(), telegram.min_severity, telegram.per_minute, 3), Medium::Telegram(protocol)));
    }
    if let Some(discord) = &params.discord {
        let webhook = secret("discord", &discord.webhook, &mut scrubber)?;
        if !is_protected(webhook.expose()) {
            return Err(ChannelError::Address("discord"));
        }
        let protocol = discord::Discord::new(&webhook);
        outlets.push((("discord".to_owned(), discord.min_severity, discord.per_minute, 4), Medium::Discord(protocol)));
    }
    if let Some(twilio) = &params.twilio {
        let token = secret("twilio", &twilio.token, &mut scrubber)?;
        for (index, to) in twilio.to.iter().enumerate() {
            // Each receiver is a channel: a number that fails delays and doubles no other.
            let name = if twilio.to.len() == 1 { "twilio".to_owned() } else { format!("twilio-{}", index + 1) };
            let protocol = twilio::Twilio::new(twilio, to, &token, &mut scrubber);
            outlets.push(((name, twilio.min_severity, twilio.per_minute, 3), Medium::Twilio(protocol)));
        }
    }
    if let Some(webhook) = &params.webhook {
        let url = secret("webhook", &webhook.url, &mut scrubber)?;
        if !is_protected(url.expose()) {
            return Err(ChannelError::Address("webhook"));
        }
        let authorization = match &webhook.authorization {
            Some(source) => Some(secret("webhook", source, &mut scrubber)?),
            None => None,
        };
        let protocol = webhook::Webhook::new(url, authorization, &webhook.body);
        outlets.push((("webhook".to_owned(), webhook.min_severity, webhook.per_minute, 5), Medium::Webhook(protocol)));
    }
    let mail = match &params.email {
        Some(email) => {
            let password = match &email.password {
                Some(source) => Some(secret("email", source, &mut scrubber)?),
                None => None,
            };
            Some((email, password))
        }
        None => None,
    };
    // Every channel scrubs every secret, so the channels are made when all are known.
    let mut opened: Vec<Outlet> = Vec::new();
    for ((name, min_severity, per_minute, burst), medium) in outlets {
        let channel = medium.into_channel(head, &scrubber);
        opened.push(Outlet { name, min_severity, per_minute, burst, channel });
    }
    if let Some((email, password)) = mail {
        let channel = Box::new(mail::Mail::new(email, password, head, &scrubber)?);
        let (min_severity, per_minute) = (email.min_severity, email.per_minute);
        opened.push(Outlet { name: "email".into(), min_severity, per_minute, burst: 5, channel });
    }
    Ok((opened, scrubber))
}

enum Medium {
    Telegram(Telegram),
    Discord(discord::Discord),
    Twilio(twilio::Twilio),
    Webhook(webhook::Webhook),
}

impl Medium {
    fn into_channel(self, head: &Letterhead, scrubber: &Scrubber) -> Box<dyn Channel> {
        match self {
            Self::Telegram(protocol) => over_http(protocol, head, scrubber),
            Self::Discord(protocol) => over_http(protocol, head, scrubber),
            Self::Twilio(protocol) => over_http(protocol, head, scrubber),
            Self::Webhook(protocol) => over_http(protocol, head, scrubber),
        }
    }
}

fn over_http<P: Protocol + 'static>(protocol: P, head: &Letterhead, scrubber: &Scrubber) -> Box<dyn Channel> {
    let http = Http::new(Span::seconds(10));
    Box::new(HttpChannel { protocol, http, head: head.clone(), scrubber: scrubber.clone() })
}

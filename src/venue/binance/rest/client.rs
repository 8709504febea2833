//! One HTTP request: parameters encoded, stamped, signed, sent, and the answer sorted into value,
//! refusal or unknown.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Timeout};

use super::super::errors;
use super::super::sign::{Secret, Signer, push_parameter};
use super::names::Names;
use crate::core::{Nanos, Span};

/// Largest answer accepted: all of futures' exchange information is some 2 MB.
const LARGEST_ANSWER: u64 = 16 << 20;

/// A key and what signs for it.
#[derive(Clone)]
pub struct Credentials {
    /// The key's public name, sent with every request.
    pub api_key: Secret,
    /// Proves that we may use it.
    pub signer: Signer,
}

/// How to reach the HTTP API.
#[derive(Clone, Debug)]
pub struct RestParams {
    /// Base such as `https://api.binance.com`.
    pub base: String,
    /// Longest wait for a whole request.
    pub timeout: Span,
    /// How old a signed request may be when the venue sees it; 1 ms to 60 s.
    pub receive_window: Span,
    /// A root certificate in PEM to trust instead of the public ones: for the simulated venue.
    pub root_certificate: Option<Vec<u8>>,
    /// Wall clock, UTC.
    pub clock: fn() -> Nanos,
}

/// Why a request has no value.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The venue gave no answer. `sent` is false when the request certainly never left.
    #[error("{path}: expected an answer from the venue, found: {reason}; check the connection{}", said(*.sent))]
    NoAnswer {
        /// Of the request.
        path: String,
        /// What the operating system or the protocol said.
        reason: String,
        /// Whether the venue may have received it.
        sent: bool,
    },
    /// The venue said no. Nothing was done.
    #[error("{path}: refused by the venue: {message} (code {code}, status {status})")]
    Refused {
        /// Of the request.
        path: String,
        /// HTTP status.
        status: u16,
        /// The venue's code; 0 when it gave none.
        code: i64,
        /// The venue's words.
        message: String,
    },
    /// Too many requests; stop asking for a while or be banned.
    #[error("{path}: too many requests (status {status}); wait {retry_after} before the next one")]
    Limited {
        /// Of the request.
        path: String,
        /// 429, or 418 for a ban.
        status: u16,
        /// How long the venue wants silence.
        retry_after: Span,
    },
    /// The venue does not know whether it was done.
    #[error("{path}: outcome unknown: {message} (code {code}, status {status}); ask before trying again")]
    Unknown {
        /// Of the request.
        path: String,
        /// HTTP status.
        status: u16,
        /// The venue's code; 0 when it gave none.
        code: i64,
        /// The venue's words.
        message: String,
    },
    /// The answer is not what the documentation says.
    #[error("{path}: expected an answer as documented, found: {reason}")]
    Unexpected {
        /// Of the request.
        path: String,
        /// What was found.
        reason: String,
    },
    /// A signed call without a key.
    #[error("{path}: expected a key to sign with, found none; set the venue's key and secret")]
    NoKey {
        /// Of the request.
        path: String,
    },
}

fn said(sent: bool) -> &'static str {
    if sent { "; it may have been received" } else { "; it was not sent" }
}

impl RestError {
    /// True when the venue may have done what was asked: find out, do not repeat.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::NoAnswer { sent, .. } => *sent,
            Self::Unknown { .. } | Self::Unexpected { .. } => true,
            Self::Refused { .. } | Self::Limited { .. } | Self::NoKey { .. } => false,
        }
    }

    /// The venue's code of a definite refusal.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        if let Self::Refused { code, .. } = self { Some(*code) } else { None }
    }

    pub(super) fn unexpected(path: &str, reason: &str) -> Self {
        Self::Unexpected { path: path.to_owned(), reason: reason.chars().take(200).collect() }
    }
}

/// Sends requests one at a time.
pub(super) struct Client {
    agent: Agent,
    base: String,
    credentials: Option<Credentials>,
    receive_window: Span,
    clock: fn() -> Nanos,
    /// Venue time minus ours, nanoseconds.
    offset: i64,
    used_weight: Option<u32>,
}

/// The venue's words for "no".
#[derive(Deserialize)]
struct Refusal {
    code: i64,
    #[serde(default)]
    msg: String,
}

impl Client {
    pub(super) fn new(params: &RestParams, credentials: Option<Credentials>) -> Result<Self, RestError> {
        let roots = match &params.root_certificate {
            None => RootCerts::WebPki,
            Some(pem) => {
                let certificate = Certificate::from_pem(pem)
                    .map_err(|error| RestError::unexpected("root certificate", &error.to_string()))?;
                RootCerts::new_with_certs(&[certificate])
            }
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .no_delay(true)
            .timeout_global(Some(Duration::from_nanos(params.timeout.0)))
            .max_idle_connections(2)
            .user_agent(concat!("pawl/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Names::default());
        let (base, receive_window) = (params.base.trim_end_matches('/').to_owned(), params.receive_window);
        Ok(Self { agent, base, credentials, receive_window, clock: params.clock, offset: 0, used_weight: None })
    }

    pub(super) fn now(&self) -> Nanos {
        (self.clock)()
    }

    pub(super) fn venue_now(&self) -> Nanos {
        Nanos(self.now().0.saturating_add_signed(self.offset))
    }

    pub(super) fn set_offset(&mut self, offset: i64) {
        self.offset = offset;
    }

    pub(super) fn used_weight(&self) -> Option<u32> {
        self.used_weight
    }

    /// A call that anybody may make.
    pub(super) fn public<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, RestError> {
        self.send(method, path, &encode(parameters), false)
    }

    /// A call with the key's name but no signature.
    pub(super) fn keyed<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, RestError> {
        self.send(method, path, &encode(parameters), true)
    }

    /// A call that is stamped and signed.
    pub(super) fn signed<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, RestError> {
        let Some(credentials) = &self.credentials else { return Err(RestError::NoKey { path: path.to_owned() }) };
        let mut query = encode(parameters);
        let window = self.receive_window.0 / 1_000_000;
        push_parameter(&mut query, "recvWindow", window.max(1).to_string().as_bytes());
        let timestamp = self.venue_now().0 / 1_000_000;
        push_parameter(&mut query, "timestamp", timestamp.to_string().as_bytes());
        credentials.signer.sign_query(&mut query);
        self.send(method, path, &query, true)
    }

    fn send<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        query: &[u8],
        keyed: bool,
    ) -> Result<T, RestError> {
        // Percent-encoding leaves nothing but ASCII.
        let query = String::from_utf8_lossy(query);
        let separator = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{separator}{query}", self.base);
        let mut headers: Vec<(&str, &str)> = Vec::new();
        if keyed {
            let Some(credentials) = &self.credentials else { return Err(RestError::NoKey { path: path.to_owned() }) };
            let key = std::str::from_utf8(credentials.api_key.expose())
                .map_err(|_| RestError::unexpected(path, "an API key that is not text"))?;
            headers.push(("X-MBX-APIKEY", key));
        }
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(()).map_err(|error| RestError::unexpected(path, &error.to_string()))?;
        // Parameters are in the query always; a POST says that its body is empty.
        let answer = match method {
            "POST" => self.agent.run(request.map(|()| &[][..])),
            _ => self.agent.run(request),
        };
        let mut response = answer.map_err(|error| no_answer(path, &error))?;
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
        self.used_weight =
            header("x-mbx-used-weight-1m").and_then(|used| u32::try_from(used).ok()).or(self.used_weight);
        let retry_after = header("retry-after");
        let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec();
        let body = body.map_err(|error| no_answer(path, &error))?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body).map_err(|error| RestError::unexpected(path, &error.to_string()));
        }
        let said = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Refusal { code: 0, msg: String::from_utf8_lossy(&body).chars().take(200).collect() });
        Err(refusal(path, status, said, retry_after))
    }
}

fn encode(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut query = Vec::with_capacity(256);
    for (name, value) in parameters {
        push_parameter(&mut query, name, value.as_bytes());
    }
    query
}

fn refusal(path: &str, status: u16, said: Refusal, retry_after: Option<u64>) -> RestError {
    let (path, code, message) = (path.to_owned(), said.code, said.msg);
    match errors::outcome(status, code, &message) {
        errors::Outcome::Unknown => RestError::Unknown { path, status, code, message },
        errors::Outcome::Limited => {
            RestError::Limited { path, status, retry_after: Span::seconds(retry_after.unwrap_or(60).min(86_400 * 3)) }
        }
        errors::Outcome::Refused => RestError::Refused { path, status, code, message },
    }
}

fn no_answer(path: &str, error: &ureq::Error) -> RestError {
    let sent = match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
        ureq::Error::Io(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
        _ => true,
    };
    RestError::NoAnswer { path: path.to_owned(), reason: error.to_string(), sent }
}

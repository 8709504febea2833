//! One HTTP post. The address may be a secret, so no error here carries a text of the library's: each
//! is a fixed sentence by kind of failure. Redirects are not followed: they would carry the secret elsewhere.

use std::time::Duration;

use ureq::Agent;

use crate::config::is_loopback;
use crate::core::Span;
use crate::core::time::SECOND;
use crate::notify::secret::Secret;

/// Bytes of an answer that are read.
const ANSWER: u64 = 256 * 1024;

/// A post.
pub(in crate::notify) struct HttpRequest {
    /// The whole address.
    pub(in crate::notify) url: Secret,
    /// Names and values.
    pub(in crate::notify) headers: Vec<(&'static str, Secret)>,
    /// The body's type.
    pub(in crate::notify) content_type: &'static str,
    /// The body.
    pub(in crate::notify) body: String,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(in crate::notify) struct HttpAnswer {
    /// Status.
    pub(in crate::notify) status: u16,
    /// The header `Retry-After`, where it is a number of seconds.
    pub(in crate::notify) retry_after: Option<Span>,
    /// The body, as text; what is no UTF-8 is replaced.
    pub(in crate::notify) body: String,
}

impl HttpAnswer {
    /// The body as JSON, or null.
    pub(in crate::notify) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::notify) enum HttpFailure {
    /// Too slow.
    #[error("no answer in time")]
    Timeout,
    /// Its name is unknown.
    #[error("the server's name cannot be resolved: is the network up?")]
    Name,
    /// Nobody listens, or the connection broke.
    #[error("no connection to the server: {0}")]
    Connection(std::io::ErrorKind),
    /// No trust.
    #[error("the server's certificate or TLS cannot be accepted")]
    Tls,
    /// The address is none.
    #[error("the address is not one that can be posted to")]
    Address,
    /// Anything else.
    #[error("the answer is not HTTP, or too large")]
    Protocol,
}

/// Posts, over connections that are kept.
pub(in crate::notify) struct Http {
    direct: Agent,
    outside: Agent,
}

impl Http {
    /// With this much time for a whole exchange.
    pub(in crate::notify) fn new(timeout: Span) -> Self {
        let config = |proxy: Option<ureq::Proxy>| {
            Agent::config_builder()
                .timeout_global(Some(Duration::from_nanos(timeout.0)))
                .timeout_connect(Some(Duration::from_secs(5)))
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .max_idle_connections(2)
                .user_agent(concat!("pawl/", env!("CARGO_PKG_VERSION")))
                .proxy(proxy)
                .build()
                .new_agent()
        };
        // A proxy of the environment is for the outside; what is on this machine is reached directly.
        Self { direct: config(None), outside: config(ureq::Proxy::try_from_env()) }
    }

    /// Sends and waits for the answer.
    ///
    /// # Errors
    /// [`HttpFailure`]; any status is an answer.
    pub(in crate::notify) fn send(&self, request: &HttpRequest) -> Result<HttpAnswer, HttpFailure> {
        let url = request.url.expose();
        let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let agent = if is_loopback(host) { &self.direct } else { &self.outside };
        let mut builder = agent.post(url).header("content-type", request.content_type);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value.expose());
        }
        let mut response = builder.send(request.body.as_str()).map_err(|error| failure(&error))?;
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|text| text.trim().parse::<f64>().ok()).and_then(span_of_seconds);
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER).read_to_vec().map_err(|error| failure(&error))?;
        Ok(HttpAnswer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Seconds from outside as a span; `None` for what is no time.
pub(in crate::notify) fn span_of_seconds(seconds: f64) -> Option<Span> {
    // The cast saturates; a pause of centuries is capped where it is obeyed.
    (seconds.is_finite() && seconds >= 0.0).then(|| Span((seconds * SECOND as f64).ceil() as u64))
}

/// The kind of failure and nothing else: the library's texts hold addresses.
fn failure(error: &ureq::Error) -> HttpFailure {
    match error {
        ureq::Error::Timeout(_) => HttpFailure::Timeout,
        ureq::Error::HostNotFound => HttpFailure::Name,
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => HttpFailure::Timeout,
            kind => HttpFailure::Connection(kind),
        },
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            HttpFailure::Connection(std::io::ErrorKind::ConnectionRefused)
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => HttpFailure::Tls,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => HttpFailure::Address,
        _ => HttpFailure::Protocol,
    }
}

//! A WebSocket client that never blocks: one connection after the other to one address, as a state
//! machine that its owner polls.
//!
//! ```text
//! waiting -> resolving -> connecting -> upgrading (TLS, HTTP) -> open
//!    ^------------- any failure, after a jittered wait ------------'
//! ```
//!
//! Setup: [`WebSocketClient::new`], with the owner's `mio` registry or none (busy polling). Then
//! [`WebSocketClient::poll`] whenever the socket is ready, at [`WebSocketClient::next_due`], or all
//! the time. A poll drains the socket: readiness is edge-triggered. Pings are answered. What a poll
//! finds goes to a closure, borrowed from the receive buffer.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::MidHandshake;
use tungstenite::handshake::client::{ClientHandshake, Request};
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, Error, HandshakeError, Message, Utf8Bytes, WebSocket};

use super::backoff::Backoff;
use super::resolve::Resolver;
use super::stream::{Stamped, Wire, WriteStamps};
use crate::core::{Nanos, Span};

/// Frames taken in one poll: more are left for the next, so that one flood cannot starve the loop.
const FRAMES_A_POLL: usize = 256;
/// The library clears its whole receive buffer before each read: small is fast.
const READ_BUFFER: usize = 4096;
/// Bytes that may wait for a full socket before a message is refused.
const WRITE_BACKLOG: usize = 256 << 10;
/// A server that wants to be left alone for longer is believed so long.
const LONGEST_PAUSE: u64 = 3 * 86_400;

/// What a connection is made with.
#[derive(Clone)]
pub struct WebSocketParams {
    /// `wss://host[:port]/path?query`, or `ws://` for this machine.
    pub url: String,
    /// Headers of the upgrade request beyond the usual ones.
    pub headers: Vec<(String, String)>,
    /// TLS configuration; used by `wss` only.
    pub tls: Arc<ClientConfig>,
    /// From connecting to open, at most.
    pub connect_timeout: Span,
    /// Largest message accepted; a larger one ends the connection.
    pub largest_message: usize,
    /// Stamps frames and writes.
    pub clock: fn() -> Nanos,
    /// Of the waits between attempts.
    pub seed: u64,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a WebSocket address such as wss://host:443/path, found {found:?}: {reason}")]
pub struct UrlError {
    found: String,
    reason: String,
}

/// What a poll found.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The connection is open.
    Up,
    /// A text message and when its last bytes were read.
    Text(&'a [u8], Nanos),
    /// A binary message and when its last bytes were read.
    Binary(&'a [u8], Nanos),
    /// The connection is lost, or an attempt failed (`was_up` tells). The next attempt is scheduled.
    Down {
        /// True when it had been open.
        was_up: bool,
        /// What happened.
        reason: &'a str,
    },
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// Handed to the operating system; when.
    Written(WriteStamps),
    /// The socket is full: it will go out by itself. Never send it again.
    Queued,
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not connected, or too much is waiting: it certainly did not go out.
    #[error("expected an open connection with room, found none; nothing was sent")]
    NotSent,
    /// The connection broke while sending: it may have gone out.
    #[error("the connection broke while sending; the message may have gone out")]
    Broken,
}

/// Why an attempt failed, and how long the other side wants to be left alone.
struct Failure {
    reason: String,
    pause: Span,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, pause: Span::ZERO }
    }
}

enum State {
    Waiting { until: Nanos },
    Resolving { deadline: Nanos },
    Connecting { tcp: TcpStream, deadline: Nanos },
    Upgrading { handshake: Box<MidHandshake<ClientHandshake<Wire>>>, deadline: Nanos },
    Open(Box<WebSocket<Wire>>),
}

/// One address, connected again and again.
pub struct WebSocketClient {
    params: WebSocketParams,
    secure: bool,
    host: String,
    resolver: Resolver,
    registry: Option<Registry>,
    token: Token,
    state: State,
    backoff: Backoff,
    /// Something waits for the socket to take it.
    unflushed: bool,
    /// A send found the connection broken; told at the next poll.
    broken: Option<String>,
    /// When the last pong of this connection was read.
    last_pong: Nanos,
}

impl WebSocketClient {
    /// A client that will connect at its first poll. With a registry, its sockets are registered there
    /// under `token`, readable and writable, edge-triggered.
    ///
    /// # Errors
    /// The URL is not a WebSocket address, a header is not one, or the registry cannot be shared.
    pub fn new(params: WebSocketParams, registry: Option<&Registry>, token: Token) -> Result<Self, UrlError> {
        let error = |reason: String| UrlError { found: params.url.clone(), reason };
        let uri: Uri = params.url.parse().map_err(|bad: tungstenite::http::uri::InvalidUri| error(bad.to_string()))?;
        let secure = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err(error("the scheme is neither ws nor wss".into())),
        };
        let host = uri.host().ok_or_else(|| error("no host".into()))?.to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        request(&params).map_err(error)?;
        let registry = registry.map(Registry::try_clone).transpose().map_err(|bad| error(bad.to_string()))?;
        Ok(Self {
            resolver: Resolver::new(&host, port),
            backoff: Backoff::new(params.seed),
            secure,
            host,
            registry,
            token,
            state: State::Waiting { until: Nanos::NONE },
            unflushed: false,
            broken: None,
            last_pong: Nanos::NONE,
            params,
        })
    }

    /// True while messages can be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_)) && self.broken.is_none()
    }

    /// When a poll is wanted even if the socket stays silent; [`Nanos::MAX`] when never.
    pub fn next_due(&self) -> Nanos {
        match &self.state {
            State::Waiting { until } => *until,
            // A look-up has no socket to wake anybody; nor may a connection that needs no waiting.
            State::Resolving { .. } => Nanos::NONE,
            State::Connecting { deadline, .. } | State::Upgrading { deadline, .. } => *deadline,
            State::Open(_) if self.broken.is_some() => Nanos::NONE,
            State::Open(_) => Nanos::MAX,
        }
    }

    /// Moves on as far as possible without waiting. True when more is there to be done at once.
    pub fn poll(&mut self, now: Nanos, sink: &mut impl FnMut(Incoming<'_>)) -> bool {
        if let Some(reason) = self.broken.take() {
            self.fail(now, &reason.into(), sink);
            return false;
        }
        // Every step either waits, fails or moves to a later state: at most five steps.
        for _ in 0..5 {
            match &self.state {
                State::Open(_) => return self.read(now, sink),
                State::Waiting { until } if *until > now => return false,
                _ => {}
            }
            match self.step(now) {
                Ok(true) => {
                    if matches!(self.state, State::Open(_)) {
                        self.backoff.connected(now);
                        sink(Incoming::Up);
                    }
                }
                Ok(false) => return false,
                Err(failure) => {
                    self.fail(now, &failure, sink);
                    return false;
                }
            }
        }
        true
    }

    /// Sends a text message; `text` must be UTF-8.
    ///
    /// # Errors
    /// [`SendError`] tells whether it may have gone out.
    pub fn send_text(&mut self, text: &[u8]) -> Result<Sent, SendError> {
        let Ok(text) = Utf8Bytes::try_from(Bytes::copy_from_slice(text)) else { return Err(SendError::NotSent) };
        self.send(Message::Text(text))
    }

    /// Sends a ping: a server that lives answers with a pong, see [`WebSocketClient::last_pong`].
    ///
    /// # Errors
    /// [`SendError`].
    pub fn ping(&mut self) -> Result<Sent, SendError> {
        self.send(Message::Ping(Bytes::new()))
    }

    /// When the last pong of this connection was read; [`Nanos::NONE`] before the first.
    pub fn last_pong(&self) -> Nanos {
        self.last_pong
    }

    #[inline]
    fn send(&mut self, message: Message) -> Result<Sent, SendError> {
        let (State::Open(socket), None) = (&mut self.state, &self.broken) else { return Err(SendError::NotSent) };
        match socket.send(message) {
            Ok(()) => Ok(Sent::Written(socket.get_ref().stamped().last_write())),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unflushed = true;
                Ok(Sent::Queued)
            }
            Err(Error::WriteBufferFull(_)) => Err(SendError::NotSent),
            Err(error) => {
                self.broken = Some(error.to_string());
                Err(SendError::Broken)
            }
        }
    }

    /// Gives the connection up and makes a new one after a wait. Told as [`Incoming::Down`] at the next
    /// poll, if there was one.
    pub fn restart(&mut self, reason: &str) {
        if !matches!(self.state, State::Waiting { .. }) {
            self.broken = Some(reason.to_owned());
        }
    }

    /// Closes for good, politely but without waiting.
    pub fn close(&mut self) {
        if let State::Open(socket) = &mut self.state {
            // Best effort: the other side sees the end of the stream in any case.
            let _ = socket.close(None);
        }
        self.drop_socket();
        self.state = State::Waiting { until: Nanos::MAX };
        self.broken = None;
    }

    /// One transition; `Ok(false)` waits.
    fn step(&mut self, now: Nanos) -> Result<bool, Failure> {
        let placeholder = State::Waiting { until: now };
        match std::mem::replace(&mut self.state, placeholder) {
            State::Waiting { .. } => {
                self.state = State::Resolving { deadline: now.plus(self.params.connect_timeout) };
                Ok(true)
            }
            State::Resolving { deadline } => {
                if now > deadline {
                    return Err(format!("{} was not resolved in {}", self.host, self.params.connect_timeout).into());
                }
                let Some(address) = self.resolver.next()? else {
                    self.state = State::Resolving { deadline };
                    return Ok(false);
                };
                let mut tcp = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
                if let Some(registry) = &self.registry {
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    registry.register(&mut tcp, self.token, interest).map_err(|error| error.to_string())?;
                }
                self.state = State::Connecting { tcp, deadline };
                Ok(true)
            }
            State::Connecting { tcp, deadline } => Ok(self.finish_connecting(tcp, deadline, now)?),
            State::Upgrading { handshake, deadline } => match handshake.handshake() {
                Ok((socket, _)) => {
                    (self.unflushed, self.last_pong) = (false, Nanos::NONE);
                    self.state = State::Open(Box::new(socket));
                    Ok(true)
                }
                Err(HandshakeError::Interrupted(_)) if now > deadline => {
                    Err(format!("no upgrade in {}", self.params.connect_timeout).into())
                }
                Err(HandshakeError::Interrupted(handshake)) => {
                    self.state = State::Upgrading { handshake: Box::new(handshake), deadline };
                    Ok(false)
                }
                Err(HandshakeError::Failure(Error::Http(response))) => {
                    let reason = format!("refused with HTTP status {}", response.status());
                    Err(Failure { reason, pause: pause(response.headers()) })
                }
                Err(HandshakeError::Failure(error)) => Err(error.to_string().into()),
            },
            open @ State::Open(_) => {
                self.state = open;
                Ok(false)
            }
        }
    }

    fn finish_connecting(&mut self, tcp: TcpStream, deadline: Nanos, now: Nanos) -> Result<bool, String> {
        if let Some(error) = tcp.take_error().map_err(|error| error.to_string())? {
            return Err(error.to_string());
        }
        match tcp.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected && now <= deadline => {
                self.state = State::Connecting { tcp, deadline };
                return Ok(false);
            }
            Err(error) => return Err(error.to_string()),
        }
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let stream = Stamped::new(tcp, self.params.clock);
        let wire = if self.secure {
            let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
            let tls = ClientConnection::new(Arc::clone(&self.params.tls), name).map_err(|error| error.to_string())?;
            Wire::Tls(Box::new(StreamOwned::new(tls, stream)))
        } else {
            Wire::Plain(stream)
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BACKLOG)
            .max_message_size(Some(self.params.largest_message))
            .max_frame_size(Some(self.params.largest_message));
        let handshake =
            ClientHandshake::start(wire, request(&self.params)?, Some(config)).map_err(|error| error.to_string())?;
        self.state = State::Upgrading { handshake: Box::new(handshake), deadline };
        Ok(true)
    }

    #[inline]
    fn read(&mut self, now: Nanos, sink: &mut impl FnMut(Incoming<'_>)) -> bool {
        let State::Open(socket) = &mut self.state else { return false };
        if self.unflushed {
            match socket.flush() {
                Ok(()) => self.unflushed = false,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.fail(now, &error.to_string().into(), sink);
                    return false;
                }
            }
        }
        for _ in 0..FRAMES_A_POLL {
            match socket.read() {
                Ok(Message::Text(text)) => {
                    sink(Incoming::Text(text.as_bytes(), socket.get_ref().stamped().last_read()));
                }
                Ok(Message::Binary(bytes)) => {
                    sink(Incoming::Binary(&bytes, socket.get_ref().stamped().last_read()));
                }
                // The answer is queued by the library; a flush sends it now instead of at the next read.
                Ok(Message::Ping(_)) => self.unflushed = socket.flush().is_err(),
                Ok(Message::Pong(_)) => self.last_pong = socket.get_ref().stamped().last_read(),
                Ok(Message::Close(_) | Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    self.fail(now, &error.to_string().into(), sink);
                    return false;
                }
            }
        }
        true
    }

    fn fail(&mut self, now: Nanos, failure: &Failure, sink: &mut impl FnMut(Incoming<'_>)) {
        let was_up = matches!(self.state, State::Open(_));
        self.drop_socket();
        self.unflushed = false;
        self.state = State::Waiting { until: self.backoff.failed(now).max(now.plus(failure.pause)) };
        sink(Incoming::Down { was_up, reason: &failure.reason });
    }

    /// Takes the socket out of the registry; dropping closes it.
    fn drop_socket(&mut self) {
        let tcp = match &mut self.state {
            State::Connecting { tcp, .. } => tcp,
            State::Open(socket) => socket.get_mut().tcp_mut(),
            // A handshake keeps its stream to itself; a closed socket leaves the poll by itself.
            State::Upgrading { .. } | State::Waiting { .. } | State::Resolving { .. } => return,
        };
        if let Some(registry) = &self.registry {
            // It may never have been registered, or be gone already: both are fine.
            let _ = registry.deregister(tcp);
        }
        let _ = tcp.shutdown(Shutdown::Both);
    }
}

/// How long a refusal asks to be left alone: `Retry-After` in seconds (RFC 9110, 10.2.3), which Binance sends with 429
/// and 418. Who asks again before is banned for longer.
fn pause(headers: &HeaderMap) -> Span {
    let seconds = headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    Span::seconds(seconds.unwrap_or(0).min(LONGEST_PAUSE))
}

/// The upgrade request.
fn request(params: &WebSocketParams) -> Result<Request, String> {
    let mut request = params.url.as_str().into_client_request().map_err(|error| error.to_string())?;
    for (name, value) in &params.headers {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        // The value may be a key: it must not appear in a message.
        let mut value = HeaderValue::try_from(value).map_err(|_| format!("header {name} is not printable text"))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests;

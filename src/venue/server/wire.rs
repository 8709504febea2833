//! The two protocols of a connection without its socket: bytes in, requests and messages out, and
//! the other way round. HTTP/1.1 with keep-alive and pipelining; after an upgrade, WebSocket.
//!
//! Everything that comes in is bounded: a request head, a body, a frame, and what is kept unread.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

/// Longest request head, bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// Longest request body, bytes.
const LONGEST_BODY: usize = 64 << 10;
/// Longest WebSocket message, bytes.
const LONGEST_MESSAGE: usize = 64 << 10;
/// Most header lines.
const MOST_HEADERS: usize = 64;

/// An HTTP request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// `GET`, …
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query string as sent, without `?`.
    pub query: String,
    /// Body as sent.
    pub body: String,
    /// `X-MBX-APIKEY`.
    pub api_key: Option<String>,
    /// `X-MBX-TIME-UNIT`.
    pub time_unit: Option<String>,
    /// `Sec-WebSocket-Key` of a proper upgrade request.
    pub websocket_key: Option<String>,
    /// The client closes after the answer.
    pub close: bool,
}

/// An HTTP response with a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// Status code.
    pub status: u16,
    /// JSON text.
    pub body: String,
    /// More header lines, each complete with `\r\n`.
    pub headers: String,
    /// Close the connection afterwards.
    pub close: bool,
}

impl Response {
    /// A response without further headers.
    pub(super) fn new(status: u16, body: String) -> Self {
        Self { status, body, headers: String::new(), close: false }
    }
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// An HTTP request; upgrade requests wait for [`Wire::upgrade`] or [`Wire::respond`].
    Request(Box<Request>),
    /// Text message.
    Text(String),
    /// Binary message, which no client has reason to send.
    Binary,
    /// Ping; it has been answered.
    Ping,
    /// Pong with its payload.
    Pong(Vec<u8>),
    /// Not HTTP; the answer to it closes the connection.
    Malformed(&'static str),
    /// The other side closed, or broke the protocol of the WebSocket.
    Closed,
}

/// Bytes between the socket and the WebSocket.
#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.incoming.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.incoming[..count]);
        self.incoming.drain(..count);
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum State {
    Http { unread: Vec<u8>, upgrading: bool },
    Socket(Box<WebSocket<Pipe>>),
    Dead,
}

/// One connection's protocol.
pub(super) struct Wire {
    state: State,
    /// Bytes for the socket.
    out: Vec<u8>,
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}

impl Wire {
    /// A fresh connection: HTTP.
    pub(super) fn new() -> Self {
        Self { state: State::Http { unread: Vec::new(), upgrading: false }, out: Vec::new() }
    }

    /// Bytes for the socket; the caller takes away what it has sent.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    #[cfg(test)]
    fn is_websocket(&self) -> bool {
        matches!(self.state, State::Socket(_))
    }

    /// Takes up bytes from the socket.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut Vec<Incoming>) {
        match &mut self.state {
            State::Http { unread, .. } => {
                unread.extend_from_slice(bytes);
                self.parse_requests(sink);
            }
            State::Socket(socket) => {
                socket.get_mut().incoming.extend_from_slice(bytes);
                self.read_messages(sink);
            }
            State::Dead => {}
        }
    }

    fn parse_requests(&mut self, sink: &mut Vec<Incoming>) {
        let State::Http { unread, upgrading } = &mut self.state else { return };
        while !unread.is_empty() && !*upgrading {
            match parse_request(unread) {
                Ok(None) => return,
                Ok(Some((request, used))) => {
                    unread.drain(..used);
                    *upgrading = request.websocket_key.is_some();
                    sink.push(Incoming::Request(Box::new(request)));
                }
                Err(why) => {
                    sink.push(Incoming::Malformed(why));
                    self.state = State::Dead;
                    return;
                }
            }
        }
        // What a client sends before its upgrade is answered is kept, but not without a bound.
        if unread.len() > LONGEST_HEAD + LONGEST_BODY {
            sink.push(Incoming::Malformed("too much sent ahead"));
            self.state = State::Dead;
        }
    }

    fn read_messages(&mut self, sink: &mut Vec<Incoming>) {
        let State::Socket(socket) = &mut self.state else { return };
        let dead = loop {
            match socket.read() {
                Ok(Message::Text(text)) => sink.push(Incoming::Text(text.as_str().to_owned())),
                Ok(Message::Binary(_)) => sink.push(Incoming::Binary),
                Ok(Message::Ping(_)) => sink.push(Incoming::Ping),
                Ok(Message::Pong(payload)) => sink.push(Incoming::Pong(payload.to_vec())),
                Ok(Message::Close(_) | Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(_) => break true,
            }
        };
        // Answers to pings and closes; a broken socket has nothing to flush.
        let _ = socket.flush();
        self.out.append(&mut socket.get_mut().outgoing);
        if dead {
            self.state = State::Dead;
            sink.push(Incoming::Closed);
        }
    }

    /// Answers a request.
    pub(super) fn respond(&mut self, response: &Response, sink: &mut Vec<Incoming>) {
        let length = response.body.len();
        let connection = if response.close { "close" } else { "keep-alive" };
        let mut head = String::with_capacity(256);
        let _ = write!(
            head,
            "HTTP/1.1 {} {}\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {length}\r\nConnection: {connection}\r\n{}\r\n",
            response.status,
            reason(response.status),
            response.headers
        );
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(response.body.as_bytes());
        if let State::Http { upgrading, .. } = &mut self.state
            && std::mem::take(upgrading)
        {
            self.parse_requests(sink);
        }
    }

    /// Turns the connection into a WebSocket.
    pub(super) fn upgrade(&mut self, key: &str, sink: &mut Vec<Incoming>) {
        let State::Http { unread, .. } = &mut self.state else { return };
        let unread = std::mem::take(unread);
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.out.extend_from_slice(head.as_bytes());
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(16 << 20)
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let socket = WebSocket::from_partially_read(Pipe::default(), unread, Role::Server, Some(config));
        self.state = State::Socket(Box::new(socket));
        self.read_messages(sink);
    }

    /// Sends a WebSocket message; nothing happens on a connection that is none.
    fn send(&mut self, message: Message) {
        if let State::Socket(socket) = &mut self.state {
            // The pipe takes everything; only a socket that is closing refuses.
            let _ = socket.send(message);
            self.out.append(&mut socket.get_mut().outgoing);
        }
    }

    /// Sends a text message.
    pub(super) fn text(&mut self, text: String) {
        self.send(Message::Text(text.into()));
    }

    /// Sends a binary message.
    pub(super) fn binary(&mut self, bytes: Vec<u8>) {
        self.send(Message::Binary(bytes.into()));
    }

    /// Sends a ping.
    pub(super) fn ping(&mut self, payload: Vec<u8>) {
        self.send(Message::Ping(Bytes::from(payload)));
    }
}

/// One request from the front of `bytes` and its length, `None` while it is incomplete.
fn parse_request(bytes: &[u8]) -> Result<Option<(Request, usize)>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(&bytes[..bytes.len().min(LONGEST_HEAD)]) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() >= LONGEST_HEAD => return Err("request head too long"),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("not an HTTP/1.1 request"),
    };
    let target = parsed.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        close: parsed.version == Some(0),
        ..Request::default()
    };
    let (mut length, mut key, mut upgrade) = (0, None, false);
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(|_| "a header that is not UTF-8")?.trim();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            length = plain.then(|| value.parse().ok()).flatten().ok_or("a bad Content-Length")?;
        } else if is("transfer-encoding") {
            return Err("Transfer-Encoding is not served");
        } else if is("x-mbx-apikey") {
            request.api_key = Some(value.to_owned());
        } else if is("x-mbx-time-unit") {
            request.time_unit = Some(value.to_owned());
        } else if is("sec-websocket-key") {
            key = Some(value.to_owned());
        } else if is("upgrade") {
            upgrade = value.eq_ignore_ascii_case("websocket");
        } else if is("connection") {
            request.close |= value.eq_ignore_ascii_case("close");
        }
    }
    if length > LONGEST_BODY {
        return Err("request body too long");
    }
    let Some(body) = bytes.get(head..head + length) else { return Ok(None) };
    std::str::from_utf8(body).map_err(|_| "a body that is not UTF-8")?.clone_into(&mut request.body);
    if upgrade {
        request.websocket_key = key;
    }
    Ok(Some((request, head + length)))
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        410 => "Gone",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUESTS: &[u8] = b"GET /api/v3/depth?symbol=A HTTP/1.1\r\nX-MBX-APIKEY: k\r\n\r\nPOST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\na=1GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn feed_in_two(at: usize) -> Vec<Incoming> {
        let (mut wire, mut sink) = (Wire::new(), Vec::new());
        wire.feed(&REQUESTS[..at], &mut sink);
        wire.feed(&REQUESTS[at..], &mut sink);
        sink
    }

    #[test]
    fn requests_are_the_same_wherever_the_bytes_are_split() {
        let whole = feed_in_two(0);
        assert_eq!(whole.len(), 3);
        let Incoming::Request(second) = &whole[1] else { panic!("{whole:?}") };
        assert_eq!((second.method.as_str(), second.body.as_str()), ("POST", "a=1"));
        for at in 1..REQUESTS.len() {
            assert_eq!(feed_in_two(at), whole, "split at {at}");
        }
    }

    #[test]
    fn an_upgrade_answers_with_the_key_of_the_rfc() {
        let (mut wire, mut sink) = (Wire::new(), Vec::new());
        wire.feed(REQUESTS, &mut sink);
        wire.upgrade("dGhlIHNhbXBsZSBub25jZQ==", &mut sink);
        let text = String::from_utf8(wire.output().clone()).unwrap();
        assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
        assert!(wire.is_websocket());
        wire.text("hello".into());
        assert!(wire.output().ends_with(b"\x81\x05hello"));
    }

    #[test]
    fn what_is_too_long_is_refused_not_kept() {
        let (mut wire, mut sink) = (Wire::new(), Vec::new());
        wire.feed(&vec![b'a'; LONGEST_HEAD + 1], &mut sink);
        assert!(matches!(sink[0], Incoming::Malformed(_)), "{sink:?}");
        let mut wire = Wire::new();
        sink.clear();
        wire.feed(b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", &mut sink);
        wire.feed(b"POST / HTTP/1.1\r\nContent-Length: 999999\r\n\r\n", &mut sink);
        assert!(matches!(sink[0], Incoming::Malformed(_)), "{sink:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8), websocket in any::<bool>()) {
            let (mut wire, mut sink) = (Wire::new(), Vec::new());
            if websocket {
                wire.upgrade("dGhlIHNhbXBsZSBub25jZQ==", &mut sink);
            }
            for chunk in &chunks {
                wire.feed(chunk, &mut sink);
            }
        }
    }
}

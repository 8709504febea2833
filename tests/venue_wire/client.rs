//! A venue in this process, and a client of it that is nothing but sockets and signatures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use pawl::core::Price;
use pawl::venue::binance::sign::{Secret, Signer, Verifier, websocket_payload};
use pawl::venue::server::{AccountSpec, Feed, KeySpec, Server, ServerError, ServerHandle, ServerParams, Symbol};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

pub(crate) const ENGINE: &str = "engine-key";
pub(crate) const GUARDIAN: &str = "guardian-key";
pub(crate) const FAST: &str = "ed25519-key";
const SECRET: &[u8] = b"a secret that both sides know";
/// Long enough for the slowest machine; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running venue; stopped when dropped.
pub(crate) struct Venue {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
    thread: Option<std::thread::JoinHandle<Result<(), ServerError>>>,
}

pub(crate) fn signer(key: &str) -> Signer {
    if key == FAST {
        Signer::from_ed25519_seed(&[7; 32]).unwrap()
    } else {
        Signer::from_secret(&Secret::new(SECRET)).unwrap()
    }
}

/// The public half of the Ed25519 key, as `openssl pkey -pubout` writes it.
fn public_pem() -> String {
    let Verifier::Ed25519(public) = signer(FAST).verifier() else { panic!("an Ed25519 key") };
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend_from_slice(&public);
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

/// One account of 100,000 USDT and 2 BTC with three keys; no fees; everything else as usual.
pub(crate) fn params() -> ServerParams {
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    let key = |key: &str, secret: &str| KeySpec { key: key.into(), secret: secret.into() };
    let account = AccountSpec {
        name: "desk".into(),
        keys: vec![key(ENGINE, &secret), key(GUARDIAN, &secret), key(FAST, &public_pem())],
        balances: vec![("USDT".into(), "100000".parse().unwrap()), ("BTC".into(), "2".parse().unwrap())],
    };
    ServerParams { accounts: vec![account], fees: (Price::ZERO, Price::ZERO), ..ServerParams::default() }
}

pub(crate) fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl Venue {
    /// A synthetic BTCUSDT at this many times real speed.
    pub(crate) fn start(params: &ServerParams, speed: f64) -> Self {
        let (feed, symbols) = Feed::synthetic(&["BTCUSDT".to_owned()], 3, speed).unwrap();
        Self::open(params, feed, symbols)
    }

    /// Any market.
    pub(crate) fn open(params: &ServerParams, feed: Feed, symbols: Vec<Symbol>) -> Self {
        let mut server = Server::bind(params, feed, symbols).unwrap();
        let (address, handle) = (server.address(), server.handle());
        let thread = Some(std::thread::spawn(move || server.run()));
        Self { address, handle, thread }
    }

    pub(crate) fn stop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the venue panicked").expect("the venue failed");
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Status, head and body of one HTTP request; status 0 when the venue hung up.
    pub(crate) fn http(&self, method: &str, target: &str, key: Option<&str>, body: &str) -> (u16, String, Value) {
        let mut stream = self.connect();
        let key = key.map_or(String::new(), |key| format!("X-MBX-APIKEY: {key}\r\n"));
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\n{key}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        if stream.read_to_string(&mut answer).is_err() || answer.is_empty() {
            return (0, String::new(), Value::Null);
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    pub(crate) fn get(&self, target: &str) -> Value {
        self.http("GET", target, None, "").2
    }

    /// A signed request, parameters in the query.
    pub(crate) fn signed(&self, key: &str, method: &str, path: &str, parameters: &str) -> (u16, Value) {
        let (status, _, value) = self.signed_with_head(key, method, path, parameters);
        (status, value)
    }

    pub(crate) fn signed_with_head(&self, key: &str, method: &str, path: &str, query: &str) -> (u16, String, Value) {
        let mut query = format!("{query}&timestamp={}", now_millis()).into_bytes();
        signer(key).sign_query(&mut query);
        self.http(method, &format!("{path}?{}", String::from_utf8(query).unwrap()), Some(key), "")
    }

    /// An order over REST.
    pub(crate) fn order(&self, parameters: &str) -> (u16, Value) {
        self.signed(ENGINE, "POST", "/api/v3/order", &format!("symbol=BTCUSDT&{parameters}"))
    }

    pub(crate) fn admin(&self, path: &str, body: &Value) -> Value {
        let (status, _, value) = self.http("POST", &format!("/admin/{path}"), None, &body.to_string());
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// The venue's books of the one account.
    pub(crate) fn truth(&self) -> Value {
        self.get("/admin/truth")["accounts"][0].clone()
    }

    pub(crate) fn struck(&self, fault: &str) -> u64 {
        self.get("/admin/faults")["struck"][fault].as_u64().unwrap()
    }

    /// Bid and ask now.
    pub(crate) fn touch(&self) -> (f64, f64) {
        let ticker = self.get("/api/v3/ticker/bookTicker?symbol=BTCUSDT");
        (number(&ticker["bidPrice"]), number(&ticker["askPrice"]))
    }

    pub(crate) fn websocket(&self, path: &str) -> Socket {
        self.websocket_with(path, None).unwrap()
    }

    pub(crate) fn websocket_with(&self, path: &str, key: Option<&str>) -> Result<Socket, String> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("X-MBX-APIKEY", key.parse().unwrap());
        }
        let opened = tungstenite::client::client(request, self.connect()).map_err(|error| error.to_string())?;
        Ok(Socket { inner: opened.0, numbered: 0, pending: Vec::new() })
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// A WebSocket to the venue.
pub(crate) struct Socket {
    pub(crate) inner: WebSocket<TcpStream>,
    numbered: u64,
    /// Events that came while an answer was awaited.
    pending: Vec<Value>,
}

impl Socket {
    pub(crate) fn send(&mut self, text: &str) {
        self.inner.send(Message::Text(text.into())).unwrap();
    }

    /// The next message that is no control frame; `None` when the venue hung up.
    pub(crate) fn next(&mut self) -> Option<Message> {
        loop {
            match self.inner.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => return Some(message),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came for {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }

    /// The next JSON message, those that came during a request first.
    pub(crate) fn json(&mut self) -> Value {
        if !self.pending.is_empty() {
            return self.pending.remove(0);
        }
        match self.next() {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap_or(Value::Null),
            other => panic!("expected text, found {other:?}"),
        }
    }

    /// The event of the next user-stream message.
    pub(crate) fn event(&mut self) -> Value {
        self.json()["event"].clone()
    }

    /// Sends a request and returns its answer; events that come before it are kept.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let number = self.post(method, params);
        loop {
            let Some(Message::Text(text)) = self.next() else { panic!("the venue hung up on {method}") };
            let value: Value = serde_json::from_str(&text).unwrap();
            if value["id"] == number {
                return value;
            }
            self.pending.push(value);
        }
    }

    /// Sends a request; its number.
    pub(crate) fn post(&mut self, method: &str, mut params: Value) -> u64 {
        self.numbered += 1;
        if params.get("timestamp").is_none() {
            params["timestamp"] = json!(now_millis());
        }
        let request = json!({"id": self.numbered, "method": method, "params": params});
        self.send(&request.to_string());
        self.numbered
    }

    /// The same, signed for itself.
    pub(crate) fn ask_signed(&mut self, key: &str, method: &str, mut params: Value) -> Value {
        params["apiKey"] = json!(key);
        params["timestamp"] = json!(now_millis());
        let texts: Vec<(String, String)> = params
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        let mut pairs: Vec<(&str, &str)> = texts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut payload = Vec::new();
        websocket_payload(&mut pairs, &mut payload);
        params["signature"] = json!(std::str::from_utf8(signer(key).sign(&payload).as_bytes()).unwrap());
        self.ask(method, params)
    }

    /// Logs the Ed25519 key on and subscribes to the account's events.
    pub(crate) fn log_on(&mut self) {
        let logon = self.ask_signed(FAST, "session.logon", json!({}));
        assert_eq!((&logon["status"], &logon["result"]["apiKey"]), (&json!(200), &json!(FAST)), "{logon}");
        let subscribed = self.ask("userDataStream.subscribe", json!({}));
        assert_eq!(subscribed["result"]["subscriptionId"], 0, "{subscribed}");
    }
}

pub(crate) fn number(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("expected a decimal in a string, found {value}")).parse().unwrap()
}

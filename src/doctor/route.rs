//! The round trip to the venue: a TCP connection (one round trip, by the kernel alone), and, for a
//! WebSocket address, pings over it (through TLS and the venue's front end).

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use tungstenite::{Message, WebSocket};

use super::Verdict::{Fail, Ok, Unknown, Warn};
use super::{Finding, Verdict};
use crate::report::latency::span;

/// A co-located server is nearer than this, nanoseconds.
const NEAR_NS: u64 = 2_000_000;
/// Tries of each kind; the median counts, since one slow answer says nothing about the way.
const TRIES: usize = 7;
/// A venue that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a venue is: `wss://host[:port]/path`, `ws://...`, or `host:port`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    host: String,
    port: u16,
    /// The WebSocket address, where it is one.
    socket: Option<String>,
}

/// A text that names no venue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected wss://host/path, ws://host/path or host:port, found {found:?}")]
pub struct RouteError {
    found: String,
}

impl std::str::FromStr for Target {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let error = || RouteError { found: text.to_owned() };
        let (rest, default) = match (text.strip_prefix("wss://"), text.strip_prefix("ws://")) {
            (Some(rest), _) => (rest, Some(443)),
            (_, Some(rest)) => (rest, Some(80)),
            _ => (text, None),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| error())?),
            None => (authority, default.ok_or_else(error)?),
        };
        let good = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-[]:".contains(&b));
        if !good || port == 0 || (default.is_none() && rest.contains('/')) {
            return Err(error());
        }
        Result::Ok(Self { host: host.to_owned(), port, socket: default.map(|_| text.to_owned()) })
    }
}

pub(super) fn examine(target: Option<&Target>) -> Vec<Finding> {
    const WANTED: &str = "below 2 ms: a server next to the venue";
    const FIX: &str = "a server in the venue's region and zone; tools such as mtr show where the way is long";
    let Some(target) = target else {
        let found = (Unknown, "no venue was named".to_owned());
        return vec![Finding::new("route-tcp", WANTED, found, "run again with --venue wss://host/path or host:port")];
    };
    let connect = match connect_times(target) {
        Result::Ok(times) => judge("TCP connect", &times),
        Err(error) => (Fail, format!("{}:{}: {error}", target.host, target.port)),
    };
    let mut findings = vec![Finding::new("route-tcp", WANTED, connect, FIX)];
    if let Some(address) = &target.socket {
        let ping = match ping_times(target, address) {
            Result::Ok(times) => judge("WebSocket ping", &times),
            Err(error) => (Fail, format!("{address}: {error}")),
        };
        findings.push(Finding::new("route-ping", WANTED, ping, FIX));
    }
    findings
}

fn judge(what: &str, times: &[u64]) -> (Verdict, String) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let (least, median) = (sorted[0], sorted[sorted.len() / 2]);
    let verdict = match (least < NEAR_NS, median < NEAR_NS) {
        (true, true) => Ok,
        // Near, but something on the way delays most of the answers.
        (true, false) => Warn,
        (false, _) => Fail,
    };
    (verdict, format!("{what}: median {}, best {} of {}", span(median), span(least), sorted.len()))
}

fn resolve(target: &Target) -> Result<SocketAddr, String> {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses = (host, target.port).to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "the name has no address".to_owned())
}

fn connect_times(target: &Target) -> Result<Vec<u64>, String> {
    let address = resolve(target)?;
    let one = |_| {
        let began = Instant::now();
        TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.to_string())?;
        Result::Ok(elapsed(began))
    };
    (0..TRIES).map(one).collect()
}

fn elapsed(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn ping_times(target: &Target, address: &str) -> Result<Vec<u64>, String> {
    let stream = TcpStream::connect_timeout(&resolve(target)?, PATIENCE).map_err(|error| error.to_string())?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .map_err(|error| error.to_string())?;
    let mut socket = open(address, target, stream)?;
    let times = (0..TRIES).map(|number| ping(&mut socket, number as u8)).collect();
    // The answers are in; a venue that does not wait for the farewell changes nothing.
    let _ = socket.close(None);
    times
}

type Socket = WebSocket<Box<dyn Duplex>>;

/// Bytes both ways, encrypted or not.
trait Duplex: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Duplex for T {}

fn open(address: &str, target: &Target, stream: TcpStream) -> Result<Socket, String> {
    let stream: Box<dyn Duplex> = if address.starts_with("wss://") {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = target.host.clone().try_into().map_err(|_| "not a host name for TLS".to_owned())?;
        let session = rustls::ClientConnection::new(config.into(), name).map_err(|error| error.to_string())?;
        Box::new(rustls::StreamOwned::new(session, stream))
    } else {
        Box::new(stream)
    };
    tungstenite::client(address, stream).map(|(socket, _)| socket).map_err(|error| error.to_string())
}

fn ping(socket: &mut Socket, number: u8) -> Result<u64, String> {
    let payload = vec![b'p', number];
    let began = Instant::now();
    socket.send(Message::Ping(payload.clone().into())).map_err(|error| error.to_string())?;
    loop {
        match socket.read() {
            Result::Ok(Message::Pong(answer)) if answer == payload => return Result::Ok(elapsed(began)),
            // Market data and the venue's own pings come in between.
            Result::Ok(_) if began.elapsed() < PATIENCE => {}
            Result::Ok(_) => return Err("no pong within 5 s".to_owned()),
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                return Err("no pong within 5 s".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_venue_is_an_address_or_a_host_and_a_port() {
        let target = |text: &str| text.parse::<Target>();
        let wss = target("wss://stream.example.com/ws/a").unwrap();
        assert_eq!((wss.host.as_str(), wss.port, wss.socket.is_some()), ("stream.example.com", 443, true));
        let plain = target("10.0.0.1:9443").unwrap();
        assert_eq!((plain.port, plain.socket), (9443, None));
        assert_eq!(target("ws://localhost:8080").unwrap().port, 8080);
        for text in ["", "host", "https://x", "host:0", "host:99999", "wss://", "a b:1", "host:1/x"] {
            assert!(target(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_venue_that_answers_pings_is_measured_twice() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("ws://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            // The connections that only time TCP close at once; the one that speaks is served.
            for stream in listener.incoming().flatten() {
                let Result::Ok(mut socket) = tungstenite::accept(stream) else { continue };
                let _ = socket.send(Message::Text("market data in between".into()));
                while socket.read().is_ok() {}
                return;
            }
        });
        let findings = examine(Some(&address.parse().unwrap()));
        server.join().unwrap();
        assert_eq!(findings.iter().map(|finding| finding.check).collect::<Vec<_>>(), ["route-tcp", "route-ping"]);
        // How fast is the machine's business; that pongs came back is ours.
        assert!(findings[1].found.starts_with("WebSocket ping: median"), "{findings:?}");
    }

    #[test]
    fn a_venue_that_is_not_there_fails_and_says_so() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let findings = examine(Some(&format!("127.0.0.1:{port}").parse().unwrap()));
        assert_eq!(findings[0].verdict, Fail);
        assert!(findings[0].found.contains("refused"), "{findings:?}");
        assert_eq!(examine(None)[0].verdict, Unknown);
    }

    #[test]
    fn two_milliseconds_decide() {
        assert_eq!(judge("x", &[1_000_000, 1_100_000, 9_000_000]).0, Ok);
        assert_eq!(judge("x", &[1_000_000, 3_000_000, 9_000_000]).0, Warn);
        assert_eq!(judge("x", &[2_500_000, 3_000_000]).0, Fail);
    }
}

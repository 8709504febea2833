//! The loop: accepts, reads, serves, sends; sleeps until the next thing is due.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::core::{Money, Nanos, Price, Span};
use crate::venue::binance::sign::{KeyError, Verifier};

use super::endpoints::Venue;
use super::exchange::{Exchange, Market};
use super::faults::{FaultPlan, Faults};
use super::feed::{Feed, FeedError};
use super::hub::{Care, ClientId, Hub, MOST_CLIENTS, Outgoing};
use super::keys::{ApiKey, KeyRing};
use super::limits::{LimitParams, Limits};
use super::socket::{Connection, Life};
use super::symbols::Symbol;
use super::tls::TlsError;
use super::wire::Incoming;

/// A key as configured.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// What the client sends.
    pub key: String,
    /// HMAC secret, or an Ed25519 public key in PEM.
    pub secret: String,
}

/// An account as configured.
#[derive(Clone, Debug)]
pub struct AccountSpec {
    /// Its name.
    pub name: String,
    /// Its keys.
    pub keys: Vec<KeySpec>,
    /// What it starts with, by asset.
    pub balances: Vec<(String, Money)>,
}

/// How the venue is set up.
#[derive(Clone, Debug)]
pub struct ServerParams {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Spot or futures.
    pub market: Market,
    /// Who trades.
    pub accounts: Vec<AccountSpec>,
    /// Commission in basis points: maker, taker.
    pub fees: (Price, Price),
    /// Rate limits.
    pub limits: LimitParams,
    /// Faults from the start.
    pub faults: FaultPlan,
    /// Pings and lives of connections.
    pub care: Care,
    /// TLS with a fresh certificate; the PEM is written here, if anywhere.
    pub tls: Option<Option<PathBuf>>,
}

impl Default for ServerParams {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            market: Market::Spot,
            accounts: Vec::new(),
            fees: (Price::whole(10), Price::whole(10)),
            limits: LimitParams::default(),
            faults: FaultPlan::default(),
            care: Care::default(),
            tls: None,
        }
    }
}

/// Why the venue does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A socket cannot be used.
    #[error("cannot {verb} {address}: {source}")]
    Socket {
        /// `listen on`, `poll`.
        verb: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The symbols cannot be instruments.
    #[error(transparent)]
    Instrument(#[from] crate::core::InstrumentError),
    /// A key is none.
    #[error("key {key}: {source}")]
    Key {
        /// Which.
        key: String,
        /// What is wrong.
        source: KeyError,
    },
    /// An account has an asset that no symbol trades.
    #[error("account {account}: expected an asset of {known:?}, found {found:?}")]
    Asset {
        /// Which account.
        account: String,
        /// What it named.
        found: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The faults cannot be.
    #[error("faults: {0}")]
    Faults(String),
    /// The market ended with an error.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Stops a running venue from another thread.
#[derive(Clone)]
pub struct ServerHandle {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl ServerHandle {
    /// Asks for the end; clients are told first.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // A waker that fails belongs to a poll that is gone: there is nothing left to stop.
        let _ = self.waker.wake();
    }
}

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CLIENT: usize = 2;
/// Clients are told this long before the end.
const FAREWELL: Duration = Duration::from_millis(200);
/// Most market events served before sockets get their turn.
const MARKET_TURN: usize = 256;

/// The venue with its sockets.
pub struct Server {
    hub: Hub,
    feed: Feed,
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    connections: BTreeMap<ClientId, Connection>,
    next_client: usize,
    handle: ServerHandle,
}

/// The machine's clock, UTC.
fn machine_clock() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

impl Server {
    /// Listens, but serves nobody before [`Server::run`].
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn bind(params: &ServerParams, feed: Feed, symbols: Vec<Symbol>) -> Result<Self, ServerError> {
        params.faults.check().map_err(ServerError::Faults)?;
        let venue = open_books(params, symbols)?;
        let address = params.listen;
        let io = |verb| move |source| ServerError::Socket { verb, address, source };
        let mut listener = TcpListener::bind(address).map_err(io("listen on"))?;
        let address = listener.local_addr().map_err(io("listen on"))?;
        let poll = Poll::new().map_err(io("poll"))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(io("poll"))?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(io("poll"))?);
        let tls = match &params.tls {
            None => None,
            Some(pem) => {
                let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), address.ip().to_string()];
                Some(super::tls::self_signed(&names, pem.as_deref())?)
            }
        };
        Ok(Self {
            hub: Hub::new(venue, Faults::new(params.faults.clone()), params.care),
            feed,
            poll,
            listener,
            address,
            tls,
            connections: BTreeMap::new(),
            next_client: FIRST_CLIENT,
            handle: ServerHandle { stop: Arc::new(AtomicBool::new(false)), waker },
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// To stop it from another thread.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// The market or the poll failed.
    pub fn run(&mut self) -> Result<(), ServerError> {
        let mut events = Events::with_capacity(256);
        let mut ending: Option<Nanos> = None;
        loop {
            let now = machine_clock();
            if ending.is_none() && (self.handle.stop.load(Ordering::Acquire) || self.hub.stopping) {
                if !self.hub.stopping {
                    self.hub.announce_shutdown();
                }
                ending = Some(now.plus(Span(FAREWELL.as_nanos() as u64)));
            }
            if ending.is_some_and(|end| now >= end) {
                return Ok(());
            }
            let market_due = self.serve_market(now)?;
            self.hub.advance(machine_clock());
            self.send_due();
            let due = market_due.min(self.hub.next_due()).min(ending.unwrap_or(Nanos::MAX));
            let wait = Duration::from_nanos(due.since(machine_clock()).0);
            match self.poll.poll(&mut events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ServerError::Socket { verb: "poll", address: self.address, source }),
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => {}
                    Token(client) => self.serve(ClientId(client), event.is_readable(), event.is_writable()),
                }
            }
        }
    }

    /// Market events that are due, and the operator's jumps; when the next is due.
    fn serve_market(&mut self, now: Nanos) -> Result<Nanos, ServerError> {
        for (symbol, percent) in std::mem::take(&mut self.hub.jumps) {
            for event in self.feed.jump(symbol, percent) {
                self.hub.on_market(&event, now);
            }
        }
        for _ in 0..MARKET_TURN {
            let due = self.feed.next_due(now)?;
            if due > now {
                return Ok(due);
            }
            if let Some(event) = self.feed.take() {
                self.hub.on_market(&event, now);
            }
        }
        Ok(now)
    }

    fn accept(&mut self) {
        // Whatever fails here concerns a client that is already gone.
        while let Ok((mut stream, peer)) = self.listener.accept() {
            let id = ClientId(self.next_client);
            self.next_client += 1;
            let _ = stream.set_nodelay(true);
            let interest = Interest::READABLE | Interest::WRITABLE;
            let welcome = self.connections.len() < MOST_CLIENTS
                && self.poll.registry().register(&mut stream, Token(id.0), interest).is_ok();
            let Ok(connection) = Connection::new(stream, self.tls.as_ref()) else { continue };
            if welcome {
                self.connections.insert(id, connection);
                self.hub.connected(id, peer.ip(), machine_clock());
            }
        }
    }

    fn serve(&mut self, id: ClientId, readable: bool, writable: bool) {
        if readable {
            self.read(id);
        }
        if writable && self.connections.get_mut(&id).is_some_and(|connection| connection.write() == Life::Dead) {
            self.drop_client(id);
        }
        self.send_due();
    }

    /// Reads until the socket is empty: the poll tells of new bytes only once.
    fn read(&mut self, id: ClientId) {
        let mut sink = Vec::new();
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let life = connection.read(&mut sink);
            let now = machine_clock();
            for incoming in sink.drain(..) {
                if incoming == Incoming::Closed {
                    // The answer to its closing goes out if it can.
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.write();
                    }
                    return self.drop_client(id);
                }
                self.hub.arrived(id, incoming, now);
            }
            match life {
                Life::More => self.send_due(),
                Life::Alive => return,
                Life::Dead => return self.drop_client(id),
            }
        }
    }

    /// Sends what is due.
    fn send_due(&mut self) {
        while let Some((id, outgoing)) = self.hub.take_due() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let mut sink = Vec::new();
            match outgoing {
                Outgoing::Http(response) => {
                    connection.closing |= response.close;
                    connection.wire.respond(&response, &mut sink);
                }
                Outgoing::Upgrade(key) => connection.wire.upgrade(&key, &mut sink),
                Outgoing::Text(text) => connection.wire.text(text),
                Outgoing::Binary(bytes) => connection.wire.binary(bytes),
                Outgoing::Ping => connection.wire.ping(machine_clock().0.to_string().into_bytes()),
                Outgoing::Close => {
                    self.drop_client(id);
                    continue;
                }
            }
            if connection.write() == Life::Dead {
                self.drop_client(id);
                continue;
            }
            // What the client had sent ahead of an answer is served now.
            let now = machine_clock();
            for incoming in sink {
                self.hub.arrived(id, incoming, now);
            }
        }
    }

    fn drop_client(&mut self, id: ClientId) {
        if let Some(mut connection) = self.connections.remove(&id) {
            // Dropping the socket closes it, registered or not.
            let _ = self.poll.registry().deregister(&mut connection.stream);
        }
        self.hub.disconnected(id);
    }
}

/// The books at the start: symbols, accounts, balances, keys.
fn open_books(params: &ServerParams, symbols: Vec<Symbol>) -> Result<Venue, ServerError> {
    let mut exchange = Exchange::new(params.market, symbols, params.fees)?;
    let mut keys = KeyRing::default();
    for spec in &params.accounts {
        let account = exchange.account(&spec.name);
        for (name, amount) in &spec.balances {
            let asset = exchange.asset(name).ok_or_else(|| ServerError::Asset {
                account: spec.name.clone(),
                found: name.clone(),
                known: exchange.assets.clone(),
            })?;
            let amount = (*amount).max(Money::ZERO);
            // A deposit above zero into an empty account cannot fail.
            let _ = exchange.deposit(account, asset, amount, Nanos::NONE);
        }
        for key in &spec.keys {
            let verifier = Verifier::from_text(key.secret.as_bytes())
                .map_err(|source| ServerError::Key { key: key.key.clone(), source })?;
            keys.add(ApiKey { key: key.key.clone(), account, verifier, enabled: true });
        }
    }
    exchange.take_events();
    // Book updates and trades are numbered by the clock, so that a restart never repeats a number.
    let first = machine_clock().0 / 1_000_000;
    let tapes = exchange.symbols.iter().map(|_| super::board::Tape::new(first)).collect();
    let limits = Limits::new(params.limits);
    Ok(Venue { exchange, tapes, keys, limits, countdowns: Vec::new(), named: 0 })
}

//! The real venue as a [`Wire`]: market streams and order entry in one `mio` poll. With it, the
//! market streams alone, for `pawl record` and for paper trading.

use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::config::Config;
use crate::config::live::Encoding;
use crate::core::{Event, EventKind, Nanos};
use crate::venue::binance::gateway::{GatewayParams, OrderGateway, SetupError};
use crate::venue::binance::limits::LimitParams;
use crate::venue::binance::market::{FeedParams, MarketFeed, StreamEncoding};
use crate::venue::binance::orders::OrderParams;
use crate::venue::binance::rest::Credentials;
use crate::venue::binance::symbols::SymbolTable;
use crate::venue::secret::Secret;
use crate::venue::{MarketData, OrderEntry};

use super::prepare::{Prepared, market};
use super::{Wire, session_clock};

const MARKET: Token = Token(0);
const ORDERS: Token = Token(1);
/// Readiness events taken at a time; readiness only wakes the loop, which then polls everything.
const READINESS: usize = 64;

/// Why a wire cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// An address, key or certificate.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The system's poller.
    #[error("cannot make a poller for the sockets: {0}")]
    Poll(#[from] std::io::Error),
}

/// The sockets' poller.
struct Poller {
    poll: Poll,
    events: Events,
}

impl Poller {
    fn new() -> Result<Self, WireError> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(READINESS) })
    }

    fn wait(&mut self, at_most: Duration) {
        // Interrupted or not: the loop looks at every socket anyway.
        let _ = self.poll.poll(&mut self.events, Some(at_most));
    }
}

/// The market streams of a prepared venue.
pub struct MarketWire {
    poller: Poller,
    feed: MarketFeed,
}

impl MarketWire {
    /// Streams that connect at the first poll. `api_key` is needed by binary streams.
    ///
    /// # Errors
    /// An address or certificate that cannot be used, or binary streams without a key.
    pub fn new(config: &Config, prepared: &Prepared, api_key: Option<Secret>, seed: u64) -> Result<Self, WireError> {
        let poller = Poller::new()?;
        let feed = feed(config, prepared, api_key, seed, &poller.poll)?;
        Ok(Self { poller, feed })
    }

    /// Why the last connection was lost or could not be made.
    pub fn last_failure(&self) -> Option<&str> {
        self.feed.last_failure()
    }
}

impl Wire for MarketWire {
    fn poll(&mut self, now: Nanos, inbox: &mut Vec<Event>) -> bool {
        let before = inbox.len();
        self.feed.poll(now, &mut |event| inbox.push(event)) || inbox.len() > before
    }

    fn command(&mut self, command: &Event, _now: Nanos) {
        debug_assert!(false, "a market wire takes no command, found {:?}", command.kind);
    }

    fn wait(&mut self, at_most: Duration) {
        self.poller.wait(at_most);
    }

    fn cut(&mut self) {
        self.feed.close();
    }

    fn trouble(&self) -> Option<String> {
        self.feed.last_failure().map(|reason| format!("market data: {reason}"))
    }
}

/// Market streams and order entry.
pub struct VenueWire {
    poller: Poller,
    feed: MarketFeed,
    gateway: OrderGateway,
    /// What the gateway answered to commands, told at the next poll.
    answers: Vec<Event>,
}

impl VenueWire {
    /// Connections that are made at the first poll.
    ///
    /// # Errors
    /// An address, key or certificate that cannot be used.
    pub fn new(config: &Config, prepared: &Prepared, credentials: Credentials, seed: u64) -> Result<Self, WireError> {
        let poller = Poller::new()?;
        let api_key = Some(credentials.api_key.clone());
        let feed = feed(config, prepared, api_key, seed, &poller.poll)?;
        let mut orders = OrderParams::new(market(config.venue.kind), &prepared.currency);
        orders.receive_window = config.venue.receive_window;
        orders.limits = limits(prepared);
        let params = GatewayParams {
            endpoints: prepared.endpoints.clone(),
            orders,
            root_certificate: prepared.certificate.clone(),
            clock: session_clock,
            seed: seed.wrapping_add(1),
        };
        let registry = Some((poller.poll.registry(), ORDERS));
        let gateway = OrderGateway::new(params, credentials, symbols(prepared), registry)?;
        Ok(Self { poller, feed, gateway, answers: Vec::with_capacity(64) })
    }
}

impl Wire for VenueWire {
    fn poll(&mut self, now: Nanos, inbox: &mut Vec<Event>) -> bool {
        let before = inbox.len();
        inbox.append(&mut self.answers);
        // Orders first: what is held matters more than what it is worth.
        let mut more = self.gateway.poll(now, &mut |event| inbox.push(event));
        more |= self.feed.poll(now, &mut |event| inbox.push(event));
        more || inbox.len() > before
    }

    fn command(&mut self, command: &Event, now: Nanos) {
        debug_assert!(!matches!(command.kind, EventKind::Quote | EventKind::Trade), "commands only");
        let answers = &mut self.answers;
        self.gateway.command(command, now, &mut |event| answers.push(event));
    }

    fn wait(&mut self, at_most: Duration) {
        if self.answers.is_empty() {
            self.poller.wait(at_most);
        }
    }

    fn cut(&mut self) {
        self.gateway.close();
        self.feed.close();
    }

    fn trouble(&self) -> Option<String> {
        let orders = || self.gateway.last_failure().map(|reason| format!("order entry: {reason}"));
        let market = || self.feed.last_failure().map(|reason| format!("market data: {reason}"));
        self.gateway.trouble().map(ToString::to_string).or_else(orders).or_else(market)
    }
}

fn symbols(prepared: &Prepared) -> SymbolTable {
    SymbolTable::new(&prepared.instruments, |name| {
        let index = prepared.instruments.find(name)?.index();
        prepared.assets.get(index).cloned()
    })
}

/// The venue's own figures, where it says them.
fn limits(prepared: &Prepared) -> LimitParams {
    let usual = LimitParams::default();
    let or = |said: u32, usual: u32| if said == 0 { usual } else { said };
    LimitParams {
        weight_per_minute: or(prepared.rules.weight_per_minute, usual.weight_per_minute),
        orders_per_10s: or(prepared.rules.orders_per_10s, usual.orders_per_10s),
        orders_per_day: or(prepared.rules.orders_per_day, usual.orders_per_day),
    }
}

fn feed(
    config: &Config,
    prepared: &Prepared,
    api_key: Option<Secret>,
    seed: u64,
    poll: &Poll,
) -> Result<MarketFeed, WireError> {
    let params = FeedParams {
        endpoints: prepared.endpoints.clone(),
        market: market(config.venue.kind),
        encoding: match config.venue.encoding {
            Encoding::Json => StreamEncoding::Json,
            Encoding::Sbe => StreamEncoding::Binary,
        },
        trades: config.venue.trades,
        api_key,
        stale_after: config.live.stale_after,
        root_certificate: prepared.certificate.clone(),
        clock: session_clock,
        seed,
    };
    Ok(MarketFeed::new(params, symbols(prepared), Some((poll.registry(), MARKET)))?)
}

//! The real venue: its market streams and its order entry as wires of a live session. With it, the
//! market streams alone, for `pawl record` and for paper trading.

use mio::{Registry, Token};

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
use crate::venue::{Delivery, MarketData, OrderEntry};

use super::prepare::{Prepared, market};
use super::{MarketWire, OrderWire, session_clock};

const MARKET: Token = Token(0);
const ORDERS: Token = Token(1);

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

impl MarketWire for MarketFeed {
    #[inline]
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        MarketData::poll(self, now, emit)
    }

    fn rehearse(&mut self) {
        MarketFeed::rehearse(self);
    }

    fn trouble(&self) -> Option<String> {
        self.last_failure().map(|reason| format!("market data: {reason}"))
    }

    fn cut(&mut self) {
        self.close();
    }
}

impl OrderWire for OrderGateway {
    #[inline]
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        OrderEntry::poll(self, now, emit)
    }

    #[inline]
    fn command(&mut self, command: &Event, now: Nanos, emit: &mut impl FnMut(Event)) -> Delivery {
        debug_assert!(!matches!(command.kind, EventKind::Quote | EventKind::Trade), "commands only");
        OrderEntry::command(self, command, now, emit)
    }

    fn rehearse(&mut self, order: &Event, now: Nanos) {
        OrderGateway::rehearse(self, order, now);
    }

    fn trouble(&self) -> Option<String> {
        let lost = || self.last_failure().map(|reason| format!("order entry: {reason}"));
        OrderGateway::trouble(self).map(ToString::to_string).or_else(lost)
    }

    fn cut(&mut self) {
        self.close();
    }
}

/// Order entry that connects at its first poll; its sockets are registered here.
///
/// # Errors
/// An address, key or certificate that cannot be used.
pub fn order_entry(
    config: &Config,
    prepared: &Prepared,
    credentials: Credentials,
    seed: u64,
    registry: &Registry,
) -> Result<OrderGateway, WireError> {
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
    Ok(OrderGateway::new(params, credentials, symbols(prepared), Some((registry, ORDERS)))?)
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

/// Market streams that connect at the first poll; their sockets are registered here. `api_key` is needed
/// by binary streams.
///
/// # Errors
/// An address or certificate that cannot be used, or binary streams without a key.
pub fn market_data(
    config: &Config,
    prepared: &Prepared,
    api_key: Option<Secret>,
    seed: u64,
    registry: &Registry,
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
    Ok(MarketFeed::new(params, symbols(prepared), Some((registry, MARKET)))?)
}

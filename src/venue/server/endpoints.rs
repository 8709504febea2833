//! Everything the venue can be asked, in one table: REST path, WebSocket API method, weight, and who
//! may ask. Both doors lead to the same function, so they cannot disagree.

use super::board::Tape;
use super::caller::Caller;
use super::error::ApiError;
use super::exchange::{Exchange, Market};
use super::keys::KeyRing;
use super::limits::Limits;
use super::params::Params;
use super::{accounts, futures, public, trading};
use crate::core::{InstrumentId, Nanos};

/// The venue without its sockets.
pub(super) struct Venue {
    /// Orders, trades, balances.
    pub exchange: Exchange,
    /// What the public sees, by symbol.
    pub tapes: Vec<Tape>,
    /// Who may trade.
    pub keys: KeyRing,
    /// Who asked how often.
    pub limits: Limits,
    /// Futures: when all orders of an account on a symbol are cancelled.
    pub countdowns: Vec<(super::records::AccountId, InstrumentId, Nanos)>,
    /// Numbers the ids that the venue makes up.
    pub named: u64,
}

impl Venue {
    /// The symbol of a request.
    ///
    /// # Errors
    /// -1102, -1100, -1121.
    pub(super) fn symbol(&self, params: &Params) -> Result<InstrumentId, ApiError> {
        let name = params.required("symbol")?;
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) || name.len() > 20 {
            return Err(ApiError::illegal("symbol", "^[A-Z0-9-_.]{1,20}$"));
        }
        self.exchange.symbol(name).ok_or(ApiError::INVALID_SYMBOL)
    }

    /// The symbol of a request, if it names one.
    ///
    /// # Errors
    /// -1121.
    pub(super) fn symbol_if_any(&self, params: &Params) -> Result<Option<InstrumentId>, ApiError> {
        if params.get("symbol").is_some() { self.symbol(params).map(Some) } else { Ok(None) }
    }

    /// An id for an order that came without one: 22 characters, as the venue's are.
    pub(super) fn make_id(&mut self) -> String {
        self.named += 1;
        format!("pawl{:018}", self.named)
    }
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Security {
    /// Anybody.
    Public,
    /// Anybody who names a key.
    Key,
    /// The owner of an account, with a signature and a timestamp.
    Signed,
}

/// What an endpoint answers: JSON text.
pub(super) type Answer = Result<String, ApiError>;

/// One thing that can be asked.
pub(super) struct Endpoint {
    /// HTTP method.
    pub http: &'static str,
    /// Path.
    pub path: &'static str,
    /// Name on the WebSocket API, empty where it has none.
    pub method: &'static str,
    /// Request weight.
    pub weight: u64,
    /// Who may ask.
    pub security: Security,
    /// Counts against the order limits.
    pub is_order: bool,
    /// The answer.
    pub run: fn(&mut Venue, &Caller, &Params) -> Answer,
}

const fn endpoint(
    http: &'static str,
    path: &'static str,
    method: &'static str,
    weight: u64,
    security: Security,
    run: fn(&mut Venue, &Caller, &Params) -> Answer,
) -> Endpoint {
    Endpoint { http, path, method, weight, security, is_order: false, run }
}

const fn order(
    http: &'static str,
    path: &'static str,
    method: &'static str,
    run: fn(&mut Venue, &Caller, &Params) -> Answer,
) -> Endpoint {
    Endpoint { http, path, method, weight: 1, security: Security::Signed, is_order: true, run }
}

use Security::{Key, Public, Signed};

/// Spot.
static SPOT: [Endpoint; 31] = [
    endpoint("GET", "/api/v3/ping", "ping", 1, Public, public::ping),
    endpoint("GET", "/api/v3/time", "time", 1, Public, public::time),
    endpoint("GET", "/api/v3/exchangeInfo", "exchangeInfo", 20, Public, public::exchange_info),
    endpoint("GET", "/api/v3/depth", "depth", 5, Public, public::depth),
    endpoint("GET", "/api/v3/trades", "trades.recent", 25, Public, public::trades),
    endpoint("GET", "/api/v3/historicalTrades", "trades.historical", 25, Public, public::trades),
    endpoint("GET", "/api/v3/aggTrades", "trades.aggregate", 4, Public, public::aggregate_trades),
    endpoint("GET", "/api/v3/klines", "klines", 2, Public, public::klines),
    endpoint("GET", "/api/v3/uiKlines", "uiKlines", 2, Public, public::klines),
    endpoint("GET", "/api/v3/avgPrice", "avgPrice", 2, Public, public::average_price),
    endpoint("GET", "/api/v3/ticker/24hr", "ticker.24hr", 2, Public, public::ticker_day),
    endpoint("GET", "/api/v3/ticker/price", "ticker.price", 2, Public, public::ticker_price),
    endpoint("GET", "/api/v3/ticker/bookTicker", "ticker.book", 2, Public, public::ticker_book),
    order("POST", "/api/v3/order", "order.place", trading::place),
    endpoint("POST", "/api/v3/order/test", "order.test", 1, Signed, trading::test),
    endpoint("GET", "/api/v3/order", "order.status", 4, Signed, trading::status),
    endpoint("DELETE", "/api/v3/order", "order.cancel", 1, Signed, trading::cancel),
    order("POST", "/api/v3/order/cancelReplace", "order.cancelReplace", trading::cancel_replace),
    endpoint("PUT", "/api/v3/order/amend/keepPriority", "order.amend.keepPriority", 4, Signed, trading::amend),
    endpoint("GET", "/api/v3/openOrders", "openOrders.status", 6, Signed, trading::open_orders),
    endpoint("DELETE", "/api/v3/openOrders", "openOrders.cancelAll", 1, Signed, trading::cancel_all),
    endpoint("GET", "/api/v3/allOrders", "allOrders", 20, Signed, trading::all_orders),
    endpoint("GET", "/api/v3/account", "account.status", 20, Signed, accounts::status),
    endpoint("GET", "/api/v3/account/commission", "account.commission", 20, Signed, accounts::commission),
    endpoint("GET", "/api/v3/rateLimit/order", "account.rateLimits.orders", 40, Signed, accounts::order_limits),
    endpoint("GET", "/api/v3/myTrades", "myTrades", 20, Signed, accounts::trades),
    // Gone since 2026-02-20: answered so that an old client learns why nothing comes.
    endpoint("POST", "/api/v3/userDataStream", "userDataStream.start", 2, Key, public::gone),
    endpoint("PUT", "/api/v3/userDataStream", "userDataStream.ping", 2, Key, public::gone),
    endpoint("DELETE", "/api/v3/userDataStream", "userDataStream.stop", 2, Key, public::gone),
    endpoint("GET", "/sapi/v1/system/status", "", 1, Public, public::system_status),
    endpoint("GET", "/sapi/v1/margin/allPairs", "", 1, Key, public::nothing),
];

/// The table of a market.
pub(super) fn table(market: Market) -> &'static [Endpoint] {
    match market {
        Market::Spot => &SPOT,
        Market::Futures => &futures::TABLE,
    }
}

/// What stands at a path.
///
/// # Errors
/// 404.
pub(super) fn find_http(market: Market, http: &str, path: &str) -> Result<&'static Endpoint, ApiError> {
    table(market).iter().find(|endpoint| endpoint.http == http && endpoint.path == path).ok_or_else(ApiError::not_found)
}

/// What a WebSocket API method does.
///
/// # Errors
/// 404.
pub(super) fn find_method(market: Market, method: &str) -> Result<&'static Endpoint, ApiError> {
    let method = method.strip_prefix("v3/").unwrap_or(method);
    table(market)
        .iter()
        .find(|endpoint| !endpoint.method.is_empty() && endpoint.method == method)
        .ok_or_else(ApiError::not_found)
}

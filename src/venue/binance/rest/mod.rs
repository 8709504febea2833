//! The venue's HTTP API, blocking: what is asked at start, and all that the guardian needs to see an
//! account, cancel and flatten. One keep-alive connection; never used on the engine's hot path.
//!
//! Setup: [`Rest::new`], then [`Rest::sync_clock`] once. Every call is one request; none is repeated
//! by itself. An answer is one of three: a value, a definite refusal, or *unknown* (no answer, 5xx,
//! time-outs of the venue), told apart by [`RestError::outcome_unknown`]. An order whose outcome is
//! unknown must be asked for, never sent again.

mod account;
mod client;
pub(super) mod lenient;
mod names;
mod types;

pub use account::{AccountState, Balance, HEDGE_MODE, MarginAsset, PositionState, TOTALS};
pub(super) use account::{FuturesAccount, is_hedged};
pub use client::{Credentials, RestError, RestParams};
pub use types::{IncomeState, NewOrder, OpenOrder, OrderState, OrderStatus, SymbolInfo, TradeState, VenueRules};

use account::{PositionMode, RawPosition, SpotAccount};
use client::Client;
use serde_json::value::RawValue;

use super::endpoints::Market;
use crate::core::payload::Quote;
use crate::core::{ContractKind, Nanos, Price, Span};

/// Paths of one market.
struct Paths {
    time: &'static str,
    exchange_info: &'static str,
    order: &'static str,
    open_orders: &'static str,
    cancel_all: &'static str,
    account: &'static str,
    positions: &'static str,
    trades: &'static str,
    book_ticker: &'static str,
}

const SPOT: Paths = Paths {
    time: "/api/v3/time",
    exchange_info: "/api/v3/exchangeInfo",
    order: "/api/v3/order",
    open_orders: "/api/v3/openOrders",
    cancel_all: "/api/v3/openOrders",
    account: "/api/v3/account",
    positions: "",
    trades: "/api/v3/myTrades",
    book_ticker: "/api/v3/ticker/bookTicker",
};
const FUTURES: Paths = Paths {
    time: "/fapi/v1/time",
    exchange_info: "/fapi/v1/exchangeInfo",
    order: "/fapi/v1/order",
    open_orders: "/fapi/v1/openOrders",
    cancel_all: "/fapi/v1/allOpenOrders",
    account: "/fapi/v3/account",
    positions: "/fapi/v3/positionRisk",
    trades: "/fapi/v1/userTrades",
    book_ticker: "/fapi/v1/ticker/bookTicker",
};

/// No such order is known, or nothing is open to be cancelled.
const UNKNOWN_ORDER: i64 = -2011;
const NO_SUCH_ORDER: i64 = -2013;

/// A client of the HTTP API.
pub struct Rest {
    client: Client,
    market: Market,
    paths: &'static Paths,
}

impl Rest {
    /// A client; nothing is connected yet. Without credentials only public calls work.
    ///
    /// # Errors
    /// A root certificate that cannot be read.
    pub fn new(params: &RestParams, market: Market, credentials: Option<Credentials>) -> Result<Self, RestError> {
        let paths = match market {
            Market::Spot => &SPOT,
            Market::UsdMFutures => &FUTURES,
        };
        Ok(Self { client: Client::new(params, credentials)?, market, paths })
    }

    /// The venue's time.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn server_time(&mut self) -> Result<Nanos, RestError> {
        let time: types::ServerTime = self.client.public("GET", self.paths.time, &[])?;
        Ok(super::message::time(time.server_time))
    }

    /// Measures how far the venue's clock is ahead of ours, in nanoseconds, by the sample with the
    /// smallest round trip of `samples`; later signed calls are stamped with the venue's time.
    ///
    /// # Errors
    /// [`RestError`] of the last sample when none succeeded.
    pub fn sync_clock(&mut self, samples: u32) -> Result<i64, RestError> {
        let mut best: Option<(Span, i64)> = None;
        let mut failure = None;
        for _ in 0..samples.max(1) {
            let sent = self.client.now();
            match self.server_time() {
                Ok(server) => {
                    let round_trip = self.client.now().since(sent);
                    let offset = server.0 as i64 - (sent.0 + round_trip.0 / 2) as i64;
                    if best.is_none_or(|(shortest, _)| round_trip < shortest) {
                        best = Some((round_trip, offset));
                    }
                }
                Err(error) => {
                    let limited = matches!(error, RestError::Limited { .. });
                    failure = Some(error);
                    if limited {
                        break;
                    }
                }
            }
        }
        match (best, failure) {
            (Some((_, offset)), _) => {
                self.client.set_offset(offset);
                Ok(offset)
            }
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("at least one sample succeeded or failed"),
        }
    }

    /// Grids, limits and rate limits of these symbols, in their order.
    ///
    /// # Errors
    /// [`RestError`]; a symbol that the venue does not list is [`RestError::Unexpected`].
    pub fn exchange_info(&mut self, symbols: &[&str]) -> Result<VenueRules, RestError> {
        let list = format!("[{}]", symbols.iter().map(|symbol| format!("\"{symbol}\"")).collect::<Vec<_>>().join(","));
        let parameters = [("symbols", list.as_str())];
        let contract = if self.market == Market::Spot { ContractKind::Spot } else { ContractKind::Linear };
        // Futures list everything always.
        let parameters = if self.market == Market::Spot { &parameters[..] } else { &[] };
        let found: types::ExchangeInfo = self.client.public("GET", self.paths.exchange_info, parameters)?;
        found.rules(symbols, contract).map_err(|reason| RestError::unexpected(self.paths.exchange_info, &reason))
    }

    /// Best bid and ask of a symbol.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn book_ticker(&mut self, symbol: &str) -> Result<Quote, RestError> {
        let found: types::BookTicker = self.client.public("GET", self.paths.book_ticker, &[("symbol", symbol)])?;
        Ok(Quote { bid: found.bid_price, ask: found.ask_price, bid_qty: found.bid_qty, ask_qty: found.ask_qty })
    }

    /// Balances; on futures also the account's margin.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn account(&mut self) -> Result<AccountState, RestError> {
        match self.market {
            Market::Spot => {
                let parameters = [("omitZeroBalances", "true")];
                self.client.signed::<SpotAccount>("GET", self.paths.account, &parameters).map(Into::into)
            }
            Market::UsdMFutures => self.client.signed::<FuturesAccount>("GET", self.paths.account, &[]).map(Into::into),
        }
    }

    /// Open positions of futures, flat ones left out; always empty on spot.
    ///
    /// # Errors
    /// [`RestError`]. An account in hedge mode is one: its two positions of a symbol are not one.
    pub fn positions(&mut self) -> Result<Vec<PositionState>, RestError> {
        if self.market == Market::Spot {
            return Ok(Vec::new());
        }
        let found: Vec<RawPosition> = self.client.signed("GET", self.paths.positions, &[])?;
        if found.iter().any(|position| is_hedged(position.position_side.as_deref())) {
            return Err(RestError::Unexpected { path: self.paths.positions.to_owned(), reason: HEDGE_MODE.to_owned() });
        }
        let found = found.into_iter().map(PositionState::from);
        Ok(found.filter(|position| position.unreadable || !position.signed_qty.is_zero()).collect())
    }

    /// True for a futures account in hedge mode, which nothing here trades: see [`HEDGE_MODE`]. Spot has none. Dear: a
    /// weight of 30.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn is_in_hedge_mode(&mut self) -> Result<bool, RestError> {
        if self.market == Market::Spot {
            return Ok(false);
        }
        let mode: PositionMode = self.client.signed("GET", "/fapi/v1/positionSide/dual", &[])?;
        Ok(mode.dual_side_position)
    }

    /// Open orders of a symbol, or of all (a call twenty times as dear).
    ///
    /// # Errors
    /// [`RestError`].
    pub fn open_orders(&mut self, symbol: Option<&str>) -> Result<Vec<OpenOrder>, RestError> {
        let parameters: Vec<(&str, &str)> = symbol.map(|symbol| ("symbol", symbol)).into_iter().collect();
        self.client.signed("GET", self.paths.open_orders, &parameters)
    }

    /// Cancels every open order of a symbol. Safe to repeat: with nothing open it succeeds.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn cancel_all(&mut self, symbol: &str) -> Result<(), RestError> {
        let parameters = [("symbol", symbol)];
        match self.client.signed::<serde::de::IgnoredAny>("DELETE", self.paths.cancel_all, &parameters) {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(UNKNOWN_ORDER) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Cancels one order by its client id; `None` when it is not open (done, or never was).
    ///
    /// # Errors
    /// [`RestError`].
    pub fn cancel(&mut self, symbol: &str, client_id: &str) -> Result<Option<OrderState>, RestError> {
        let parameters = [("symbol", symbol), ("origClientOrderId", client_id)];
        none_if(self.client.signed("DELETE", self.paths.order, &parameters), UNKNOWN_ORDER)
    }

    /// Places an order and waits for its result.
    ///
    /// # Errors
    /// [`RestError`]; ask [`RestError::outcome_unknown`] before anything else.
    pub fn place(&mut self, order: &NewOrder<'_>) -> Result<OrderState, RestError> {
        let (qty, price) = (order.qty.to_string(), order.price.map(|price: Price| price.to_string()));
        let mut parameters = vec![
            ("symbol", order.symbol),
            ("side", if order.side == crate::core::Side::Buy { "BUY" } else { "SELL" }),
            ("quantity", &qty),
            ("newClientOrderId", order.client_id),
            ("newOrderRespType", "RESULT"),
        ];
        match &price {
            Some(price) => {
                let tif = if order.immediate { "IOC" } else { "GTC" };
                parameters.extend([("type", "LIMIT"), ("timeInForce", tif), ("price", price)]);
            }
            None => parameters.push(("type", "MARKET")),
        }
        if order.reduce_only && self.market == Market::UsdMFutures {
            parameters.push(("reduceOnly", "true"));
        }
        self.client.signed("POST", self.paths.order, &parameters)
    }

    /// An order by its client id; `None` when the venue does not know it. Right after an unknown
    /// outcome that is no proof: an order may still arrive until its `recvWindow` and the venue's own
    /// 10 s have passed since it was sent.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn order(&mut self, symbol: &str, client_id: &str) -> Result<Option<OrderState>, RestError> {
        let parameters = [("symbol", symbol), ("origClientOrderId", client_id)];
        none_if(self.client.signed("GET", self.paths.order, &parameters), NO_SUCH_ORDER)
    }

    /// The latest executions of a symbol (at most `limit`, 1 to 1000), oldest first.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn trades(&mut self, symbol: &str, limit: u16) -> Result<Vec<TradeState>, RestError> {
        let limit = limit.to_string();
        self.client.signed("GET", self.paths.trades, &[("symbol", symbol), ("limit", &limit)])
    }

    /// What moved the wallet of futures since an instant, oldest first, at most `limit` (1 to 1000) changes.
    /// Spot has no such list: an error. Dear: a weight of 30.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn income(&mut self, since: Nanos, limit: u16) -> Result<Vec<IncomeState>, RestError> {
        const PATH: &str = "/fapi/v1/income";
        if self.market == Market::Spot {
            return Err(RestError::unexpected(PATH, "spot has no list of income"));
        }
        let (since, limit) = ((since.0 / 1_000_000).to_string(), limit.to_string());
        self.client.signed("GET", PATH, &[("startTime", &since), ("limit", &limit)])
    }

    /// Arms the dead-man switch of futures: all open orders of the symbol are cancelled by the venue
    /// unless this is called again within `after`; zero disarms. Spot has none: an error.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn countdown_cancel_all(&mut self, symbol: &str, after: Span) -> Result<(), RestError> {
        const PATH: &str = "/fapi/v1/countdownCancelAll";
        if self.market == Market::Spot {
            return Err(RestError::unexpected(PATH, "spot has no dead-man switch"));
        }
        let millis = (after.0 / 1_000_000).to_string();
        let parameters = [("symbol", symbol), ("countdownTime", &millis)];
        self.client.signed::<serde::de::IgnoredAny>("POST", PATH, &parameters).map(|_| ())
    }

    /// The answer to any signed question, as the venue wrote it.
    pub(super) fn ask(&mut self, path: &str, parameters: &[(&str, &str)]) -> Result<Box<RawValue>, RestError> {
        self.client.signed("GET", path, parameters)
    }

    /// A key for the account events of futures; calling again keeps it alive for 60 minutes.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn listen_key(&mut self) -> Result<String, RestError> {
        let key: types::ListenKey = self.client.keyed("POST", "/fapi/v1/listenKey", &[])?;
        Ok(key.listen_key)
    }

    /// The venue's time now, by the last [`Rest::sync_clock`].
    pub fn venue_now(&self) -> Nanos {
        self.client.venue_now()
    }

    /// Request weight used in the running minute, as the venue last said.
    pub fn used_weight(&self) -> Option<u32> {
        self.client.used_weight()
    }
}

/// Reads one definite refusal as "none".
fn none_if<T>(result: Result<T, RestError>, code: i64) -> Result<Option<T>, RestError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == Some(code) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! The guardian's own session with a venue of the Binance dialect: HTTP on a connection of its own that is
//! kept warm, with its own key where one is configured. It shares nothing with the engine but the code
//! that signs and parses.
//!
//! Spot: a position is what is owned of a base asset beyond the configured inventory, closing is selling
//! it, and every open order is an entry (an order locks what a close would sell). Futures: positions are
//! the venue's, closes are reduce-only, and orders that can only reduce are protective.

mod budget;
mod reading;

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::config::VenueParams;
use crate::config::live::VenueKind;
use crate::core::payload::Quote;
use crate::core::{InstrumentId, InstrumentSpec, InstrumentTable, Money, Nanos, Price, Qty, Span};
use crate::snapshot::{MAX_INSTRUMENTS, monotonic_ns};
use crate::venue::binance::endpoints::{Endpoints, Market};
use crate::venue::binance::errors::CLOCK;
use crate::venue::binance::rest::{Credentials, HEDGE_MODE, NewOrder, Rest, RestError, RestParams, SymbolInfo};
use crate::venue::binance::sign::{KeyError, Secret, SecretError, Signer};

pub(super) use budget::{Pace, time_for};

use super::cash::{CashBook, CashMark};
use super::desk::{CloseKind, Desk, DeskOrder, DeskReply, DeskRequest};
use super::params::GuardianParams;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No key.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The venue does not answer, or not as documented.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// An account that cannot be watched as it is.
    #[error("guardian: expected an account in one-way mode, found {HEDGE_MODE}")]
    HedgeMode,
    /// The account cannot be measured in one currency.
    #[error("guardian: expected symbols with one quote asset, found {0:?}: an account is measured in one currency")]
    Currencies(Vec<String>),
    /// The endpoint is none.
    #[error("venue.endpoint: expected \"production\", \"testnet\" or an http(s) address, found {0:?}")]
    Endpoint(String),
    /// Nothing to watch.
    #[error("venue.symbols: expected 1 to {MAX_INSTRUMENTS} symbols, found {0}")]
    Symbols(usize),
}

/// What must be known of a symbol to watch and close it; remembered for a start without the venue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KnownSymbol {
    /// Grids; the currency is the quote asset.
    pub spec: InstrumentSpec,
    /// The asset bought and sold.
    pub base_asset: String,
}

/// How to open sessions: everything that two threads need to open one each.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    market: Market,
    base: String,
    key_env: String,
    secret_env: String,
    secret_file: Option<std::path::PathBuf>,
    root_certificate: Option<Vec<u8>>,
    timeout: Span,
    receive_window: Span,
    /// The venue's names, in the order of the instrument table.
    pub symbols: Vec<String>,
    inventory: Vec<Qty>,
}

impl SessionPlan {
    /// From the configuration: the venue's table, and the guardian's own key where it names one.
    ///
    /// # Errors
    /// A table that names no venue, or a certificate that cannot be read.
    pub fn new(venue: &VenueParams, guardian: &GuardianParams) -> Result<Self, SessionError> {
        let market = match venue.kind {
            VenueKind::BinanceSpot => Market::Spot,
            VenueKind::BinanceFutures => Market::UsdMFutures,
        };
        let base = match venue.endpoint.as_str() {
            "production" => Endpoints::production(market).rest,
            "testnet" => Endpoints::testnet(market).rest,
            address if address.starts_with("http://") || address.starts_with("https://") => address.to_owned(),
            other => return Err(SessionError::Endpoint(other.to_owned())),
        };
        if !(1..=MAX_INSTRUMENTS).contains(&venue.symbols.len()) {
            return Err(SessionError::Symbols(venue.symbols.len()));
        }
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| SessionError::File { path: path.display().to_string(), source })
        };
        let own = !guardian.api_key_env.is_empty();
        let inventory = |symbol: &String| venue.base_inventory.get(symbol).copied().unwrap_or(Qty::ZERO);
        Ok(Self {
            market,
            base,
            key_env: if own { guardian.api_key_env.clone() } else { venue.api_key_env.clone() },
            secret_env: if own { guardian.secret_env.clone() } else { venue.secret_env.clone() },
            secret_file: if own { guardian.secret_file.clone() } else { venue.secret_file.clone() },
            root_certificate: venue.certificate_file.as_deref().map(read).transpose()?,
            timeout: guardian.liquidation.request_timeout,
            receive_window: guardian.liquidation.receive_window,
            symbols: venue.symbols.clone(),
            inventory: venue.symbols.iter().map(inventory).collect(),
        })
    }

    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// No key, or none that can sign.
    pub fn client(&self) -> Result<Rest, SessionError> {
        let secret = match &self.secret_file {
            Some(path) => Secret::from_file(path)?,
            None => Secret::from_env(&self.secret_env)?,
        };
        let signer = Signer::from_secret(&secret)?;
        let api_key = Secret::from_env(&self.key_env)?;
        let params = RestParams {
            base: self.base.clone(),
            timeout: self.timeout,
            receive_window: self.receive_window,
            root_certificate: self.root_certificate.clone(),
            clock: utc_now,
        };
        Ok(Rest::new(&params, self.market, Some(Credentials { api_key, signer }))?)
    }

    /// Asks the venue for the grids of the symbols, and whether the account holds one position a symbol.
    ///
    /// # Errors
    /// The venue does not answer, or does not list one; or the account is in hedge mode.
    pub fn learn(&self, client: &mut Rest) -> Result<Vec<KnownSymbol>, SessionError> {
        client.sync_clock(3)?;
        if client.is_in_hedge_mode()? {
            return Err(SessionError::HedgeMode);
        }
        let symbols: Vec<&str> = self.symbols.iter().map(String::as_str).collect();
        let rules = client.exchange_info(&symbols)?;
        let known = |symbol: SymbolInfo| KnownSymbol { spec: symbol.spec(), base_asset: symbol.base_asset };
        let found: Vec<KnownSymbol> = rules.symbols.into_iter().map(known).collect();
        let mut currencies: Vec<String> = found.iter().map(|symbol| symbol.spec.currency.clone()).collect();
        currencies.sort();
        currencies.dedup();
        if currencies.len() == 1 { Ok(found) } else { Err(SessionError::Currencies(currencies)) }
    }
}

fn utc_now() -> Nanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Nanos(since.map_or(0, |since| since.as_nanos() as u64))
}

/// The last prices that the polling session saw, for the acting one.
pub type Touches = Arc<Mutex<Vec<Option<(Price, Price, u64)>>>>;

/// One session.
pub struct BinanceSession {
    plan: SessionPlan,
    client: Rest,
    symbols: Vec<KnownSymbol>,
    instruments: InstrumentTable,
    dust: Money,
    reads: u64,
    synced_ns: u64,
    ahead_ns: Option<i64>,
    /// The venue has told its time: what is signed carries it.
    knows_time: bool,
    asked_time_ns: u64,
    cash: CashBook,
    /// Weight of what was asked.
    spent: u32,
    /// The venue wants to hear nothing before this.
    quiet_until_ns: u64,
}

/// A venue that has not told its time yet is asked for it this often, between questions that matter more.
const ASK_TIME_AGAIN: Span = Span::seconds(1);

impl BinanceSession {
    /// A session that knows its symbols.
    pub fn new(
        plan: &SessionPlan,
        client: Rest,
        symbols: Vec<KnownSymbol>,
        instruments: InstrumentTable,
        dust: Money,
    ) -> Self {
        Self {
            cash: new_book(plan.market, &symbols, Money::ZERO),
            plan: plan.clone(),
            client,
            symbols,
            instruments,
            dust,
            reads: 0,
            synced_ns: 0,
            ahead_ns: None,
            knows_time: false,
            asked_time_ns: 0,
            spent: 0,
            quiet_until_ns: 0,
        }
    }

    /// Accounts for the cash from where an earlier session stood, so that what moved in between is found; or, where
    /// nothing is remembered, from now on, beside the `transfers` that were found before.
    pub(super) fn account_from(&mut self, mark: Option<CashMark>, transfers: Money) {
        self.cash = new_book(self.plan.market, &self.symbols, transfers);
        if let Some(mark) = mark {
            self.cash.go_on(mark, &self.plan.symbols);
        }
    }

    /// Where the accounting stands.
    pub(super) fn cash_mark(&self) -> Option<CashMark> {
        self.cash.mark(&self.plan.symbols)
    }

    /// Positions, balance and equity.
    fn account(&mut self, quotes: &[Quote]) -> Result<(Vec<Qty>, Money, Money), RestError> {
        let account = self.client.account()?;
        let unreadable = |what: &str| RestError::Unexpected { path: "account".into(), reason: what.to_owned() };
        let quote_asset = self.symbols.first().map_or("", |symbol| symbol.spec.currency.as_str());
        if self.plan.market == Market::UsdMFutures {
            let margin =
                account.margin_in(quote_asset).ok_or_else(|| unreadable(&format!("no balance of {quote_asset}")))?;
            return Ok((self.futures_positions()?, margin.wallet, margin.equity));
        }
        let ours =
            |asset: &String| asset == quote_asset || self.symbols.iter().any(|symbol| symbol.base_asset == *asset);
        if let Some(asset) = account.unreadable.iter().find(|asset| ours(asset)) {
            return Err(unreadable(&format!("a balance of {asset} that is no number of ours")));
        }
        let owned = |asset: &str| {
            let found = account.balances.iter().find(|balance| balance.asset == asset);
            found.map_or(Some(Qty::ZERO), |balance| balance.free.checked_add(balance.locked))
        };
        let overflow = || unreadable("a sum that leaves its range");
        let positions = self.spot_positions(&owned).ok_or_else(overflow)?;
        let cash = Money::from_units(owned(quote_asset).ok_or_else(overflow)?.units());
        let mut equity = cash;
        for ((held, quote), (_, instrument)) in positions.iter().zip(quotes).zip(self.instruments.iter()) {
            equity = instrument
                .notional(quote.bid, *held)
                .and_then(|value| equity.checked_add(value))
                .ok_or_else(overflow)?;
        }
        Ok((positions, cash, equity))
    }

    fn spot_positions(&self, owned: &impl Fn(&str) -> Option<Qty>) -> Option<Vec<Qty>> {
        let beyond = |(symbol, inventory): (&KnownSymbol, &Qty)| owned(&symbol.base_asset)?.checked_sub(*inventory);
        self.symbols.iter().zip(&self.plan.inventory).map(beyond).collect()
    }

    fn futures_positions(&mut self) -> Result<Vec<Qty>, RestError> {
        let found = self.client.positions()?;
        let mut held = vec![Qty::ZERO; self.symbols.len()];
        for position in found {
            // Positions in symbols that are not watched are not the guardian's.
            if let Some(index) = self.symbols.iter().position(|symbol| symbol.spec.symbol == position.symbol) {
                if position.unreadable {
                    let reason = format!("a position of {} that is no number of ours", position.symbol);
                    return Err(RestError::Unexpected { path: "positions".into(), reason });
                }
                held[index] = position.signed_qty;
            }
        }
        Ok(held)
    }

    /// What only the account's holdings tell.
    fn positions(&mut self) -> Result<Vec<Qty>, RestError> {
        if self.plan.market == Market::UsdMFutures {
            return self.futures_positions();
        }
        let zero = Quote { bid: Price::ZERO, ask: Price::ZERO, bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
        let quotes = vec![zero; self.symbols.len()];
        self.account(&quotes).map(|(positions, ..)| positions)
    }

    fn open_orders(&mut self) -> Result<Vec<DeskOrder>, RestError> {
        let mut orders = Vec::new();
        for (index, symbol) in self.symbols.iter().enumerate() {
            for order in self.client.open_orders(Some(&symbol.spec.symbol))? {
                orders.push(DeskOrder {
                    instrument: InstrumentId(index as u16),
                    client_id: order.client_order_id,
                    protective: order.reduce_only || order.close_position,
                });
            }
        }
        Ok(orders)
    }

    /// The same with one question, however many symbols there are. It is as dear as forty questions, so it is for an
    /// emergency only, where each question costs a round trip.
    fn open_orders_at_once(&mut self) -> Result<Vec<DeskOrder>, RestError> {
        if self.symbols.len() == 1 {
            return self.open_orders();
        }
        let mut orders = Vec::new();
        for order in self.client.open_orders(None)? {
            // Orders in symbols that are not watched are not the guardian's.
            if let Some(index) = self.symbols.iter().position(|symbol| symbol.spec.symbol == order.symbol) {
                orders.push(DeskOrder {
                    instrument: InstrumentId(index as u16),
                    client_id: order.client_order_id,
                    protective: order.reduce_only || order.close_position,
                });
            }
        }
        Ok(orders)
    }

    fn is_dust(&self, index: usize, held: Qty, quote: &Quote) -> bool {
        let instrument = self.instruments.get(InstrumentId(index as u16));
        instrument.is_some_and(|instrument| {
            let held = held.abs();
            let value = instrument.notional(quote.bid, held);
            held < instrument.spec().min_lot || value.is_some_and(|value| value < self.dust)
        })
    }

    /// Sends an order of a drill: not a close. Nothing else in the guardian can open a position.
    ///
    /// # Errors
    /// The venue's.
    pub fn place_for_drill(&mut self, order: &NewOrder<'_>) -> Result<(), RestError> {
        self.client.place(order).map(|_| ())
    }

    /// The watched instruments.
    pub fn instruments(&self) -> &InstrumentTable {
        &self.instruments
    }

    /// Keeps the connection open and warm.
    pub fn keep_warm(&mut self) {
        if self.silence() > Span::ZERO {
            return;
        }
        // A failure shows at the next question that matters.
        if let Err(error) = self.sync() {
            self.heed(&error);
        }
    }

    /// Futures: arms the venue's own dead-man switch for every symbol; zero disarms. Spot has none.
    ///
    /// # Errors
    /// The venue does not take it.
    pub fn arm_dead_man(&mut self, after: Span) -> Result<(), RestError> {
        if self.plan.market == Market::Spot {
            return Ok(());
        }
        for symbol in &self.symbols {
            self.spent += budget::Weights::of(self.plan.market).countdown;
            let armed = self.client.countdown_cancel_all(&symbol.spec.symbol, after);
            if let Err(error) = armed {
                self.heed(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn symbol(&self, id: InstrumentId) -> String {
        self.symbols.get(id.index()).map_or_else(String::new, |symbol| symbol.spec.symbol.clone())
    }

    fn place(&mut self, order: &super::desk::CloseOrder) -> Result<DeskReply, RestError> {
        let symbol = self.symbol(order.instrument);
        let new = NewOrder {
            symbol: &symbol,
            side: order.side,
            price: match order.kind {
                CloseKind::Ioc(price) => Some(price),
                CloseKind::Market => None,
            },
            qty: order.qty,
            immediate: true,
            client_id: &order.client_id,
            reduce_only: true,
        };
        let state = self.client.place(&new)?;
        Ok(DeskReply::Order { done: state.status.is_done(), executed: state.executed_qty })
    }

    fn reply(&mut self, request: &DeskRequest) -> Result<DeskReply, RestError> {
        match request {
            DeskRequest::Orders => self.open_orders_at_once().map(DeskReply::Orders),
            DeskRequest::Positions => Ok(DeskReply::Positions(Box::new(widened(&self.positions()?)))),
            DeskRequest::Touch(id) => {
                let quote = self.client.book_ticker(&self.symbol(*id))?;
                Ok(DeskReply::Touch { bid: quote.bid, ask: quote.ask })
            }
            DeskRequest::Cancel(id, client_id) => {
                self.client.cancel(&self.symbol(*id), client_id).map(|_| DeskReply::Cancelled)
            }
            DeskRequest::Close(order) => self.place(order),
            DeskRequest::Query(id, client_id) => Ok(match self.client.order(&self.symbol(*id), client_id)? {
                Some(state) => DeskReply::Order { done: state.status.is_done(), executed: state.executed_qty },
                None => DeskReply::NotFound,
            }),
        }
    }
}

impl Desk for BinanceSession {
    fn ask(&mut self, request: &DeskRequest) -> DeskReply {
        let now = monotonic_ns();
        if !self.knows_time && now.saturating_sub(self.asked_time_ns) >= ASK_TIME_AGAIN.0 {
            self.asked_time_ns = now;
            // Where it is not told, our own may still be good.
            let _ = self.sync();
        }
        self.reply(request).unwrap_or_else(|error| match error {
            // A clock was stepped. Certainly not done; what is signed next carries the venue's time of now.
            RestError::Refused { code: CLOCK, .. } => {
                let _ = self.sync();
                DeskReply::NotSent(error.to_string())
            }
            RestError::Refused { .. } => DeskReply::Refused(error.to_string()),
            RestError::Limited { retry_after, .. } => DeskReply::Limited(retry_after),
            RestError::NoAnswer { sent: false, .. } | RestError::NoKey { .. } => DeskReply::NotSent(error.to_string()),
            _ => DeskReply::Unknown(error.to_string()),
        })
    }
}

fn new_book(market: Market, symbols: &[KnownSymbol], total: Money) -> CashBook {
    let quote = symbols.first().map_or("", |symbol| symbol.spec.currency.as_str());
    CashBook::new(market, quote, symbols.iter().map(|symbol| symbol.base_asset.clone()).collect(), total)
}

fn widened(positions: &[Qty]) -> [Qty; MAX_INSTRUMENTS] {
    let mut wide = [Qty::ZERO; MAX_INSTRUMENTS];
    wide.iter_mut().zip(positions).for_each(|(slot, held)| *slot = *held);
    wide
}

#[cfg(test)]
mod tests;

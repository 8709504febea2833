//! What must be known before the first connection: who we are at the venue, what its rules are, how
//! much money is there, and what was owned before. Blocking HTTP, once, at start.

use crate::config::live::{Mode, VenueKind, VenueParams};
use crate::config::{Config, usual_point};
use crate::core::{
    ContractKind, InstrumentError, InstrumentId, InstrumentSpec, InstrumentTable, Money, Price, Qty, Span,
};
use crate::venue::binance::endpoints::{Endpoints, Market};
use crate::venue::binance::rest::{
    AccountState, Credentials, HEDGE_MODE, Rest, RestError, RestParams, SymbolInfo, VenueRules,
};
use crate::venue::binance::sign::{KeyError, Signer};
use crate::venue::secret::{Secret, SecretError};

use super::session_clock;

/// Longest wait for one HTTP answer at start.
const PATIENCE: Span = Span::seconds(10);
/// Samples of the venue's clock.
const CLOCK_SAMPLES: u32 = 3;

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Nothing to trade.
    #[error("expected at least one symbol in [venue] symbols, found none; e.g. symbols = [\"BTCUSDT\"]")]
    NoSymbols,
    /// The endpoint is none that is known.
    #[error("expected venue.endpoint to be \"production\", \"testnet\" or \"http://HOST:PORT\", found {0:?}")]
    Endpoint(String),
    /// Real money and play money mixed up.
    #[error("{0}")]
    Mode(String),
    /// A key that cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate file cannot be read.
    #[error("cannot read the certificate {path}: {source}")]
    Certificate {
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The venue did not answer as needed.
    #[error(transparent)]
    Venue(#[from] RestError),
    /// The venue's rules make no instrument.
    #[error(transparent)]
    Instrument(#[from] InstrumentError),
    /// The venue does not let us trade.
    #[error("{0}")]
    NotTradable(String),
    /// Something is owned, and nobody said whose it is.
    #[error(
        "{symbol}: {owned} {asset} are owned already. Say whose they are: in [venue.base_inventory], \
         {symbol} = \"{owned}\" leaves them alone, {symbol} = \"0\" makes them a position that pawl closes"
    )]
    Inventory {
        /// Which symbol.
        symbol: String,
        /// Its base asset.
        asset: String,
        /// How much of it.
        owned: Qty,
    },
}

/// A venue that can be traded on.
pub struct Prepared {
    /// What is traded.
    pub instruments: InstrumentTable,
    /// Base and quote asset of each instrument.
    pub assets: Vec<(String, String)>,
    /// The venue's limits.
    pub rules: VenueRules,
    /// Cash; zero in paper mode.
    pub balance: Money,
    /// Currency of the account.
    pub currency: String,
    /// What was owned before, by instrument.
    pub baselines: Vec<(InstrumentId, Qty)>,
    /// Where the venue is.
    pub endpoints: Endpoints,
    /// A certificate authority to trust besides the usual ones, in PEM.
    pub certificate: Option<Vec<u8>>,
}

/// The dialect's market.
pub fn market(kind: VenueKind) -> Market {
    match kind {
        VenueKind::BinanceSpot => Market::Spot,
        VenueKind::BinanceFutures => Market::UsdMFutures,
    }
}

/// Where the venue is.
///
/// # Errors
/// The text is none of the three forms.
pub fn endpoints(venue: &VenueParams) -> Result<Endpoints, PrepareError> {
    let market = market(venue.kind);
    match venue.endpoint.as_str() {
        "production" => Ok(Endpoints::production(market)),
        "testnet" => Ok(Endpoints::testnet(market)),
        text => {
            let (address, tls) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
                (Some(address), _) => (address, false),
                (_, Some(address)) => (address, true),
                _ => return Err(PrepareError::Endpoint(text.to_owned())),
            };
            Ok(Endpoints::loopback(address.trim_end_matches('/'), market, tls))
        }
    }
}

/// Real money only in live mode, and live mode only with real money and an explicit yes.
///
/// # Errors
/// Which rule is broken and what to do.
pub fn check_mode(mode: Mode, venue: &VenueParams, yes_live: bool) -> Result<(), PrepareError> {
    let production = venue.endpoint == "production";
    let refuse = |text: &str| Err(PrepareError::Mode(text.to_owned()));
    match mode {
        Mode::Live if !yes_live => refuse("mode = \"live\" trades real money: say so with --yes-live"),
        Mode::Demo if production => {
            refuse("mode = \"demo\" with endpoint = \"production\" would trade real money; use \"testnet\" or \"live\"")
        }
        Mode::Paper | Mode::Demo | Mode::Live => Ok(()),
    }
}

/// Key and signer, from where the configuration says they are.
///
/// # Errors
/// They are not there, or others can read them, or they are no keys.
pub fn credentials(venue: &VenueParams) -> Result<Credentials, PrepareError> {
    let api_key = Secret::from_env(&venue.api_key_env)?;
    let secret = match &venue.secret_file {
        Some(path) => Secret::from_file(path)?,
        None => Secret::from_env(&venue.secret_env)?,
    };
    Ok(Credentials { api_key, signer: Signer::from_secret(&secret)? })
}

/// Asks the venue for everything that a session needs.
///
/// # Errors
/// The first thing that stands in the way.
pub fn prepare(config: &Config) -> Result<Prepared, PrepareError> {
    let venue = &config.venue;
    if venue.symbols.is_empty() {
        return Err(PrepareError::NoSymbols);
    }
    let endpoints = endpoints(venue)?;
    let certificate = match &venue.certificate_file {
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|source| PrepareError::Certificate { path: path.display().to_string(), source })?,
        ),
        None => None,
    };
    let params = RestParams {
        base: endpoints.rest.clone(),
        timeout: PATIENCE,
        receive_window: venue.receive_window,
        root_certificate: certificate.clone(),
        clock: session_clock,
    };
    let trading = config.live.mode != Mode::Paper;
    let keys = if trading { Some(credentials(venue)?) } else { None };
    let mut rest = Rest::new(&params, market(venue.kind), keys)?;
    rest.sync_clock(CLOCK_SAMPLES)?;
    let symbols: Vec<&str> = venue.symbols.iter().map(String::as_str).collect();
    let rules = rest.exchange_info(&symbols).map_err(|error| match error {
        RestError::Refused { .. } => {
            PrepareError::NotTradable(format!("[venue] symbols = {symbols:?}: {error}; look them up at the venue"))
        }
        error => error.into(),
    })?;
    let mut specs = Vec::with_capacity(rules.symbols.len());
    for info in &rules.symbols {
        if !info.trading {
            return Err(PrepareError::NotTradable(format!("{} is not open for trading at the venue", info.symbol)));
        }
        let bid = rest.book_ticker(&info.symbol)?.bid;
        specs.push(spec(info, venue.kind, bid, &config.instruments));
    }
    let instruments = InstrumentTable::new(specs)?;
    let currency = one_currency(&rules.symbols)?;
    let assets = rules.symbols.iter().map(|info| (info.base_asset.clone(), info.quote_asset.clone())).collect();
    let (balance, baselines) = if trading {
        check_position_mode(&mut rest)?;
        let account = rest.account()?;
        if !account.can_trade {
            return Err(PrepareError::NotTradable(
                "the venue does not let this key trade; check its permissions".into(),
            ));
        }
        (cash(&account, venue.kind, &currency)?, baselines(venue, &rules.symbols, &account)?)
    } else {
        (Money::ZERO, Vec::new())
    };
    Ok(Prepared { instruments, assets, rules, balance, currency, baselines, endpoints, certificate })
}

/// The venue's grid, the point that traders use, and a smallest order that its notional rule accepts.
fn spec(info: &SymbolInfo, kind: VenueKind, bid: Price, configured: &[InstrumentSpec]) -> InstrumentSpec {
    let mut spec = info.spec();
    spec.contract = if kind == VenueKind::BinanceSpot { ContractKind::Spot } else { ContractKind::Linear };
    let point = match configured.iter().find(|one| one.symbol == spec.symbol) {
        Some(one) => one.point_size,
        None => usual_point(bid, spec.tick_size),
    };
    (spec.point_size, spec.point_value) = (point, Money::from_units(point.units()));
    // A tenth more than the rule wants, since the price moves after the start.
    let needed = i128::from(info.min_notional.units()) * 11 / 10 * i128::from(crate::core::SCALE);
    if let Some(units) = needed.checked_div(i128::from(bid.units())).and_then(|units| i64::try_from(units).ok()) {
        let smallest = Qty::from_units(units).ceil_to(spec.lot_step).unwrap_or(spec.min_lot);
        spec.min_lot = spec.min_lot.max(smallest).min(spec.max_lot);
    }
    spec
}

/// One account is kept in one currency.
fn one_currency(symbols: &[SymbolInfo]) -> Result<String, PrepareError> {
    let first = symbols.first().map_or_else(String::new, |info| info.quote_asset.clone());
    match symbols.iter().find(|info| info.quote_asset != first) {
        Some(other) => Err(PrepareError::NotTradable(format!(
            "expected symbols of one quote asset, found {first} and {}; run a session for each",
            other.quote_asset
        ))),
        None => Ok(first),
    }
}

/// Futures: two positions of one symbol cannot be told from one by what the engine knows.
fn check_position_mode(rest: &mut Rest) -> Result<(), PrepareError> {
    if rest.is_in_hedge_mode()? {
        return Err(PrepareError::NotTradable(format!("expected an account in one-way mode, found {HEDGE_MODE}")));
    }
    Ok(())
}

/// The money that orders are sized by: on futures the balance of the quote asset, not that of the whole account.
fn cash(account: &AccountState, kind: VenueKind, currency: &str) -> Result<Money, PrepareError> {
    if kind == VenueKind::BinanceFutures {
        let margin = account.margin_in(currency).ok_or_else(|| {
            PrepareError::NotTradable(format!(
                "expected a balance of {currency} in the futures account, found none; transfer some, or trade symbols \
                 that are quoted in another asset"
            ))
        })?;
        return Ok(margin.wallet);
    }
    let owned = account.balances.iter().find(|balance| balance.asset == currency);
    let units = owned.and_then(|balance| balance.free.checked_add(balance.locked)).map_or(0, Qty::units);
    Ok(Money::from_units(units))
}

fn baselines(
    venue: &VenueParams,
    symbols: &[SymbolInfo],
    account: &AccountState,
) -> Result<Vec<(InstrumentId, Qty)>, PrepareError> {
    if venue.kind != VenueKind::BinanceSpot {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (index, info) in symbols.iter().enumerate() {
        let owned = account.balances.iter().find(|balance| balance.asset == info.base_asset);
        let owned = owned.and_then(|balance| balance.free.checked_add(balance.locked)).unwrap_or(Qty::ZERO);
        let baseline = match venue.base_inventory.get(&info.symbol) {
            Some(said) if *said > owned => {
                let (symbol, asset) = (&info.symbol, &info.base_asset);
                return Err(PrepareError::NotTradable(format!(
                    "[venue.base_inventory] says that {said} {asset} of {symbol} were owned before, \
                     the venue says that {owned} are; correct it"
                )));
            }
            Some(said) => *said,
            // Less than can be sold is nobody's question.
            None if owned < info.min_lot => owned,
            None => {
                let (symbol, asset) = (info.symbol.clone(), info.base_asset.clone());
                return Err(PrepareError::Inventory { symbol, asset, owned });
            }
        };
        found.push((InstrumentId(index as u16), baseline));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::binance::rest::MarginAsset;
    use crate::venue::binance::rest::tests::{rest, stand_in};

    #[test]
    fn an_account_in_hedge_mode_is_refused_with_what_to_do() {
        let (base, server) = stand_in(vec![
            (200, "", r#"{"dualSidePosition":true}"#.into()),
            (200, "", r#"{"dualSidePosition":false}"#.into()),
        ]);
        let mut rest = rest(&base, Market::UsdMFutures);
        let error = check_position_mode(&mut rest).unwrap_err().to_string();
        assert!(error.contains("hedge mode") && error.contains("dualSidePosition=false"), "{error}");
        check_position_mode(&mut rest).unwrap();
        server.join().unwrap();
    }

    #[test]
    fn orders_are_sized_by_the_balance_of_the_quote_asset() {
        let whole = |value| Some(Money::whole(value));
        let mut account = AccountState {
            can_trade: true,
            balances: Vec::new(),
            unreadable: Vec::new(),
            margin: Vec::new(),
            equity: whole(110),
            wallet: whole(100),
            available: whole(90),
        };
        let (futures, spot) = (VenueKind::BinanceFutures, VenueKind::BinanceSpot);
        assert_eq!(cash(&account, futures, "USDT").unwrap(), Money::whole(100));
        let error = cash(&account, futures, "USDC").unwrap_err().to_string();
        assert!(error.contains("USDC"), "{error}");
        let (asset, wallet) = ("USDC".to_owned(), Money::whole(7));
        account.margin.push(MarginAsset { asset, wallet, equity: wallet, available: wallet });
        assert_eq!(cash(&account, futures, "USDC").unwrap(), Money::whole(7));
        assert_eq!(cash(&account, spot, "USDT").unwrap(), Money::ZERO);
    }
}

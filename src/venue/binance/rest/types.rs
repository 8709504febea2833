//! What the HTTP API answers, as far as we read it. Unknown fields are passed over: the venue adds
//! some every year.

use serde::{Deserialize, Deserializer};

use crate::core::{ContractKind, InstrumentSpec, Money, Price, Qty, SCALE, Side};

/// An order to place.
#[derive(Clone, Copy, Debug)]
pub struct NewOrder<'a> {
    /// Upper case.
    pub symbol: &'a str,
    /// Buy or sell.
    pub side: Side,
    /// Limit price on the tick; `None` for a market order.
    pub price: Option<Price>,
    /// On the lot step.
    pub qty: Qty,
    /// With a limit: trade at once or lapse (IOC), else rest until cancelled.
    pub immediate: bool,
    /// Unique among open orders; 1 to 36 of letters, digits, `.`, `:`, `/`, `_`, `-`.
    pub client_id: &'a str,
    /// Futures: never open or turn a position. Passed over on spot.
    pub reduce_only: bool,
}

/// How an order stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderStatus {
    /// Open, nothing traded.
    New,
    /// Open, part traded.
    PartiallyFilled,
    /// All traded.
    Filled,
    /// Cancelled; part may have traded.
    Cancelled,
    /// Lapsed; part may have traded.
    Expired,
    /// Refused.
    Rejected,
    /// A word that this version does not know: treat as open.
    Other,
}

impl OrderStatus {
    /// From the venue's word.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "NEW" | "PENDING_NEW" => Self::New,
            "PARTIALLY_FILLED" => Self::PartiallyFilled,
            "FILLED" => Self::Filled,
            "CANCELED" | "PENDING_CANCEL" => Self::Cancelled,
            "EXPIRED" | "EXPIRED_IN_MATCH" => Self::Expired,
            "REJECTED" => Self::Rejected,
            _ => Self::Other,
        }
    }

    /// True when nothing more can trade.
    #[must_use]
    pub fn is_done(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled | Self::Expired | Self::Rejected)
    }
}

impl<'de> Deserialize<'de> for OrderStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from_word(&word))
    }
}

/// An order as the venue holds it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderState {
    /// Upper case.
    pub symbol: String,
    /// The venue's number.
    pub order_id: u64,
    /// Its name; after a cancel the name of the cancel, and this order's in `orig_client_order_id`.
    pub client_order_id: String,
    /// The order's own name, in answers to a cancel.
    #[serde(default)]
    pub orig_client_order_id: String,
    /// Limit price; zero for a market order.
    #[serde(default)]
    pub price: Price,
    /// Ordered.
    #[serde(default)]
    pub orig_qty: Qty,
    /// Traded so far. Read it after a cancel, too.
    #[serde(default)]
    pub executed_qty: Qty,
    /// How it stands.
    pub status: OrderStatus,
    /// `BUY` or `SELL`.
    #[serde(deserialize_with = "side")]
    pub side: Side,
    /// Futures: it can only reduce a position.
    #[serde(default)]
    pub reduce_only: bool,
    /// Futures: it closes the whole position when its trigger is reached.
    #[serde(default)]
    pub close_position: bool,
}

/// An open order.
pub type OpenOrder = OrderState;

fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Side, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        other => Err(serde::de::Error::custom(format!("expected BUY or SELL, found {other:?}"))),
    }
}

/// One execution of ours.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TradeState {
    /// Upper case.
    pub symbol: String,
    /// The venue's number of the execution.
    pub id: u64,
    /// The venue's number of the order.
    pub order_id: u64,
    /// Price traded.
    pub price: Price,
    /// Quantity traded.
    pub qty: Qty,
    /// Charged; negative is a rebate.
    pub commission: Qty,
    /// In this asset.
    pub commission_asset: String,
    /// When, milliseconds or microseconds since the epoch.
    pub time: u64,
    /// Futures: profit or loss that the execution realised, commission apart; zero on spot.
    #[serde(default)]
    pub realized_pnl: Money,
    /// True when we bought (`isBuyer` on spot, `buyer` on futures).
    #[serde(alias = "isBuyer")]
    pub buyer: bool,
}

/// One change of a futures wallet.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncomeState {
    /// `TRANSFER`, `REALIZED_PNL`, `COMMISSION`, `FUNDING_FEE`, ...
    pub income_type: String,
    /// How much; below zero it left the wallet.
    pub income: Money,
    /// Of this asset.
    pub asset: String,
    /// When, milliseconds since the epoch.
    pub time: u64,
    /// Unique within its kind; a number or a text.
    #[serde(deserialize_with = "number_or_text")]
    pub tran_id: String,
}

/// The venue writes some numbers in quotes, some of the time.
fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Number(number) => number.to_string(),
        Either::Text(text) => text,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerTime {
    pub(super) server_time: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListenKey {
    pub(super) listen_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookTicker {
    pub(super) bid_price: Price,
    pub(super) bid_qty: Qty,
    pub(super) ask_price: Price,
    pub(super) ask_qty: Qty,
}

/// What the venue allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VenueRules {
    /// The symbols asked for, in that order.
    pub symbols: Vec<SymbolInfo>,
    /// Request weight allowed in a minute; 0 when not said.
    pub weight_per_minute: u32,
    /// Orders allowed in ten seconds; 0 when not said.
    pub orders_per_10s: u32,
    /// Orders allowed in a day (in a minute, times 1440, on futures); 0 when not said.
    pub orders_per_day: u32,
}

/// Grids and limits of one symbol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SymbolInfo {
    /// Upper case.
    pub symbol: String,
    /// True when it can be traded now.
    pub trading: bool,
    /// The asset bought and sold.
    pub base_asset: String,
    /// The asset paid.
    pub quote_asset: String,
    /// Price grid.
    pub tick_size: Price,
    /// Lot grid.
    pub lot_step: Qty,
    /// Smallest order.
    pub min_lot: Qty,
    /// Largest order.
    pub max_lot: Qty,
    /// Smallest price times quantity; zero when there is no such rule.
    pub min_notional: Money,
    /// Spot (owned assets) or linear futures.
    pub contract: ContractKind,
}

impl SymbolInfo {
    /// The instrument this symbol is: one lot is one unit of the base asset, one point is one tick.
    #[must_use]
    pub fn spec(&self) -> InstrumentSpec {
        InstrumentSpec {
            symbol: self.symbol.clone(),
            tick_size: self.tick_size,
            lot_step: self.lot_step,
            min_lot: self.min_lot,
            max_lot: self.max_lot,
            point_size: self.tick_size,
            point_value: Money::from_units(self.tick_size.units()),
            currency: self.quote_asset.clone(),
            contract: self.contract,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExchangeInfo {
    #[serde(default)]
    rate_limits: Vec<RateLimit>,
    symbols: Vec<RawSymbol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    #[serde(rename = "rateLimitType")]
    kind: String,
    interval: String,
    interval_num: u32,
    limit: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSymbol {
    symbol: String,
    status: String,
    base_asset: String,
    quote_asset: String,
    filters: Vec<RawFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFilter {
    filter_type: String,
    tick_size: Option<String>,
    step_size: Option<String>,
    min_qty: Option<String>,
    max_qty: Option<String>,
    min_notional: Option<String>,
    /// Futures' spelling of the smallest notional.
    notional: Option<String>,
}

impl ExchangeInfo {
    pub(super) fn rules(self, wanted: &[&str], contract: ContractKind) -> Result<VenueRules, String> {
        let limit = |kind: &str, interval: &str, number: u32| {
            let found = self
                .rate_limits
                .iter()
                .find(|limit| limit.kind == kind && limit.interval == interval && limit.interval_num == number);
            found.map_or(0, |limit| limit.limit)
        };
        let per_day = match limit("ORDERS", "DAY", 1) {
            0 => limit("ORDERS", "MINUTE", 1).saturating_mul(1440),
            limit => limit,
        };
        let symbols = wanted
            .iter()
            .map(|name| {
                let raw = self.symbols.iter().find(|raw| raw.symbol == *name);
                raw.ok_or_else(|| format!("no symbol {name}; check its name with the venue"))
                    .and_then(|raw| raw.info(contract))
            })
            .collect::<Result<_, _>>()?;
        Ok(VenueRules {
            symbols,
            weight_per_minute: limit("REQUEST_WEIGHT", "MINUTE", 1),
            orders_per_10s: limit("ORDERS", "SECOND", 10),
            orders_per_day: per_day,
        })
    }
}

impl RawSymbol {
    fn info(&self, contract: ContractKind) -> Result<SymbolInfo, String> {
        let filter = |kind: &str| self.filters.iter().find(|filter| filter.filter_type == kind);
        let bad = |what: &str, text: &str| format!("{}: {what} {text:?} is not a number of ours", self.symbol);
        let units = |what: &str, text: Option<&String>| match text {
            None => Ok(0),
            Some(text) => text.parse::<Qty>().map(Qty::units).map_err(|_| bad(what, text)),
        };
        let lot = filter("LOT_SIZE").ok_or_else(|| format!("{}: no LOT_SIZE filter", self.symbol))?;
        let tick = units("tickSize", filter("PRICE_FILTER").and_then(|filter| filter.tick_size.as_ref()))?;
        // A step of zero switches the rule off: the finest number of ours then.
        let step = units("stepSize", lot.step_size.as_ref())?.max(1);
        let (min, max) = (units("minQty", lot.min_qty.as_ref())?, units("maxQty", lot.max_qty.as_ref()));
        // More than we can count is no limit of ours.
        let max = max.unwrap_or(i64::MAX);
        let notional = filter("NOTIONAL").or_else(|| filter("MIN_NOTIONAL"));
        let notional = notional.and_then(|filter| filter.min_notional.as_ref().or(filter.notional.as_ref()));
        let on_step = |units: i64| units - units % step;
        let min_lot = on_step(min.saturating_add(step - 1)).max(step);
        Ok(SymbolInfo {
            symbol: self.symbol.clone(),
            trading: self.status == "TRADING",
            base_asset: self.base_asset.clone(),
            quote_asset: self.quote_asset.clone(),
            tick_size: Price::from_units(tick.max(1)),
            lot_step: Qty::from_units(step),
            min_lot: Qty::from_units(min_lot),
            max_lot: Qty::from_units(on_step(max).max(min_lot)),
            min_notional: Money::from_units(units("minNotional", notional)?),
            contract,
        })
    }
}

const _: () = assert!(SCALE == 100_000_000);

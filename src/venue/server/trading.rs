//! Orders: placing, cancelling, replacing, asking. Form is checked here, in the venue's order and
//! words; filters, balances and matching are the exchange's.

use super::accounts::owner;
use super::caller::Caller;
use super::endpoints::{Answer, Venue};
use super::error::ApiError;
use super::json::{Object, array};
use super::params::Params;
use super::records::{AccountId, NewOrder, OrderRecord, OrderType, Status, Tif};
use crate::core::{InstrumentId, Money, Price, Qty, Side};

/// The side on the wire.
pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Modes of self-trade prevention that may be asked for.
const PREVENTION: [&str; 4] = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"];
/// Parameters of order types that are not offered.
const NOT_OFFERED: [&str; 6] =
    ["stopPrice", "trailingDelta", "icebergQty", "pegPriceType", "pegOffsetType", "pegOffsetValue"];

/// How much the reply says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Ack,
    Result,
    Full,
}

fn detail(params: &Params, order_type: OrderType) -> Result<Detail, ApiError> {
    match params.get("newOrderRespType") {
        None if order_type == OrderType::LimitMaker => Ok(Detail::Ack),
        Some("ACK") => Ok(Detail::Ack),
        Some("RESULT") => Ok(Detail::Result),
        Some("FULL") | None => Ok(Detail::Full),
        Some(_) => Err(ApiError::invalid("newOrderRespType")),
    }
}

pub(super) fn order_type(params: &Params) -> Result<OrderType, ApiError> {
    match params.required("type")? {
        "LIMIT" => Ok(OrderType::Limit),
        "LIMIT_MAKER" => Ok(OrderType::LimitMaker),
        "MARKET" => Ok(OrderType::Market),
        "STOP_LOSS" | "STOP_LOSS_LIMIT" | "TAKE_PROFIT" | "TAKE_PROFIT_LIMIT" => {
            Err(ApiError { code: -2010, ..ApiError::UNSUPPORTED_COMBINATION })
        }
        _ => Err(ApiError::INVALID_TYPE),
    }
}

/// Checks the form of a new order.
fn parse(venue: &mut Venue, params: &Params) -> Result<NewOrder, ApiError> {
    let symbol = venue.symbol(params)?;
    let (side, order_type) = (params.side()?, order_type(params)?);
    if let Some(name) = NOT_OFFERED.into_iter().find(|name| params.get(name).is_some()) {
        return Err(ApiError::not_required(name));
    }
    let tif = match (order_type, params.get("timeInForce")) {
        (OrderType::Limit, None) => return Err(ApiError::mandatory("timeInForce")),
        (OrderType::Limit, Some("GTC")) | (_, None) => Tif::Gtc,
        (OrderType::Limit, Some("IOC")) => Tif::Ioc,
        (OrderType::Limit, Some("FOK")) => Tif::Fok,
        (OrderType::Limit, Some(_)) => return Err(ApiError::INVALID_TIF),
        (_, Some(_)) => return Err(ApiError::not_required("timeInForce")),
    };
    let (qty, quote_qty) = (params.qty("quantity")?, params.price("quoteOrderQty")?);
    let price = params.price("price")?;
    let price = match order_type {
        OrderType::Market if price.is_some() => return Err(ApiError::not_required("price")),
        OrderType::Market => Price::ZERO,
        _ => price.ok_or_else(|| ApiError::mandatory("price"))?,
    };
    if order_type != OrderType::Market && !price.is_positive() {
        return Err(ApiError::INVALID_PRICE);
    }
    let (qty, quote_qty) = match (order_type, qty, quote_qty) {
        (OrderType::Market, None, None) => return Err(ApiError::one_of("quantity", "quoteOrderQty")),
        (OrderType::Market, Some(_), Some(_)) => return Err(ApiError::BAD_COMBINATION),
        (OrderType::Market, None, Some(quote)) => (Qty::ZERO, Money::from_units(quote.units())),
        (_, _, Some(_)) => return Err(ApiError::not_required("quoteOrderQty")),
        (_, Some(qty), None) => (qty, Money::ZERO),
        (_, None, None) => return Err(ApiError::mandatory("quantity")),
    };
    if !qty.is_positive() && !quote_qty.is_positive() {
        return Err(ApiError::INVALID_QUANTITY);
    }
    let wanted = params.get("selfTradePreventionMode").unwrap_or("EXPIRE_MAKER");
    let prevention = PREVENTION.into_iter().find(|mode| *mode == wanted);
    let prevention = prevention.ok_or_else(|| ApiError::invalid("selfTradePreventionMode"))?;
    let client_id = match params.client_id("newClientOrderId")? {
        Some(id) => id.to_owned(),
        None => venue.make_id(),
    };
    Ok(NewOrder { symbol, client_id, side, order_type, tif, price, qty, quote_qty, reduce_only: false, prevention })
}

/// Takes an order whose form is good; counts it unless it is refused.
pub(super) fn submit(venue: &mut Venue, caller: &Caller, account: AccountId, new: NewOrder) -> Result<usize, ApiError> {
    venue.limits.order(account, caller.now)?;
    let placed = venue.exchange.place(account, new, caller.now);
    if placed.is_err() {
        venue.limits.order_back(account);
    }
    placed
}

pub(super) fn place(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let account = owner(caller)?;
    let new = parse(venue, params)?;
    let detail = detail(params, new.order_type)?;
    let index = submit(venue, caller, account, new)?;
    Ok(placed_json(venue, caller, &venue.exchange.orders[index], detail))
}

pub(super) fn test(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    owner(caller)?;
    let mut new = parse(venue, params)?;
    detail(params, new.order_type)?;
    let touch = venue.exchange.touch(new.symbol).ok_or(ApiError::MARKET_CLOSED)?;
    let far = if new.side == Side::Buy { touch.ask } else { touch.bid };
    if new.qty.is_zero() {
        new.qty = venue.exchange.symbols[new.symbol.index()].spec.min_lot;
    }
    super::filters::check(&venue.exchange.symbols[new.symbol.index()], &new, far)?;
    Ok("{}".to_owned())
}

/// The reply to a new order.
fn placed_json(venue: &Venue, caller: &Caller, record: &OrderRecord, detail: Detail) -> String {
    let object = Object::new()
        .text("symbol", venue.exchange.symbols[record.order.symbol.index()].name())
        .raw("orderId", record.id)
        .raw("orderListId", -1)
        .text("clientOrderId", &record.order.client_id)
        .raw("transactTime", caller.unit.of(record.updated));
    if detail == Detail::Ack {
        return object.end();
    }
    let object = figures(object, record)
        .raw("workingTime", caller.unit.of(record.created))
        .text("selfTradePreventionMode", record.order.prevention);
    let object = match record.expiry {
        Some(reason) => object.text("expiryReason", reason),
        None => object,
    };
    if detail == Detail::Result {
        return object.end();
    }
    let fills = record.trades.iter().map(|index| {
        let trade = &venue.exchange.trades[*index];
        Object::new()
            .decimal("price", trade.price)
            .decimal("qty", trade.qty)
            .decimal("commission", trade.commission)
            .text("commissionAsset", &venue.exchange.assets[trade.commission_asset])
            .raw("tradeId", trade.id)
            .end()
    });
    object.raw("fills", array(fills)).end()
}

/// The members that every order object shares.
fn figures(object: Object, record: &OrderRecord) -> Object {
    object
        .decimal("price", record.order.price)
        .decimal("origQty", record.order.qty)
        .decimal("executedQty", record.filled)
        .decimal("origQuoteOrderQty", record.order.quote_qty)
        .decimal("cummulativeQuoteQty", record.traded)
        .text("status", record.status.name())
        .text("timeInForce", record.order.tif.name())
        .text("type", record.order.order_type.name())
        .text("side", side_name(record.order.side))
}

/// An order as a query answers it.
fn order_json(venue: &Venue, caller: &Caller, record: &OrderRecord) -> String {
    let object = Object::new()
        .text("symbol", venue.exchange.symbols[record.order.symbol.index()].name())
        .raw("orderId", record.id)
        .raw("orderListId", -1)
        .text("clientOrderId", &record.order.client_id);
    let object = figures(object, record)
        .decimal("stopPrice", Price::ZERO)
        .decimal("icebergQty", Qty::ZERO)
        .raw("time", caller.unit.of(record.created))
        .raw("updateTime", caller.unit.of(record.updated))
        .raw("isWorking", true)
        .raw("workingTime", caller.unit.of(record.created))
        .text("selfTradePreventionMode", record.order.prevention);
    match record.expiry {
        Some(reason) => object.text("expiryReason", reason).end(),
        None => object.end(),
    }
}

/// The reply to a cancel.
fn cancelled_json(venue: &Venue, caller: &Caller, record: &OrderRecord) -> String {
    let object = Object::new()
        .text("symbol", venue.exchange.symbols[record.order.symbol.index()].name())
        .text("origClientOrderId", &record.order.client_id)
        .raw("orderId", record.id)
        .raw("orderListId", -1)
        .text("clientOrderId", record.cancel_id.as_deref().unwrap_or_default())
        .raw("transactTime", caller.unit.of(record.updated));
    figures(object, record).text("selfTradePreventionMode", record.order.prevention).end()
}

/// The order that a request names by `orderId`, `origClientOrderId`, or both.
pub(super) fn named<'a>(
    venue: &'a Venue,
    account: AccountId,
    symbol: InstrumentId,
    params: &Params,
    id_name: &str,
    client_name: &str,
    unknown: &ApiError,
) -> Result<&'a OrderRecord, ApiError> {
    let (id, client_id) = (params.number(id_name)?, params.client_id(client_name)?);
    let found = match (id, client_id) {
        (None, None) => return Err(ApiError::one_of(client_name, id_name)),
        (Some(id), client_id) => venue
            .exchange
            .order(account, id)
            .filter(|order| client_id.is_none_or(|client_id| order.order.client_id == client_id)),
        (None, Some(client_id)) => venue.exchange.order_by_client_id(account, client_id),
    };
    found.filter(|order| order.order.symbol == symbol).ok_or_else(|| unknown.clone())
}

pub(super) fn status(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let order = named(venue, account, symbol, params, "orderId", "origClientOrderId", &ApiError::NO_SUCH_ORDER)?;
    Ok(order_json(venue, caller, order))
}

pub(super) fn cancel(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    cancel_named(venue, caller, account, symbol, params, ["orderId", "origClientOrderId", "newClientOrderId"])
}

fn cancel_named(
    venue: &mut Venue,
    caller: &Caller,
    account: AccountId,
    symbol: InstrumentId,
    params: &Params,
    [id_name, client_name, cancel_name]: [&str; 3],
) -> Answer {
    let order = named(venue, account, symbol, params, id_name, client_name, &ApiError::CANCEL_UNKNOWN)?;
    let (id, status) = (order.id, order.status);
    match params.get("cancelRestrictions") {
        Some("ONLY_NEW") if status == Status::PartiallyFilled => return Err(ApiError::CANCEL_RESTRICTED),
        Some("ONLY_PARTIALLY_FILLED") if status == Status::New => return Err(ApiError::CANCEL_RESTRICTED),
        Some("ONLY_NEW" | "ONLY_PARTIALLY_FILLED") | None => {}
        Some(_) => return Err(ApiError::INVALID_RESTRICTIONS),
    }
    let cancel_id = match params.client_id(cancel_name)? {
        Some(id) => id.to_owned(),
        None => venue.make_id(),
    };
    let index = venue.exchange.cancel(account, id, &cancel_id, caller.now)?;
    Ok(cancelled_json(venue, caller, &venue.exchange.orders[index]))
}

pub(super) fn cancel_all(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let open: Vec<u64> = venue.exchange.open_orders(account, Some(symbol)).map(|order| order.id).collect();
    if open.is_empty() {
        return Err(ApiError::CANCEL_UNKNOWN);
    }
    let cancel_id = venue.make_id();
    let mut texts = Vec::with_capacity(open.len());
    for id in open {
        let index = venue.exchange.cancel(account, id, &cancel_id, caller.now)?;
        texts.push(cancelled_json(venue, caller, &venue.exchange.orders[index]));
    }
    Ok(array(texts))
}

pub(super) fn cancel_replace(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let stop_on_failure = match params.required("cancelReplaceMode")? {
        "STOP_ON_FAILURE" => true,
        "ALLOW_FAILURE" => false,
        _ => return Err(ApiError::invalid("cancelReplaceMode")),
    };
    let new = parse(venue, params)?;
    let detail = detail(params, new.order_type)?;
    let names = ["cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId"];
    let cancelled = cancel_named(venue, caller, account, symbol, params, names);
    let placed = if cancelled.is_err() && stop_on_failure {
        None
    } else {
        let placed = submit(venue, caller, account, new);
        Some(placed.map(|index| placed_json(venue, caller, &venue.exchange.orders[index], detail)))
    };
    let word = |good: bool| if good { "SUCCESS" } else { "FAILURE" };
    let text = |answer: &Answer| match answer {
        Ok(text) => text.clone(),
        Err(error) => error.json(),
    };
    let (good, placed_good) = (cancelled.is_ok(), placed.as_ref().is_some_and(Result::is_ok));
    let report = Object::new()
        .text("cancelResult", word(good))
        .text("newOrderResult", placed.as_ref().map_or("NOT_ATTEMPTED", |placed| word(placed.is_ok())))
        .raw("cancelResponse", text(&cancelled))
        .raw("newOrderResponse", placed.as_ref().map_or_else(|| "null".to_owned(), text))
        .end();
    match (good, placed_good) {
        (true, true) => Ok(report),
        (false, false) => Err(ApiError { data: Some(report), ..ApiError::REPLACE_FAILED }),
        _ => Err(ApiError { data: Some(report), ..ApiError::REPLACE_PARTLY_FAILED }),
    }
}

pub(super) fn amend(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let order = named(venue, account, symbol, params, "orderId", "origClientOrderId", &ApiError::NO_SUCH_ORDER)?;
    let id = order.id;
    let qty = params.qty("newQty")?.ok_or_else(|| ApiError::mandatory("newQty"))?;
    let index = venue.exchange.amend(account, id, qty, caller.now)?;
    let record = &venue.exchange.orders[index];
    Ok(Object::new()
        .raw("transactTime", caller.unit.of(record.updated))
        .raw("executionId", venue.exchange.trades.len())
        .raw("amendedOrder", order_json(venue, caller, record))
        .end())
}

pub(super) fn open_orders(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol_if_any(params)?);
    Ok(array(venue.exchange.open_orders(account, symbol).map(|order| order_json(venue, caller, order))))
}

pub(super) fn all_orders(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let from = params.number("orderId")?.unwrap_or_default();
    let limit = params.number("limit")?.unwrap_or(500).clamp(1, 1_000) as usize;
    let of = |order: &&OrderRecord| order.account == account && order.order.symbol == symbol && order.id >= from;
    let found: Vec<&OrderRecord> = venue.exchange.orders.iter().filter(of).collect();
    let skip = if from > 0 { 0 } else { found.len().saturating_sub(limit) };
    Ok(array(found.into_iter().skip(skip).take(limit).map(|order| order_json(venue, caller, order))))
}

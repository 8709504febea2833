//! What USD-M futures say and ask differently from spot: paths, positions, the dead-man switch, and
//! the user stream by listen key. Simplified money: see `margin.rs`.

use super::accounts::owner;
use super::board::Tape;
use super::caller::{Caller, TimeUnit};
use super::endpoints::{Answer, Endpoint, Security, Venue};
use super::error::ApiError;
use super::exchange::{Exchange, LEVERAGE, MOST_OPEN};
use super::filters;
use super::json::{Object, array, string};
use super::margin::money;
use super::params::Params;
use super::records::{AccountId, Happened, NewOrder, OrderRecord, OrderType, Position, Tif, TradeRecord, UserEvent};
use super::trading::{named, side_name, submit};
use super::{accounts, public};
use crate::core::{InstrumentId, Money, Nanos, Price, Qty, Side};

const fn row(
    http: &'static str,
    path: &'static str,
    method: &'static str,
    weight: u64,
    security: Security,
    run: fn(&mut Venue, &Caller, &Params) -> Answer,
) -> Endpoint {
    Endpoint { http, path, method, weight, security, is_order: false, run }
}

use Security::{Key, Public, Signed};

/// The futures endpoints.
pub(super) static TABLE: [Endpoint; 31] = [
    row("GET", "/fapi/v1/ping", "ping", 1, Public, public::ping),
    // The WebSocket API has no `time` here: `session.status` tells it.
    row("GET", "/fapi/v1/time", "", 1, Public, public::time),
    row("GET", "/fapi/v1/exchangeInfo", "exchangeInfo", 1, Public, exchange_info),
    row("GET", "/fapi/v1/depth", "depth", 5, Public, depth),
    row("GET", "/fapi/v1/trades", "", 5, Public, public::trades),
    row("GET", "/fapi/v1/aggTrades", "", 20, Public, public::aggregate_trades),
    row("GET", "/fapi/v1/klines", "", 5, Public, public::klines),
    row("GET", "/fapi/v1/ticker/24hr", "", 1, Public, public::ticker_day),
    row("GET", "/fapi/v1/ticker/price", "ticker.price", 1, Public, public::ticker_price),
    row("GET", "/fapi/v1/ticker/bookTicker", "ticker.book", 2, Public, public::ticker_book),
    row("GET", "/fapi/v1/premiumIndex", "", 1, Public, premium_index),
    Endpoint {
        http: "POST",
        path: "/fapi/v1/order",
        method: "order.place",
        weight: 0,
        security: Signed,
        is_order: true,
        run: place,
    },
    row("GET", "/fapi/v1/order", "order.status", 1, Signed, status),
    row("DELETE", "/fapi/v1/order", "order.cancel", 1, Signed, cancel),
    row("GET", "/fapi/v1/openOrders", "", 1, Signed, open_orders),
    row("DELETE", "/fapi/v1/allOpenOrders", "", 1, Signed, cancel_all),
    row("POST", "/fapi/v1/countdownCancelAll", "", 10, Signed, countdown),
    row("GET", "/fapi/v1/userTrades", "", 5, Signed, user_trades),
    row("GET", "/fapi/v1/income", "", 30, Signed, super::income::history),
    row("GET", "/fapi/v2/balance", "v2/account.balance", 5, Signed, balance),
    row("GET", "/fapi/v3/balance", "account.balance", 5, Signed, balance),
    row("GET", "/fapi/v2/account", "v2/account.status", 5, Signed, account),
    row("GET", "/fapi/v3/account", "account.status", 5, Signed, account),
    row("GET", "/fapi/v2/positionRisk", "v2/account.position", 5, Signed, position_risk),
    row("GET", "/fapi/v3/positionRisk", "account.position", 5, Signed, position_risk),
    row("GET", "/fapi/v1/rateLimit/order", "", 1, Signed, accounts::order_limits),
    row("GET", "/fapi/v1/positionSide/dual", "", 30, Signed, one_way),
    row("GET", "/fapi/v1/multiAssetsMargin", "", 30, Signed, single_asset),
    row("POST", "/fapi/v1/listenKey", "userDataStream.start", 5, Key, listen),
    row("PUT", "/fapi/v1/listenKey", "userDataStream.ping", 5, Key, listen),
    row("DELETE", "/fapi/v1/listenKey", "userDataStream.stop", 5, Key, public::ping),
];

/// The listen key of an account: one as long as it lives, as at the venue.
pub(super) fn listen_key(account: AccountId) -> String {
    format!("pawl{:060}", account.0 + 1)
}

fn listen(_: &mut Venue, caller: &Caller, _: &Params) -> Answer {
    Ok(Object::new().text("listenKey", &listen_key(owner(caller)?)).end())
}

fn one_way(_: &mut Venue, _: &Caller, _: &Params) -> Answer {
    Ok("{\"dualSidePosition\":false}".to_owned())
}

fn single_asset(_: &mut Venue, _: &Caller, _: &Params) -> Answer {
    Ok("{\"multiAssetsMargin\":false}".to_owned())
}

fn exchange_info(venue: &mut Venue, caller: &Caller, _: &Params) -> Answer {
    let symbols = venue.exchange.symbols.iter().map(|symbol| {
        Object::new()
            .text("symbol", symbol.name())
            .text("pair", symbol.name())
            .text("contractType", "PERPETUAL")
            .raw("deliveryDate", 4_133_404_800_000_u64)
            .raw("onboardDate", 1_569_398_400_000_u64)
            .text("status", "TRADING")
            .text("baseAsset", &symbol.base)
            .text("quoteAsset", &symbol.quote)
            .text("marginAsset", &symbol.quote)
            .raw("pricePrecision", symbol.price_digits())
            .raw("quantityPrecision", symbol.quantity_digits())
            .raw("baseAssetPrecision", 8)
            .raw("quotePrecision", 8)
            .text("underlyingType", "COIN")
            .raw("orderTypes", "[\"LIMIT\",\"MARKET\"]")
            .raw("timeInForce", "[\"GTC\",\"IOC\",\"FOK\",\"GTX\"]")
            .raw("filters", filters::list_futures(symbol, MOST_OPEN))
            .end()
    });
    let assets = venue.exchange.assets.iter();
    let margin = assets.filter(|asset| venue.exchange.symbols.iter().any(|symbol| symbol.quote == **asset));
    let margin = margin.map(|asset| Object::new().text("asset", asset).raw("marginAvailable", true).end());
    Ok(Object::new()
        .text("timezone", "UTC")
        .raw("serverTime", caller.time())
        .raw("rateLimits", venue.limits.list())
        .raw("exchangeFilters", "[]")
        .raw("assets", array(margin))
        .raw("symbols", array(symbols))
        .end())
}

fn depth(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    let tape: &Tape = &venue.tapes[id.index()];
    let object =
        Object::new().raw("lastUpdateId", tape.update).raw("E", caller.time()).raw("T", caller.unit.of(tape.quoted));
    Ok(public::sides(object, tape, ["bids", "asks"]).end())
}

fn premium_index(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    let mark = venue.exchange.mark(id).ok_or(ApiError::MARKET_CLOSED)?;
    Ok(Object::new()
        .text("symbol", params.required("symbol")?)
        .decimal("markPrice", mark)
        .decimal("indexPrice", mark)
        .text("lastFundingRate", "0.00000000")
        .raw("nextFundingTime", 0)
        .raw("time", caller.time())
        .end())
}

fn parse(venue: &mut Venue, params: &Params) -> Result<NewOrder, ApiError> {
    let symbol = venue.symbol(params)?;
    let side = params.side()?;
    let order_type = super::trading::order_type(params)?;
    if params.get("positionSide").is_some_and(|side| side != "BOTH") {
        return Err(ApiError { code: -4061, ..ApiError::UNSUPPORTED_COMBINATION });
    }
    let tif = match (order_type, params.get("timeInForce")) {
        (OrderType::LimitMaker, _) => return Err(ApiError::INVALID_TYPE),
        (OrderType::Market, _) | (OrderType::Limit, Some("GTC")) => Tif::Gtc,
        (OrderType::Limit, None) => return Err(ApiError::mandatory("timeInForce")),
        (OrderType::Limit, Some("IOC")) => Tif::Ioc,
        (OrderType::Limit, Some("FOK")) => Tif::Fok,
        (OrderType::Limit, Some("GTX")) => Tif::Gtx,
        (OrderType::Limit, Some(_)) => return Err(ApiError::INVALID_TIF),
    };
    let price = match order_type {
        OrderType::Market => Price::ZERO,
        _ => params.price("price")?.filter(|p| p.is_positive()).ok_or_else(|| ApiError::mandatory("price"))?,
    };
    let qty = params.qty("quantity")?.ok_or_else(|| ApiError::mandatory("quantity"))?;
    if !qty.is_positive() {
        return Err(ApiError::INVALID_QUANTITY);
    }
    let client_id = match params.client_id("newClientOrderId")? {
        Some(id) => id.to_owned(),
        None => venue.make_id(),
    };
    let reduce_only = params.flag("reduceOnly")?.unwrap_or(false);
    let prevention = "EXPIRE_MAKER";
    let quote_qty = Money::ZERO;
    Ok(NewOrder { symbol, client_id, side, order_type, tif, price, qty, quote_qty, reduce_only, prevention })
}

fn place(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let account = owner(caller)?;
    let new = parse(venue, params)?;
    let index = submit(venue, caller, account, new)?;
    Ok(order_json(&venue.exchange, caller.unit, &venue.exchange.orders[index]))
}

/// Average price of what has traded.
fn average(record: &OrderRecord) -> Price {
    if record.filled.is_zero() {
        return Price::ZERO;
    }
    let units = i128::from(record.traded.units()) * i128::from(crate::core::SCALE) / i128::from(record.filled.units());
    Price::from_units(units as i64)
}

fn order_json(exchange: &Exchange, unit: TimeUnit, record: &OrderRecord) -> String {
    let order = &record.order;
    Object::new()
        .raw("orderId", record.id)
        .text("symbol", exchange.symbols[order.symbol.index()].name())
        .text("status", record.status.name())
        .text("clientOrderId", &order.client_id)
        .decimal("price", order.price)
        .decimal("avgPrice", average(record))
        .decimal("origQty", order.qty)
        .decimal("executedQty", record.filled)
        .decimal("cumQty", record.filled)
        .decimal("cumQuote", record.traded)
        .text("timeInForce", order.tif.name())
        .text("type", order.order_type.name())
        .raw("reduceOnly", order.reduce_only)
        .raw("closePosition", false)
        .text("side", side_name(order.side))
        .text("positionSide", "BOTH")
        .decimal("stopPrice", Price::ZERO)
        .text("workingType", "CONTRACT_PRICE")
        .raw("priceProtect", false)
        .text("origType", order.order_type.name())
        .text("priceMatch", "NONE")
        .text("selfTradePreventionMode", order.prevention)
        .raw("goodTillDate", 0)
        .raw("time", unit.of(record.created))
        .raw("updateTime", unit.of(record.updated))
        .end()
}

fn status(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let order = named(venue, account, symbol, params, "orderId", "origClientOrderId", &ApiError::NO_SUCH_ORDER)?;
    Ok(order_json(&venue.exchange, caller.unit, order))
}

fn cancel(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let order = named(venue, account, symbol, params, "orderId", "origClientOrderId", &ApiError::CANCEL_UNKNOWN)?;
    let (id, name) = (order.id, order.order.client_id.clone());
    let index = venue.exchange.cancel(account, id, &name, caller.now)?;
    Ok(order_json(&venue.exchange, caller.unit, &venue.exchange.orders[index]))
}

fn cancel_all(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let open: Vec<(u64, String)> = venue
        .exchange
        .open_orders(account, Some(symbol))
        .map(|order| (order.id, order.order.client_id.clone()))
        .collect();
    for (id, name) in open {
        venue.exchange.cancel(account, id, &name, caller.now)?;
    }
    Ok("{\"code\":200,\"msg\":\"The operation of cancel all open order is done.\"}".to_owned())
}

fn open_orders(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol_if_any(params)?);
    let orders = venue.exchange.open_orders(account, symbol);
    Ok(array(orders.map(|order| order_json(&venue.exchange, caller.unit, order))))
}

/// The dead-man switch: each call replaces the timer, 0 disarms it.
fn countdown(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let millis = params.number("countdownTime")?.ok_or_else(|| ApiError::mandatory("countdownTime"))?;
    venue.countdowns.retain(|(owner, of, _)| (*owner, *of) != (account, symbol));
    if millis > 0 {
        let at = Nanos(caller.now.0.saturating_add(millis.saturating_mul(1_000_000)));
        venue.countdowns.push((account, symbol, at));
    }
    let name = venue.exchange.symbols[symbol.index()].name();
    Ok(Object::new().text("symbol", name).raw("countdownTime", format_args!("\"{millis}\"")).end())
}

fn user_trades(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let (order, from) = (params.number("orderId")?, params.number("fromId")?);
    let limit = params.number("limit")?.unwrap_or(500).clamp(1, 1_000) as usize;
    let within = |trade: &&TradeRecord| {
        trade.account == account
            && trade.symbol == symbol
            && order.is_none_or(|order| trade.order == order)
            && from.is_none_or(|from| trade.id >= from)
    };
    let found: Vec<&TradeRecord> = venue.exchange.trades.iter().filter(within).collect();
    let skip = if from.is_some() { 0 } else { found.len().saturating_sub(limit) };
    let texts = found.into_iter().skip(skip).take(limit).map(|trade| {
        Object::new()
            .text("symbol", venue.exchange.symbols[symbol.index()].name())
            .raw("id", trade.id)
            .raw("orderId", trade.order)
            .text("side", side_name(trade.side))
            .decimal("price", trade.price)
            .decimal("qty", trade.qty)
            .decimal("realizedPnl", trade.realised)
            .decimal("quoteQty", trade.quote)
            .decimal("commission", trade.commission)
            .text("commissionAsset", &venue.exchange.assets[trade.commission_asset])
            .raw("time", caller.unit.of(trade.time))
            .text("positionSide", "BOTH")
            .raw("buyer", trade.side == Side::Buy)
            .raw("maker", trade.maker)
            .end()
    });
    Ok(array(texts))
}

/// Assets that are margin: the quote assets.
fn margin_assets(exchange: &Exchange) -> Vec<usize> {
    let quote = |asset: &String| exchange.symbols.iter().any(|symbol| symbol.quote == *asset);
    exchange.assets.iter().enumerate().filter(|(_, asset)| quote(asset)).map(|(index, _)| index).collect()
}

fn available(exchange: &Exchange, account: AccountId, asset: usize) -> Money {
    let units = exchange.equity(account, asset).units() - exchange.margin_used(account).units();
    Money::from_units(units.max(0))
}

fn balance(venue: &mut Venue, caller: &Caller, _: &Params) -> Answer {
    let (id, exchange) = (owner(caller)?, &venue.exchange);
    let rows = margin_assets(exchange).into_iter().map(|asset| {
        let wallet = exchange.accounts[id.0].balances[asset].total();
        Object::new()
            .text("accountAlias", &exchange.accounts[id.0].name)
            .text("asset", &exchange.assets[asset])
            .decimal("balance", wallet)
            .decimal("crossWalletBalance", wallet)
            .decimal("crossUnPnl", exchange.unrealised(id))
            .decimal("availableBalance", available(exchange, id, asset))
            .decimal("maxWithdrawAmount", available(exchange, id, asset))
            .raw("marginAvailable", true)
            .raw("updateTime", caller.unit.of(exchange.accounts[id.0].updated))
            .end()
    });
    Ok(array(rows))
}

fn account(venue: &mut Venue, caller: &Caller, _: &Params) -> Answer {
    let (id, exchange) = (owner(caller)?, &venue.exchange);
    let unrealised = exchange.unrealised(id);
    let assets = margin_assets(exchange);
    let wallet = assets.iter().map(|asset| exchange.accounts[id.0].balances[*asset].total().units()).sum::<i64>();
    let (wallet, margin) = (Money::from_units(wallet), Money::from_units(wallet + unrealised.units()));
    let used = exchange.margin_used(id);
    let free = Money::from_units((margin.units() - used.units()).max(0));
    let rows = assets.iter().map(|asset| {
        let wallet = exchange.accounts[id.0].balances[*asset].total();
        Object::new()
            .text("asset", &exchange.assets[*asset])
            .decimal("walletBalance", wallet)
            .decimal("unrealizedProfit", unrealised)
            .decimal("marginBalance", Money::from_units(wallet.units() + unrealised.units()))
            .decimal("maintMargin", Money::ZERO)
            .decimal("initialMargin", used)
            .decimal("positionInitialMargin", used)
            .decimal("openOrderInitialMargin", Money::ZERO)
            .decimal("crossWalletBalance", wallet)
            .decimal("crossUnPnl", unrealised)
            .decimal("availableBalance", free)
            .decimal("maxWithdrawAmount", free)
            .raw("updateTime", caller.unit.of(exchange.accounts[id.0].updated))
            .end()
    });
    Ok(Object::new()
        .raw("canTrade", true)
        .decimal("totalInitialMargin", used)
        .decimal("totalMaintMargin", Money::ZERO)
        .decimal("totalWalletBalance", wallet)
        .decimal("totalUnrealizedProfit", unrealised)
        .decimal("totalMarginBalance", margin)
        .decimal("totalPositionInitialMargin", used)
        .decimal("totalOpenOrderInitialMargin", Money::ZERO)
        .decimal("totalCrossWalletBalance", wallet)
        .decimal("totalCrossUnPnl", unrealised)
        .decimal("availableBalance", free)
        .decimal("maxWithdrawAmount", free)
        .raw("assets", array(rows))
        .raw("positions", positions_json(exchange, id, None, caller.unit))
        .end())
}

/// An average entry price as the venue writes it: with more digits than any price has.
fn entry(position: &Position) -> String {
    let size = i128::from(position.units.unsigned_abs());
    if size == 0 {
        return "0.0".to_owned();
    }
    let digits = position.cost % size * 100_000 / size;
    format!("{:.8}{digits:05}", position.entry())
}

fn position_risk(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (id, symbol) = (owner(caller)?, venue.symbol_if_any(params)?);
    Ok(positions_json(&venue.exchange, id, symbol, caller.unit))
}

fn positions_json(exchange: &Exchange, id: AccountId, only: Option<InstrumentId>, unit: TimeUnit) -> String {
    let symbols = (0..exchange.symbols.len() as u16).map(InstrumentId);
    let wanted = symbols.filter(|symbol| only.is_none_or(|only| only == *symbol));
    array(wanted.map(|symbol| {
        let position: &Position = &exchange.accounts[id.0].positions[symbol.index()];
        let mark = exchange.mark(symbol).unwrap_or(Price::ZERO);
        let profit = money(position.profit(mark));
        let notional = Money::from_units(
            (i128::from(position.units) * i128::from(mark.units()) / i128::from(crate::core::SCALE)) as i64,
        );
        Object::new()
            .text("symbol", exchange.symbols[symbol.index()].name())
            .text("positionSide", "BOTH")
            .decimal("positionAmt", Qty::from_units(position.units))
            .text("entryPrice", &entry(position))
            .decimal("breakEvenPrice", position.entry())
            .decimal("markPrice", mark)
            .decimal("unRealizedProfit", profit)
            .decimal("unrealizedProfit", profit)
            .text("liquidationPrice", "0")
            .raw("leverage", format_args!("\"{LEVERAGE}\""))
            .text("marginType", "cross")
            .raw("isolated", false)
            .text("isolatedMargin", "0.00000000")
            .text("marginAsset", &exchange.symbols[symbol.index()].quote)
            .decimal("notional", notional)
            .raw("updateTime", unit.of(exchange.accounts[id.0].updated))
            .end()
    }))
}

/// Events of the user stream; none for what futures do not tell.
pub(super) fn render(
    exchange: &Exchange,
    account: AccountId,
    event: &UserEvent,
    now: Nanos,
    unit: TimeUnit,
) -> Vec<String> {
    match event {
        UserEvent::Execution { number: _, happened, order } => {
            vec![order_update(exchange, *happened, order, now, unit)]
        }
        UserEvent::Positions(positions) => vec![account_update(exchange, account, "ORDER", positions, now, unit)],
        UserEvent::Deposit(_, amount) => {
            let reason = if *amount >= Money::ZERO { "DEPOSIT" } else { "WITHDRAW" };
            vec![account_update(exchange, account, reason, &[], now, unit)]
        }
        UserEvent::Balances(_) => Vec::new(),
    }
}

fn order_update(exchange: &Exchange, happened: Happened, record: &OrderRecord, now: Nanos, unit: TimeUnit) -> String {
    let order = &record.order;
    let trade = match happened {
        Happened::Trade(index) => exchange.trades.get(index),
        _ => None,
    };
    let name = match happened {
        Happened::New => "NEW",
        Happened::Trade(_) => "TRADE",
        Happened::Canceled => "CANCELED",
        Happened::Expired => "EXPIRED",
        Happened::Replaced => "AMENDMENT",
    };
    let mut body = Object::new()
        .text("s", exchange.symbols[order.symbol.index()].name())
        .text("c", &order.client_id)
        .text("S", side_name(order.side))
        .text("o", order.order_type.name())
        .text("f", order.tif.name())
        .decimal("q", order.qty)
        .decimal("p", order.price)
        .decimal("ap", average(record))
        .decimal("sp", Price::ZERO)
        .text("x", name)
        .text("X", record.status.name())
        .raw("i", record.id)
        .decimal("l", trade.map_or(Qty::ZERO, |trade| trade.qty))
        .decimal("z", record.filled)
        .decimal("L", trade.map_or(Price::ZERO, |trade| trade.price));
    if let Some(trade) = trade {
        body = body.raw("N", string(&exchange.assets[trade.commission_asset])).decimal("n", trade.commission);
    }
    let body = body
        .raw("T", unit.of(record.updated))
        .raw("t", trade.map_or(0, |trade| trade.id))
        .decimal("b", Money::ZERO)
        .decimal("a", Money::ZERO)
        .raw("m", trade.is_some_and(|trade| trade.maker))
        .raw("R", order.reduce_only)
        .text("wt", "CONTRACT_PRICE")
        .text("ot", order.order_type.name())
        .text("ps", "BOTH")
        .raw("cp", false)
        .decimal("rp", trade.map_or(Money::ZERO, |trade| trade.realised))
        .raw("pP", false)
        .text("V", order.prevention)
        .text("pm", "NONE")
        .raw("gtd", 0)
        .end();
    let head = Object::new().text("e", "ORDER_TRADE_UPDATE").raw("E", unit.of(now));
    head.raw("T", unit.of(record.updated)).raw("o", body).end()
}

fn account_update(
    exchange: &Exchange,
    account: AccountId,
    reason: &str,
    positions: &[(InstrumentId, Position)],
    now: Nanos,
    unit: TimeUnit,
) -> String {
    let balances = margin_assets(exchange).into_iter().map(|asset| {
        let wallet = exchange.accounts[account.0].balances[asset].total();
        Object::new()
            .text("a", &exchange.assets[asset])
            .decimal("wb", wallet)
            .decimal("cw", wallet)
            .decimal("bc", Money::ZERO)
            .end()
    });
    let rows = positions.iter().map(|(symbol, position)| {
        let profit = exchange.mark(*symbol).map_or(Money::ZERO, |mark| money(position.profit(mark)));
        Object::new()
            .text("s", exchange.symbols[symbol.index()].name())
            .decimal("pa", Qty::from_units(position.units))
            .text("ep", &entry(position))
            .decimal("bep", position.entry())
            .decimal("cr", Money::ZERO)
            .decimal("up", profit)
            .text("mt", "cross")
            .decimal("iw", Money::ZERO)
            .text("ps", "BOTH")
            .end()
    });
    let body = Object::new().text("m", reason).raw("B", array(balances)).raw("P", array(rows)).end();
    let head = Object::new().text("e", "ACCOUNT_UPDATE").raw("E", unit.of(now));
    head.raw("T", unit.of(now)).raw("a", body).end()
}

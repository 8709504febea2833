//! What anybody may ask: time, listings, the book, trades, candles, tickers.

use super::board::{Candle, INTERVALS, PublicTrade, Tape};
use super::caller::Caller;
use super::endpoints::{Answer, Venue};
use super::error::ApiError;
use super::exchange::MOST_OPEN;
use super::filters;
use super::json::{Object, array};
use super::params::Params;
use super::records::worth;
use super::symbols::Symbol;
use crate::core::{InstrumentId, Nanos, Price, Qty};

pub(super) fn ping(_: &mut Venue, _: &Caller, _: &Params) -> Answer {
    Ok("{}".to_owned())
}

pub(super) fn nothing(_: &mut Venue, _: &Caller, _: &Params) -> Answer {
    Ok("[]".to_owned())
}

pub(super) fn system_status(_: &mut Venue, _: &Caller, _: &Params) -> Answer {
    Ok("{\"status\":0,\"msg\":\"normal\"}".to_owned())
}

pub(super) fn gone(_: &mut Venue, _: &Caller, _: &Params) -> Answer {
    Err(ApiError { status: 410, ..ApiError::UNSUPPORTED })
}

pub(super) fn time(_: &mut Venue, caller: &Caller, _: &Params) -> Answer {
    Ok(Object::new().raw("serverTime", caller.time()).end())
}

/// The symbols that a request names by `symbol` or `symbols`, or all; and whether it was one by name.
fn chosen(venue: &Venue, params: &Params) -> Result<(Vec<InstrumentId>, bool), ApiError> {
    if params.get("symbol").is_some() {
        if params.get("symbols").is_some() {
            return Err(ApiError::BAD_COMBINATION);
        }
        return Ok((vec![venue.symbol(params)?], true));
    }
    let Some(list) = params.get("symbols") else {
        return Ok(((0..venue.tapes.len() as u16).map(InstrumentId).collect(), false));
    };
    let names: Vec<String> = serde_json::from_str(list).map_err(|_| ApiError::illegal("symbols", "[\"A\",\"B\"]"))?;
    if names.is_empty() || names.len() > venue.tapes.len() {
        return Err(ApiError::INVALID_SYMBOL);
    }
    let ids = names.iter().map(|name| venue.exchange.symbol(name).ok_or(ApiError::INVALID_SYMBOL));
    Ok((ids.collect::<Result<_, _>>()?, false))
}

/// One object for one symbol, an array for several.
fn one_or_all(venue: &Venue, params: &Params, render: impl Fn(&Symbol, &Tape) -> String) -> Answer {
    let (ids, single) = chosen(venue, params)?;
    let texts = ids.iter().map(|id| render(&venue.exchange.symbols[id.index()], &venue.tapes[id.index()]));
    Ok(if single { texts.collect() } else { array(texts) })
}

pub(super) fn exchange_info(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (ids, _) = chosen(venue, params)?;
    let symbols = ids.iter().map(|id| listing(&venue.exchange.symbols[id.index()]));
    Ok(Object::new()
        .text("timezone", "UTC")
        .raw("serverTime", caller.time())
        .raw("rateLimits", venue.limits.list())
        .raw("exchangeFilters", "[]")
        .raw("symbols", array(symbols))
        .end())
}

fn listing(symbol: &Symbol) -> String {
    let allowed =
        |object: Object, names: &[&str], value: bool| names.iter().fold(object, |object, name| object.raw(name, value));
    let object = Object::new()
        .text("symbol", symbol.name())
        .text("status", "TRADING")
        .text("baseAsset", &symbol.base)
        .raw("baseAssetPrecision", 8)
        .text("quoteAsset", &symbol.quote)
        .raw("quotePrecision", 8)
        .raw("quoteAssetPrecision", 8)
        .raw("baseCommissionPrecision", 8)
        .raw("quoteCommissionPrecision", 8)
        .raw("orderTypes", "[\"LIMIT\",\"LIMIT_MAKER\",\"MARKET\"]");
    let object = allowed(object, &["icebergAllowed", "ocoAllowed", "otoAllowed", "opoAllowed"], false)
        .raw("quoteOrderQtyMarketAllowed", true);
    let object = allowed(object, &["allowTrailingStop"], false);
    let object = allowed(object, &["cancelReplaceAllowed", "amendAllowed"], true);
    allowed(object, &["pegInstructionsAllowed"], false)
        .raw("isSpotTradingAllowed", true)
        .raw("isMarginTradingAllowed", false)
        .raw("filters", filters::list(symbol, MOST_OPEN))
        .raw("permissions", "[]")
        .raw("permissionSets", "[[\"SPOT\"]]")
        .text("defaultSelfTradePreventionMode", "EXPIRE_MAKER")
        .raw("allowedSelfTradePreventionModes", "[\"NONE\",\"EXPIRE_TAKER\",\"EXPIRE_MAKER\",\"EXPIRE_BOTH\"]")
        .end()
}

/// `[["price","quantity"]]` of a level, or nothing.
pub(super) fn level(price: Price, qty: Qty) -> String {
    format!("[\"{price:.8}\",\"{qty:.8}\"]")
}

/// Both sides of the book as `bids` and `asks`.
pub(super) fn sides(object: Object, tape: &Tape, names: [&str; 2]) -> Object {
    let [bids, asks] = match tape.quote {
        Some(quote) => [level(quote.bid, quote.bid_qty), level(quote.ask, quote.ask_qty)],
        None => [String::new(), String::new()],
    };
    object.raw(names[0], format_args!("[{bids}]")).raw(names[1], format_args!("[{asks}]"))
}

pub(super) fn depth(venue: &mut Venue, _: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    if params.number("limit")? == Some(0) {
        return Err(ApiError::invalid("limit"));
    }
    let tape = &venue.tapes[id.index()];
    Ok(sides(Object::new().raw("lastUpdateId", tape.update), tape, ["bids", "asks"]).end())
}

fn limit(params: &Params, usual: u64, most: u64) -> Result<usize, ApiError> {
    let limit = params.number("limit")?.unwrap_or(usual);
    if limit == 0 { Err(ApiError::invalid("limit")) } else { Ok(limit.min(most) as usize) }
}

/// The trades that a request wants: the newest, or from an id or a time on.
fn wanted<'a>(tape: &'a Tape, params: &Params) -> Result<Vec<&'a PublicTrade>, ApiError> {
    let limit = limit(params, 500, 1_000)?;
    let from = params.number("fromId")?;
    let (start, end) = (params.number("startTime")?, params.number("endTime")?);
    let within = |trade: &&PublicTrade| {
        from.is_none_or(|from| trade.id >= from)
            && start.is_none_or(|start| trade.time >= super::caller::timestamp(start))
            && end.is_none_or(|end| trade.time <= super::caller::timestamp(end))
    };
    let found: Vec<&PublicTrade> = tape.trades.iter().filter(within).collect();
    let from_start = from.is_some() || start.is_some();
    let skip = if from_start { 0 } else { found.len().saturating_sub(limit) };
    Ok(found.into_iter().skip(skip).take(limit).collect())
}

pub(super) fn trades(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    let render = |trade: &PublicTrade| {
        Object::new()
            .raw("id", trade.id)
            .decimal("price", trade.price)
            .decimal("qty", trade.qty)
            .decimal("quoteQty", worth(trade.price, trade.qty, false))
            .raw("time", caller.unit.of(trade.time))
            .raw("isBuyerMaker", trade.buyer_is_maker)
            .raw("isBestMatch", true)
            .end()
    };
    Ok(array(wanted(&venue.tapes[id.index()], params)?.into_iter().map(render)))
}

pub(super) fn aggregate_trades(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    let render = |trade: &PublicTrade| {
        Object::new()
            .raw("a", trade.id)
            .decimal("p", trade.price)
            .decimal("q", trade.qty)
            .raw("f", trade.id)
            .raw("l", trade.id)
            .raw("T", caller.unit.of(trade.time))
            .raw("m", trade.buyer_is_maker)
            .raw("M", true)
            .end()
    };
    Ok(array(wanted(&venue.tapes[id.index()], params)?.into_iter().map(render)))
}

pub(super) fn klines(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    let wanted = params.required("interval")?;
    let (_, width) = INTERVALS.into_iter().find(|(name, _)| *name == wanted).ok_or(ApiError::INVALID_INTERVAL)?;
    let limit = limit(params, 500, 1_000)?;
    let (start, end) = (params.number("startTime")?, params.number("endTime")?);
    let mut candles = venue.tapes[id.index()].candles(width, usize::MAX);
    candles.retain(|candle| {
        start.is_none_or(|start| candle.start >= super::caller::timestamp(start))
            && end.is_none_or(|end| candle.start <= super::caller::timestamp(end))
    });
    let skip = if start.is_some() { 0 } else { candles.len().saturating_sub(limit) };
    let render = |candle: &Candle| {
        let close = last_instant(candle.start, width, caller);
        format!(
            "[{},\"{:.8}\",\"{:.8}\",\"{:.8}\",\"{:.8}\",\"{:.8}\",{close},\"{:.8}\",{},\"{:.8}\",\"{:.8}\",\"0\"]",
            caller.unit.of(candle.start),
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
            candle.value,
            candle.count,
            candle.bought,
            candle.bought_value
        )
    };
    Ok(array(candles.iter().skip(skip).take(limit).map(render)))
}

/// The last millisecond (or microsecond) of a candle.
fn last_instant(start: Nanos, width: u64, caller: &Caller) -> u64 {
    caller.unit.of(start.plus(crate::core::Span::seconds(width))) - 1
}

pub(super) fn average_price(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    let tape = &venue.tapes[id.index()];
    let (price, time) = average(tape, caller.now);
    Ok(Object::new().raw("mins", 5).decimal("price", price).raw("closeTime", caller.unit.of(time)).end())
}

/// Volume-weighted price of the last five minutes and the time of its last trade.
pub(super) fn average(tape: &Tape, now: Nanos) -> (Price, Nanos) {
    let since = Nanos(now.0.saturating_sub(300 * crate::core::time::SECOND));
    let recent = tape.trades.iter().filter(|trade| trade.time >= since);
    let (mut value, mut volume) = (0i128, 0i128);
    for trade in recent {
        value += i128::from(trade.price.units()) * i128::from(trade.qty.units());
        volume += i128::from(trade.qty.units());
    }
    let price = if volume == 0 { tape.last_price() } else { Price::from_units((value / volume) as i64) };
    (price, tape.trades.back().map_or(now, |trade| trade.time))
}

/// Change since the open, and the same in per cent with three digits.
pub(super) fn change(day: &Candle) -> (Price, f64) {
    let change = Price::from_units(day.close.units() - day.open.units());
    let percent = if day.open.is_zero() { 0.0 } else { change.to_f64() / day.open.to_f64() * 100.0 };
    (change, percent)
}

/// Volume-weighted price of a candle; its close when nothing traded.
pub(super) fn weighted(day: &Candle) -> Price {
    if day.volume.is_zero() {
        return day.close;
    }
    let units = i128::from(day.value.units()) * i128::from(crate::core::SCALE) / i128::from(day.volume.units());
    Price::from_units(units as i64)
}

pub(super) fn ticker_day(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    one_or_all(venue, params, |symbol, tape| {
        let (day, quote) = (tape.day(caller.now), tape.quote.unwrap_or_default());
        let (change, percent) = change(&day);
        let open_time = Nanos(caller.now.0.saturating_sub(crate::core::time::DAY));
        Object::new()
            .text("symbol", symbol.name())
            .decimal("priceChange", change)
            .raw("priceChangePercent", format_args!("\"{percent:.3}\""))
            .decimal("weightedAvgPrice", weighted(&day))
            .decimal("prevClosePrice", day.open)
            .decimal("lastPrice", tape.last_price())
            .decimal("lastQty", tape.trades.back().map_or(Qty::ZERO, |trade| trade.qty))
            .decimal("bidPrice", quote.bid)
            .decimal("bidQty", quote.bid_qty)
            .decimal("askPrice", quote.ask)
            .decimal("askQty", quote.ask_qty)
            .decimal("openPrice", day.open)
            .decimal("highPrice", day.high)
            .decimal("lowPrice", day.low)
            .decimal("volume", day.volume)
            .decimal("quoteVolume", day.value)
            .raw("openTime", caller.unit.of(open_time))
            .raw("closeTime", caller.time())
            .raw("firstId", day.first)
            .raw("lastId", day.last)
            .raw("count", day.count)
            .end()
    })
}

pub(super) fn ticker_price(venue: &mut Venue, _: &Caller, params: &Params) -> Answer {
    one_or_all(venue, params, |symbol, tape| {
        Object::new().text("symbol", symbol.name()).decimal("price", tape.last_price()).end()
    })
}

pub(super) fn ticker_book(venue: &mut Venue, _: &Caller, params: &Params) -> Answer {
    one_or_all(venue, params, |symbol, tape| {
        let quote = tape.quote.unwrap_or_default();
        Object::new()
            .text("symbol", symbol.name())
            .decimal("bidPrice", quote.bid)
            .decimal("bidQty", quote.bid_qty)
            .decimal("askPrice", quote.ask)
            .decimal("askQty", quote.ask_qty)
            .end()
    })
}

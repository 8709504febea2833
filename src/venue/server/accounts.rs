//! What the owner of an account may ask about it: balances, commission, limits, trades.

use super::caller::Caller;
use super::endpoints::{Answer, Venue};
use super::error::ApiError;
use super::json::{Object, array};
use super::params::Params;
use super::records::{AccountId, TradeRecord};
use crate::core::{Money, Price, Side};

/// The caller's account; the gate has checked that there is one.
pub(super) fn owner(caller: &Caller) -> Result<AccountId, ApiError> {
    caller.account.ok_or(ApiError::KEY_REJECTED)
}

/// Basis points as a fraction: 10 becomes 0.001.
pub(super) fn rate(basis_points: Price) -> Price {
    Price::from_units(basis_points.units() / 10_000)
}

/// Basis points, as the old integer fields have them.
fn whole(basis_points: Price) -> i64 {
    basis_points.units() / crate::core::SCALE
}

fn rates(object: Object, name: &str, venue: &Venue) -> Object {
    let (maker, taker) = venue.exchange.fees;
    let rates = Object::new()
        .decimal("maker", rate(maker))
        .decimal("taker", rate(taker))
        .decimal("buyer", Price::ZERO)
        .decimal("seller", Price::ZERO)
        .end();
    object.raw(name, rates)
}

pub(super) fn status(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let id = owner(caller)?;
    let omit = params.flag("omitZeroBalances")?.unwrap_or(false);
    let (maker, taker) = venue.exchange.fees;
    let account = &venue.exchange.accounts[id.0];
    let balances = account.balances.iter().zip(&venue.exchange.assets);
    let balances = balances.filter(|(balance, _)| !omit || balance.total() > Money::ZERO).map(|(balance, asset)| {
        Object::new().text("asset", asset).decimal("free", balance.free).decimal("locked", balance.locked).end()
    });
    let object = Object::new()
        .raw("makerCommission", whole(maker))
        .raw("takerCommission", whole(taker))
        .raw("buyerCommission", 0)
        .raw("sellerCommission", 0);
    Ok(rates(object, "commissionRates", venue)
        .raw("canTrade", true)
        .raw("canWithdraw", true)
        .raw("canDeposit", true)
        .raw("brokered", false)
        .raw("requireSelfTradePrevention", false)
        .raw("preventSor", false)
        .raw("updateTime", caller.unit.of(account.updated))
        .text("accountType", "SPOT")
        .raw("balances", array(balances))
        .raw("permissions", "[\"SPOT\"]")
        .raw("uid", id.0 + 1)
        .end())
}

pub(super) fn commission(venue: &mut Venue, _: &Caller, params: &Params) -> Answer {
    let id = venue.symbol(params)?;
    let object = Object::new().text("symbol", venue.exchange.symbols[id.index()].name());
    let none = "{\"maker\":\"0.00000000\",\"taker\":\"0.00000000\",\"buyer\":\"0.00000000\",\"seller\":\"0.00000000\"}";
    Ok(rates(object, "standardCommission", venue)
        .raw("specialCommission", none)
        .raw("taxCommission", none)
        .raw(
            "discount",
            "{\"enabledForAccount\":false,\"enabledForSymbol\":false,\"discountAsset\":\"BNB\",\"discount\":\"0.00000000\"}",
        )
        .end())
}

pub(super) fn order_limits(venue: &mut Venue, caller: &Caller, _: &Params) -> Answer {
    Ok(venue.limits.order_list(owner(caller)?, caller.now))
}

pub(super) fn trades(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let (account, symbol) = (owner(caller)?, venue.symbol(params)?);
    let (order, from) = (params.number("orderId")?, params.number("fromId")?);
    let (start, end) = (params.number("startTime")?, params.number("endTime")?);
    let limit = params.number("limit")?.unwrap_or(500).clamp(1, 1_000) as usize;
    let within = |trade: &&TradeRecord| {
        trade.account == account
            && trade.symbol == symbol
            && order.is_none_or(|order| trade.order == order)
            && from.is_none_or(|from| trade.id >= from)
            && start.is_none_or(|start| trade.time >= super::caller::timestamp(start))
            && end.is_none_or(|end| trade.time <= super::caller::timestamp(end))
    };
    let found: Vec<&TradeRecord> = venue.exchange.trades.iter().filter(within).collect();
    let skip = if from.is_some() || start.is_some() { 0 } else { found.len().saturating_sub(limit) };
    Ok(array(found.into_iter().skip(skip).take(limit).map(|trade| trade_json(venue, caller, trade))))
}

fn trade_json(venue: &Venue, caller: &Caller, trade: &TradeRecord) -> String {
    Object::new()
        .text("symbol", venue.exchange.symbols[trade.symbol.index()].name())
        .raw("id", trade.id)
        .raw("orderId", trade.order)
        .raw("orderListId", -1)
        .decimal("price", trade.price)
        .decimal("qty", trade.qty)
        .decimal("quoteQty", trade.quote)
        .decimal("commission", trade.commission)
        .text("commissionAsset", &venue.exchange.assets[trade.commission_asset])
        .raw("time", caller.unit.of(trade.time))
        .raw("isBuyer", trade.side == Side::Buy)
        .raw("isMaker", trade.maker)
        .raw("isBestMatch", true)
        .end()
}

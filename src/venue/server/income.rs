//! Futures: what moved the wallet, `GET /fapi/v1/income`: transfers, realised profit, commission.

use super::accounts::owner;
use super::caller::Caller;
use super::endpoints::{Answer, Venue};
use super::error::ApiError;
use super::exchange::Exchange;
use super::json::{Object, array};
use super::params::Params;
use super::records::{AccountId, AssetId, difference};
use crate::core::{Money, Nanos};

/// Kinds that this venue has.
const KINDS: [&str; 3] = ["TRANSFER", "REALIZED_PNL", "COMMISSION"];
/// A question without a time is about so many days.
const DAYS: u64 = 7;

/// One change of the wallet.
struct Row<'a> {
    kind: &'static str,
    symbol: &'a str,
    asset: AssetId,
    amount: Money,
    time: Nanos,
    /// Unique within its kind.
    number: u64,
    trade: Option<u64>,
}

/// Answers with the oldest first, at most `limit` of them (100; 1 to 1000).
pub(super) fn history(venue: &mut Venue, caller: &Caller, params: &Params) -> Answer {
    let account = owner(caller)?;
    let (symbol, kind) = (venue.symbol_if_any(params)?, params.get("incomeType"));
    if kind.is_some_and(|kind| !KINDS.contains(&kind)) {
        return Err(ApiError::illegal("incomeType", "TRANSFER|REALIZED_PNL|COMMISSION"));
    }
    let millis = |name| params.number(name);
    let (from, to) = (millis("startTime")?, millis("endTime")?);
    let recent = caller.now.0.saturating_sub(DAYS * crate::core::time::DAY) / 1_000_000;
    let from = from.unwrap_or(if to.is_some() { 0 } else { recent });
    let limit = params.number("limit")?.unwrap_or(100).clamp(1, 1_000) as usize;
    let exchange = &venue.exchange;
    let name = symbol.map(|symbol| exchange.symbols[symbol.index()].name());
    let wanted = |row: &Row<'_>| {
        let at = row.time.0 / 1_000_000;
        kind.is_none_or(|kind| kind == row.kind)
            && name.is_none_or(|name| name == row.symbol)
            && at >= from
            && to.is_none_or(|to| at <= to)
    };
    let mut rows: Vec<Row<'_>> = rows(exchange, account).filter(wanted).collect();
    rows.sort_by_key(|row| row.time);
    Ok(array(rows.iter().take(limit).map(|row| {
        Object::new()
            .text("symbol", row.symbol)
            .text("incomeType", row.kind)
            .decimal("income", row.amount)
            .text("asset", &exchange.assets[row.asset])
            .text("info", if row.kind == "TRANSFER" { "TRANSFER" } else { "" })
            .raw("time", row.time.0 / 1_000_000)
            .raw("tranId", row.number)
            .text("tradeId", &row.trade.map_or_else(String::new, |trade| trade.to_string()))
            .end()
    })))
}

fn rows(exchange: &Exchange, account: AccountId) -> impl Iterator<Item = Row<'_>> {
    let transfers = exchange.transfers.iter().zip(1..).filter(move |(transfer, _)| transfer.account == account);
    let transfers = transfers.map(|(transfer, number)| Row {
        kind: "TRANSFER",
        symbol: "",
        asset: transfer.asset,
        amount: transfer.amount,
        time: transfer.time,
        number,
        trade: None,
    });
    let trades = exchange.trades.iter().zip(1..).filter(move |(trade, _)| trade.account == account);
    let booked = trades.flat_map(|(trade, number)| {
        let symbol = exchange.symbols[trade.symbol.index()].name();
        let (_, quote) = exchange.assets_of(trade.symbol);
        let row = move |kind, asset, amount| {
            let row = Row { kind, symbol, asset, amount, time: trade.time, number, trade: Some(trade.id) };
            (!amount.is_zero()).then_some(row)
        };
        let cost = difference(Money::ZERO, trade.commission);
        [row("REALIZED_PNL", quote, trade.realised), row("COMMISSION", trade.commission_asset, cost)]
    });
    transfers.chain(booked.flatten())
}

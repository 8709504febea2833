//! An account's own events as its stream tells them: `executionReport`, `outboundAccountPosition`,
//! `balanceUpdate`, each wrapped with the number of the subscription.

use super::caller::TimeUnit;
use super::exchange::Exchange;
use super::json::{Object, array};
use super::records::{Happened, OrderRecord, UserEvent};
use super::trading::side_name;
use crate::core::{Money, Nanos, Price, Qty};

/// `{"subscriptionId":0,"event":{...}}`.
pub(super) fn wrapped(subscription: u64, event: &str) -> String {
    format!("{{\"subscriptionId\":{subscription},\"event\":{event}}}")
}

/// The event, `None` for one that spot does not tell.
pub(super) fn render(exchange: &Exchange, event: &UserEvent, now: Nanos, unit: TimeUnit) -> Option<String> {
    let head = |name: &str| Object::new().text("e", name).raw("E", unit.of(now));
    Some(match event {
        UserEvent::Execution { number, happened, order } => {
            execution(exchange, head("executionReport"), *number, *happened, order, unit)
        }
        UserEvent::Balances(balances) => {
            let rows = balances.iter().map(|(asset, balance)| {
                Object::new()
                    .text("a", &exchange.assets[*asset])
                    .decimal("f", balance.free)
                    .decimal("l", balance.locked)
                    .end()
            });
            head("outboundAccountPosition").raw("u", unit.of(now)).raw("B", array(rows)).end()
        }
        UserEvent::Deposit(asset, amount) => {
            head("balanceUpdate").text("a", &exchange.assets[*asset]).decimal("d", amount).raw("T", unit.of(now)).end()
        }
        UserEvent::Positions(_) => return None,
    })
}

fn execution(
    exchange: &Exchange,
    head: Object,
    number: u64,
    happened: Happened,
    record: &OrderRecord,
    unit: TimeUnit,
) -> String {
    let order = &record.order;
    let trade = match happened {
        Happened::Trade(index) => exchange.trades.get(index),
        _ => None,
    };
    let happened_name = match happened {
        Happened::New => "NEW",
        Happened::Trade(_) => "TRADE",
        Happened::Canceled => "CANCELED",
        Happened::Expired => "EXPIRED",
        Happened::Replaced => "REPLACED",
    };
    // Of a cancel, `c` is the cancel's own id and `C` the order's.
    let (client, original) = match (happened, &record.cancel_id) {
        (Happened::Canceled, Some(cancel)) => (cancel.as_str(), order.client_id.as_str()),
        _ => (order.client_id.as_str(), ""),
    };
    let asset = trade.map_or_else(|| "null".to_owned(), |t| format!("\"{}\"", exchange.assets[t.commission_asset]));
    let object = head
        .text("s", exchange.symbols[order.symbol.index()].name())
        .text("c", client)
        .text("S", side_name(order.side))
        .text("o", order.order_type.name())
        .text("f", order.tif.name())
        .decimal("q", order.qty)
        .decimal("p", order.price)
        .decimal("P", Price::ZERO)
        .decimal("F", Qty::ZERO)
        .raw("g", -1)
        .text("C", original)
        .text("x", happened_name)
        .text("X", record.status.name())
        .text("r", "NONE")
        .raw("i", record.id)
        .decimal("l", trade.map_or(Qty::ZERO, |trade| trade.qty))
        .decimal("z", record.filled)
        .decimal("L", trade.map_or(Price::ZERO, |trade| trade.price))
        .decimal("n", trade.map_or(Money::ZERO, |trade| trade.commission))
        .raw("N", asset)
        .raw("T", unit.of(record.updated))
        .raw("t", trade.map_or(-1, |trade| trade.id as i64))
        .raw("I", number)
        .raw("w", record.status.is_open())
        .raw("m", trade.is_some_and(|trade| trade.maker))
        .raw("M", trade.is_some())
        .raw("O", unit.of(record.created))
        .decimal("Z", record.traded)
        .decimal("Y", trade.map_or(Money::ZERO, |trade| trade.quote))
        .decimal("Q", order.quote_qty)
        .raw("W", unit.of(record.created))
        .text("V", order.prevention);
    match record.expiry {
        Some(reason) => object.text("eR", reason).end(),
        None => object.end(),
    }
}

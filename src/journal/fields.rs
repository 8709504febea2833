//! A record as named, typed values: the one table behind dump, CSV, JSON and Parquet.

use std::fmt;

use crate::core::payload::{
    AccountReport, AlertRecord, Control, Decision, Fee, Fill, InventoryReport, Link, OpenOrderReport, OrderAck,
    OrderDone, OrderReject, PositionReport, Quote, Reconciled, RefusalRecord, Signal, SignalContext, Submit, Trade,
    TradeClosed, TradeCosts, TradeOpened,
};
use crate::core::{Event, EventKind, Money, Nanos, OrderId, Payload, Price, Qty};

/// A value of a record.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// An exact decimal in units of 1e-8: a price, a quantity or money.
    Decimal(i64),
    /// A count or a number of somebody's.
    Count(u64),
    /// A signed number in its rule's own unit.
    Number(i64),
    /// A feature or a probability.
    Float(f64),
    /// An instant; "not known" is zero.
    Time(Nanos),
    /// A name out of a list, or an order's.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal(units) => write!(f, "{}", Price::from_units(*units)),
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Float(float) => write!(f, "{float}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Value {
    /// As JSON: decimals and times as text, because a JSON number is not exact.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Count(count) => (*count).into(),
            Self::Number(number) => (*number).into(),
            Self::Float(float) => (*float).into(),
            Self::Decimal(_) | Self::Time(_) | Self::Text(_) => self.to_string().into(),
        }
    }
}

macro_rules! values {
    ($($type:ty: $make:expr;)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self { ($make)(value) }
        })*
    };
}

values! {
    Price: |v: Price| Self::Decimal(v.units());
    Qty: |v: Qty| Self::Decimal(v.units());
    Money: |v: Money| Self::Decimal(v.units());
    u64: Self::Count;
    u32: |v: u32| Self::Count(v.into());
    u8: |v: u8| Self::Count(v.into());
    i64: Self::Number;
    f64: Self::Float;
    // By its own shortest digits: 0.9 and not 0.8999999761581421.
    f32: |v: f32| Self::Float(v.to_string().parse().unwrap_or(f64::from(v)));
    Nanos: Self::Time;
    OrderId: |v: OrderId| Self::Text(if v.0 == 0 { String::new() } else { v.to_string() });
}

/// A name out of a list; one that this version does not know is said to be so.
macro_rules! named {
    ($($value:expr)?) => { $(Value::Text($value.map_or("unknown", |known| known.name()).to_owned()))? };
}

/// The payload's values by name, in the order of its words.
pub fn payload_fields(event: &Event) -> Vec<(&'static str, Value)> {
    macro_rules! list {
        ($type:ident: $($field:ident),*) => {{
            let payload = $type::of(event);
            vec![$((stringify!($field), Value::from(payload.$field))),*]
        }};
        ($type:ident: $($field:ident),* ; $($code:ident),*) => {{
            let payload = $type::of(event);
            vec![$((stringify!($code), named!(payload.$code)),)* $((stringify!($field), Value::from(payload.$field))),*]
        }};
    }
    match event.kind {
        EventKind::Quote => list!(Quote: bid, ask, bid_qty, ask_qty),
        EventKind::Trade => list!(Trade: price, qty, trade_id),
        EventKind::Gap | EventKind::Timer => Vec::new(),
        EventKind::Control => list!(Control: balance; code),
        EventKind::Link => list!(Link: connections; channel, state),
        EventKind::OrderAccepted => list!(OrderAck: order, venue_order),
        EventKind::OrderRejected => list!(OrderReject: order, price; code),
        EventKind::OrderCancelled
        | EventKind::OrderExpired
        | EventKind::OrderNotFound
        | EventKind::CancelRejected
        | EventKind::Cancel
        | EventKind::Query => list!(OrderDone: order, filled),
        EventKind::Fill => list!(Fill: order, execution, price, qty),
        EventKind::Fee => list!(Fee: order, execution, amount),
        EventKind::PositionReport => {
            let report = PositionReport::of(event);
            vec![
                ("round", report.round.into()),
                ("position", Value::Decimal(report.signed_units)),
                ("entry", report.entry.into()),
            ]
        }
        EventKind::InventoryReport => list!(InventoryReport: round, free, locked, moved),
        EventKind::AccountReport => list!(AccountReport: round, free, locked, equity),
        EventKind::OpenOrderReport => list!(OpenOrderReport: round, order, remaining, filled),
        EventKind::Reconciled | EventKind::Reconcile => list!(Reconciled: round, orders),
        EventKind::Signal => list!(Signal: log_return, volatility, z_score, adx),
        EventKind::SignalContext => {
            let context = SignalContext::of(event);
            vec![
                ("rsi", context.rsi.into()),
                ("time_sin", context.time_sin.into()),
                ("volume_delta", context.volume_delta.into()),
                ("bid_plus_ask", Value::Decimal(context.bid_plus_ask)),
            ]
        }
        EventKind::Decision => list!(Decision: probability, margin, threshold; action),
        EventKind::Refusal => list!(RefusalRecord: found, limit, order; reason),
        EventKind::Submit => {
            let submit = Submit::of(event);
            let mut fields = list!(Submit: order, price, qty, attempt, intent);
            fields.push(("tif", Value::Text(submit.tif.name().to_owned())));
            fields.push(("role", Value::Text(submit.role.name().to_owned())));
            fields
        }
        EventKind::TradeOpened => {
            let opened = TradeOpened::of(event);
            let mut fields = list!(TradeOpened: intent, price, qty);
            fields.push(("bid_plus_ask", Value::Decimal(opened.bid_plus_ask)));
            fields
        }
        EventKind::TradeClosed => list!(TradeClosed: opened, entry, exit, qty),
        EventKind::TradeCosts => list!(TradeCosts: gross, fees, slippage; reason),
        EventKind::Alert => list!(AlertRecord: order, found, expected; code),
    }
}

/// The order that a record is about, if it is about one.
pub fn order_of(event: &Event) -> Option<OrderId> {
    let order = match event.kind {
        EventKind::OrderAccepted => OrderAck::of(event).order,
        EventKind::OrderRejected => OrderReject::of(event).order,
        EventKind::OrderCancelled
        | EventKind::OrderExpired
        | EventKind::OrderNotFound
        | EventKind::CancelRejected
        | EventKind::Cancel
        | EventKind::Query => OrderDone::of(event).order,
        EventKind::Fill => Fill::of(event).order,
        EventKind::Fee => Fee::of(event).order,
        EventKind::Submit => Submit::of(event).order,
        EventKind::Refusal => RefusalRecord::of(event).order,
        EventKind::Alert => AlertRecord::of(event).order,
        EventKind::OpenOrderReport => OpenOrderReport::of(event).order,
        _ => return None,
    };
    (order.0 != 0).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::InstrumentId;

    #[test]
    fn every_kind_has_the_same_fields_whatever_its_words() {
        for kind in EventKind::ALL {
            let fields = |words| {
                let event = Event::new(*kind, InstrumentId(0), Nanos(1), Nanos(2), words);
                payload_fields(&event).into_iter().map(|(name, value)| (name, std::mem::discriminant(&value)))
            };
            let zero: Vec<_> = fields([0; 4]).collect();
            assert!(zero.iter().copied().eq(fields([u64::MAX; 4])), "{}", kind.name());
            assert!(zero.len() <= 7, "{}", kind.name());
        }
    }

    #[test]
    fn orders_are_found_wherever_they_are_named() {
        for kind in EventKind::ALL {
            let event = Event::new(*kind, InstrumentId(0), Nanos(1), Nanos(2), [7 << 32 | 7; 4]);
            let named = payload_fields(&event).iter().any(|(name, _)| *name == "order");
            assert_eq!(order_of(&event).is_some(), named, "{}", kind.name());
        }
    }
}

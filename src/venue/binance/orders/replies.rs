//! What comes back over the WebSocket API and the account's event stream, as far as it is read.
//! Unknown fields are passed over. Values borrow from the frame; only arrays are allocated, bounded by
//! the largest message that the connection accepts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::rest::{OrderStatus, lenient};
use crate::core::{Price, Qty, Side};

/// Any text frame: an answer to a request of ours, or an event of the account.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(default)]
    pub(super) id: Id,
    pub(super) status: Option<u16>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<ErrorBody<'a>>,
    #[serde(borrow)]
    pub(super) event: Option<&'a RawValue>,
    /// Futures' private stream sends events bare: this marks one.
    #[serde(borrow, rename = "e")]
    pub(super) bare: Option<Cow<'a, str>>,
}

/// A request's number, or a name that is none of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Id(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request's number")
            }
            fn visit_u64<E: de::Error>(self, id: u64) -> Result<Id, E> {
                Ok(Id(Some(id)))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Id, E> {
                Ok(Id(None))
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Id, E> {
                Ok(Id(None))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Id, E> {
                Ok(Id(None))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

#[derive(Deserialize)]
pub(super) struct ErrorBody<'a> {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(borrow, default)]
    pub(super) msg: Cow<'a, str>,
    pub(super) data: Option<ErrorData>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorData {
    /// Epoch milliseconds (or microseconds).
    pub(super) retry_after: Option<u64>,
}

/// `order.place`, `order.cancel`, `order.status`, and the elements of `openOrders.status`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderReply<'a> {
    #[serde(borrow)]
    pub(super) symbol: Cow<'a, str>,
    pub(super) order_id: u64,
    #[serde(borrow, default)]
    pub(super) client_order_id: Cow<'a, str>,
    /// Set in the answer to a cancel, where `client_order_id` is the name of the cancel.
    #[serde(borrow, default)]
    pub(super) orig_client_order_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) side: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) orig_qty: Qty,
    #[serde(default)]
    pub(super) executed_qty: Qty,
    #[serde(default)]
    pub(super) transact_time: u64,
    #[serde(default)]
    pub(super) update_time: u64,
    #[serde(borrow, default)]
    pub(super) fills: Vec<FillReply<'a>>,
}

impl OrderReply<'_> {
    /// The order's own name.
    pub(super) fn name(&self) -> &str {
        match &self.orig_client_order_id {
            Some(original) if !original.is_empty() => original,
            _ => &self.client_order_id,
        }
    }

    /// An acknowledgement alone says that the order is in.
    pub(super) fn status(&self) -> OrderStatus {
        self.status.as_deref().map_or(OrderStatus::New, OrderStatus::from_word)
    }

    pub(super) fn side(&self) -> Option<Side> {
        self.side.as_deref().and_then(side)
    }

    pub(super) fn time(&self) -> u64 {
        self.transact_time.max(self.update_time)
    }
}

pub(super) fn side(word: &str) -> Option<Side> {
    match word {
        "BUY" => Some(Side::Buy),
        "SELL" => Some(Side::Sell),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FillReply<'a> {
    pub(super) price: Price,
    pub(super) qty: Qty,
    pub(super) commission: Qty,
    #[serde(borrow)]
    pub(super) commission_asset: Cow<'a, str>,
    pub(super) trade_id: u64,
}

/// An element of `myTrades`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TradeReply<'a> {
    pub(super) id: u64,
    pub(super) order_id: u64,
    pub(super) price: Price,
    pub(super) qty: Qty,
    pub(super) commission: Qty,
    #[serde(borrow)]
    pub(super) commission_asset: Cow<'a, str>,
    pub(super) time: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TimeReply {
    pub(super) server_time: u64,
}

/// `account.status` of spot.
#[derive(Deserialize)]
pub(super) struct AccountReply<'a> {
    #[serde(borrow, default)]
    pub(super) balances: Vec<BalanceReply<'a>>,
}

/// A balance as text: one asset that is no number of ours must not hide the others.
#[derive(Deserialize)]
pub(super) struct BalanceReply<'a> {
    #[serde(borrow, alias = "a")]
    pub(super) asset: Cow<'a, str>,
    #[serde(borrow, alias = "f")]
    pub(super) free: Cow<'a, str>,
    #[serde(borrow, alias = "l")]
    pub(super) locked: Cow<'a, str>,
}

/// An element of futures' `v2/account.position`. A number that is none of ours must not hide the other elements.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PositionReply<'a> {
    #[serde(borrow)]
    pub(super) symbol: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) position_side: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "lenient::option")]
    pub(super) position_amt: Option<Qty>,
    #[serde(default, deserialize_with = "lenient::or_zero")]
    pub(super) entry_price: Price,
}

/// An event's kind, read before the event itself.
#[derive(Deserialize)]
pub(super) struct EventHead<'a> {
    #[serde(borrow)]
    pub(super) e: Cow<'a, str>,
}

/// `executionReport`, and the object under `o` of futures' `ORDER_TRADE_UPDATE`.
#[derive(Deserialize)]
pub(super) struct Execution<'a> {
    #[serde(borrow)]
    pub(super) s: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) c: Cow<'a, str>,
    #[serde(rename = "C", borrow, default)]
    pub(super) original: Option<Cow<'a, str>>,
    #[serde(rename = "x", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(rename = "X", borrow)]
    pub(super) status: Cow<'a, str>,
    #[serde(rename = "r", borrow, default)]
    pub(super) reject_reason: Option<Cow<'a, str>>,
    #[serde(rename = "i")]
    pub(super) order_id: u64,
    #[serde(rename = "l", default)]
    pub(super) last_qty: Qty,
    #[serde(rename = "L", default)]
    pub(super) last_price: Price,
    #[serde(rename = "z", default)]
    pub(super) filled: Qty,
    #[serde(rename = "n", default)]
    pub(super) commission: Option<Qty>,
    #[serde(rename = "N", borrow, default)]
    pub(super) commission_asset: Option<Cow<'a, str>>,
    /// -1 where there was no trade.
    #[serde(rename = "t", default)]
    pub(super) trade_id: i64,
    #[serde(rename = "T", default)]
    pub(super) time: u64,
}

impl Execution<'_> {
    /// The order's own name: a cancel puts it in `C`. Futures have no `C`.
    pub(super) fn name(&self) -> &str {
        match &self.original {
            Some(original) if !original.is_empty() => original,
            _ => &self.c,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct OrderTradeUpdate<'a> {
    #[serde(borrow)]
    pub(super) o: Execution<'a>,
}

/// `outboundAccountPosition`: the assets that may have changed.
#[derive(Deserialize)]
pub(super) struct AccountPosition<'a> {
    #[serde(rename = "u", default)]
    pub(super) time: u64,
    #[serde(rename = "B", borrow)]
    pub(super) balances: Vec<BalanceReply<'a>>,
}

/// `balanceUpdate`: the owner moved something in or out.
#[derive(Deserialize)]
pub(super) struct BalanceUpdate<'a> {
    #[serde(rename = "a", borrow)]
    pub(super) asset: Cow<'a, str>,
    #[serde(rename = "d")]
    pub(super) difference: Qty,
    #[serde(rename = "T", default)]
    pub(super) time: u64,
}

/// `ACCOUNT_UPDATE` of futures.
#[derive(Deserialize)]
pub(super) struct AccountUpdate<'a> {
    #[serde(rename = "T", default)]
    pub(super) time: u64,
    #[serde(borrow)]
    pub(super) a: AccountChange<'a>,
}

#[derive(Deserialize)]
pub(super) struct AccountChange<'a> {
    #[serde(rename = "B", borrow, default)]
    pub(super) balances: Vec<WalletChange<'a>>,
    #[serde(rename = "P", borrow, default)]
    pub(super) positions: Vec<PositionChange<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WalletChange<'a> {
    #[serde(borrow)]
    pub(super) a: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct PositionChange<'a> {
    #[serde(borrow)]
    pub(super) s: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) ps: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "lenient::option")]
    pub(super) pa: Option<Qty>,
    #[serde(default, deserialize_with = "lenient::or_zero")]
    pub(super) ep: Price,
}

/// Counts of what an order session has seen.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct OrderCounters {
    /// Requests sent.
    pub requests: u64,
    /// Answers and events read.
    pub frames: u64,
    /// Frames that could not be read.
    pub bad_frames: u64,
    /// Orders and requests not sent because a limit was near.
    pub held_back: u64,
    /// Answers that left an outcome open.
    pub unknown_outcomes: u64,
    /// Executions that came twice.
    pub repeated_fills: u64,
    /// Fees charged in an asset without a known price: booked at the fallback rate.
    pub estimated_fees: u64,
    /// Events of orders that pawl never sent.
    pub foreign_orders: u64,
}

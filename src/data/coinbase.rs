//! Recorded Coinbase Exchange WebSocket messages, `<epoch seconds>: <json>`.
//!
//! | message | read as |
//! |---|---|
//! | `ticker` | quote: `best_bid` and `best_ask` after a match, without sizes |
//! | `match` | trade; its `side` is the maker's, so the aggressor is the other |
//! | `last_match` | passed over: a trade from before the subscription, told again |
//! | `snapshot`, `l2update` | passed over: levels of a book, not best prices |

use serde::Deserialize;

use super::csv::{Body, Row, price, qty};
use super::error::BadLine;
use super::time_text as time;
use crate::core::payload::{Quote, Trade};
use crate::core::{Flags, Nanos, Qty};

#[derive(Deserialize)]
struct Message<'a> {
    product_id: &'a str,
    time: &'a str,
    best_bid: Option<&'a str>,
    best_ask: Option<&'a str>,
    price: Option<&'a str>,
    size: Option<&'a str>,
    side: Option<&'a str>,
    trade_id: Option<u64>,
}

/// The product and row of a message received at `local`; `None` for one without quote or trade.
pub(super) fn parse(local: Nanos, json: &[u8]) -> Result<Option<(&str, Row)>, BadLine> {
    let Some(kind) = json.strip_prefix(b"{\"type\":\"") else {
        return Err(BadLine::new("a Coinbase message", json));
    };
    let kind = kind.split(|&byte| byte == b'"').next().unwrap_or_default();
    if kind != b"ticker" && kind != b"match" {
        return Ok(None);
    }
    let message: Message =
        serde_json::from_slice(json).map_err(|error| BadLine::new(format!("a message ({error})"), json))?;
    let venue = time::any(message.time.as_bytes()).ok_or_else(|| BadLine::new("a time", message.time.as_bytes()))?;
    let body = match (kind, &message) {
        (b"ticker", Message { best_bid: Some(bid), best_ask: Some(ask), .. }) => Body::Quote(Quote {
            bid: price(bid.as_bytes())?,
            ask: price(ask.as_bytes())?,
            bid_qty: Qty::ZERO,
            ask_qty: Qty::ZERO,
        }),
        (b"match", Message { price: Some(at), size: Some(size), side: Some(maker), .. }) => {
            let flags = match *maker {
                "sell" => Flags::BUY,
                "buy" => Flags::SELL,
                other => return Err(BadLine::new("the maker's side, buy or sell", other.as_bytes())),
            };
            let trade = Trade {
                price: price(at.as_bytes())?,
                qty: qty(Some(size.as_bytes()))?,
                trade_id: message.trade_id.unwrap_or(0),
            };
            Body::Trade(trade, flags)
        }
        _ => return Err(BadLine::new("best prices or a trade", json)),
    };
    Ok(Some((message.product_id, Row { local, venue, body })))
}

//! Recorded WebSocket messages: `<receive time> <json>` (hftbacktest) or `<epoch seconds>: <json>`
//! (cryptofeed).
//!
//! Of Binance, best bid/ask, trades and aggregated trades are read; depth, mark price, REST
//! snapshots and session lines are passed over, they are not bad. Of Coinbase see [`super::coinbase`].

use serde::Deserialize;

use super::coinbase;
use super::csv::{Body, Row, price, qty};
use super::error::BadLine;
use super::time_text as time;
use crate::core::payload::{Quote, Trade};
use crate::core::{Flags, Nanos};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Message<'a>,
}

#[derive(Deserialize)]
struct Message<'a> {
    s: &'a str,
    #[serde(rename = "T", default)]
    time: u64,
    b: Option<&'a str>,
    #[serde(rename = "B")]
    bid_qty: Option<&'a str>,
    a: Option<Word<'a>>,
    #[serde(rename = "A")]
    ask_qty: Option<&'a str>,
    p: Option<&'a str>,
    q: Option<&'a str>,
    t: Option<u64>,
    m: Option<bool>,
}

/// `a` is the ask of a bookTicker and the number of an aggTrade.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word<'a> {
    Text(&'a str),
    Number(u64),
}

/// Whose messages a capture holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Venue {
    Binance,
    Coinbase,
}

/// The symbol and row of a line; `None` for a line that carries neither quote nor trade.
pub(super) fn parse(venue: Venue, line: &[u8]) -> Result<Option<(&str, Row)>, BadLine> {
    if [&b"configuration:"[..], b"wss://", b"https://"].iter().any(|start| line.starts_with(start)) {
        return Ok(None);
    }
    let space = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (stamp, json) = line.split_at(space);
    let stamp = stamp.strip_suffix(b":").unwrap_or(stamp);
    let json = json.trim_ascii_start();
    let local = time::epoch(stamp, time::magnitude(stamp)).ok_or_else(|| BadLine::new("a receive time", stamp))?;
    if venue == Venue::Coinbase {
        return coinbase::parse(local, json);
    }
    let Some(stream) = json.strip_prefix(b"{\"stream\":\"") else {
        return if json.starts_with(b"{") { Ok(None) } else { Err(BadLine::new("a JSON message", json)) };
    };
    let stream = stream.split(|&byte| byte == b'"').next().unwrap_or_default();
    let wanted = [&b"@bookTicker"[..], b"@trade", b"@aggTrade"].iter().any(|end| stream.ends_with(end));
    if !wanted {
        return Ok(None);
    }
    let envelope: Envelope =
        serde_json::from_slice(json).map_err(|error| BadLine::new(format!("a message ({error})"), json))?;
    let message = envelope.data;
    let venue = Nanos(message.time.saturating_mul(1_000_000));
    let body = match (message.p, message.b, message.a) {
        (Some(at), None, id) => {
            let aggregated = if let Some(Word::Number(id)) = id { id } else { 0 };
            let side = message.m.ok_or_else(|| BadLine::new("the maker's side \"m\"", json))?;
            let trade = Trade {
                price: price(at.as_bytes())?,
                qty: qty(message.q.map(str::as_bytes))?,
                trade_id: message.t.unwrap_or(aggregated),
            };
            Body::Trade(trade, if side { Flags::SELL } else { Flags::BUY })
        }
        (_, Some(bid), Some(Word::Text(ask))) => Body::Quote(Quote {
            bid: price(bid.as_bytes())?,
            ask: price(ask.as_bytes())?,
            bid_qty: qty(message.bid_qty.map(str::as_bytes))?,
            ask_qty: qty(message.ask_qty.map(str::as_bytes))?,
        }),
        _ => return Err(BadLine::new("best prices or a trade", json)),
    };
    Ok(Some((message.s, Row { local, venue, body })))
}

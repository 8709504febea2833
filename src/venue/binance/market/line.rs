//! One set of streams and the connection that carries it: what is on it, and whether it still lives.
//!
//! Data proves life. A line without any for `stale_after` is asked with a ping, because a quiet market is no dead one:
//! trades of a small symbol may be minutes apart. It is dead when neither data nor a pong follows. A pong says only that
//! the server's end of the connection lives, not that its market does: a line of quotes that brings nothing else for
//! [`LONGEST_QUIET`] times `stale_after` is made anew as well.

use super::super::endpoints::Market;
use super::super::symbols::SymbolTable;
use super::{FeedParams, StreamEncoding};
use crate::core::{InstrumentId, Nanos, Span};
use crate::venue::net::{Sent, WebSocketClient};

/// Streams a connection carries in its address; the venue allows 1024 in all.
const STREAMS_A_LINE: usize = 100;
/// Quotes that only pings are answered on are given up after so many times `stale_after`.
const LONGEST_QUIET: u64 = 6;
/// Between two pings, at least: the venue counts them (5 messages a second on spot, 10 on futures).
const PING_EVERY: Span = Span::seconds(3);
/// Longest wait for a pong.
const PONG_WITHIN: Span = Span::seconds(3);

/// What a connection carries.
pub(super) struct Route {
    pub(super) url: String,
    /// Instruments whose quotes come here.
    pub(super) quotes: Vec<InstrumentId>,
    /// Instruments whose trades come here.
    pub(super) trades: Vec<InstrumentId>,
}

/// One route and its connection.
pub(super) struct Line {
    pub(super) route: Route,
    pub(super) client: WebSocketClient,
    pub(super) up: bool,
    /// Data was lost: the next is preceded by a gap for each instrument whose quotes come here.
    pub(super) gap: bool,
    pub(super) last_data: Nanos,
    pub(super) expires: Nanos,
    /// Takes over once it brings data.
    pub(super) replacement: Option<WebSocketClient>,
    /// When the last ping went out.
    pinged: Nanos,
}

impl Line {
    pub(super) fn new(route: Route, client: WebSocketClient) -> Self {
        Self {
            route,
            client,
            up: false,
            gap: false,
            last_data: Nanos::NONE,
            expires: Nanos::MAX,
            replacement: None,
            pinged: Nanos::NONE,
        }
    }

    /// A connection stands since `now`.
    pub(super) fn begin(&mut self, now: Nanos, expires: Nanos) {
        (self.up, self.expires) = (true, expires);
        (self.last_data, self.pinged) = (now, Nanos::NONE);
    }

    /// Asks a quiet line whether it lives; true for one that does not.
    #[inline]
    pub(super) fn is_dead(&mut self, now: Nanos, stale_after: Span) -> bool {
        if now < self.due(stale_after) {
            return false;
        }
        if self.waits_for_pong() || now >= self.given_up(stale_after) {
            return true;
        }
        // Stamped by the clock that stamps what is read, where it has gone out already.
        self.pinged = match self.client.ping() {
            Ok(Sent::Written(stamps)) => stamps.before,
            Ok(Sent::Queued) | Err(_) => now,
        };
        false
    }

    /// When the next look is due.
    #[inline]
    pub(super) fn due(&self, stale_after: Span) -> Nanos {
        if !self.up {
            return Nanos::MAX;
        }
        let next = if self.waits_for_pong() {
            self.pinged.plus(PONG_WITHIN.min(Span(stale_after.0 / 2)))
        } else {
            self.heard().plus(stale_after).max(self.pinged.plus(PING_EVERY))
        };
        next.min(self.given_up(stale_after))
    }

    #[inline]
    fn heard(&self) -> Nanos {
        self.last_data.max(self.client.last_pong())
    }

    #[inline]
    fn waits_for_pong(&self) -> bool {
        self.pinged > self.heard()
    }

    /// When pongs alone no longer do.
    #[inline]
    fn given_up(&self, stale_after: Span) -> Nanos {
        if self.route.quotes.is_empty() {
            return Nanos::MAX;
        }
        self.last_data.plus(Span(stale_after.0.saturating_mul(LONGEST_QUIET)))
    }
}

/// The addresses that carry everything that was asked for: one for each base and hundred streams.
pub(super) fn routes(params: &FeedParams, symbols: &SymbolTable) -> Vec<Route> {
    let binary = params.encoding == StreamEncoding::Binary;
    let (quote, trade) = match (binary, params.market) {
        (true, _) => ("bestBidAsk", "trade"),
        (false, Market::Spot) => ("bookTicker", "trade"),
        // Futures have no documented stream of single trades.
        (false, Market::UsdMFutures) => ("bookTicker", "aggTrade"),
    };
    let (quotes_base, trades_base) = if binary {
        (&params.endpoints.binary, &params.endpoints.binary)
    } else {
        (&params.endpoints.quotes, &params.endpoints.trades)
    };
    let streams = |kind| -> Vec<(InstrumentId, &'static str)> {
        symbols.iter().map(|(instrument, _)| (instrument, kind)).collect()
    };
    let mut sets = vec![(quotes_base, streams(quote))];
    if params.trades {
        if quotes_base == trades_base {
            sets[0].1.extend(streams(trade));
        } else {
            sets.push((trades_base, streams(trade)));
        }
    }
    // Binary streams always count microseconds; futures do not document a choice.
    let unit = if binary || params.market == Market::UsdMFutures { "" } else { "&timeUnit=MICROSECOND" };
    let name = |(instrument, kind): &(InstrumentId, &str)| {
        let symbol = symbols.get(*instrument).map_or("", |symbol| &symbol.name);
        format!("{}@{kind}", symbol.to_lowercase())
    };
    let of = |part: &[(InstrumentId, &str)], wanted: &str| {
        part.iter().filter(|(_, kind)| *kind == wanted).map(|(instrument, _)| *instrument).collect()
    };
    let route = |base: &str, part: &[(InstrumentId, &str)]| Route {
        url: format!("{base}/stream?streams={}{unit}", part.iter().map(name).collect::<Vec<_>>().join("/")),
        quotes: of(part, quote),
        trades: of(part, trade),
    };
    sets.iter().flat_map(|(base, streams)| streams.chunks(STREAMS_A_LINE).map(move |part| route(base, part))).collect()
}

//! Questions to the venue: what is asked, what it weighs, how it is written.

use super::super::endpoints::Market;
use super::super::limits::Importance;
use super::encode::Encoder;
use super::{OrderProtocol, PENDING, Phase};
use crate::core::{InstrumentId, Nanos, OrderId, Qty};
use crate::venue::binance::rest::OrderStatus;

/// Questions that may wait; more are dropped, and asked again by whoever wants to know.
const QUEUE: usize = 256;

/// Why an order's executions are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TradesFor {
    /// Its end came before its executions.
    Missing,
    /// It was asked about, and stands like this.
    Query(OrderStatus, Qty),
    /// A reconciliation found that it traded.
    Round(u64),
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Nothing,
    Logon,
    Subscribe,
    ListenKey,
    ListenKeyAlive,
    Time,
    Place { order: OrderId, instrument: InstrumentId },
    Cancel { order: OrderId, instrument: InstrumentId },
    Status { order: OrderId, instrument: InstrumentId },
    Trades { order: OrderId, instrument: InstrumentId, venue_order: u64, reason: TradesFor },
    OpenOrders { round: u64, instrument: Option<InstrumentId> },
    Account { round: u64 },
    Positions { round: u64 },
}

impl Ask {
    fn weight(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Place { .. } | Self::Cancel { .. } => 1,
            // Spot's `time` is 1, futures' `session.status` 2.
            Self::Time | Self::Logon | Self::Subscribe | Self::ListenKey | Self::ListenKeyAlive => 2,
            Self::Status { .. } => 4,
            Self::Trades { .. } | Self::Positions { .. } => 5,
            Self::OpenOrders { instrument: Some(_), .. } => 6,
            Self::OpenOrders { instrument: None, .. } => 80,
            Self::Account { .. } => 20,
        }
    }

    /// What keeps the session alive: asked by nobody but us, and answered as long as there is a venue.
    pub(super) fn is_session(self) -> bool {
        matches!(self, Self::Time | Self::Logon | Self::Subscribe | Self::ListenKey | Self::ListenKeyAlive)
    }
}

/// A signed GET over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    pub(in crate::venue::binance) id: u64,
    /// Below the base.
    pub path: &'static str,
    /// Names and values.
    pub parameters: Vec<(&'static str, String)>,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    pub(super) ask: Ask,
    pub(super) sent: Nanos,
}

impl Pending {
    pub(super) const NONE: Self = Self { id: 0, ask: Ask::Nothing, sent: Nanos::NONE };
}

/// Questions not sent yet, first in, first out, bounded.
pub(super) struct Queue {
    asks: std::collections::VecDeque<Ask>,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { asks: std::collections::VecDeque::with_capacity(QUEUE) }
    }

    pub(super) fn push(&mut self, ask: Ask) {
        if self.asks.len() < QUEUE && !self.asks.contains(&ask) {
            self.asks.push_back(ask);
        }
    }

    pub(super) fn clear(&mut self) {
        self.asks.clear();
    }
}

impl OrderProtocol {
    /// The next question as bytes; `None` when nothing is to be asked. To be called until `None`
    /// while the connection is open.
    pub fn next_request(&mut self, now: Nanos) -> Option<&[u8]> {
        if self.phase == Phase::Down {
            self.queue.clear();
            return None;
        }
        self.held_until = Nanos::MAX;
        let mut held = 0;
        loop {
            if held == self.queue.asks.len() {
                return None;
            }
            let ask = self.queue.asks.pop_front()?;
            let venue_now = self.clock.venue_time(now);
            if !self.limits.take(venue_now, ask.weight(), Importance::Rest) {
                if ask.is_session() {
                    // At the end: when all that is left was held, everything was looked at.
                    self.queue.asks.push_back(ask);
                    held += 1;
                    self.held_until = self.clock.local_time(self.limits.opens(venue_now));
                } else {
                    self.counters.held_back += 1;
                }
                continue;
            }
            if self.params.market == Market::UsdMFutures
                && let Some(question) = self.aside(ask)
            {
                self.asides.push_back(question);
                self.remember(ask, now);
                continue;
            }
            if self.write(ask, venue_now.0 / 1_000_000) {
                if ask.is_session() {
                    self.unanswered_since = self.unanswered_since.min(now);
                }
                self.remember(ask, now);
                return Some(&self.request);
            }
        }
    }

    /// Futures' WebSocket API lists neither open orders nor trades: these go over HTTP.
    fn aside(&self, ask: Ask) -> Option<HttpQuestion> {
        let name = |instrument| self.symbols.get(instrument).map(|symbol| symbol.name.clone());
        let (path, parameters) = match ask {
            Ask::OpenOrders { instrument, .. } => {
                let symbol = instrument.and_then(name).map(|name| ("symbol", name));
                ("/fapi/v1/openOrders", symbol.into_iter().collect())
            }
            Ask::Trades { instrument, venue_order, .. } => {
                ("/fapi/v1/userTrades", vec![("symbol", name(instrument)?), ("orderId", venue_order.to_string())])
            }
            _ => return None,
        };
        Some(HttpQuestion { id: self.next_id, path, parameters })
    }

    /// The next question that must be put over HTTP; its answer belongs to
    /// [`OrderProtocol::on_http`].
    pub fn next_http_question(&mut self) -> Option<HttpQuestion> {
        self.asides.pop_front()
    }

    /// Notes a request under the next number.
    #[inline]
    pub(super) fn remember(&mut self, ask: Ask, now: Nanos) {
        let id = self.next_id;
        self.pending[id as usize % PENDING] = Pending { id, ask, sent: now };
        self.next_id += 1;
        self.counters.requests += 1;
    }

    /// The answer to a request, if it is still waited for.
    pub(super) fn answered(&mut self, id: u64) -> Option<Pending> {
        let slot = &mut self.pending[id as usize % PENDING];
        let found = (slot.id == id).then_some(*slot)?;
        *slot = Pending::NONE;
        Some(found)
    }

    /// Writes a question into the request buffer; false for one that cannot be asked.
    fn write(&mut self, ask: Ask, timestamp: u64) -> bool {
        let (id, futures) = (self.next_id, self.params.market == Market::UsdMFutures);
        let Self { request: out, encoder, symbols, tracker, .. } = self;
        match ask {
            Ask::Nothing | Ask::Place { .. } => return false,
            Ask::Logon => match &self.logon {
                Some(signer) => Encoder::with_key(out, (id, "session.logon"), timestamp, &self.key, signer),
                None => return false,
            },
            Ask::Subscribe if self.logon.is_some() => Encoder::open(out, id, "userDataStream.subscribe"),
            Ask::Subscribe => encoder.subscribe_signed(out, id, timestamp),
            Ask::ListenKey => Encoder::keyed(out, (id, "userDataStream.start"), &self.key),
            Ask::ListenKeyAlive => Encoder::keyed(out, (id, "userDataStream.ping"), &self.key),
            // Futures' WebSocket API documents no `time`; what it says of a session holds the time as well.
            Ask::Time => Encoder::open(out, id, if futures { "session.status" } else { "time" }),
            Ask::Cancel { order, instrument } | Ask::Status { order, instrument } => {
                let Some(symbol) = symbols.get(instrument) else { return false };
                let method = if matches!(ask, Ask::Cancel { .. }) { "order.cancel" } else { "order.status" };
                let venue_order = tracker.get(order).map_or(0, |record| record.venue_order);
                encoder.about(out, (id, method), timestamp, symbol, order, venue_order);
            }
            Ask::Trades { instrument, venue_order, .. } => {
                let Some(symbol) = symbols.get(instrument) else { return false };
                encoder.signed(out, (id, "myTrades"), |_, writer| {
                    writer.number("orderId", venue_order);
                    writer.window();
                    writer.text("symbol", symbol.name.as_bytes());
                    writer.number("timestamp", timestamp);
                });
            }
            Ask::OpenOrders { instrument, .. } => {
                let symbol = instrument.and_then(|instrument| symbols.get(instrument));
                encoder.signed(out, (id, "openOrders.status"), |_, writer| {
                    writer.window();
                    if let Some(symbol) = symbol {
                        writer.text("symbol", symbol.name.as_bytes());
                    }
                    writer.number("timestamp", timestamp);
                });
            }
            Ask::Account { .. } | Ask::Positions { .. } => {
                let method = match (ask, futures) {
                    (Ask::Positions { .. }, _) => "v2/account.position",
                    (_, true) => "v2/account.status",
                    _ => "account.status",
                };
                encoder.signed(out, (id, method), |_, writer| {
                    writer.window();
                    writer.number("timestamp", timestamp);
                });
            }
        }
        true
    }
}

//! Order entry and the account's own events over the WebSocket API, without a socket: commands and
//! frames in, request bytes and events out.
//!
//! Life of a connection: [`OrderProtocol::on_open`] asks for the venue's time, then to log on (Ed25519), then to
//! subscribe to the account's events; when all stand, [`Link`] says up. [`OrderProtocol::next_request`] is drained by
//! the owner of the socket after every call. [`OrderProtocol::on_close`] says down and forgets what
//! was in flight: it is unknown, and the order manager asks.
//!
//! | guarantee | how |
//! |---|---|
//! | an order's acknowledgement is told before its fills, its fills before its end | an end whose fills are missing waits until `myTrades` has brought them |
//! | each execution is told once | by trade number; only the answer to a query repeats them all, for the order manager to sort out |
//! | what may have been done is never a reject | status 5xx, -1000, -1001, -1006, -1007, a broken send and "duplicate order" end nothing |
//! | "no such order" is believed only later | -2013 counts once `recvWindow` and the venue's own 10 s have passed since the order was sent |
//! | `Reconciled` comes last | open orders, account, positions and missing executions of the round come before it |
//!
//! A cancel, query or reconciliation that a limit or a lost connection swallows is not repeated here:
//! the order manager's own time-outs ask again. A submit that cannot be sent is rejected at once. What keeps the session
//! itself waits for the limit: nobody else would ask again.

mod account;
mod apply;
mod asks;
mod digits;
mod encode;
mod fees;
pub mod ids;
mod refused;
mod replies;
mod template;
mod tracker;

pub use asks::HttpQuestion;
pub use replies::OrderCounters;

use super::clock::VenueClock;
use super::endpoints::Market;
use super::limits::{Importance, LimitParams, Limits};
use super::rest::Credentials;
use super::sign::{Secret, Signer};
use super::symbols::SymbolTable;
use crate::core::fetch::fetch;
use crate::core::payload::{
    Link, LinkChannel, LinkState, OrderDone, OrderReject, OrderRole, Reconciled, RejectCode, Submit,
};
use crate::core::{Event, EventKind, InstrumentId, Nanos, OrderId, Payload, Price, Side, Span};

use asks::{Ask, Pending, Queue};
use encode::{Encoder, OrderKind};
use tracker::Tracker;

/// Requests remembered until they are answered; older ones are given up.
const PENDING: usize = 1024;
/// The private stream's key lives 60 minutes.
const RENEWAL: Span = Span::seconds(1800);
/// The venue's own longest time for a request.
const VENUE_PATIENCE: Span = Span::seconds(10);

/// How orders are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderParams {
    /// Which market.
    pub market: Market,
    /// How old a request may be when the venue sees it: an order's time to live on the way in.
    pub receive_window: Span,
    /// The venue's limits, as its exchange information says.
    pub limits: LimitParams,
    /// The asset that the account is kept in, e.g. `USDT`.
    pub cash_asset: String,
    /// Fee assumed for an execution charged in an asset without a known price, millionths of the
    /// notional.
    pub fallback_fee: u32,
    /// How often the venue's time is asked for: clock offset and proof of life.
    pub time_interval: Span,
    /// A connection that leaves a question unanswered for so long is given up.
    pub answer_timeout: Span,
}

impl OrderParams {
    /// Usual values for an account kept in `cash_asset`.
    #[must_use]
    pub fn new(market: Market, cash_asset: &str) -> Self {
        Self {
            market,
            receive_window: Span::seconds(2),
            limits: LimitParams::default(),
            cash_asset: cash_asset.to_owned(),
            // 0.1 %: the venue's standard rate before the discount that paying in BNB gives.
            fallback_fee: 1000,
            time_interval: Span::seconds(30),
            answer_timeout: Span::seconds(10),
        }
    }
}

/// Something that only a person can mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The venue does not accept our key.
    #[error("the venue refuses the key (code {code}): {message}; check key, secret, permissions and address list")]
    Key {
        /// The venue's code.
        code: i64,
        /// The venue's words.
        message: String,
    },
    /// Logging on or subscribing failed otherwise.
    #[error("the venue refuses {what} (code {code}): {message}")]
    Session {
        /// Logon or subscription.
        what: &'static str,
        /// The venue's code.
        code: i64,
        /// The venue's words.
        message: String,
    },
    /// An account that is none to trade on.
    #[error("expected a one-way account with a balance of the traded asset, found {0}")]
    Account(String),
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// No connection.
    Down,
    /// Open; asking for the time that the logon is stamped with.
    Clock,
    /// Logging on or subscribing.
    Starting,
    /// Futures: waiting for the private stream.
    Private,
    /// Orders can be sent.
    Ready,
}

/// A reconciliation under way.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: u64,
    /// Answers still missing.
    parts: u32,
    /// Open orders reported.
    orders: u64,
}

/// One session of order entry, over any number of connections.
pub struct OrderProtocol {
    params: OrderParams,
    symbols: SymbolTable,
    encoder: Encoder,
    /// Named in logon and subscription.
    key: Secret,
    /// Signs the logon; `None` for keys that sign each request (then the encoder has it).
    logon: Option<Signer>,
    tracker: Tracker,
    pending: Vec<Pending>,
    next_id: u64,
    queue: Queue,
    /// Questions for HTTP: futures only.
    asides: std::collections::VecDeque<HttpQuestion>,
    request: Vec<u8>,
    /// Made-up orders are encoded here: these bytes are never sent.
    rehearsed: Vec<u8>,
    limits: Limits,
    clock: VenueClock,
    phase: Phase,
    connections: u64,
    round: Option<Round>,
    /// A reconciliation asked for while not ready.
    wanted_round: Option<u64>,
    next_time: Nanos,
    /// Futures: when the private stream's key must be renewed.
    next_renewal: Nanos,
    /// The oldest question about time or logon that was sent and has no answer.
    unanswered_since: Nanos,
    /// When a question that a limit held back is put again.
    held_until: Nanos,
    /// Since when orders of earlier sessions count as sent.
    started: Nanos,
    marks: Vec<(String, Price)>,
    counters: OrderCounters,
    trouble: Option<Trouble>,
    restart: bool,
    replace: bool,
    listen_key: Option<String>,
}

impl OrderProtocol {
    /// A session that has no connection yet.
    pub fn new(params: OrderParams, symbols: SymbolTable, credentials: Credentials, now: Nanos) -> Self {
        let Credentials { api_key: key, signer } = credentials;
        let (logon, signing) =
            if signer.can_log_on() { (Some(signer), None) } else { (None, Some((key.clone(), signer))) };
        // Futures have no other answer with a result.
        let response = if params.market == Market::UsdMFutures { "RESULT" } else { "FULL" };
        Self {
            encoder: Encoder::new(signing, (params.receive_window.0 / 1_000_000).max(1), response, &symbols),
            limits: Limits::new(&params.limits),
            params,
            symbols,
            key,
            logon,
            tracker: Tracker::new(),
            pending: vec![Pending::NONE; PENDING],
            next_id: 1,
            queue: Queue::new(),
            asides: std::collections::VecDeque::new(),
            request: Vec::with_capacity(1024),
            rehearsed: Vec::with_capacity(1024),
            clock: VenueClock::default(),
            phase: Phase::Down,
            connections: 0,
            round: None,
            wanted_round: None,
            next_time: Nanos::MAX,
            next_renewal: Nanos::MAX,
            unanswered_since: Nanos::MAX,
            held_until: Nanos::MAX,
            started: now,
            marks: Vec::new(),
            counters: OrderCounters::default(),
            trouble: None,
            restart: false,
            replace: false,
            listen_key: None,
        }
    }

    /// True while orders can be sent.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// What was seen so far.
    pub fn counters(&self) -> OrderCounters {
        self.counters
    }

    /// The venue's clock as measured.
    pub fn clock(&self) -> &VenueClock {
        &self.clock
    }

    /// The last thing that only a person can mend; cleared by a successful logon.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Tells what one unit of an asset (BNB) is worth in the account's currency: fees charged in it
    /// are booked at this price.
    pub fn set_mark(&mut self, asset: &str, price: Price) {
        match self.marks.iter_mut().find(|(known, _)| known == asset) {
            Some((_, known)) => *known = price,
            None => self.marks.push((asset.to_owned(), price)),
        }
    }

    /// The connection is open.
    pub fn on_open(&mut self, now: Nanos) {
        self.phase = Phase::Clock;
        self.next_time = now.plus(self.params.time_interval);
        self.queue.push(Ask::Time);
    }

    /// The venue's time is known, or cannot be had: what is stamped may be asked.
    fn log_on(&mut self) {
        if self.phase == Phase::Clock {
            self.phase = Phase::Starting;
            self.queue.push(if self.logon.is_some() { Ask::Logon } else { self.subscription() });
        }
    }

    /// Asks nothing until our clock shows `until`: the venue wants to be left alone.
    pub fn silence(&mut self, until: Nanos) {
        self.limits.silence(self.clock.venue_time(until));
    }

    /// The connection is gone.
    pub fn on_close(&mut self, at: Nanos, emit: &mut impl FnMut(Event)) {
        let was_ready = self.phase == Phase::Ready;
        self.phase = Phase::Down;
        self.queue.clear();
        self.asides.clear();
        self.pending.fill(Pending::NONE);
        (self.round, self.listen_key) = (None, None);
        (self.next_time, self.next_renewal) = (Nanos::MAX, Nanos::MAX);
        (self.unanswered_since, self.held_until) = (Nanos::MAX, Nanos::MAX);
        (self.restart, self.replace) = (false, false);
        if was_ready {
            self.link(LinkState::Down, at, emit);
        }
    }

    /// Futures: the key of the private stream that the owner must connect to.
    pub fn take_listen_key(&mut self) -> Option<String> {
        self.listen_key.take()
    }

    /// Futures: the private stream is open.
    pub fn on_private_open(&mut self, at: Nanos, emit: &mut impl FnMut(Event)) {
        if self.phase == Phase::Private {
            self.next_renewal = at.plus(RENEWAL);
            self.ready(at, emit);
        }
    }

    /// True while a placed order has not been answered.
    pub fn has_orders_in_flight(&self) -> bool {
        self.pending.iter().any(|pending| matches!(pending.ask, Ask::Place { .. }))
    }

    /// True once when the connection is of no more use and must be made anew.
    pub fn take_restart(&mut self) -> bool {
        std::mem::take(&mut self.restart)
    }

    /// True once when the venue announced that it will close this connection.
    pub fn take_replace(&mut self) -> bool {
        std::mem::take(&mut self.replace)
    }

    /// When [`OrderProtocol::on_time`] is wanted.
    pub fn next_due(&self) -> Nanos {
        let unanswered = self.unanswered_since.plus(self.params.answer_timeout);
        self.next_time.min(self.next_renewal).min(unanswered).min(self.held_until)
    }

    /// Time passed.
    pub fn on_time(&mut self, now: Nanos) {
        if self.phase == Phase::Down {
            return;
        }
        if self.unanswered_since.plus(self.params.answer_timeout) <= now {
            self.unanswered_since = Nanos::MAX;
            self.restart = true;
        }
        if self.next_time <= now {
            self.next_time = now.plus(self.params.time_interval);
            self.queue.push(Ask::Time);
        }
        if self.next_renewal <= now {
            self.next_renewal = now.plus(RENEWAL);
            self.queue.push(Ask::ListenKeyAlive);
        }
    }

    /// An order as bytes, to be sent at once. The bytes stay valid until the next call.
    ///
    /// # Errors
    /// The order cannot be sent; the event that says so to the order manager.
    #[inline]
    pub fn submit(&mut self, command: &Event, now: Nanos) -> Result<&[u8], Event> {
        match self.write_order(command, now, true) {
            Ok(()) => Ok(&self.request),
            Err(code) => {
                self.counters.held_back += u64::from(code == RejectCode::RateLimit);
                let order = Submit::of(command).order;
                let reject = OrderReject { order, code: Some(code), price: Price::ZERO };
                Err(reject.event(EventKind::OrderRejected, command.instrument, Nanos::NONE, now))
            }
        }
    }

    /// Writes an order and, where it is a real one, notes it. One copy of the code for both: made-up orders keep it
    /// in the processor's caches.
    #[inline(never)]
    fn write_order(&mut self, command: &Event, now: Nanos, real: bool) -> Result<(), RejectCode> {
        let (id, submit) = (command.instrument, Submit::of(command));
        let (Some(symbol), Some(side)) = (self.symbols.get(id), Side::from_flags(command.flags)) else {
            return Err(RejectCode::Other);
        };
        if self.phase != Phase::Ready {
            return Err(RejectCode::Other);
        }
        let importance = if submit.role == OrderRole::Entry { Importance::Entry } else { Importance::Rest };
        let venue_now = self.clock.venue_time(now);
        let mut limits = self.limits.clone();
        if !limits.take_order(venue_now, 1, importance) {
            return Err(RejectCode::RateLimit);
        }
        let kind = self.kind(side, &submit);
        let stamped = (self.next_id, venue_now.0 / 1_000_000);
        // Nothing is ever sent from the second one.
        let out = if real { &mut self.request } else { &mut self.rehearsed };
        self.encoder.place(out, stamped, (id, symbol), kind, &submit);
        if real {
            self.limits = limits;
            self.tracker.sent(submit.order, now);
            self.remember(Ask::Place { order: submit.order, instrument: id }, now);
        }
        Ok(())
    }

    fn kind(&self, side: Side, submit: &Submit) -> OrderKind {
        let futures = self.params.market == Market::UsdMFutures;
        OrderKind { side, tif: submit.tif, reduce_only: futures && submit.role == OrderRole::Exit }
    }

    /// Writes an order that was made up, into a buffer that nothing is sent from, notes nothing, and asks for the memory
    /// that a real one will change. False where none could be sent now, and where each request is signed: a signature
    /// takes longer than a rehearsal may.
    pub fn rehearse(&mut self, order: &Event, now: Nanos) -> bool {
        if self.encoder.signs() || self.write_order(order, now, false).is_err() {
            return false;
        }
        // What the next order is written to and noted in.
        fetch::<[u8]>(&self.request);
        fetch(&self.pending[self.next_id as usize % PENDING]);
        self.tracker.fetch_next();
        true
    }

    /// A submit that certainly did not go out after all.
    pub fn not_sent(&mut self, command: &Event, now: Nanos) -> Event {
        let reject =
            OrderReject { order: Submit::of(command).order, code: Some(RejectCode::Other), price: Price::ZERO };
        reject.event(EventKind::OrderRejected, command.instrument, Nanos::NONE, now)
    }

    /// Any command but a submit. It leaves with [`OrderProtocol::next_request`].
    pub fn command(&mut self, command: &Event) {
        let instrument = command.instrument;
        let order = OrderDone::of(command).order;
        match command.kind {
            EventKind::Cancel => self.queue.push(Ask::Cancel { order, instrument }),
            EventKind::Query => self.queue.push(Ask::Status { order, instrument }),
            EventKind::Reconcile => {
                let round = Reconciled::of(command).round;
                if self.phase == Phase::Ready { self.reconcile(round) } else { self.wanted_round = Some(round) }
            }
            // Submit has its own way; everything else is no command.
            _ => {}
        }
    }

    fn link(&self, state: LinkState, at: Nanos, emit: &mut impl FnMut(Event)) {
        let link = Link { channel: Some(LinkChannel::Orders), state: Some(state), connections: self.connections };
        emit(link.event(EventKind::Link, InstrumentId(0), Nanos::NONE, at));
    }

    /// Everything stands: orders may be sent.
    fn ready(&mut self, at: Nanos, emit: &mut impl FnMut(Event)) {
        self.phase = Phase::Ready;
        self.connections += 1;
        self.trouble = None;
        self.link(LinkState::Up, at, emit);
        if let Some(round) = self.wanted_round.take() {
            self.reconcile(round);
        }
    }

    fn subscription(&self) -> Ask {
        if self.params.market == Market::UsdMFutures { Ask::ListenKey } else { Ask::Subscribe }
    }

    /// Puts the questions of a reconciliation; a newer round replaces an older one.
    fn reconcile(&mut self, number: u64) {
        // Asking for all symbols at once costs as much as thirteen single ones.
        let parts = if self.symbols.len() <= 12 {
            for (instrument, _) in self.symbols.iter() {
                self.queue.push(Ask::OpenOrders { round: number, instrument: Some(instrument) });
            }
            self.symbols.len() as u32
        } else {
            self.queue.push(Ask::OpenOrders { round: number, instrument: None });
            1
        };
        self.queue.push(Ask::Account { round: number });
        let futures = self.params.market == Market::UsdMFutures;
        if futures {
            self.queue.push(Ask::Positions { round: number });
        }
        self.round = Some(Round { number, parts: parts + 1 + u32::from(futures), orders: 0 });
    }

    /// Since when the venue may have known an order: one of an earlier session, since before we began.
    fn sent_at(&mut self, order: OrderId) -> Nanos {
        let started = self.started;
        self.tracker.get(order).map_or(started, |record| record.sent)
    }
}

#[cfg(test)]
mod tests;

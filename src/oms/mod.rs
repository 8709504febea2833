//! The fourth stage: orders, positions, account and risk, as state machines over events.
//!
//! Setup: [`Oms::new`]. Market data: [`Oms::on_market`]. The venue's answers: [`Oms::on_execution`].
//! Time: [`Oms::on_timer`], due at [`Oms::next_deadline`]. Decisions leave through the [`Outbox`].
//!
//! An instrument is in one phase at a time and a phase holds at most one order, so there are never
//! two orders alive for one intent. Reasons for *not* trading are outputs like orders are. The venue
//! is right: a fill is booked even when it is not understood, and then a person is alerted.

mod account;
mod book;
mod checks;
mod entry;
mod executions;
mod exit;
mod holdings;
mod outbox;
mod params;
mod position;
mod reconcile;

use crate::core::fetch::fetch;
use crate::core::payload::{
    Action, AlertCode, AlertRecord, Control, ControlCode, Decision, Fee, Fill, OrderAck, OrderDone, OrderReject, Quote,
    Refusal, RefusalRecord, Signal, SignalContext,
};
use crate::core::{
    Event, EventKind, Flags, Instrument, InstrumentId, InstrumentTable, Money, Nanos, OrderId, Payload, Price, Qty,
    Side,
};
use crate::quant::{MarketView, RawSignal};

use account::Account;
use book::{Book, OrderState, Phase};
use checks::{Broken, GuardianView, RateLimiter};
pub use outbox::Outbox;
pub use params::{EntryStyle, OmsParams, OmsParamsError};
pub use position::Position;
use reconcile::Trust;

/// How one instrument stands, for whoever watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Signed: above zero is long.
    pub position: Qty,
    /// Lots held, and entries in flight.
    pub open_lots: Qty,
    /// Average entry price; zero when flat.
    pub entry: Price,
    /// An order is alive, or may be.
    pub has_order: bool,
    /// Since when the fate of that order is unknown.
    pub unknown_since: Option<Nanos>,
}

/// Owns orders, positions, account and risk of one session.
pub struct Oms {
    params: OmsParams,
    instruments: InstrumentTable,
    books: Vec<Book>,
    account: Account,
    rate: RateLimiter,
    guardian: GuardianView,
    entries_allowed: bool,
    /// A sum left its range: no entry from here on, whoever allows them.
    books_broken: bool,
    trust: Trust,
    /// The present reconciliation, numbered from 1.
    round: u64,
    /// When it was asked for, and when the next one is due because something happened that is not understood.
    asked: Nanos,
    ask_due: Nanos,
    /// Something was filled or charged since it was asked for.
    disturbed: bool,
    /// Rounds in a row that found orders of ours that nobody waits for.
    orphan_rounds: u32,
    /// Cash that the present reconciliation reported.
    reported_cash: Option<Money>,
    /// Free cash as last reported, with our own fills since.
    free_cash: Option<Money>,
    /// Books minus cash when flat: what was booked and never moved cash (spot: dust, and fees taken
    /// of what was owned before).
    beside_cash: Money,
    session: u32,
    orders_sent: u32,
    intents: u32,
    /// The earliest deadline of any book: what the caller schedules a timer for.
    next_deadline: Nanos,
}

impl Oms {
    /// An order manager for these instruments, with no position and the balance still to be told
    /// by a [`ControlCode::Start`]. `session` makes order ids unique over restarts.
    ///
    /// # Errors
    /// A parameter out of its range.
    pub fn new(params: &OmsParams, instruments: &InstrumentTable, session: u32) -> Result<Self, OmsParamsError> {
        params.check()?;
        Ok(Self {
            rate: RateLimiter::new(params),
            params: params.clone(),
            books: vec![Book::default(); instruments.len()],
            account: Account::new(instruments.len()),
            instruments: instruments.clone(),
            guardian: GuardianView { last_heard: Nanos::NONE, latched: false },
            entries_allowed: true,
            books_broken: false,
            trust: Trust::Full,
            round: 0,
            asked: Nanos::NONE,
            ask_due: Nanos::MAX,
            disturbed: false,
            orphan_rounds: 0,
            reported_cash: None,
            free_cash: None,
            beside_cash: Money::ZERO,
            session,
            orders_sent: 0,
            intents: 0,
            next_deadline: Nanos::MAX,
        })
    }

    /// As it was after [`Oms::new`], in the same memory: for a rehearsal, which goes on for weeks and whose order numbers
    /// must not run out.
    pub(crate) fn begin_anew(&mut self) {
        // By name, so that a new field cannot be forgotten.
        let Self {
            params: _,
            instruments: _,
            session: _,
            books,
            account,
            rate,
            guardian,
            entries_allowed,
            books_broken,
            trust,
            round,
            asked,
            ask_due,
            disturbed,
            orphan_rounds,
            reported_cash,
            free_cash,
            beside_cash,
            orders_sent,
            intents,
            next_deadline,
        } = self;
        books.iter_mut().for_each(Book::begin_anew);
        account.begin_anew();
        rate.begin_anew();
        *guardian = GuardianView { last_heard: Nanos::NONE, latched: false };
        (*entries_allowed, *books_broken, *trust, *round) = (true, false, Trust::Full, 0);
        (*asked, *ask_due, *disturbed, *orphan_rounds) = (Nanos::NONE, Nanos::MAX, false, 0);
        (*reported_cash, *free_cash, *beside_cash) = (None, None, Money::ZERO);
        (*orders_sent, *intents, *next_deadline) = (0, 0, Nanos::MAX);
    }

    /// Asks for the memory that an order of this instrument is checked against and noted in.
    pub fn fetch(&self, id: InstrumentId) {
        fetch(self);
        self.account.fetch();
        self.rate.fetch();
        if let (Some(book), Some(spec)) = (self.books.get(usize::from(id.0)), self.instruments.get(id)) {
            fetch(book);
            fetch(spec);
        }
    }

    /// The instant at which [`Oms::on_timer`] wants to be called; [`Nanos::MAX`] when none.
    #[inline]
    pub fn next_deadline(&self) -> Nanos {
        self.next_deadline
    }

    /// Cash: start balance plus realised profit minus fees.
    pub fn balance(&self) -> Money {
        self.account.balance()
    }

    /// Balance plus unrealised profit at the touch that would close each position.
    pub fn equity(&self) -> Money {
        let mut equity = self.account.balance();
        for (book, (_, instrument)) in self.books.iter().zip(self.instruments.iter()) {
            if book.position.side().is_some() {
                let profit = book.position.unrealised(book.mark()).and_then(|value| instrument.value(value));
                // An equity that cannot be computed must not look healthy.
                equity = profit.and_then(|profit| equity.checked_add(profit)).unwrap_or(Money::from_units(i64::MIN));
            }
        }
        equity
    }

    /// The position of an instrument; `None` for an id outside the table.
    pub fn position(&self, id: InstrumentId) -> Option<&Position> {
        self.books.get(id.index()).map(|book| &book.position)
    }

    /// Sum of lots held and in flight over all instruments.
    pub fn open_lots(&self) -> Qty {
        Qty::from_units(self.books.iter().fold(0i64, |sum, book| sum.saturating_add(book.exposure())))
    }

    /// How an instrument stands; `None` for an id outside the table.
    pub fn status(&self, id: InstrumentId) -> Option<Status> {
        let book = self.books.get(id.index())?;
        let unknown_since = book.order().and_then(|order| match order.state {
            OrderState::Unknown { since } => Some(since),
            OrderState::Sent | OrderState::Working | OrderState::Cancelling => None,
        });
        Some(Status {
            position: Qty::from_units(book.position.signed_units()),
            open_lots: Qty::from_units(book.exposure()),
            entry: book.position.average_price().unwrap_or(Price::ZERO),
            has_order: book.order().is_some(),
            unknown_since,
        })
    }

    /// The last quote of an instrument, and when it came; `None` before the first.
    pub fn quote(&self, id: InstrumentId) -> Option<(Quote, Nanos)> {
        let book = self.books.get(id.index())?;
        (book.quote.bid > Price::ZERO).then_some((book.quote, book.quoted))
    }

    /// True while an order is alive anywhere.
    pub fn has_orders(&self) -> bool {
        self.books.iter().any(|book| book.order().is_some())
    }

    /// One clean market event, with what quant and the oracle made of it.
    #[inline]
    pub fn on_market(
        &mut self,
        event: &Event,
        view: &MarketView,
        decision: Option<(RawSignal, Decision)>,
        out: &mut Outbox,
    ) {
        let id = event.instrument;
        let Some(book) = self.books.get_mut(id.index()) else { return };
        if event.kind == EventKind::Quote && !event.flags.contains(Flags::OUT_OF_ORDER) {
            book.quote = Quote::of(event);
            book.quoted = event.local_ns;
            book.clock_skew = event.venue_ns.0.abs_diff(event.local_ns.0);
            book.z_score = view.z_score;
            if book.phase != Phase::Idle {
                self.on_quote_with_trade(id, event.local_ns, out);
            }
        }
        if let Some((signal, decision)) = decision {
            self.on_signal(id, event.local_ns, signal, decision, out);
        }
        if event.local_ns >= self.next_deadline {
            self.on_timer(event.local_ns, out);
        }
    }

    /// Time passed: every deadline that is due is served.
    pub fn on_timer(&mut self, now: Nanos, out: &mut Outbox) {
        self.serve_reconciliation(now, out);
        for index in 0..self.books.len() {
            if !out.has_room() {
                // Served at the next input: the deadline stays due.
                self.next_deadline = now;
                return;
            }
            self.serve_deadline(InstrumentId(index as u16), now, out);
        }
        self.refresh_deadline();
    }

    /// An operator's or the guardian's word.
    pub fn on_control(&mut self, event: &Event, out: &mut Outbox) {
        let control = Control::of(event);
        match control.code {
            Some(ControlCode::Start) => self.account.start(control.balance),
            Some(ControlCode::StopEntries) | None => self.entries_allowed = false,
            Some(ControlCode::AllowEntries) => self.entries_allowed = true,
            Some(ControlCode::Flatten) => {
                self.entries_allowed = false;
                for index in 0..self.books.len() {
                    self.flatten(InstrumentId(index as u16), event.local_ns, out);
                }
                self.refresh_deadline();
            }
            Some(ControlCode::GuardianAlive) => self.guardian.last_heard = event.local_ns,
            Some(ControlCode::GuardianLatched) => self.guardian.latched = true,
            Some(ControlCode::Baseline) => self.set_baseline(event.instrument, control),
        }
    }

    /// One answer of the venue.
    pub fn on_execution(&mut self, event: &Event, out: &mut Outbox) {
        let (id, now) = (event.instrument, event.local_ns);
        if self.books.get(id.index()).is_none() {
            return out.push(
                EventKind::Alert,
                id,
                &alert(AlertCode::UnknownExecution, OrderId(event.payload[0]), 0, 0),
            );
        }
        match event.kind {
            EventKind::OrderAccepted => self.on_accepted(id, OrderAck::of(event), now),
            EventKind::OrderRejected => self.on_rejected(id, OrderReject::of(event), now, out),
            EventKind::OrderCancelled | EventKind::OrderExpired => {
                self.on_done(id, OrderDone::of(event), now, out);
            }
            EventKind::OrderNotFound => self.on_not_found(id, OrderDone::of(event), now, out),
            EventKind::Fill => self.on_fill(id, Fill::of(event), now, out),
            EventKind::Fee => {
                let moved_cash = !event.flags.contains(Flags::OTHER_ASSET);
                self.on_fee(id, Fee::of(event), moved_cash, now, out);
            }
            // A refused cancel: the order is done, its own report is on its way and is asked for if it
            // gets lost. What the venue reports of its own accord is taken up in a file of its own.
            _ => {}
        }
        self.refresh_deadline();
    }

    fn on_quote_with_trade(&mut self, id: InstrumentId, now: Nanos, out: &mut Outbox) {
        let index = id.index();
        match self.books[index].phase {
            Phase::Settling(reason) => self.close_trade(id, reason, out),
            Phase::Holding { not_before } if now >= not_before && self.may_close() => self.try_exit(id, now, out),
            Phase::Entering(order) if self.books[index].position.side().is_some() => {
                if order.state == OrderState::Working && self.exit_reason(id, now).is_some() {
                    self.send_cancel(id, now, out);
                }
            }
            Phase::Idle | Phase::Holding { .. } | Phase::Entering(_) | Phase::Exiting(..) => {}
        }
    }

    fn on_signal(&mut self, id: InstrumentId, now: Nanos, signal: RawSignal, decision: Decision, out: &mut Outbox) {
        let features = signal.features;
        let bid_plus_ask = self.books[id.index()].bid_plus_ask();
        let first = Signal {
            log_return: features.log_return,
            volatility: features.volatility,
            z_score: features.z_score,
            adx: features.adx,
        };
        let second = SignalContext {
            rsi: features.rsi,
            time_sin: features.time_sin,
            volume_delta: features.volume_delta,
            bid_plus_ask,
        };
        out.push_sided(EventKind::Signal, id, signal.side, &first);
        out.push_sided(EventKind::SignalContext, id, signal.side, &second);
        out.push_sided(EventKind::Decision, id, signal.side, &decision);
        let side = match decision.action {
            Some(Action::ExecuteBuy) => Side::Buy,
            Some(Action::ExecuteSell) => Side::Sell,
            Some(Action::NoAction) | None => {
                let defined = features.to_row().iter().all(|feature| feature.is_finite());
                let reason = if defined { Refusal::Gated } else { Refusal::UndefinedFeature };
                return refuse(id, Broken { reason, found: 0, limit: 0 }, OrderId::default(), out);
            }
        };
        if let Err(broken) = self.try_enter(id, side, now, out) {
            refuse(id, broken, OrderId::default(), out);
        }
        self.refresh_deadline();
    }

    fn serve_deadline(&mut self, id: InstrumentId, now: Nanos, out: &mut Outbox) {
        let book = &self.books[id.index()];
        match book.phase {
            Phase::Settling(reason) => self.close_trade(id, reason, out),
            Phase::Holding { .. } if self.deadline_of(id) <= now => self.try_exit(id, now, out),
            Phase::Entering(order) | Phase::Exiting(order, _) if self.deadline_of(id) <= now => {
                self.order_overdue(id, order, now, out);
            }
            _ => {}
        }
    }

    /// A LIMIT's time to live ended, or the venue owes an answer.
    fn order_overdue(&mut self, id: InstrumentId, order: book::WorkingOrder, now: Nanos, out: &mut Outbox) {
        if order.state == OrderState::Working && order.time_in_force == crate::core::payload::TimeInForce::Limit {
            return self.send_cancel(id, now, out);
        }
        if !order.state.is_unknown() {
            out.push(
                EventKind::Alert,
                id,
                &alert(AlertCode::AckTimeout, order.id, now.0 as i64, order.deadline.0 as i64),
            );
        }
        let timeout = self.params.acknowledge_timeout;
        if let Some(order) = self.books[id.index()].order_mut() {
            order.state = order.state.unknown(now);
            order.deadline = now.plus(timeout);
        }
        out.push(EventKind::Query, id, &OrderDone { order: order.id, filled: Qty::ZERO });
    }

    fn send_cancel(&mut self, id: InstrumentId, now: Nanos, out: &mut Outbox) {
        let timeout = self.params.acknowledge_timeout;
        let Some(order) = self.books[id.index()].order_mut() else { return };
        order.state = OrderState::Cancelling;
        order.deadline = now.plus(timeout);
        let cancel = OrderDone { order: order.id, filled: Qty::ZERO };
        out.push(EventKind::Cancel, id, &cancel);
        self.refresh_deadline();
    }

    fn deadline_of(&self, id: InstrumentId) -> Nanos {
        let book = &self.books[id.index()];
        match book.phase {
            // While nothing can be sent, nothing is due; the reconnect sets the next deadline.
            Phase::Entering(_) | Phase::Exiting(..) if self.trust == Trust::Lost => Nanos::MAX,
            Phase::Holding { .. } if !self.may_close() || book.position.side().is_none() => Nanos::MAX,
            Phase::Entering(order) | Phase::Exiting(order, _) => order.deadline,
            Phase::Idle | Phase::Settling(_) => Nanos::MAX,
            Phase::Holding { not_before } => {
                let expiry = match book.trade {
                    Some(trade) if self.params.max_hold.0 > 0 => trade.opened.plus(self.params.max_hold),
                    _ => Nanos::MAX,
                };
                if expiry < not_before { not_before } else { expiry }
            }
        }
    }

    fn refresh_deadline(&mut self) {
        let ids = 0..self.books.len() as u16;
        let books = ids.map(|id| self.deadline_of(InstrumentId(id))).min().unwrap_or(Nanos::MAX);
        self.next_deadline = match self.trust {
            Trust::Asked { again, .. } => books.min(again),
            Trust::Doubted { until } => books.min(until),
            Trust::Full => books.min(self.doubt_due()),
            Trust::Lost => books,
        };
    }

    fn next_order_id(&mut self) -> OrderId {
        self.orders_sent = self.orders_sent.checked_add(1).expect("four billion orders in one session");
        OrderId::new(self.session, self.orders_sent)
    }

    fn instrument(&self, id: InstrumentId) -> &Instrument {
        self.instruments.get(id).expect("books and instruments have the same length")
    }
}

/// Records a reason for not trading.
fn refuse(id: InstrumentId, broken: Broken, order: OrderId, out: &mut Outbox) {
    let record = RefusalRecord { reason: Some(broken.reason), found: broken.found, limit: broken.limit, order };
    out.push(EventKind::Refusal, id, &record);
}

fn alert(code: AlertCode, order: OrderId, found: i64, expected: i64) -> AlertRecord {
    AlertRecord { code: Some(code), order, found, expected }
}

//! What the notifier knows of the account, from the journal alone: positions by fills, the day's
//! trades, connections. It turns records into alerts (see [`super::story`]) and answers /status.
//!
//! Nothing here is trusted for trading. Where a number cannot be known it is absent, never guessed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alert::Alert;
use super::render::Letterhead;
use crate::config::Config;
use crate::core::payload::{
    AccountReport, AlertCode, AlertRecord, Control, ControlCode, Decision, Fee, Fill, Link, LinkChannel, LinkState,
    PositionReport, Quote, Signal, Submit, TradeClosed,
};
use crate::core::time::DAY;
use crate::core::{
    Event, EventKind, Instrument, InstrumentId, InstrumentTable, Money, Nanos, OrderId, Payload, Price, Qty, Side, Span,
};
use crate::journal::SessionInfo;
use crate::oms::Position;

/// Orders whose side is remembered; an order lives seconds, so this is hours of them.
const ORDERS: usize = 4096;

/// One instrument as the journal tells it.
#[derive(Default)]
pub(super) struct Holding {
    /// By fills, or as the venue reported it.
    pub(super) position: Position,
    /// Last bid and ask; zero before the first.
    pub(super) quote: (Price, Price),
    /// First fill of what is held.
    pub(super) opened: Nanos,
    /// What made the last signal.
    pub(super) signal: Option<Signal>,
    /// What the gate said to it.
    pub(super) decision: Option<Decision>,
    /// The first half of a closed trade, waiting for its money.
    pub(super) closed: Option<TradeClosed>,
}

/// One order of ours.
pub(super) struct KnownOrder {
    side: Side,
    last_execution: u64,
}

/// The present session.
#[derive(Default)]
pub(super) struct SessionView {
    /// Folder name and a mark that tells it from another of that name.
    pub(super) tag: String,
    pub(super) instruments: InstrumentTable,
    /// Points of stop and target, where the session's configuration can be read.
    pub(super) stops: Option<(i64, i64)>,
    pub(super) holdings: Vec<Holding>,
    pub(super) orders: BTreeMap<OrderId, KnownOrder>,
    /// Balance at the session's start.
    pub(super) start_balance: Money,
    /// Net of the session's closed trades.
    pub(super) net: Money,
    /// The venue's own figure of equity, where it has one.
    pub(super) venue_equity: Option<Money>,
    /// State and time of the market and the order connection.
    pub(super) links: [Option<(LinkState, Nanos, u64)>; 2],
    /// Receive time of the last input and of the last quote.
    pub(super) last_input: Nanos,
    pub(super) last_quote: Nanos,
    /// True while nobody allowed entries again.
    pub(super) entries_stopped: bool,
}

/// One trading day. Saved with the position in the journal, so that a restart neither loses nor doubles a trade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Day {
    /// When it began, UTC nanoseconds; 0 before the first record.
    pub(super) start_ns: u64,
    pub(super) currency: String,
    pub(super) net: Money,
    pub(super) fees: Money,
    pub(super) slippage: Money,
    pub(super) trades: u64,
    pub(super) wins: u64,
    pub(super) best: Money,
    pub(super) worst: Money,
    /// Highest `net` so far, and the largest fall from it.
    pub(super) peak: Money,
    pub(super) drawdown: Money,
    pub(super) signals: u64,
    pub(super) passed: u64,
    pub(super) orders: u64,
    pub(super) rejects: u64,
    pub(super) gaps: u64,
    pub(super) link_losses: u64,
    pub(super) refusals: BTreeMap<String, u64>,
    /// Titles of the gravest alerts, the last ten.
    pub(super) incidents: Vec<String>,
}

/// The account as the journal and the guardian tell it.
pub(super) struct Desk {
    pub(super) head: Letterhead,
    pub(super) session: SessionView,
    pub(super) today: Day,
    pub(super) yesterday: Option<Day>,
    /// Last level the guardian named, with its time.
    pub(super) level: Option<(String, Nanos)>,
    /// True, false, or not known: does anybody hold the session's lock?
    pub(super) engine_alive: Option<bool>,
    day_offset: Span,
    /// Records that were counted before a restart move positions but neither days nor alerts.
    pub(super) counting: bool,
    pub(super) out: Vec<Alert>,
}

impl Desk {
    /// A desk that knows nothing yet; days end at `day_offset` after midnight UTC.
    pub(super) fn new(head: Letterhead, day_offset: Span) -> Self {
        Self {
            head,
            session: SessionView::default(),
            today: Day::default(),
            yesterday: None,
            level: None,
            engine_alive: None,
            day_offset,
            counting: true,
            out: Vec::new(),
        }
    }

    /// Starts anew with another session; the day goes on.
    pub(super) fn open_session(&mut self, tag: &str, info: &SessionInfo) {
        // A table that does not hold is shown as symbols unknown, not refused: this is no engine.
        let instruments = InstrumentTable::new(info.instruments.iter().cloned()).unwrap_or_default();
        // The account's currency: what every profit of the session is paid in.
        if let Some((_, first)) = instruments.iter().next() {
            first.spec().currency.clone_into(&mut self.today.currency);
        }
        // A session without its configuration has unknown stops, not default ones.
        let config = Some(info.config.as_str()).filter(|config| !config.is_empty());
        let stops = config.and_then(|config| Config::parse(config, std::path::Path::new("session.toml")).ok());
        self.session = SessionView {
            tag: tag.to_owned(),
            holdings: (0..instruments.len()).map(|_| Holding::default()).collect(),
            stops: stops.map(|config| (config.oms.stop_loss_points, config.oms.take_profit_points)),
            instruments,
            ..SessionView::default()
        };
    }

    /// The alerts since the last call.
    pub(super) fn take(&mut self) -> Vec<Alert> {
        std::mem::take(&mut self.out)
    }

    /// When the day that holds this instant began.
    pub(super) fn day_start(&self, at: Nanos) -> u64 {
        let offset = self.day_offset.0 % DAY;
        (at.0.saturating_sub(offset)) / DAY * DAY + offset
    }

    /// Ends the day when `at` is in a later one. Returns true when it did.
    pub(super) fn roll(&mut self, at: Nanos) -> bool {
        let start = self.day_start(at);
        if start <= self.today.start_ns {
            return false;
        }
        let first = self.today.start_ns == 0;
        let currency = self.today.currency.clone();
        let ended = std::mem::replace(&mut self.today, Day { start_ns: start, currency, ..Day::default() });
        if first {
            // What was counted before the first instant was known belongs to this day.
            self.today = Day { start_ns: start, ..ended };
            return false;
        }
        self.yesterday = Some(ended);
        true
    }

    /// Something the engine was told.
    pub(super) fn on_input(&mut self, event: &Event) {
        self.session.last_input = self.session.last_input.max(event.local_ns);
        if self.counting && event.kind != EventKind::Quote {
            self.roll(event.local_ns);
        }
        match event.kind {
            EventKind::Quote => {
                let quote = Quote::of(event);
                self.session.last_quote = event.local_ns;
                if let Some(holding) = self.session.holdings.get_mut(event.instrument.index()) {
                    holding.quote = (quote.bid, quote.ask);
                }
            }
            EventKind::Fill => self.on_fill(event),
            EventKind::Fee => self.on_fee(event),
            EventKind::PositionReport => self.on_position_report(event),
            EventKind::AccountReport => {
                let report = AccountReport::of(event);
                self.session.venue_equity = (!report.equity.is_zero()).then_some(report.equity);
            }
            EventKind::Link => self.on_link(event),
            EventKind::Control => self.on_control(event),
            EventKind::OrderRejected if self.counting => self.tell_reject(event),
            EventKind::Gap if self.counting => self.today.gaps += 1,
            _ => {}
        }
    }

    /// Something the engine decided.
    pub(super) fn on_output(&mut self, event: &Event) {
        if self.counting {
            self.roll(event.local_ns);
        }
        let holding = self.session.holdings.get_mut(event.instrument.index());
        match (event.kind, holding) {
            (EventKind::Signal, Some(holding)) => {
                holding.signal = Some(Signal::of(event));
                self.today.signals += u64::from(self.counting);
            }
            (EventKind::Decision, Some(holding)) => {
                let decision = Decision::of(event);
                let passed = !matches!(decision.action, Some(crate::core::payload::Action::NoAction) | None);
                holding.decision = Some(decision);
                self.today.passed += u64::from(self.counting && passed);
            }
            (EventKind::Submit, _) => self.on_submit(event),
            (EventKind::TradeOpened, _) if self.counting => self.tell_opened(event),
            (EventKind::TradeClosed, Some(holding)) => {
                // Flat, says the engine; what a fee in the base asset or a rest below the lot step left is no position.
                holding.position = Position::default();
                holding.closed = Some(TradeClosed::of(event));
            }
            (EventKind::TradeCosts, _) => self.on_costs(event),
            (EventKind::Refusal, _) if self.counting => self.tell_refusal(event),
            (EventKind::Alert, _) => {
                let alert = AlertRecord::of(event);
                if alert.code == Some(AlertCode::PositionMismatch) {
                    self.set_position(event, alert.found, Price::ZERO);
                }
                if self.counting {
                    self.tell_alert(event);
                }
            }
            _ => {}
        }
    }

    fn on_submit(&mut self, event: &Event) {
        let submit = Submit::of(event);
        self.today.orders += u64::from(self.counting);
        let Some(side) = Side::from_flags(event.flags) else { return };
        self.session.orders.insert(submit.order, KnownOrder { side, last_execution: 0 });
        if self.session.orders.len() > ORDERS {
            self.session.orders.pop_first();
        }
    }

    fn on_fill(&mut self, event: &Event) {
        let fill = Fill::of(event);
        let known = self.session.orders.get_mut(&fill.order);
        let holding = self.session.holdings.get_mut(event.instrument.index());
        // The engine alerts executions of orders that it never sent; here they only cannot be booked.
        let (Some(order), Some(holding)) = (known, holding) else { return };
        if fill.execution <= order.last_execution || !fill.qty.is_positive() || !fill.price.is_positive() {
            return;
        }
        order.last_execution = fill.execution;
        if holding.position.side().is_none() {
            holding.opened = event.local_ns;
        }
        // A sum out of range leaves the position as it was; the engine alerts that case.
        let _ = holding.position.apply(order.side, fill.price, fill.qty);
    }

    /// A fee taken of the base asset leaves the position; its worth is in the trade's fees.
    fn on_fee(&mut self, event: &Event) {
        let fee = Fee::of(event);
        let Some(holding) = self.session.holdings.get_mut(event.instrument.index()) else { return };
        let (Some(side), Some(price)) = (holding.position.side(), holding.position.average_price()) else { return };
        let taken = fee.base.min(holding.position.quantity());
        if taken.is_positive() && price.is_positive() {
            // At the average price nothing is earned or lost; out of range it stays as it was.
            let _ = holding.position.apply(side.opposite(), price, taken);
        }
    }

    fn on_position_report(&mut self, event: &Event) {
        let report = PositionReport::of(event);
        self.set_position(event, report.signed_units, report.entry);
    }

    /// The venue is right. Without its entry price, the price to close at is what is known.
    fn set_position(&mut self, event: &Event, signed_units: i64, entry: Price) {
        let Some(holding) = self.session.holdings.get_mut(event.instrument.index()) else { return };
        if holding.position.signed_units() == signed_units {
            return;
        }
        let (side, mark) = if signed_units > 0 { (Side::Buy, holding.quote.0) } else { (Side::Sell, holding.quote.1) };
        let price = if entry.is_positive() { entry } else { mark };
        let quantity = Qty::from_units(signed_units).abs();
        holding.position = Position::default();
        holding.opened = event.local_ns;
        if quantity.is_positive() && price.is_positive() {
            let _ = holding.position.apply(side, price, quantity);
        }
    }

    fn on_link(&mut self, event: &Event) {
        let link = Link::of(event);
        let (Some(channel), Some(state)) = (link.channel, link.state) else { return };
        let slot = match channel {
            LinkChannel::Market => 0,
            LinkChannel::Orders => 1,
        };
        let before = self.session.links[slot].replace((state, event.local_ns, link.connections));
        if self.counting {
            self.tell_link(event, channel, state, before);
        }
    }

    fn on_control(&mut self, event: &Event) {
        let control = Control::of(event);
        match control.code {
            Some(ControlCode::Start) => self.session.start_balance = control.balance,
            Some(ControlCode::StopEntries) => self.session.entries_stopped = true,
            Some(ControlCode::AllowEntries) => self.session.entries_stopped = false,
            _ => {}
        }
        if self.counting {
            self.tell_control(event, &control);
        }
    }

    fn on_costs(&mut self, event: &Event) {
        let costs = crate::core::payload::TradeCosts::of(event);
        let net = costs.gross.checked_sub(costs.fees).unwrap_or(Money::from_units(i64::MIN));
        let add = |sum: Money, amount: Money| sum.checked_add(amount).unwrap_or(sum);
        self.session.net = add(self.session.net, net);
        if !self.counting {
            return;
        }
        let day = &mut self.today;
        day.net = add(day.net, net);
        day.fees = add(day.fees, costs.fees);
        day.slippage = add(day.slippage, costs.slippage);
        day.trades += 1;
        day.wins += u64::from(net.is_positive());
        day.best = day.best.max(net);
        day.worst = day.worst.min(net);
        day.peak = day.peak.max(day.net);
        day.drawdown = day.drawdown.max(day.peak.checked_sub(day.net).unwrap_or(Money::MAX));
        self.tell_closed(event, &costs, net);
    }

    /// The instrument of a record, or `None` for one that the session does not name.
    pub(super) fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.session.instruments.get(id)
    }

    /// Unrealised profit of every open position at the side it could be closed on; `None` where a quote is missing.
    pub(super) fn unrealised(&self) -> Option<Money> {
        let mut sum = Money::ZERO;
        for (id, instrument) in self.session.instruments.iter() {
            let Some(holding) = self.session.holdings.get(id.index()) else { continue };
            if holding.position.side().is_some() {
                sum = sum.checked_add(instrument.value(holding.position.unrealised(holding.mark()?)?)?)?;
            }
        }
        Some(sum)
    }

    /// Instruments with an open position.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Instrument, &Holding)> {
        let held = |(id, instrument): (InstrumentId, _)| Some((instrument, self.session.holdings.get(id.index())?));
        self.session.instruments.iter().filter_map(held).filter(|(_, holding)| holding.position.side().is_some())
    }
}

impl Holding {
    /// The price to close at; `None` when flat, and before the first quote.
    pub(super) fn mark(&self) -> Option<Price> {
        let price = match self.position.side()? {
            Side::Buy => self.quote.0,
            Side::Sell => self.quote.1,
        };
        price.is_positive().then_some(price)
    }
}

//! The order manager with a hand on every wire: what it is told, and what it answers.

#![allow(dead_code, reason = "each test file uses its part")]

use pawl::core::payload::{
    Action, Control, ControlCode, Decision, Fill, OrderDone, Quote, Refusal, RefusalRecord, Submit,
};
use pawl::core::{
    ContractKind, Event, EventKind, InstrumentId, InstrumentSpec, InstrumentTable, Money, Nanos, OrderId, Payload, Qty,
    Side, Span,
};
use pawl::oms::{Oms, OmsParams, Outbox};
use pawl::quant::{Features, MarketView, RawSignal};

pub(crate) const ID: InstrumentId = InstrumentId(0);
const T0: u64 = 1_700_000_000_000_000_000;

pub(crate) fn table(contract: ContractKind) -> InstrumentTable {
    InstrumentTable::new([InstrumentSpec {
        symbol: "EURUSD".into(),
        tick_size: "0.00001".parse().unwrap(),
        lot_step: "0.01".parse().unwrap(),
        min_lot: "0.01".parse().unwrap(),
        max_lot: Qty::whole(5),
        point_size: "0.00001".parse().unwrap(),
        point_value: if contract == ContractKind::Spot { Money::from_units(1_000) } else { Money::whole(1) },
        currency: "USD".into(),
        contract,
    }])
    .unwrap()
}

/// The order manager with a hand on every wire.
pub(crate) struct Desk {
    pub(crate) oms: Oms,
    out: Outbox,
    pub(crate) now: Nanos,
    sequence: u64,
    pub(crate) quote: Quote,
}

impl Desk {
    pub(crate) fn new(params: &OmsParams) -> Self {
        Self::trading(params, ContractKind::Linear)
    }

    pub(crate) fn trading(params: &OmsParams, contract: ContractKind) -> Self {
        let mut desk = Self {
            oms: Oms::new(params, &table(contract), 1).unwrap(),
            out: Outbox::new(),
            now: Nanos(T0),
            sequence: 0,
            quote: Quote::default(),
        };
        desk.control(ControlCode::Start, Money::whole(10_000));
        desk
    }

    pub(crate) fn event(&mut self, kind: EventKind, payload: &impl Payload) -> Event {
        self.sequence += 1;
        let mut event = payload.event(kind, ID, self.now, self.now);
        event.sequence = self.sequence;
        self.out.begin(&event);
        event
    }

    pub(crate) fn control(&mut self, code: ControlCode, balance: Money) -> Vec<Event> {
        let event = self.event(EventKind::Control, &Control { code: Some(code), balance });
        self.oms.on_control(&event, &mut self.out);
        self.out.events().to_vec()
    }

    pub(crate) fn quote(&mut self, bid: &str, ask: &str, z_score: f64) -> Vec<Event> {
        self.signal(bid, ask, z_score, None)
    }

    /// A quote, with an approved signal on it.
    pub(crate) fn signal(&mut self, bid: &str, ask: &str, z_score: f64, side: Option<Side>) -> Vec<Event> {
        let (bid, ask) = (bid.parse().unwrap(), ask.parse().unwrap());
        self.quote = Quote { bid, ask, bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
        let event = self.event(EventKind::Quote, &{ self.quote });
        let decision = side.map(|side| approved(side, z_score));
        let signal = decision.map(|(signal, _)| signal);
        self.oms.on_market(&event, &MarketView { z_score, signal }, decision, &mut self.out);
        self.out.events().to_vec()
    }

    pub(crate) fn report(&mut self, kind: EventKind, payload: &impl Payload) -> Vec<Event> {
        let event = self.event(kind, payload);
        self.oms.on_execution(&event, &mut self.out);
        self.out.events().to_vec()
    }

    /// The same, flagged.
    pub(crate) fn report_flagged(
        &mut self,
        kind: EventKind,
        flags: pawl::core::Flags,
        payload: &impl Payload,
    ) -> Vec<Event> {
        let event = self.event(kind, payload).flagged(flags);
        self.oms.on_execution(&event, &mut self.out);
        self.out.events().to_vec()
    }

    /// A report of the venue that is no execution.
    pub(crate) fn venue(&mut self, kind: EventKind, payload: &impl Payload) -> Vec<Event> {
        let event = self.event(kind, payload);
        self.oms.on_venue(&event, &mut self.out);
        self.out.events().to_vec()
    }

    /// The same, about one side.
    pub(crate) fn venue_sided(&mut self, kind: EventKind, side: Side, payload: &impl Payload) -> Vec<Event> {
        let event = self.event(kind, payload).flagged(side.flag());
        self.oms.on_venue(&event, &mut self.out);
        self.out.events().to_vec()
    }

    pub(crate) fn wait(&mut self, span: Span) -> Vec<Event> {
        self.now = self.now.plus(span);
        let event = self.event(EventKind::Timer, &OrderDone { order: OrderId(0), filled: Qty::ZERO });
        self.oms.on_timer(event.local_ns, &mut self.out);
        self.out.events().to_vec()
    }
}

pub(crate) fn approved(side: Side, z_score: f64) -> (RawSignal, Decision) {
    let features =
        Features { log_return: 0.0, volatility: 1e-4, z_score, adx: 10.0, rsi: 50.0, time_sin: 0.0, volume_delta: 0.0 };
    let action = if side == Side::Buy { Action::ExecuteBuy } else { Action::ExecuteSell };
    (RawSignal { side, features }, Decision { probability: 0.9, margin: 2.2, threshold: 0.85, action: Some(action) })
}

pub(crate) fn submits(events: &[Event]) -> Vec<Submit> {
    events.iter().filter(|e| e.kind == EventKind::Submit).map(Submit::of).collect()
}

pub(crate) fn refusals(events: &[Event]) -> Vec<Refusal> {
    events.iter().filter(|e| e.kind == EventKind::Refusal).filter_map(|e| RefusalRecord::of(e).reason).collect()
}

pub(crate) fn fill(order: OrderId, execution: u64, price: &str, qty: Qty) -> Fill {
    Fill { order, execution, price: price.parse().unwrap(), qty }
}

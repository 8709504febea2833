//! Keeps the way to an order warm. Orders are rare: between two of them their code and tables leave the caches, and
//! the next one pays for fetching them (measured: two thirds of its time). So while there is nothing to do, an order is
//! made up from the market as it is now: the model is asked as if a signal were raised, an order manager of its own
//! enters, is filled and closes. Nothing of it is journalled, sent or remembered by the engine. It always buys: on spot
//! nothing can be sold first, and both sides are one code.

use super::{EngineError, EngineParams};
use crate::core::payload::{Action, Control, ControlCode, Fee, Fill, Quote, Submit};
use crate::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload, Qty, Side, Span};
use crate::feed::Feed;
use crate::oms::{Oms, OmsParams, Outbox};
use crate::oracle::Oracle;
use crate::quant::{MarketView, Quant, RawSignal};

/// Rounds after which its order manager begins anew: it may rehearse for weeks, and numbers and times must not run out.
const LIFE: u32 = 1024;
/// Between two made-up ticks.
const TICK: Span = Span::millis(1);
/// Between two made-up events, so that no limit on orders in a time is met.
const APART: Span = Span::seconds(60);

/// An order manager that nobody listens to.
pub(super) struct Rehearsal {
    feed: Feed,
    quant: Quant,
    oms: Oms,
    out: Outbox,
    /// Time of the last tick, which goes on from life to life.
    tick: Nanos,
    now: Nanos,
    instruments: usize,
    turn: usize,
    rounds: u32,
}

impl Rehearsal {
    /// With the session's parameters, except that no guardian is wanted: there is nothing to guard.
    pub(super) fn new(params: &EngineParams, instruments: &InstrumentTable) -> Result<Self, EngineError> {
        let unguarded = OmsParams { guardian_required: false, ..params.oms.clone() };
        let mut rehearsal = Self {
            feed: Feed::new(&params.feed, 1),
            quant: Quant::new(&params.quant, 1)?,
            oms: Oms::new(&unguarded, instruments, 0)?,
            out: Outbox::new(),
            tick: Nanos(APART.0),
            now: Nanos::NONE,
            instruments: instruments.len(),
            turn: 0,
            rounds: 0,
        };
        rehearsal.begin_anew();
        Ok(rehearsal)
    }

    /// Flat, with money, at the beginning of time.
    fn begin_anew(&mut self) {
        (self.now, self.rounds) = (Nanos(APART.0), 0);
        self.oms.begin_anew();
        let start = Control { code: Some(ControlCode::Start), balance: Money::whole(1_000_000) };
        let start = start.event(EventKind::Control, InstrumentId(0), Nanos::NONE, self.now);
        self.out.begin(&start);
        self.oms.on_control(&start, &mut self.out);
    }

    /// The instrument whose turn it is.
    pub(super) fn next_instrument(&mut self) -> InstrumentId {
        self.turn = (self.turn + 1) % self.instruments.max(1);
        InstrumentId(self.turn as u16)
    }

    /// In and out again at this quote. `bytes` is told each order; returns how many there were.
    pub(super) fn round(
        &mut self,
        id: InstrumentId,
        quote: &Quote,
        signal: RawSignal,
        oracle: &Oracle,
        mut bytes: impl FnMut(&Event),
    ) -> usize {
        if self.rounds == LIFE {
            self.begin_anew();
        }
        self.rounds += 1;
        self.tick(quote);
        let signal = RawSignal { side: Side::Buy, ..signal };
        let mut decision = std::hint::black_box(oracle.decide(&signal));
        decision.action = Some(Action::ExecuteBuy);
        let mut orders = 0;
        for (z_score, decision) in [(signal.features.z_score, Some((signal, decision))), (0.0, None)] {
            self.now = self.now.plus(APART);
            let event = quote.event(EventKind::Quote, id, self.now, self.now);
            self.out.begin(&event);
            self.oms.on_market(&event, &MarketView { z_score, signal: None }, decision, &mut self.out);
            let submit = self.out.events().iter().find(|event| event.kind == EventKind::Submit).copied();
            let Some(submit) = submit else { continue };
            bytes(&submit);
            self.fill(&submit, quote);
            orders += 1;
        }
        orders
    }

    /// A quote goes through a feed and features of its own.
    fn tick(&mut self, quote: &Quote) {
        self.tick = self.tick.plus(TICK);
        let event = quote.event(EventKind::Quote, InstrumentId(0), self.tick, self.tick);
        if let Some(clean) = self.feed.on_event(&event) {
            std::hint::black_box(self.quant.on_event(&clean));
        }
    }

    /// It fills whole and for nothing, in and out at the same price: the balance stays.
    fn fill(&mut self, submit: &Event, quote: &Quote) {
        let (id, Submit { order, qty, .. }) = (submit.instrument, Submit::of(submit));
        let fill = Fill { order, execution: order.0, price: quote.bid, qty };
        let fee = Fee { order, execution: order.0, amount: Money::ZERO, base: Qty::ZERO };
        for execution in
            [fill.event(EventKind::Fill, id, self.now, self.now), fee.event(EventKind::Fee, id, self.now, self.now)]
        {
            self.out.begin(&execution);
            self.oms.on_execution(&execution, &mut self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{ContractKind, InstrumentSpec};
    use crate::quant::Features;
    use crate::venue::paper::synthetic::specs;

    /// A hundred lives long, on each kind of contract, with features on both sides of the mean.
    #[test]
    fn every_round_goes_in_and_out_however_often_and_its_numbers_do_not_run_out() {
        for contract in [ContractKind::Linear, ContractKind::Spot] {
            // A lot of one unit, as spot wants it.
            let unit = |spec: InstrumentSpec| InstrumentSpec {
                contract,
                point_value: Money::from_units(spec.point_size.units()),
                ..spec
            };
            let table = InstrumentTable::new(specs(1).into_iter().map(unit)).unwrap();
            let mut rehearsal = Rehearsal::new(&EngineParams::default(), &table).unwrap();
            let balance = rehearsal.oms.balance();
            let quote = Quote {
                bid: "1.08500".parse().unwrap(),
                ask: "1.08501".parse().unwrap(),
                bid_qty: Qty::whole(5),
                ask_qty: Qty::whole(5),
            };
            let (rounds, mut highest) = (100 * LIFE + LIFE / 2, 0);
            for round in 0..rounds {
                let side = if round % 2 == 0 { Side::Buy } else { Side::Sell };
                let features = Features {
                    log_return: 0.0,
                    volatility: 1e-4,
                    z_score: if side == Side::Buy { -2.5 } else { 2.5 },
                    adx: 12.0,
                    rsi: 40.0,
                    time_sin: 0.5,
                    volume_delta: 3.0,
                };
                let mut told = 0;
                let id = rehearsal.next_instrument();
                let orders = rehearsal.round(id, &quote, RawSignal { side, features }, &Oracle::open(), |order| {
                    told += 1;
                    highest = highest.max(Submit::of(order).order.0);
                });
                assert_eq!((orders, told), (2, 2), "{contract:?}, round {round}");
            }
            assert_eq!(highest, u64::from(2 * LIFE), "{contract:?}: two orders a round, and anew after each life");
            assert_eq!((rehearsal.oms.balance(), rehearsal.oms.open_lots()), (balance, Qty::ZERO));
            assert!(!rehearsal.oms.has_orders());
        }
    }
}

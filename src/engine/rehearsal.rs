//! Keeps the way to an order warm. Orders are rare: between two of them their code and tables leave the caches, and
//! the next one pays for fetching them (measured: two thirds of its time). So while there is nothing to do, an order is
//! made up from the market as it is now: the model is asked as if a signal were raised, an order manager of its own
//! enters, is filled and closes. Nothing of it is journalled, sent or remembered by the engine.

use crate::core::payload::{Action, Control, ControlCode, Fee, Fill, Quote, Submit};
use crate::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload, Qty, Side, Span};
use crate::oms::{Oms, OmsParams, OmsParamsError, Outbox};
use crate::oracle::Oracle;
use crate::quant::{MarketView, RawSignal};

/// Between two made-up events, so that no limit on orders in a time is met.
const APART: Span = Span::seconds(60);

/// An order manager that nobody listens to.
pub(super) struct Rehearsal {
    oms: Oms,
    out: Outbox,
    now: Nanos,
    instruments: usize,
    turn: usize,
}

impl Rehearsal {
    /// With the session's parameters, except that no guardian is wanted: there is nothing to guard.
    pub(super) fn new(params: &OmsParams, instruments: &InstrumentTable) -> Result<Self, OmsParamsError> {
        let params = OmsParams { guardian_required: false, ..params.clone() };
        let mut rehearsal = Self {
            oms: Oms::new(&params, instruments, 0)?,
            out: Outbox::new(),
            now: Nanos(APART.0),
            instruments: instruments.len(),
            turn: 0,
        };
        let start = Control { code: Some(ControlCode::Start), balance: Money::whole(1_000_000) };
        let start = start.event(EventKind::Control, InstrumentId(0), Nanos::NONE, rehearsal.now);
        rehearsal.out.begin(&start);
        rehearsal.oms.on_control(&start, &mut rehearsal.out);
        Ok(rehearsal)
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
        let mut decision = std::hint::black_box(oracle.decide(&signal));
        let execute = if signal.side == Side::Buy { Action::ExecuteBuy } else { Action::ExecuteSell };
        decision.action = Some(execute);
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

    fn table() -> InstrumentTable {
        InstrumentTable::new([InstrumentSpec {
            symbol: "BTCUSDT".into(),
            tick_size: "0.01".parse().unwrap(),
            lot_step: "0.00001".parse().unwrap(),
            min_lot: "0.00001".parse().unwrap(),
            max_lot: Qty::whole(9000),
            point_size: "0.01".parse().unwrap(),
            point_value: Money::from_units(1_000_000),
            currency: "USDT".into(),
            contract: ContractKind::Linear,
        }])
        .unwrap()
    }

    #[test]
    fn every_round_goes_in_and_out_however_often() {
        let mut rehearsal = Rehearsal::new(&OmsParams::default(), &table()).unwrap();
        let quote = Quote {
            bid: "61837.63".parse().unwrap(),
            ask: "61837.64".parse().unwrap(),
            bid_qty: Qty::whole(5),
            ask_qty: Qty::whole(5),
        };
        let balance = rehearsal.oms.balance();
        for round in 0..100_000 {
            let side = if round % 2 == 0 { Side::Buy } else { Side::Sell };
            let z_score = if side == Side::Buy { -2.5 } else { 2.5 };
            let features = Features {
                log_return: 0.0,
                volatility: 1e-4,
                z_score,
                adx: 12.0,
                rsi: 40.0,
                time_sin: 0.5,
                volume_delta: 3.0,
            };
            let mut told = 0;
            let id = rehearsal.next_instrument();
            let orders = rehearsal.round(id, &quote, RawSignal { side, features }, &Oracle::open(), |_| told += 1);
            assert_eq!((orders, told), (2, 2), "round {round}");
        }
        assert_eq!((rehearsal.oms.balance(), rehearsal.oms.open_lots()), (balance, Qty::ZERO));
        assert!(!rehearsal.oms.has_orders());
    }
}

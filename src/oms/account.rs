//! The account and the trade ledger: balance, fees, and what each closed trade earned.

use crate::core::fetch::fetch;
use crate::core::payload::{AlertCode, ExitReason, Fill, TradeClosed, TradeCosts, TradeOpened};
use crate::core::{EventKind, InstrumentId, Money, Nanos, Price, Qty, Side};

use super::book::{OpenTrade, Phase, WorkingOrder};
use super::{Oms, Outbox, alert};

/// Cash of one session: start balance, realised profit by instrument, fees.
#[derive(Debug)]
pub(super) struct Account {
    start: Money,
    fees: Money,
    realised: Vec<Money>,
}

impl Account {
    pub(super) fn new(instruments: usize) -> Self {
        Self { start: Money::ZERO, fees: Money::ZERO, realised: vec![Money::ZERO; instruments] }
    }

    /// As it was after [`Account::new`].
    pub(super) fn begin_anew(&mut self) {
        let Self { start, fees, realised } = self;
        (*start, *fees) = (Money::ZERO, Money::ZERO);
        realised.fill(Money::ZERO);
    }

    /// Asks for its memory.
    pub(super) fn fetch(&self) {
        fetch::<[Money]>(&self.realised);
    }

    pub(super) fn start(&mut self, balance: Money) {
        self.start = balance;
    }

    /// Start plus realised minus fees. A sum that leaves its range reads as the worst balance.
    pub(super) fn balance(&self) -> Money {
        let after_fees = self.start.checked_sub(self.fees);
        let sum = self.realised.iter().try_fold(after_fees, |sum, profit| Some(sum?.checked_add(*profit)));
        sum.flatten().unwrap_or(Money::from_units(i64::MIN))
    }

    /// Books a fee; `None`, with nothing changed, when the sum leaves its range.
    pub(super) fn charge(&mut self, amount: Money) -> Option<()> {
        self.fees = self.fees.checked_add(amount)?;
        Some(())
    }

    /// The venue's cash is right: what does not add up to it is taken as start balance.
    pub(super) fn adopt(&mut self, cash: Money) {
        let difference = cash.checked_sub(self.balance());
        self.start = difference.and_then(|difference| self.start.checked_add(difference)).unwrap_or(cash);
    }

    fn set_realised(&mut self, id: InstrumentId, profit: Money) {
        self.realised[id.index()] = profit;
    }
}

impl Oms {
    /// Keeps the ledger of the trade that a booked fill belongs to.
    #[expect(clippy::too_many_arguments, reason = "one fill in its full context")]
    pub(super) fn account_for_fill(
        &mut self,
        id: InstrumentId,
        side: Side,
        fill: &Fill,
        order: Option<&WorkingOrder>,
        held_before: i64,
        now: Nanos,
        out: &mut Outbox,
    ) {
        if !self.sync_realised(id) {
            out.push(EventKind::Alert, id, &alert(AlertCode::AccountOverflow, fill.order, fill.qty.units(), 0));
        }
        let instrument = self.instruments.get(id).expect("books and instruments have the same length");
        let book = &mut self.books[id.index()];
        if held_before == 0 || book.trade.is_none() {
            // A position opened by a fill starts a trade; levels are set from the average below.
            let trade = OpenTrade {
                side,
                opened: now,
                realised_before: book.position.realised(),
                fees: Money::ZERO,
                slippage: 0,
                entry_value: 0,
                entry_quantity: 0,
                exit_value: 0,
                exit_quantity: 0,
                stop: Price::ZERO,
                target: None,
            };
            book.trade = Some(trade);
            let opened = TradeOpened {
                intent: order.map_or(0, |order| order.intent),
                price: fill.price,
                qty: fill.qty,
                bid_plus_ask: order.map_or(0, |order| order.bid_plus_ask),
            };
            out.push_sided(EventKind::TradeOpened, id, side, &opened);
        }
        let average = book.position.average_price();
        let Some(trade) = &mut book.trade else { return };
        let value = i128::from(fill.price.units()) * i128::from(fill.qty.units());
        if side == trade.side {
            trade.entry_value = trade.entry_value.saturating_add(value);
            trade.entry_quantity = trade.entry_quantity.saturating_add(fill.qty.units());
        } else {
            trade.exit_value = trade.exit_value.saturating_add(value);
            trade.exit_quantity = trade.exit_quantity.saturating_add(fill.qty.units());
        }
        if let Some(order) = order {
            let worse = i128::from(fill.price.units() - order.reference.units()) * i128::from(side.sign());
            trade.slippage = trade.slippage.saturating_add(worse * i128::from(fill.qty.units()));
        }
        if let Some(average) = average {
            let away = |points: i64| instrument.points(points).unwrap_or(Price::MAX);
            let shift = |distance: Price, sign: i64| {
                Price::from_units(average.units().saturating_add(distance.units().saturating_mul(sign)))
            };
            trade.stop = shift(away(self.params.stop_loss_points), -trade.side.sign());
            trade.target = (self.params.take_profit_points > 0)
                .then(|| shift(away(self.params.take_profit_points), trade.side.sign()));
        }
    }

    /// The account's realised profit follows the position's. False, and no entry from here on, when
    /// the sum leaves the range of money.
    pub(super) fn sync_realised(&mut self, id: InstrumentId) -> bool {
        let instrument = self.instruments.get(id).expect("books and instruments have the same length");
        let Some(profit) = instrument.value(self.books[id.index()].position.realised()) else {
            self.books_broken = true;
            return false;
        };
        self.account.set_realised(id, profit);
        true
    }

    /// The trade is flat and its fees are in: report it and free the instrument.
    pub(super) fn close_trade(&mut self, id: InstrumentId, reason: ExitReason, out: &mut Outbox) {
        let instrument = self.instruments.get(id).expect("books and instruments have the same length");
        let book = &mut self.books[id.index()];
        debug_assert!(book.position.side().is_none(), "only a flat position is settled");
        book.phase = Phase::Idle;
        let Some(trade) = book.trade.take() else { return };
        let average = |value: i128, quantity: i64| {
            let price = value.checked_div(i128::from(quantity)).and_then(|price| i64::try_from(price).ok());
            price.map_or(Price::ZERO, Price::from_units)
        };
        let money = |value: i128| instrument.value(value).unwrap_or(Money::ZERO);
        let closed = TradeClosed {
            opened: trade.opened,
            entry: average(trade.entry_value, trade.entry_quantity),
            exit: average(trade.exit_value, trade.exit_quantity),
            qty: Qty::from_units(trade.entry_quantity),
        };
        let costs = TradeCosts {
            gross: money(book.position.realised() - trade.realised_before),
            fees: trade.fees,
            reason: Some(reason),
            slippage: money(trade.slippage),
        };
        out.push_sided(EventKind::TradeClosed, id, trade.side, &closed);
        out.push_sided(EventKind::TradeCosts, id, trade.side, &costs);
    }
}

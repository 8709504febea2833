//! Frames of the WebSocket API to events: answers by what was asked, events by their kind, both
//! through the same few functions, because they race each other and say the same.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::endpoints::Market;
use super::super::errors;
use super::super::message::time;
use super::super::rest::{OrderStatus, RestError};
use super::asks::{Ask, HttpQuestion, Pending, TradesFor};
use super::fees::{self, Execution as FeeExecution};
use super::ids::parse_client_id;
use super::replies::{
    AccountPosition, AccountUpdate, BalanceUpdate, Envelope, ErrorBody, EventHead, Execution, OrderReply,
    OrderTradeUpdate, PositionReply, TimeReply, TradeReply,
};
use super::{OrderProtocol, Phase, Round};
use crate::core::payload::{Fill, OpenOrderReport, OrderAck, OrderDone, OrderReject, Reconciled};
use crate::core::{Event, EventKind, Flags, InstrumentId, Nanos, OrderId, Payload, Price, Qty};

/// An order as an answer or an event shows it.
struct Report {
    order: OrderId,
    instrument: InstrumentId,
    venue_order: u64,
    status: OrderStatus,
    executed: Qty,
    venue: Nanos,
}

/// One execution as an answer or an event shows it.
struct Trade<'a> {
    number: u64,
    price: Price,
    qty: Qty,
    commission: Qty,
    asset: &'a str,
    venue: Nanos,
}

impl OrderProtocol {
    /// One text frame of the WebSocket API, or of futures' private stream, complete at `at`.
    pub fn on_text(&mut self, frame: &[u8], at: Nanos, emit: &mut impl FnMut(Event)) {
        self.counters.frames += 1;
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(frame) else { return self.bad_frame() };
        if let Some(event) = envelope.event {
            return self.on_event(event.get().as_bytes(), at, emit);
        }
        if envelope.bare.is_some() {
            return self.on_event(frame, at, emit);
        }
        let status = envelope.status.unwrap_or(0);
        let Some(id) = envelope.id.0 else {
            // Nobody's answer: the session was ended, or a request could not be read.
            if envelope.error.as_ref().is_some_and(|error| errors::KEY_REFUSED.contains(&error.code)) {
                self.restart = true;
            }
            return;
        };
        let Some(pending) = self.answered(id) else { return };
        if pending.ask.is_session() {
            // Whatever it says: who answers lives.
            self.unanswered_since = Nanos::MAX;
        }
        match (envelope.error, envelope.result) {
            (Some(error), _) => self.on_error(pending, status, &error, at, emit),
            (None, Some(result)) if (200..300).contains(&status) => {
                if self.on_result(pending, result, at, emit).is_none() {
                    self.bad_frame();
                }
            }
            (None, _) => {
                let error = ErrorBody { code: 0, msg: "".into(), data: None };
                self.on_error(pending, status, &error, at, emit);
            }
        }
    }

    /// The answer to a question that was put over HTTP.
    pub fn on_http(
        &mut self,
        question: &HttpQuestion,
        answer: &Result<Box<RawValue>, RestError>,
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) {
        let Some(pending) = self.answered(question.id) else { return };
        match answer {
            Ok(result) => {
                if self.on_result(pending, result, at, emit).is_none() {
                    self.bad_frame();
                }
            }
            // The venue counts by address: nothing is asked over the WebSocket API either.
            Err(RestError::Limited { retry_after, .. }) => self.silence(at.plus(*retry_after)),
            Err(error) => {
                let (status, code) = (400, error.code().unwrap_or(0));
                let error = ErrorBody { code, msg: "".into(), data: None };
                self.on_error(pending, status, &error, at, emit);
            }
        }
    }

    #[cold]
    pub(super) fn bad_frame(&mut self) {
        self.counters.bad_frames += 1;
    }

    /// `None` when the result is not what was asked for.
    fn on_result(
        &mut self,
        pending: Pending,
        result: &RawValue,
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) -> Option<()> {
        match pending.ask {
            Ask::Nothing | Ask::ListenKeyAlive => {}
            Ask::Logon => {
                let next = self.subscription();
                self.queue.push(next);
            }
            Ask::Subscribe => self.ready(at, emit),
            Ask::ListenKey => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Key {
                    listen_key: String,
                }
                self.listen_key = Some(read::<Key>(result)?.listen_key);
                self.phase = Phase::Private;
            }
            Ask::Time => {
                self.log_on();
                let server = time(read::<TimeReply>(result)?.server_time);
                self.clock.sample(pending.sent, at, server);
            }
            Ask::Place { order, instrument } => {
                let reply: OrderReply<'_> = read(result)?;
                self.on_placed(order, instrument, &reply, at, emit);
            }
            Ask::Cancel { order, instrument } => {
                let reply: OrderReply<'_> = read(result)?;
                self.report(&report_of(order, instrument, &reply), at, emit);
            }
            Ask::Status { order, instrument } => {
                let reply: OrderReply<'_> = read(result)?;
                let report = report_of(order, instrument, &reply);
                if let Some(record) = self.tracker.get(order) {
                    record.venue_order = report.venue_order;
                }
                if report.executed.is_positive() {
                    let reason = TradesFor::Query(report.status, report.executed);
                    let venue_order = report.venue_order;
                    self.queue.push(Ask::Trades { order, instrument, venue_order, reason });
                } else {
                    self.tell_status(&report, at, emit);
                }
            }
            Ask::Trades { order, instrument, reason, .. } => {
                let trades: Vec<TradeReply<'_>> = read(result)?;
                self.on_trades(order, instrument, reason, &trades, at, emit);
            }
            Ask::OpenOrders { round, .. } => {
                let orders: Vec<OrderReply<'_>> = read(result)?;
                self.on_open_orders(round, &orders, at, emit);
            }
            Ask::Account { round } => {
                self.on_account(round, result, at, emit)?;
                self.part_done(round, at, emit);
            }
            Ask::Positions { round } => {
                let positions: Vec<PositionReply<'_>> = read(result)?;
                self.on_positions(round, &positions, at, emit)?;
                self.part_done(round, at, emit);
            }
        }
        Some(())
    }

    fn on_event(&mut self, event: &[u8], at: Nanos, emit: &mut impl FnMut(Event)) {
        let Ok(EventHead { e: kind }) = serde_json::from_slice(event) else { return self.bad_frame() };
        let read = match &*kind {
            "executionReport" => serde_json::from_slice(event).map(|execution| self.on_execution(&execution, at, emit)),
            "ORDER_TRADE_UPDATE" => {
                serde_json::from_slice(event).map(|update: OrderTradeUpdate<'_>| self.on_execution(&update.o, at, emit))
            }
            "outboundAccountPosition" => serde_json::from_slice(event).map(|change: AccountPosition<'_>| {
                self.balances(0, &change.balances, time(change.time), at, emit);
            }),
            "ACCOUNT_UPDATE" => serde_json::from_slice(event).map(|update: AccountUpdate<'_>| {
                self.on_account_update(&update, at, emit);
            }),
            // A deposit or transfer, told as a difference: the whole is asked for.
            "balanceUpdate" => serde_json::from_slice(event).map(|update: BalanceUpdate<'_>| {
                self.on_moved(&update, at, emit);
                self.queue.push(Ask::Account { round: 0 });
            }),
            "externalLockUpdate" => {
                self.queue.push(Ask::Account { round: 0 });
                Ok(())
            }
            "eventStreamTerminated" | "listenKeyExpired" => {
                self.restart = true;
                Ok(())
            }
            "serverShutdown" => {
                self.replace = true;
                Ok(())
            }
            _ => Ok(()),
        };
        if read.is_err() {
            self.bad_frame();
        }
    }

    fn on_execution(&mut self, execution: &Execution<'_>, at: Nanos, emit: &mut impl FnMut(Event)) {
        let Some(instrument) = self.symbols.find(execution.s.as_bytes()) else { return };
        let (order, venue) = (parse_client_id(execution.name()), time(execution.time));
        let report = Report {
            order,
            instrument,
            venue_order: execution.order_id,
            status: OrderStatus::from_word(&execution.status),
            executed: execution.filled,
            venue,
        };
        self.counters.foreign_orders += u64::from(order == OrderId::default());
        if let ("TRADE", Ok(number)) = (&*execution.kind, u64::try_from(execution.trade_id)) {
            let asset = execution.commission_asset.as_deref().unwrap_or_default();
            let (price, qty) = (execution.last_price, execution.last_qty);
            let commission = execution.commission.unwrap_or_default();
            self.acknowledge(&report, at, emit);
            let trade = Trade { number, price, qty, commission, asset, venue };
            self.trade(order, instrument, &trade, false, at, emit);
        }
        if report.status == OrderStatus::Rejected {
            let reason = execution.reject_reason.as_deref().unwrap_or_default();
            let reject = OrderReject { order, code: Some(errors::reject_reason(reason)), price: Price::ZERO };
            return emit(reject.event(EventKind::OrderRejected, instrument, venue, at));
        }
        self.report(&report, at, emit);
    }

    fn on_placed(
        &mut self,
        order: OrderId,
        instrument: InstrumentId,
        reply: &OrderReply<'_>,
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) {
        let report = report_of(order, instrument, reply);
        self.acknowledge(&report, at, emit);
        for fill in &reply.fills {
            let trade = Trade {
                number: fill.trade_id,
                price: fill.price,
                qty: fill.qty,
                commission: fill.commission,
                asset: &fill.commission_asset,
                venue: report.venue,
            };
            self.trade(order, instrument, &trade, false, at, emit);
        }
        self.report(&report, at, emit);
    }

    /// Tells an order's acknowledgement, once.
    fn acknowledge(&mut self, report: &Report, at: Nanos, emit: &mut impl FnMut(Event)) {
        let Some(record) = self.tracker.get(report.order) else { return };
        record.venue_order = report.venue_order;
        if !std::mem::replace(&mut record.accepted, true) {
            let ack = OrderAck { order: report.order, venue_order: report.venue_order };
            emit(ack.event(EventKind::OrderAccepted, report.instrument, report.venue, at));
        }
    }

    /// How an order of ours stands: its acknowledgement, and its end if it has come and all its
    /// executions are told.
    fn report(&mut self, report: &Report, at: Nanos, emit: &mut impl FnMut(Event)) {
        if report.order == OrderId::default() || report.status == OrderStatus::Rejected {
            return;
        }
        self.acknowledge(report, at, emit);
        let Report { order, instrument, venue_order, .. } = *report;
        let missing = match self.tracker.get(order) {
            Some(record) if report.status.is_done() && report.executed > record.filled => {
                record.ended = Some((report.status, report.executed));
                true
            }
            _ => false,
        };
        if missing && self.params.market == Market::UsdMFutures {
            // Their answers never hold executions: the stream brings them in a moment, and the end is
            // told with the last. Should it not, the order manager asks.
        } else if missing {
            self.queue.push(Ask::Trades { order, instrument, venue_order, reason: TradesFor::Missing });
        } else {
            tell_end(report, at, emit);
        }
    }

    /// Tells one execution and its cost, unless it was told before and this is no `repeat`.
    fn trade(
        &mut self,
        order: OrderId,
        instrument: InstrumentId,
        trade: &Trade<'_>,
        repeat: bool,
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) {
        let first = self.tracker.first_time(instrument, trade.number);
        let mut end = None;
        if first {
            if let Some(record) = self.tracker.get(order) {
                record.filled = record.filled.checked_add(trade.qty).unwrap_or(Qty::MAX);
                if record.ended.is_some_and(|(_, executed)| executed <= record.filled) {
                    end = record.ended.take();
                }
            }
        } else {
            self.counters.repeated_fills += 1;
            if !repeat {
                return;
            }
        }
        let Some(symbol) = self.symbols.get(instrument) else { return };
        let Trade { number, price, qty, commission, asset, venue } = *trade;
        let fill = Fill { order, execution: number, price, qty };
        emit(fill.event(EventKind::Fill, instrument, venue, at));
        let mark = self.marks.iter().find(|(known, _)| known == asset).map(|(_, price)| *price);
        let execution = FeeExecution { order, number, price, qty };
        let found = fees::fee(symbol, execution, (commission, asset), mark, self.params.fallback_fee);
        self.counters.estimated_fees += u64::from(first && found.estimated);
        let flags = if found.other_asset { Flags::OTHER_ASSET } else { Flags::NONE };
        emit(found.fee.event(EventKind::Fee, instrument, venue, at).flagged(flags));
        if let Some((status, executed)) = end {
            tell_end(&Report { order, instrument, venue_order: 0, status, executed, venue }, at, emit);
        }
    }

    /// The answer to a question about an order: it is acknowledged again while it is open.
    fn tell_status(&mut self, report: &Report, at: Nanos, emit: &mut impl FnMut(Event)) {
        if report.status.is_done() {
            if let Some(record) = self.tracker.get(report.order) {
                record.ended = None;
            }
            if report.status == OrderStatus::Filled {
                // All told: what the order manager waits for is the end.
                let done = OrderDone { order: report.order, filled: report.executed };
                return emit(done.event(EventKind::OrderExpired, report.instrument, report.venue, at));
            }
            return tell_end(report, at, emit);
        }
        if let Some(record) = self.tracker.get(report.order) {
            record.accepted = true;
        }
        let ack = OrderAck { order: report.order, venue_order: report.venue_order };
        emit(ack.event(EventKind::OrderAccepted, report.instrument, report.venue, at));
    }

    fn on_trades(
        &mut self,
        order: OrderId,
        instrument: InstrumentId,
        reason: TradesFor,
        trades: &[TradeReply<'_>],
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) {
        let repeat = matches!(reason, TradesFor::Query(..));
        let venue_order = trades.first().map_or(0, |trade| trade.order_id);
        for reply in trades.iter().filter(|reply| reply.order_id == venue_order) {
            let trade = Trade {
                number: reply.id,
                price: reply.price,
                qty: reply.qty,
                commission: reply.commission,
                asset: &reply.commission_asset,
                venue: time(reply.time),
            };
            self.trade(order, instrument, &trade, repeat, at, emit);
        }
        match reason {
            TradesFor::Query(status, executed) => {
                let report = Report { order, instrument, venue_order, status, executed, venue: Nanos::NONE };
                self.tell_status(&report, at, emit);
            }
            TradesFor::Missing => {
                if let Some((status, executed)) = self.tracker.get(order).and_then(|record| record.ended.take()) {
                    let report = Report { order, instrument, venue_order, status, executed, venue: Nanos::NONE };
                    tell_end(&report, at, emit);
                }
            }
            TradesFor::Round(round) => self.part_done(round, at, emit),
        }
    }

    fn on_open_orders(&mut self, round: u64, orders: &[OrderReply<'_>], at: Nanos, emit: &mut impl FnMut(Event)) {
        if self.round.is_none_or(|running| running.number != round) {
            return;
        }
        for reply in orders {
            let Some(instrument) = self.symbols.find(reply.symbol.as_bytes()) else { continue };
            let (order, executed) = (parse_client_id(reply.name()), reply.executed_qty);
            let remaining = reply.orig_qty.checked_sub(executed).unwrap_or(Qty::ZERO);
            let report = OpenOrderReport { round, order, remaining, filled: executed };
            let event = report.event(EventKind::OpenOrderReport, instrument, time(reply.time()), at);
            emit(reply.side().map_or(event, |side| event.flagged(side.flag())));
            let missing = self.tracker.get(order).is_some_and(|record| {
                record.venue_order = reply.order_id;
                executed > record.filled
            });
            if let Some(running) = &mut self.round {
                running.orders += 1;
                running.parts += u32::from(missing);
            }
            if missing {
                let (venue_order, reason) = (reply.order_id, TradesFor::Round(round));
                self.queue.push(Ask::Trades { order, instrument, venue_order, reason });
            }
        }
        self.part_done(round, at, emit);
    }

    /// One answer of a reconciliation is in; after the last it is complete.
    fn part_done(&mut self, round: u64, at: Nanos, emit: &mut impl FnMut(Event)) {
        let Some(running) = self.round.as_mut().filter(|running| running.number == round) else { return };
        running.parts -= 1;
        if let Round { parts: 0, orders, .. } = *running {
            self.round = None;
            emit(Reconciled { round, orders }.event(EventKind::Reconciled, InstrumentId(0), Nanos::NONE, at));
        }
    }
}

fn report_of(order: OrderId, instrument: InstrumentId, reply: &OrderReply<'_>) -> Report {
    Report {
        order,
        instrument,
        venue_order: reply.order_id,
        status: reply.status(),
        executed: reply.executed_qty,
        venue: time(reply.time()),
    }
}

/// Tells the end of an order that will not trade any more; a full fill needs no word of its own.
fn tell_end(report: &Report, at: Nanos, emit: &mut impl FnMut(Event)) {
    let kind = match report.status {
        OrderStatus::Cancelled => EventKind::OrderCancelled,
        // A refusal that was told in time goes another way: of this one the order manager has heard nothing, and asked.
        OrderStatus::Expired | OrderStatus::Rejected => EventKind::OrderExpired,
        _ => return,
    };
    let done = OrderDone { order: report.order, filled: report.executed };
    emit(done.event(kind, report.instrument, report.venue, at));
}

pub(super) fn read<'a, T: Deserialize<'a>>(result: &'a RawValue) -> Option<T> {
    serde_json::from_str(result.get()).ok()
}

//! Cancelling and closing until the account is where it must be. A state machine without I/O: it says
//! what to ask next and is told the reply; it can be dropped at any moment and begun anew from what
//! the venue says.
//!
//! Each turn of the loop asks for the first thing that is not known: the fate of an order whose fate is
//! unknown; the open orders; the positions; a price; and when all is known and something is still held,
//! sends a close. Why it ends flat:
//! - What to close is computed from positions read after the last close had a definite end, and after the
//!   engine was fenced: between a read and the fence the engine may have sold what that read shows.
//! - A close never exceeds what is held; at the venue it is reduce-only, or sells what is owned.
//! - A close whose fate is unknown is asked about by its id until the venue either has it or can no longer
//!   take it (its signature is too old); only then the same id is used again.
//! - Prices widen with each failure, and a refused kind of order gives way to the other.
//! - What is refused may be locked by an order that was not seen (spot): open orders are read again.
//! - Flat is two reads in a row, orders and positions, some time apart; anything in between begins anew.

use std::collections::VecDeque;

use crate::core::{ContractKind, InstrumentId, InstrumentTable, Price, Qty, Side, Span};
use crate::snapshot::MAX_INSTRUMENTS;

use super::decide::Goal;
use super::desk::{CloseKind, CloseOrder, DeskOrder, DeskReply, DeskRequest};
use super::leg::{Leg, Pending, pause};
use super::params::LiquidationParams;

/// An order of unknown fate is asked about this often.
const QUERY_PAUSE: Span = Span::millis(50);
/// A request may still be under way this long after its signature became too old.
const LATE: Span = Span::millis(500);
/// Open orders that were read again because of a refusal, in vain: the shortest and the longest time until they are
/// read again because of another. It is the dearest question of all.
const FIRST_DOUBT: Span = Span::millis(50);
const LONGEST_DOUBT: Span = Span::seconds(5);

/// What to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask this and call [`Liquidation::answer`].
    Ask(DeskRequest),
    /// Nothing to do before this instant of CLOCK_MONOTONIC.
    Wait(u64),
    /// The engine is not fenced yet, and nothing else can be done before it is.
    AwaitFence,
    /// The goal is reached.
    Done,
}

/// Something worth telling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A close traded.
    Closed(InstrumentId, Qty),
    /// Something was refused, limited or unanswered: words for a person.
    Trouble(String),
    /// The time is up and the goal is not reached; the machine goes on.
    BoundReached,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Liquidation {
    params: LiquidationParams,
    max_open_lots: Qty,
    goal: Goal,
    number: u64,
    legs: Vec<Leg>,
    cancels: VecDeque<DeskOrder>,
    protective: Vec<DeskOrder>,
    entries: usize,
    know_orders: bool,
    /// They were asked for while the engine could still send.
    orders_stale: bool,
    /// When they were read last.
    orders_ns: u64,
    /// How often a refusal made them be read again since an entry was found.
    doubts: u32,
    know_positions: bool,
    clean_reads: u32,
    troubles: u32,
    /// Cancels that failed since the last read without entries.
    stubborn: u32,
    wait_ns: u64,
    began_ns: u64,
    shouted: bool,
    asked: Option<DeskRequest>,
    notes: Vec<Note>,
}

impl Liquidation {
    /// A liquidation with this goal. `number` is the latch's (or any number never used before): client ids
    /// are made of it. `resumed`: a guardian before us may have sent closes under the same number.
    pub fn new(
        params: &LiquidationParams,
        max_open_lots: Qty,
        instruments: &InstrumentTable,
        number: u64,
        resumed: bool,
    ) -> Self {
        Self {
            params: params.clone(),
            max_open_lots,
            goal: Goal::Excess,
            number,
            legs: instruments
                .iter()
                .take(MAX_INSTRUMENTS)
                .map(|(_, instrument)| Leg::new(instrument, resumed))
                .collect(),
            cancels: VecDeque::new(),
            protective: Vec::new(),
            entries: 0,
            know_orders: false,
            orders_stale: false,
            orders_ns: 0,
            doubts: 0,
            know_positions: false,
            clean_reads: 0,
            troubles: 0,
            stubborn: 0,
            wait_ns: 0,
            began_ns: 0,
            shouted: false,
            asked: None,
            notes: Vec::new(),
        }
    }

    /// Begins, or begins anew when the goal rises or the account has moved since it was reached. Ids go on
    /// where they were.
    pub fn pursue(&mut self, goal: Goal, now: u64) {
        self.goal = self.goal.max(goal);
        (self.know_orders, self.know_positions, self.clean_reads) = (false, false, 0);
        (self.orders_stale, self.doubts) = (false, 0);
        (self.began_ns, self.shouted, self.wait_ns, self.troubles) = (now, false, 0, 0);
        for leg in &mut self.legs {
            (leg.failures, leg.not_before_ns) = (0, 0);
        }
    }

    /// What the account is being brought to.
    pub const fn goal(&self) -> Goal {
        self.goal
    }

    /// What happened since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// A price that is known already saves a question.
    pub fn know_touch(&mut self, id: InstrumentId, bid: Price, ask: Price, now: u64) {
        if let Some(leg) = self.legs.get_mut(id.index()) {
            leg.touch = Some((bid, ask, now));
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: u64, fenced: bool) -> Step {
        if !self.shouted && now.saturating_sub(self.began_ns) > self.params.bound.0 {
            self.shouted = true;
            self.notes.push(Note::BoundReached);
        }
        if now < self.wait_ns {
            return Step::Wait(self.wait_ns);
        }
        let step = self.think(now, fenced);
        if let Step::Ask(request) = &step {
            if *request == DeskRequest::Orders {
                self.orders_stale = self.goal == Goal::Flat && !fenced;
            }
            self.asked = Some(request.clone());
        }
        step
    }

    fn think(&mut self, now: u64, fenced: bool) -> Step {
        let unknown_until = match self.ask_fate(now) {
            Err(step) => return step,
            Ok(until) => until,
        };
        if let Some(order) = self.cancels.front() {
            return Step::Ask(DeskRequest::Cancel(order.instrument, order.client_id.clone()));
        }
        // An excess is the sum of all legs: nothing can be computed around an unknown one.
        if let Some(until) = unknown_until.filter(|_| self.goal < Goal::Flat) {
            return Step::Wait(until);
        }
        // An excess is closed before anything else is looked at; all else needs the entries gone first.
        if !self.know_orders && self.goal > Goal::Excess {
            return Step::Ask(DeskRequest::Orders);
        }
        // Entries are cancelled while the engine is still being fenced: a cancel does no harm. A close must wait,
        // and so must the read that it is computed from. A healthy engine answers the kill word within a
        // millisecond and a dead one is fenced at once, so that only one that hangs costs the whole timeout.
        if self.goal == Goal::Flat && !fenced {
            (self.orders_stale, self.know_positions) = (true, false);
            return Step::AwaitFence;
        }
        // On spot an order that came between the read and the fence locks what is to be sold. On futures it locks
        // nothing: it is found by the reads that prove flat, and costs the closes no time.
        if self.orders_stale && self.sells_what_is_owned() {
            self.know_orders = false;
            return Step::Ask(DeskRequest::Orders);
        }
        if !self.know_positions {
            return Step::Ask(DeskRequest::Positions);
        }
        let paused_until = match self.close_something(now) {
            Err(step) => return step,
            Ok(until) => until,
        };
        match earlier(unknown_until, paused_until) {
            Some(until) => Step::Wait(until),
            None => self.confirm(now),
        }
    }

    fn sells_what_is_owned(&self) -> bool {
        self.legs.iter().any(|leg| leg.instrument.spec().contract == ContractKind::Spot)
    }

    /// Asks about orders of unknown fate; answers when the next question is due.
    fn ask_fate(&mut self, now: u64) -> Result<Option<u64>, Step> {
        let mut until = None;
        for (leg, id) in self.legs.iter_mut().zip(0..) {
            let Some(pending) = &mut leg.pending else { continue };
            let due = pending.asked_ns + QUERY_PAUSE.0;
            if pending.asked_ns == 0 || due <= now {
                pending.asked_ns = now;
                return Err(Step::Ask(DeskRequest::Query(InstrumentId(id), pending.client_id.clone())));
            }
            until = earlier(until, Some(due));
        }
        Ok(until)
    }

    /// Sends the next close; answers when a leg that is paused may go on.
    fn close_something(&mut self, now: u64) -> Result<Option<u64>, Step> {
        let mut until = None;
        for (index, qty) in self.wanted().into_iter().enumerate().filter(|(_, qty)| qty.is_positive()) {
            let leg = &mut self.legs[index];
            if leg.not_before_ns > now {
                until = earlier(until, Some(leg.not_before_ns));
                continue;
            }
            let (id, client_id) = (InstrumentId(index as u16), client_id(self.number, index, leg.next));
            if leg.probing {
                // A guardian before us may have sent it just before it died.
                leg.pending =
                    Some(Pending { client_id: client_id.clone(), qty: Qty::ZERO, sent_ns: now, asked_ns: now });
                return Err(Step::Ask(DeskRequest::Query(id, client_id)));
            }
            if !leg.at_market && !leg.knows_price(now) {
                return Err(Step::Ask(DeskRequest::Touch(id)));
            }
            let side = if leg.held.is_positive() { Side::Sell } else { Side::Buy };
            let kind = leg.kind(side, &self.params);
            // Its end is not known before the reply: a reply that never comes leaves it pending.
            leg.pending = Some(Pending { client_id: client_id.clone(), qty, sent_ns: now, asked_ns: now });
            return Err(Step::Ask(DeskRequest::Close(CloseOrder { instrument: id, side, qty, kind, client_id })));
        }
        Ok(until)
    }

    /// What is to be closed of each leg by one order now.
    fn wanted(&self) -> Vec<Qty> {
        let held: Vec<Qty> = self.legs.iter().map(|leg| leg.held).collect();
        let whole = match self.goal {
            Goal::Flat => held.iter().map(|held| held.abs()).collect(),
            Goal::Excess | Goal::Halt => excess(&held, self.max_open_lots),
        };
        let order = |(leg, qty): (&Leg, Qty)| {
            let spec = leg.instrument.spec();
            let skip = leg.pending.is_some() || self.goal == Goal::Flat && leg.is_dust(self.params.dust);
            let qty = qty.min(spec.max_lot).floor_to(spec.lot_step).unwrap_or(Qty::ZERO);
            if skip { Qty::ZERO } else { qty }
        };
        self.legs.iter().zip(whole).map(order).collect()
    }

    /// Nothing is to be closed, by the last read.
    fn confirm(&mut self, now: u64) -> Step {
        if !self.know_orders || self.orders_stale {
            self.know_orders = false;
            return Step::Ask(DeskRequest::Orders);
        }
        if self.goal < Goal::Flat {
            return Step::Done;
        }
        self.clean_reads += 1;
        if self.clean_reads < 2 {
            (self.know_orders, self.know_positions) = (false, false);
            self.wait_ns = now + self.params.confirm_pause.0;
            return Step::Wait(self.wait_ns);
        }
        if self.protective.is_empty() {
            return Step::Done;
        }
        // Flat twice: what protected the position protects nothing now.
        self.cancels.extend(self.protective.drain(..));
        self.know_orders = false;
        self.think(now, true)
    }

    /// The reply to the last question.
    pub fn answer(&mut self, reply: DeskReply, now: u64) {
        let Some(asked) = self.asked.take() else { return };
        if let DeskReply::Limited(span) = reply {
            self.notes.push(Note::Trouble(format!("too many requests: the venue wants {span} of silence")));
            self.wait_ns = now.saturating_add(span.0);
            // A limited request was not done: a close under way is none.
            if let DeskRequest::Close(order) = asked {
                self.legs[order.instrument.index()].pending = None;
            }
            return;
        }
        match asked {
            DeskRequest::Orders => match reply {
                DeskReply::Orders(orders) => self.take_orders(orders, now),
                other => self.trouble("reading the open orders", &other, now),
            },
            DeskRequest::Positions => match reply {
                DeskReply::Positions(held) => self.take_positions(&held),
                other => self.trouble("reading the positions", &other, now),
            },
            DeskRequest::Touch(id) => match reply {
                DeskReply::Touch { bid, ask } => self.legs[id.index()].touch = Some((bid, ask, now)),
                other => {
                    // Without a price there is still the other kind of order.
                    self.legs[id.index()].at_market = true;
                    self.trouble("asking for a price", &other, now);
                }
            },
            DeskRequest::Cancel(..) => {
                self.cancels.pop_front();
                if reply != DeskReply::Cancelled {
                    // It is seen again by the next read, and tried again.
                    self.stubborn += 1;
                    self.troubles = self.stubborn;
                    self.trouble("cancelling an order", &reply, now);
                }
                (self.know_orders, self.know_positions) = (false, false);
            }
            DeskRequest::Close(order) => self.take_close(&order, reply, now),
            DeskRequest::Query(id, _) => self.take_fate(id, reply, now),
        }
    }

    fn take_orders(&mut self, orders: Vec<DeskOrder>, now: u64) {
        self.troubles = 0;
        (self.know_orders, self.orders_ns) = (true, now);
        let (protective, entries): (Vec<_>, Vec<_>) = orders.into_iter().partition(|order| order.protective);
        self.protective = protective;
        self.entries = entries.len();
        if self.entries > 0 && self.goal > Goal::Excess {
            (self.clean_reads, self.doubts) = (0, 0);
            self.cancels.extend(entries);
        } else {
            self.stubborn = 0;
        }
    }

    fn take_positions(&mut self, held: &[Qty; MAX_INSTRUMENTS]) {
        self.troubles = 0;
        self.know_positions = true;
        for (leg, held) in self.legs.iter_mut().zip(held) {
            leg.held = *held;
        }
        if self.wanted().iter().any(|qty| qty.is_positive()) {
            self.clean_reads = 0;
        }
    }

    fn take_close(&mut self, order: &CloseOrder, reply: DeskReply, now: u64) {
        let leg = &mut self.legs[order.instrument.index()];
        match reply {
            DeskReply::Order { done, executed } => {
                if done {
                    self.close_ended(order.instrument, order.qty, executed, now);
                }
            }
            DeskReply::Refused(why) => {
                leg.pending = None;
                leg.next += 1;
                leg.at_market = matches!(order.kind, CloseKind::Ioc(_));
                leg.failed(now);
                self.know_positions = false;
                let symbol = leg.instrument.spec().symbol.clone();
                self.notes.push(Note::Trouble(format!("{symbol}: close {} refused: {why}", order.client_id)));
                self.doubt_orders(now);
            }
            DeskReply::NotSent(why) => {
                leg.pending = None;
                self.trouble("sending a close", &DeskReply::NotSent(why), now);
            }
            other => self.trouble("sending a close", &other, now),
        }
    }

    /// An order that was not seen may lock what was to be sold. Where the question finds none again and again the venue
    /// has another reason, and it is put less and less often.
    fn doubt_orders(&mut self, now: u64) {
        let rest = match self.doubts {
            0 => 0,
            doubts => (FIRST_DOUBT.0 << (doubts - 1).min(16)).min(LONGEST_DOUBT.0),
        };
        if now.saturating_sub(self.orders_ns) >= rest {
            self.know_orders = false;
            self.doubts += 1;
        }
    }

    fn take_fate(&mut self, id: InstrumentId, reply: DeskReply, now: u64) {
        let leg = &mut self.legs[id.index()];
        let Some(pending) = leg.pending.clone() else { return };
        match reply {
            DeskReply::Order { done: true, executed } => self.close_ended(id, pending.qty.max(executed), executed, now),
            // It rests although it should not: away with it; the next question tells what it traded.
            DeskReply::Order { .. } => {
                let client_id = pending.client_id;
                self.cancels.push_back(DeskOrder { instrument: id, client_id, protective: false });
            }
            DeskReply::NotFound => {
                let too_old = self.params.receive_window.0 + LATE.0;
                if now.saturating_sub(pending.sent_ns) > too_old {
                    leg.pending = None;
                    leg.probing = false;
                    self.know_positions = false;
                }
            }
            other => self.trouble("asking what became of a close", &other, now),
        }
    }

    /// A close will not trade any more.
    fn close_ended(&mut self, id: InstrumentId, ordered: Qty, executed: Qty, now: u64) {
        let leg = &mut self.legs[id.index()];
        leg.pending = None;
        leg.next += 1;
        self.know_positions = false;
        self.troubles = 0;
        if executed.is_positive() && !leg.probing {
            self.notes.push(Note::Closed(id, executed));
        }
        if executed < ordered {
            leg.at_market = false;
            leg.failed(now);
        } else if !leg.probing {
            (leg.failures, leg.at_market) = (0, false);
        }
    }

    fn trouble(&mut self, doing: &str, reply: &DeskReply, now: u64) {
        self.troubles += 1;
        self.wait_ns = now + pause(self.troubles).0;
        let why = match reply {
            DeskReply::Refused(why) | DeskReply::Unknown(why) | DeskReply::NotSent(why) => why.clone(),
            other => format!("an answer to another question: {other:?}"),
        };
        self.notes.push(Note::Trouble(format!("{doing}: {why}")));
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// The id of a close: the same for the same latch, instrument and counter, always.
fn client_id(number: u64, instrument: usize, count: u32) -> String {
    format!("K-{number}-{instrument}-{count}")
}

/// What to close of each position so that the sum of magnitudes is at most `most`: the largest first,
/// and never more than the excess.
pub fn excess(held: &[Qty], most: Qty) -> Vec<Qty> {
    let open = held.iter().fold(0i128, |sum, held| sum + i128::from(held.units()).abs());
    let mut left = (open - i128::from(most.units().max(0))).max(0);
    let mut order: Vec<usize> = (0..held.len()).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(held[*index].abs()), *index));
    let mut close = vec![Qty::ZERO; held.len()];
    for index in order {
        let part = left.min(i128::from(held[index].abs().units()));
        close[index] = Qty::from_units(part as i64);
        left -= part;
    }
    close
}

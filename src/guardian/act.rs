//! The acting thread: runs the liquidation on its own connection, kept warm while there is nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::core::{InstrumentId, InstrumentTable, Qty, Span};
use crate::snapshot::monotonic_ns;

use super::binance::{BinanceSession, Touches};
use super::decide::Goal;
use super::desk::Desk;
use super::liquidation::{Liquidation, Note, Step};
use super::params::LiquidationParams;

/// An idle connection is used this often, so that it is open when it is needed.
const KEEP_WARM: Duration = Duration::from_secs(3);
/// The fence is looked at this often while a close waits for it.
const FENCE_LOOK: Duration = Duration::from_micros(50);

/// What the acting thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Bring the account to this goal.
    Pursue {
        goal: Goal,
        /// Client ids are made of it.
        number: u64,
        /// A guardian before us may have sent closes under this number.
        resumed: bool,
        /// CLOCK_MONOTONIC when it was seen to be necessary.
        since_ns: u64,
    },
    /// A person has cleared the latch: whatever was pursued is over.
    Forget,
}

/// What it tells.
#[derive(Debug)]
pub(super) enum News {
    /// A close traded.
    Closed(InstrumentId, Qty),
    /// Something was refused or is slow.
    Trouble(String),
    /// The time is up and the goal is not reached.
    BoundReached(Goal),
    /// The goal is reached.
    Reached {
        goal: Goal,
        /// Since it was seen to be necessary.
        elapsed: Span,
        /// Lots closed on the way, all instruments.
        closed: Qty,
    },
}

/// The other end of the thread.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) orders: Sender<Order>,
    pub(super) news: Receiver<News>,
}

impl Actor {
    /// Starts the thread. It ends when this end is dropped.
    pub(super) fn start(
        session: BinanceSession,
        touches: Touches,
        params: &LiquidationParams,
        most: Qty,
        instruments: &InstrumentTable,
        fenced: Arc<AtomicBool>,
    ) -> Self {
        let (orders, incoming) = channel();
        let (outgoing, news) = channel();
        let (params, instruments) = (params.clone(), instruments.clone());
        let mut acting =
            Acting { session, touches, params, most, instruments, fenced, incoming, outgoing, machine: None };
        std::thread::spawn(move || acting.run());
        Self { orders, news }
    }
}

struct Acting {
    session: BinanceSession,
    touches: Touches,
    params: LiquidationParams,
    most: Qty,
    instruments: InstrumentTable,
    fenced: Arc<AtomicBool>,
    incoming: Receiver<Order>,
    outgoing: Sender<News>,
    machine: Option<Pursuit>,
}

/// A liquidation with its number, and whether it is at work.
struct Pursuit {
    number: u64,
    machine: Liquidation,
    since_ns: u64,
    closed: Qty,
    active: bool,
}

impl Acting {
    fn run(&mut self) {
        loop {
            let pause = self.turn();
            let order = if pause.is_zero() {
                match self.incoming.try_recv() {
                    Ok(order) => Some(order),
                    Err(std::sync::mpsc::TryRecvError::Empty) => None,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            } else {
                match self.incoming.recv_timeout(pause) {
                    Ok(order) => Some(order),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            match order {
                Some(Order::Pursue { goal, number, resumed, since_ns }) => self.pursue(goal, number, resumed, since_ns),
                Some(Order::Forget) => self.machine = None,
                None if pause == KEEP_WARM => self.session.keep_warm(),
                None => {}
            }
        }
    }

    fn pursue(&mut self, goal: Goal, number: u64, resumed: bool, since_ns: u64) {
        let now = monotonic_ns();
        // A liquidation at work keeps its number: it may have a close under way.
        if self.machine.as_ref().is_none_or(|pursuit| pursuit.number != number && !pursuit.active) {
            let machine = Liquidation::new(&self.params, self.most, &self.instruments, number, resumed);
            self.machine = Some(Pursuit { number, machine, since_ns, closed: Qty::ZERO, active: false });
        }
        let Some(pursuit) = &mut self.machine else { return };
        if pursuit.active && pursuit.machine.goal() >= goal {
            return;
        }
        (pursuit.since_ns, pursuit.closed, pursuit.active) = (since_ns, Qty::ZERO, true);
        pursuit.machine.pursue(goal, now);
        if let Ok(touches) = self.touches.lock() {
            for (touch, id) in touches.iter().zip(0..) {
                if let Some((bid, ask, at)) = touch {
                    pursuit.machine.know_touch(InstrumentId(id), *bid, *ask, *at);
                }
            }
        }
    }

    /// One step of the liquidation; answers how long there is nothing to do.
    fn turn(&mut self) -> Duration {
        let Some(pursuit) = self.machine.as_mut().filter(|pursuit| pursuit.active) else { return KEEP_WARM };
        let now = monotonic_ns();
        let pause = match pursuit.machine.next(now, self.fenced.load(Ordering::Acquire)) {
            Step::Ask(request) => {
                let reply = self.session.ask(&request);
                pursuit.machine.answer(reply, monotonic_ns());
                Duration::ZERO
            }
            // Never as long as a warm-up: that is how the two are told apart.
            Step::Wait(until) => Duration::from_nanos(until.saturating_sub(now).clamp(1, 1_000_000_000)),
            Step::AwaitFence => FENCE_LOOK,
            Step::Done => {
                pursuit.active = false;
                Duration::ZERO
            }
        };
        for note in pursuit.machine.take_notes() {
            let news = match note {
                Note::Closed(id, qty) => {
                    pursuit.closed = pursuit.closed.checked_add(qty).unwrap_or(Qty::MAX);
                    News::Closed(id, qty)
                }
                Note::Trouble(text) => News::Trouble(text),
                Note::BoundReached => News::BoundReached(pursuit.machine.goal()),
            };
            let _ = self.outgoing.send(news);
        }
        if !pursuit.active {
            let elapsed = Span(monotonic_ns().saturating_sub(pursuit.since_ns));
            let goal = pursuit.machine.goal();
            let _ = self.outgoing.send(News::Reached { goal, elapsed, closed: pursuit.closed });
        }
        pause
    }
}

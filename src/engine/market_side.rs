//! The threads before the order manager: the first one serves the market's sockets, the others take
//! from a ring. Each applies its stages and passes on what they made of it.

use std::collections::VecDeque;
use std::time::Duration;

use super::clock::Stamp;
use super::intake::{Intake, IntakeCounters};
use super::parcel::Parcel;
use super::ring::{RingReader, RingWriter, Taken};
use super::threads::{Activity, Context};
use super::{is_market, is_market_side, market_timer};
use crate::core::{Event, Nanos};
use crate::feed::Feed;
use crate::oracle::Oracle;
use crate::quant::Quant;
use crate::report::latency::{Hop, Recorder};

/// Where market events come from.
pub trait MarketSide: Send {
    /// Reads what there is, at most a few thousand events, and pushes it; never waits. While the intake
    /// is congested everything is pushed all the same: the intake decides what is conflated.
    fn poll(&mut self, intake: &mut Intake) -> Activity;

    /// Now, on the clock that stamps `local_ns`.
    fn now(&mut self) -> Nanos;

    /// Hands over the spans that this side measured itself since the last call.
    fn measured(&mut self, _recorder: &mut Recorder) {}

    /// Nothing comes: goes the way of a frame without one, to keep it warm.
    fn rehearse(&mut self) {}

    /// Sleeps until there may be something to read, at most this long.
    fn wait(&mut self, at_most: Duration) {
        std::thread::park_timeout(at_most);
    }
}

/// Stages between the first and the last one of the engine, as far as this thread has them.
#[derive(Default)]
pub(super) struct Middle {
    pub(super) quant: Option<Quant>,
    pub(super) oracle: Option<Oracle>,
}

impl Middle {
    /// What the stages make of a parcel; timed where `timed` says so.
    #[inline]
    pub(super) fn advance(&mut self, parcel: &mut Parcel, recorder: &mut Recorder, timed: bool) {
        if let Some(quant) = &mut self.quant
            && let Some(clean) = parcel.clean()
        {
            parcel.set_view(&quant.on_event(&clean));
            if timed {
                recorder.mark(Hop::Quant);
            }
        }
        if let Some(oracle) = &self.oracle
            && let Some(signal) = parcel.signal()
        {
            parcel.set_decision(oracle.decide(&signal));
            if timed {
                recorder.mark(Hop::Oracle);
            }
        }
    }
}

/// What leaves a thread: into the ring, or, while that is full, into a queue that keeps the order.
pub(super) struct Outlet {
    writer: RingWriter,
    waiting: VecDeque<Parcel>,
}

impl Outlet {
    /// Holds at most this many parcels back without asking for memory.
    pub(super) fn new(writer: RingWriter, most: usize) -> Self {
        Self { writer, waiting: VecDeque::with_capacity(most) }
    }

    #[inline]
    fn send(&mut self, parcel: &Parcel) {
        if !self.waiting.is_empty() || !self.writer.try_send(parcel) {
            self.waiting.push_back(*parcel);
        }
    }

    /// Sends what waits; true when nothing waits any more.
    #[inline]
    fn flush(&mut self) -> bool {
        while let Some(parcel) = self.waiting.front() {
            if !self.writer.try_send(parcel) {
                return false;
            }
            self.waiting.pop_front();
        }
        true
    }
}

/// The first thread.
pub(super) struct First<M> {
    pub(super) market: M,
    pub(super) feed: Feed,
    pub(super) middle: Middle,
    pub(super) intake: Intake,
    pub(super) outlet: Outlet,
    pub(super) parcel: Parcel,
}

impl<M: MarketSide> First<M> {
    /// Runs until the market is at its end or the engine stops; what had arrived still goes through.
    pub(super) fn run(&mut self, context: &mut Context<'_>) {
        let mut open = true;
        loop {
            context.beat();
            if context.switch.has_failed() {
                return;
            }
            let mut busy = false;
            // What has arrived goes before what may have; only while nothing can go on is more read, so
            // that quotes conflate here and not in the socket.
            if open && (self.intake.is_empty() || self.intake.is_congested()) {
                let activity = self.market.poll(&mut self.intake);
                busy = activity == Activity::Busy;
                open = activity != Activity::End && !context.switch.is_stopping();
            }
            if self.intake.is_overrun() {
                return context.switch.fail("the order manager's thread has not taken anything for a million trades");
            }
            busy |= self.drain(context);
            self.market.measured(context.recorder);
            if !open && self.intake.is_empty() && self.outlet.waiting.is_empty() {
                return;
            }
            if busy {
                context.idle.reset();
            } else {
                context.recorder.idle();
                context.idle.wait(|nap| self.market.wait(nap));
            }
        }
    }

    /// Takes what waits through the stages, as long as the ring has room.
    fn drain(&mut self, context: &mut Context<'_>) -> bool {
        let mut busy = false;
        for _ in 0..context.batch {
            let room = self.outlet.flush();
            self.intake.set_congested(!room);
            if !room {
                return busy;
            }
            if let Some((event, arrived)) = self.intake.pop() {
                self.admit(&event, arrived, context);
            } else if self.timer_is_due() {
                let now = self.market.now();
                self.admit(&market_timer(now), context.recorder.clock().now(), context);
            } else {
                return busy;
            }
            busy = true;
        }
        busy
    }

    fn timer_is_due(&mut self) -> bool {
        let due = self.feed.next_due();
        due != Nanos::MAX && due <= self.market.now()
    }

    /// One market-side input: the quotes that it releases, then itself.
    #[inline]
    fn admit(&mut self, input: &Event, arrived: Stamp, context: &mut Context<'_>) {
        let timed = context.is_timed();
        if timed {
            context.recorder.tick();
            context.recorder.begin_hops();
        }
        // What rides along with the market but is none (a lost connection) releases nothing.
        while is_market_side(input) && self.feed.next_due() <= input.local_ns {
            let Some(held) = self.feed.take_due(input.local_ns) else { break };
            self.parcel.hold(input, arrived, &held);
            self.pass(context, false);
        }
        let clean = if is_market(input.kind) { self.feed.on_event(input) } else { None };
        if timed {
            context.recorder.mark(Hop::Feed);
        }
        self.parcel.fill(input, arrived, clean.as_ref());
        self.pass(context, timed);
    }

    #[inline]
    fn pass(&mut self, context: &mut Context<'_>, timed: bool) {
        self.middle.advance(&mut self.parcel, context.recorder, timed);
        self.outlet.send(&self.parcel);
    }

    /// What was conflated.
    pub(super) fn counters(&self) -> IntakeCounters {
        self.intake.counters()
    }
}

/// A thread between two rings.
pub(super) struct Between {
    pub(super) reader: RingReader,
    pub(super) middle: Middle,
    pub(super) outlet: Outlet,
    pub(super) parcel: Parcel,
}

impl Between {
    /// Runs until the ring before it is at its end and everything is passed on.
    pub(super) fn run(&mut self, context: &mut Context<'_>) {
        if let Some(waker) = context.waker() {
            self.reader.wake_by(waker);
        }
        loop {
            context.beat();
            if context.switch.has_failed() {
                return;
            }
            let mut taken = Taken::Nothing;
            if self.outlet.flush() {
                let Self { reader, middle, outlet, parcel } = self;
                taken = reader.take(context.batch, |arrived| {
                    arrived.copy_to(parcel);
                    let timed = context.is_timed();
                    if timed {
                        context.recorder.tick();
                        context.recorder.begin_ring(parcel.sent());
                    }
                    middle.advance(parcel, context.recorder, timed);
                    outlet.send(parcel);
                });
            }
            match taken {
                Taken::Some(_) => context.idle.reset(),
                Taken::End => return,
                Taken::Nothing => {
                    context.recorder.idle();
                    context.idle.wait(std::thread::park_timeout);
                }
            }
        }
    }
}

//! The last thread: the order manager, and whoever serves the order connection, the journal and the
//! snapshot for it. Here inputs get their numbers: the order in which they are told to the order
//! manager is the order of the journal.

use std::task::Waker;
use std::time::Duration;

use super::market_side::Middle;
use super::parcel::Parcel;
use super::ring::{RingReader, Taken};
use super::threads::{Activity, Context, Fault};
use super::{is_market, order_timer, to_order_manager};
use crate::core::{Event, EventKind, Nanos};
use crate::engine::clock::Stamp;
use crate::oms::{Oms, Outbox};
use crate::report::latency::{Hop, Recorder};

/// The world behind the order manager.
pub trait OrderSide: Send {
    /// Appends what the venue answered and what an operator or the guardian said, oldest first; never
    /// waits. Only inputs that are not market-side, see [`super::is_market_side`].
    fn poll(&mut self, inbox: &mut Vec<Event>) -> Activity;

    /// Now, on the clock that stamps `local_ns`; for the order manager's timers.
    fn now(&mut self) -> Nanos;

    /// Stores an input before the order manager sees it, and gives it its number: 1, 2, 3 and so on.
    ///
    /// # Errors
    /// The session cannot go on.
    fn store(&mut self, input: &Event) -> Result<u64, Fault>;

    /// What an input made the engine decide, to be stored and then sent.
    ///
    /// # Errors
    /// The session cannot go on.
    fn decided(&mut self, input: &Event, outputs: &[Event], oms: &Oms) -> Result<(), Fault>;

    /// Once a round, whatever happened: heartbeat and snapshot.
    fn round(&mut self, _oms: &Oms) {}

    /// When an input of [`OrderSide::poll`] arrived; `seen` is now. For the measurement alone.
    fn arrived(&self, _input: &Event, seen: Stamp) -> Stamp {
        seen
    }

    /// Hands over the spans that this side measured itself since the last call. True when it knows by the
    /// bytes of the last decision's order how long that took: then the end of the event does not tell.
    fn measured(&mut self, _recorder: &mut Recorder) -> bool {
        false
    }

    /// An order that was made up to keep its way warm: it may be encoded, and must not be sent, stored or remembered.
    fn rehearse(&mut self, _order: &Event) {}

    /// Another thread failed: appends what the order manager must still be told, as to stop entries.
    fn on_failure(&mut self, _inbox: &mut Vec<Event>) {}

    /// The engine has ended, for this reason if it failed: the journal is closed here, before the process
    /// goes. Called once, on the order manager's thread.
    fn close(&mut self, _failure: Option<&str>) {}

    /// Wakes [`OrderSide::wait`]; none where that is the default.
    fn waker(&self) -> Option<Waker> {
        None
    }

    /// Sleeps until there may be something to do, at most this long.
    fn wait(&mut self, at_most: Duration) {
        std::thread::park_timeout(at_most);
    }
}

/// The last thread.
pub(super) struct Last<O> {
    pub(super) orders: O,
    pub(super) reader: RingReader,
    pub(super) middle: Middle,
    pub(super) desk: Desk,
    pub(super) parcel: Parcel,
}

/// The order manager, with what it decides.
pub(super) struct Desk {
    pub(super) oms: Oms,
    pub(super) out: Outbox,
    pub(super) inbox: Vec<Event>,
    /// The market-side input whose parcels are coming, with its number.
    pub(super) open: Option<Event>,
    pub(super) inputs: u64,
}

impl Desk {
    pub(super) fn new(oms: Oms) -> Self {
        Self { oms, out: Outbox::new(), inbox: Vec::with_capacity(4096), open: None, inputs: 0 }
    }

    /// Numbers and stores an input.
    #[inline]
    fn begin<O: OrderSide>(&mut self, input: &Event, orders: &mut O) -> Result<Event, Fault> {
        let mut input = *input;
        input.sequence = orders.store(&input)?;
        self.inputs += 1;
        self.out.begin(&input);
        Ok(input)
    }

    /// An input for the order manager alone, which arrived at `arrived`.
    fn alone<O: OrderSide>(
        &mut self,
        input: &Event,
        arrived: Stamp,
        orders: &mut O,
        recorder: &mut Recorder,
    ) -> Result<(), Fault> {
        debug_assert!(!super::is_market_side(input), "a market-side input came past the feed");
        recorder.begin(arrived);
        let input = self.begin(input, orders)?;
        to_order_manager(&mut self.oms, &input, &mut self.out);
        carry_out(&input, self.out.events(), orders, &self.oms, recorder)
    }

    /// One parcel of a market-side input.
    #[inline]
    fn parcel<O: OrderSide>(
        &mut self,
        parcel: &Parcel,
        orders: &mut O,
        recorder: &mut Recorder,
        timed: bool,
    ) -> Result<(), Fault> {
        let input = if let Some(input) = self.open {
            input
        } else {
            let input = self.begin(parcel.input(), orders)?;
            if timed {
                recorder.mark(Hop::Journal);
            }
            input
        };
        if let Some(clean) = parcel.clean() {
            self.oms.on_market(&clean, &parcel.view(), parcel.decision(), &mut self.out);
        }
        if parcel.is_last() && !is_market(input.kind) {
            to_order_manager(&mut self.oms, &input, &mut self.out);
        }
        if timed {
            recorder.mark(Hop::Oms);
        }
        if !parcel.is_last() {
            self.open = Some(input);
            return Ok(());
        }
        self.open = None;
        carry_out(&input, self.out.events(), orders, &self.oms, recorder)
    }
}

/// Everything about an input is decided: it is carried out, and its time is measured.
#[inline]
pub(super) fn carry_out<O: OrderSide>(
    input: &Event,
    outputs: &[Event],
    orders: &mut O,
    oms: &Oms,
    recorder: &mut Recorder,
) -> Result<(), Fault> {
    if input.kind == EventKind::Link {
        recorder.reconnected();
    }
    if outputs.is_empty() {
        recorder.end(false);
    } else {
        orders.decided(input, outputs, oms)?;
        let by_bytes = orders.measured(recorder);
        recorder.end(!by_bytes && outputs.iter().any(|output| output.kind == EventKind::Submit));
    }
    Ok(())
}

impl<O: OrderSide> Last<O> {
    /// Runs until the market is at its end and the order side as well, or a thread fails.
    pub(super) fn run(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        if let Some(waker) = context.waker() {
            self.reader.wake_by(self.orders.waker().unwrap_or(waker));
        }
        let mut market_open = true;
        loop {
            context.beat();
            if context.switch.has_failed() {
                return self.stop_entering(context);
            }
            let mut busy = false;
            let mut orders_open = true;
            // Between two parcels of one input nothing else is told.
            if self.desk.open.is_none() {
                let activity = self.serve_orders(context)?;
                busy = activity == Activity::Busy;
                orders_open = activity != Activity::End;
            }
            if market_open {
                match self.take(context)? {
                    Taken::Some(_) => busy = true,
                    Taken::Nothing => {}
                    Taken::End => market_open = false,
                }
            }
            self.orders.round(&self.desk.oms);
            self.orders.measured(context.recorder);
            if !market_open && (!orders_open || context.switch.is_stopping()) {
                return Ok(());
            }
            if busy {
                context.idle.reset();
            } else {
                context.recorder.idle();
                let due = self.desk.oms.next_deadline();
                context.idle.wait(|nap| {
                    let nap = until(due, nap, || self.orders.now());
                    self.orders.wait(nap);
                });
            }
        }
    }

    /// The order connection, the operator, the deadlines.
    fn serve_orders(&mut self, context: &mut Context<'_>) -> Result<Activity, Fault> {
        let mut inbox = std::mem::take(&mut self.desk.inbox);
        let mut activity = self.orders.poll(&mut inbox);
        for event in inbox.drain(..) {
            let arrived = self.orders.arrived(&event, context.recorder.clock().now());
            self.desk.alone(&event, arrived, &mut self.orders, context.recorder)?;
            activity = if activity == Activity::End { Activity::End } else { Activity::Busy };
        }
        self.desk.inbox = inbox;
        let deadline = self.desk.oms.next_deadline();
        if deadline != Nanos::MAX {
            let now = self.orders.now();
            if deadline <= now {
                let arrived = context.recorder.clock().now();
                self.desk.alone(&order_timer(now), arrived, &mut self.orders, context.recorder)?;
                return Ok(Activity::Busy);
            }
        }
        Ok(activity)
    }

    fn take(&mut self, context: &mut Context<'_>) -> Result<Taken, Fault> {
        let mut fault = None;
        let Self { orders, reader, middle, desk, parcel } = self;
        let taken = reader.take(context.batch, |arrived| {
            if fault.is_some() {
                return;
            }
            arrived.copy_to(parcel);
            context.recorder.begin(parcel.arrived());
            let timed = context.is_timed();
            if timed {
                context.recorder.begin_ring(parcel.sent());
            }
            middle.advance(parcel, context.recorder, timed);
            fault = desk.parcel(parcel, orders, context.recorder, timed).err();
        });
        fault.map_or(Ok(taken), Err)
    }

    /// Another thread is gone: the order manager is told to enter nothing any more, and that is all.
    fn stop_entering(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        let mut inbox = std::mem::take(&mut self.desk.inbox);
        inbox.clear();
        self.orders.on_failure(&mut inbox);
        if self.desk.open.take().is_some() {
            // The input whose parcels stopped coming stays half told: a replay would go on with it.
            inbox.clear();
        }
        for event in inbox.drain(..) {
            let arrived = context.recorder.clock().now();
            self.desk.alone(&event, arrived, &mut self.orders, context.recorder)?;
        }
        Ok(())
    }
}

/// How long to sleep when `nap` is allowed and something is due at `due`.
pub(super) fn until(due: Nanos, nap: Duration, now: impl FnOnce() -> Nanos) -> Duration {
    if due == Nanos::MAX { nap } else { nap.min(Duration::from_nanos(due.since(now()).0)) }
}

//! All stages on one thread, with the market's side and the order side served in turn: no ring, and
//! the whole engine is a call.

use super::intake::Intake;
use super::market_side::MarketSide;
use super::order_side::{OrderSide, carry_out, until};
use super::threads::{Activity, Context, Fault};
use super::{Engine, NoProbe, market_timer};
use crate::core::{Event, Nanos};
use crate::engine::clock::Stamp;
use crate::oms::Outbox;
use crate::report::latency::Hop;

/// The only thread.
pub(super) struct Alone<M, O> {
    pub(super) market: M,
    pub(super) orders: O,
    pub(super) engine: Engine,
    pub(super) intake: Intake,
    pub(super) out: Outbox,
    pub(super) inbox: Vec<Event>,
    pub(super) inputs: u64,
}

impl<M: MarketSide, O: OrderSide> Alone<M, O> {
    /// Runs until the market is at its end and the order side as well.
    pub(super) fn run(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        let mut market_open = true;
        loop {
            context.beat();
            if context.switch.has_failed() {
                return Ok(());
            }
            let mut busy = false;
            let activity = self.serve_orders(context)?;
            busy |= activity == Activity::Busy;
            if market_open {
                // Told to stop, it reads nothing more; what was read goes through.
                // What has arrived goes before what may have.
                let market = match (context.switch.is_stopping(), self.intake.is_empty()) {
                    (true, _) => Activity::End,
                    (false, true) => self.market.poll(&mut self.intake),
                    (false, false) => Activity::Busy,
                };
                busy |= market == Activity::Busy;
                for _ in 0..context.batch {
                    let Some((event, arrived)) = self.intake.pop() else { break };
                    self.input(&event, arrived, context)?;
                    busy = true;
                }
                market_open = market != Activity::End || !self.intake.is_empty();
            }
            self.orders.round(self.engine.oms());
            // Last, when nobody waits for it.
            self.market.measured(context.recorder);
            self.orders.measured(context.recorder);
            if !market_open && (activity == Activity::End || context.switch.is_stopping()) {
                return Ok(());
            }
            if busy {
                context.idle.reset();
            } else {
                context.recorder.idle();
                if context.idle.is_time_to_rehearse() {
                    self.market.rehearse();
                    self.engine.rehearse(&self.out, |order| self.orders.rehearse(order));
                }
                let due = self.engine.next_due();
                context.idle.wait(|nap| {
                    let nap = until(due, nap, || self.orders.now());
                    self.orders.wait(nap);
                });
            }
        }
    }

    fn serve_orders(&mut self, context: &mut Context<'_>) -> Result<Activity, Fault> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut activity = self.orders.poll(&mut inbox);
        for event in inbox.drain(..) {
            let arrived = self.orders.arrived(&event, context.recorder.clock().now());
            self.input(&event, arrived, context)?;
            activity = if activity == Activity::End { Activity::End } else { Activity::Busy };
        }
        self.inbox = inbox;
        let deadline = self.engine.next_due();
        if deadline != Nanos::MAX {
            let now = self.orders.now().max(self.market.now());
            if deadline <= now {
                self.input(&market_timer(now), context.recorder.clock().now(), context)?;
                return Ok(Activity::Busy);
            }
        }
        Ok(activity)
    }

    #[inline]
    fn input(&mut self, input: &Event, arrived: Stamp, context: &mut Context<'_>) -> Result<(), Fault> {
        let timed = context.is_timed();
        context.recorder.begin(arrived);
        if timed {
            context.recorder.begin_hops();
        }
        let mut input = *input;
        input.sequence = self.orders.store(&input)?;
        self.inputs += 1;
        if timed {
            context.recorder.mark(Hop::Journal);
            self.engine.on_event(&input, &mut self.out, context.recorder);
        } else {
            self.engine.on_event(&input, &mut self.out, &mut NoProbe);
        }
        carry_out(&input, self.out.events(), &mut self.orders, self.engine.oms(), context.recorder)
    }
}

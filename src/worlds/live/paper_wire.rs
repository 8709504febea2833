//! Paper trading: market data of a real venue, orders to the simulated exchange inside pawl. The
//! exchange runs in real time: a report is delivered when its latency has passed.

use std::time::Duration;

use crate::core::{Event, EventKind, Nanos};
use crate::venue::paper::PaperVenue;

use super::Wire;

/// A market wire and the simulated exchange on top of it.
pub struct PaperWire<M> {
    market: M,
    venue: PaperVenue,
    fresh: Vec<Event>,
}

impl<M: Wire> PaperWire<M> {
    /// Both, fresh.
    pub fn new(market: M, venue: PaperVenue) -> Self {
        Self { market, venue, fresh: Vec::with_capacity(1024) }
    }
}

impl<M: Wire> Wire for PaperWire<M> {
    fn poll(&mut self, now: Nanos, inbox: &mut Vec<Event>) -> bool {
        let before = inbox.len();
        let mut more = self.market.poll(now, &mut self.fresh);
        for event in self.fresh.drain(..) {
            // Orders that arrived before this tick met the touch before it.
            while let Some(report) = self.venue.take_due(event.local_ns) {
                inbox.push(report);
            }
            if matches!(event.kind, EventKind::Quote | EventKind::Trade) {
                self.venue.on_market(&event);
            }
            inbox.push(event);
        }
        while let Some(report) = self.venue.take_due(now) {
            inbox.push(report);
        }
        more |= inbox.len() > before;
        more
    }

    fn command(&mut self, command: &Event, now: Nanos) {
        self.venue.on_command(command, now);
    }

    fn wait(&mut self, at_most: Duration) {
        self.market.wait(at_most);
    }

    fn cut(&mut self) {
        self.market.cut();
    }

    fn trouble(&self) -> Option<String> {
        self.market.trouble()
    }
}

//! Paper trading: market data of a real venue, orders to the simulated exchange inside pawl. The
//! exchange runs in real time: a report is delivered when its latency has passed.

use crate::core::{Event, EventKind, Nanos};
use crate::venue::Delivery;
use crate::venue::paper::PaperVenue;

use super::OrderWire;

/// The simulated exchange sees the market as the engine is told it: orders that arrived before a tick
/// met the touch before it.
impl OrderWire for PaperVenue {
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        while let Some(report) = self.take_due(now) {
            emit(report);
        }
        false
    }

    fn command(&mut self, command: &Event, now: Nanos, _emit: &mut impl FnMut(Event)) -> Delivery {
        self.on_command(command, now);
        Delivery::Noted
    }

    fn on_market(&mut self, event: &Event, emit: &mut impl FnMut(Event)) {
        if matches!(event.kind, EventKind::Quote | EventKind::Trade) {
            while let Some(report) = self.take_due(event.local_ns) {
                emit(report);
            }
            PaperVenue::on_market(self, event);
        }
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn cut(&mut self) {}
}

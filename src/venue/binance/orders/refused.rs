//! Answers that are no success: what they say about the request, about the limits, about the clock and about the key.

use super::super::errors::{self, Outcome};
use super::super::limits::window_end;
use super::super::message::time;
use super::asks::{Ask, Pending};
use super::replies::ErrorBody;
use super::{OrderProtocol, Trouble, VENUE_PATIENCE};
use crate::core::payload::{OrderDone, OrderReject};
use crate::core::{Event, EventKind, Nanos, Payload, Price, Qty, Span};

impl OrderProtocol {
    pub(super) fn on_error(
        &mut self,
        pending: Pending,
        status: u16,
        error: &ErrorBody<'_>,
        at: Nanos,
        emit: &mut impl FnMut(Event),
    ) {
        let (code, outcome) = (error.code, errors::outcome(status, error.code, &error.msg));
        if outcome == Outcome::Limited {
            self.limited(status, error, at);
            if pending.ask.is_session() {
                // It waits for the end of the silence; a new connection would only have to ask the same.
                return self.queue.push(pending.ask);
            }
        }
        if code == errors::CLOCK {
            self.clock.doubt();
            self.queue.push(Ask::Time);
        }
        if errors::KEY_REFUSED.contains(&code) {
            self.trouble = Some(Trouble::Key { code, message: short(&error.msg) });
        }
        match pending.ask {
            // Without the venue's time our own has to do.
            Ask::Time => self.log_on(),
            Ask::Logon | Ask::Subscribe | Ask::ListenKey => {
                if code == errors::ALREADY_SUBSCRIBED {
                    return self.ready(at, emit);
                }
                let what = if pending.ask == Ask::Logon { "the logon" } else { "the subscription" };
                self.trouble.get_or_insert(Trouble::Session { what, code, message: short(&error.msg) });
                self.restart = true;
            }
            Ask::Place { order, instrument } => match outcome {
                Outcome::Unknown => self.counters.unknown_outcomes += 1,
                Outcome::Refused | Outcome::Limited => {
                    let code = Some(errors::reject_code(status, code, &error.msg));
                    let reject = OrderReject { order, code, price: Price::ZERO };
                    emit(reject.event(EventKind::OrderRejected, instrument, Nanos::NONE, at));
                }
            },
            Ask::Cancel { order, instrument } if code == errors::CANCEL_REJECTED => {
                let done = OrderDone { order, filled: Qty::ZERO };
                emit(done.event(EventKind::CancelRejected, instrument, Nanos::NONE, at));
            }
            Ask::Status { order, instrument } if code == errors::NO_SUCH_ORDER => {
                let patience = self.params.receive_window.0.saturating_add(VENUE_PATIENCE.0);
                // Counted from when the question was put: its answer is no younger than that.
                if pending.sent.since(self.sent_at(order)).0 >= patience {
                    let done = OrderDone { order, filled: Qty::ZERO };
                    emit(done.event(EventKind::OrderNotFound, instrument, Nanos::NONE, at));
                }
            }
            _ => {}
        }
    }

    /// The venue has had too much of us: of everything, or of orders.
    fn limited(&mut self, status: u16, error: &ErrorBody<'_>, at: Nanos) {
        let until = error.data.and_then(|data| data.retry_after).map(time);
        let venue_now = self.clock.venue_time(at);
        // 418 is a ban, whatever for.
        if error.code == errors::TOO_MANY_ORDERS && status != 418 {
            let window = errors::order_window(&error.msg);
            self.limits.stop_orders(until.unwrap_or(window_end(venue_now, window)));
        } else {
            self.limits.silence(until.unwrap_or(venue_now.plus(Span::seconds(10))));
        }
    }
}

/// The venue's words, bounded.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

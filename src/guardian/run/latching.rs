//! Putting a latch in its place, and a person taking it away.

use super::{Clock, Watch};
use crate::core::{Nanos, Span};
use crate::guardian::act::Order;
use crate::guardian::condition::{Condition, Reading};
use crate::guardian::events::{Code, Severity};
use crate::guardian::latch::{self, LatchRecord};
use crate::guardian::requests::ResetRequest;
use crate::snapshot::Level;

impl<C: Clock> Watch<C> {
    pub(super) fn write_latch(&mut self, latch: u64, level: Level, condition: Condition, reading: &Reading) {
        let at = self.clock.utc();
        let (value, limit) = (reading.value.to_string(), reading.limit.to_string());
        let mut record = LatchRecord::new(latch, level, condition.name(), value, limit, at);
        let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        record.evidence = self.moment().evidence().into_iter().map(|(key, value)| (key, text(value))).collect();
        if let Err(error) = self.put_latch(&record) {
            let title = format!("The latch could not be written: {error}");
            let text = "The guardian acts all the same, and goes on trying to write it; do not restart it.";
            let event = self.moment().event(Code::LatchFailed, Severity::Critical, title, text.into());
            self.recorder.tell(event, true);
            self.unwritten = Some(record);
        } else {
            self.unwritten = None;
        }
    }

    /// A latch that the disk did not take before.
    pub(super) fn retry_latch(&mut self) {
        if let Some(record) = self.unwritten.take()
            && self.put_latch(&record).is_err()
        {
            self.unwritten = Some(record);
        }
    }

    fn put_latch(&mut self, record: &LatchRecord) -> std::io::Result<()> {
        let file = self.latch.write(record)?;
        let title = format!(
            "LATCHED {} by {}: {} (limit {})",
            record.level.name(),
            record.condition,
            record.value,
            record.limit
        );
        let text = "Trading is refused until a person runs pawl guardian reset.";
        let event = self.moment().event(Code::Latched, Severity::Critical, title, text.into());
        self.recorder.sync_latch(file);
        self.recorder.tell(event, true);
        Ok(())
    }

    /// True when the venue was read after everything was brought to a stop, not long ago, and nothing was open.
    fn is_seen_flat(&self, now: u64) -> bool {
        let stopped = self.guard.halted_ns().unwrap_or(0);
        self.facts.is_some_and(|facts| {
            let age = Span(now.saturating_sub(facts.began_ns));
            facts.is_flat() && facts.began_ns > stopped && age <= self.params.venue.limit
        })
    }

    /// A person on this machine clears the latch.
    pub(super) fn reset(&mut self, request: &ResetRequest, now: u64) {
        if !self.is_seen_flat(now) && !request.accept_positions {
            let text = "something is open at the venue, or it has not been read since: close it, or accept it with --accept-positions";
            return request.reply(&self.state, false, text);
        }
        let title = format!("Latch cleared by {} (uid {}): {}", request.who, request.uid, request.reason);
        let mut event = self.moment().event(Code::LatchReset, Severity::Warning, title, String::new());
        event.level = Level::Active;
        for (key, value) in [("who", request.who.clone()), ("reason", request.reason.clone())] {
            event.evidence.insert(key.to_owned(), value.into());
        }
        event.evidence.insert("uid".into(), request.uid.into());
        self.recorder.tell(event, true);
        if let Err(error) = latch::remove(&self.state) {
            return request.reply(&self.state, false, &error.to_string());
        }
        self.guard.reset(request.new_reference);
        self.eye.forget();
        self.fence.open();
        (self.resumed, self.excess, self.unwritten) = (false, 0, None);
        let _ = self.actor.orders.send(Order::Forget);
        self.save_wanted = true;
        match self.page.renew() {
            Ok(()) => request.reply(&self.state, true, "cleared"),
            Err(error) => request.reply(&self.state, false, &format!("cleared, but restart the guardian: {error}")),
        }
    }

    /// Takes up what a person asks for on this machine, if it still means what is.
    pub(super) fn take_reset(&mut self, now: u64, utc: Nanos) {
        let Some((request, still_meant)) = ResetRequest::take(&self.state, utc) else { return };
        match still_meant {
            Ok(()) => self.reset(&request, now),
            Err(why) => request.reply(&self.state, false, why),
        }
    }
}

//! The polling thread: reads the account at the venue on a connection of its own, so that no slow answer
//! ever stands between a breach and its liquidation. It also keeps the venue's dead-man switch armed, and
//! only while the engine is well: when either of the two dies, the switch runs out.
//!
//! What a read has cost makes the next one wait, so that the venue's limit is never half used up; a venue that wants
//! silence hears nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::core::Span;
use crate::snapshot::monotonic_ns;

use super::binance::{BinanceSession, Touches, time_for};
use super::cash::CashMark;
use super::observation::VenueFacts;
use super::store::CashSaver;

/// How often the account is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Often {
    /// From read to read, as configured.
    pub(super) every: Span,
    /// Weight that the venue allows in a minute.
    pub(super) limit: u32,
}

impl Often {
    /// The pause after a read that weighed so much and took so long, where the venue wants so much silence.
    fn pause(&self, spent: u32, taken: Span, silence: Span) -> Span {
        let due = self.every.max(time_for(spent, self.limit));
        Span(due.0.saturating_sub(taken.0)).max(silence).max(SHORTEST_PAUSE)
    }
}

/// Between two reads, whatever is configured.
const SHORTEST_PAUSE: Span = Span::millis(1);

/// Sleeps, but not on when it is told to stop: silence may last for minutes.
fn rest(span: Span, stop: &AtomicBool) {
    const SLICE: Span = Span::millis(500);
    let until = monotonic_ns().saturating_add(span.0);
    while !stop.load(Ordering::Acquire) {
        let left = until.saturating_sub(monotonic_ns());
        if left == 0 {
            return;
        }
        std::thread::sleep(Duration::from_nanos(left.min(SLICE.0)));
    }
}

/// The other end of the thread.
#[derive(Debug)]
pub(super) struct Poller {
    facts: Arc<Mutex<(Option<VenueFacts>, String)>>,
    engine_is_well: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Poller {
    /// Starts the thread. It ends when this end is dropped.
    pub(super) fn start(
        mut session: BinanceSession,
        touches: Touches,
        often: Often,
        dead_man: Span,
        saver: CashSaver,
    ) -> Self {
        let facts = Arc::new(Mutex::new((None, String::new())));
        let (engine_is_well, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let poller =
            Self { facts: Arc::clone(&facts), engine_is_well: Arc::clone(&engine_is_well), stop: Arc::clone(&stop) };
        std::thread::spawn(move || {
            let mut armed_ns = 0;
            let mut saved: Option<CashMark> = None;
            while !stop.load(Ordering::Acquire) {
                let began = monotonic_ns();
                let read = session.facts(&touches);
                if let Some(mark) = session.cash_mark().filter(|mark| saved.as_ref() != Some(mark)) {
                    saver.save(mark.clone());
                    saved = Some(mark);
                }
                if let Ok(mut slot) = facts.lock() {
                    match read {
                        Ok(read) => *slot = (Some(read), String::new()),
                        Err(error) => slot.1 = error.to_string(),
                    }
                }
                // Three chances to renew it before it runs out.
                let due = armed_ns == 0 || began.saturating_sub(armed_ns) >= dead_man.0 / 3;
                if dead_man.0 > 0
                    && due
                    && engine_is_well.load(Ordering::Acquire)
                    && session.arm_dead_man(dead_man).is_ok()
                {
                    armed_ns = began.max(1);
                }
                let taken = Span(monotonic_ns().saturating_sub(began));
                rest(often.pause(session.take_spent(), taken, session.silence()), &stop);
            }
        });
        poller
    }

    /// The last good read, into `out`; and what went wrong with the last read, if something did.
    pub(super) fn look(&self, out: &mut Option<VenueFacts>) -> Option<String> {
        // The other thread holds the lock for a copy: should it hold it now, the last look stands.
        let Ok(slot) = self.facts.try_lock() else { return None };
        let seen = out.map_or(0, |facts| facts.number);
        if let Some(facts) = slot.0.filter(|facts| facts.number != seen) {
            *out = Some(facts);
        }
        (!slot.1.is_empty()).then(|| slot.1.clone())
    }

    /// Whether the dead-man switch is to be kept from running out.
    pub(super) fn engine_is_well(&self, well: bool) {
        self.engine_is_well.store(well, Ordering::Release);
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_read_waits_for_what_the_last_one_cost_and_for_the_silence_the_venue_wants() {
        let often = Often { every: Span::seconds(1), limit: 6000 };
        let nothing = Span::ZERO;
        assert_eq!(often.pause(36, nothing, nothing), Span::seconds(1), "cheap: as configured");
        assert_eq!(often.pause(36, Span::millis(300), nothing), Span::millis(700));
        assert_eq!(often.pause(320, Span::millis(300), nothing), Span::millis(6100), "dear");
        assert_eq!(often.pause(36, Span::seconds(5), nothing), SHORTEST_PAUSE, "slow");
        assert_eq!(often.pause(36, nothing, Span::seconds(90)), Span::seconds(90), "limited");
        assert_eq!(often.pause(u32::MAX, nothing, nothing).0, 20_000_000 * u64::from(u32::MAX));
    }
}

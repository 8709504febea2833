//! `pawl record`: the market data of a venue into a journal, and nothing else. No key is needed; what
//! was recorded is read by `pawl backtest` and `pawl train` like any other journal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::core::{Event, EventKind, Nanos};
use crate::journal::{JournalError, SessionWriter};

use super::poller::Poller;
use super::{MarketWire, session_clock};

/// Events that one round may bring.
const INBOX: usize = 4096;
const NAP: Duration = Duration::from_millis(5);

/// What was recorded so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Best prices.
    pub quotes: u64,
    /// Public trades.
    pub trades: u64,
    /// Holes announced by the wire.
    pub gaps: u64,
    /// Records that found no place on the disk.
    pub lost: u64,
}

/// Records until told to stop; the wire's sockets are the poller's. `progress` is told after each round that brought something.
///
/// # Errors
/// The journal cannot be closed.
pub fn record(
    mut wire: impl MarketWire,
    mut poller: Poller,
    mut journal: SessionWriter,
    signals: &AtomicUsize,
    mut progress: impl FnMut(&Recorded),
) -> Result<Recorded, JournalError> {
    let mut inbox: Vec<Event> = Vec::with_capacity(INBOX);
    let (mut recorded, mut last) = (Recorded::default(), Nanos::NONE);
    while signals.load(Ordering::Relaxed) == 0 {
        let more = wire.poll(session_clock(), &mut |event| inbox.push(event));
        if inbox.is_empty() {
            if !more {
                poller.wait(NAP);
            }
            continue;
        }
        for mut event in inbox.drain(..) {
            event.local_ns = event.local_ns.max(last);
            last = event.local_ns;
            let count = match event.kind {
                EventKind::Quote => &mut recorded.quotes,
                EventKind::Trade => &mut recorded.trades,
                EventKind::Gap => &mut recorded.gaps,
                // Connections come and go: the gap tells what matters of it.
                _ => continue,
            };
            match journal.input.append(&event) {
                Ok(_) => *count += 1,
                Err(_) => recorded.lost += 1,
            }
        }
        progress(&recorded);
    }
    wire.cut();
    journal.close()?;
    Ok(recorded)
}

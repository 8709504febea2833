//! From sources to channels: what is published goes into each channel's queue; one thread a channel
//! empties it. Channels know nothing of each other, except that one's trouble is told on the others.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::alert::{Alert, Severity};
use super::channel::{Channel, Outcome};
use super::pace::Pace;
use super::render::duration;
use super::repeats::Repeats;
use super::secret::Scrubber;
use super::spool::{Spool, Taken};
use crate::core::{Nanos, Span};

/// Characters of several notices in one message.
const CHARACTERS: usize = 3000;
/// Failures in a row after which the other channels are told.
const TELL_AFTER: u32 = 4;
/// Longest sleep of a thread, so that it sees the end of the program.
const NAP: Duration = Duration::from_millis(500);

/// One channel's queue and its bell.
struct Lane {
    name: String,
    min_severity: Severity,
    spool: Mutex<Spool>,
    bell: Condvar,
}

/// Everything that publishers and channel threads share.
pub(super) struct Hub {
    lanes: Vec<Lane>,
    repeats: Mutex<Repeats>,
    scrubber: Scrubber,
    stopping: AtomicBool,
    began: Instant,
}

/// A lock whose holder panicked guards data that is still whole: each change is one call.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// UTC now.
pub(super) fn utc_now() -> Nanos {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Nanos(now.as_nanos() as u64)
}

impl Hub {
    /// A hub over these queues: name, least gravity, queue.
    pub(super) fn new(lanes: Vec<(String, Severity, Spool)>, repeat_window: Span, scrubber: Scrubber) -> Self {
        let lanes = lanes.into_iter().map(|(name, min_severity, spool)| Lane {
            name,
            min_severity,
            spool: Mutex::new(spool),
            bell: Condvar::new(),
        });
        Self {
            lanes: lanes.collect(),
            repeats: Mutex::new(Repeats::new(repeat_window)),
            scrubber,
            stopping: AtomicBool::new(false),
            began: Instant::now(),
        }
    }

    /// A line for the operator's log: standard error, scrubbed.
    pub(super) fn log(&self, text: &str) {
        // A log that cannot be written must not end the alerts.
        let _ = writeln!(std::io::stderr(), "{} notify: {}", &utc_now().to_string()[..23], self.scrubber.clean(text));
    }

    /// Time that does not go back, for paces.
    pub(super) fn monotonic(&self) -> Nanos {
        Nanos(self.began.elapsed().as_nanos() as u64 + 1)
    }

    /// Puts an alert into every queue that wants it, unless it repeats one of a moment ago.
    pub(super) fn publish(&self, alert: &Alert) {
        if held(&self.repeats).admit(alert, self.monotonic()) {
            self.enqueue(alert, None);
        }
    }

    /// Publishes the counts of repetitions whose window ended.
    pub(super) fn tell_repeats(&self) {
        let counts = held(&self.repeats).expired(self.monotonic());
        for count in &counts {
            self.enqueue(count, None);
        }
    }

    fn enqueue(&self, alert: &Alert, except: Option<usize>) {
        for (index, lane) in self.lanes.iter().enumerate() {
            if alert.severity < lane.min_severity || except == Some(index) {
                continue;
            }
            let taken = held(&lane.spool).push(alert);
            lane.bell.notify_one();
            match taken {
                Taken::InMemory => {
                    self.log(&format!("{}: {} is kept in memory only, the disk refuses", lane.name, alert.id));
                }
                Taken::Dropped => {
                    self.log(&format!("{}: {} dropped, the queue is full of graver ones", lane.name, alert.id));
                }
                Taken::Queued | Taken::Known => {}
            }
        }
    }

    /// Alerts that wait, by channel.
    pub(super) fn waiting(&self) -> Vec<(String, usize)> {
        self.lanes.iter().map(|lane| (lane.name.clone(), held(&lane.spool).len())).collect()
    }

    /// Ends every channel's thread after what it is doing.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for lane in &self.lanes {
            lane.bell.notify_all();
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Empties one queue into its channel until the hub stops.
    pub(super) fn serve(&self, index: usize, channel: &mut dyn Channel, pace: &mut Pace) {
        let lane = &self.lanes[index];
        while let Some(batch) = self.next_batch(lane, channel.most(), pace) {
            pace.on_send(self.monotonic());
            let outcome = channel.send(&batch);
            self.after(index, &batch, outcome, pace);
        }
    }

    /// Waits until something may be sent; `None` when the hub stops.
    fn next_batch(&self, lane: &Lane, most: usize, pace: &Pace) -> Option<Vec<Alert>> {
        let mut spool = held(&lane.spool);
        loop {
            if self.is_stopping() {
                return None;
            }
            let wait = pace.ready_at().since(self.monotonic());
            let batch = spool.head(most, CHARACTERS);
            if !batch.is_empty() && wait == Span::ZERO {
                return Some(batch);
            }
            let nap = if batch.is_empty() { NAP } else { NAP.min(Duration::from_nanos(wait.0)) };
            spool = lane.bell.wait_timeout(spool, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn after(&self, index: usize, batch: &[Alert], outcome: Outcome, pace: &mut Pace) {
        let lane = &self.lanes[index];
        let now = self.monotonic();
        let name = &lane.name;
        match outcome {
            Outcome::Delivered => {
                if pace.failures() > 0 {
                    self.log(&format!("{name}: works again"));
                }
                pace.on_delivered();
                let mut spool = held(&lane.spool);
                spool.done(batch);
                let dropped = spool.take_dropped();
                if dropped > 0 {
                    let title = format!("{dropped} lesser alerts were dropped: the queue of {name} was full");
                    let id = format!("dropped-{name}-{}", utc_now().0);
                    spool.push(&Alert::new(id, Severity::Warning, utc_now(), title));
                }
            }
            Outcome::Wait(asked) => {
                let pause = pace.on_asked(now, asked);
                self.log(&format!("{name}: asked to wait {}", duration(pause.0)));
            }
            Outcome::Failed(why) => {
                let pause = pace.on_failure(now);
                self.log(&format!("{name}: {why}; trying again in {}", duration(pause.0)));
                if pace.failures() == TELL_AFTER {
                    self.trouble(
                        index,
                        "failing",
                        &format!("Alerts by {name} FAIL: {why}"),
                        "trying on; nothing is lost",
                    );
                }
            }
            Outcome::Refused(why) => {
                // This message would block every later one: it goes, and the others tell that it went.
                held(&lane.spool).done(batch);
                let ids: Vec<&str> = batch.iter().map(|alert| alert.id.as_str()).collect();
                self.log(&format!("{name}: refused {}: {why}", ids.join(" ")));
                let title = format!("{name} REFUSED an alert: {why}");
                self.trouble(index, "refused", &title, &format!("not sent there: {}", ids.join(" ")));
            }
            Outcome::LockedOut(why) => {
                let pause = pace.on_locked_out(now);
                self.log(&format!("{name}: {why}; trying again in {}", duration(pause.0)));
                let title = format!("Alerts by {name} are LOCKED OUT: {why}");
                self.trouble(index, "locked-out", &title, "trying each 15 minutes; its alerts wait");
            }
        }
    }

    /// Tells the other channels.
    fn trouble(&self, index: usize, kind: &str, title: &str, doing: &str) {
        let name = &self.lanes[index].name;
        let now = utc_now();
        let title = self.scrubber.clean(title);
        let mut alert = Alert::new(format!("{name}-{kind}-{}", now.0 / 1_000_000), Severity::Warning, now, title);
        alert.group = format!("channel/{name}/{kind}");
        doing.clone_into(&mut alert.doing);
        if held(&self.repeats).admit(&alert, self.monotonic()) {
            self.enqueue(&alert, Some(index));
        }
    }
}

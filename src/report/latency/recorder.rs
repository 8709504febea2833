//! The hot side of measuring: one recorder a thread, owned by it, never shared, never allocating.
//!
//! A recorder fills a [`Frame`]: the counts of a histogram a hop, the worst events, the thread's counters. When an
//! interval is over and the cold thread has given an empty frame back, the two change places (see
//! `handover.rs`); when it has not, the interval simply goes on: nothing is lost and nothing waits.
//!
//! **Coordinated omission.** A measurement that starts when the program gets round to an event hides
//! the time for which the event had to wait. So [`Recorder::begin`] takes the stamp of the arrival:
//! - live: the end of the `read` that brought the frame. All frames of one read share it, so that the
//!   tenth pays for the nine before it. What the socket itself held back is bounded by
//!   [`Hop::Unread`]: the time since the last look that found nothing there;
//! - over a ring: the producer's stamp, which travels with the event;
//! - paced benches: the instant at which the event was *meant* to come, whether or not the generator
//!   was on time;
//! - backtest and demo: there is no arrival, since the next event is read when the last is done. What
//!   they record is service time, and the report says so.
//!
//! No figure is "corrected" afterwards: a live feed has no fixed interval to correct by.

use std::sync::Arc;

use hdrhistogram::Histogram;

use super::causes::Causes;
use super::handover::Slot;
use super::hop::Hop;
use super::tally::Tallies;
use crate::engine::clock::{Stamp, StampClock};

/// Longest span that a histogram tells apart, a minute; longer ones count as this.
pub(super) const LONGEST_NS: u64 = 60_000_000_000;
/// Decimal digits kept: a percentile is right to 1 %, and twelve histograms stay in the second-level cache.
const DIGITS: u8 = 2;
/// Worst events kept of an interval.
pub(super) const OUTLIERS: usize = 16;
/// Events quicker than this are never outliers: the end-to-end budget at p99.9.
const OUTLIER_FLOOR_NS: u64 = 5_000;

/// The counters of the thread are read at most this often, nanoseconds: a reading is a system call.
const SAMPLE_EVERY_NS: u64 = 100_000;

/// A histogram of nanoseconds, as every part of the measurement uses it.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("constant bounds are valid")
}

/// One of the slowest events of an interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outlier {
    /// When it was done.
    pub at: Stamp,
    /// From arrival to last decision, nanoseconds.
    pub total_ns: u64,
    /// Its slowest hop, where hops of this event were timed.
    pub slowest: Option<(Hop, u64)>,
    /// What was counted between the last sample of the counters and this event's end.
    pub causes: Causes,
    /// How long ago the counters had been sampled, nanoseconds.
    pub window_ns: u64,
}

/// What a thread measured in one interval.
pub struct Frame {
    /// First instant.
    pub from: Stamp,
    /// Last instant.
    pub until: Stamp,
    /// Nanoseconds of each hop, by its number.
    hops: Tallies,
    /// The slowest events, in no order; at most [`OUTLIERS`].
    pub outliers: Vec<Outlier>,
    /// What the system counted for the thread.
    pub causes: Causes,
}

impl Frame {
    fn new() -> Self {
        Self {
            from: Stamp(0),
            until: Stamp(0),
            hops: Tallies::new(Hop::COUNT),
            outliers: Vec::with_capacity(OUTLIERS),
            causes: Causes::default(),
        }
    }

    /// Forgets everything; keeps the memory.
    pub fn clear(&mut self) {
        self.hops.clear();
        self.outliers.clear();
        self.causes = Causes::default();
    }

    /// The histogram of a hop.
    pub fn hop(&self, hop: Hop) -> Histogram<u64> {
        self.hops.histogram(hop as usize)
    }
}

/// The two slots between a hot thread and the cold one.
#[derive(Default)]
pub(super) struct Exchange {
    full: Slot<Frame>,
    empty: Slot<Frame>,
}

impl Exchange {
    /// With the second frame waiting in `empty`.
    pub(super) fn new() -> Self {
        let exchange = Self::default();
        exchange.empty.put(Box::new(Frame::new()));
        exchange
    }

    /// Cold side: a full frame, if the hot thread has given one.
    pub(super) fn collect(&self) -> Option<Box<Frame>> {
        self.full.take()
    }

    /// Cold side: gives a frame back, empty.
    pub(super) fn give_back(&self, mut frame: Box<Frame>) {
        frame.clear();
        self.empty.put(frame);
    }
}

/// Records the hops of one thread.
pub struct Recorder {
    clock: StampClock,
    frame: Box<Frame>,
    exchange: Option<Arc<Exchange>>,
    /// Ticks after which a frame is given away, and when that is.
    interval: u64,
    due: Stamp,
    /// Smallest cost of a pair of ordered stamps: subtracted from each hop.
    overhead_ns: u64,
    began: Stamp,
    /// The event had arrived this long before `began`.
    late_ns: u64,
    last: Stamp,
    /// Hops of the present event are timed: what that costs is in its total.
    hops_timed: bool,
    slowest: Option<(Hop, u64)>,
    /// Total from which an event is an outlier.
    outlier_above: u64,
    sampled: (Stamp, Causes),
    /// What the last sample brought, and over which time.
    delta: (Causes, u64),
    /// End of the event before.
    ended: Stamp,
    reconnects: u64,
}

impl Recorder {
    /// A recorder that keeps everything in one frame.
    pub fn local(clock: StampClock) -> Self {
        Self::new(clock, None, u64::MAX)
    }

    pub(super) fn new(clock: StampClock, exchange: Option<Arc<Exchange>>, interval_ns: u64) -> Self {
        let pair = || {
            let first = clock.now_ordered();
            clock.nanos(first, clock.now_ordered())
        };
        let overhead_ns = (0..10_000).map(|_| pair()).min().unwrap_or(0);
        let now = clock.now();
        let mut frame = Box::new(Frame::new());
        frame.from = now;
        let interval = if interval_ns == u64::MAX { u64::MAX } else { clock.ticks(interval_ns) };
        Self {
            clock,
            frame,
            exchange,
            interval,
            due: Stamp(now.0.saturating_add(interval)),
            overhead_ns,
            began: now,
            late_ns: 0,
            last: now,
            hops_timed: false,
            slowest: None,
            outlier_above: OUTLIER_FLOOR_NS,
            sampled: (now, Causes::of_this_thread()),
            delta: (Causes::default(), 0),
            ended: now,
            reconnects: 0,
        }
    }

    /// The clock that stamps of this recorder are made with.
    #[inline]
    pub fn clock(&self) -> &StampClock {
        &self.clock
    }

    /// An event arrived at `arrival`; see the module's head for which instant that is.
    #[inline]
    pub fn begin(&mut self, arrival: Stamp) {
        self.began = arrival;
        self.late_ns = 0;
        self.slowest = None;
        self.hops_timed = false;
    }

    /// An event is taken up right after the last one ended: no stamp is needed.
    #[inline]
    pub fn begin_next(&mut self) {
        self.begin(self.ended);
    }

    /// An event arrived this long before `seen`.
    #[inline]
    pub fn begin_late(&mut self, seen: Stamp, late_ns: u64) {
        self.begin(seen);
        self.late_ns = late_ns;
    }

    /// From here on [`Recorder::mark`] times hops. The total of such an event holds the cost of timing
    /// them and is not added to [`Hop::Total`]: time hops on a sample of the events.
    #[inline]
    pub fn begin_hops(&mut self) {
        self.hops_timed = true;
        self.last = self.clock.now_ordered();
    }

    /// The event came over a ring, put in at `sent` by another core; its hops begin here.
    #[inline]
    pub fn begin_ring(&mut self, sent: Stamp) {
        self.begin_hops();
        let now = self.last;
        if sent > now {
            // The counters of two cores may differ by a few nanoseconds; how often that showed is counted.
            self.frame.causes.skewed += 1;
        }
        self.record(Hop::Ring, self.clock.nanos(sent, now).max(1));
    }

    /// A hop ended; the next one begins.
    #[inline]
    pub fn mark(&mut self, hop: Hop) {
        let now = self.clock.now_ordered();
        let nanos = self.clock.nanos(self.last, now).saturating_sub(self.overhead_ns).max(1);
        self.record(hop, nanos);
        if self.slowest.is_none_or(|(_, most)| nanos > most) {
            self.slowest = Some((hop, nanos));
        }
        // Not read again: the nanoseconds of recording this hop are in the next one, and the stamp that
        // a second reading would cost is not spent.
        self.last = now;
    }

    /// Everything about the event is done; `ordered` when it caused an order.
    #[inline]
    pub fn end(&mut self, ordered: bool) {
        let now = self.clock.now();
        let nanos = self.clock.nanos(self.began, now).saturating_add(self.late_ns).max(1);
        if !self.hops_timed {
            self.record(Hop::Total, nanos);
            if ordered {
                self.record(Hop::Order, nanos);
            }
        }
        if nanos > self.outlier_above {
            self.keep_outlier(now, nanos);
        }
        if now >= self.due {
            self.give_away(now);
        }
        self.ended = now;
    }

    /// A span that the caller measured itself, nanoseconds.
    #[inline]
    pub fn record(&mut self, hop: Hop, nanos: u64) {
        self.frame.hops.count(hop as usize, nanos);
    }

    /// Gives a frame away that is due; for threads that are never idle and end no event.
    #[inline]
    pub fn tick(&mut self) {
        let now = self.clock.now();
        if now >= self.due {
            self.give_away(now);
        }
    }

    /// Nothing to do just now: samples the thread's counters and gives a frame away that is due.
    #[inline]
    pub fn idle(&mut self) {
        let now = self.clock.now();
        if self.clock.nanos(self.sampled.0, now) > 10_000_000 {
            self.sample(now);
        }
        if now >= self.due {
            self.give_away(now);
        }
    }

    /// What a pair of ordered stamps costs at least, nanoseconds.
    pub fn overhead_ns(&self) -> u64 {
        self.overhead_ns
    }

    /// A connection to the venue was lost or made.
    pub fn reconnected(&mut self) {
        self.reconnects += 1;
    }

    /// Reads the counters: what was counted since the last time, and how long ago that was.
    fn sample(&mut self, now: Stamp) {
        let causes = Causes { reconnects: self.reconnects, ..Causes::of_this_thread() };
        let delta = causes.since(&self.sampled.1);
        let window = self.clock.nanos(self.sampled.0, now);
        self.sampled = (now, causes);
        self.frame.causes = self.frame.causes.and(&delta);
        self.delta = (delta, window);
    }

    #[cold]
    fn keep_outlier(&mut self, at: Stamp, total_ns: u64) {
        // Events that grow slower one by one are outliers each: the system is not asked for every one.
        if self.clock.nanos(self.sampled.0, at) >= SAMPLE_EVERY_NS {
            self.sample(at);
        }
        let (causes, window_ns) = self.delta;
        let outlier = Outlier { at, total_ns, slowest: self.slowest, causes, window_ns };
        let kept = &mut self.frame.outliers;
        if kept.len() < OUTLIERS {
            kept.push(outlier);
        } else if let Some(least) = kept.iter_mut().min_by_key(|kept| kept.total_ns) {
            *least = outlier;
        }
        if kept.len() == OUTLIERS {
            self.outlier_above = kept.iter().map(|kept| kept.total_ns).min().unwrap_or(OUTLIER_FLOOR_NS);
        }
    }

    #[cold]
    fn give_away(&mut self, now: Stamp) {
        let Some(exchange) = self.exchange.clone() else { return };
        let Some(empty) = exchange.empty.take() else { return };
        self.sample(now);
        self.frame.until = now;
        let full = std::mem::replace(&mut self.frame, empty);
        let unread = exchange.full.put(full);
        debug_assert!(unread.is_none(), "two frames are in circulation: a full one cannot be waiting");
        self.frame.from = now;
        self.due = Stamp(now.0.saturating_add(self.interval));
        self.outlier_above = OUTLIER_FLOOR_NS;
    }

    /// The thread ends: its last frame, for the log or for a table.
    pub fn into_last_frame(mut self) -> Box<Frame> {
        let now = self.clock.now();
        self.sample(now);
        self.frame.until = now;
        self.frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder() -> Recorder {
        Recorder::local(StampClock::monotonic())
    }

    #[test]
    fn the_total_is_counted_from_the_arrival_and_not_from_when_the_thread_got_round_to_it() {
        let mut recorder = recorder();
        let now = recorder.clock.now();
        let arrival = Stamp(now.0 - recorder.clock.ticks(3_000_000));
        recorder.begin(arrival);
        recorder.end(true);
        let frame = recorder.into_last_frame();
        assert!(frame.hop(Hop::Total).min() >= 2_900_000 && frame.hop(Hop::Order).len() == 1);
        assert_eq!(frame.outliers.len(), 1);
    }

    #[test]
    fn an_event_whose_hops_are_timed_tells_its_slowest_hop_and_does_not_blur_the_totals() {
        let mut recorder = recorder();
        recorder.begin(Stamp(recorder.clock.now().0 - 3_000_000));
        recorder.begin_hops();
        recorder.mark(Hop::Quant);
        recorder.end(true);
        let frame = recorder.into_last_frame();
        assert!(frame.hop(Hop::Total).is_empty() && frame.hop(Hop::Quant).len() == 1);
        assert_eq!(frame.outliers[0].slowest.map(|(hop, _)| hop), Some(Hop::Quant));
    }

    #[test]
    fn only_the_slowest_events_of_an_interval_are_kept() {
        let mut recorder = recorder();
        for step in 1..=100u64 {
            recorder.begin(Stamp(recorder.clock.now().0 - step * 1_000_000));
            recorder.end(false);
        }
        let frame = recorder.into_last_frame();
        assert_eq!(frame.outliers.len(), OUTLIERS);
        assert!(frame.outliers.iter().all(|outlier| outlier.total_ns >= 85_000_000), "{:?}", frame.outliers);
    }

    #[test]
    fn outliers_in_quick_succession_share_one_reading_of_the_counters() {
        let mut recorder = recorder();
        for step in 1..=2_000u64 {
            recorder.begin(Stamp(recorder.clock.now().0 - 10_000 * step));
            recorder.end(false);
        }
        let mut kept = recorder.into_last_frame().outliers;
        kept.sort_by_key(|outlier| outlier.at);
        let shared = kept.windows(2).filter(|pair| pair[0].window_ns == pair[1].window_ns).count();
        for pair in kept.windows(2).filter(|pair| pair[0].window_ns != pair[1].window_ns) {
            assert!(pair[1].at.0 - pair[0].at.0 > 0 && pair[1].window_ns >= SAMPLE_EVERY_NS, "{pair:?}");
        }
        assert!(shared > 0, "2000 events in a row were each a system call: {kept:?}");
    }

    #[test]
    fn without_an_empty_frame_the_interval_goes_on_and_nothing_is_lost() {
        let exchange = Arc::new(Exchange::new());
        let mut recorder = Recorder::new(StampClock::monotonic(), Some(Arc::clone(&exchange)), 1);
        for _ in 0..10 {
            recorder.begin(Stamp(recorder.clock.now().0 - 10));
            recorder.end(false);
        }
        let first = exchange.collect().expect("the first interval was given away");
        assert_eq!(first.hop(Hop::Total).len(), 1);
        exchange.give_back(first);
        recorder.idle();
        let second = exchange.collect().expect("the second followed when a frame was free");
        assert_eq!(second.hop(Hop::Total).len(), 9);
        exchange.give_back(second);
        assert!(recorder.into_last_frame().hop(Hop::Total).is_empty());
    }
}

//! What takes more than one look to see: how long nothing moved, how often something happened.
//!
//! Ages are sums of the time between looks, and one look counts at most [`LONGEST_GAP`]: when the
//! guardian itself was stopped for a while, nobody else is blamed for it.

use std::collections::VecDeque;

use crate::core::{Nanos, Qty, Span};
use crate::snapshot::{EngineState, MAX_HOT_THREADS};

use super::observation::{EngineSight, Observation, VenueFacts};
use super::params::GuardianParams;

/// The longest time that one look can add to an age.
const LONGEST_GAP: Span = Span::millis(100);
/// Samples that a window is made of, at most.
const WINDOW_SAMPLES: u64 = 32;

/// Counts of the last moments of one counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    samples: VecDeque<(u64, u64)>,
}

impl Window {
    fn advance(&mut self, now: u64, count: u64, window: Span) {
        let edge = now.saturating_sub(window.0);
        // The newest sample at or before the edge is what the window is counted from.
        while self.samples.get(1).is_some_and(|(at, _)| *at <= edge) {
            self.samples.pop_front();
        }
        let due = self.samples.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= window.0 / WINDOW_SAMPLES);
        if due {
            self.samples.push_back((now, count));
        }
    }

    /// How far the counter has come within the window. One that went backward is damage: a huge number.
    pub(super) fn within(&self, count: u64) -> u64 {
        self.samples.front().map_or(0, |(_, first)| count.wrapping_sub(*first))
    }
}

/// What was seen over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    last: Option<(u64, Nanos)>,
    engine_number: u64,
    /// Count of each hot thread, and how long it has not moved.
    steps: [(u64, u64); MAX_HOT_THREADS],
    /// How long a position has had no engine that trades.
    pub(super) unattended_ns: u64,
    /// How long the page could not be read.
    pub(super) unreadable_ns: u64,
    pub(super) orders: Window,
    pub(super) rejects: Window,
    /// The largest step of the clock that the venue's clock has not put right.
    pub(super) step_ns: u64,
    stepped_at_ns: u64,
    venue_number: u64,
    /// How long no new read of the account came.
    pub(super) venue_silent_ns: u64,
    /// The fewest lots open in any read since the engine should have stopped.
    pub(super) lots_since_halt: Option<Qty>,
}

impl Sight {
    /// Takes in one look, and says how much time it adds to ages.
    pub(super) fn advance(&mut self, p: &GuardianParams, o: &Observation<'_>, halted_ns: Option<u64>) -> u64 {
        let (since, stepped) = match self.last {
            Some((then, utc)) => {
                let real = o.monotonic_ns.saturating_sub(then);
                let by_date = i128::from(o.utc.0) - i128::from(utc.0);
                (real, u64::try_from((by_date - i128::from(real)).unsigned_abs()).unwrap_or(u64::MAX))
            }
            None => (0, 0),
        };
        self.last = Some((o.monotonic_ns, o.utc));
        let gap = since.min(LONGEST_GAP.0);
        self.see_clock(p, o, stepped);
        self.see_engine(p, o, gap);
        self.see_venue(p, o, gap, halted_ns);
        gap
    }

    fn see_clock(&mut self, p: &GuardianParams, o: &Observation<'_>, stepped: u64) {
        if stepped > p.clock.limit.0 {
            self.step_ns = self.step_ns.max(stepped);
            self.stepped_at_ns = o.monotonic_ns;
        }
        // A read that began after the step and agrees with our clock shows that the clock is right again.
        let agrees = |facts: &VenueFacts| {
            facts.began_ns > self.stepped_at_ns
                && facts.clock_ahead_ns.is_some_and(|ahead| ahead.unsigned_abs() <= p.clock.venue_limit.0)
        };
        if self.step_ns != 0 && o.venue.is_some_and(agrees) {
            self.step_ns = 0;
        }
    }

    fn see_engine(&mut self, p: &GuardianParams, o: &Observation<'_>, gap: u64) {
        let grow = |age: &mut u64, yes: bool| *age = if yes { age.saturating_add(gap) } else { 0 };
        grow(&mut self.unreadable_ns, matches!(o.engine, EngineSight::Unreadable));
        let nobody = match o.engine {
            EngineSight::Absent | EngineSight::Ended { in_good_order: true } => true,
            EngineSight::Alive(view) => matches!(view.snapshot.state, EngineState::Starting | EngineState::Stopped),
            EngineSight::Unreadable | EngineSight::Ended { in_good_order: false } => false,
        };
        grow(&mut self.unattended_ns, nobody && o.venue.is_some_and(|facts| !facts.is_flat()));
        let Some(view) = o.engine.view() else { return };
        if self.engine_number != o.engine_number {
            self.engine_number = o.engine_number;
            (self.orders, self.rejects) = (Window::default(), Window::default());
            self.steps = view.progress.map(|count| (count, 0));
        }
        self.orders.advance(o.monotonic_ns, view.snapshot.orders, p.order_rate.window);
        self.rejects.advance(o.monotonic_ns, view.snapshot.rejects, p.reject_rate.window);
        for ((count, still), now) in self.steps.iter_mut().zip(view.progress) {
            let moved = *count != now || view.snapshot.state == EngineState::Stopped;
            *still = if moved { 0 } else { still.saturating_add(gap) };
            *count = now;
        }
    }

    fn see_venue(&mut self, p: &GuardianParams, o: &Observation<'_>, gap: u64, halted_ns: Option<u64>) {
        let number = o.venue.map_or(0, |facts| facts.number);
        self.venue_silent_ns = if number == self.venue_number { self.venue_silent_ns.saturating_add(gap) } else { 0 };
        self.venue_number = number;
        self.lots_since_halt = match (halted_ns, o.venue) {
            (None, _) => None,
            (Some(halted), Some(facts)) if facts.began_ns >= halted.saturating_add(p.disobedience.grace.0) => {
                let open = facts.open_lots();
                Some(self.lots_since_halt.map_or(open, |least| least.min(open)))
            }
            (Some(_), _) => self.lots_since_halt,
        };
    }

    /// How long the slowest of these hot threads has not moved.
    pub(super) fn oldest_step(&self, threads: usize) -> u64 {
        self.steps.iter().take(threads).map(|(_, still)| *still).max().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_window_counts_at_least_what_it_holds_and_little_more(
            steps in prop::collection::vec((1u64..50, 0u64..4), 1..300),
        ) {
            const WINDOW: u64 = 320;
            let (mut window, mut now, mut count, mut history) = (Window::default(), 1_000, 0, Vec::new());
            for (gap, more) in steps {
                now += gap;
                count += more;
                window.advance(now, count, Span(WINDOW));
                history.push((now, count));
                // By hand, from the whole history: what happened in the window, and in the window plus what
                // one sample (or one gap between looks) can be late.
                let at = |edge: u64| history.iter().rev().find(|(at, _)| *at <= edge).map_or(history[0].1, |(_, count)| *count);
                let (exact, loose) = (count - at(now - WINDOW), count - at(now.saturating_sub(WINDOW + WINDOW / WINDOW_SAMPLES + 50)));
                let found = window.within(count);
                prop_assert!((exact..=loose).contains(&found), "{exact} <= {found} <= {loose}");
            }
        }
    }
}

//! How a live session comes to its end: what the operator's signals ask for, and when it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::live::{LiveParams, OnStop};
use crate::core::{Nanos, Span};
use crate::oms::Oms;

/// While ending, the order to flatten is repeated this often.
const FLATTEN_EVERY: Span = Span::seconds(1);

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// In good order: told to stop, and nothing was left to do.
    Finished,
    /// Told to stop a second time: what was open stayed open.
    AtOnce,
    /// Something was still open when the time for the end ran out.
    TimedOut,
    /// The guardian's kill word: nothing was sent from there on.
    Killed,
    /// A thread failed: entries were stopped, the journal was closed, and what was open stayed open.
    Failed,
}

/// What is to be done next about the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nothing.
    Go,
    /// No more entries; nothing else before the order manager has heard of it.
    StopEntries,
    /// Close what is open.
    Flatten,
    /// It has ended.
    End(Ending),
}

/// Where the session is on its way to the end.
pub(super) struct End {
    signals: Arc<AtomicUsize>,
    on_stop: OnStop,
    timeout: Span,
    since: Option<Nanos>,
    next_flatten: Nanos,
    ending: Option<Ending>,
}

impl End {
    /// Not told to stop yet; `signals` counts how often it is.
    pub(super) fn new(params: &LiveParams, signals: Arc<AtomicUsize>) -> Self {
        Self {
            signals,
            on_stop: params.on_stop,
            timeout: params.stop_timeout,
            since: None,
            next_flatten: Nanos::NONE,
            ending: None,
        }
    }

    /// True from the first signal on.
    pub(super) fn has_begun(&self) -> bool {
        self.since.is_some()
    }

    /// How it ended, once it did. From there on nothing is sent.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// It ended like this; the first ending counts.
    pub(super) fn decide(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// The next step. `heard`: the order manager was told everything that was said so far.
    pub(super) fn step(&mut self, oms: &Oms, heard: bool, now: Nanos) -> Step {
        let signals = self.signals.load(Ordering::Relaxed);
        if self.ending.is_some() || signals == 0 {
            return Step::Go;
        }
        if signals > 1 {
            return self.end(Ending::AtOnce);
        }
        let Some(since) = self.since else {
            self.since = Some(now);
            return Step::StopEntries;
        };
        let flat = self.on_stop == OnStop::Keep || oms.open_lots().is_zero();
        if heard && flat && !oms.has_orders() {
            return self.end(Ending::Finished);
        }
        if now.since(since) > self.timeout {
            return self.end(Ending::TimedOut);
        }
        if self.on_stop == OnStop::Flatten && now >= self.next_flatten {
            self.next_flatten = now.plus(FLATTEN_EVERY);
            return Step::Flatten;
        }
        Step::Go
    }

    fn end(&mut self, ending: Ending) -> Step {
        self.decide(ending);
        Step::End(ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::InstrumentTable;
    use crate::oms::OmsParams;
    use crate::venue::paper::synthetic::specs;

    fn end(signals: usize) -> (End, Oms) {
        let oms = Oms::new(&OmsParams::default(), &InstrumentTable::new(specs(1)).unwrap(), 1).unwrap();
        (End::new(&LiveParams::default(), Arc::new(AtomicUsize::new(signals))), oms)
    }

    #[test]
    fn entries_are_stopped_and_that_is_heard_before_it_ends() {
        let (mut end, oms) = end(0);
        assert_eq!((end.step(&oms, true, Nanos(1)), end.has_begun()), (Step::Go, false));
        end.signals.store(1, Ordering::Relaxed);
        assert_eq!((end.step(&oms, true, Nanos(2)), end.has_begun()), (Step::StopEntries, true));
        assert_eq!(end.step(&oms, false, Nanos(3)), Step::Flatten, "what was said is not heard yet");
        assert_eq!(end.step(&oms, false, Nanos(4)), Step::Go, "not every round");
        assert_eq!(end.step(&oms, true, Nanos(5)), Step::End(Ending::Finished));
        assert_eq!((end.step(&oms, true, Nanos(6)), end.ending()), (Step::Go, Some(Ending::Finished)), "once");
    }

    #[test]
    fn a_second_signal_and_the_time_limit_end_it_as_it_is() {
        let (mut end, oms) = end(1);
        end.step(&oms, true, Nanos(1));
        let late = Nanos(2).plus(LiveParams::default().stop_timeout);
        assert_eq!(end.step(&oms, false, late), Step::End(Ending::TimedOut));
        end.decide(Ending::Killed);
        assert_eq!(end.ending(), Some(Ending::TimedOut), "the first ending counts");
        end = End::new(&LiveParams::default(), Arc::new(AtomicUsize::new(2)));
        assert_eq!(end.step(&oms, true, Nanos(1)), Step::End(Ending::AtOnce));
    }
}

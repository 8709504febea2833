//! Whether the time that a venue put on an event is to be believed.
//!
//! One stamp far in the future must not make everything after it late: nothing would be traded on, exits included, until
//! time has caught up. The receive time is the arbiter, but only of what changes. A local clock that is wrong by any
//! constant costs the first event of a stream and nothing else, since the second leads it by as much and so confirms the
//! first. A stamp that was confirmed and was wrong all the same is given up as soon as a stamp agrees with the receive
//! time again.

use crate::core::{Nanos, Span};

/// What is farther ahead than this has to be confirmed.
pub(super) const FAR: Span = Span::seconds(60);

/// What is made of a stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is the stream's time now.
    Believed,
    /// It is before that of an earlier event.
    Late,
    /// It is too far ahead to be believed alone.
    Doubted,
}

/// When an event happened, by its stamp, and when it was received.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    time: Nanos,
    local: Nanos,
}

impl Seen {
    /// How far the stamp is ahead of the receive time; nothing where that is not known.
    fn lead(self) -> Span {
        if self.local == Nanos::NONE { Span::ZERO } else { self.time.since(self.local) }
    }
}

/// The stamps of one stream, in the order in which its events came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamps {
    /// The last one believed.
    latest: Seen,
    /// The one directly before, where it was doubted.
    doubted: Option<Seen>,
}

impl Stamps {
    /// The stream's time; [`Nanos::NONE`] before the first event.
    pub(super) fn latest(&self) -> Nanos {
        self.latest.time
    }

    /// Judges the stamp of the next event.
    #[inline]
    pub(super) fn judge(&mut self, time: Nanos, local: Nanos) -> Verdict {
        let seen = Seen { time, local };
        let latest = self.latest.time;
        if time >= latest && time.since(latest) <= FAR { self.believe(seen) } else { self.judge_leap(seen) }
    }

    #[inline]
    fn believe(&mut self, seen: Seen) -> Verdict {
        *self = Self { latest: seen, doubted: None };
        Verdict::Believed
    }

    /// A stamp that is late or far ahead: away from the path of nearly all.
    #[cold]
    fn judge_leap(&mut self, seen: Seen) -> Verdict {
        if seen.time < self.latest.time {
            if self.disproves_latest(seen) {
                return self.believe(seen);
            }
            self.doubted = None;
            return Verdict::Late;
        }
        // As far ahead of the receive time as the stamps before it: a quiet market, not a leap.
        if seen.lead().0 <= self.latest.lead().0.saturating_add(FAR.0) || self.is_confirmed_by(seen) {
            return self.believe(seen);
        }
        self.doubted = Some(seen);
        Verdict::Doubted
    }

    /// The stamp before was as far ahead and earlier: it is the local clock that is wrong, or the venue's time was set.
    /// The same stamp again confirms nothing, for then it may be the same message again.
    fn is_confirmed_by(&self, seen: Seen) -> bool {
        self.doubted.is_some_and(|before| seen.time > before.time && seen.lead().0.abs_diff(before.lead().0) <= FAR.0)
    }

    /// Stamps that were far ahead of the receive time were believed, and now one agrees with it. Where the latest was not
    /// ahead when it came, the receive time itself went back (a file out of order), and nothing is disproved.
    fn disproves_latest(&self, seen: Seen) -> bool {
        seen.local != Nanos::NONE
            && seen.time.0.abs_diff(seen.local.0) <= FAR.0
            && self.latest.time.since(seen.time) > FAR
            && self.latest.time.since(seen.local) > FAR
            && self.latest.lead() > FAR
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Believed, Doubted, Late};
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000_000;
    const SECOND: i64 = 1_000_000_000;
    const DAY: i64 = 86_400 * SECOND;

    /// Judges stamps given as (receive time since the start, lead of the stamp over it), in nanoseconds.
    fn verdicts(stamps: &mut Stamps, events: &[(i64, i64)]) -> Vec<Verdict> {
        let judge = |&(local, lead): &(i64, i64)| {
            let local = NOW.checked_add_signed(local).unwrap();
            stamps.judge(Nanos(local.checked_add_signed(lead).unwrap()), Nanos(local))
        };
        events.iter().map(judge).collect()
    }

    #[test]
    fn one_stamp_far_ahead_is_doubted_and_moves_nothing() {
        let mut stamps = Stamps::default();
        let found = verdicts(&mut stamps, &[(0, 0), (1, DAY), (2, 0), (3, 61 * SECOND), (4, 0)]);
        assert_eq!(found, [Believed, Doubted, Believed, Doubted, Believed]);
        assert_eq!(stamps.latest(), Nanos(NOW + 4));
        // As the very first event, too.
        assert_eq!(verdicts(&mut Stamps::default(), &[(0, DAY), (1, 0), (2, 0)]), [Doubted, Believed, Believed]);
    }

    #[test]
    fn a_leap_by_a_minute_or_less_is_believed() {
        let found = verdicts(&mut Stamps::default(), &[(0, 0), (1, 60 * SECOND), (2, 0)]);
        assert_eq!(found, [Believed, Believed, Late]);
    }

    #[test]
    fn a_local_clock_that_is_wrong_costs_the_first_event_and_no_other() {
        for lead in [-DAY, 61 * SECOND, DAY] {
            // One event every 90 s: each is far ahead of the one before.
            let events: Vec<(i64, i64)> = (0..100).map(|n| (n * 90 * SECOND, lead + n % 3 * SECOND)).collect();
            let found = verdicts(&mut Stamps::default(), &events);
            assert_eq!(found[0], if lead > 0 { Doubted } else { Believed });
            assert!(found[1..].iter().all(|verdict| *verdict == Believed), "{lead}: {found:?}");
        }
    }

    #[test]
    fn the_same_message_again_confirms_nothing_and_neither_does_another_leap() {
        let same = (0, DAY);
        let found = verdicts(&mut Stamps::default(), &[same, same, (1, 2 * DAY), (2, DAY), (3, 0)]);
        assert_eq!(found, [Doubted, Doubted, Doubted, Doubted, Believed]);
        // Nor one that came before an event that was believed, or late.
        let found = verdicts(&mut Stamps::default(), &[(0, 0), (1, DAY), (2, 0), (3, DAY), (4, -10), (5, DAY)]);
        assert_eq!(found, [Believed, Doubted, Believed, Doubted, Late, Doubted]);
    }

    #[test]
    fn what_was_confirmed_and_is_wrong_is_given_up() {
        let mut stamps = Stamps::default();
        let found = verdicts(&mut stamps, &[(0, 0), (1, DAY), (2, DAY), (3, 0), (4, 0), (5, DAY), (6, 0)]);
        assert_eq!(found, [Believed, Doubted, Believed, Believed, Believed, Doubted, Believed]);
        // Late for good where it does not agree with the receive time either.
        assert_eq!(verdicts(&mut stamps, &[(7, -DAY), (8, 0)]), [Late, Believed]);
    }

    #[test]
    fn stamps_that_run_away_in_small_steps_are_given_up_too() {
        let mut stamps = Stamps::default();
        assert!((0..100).all(|n| verdicts(&mut stamps, &[(n, n * 50 * SECOND)]) == [Believed]));
        assert_eq!(verdicts(&mut stamps, &[(100, 0), (101, 0)]), [Believed, Believed]);
    }

    #[test]
    fn a_file_whose_only_time_leaps_and_comes_back_is_late_afterwards() {
        assert_eq!(verdicts(&mut Stamps::default(), &[(0, 0), (DAY, 0), (1, 0)]), [Believed, Believed, Late]);
    }

    #[test]
    fn without_a_receive_time_only_the_order_counts() {
        let mut stamps = Stamps::default();
        let found = [NOW, NOW + DAY as u64, NOW + 1].map(|time| stamps.judge(Nanos(time), Nanos::NONE));
        assert_eq!(found, [Believed, Believed, Late]);
    }
}

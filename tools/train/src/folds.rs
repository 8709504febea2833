//! Blocks in time order, purged and embargoed.
//!
//! A row that was still open when a later block begins knows that block's prices; a row raised
//! shortly before shares its indicator windows. Both are left out of what is learnt. Shuffled folds do
//! neither, and show 92 % precision at the gate on a pure random walk.

use pawl::core::{Nanos, Span};

use crate::rows::TrainingRow;

/// Indices of rows, each list in time order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    /// To learn from.
    pub train: Vec<usize>,
    /// To stop at: never learnt from, never judged on.
    pub stop: Vec<usize>,
    /// To judge on.
    pub test: Vec<usize>,
}

/// Share of what comes before the test block that early stopping keeps to itself.
const STOP_SHARE: f64 = 0.2;

/// The rows before `end` whose trades were closed, and that were raised, `embargo` before `start`.
fn before(rows: &[TrainingRow], end: usize, start: Nanos, embargo: Span) -> impl Iterator<Item = usize> {
    let open = move |row: &TrainingRow| row.exit.plus(embargo) >= start;
    (0..end).filter(move |at| !open(&rows[*at]))
}

/// A fold that is judged on `test` and learns from what came before.
pub fn fold(rows: &[TrainingRow], test: std::ops::Range<usize>, embargo: Span) -> Fold {
    let Some(first) = rows.get(test.start) else { return Fold::default() };
    let known: Vec<usize> = before(rows, test.start, first.raised, embargo).collect();
    let cut = known.len() - (known.len() as f64 * STOP_SHARE) as usize;
    let stop = known[cut..].to_vec();
    let Some(stop_start) = stop.first().map(|at| rows[*at].raised) else { return Fold::default() };
    Fold { train: before(rows, known[cut], stop_start, embargo).collect(), stop, test: test.collect() }
}

/// Walk-forward: the first 40 % are only learnt from, the rest is judged in `count` blocks, each by
/// a model that saw nothing of it or after it.
pub fn walk_forward(rows: &[TrainingRow], count: usize, embargo: Span) -> Vec<Fold> {
    let first = rows.len() * 2 / 5;
    let edge = |block: usize| first + (rows.len() - first) * block / count;
    (0..count).map(|block| fold(rows, edge(block)..edge(block + 1), embargo)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl::worlds::labels::Barrier;

    /// A signal a second; each trade is open for `open` seconds.
    fn rows(count: u64, open: u64) -> Vec<TrainingRow> {
        let second = |at| Nanos(at * 1_000_000_000);
        (0..count)
            .map(|at| TrainingRow {
                row: [0.0; 7],
                raised: second(at),
                exit: second(at + open),
                net_bp: 1.0,
                barrier: Barrier::Target,
            })
            .collect()
    }

    #[test]
    fn nothing_learnt_from_knows_what_is_judged() {
        let (rows, embargo) = (rows(1_000, 30), Span::seconds(20));
        let folds = walk_forward(&rows, 5, embargo);
        assert_eq!(folds.iter().map(|fold| fold.test.len()).sum::<usize>(), 600);
        for fold in &folds {
            let ends = |part: &[usize]| part.iter().map(|at| rows[*at].exit).max().unwrap();
            let begins = |part: &[usize]| part.iter().map(|at| rows[*at].raised).min().unwrap();
            assert!(ends(&fold.train).plus(embargo) < begins(&fold.stop));
            assert!(ends(&fold.stop).plus(embargo) < begins(&fold.test));
            assert!(fold.train.len() > 4 * fold.stop.len() - 100 && fold.stop.len() > 50);
        }
        // Trades closed before the next row is raised purge nothing: the blocks touch.
        let touching = fold(&self::rows(1_000, 0), 400..520, Span::ZERO);
        assert_eq!((touching.train.len(), touching.stop.len(), touching.test.len()), (320, 80, 120));
        // One that closes in the very instant a later block begins is purged, at each of the two edges.
        let meeting = fold(&self::rows(1_000, 1), 400..520, Span::ZERO);
        assert_eq!((meeting.train.len(), meeting.stop.len(), meeting.test.len()), (319, 79, 120));
    }
}

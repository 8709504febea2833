//! What probabilities and trades are worth. The measure of a gate is the net result per trade against
//! the ungated rule, out of sample; a hit rate alone misleads, because many small wins can pay for few
//! large losses, or not.

/// How well probabilities fit labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Rows.
    pub rows: usize,
    /// Share of wins.
    pub base_rate: f64,
    /// Area under the ROC curve; 0.5 says that the order means nothing.
    pub auc: f64,
    /// Standard error of the area (Hanley and McNeil, 1982).
    pub auc_error: f64,
    /// Mean negative log likelihood.
    pub log_loss: f64,
    /// Log loss of always answering the base rate.
    pub base_log_loss: f64,
    /// Mean squared error of the probabilities.
    pub brier: f64,
    /// Expected calibration error over ten equal bins of probability.
    pub calibration_error: f64,
    /// By bins of probability.
    pub reliability: Vec<Bin>,
}

/// Rows whose probability lies in one tenth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Lower edge.
    pub from: f64,
    /// Rows.
    pub rows: usize,
    /// Mean probability.
    pub claimed: f64,
    /// Share of wins.
    pub realised: f64,
}

/// Scores of out-of-sample probabilities. `labels` are 0 or 1.
pub fn scores(probabilities: &[f32], labels: &[f32]) -> Scores {
    let rows = labels.len();
    let wins = labels.iter().filter(|label| **label > 0.5).count();
    let base_rate = wins as f64 / rows.max(1) as f64;
    let pairs = || probabilities.iter().zip(labels).map(|(p, label)| (f64::from(*p), f64::from(*label)));
    let mean = |sum: f64| sum / rows.max(1) as f64;
    let loss = |p: f64, label: f64| {
        let p = p.clamp(1e-15, 1.0 - 1e-15);
        -(label * p.ln() + (1.0 - label) * (1.0 - p).ln())
    };
    let reliability: Vec<Bin> = (0..10).filter_map(|bin| reliability_bin(bin, pairs())).collect();
    let area = auc(probabilities, labels);
    Scores {
        rows,
        base_rate,
        auc: area,
        auc_error: auc_error(area, wins, rows - wins),
        log_loss: mean(pairs().map(|(p, label)| loss(p, label)).sum()),
        base_log_loss: mean(pairs().map(|(_, label)| loss(base_rate, label)).sum()),
        brier: mean(pairs().map(|(p, label)| (p - label).powi(2)).sum()),
        calibration_error: mean(
            reliability.iter().map(|bin| bin.rows as f64 * (bin.claimed - bin.realised).abs()).sum(),
        ),
        reliability,
    }
}

fn reliability_bin(bin: usize, pairs: impl Iterator<Item = (f64, f64)>) -> Option<Bin> {
    let inside: Vec<(f64, f64)> = pairs.filter(|(p, _)| ((p * 10.0) as usize).min(9) == bin).collect();
    let rows = inside.len();
    let mean = |value: fn(&(f64, f64)) -> f64| inside.iter().map(value).sum::<f64>() / rows as f64;
    (rows > 0).then(|| Bin { from: bin as f64 / 10.0, rows, claimed: mean(|(p, _)| *p), realised: mean(|(_, y)| *y) })
}

/// Probability that a win is ranked above a loss, ties counted half. 0.5 without both.
pub fn auc(scores: &[f32], labels: &[f32]) -> f64 {
    let mut order: Vec<(f32, bool)> = scores.iter().zip(labels).map(|(score, label)| (*score, *label > 0.5)).collect();
    order.sort_by(|left, right| left.0.total_cmp(&right.0));
    let wins = order.iter().filter(|(_, win)| *win).count() as f64;
    let losses = order.len() as f64 - wins;
    if wins == 0.0 || losses == 0.0 {
        return 0.5;
    }
    // Sum of the ranks of wins; equal scores share their mean rank.
    let (mut rank_sum, mut before) = (0.0, 0usize);
    for group in order.chunk_by(|left, right| left.0 == right.0) {
        let mean_rank = before as f64 + (group.len() + 1) as f64 / 2.0;
        rank_sum += mean_rank * group.iter().filter(|(_, win)| *win).count() as f64;
        before += group.len();
    }
    (rank_sum - wins * (wins + 1.0) / 2.0) / (wins * losses)
}

fn auc_error(area: f64, wins: usize, losses: usize) -> f64 {
    let (n, m) = (wins as f64, losses as f64);
    if n < 1.0 || m < 1.0 {
        return 0.5;
    }
    let (q1, q2) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let variance = area * (1.0 - area) + (n - 1.0) * (q1 - area * area) + (m - 1.0) * (q2 - area * area);
    (variance / (n * m)).max(0.0).sqrt()
}

/// A mean result with its error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expectancy {
    /// Trades.
    pub trades: usize,
    /// Share above zero.
    pub win_rate: f64,
    /// Mean result of a trade.
    pub mean: f64,
    /// Standard error of the mean; 0 below two trades.
    pub error: f64,
}

impl Expectancy {
    /// Of results in any unit.
    pub fn of(results: impl IntoIterator<Item = f64>) -> Self {
        let results: Vec<f64> = results.into_iter().collect();
        let trades = results.len();
        if trades == 0 {
            return Self::default();
        }
        let n = trades as f64;
        let mean = results.iter().sum::<f64>() / n;
        let squares = results.iter().map(|result| (result - mean).powi(2)).sum::<f64>();
        let error = if trades > 1 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
        let win_rate = results.iter().filter(|result| **result > 0.0).count() as f64 / n;
        Self { trades, win_rate, mean, error }
    }

    /// Mean in standard errors; 0 where there is no error to measure by.
    pub fn t(&self) -> f64 {
        if self.error > 0.0 { self.mean / self.error } else { 0.0 }
    }
}

/// Difference of two independent means in standard errors (Welch); 0 where it cannot be told.
pub fn difference_t(left: &Expectancy, right: &Expectancy) -> f64 {
    let error = left.error.hypot(right.error);
    if left.trades > 1 && right.trades > 1 && error > 0.0 { (left.mean - right.mean) / error } else { 0.0 }
}

/// What the gate does to out-of-sample rows, each row taken as a trade of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateWorth {
    /// Every row.
    pub all: Expectancy,
    /// Rows that pass.
    pub passed: Expectancy,
    /// Rows that do not.
    pub refused: Expectancy,
    /// Passed against refused, which are disjoint: Welch's t.
    pub t: f64,
}

/// Net basis points of what passes `threshold` against the rest.
pub fn gate_worth(probabilities: &[f32], net: &[f64], threshold: f32) -> GateWorth {
    let part = |passes: bool| {
        Expectancy::of(probabilities.iter().zip(net).filter(|(p, _)| (**p > threshold) == passes).map(|(_, net)| *net))
    };
    let (passed, refused) = (part(true), part(false));
    GateWorth { all: Expectancy::of(net.iter().copied()), passed, refused, t: difference_t(&passed, &refused) }
}

/// The best tenth, quarter and half of rows by probability, as thresholds for [`gate_worth`].
pub fn quantile(probabilities: &[f32], share: f64) -> f32 {
    let mut sorted = probabilities.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(1.0)
}

/// Fewest passing trades that a verdict may rest on.
pub const FEWEST_TRADES: usize = 30;

/// Whether a gate has shown an edge: it passes trades, they earn after costs, and more than what it
/// refuses, both beyond two standard errors.
pub fn has_edge(worth: &GateWorth) -> bool {
    worth.passed.trades >= FEWEST_TRADES
        && worth.passed.t() > 2.0
        // A gate that passes everything refuses nothing to compare with, and adds nothing.
        && worth.refused.trades >= FEWEST_TRADES
        && worth.t > 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_order() {
        assert_eq!(auc(&[0.1, 0.2, 0.8, 0.9], &[0.0, 0.0, 1.0, 1.0]), 1.0);
        assert_eq!(auc(&[0.9, 0.8, 0.2, 0.1], &[0.0, 0.0, 1.0, 1.0]), 0.0);
        assert_eq!(auc(&[0.5; 4], &[0.0, 1.0, 0.0, 1.0]), 0.5);
        // Wins 0.3 and 0.7 against losses 0.3 and 0.5: half, nothing, whole, whole.
        assert_eq!(auc(&[0.3, 0.7, 0.3, 0.5], &[1.0, 1.0, 0.0, 0.0]), 2.5 / 4.0);
    }

    #[test]
    fn scores_of_a_known_table() {
        let scores = scores(&[0.8, 0.8, 0.8, 0.8, 0.2], &[1.0, 1.0, 1.0, 0.0, 0.0]);
        assert!((scores.brier - (3.0 * 0.04 + 0.64 + 0.04) / 5.0).abs() < 1e-7);
        assert!((scores.calibration_error - (4.0 * 0.05 + 0.2) / 5.0).abs() < 1e-7);
        assert_eq!(scores.reliability.iter().map(|bin| bin.rows).collect::<Vec<_>>(), [1, 4]);
        assert!((scores.log_loss - -(3.0 * 0.8f64.ln() + 0.2f64.ln() + 0.8f64.ln()) / 5.0).abs() < 1e-6);
    }

    #[test]
    fn an_edge_needs_profit_and_a_difference() {
        let worth = |good: f64, bad: f64| {
            let p: Vec<f32> = (0..200).map(|at| if at % 2 == 0 { 0.9 } else { 0.1 }).collect();
            let noise = |at: usize| (at / 2 % 5) as f64 - 2.0;
            let net: Vec<f64> = (0..200).map(|at| noise(at) + if at % 2 == 0 { good } else { bad }).collect();
            gate_worth(&p, &net, 0.85)
        };
        assert!(has_edge(&worth(1.0, -1.0)));
        assert!(!has_edge(&worth(1.0, 1.0)), "no difference");
        assert!(!has_edge(&worth(-1.0, -3.0)), "a smaller loss is not a profit");
        assert_eq!(worth(1.0, -1.0).passed.trades, 100);
    }
}

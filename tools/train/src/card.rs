//! The model card: everything that was done and what came of it, in Markdown.

use std::fmt::Write;

use pawl::config::Config;
use pawl::oracle::Model;

use crate::fit::{FIXED, Fitted, Judged, Plan, judged_scores};
use crate::metrics::{Expectancy, GateWorth, Scores, gate_worth, has_edge, quantile};
use crate::rows::TrainingRow;
use crate::trial::Trial;

/// What a card is made of.
pub struct Card<'a> {
    /// Name of the model, as in `NAME.json`.
    pub name: &'a str,
    /// Command line that made it.
    pub command: String,
    /// Library.
    pub made_with: String,
    /// Name, digest and rows of each series.
    pub origins: Vec<(String, String, usize)>,
    /// All rows.
    pub rows: &'a [TrainingRow],
    /// Parameters of the stages.
    pub config: &'a Config,
    /// Parameters of the training.
    pub plan: &'a Plan,
    /// The result.
    pub fitted: &'a Fitted,
    /// The model as pawl reads it.
    pub model: &'a Model,
    /// Backtests out of sample, each with its name.
    pub trials: Vec<(String, Trial)>,
}

/// Net basis points of judged rows at a threshold.
pub fn worth(judged: &[Judged], threshold: f32) -> GateWorth {
    let probabilities: Vec<f32> = judged.iter().map(|row| row.probability).collect();
    let net: Vec<f64> = judged.iter().map(|row| row.net_bp).collect();
    gate_worth(&probabilities, &net, threshold)
}

/// The verdict in one sentence: an edge must show in the walk-forward and again on the hold-out.
pub fn verdict(judged: &[Judged], held: &[Judged], threshold: f32) -> String {
    let (walk, hold) = (worth(judged, threshold), worth(held, threshold));
    let figures = |w: &GateWorth| {
        format!(
            "{} of {} trades pass, {:+.2} bp each (t {:+.1}), refused ones {:+.2} bp, difference t {:+.1}",
            w.passed.trades,
            w.all.trades,
            w.passed.mean,
            w.passed.t(),
            w.refused.mean,
            w.t
        )
    };
    let word = if has_edge(&walk) && has_edge(&hold) { "edge" } else { "no edge" };
    format!("**{word}** at p > {threshold}. Walk-forward: {}. Hold-out: {}.", figures(&walk), figures(&hold))
}

fn scores_row(name: &str, s: &Scores) -> String {
    format!(
        "| {name} | {} | {:.1} % | {:.3} ± {:.3} | {:.4} ({:.4}) | {:.4} | {:.3} |\n",
        s.rows,
        s.base_rate * 100.0,
        s.auc,
        s.auc_error,
        s.log_loss,
        s.base_log_loss,
        s.brier,
        s.calibration_error
    )
}

fn worth_rows(name: &str, judged: &[Judged], threshold: f32) -> String {
    let probabilities: Vec<f32> = judged.iter().map(|row| row.probability).collect();
    let mut text = String::new();
    let gates = [
        (format!("p > {threshold}"), threshold),
        ("best half".to_owned(), quantile(&probabilities, 0.5)),
        ("best quarter".to_owned(), quantile(&probabilities, 0.75)),
        ("best tenth".to_owned(), quantile(&probabilities, 0.9)),
    ];
    for (gate, threshold) in gates {
        let w = worth(judged, threshold);
        let part = |e: &Expectancy| {
            if e.trades == 0 {
                "- | - | -".to_owned()
            } else {
                format!("{} | {:.1} % | {:+.2} (t {:+.1})", e.trades, e.win_rate * 100.0, e.mean, e.t())
            }
        };
        let coverage = w.passed.trades as f64 / w.all.trades.max(1) as f64;
        let _ = writeln!(
            text,
            "| {name}, {gate} | {:.1} % | {} | {} | {:+.1} |",
            coverage * 100.0,
            part(&w.passed),
            part(&w.refused),
            w.t
        );
    }
    text
}

fn expectancy(e: &Expectancy) -> String {
    format!("{} trades, {:.1} % win, {:+.2} bp (t {:+.1})", e.trades, e.win_rate * 100.0, e.mean, e.t())
}

impl Card<'_> {
    /// The card's text.
    pub fn text(&self) -> String {
        let fitted = self.fitted;
        let best = &fitted.tried[fitted.best];
        let threshold = self.config.oracle.threshold;
        let walk = judged_scores(&fitted.judged);
        let held = judged_scores(&fitted.held);
        let shape = self.model.shape();
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# {name}.json\n\n{verdict}\n\nMade by `{command}` with {library}; the same data, seed and library give the same bytes.\n\n",
            name = self.name,
            verdict = verdict(&fitted.judged, &fitted.held, threshold),
            command = self.command,
            library = self.made_with,
        );
        let _ = write!(
            text,
            "## What it answers\n\nP(this trade nets a profit), asked only where the rule fires: one row a raw signal, \
             features from pawl's own feed and quant. Label: the trade alone, in at the far touch of the next quote, out at \
             the far touch when z is back through {exit_z}, at the stop of {stop} points, or after {hold}; net of the spread and of \
             {fee} bp and {commission} a lot, per fill. No latency.\n\n",
            exit_z = self.config.oms.exit_z,
            stop = self.config.oms.stop_loss_points,
            hold = self.config.oms.max_hold,
            fee = self.config.paper.fee_basis_points,
            commission = self.config.paper.commission_per_lot,
        );
        let _ = write!(text, "## Data\n\n| series | CRC-32C | signals |\n|---|---|---|\n");
        for (name, digest, rows) in &self.origins {
            let _ = writeln!(text, "| {name} | {digest} | {rows} |");
        }
        let wins = self.rows.iter().filter(|row| row.net_bp > 0.0).count();
        let span = |at: Option<&TrainingRow>| at.map_or_else(String::new, |row| row.raised.to_string());
        let _ = write!(
            text,
            "\n{} signals from {} to {}, {:.1} % win. Stages: bar {}, window {}, |z| >= {}, ADX < {}.\n\n",
            self.rows.len(),
            span(self.rows.first()),
            span(self.rows.last()),
            wins as f64 / self.rows.len().max(1) as f64 * 100.0,
            self.config.quant.bar,
            self.config.quant.window,
            self.config.quant.entry_z,
            self.config.quant.adx_max,
        );
        let fixed: Vec<String> = FIXED.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let _ = write!(
            text,
            "## Training\n\nGrid by walk-forward log loss; fixed: {}, seed {}; at most {} rounds, stopped after {} without \
             improvement on a purged block of its own; no class weights. Embargo {} before each block that is judged or stopped at.\n\n\
             | depth | min child weight | eta | rounds kept | log loss | AUC |\n|---|---|---|---|---|---|\n",
            fixed.join(", "),
            self.plan.seed,
            self.plan.rounds,
            self.plan.patience,
            self.plan.embargo,
        );
        for (at, tried) in fitted.tried.iter().enumerate() {
            let mark = if at == fitted.best { " **chosen**" } else { "" };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:?} | {:.4}{mark} | {:.3} |",
                tried.point.max_depth,
                tried.point.min_child_weight,
                tried.point.eta,
                tried.rounds,
                tried.scores.log_loss,
                tried.scores.auc
            );
        }
        let _ = write!(
            text,
            "\nThe final model: depth {}, {} rounds, {} trees, base score {}.\n\n## Folds\n\n\
             | block | learnt from | stopped at | judged | AUC | log loss (base rate's) | net of all (bp) | net of p > {threshold} (bp) |\n\
             |---|---|---|---|---|---|---|---|\n",
            best.point.max_depth, fitted.rounds, shape.trees, shape.base_score,
        );
        for (number, fold) in fitted.folds.iter().enumerate() {
            let judged: Vec<Judged> = fitted.judged.iter().filter(|row| row.fold == number).copied().collect();
            let _ = write!(
                text,
                "{}",
                fold_row(&(number + 1).to_string(), fold.train.len(), fold.stop.len(), &judged, threshold)
            );
        }
        let last = fold_row("hold-out", fitted.last.train.len(), fitted.last.stop.len(), &fitted.held, threshold);
        let _ = write!(
            text,
            "{last}\n## Calibration\n\n| out of sample | rows | wins | AUC | log loss (base rate's) | Brier | calibration error |\n\
             |---|---|---|---|---|---|---|\n{}{}\n| walk-forward, probability | rows | claimed | realised |\n|---|---|---|---|\n",
            scores_row("walk-forward", &walk),
            scores_row("hold-out", &held),
        );
        for bin in &walk.reliability {
            let _ = writeln!(
                text,
                "| {:.1} to {:.1} | {} | {:.3} | {:.3} |",
                bin.from,
                bin.from + 0.1,
                bin.rows,
                bin.claimed,
                bin.realised
            );
        }
        let _ = write!(
            text,
            "\n![calibration]({0}.calibration.svg)\n\n![importance]({0}.importance.svg)\n\n## What the gate is worth\n\n\
             Each signal as a trade of its own, net basis points, out of sample; the difference is Welch's t of passed against refused.\n\n\
             | gate | coverage | passed | win | net bp | refused | win | net bp | difference t |\n|---|---|---|---|---|---|---|---|---|\n{1}{2}\n",
            self.name,
            worth_rows("walk-forward", &fitted.judged, threshold),
            worth_rows("hold-out", &fitted.held, threshold),
        );
        let _ = write!(
            text,
            "The whole engine in `pawl backtest`, trades opened after everything the model learnt from:\n\n\
             | market | with the gate | without | money with / without | difference t |\n|---|---|---|---|---|\n"
        );
        for (name, trial) in &self.trials {
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {:+.2} / {:+.2} | {:+.1} |",
                expectancy(&trial.gated),
                expectancy(&trial.ungated),
                trial.money.0,
                trial.money.1,
                trial.t
            );
        }
        let _ = write!(
            text,
            "\n## Parity\n\n{} golden rows in `{}.golden.json`, answered by {}: pawl gives every margin bit for bit, and scores them \
             again before it trades.\n",
            fitted.golden.len(),
            self.name,
            self.made_with
        );
        text
    }
}

fn fold_row(name: &str, train: usize, stop: usize, judged: &[Judged], threshold: f32) -> String {
    let (scores, worth) = (judged_scores(judged), worth(judged, threshold));
    let passed = if worth.passed.trades == 0 { "none pass".to_owned() } else { expectancy(&worth.passed) };
    format!(
        "| {name} | {train} | {stop} | {} | {:.3} ± {:.3} | {:.4} ({:.4}) | {:+.2} (t {:+.1}) | {passed} |\n",
        judged.len(),
        scores.auc,
        scores.auc_error,
        scores.log_loss,
        scores.base_log_loss,
        worth.all.mean,
        worth.all.t()
    )
}

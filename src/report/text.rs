//! The summary as a person reads it: two columns, at most 80 wide.

use std::fmt::Write;

use super::{Style, Summary};

/// The summary as text.
pub fn print_text(summary: &Summary, style: &Style) -> String {
    let mut out = String::new();
    let percent = |ratio: Option<f64>| ratio.map_or("n/a".into(), |ratio| format!("{:.1} %", ratio * 100.0));
    let number = |value: Option<f64>| value.map_or("n/a".into(), |value| format!("{value:.2}"));
    let money = |value: crate::core::Money| format!("{:.2} {}", value.to_f64(), summary.currency);
    let toned = |value: crate::core::Money| style.tone(value.units(), &money(value));
    let mut section = |title: &str, rows: &[(&str, String)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", style.bold(title));
        for (name, value) in rows {
            let _ = writeln!(out, "  {name:<24} {value}");
        }
    };
    let count = |name: &str| summary.events.get(name).copied().unwrap_or(0).to_string();
    let list = |counts: Vec<(String, u64)>| {
        let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join("\n                           ") }
    };
    let owned = |map: &std::collections::BTreeMap<&'static str, u64>| {
        list(map.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    };
    section(
        "Market",
        &[
            ("from", summary.first.clone()),
            ("to", summary.last.clone()),
            ("quotes, trades", format!("{}, {}", count("quote"), count("trade"))),
        ],
    );
    let probability = summary.highest_probability.map_or("n/a".into(), |value| format!("{value:.4}"));
    section(
        "Decisions",
        &[
            ("raw signals", summary.signals.to_string()),
            ("passed the gate", summary.executed.to_string()),
            ("highest probability", probability),
            ("not traded because", owned(&summary.refusals)),
            ("orders sent", summary.orders.to_string()),
            ("entry fill ratio", percent(summary.entry_fill_ratio)),
        ],
    );
    section(
        "Trades",
        &[
            ("closed", summary.trades.to_string()),
            ("win rate", percent(summary.win_rate)),
            ("gross profit", toned(summary.gross)),
            ("fees", money(summary.fees)),
            ("net profit", toned(summary.net)),
            ("profit factor", number(summary.profit_factor)),
            ("expectancy", number(summary.expectancy)),
            ("average win, loss", format!("{}, {}", number(summary.average_win), number(summary.average_loss))),
            ("average slippage", number(summary.average_slippage)),
            ("average hold", summary.average_hold_seconds.map_or("n/a".into(), |held| format!("{held:.1} s"))),
            ("exits", owned(&summary.exits)),
        ],
    );
    let drawdown = format!("{} ({:.2} %)", money(summary.max_drawdown), summary.max_drawdown_percent);
    let (sharpe, sortino) = (number(summary.sharpe), number(summary.sortino));
    section(
        "Account",
        &[
            ("start, end equity", format!("{}, {}", money(summary.start_equity), money(summary.end_equity))),
            ("still open", format!("{} lots", summary.open_lots)),
            ("maximum drawdown", drawdown),
            ("Sharpe, Sortino", format!("{sharpe}, {sortino}")),
        ],
    );
    let _ = writeln!(out, "  ratios: {}", summary.annualisation);
    if !summary.alerts.is_empty() {
        let alerts = list(summary.alerts.iter().map(|(name, count)| (name.clone(), *count)).collect());
        let _ = writeln!(out, "{}\n  {alerts}", style.bold("Alerts"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_run_fits_a_terminal() {
        let text = print_text(&Summary::default(), &Style { colour: false });
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        assert!(text.contains("n/a") && !text.contains("NaN") && !text.contains('\x1b'));
    }
}

//! Every kind of message with made-up numbers, as each medium shows it: to be read before it is needed.

use super::alert::{Alert, Mood, Severity};
use super::render::{Letterhead, discord, html_all, plain, sms, subject};
use crate::config::NotifyParams;
use crate::core::Nanos;

/// 24 Nov 2024 14:03:22.117 UTC.
const AT: Nanos = Nanos(1_732_457_002_117_000_000);

/// The samples in the form of one medium: `telegram`, `discord`, `email`, `sms`, or plain text.
pub fn preview(params: &NotifyParams, medium: &str) -> String {
    let head = Letterhead::new(&params.environment, &params.account, &params.desk_phone);
    let texts: Vec<String> = samples()
        .iter()
        .map(|alert| match medium {
            "telegram" => html_all(std::slice::from_ref(alert), &head),
            "discord" => format!("{:#}", discord(std::slice::from_ref(alert), &head)),
            "email" => format!("Subject: {}\n\n{}", subject(std::slice::from_ref(alert), &head), plain(alert, &head)),
            "sms" => sms(alert, &head),
            _ => plain(alert, &head),
        })
        .collect();
    texts.join("\n\n")
}

fn sample(severity: Severity, mood: Mood, id: &str, title: &str, facts: &[&str], doing: &str, todo: &str) -> Alert {
    let mut alert = Alert::new(id.to_owned(), severity, AT, title.to_owned());
    alert.mood = mood;
    alert.facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
    doing.clone_into(&mut alert.doing);
    todo.clone_into(&mut alert.todo);
    alert
}

fn samples() -> Vec<Alert> {
    use Severity::{Critical, Info, Warning};
    vec![
        sample(
            Info,
            Mood::Plain,
            "s1~4e1f#o812",
            "BUY 0.10 EURUSD @ 1.08195",
            &[
                "z -2.31, ADX 17.2, model 0.912 (above 0.850)",
                "stop 1.08095 (100 points, risk 10.00 USD), target 1.08395",
            ],
            "",
            "",
        ),
        sample(
            Info,
            Mood::Good,
            "s1~4e1f#o830",
            "CLOSED LONG 0.10 EURUSD: +12.40 USD",
            &[
                "1.08195 → 1.08326 (+131.0 points), held 12m 04s, reverted",
                "fees 0.70, slippage 0.20 USD",
                "day +45.10 USD, 7 trades, 5 won",
            ],
            "",
            "",
        ),
        sample(
            Warning,
            Mood::Plain,
            "s1~4e1f#i9120",
            "Connection LOST: orders",
            &["open: LONG 0.10 EURUSD from 1.08195"],
            "reconnecting; what was in flight counts as unknown until the venue answers",
            "",
        ),
        sample(
            Critical,
            Mood::Plain,
            "guardian#17@5a1c",
            "KILL: daily loss -3.02% (limit 3.00%)",
            &["venue equity 96,979.00 USD, day began with 100,000.00", "level FLATTEN"],
            "flattening 2 positions, 1.40 lots",
            "nothing, unless NOT FLAT follows",
        ),
        sample(
            Critical,
            Mood::Good,
            "guardian#21@5f02",
            "FLAT in 840ms",
            &["2 positions closed, 1.40 lots", "level FLATTEN"],
            "",
            "",
        ),
        sample(
            Critical,
            Mood::Plain,
            "guardian#22@9b11",
            "NOT FLAT after 10s",
            &["EURUSD LONG 0.40 lots left: order rejected, market halted", "level FLATTEN"],
            "trying on with wider limits",
            "CALL THE DESK: the account is not flat",
        ),
    ]
}

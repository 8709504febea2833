//! An alert in the words of each medium. One layout for all: mark, environment and account, what
//! happened; then the numbers, what the system does, what the person must do; last the UTC time, the
//! gravity and the id. A phone shows the first line, so the first line says it.

use serde_json::{Value, json};

use super::alert::{Alert, Mood, Severity};
use crate::core::Nanos;
use crate::core::time::SECOND;

/// What every message of this installation carries.
#[derive(Clone, Debug, Default)]
pub(super) struct Letterhead {
    /// `paper`, `demo` or `live`, as configured.
    pub(super) environment: String,
    /// Last four characters of the account, or empty.
    pub(super) account: String,
    /// Telephone of the desk, or empty.
    pub(super) desk_phone: String,
}

impl Letterhead {
    /// From the configuration; keeps no more of the account than its tail.
    pub(super) fn new(environment: &str, account: &str, desk_phone: &str) -> Self {
        let tail: String = account.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        Self { environment: environment.trim().to_uppercase(), account: tail, desk_phone: desk_phone.to_owned() }
    }

    /// `LIVE ···1234`.
    pub(super) fn sender(&self) -> String {
        if self.account.is_empty() {
            self.environment.clone()
        } else {
            format!("{} ···{}", self.environment, self.account)
        }
    }

    /// The same in the characters of every SMS: `LIVE ..1234`.
    fn sender_ascii(&self) -> String {
        self.sender().replace("···", "..")
    }
}

/// The mark in front: gravity first, then whether it went well.
fn mark(alert: &Alert) -> &'static str {
    match (alert.severity, alert.mood) {
        (Severity::Critical, Mood::Good) => "✅",
        (Severity::Critical, _) => "🔴",
        (Severity::Warning | Severity::Info, Mood::Good) => "🟢",
        (Severity::Warning, _) => "🟠",
        (Severity::Info, Mood::Bad) => "🔻",
        (Severity::Info, Mood::Plain) => "🔵",
    }
}

/// `24 Nov 14:03:22.117Z`.
pub(super) fn clock(at: Nanos) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    if at == Nanos::NONE {
        return "time unknown".to_owned();
    }
    let (_, month, day) = at.civil_date();
    let month = MONTHS.get((month as usize).wrapping_sub(1)).copied().unwrap_or("?");
    format!("{day} {month} {}Z", &at.to_string()[11..23])
}

/// `2h 05m`, `12m 04s`, `9.1s`, `840ms`: the two units that matter.
pub(super) fn duration(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    match seconds {
        0 => format!("{}ms", nanos / 1_000_000),
        1..=9 => format!("{}.{}s", seconds, nanos % SECOND / (SECOND / 10)),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The lines under the title.
fn body(alert: &Alert, head: &Letterhead) -> Vec<String> {
    let mut lines = alert.facts.clone();
    if !alert.doing.is_empty() {
        lines.push(format!("→ {}", alert.doing));
    }
    if !alert.todo.is_empty() {
        lines.push(format!("YOU: {}", alert.todo));
    }
    if alert.severity == Severity::Critical && alert.mood != Mood::Good && !head.desk_phone.is_empty() {
        lines.push(format!("Desk: {}", head.desk_phone));
    }
    lines
}

/// The last line.
fn foot(alert: &Alert) -> String {
    format!("{} · {} · {}", clock(alert.at()), alert.severity.word(), alert.id)
}

/// Plain text for mail, terminals, and where markup was refused.
pub(super) fn plain(alert: &Alert, head: &Letterhead) -> String {
    let mut text = format!("{} {} | {}\n", mark(alert), head.sender(), alert.title);
    for line in body(alert, head) {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(&foot(alert));
    text
}

/// Several alerts in one plain text.
pub(super) fn plain_all(alerts: &[Alert], head: &Letterhead) -> String {
    alerts.iter().map(|alert| plain(alert, head)).collect::<Vec<_>>().join("\n\n")
}

/// Telegram's HTML: only `<b>` and `<i>`, everything else escaped.
pub(super) fn html_all(alerts: &[Alert], head: &Letterhead) -> String {
    let one = |alert: &Alert| {
        let first = format!("{} {} | <b>{}</b>", mark(alert), escaped(&head.sender()), escaped(&alert.title));
        let mut lines = vec![first];
        lines.extend(body(alert, head).iter().map(|line| match line.strip_prefix("YOU: ") {
            Some(rest) => format!("<b>YOU: {}</b>", escaped(rest)),
            None => escaped(line),
        }));
        lines.push(format!("<i>{}</i>", escaped(&foot(alert))));
        lines.join("\n")
    };
    alerts.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

/// `&`, `<` and `>` as entities: all that Telegram's HTML needs.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A Discord message: one embed for each alert.
pub(super) fn discord(alerts: &[Alert], head: &Letterhead) -> Value {
    let embeds: Vec<Value> = alerts
        .iter()
        .map(|alert| {
            let colour = match (alert.severity, alert.mood) {
                (_, Mood::Good) => 0x2e_cc71,
                (Severity::Critical, _) => 0xff_0000,
                (Severity::Warning, _) => 0xff_a500,
                (Severity::Info, Mood::Bad) => 0xc0_392b,
                (Severity::Info, Mood::Plain) => 0x34_98db,
            };
            json!({
                "title": cut(&format!("{} {}", mark(alert), alert.title), 250),
                "description": cut(&body(alert, head).join("\n"), 1500),
                "color": colour,
                "footer": { "text": cut(&foot(alert), 250) },
            })
        })
        .collect();
    json!({
        "username": cut(&format!("pawl {}", head.sender()), 80),
        "content": cut(&discord_line(alerts, head), 300),
        "embeds": embeds,
        "allowed_mentions": { "parse": [] },
    })
}

/// Discord without embeds, after they were refused.
pub(super) fn discord_plain(alerts: &[Alert], head: &Letterhead) -> Value {
    json!({
        "content": cut(&plain_all(alerts, head), 1900),
        "allowed_mentions": { "parse": [] },
    })
}

/// The line that a phone's notification shows; embeds are not shown there.
fn discord_line(alerts: &[Alert], head: &Letterhead) -> String {
    match alerts {
        [one] => format!("{} {} | {}", mark(one), head.sender(), one.title),
        many => format!("{} | {} notices", head.sender(), many.len()),
    }
}

/// A mail's subject.
pub(super) fn subject(alerts: &[Alert], head: &Letterhead) -> String {
    match alerts {
        [one] => cut(&format!("[{}] {}: {}", head.sender(), one.severity.word(), one.title), 160),
        many => format!("[{}] {} notices", head.sender(), many.len()),
    }
}

/// At most two SMS segments (306 characters) of the alphabet that every telephone has.
pub(super) fn sms(alert: &Alert, head: &Letterhead) -> String {
    let mut parts = vec![format!("{} {} {}", alert.severity.word(), head.sender_ascii(), alert.title)];
    if !alert.todo.is_empty() {
        parts.push(format!("YOU: {}", alert.todo));
    }
    if alert.mood != Mood::Good && !head.desk_phone.is_empty() {
        parts.push(format!("Desk {}", head.desk_phone));
    }
    parts.push(clock(alert.at()));
    parts.extend(alert.facts.iter().cloned());
    if !alert.doing.is_empty() {
        parts.push(alert.doing.clone());
    }
    cut_ascii(&ascii(&parts.join(" | ")), 306)
}

/// Replaces what a 7-bit SMS cannot carry.
fn ascii(text: &str) -> String {
    let swapped = text.replace('→', "->").replace("···", "..").replace('·', "-").replace('×', "x").replace('−', "-");
    swapped.chars().map(|c| if c.is_ascii() && !c.is_control() { c } else { '?' }).collect()
}

fn cut_ascii(text: &str, limit: usize) -> String {
    if text.len() <= limit { text.to_owned() } else { format!("{}..", &text[..limit - 2]) }
}

/// At most `limit` characters.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        Alert {
            id: "g17".into(),
            severity: Severity::Critical,
            at_ns: 1_732_457_002_117_000_000,
            title: "KILL <daily loss> -3.02% & more".into(),
            facts: vec!["loss 3,021.00 of 100,000.00 USD → limit 3.00%".into()],
            doing: "flattening 2 positions".into(),
            todo: "nothing, unless NOT FLAT follows".into(),
            ..Alert::default()
        }
    }

    fn head() -> Letterhead {
        Letterhead::new("live", "DU7781234", "+44 20 7946 0000")
    }

    #[test]
    fn the_first_line_says_where_and_what() {
        let text = plain(&alert(), &head());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "🔴 LIVE ···1234 | KILL <daily loss> -3.02% & more");
        assert_eq!(lines.last(), Some(&"24 Nov 14:03:22.117Z · CRITICAL · g17"));
        assert!(!text.contains("DU778"), "only the account's tail");
    }

    #[test]
    fn html_escapes_all_three_characters() {
        let text = html_all(&[alert()], &head());
        assert!(text.contains("<b>KILL &lt;daily loss&gt; -3.02% &amp; more</b>"), "{text}");
        let tags: String = text.replace("<b>", "").replace("</b>", "").replace("<i>", "").replace("</i>", "");
        assert!(!tags.contains('<') && !tags.contains('>'), "{tags}");
    }

    #[test]
    fn an_sms_is_seven_bit_and_two_segments_at_most() {
        let mut long = alert();
        long.facts = vec!["→ ··· é".repeat(200)];
        let text = sms(&long, &head());
        assert!(text.is_ascii() && text.len() <= 306, "{text}");
        assert!(text.starts_with("CRITICAL LIVE ..1234 KILL") && text.contains("+44 20 7946 0000"), "{text}");
    }

    #[test]
    fn discord_stays_inside_its_limits_and_mentions_nobody() {
        let mut long = alert();
        long.title = "@everyone ".repeat(500);
        long.facts = vec!["x".repeat(9000)];
        let message = discord(&vec![long; 3], &head());
        assert_eq!(message["allowed_mentions"]["parse"], json!([]));
        let characters = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
        for embed in message["embeds"].as_array().unwrap() {
            assert!(characters(&embed["title"]) <= 256 && characters(&embed["description"]) <= 4096);
        }
        assert!(message.to_string().chars().count() < 6000 + 1000);
    }

    #[test]
    fn durations_read_as_people_say_them() {
        for (nanos, text) in [
            (840_000_000, "840ms"),
            (9_150_000_000, "9.1s"),
            (59 * SECOND, "59s"),
            (724 * SECOND, "12m 04s"),
            (7500 * SECOND, "2h 05m"),
            (90_000 * SECOND, "1d 01h"),
        ] {
            assert_eq!(duration(nanos), text);
        }
        assert_eq!(clock(Nanos::NONE), "time unknown", "an event from outside may have no time");
        assert_eq!(clock(Nanos::MAX).len(), "21 Jul 23:34:33.709Z".len());
    }
}

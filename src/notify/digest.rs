//! What a person asks for: /status, /pnl, /positions, and the summary at the end of the day.

use super::alert::{Alert, Mood, Severity};
use super::desk::{Day, Desk};
use super::render::{clock, duration};
use super::story::{cash, long_or_short, money, signed_money, trades};
use crate::core::payload::{LinkChannel, LinkState};
use crate::core::time::DAY;
use crate::core::{Money, Nanos};

impl Desk {
    /// Am I safe, what do I hold, is it healthy.
    pub(super) fn status(&self, now: Nanos, waiting: &[(String, usize)]) -> String {
        let mut lines = vec![format!("{} · {}", self.head.sender(), clock(now))];
        lines.push(match &self.level {
            Some((level, since)) => format!("Guardian: {level} since {}", clock(*since)),
            None => "Guardian: nothing heard of it yet".to_owned(),
        });
        let session = &self.session;
        lines.push(match (session.tag.as_str(), self.engine_alive) {
            ("", _) => "Engine: no session found".to_owned(),
            (tag, Some(true)) => format!("Engine: running, session {tag}"),
            (tag, Some(false)) => format!("Engine: NOT RUNNING, last session {tag}"),
            (tag, None) => format!("Engine: unknown, session {tag}"),
        });
        if session.entries_stopped {
            lines.push("Entries: STOPPED".to_owned());
        }
        if session.last_quote != Nanos::NONE {
            lines.push(format!("Last quote: {} ago", duration(now.since(session.last_quote).0)));
        }
        for (channel, link) in [LinkChannel::Market, LinkChannel::Orders].iter().zip(session.links) {
            if let Some((state, since, connections)) = link {
                let word = if state == LinkState::Up { "up" } else { "DOWN" };
                let name = channel.name();
                lines.push(format!("Link {name}: {word} since {}, connection {connections}", clock(since)));
            }
        }
        lines.push(self.day_line());
        lines.push(self.open_text().unwrap_or_else(|| "open: nothing".to_owned()));
        let queued: Vec<String> =
            waiting.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
        if !queued.is_empty() {
            lines.push(format!("Alerts waiting: {}", queued.join(", ")));
        }
        lines.join("\n")
    }

    fn day_line(&self) -> String {
        let day = &self.today;
        format!("Day: {}, {}", cash(signed_money(day.net), &day.currency), trades(day.trades, day.wins))
    }

    /// The day's profit and what is still open.
    pub(super) fn profit(&self, now: Nanos) -> String {
        let day = &self.today;
        let currency = &day.currency;
        let mut lines = vec![format!("{} · {}", self.head.sender(), clock(now))];
        let since = if day.start_ns == 0 { String::new() } else { format!(" since {}", clock(Nanos(day.start_ns))) };
        let net = cash(signed_money(day.net), currency);
        lines.push(format!("Closed{since}: {net}, {}", trades(day.trades, day.wins)));
        lines.extend(costs_line(day));
        lines.push(match self.unrealised() {
            Some(open) => format!("Open: {} at the side to close on", cash(signed_money(open), currency)),
            None => "Open: not known, a quote is missing".to_owned(),
        });
        let session = &self.session;
        if session.start_balance.is_positive() {
            let balance = session.start_balance.checked_add(session.net).unwrap_or(Money::ZERO);
            lines.push(format!(
                "Session: {}, balance {} of {} at its start",
                cash(signed_money(session.net), currency),
                money(balance),
                money(session.start_balance)
            ));
        }
        if let Some(equity) = session.venue_equity {
            lines.push(format!("Equity at the venue: {}", cash(money(equity), currency)));
        }
        lines.push("By the journal; the venue's statement is the truth.".to_owned());
        lines.join("\n")
    }

    /// Every open position.
    pub(super) fn positions(&self, now: Nanos) -> String {
        let mut lines = vec![format!("{} · {}", self.head.sender(), clock(now))];
        for (instrument, holding) in self.open() {
            let Some(side) = holding.position.side() else { continue };
            let decimals = instrument.price_decimals();
            let from = holding.position.average_price().unwrap_or_default();
            let (mark, profit) = match holding.mark() {
                Some(mark) => {
                    let profit = holding.position.unrealised(mark).and_then(|value| instrument.value(value));
                    let profit = profit.map_or_else(|| "?".to_owned(), signed_money);
                    (format!("{mark:.decimals$}"), format!("{profit} {}", instrument.spec().currency))
                }
                None => ("no quote".to_owned(), "profit unknown".to_owned()),
            };
            let held = duration(now.since(holding.opened).0);
            lines.push(format!(
                "{} {:.2} {instrument} {from:.decimals$} → {mark}: {profit}, held {held}",
                long_or_short(side),
                holding.position.quantity()
            ));
        }
        if lines.len() == 1 {
            lines.push("Flat: no open position in the journal.".to_owned());
        }
        lines.join("\n")
    }

    /// The day that ended, once it has. Sent even when nothing happened: silence is suspicious.
    pub(super) fn summary(&self, day: &Day) -> Alert {
        let ended = Nanos(day.start_ns + DAY);
        let net = cash(signed_money(day.net), &day.currency);
        let title = format!("DAY {net}, {}", trades(day.trades, day.wins));
        let mut alert = Alert::new(format!("day-{}", &ended.to_string()[..10]), Severity::Info, ended, title);
        alert.mood = match day.net.units() {
            0 => Mood::Plain,
            1.. => Mood::Good,
            _ => Mood::Bad,
        };
        let facts = &mut alert.facts;
        facts.push(format!("{} to {}", clock(Nanos(day.start_ns)), clock(ended)));
        facts.extend(costs_line(day));
        if day.trades > 0 {
            let (best, worst) = (signed_money(day.best), signed_money(day.worst));
            facts.push(format!("best {best}, worst {worst}, largest fall {}", money(day.drawdown)));
        }
        facts.push(format!(
            "signals {}, passed {}, orders {}, rejected {}",
            day.signals, day.passed, day.orders, day.rejects
        ));
        let mut reasons: Vec<(&String, &u64)> = day.refusals.iter().collect();
        reasons.sort_by(|left, right| right.1.cmp(left.1).then_with(|| left.0.cmp(right.0)));
        if !reasons.is_empty() {
            let top: Vec<String> = reasons.iter().take(4).map(|(name, count)| format!("{name} {count}")).collect();
            facts.push(format!("no trade because: {}", top.join(", ")));
        }
        if day.link_losses + day.gaps > 0 {
            facts.push(format!("connections lost {}, gaps in data {}", day.link_losses, day.gaps));
        }
        facts.push(self.open_text().unwrap_or_else(|| "flat at the end".to_owned()));
        if day.incidents.is_empty() {
            facts.push("no warnings".to_owned());
        } else {
            facts.push("warnings, the last:".to_owned());
            facts.extend(day.incidents.iter().map(|incident| format!("  {incident}")));
        }
        alert
    }
}

fn costs_line(day: &Day) -> Option<String> {
    (day.trades > 0).then(|| format!("fees {}, slippage {}", money(day.fees), cash(money(day.slippage), &day.currency)))
}

#[cfg(test)]
mod tests {
    use super::super::render::Letterhead;
    use super::*;
    use crate::core::time::SECOND;
    use crate::core::{Money, Span};

    fn desk(offset: u64) -> Desk {
        Desk::new(Letterhead::new("live", "1234", ""), Span::seconds(offset * 3600))
    }

    fn at(day: u32, hour: u64) -> Nanos {
        Nanos::from_civil(2024, 11, day, hour * 3600 * SECOND).unwrap()
    }

    #[test]
    fn a_day_ends_at_its_hour_and_a_clock_that_steps_back_opens_none() {
        let mut desk = desk(22);
        assert!(!desk.roll(at(24, 10)), "the first instant begins a day, it ends none");
        assert_eq!(Nanos(desk.today.start_ns), at(23, 22));
        desk.today.trades = 3;
        assert!(!desk.roll(at(24, 21)));
        assert!(desk.roll(at(24, 22)));
        assert_eq!((desk.yesterday.as_ref().map(|day| day.trades), desk.today.trades), (Some(3), 0));
        assert!(!desk.roll(at(20, 0)), "back in time");
        assert_eq!(Nanos(desk.today.start_ns), at(24, 22));
    }

    #[test]
    fn the_summary_says_what_a_day_was_and_that_a_silent_one_was_silent() {
        let money = |text: &str| text.parse::<Money>().unwrap();
        let day = Day {
            start_ns: at(23, 22).0,
            currency: "USD".into(),
            net: money("-1234.5"),
            fees: money("12"),
            slippage: money("3.2"),
            trades: 7,
            wins: 5,
            best: money("80"),
            worst: money("-1500"),
            drawdown: money("1500"),
            signals: 40,
            passed: 9,
            orders: 16,
            rejects: 1,
            refusals: [("gated", 31), ("stale-market-data", 2)].map(|(name, count)| (name.to_owned(), count)).into(),
            incidents: vec!["24 Nov 14:03:22.117Z Connection LOST: orders".into()],
            link_losses: 1,
            ..Day::default()
        };
        let alert = desk(22).summary(&day);
        let text = super::super::render::plain(&alert, &Letterhead::new("live", "1234", ""));
        println!("{text}");
        for line in [
            "🔻 LIVE ···1234 | DAY -1,234.50 USD, 7 trades, 5 won",
            "best +80.00, worst -1,500.00, largest fall 1,500.00",
            "no trade because: gated 31, stale-market-data 2",
            "  24 Nov 14:03:22.117Z Connection LOST: orders",
            "24 Nov 22:00:00.000Z · INFO · day-2024-11-24",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let silent = desk(22).summary(&Day { start_ns: at(23, 22).0, ..Day::default() });
        assert_eq!(silent.title, "DAY 0.00, no trades");
        assert!(silent.facts.contains(&"no warnings".to_owned()), "{silent:?}");
    }
}

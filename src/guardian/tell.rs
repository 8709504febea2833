//! The guardian's words: events as a trader reads them, made from what happened.

use serde_json::{Map, Value};

use crate::core::{Nanos, Span};
use crate::snapshot::{EngineView, Level};

use super::condition::{Condition, Reading};
use super::decide::Report;
use super::events::{Code, GuardianEvent, Severity};
use super::fence::Fenced;
use super::ledger::Ledger;
use super::observation::VenueFacts;

/// What is known at the moment of telling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) at: Nanos,
    pub(super) level: Level,
    pub(super) latch: u64,
    pub(super) ledger: &'a Ledger,
    pub(super) engine: Option<&'a EngineView>,
    pub(super) venue: Option<&'a VenueFacts>,
}

impl Moment<'_> {
    /// An event with what engine and venue say now.
    pub(super) fn event(&self, code: Code, severity: Severity, title: String, text: String) -> GuardianEvent {
        GuardianEvent { at: self.at, level: self.level, code, severity, title, text, evidence: self.evidence() }
    }

    pub(super) fn evidence(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |key: &str, value: String| drop(map.insert(key.to_owned(), Value::from(value)));
        if let Some(view) = self.engine {
            put("engine_equity", view.snapshot.equity.to_string());
            put("engine_open_lots", view.snapshot.open_lots.to_string());
        }
        if let Some(facts) = self.venue {
            put("venue_equity", facts.equity.to_string());
            put("open_lots", facts.open_lots().to_string());
        }
        if let Some(day) = self.ledger.day {
            put("day_reference", day.reference.to_string());
        }
        if let Some(peak) = self.ledger.peak {
            put("peak_equity", peak.to_string());
        }
        if self.latch != 0 {
            map.insert("latch".to_owned(), Value::from(self.latch));
        }
        map
    }

    /// What the mind reports.
    pub(super) fn report(&self, report: Report, action: Level) -> GuardianEvent {
        match report {
            Report::Warned(condition, reading) => self.condition(Code::ConditionWarned, Severity::Warning, condition, &reading, "approaches its limit"),
            Report::Breached(condition, reading) => {
                let severity = if action.latches() { Severity::Critical } else { Severity::Warning };
                self.condition(Code::ConditionBreached, severity, condition, &reading, "is beyond its limit")
            }
            Report::Cleared(condition) => {
                let title = format!("{} is within its limit again", condition.name());
                let text = format!("The level stays {}: only a person lowers it.", self.level.name());
                let mut event = self.event(Code::ConditionCleared, Severity::Info, title, text);
                event.evidence.insert("condition".into(), Value::from(condition.name()));
                event
            }
            Report::Raised { from, to, condition } => self.raised(from, to, condition),
            Report::DayOpened(day) => self.event(
                Code::DayOpened,
                Severity::Info,
                format!("New trading day, reference {}", day.reference),
                "Losses of the day are measured against this.".into(),
            ),
            Report::CashMoved(amount) => self.event(
                Code::CashMoved,
                Severity::Info,
                format!("Cash moved: {amount}"),
                "A deposit or withdrawal: reference and peak move with it, so that it counts neither as profit nor as loss.".into(),
            ),
        }
    }

    fn condition(
        &self,
        code: Code,
        severity: Severity,
        condition: Condition,
        reading: &Reading,
        how: &str,
    ) -> GuardianEvent {
        let title = format!("{} {how}: {} (limit {})", condition.name(), reading.value, reading.limit);
        let title = if condition == Condition::Operator { "A person demands a higher level".to_owned() } else { title };
        let mut event = self.event(code, severity, title, String::new());
        event.text = self.standing();
        for (key, value) in [("value", reading.value.to_string()), ("limit", reading.limit.to_string())] {
            event.evidence.insert(key.to_owned(), Value::from(value));
        }
        event.evidence.insert("condition".into(), Value::from(condition.name()));
        event
    }

    fn raised(&self, from: Level, to: Level, condition: Condition) -> GuardianEvent {
        let severity = if to.latches() { Severity::Critical } else { Severity::Warning };
        let doing = match to {
            Level::Active => "Nothing is done.",
            Level::ReduceOnly => "The engine opens nothing new; it goes on closing.",
            Level::Halt => "Latched. Entry orders are cancelled, an excess of open lots is closed, nothing is opened.",
            Level::Flatten => "Latched. The engine is stopped, every order cancelled, every position closed.",
        };
        let title = format!("{} -> {} by {}", from.name(), to.name(), condition.name());
        let mut event = self.event(Code::LevelRaised, severity, title, format!("{doing} {}", self.standing()));
        event.evidence.insert("condition".into(), Value::from(condition.name()));
        event
    }

    fn standing(&self) -> String {
        let engine = self.engine.map_or("not readable".to_owned(), |view| format!("equity {}", view.snapshot.equity));
        let venue = self.venue.map_or("not read yet".to_owned(), |facts| {
            format!("equity {}, open lots {}", facts.equity, facts.open_lots())
        });
        format!("Engine: {engine}. Venue: {venue}.")
    }

    pub(super) fn fenced(&self, how: Fenced, elapsed: Span) -> GuardianEvent {
        let what = match how {
            Fenced::Confirmed => "the engine confirmed that it sends nothing any more",
            Fenced::Killed => "the engine was killed",
            Fenced::NoEngine => "there is no engine process",
        };
        let title = format!("Engine fenced: {what}");
        let mut event = self.event(Code::EngineFenced, Severity::Critical, title, String::new());
        event.text = "Nothing but the guardian sends orders now.".into();
        event.evidence.insert("elapsed_us".into(), Value::from(elapsed.0 / 1000));
        event
    }
}

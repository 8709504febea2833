//! What the acting thread tells, as events.

use super::{Clock, Watch};
use crate::guardian::act::News;
use crate::guardian::decide::Goal;
use crate::guardian::events::{Code, GuardianEvent, Severity};

impl<C: Clock> Watch<C> {
    pub(super) fn hear_actor(&mut self) {
        while let Ok(news) = self.actor.news.try_recv() {
            let event = self.news(&news);
            self.recorder.tell(event, matches!(news, News::Reached { .. } | News::BoundReached(_)));
        }
    }

    fn news(&mut self, news: &News) -> GuardianEvent {
        let moment = self.moment();
        match news {
            News::Closed(id, qty) => {
                let symbol = self.instruments.get(*id).map_or("?", |instrument| instrument.spec().symbol.as_str());
                let title = format!("Closed {qty} lots of {symbol}");
                moment.event(Code::LiquidationProgress, Severity::Warning, title, String::new())
            }
            News::Trouble(text) => {
                moment.event(Code::LiquidationProgress, Severity::Warning, "Liquidation: trouble".into(), text.clone())
            }
            News::BoundReached(goal) => {
                let desk = &self.params.liquidation.desk;
                let title = format!("NOT FLAT after {}: call the desk {desk}", self.params.liquidation.bound);
                let text = format!("The goal {goal:?} is not reached. The guardian goes on trying.");
                let mut event = moment.event(Code::NotFlat, Severity::Critical, title, text);
                event.evidence.insert("desk".into(), desk.clone().into());
                event
            }
            News::Reached { goal, elapsed, closed } => {
                let (code, severity, title) = match goal {
                    Goal::Flat => {
                        (Code::Flat, Severity::Critical, "FLAT: no orders, no positions, by two reads".to_owned())
                    }
                    _ if closed.is_positive() => {
                        (Code::ExcessClosed, Severity::Critical, format!("Excess closed: {closed} lots"))
                    }
                    _ => (
                        Code::EntriesCancelled,
                        Severity::Warning,
                        "No entry orders, no excess of open lots".to_owned(),
                    ),
                };
                let mut event = moment.event(
                    code,
                    severity,
                    title,
                    format!("{:.3} ms after it was seen.", elapsed.as_seconds() * 1e3),
                );
                event.evidence.insert("elapsed_us".into(), (elapsed.0 / 1000).into());
                event.evidence.insert("quantity".into(), closed.to_string().into());
                self.excess = 0;
                event
            }
        }
    }
}

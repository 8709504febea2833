//! Records of the journal in a trader's words: one alert for each thing that a person wants to hear of.

use super::alert::{Alert, Mood, Severity};
use super::desk::Desk;
use super::render::duration;
use super::tables::{Words, alert_words, is_of_account, refusal_words, reject_words};
use crate::core::payload::{
    AlertCode, AlertRecord, Control, ControlCode, LinkChannel, LinkState, OrderReject, Refusal, RefusalRecord,
    TradeCosts, TradeOpened,
};
use crate::core::{Event, InstrumentId, Money, Nanos, Payload, Price, Qty, SCALE, Side};

/// Incidents remembered for the daily summary.
const INCIDENTS: usize = 10;

impl Desk {
    /// The id of a record: session, stream and sequence, by which `pawl journal` finds it.
    fn id(&self, event: &Event) -> String {
        let stream = if event.kind.is_input() { 'i' } else { 'o' };
        format!("{}#{stream}{}", self.session.tag, event.sequence)
    }

    pub(super) fn symbol(&self, id: InstrumentId) -> String {
        self.instrument(id).map_or_else(|| format!("instrument {}", id.0), |i| i.spec().symbol.clone())
    }

    fn price(&self, id: InstrumentId, price: Price) -> String {
        let decimals = self.instrument(id).map_or(0, crate::core::Instrument::price_decimals);
        format!("{price:.decimals$}")
    }

    /// Queues an alert and remembers the graver ones for the summary.
    pub(super) fn tell(&mut self, alert: Alert) {
        if alert.severity >= Severity::Warning {
            self.today.incidents.push(format!("{} {}", super::render::clock(alert.at()), alert.title));
            let surplus = self.today.incidents.len().saturating_sub(INCIDENTS);
            self.today.incidents.drain(..surplus);
        }
        self.out.push(alert);
    }

    fn tell_words(&mut self, event: &Event, words: &Words, whole_account: bool, group: String, facts: Vec<String>) {
        let instrument = self.instrument(event.instrument).filter(|_| !whole_account);
        let about = instrument.map_or_else(String::new, |instrument| format!(" ({instrument})"));
        let title = format!("{}{about}", words.title);
        let mut alert = Alert::new(self.id(event), words.severity, event.local_ns, title);
        alert.group = group;
        alert.facts = facts;
        words.doing.clone_into(&mut alert.doing);
        words.todo.clone_into(&mut alert.todo);
        self.tell(alert);
    }

    pub(super) fn tell_opened(&mut self, event: &Event) {
        let opened = TradeOpened::of(event);
        let side = Side::from_flags(event.flags).unwrap_or(Side::Buy);
        let (id, symbol) = (event.instrument, self.symbol(event.instrument));
        let title = format!("{} {:.2} {symbol} @ {}", verb(side), opened.qty, self.price(id, opened.price));
        let mut alert = Alert::new(self.id(event), Severity::Info, event.local_ns, title);
        let mut why = Vec::new();
        if let Some(holding) = self.session.holdings.get(id.index()) {
            if let Some(signal) = holding.signal {
                why.push(format!("z {:+.2}, ADX {:.1}", signal.z_score, signal.adx));
            }
            if let Some(decision) = holding.decision.filter(|decision| decision.probability.is_finite()) {
                why.push(format!("model {:.3} (above {:.3})", decision.probability, decision.threshold));
            }
        }
        alert.facts.extend((!why.is_empty()).then(|| why.join(", ")));
        alert.facts.extend(self.protection(id, side, &opened));
        self.tell(alert);
    }

    /// `stop 1.08095 (20 points, risk 20.00 USD), target 1.08195`.
    fn protection(&self, id: InstrumentId, side: Side, opened: &TradeOpened) -> Option<String> {
        let (instrument, (stop, target)) = (self.instrument(id)?, self.session.stops?);
        let level = |points: i64, sign: i64| {
            let away = instrument.points(points.checked_mul(sign)?)?;
            Some(self.price(id, opened.price.checked_add(away)?))
        };
        let risk = instrument.notional(instrument.points(stop)?, opened.qty)?;
        let currency = &instrument.spec().currency;
        let mut text = format!("stop {} ({stop} points, risk {} {currency})", level(stop, -side.sign())?, money(risk));
        if target > 0 {
            text.push_str(", target ");
            text.push_str(&level(target, side.sign())?);
        }
        Some(text)
    }

    pub(super) fn tell_closed(&mut self, event: &Event, costs: &TradeCosts, net: Money) {
        let id = event.instrument;
        let currency = self.today.currency.clone();
        let side = Side::from_flags(event.flags).unwrap_or(Side::Buy);
        let closed = self.session.holdings.get_mut(id.index()).and_then(|holding| holding.closed.take());
        let result = cash(signed_money(net), &currency);
        let mut facts = Vec::new();
        let title = if let Some(closed) = closed {
            let points = self.instrument(id).map(|instrument| {
                let moved = (closed.exit.units() - closed.entry.units()) * side.sign();
                format!(" ({:+.1} points)", moved as f64 / instrument.spec().point_size.units() as f64)
            });
            let held = duration(event.local_ns.since(closed.opened).0);
            let reason = costs.reason.map_or("unknown reason", crate::core::payload::ExitReason::name);
            facts.push(format!(
                "{} → {}{}, held {held}, {reason}",
                self.price(id, closed.entry),
                self.price(id, closed.exit),
                points.unwrap_or_default()
            ));
            format!("CLOSED {} {:.2} {}: {result}", long_or_short(side), closed.qty, self.symbol(id))
        } else {
            format!("CLOSED {}: {result}", self.symbol(id))
        };
        facts.push(format!("fees {}, slippage {}", money(costs.fees), cash(money(costs.slippage), &currency)));
        let day = &self.today;
        facts.push(format!("day {}, {}", cash(signed_money(day.net), &currency), trades(day.trades, day.wins)));
        let mut alert = Alert::new(self.id(event), Severity::Info, event.local_ns, title);
        alert.mood = if net.units() < 0 { Mood::Bad } else { Mood::Good };
        alert.facts = facts;
        self.tell(alert);
    }

    pub(super) fn tell_refusal(&mut self, event: &Event) {
        let record = RefusalRecord::of(event);
        let name = record.reason.map_or("unknown", Refusal::name);
        *self.today.refusals.entry(name.to_owned()).or_default() += 1;
        let Some(words) = record.reason.and_then(refusal_words) else { return };
        let facts = record.reason.and_then(|reason| limit_text(reason, &record)).into_iter().collect();
        self.tell_words(event, &words, false, format!("refusal/{name}/{}", event.instrument.0), facts);
    }

    pub(super) fn tell_reject(&mut self, event: &Event) {
        let reject = OrderReject::of(event);
        self.today.rejects += 1;
        let Some(words) = reject.code.and_then(reject_words) else { return };
        let name = reject.code.map_or("unknown", crate::core::payload::RejectCode::name);
        let facts = vec![format!("order {}", reject.order)];
        self.tell_words(event, &words, false, format!("reject/{name}/{}", event.instrument.0), facts);
    }

    pub(super) fn tell_alert(&mut self, event: &Event) {
        let record = AlertRecord::of(event);
        let name = record.code.map_or("unknown", AlertCode::name);
        let Some(words) = alert_words(record.code) else { return };
        let lots = |units: i64| Qty::from_units(units);
        let detail = match record.code {
            Some(AlertCode::Overfill) => {
                format!("filled {} lots, at most {} were open", lots(record.found), lots(record.expected))
            }
            Some(AlertCode::UnknownExecution | AlertCode::OrphanOrder | AlertCode::ForeignOrder) => {
                format!("{} lots", lots(record.found))
            }
            Some(AlertCode::PositionMismatch) => {
                format!("venue {} lots, own books {}", lots(record.found), lots(record.expected))
            }
            Some(AlertCode::BalanceMismatch) => {
                let cash = |units: i64| money(Money::from_units(units));
                format!("venue {}, own books {}", cash(record.found), cash(record.expected))
            }
            Some(AlertCode::ReconcileLate) => format!("round {}", record.found),
            Some(AlertCode::ExitFailing) if record.order.0 != 0 => format!("{} lots left", lots(record.found)),
            Some(AlertCode::ExitFailing) => {
                let touch = self.price(event.instrument, Price::from_units(record.found));
                format!("no order can be made of what is left at {touch}")
            }
            Some(AlertCode::OrderLost) => format!("{} lots", lots(record.expected)),
            Some(AlertCode::AckTimeout) => {
                let late = Nanos(record.found as u64).since(Nanos(record.expected as u64));
                format!("answer due {} ago", duration(late.0))
            }
            _ => format!("found {}, expected {}", record.found, record.expected),
        };
        let order = if record.order.0 == 0 { String::new() } else { format!("order {}: ", record.order) };
        // Each order is news of its own; the same order's complaint is not.
        let group = format!("alert/{name}/{}/{}", event.instrument.0, record.order);
        self.tell_words(event, &words, is_of_account(record.code), group, vec![format!("{order}{detail}")]);
    }

    pub(super) fn tell_link(
        &mut self,
        event: &Event,
        channel: LinkChannel,
        state: LinkState,
        before: Option<(LinkState, Nanos, u64)>,
    ) {
        let name = channel.name();
        let mut alert = match (state, before) {
            (LinkState::Down, _) => {
                self.today.link_losses += 1;
                let title = format!("Connection LOST: {name}");
                let mut alert = Alert::new(self.id(event), Severity::Warning, event.local_ns, title);
                alert.facts.extend(self.open_text());
                alert.doing = "reconnecting; what was in flight counts as unknown until the venue answers".into();
                alert
            }
            (LinkState::Up, Some((LinkState::Down, since, _))) => {
                let away = duration(event.local_ns.since(since).0);
                let title = format!("Connection back: {name}, after {away}");
                let mut alert = Alert::new(self.id(event), Severity::Warning, event.local_ns, title);
                alert.mood = Mood::Good;
                alert
            }
            // The first connection is part of the start, and said there.
            (LinkState::Up, _) => return,
        };
        alert.group = format!("link/{name}/{}", state.name());
        self.tell(alert);
    }

    pub(super) fn tell_control(&mut self, event: &Event, control: &Control) {
        let (severity, title, doing) = match control.code {
            Some(ControlCode::Start) => (Severity::Info, "Engine STARTED", ""),
            Some(ControlCode::StopEntries) => (Severity::Warning, "Entries STOPPED", "no new positions; exits go on"),
            Some(ControlCode::AllowEntries) => (Severity::Warning, "Entries allowed again", ""),
            Some(ControlCode::Flatten) => (Severity::Warning, "Engine told to FLATTEN", "closing every position"),
            Some(ControlCode::GuardianLatched) => {
                (Severity::Critical, "Engine sees the GUARDIAN LATCHED", "no entries; the guardian decides")
            }
            _ => return,
        };
        let mut alert = Alert::new(self.id(event), severity, event.local_ns, title.to_owned());
        doing.clone_into(&mut alert.doing);
        if control.code == Some(ControlCode::Start) {
            let symbols: Vec<String> =
                self.session.instruments.iter().take(12).map(|(_, i)| i.spec().symbol.clone()).collect();
            let more = self.session.instruments.len() - symbols.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            alert.facts.push(format!(
                "balance {}, {}{more}",
                cash(money(control.balance), &self.today.currency),
                symbols.join(", ")
            ));
            alert.facts.push(format!("session {}", self.session.tag));
        } else {
            alert.facts.extend(self.open_text());
            alert.group = format!("control/{title}");
        }
        self.tell(alert);
    }

    /// The engine's process ended: `clean` when its journal was closed in good order.
    pub(super) fn tell_engine_end(&mut self, clean: bool, inputs: u64, at: Nanos) {
        let open = self.open().count() > 0;
        let (severity, title) = match (clean, open) {
            (true, false) => (Severity::Info, "Engine STOPPED, flat"),
            (true, true) => (Severity::Critical, "Engine STOPPED with an OPEN POSITION"),
            (false, false) => (Severity::Critical, "Engine DIED, flat"),
            (false, true) => (Severity::Critical, "Engine DIED with an OPEN POSITION"),
        };
        let mut alert = Alert::new(format!("{}#end{inputs}", self.session.tag), severity, at, title.to_owned());
        alert.facts.extend(self.open_text());
        let day = &self.today;
        let net = cash(signed_money(day.net), &day.currency);
        alert.facts.push(format!("day {net}, {}", trades(day.trades, day.wins)));
        if open {
            alert.doing = "the guardian acts by its policy for a dead engine".into();
            alert.todo = "watch for FLAT from the guardian; if none comes, close by hand".into();
        } else if !clean {
            alert.todo = "read why before you start it again".into();
        }
        self.tell(alert);
    }

    /// `open: LONG 0.10 EURUSD from 1.08195, SHORT ...`, or nothing when flat.
    pub(super) fn open_text(&self) -> Option<String> {
        let mut held = Vec::new();
        for (instrument, holding) in self.open() {
            let side = holding.position.side()?;
            let decimals = instrument.price_decimals();
            let from = holding.position.average_price().map_or_else(|| "?".into(), |p| format!("{p:.decimals$}"));
            held.push(format!("{} {:.2} {instrument} from {from}", long_or_short(side), holding.position.quantity()));
        }
        (!held.is_empty()).then(|| format!("open: {}", held.join(", ")))
    }
}

/// What a rule found and allows, where its unit is known.
fn limit_text(reason: Refusal, record: &RefusalRecord) -> Option<String> {
    let (found, limit) = (record.found, record.limit);
    match reason {
        Refusal::StaleMarketData | Refusal::GuardianSilent | Refusal::Clock => {
            Some(format!("{} (limit {})", duration(found.unsigned_abs()), duration(limit.unsigned_abs())))
        }
        Refusal::OpenLots => Some(format!("{} lots (limit {})", Qty::from_units(found), Qty::from_units(limit))),
        Refusal::OrderRate => Some(format!("{found} orders in the interval (limit {limit})")),
        Refusal::NoFunds => Some(format!("balance {}", money(Money::from_units(found)))),
        _ => None,
    }
}

const fn verb(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

pub(super) const fn long_or_short(side: Side) -> &'static str {
    match side {
        Side::Buy => "LONG",
        Side::Sell => "SHORT",
    }
}

/// `7 trades, 5 won`.
pub(super) fn trades(count: u64, wins: u64) -> String {
    match count {
        0 => "no trades".to_owned(),
        1 => format!("1 trade, {wins} won"),
        _ => format!("{count} trades, {wins} won"),
    }
}

/// Cents, half away from zero, thousands marked: `-3,021.00`.
pub(super) fn money(amount: Money) -> String {
    let cents = (u128::from(amount.units().unsigned_abs()) * 100 + SCALE as u128 / 2) / SCALE as u128;
    let whole = (cents / 100).to_string();
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if amount.units() < 0 && cents > 0 { "-" } else { "" };
    format!("{sign}{grouped}.{:02}", cents % 100)
}

/// An amount with its currency, where that is known.
pub(super) fn cash(amount: String, currency: &str) -> String {
    if currency.is_empty() { amount } else { format!("{amount} {currency}") }
}

/// As [`money`], with a plus for profits.
pub(super) fn signed_money(amount: Money) -> String {
    let text = money(amount);
    if text.starts_with('-') || amount.is_zero() { text } else { format!("+{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_once_and_grouped() {
        for (text, shown) in [
            ("0", "0.00"),
            ("-0.001", "0.00"),
            ("0.005", "0.01"),
            ("-3021", "-3,021.00"),
            ("1234567.891", "1,234,567.89"),
            ("-92233720368.54775808", "-92,233,720,368.55"),
        ] {
            assert_eq!(money(text.parse().unwrap()), shown, "{text}");
        }
        assert_eq!(signed_money("12.4".parse().unwrap()), "+12.40");
        assert_eq!(signed_money(Money::ZERO), "0.00");
    }
}

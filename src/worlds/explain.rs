//! Why an order was sent and what became of it, as a story: tick, features, probability, checks,
//! command, executions, with the times between them.
//!
//! Everything is read from the journal; what the checks compared (balance, open lots) comes from the
//! engine itself, replayed up to the tick.

use std::fmt::Write;

use crate::config::Config;
use crate::core::payload::{
    Decision, Fee, Fill, OrderAck, OrderReject, OrderRole, Quote, RefusalRecord, Side, Signal, SignalContext, Submit,
    Trade, TradeClosed, TradeCosts, TradeOpened,
};
use crate::core::{Event, EventKind, InstrumentTable, Money, Nanos, OrderId, Payload, Price, Qty, Span};
use crate::engine::{Engine, NoProbe};
use crate::journal::{JournalError, SessionReader, Story, Value, input_of, order_of, payload_fields, side_name};
use crate::oms::Outbox;

/// Everything the journal says about one order and what it served.
#[derive(Default)]
struct Chain {
    /// The try that was asked for.
    asked: Option<Event>,
    /// All tries of the same intent, oldest first.
    tries: Vec<Event>,
    /// Signal, context and answer that the first try follows from.
    signal: Vec<Event>,
    /// The input that the first try follows from, with the last quote up to it.
    cause: Option<Event>,
    quote: Option<Event>,
    /// The venue's answers and our own later words about any of the tries, in order.
    after: Vec<Event>,
    /// The position's end, for an entry: what it led to; for an exit: what it ended.
    opened: Option<Event>,
    closed: Option<Event>,
    costs: Option<Event>,
}

impl Chain {
    fn is_try(&self, order: OrderId) -> bool {
        self.tries.iter().any(|event| Submit::of(event).order == order)
    }
}

/// Tells the story of an order; `None` when the journal holds no such order. `engine` is fresh and
/// built from the session's configuration and model.
///
/// # Errors
/// The journal is damaged or cannot be read.
pub fn explain(
    session: &SessionReader,
    config: &Config,
    instruments: &InstrumentTable,
    engine: &mut Engine,
    order: OrderId,
) -> Result<Option<String>, JournalError> {
    // Where a process was writing, the end is not the end: what lies behind it is no loss.
    let being_written = session.is_being_written();
    let Some(asked) = find(session, order, being_written)? else { return Ok(None) };
    let chain = collect(session, asked, being_written)?;
    let before = replay_to(session, engine, chain.cause.map_or(0, |cause| cause.sequence))?;
    Ok(Some(Teller { config, instruments, chain: &chain, before, text: String::new() }.tell()))
}

/// The command with this id.
fn find(session: &SessionReader, order: OrderId, being_written: bool) -> Result<Option<Event>, JournalError> {
    let mut outputs = session.stream(crate::journal::StreamName::Output)?;
    while let Some(event) = outputs.next_event().transpose()? {
        if event.kind == EventKind::Submit && Submit::of(&event).order == order {
            return Ok(Some(event));
        }
    }
    if being_written { Ok(None) } else { outputs.check_end().map(|()| None) }
}

fn collect(session: &SessionReader, asked: Event, being_written: bool) -> Result<Chain, JournalError> {
    let wanted = Submit::of(&asked);
    let mut chain = Chain { asked: Some(asked), ..Chain::default() };
    let (mut quote, mut input, mut signal) = (None, None, Vec::new());
    let mut opened = None;
    let mut story = Story::open(session)?;
    while let Some(event) = story.next_event()? {
        if event.kind.is_input() {
            input = Some(event);
        }
        if event.kind != EventKind::Submit && order_of(&event).is_some_and(|order| chain.is_try(order)) {
            chain.after.push(event);
            continue;
        }
        if event.instrument != asked.instrument {
            continue;
        }
        match event.kind {
            EventKind::Quote => quote = Some(event),
            EventKind::Signal => signal = vec![event],
            EventKind::SignalContext | EventKind::Decision => signal.push(event),
            EventKind::Submit
                if (Submit::of(&event).intent, Submit::of(&event).role) == (wanted.intent, wanted.role) =>
            {
                if chain.tries.is_empty() {
                    (chain.cause, chain.quote) = (input, quote);
                    chain.opened = opened.filter(|_| wanted.role == OrderRole::Exit);
                    if signal.first().is_some_and(|signal| input_of(signal) == input_of(&event)) {
                        chain.signal = std::mem::take(&mut signal);
                    }
                }
                chain.tries.push(event);
            }
            EventKind::TradeOpened => {
                opened = Some(event);
                if !chain.tries.is_empty() {
                    // What ends from here on is this trade: nothing to do with the order, unless it opened it.
                    let own = wanted.role == OrderRole::Entry && TradeOpened::of(&event).intent == wanted.intent;
                    chain.opened = opened.filter(|_| own);
                }
            }
            EventKind::TradeClosed if !chain.tries.is_empty() && chain.opened.is_some() => chain.closed = Some(event),
            EventKind::TradeCosts if chain.closed.is_some() => {
                chain.costs = Some(event);
                return Ok(chain);
            }
            _ => {}
        }
    }
    if being_written { Ok(chain) } else { story.check_end().map(|()| chain) }
}

/// What the engine knew just before an input.
struct Before {
    balance: Money,
    open_lots: Qty,
}

fn replay_to(session: &SessionReader, engine: &mut Engine, cause: u64) -> Result<Before, JournalError> {
    let mut inputs = session.stream(crate::journal::StreamName::Input)?;
    let mut outbox = Outbox::new();
    while let Some(input) = inputs.next_event().transpose()? {
        if input.sequence >= cause {
            break;
        }
        engine.on_event(&input, &mut outbox, &mut NoProbe);
    }
    Ok(Before { balance: engine.oms().balance(), open_lots: engine.oms().open_lots() })
}

/// A span as a person says it: `35 ms`, `2 min 4.1 s`.
pub fn spoken(span: Span) -> String {
    let nanos = span.0;
    let seconds = span.as_seconds();
    match nanos {
        0 => "at once".to_owned(),
        1..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        1_000_000_000..60_000_000_000 => format!("{seconds:.1} s"),
        60_000_000_000..3_600_000_000_000 => format!("{} min {:.0} s", nanos / 60_000_000_000, seconds % 60.0),
        _ => format!("{} h {} min", nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60),
    }
}

/// The same, where a length is meant and not a moment.
fn spoken_or_zero(span: Span) -> String {
    if span == Span::ZERO { "0 s".to_owned() } else { spoken(span) }
}

struct Teller<'a> {
    config: &'a Config,
    instruments: &'a InstrumentTable,
    chain: &'a Chain,
    before: Before,
    text: String,
}

impl Teller<'_> {
    /// A line of the story: when, what, in words.
    fn line(&mut self, when: &str, what: &str, words: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "  {when:>12}  {what:<12} {words}");
    }

    fn tell(mut self) -> String {
        let chain = self.chain;
        let (Some(asked), Some(first)) = (chain.asked, chain.tries.first().copied()) else { return self.text };
        let submit = Submit::of(&asked);
        let spec = self.instruments.get(asked.instrument).map(|instrument| instrument.spec().clone());
        let (symbol, point) =
            spec.map_or(("?".to_owned(), Price::from_units(1)), |spec| (spec.symbol, spec.point_size));
        let _ = writeln!(
            self.text,
            "Order {}: {} {} {symbol} at {} or better, {} {}, try {} of intent {}\n\n{}",
            submit.order,
            side_name(&asked),
            submit.qty,
            submit.price,
            submit.tif.name(),
            submit.role.name(),
            submit.attempt,
            submit.intent,
            first.local_ns,
        );
        self.tell_cause(point);
        match submit.role {
            OrderRole::Entry => self.tell_entry(&first, point),
            OrderRole::Exit => self.tell_exit(point),
        }
        self.tell_after(first.local_ns, &first, point);
        self.tell_end(point);
        self.text
    }

    fn tell_cause(&mut self, point: Price) {
        let (cause, quote) = (self.chain.cause, self.chain.quote);
        if let Some(quote) = quote {
            let told = Quote::of(&quote);
            let spread = told.ask.units() - told.bid.units();
            let age = cause.map_or(Span::ZERO, |cause| cause.local_ns.since(quote.local_ns));
            let aged = if age == Span::ZERO { String::new() } else { format!(", {} before", spoken(age)) };
            let (bid, ask, points) = (told.bid, told.ask, in_points(spread, point));
            self.line(
                "",
                "market",
                &format!("bid {bid}  ask {ask}  (spread {points}){aged}, input #{}", quote.sequence),
            );
            if quote.venue_ns != Nanos::NONE && quote.venue_ns != quote.local_ns {
                let (late, word) = if quote.local_ns >= quote.venue_ns {
                    (quote.local_ns.since(quote.venue_ns), "after")
                } else {
                    (quote.venue_ns.since(quote.local_ns), "before")
                };
                self.line("", "", &format!("received {} {word} the venue stamped it", spoken(late)));
            }
        }
        match cause {
            Some(cause) if cause.kind == EventKind::Trade => {
                let trade = Trade::of(&cause);
                let words =
                    format!("{} at {} by a {}er, input #{}", trade.qty, trade.price, side_name(&cause), cause.sequence);
                self.line("", "trade", &words);
            }
            Some(cause) if cause.kind != EventKind::Quote => {
                self.line("", "cause", &format!("{}, input #{}", plain(&cause), cause.sequence));
            }
            _ => {}
        }
    }

    fn tell_entry(&mut self, first: &Event, point: Price) {
        let quant = &self.config.quant;
        for event in &self.chain.signal {
            match event.kind {
                EventKind::Signal => {
                    let s = Signal::of(event);
                    let (entry_z, adx_max) = (quant.entry_z, quant.adx_max);
                    let (rule, bound) = if side_name(event) == "buy" { ("<=", -entry_z) } else { (">=", entry_z) };
                    self.line(
                        "at once",
                        "features",
                        &format!(
                            "z-score {:+.3}   adx {:.1}   volatility {:.3e}   log return {:+.3e}",
                            s.z_score, s.adx, s.volatility, s.log_return
                        ),
                    );
                    let name = if side_name(event) == "buy" { "LONG_REVERSION" } else { "SHORT_REVERSION" };
                    let words =
                        format!("{name}: z-score {:+.3} {rule} {bound} and adx {:.1} < {adx_max}", s.z_score, s.adx);
                    self.line("", "signal", &words);
                }
                EventKind::SignalContext => {
                    let c = SignalContext::of(event);
                    let words = format!(
                        "rsi {:.1}   volume delta {:+}   time of day sin {:+.3}",
                        c.rsi, c.volume_delta, c.time_sin
                    );
                    self.line("", "", &words);
                }
                EventKind::Decision => {
                    let d = Decision::of(event);
                    let action = d.action.map_or("unknown", |action| action.name());
                    let words = if d.probability.is_nan() {
                        format!("no model was asked: {action}")
                    } else {
                        let compare = if d.probability > d.threshold { ">" } else { "<=" };
                        format!("{:.4} {compare} {} (margin {:+.4}): {action}", d.probability, d.threshold, d.margin)
                    };
                    self.line("at once", "probability", &words);
                }
                _ => {}
            }
        }
        self.tell_checks(first, point);
        self.tell_command(first, point);
    }

    fn tell_checks(&mut self, first: &Event, point: Price) {
        let (oms, submit) = (&self.config.oms, Submit::of(first));
        let Some(instrument) = self.instruments.get(first.instrument) else { return };
        let spec = instrument.spec().clone();
        let size = format!(
            "balance {} x {} % / ({} points x {}) gives {} lots (step {}, at most {})",
            self.before.balance,
            oms.risk_percent,
            oms.stop_loss_points,
            spec.point_value,
            submit.qty,
            spec.lot_step,
            spec.max_lot.min(oms.max_order_lots)
        );
        let open = self.before.open_lots.checked_add(submit.qty).unwrap_or(Qty::MAX);
        let mut checks =
            vec![format!("open lots {} + {} = {open} of {}", self.before.open_lots, submit.qty, oms.max_open_lots)];
        if let Some(quote) = self.chain.quote {
            let told = Quote::of(&quote);
            let away = (submit.price.units() * 2 - told.bid.units() - told.ask.units()).abs() / 2;
            checks.push(format!("{} from the mid of {}", in_points(away, point), oms.price_collar_points));
            let age = first.local_ns.since(quote.local_ns);
            checks.push(format!(
                "quote {} old of {}",
                if age == Span::ZERO { "0 s".into() } else { spoken(age) },
                oms.max_quote_age
            ));
            if quote.venue_ns != Nanos::NONE {
                let skew = Span(quote.venue_ns.0.abs_diff(quote.local_ns.0));
                checks.push(format!("clocks {} apart of {}", spoken_or_zero(skew), oms.max_clock_skew));
            }
        }
        if oms.max_notional.is_positive()
            && let Some(notional) = instrument.notional(submit.price, submit.qty)
        {
            checks.push(format!("notional {notional} of {}", oms.max_notional));
        }
        self.line("at once", "size", &size);
        for (at, pair) in checks.chunks(2).enumerate() {
            self.line("", if at == 0 { "checks" } else { "" }, &pair.join(";  "));
        }
        let rest = if oms.guardian_required { ", guardian alive and not latched" } else { "" };
        self.line(
            "",
            "",
            &format!("order rate, duplicate, self-trade, nothing alive on {}{rest}: passed", spec.symbol),
        );
    }

    fn tell_exit(&mut self, point: Price) {
        let Some(first) = self.chain.tries.first().copied() else { return };
        if let Some(opened) = self.chain.opened {
            let told = crate::core::payload::TradeOpened::of(&opened);
            let held = first.local_ns.since(opened.local_ns);
            let words = format!(
                "{} {} at {}, opened {} before (intent {})",
                word_of_side(&opened),
                told.qty,
                told.price,
                spoken(held),
                told.intent
            );
            self.line("", "position", &words);
        }
        if let Some(costs) = self.chain.costs {
            let reason = TradeCosts::of(&costs).reason.map_or("unknown", |reason| reason.name());
            let oms = &self.config.oms;
            let rule = match reason {
                "reverted" => format!(": z came back through {}", oms.exit_z),
                "stop-loss" => format!(": {} points against it", oms.stop_loss_points),
                "take-profit" => format!(": {} points in favour", oms.take_profit_points),
                "max-hold" => format!(": held for {}", oms.max_hold),
                _ => String::new(),
            };
            self.line("at once", "reason", &format!("{reason}{rule}"));
        }
        self.line("", "checks", "none: nothing stands between a position and its end");
        self.tell_command(&first, point);
    }

    fn tell_command(&mut self, event: &Event, point: Price) {
        let submit = Submit::of(event);
        let mut words =
            format!("{} {} at {} or better, {}", side_name(event), submit.qty, submit.price, submit.tif.name());
        if let Some(quote) = self.chain.quote.filter(|_| submit.attempt == 1) {
            let told = Quote::of(&quote);
            let (touch, beyond, name) = match Side::from_flags(event.flags) {
                Some(Side::Sell) => (told.bid, told.bid.units() - submit.price.units(), "bid"),
                _ => (told.ask, submit.price.units() - told.ask.units(), "ask"),
            };
            let _ = write!(words, " ({} through the {name} {touch})", in_points(beyond, point));
        }
        self.line("at once", "command", &format!("{words}, as {}", submit.order));
    }

    /// The venue's answers, each with the time since the command and since the line before.
    fn tell_after(&mut self, sent: Nanos, first: &Event, point: Price) {
        let chain = self.chain;
        let mut later = chain.tries.iter().skip(1).chain(&chain.after).copied().collect::<Vec<_>>();
        later.sort_by_key(|event| (input_of(event), !event.kind.is_input(), event.sequence));
        if later.is_empty() {
            self.line("", "", "the journal ends before the venue answered");
        }
        let mut limit = Submit::of(first);
        for event in later {
            let when = format!("+{}", spoken(event.local_ns.since(sent)));
            let when = if event.local_ns == sent { "at once".to_owned() } else { when };
            let (what, words) = match event.kind {
                EventKind::Submit => {
                    limit = Submit::of(&event);
                    (
                        "command",
                        format!(
                            "again, {} {} at {} or better, as {}",
                            side_name(&event),
                            limit.qty,
                            limit.price,
                            limit.order
                        ),
                    )
                }
                EventKind::OrderAccepted => {
                    ("accepted", format!("the venue calls it {}", OrderAck::of(&event).venue_order))
                }
                EventKind::OrderRejected => {
                    let reject = OrderReject::of(&event);
                    let code = reject.code.map_or("unknown", |code| code.name());
                    let offer =
                        if reject.price.is_zero() { String::new() } else { format!(", {} on offer", reject.price) };
                    ("rejected", format!("{code}{offer}"))
                }
                EventKind::Fill => {
                    let fill = Fill::of(&event);
                    let better = match Side::from_flags(first.flags) {
                        Some(Side::Sell) => fill.price.units() - limit.price.units(),
                        _ => limit.price.units() - fill.price.units(),
                    };
                    (
                        "fill",
                        format!("{} at {}, {} better than the limit", fill.qty, fill.price, in_points(better, point)),
                    )
                }
                EventKind::Fee => ("fee", Fee::of(&event).amount.to_string()),
                EventKind::Refusal => {
                    let refusal = RefusalRecord::of(&event);
                    let reason = refusal.reason.map_or("unknown", |reason| reason.name());
                    ("given up", format!("{reason}: found {}, allowed {}", refusal.found, refusal.limit))
                }
                kind => (kind.name(), plain(&event)),
            };
            self.line(&when, what, &words);
        }
    }

    fn tell_end(&mut self, point: Price) {
        let (Some(closed), Some(costs)) = (self.chain.closed, self.chain.costs) else {
            if self.chain.opened.is_some() {
                let _ = writeln!(self.text, "\nThe position is still open where the journal ends.");
            }
            return;
        };
        let (trade, money) = (TradeClosed::of(&closed), TradeCosts::of(&costs));
        let reason = money.reason.map_or("unknown", |reason| reason.name());
        let sign = if side_name(&closed) == "sell" { -1 } else { 1 };
        let gain = (trade.exit.units() - trade.entry.units()) * sign;
        let net = money.gross.checked_sub(money.fees).unwrap_or(money.gross);
        let _ = writeln!(
            self.text,
            "\n{}\n  {:>12}  {:<12} {} {} from {} to {} ({}) in {}, {reason}\n  {:>12}  {:<12} net {net}: gross {}, fees {}, slippage {}",
            closed.local_ns,
            "",
            "closed",
            word_of_side(&closed),
            trade.qty,
            trade.entry,
            trade.exit,
            in_points(gain, point),
            spoken(closed.local_ns.since(trade.opened)),
            "",
            "result",
            money.gross,
            money.fees,
            money.slippage,
        );
    }
}

fn word_of_side(event: &Event) -> &'static str {
    if side_name(event) == "sell" { "short" } else { "long" }
}

/// A price difference in points, `1 point` or `2.5 points`.
fn in_points(units: i64, point: Price) -> String {
    let points = units as f64 / point.units().max(1) as f64;
    if points == 1.0 { "1 point".to_owned() } else { format!("{points} points") }
}

/// A record's kind and fields, in words.
pub fn plain(event: &Event) -> String {
    let short = |value: Value| match value {
        Value::Float(float) => short_float(float),
        other => other.to_string(),
    };
    let fields = payload_fields(event).into_iter().map(|(name, value)| format!("{name} {}", short(value)));
    let fields: Vec<String> = fields.collect();
    format!("{} {}", event.kind.name(), fields.join(", "))
}

/// Six digits are enough to recognise a feature by.
fn short_float(float: f64) -> String {
    match float.abs() {
        size if !float.is_finite() || size == 0.0 => float.to_string(),
        1e-3..1e6 => format!("{:.*}", (5 - float.abs().log10().floor() as i32).max(0) as usize, float),
        _ => format!("{float:.5e}"),
    }
}

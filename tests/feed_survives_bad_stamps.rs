//! A venue stamp far in the future blinds nothing: exits still fire, bars go on, and no other event is late.

#[path = "common/desk.rs"]
mod desk;

use desk::{ID, submits, table};
use pawl::core::payload::{
    Control, ControlCode, Link, LinkChannel, LinkState, OrderRole, PositionReport, Quote, Reconciled, Trade,
};
use pawl::core::{ContractKind, Event, EventKind, Flags, Money, Nanos, Payload, Price, Qty, Span};
use pawl::engine::{Engine, EngineParams, NoProbe};
use pawl::feed::{Feed, FeedParams};
use pawl::oms::Outbox;
use pawl::oracle::Oracle;
use pawl::quant::{Quant, QuantParams};
use proptest::prelude::*;

const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

fn quote(venue: u64, local: u64, bid: &str, ask: &str) -> Event {
    let quote = Quote { bid: bid.parse().unwrap(), ask: ask.parse().unwrap(), bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
    quote.event(EventKind::Quote, ID, Nanos(venue), Nanos(local))
}

/// An engine that holds half a lot, bought at 1.1, and its outbox; the last input came at `T0`.
fn holding() -> (Engine, Outbox) {
    let mut engine = Engine::new(&EngineParams::default(), Oracle::open(), &table(ContractKind::Linear), 1).unwrap();
    let mut out = Outbox::new();
    let start = Control { code: Some(ControlCode::Start), balance: Money::whole(10_000) };
    let up = Link { channel: Some(LinkChannel::Orders), state: Some(LinkState::Up), connections: 1 };
    for input in [
        start.event(EventKind::Control, ID, Nanos::NONE, Nanos(T0)),
        quote(T0, T0, "1.10000", "1.10010"),
        up.event(EventKind::Link, ID, Nanos::NONE, Nanos(T0)),
    ] {
        engine.on_event(&input, &mut out, &mut NoProbe);
    }
    let asked = out.events().iter().find(|event| event.kind == EventKind::Reconcile);
    let round = Reconciled::of(asked.expect("a reconciliation is asked for")).round;
    let lots: Qty = "0.5".parse().unwrap();
    let position = PositionReport { round, signed_units: lots.units(), entry: "1.1".parse().unwrap() };
    for input in [
        position.event(EventKind::PositionReport, ID, Nanos::NONE, Nanos(T0)),
        Reconciled { round, orders: 0 }.event(EventKind::Reconciled, ID, Nanos::NONE, Nanos(T0)),
    ] {
        engine.on_event(&input, &mut out, &mut NoProbe);
    }
    assert_eq!(engine.oms().open_lots(), lots);
    (engine, out)
}

#[test]
fn a_stop_loss_fires_after_quotes_stamped_a_day_ahead() {
    // One is not believed; several that confirm each other are, until the first good one.
    for bad in 0..5u64 {
        let (mut engine, mut out) = holding();
        for number in 1..=bad {
            let ahead = quote(T0 + DAY + number, T0 + number, "1.10000", "1.10010");
            engine.on_event(&ahead, &mut out, &mut NoProbe);
            assert!(submits(out.events()).is_empty());
        }
        engine.on_event(&quote(T0 + SECOND, T0 + SECOND, "1.09800", "1.09810"), &mut out, &mut NoProbe);
        let sent = submits(out.events());
        assert_eq!(
            sent.iter().map(|order| order.role).collect::<Vec<_>>(),
            [OrderRole::Exit],
            "after {bad} bad stamps"
        );
    }
}

#[test]
fn bars_go_on_after_stamps_far_ahead_that_were_believed() {
    for kind in [EventKind::Quote, EventKind::Trade] {
        for bad in 0..5u64 {
            let mut feed = Feed::new(&FeedParams::default(), 1);
            let mut quant = Quant::new(&QuantParams::default(), 1).unwrap();
            let mut tell = |event: &Event| {
                let clean = feed.on_event(event).unwrap();
                quant.on_event(&clean);
                (clean.flags, quant.bars_closed(ID))
            };
            let good = |second| quote(T0 + second * SECOND, T0 + second * SECOND, "1.10000", "1.10010");
            for second in 0..300 {
                tell(&good(second));
            }
            let mut before = 0;
            for number in 1..=bad {
                let (venue, local) = (T0 + 299 * SECOND + DAY + number, T0 + 299 * SECOND + number);
                let trade = Trade { price: "1.1".parse().unwrap(), qty: Qty::whole(1), trade_id: number };
                (_, before) = tell(&match kind {
                    EventKind::Quote => quote(venue, local, "1.10000", "1.10010"),
                    _ => trade.event(kind, ID, Nanos(venue), Nanos(local)),
                });
            }
            for second in 300..600 {
                let (flags, closed) = tell(&good(second));
                assert_eq!(flags, Flags::NONE, "{kind:?}, {bad} bad, second {second}");
                assert!(second < 599 || closed >= before + 4, "{kind:?}, {bad} bad: {closed} bars, {before} before");
            }
        }
    }
}

/// Quotes, some late, received a little after their stamps or before them: what a venue and a local clock that differ
/// by less than half a minute make.
fn stream() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![8 => 0..2_000_000_000u64, 1 => 0..600 * SECOND];
    let late = prop_oneof![8 => Just(0u64), 1 => 0..200 * SECOND];
    let quotes = prop::collection::vec((step, late, 0..SECOND, 1..4i64), 1..60);
    (quotes, 0..60 * SECOND).prop_map(|(quotes, offset)| {
        let mut now = T0;
        let quote = |(step, late, delay, bid): (u64, u64, u64, i64)| {
            now += step;
            let (bid, ask) = (Price::from_units(bid), Price::from_units(bid + 1));
            let quote = Quote { bid, ask, bid_qty: Qty::ZERO, ask_qty: Qty::ZERO };
            let (venue, local) = (now + offset - 30 * SECOND - late, now + delay);
            quote.event(EventKind::Quote, ID, Nanos(venue), Nanos(local))
        };
        quotes.into_iter().map(quote).collect()
    })
}

/// What leaves the feed.
fn clean(events: &[Event], debounce: Span) -> Vec<Event> {
    let mut feed = Feed::new(&FeedParams { debounce }, 1);
    let mut clean = Vec::new();
    for event in events {
        clean.extend(std::iter::from_fn(|| feed.take_due(event.local_ns)));
        clean.extend(feed.on_event(event));
    }
    clean.extend(feed.take_due(Nanos::MAX));
    clean
}

proptest! {
    #[test]
    fn one_stamp_far_ahead_changes_no_other_event(
        events in stream(), at in any::<prop::sample::Index>(), ahead in any::<u64>(), debounced in any::<bool>(),
    ) {
        let at = at.index(events.len() + 1);
        let debounce = if debounced { Span::millis(10) } else { Span::ZERO };
        let before = events[at.saturating_sub(1)];
        let seen = events[..at].iter().map(|event| event.venue_ns.max(event.local_ns)).max().unwrap_or(before.local_ns);
        // More than a minute beyond how far any other is ahead.
        let stamp = seen.plus(Span(91 * SECOND)).plus(Span(ahead >> 1));
        let bad = Event { sequence: 1, venue_ns: stamp, ..before };
        let mut spoiled = events.clone();
        spoiled.insert(at, bad);
        let mut found = clean(&spoiled, debounce);
        let passed: Vec<Event> = found.extract_if(.., |event| event.sequence == bad.sequence).collect();
        prop_assert!(passed.iter().all(|event| event.flags == Flags::OUT_OF_ORDER));
        prop_assert!(debounced || passed.len() == 1);
        prop_assert_eq!(found, clean(&events, debounce));
    }
}

//! The fill rules, each by an example.

use super::*;
use crate::core::Side;
use crate::core::payload::{OrderRole, Quote, Submit, TimeInForce};

const ID: InstrumentId = InstrumentId(0);

fn venue(params: &PaperParams) -> PaperVenue {
    let mut venue = PaperVenue::new(params, &InstrumentTable::new(synthetic::specs(1)).unwrap()).unwrap();
    venue.on_market(&quote("1.10000", "1.10002", "0.5"));
    venue
}

fn quote(bid: &str, ask: &str, size: &str) -> Event {
    let qty = size.parse().unwrap();
    let quote = Quote { bid: bid.parse().unwrap(), ask: ask.parse().unwrap(), bid_qty: qty, ask_qty: qty };
    quote.event(EventKind::Quote, ID, Nanos(1), Nanos(1))
}

fn buy(number: u32, price: &str, qty: &str, tif: TimeInForce) -> Event {
    let (price, qty) = (price.parse().unwrap(), qty.parse().unwrap());
    let order = OrderId::new(1, number);
    let submit = Submit { order, price, qty, tif, role: OrderRole::Entry, attempt: 1, intent: number };
    submit.event(EventKind::Submit, ID, Nanos(1), Nanos(1)).flagged(Side::Buy.flag())
}

fn reports(venue: &mut PaperVenue) -> Vec<(EventKind, u64, Nanos)> {
    let taken = std::iter::from_fn(|| venue.take_due(Nanos(1_000_000_000)));
    taken.map(|event| (event.kind, event.payload[3], event.local_ns)).collect()
}

#[test]
fn an_ioc_takes_what_is_left_at_the_touch_and_lapses() {
    let mut venue = venue(&PaperParams::default());
    venue.on_command(&buy(1, "1.10005", "0.3", TimeInForce::Ioc), Nanos(1));
    venue.on_command(&buy(2, "1.10005", "0.3", TimeInForce::Ioc), Nanos(1));
    let (due, lots) = (Nanos(4_000_001), |text: &str| text.parse::<Qty>().unwrap().units() as u64);
    let expected = [
        (EventKind::OrderAccepted, 0, due),
        (EventKind::Fill, lots("0.3"), due),
        (EventKind::OrderAccepted, 0, due),
        (EventKind::Fill, lots("0.2"), due),
        (EventKind::OrderExpired, 0, due),
    ];
    assert_eq!(reports(&mut venue), expected);
}

#[test]
fn a_resting_limit_fills_when_the_touch_comes_to_it() {
    let mut venue = venue(&PaperParams::default());
    venue.on_command(&buy(1, "1.10000", "0.3", TimeInForce::Limit), Nanos(1));
    assert_eq!(reports(&mut venue).len(), 1);
    venue.on_market(&quote("1.09990", "1.10001", "9"));
    assert!(reports(&mut venue).is_empty());
    venue.on_market(&quote("1.09990", "1.10000", "9"));
    assert_eq!(reports(&mut venue)[0].0, EventKind::Fill);
}

#[test]
fn a_question_never_overtakes_its_order() {
    let params = PaperParams { latency_jitter: Span::millis(50), ..PaperParams::default() };
    for seed in 0..50 {
        let mut venue = venue(&PaperParams { seed, ..params.clone() });
        let order = buy(1, "1.10000", "0.3", TimeInForce::Limit);
        venue.on_command(&order, Nanos(1));
        let mut question = order;
        question.kind = EventKind::Query;
        venue.on_command(&question, Nanos(2));
        let kinds: Vec<EventKind> = reports(&mut venue).into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [EventKind::OrderAccepted, EventKind::OrderAccepted]);
    }
}

#[test]
fn a_requote_names_the_price_on_offer() {
    let params = PaperParams { requote_probability: 1.0, ..PaperParams::default() };
    let mut venue = venue(&params);
    venue.on_command(&buy(1, "1.10005", "0.3", TimeInForce::Ioc), Nanos(1));
    let report = venue.take_due(Nanos(1_000_000_000)).unwrap();
    let reject = OrderReject::of(&report);
    assert_eq!((reject.code, reject.price), (Some(RejectCode::Requote), "1.10002".parse().unwrap()));
}

#[test]
fn a_fee_that_cannot_be_expressed_is_not_free() {
    let params = PaperParams { fee_basis_points: Price::whole(1), ..PaperParams::default() };
    let charged = |params: &PaperParams| venue(params).fee(ID, Price::MAX, Qty::whole(50));
    assert_eq!(charged(&params), Money::MAX);
    assert_eq!(charged(&PaperParams::default()), Money::ZERO, "no fee is still no fee");
}

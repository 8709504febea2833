//! An engine that rehearses orders while nothing happens decides, byte for byte, what one decides that does not, and
//! rehearses orders that the order encoder takes.

use pawl::config::Config;
use pawl::core::payload::{Control, ControlCode};
use pawl::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload, Span};
use pawl::engine::{Engine, NoProbe};
use pawl::oms::Outbox;
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};
use pawl::venue::paper::{PaperParams, PaperVenue};

/// Every decision of half a day on two instruments, and how many rehearsals ended in orders.
fn decisions(events: &[Event], rehearse_every: usize) -> (Vec<Event>, usize) {
    let table = InstrumentTable::new(specs(2)).unwrap();
    let model = Model::from_bytes(include_bytes!("../models/demo.json"), &Features::NAMES).unwrap();
    let oracle = Oracle::gated(model, &OracleParams { threshold: 0.5 }).unwrap();
    let mut engine = Engine::new(&Config::default().engine(), oracle, &table, 1).unwrap();
    let mut venue = PaperVenue::new(&PaperParams::default(), &table).unwrap();
    let (mut out, mut decided, mut rehearsed) = (Outbox::new(), Vec::new(), 0);
    let start = Control { code: Some(ControlCode::Start), balance: Money::whole(10_000) };
    let start = start.event(EventKind::Control, InstrumentId(0), Nanos::NONE, events[0].local_ns);
    engine.on_event(&start, &mut out, &mut NoProbe);
    for (number, event) in events.iter().enumerate() {
        if rehearse_every > 0 && number % rehearse_every == 0 {
            let mut told = 0;
            let did = engine.rehearse(|order| {
                assert_eq!(order.kind, EventKind::Submit);
                told += 1;
            });
            assert_eq!(did, told > 0);
            rehearsed += usize::from(did);
        }
        while let Some(report) = venue.take_due(event.local_ns) {
            engine.on_event(&report, &mut out, &mut NoProbe);
            decided.extend_from_slice(out.events());
            for command in out.events().iter().filter(|command| command.kind == EventKind::Submit) {
                venue.on_command(command, report.local_ns);
            }
        }
        venue.on_market(event);
        engine.on_event(event, &mut out, &mut NoProbe);
        decided.extend_from_slice(out.events());
        for command in out.events().iter().filter(|command| command.kind == EventKind::Submit) {
            venue.on_command(command, event.local_ns);
        }
    }
    (decided, rehearsed)
}

#[test]
fn what_is_decided_is_the_same_with_rehearsals_and_without() {
    let events: Vec<Event> =
        SyntheticMarket::new(5, 2, Nanos(1_700_000_000_000_000_000), Span::seconds(43_200)).collect();
    let (plain, none) = decisions(&events, 0);
    let (rehearsed, rounds) = decisions(&events, 7);
    assert!(none == 0 && rounds > 1_000, "{rounds} rehearsals: nothing was proved");
    assert!(plain.iter().filter(|event| event.kind == EventKind::Submit).count() > 20, "no orders");
    assert_eq!(plain.len(), rehearsed.len());
    for (without, with) in plain.iter().zip(&rehearsed) {
        assert_eq!(without.to_bytes(), with.to_bytes(), "{without:?} became {with:?}");
    }
}

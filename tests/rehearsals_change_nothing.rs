//! An engine that rehearses orders while nothing happens decides, byte for byte, what one decides that does not; and it
//! does rehearse, where its thread does not sleep.

use std::sync::Arc;

use pawl::config::Config;
use pawl::core::payload::{Control, ControlCode};
use pawl::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload, Span};
use pawl::engine::clock::StampClock;
use pawl::engine::intake::Intake;
use pawl::engine::layout::{Group, Layout, Stage};
use pawl::engine::threads::{Activity, Fault, MarketSide, OrderSide, RunOptions, Switch, run};
use pawl::engine::waiting::Waiting;
use pawl::engine::{Engine, NoProbe};
use pawl::oms::{Oms, Outbox};
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
use pawl::report::latency::Recorder;
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
            let did = engine.rehearse(&out, |order| {
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

/// Half a day of market, then so many looks that find nothing, then the end.
struct Market {
    events: SyntheticMarket,
    quiet: u32,
}

impl MarketSide for Market {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        let before = intake.is_empty();
        let now = StampClock::monotonic().now();
        self.events.by_ref().take(64).for_each(|event| intake.push(event, now));
        if before != intake.is_empty() {
            return Activity::Busy;
        }
        self.quiet = self.quiet.saturating_sub(1);
        if self.quiet == 0 { Activity::End } else { Activity::Idle }
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }
}

/// Counts what it is told.
#[derive(Default)]
struct Orders {
    inputs: u64,
    rehearsed: u64,
    decided: Vec<Event>,
}

impl OrderSide for Orders {
    fn poll(&mut self, _inbox: &mut Vec<Event>) -> Activity {
        Activity::End
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }

    fn store(&mut self, _input: &Event) -> Result<u64, Fault> {
        self.inputs += 1;
        Ok(self.inputs)
    }

    fn decided(&mut self, _input: &Event, outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        self.decided.extend_from_slice(outputs);
        Ok(())
    }

    fn rehearse(&mut self, order: &Event) {
        assert_eq!(order.kind, EventKind::Submit);
        self.rehearsed += 1;
    }
}

/// The order side after a run of the fused engine, with this many quiet looks at the end.
fn fused(waiting: Waiting, quiet: u32) -> Orders {
    let table = InstrumentTable::new(specs(1)).unwrap();
    let group = Group { stages: Stage::ALL.to_vec(), core: None, waiting, priority: None };
    let layout = Layout { groups: vec![group], lock_memory: false };
    let events = SyntheticMarket::new(5, 1, Nanos(1_700_000_000_000_000_000), Span::seconds(43_200));
    let engine = Engine::new(&Config::default().engine(), Oracle::open(), &table, 1).unwrap();
    let recorders = vec![Recorder::local(StampClock::monotonic())];
    let sides = (Market { events, quiet }, Orders::default());
    let ended = run(engine, sides, &layout, recorders, &RunOptions::new(1), &Arc::new(Switch::default()));
    assert!(ended.result.is_ok(), "{:?}", ended.result.err());
    ended.orders
}

#[test]
fn a_fused_engine_rehearses_where_its_thread_does_not_sleep() {
    let sleeping = fused(Waiting::Park, 200);
    assert_eq!(sleeping.rehearsed, 0);
    assert!(sleeping.decided.iter().any(|event| event.kind == EventKind::Signal), "nothing was decided");
    for waiting in [Waiting::Yield, Waiting::Spin] {
        let awake = fused(waiting, 100_000);
        assert!(awake.rehearsed > 2_000, "{}: {} orders rehearsed", waiting.name(), awake.rehearsed);
        assert_eq!(awake.inputs, sleeping.inputs);
        assert!(awake.decided.iter().map(Event::to_bytes).eq(sleeping.decided.iter().map(Event::to_bytes)));
    }
}

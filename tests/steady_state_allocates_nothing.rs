//! After warm-up, a tick through feed, quant, oracle and the order manager allocates nothing, nor does a rehearsal.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use pawl::config::Config;
use pawl::core::payload::{Control, ControlCode};
use pawl::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload, Span};
use pawl::engine::{Engine, NoProbe};
use pawl::oms::Outbox;
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};
use pawl::venue::paper::{PaperParams, PaperVenue};

struct Counting;
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_hundred_thousand_ticks_with_orders_and_fills_allocate_nothing() {
    let table = InstrumentTable::new(specs(2)).unwrap();
    let model = Model::from_bytes(include_bytes!("../models/demo.json"), &Features::NAMES).unwrap();
    let oracle = Oracle::gated(model, &OracleParams { threshold: 0.5 }).unwrap();
    let mut engine = Engine::new(&Config::default().engine(), oracle, &table, 1).unwrap();
    let mut venue = PaperVenue::new(&PaperParams::default(), &table).unwrap();
    let mut out = Outbox::new();
    let events: Vec<Event> =
        SyntheticMarket::new(2, 2, Nanos(1_700_000_000_000_000_000), Span::seconds(86_400)).collect();
    let start = Control { code: Some(ControlCode::Start), balance: Money::whole(10_000) };
    let start = start.event(EventKind::Control, InstrumentId(0), Nanos::NONE, events[0].local_ns);
    engine.on_event(&start, &mut out, &mut NoProbe);
    let (warm_up, steady) = events.split_at(events.len() / 2);
    assert!(steady.len() > 100_000);
    let (mut submitted, mut rehearsed) = (0, 0);
    let mut run = |events: &[Event]| {
        for (number, event) in events.iter().enumerate() {
            if number % 64 == 0 {
                rehearsed += u32::from(engine.rehearse(&out, |_| ()));
            }
            while let Some(report) = venue.take_due(event.local_ns) {
                engine.on_event(&report, &mut out, &mut NoProbe);
                for command in out.events() {
                    if command.kind == EventKind::Submit {
                        venue.on_command(command, report.local_ns);
                    }
                }
            }
            venue.on_market(event);
            engine.on_event(event, &mut out, &mut NoProbe);
            for command in out.events() {
                if command.kind == EventKind::Submit {
                    submitted += 1;
                    venue.on_command(command, event.local_ns);
                }
            }
        }
    };
    run(warm_up);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    run(steady);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert!(submitted > 20 && rehearsed > 1_000, "only {submitted} orders, {rehearsed} rehearsals: nothing was seen");
}

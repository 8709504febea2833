//! After warm-up, an engine on two threads allocates nothing: rings, parcels, intake and recorders have
//! their memory from the start.

use std::alloc::{GlobalAlloc, Layout as MemoryLayout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pawl::config::Config;
use pawl::core::{Event, InstrumentTable, Nanos, Span};
use pawl::engine::Engine;
use pawl::engine::clock::StampClock;
use pawl::engine::intake::Intake;
use pawl::engine::layout::{Group, Layout, Stage};
use pawl::engine::threads::{Activity, Fault, MarketSide, OrderSide, RunOptions, Switch, run};
use pawl::engine::waiting::Waiting;
use pawl::oms::Oms;
use pawl::oracle::Oracle;
use pawl::report::latency::Recorder;
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};

struct Counting;
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: MemoryLayout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: MemoryLayout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Waits while the ring is full, so that the intake is never asked for more than its memory.
struct Market(std::vec::IntoIter<Event>, StampClock);

impl MarketSide for Market {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        if intake.is_congested() {
            return Activity::Idle;
        }
        let any = self.0.len() > 0;
        self.0.by_ref().take(64).for_each(|event| intake.push(event, self.1.now()));
        if any { Activity::Busy } else { Activity::End }
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }
}

/// Reads the counter at the inputs where the steady state begins and ends.
#[derive(Default)]
struct Sink {
    number: u64,
    outputs: u64,
    counted: [u64; 2],
}

const BEGIN: u64 = 40_000;
const END: u64 = 120_000;

impl OrderSide for Sink {
    fn poll(&mut self, _inbox: &mut Vec<Event>) -> Activity {
        Activity::End
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }

    fn store(&mut self, _input: &Event) -> Result<u64, Fault> {
        self.number += 1;
        match self.number {
            BEGIN => self.counted[0] = ALLOCATIONS.load(Ordering::Relaxed),
            END => self.counted[1] = ALLOCATIONS.load(Ordering::Relaxed),
            _ => {}
        }
        Ok(self.number)
    }

    fn decided(&mut self, _input: &Event, outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        self.outputs += outputs.len() as u64;
        Ok(())
    }
}

#[test]
fn eighty_thousand_events_over_a_ring_allocate_nothing() {
    let table = InstrumentTable::new(specs(2)).unwrap();
    let mut config = Config::default();
    config.quant.bar = Span::seconds(5);
    config.feed.debounce = Span::millis(10);
    let engine = Engine::new(&config.engine(), Oracle::open(), &table, 1).unwrap();
    let start = Nanos(1_700_000_000_000_000_000);
    let events: Vec<Event> = SyntheticMarket::new(3, 2, start, Span::seconds(86_400)).take(130_000).collect();
    assert_eq!(events.len(), 130_000);
    let group =
        |stages: &[Stage]| Group { stages: stages.to_vec(), core: None, waiting: Waiting::Yield, priority: None };
    let groups = vec![group(&Stage::ALL[..2]), group(&Stage::ALL[2..])];
    let layout = Layout { groups, lock_memory: false };
    let clock = StampClock::calibrate();
    let recorders = layout.groups.iter().map(|_| Recorder::local(clock)).collect();
    let sides = (Market(events.into_iter(), clock), Sink::default());
    let ended = run(engine, sides, &layout, recorders, &RunOptions::new(2), &Arc::new(Switch::default()));
    assert!(ended.result.is_ok(), "{:?}", ended.result.err());
    let Sink { number, outputs, counted: [before, after] } = ended.orders;
    assert!(number >= 130_000 && outputs > 50, "{number} inputs, {outputs} outputs: the test saw nothing");
    assert!(before > 0 && after == before, "{} allocations", after - before);
}

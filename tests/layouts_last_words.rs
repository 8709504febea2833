//! With the panic hook a panicking thread waits until the order manager's thread has closed the journal:
//! where a panic ends the process, that is the last moment for it. A file of its own, since the hook is
//! the whole process's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pawl::config::Config;
use pawl::core::{Event, InstrumentTable, Nanos, Span};
use pawl::engine::Engine;
use pawl::engine::clock::StampClock;
use pawl::engine::intake::Intake;
use pawl::engine::layout::{Group, Layout, Stage};
use pawl::engine::threads::{Activity, Fault, MarketSide, OrderSide, RunOptions, Switch, orderly_panics, run};
use pawl::engine::waiting::Waiting;
use pawl::oms::Oms;
use pawl::oracle::Oracle;
use pawl::report::latency::Recorder;
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};

/// Says, when the panic unwinds through it, whether the journal was closed by then.
struct Witness<'a> {
    closed: &'a AtomicBool,
    in_time: &'a AtomicBool,
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.in_time.store(self.closed.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }
}

struct Market {
    events: SyntheticMarket,
    closed: Arc<AtomicBool>,
    in_time: Arc<AtomicBool>,
    left: usize,
}

impl MarketSide for Market {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        let _witness = Witness { closed: &self.closed, in_time: &self.in_time };
        let clock = StampClock::monotonic();
        self.events.by_ref().take(10).for_each(|event| intake.push(event, clock.now()));
        assert!(self.left > 0, "as the test wants");
        self.left -= 1;
        Activity::Busy
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }
}

struct Orders {
    closed: Arc<AtomicBool>,
    number: u64,
}

impl OrderSide for Orders {
    fn poll(&mut self, _inbox: &mut Vec<Event>) -> Activity {
        Activity::Idle
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }

    fn store(&mut self, _input: &Event) -> Result<u64, Fault> {
        self.number += 1;
        Ok(self.number)
    }

    fn decided(&mut self, _input: &Event, _outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self, failure: Option<&str>) {
        assert!(failure.is_some_and(|reason| reason.contains("as the test wants")), "{failure:?}");
        self.closed.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_panicking_thread_waits_for_the_journal_to_be_closed() {
    orderly_panics();
    let (closed, in_time) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let table = InstrumentTable::new(specs(1)).unwrap();
    let engine = Engine::new(&Config::default().engine(), Oracle::open(), &table, 1).unwrap();
    let group =
        |stages: &[Stage]| Group { stages: stages.to_vec(), core: None, waiting: Waiting::Yield, priority: None };
    let groups = vec![group(&Stage::ALL[..1]), group(&Stage::ALL[1..])];
    let layout = Layout { groups, lock_memory: false };
    let recorders = layout.groups.iter().map(|_| Recorder::local(StampClock::monotonic())).collect();
    let events = SyntheticMarket::new(1, 1, Nanos(1_700_000_000_000_000_000), Span::seconds(3600));
    let market = Market { events, closed: Arc::clone(&closed), in_time: Arc::clone(&in_time), left: 100 };
    let orders = Orders { closed: Arc::clone(&closed), number: 0 };
    let ended = run(engine, (market, orders), &layout, recorders, &RunOptions::new(1), &Arc::new(Switch::default()));
    assert!(ended.result.is_err() && closed.load(Ordering::SeqCst));
    assert!(in_time.load(Ordering::SeqCst), "the panic went on before the journal was closed");
}

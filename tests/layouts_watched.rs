//! A thread of the engine that hangs leaves the process alive and the others going: whoever looks at the
//! engine's page sees which one it is.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use pawl::config::Config;
use pawl::core::{Event, InstrumentTable, Nanos, Span};
use pawl::engine::Engine;
use pawl::engine::clock::StampClock;
use pawl::engine::intake::Intake;
use pawl::engine::layout::{Group, Layout, Stage};
use pawl::engine::threads::{Activity, Fault, MarketSide, OrderSide, RunOptions, Switch, Watch, run_watched};
use pawl::engine::waiting::Waiting;
use pawl::oms::Oms;
use pawl::oracle::Oracle;
use pawl::report::latency::Recorder;
use pawl::snapshot::{EnginePage, EnginePlan, EngineReader, MAX_HOT_THREADS};
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};

/// Hangs in its last poll until it is let go.
struct Market {
    events: SyntheticMarket,
    polls: u32,
    hangs: Sender<()>,
    let_go: Receiver<()>,
}

impl MarketSide for Market {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        self.polls += 1;
        if self.polls > 100 {
            self.hangs.send(()).unwrap();
            self.let_go.recv().unwrap();
            return Activity::End;
        }
        let clock = StampClock::monotonic();
        self.events.by_ref().take(10).for_each(|event| intake.push(event, clock.now()));
        Activity::Busy
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }
}

#[derive(Default)]
struct Orders(u64);

impl OrderSide for Orders {
    fn poll(&mut self, _inbox: &mut Vec<Event>) -> Activity {
        Activity::End
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }

    fn store(&mut self, _input: &Event) -> Result<u64, Fault> {
        self.0 += 1;
        Ok(self.0)
    }

    fn decided(&mut self, _input: &Event, _outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        Ok(())
    }
}

/// The steps of each thread, as the guardian sees them.
fn steps(reader: &mut EngineReader) -> [u64; MAX_HOT_THREADS] {
    reader.read().unwrap().progress
}

#[test]
fn a_thread_that_hangs_is_told_from_those_that_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let table = InstrumentTable::new(specs(1)).unwrap();
    let plan = EnginePlan { session: 1, instruments: &table, hot_threads: 3 };
    let page = EnginePage::create(&folder.path().join("pages"), &plan).unwrap();
    let mut reader = EngineReader::attach(&folder.path().join("pages")).unwrap();
    let group =
        |stages: &[Stage]| Group { stages: stages.to_vec(), core: None, waiting: Waiting::Park, priority: None };
    let groups = vec![group(&Stage::ALL[..1]), group(&Stage::ALL[1..3]), group(&Stage::ALL[3..])];
    let layout = Layout { groups, lock_memory: false };
    let watch = |thread| Watch { recorder: Recorder::local(StampClock::monotonic()), progress: page.progress(thread) };
    let watches = (0..3).map(watch).collect();
    let ((hangs, hung), (go, let_go)) = (channel(), channel());
    let events = SyntheticMarket::new(1, 1, Nanos(1_700_000_000_000_000_000), Span::seconds(3600));
    let sides = (Market { events, polls: 0, hangs, let_go }, Orders::default());
    let engine = Engine::new(&Config::default().engine(), Oracle::open(), &table, 1).unwrap();
    let (options, switch) = (RunOptions::new(1), Arc::new(Switch::default()));
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| run_watched(engine, sides, &layout, watches, &options, &switch));
        hung.recv().unwrap();
        let first = steps(&mut reader);
        assert!(first[0] > 50, "it polled a hundred times, a round each: {first:?}");
        let began = Instant::now();
        loop {
            let now = steps(&mut reader);
            assert_eq!(now[0], first[0], "the thread hangs");
            if now[1] > first[1] + 20 && now[2] > first[2] + 20 {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "the others do not go on: {first:?} {now:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        go.send(()).unwrap();
        running.join().unwrap()
    });
    assert!(ended.result.is_ok() && ended.inputs >= 1000, "{:?} after {}", ended.result.err(), ended.inputs);
    assert_eq!(steps(&mut reader)[3], 0, "there is no fourth thread");
}

//! Whatever the layout, the same inputs give the same outputs, byte for byte; and whatever the timing,
//! what a threaded run journalled replays on the fused engine to the same bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pawl::config::Config;
use pawl::core::payload::{Control, ControlCode};
use pawl::core::{Event, EventKind, Flags, InstrumentId, InstrumentTable, Money, Nanos, Payload, Span};
use pawl::engine::clock::StampClock;
use pawl::engine::intake::Intake;
use pawl::engine::layout::{Group, Layout, Stage};
use pawl::engine::machine::{Machine, SystemFiles};
use pawl::engine::threads::{Activity, Ended, Fault, MarketSide, OrderSide, RunError, RunOptions, Switch, run};
use pawl::engine::waiting::Waiting;
use pawl::engine::{Engine, is_market, is_market_side};
use pawl::journal::{SessionInfo, SessionReader, SessionWriter, StreamName, WriterOptions};
use pawl::oms::Oms;
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
use pawl::report::Collector;
use pawl::report::latency::{Hop, Recorder};
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};
use pawl::venue::paper::{PaperParams, PaperVenue};
use pawl::worlds::replay::verify;
use pawl::worlds::session::Session;

const T0: Nanos = Nanos(1_700_000_000_000_000_000);
const INSTRUMENTS: usize = 3;

/// Short bars, so that signals come soon; a debounce where asked for.
fn config(debounce: Span) -> Config {
    let mut config = Config::default();
    config.quant.bar = Span::seconds(5);
    config.feed.debounce = debounce;
    config
}

fn table() -> InstrumentTable {
    InstrumentTable::new(specs(INSTRUMENTS)).unwrap()
}

fn engine(debounce: Span) -> Engine {
    let model = Model::from_bytes(include_bytes!("../models/demo.json"), &Features::NAMES).unwrap();
    let oracle = Oracle::gated(model, &OracleParams { threshold: 0.4 }).unwrap();
    Engine::new(&config(debounce).engine(), oracle, &table(), 1).unwrap()
}

fn paper() -> PaperParams {
    PaperParams {
        latency_jitter: Span::millis(30),
        reject_probability: 0.1,
        requote_probability: 0.1,
        ..PaperParams::default()
    }
}

fn info() -> SessionInfo {
    SessionInfo { version: 1, instruments: specs(INSTRUMENTS), ..SessionInfo::default() }
}

fn read(directory: &std::path::Path, stream: StreamName) -> Vec<Event> {
    let session = SessionReader::open(directory).unwrap();
    let mut stream = session.stream(stream).unwrap();
    std::iter::from_fn(|| stream.next_event()).map(Result::unwrap).collect()
}

/// A session against the simulated exchange, recorded: its inputs, and the bytes of its outputs.
fn recorded(debounce: Span, minutes: u64) -> (Vec<Event>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let journal = SessionWriter::create(folder.path(), &info(), &WriterOptions::default()).unwrap();
    let (table, venue) = (table(), PaperVenue::new(&paper(), &table()).unwrap());
    let collector = Collector::new(&table, Money::whole(10_000), "USD");
    let mut session = Session::new(engine(debounce), venue, collector, Some(journal));
    session.start(Money::whole(10_000), T0).unwrap();
    for event in SyntheticMarket::new(5, INSTRUMENTS, T0, Span::seconds(60 * minutes)) {
        session.on_market(&event).unwrap();
    }
    let outcome = session.finish(&table).unwrap();
    assert!(outcome.summary.trades > 3, "the recording must hold trades: {:?}", outcome.summary);
    let outputs = read(folder.path(), StreamName::Output);
    let bytes = outputs.iter().flat_map(|output| output.sealed(output.sequence).to_bytes()).collect();
    (read(folder.path(), StreamName::Input), bytes)
}

/// The recorded market, as fast as it is taken.
struct RecordedMarket {
    events: std::vec::IntoIter<Event>,
    clock: StampClock,
}

impl MarketSide for RecordedMarket {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        if intake.is_congested() {
            // A recording is not to be conflated: it waits.
            return Activity::Idle;
        }
        let before = self.events.len();
        self.events.by_ref().take(64).for_each(|event| intake.push(event, self.clock.now()));
        if before == 0 { Activity::End } else { Activity::Busy }
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }
}

/// The recorded rest: each event comes when everything before it has been told.
struct RecordedOrders {
    inputs: Arc<Vec<Event>>,
    seen: usize,
    outputs: Vec<u8>,
    closed: Vec<Option<String>>,
}

impl OrderSide for RecordedOrders {
    fn poll(&mut self, inbox: &mut Vec<Event>) -> Activity {
        inbox.extend(self.inputs[self.seen..].iter().take_while(|next| !is_market_side(next)));
        match (self.seen == self.inputs.len(), inbox.is_empty()) {
            (true, _) => Activity::End,
            (false, true) => Activity::Idle,
            (false, false) => Activity::Busy,
        }
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }

    fn store(&mut self, input: &Event) -> Result<u64, Fault> {
        let expected = self.inputs[self.seen];
        let told = input.sealed(expected.sequence);
        assert!(told == expected, "input {}: told {input:?} instead of {expected:?}", self.seen + 1);
        self.seen += 1;
        Ok(expected.sequence)
    }

    fn decided(&mut self, _input: &Event, outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        self.outputs.extend(outputs.iter().flat_map(|output| output.sealed(output.sequence).to_bytes()));
        Ok(())
    }

    fn close(&mut self, failure: Option<&str>) {
        self.closed.push(failure.map(str::to_owned));
    }
}

/// Every way to cut four stages into threads: the bits say where a thread ends.
fn cuts() -> impl Iterator<Item = Vec<Vec<Stage>>> {
    (0u8..8).map(|bits| {
        let mut threads: Vec<Vec<Stage>> = vec![Vec::new()];
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            if index > 0 && bits >> (index - 1) & 1 == 1 {
                threads.push(Vec::new());
            }
            threads.last_mut().unwrap().push(stage);
        }
        threads
    })
}

/// Threads pinned in turn to the machine's cores, or to none.
fn layout(threads: Vec<Vec<Stage>>, waiting: Waiting, pinned: bool) -> Layout {
    let machine = Machine::read(&SystemFiles::of_this_machine());
    let cores: Vec<usize> = machine.shared().into_iter().collect();
    let mut cores = cores.into_iter().cycle();
    let groups = threads.into_iter().map(|stages| {
        let core = if pinned { cores.next() } else { None };
        Group { stages, core, waiting, priority: None }
    });
    Layout { groups: groups.collect(), lock_memory: false }
}

fn recorders(layout: &Layout) -> Vec<Recorder> {
    layout.groups.iter().map(|_| Recorder::local(StampClock::calibrate())).collect()
}

fn drive(inputs: &Arc<Vec<Event>>, debounce: Span, layout: &Layout) -> Ended<RecordedMarket, RecordedOrders> {
    let market: Vec<Event> = inputs.iter().filter(|input| is_market_side(input)).copied().collect();
    let market = RecordedMarket { events: market.into_iter(), clock: StampClock::calibrate() };
    let orders = RecordedOrders { inputs: Arc::clone(inputs), seen: 0, outputs: Vec::new(), closed: Vec::new() };
    // One at a time, so that the order of the recording is kept to the event.
    let options = RunOptions { ring: 256, batch: 1, instruments: INSTRUMENTS };
    run(engine(debounce), (market, orders), layout, recorders(layout), &options, &Arc::new(Switch::default()))
}

#[test]
fn every_layout_and_every_way_to_wait_gives_the_recorded_bytes() {
    for debounce in [Span::ZERO, Span::millis(10)] {
        let (inputs, outputs) = recorded(debounce, 15);
        let inputs = Arc::new(inputs);
        let timers = inputs.iter().filter(|input| input.kind == EventKind::Timer).count();
        assert_eq!(timers > 1000, debounce != Span::ZERO, "with a debounce, timers release quotes");
        let mut runs = 0;
        for threads in cuts() {
            for waiting in [Waiting::Spin, Waiting::Yield, Waiting::Park] {
                // Spinning threads that share a core are what a layout refuses.
                if waiting == Waiting::Spin && threads.len() > 2 {
                    continue;
                }
                let layout = layout(threads.clone(), waiting, runs % 2 == 0);
                let ended = drive(&inputs, debounce, &layout);
                assert!(ended.result.is_ok(), "{layout}: {:?}", ended.result.err());
                assert_eq!(ended.inputs, inputs.len() as u64, "{layout}");
                assert!(ended.intake.most_waiting <= 64, "{layout}: {} waited", ended.intake.most_waiting);
                assert_eq!(ended.orders.outputs.len(), outputs.len(), "{layout}");
                assert!(ended.orders.outputs == outputs, "{layout}: other bytes");
                assert_eq!(ended.orders.closed, [None], "closed once, without a failure");
                let last = ended.recorders.into_iter().next_back().unwrap().into_last_frame();
                assert!(!last.hop(Hop::Total).is_empty() && last.hop(Hop::Ring).is_empty() == (threads.len() == 1));
                runs += 1;
            }
        }
        assert_eq!(runs, 8 * 2 + 4);
    }
}

/// A market at full speed that never waits, whoever is late.
struct FastMarket {
    events: SyntheticMarket,
    clock: StampClock,
    now: Nanos,
    pushed: Arc<AtomicUsize>,
    panic_after: usize,
    /// From so many events on it waits while the ring is full.
    patient_after: usize,
}

impl FastMarket {
    fn new(minutes: u64, pushed: &Arc<AtomicUsize>) -> Self {
        let events = SyntheticMarket::new(7, INSTRUMENTS, T0, Span::seconds(60 * minutes));
        let (clock, pushed) = (StampClock::calibrate(), Arc::clone(pushed));
        Self { events, clock, now: T0, pushed, panic_after: usize::MAX, patient_after: usize::MAX }
    }
}

impl MarketSide for FastMarket {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        if intake.is_congested() && self.pushed.load(Ordering::Relaxed) > self.patient_after {
            return Activity::Idle;
        }
        let mut any = false;
        for event in self.events.by_ref().take(50) {
            self.now = event.local_ns;
            intake.push(event, self.clock.now());
            any = true;
            let pushed = self.pushed.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(pushed <= self.panic_after, "the market side breaks as the test wants");
        }
        if any { Activity::Busy } else { Activity::End }
    }

    fn now(&mut self) -> Nanos {
        self.now
    }
}

/// The simulated exchange and a real journal behind the order manager.
struct Exchange {
    venue: PaperVenue,
    journal: Option<SessionWriter>,
    now: Nanos,
    started: bool,
    /// Nothing is taken before the market has pushed so much.
    late_until: usize,
    pushed: Arc<AtomicUsize>,
    fail_after: u64,
    failures: u64,
}

impl Exchange {
    fn new(directory: &std::path::Path, pushed: &Arc<AtomicUsize>) -> Self {
        Self {
            venue: PaperVenue::new(&paper(), &table()).unwrap(),
            journal: Some(SessionWriter::create(directory, &info(), &WriterOptions::default()).unwrap()),
            now: T0,
            started: false,
            late_until: 0,
            pushed: Arc::clone(pushed),
            fail_after: u64::MAX,
            failures: 0,
        }
    }

    fn control(code: ControlCode, now: Nanos) -> Event {
        Control { code: Some(code), balance: Money::whole(10_000) }.event(
            EventKind::Control,
            InstrumentId(0),
            Nanos::NONE,
            now,
        )
    }
}

impl OrderSide for Exchange {
    fn poll(&mut self, inbox: &mut Vec<Event>) -> Activity {
        if !self.started {
            self.started = true;
            inbox.push(Self::control(ControlCode::Start, T0));
        }
        while let Some(report) = self.venue.take_due(self.now) {
            inbox.push(report);
        }
        if inbox.is_empty() { Activity::End } else { Activity::Busy }
    }

    fn now(&mut self) -> Nanos {
        self.now
    }

    fn store(&mut self, input: &Event) -> Result<u64, Fault> {
        while self.pushed.load(Ordering::Relaxed) < self.late_until {
            std::thread::yield_now();
        }
        self.now = self.now.max(input.local_ns);
        if is_market(input.kind) {
            self.venue.on_market(input);
        }
        let number = self.journal.as_mut().unwrap().input.append(input).map_err(|error| Fault(error.to_string()))?;
        if number > self.fail_after {
            Err(Fault("the order side gives up as the test wants".into()))
        } else {
            Ok(number)
        }
    }

    fn decided(&mut self, input: &Event, outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        for output in outputs {
            self.journal.as_mut().unwrap().output.append(output).map_err(|error| Fault(error.to_string()))?;
            if matches!(output.kind, EventKind::Submit | EventKind::Cancel | EventKind::Query) {
                self.venue.on_command(output, input.local_ns);
            }
        }
        Ok(())
    }

    fn on_failure(&mut self, inbox: &mut Vec<Event>) {
        self.failures += 1;
        inbox.push(Self::control(ControlCode::StopEntries, self.now));
    }

    fn close(&mut self, _failure: Option<&str>) {
        self.journal.take().expect("closed once").close().unwrap();
    }
}

#[test]
fn a_late_order_manager_gets_the_latest_quotes_every_trade_and_a_gap_and_it_all_replays() {
    let debounce = Span::millis(10);
    for (threads, waiting) in
        cuts().filter(|threads| threads.len() > 1).zip([Waiting::Yield, Waiting::Park].into_iter().cycle())
    {
        let folder = tempfile::tempdir().unwrap();
        let pushed = Arc::new(AtomicUsize::new(0));
        let mut exchange = Exchange::new(folder.path(), &pushed);
        exchange.late_until = 2_000;
        let layout = layout(threads, waiting, false);
        let options = RunOptions { ring: 16, batch: 64, instruments: INSTRUMENTS };
        let mut market = FastMarket::new(25, &pushed);
        market.patient_after = 4_000;
        let sides = (market, exchange);
        let ended = run(engine(debounce), sides, &layout, recorders(&layout), &options, &Arc::new(Switch::default()));
        assert!(ended.result.is_ok(), "{layout}: {:?}", ended.result.err());

        let inputs = read(folder.path(), StreamName::Input);
        let of = |kind| inputs.iter().filter(move |input| input.kind == kind);
        let sent: Vec<Event> = SyntheticMarket::new(7, INSTRUMENTS, T0, Span::seconds(60 * 25)).collect();
        let sent_of = |kind| sent.iter().filter(move |event| event.kind == kind);
        let trades: Vec<[u64; 4]> = of(EventKind::Trade).map(|trade| trade.payload).collect();
        assert!(trades == sent_of(EventKind::Trade).map(|trade| trade.payload).collect::<Vec<_>>(), "{layout}: trades");
        assert!(of(EventKind::Gap).all(|gap| gap.flags.contains(Flags::CONFLATED)));
        let replaced: u64 = of(EventKind::Gap).map(|gap| gap.payload[0]).sum();
        let missing = sent_of(EventKind::Quote).count() - of(EventKind::Quote).count();
        assert_eq!((replaced, replaced), (missing as u64, ended.intake.conflated), "{layout}");
        assert!(replaced > 500, "{layout}: only {replaced} were conflated, the test saw nothing");

        let session = SessionReader::open(folder.path()).unwrap();
        let verdict = verify(&session, &mut engine(debounce), |_| ()).unwrap();
        assert!(verdict.difference.is_none(), "{layout}: {:?}", verdict.difference);
        assert_eq!(verdict.inputs, inputs.len() as u64);
        assert!(verdict.outputs > 20, "{layout}: {} outputs", verdict.outputs);
    }
}

#[test]
fn a_panic_in_one_thread_ends_the_others_stops_entries_and_closes_the_journal() {
    for threads in cuts() {
        let folder = tempfile::tempdir().unwrap();
        let pushed = Arc::new(AtomicUsize::new(0));
        let mut market = FastMarket::new(60, &pushed);
        market.panic_after = 5_000;
        let layout = layout(threads, Waiting::Yield, false);
        let sides = (market, Exchange::new(folder.path(), &pushed));
        let options = RunOptions::new(INSTRUMENTS);
        let ended = run(engine(Span::ZERO), sides, &layout, recorders(&layout), &options, &Arc::new(Switch::default()));
        let error = ended.result.unwrap_err().to_string();
        assert!(error.contains("feed") && error.contains("as the test wants"), "{layout}: {error}");
        assert!(ended.orders.journal.is_none(), "{layout}: the journal is open");
        if layout.groups.len() > 1 {
            let last = *read(folder.path(), StreamName::Input).last().unwrap();
            assert_eq!(Control::of(&last).code, Some(ControlCode::StopEntries), "{layout}: {last:?}");
            assert_eq!(ended.orders.failures, 1);
        }
        let session = SessionReader::open(folder.path()).unwrap();
        let verdict = verify(&session, &mut engine(Span::ZERO), |_| ()).unwrap();
        assert!(verdict.difference.is_none(), "{layout}: {:?}", verdict.difference);
    }
}

#[test]
fn an_order_side_that_cannot_go_on_ends_everything_with_its_reason() {
    for threads in cuts() {
        let folder = tempfile::tempdir().unwrap();
        let pushed = Arc::new(AtomicUsize::new(0));
        let mut exchange = Exchange::new(folder.path(), &pushed);
        exchange.fail_after = 3_000;
        let layout = layout(threads, Waiting::Park, false);
        let sides = (FastMarket::new(60, &pushed), exchange);
        let options = RunOptions::new(INSTRUMENTS);
        let ended = run(engine(Span::ZERO), sides, &layout, recorders(&layout), &options, &Arc::new(Switch::default()));
        match ended.result {
            Err(RunError::Failed(reason)) => assert!(reason.contains("gives up"), "{layout}: {reason}"),
            other => panic!("{layout}: {other:?}"),
        }
        assert!(ended.orders.journal.is_none() && ended.inputs == 3_000, "{layout}");
    }
}

#[test]
fn told_to_stop_it_finishes_what_has_arrived() {
    for threads in cuts() {
        let folder = tempfile::tempdir().unwrap();
        let (pushed, switch) = (Arc::new(AtomicUsize::new(0)), Arc::new(Switch::default()));
        let layout = layout(threads, Waiting::Yield, false);
        let sides = (FastMarket::new(24 * 60, &pushed), Exchange::new(folder.path(), &pushed));
        let options = RunOptions::new(INSTRUMENTS);
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                while pushed.load(Ordering::Relaxed) < 3_000 {
                    std::thread::yield_now();
                }
                switch.stop();
            });
            run(engine(Span::ZERO), sides, &layout, recorders(&layout), &options, &switch)
        });
        assert!(ended.result.is_ok(), "{layout}: {:?}", ended.result.err());
        let inputs = read(folder.path(), StreamName::Input);
        let market = inputs.iter().filter(|i| matches!(i.kind, EventKind::Quote | EventKind::Trade)).count();
        let arrived = pushed.load(Ordering::Relaxed);
        assert_eq!(market + ended.intake.conflated as usize, arrived, "{layout}: something that had arrived was lost");
        assert_eq!(ended.inputs, inputs.len() as u64);
    }
}

#[test]
fn a_core_that_is_not_there_is_refused_before_anything_begins() {
    let folder = tempfile::tempdir().unwrap();
    let pushed = Arc::new(AtomicUsize::new(0));
    let mut layout = layout(cuts().last().unwrap(), Waiting::Yield, false);
    layout.groups[2].core = Some(1023);
    let sides = (FastMarket::new(1, &pushed), Exchange::new(folder.path(), &pushed));
    let options = RunOptions::new(INSTRUMENTS);
    let ended = run(engine(Span::ZERO), sides, &layout, recorders(&layout), &options, &Arc::new(Switch::default()));
    let error = ended.result.unwrap_err();
    assert!(matches!(error, RunError::Pin(_)) && error.to_string().contains("core 1023"), "{error}");
    assert_eq!((ended.inputs, pushed.load(Ordering::Relaxed)), (0, 0));
}

use super::*;
use crate::core::InstrumentTable;
use crate::engine::clock::StampClock;
use crate::journal::{SessionInfo, WriterOptions};
use crate::oms::OmsParams;
use crate::snapshot::{EnginePlan, EngineReader, GuardianPageWriter};
use crate::venue::net::WriteStamps;
use crate::venue::paper::synthetic::specs;

/// Answers every order alike and remembers what it was given.
struct FakeWire {
    delivery: Delivery,
    given: Vec<EventKind>,
    brings: Vec<Event>,
    cut: bool,
}

impl OrderWire for FakeWire {
    fn poll(&mut self, _now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        self.brings.drain(..).for_each(emit);
        false
    }

    fn command(&mut self, command: &Event, _now: Nanos, _emit: &mut impl FnMut(Event)) -> Delivery {
        self.given.push(command.kind);
        if command.kind == EventKind::Submit { self.delivery } else { Delivery::Noted }
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    fn cut(&mut self) {
        self.cut = true;
    }
}

struct Scene {
    orders: LiveOrders<FakeWire>,
    recorder: Recorder,
    oms: Oms,
    folder: tempfile::TempDir,
}

fn scene(delivery: Delivery) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let instruments = InstrumentTable::new(specs(2)).unwrap();
    let info = SessionInfo { version: 1, instruments: specs(2), ..SessionInfo::default() };
    let journal = SessionWriter::create(&folder.path().join("a"), &info, &WriterOptions::default()).unwrap();
    let plan = EnginePlan { session: 1, instruments: &instruments, hot_threads: 1 };
    let pages = folder.path().join("pages");
    let recorder = Recorder::local(StampClock::monotonic());
    let orders = LiveOrders {
        wire: FakeWire { delivery, given: Vec::new(), brings: Vec::new(), cut: false },
        poller: Poller::new().unwrap(),
        journal: Some(journal),
        page: EnginePage::create(&pages, &plan).unwrap(),
        guardian: GuardianWatch::new(&pages),
        gauges: Gauges::new(&instruments),
        collector: Collector::new(&instruments, Money::whole(100), "USD"),
        stops: Stops::default(),
        end: End::new(&crate::config::LiveParams::default(), Arc::default()),
        room: Arc::default(),
        switch: Arc::default(),
        spans: Spans::of(&recorder),
        by_bytes: false,
        meeting: Meeting::now(recorder.clock()),
        said: Vec::new(),
        inputs: 0,
        last: Nanos::NONE,
        next_sample: Nanos::NONE,
        next_ask: Nanos::NONE,
        snapshots: 0,
        records: Records::default(),
    };
    Scene { orders, recorder, oms: Oms::new(&OmsParams::default(), &instruments, 1).unwrap(), folder }
}

fn event(kind: EventKind, at: Nanos) -> Event {
    Event::new(kind, InstrumentId(0), Nanos::NONE, at, [0; 4])
}

/// A quote of this instant that made the engine send an order and ask about another one.
fn decide(scene: &mut Scene, at: Nanos) -> bool {
    let cause = event(EventKind::Quote, at);
    let outputs = [event(EventKind::Submit, at), event(EventKind::Query, at)];
    scene.orders.decided(&cause, &outputs, &scene.oms).unwrap();
    scene.orders.measured(&mut scene.recorder)
}

#[test]
fn an_order_is_measured_from_the_read_to_after_the_write_of_its_bytes() {
    let now = session_clock();
    let at = |nanos| Nanos(now.0 + 1_000_000_000 + nanos);
    let write = WriteStamps { before: at(7_000), after: at(9_000) };
    let mut scene = scene(Delivery::Sent(Sent::Written(write)));
    assert!(decide(&mut scene, now), "its bytes tell how long it took");
    assert_eq!(scene.orders.wire.given, [EventKind::Submit, EventKind::Query]);
    let frame = scene.recorder.into_last_frame();
    let only = |hop| {
        assert_eq!(frame.hop(hop).len(), 1, "{}", hop.name());
        frame.hop(hop).max()
    };
    // The histogram keeps two digits.
    let near = |found: u64, expected: u64| found.abs_diff(expected) <= expected / 50;
    assert!(near(only(Hop::Write), 2_000));
    assert!(near(only(Hop::Order), 1_000_009_000));
    assert!(only(Hop::Send) <= only(Hop::Order), "decided after it was read");
}

#[test]
fn an_order_whose_bytes_were_not_written_has_no_time_and_a_simulated_one_is_timed_by_its_event() {
    for delivery in [Delivery::Sent(Sent::Queued), Delivery::Unknown, Delivery::Refused] {
        let mut scene = scene(delivery);
        assert!(decide(&mut scene, session_clock()), "{delivery:?}");
        let frame = scene.recorder.into_last_frame();
        assert!([Hop::Send, Hop::Write, Hop::Order].iter().all(|hop| frame.hop(*hop).is_empty()), "{delivery:?}");
    }
    let mut scene = scene(Delivery::Noted);
    assert!(!decide(&mut scene, session_clock()));
}

#[test]
fn words_come_before_what_the_wire_brings_and_time_never_goes_back() {
    let mut scene = scene(Delivery::Noted);
    let now = session_clock();
    scene.orders.say(ControlCode::Start, InstrumentId(0), Money::whole(100), now);
    scene.orders.wire.brings = vec![event(EventKind::OrderAccepted, Nanos(now.0 - 50))];
    let mut inbox = Vec::new();
    scene.orders.poll(&mut inbox);
    let told: Vec<(EventKind, Nanos)> = inbox.iter().map(|event| (event.kind, event.local_ns)).collect();
    assert_eq!(told, [(EventKind::Control, now), (EventKind::OrderAccepted, now)]);
    assert!(scene.orders.now() >= now);
    for (number, event) in inbox.iter().enumerate() {
        assert_eq!(scene.orders.store(event), Ok(number as u64 + 1));
    }
}

#[test]
fn after_the_kill_word_nothing_is_sent_and_the_page_says_so() {
    let mut scene = scene(Delivery::Noted);
    let pages = scene.folder.path().join("pages");
    let mut guardian = GuardianPageWriter::create(&pages).unwrap();
    let mut inbox = Vec::new();
    // The watch looks for a page now and then.
    let began = std::time::Instant::now();
    while scene.orders.guardian.last().is_none() {
        scene.orders.poll(&mut inbox);
        scene.orders.wait(Duration::from_millis(1));
        assert!(began.elapsed() < Duration::from_secs(60), "the guardian's page was not found");
    }
    assert!(!scene.orders.switch.is_stopping());
    guardian.kill(3);
    decide(&mut scene, session_clock());
    assert!(scene.orders.wire.given.is_empty(), "not even before the next round");
    scene.orders.poll(&mut inbox);
    assert!(scene.orders.switch.is_stopping() && scene.orders.wire.cut);
    assert_eq!(scene.orders.end.ending(), Some(Ending::Killed));
    assert_eq!(EngineReader::attach(&pages).unwrap().read().unwrap().kill_acknowledged, 3);
}

#[test]
fn a_thread_that_failed_stops_entries_and_closes_the_journal() {
    let mut scene = scene(Delivery::Noted);
    let mut inbox = Vec::new();
    scene.orders.on_failure(&mut inbox);
    assert_eq!(Control::of(&inbox[0]).code, Some(ControlCode::StopEntries));
    assert_eq!(scene.orders.store(&inbox[0]), Ok(1));
    scene.orders.close(Some("as the test wants"));
    assert!(scene.orders.journal.is_none() && scene.orders.wire.cut);
    assert_eq!((scene.orders.end.ending(), scene.orders.records.written), (Some(Ending::Failed), [1, 0]));
    scene.orders.finish(&scene.oms);
    let session = crate::journal::SessionReader::open(&scene.folder.path().join("a")).unwrap();
    assert!(!session.is_being_written());
}

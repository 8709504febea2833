//! A run replays to identical decisions from its journal alone; a changed threshold is found.

use pawl::config::Config;
use pawl::core::{Event, InstrumentTable, Money, Nanos, Span};
use pawl::engine::Engine;
use pawl::journal::{SessionInfo, SessionReader, SessionWriter, StreamName, WriterOptions};
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
use pawl::report::Collector;
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};
use pawl::venue::paper::{PaperParams, PaperVenue};
use pawl::worlds::replay::{Scope, compare, verify};
use pawl::worlds::session::Session;

const DEMO: &[u8] = include_bytes!("../models/demo.json");

fn engine(table: &InstrumentTable, threshold: f32) -> Engine {
    let model = Model::from_bytes(DEMO, &Features::NAMES).unwrap();
    let oracle = Oracle::gated(model, &OracleParams { threshold }).unwrap();
    Engine::new(&Config::default().engine(), oracle, table, 1).unwrap()
}

/// Half a day of three instruments with latency, jitter, rejects and requotes.
fn run(directory: &std::path::Path) -> (InstrumentTable, u64) {
    let table = InstrumentTable::new(specs(3)).unwrap();
    let info = SessionInfo { version: 1, instruments: specs(3), ..SessionInfo::default() };
    let journal =
        SessionWriter::create(directory, &info, &WriterOptions { segment_records: 50_000, ..WriterOptions::default() })
            .unwrap();
    let paper = PaperParams {
        latency_jitter: Span::millis(30),
        reject_probability: 0.1,
        requote_probability: 0.1,
        commission_per_lot: Money::whole(3),
        ..PaperParams::default()
    };
    let venue = PaperVenue::new(&paper, &table).unwrap();
    let collector = Collector::new(&table, Money::whole(10_000), "USD");
    let mut session = Session::new(engine(&table, 0.5), venue, collector, Some(journal));
    session.start(Money::whole(10_000), Nanos(1)).unwrap();
    for event in SyntheticMarket::new(5, 3, Nanos(1_700_000_000_000_000_000), Span::seconds(43_200)) {
        session.on_market(&event).unwrap();
    }
    let outcome = session.finish(&table).unwrap();
    assert!(outcome.summary.trades > 20, "{:?}", outcome.summary);
    let s = &outcome.summary;
    let earned = s.end_equity.checked_sub(s.start_equity).unwrap();
    let unexplained = (earned.units() - s.net.units()).abs();
    // Each trade's gross and the account's sum are rounded down by less than one unit.
    assert!(!s.open_lots.is_zero() || unexplained <= 2 * s.trades as i64 + 2, "{earned} earned, {} in trades", s.net);
    (table, outcome.inputs)
}

fn outputs(directory: &std::path::Path) -> Vec<Event> {
    let session = SessionReader::open(directory).unwrap();
    let mut stream = session.stream(StreamName::Output).unwrap();
    std::iter::from_fn(|| stream.next_event()).map(Result::unwrap).collect()
}

#[test]
fn the_journal_alone_gives_the_same_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    let (table, inputs) = run(&first);
    let session = SessionReader::open(&first).unwrap();
    let verdict = verify(&session, &mut engine(&table, 0.5), |_| ()).unwrap();
    assert!(verdict.difference.is_none(), "{:?}", verdict.difference);
    assert_eq!((verdict.inputs, verdict.outputs), (inputs, outputs(&first).len() as u64));
    run(&second);
    assert_eq!(outputs(&first), outputs(&second), "same inputs, same bytes");
}

#[test]
fn a_changed_threshold_is_found_at_its_first_decision() {
    let folder = tempfile::tempdir().unwrap();
    let (table, _) = run(folder.path());
    let session = SessionReader::open(folder.path()).unwrap();
    let verdict = verify(&session, &mut engine(&table, 0.999), |_| ()).unwrap();
    let difference = verdict.difference.expect("no signal passes 0.999");
    assert_eq!(difference.recorded.unwrap().kind, pawl::core::EventKind::Decision);
}

#[test]
fn a_writer_killed_between_input_and_output_is_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let (table, _) = run(&whole);
    let session = SessionReader::open(&whole).unwrap();
    let mut inputs = session.stream(StreamName::Input).unwrap();
    let (outputs, mut written) = (outputs(&whole), 0);
    // The same session, whose writer died while it stored the decisions on an input: two of them are missing.
    let causes: std::collections::BTreeSet<u64> = outputs.iter().map(|output| output.venue_ns.0).collect();
    let caused = |cause: u64| outputs.iter().filter(|output| output.venue_ns.0 == cause).count();
    let last = causes.into_iter().skip(5).find(|cause| caused(*cause) > 2).unwrap();
    let mut journal = SessionWriter::create(&cut, session.info(), &WriterOptions::default()).unwrap();
    while let Some(input) = inputs.next_event().map(Result::unwrap).filter(|input| input.sequence <= last) {
        journal.input.append(&input).unwrap();
    }
    let decided = outputs.iter().filter(|output| output.venue_ns.0 <= last).count();
    for output in &outputs[..decided - 2] {
        journal.output.append(output).unwrap();
        written += 1;
    }
    drop(journal);
    let mut engine = engine(&table, 0.5);
    let verdict = verify(&SessionReader::open(&cut).unwrap(), &mut engine, |_| ()).unwrap();
    assert!(verdict.is_identical() && verdict.outputs == written, "{verdict:?}");
    assert_eq!(verdict.unrecorded.len(), 2);
    // Whoever resumes stores them, and the engine stands where the dead one stood.
    let (mut journal, found) = SessionWriter::resume(&cut, &WriterOptions::default()).unwrap();
    assert_eq!((found.input.last, found.output.last), (last, written));
    for output in &verdict.unrecorded {
        journal.output.append(output).unwrap();
    }
    let mut outbox = pawl::oms::Outbox::new();
    let mut rest = session.stream_from(StreamName::Input, last + 1).unwrap();
    while let Some(input) = rest.next_event().map(Result::unwrap) {
        journal.input.append(&input).unwrap();
        engine.on_event(&input, &mut outbox, &mut pawl::engine::NoProbe);
        for output in outbox.events() {
            journal.output.append(output).unwrap();
        }
    }
    journal.close().unwrap();
    let resumed = SessionReader::open(&cut).unwrap();
    let mut again = resumed.stream(StreamName::Output).unwrap();
    let again: Vec<Event> = std::iter::from_fn(|| again.next_event()).map(Result::unwrap).collect();
    assert!(again == outputs, "a resumed session decides what an unbroken one decides");
}

#[test]
fn a_session_that_is_being_written_is_not_different() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, living) = (folder.path().join("whole"), folder.path().join("living"));
    let (table, _) = run(&whole);
    let session = SessionReader::open(&whole).unwrap();
    let mut stream = session.stream(StreamName::Input).unwrap();
    let mut inputs: Vec<Event> = std::iter::from_fn(|| stream.next_event()).map(Result::unwrap).collect();
    let outputs = outputs(&whole);
    // The last input has decisions, which are not stored yet.
    let last = outputs.last().unwrap().venue_ns.0;
    inputs.truncate(last as usize);
    let open = outputs.iter().filter(|output| output.venue_ns.0 == last).count();
    let mut journal = SessionWriter::create(&living, session.info(), &WriterOptions::default()).unwrap();
    // The writer is two inputs ahead of the reader, and stores the decisions on an input just before the next one: the
    // reader sees the outputs end again and again.
    let (mut stored, mut decided) = (0, 0);
    let mut write_up_to = |until: usize| {
        for input in &inputs[stored..until.clamp(stored, inputs.len())] {
            while outputs[decided].venue_ns.0 < input.sequence {
                journal.output.append(&outputs[decided]).unwrap();
                decided += 1;
            }
            journal.input.append(input).unwrap();
            stored += 1;
        }
    };
    write_up_to(2);
    let mut engine = engine(&table, 0.5);
    let reader = SessionReader::open(&living).unwrap();
    let verdict = verify(&reader, &mut engine, |read| write_up_to(read as usize + 2)).unwrap();
    assert!(verdict.is_identical(), "{:?}", verdict.difference);
    assert!(verdict.being_written);
    assert_eq!((verdict.inputs, verdict.outputs), (last, (outputs.len() - open) as u64));
    assert_eq!(verdict.unrecorded.len(), open);
}

#[test]
fn equal_outputs_before_a_difference_are_those_that_were_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (table, _) = run(folder.path());
    let session = SessionReader::open(folder.path()).unwrap();
    for instrument in 0..3 {
        let instrument = pawl::core::InstrumentId(instrument);
        let scope = Scope { instrument: Some(instrument), go_on: true, ..Scope::default() };
        let verdict = compare(&session, &mut engine(&table, 0.999), &scope, |_| ()).unwrap();
        let first = verdict.difference.expect("no signal passes 0.999");
        let recorded = first.recorded.expect("a decision is recorded").sequence;
        let before = outputs(folder.path()).into_iter().filter(|o| o.instrument == instrument && o.sequence < recorded);
        assert_eq!(first.after, before.count() as u64);
    }
}

#[test]
fn a_lost_input_is_not_taken_for_a_good_end() {
    let folder = tempfile::tempdir().unwrap();
    let (table, _) = run(folder.path());
    let path = folder.path().join("input-000001.seg");
    let bytes = std::fs::read(&path).unwrap();
    let records = SessionReader::open(folder.path()).unwrap().stream(StreamName::Input).unwrap().progress().1 / 64;
    assert!(records > 1_000);
    // The first segment ends early, as a power failure leaves it: later records are there.
    let mut holed = bytes.clone();
    holed[4096 + 64 * 500..4096 + 64 * 900].fill(0);
    std::fs::write(&path, holed).unwrap();
    let error = verify(&SessionReader::open(folder.path()).unwrap(), &mut engine(&table, 0.5), |_| ());
    assert!(error.is_err() || !error.unwrap().is_identical());
}

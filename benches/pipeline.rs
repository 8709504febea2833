//! Ticks through feed, quant, oracle and order manager on one core, from a journal in page cache,
//! and each stage alone, beside the budget of DESIGN section 11.

#![expect(missing_docs, reason = "criterion_group makes undocumented functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pawl::config::Config;
use pawl::core::payload::{Control, ControlCode};
use pawl::core::{Event, EventKind, InstrumentId, InstrumentTable, Money, Nanos, Payload, Side, Span};
use pawl::engine::{Engine, NoProbe};
use pawl::feed::Feed;
use pawl::journal::{SessionInfo, SessionReader, SessionWriter, StreamName, WriterOptions};
use pawl::oms::Outbox;
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::{Features, Quant, RawSignal};
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};

fn oracle() -> Oracle {
    let model = Model::from_bytes(include_bytes!("../models/model.json"), &Features::NAMES).unwrap();
    Oracle::gated(model, &OracleParams::default()).unwrap()
}

fn market() -> Vec<Event> {
    SyntheticMarket::new(1, 2, Nanos(1_700_000_000_000_000_000), Span::seconds(86_400)).collect()
}

fn pipeline(criterion: &mut Criterion) {
    let (table, events) = (InstrumentTable::new(specs(2)).unwrap(), market());
    let folder = tempfile::tempdir().unwrap();
    let info = SessionInfo { version: 1, instruments: specs(2), ..SessionInfo::default() };
    let mut journal = SessionWriter::create(
        folder.path(),
        &info,
        &WriterOptions { segment_records: 1 << 20, ..WriterOptions::default() },
    )
    .unwrap();
    for event in &events {
        journal.input.append(event).unwrap();
    }
    journal.close().unwrap();
    let session = SessionReader::open(folder.path()).unwrap();
    let mut group = criterion.benchmark_group("ticks");
    group.sample_size(10).throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("journal -> feed -> quant -> oracle -> oms (budget 10 M/s, goal 20 M/s)", |bencher| {
        bencher.iter(|| {
            let mut engine = Engine::new(&Config::default().engine(), oracle(), &table, 1).unwrap();
            let mut out = Outbox::new();
            let start = Control { code: Some(ControlCode::Start), balance: Money::whole(10_000) };
            engine.on_event(
                &start.event(EventKind::Control, InstrumentId(0), Nanos::NONE, Nanos(1)),
                &mut out,
                &mut NoProbe,
            );
            let mut stream = session.stream(StreamName::Input).unwrap();
            while let Some(event) = stream.next_event() {
                engine.on_event(&event.unwrap(), &mut out, &mut NoProbe);
            }
            black_box(out.events().len())
        });
    });
    group.finish();
}

fn stages(criterion: &mut Criterion) {
    let events = market();
    let mut feed = Feed::new(&Config::default().feed, 2);
    let clean: Vec<Event> = events.iter().filter_map(|event| feed.on_event(event)).collect();
    let mut group = criterion.benchmark_group("stage");
    group.sample_size(10).throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("feed", |bencher| {
        bencher.iter(|| {
            let mut feed = Feed::new(&Config::default().feed, 2);
            events
                .iter()
                .filter_map(|event| feed.on_event(event))
                .map(|event| event.venue_ns.0)
                .fold(0, u64::wrapping_add)
        });
    });
    group.bench_function("quant (budget 25 ns)", |bencher| {
        bencher.iter(|| {
            let mut quant = Quant::new(&Config::default().quant, 2).unwrap();
            clean.iter().map(|event| quant.on_event(event).z_score).filter(|z| *z > 1.0).count()
        });
    });
    group.finish();
    let features = Features {
        log_return: 1e-5,
        volatility: 1e-4,
        z_score: -2.1,
        adx: 18.0,
        rsi: 40.0,
        time_sin: 0.3,
        volume_delta: 9.0,
    };
    let (oracle, signal) = (oracle(), RawSignal { side: Side::Buy, features });
    criterion.bench_function("oracle, 84 trees of depth 3 (budget 110 ns for 100 of depth 6)", |bencher| {
        bencher.iter(|| oracle.decide(black_box(&signal)));
    });
}

fn append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let info = SessionInfo { version: 1, ..SessionInfo::default() };
    let event = market()[0];
    let mut round = 0;
    let mut group = criterion.benchmark_group("journal");
    group.sample_size(10).throughput(Throughput::Elements(500_000));
    group.bench_function("append with CRC, preallocated (budget 10 ns)", |bencher| {
        bencher.iter_batched(
            || {
                round += 1;
                let path = folder.path().join(round.to_string());
                SessionWriter::create(
                    &path,
                    &info,
                    &WriterOptions { segment_records: 500_000, ..WriterOptions::default() },
                )
                .unwrap()
            },
            |mut journal| {
                for _ in 0..500_000 {
                    journal.input.append(&event).unwrap();
                }
                journal
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, pipeline, stages, append);
criterion_main!(benches);

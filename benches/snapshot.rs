//! What it costs the trading loop to publish, and a reader to read, beside the budget of DESIGN section 11.

#![expect(missing_docs, reason = "criterion_group makes undocumented functions")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pawl::core::InstrumentTable;
use pawl::snapshot::{EnginePage, EnginePlan, EngineReader, GuardianPage, GuardianPageWriter, GuardianView, Snapshot};
use pawl::venue::paper::synthetic::specs;

fn pages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(20);
    for instruments in [2, 8, 64] {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let table = InstrumentTable::new(specs(instruments)).unwrap();
        let plan = EnginePlan { session: 1, instruments: &table, hot_threads: 1 };
        let mut page = EnginePage::create(folder.path(), &plan).unwrap();
        let mut snapshot = Snapshot::default();
        group.bench_function(format!("publish, {instruments} instruments (budget 50 ns)"), |bencher| {
            bencher.iter(|| {
                snapshot.orders += 1;
                page.publish(black_box(&snapshot));
            });
        });
        let mut reader = EngineReader::attach(folder.path()).unwrap();
        group.bench_function(format!("guardian reads, {instruments} instruments"), |bencher| {
            bencher.iter(|| black_box(reader.read().unwrap()).sequence);
        });
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut writer = GuardianPageWriter::create(folder.path()).unwrap();
    let guardian = GuardianPage::attach(folder.path()).unwrap();
    let mut view = GuardianView::default();
    group.bench_function("guardian publishes", |bencher| {
        bencher.iter(|| {
            view.heartbeat += 1;
            writer.publish(black_box(&view));
        });
    });
    group.bench_function("engine reads the guardian's view", |bencher| bencher.iter(|| guardian.view().unwrap()));
    group.bench_function("engine asks for the kill word", |bencher| bencher.iter(|| guardian.kill()));
    group.finish();
}

criterion_group!(benches, pages);
criterion_main!(benches);

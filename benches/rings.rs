//! What a hop from thread to thread costs, what a layout carries, and what measuring adds; beside a
//! `crossbeam` channel in the same run. Ratios of one run mean more than nanoseconds of a shared box.
//!
//! Not criterion: percentiles are wanted, not means. `--test` runs everything once, briefly.
//! `PAWL_BENCH_FIFO=1` gives the ping-pong threads a real-time priority in bursts of a fifth of a second,
//! which stands in for two idle cores where there are none; the box does nothing else meanwhile.
//!
//! Published: LMAX 52 ns mean a hop in a three-stage pipeline (2.2 GHz i7, 2011); disruptor-rs 32 ns an
//! element singly, 8 ns in bursts of 100 (2016 laptop). Budget here: p50 100 ns, p99.9 1 us.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::bounded;
use hdrhistogram::Histogram;
use pawl::config::Config;
use pawl::core::{Event, EventKind, InstrumentId, InstrumentTable, Nanos, Span};
use pawl::engine::clock::{Stamp, StampClock, monotonic_ns};
use pawl::engine::intake::Intake;
use pawl::engine::layout::{Group, Layout, Stage};
use pawl::engine::machine::{Machine, SystemFiles};
use pawl::engine::parcel::Parcel;
use pawl::engine::ring::{Taken, ring};
use pawl::engine::threads::{Activity, Fault, MarketSide, OrderSide, RunOptions, Switch, run};
use pawl::engine::waiting::Waiting;
use pawl::engine::{Engine, NoProbe, pin};
use pawl::oms::{Oms, Outbox};
use pawl::oracle::{Model, Oracle, OracleParams};
use pawl::quant::Features;
use pawl::report::latency::{Hop, Overhead, Recorder, histogram, span};
use pawl::venue::paper::synthetic::{SyntheticMarket, specs};

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    repetitions: usize,
    pings: u32,
    events: usize,
    paced: usize,
    fifo: bool,
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let fifo = std::env::var_os("PAWL_BENCH_FIFO").is_some();
    let full = Scale { repetitions: 7, pings: 50_000, events: 500_000, paced: 40_000, fifo };
    let brief = Scale { repetitions: 1, pings: 200, events: 5_000, paced: 200, fifo: false };
    let scale = if test { brief } else { full };
    let machine = Machine::read(&SystemFiles::of_this_machine());
    println!("rings on {}; median of {} (best)\n", machine.describe(), scale.repetitions);
    // All parts, or those named: `cargo bench --bench rings -- overhead`.
    let named: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    if wanted("hops") {
        hops(&machine, scale);
    }
    if wanted("layouts") {
        layouts(&machine, scale);
    }
    if wanted("overhead") {
        overhead(scale);
    }
}

/// Two cores, different where there are two.
fn two_cores(machine: &Machine) -> (usize, usize) {
    let cores: Vec<usize> = machine.isolated.iter().chain(machine.shared().iter()).copied().collect();
    (cores[0], cores[cores.len() - 1])
}

fn settle(core: usize, fifo: bool) {
    pin::pin(core).expect("a core of this machine");
    if fifo {
        pin::real_time(10).expect("PAWL_BENCH_FIFO needs the right to real-time priorities");
    }
}

/// Median over repetitions, and the best of them, of some percentiles.
fn summary(rounds: &[Histogram<u64>], divisor: u64) -> String {
    let quantiles = [0.5, 0.99, 0.999];
    let texts = quantiles.map(|quantile| {
        let mut values: Vec<u64> = rounds.iter().map(|round| round.value_at_quantile(quantile) / divisor).collect();
        values.sort_unstable();
        format!("{:>9} ({})", span(values[values.len() / 2]), span(values[0]))
    });
    texts.join("  ")
}

/// There and back over two rings, and over two channels, half of it each: the waiting is a spin.
fn hops(machine: &Machine, scale: Scale) {
    println!(
        "hop between two pinned cores, half of a ping-pong with 1 us between{}",
        if scale.fifo { ", FIFO" } else { "" }
    );
    println!("  {:<22} {:<20}  {:<20}  {:<20}", "", "p50", "p99", "p99.9");
    let cores = two_cores(machine);
    let (mut rings, mut channels, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.repetitions {
        lines.push(ping_line(cores, scale));
        rings.push(ping_rings(cores, scale));
        channels.push(ping_channels(cores, scale));
    }
    println!("  {:<22} {}  the machine's own price", "one cache line", summary(&lines, 2));
    println!("  {:<22} {}  budget p50 100 ns, p99.9 1 us", "ring of 128-byte events", summary(&rings, 2));
    println!("  {:<22} {}", "crossbeam channel", summary(&channels, 2));
    let p50 = |rounds: &[Histogram<u64>]| rounds.iter().map(|round| round.value_at_quantile(0.5)).min().unwrap_or(1);
    let ratio = |rounds: &[Histogram<u64>]| p50(rounds) as f64 / p50(&lines).max(1) as f64;
    println!("  best p50 in cache lines: ring {:.2}, channel {:.2}\n", ratio(&rings), ratio(&channels));
}

fn event(number: u64) -> Event {
    Event::new(EventKind::Quote, InstrumentId(0), Nanos(number + 1), Nanos(number + 1), [number, number + 1, 5, 5])
}

fn parcel(number: u64) -> Parcel {
    let (mut parcel, event) = (Parcel::default(), event(number));
    parcel.fill(&event, Stamp(0), Some(&event));
    parcel
}

/// Spins for this long, so that one ping never meets the last.
fn pause(clock: &StampClock, nanos: u64) {
    let began = clock.now();
    while clock.nanos(began, clock.now()) < nanos {
        std::hint::spin_loop();
    }
}

/// There and back of a single word: below this nothing can be. Two cores of one chip that share a cache
/// take 40 to 70 ns a way; where the host has put them on two chips, 150 to 300.
fn ping_line((here, there): (usize, usize), scale: Scale) -> Histogram<u64> {
    let (clock, word) = (StampClock::calibrate(), Arc::new(AtomicU64::new(0)));
    let far = Arc::clone(&word);
    let last = 2 * u64::from(scale.pings);
    let echo = std::thread::spawn(move || {
        settle(there, scale.fifo);
        for turn in (1..last).step_by(2) {
            while far.load(Ordering::Acquire) != turn {
                std::hint::spin_loop();
            }
            far.store(turn + 1, Ordering::Release);
        }
    });
    let times = std::thread::spawn(move || {
        settle(here, scale.fifo);
        let mut times = histogram();
        for turn in (1..last).step_by(2) {
            let began = clock.now_ordered();
            word.store(turn, Ordering::Release);
            while word.load(Ordering::Acquire) != turn + 1 {
                std::hint::spin_loop();
            }
            times.saturating_record(clock.nanos(began, clock.now_ordered()));
            pause(&clock, 1_000);
        }
        times
    });
    let times = times.join().unwrap();
    echo.join().unwrap();
    times
}

fn ping_rings((here, there): (usize, usize), scale: Scale) -> Histogram<u64> {
    let clock = StampClock::calibrate();
    let (mut out, mut far) = ring(1024, clock);
    let (mut answer, mut back) = ring(1024, clock);
    let echo = std::thread::spawn(move || {
        settle(there, scale.fifo);
        loop {
            match far.take(1, |parcel| assert!(answer.try_send(parcel))) {
                Taken::Some(_) => {}
                Taken::Nothing => std::hint::spin_loop(),
                Taken::End => return,
            }
        }
    });
    let times = std::thread::spawn(move || {
        settle(here, scale.fifo);
        let mut times = histogram();
        for number in 0..scale.pings {
            let parcel = parcel(u64::from(number));
            let began = clock.now_ordered();
            assert!(out.try_send(&parcel));
            while back.take(1, |parcel| {
                std::hint::black_box(parcel.input());
            }) == Taken::Nothing
            {
                std::hint::spin_loop();
            }
            times.saturating_record(clock.nanos(began, clock.now_ordered()));
            pause(&clock, 1_000);
        }
        times
    });
    let times = times.join().unwrap();
    echo.join().unwrap();
    times
}

fn ping_channels((here, there): (usize, usize), scale: Scale) -> Histogram<u64> {
    let clock = StampClock::calibrate();
    let (out, far) = bounded::<Parcel>(1024);
    let (answer, back) = bounded::<Parcel>(1024);
    let echo = std::thread::spawn(move || {
        settle(there, scale.fifo);
        loop {
            match far.try_recv() {
                Ok(parcel) => answer.try_send(parcel).unwrap(),
                Err(error) if error.is_disconnected() => return,
                Err(_) => std::hint::spin_loop(),
            }
        }
    });
    let times = std::thread::spawn(move || {
        settle(here, scale.fifo);
        let mut times = histogram();
        for number in 0..scale.pings {
            let parcel = parcel(u64::from(number));
            let began = clock.now_ordered();
            out.try_send(parcel).unwrap();
            while back.try_recv().is_err() {
                std::hint::spin_loop();
            }
            times.saturating_record(clock.nanos(began, clock.now_ordered()));
            pause(&clock, 1_000);
        }
        times
    });
    let times = times.join().unwrap();
    echo.join().unwrap();
    times
}

/// Events as fast as they are taken, or at their intended times.
struct Market {
    events: std::vec::IntoIter<Event>,
    clock: StampClock,
    /// Ticks between two events; zero: no pace.
    pace: u64,
    next: Stamp,
}

impl MarketSide for Market {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        if self.events.len() == 0 {
            return Activity::End;
        }
        if self.pace == 0 {
            if intake.is_congested() {
                return Activity::Idle;
            }
            self.events.by_ref().take(64).for_each(|event| intake.push(event, self.clock.now()));
            return Activity::Busy;
        }
        let now = self.clock.now();
        let mut any = Activity::Idle;
        while self.next <= now {
            let Some(event) = self.events.next() else { break };
            // The time at which it was meant to come, whatever kept us from looking.
            intake.push(event, self.next);
            self.next = Stamp(self.next.0 + self.pace);
            any = Activity::Busy;
        }
        any
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }
}

/// Takes everything and keeps nothing.
struct Sink(u64);

impl OrderSide for Sink {
    fn poll(&mut self, _inbox: &mut Vec<Event>) -> Activity {
        Activity::End
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }

    fn store(&mut self, input: &Event) -> Result<u64, Fault> {
        std::hint::black_box(input);
        self.0 += 1;
        Ok(self.0)
    }

    fn decided(&mut self, _input: &Event, outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        std::hint::black_box(outputs);
        Ok(())
    }
}

fn engine() -> Engine {
    let model = Model::from_bytes(include_bytes!("../models/demo.json"), &Features::NAMES).unwrap();
    let oracle = Oracle::gated(model, &OracleParams::default()).unwrap();
    Engine::new(&Config::default().engine(), oracle, &InstrumentTable::new(specs(2)).unwrap(), 1).unwrap()
}

fn market(count: usize) -> Vec<Event> {
    SyntheticMarket::new(1, 2, Nanos(1_700_000_000_000_000_000), Span::seconds(86_400 * 2)).take(count).collect()
}

fn layout(threads: &[&[Stage]], waiting: Waiting, machine: &Machine) -> Layout {
    let mut cores: Vec<usize> = machine.allowed.iter().copied().collect();
    cores.reverse();
    let groups = threads.iter().enumerate().map(|(index, stages)| Group {
        stages: stages.to_vec(),
        core: Some(cores[index % cores.len()]),
        waiting,
        priority: None,
    });
    Layout { groups: groups.collect(), lock_memory: false }
}

/// Runs events through a layout; the seconds it took, and end to end as its last thread saw it.
fn through(layout: &Layout, events: Vec<Event>, pace_ns: u64) -> (f64, Histogram<u64>) {
    let clock = StampClock::calibrate();
    let recorders = layout.groups.iter().map(|_| Recorder::local(clock)).collect();
    let pace = clock.ticks(pace_ns);
    let market =
        Market { events: events.into_iter(), clock, pace, next: Stamp(clock.now().0 + clock.ticks(20_000_000)) };
    let began = Instant::now();
    let ended = run(engine(), (market, Sink(0)), layout, recorders, &RunOptions::new(2), &Arc::new(Switch::default()));
    ended.result.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let last = ended.recorders.into_iter().next_back().unwrap().into_last_frame();
    (seconds, last.hop(Hop::Total))
}

fn layouts(machine: &Machine, scale: Scale) {
    use Stage::{Feed, Oms, Oracle, Quant};
    let fused: &[&[Stage]] = &[&[Feed, Quant, Oracle, Oms]];
    let split: &[&[Stage]] = &[&[Feed], &[Quant, Oracle, Oms]];
    let three: &[&[Stage]] = &[&[Feed], &[Quant, Oracle], &[Oms]];
    let pipeline: &[&[Stage]] = &[&[Feed], &[Quant], &[Oracle], &[Oms]];
    println!(
        "the engine by layout: saturated throughput; then {} events, one each 50 us, from their intended time",
        scale.paced
    );
    println!("  {:<22} {:<16} {:<20}  {:<20}  {:<20}", "", "M events/s", "p50", "p99", "p99.9");
    let events = market(scale.events);
    let paced: Vec<Event> = events.iter().copied().take(scale.paced).collect();
    let mut fused_rate = 0.0;
    for (name, threads) in [("fused", fused), ("split", split), ("3 threads", three), ("pipeline", pipeline)] {
        for waiting in [Waiting::Spin, Waiting::Yield, Waiting::Park] {
            // What a layout refuses is measured in the facts once, and not again: it takes minutes.
            if waiting == Waiting::Spin && threads.len() > machine.allowed.len() {
                continue;
            }
            let layout = layout(threads, waiting, machine);
            let mut rates: Vec<f64> = (0..scale.repetitions)
                .map(|_| events.len() as f64 / through(&layout, events.clone(), 0).0 / 1e6)
                .collect();
            rates.sort_by(f64::total_cmp);
            let (median, best) = (rates[rates.len() / 2], rates[rates.len() - 1]);
            let rounds: Vec<_> = (0..scale.repetitions).map(|_| through(&layout, paced.clone(), 50_000)).collect();
            let totals: Vec<Histogram<u64>> = rounds.iter().map(|(_, total)| total.clone()).collect();
            if fused_rate == 0.0 {
                fused_rate = best;
            }
            let label = format!("{name}, {}", waiting.name());
            println!(
                "  {label:<22} {median:>5.2} ({best:.2}) {:>4.0} % {}",
                100.0 * best / fused_rate,
                summary(&totals, 1)
            );
        }
    }
    println!();
    throughput(machine, scale);
}

/// One writer, one reader, nothing else: the ring beside a channel of the same parcels.
fn throughput(machine: &Machine, scale: Scale) {
    let cores = two_cores(machine);
    let count = scale.events as u64;
    let mut rates: Vec<(f64, f64)> =
        (0..scale.repetitions).map(|_| (ring_rate(cores, count), channel_rate(cores, count))).collect();
    rates.sort_by(|left, right| left.0.total_cmp(&right.0));
    let best = |pick: fn(&(f64, f64)) -> f64| rates.iter().map(pick).fold(0.0, f64::max);
    let (rings, channels) = (best(|rate| rate.0), best(|rate| rate.1));
    println!(
        "one writer, one reader, M parcels/s, best: ring {rings:.1}, crossbeam channel {channels:.1}, ratio {:.2}\n",
        rings / channels
    );
}

fn ring_rate((here, there): (usize, usize), count: u64) -> f64 {
    let (mut writer, mut reader) = ring(4096, StampClock::calibrate());
    let reading = std::thread::spawn(move || {
        settle(there, false);
        let mut sum = 0u64;
        loop {
            match reader.take(64, |parcel| sum = sum.wrapping_add(parcel.input().payload[0])) {
                Taken::Some(_) => {}
                Taken::Nothing => std::thread::yield_now(),
                Taken::End => return sum,
            }
        }
    });
    let writing = std::thread::spawn(move || {
        settle(here, false);
        let (parcel, began) = (parcel(1), Instant::now());
        for _ in 0..count {
            while !writer.try_send(&parcel) {
                std::thread::yield_now();
            }
        }
        drop(writer);
        began
    });
    let began = writing.join().unwrap();
    assert_eq!(reading.join().unwrap(), count);
    count as f64 / began.elapsed().as_secs_f64() / 1e6
}

fn channel_rate((here, there): (usize, usize), count: u64) -> f64 {
    let (sender, receiver) = bounded::<Parcel>(4096);
    let reading = std::thread::spawn(move || {
        settle(there, false);
        let mut sum = 0u64;
        loop {
            match receiver.try_recv() {
                Ok(parcel) => sum = sum.wrapping_add(parcel.input().payload[0]),
                Err(error) if error.is_disconnected() => return sum,
                Err(_) => std::thread::yield_now(),
            }
        }
    });
    let writing = std::thread::spawn(move || {
        settle(here, false);
        let (parcel, began) = (parcel(1), Instant::now());
        for _ in 0..count {
            while sender.try_send(parcel).is_err() {
                std::thread::yield_now();
            }
        }
        began
    });
    let began = writing.join().unwrap();
    assert_eq!(reading.join().unwrap(), count);
    count as f64 / began.elapsed().as_secs_f64() / 1e6
}

/// The fused engine with and without a recorder, on the same events in turn. Measured twice: events that follow each other,
/// as those of one read do, where an event begins at the stamp that ended the last; and events of which each came by a
/// read of its own. There the engine dates the event by the system's clock, with or without a recorder, and the stamp is
/// reckoned from that date.
fn overhead(scale: Scale) {
    let clock = StampClock::calibrate();
    let events = market(scale.events);
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..scale.repetitions.max(3) {
        times[0].push(plain(&events, &clock, false));
        times[1].push(recorded(&events, &clock, false));
        times[2].push(plain(&events, &clock, true));
        times[3].push(recorded(&events, &clock, true));
    }
    let [bare, measured, bare_read, measured_read] =
        times.map(|times| times.iter().copied().fold(f64::INFINITY, f64::min));
    let alone = Overhead::measure(clock);
    println!(
        "measuring: fused engine {bare:.1} ns an event without, {measured:.1} with every event measured end to end and hops on \
         one in 64: {:.1} ns more (budget {:.0}); each event dated by a read of its own {bare_read:.1} without, \
         {measured_read:.1} with: {:.1} more; what a report says: {:.1}; stamp {:.1}, record {:.1}, hop {:.1} ns",
        measured - bare,
        Overhead::BUDGET_NS,
        measured_read - bare_read,
        alone.event_ns,
        alone.stamp_ns,
        alone.record_ns,
        alone.hop_ns
    );
}

fn plain(events: &[Event], clock: &StampClock, own_read: bool) -> f64 {
    let (mut engine, mut out) = (engine(), Outbox::new());
    let began = clock.now_ordered();
    for event in events {
        if own_read {
            std::hint::black_box(monotonic_ns());
        }
        engine.on_event(event, &mut out, &mut NoProbe);
        std::hint::black_box(out.events().len());
    }
    clock.nanos(began, clock.now_ordered()) as f64 / events.len() as f64
}

fn recorded(events: &[Event], clock: &StampClock, own_read: bool) -> f64 {
    struct Marks<'a>(&'a mut Recorder);
    impl pawl::engine::Probe for Marks<'_> {
        fn mark(&mut self, _: pawl::engine::Boundary) {
            self.0.mark(Hop::Quant);
        }
    }
    let (mut engine, mut out, mut recorder) = (engine(), Outbox::new(), Recorder::local(*clock));
    let mut meeting = (monotonic_ns(), clock.now());
    let began = clock.now_ordered();
    for (number, event) in events.iter().enumerate() {
        if own_read {
            let now = monotonic_ns();
            if now - meeting.0 > 100_000 {
                meeting = (now, recorder.clock().now());
            }
            recorder.begin(Stamp(meeting.1.0 + recorder.clock().ticks(now - meeting.0)));
        } else {
            recorder.begin_next();
        }
        if number % 64 == 0 {
            recorder.begin_hops();
            engine.on_event(event, &mut out, &mut Marks(&mut recorder));
        } else {
            engine.on_event(event, &mut out, &mut NoProbe);
        }
        std::hint::black_box(out.events().len());
        recorder.end(false);
    }
    clock.nanos(began, clock.now_ordered()) as f64 / events.len() as f64
}

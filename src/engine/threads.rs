//! The engine on the threads of a layout, from start to end.
//!
//! Start: every thread pins itself, takes its priority and says so; only when all have, all begin.
//! Work: `market_side.rs` and `order_side.rs`; on one thread `alone.rs`. End: the market's side says
//! that it is at its end, or [`Switch::stop`] is called; what has arrived goes through every stage, each
//! ring ends when its writer does, and the order manager's thread is the last. Failure: a thread that
//! panics, or an order side that cannot go on, throws the switch: nobody reads or passes on anything any
//! more, the order manager is told to enter nothing, the order side closes the journal, and [`run`]
//! returns with the reason. Where a panic ends the process at once (release builds), the hook of
//! [`orderly_panics`] gives the order manager's thread a moment for the same.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::alone::Alone;
use super::intake::{Intake, IntakeCounters};
use super::layout::{Group, Layout, Stage};
use super::market_side::{Between, First, Middle, Outlet};
use super::order_side::{Desk, Last};
use super::parcel::Parcel;
use super::pin::{self, PinError};
use super::ring::{RingReader, RingWriter, ring};
use super::waiting::{Idle, Waiting, waker_of_this_thread};
use super::{Engine, Stages};
use crate::engine::clock::StampClock;
use crate::oms::Outbox;
use crate::report::latency::Recorder;
use crate::snapshot::{Progress, monotonic_ns};

pub use super::market_side::MarketSide;
pub use super::order_side::OrderSide;
pub use super::switch::Switch;

/// Hops are timed on one event in this many, the whole way on all others.
pub const HOPS_EVERY: u64 = 64;

/// What a look at the world brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// Nothing; the thread may wait.
    Idle,
    /// Something; look again at once.
    Busy,
    /// Nothing, and nothing will come any more.
    End,
}

/// Why the order side cannot go on, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// How threads work.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Parcels in a ring, a power of two.
    pub ring: usize,
    /// Most events that a thread handles before it looks at everything else again.
    pub batch: usize,
    /// Instruments of the session.
    pub instruments: usize,
}

impl RunOptions {
    /// Rings of 4096, looks at everything after 64 events.
    pub const fn new(instruments: usize) -> Self {
        Self { ring: 4096, batch: 64, instruments }
    }
}

/// What a thread works with.
pub(super) struct Context<'a> {
    pub(super) switch: &'a Switch,
    pub(super) recorder: &'a mut Recorder,
    pub(super) idle: Idle,
    pub(super) batch: usize,
    waiting: Waiting,
    count: u64,
    progress: Option<Progress>,
}

impl Context<'_> {
    /// True when the hops of the next event are to be timed.
    #[inline]
    pub(super) fn is_timed(&mut self) -> bool {
        self.count = self.count.wrapping_add(1);
        self.count.is_multiple_of(HOPS_EVERY)
    }

    /// The thread's loop goes round once more: its sign of life, where somebody watches.
    #[inline]
    pub(super) fn beat(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.step(monotonic_ns());
        }
    }

    /// How to wake this thread, where it sleeps at all.
    pub(super) fn waker(&self) -> Option<Waker> {
        (self.waiting == Waiting::Park).then(waker_of_this_thread)
    }
}

/// What an engine leaves behind, however it ended.
pub struct Ended<M, O> {
    /// The market's side.
    pub market: M,
    /// The order side, closed.
    pub orders: O,
    /// The engine, whole again.
    pub engine: Engine,
    /// Inputs that the order manager was told.
    pub inputs: u64,
    /// What was conflated while the first ring was full.
    pub intake: IntakeCounters,
    /// Most parcels that waited in each ring.
    pub largest_batches: Vec<usize>,
    /// A recorder a thread, in their order.
    pub recorders: Vec<Recorder>,
    /// How it ended.
    pub result: Result<(), RunError>,
}

/// Why an engine did not end in good order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A thread could not be set up; nothing had begun.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The system gives no thread.
    #[error("threads: cannot start thread {name}: {source}")]
    Spawn {
        /// Which.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread failed; the others stopped entering, and the journal was closed.
    #[error("engine: {0}; entries were stopped and the journal was closed")]
    Failed(String),
}

/// One thread's work.
enum Work<M, O> {
    Alone(Box<Alone<M, O>>),
    First(Box<First<M>>),
    Between(Box<Between>),
    Last(Box<Last<O>>),
}

impl<M: MarketSide, O: OrderSide> Work<M, O> {
    fn run(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        match self {
            Self::Alone(alone) => alone.run(context),
            Self::First(first) => {
                first.run(context);
                Ok(())
            }
            Self::Between(between) => {
                between.run(context);
                Ok(())
            }
            Self::Last(last) => last.run(context),
        }
    }

    /// The order side is told that it is over.
    fn close(&mut self, switch: &Switch) {
        let reason = switch.reason();
        match self {
            Self::Alone(alone) => alone.orders.close(reason.as_deref()),
            Self::Last(last) => last.orders.close(reason.as_deref()),
            Self::First(_) | Self::Between(_) => return,
        }
        switch.close();
    }
}

/// Runs an engine to its end. `recorders` has one a thread, in the order of the layout's groups.
///
/// # Panics
/// When the layout does not run every stage once, in order ([`Layout::resolve`] checks that), or there
/// are not as many recorders as threads.
pub fn run<M: MarketSide, O: OrderSide>(
    engine: Engine,
    sides: (M, O),
    layout: &Layout,
    recorders: Vec<Recorder>,
    options: &RunOptions,
    switch: &Arc<Switch>,
) -> Ended<M, O> {
    run_watched(engine, sides, layout, recorders.into_iter().map(Watch::from).collect(), options, switch)
}

/// Who looks at one thread while it runs.
pub struct Watch {
    /// Measures it.
    pub recorder: Recorder,
    /// Its sign of life, stepped once a round: a thread that hangs leaves the process alive.
    pub progress: Option<Progress>,
}

impl From<Recorder> for Watch {
    fn from(recorder: Recorder) -> Self {
        Self { recorder, progress: None }
    }
}

/// As [`run`], with a sign of life a thread besides.
///
/// # Panics
/// As [`run`].
pub fn run_watched<M: MarketSide, O: OrderSide>(
    engine: Engine,
    sides: (M, O),
    layout: &Layout,
    watches: Vec<Watch>,
    options: &RunOptions,
    switch: &Arc<Switch>,
) -> Ended<M, O> {
    assert_eq!(layout.groups.len(), watches.len(), "a recorder a thread");
    let works = distribute(engine, sides, layout, options);
    let mut starting = if layout.lock_memory { pin::lock_memory().map_err(RunError::from) } else { Ok(()) };
    let (ready, readies) = channel();
    let mut finished = Vec::new();
    std::thread::scope(|scope| {
        let (mut running, mut signals) = (Vec::new(), Vec::new());
        for ((work, group), watch) in works.into_iter().zip(&layout.groups).zip(watches) {
            let (go, start) = channel();
            // The work stays reachable when the thread cannot be had.
            let parts = Arc::new(Mutex::new(Some((work, watch))));
            let (mine, ready) = (Arc::clone(&parts), ready.clone());
            let name = group.name();
            let thread = std::thread::Builder::new()
                .name(name.clone())
                .spawn_scoped(scope, move || stage_thread(&mine, group, options, switch, &ready, &start));
            match thread {
                Ok(thread) => running.push((Some(thread), parts)),
                Err(source) => {
                    starting = Err(RunError::Spawn { name, source });
                    running.push((None, parts));
                }
            }
            signals.push(go);
        }
        drop(ready);
        starting = std::mem::replace(&mut starting, Ok(())).and_then(|()| all_ready(&readies, layout.groups.len()));
        if starting.is_ok() {
            // A thread that is gone already is heard of by its join.
            for go in &signals {
                let _ = go.send(());
            }
        }
        drop(signals);
        for (thread, parts) in running {
            if let Some(thread) = thread {
                // A panic of the work is caught in the thread; one of the frame around it is ours.
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            let mut slot = parts.lock().unwrap_or_else(PoisonError::into_inner);
            // Taken apart here, writer first: the reader of the next ring may be waiting for its end.
            finished.push(slot.take().map(|(work, watch)| (dismantle(work), watch.recorder)));
        }
    });
    collect(finished, starting, switch)
}

/// Waits until so many threads are ready, or one is not.
fn all_ready(readies: &Receiver<Result<(), PinError>>, threads: usize) -> Result<(), RunError> {
    for _ in 0..threads {
        match readies.recv() {
            Ok(ready) => ready?,
            Err(_) => return Err(RunError::Failed("a thread ended before it began".into())),
        }
    }
    Ok(())
}

type Parts<M, O> = Mutex<Option<(Work<M, O>, Watch)>>;

/// One thread from start to end.
fn stage_thread<M: MarketSide, O: OrderSide>(
    parts: &Parts<M, O>,
    group: &Group,
    options: &RunOptions,
    switch: &Arc<Switch>,
    ready: &Sender<Result<(), PinError>>,
    start: &Receiver<()>,
) {
    let set_up = group.core.map_or(Ok(()), pin::pin).and_then(|()| group.priority.map_or(Ok(()), pin::real_time));
    // Whoever waits for it is gone only when another thread could not be set up.
    let _ = ready.send(set_up);
    if start.recv().is_err() {
        return;
    }
    let Some((mut work, Watch { mut recorder, progress })) =
        parts.lock().unwrap_or_else(PoisonError::into_inner).take()
    else {
        return;
    };
    let last = group.stages.contains(&Stage::Oms);
    STAGE.with_borrow_mut(|stage| *stage = Some((Arc::clone(switch), last)));
    let mut context = Context {
        switch,
        recorder: &mut recorder,
        idle: Idle::new(group.waiting),
        batch: options.batch.max(1),
        waiting: group.waiting,
        count: 0,
        progress,
    };
    match catch_unwind(AssertUnwindSafe(|| work.run(&mut context))) {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => switch.fail(&fault.0),
        Err(panic) => switch.fail(&format!("thread {} panicked: {}", group.name(), words(&*panic))),
    }
    STAGE.with_borrow_mut(|stage| *stage = None);
    // Also after a panic of its own: a mapped journal is closed or at least left whole.
    if catch_unwind(AssertUnwindSafe(|| work.close(switch))).is_err() {
        switch.fail("the order side panicked while it closed");
    }
    *parts.lock().unwrap_or_else(PoisonError::into_inner) = Some((work, recorder.into()));
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Gives each thread of the layout its stages and its ends of the rings.
fn distribute<M: MarketSide, O: OrderSide>(
    engine: Engine,
    (market, orders): (M, O),
    layout: &Layout,
    options: &RunOptions,
) -> Vec<Work<M, O>> {
    let intake = Intake::new(options.instruments);
    if layout.groups.len() == 1 {
        let inbox = Vec::with_capacity(4096);
        return vec![Work::Alone(Box::new(Alone {
            market,
            orders,
            engine,
            intake,
            out: Outbox::new(),
            inbox,
            inputs: 0,
        }))];
    }
    let clock = StampClock::calibrate();
    let Stages { feed, quant, oracle, oms } = engine.into_stages();
    let (mut quant, mut oracle) = (Some(quant), Some(oracle));
    let mut middle = |group: &Group| Middle {
        quant: quant.take_if(|_| group.stages.contains(&Stage::Quant)),
        oracle: oracle.take_if(|_| group.stages.contains(&Stage::Oracle)),
    };
    // One input gives at most a parcel for each held-back quote and one of its own.
    let held_most = options.instruments + options.batch + 1;
    let outlet = |writer: RingWriter| Outlet::new(writer, held_most);
    let [first, between @ .., last] = layout.groups.as_slice() else { unreachable!("a layout of two or more threads") };
    let (writer, mut reader) = ring(options.ring, clock);
    let mut works = vec![Work::First(Box::new(First {
        market,
        feed,
        middle: middle(first),
        intake,
        outlet: outlet(writer),
        parcel: Parcel::default(),
    }))];
    for group in between {
        let (writer, next) = ring(options.ring, clock);
        let between = Between { reader, middle: middle(group), outlet: outlet(writer), parcel: Parcel::default() };
        works.push(Work::Between(Box::new(between)));
        reader = next;
    }
    let last = Last { orders, reader, middle: middle(last), desk: Desk::new(oms), parcel: Parcel::default() };
    works.push(Work::Last(Box::new(last)));
    works
}

/// What a thread had, without its ends of the rings.
enum Remains<M, O> {
    Alone(Box<Alone<M, O>>),
    First { market: M, feed: crate::feed::Feed, middle: Box<Middle>, intake: IntakeCounters },
    Between { middle: Box<Middle>, batch: usize },
    Last { orders: O, middle: Box<Middle>, desk: Box<Desk>, batch: usize },
}

fn dismantle<M: MarketSide, O>(work: Work<M, O>) -> Remains<M, O> {
    match work {
        Work::Alone(alone) => Remains::Alone(alone),
        Work::First(first) => {
            let intake = first.counters();
            let First { market, feed, middle, .. } = *first;
            Remains::First { market, feed, middle: Box::new(middle), intake }
        }
        Work::Between(between) => {
            let Between { reader, middle, .. } = *between;
            Remains::Between { middle: Box::new(middle), batch: RingReader::largest_batch(&reader) }
        }
        Work::Last(last) => {
            let Last { orders, reader, middle, desk, .. } = *last;
            Remains::Last { orders, middle: Box::new(middle), desk: Box::new(desk), batch: reader.largest_batch() }
        }
    }
}

/// Puts the engine together again.
fn collect<M, O>(
    finished: Vec<Option<(Remains<M, O>, Recorder)>>,
    starting: Result<(), RunError>,
    switch: &Switch,
) -> Ended<M, O> {
    let result = starting.and_then(|()| match switch.reason() {
        Some(reason) => Err(RunError::Failed(reason)),
        None => Ok(()),
    });
    let (mut recorders, mut batches, mut middles) = (Vec::new(), Vec::new(), Vec::new());
    let (mut front, mut back) = (None, None);
    for (remains, recorder) in finished.into_iter().flatten() {
        recorders.push(recorder);
        match remains {
            Remains::Alone(alone) => {
                let Alone { market, orders, engine, intake, inputs, .. } = *alone;
                let intake = intake.counters();
                return Ended { market, orders, engine, inputs, intake, largest_batches: batches, recorders, result };
            }
            Remains::First { market, feed, middle, intake } => {
                middles.push(middle);
                front = Some((market, feed, intake));
            }
            Remains::Between { middle, batch } => {
                middles.push(middle);
                batches.push(batch);
            }
            Remains::Last { orders, middle, desk, batch } => {
                middles.push(middle);
                batches.push(batch);
                back = Some((orders, desk));
            }
        }
    }
    let quant = middles.iter_mut().find_map(|middle| middle.quant.take());
    let oracle = middles.iter_mut().find_map(|middle| middle.oracle.take());
    let parts = (front, back, quant, oracle);
    let (Some((market, feed, intake)), Some((orders, desk)), Some(quant), Some(oracle)) = parts else {
        unreachable!("every thread gives back what it was given")
    };
    let engine = Engine::from_stages(Stages { feed, quant, oracle, oms: desk.oms });
    Ended { market, orders, engine, inputs: desk.inputs, intake, largest_batches: batches, recorders, result }
}

thread_local! {
    /// On a thread of the engine: its switch, and whether it is the order manager's.
    static STAGE: RefCell<Option<(Arc<Switch>, bool)>> = const { RefCell::new(None) };
}

/// How long a panicking thread waits for the order manager's to close the journal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Has a panic on a thread of the engine throw the switch before anything else, and wait until the order
/// manager's thread has stopped entering and closed the journal, one second at most. For programs in which
/// a panic ends the process; its exit status then is that of an abort.
pub fn orderly_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        let stage = STAGE.try_with(|stage| stage.try_borrow().ok().and_then(|stage| stage.clone()));
        let Ok(Some((switch, last))) = stage else { return };
        let name = std::thread::current().name().unwrap_or("engine").to_owned();
        switch.fail(&format!("thread {name} panicked: {panic}"));
        let began = Instant::now();
        // Its own journal is in its own hands: the order manager's thread waits for nobody.
        while !last && !switch.is_closed() && began.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(1));
        }
    }));
}

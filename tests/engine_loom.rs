//! The switch between an engine's threads, every interleaving: the very lines that the program runs, on
//! loom's memory, and again with weaker flags, to prove that the model would notice. The rings are the
//! crate `disruptor`'s, which has its own models; how a reader that sleeps beside one is woken is modelled here.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64};
use pawl::engine::switch::{Flag, Switch};

/// With which orderings a flag is raised and read.
trait Order: 'static {
    const RAISE: Ordering;
    const READ: Ordering;
}

struct Both;
impl Order for Both {
    const RAISE: Ordering = Ordering::Release;
    const READ: Ordering = Ordering::Acquire;
}

struct NoRelease;
impl Order for NoRelease {
    const RAISE: Ordering = Ordering::Relaxed;
    const READ: Ordering = Ordering::Acquire;
}

struct NoAcquire;
impl Order for NoAcquire {
    const RAISE: Ordering = Ordering::Release;
    const READ: Ordering = Ordering::Relaxed;
}

struct LoomFlag<O>(AtomicBool, PhantomData<O>);

impl<O> Default for LoomFlag<O> {
    fn default() -> Self {
        Self(AtomicBool::new(false), PhantomData)
    }
}

impl<O: Order> Flag for LoomFlag<O> {
    fn raise(&self) {
        self.0.store(true, O::RAISE);
    }

    fn is_up(&self) -> bool {
        self.0.load(O::READ)
    }
}

// SAFETY: the marker holds no value.
unsafe impl<O> Sync for LoomFlag<O> {}
// SAFETY: the marker holds no value.
unsafe impl<O> Send for LoomFlag<O> {}

/// A journal that the order manager's thread closes; loom fails when another thread looks before that.
struct Journal(UnsafeCell<bool>);

// SAFETY: the cell is what loom checks.
unsafe impl Sync for Journal {}
// SAFETY: the cell is what loom checks.
unsafe impl Send for Journal {}

/// One thread fails; the order manager's thread sees it, can say why, and closes the journal; the one
/// that failed goes on only when the journal is closed, and then sees it closed.
fn check<O: Order>() {
    loom::model(|| {
        let switch = Arc::new(Switch::<LoomFlag<O>>::default());
        let journal = Arc::new(Journal(UnsafeCell::new(false)));
        let failing = {
            let (switch, journal) = (Arc::clone(&switch), Arc::clone(&journal));
            loom::thread::spawn(move || {
                switch.fail("as the model wants");
                while !switch.is_closed() {
                    loom::thread::yield_now();
                }
                // SAFETY: loom checks that nobody else touches the cell.
                assert!(journal.0.with(|closed| unsafe { *closed }));
            })
        };
        while !switch.has_failed() {
            loom::thread::yield_now();
        }
        assert_eq!(switch.reason().as_deref(), Some("as the model wants"), "failed without a reason");
        // SAFETY: loom checks that nobody else touches the cell.
        journal.0.with_mut(|closed| unsafe { *closed = true });
        switch.close();
        failing.join().unwrap();
    });
}

#[test]
fn whoever_sees_a_failure_knows_why_and_whoever_sees_the_journal_closed_may_go() {
    check::<Both>();
}

#[test]
fn the_first_of_two_failures_is_the_reason_whoever_looks() {
    loom::model(|| {
        let switch = Arc::new(Switch::<LoomFlag<Both>>::default());
        let threads = ["feed", "quant"].map(|name| {
            let switch = Arc::clone(&switch);
            loom::thread::spawn(move || {
                switch.fail(name);
                switch.reason()
            })
        });
        let looking = Arc::clone(&switch);
        let looking = loom::thread::spawn(move || looking.has_failed().then(|| looking.reason()));
        let reasons = threads.map(|thread| thread.join().unwrap());
        let seen = looking.join().unwrap();
        assert!(reasons[0].is_some() && reasons[0] == reasons[1], "{reasons:?}");
        assert!(seen.is_none_or(|seen| seen == reasons[0]), "the reason changed");
    });
}

/// The mutant must fail, and by an unordered access, not for another reason.
fn races<O: Order>() -> bool {
    let panic = catch_unwind(AssertUnwindSafe(check::<O>)).expect_err("the model did not notice");
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    text.contains("Causality violation") || text.contains("Concurrent")
}

#[test]
fn without_release_the_journal_is_looked_at_while_it_closes() {
    assert!(races::<NoRelease>());
}

#[test]
fn without_acquire_the_journal_is_looked_at_while_it_closes() {
    assert!(races::<NoAcquire>());
}

/// A ring's reader that sleeps between looks, beside a writer that wakes it: `RingWriter::try_send` puts a parcel in and
/// then wakes, a stage's loop takes all there is and then parks. Without the nap's limit of a millisecond a wake-up that is
/// lost is a sleep for ever, which loom finds.
#[test]
fn a_reader_that_sleeps_is_woken_by_what_comes() {
    loom::model(|| {
        let sent = Arc::new(AtomicU64::new(0));
        let reading = Arc::clone(&sent);
        let reader = loom::thread::spawn(move || {
            while reading.load(Ordering::Acquire) < 2 {
                loom::thread::park();
            }
        });
        for number in 1..=2 {
            sent.store(number, Ordering::Release);
            reader.thread().unpark();
        }
        reader.join().unwrap();
    });
}

/// One parcel: whoever is woken finds it. `wake_first` is the mutant.
fn find(wake_first: bool) {
    loom::model(move || {
        let sent = Arc::new(AtomicU64::new(0));
        let reading = Arc::clone(&sent);
        let reader = loom::thread::spawn(move || {
            if reading.load(Ordering::Acquire) == 0 {
                loom::thread::park();
                assert_eq!(reading.load(Ordering::Acquire), 1, "woken for nothing");
            }
        });
        if wake_first {
            reader.thread().unpark();
        }
        sent.store(1, Ordering::Release);
        if !wake_first {
            reader.thread().unpark();
        }
        reader.join().unwrap();
    });
}

#[test]
fn a_reader_that_is_woken_finds_the_parcel() {
    find(false);
}

#[test]
fn a_wake_up_before_the_parcel_is_in_would_be_lost() {
    let panic = catch_unwind(AssertUnwindSafe(|| find(true))).expect_err("the model did not notice");
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains("woken for nothing"), "{text}");
}

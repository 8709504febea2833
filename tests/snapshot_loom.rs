//! The sequence lock and the sign of life, every interleaving: the very functions that the program runs, on
//! loom's memory, and again with a fence or the release taken away, to prove that the model would notice.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use loom::sync::Arc;
use pawl::snapshot::progress;
use pawl::snapshot::seqlock::{self, Word};

/// Which fences a memory has.
trait Fences: 'static {
    const RELEASE: bool;
    const ACQUIRE: bool;
}

struct Both;
impl Fences for Both {
    const RELEASE: bool = true;
    const ACQUIRE: bool = true;
}

struct NoRelease;
impl Fences for NoRelease {
    const RELEASE: bool = false;
    const ACQUIRE: bool = true;
}

struct NoAcquire;
impl Fences for NoAcquire {
    const RELEASE: bool = true;
    const ACQUIRE: bool = false;
}

struct LoomWord<F>(loom::sync::atomic::AtomicU64, PhantomData<F>);

impl<F> LoomWord<F> {
    fn new(value: u64) -> Self {
        Self(loom::sync::atomic::AtomicU64::new(value), PhantomData)
    }
}

// SAFETY: the marker holds no value.
unsafe impl<F> Sync for LoomWord<F> {}
// SAFETY: the marker holds no value.
unsafe impl<F> Send for LoomWord<F> {}

impl<F: Fences> Word for LoomWord<F> {
    fn load(&self, ordering: Ordering) -> u64 {
        self.0.load(ordering)
    }

    fn store(&self, value: u64, ordering: Ordering) {
        self.0.store(value, ordering);
    }

    fn fence(ordering: Ordering) {
        let kept = match ordering {
            Ordering::Release => F::RELEASE,
            Ordering::Acquire => F::ACQUIRE,
            _ => unreachable!("a sequence lock uses no other fence"),
        };
        if kept {
            loom::sync::atomic::fence(ordering);
        }
    }
}

/// One writer writes twice, one reader tries twice: what it gets is one of the three whole values, and
/// the one that its sequence names.
fn check<F: Fences>() {
    loom::model(|| {
        let sequence = Arc::new(LoomWord::<F>::new(0));
        let words = Arc::new([LoomWord::<F>::new(0), LoomWord::new(0)]);
        let writer = {
            let (sequence, words) = (Arc::clone(&sequence), Arc::clone(&words));
            loom::thread::spawn(move || {
                for _ in 0..2 {
                    seqlock::write(&*sequence, |next| {
                        words.iter().for_each(|word| word.store(next, Ordering::Relaxed));
                    });
                }
            })
        };
        let mut out = [0; 2];
        if let Ok(read) = seqlock::read(&*sequence, &*words, &mut out, 2) {
            assert_eq!(out, [read, read], "a torn read");
        }
        writer.join().unwrap();
        assert_eq!(seqlock::read(&*sequence, &*words, &mut out, 1), Ok(4));
        assert_eq!(out, [4, 4]);
    });
}

#[test]
fn no_interleaving_tears_a_read() {
    check::<Both>();
}

/// The mutant must fail, and by a torn read, not for another reason.
fn torn<F: Fences>() -> bool {
    let panic = catch_unwind(AssertUnwindSafe(check::<F>)).expect_err("the model did not notice");
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    text.contains("a torn read")
}

#[test]
fn without_the_release_fence_a_read_tears() {
    assert!(torn::<NoRelease>());
}

#[test]
fn without_the_acquire_fence_a_read_tears() {
    assert!(torn::<NoAcquire>());
}

/// A word whose stores are weaker than asked for, where `RELEASE` is false.
struct StepWord<const RELEASE: bool>(loom::sync::atomic::AtomicU64);

impl<const RELEASE: bool> Word for StepWord<RELEASE> {
    fn load(&self, ordering: Ordering) -> u64 {
        self.0.load(ordering)
    }

    fn store(&self, value: u64, ordering: Ordering) {
        self.0.store(value, if RELEASE { ordering } else { Ordering::Relaxed });
    }

    fn fence(ordering: Ordering) {
        loom::sync::atomic::fence(ordering);
    }
}

/// A thread steps twice, at times 10 and 20; who has seen a count sees the time of that step or a later one.
fn check_steps<const RELEASE: bool>() {
    loom::model(|| {
        let word = || StepWord::<RELEASE>(loom::sync::atomic::AtomicU64::new(0));
        let cell = Arc::new([word(), word()]);
        let hot = {
            let cell = Arc::clone(&cell);
            loom::thread::spawn(move || {
                progress::step(&cell[0], &cell[1], 10);
                progress::step(&cell[0], &cell[1], 20);
            })
        };
        let count = cell[0].load(Ordering::Acquire);
        let time = cell[1].load(Ordering::Relaxed);
        assert!(count <= 2 && time >= 10 * count, "a step without its time");
        hot.join().unwrap();
        assert_eq!(cell[0].load(Ordering::Acquire), 2);
    });
}

#[test]
fn a_step_that_is_seen_has_its_time() {
    check_steps::<true>();
}

#[test]
fn without_the_release_a_step_is_seen_before_its_time() {
    let panic = catch_unwind(check_steps::<false>).expect_err("the model did not notice");
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    assert!(text.contains("a step without its time"), "{text}");
}

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

/// What readers saw, over all interleavings: counts and times.
type Pairs = std::sync::Mutex<std::collections::BTreeSet<(u64, u64)>>;

/// A thread steps twice, at times 10 and 20; another looks. Who has seen a count sees the time of that step
/// or a later one.
fn check_steps<const RELEASE: bool>(pairs: &'static Pairs) {
    loom::model(move || {
        let word = || StepWord::<RELEASE>(loom::sync::atomic::AtomicU64::new(0));
        let cell = Arc::new([word(), word()]);
        let (stepped, seen) = (Arc::clone(&cell), Arc::clone(&cell));
        let hot = loom::thread::spawn(move || {
            progress::step(&stepped[0], &stepped[1], 10);
            progress::step(&stepped[0], &stepped[1], 20);
        });
        // Not the model's first thread: loom begins none of its orders behind that one's first look.
        let reader = loom::thread::spawn(move || {
            let count = seen[0].load(Ordering::Acquire);
            let time = seen[1].load(Ordering::Relaxed);
            pairs.lock().unwrap().insert((count, time));
            assert!(count <= 2 && time >= 10 * count, "a step without its time");
        });
        hot.join().unwrap();
        reader.join().unwrap();
        assert_eq!(cell[0].load(Ordering::Acquire), 2);
    });
}

#[test]
fn a_step_that_is_seen_has_its_time() {
    static PAIRS: Pairs = Pairs::new(std::collections::BTreeSet::new());
    check_steps::<true>(&PAIRS);
    let pairs: Vec<(u64, u64)> = PAIRS.lock().unwrap().iter().copied().collect();
    assert_eq!(pairs, [(0, 0), (0, 10), (0, 20), (1, 10), (1, 20), (2, 20)], "the model saw everything that may be");
}

#[test]
fn without_the_release_a_step_is_seen_before_its_time() {
    static PAIRS: Pairs = Pairs::new(std::collections::BTreeSet::new());
    let panic = catch_unwind(|| check_steps::<false>(&PAIRS)).expect_err("the model did not notice");
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    // A panic on a model's thread may come as the failed join of it.
    let seen = PAIRS.lock().unwrap().iter().any(|(count, time)| *time < 10 * count);
    assert!(seen, "failed for another reason: {text}");
}

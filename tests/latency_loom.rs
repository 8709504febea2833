//! The hand-over of frames, every interleaving: the very lines that the program runs, on loom's memory,
//! and again with each ordering weakened, to prove that the model would notice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicPtr;
use pawl::report::latency::handover::{Pointer, Slot};

/// With which ordering a slot swaps.
trait Order: 'static {
    const ORDER: Ordering;
}

struct AcqRel;
impl Order for AcqRel {
    const ORDER: Ordering = Ordering::AcqRel;
}

struct OnlyAcquire;
impl Order for OnlyAcquire {
    const ORDER: Ordering = Ordering::Acquire;
}

struct OnlyRelease;
impl Order for OnlyRelease {
    const ORDER: Ordering = Ordering::Release;
}

struct LoomPointer<T, O>(AtomicPtr<T>, std::marker::PhantomData<O>);

impl<T, O: Order> Pointer<T> for LoomPointer<T, O> {
    fn null() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()), std::marker::PhantomData)
    }

    fn swap(&self, pointer: *mut T) -> *mut T {
        self.0.swap(pointer, O::ORDER)
    }
}

/// A frame whose count lies in a cell that loom watches: touched by two threads without an order
/// between them, the model fails.
struct Frame(UnsafeCell<u64>);

impl Frame {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn add(&self, count: u64) {
        // SAFETY: loom checks that nobody else touches the cell.
        self.0.with_mut(|value| unsafe { *value += count });
    }

    fn take(&self) -> u64 {
        // SAFETY: loom checks that nobody else touches the cell.
        self.0.with_mut(|value| unsafe { std::mem::take(&mut *value) })
    }
}

// SAFETY: the cell is what loom checks.
unsafe impl Send for Frame {}

type LoomSlot<O> = Slot<Frame, LoomPointer<Frame, O>>;

/// The hot thread counts three events and gives its frame away whenever an empty one is there; the
/// cold thread collects twice. However they interleave, the sums are three.
fn check<O: Order>() {
    loom::model(|| {
        let (full, empty) = (Arc::new(LoomSlot::<O>::default()), Arc::new(LoomSlot::<O>::default()));
        empty.put(Box::new(Frame::new()));
        let hot = {
            let (full, empty) = (Arc::clone(&full), Arc::clone(&empty));
            loom::thread::spawn(move || {
                let mut frame = Box::new(Frame::new());
                for _ in 0..3 {
                    frame.add(1);
                    if let Some(spare) = empty.take() {
                        let unread = full.put(std::mem::replace(&mut frame, spare));
                        assert!(unread.is_none(), "a full frame was overwritten");
                    }
                }
                frame.take()
            })
        };
        let mut sum = 0;
        for _ in 0..2 {
            if let Some(frame) = full.take() {
                sum += frame.take();
                assert!(empty.put(frame).is_none(), "three frames in circulation");
            }
        }
        sum += hot.join().unwrap();
        sum += full.take().map_or(0, |frame| frame.take());
        assert_eq!(sum, 3, "an event was lost or counted twice");
    });
}

#[test]
fn no_interleaving_loses_or_shares_a_frame() {
    check::<AcqRel>();
}

/// The mutant must fail, and by an unordered access, not for another reason.
fn races<O: Order>() -> bool {
    let panic = catch_unwind(AssertUnwindSafe(check::<O>)).expect_err("the model did not notice");
    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    text.contains("Causality violation") || text.contains("Concurrent")
}

#[test]
fn without_release_a_frame_is_read_while_it_is_written() {
    assert!(races::<OnlyAcquire>());
}

#[test]
fn without_acquire_a_frame_is_read_while_it_is_written() {
    assert!(races::<OnlyRelease>());
}

//! A slot that holds at most one boxed value and is emptied or filled by a single swap: how a hot
//! thread gives a full frame away and gets an empty one back, without waiting and without sharing.
//!
//! Two frames are in circulation between a hot and a cold thread, over two slots. The hot thread
//! takes from `empty`; only when there is one does it put its own into `full`. The cold thread does
//! the reverse. So `full` is always free when the hot thread fills it, and nothing is ever dropped.
//!
//! `tests/latency_loom.rs` runs these lines on loom's memory, and again with weaker orderings, to
//! prove that the model would notice.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The atomic pointer that a slot is made of: the processor's, or a model's.
pub trait Pointer<T> {
    /// Null.
    fn null() -> Self;
    /// Exchanges the pointer, with acquire and release ordering.
    fn swap(&self, pointer: *mut T) -> *mut T;
}

impl<T> Pointer<T> for AtomicPtr<T> {
    fn null() -> Self {
        Self::new(ptr::null_mut())
    }

    #[inline]
    fn swap(&self, pointer: *mut T) -> *mut T {
        self.swap(pointer, Ordering::AcqRel)
    }
}

/// At most one boxed value, shared between two threads.
pub struct Slot<T, P: Pointer<T> = AtomicPtr<T>> {
    pointer: P,
    owns: PhantomData<Box<T>>,
}

// SAFETY: a slot only moves whole boxes between threads; `T: Send` is what that needs. No reference
// to the value is ever given out through the slot.
unsafe impl<T: Send, P: Pointer<T>> Sync for Slot<T, P> {}
// SAFETY: as above; the slot owns the box it holds.
unsafe impl<T: Send, P: Pointer<T>> Send for Slot<T, P> {}

impl<T, P: Pointer<T>> Default for Slot<T, P> {
    fn default() -> Self {
        Self { pointer: P::null(), owns: PhantomData }
    }
}

impl<T, P: Pointer<T>> Slot<T, P> {
    /// Puts a value in and returns the one that was there.
    #[inline]
    pub fn put(&self, value: Box<T>) -> Option<Box<T>> {
        Self::own(self.pointer.swap(Box::into_raw(value)))
    }

    /// Takes the value out, if there is one.
    #[inline]
    pub fn take(&self) -> Option<Box<T>> {
        Self::own(self.pointer.swap(ptr::null_mut()))
    }

    fn own(pointer: *mut T) -> Option<Box<T>> {
        // SAFETY: every pointer that is not null came from `Box::into_raw` in `put`, and the swap that
        // returned it here took it out of the slot, so nobody else has it.
        (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
    }
}

impl<T, P: Pointer<T>> Drop for Slot<T, P> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_slot_gives_back_what_was_put_in_and_drops_what_is_left() {
        let value = Arc::new(7);
        let slot: Slot<Arc<i32>> = Slot::default();
        assert!(slot.take().is_none());
        assert!(slot.put(Box::new(Arc::clone(&value))).is_none());
        assert!(slot.put(Box::new(Arc::clone(&value))).is_some());
        assert_eq!(Arc::strong_count(&value), 2);
        drop(slot);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}

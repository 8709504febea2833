//! Asks for memory before it is needed. A hint: it reads nothing and changes nothing, and what the program does is the
//! same without it.

/// Bytes that memory moves in.
const LINE: usize = 64;

/// Asks for a value's memory.
#[inline]
pub(crate) fn fetch<T: ?Sized>(value: &T) {
    fetch_at(std::ptr::from_ref(value).cast(), size_of_val(value));
}

/// Asks for this many bytes from an address on, be anything there or not.
#[inline]
pub(crate) fn fetch_at(start: *const u8, bytes: usize) {
    for offset in (0..bytes).step_by(LINE) {
        fetch_line(start.wrapping_add(offset));
    }
}

#[inline]
fn fetch_line(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(loom)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no effect that a program can see, and an address that is not mapped is allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(loom))))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_may_be_asked_for() {
        fetch(&[0u8; 1000]);
        fetch::<[u64]>(&[]);
        for address in [0, 1, usize::MAX - 100, usize::MAX] {
            fetch_at(std::ptr::without_provenance(address), 300);
        }
    }
}

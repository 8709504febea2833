//! CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected), as in RFC 3720 appendix B.4.
//!
//! One dependency chain of eight instructions per 64-byte record where the processor has the
//! instruction (SSE 4.2), a table otherwise; both give the same answer. The instructions are written
//! as assembly because a function with a target feature is never inlined into one without: the call
//! would pass the record through memory, which costs as much as the CRC.

/// CRC-32C of `bytes`, by the portable table. The reference for the fast path, and the fallback.
#[must_use]
pub fn crc32c_portable(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc = (crc >> 8) ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    !crc
}

/// CRC-32C of seven 64-bit little-endian words followed by one 32-bit word: the 60 bytes of a
/// record that its own CRC covers.
#[must_use]
#[inline]
pub fn crc32c_record(words: [u64; 7], tail: u32) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        let mut crc = u64::from(!0u32);
        for word in words {
            // SAFETY: the processor has SSE 4.2, checked above; the instruction touches two registers.
            unsafe {
                std::arch::asm!("crc32 {0}, {1}", inout(reg) crc, in(reg) word, options(pure, nomem, nostack, preserves_flags));
            }
        }
        // The upper half is zero after each instruction, so nothing is cut here.
        let mut crc = crc as u32;
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("crc32 {0:e}, {1:e}", inout(reg) crc, in(reg) tail, options(pure, nomem, nostack, preserves_flags));
        }
        return !crc;
    }
    crc32c_record_portable(words, tail)
}

#[cold]
#[inline(never)]
fn crc32c_record_portable(words: [u64; 7], tail: u32) -> u32 {
    let mut bytes = [0u8; 60];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes[56..].copy_from_slice(&tail.to_le_bytes());
    crc32c_portable(&bytes)
}

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_values_of_rfc_3720_hold() {
        assert_eq!(crc32c_portable(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c_portable(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c_portable(&[0xff; 32]), 0x62A8_AB43);
    }

    proptest! {
        #[test]
        fn hardware_and_table_agree(words: [u64; 7], tail: u32) {
            prop_assert_eq!(crc32c_record(words, tail), crc32c_record_portable(words, tail));
        }
    }
}

//! Numbers as text, eight digits at a time: an order holds five of them.

/// Digits after the point of a number of 1e-8 units.
const FRACTION: usize = 8;
/// 10^8.
const ONE: u64 = 100_000_000;
const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// Appends a whole number.
pub(super) fn push_number(value: u64, out: &mut Vec<u8>) {
    if value >= ONE {
        push_number(value / ONE, out);
        out.extend_from_slice(&eight_digits(value % ONE));
        return;
    }
    let digits = eight_digits(value);
    let zeros = (u64::from_le_bytes(digits) ^ ZEROS).trailing_zeros() as usize / 8;
    out.extend_from_slice(&digits[zeros.min(7)..]);
}

/// Appends a number of 1e-8 units with this many digits after the point, more if it needs them: the
/// venue refuses surplus digits, and cutting them would change the number.
pub(super) fn push_decimal(units: i64, decimals: u8, out: &mut Vec<u8>) {
    if units < 0 {
        out.push(b'-');
    }
    let magnitude = units.unsigned_abs();
    push_number(magnitude / ONE, out);
    let fraction = eight_digits(magnitude % ONE);
    // The last digit that is not zero is in the highest byte that is not '0'.
    let needed = FRACTION - (u64::from_le_bytes(fraction) ^ ZEROS).leading_zeros() as usize / 8;
    let kept = needed.max(usize::from(decimals).min(FRACTION));
    if kept > 0 {
        out.push(b'.');
        out.extend_from_slice(&fraction[..kept]);
    }
}

/// Appends eight hexadecimal digits.
pub(super) fn push_hex(value: u32, out: &mut Vec<u8>) {
    // Each half, then each byte, then each half byte moves to a byte of its own.
    let mut spread = u64::from(value);
    spread = (spread | (spread << 16)) & 0x0000_ffff_0000_ffff;
    spread = (spread | (spread << 8)) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | (spread << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // Ten and more carry into the upper half when six is added: those are letters.
    let letters = ((spread + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    let digits = spread + ZEROS + letters * u64::from(b'a' - b'0' - 10);
    out.extend_from_slice(&digits.to_be_bytes());
}

/// The digits of a number below 10^8: it is halved into numbers of four, two and one digit, all of a step at once.
fn eight_digits(value: u64) -> [u8; 8] {
    debug_assert!(value < ONE);
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    // n * 10486 >> 20 is n / 100 for n below 10,000; n * 103 >> 10 is n / 10 for n below 100.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | ((twos - 10 * tens) << 8);
    (ones + ZEROS).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Price;
    use proptest::prelude::*;

    #[test]
    fn every_number_of_four_digits_is_halved_rightly() {
        for four in 0..10_000 {
            let value = four * 10_001 % ONE;
            assert_eq!(eight_digits(value), format!("{value:08}").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn a_number_is_written_as_the_standard_library_writes_it(value in any::<u64>(), shift in 0u32..64) {
            let (mut number, mut hex) = (Vec::new(), Vec::new());
            push_number(value >> shift, &mut number);
            push_hex(value as u32 >> (shift / 2), &mut hex);
            prop_assert_eq!(String::from_utf8(number).unwrap(), (value >> shift).to_string());
            prop_assert_eq!(String::from_utf8(hex).unwrap(), format!("{:08x}", value as u32 >> (shift / 2)));
        }

        #[test]
        fn a_decimal_reads_back_as_itself(units in any::<i64>(), shift in 0u32..64, decimals in 0u8..9) {
            let units = units >> shift;
            let mut text = Vec::new();
            push_decimal(units, decimals, &mut text);
            prop_assert_eq!(Price::parse(&text), Ok(Price::from_units(units)));
            let expected = format!("{:.*}", usize::from(decimals), Price::from_units(units));
            prop_assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}

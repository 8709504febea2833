//! Our orders' names at the venue: `pawl-1a2b3c4d-17`, session in hexadecimal, counter in decimal.
//! Anything else is somebody else's order and reads as `OrderId(0)`.

use super::digits::{push_hex, push_number};
use crate::core::OrderId;

const PREFIX: &[u8] = b"pawl-";

/// Appends the name of an order.
#[inline]
pub fn push_client_id(order: OrderId, out: &mut Vec<u8>) {
    out.extend_from_slice(PREFIX);
    let session = (order.0 >> 32) as u32;
    push_hex(session, out);
    out.push(b'-');
    push_number(u64::from(order.0 as u32), out);
}

/// The order with this name; `OrderId(0)` for a name that we never gave.
#[must_use]
#[inline]
pub fn parse_client_id(name: &str) -> OrderId {
    parse(name.as_bytes()).unwrap_or_default()
}

fn parse(name: &[u8]) -> Option<OrderId> {
    let (session, rest) = name.strip_prefix(PREFIX)?.split_first_chunk::<8>()?;
    let counter = rest.strip_prefix(b"-")?;
    let session = session.iter().try_fold(0u32, |value, byte| match byte {
        b'0'..=b'9' => Some(value << 4 | u32::from(byte - b'0')),
        b'a'..=b'f' => Some(value << 4 | u32::from(byte - b'a' + 10)),
        _ => None,
    })?;
    if counter.len() > 10 || counter.first().is_none_or(|digit| *digit == b'0') {
        return None;
    }
    let counter = counter
        .iter()
        .try_fold(0u64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))?;
    Some(OrderId::new(session, u32::try_from(counter).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_others_are_not_ours() {
        for name in [
            "",
            "pawl-",
            "pawl-1a2b3c4d-",
            "pawl-1a2b3c4d-0",
            "pawl-1a2b3c4d-01",
            "pawl-1A2b3c4d-1",
            "web_1",
            "pawl-1a2b3c4d-4294967296",
            "pawl-1a2b3c4d-1x",
            "xpawl-1a2b3c4d-1",
        ] {
            assert_eq!(parse_client_id(name), OrderId(0), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_leads_back_to_its_order(session in any::<u32>(), counter in 1..=u32::MAX) {
            let order = OrderId::new(session, counter);
            let mut name = Vec::new();
            push_client_id(order, &mut name);
            let name = String::from_utf8(name).unwrap();
            prop_assert_eq!(&name, &format!("pawl-{order}"));
            prop_assert!(name.len() <= 36);
            prop_assert_eq!(parse_client_id(&name), order);
        }
    }
}

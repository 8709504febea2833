//! Requests of the WebSocket API as bytes, written into a buffer that is used again and again:
//! nothing is allocated once it has grown to its size.
//!
//! Parameters are written in the order of their names, which is the order they are signed in, so that
//! one pass writes both the JSON and, for keys that sign each request, the payload of the signature.

use super::super::sign::{Secret, Signer};
use super::super::symbols::Symbol;
use super::ids::push_client_id;
use crate::core::payload::{Submit, TimeInForce};
use crate::core::{OrderId, Side};

/// Writes requests.
pub(super) struct Encoder {
    /// Set where each request is signed for itself (HMAC keys cannot log on).
    signing: Option<(Secret, Signer)>,
    receive_window_ms: u64,
    /// What is signed; kept for its capacity.
    payload: Vec<u8>,
}

impl Encoder {
    /// Without `signing`, requests rely on the session's logon.
    pub(super) fn new(signing: Option<(Secret, Signer)>, receive_window_ms: u64) -> Self {
        Self { signing, receive_window_ms, payload: Vec::with_capacity(512) }
    }

    /// True where each request is signed for itself.
    pub(super) fn signs(&self) -> bool {
        self.signing.is_some()
    }

    /// A request without a signature.
    pub(super) fn open(out: &mut Vec<u8>, id: u64, method: &str) {
        begin(out, id, method);
        out.extend_from_slice(b"}}");
    }

    /// A signed request; `fill` adds its parameters, in the order of their names, of which those
    /// before `recvWindow` come first.
    pub(super) fn signed(
        &mut self,
        out: &mut Vec<u8>,
        (id, method): (u64, &str),
        timestamp_ms: u64,
        before: impl FnOnce(&mut Writer<'_>),
        after: impl FnOnce(&mut Writer<'_>, u64),
    ) {
        begin(out, id, method);
        self.payload.clear();
        let payload = self.signing.is_some().then_some(&mut self.payload);
        let mut writer = Writer { out, payload, last: "" };
        if let Some((key, _)) = &self.signing {
            writer.text("apiKey", key.expose());
        }
        before(&mut writer);
        writer.number("recvWindow", self.receive_window_ms);
        after(&mut writer, timestamp_ms);
        if let Some((_, signer)) = &self.signing {
            let signature = signer.sign(&self.payload);
            // Not part of what is signed, so its place does not matter.
            out.extend_from_slice(b",\"signature\":\"");
            out.extend_from_slice(signature.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"}}");
    }

    /// `session.logon`, or a subscription that carries its own signature: stamped, signed, with the
    /// key's name, and without a receive window.
    pub(super) fn with_key(
        out: &mut Vec<u8>,
        (id, method): (u64, &str),
        timestamp_ms: u64,
        key: &Secret,
        signer: &Signer,
    ) {
        begin(out, id, method);
        let mut payload = Vec::new();
        let mut writer = Writer { out, payload: Some(&mut payload), last: "" };
        writer.text("apiKey", key.expose());
        writer.number("timestamp", timestamp_ms);
        let signature = signer.sign(&payload);
        out.extend_from_slice(b",\"signature\":\"");
        out.extend_from_slice(signature.as_bytes());
        out.extend_from_slice(b"\"}}");
    }

    /// The subscription to the account's events, for keys that cannot log on.
    pub(super) fn subscribe_signed(&self, out: &mut Vec<u8>, id: u64, timestamp_ms: u64) {
        if let Some((key, signer)) = &self.signing {
            Self::with_key(out, (id, "userDataStream.subscribe.signature"), timestamp_ms, key, signer);
        }
    }

    /// A request with the key's name and nothing else.
    pub(super) fn keyed(out: &mut Vec<u8>, (id, method): (u64, &str), key: &Secret) {
        begin(out, id, method);
        Writer { out, payload: None, last: "" }.text("apiKey", key.expose());
        out.extend_from_slice(b"}}");
    }

    /// A limit order.
    #[inline]
    pub(super) fn place(
        &mut self,
        out: &mut Vec<u8>,
        (id, timestamp_ms): (u64, u64),
        symbol: &Symbol,
        side: Side,
        order: &Submit,
        style: PlaceStyle,
    ) {
        self.signed(
            out,
            (id, "order.place"),
            timestamp_ms,
            |writer| {
                writer.with("newClientOrderId", |out| push_client_id(order.order, out));
                writer.text("newOrderRespType", style.response.as_bytes());
                writer.decimal("price", order.price.units(), symbol.price_decimals);
                writer.decimal("quantity", order.qty.units(), symbol.qty_decimals);
            },
            |writer, timestamp_ms| {
                if style.reduce_only {
                    writer.text("reduceOnly", b"true");
                }
                writer.text("side", if side == Side::Buy { b"BUY" } else { b"SELL" });
                writer.text("symbol", symbol.name.as_bytes());
                writer.text("timeInForce", if order.tif == TimeInForce::Ioc { b"IOC" } else { b"GTC" });
                writer.number("timestamp", timestamp_ms);
                writer.text("type", b"LIMIT");
            },
        );
    }

    /// `order.cancel` or `order.status`: by the venue's number where it is known, else by our name.
    pub(super) fn about(
        &mut self,
        out: &mut Vec<u8>,
        (id, method): (u64, &str),
        timestamp_ms: u64,
        symbol: &Symbol,
        order: OrderId,
        venue_order: u64,
    ) {
        self.signed(
            out,
            (id, method),
            timestamp_ms,
            |writer| {
                if venue_order > 0 {
                    writer.number("orderId", venue_order);
                } else {
                    writer.with("origClientOrderId", |out| push_client_id(order, out));
                }
            },
            |writer, timestamp_ms| {
                writer.text("symbol", symbol.name.as_bytes());
                writer.number("timestamp", timestamp_ms);
            },
        );
    }
}

/// How a placed order is answered and restricted.
#[derive(Clone, Copy)]
pub(super) struct PlaceStyle {
    /// `FULL` on spot, `RESULT` on futures, which have no other with a result.
    pub(super) response: &'static str,
    /// Futures' exits never open a position.
    pub(super) reduce_only: bool,
}

fn begin(out: &mut Vec<u8>, id: u64, method: &str) {
    out.clear();
    out.extend_from_slice(b"{\"id\":");
    push_number(id, out);
    out.extend_from_slice(b",\"method\":\"");
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\",\"params\":{");
}

/// Writes parameters into the JSON and, where it is signed, into the payload.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    payload: Option<&'a mut Vec<u8>>,
    last: &'static str,
}

impl Writer<'_> {
    fn value(&mut self, name: &'static str, quoted: bool, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(self.last < name, "parameters are written in the order they are signed in");
        if !self.last.is_empty() {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(if quoted { b"\":\"" } else { b"\":" });
        let start = self.out.len();
        write(self.out);
        if let Some(payload) = &mut self.payload {
            if !self.last.is_empty() {
                payload.push(b'&');
            }
            payload.extend_from_slice(name.as_bytes());
            payload.push(b'=');
            payload.extend_from_slice(&self.out[start..]);
        }
        if quoted {
            self.out.push(b'"');
        }
        self.last = name;
    }

    /// Text that needs no escaping: symbols, words of the protocol, keys.
    pub(super) fn text(&mut self, name: &'static str, value: &[u8]) {
        self.value(name, true, |out| out.extend_from_slice(value));
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.value(name, false, |out| push_number(value, out));
    }

    fn decimal(&mut self, name: &'static str, units: i64, decimals: u8) {
        self.value(name, true, |out| push_decimal(units, decimals, out));
    }

    fn with(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.value(name, true, write);
    }
}

/// Appends a whole number.
#[inline]
pub(super) fn push_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a number of 1e-8 units with this many digits after the point, more if it needs them: the
/// venue refuses surplus digits, and cutting them would change the number.
#[inline]
pub(super) fn push_decimal(units: i64, decimals: u8, out: &mut Vec<u8>) {
    if units < 0 {
        out.push(b'-');
    }
    let magnitude = units.unsigned_abs();
    push_number(magnitude / 100_000_000, out);
    let mut fraction = magnitude % 100_000_000;
    let mut digits = [b'0'; 8];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
    let needed = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    let kept = needed.max(usize::from(decimals.min(8)));
    if kept > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[..kept]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Price;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_decimal_reads_back_as_itself(units in any::<i64>(), decimals in 0u8..9) {
            let mut text = Vec::new();
            push_decimal(units, decimals, &mut text);
            prop_assert_eq!(Price::parse(&text), Ok(Price::from_units(units)));
            let expected = format!("{:.*}", usize::from(decimals), Price::from_units(units));
            prop_assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}

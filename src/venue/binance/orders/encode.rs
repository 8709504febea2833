//! Requests of the WebSocket API as bytes, written into a buffer that is used again and again:
//! nothing is allocated once it has grown to its size.
//!
//! Parameters are written in the order of their names, which is the order they are signed in, so that
//! one pass writes both the JSON and, for keys that sign each request, the payload of the signature.

use super::super::sign::{Secret, Signer};
use super::super::symbols::{Symbol, SymbolTable};
use super::digits::{push_decimal, push_number};
use super::ids::push_client_id;
use super::template::Template;
use crate::core::payload::{Submit, TimeInForce};
use crate::core::{InstrumentId, OrderId, Side};

/// Writes requests.
pub(super) struct Encoder {
    /// Set where each request is signed for itself (HMAC keys cannot log on).
    signing: Option<(Secret, Signer)>,
    receive_window_ms: u64,
    /// What is signed; kept for its capacity.
    payload: Vec<u8>,
    /// `FULL` on spot, `RESULT` on futures, which have no other with a result.
    response: &'static str,
    /// Every kind of order of each instrument.
    templates: Vec<[Template; OrderKind::COUNT]>,
}

impl Encoder {
    /// Without `signing`, requests rely on the session's logon.
    pub(super) fn new(
        signing: Option<(Secret, Signer)>,
        receive_window_ms: u64,
        response: &'static str,
        symbols: &SymbolTable,
    ) -> Self {
        let mut encoder =
            Self { signing, receive_window_ms, payload: Vec::with_capacity(512), response, templates: Vec::new() };
        let kinds = |symbol| std::array::from_fn(|number| encoder.template(symbol, OrderKind::of(number)));
        encoder.templates = symbols.iter().map(|(_, symbol)| kinds(symbol)).collect();
        encoder
    }

    fn template(&self, symbol: &Symbol, kind: OrderKind) -> Template {
        let (mut bytes, mut holes) = (Vec::new(), Vec::new());
        begin(&mut bytes, 0, PLACE);
        // The number's place stays empty.
        holes.push(ID_AT);
        bytes.remove(ID_AT);
        let mut writer = self.writer(&mut bytes, None);
        writer.holes = Some(&mut holes);
        self.order(&mut writer, symbol, kind, None);
        bytes.extend_from_slice(b"}}");
        Template::new(bytes, &holes, (symbol.price_decimals, symbol.qty_decimals))
    }

    fn writer<'a>(&self, out: &'a mut Vec<u8>, payload: Option<&'a mut Vec<u8>>) -> Writer<'a> {
        Writer { out, payload, holes: None, last: "", receive_window_ms: self.receive_window_ms }
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

    /// A signed request; `fill` adds its parameters, in the order of their names, with [`Writer::window`] among
    /// them.
    pub(super) fn signed(
        &mut self,
        out: &mut Vec<u8>,
        (id, method): (u64, &str),
        fill: impl FnOnce(&Self, &mut Writer<'_>),
    ) {
        begin(out, id, method);
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        let mut writer = self.writer(out, self.signing.is_some().then_some(&mut payload));
        if let Some((key, _)) = &self.signing {
            writer.text("apiKey", key.expose());
        }
        fill(self, &mut writer);
        match &self.signing {
            // Not part of what is signed, so its place does not matter.
            Some((_, signer)) => sign(out, &payload, signer),
            None => out.extend_from_slice(b"}}"),
        }
        self.payload = payload;
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
        let mut writer = Writer { out, payload: Some(&mut payload), holes: None, last: "", receive_window_ms: 0 };
        writer.text("apiKey", key.expose());
        writer.number("timestamp", timestamp_ms);
        sign(out, &payload, signer);
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
        Writer { out, payload: None, holes: None, last: "", receive_window_ms: 0 }.text("apiKey", key.expose());
        out.extend_from_slice(b"}}");
    }

    /// A limit order, from its template unless it is signed for itself.
    #[inline]
    pub(super) fn place(
        &mut self,
        out: &mut Vec<u8>,
        (id, timestamp_ms): (u64, u64),
        (instrument, symbol): (InstrumentId, &Symbol),
        kind: OrderKind,
        order: &Submit,
    ) {
        match self.templates.get(instrument.index()) {
            Some(templates) if self.signing.is_none() => templates[kind.number()].fill(out, id, order, timestamp_ms),
            _ => self.place_written_out(out, (id, timestamp_ms), symbol, kind, order),
        }
    }

    #[inline(never)]
    fn place_written_out(
        &mut self,
        out: &mut Vec<u8>,
        (id, timestamp_ms): (u64, u64),
        symbol: &Symbol,
        kind: OrderKind,
        order: &Submit,
    ) {
        self.signed(out, (id, PLACE), |encoder, writer| {
            encoder.order(writer, symbol, kind, Some((order, timestamp_ms)));
        });
    }

    /// The parameters of an order; without `values`, those that differ from order to order are left out.
    fn order(&self, writer: &mut Writer<'_>, symbol: &Symbol, kind: OrderKind, values: Option<(&Submit, u64)>) {
        writer.order("newClientOrderId", values.map(|(order, _)| order.order));
        writer.text("newOrderRespType", self.response.as_bytes());
        writer.decimal("price", values.map(|(order, _)| order.price.units()), symbol.price_decimals);
        writer.decimal("quantity", values.map(|(order, _)| order.qty.units()), symbol.qty_decimals);
        writer.window();
        if kind.reduce_only {
            writer.text("reduceOnly", b"true");
        }
        writer.text("side", if kind.side == Side::Buy { b"BUY" } else { b"SELL" });
        writer.text("symbol", symbol.name.as_bytes());
        writer.text("timeInForce", if kind.tif == TimeInForce::Ioc { b"IOC" } else { b"GTC" });
        writer.time("timestamp", values.map(|(_, timestamp_ms)| timestamp_ms));
        writer.text("type", b"LIMIT");
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
        self.signed(out, (id, method), |_, writer| {
            if venue_order > 0 {
                writer.number("orderId", venue_order);
            } else {
                writer.order("origClientOrderId", Some(order));
            }
            writer.window();
            writer.text("symbol", symbol.name.as_bytes());
            writer.number("timestamp", timestamp_ms);
        });
    }
}

/// What of an order changes more than the values in its request.
#[derive(Clone, Copy)]
pub(super) struct OrderKind {
    pub(super) side: Side,
    pub(super) tif: TimeInForce,
    /// Futures' exits never open a position.
    pub(super) reduce_only: bool,
}

impl OrderKind {
    const COUNT: usize = 8;

    #[inline]
    fn number(self) -> usize {
        usize::from(self.side == Side::Sell)
            | usize::from(self.tif == TimeInForce::Limit) << 1
            | usize::from(self.reduce_only) << 2
    }

    fn of(number: usize) -> Self {
        Self {
            side: if number & 1 == 0 { Side::Buy } else { Side::Sell },
            tif: if number & 2 == 0 { TimeInForce::Ioc } else { TimeInForce::Limit },
            reduce_only: number & 4 != 0,
        }
    }
}

/// How an order is called.
const PLACE: &str = "order.place";
/// Where a request's number is.
const ID_AT: usize = b"{\"id\":".len();

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
    /// Where values were left out: only a template leaves any out.
    holes: Option<&'a mut Vec<usize>>,
    last: &'static str,
    receive_window_ms: u64,
}

impl Writer<'_> {
    fn value(&mut self, name: &'static str, quoted: bool, write: Option<impl FnOnce(&mut Vec<u8>)>) {
        debug_assert!(self.last < name, "parameters are written in the order they are signed in");
        self.out.extend_from_slice(if self.last.is_empty() { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(if quoted { b"\":\"" } else { b"\":" });
        let start = self.out.len();
        match (write, &mut self.holes) {
            (Some(write), _) => write(self.out),
            (None, Some(holes)) => holes.push(start),
            (None, None) => debug_assert!(false, "{name} has no value"),
        }
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
        self.value(name, true, Some(|out: &mut Vec<u8>| out.extend_from_slice(value)));
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.time(name, Some(value));
    }

    /// How long the request is good after its timestamp.
    pub(super) fn window(&mut self) {
        self.number("recvWindow", self.receive_window_ms);
    }

    /// A time in milliseconds.
    fn time(&mut self, name: &'static str, value: Option<u64>) {
        self.value(name, false, value.map(|value| move |out: &mut Vec<u8>| push_number(value, out)));
    }

    /// A number of 1e-8 units.
    fn decimal(&mut self, name: &'static str, units: Option<i64>, decimals: u8) {
        self.value(name, true, units.map(|units| move |out: &mut Vec<u8>| push_decimal(units, decimals, out)));
    }

    /// One of our orders, by its name.
    fn order(&mut self, name: &'static str, order: Option<OrderId>) {
        self.value(name, true, order.map(|order| move |out: &mut Vec<u8>| push_client_id(order, out)));
    }
}

/// Ends a request with the signature of what was written.
fn sign(out: &mut Vec<u8>, payload: &[u8], signer: &Signer) {
    out.extend_from_slice(b",\"signature\":\"");
    out.extend_from_slice(signer.sign(payload).as_bytes());
    out.extend_from_slice(b"\"}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::payload::OrderRole;
    use crate::core::{InstrumentTable, Price, Qty};
    use crate::venue::binance::symbols::tests::spec;
    use proptest::prelude::*;

    fn symbols() -> SymbolTable {
        SymbolTable::new(&InstrumentTable::new(vec![spec("BTCUSDT", "USDT")]).unwrap(), |_| None)
    }

    proptest! {
        /// The other way to the same bytes is the one that signed requests take, parameter by parameter.
        #[test]
        fn an_order_from_its_template_is_the_order_written_out(
            (id, counter, timestamp) in (any::<u64>(), 1..=u32::MAX, any::<u64>()),
            (price, qty) in (any::<i64>(), any::<i64>()),
            number in 0..OrderKind::COUNT,
            response in prop_oneof![Just("FULL"), Just("RESULT")],
        ) {
            let (symbols, kind) = (symbols(), OrderKind::of(number));
            prop_assert_eq!(kind.number(), number);
            let symbol = symbols.get(InstrumentId(0)).unwrap();
            let order = Submit {
                order: OrderId::new(0x1a2b_3c4d, counter),
                price: Price::from_units(price),
                qty: Qty::from_units(qty),
                tif: kind.tif,
                role: OrderRole::Entry,
                attempt: 1,
                intent: 1,
            };
            let mut encoder = Encoder::new(None, 2_000, response, &symbols);
            let (mut templated, mut written) = (b"left over".to_vec(), Vec::new());
            encoder.place(&mut templated, (id, timestamp), (InstrumentId(0), symbol), kind, &order);
            encoder.place_written_out(&mut written, (id, timestamp), symbol, kind, &order);
            prop_assert_eq!(String::from_utf8(templated).unwrap(), String::from_utf8(written).unwrap());
        }
    }
}

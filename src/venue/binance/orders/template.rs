//! A request with holes where orders differ: an order is six copies and five numbers. Little code, since an order is
//! rare and finds neither code nor data in the processor's caches: what is not there costs more than what it does.

use super::digits::{push_decimal, push_number};
use super::ids::push_client_id;
use crate::core::payload::Submit;

/// The request of one kind of order in one instrument.
pub(super) struct Template {
    /// Without what goes into the holes.
    bytes: Vec<u8>,
    /// Where number, name, price, quantity and timestamp go.
    holes: [usize; 5],
    price_decimals: u8,
    qty_decimals: u8,
}

impl Template {
    /// `holes`: where number, name, price, quantity and timestamp go, in this order.
    pub(super) fn new(bytes: Vec<u8>, holes: &[usize], (price_decimals, qty_decimals): (u8, u8)) -> Self {
        assert!(holes.len() == 5 && holes.is_sorted() && holes[4] <= bytes.len(), "an order has five holes: {holes:?}");
        Self { bytes, holes: std::array::from_fn(|hole| holes[hole]), price_decimals, qty_decimals }
    }

    /// Writes an order. One copy of it: made-up orders keep it warm for real ones.
    #[inline(never)]
    pub(super) fn fill(&self, out: &mut Vec<u8>, id: u64, order: &Submit, timestamp_ms: u64) {
        let ([first, second, third, fourth, fifth], bytes) = (self.holes, &self.bytes);
        out.clear();
        out.extend_from_slice(&bytes[..first]);
        push_number(id, out);
        out.extend_from_slice(&bytes[first..second]);
        push_client_id(order.order, out);
        out.extend_from_slice(&bytes[second..third]);
        push_decimal(order.price.units(), self.price_decimals, out);
        out.extend_from_slice(&bytes[third..fourth]);
        push_decimal(order.qty.units(), self.qty_decimals, out);
        out.extend_from_slice(&bytes[fourth..fifth]);
        push_number(timestamp_ms, out);
        out.extend_from_slice(&bytes[fifth..]);
    }
}

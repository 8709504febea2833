//! The session's symbols as the venue spells them, found in a few nanoseconds: what turns a name in
//! a frame into an instrument, and an instrument into the text of an order.
//!
//! A fixed hash table built at start. The hash reads at most 16 bytes of a name; equal hashes are
//! told apart by comparing the names, so that a hostile name can only be "not ours".

use crate::core::{InstrumentId, InstrumentTable};

/// One symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Upper case: `BTCUSDT`.
    pub name: String,
    /// The asset bought and sold: `BTC`. Empty when not known.
    pub base: String,
    /// The asset paid: `USDT`. Empty when not known.
    pub quote: String,
    /// Digits after the point of a price on the tick.
    pub price_decimals: u8,
    /// Digits after the point of a quantity on the lot step.
    pub qty_decimals: u8,
}

/// All symbols of a session, by instrument.
#[derive(Clone, Debug)]
pub struct SymbolTable {
    symbols: Vec<Symbol>,
    /// Index + 1 into `symbols`, 0 for empty; a power of two, at most half full.
    slots: Vec<u16>,
}

impl SymbolTable {
    /// The symbols of these instruments. `assets` gives base and quote asset of a name, as the
    /// venue's exchange information does; where it does not know, the instrument's currency is the
    /// quote asset and what stands before it the base.
    pub fn new(instruments: &InstrumentTable, assets: impl Fn(&str) -> Option<(String, String)>) -> Self {
        let symbols: Vec<Symbol> = instruments
            .iter()
            .map(|(_, instrument)| {
                let spec = instrument.spec();
                let (base, quote) = assets(&spec.symbol).unwrap_or_else(|| {
                    let base = spec.symbol.strip_suffix(&spec.currency).unwrap_or_default();
                    (base.to_owned(), spec.currency.clone())
                });
                Symbol {
                    name: spec.symbol.clone(),
                    base,
                    quote,
                    price_decimals: decimals(spec.tick_size.units()),
                    qty_decimals: decimals(spec.lot_step.units()),
                }
            })
            .collect();
        let mut slots = vec![0; (symbols.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        for (index, symbol) in symbols.iter().enumerate() {
            let mut at = hash(symbol.name.as_bytes()) & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = index as u16 + 1;
        }
        Self { symbols, slots }
    }

    /// The instrument with this name, if it is one of ours.
    #[must_use]
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<InstrumentId> {
        let mask = self.slots.len() - 1;
        let mut at = hash(name) & mask;
        // At most half of the slots are taken: an empty one ends every search.
        loop {
            let index = self.slots[at].checked_sub(1)?;
            if self.symbols[usize::from(index)].name.as_bytes() == name {
                return Some(InstrumentId(index));
            }
            at = (at + 1) & mask;
        }
    }

    /// The symbol of an instrument.
    #[must_use]
    #[inline]
    pub fn get(&self, id: InstrumentId) -> Option<&Symbol> {
        self.symbols.get(id.index())
    }

    /// All, in the order of their instruments.
    pub fn iter(&self) -> impl Iterator<Item = (InstrumentId, &Symbol)> {
        self.symbols.iter().enumerate().map(|(index, symbol)| (InstrumentId(index as u16), symbol))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }
}

/// Digits after the point that multiples of `step` (units of 1e-8) need.
fn decimals(step: i64) -> u8 {
    let (mut digits, mut step) = (8, step);
    while digits > 0 && step % 10 == 0 {
        step /= 10;
        digits -= 1;
    }
    digits
}

/// Mixes the length with the first and the last eight bytes.
#[inline]
fn hash(name: &[u8]) -> usize {
    let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    let (first, last) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (word(name), name.len() as u64),
    };
    let mixed = (first ^ last.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as usize
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::core::{ContractKind, InstrumentSpec, Money, Qty};

    /// A spec with a tick of 0.01 and a lot step of 0.00001, quoted in `currency`.
    pub(in super::super) fn spec(symbol: &str, currency: &str) -> InstrumentSpec {
        InstrumentSpec {
            symbol: symbol.into(),
            tick_size: "0.01".parse().unwrap(),
            lot_step: "0.00001".parse().unwrap(),
            min_lot: "0.00001".parse().unwrap(),
            max_lot: Qty::whole(9000),
            point_size: "0.01".parse().unwrap(),
            point_value: Money::from_units(1_000_000),
            currency: currency.into(),
            contract: ContractKind::Linear,
        }
    }

    #[test]
    fn each_symbol_is_found_and_no_other() {
        let names: Vec<String> = (0..1000).map(|n| format!("A{n}USDT")).collect();
        let table = InstrumentTable::new(names.iter().map(|name| spec(name, "USDT"))).unwrap();
        let symbols = SymbolTable::new(&table, |_| None);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(symbols.find(name.as_bytes()), Some(InstrumentId(index as u16)));
        }
        for name in [&b""[..], b"A", b"A1000USDT", b"a1usdt", &[0xff; 300]] {
            assert_eq!(symbols.find(name), None);
        }
        let first = symbols.get(InstrumentId(0)).unwrap();
        assert_eq!((&*first.base, &*first.quote, first.price_decimals, first.qty_decimals), ("A0", "USDT", 2, 5));
    }
}

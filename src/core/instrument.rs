//! What is traded: price and lot grids, and what a price move is worth in the account's currency.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fixed::{Money, Price, Qty, SCALE};

/// Index into the session's instrument table.
#[repr(transparent)]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How profit follows price.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContractKind {
    /// Profit is proportional to the price difference: spot, FX, linear futures.
    #[default]
    Linear,
    /// As linear, but what is sold must be owned: no short position beyond the inventory.
    Spot,
    /// Profit is paid in the base currency (coin-margined futures): watched, not traded.
    Inverse,
}

/// An instrument as configured; [`Instrument::new`] checks it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentSpec {
    /// The venue's name for it, upper case, e.g. `EURUSD`.
    pub symbol: String,
    /// Price grid: every limit price is a multiple.
    pub tick_size: Price,
    /// Lot grid: every order quantity is a multiple.
    pub lot_step: Qty,
    /// Smallest order, in lots.
    pub min_lot: Qty,
    /// Largest order, in lots.
    pub max_lot: Qty,
    /// The price move called one point (FX: the fifth decimal, third for JPY).
    pub point_size: Price,
    /// What one point is worth for one lot, in the contract currency. Above zero.
    pub point_value: Money,
    /// Currency of `point_value`, profit and fees, e.g. `USD`.
    pub currency: String,
    /// How profit follows price.
    #[serde(default)]
    pub contract: ContractKind,
}

/// A checked instrument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instrument {
    spec: InstrumentSpec,
    /// `point_value / point_size` in lowest terms: account currency per unit of price and lot.
    factor: (i128, i128),
}

/// Why an instrument is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentError {
    /// A field that must be above zero is not.
    #[error("instrument {symbol}: expected {field} above 0, found {found}")]
    NotPositive {
        /// Which instrument.
        symbol: String,
        /// Which field.
        field: &'static str,
        /// Its value.
        found: String,
    },
    /// Minimum and maximum lot contradict each other or the lot step.
    #[error(
        "instrument {symbol}: expected min_lot <= max_lot, both multiples of lot_step {step}, found {min} and {max}"
    )]
    Lots {
        /// Which instrument.
        symbol: String,
        /// The lot step.
        step: Qty,
        /// The minimum lot.
        min: Qty,
        /// The maximum lot.
        max: Qty,
    },
    /// A lot of a spot instrument is one unit of its base.
    #[error(
        "instrument {symbol}: on spot a lot is one unit of the base, so expected point_value = point_size, \
         found {point_value} and {point_size}"
    )]
    SpotLot {
        /// Which instrument.
        symbol: String,
        /// The value of a point.
        point_value: Money,
        /// The size of a point.
        point_size: Price,
    },
    /// The symbol is empty, or has characters that would break a file name or a table.
    #[error("expected an instrument symbol of 1 to 32 letters, digits, '-', '_', '.' or '/', found {0:?}")]
    Symbol(String),
    /// Two instruments have one name.
    #[error("instrument {0}: defined twice; keep one")]
    Twice(String),
    /// More than 65,535 instruments.
    #[error("expected at most 65535 instruments, found {0}")]
    TooMany(usize),
}

impl Instrument {
    /// Checks a spec.
    ///
    /// # Errors
    /// Names the field that cannot be, what it holds and what it should.
    pub fn new(spec: InstrumentSpec) -> Result<Self, InstrumentError> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if spec.symbol.is_empty() || spec.symbol.len() > 32 || !spec.symbol.chars().all(good) {
            return Err(InstrumentError::Symbol(spec.symbol));
        }
        let fields = [
            ("tick_size", spec.tick_size.units()),
            ("lot_step", spec.lot_step.units()),
            ("min_lot", spec.min_lot.units()),
            ("max_lot", spec.max_lot.units()),
            ("point_size", spec.point_size.units()),
            ("point_value", spec.point_value.units()),
        ];
        if let Some((field, units)) = fields.into_iter().find(|(_, units)| *units <= 0) {
            let found = Price::from_units(units).to_string();
            return Err(InstrumentError::NotPositive { symbol: spec.symbol, field, found });
        }
        if spec.contract == ContractKind::Spot && spec.point_value.units() != spec.point_size.units() {
            let InstrumentSpec { symbol, point_value, point_size, .. } = spec;
            return Err(InstrumentError::SpotLot { symbol, point_value, point_size });
        }
        let on_step = |lot: Qty| lot.units() % spec.lot_step.units() == 0;
        if spec.min_lot > spec.max_lot || !on_step(spec.min_lot) || !on_step(spec.max_lot) {
            let InstrumentSpec { symbol, lot_step: step, min_lot: min, max_lot: max, .. } = spec;
            return Err(InstrumentError::Lots { symbol, step, min, max });
        }
        let (value, size) = (i128::from(spec.point_value.units()), i128::from(spec.point_size.units()));
        let divisor = greatest_common_divisor(value, size);
        Ok(Self { factor: (value / divisor, size / divisor), spec })
    }

    /// The spec it was made from.
    #[must_use]
    pub const fn spec(&self) -> &InstrumentSpec {
        &self.spec
    }

    /// Digits after the point that a price of this instrument is printed with.
    #[must_use]
    pub fn price_decimals(&self) -> usize {
        let text = self.spec.tick_size.to_string();
        text.find('.').map_or(0, |point| text.len() - point - 1)
    }

    /// Turns a sum of price × quantity products (units of 1e-16) into money, rounded down.
    ///
    /// Rounding is toward minus infinity, so that no sequence of roundings makes money.
    /// `None` when the result leaves the range of [`Money`].
    #[must_use]
    pub fn value(&self, price_times_qty: i128) -> Option<Money> {
        let (numerator, denominator) = self.factor;
        let scaled = price_times_qty.checked_mul(numerator)?;
        let units = scaled.div_euclid(denominator.checked_mul(i128::from(SCALE))?);
        i64::try_from(units).ok().map(Money::from_units)
    }

    /// What `qty` lots at `price` are worth; `None` on overflow.
    #[must_use]
    pub fn notional(&self, price: Price, qty: Qty) -> Option<Money> {
        self.value(i128::from(price.units()) * i128::from(qty.units()))
    }

    /// A price distance of this many points; `None` on overflow.
    #[must_use]
    pub const fn points(&self, points: i64) -> Option<Price> {
        self.spec.point_size.checked_mul(points)
    }
}

fn greatest_common_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The session's instruments, in the order of their ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InstrumentTable {
    instruments: Vec<Instrument>,
}

impl InstrumentTable {
    /// Checks every spec and that no symbol occurs twice.
    ///
    /// # Errors
    /// The first [`InstrumentError`].
    pub fn new(specs: impl IntoIterator<Item = InstrumentSpec>) -> Result<Self, InstrumentError> {
        let mut table = Self::default();
        for spec in specs {
            if table.find(&spec.symbol).is_some() {
                return Err(InstrumentError::Twice(spec.symbol));
            }
            table.instruments.push(Instrument::new(spec)?);
        }
        match table.len() {
            count if count > usize::from(u16::MAX) => Err(InstrumentError::TooMany(count)),
            _ => Ok(table),
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instruments.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instruments.is_empty()
    }

    /// The instrument with this id, or `None` for an id from outside that names nothing.
    #[must_use]
    #[inline]
    pub fn get(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(id.index())
    }

    /// The id of a symbol.
    #[must_use]
    pub fn find(&self, symbol: &str) -> Option<InstrumentId> {
        let index = self.instruments.iter().position(|i| i.spec.symbol == symbol)?;
        u16::try_from(index).ok().map(InstrumentId)
    }

    /// All, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (InstrumentId, &Instrument)> {
        self.instruments.iter().enumerate().map(|(index, i)| (InstrumentId(index as u16), i))
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.spec.symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eurusd() -> InstrumentSpec {
        InstrumentSpec {
            symbol: "EURUSD".into(),
            tick_size: "0.00001".parse().unwrap(),
            lot_step: "0.01".parse().unwrap(),
            min_lot: "0.01".parse().unwrap(),
            max_lot: Qty::whole(50),
            point_size: "0.00001".parse().unwrap(),
            point_value: Money::whole(1),
            currency: "USD".into(),
            contract: ContractKind::Linear,
        }
    }

    #[test]
    fn one_point_on_one_lot_is_worth_the_point_value() {
        let instrument = Instrument::new(eurusd()).unwrap();
        let move_of_one_point = instrument.points(1).unwrap();
        assert_eq!(instrument.notional(move_of_one_point, Qty::whole(1)), Some(Money::whole(1)));
        assert_eq!(instrument.notional("1.08".parse().unwrap(), Qty::whole(1)), Some(Money::whole(108_000)));
        assert_eq!(instrument.price_decimals(), 5);
    }

    #[test]
    fn losses_and_gains_round_the_same_way() {
        let instrument = Instrument::new(eurusd()).unwrap();
        let smallest = -1;
        assert_eq!(instrument.value(smallest), Some(Money::from_units(-1)));
        assert_eq!(instrument.value(-smallest), Some(Money::ZERO));
    }

    #[test]
    fn impossible_specs_are_named() {
        let error = |change: fn(&mut InstrumentSpec)| {
            let mut spec = eurusd();
            change(&mut spec);
            Instrument::new(spec).unwrap_err().to_string()
        };
        assert!(error(|s| s.point_value = Money::ZERO).contains("expected point_value above 0, found 0"));
        assert!(error(|s| s.tick_size = Price::whole(-1)).contains("tick_size"));
        assert!(error(|s| s.contract = ContractKind::Spot).contains("point_value = point_size"));
        assert!(error(|s| s.max_lot = Qty::from_units(1)).contains("min_lot <= max_lot"));
        assert!(error(|s| s.symbol = "EUR USD".into()).contains("EUR USD"));
    }

    #[test]
    fn a_symbol_names_one_instrument() {
        let table = InstrumentTable::new([eurusd()]).unwrap();
        assert_eq!(table.find("EURUSD"), Some(InstrumentId(0)));
        assert_eq!(table.get(InstrumentId(1)), None);
        assert_eq!(InstrumentTable::new([eurusd(), eurusd()]), Err(InstrumentError::Twice("EURUSD".into())));
    }
}

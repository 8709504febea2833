//! The venue's own books: what it knows of an order, a trade, a balance. The truth that fault tests
//! compare everybody else's view with. No I/O; amounts are exact.

use crate::core::{InstrumentId, Money, Nanos, Price, Qty, Side};
use crate::venue::paper::OrderKind;

/// Index of an account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct AccountId(pub usize);

/// Index of an asset in the venue's list.
pub(super) type AssetId = usize;

/// What an account has of an asset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Balance {
    /// May be spent.
    pub free: Money,
    /// Reserved by open orders.
    pub locked: Money,
    /// What it began with, deposits and withdrawals included: the position is measured from here.
    pub granted: Money,
}

impl Balance {
    /// Free and locked.
    pub(super) fn total(&self) -> Money {
        sum(self.free, self.locked)
    }
}

/// A futures position.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Position {
    /// Signed quantity, units of 1e-8; above zero is long.
    pub units: i64,
    /// Entry price × |quantity|, units of 1e-16: exact, so that no rounding makes money.
    pub cost: i128,
}

impl Position {
    /// Volume-weighted entry price, rounded down; zero when flat.
    pub(super) fn entry(&self) -> Price {
        let size = i128::from(self.units.unsigned_abs());
        Price::from_units(if size == 0 { 0 } else { (self.cost / size) as i64 })
    }

    /// Profit at a price, units of 1e-16.
    pub(super) fn profit(&self, price: Price) -> i128 {
        let value = i128::from(self.units) * i128::from(price.units());
        if self.units >= 0 { value - self.cost } else { value + self.cost }
    }

    /// Books a fill; returns the realised profit, units of 1e-16.
    pub(super) fn apply(&mut self, side: Side, price: Price, qty: Qty) -> i128 {
        let (delta, price) = (side.sign() * qty.units(), i128::from(price.units()));
        let size = i128::from(self.units.unsigned_abs());
        if self.units == 0 || (self.units > 0) == (delta > 0) {
            self.cost += price * i128::from(delta.unsigned_abs());
            self.units += delta;
            return 0;
        }
        let closed = i128::from(delta.unsigned_abs()).min(size);
        let cost_closed = self.cost * closed / size;
        let value = price * closed;
        let realised = if self.units > 0 { value - cost_closed } else { cost_closed - value };
        self.cost -= cost_closed;
        self.units += delta;
        let opened = i128::from(delta.unsigned_abs()) - closed;
        if opened > 0 {
            self.cost = price * opened;
        }
        realised
    }
}

/// One client's money, and its futures positions by symbol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Account {
    /// What the operator calls it.
    pub name: String,
    /// By [`AssetId`].
    pub balances: Vec<Balance>,
    /// By symbol; futures only.
    pub positions: Vec<Position>,
    /// When a balance last changed.
    pub updated: Nanos,
}

/// A deposit, or a withdrawal when below zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TransferRecord {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub asset: AssetId,
    /// How much.
    pub amount: Money,
    /// When.
    pub time: Nanos,
}

/// How long an order lives, in the venue's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tif {
    /// Good till cancelled.
    Gtc,
    /// Immediate or cancel.
    Ioc,
    /// Fill or kill.
    Fok,
    /// Futures: post-only.
    Gtx,
}

impl Tif {
    /// The name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
            Self::Gtx => "GTX",
        }
    }
}

/// Type of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OrderType {
    /// With a limit and a time in force.
    Limit,
    /// Post-only (spot).
    LimitMaker,
    /// Without a limit.
    Market,
}

impl OrderType {
    /// The name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "LIMIT",
            Self::LimitMaker => "LIMIT_MAKER",
            Self::Market => "MARKET",
        }
    }
}

/// State of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// On the book, nothing traded.
    New,
    /// On the book, part of it traded.
    PartiallyFilled,
    /// Wholly traded.
    Filled,
    /// Taken off.
    Canceled,
    /// Lapsed.
    Expired,
}

impl Status {
    /// The name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::PartiallyFilled => "PARTIALLY_FILLED",
            Self::Filled => "FILLED",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
        }
    }

    /// True while it may still trade.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::New | Self::PartiallyFilled)
    }
}

/// An order as its sender wants it; checked for form, not yet against filters or balances.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NewOrder {
    /// Which symbol.
    pub symbol: InstrumentId,
    /// The sender's name for it.
    pub client_id: String,
    /// Buy or sell.
    pub side: Side,
    /// Its type.
    pub order_type: OrderType,
    /// How long it lives.
    pub tif: Tif,
    /// Limit; zero for market orders.
    pub price: Price,
    /// Quantity; zero when `quote_qty` says how much.
    pub qty: Qty,
    /// Market orders: how much of the quote asset to trade.
    pub quote_qty: Money,
    /// Futures: may only make the position smaller.
    pub reduce_only: bool,
    /// Self-trade prevention as sent; own orders never meet here, so it is only echoed.
    pub prevention: &'static str,
}

/// An order and everything that became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OrderRecord {
    /// The venue's number.
    pub id: u64,
    /// Whose.
    pub account: AccountId,
    /// As sent, with the quantity filled in.
    pub order: NewOrder,
    /// Where it stands.
    pub status: Status,
    /// Filled over its life.
    pub filled: Qty,
    /// Quote asset traded over its life.
    pub traded: Money,
    /// What it still reserves of the asset it would spend.
    pub locked: Money,
    /// When it came in.
    pub created: Nanos,
    /// When it last changed.
    pub updated: Nanos,
    /// Why it lapsed.
    pub expiry: Option<&'static str>,
    /// The cancel's own id, once cancelled.
    pub cancel_id: Option<String>,
    /// Its trades, as indexes into the venue's list.
    pub trades: Vec<usize>,
}

impl OrderRecord {
    /// What may still trade.
    pub(super) fn left(&self) -> Qty {
        self.order.qty.checked_sub(self.filled).unwrap_or(Qty::ZERO)
    }

    /// How the matcher treats it.
    pub(super) fn kind(&self) -> OrderKind {
        match (self.order.order_type, self.order.tif) {
            (OrderType::Market, _) => OrderKind::Market,
            (OrderType::LimitMaker, _) | (OrderType::Limit, Tif::Gtx) => OrderKind::PostOnly,
            (OrderType::Limit, Tif::Gtc) => OrderKind::Limit,
            (OrderType::Limit, Tif::Ioc) => OrderKind::Ioc,
            (OrderType::Limit, Tif::Fok) => OrderKind::Fok,
        }
    }
}

/// One execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TradeRecord {
    /// Number, from 1 within the symbol.
    pub id: u64,
    /// Which order.
    pub order: u64,
    /// Whose.
    pub account: AccountId,
    /// Which symbol.
    pub symbol: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// Price × quantity.
    pub quote: Money,
    /// What it cost.
    pub commission: Money,
    /// In which asset.
    pub commission_asset: AssetId,
    /// Realised profit; futures only.
    pub realised: Money,
    /// When.
    pub time: Nanos,
    /// It rested.
    pub maker: bool,
}

/// What happened to an order, for its owner's stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Happened {
    /// On the book.
    New,
    /// Traded: the index of the trade.
    Trade(usize),
    /// Taken off.
    Canceled,
    /// Lapsed.
    Expired,
    /// Made smaller.
    Replaced,
}

/// An entry of an account's user stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum UserEvent {
    /// `executionReport`: the order as it was just then.
    Execution {
        /// Number of the execution.
        number: u64,
        /// What happened.
        happened: Happened,
        /// The order at that moment.
        order: Box<OrderRecord>,
    },
    /// `outboundAccountPosition`: balances that may have changed.
    Balances(Vec<(AssetId, Balance)>),
    /// `balanceUpdate`: a deposit or a withdrawal.
    Deposit(AssetId, Money),
    /// Futures: positions that changed, with the wallet.
    Positions(Vec<(InstrumentId, Position)>),
}

/// Sum of two amounts; saturates, and the filters keep every amount far from there.
pub(super) fn sum(a: Money, b: Money) -> Money {
    Money::from_units(a.units().saturating_add(b.units()))
}

/// Difference of two amounts; saturates.
pub(super) fn difference(a: Money, b: Money) -> Money {
    Money::from_units(a.units().saturating_sub(b.units()))
}

/// Price × quantity in the quote asset; rounded up when `up`, else down. Saturates.
pub(super) fn worth(price: Price, qty: Qty, up: bool) -> Money {
    let product = i128::from(price.units()) * i128::from(qty.units());
    let scale = i128::from(crate::core::SCALE);
    let units = if up { -(-product).div_euclid(scale) } else { product.div_euclid(scale) };
    Money::from_units(i64::try_from(units).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is traded, what was realised plus what is open equals cash flow plus value.
        #[test]
        fn a_position_neither_makes_nor_loses_money(fills in proptest::collection::vec((any::<bool>(), 1i64..1_000, 1i64..1_000), 1..40), mark in 1i64..1_000) {
            let (mut position, mut realised, mut cash) = (Position::default(), 0i128, 0i128);
            for (buy, price, qty) in fills {
                let side = if buy { Side::Buy } else { Side::Sell };
                realised += position.apply(side, Price::from_units(price), Qty::from_units(qty));
                cash -= i128::from(side.sign() * qty) * i128::from(price);
            }
            let value = i128::from(position.units) * i128::from(mark);
            prop_assert_eq!(realised + position.profit(Price::from_units(mark)), cash + value);
        }
    }
}

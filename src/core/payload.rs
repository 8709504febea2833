//! What the four payload words of an [`Event`] mean, one struct a kind.
//!
//! Words are `i64` or `u64` bit patterns, or `f64` bits for features. Every struct converts to an
//! event and back without loss; enumerations inside a word that this version does not know read
//! as `None`, never as something else.

use std::fmt;

pub use super::codes::{
    Action, AlertCode, ControlCode, ExitReason, LinkChannel, LinkState, OrderRole, Refusal, RejectCode, TimeInForce,
};
use super::event::{Event, EventKind, Flags};
use super::fixed::{Money, Price, Qty};
use super::instrument::InstrumentId;
use super::time::Nanos;

/// Buy or sell.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Bid side: pays the ask.
    Buy = 1,
    /// Ask side: receives the bid.
    Sell = 2,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// +1 for buy, -1 for sell.
    #[must_use]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }

    /// The flag that marks this side on an event.
    #[must_use]
    pub const fn flag(self) -> Flags {
        match self {
            Self::Buy => Flags::BUY,
            Self::Sell => Flags::SELL,
        }
    }

    /// The side that an event is marked with, if exactly one.
    #[must_use]
    pub const fn from_flags(flags: Flags) -> Option<Self> {
        match (flags.contains(Flags::BUY), flags.contains(Flags::SELL)) {
            (true, false) => Some(Self::Buy),
            (false, true) => Some(Self::Sell),
            _ => None,
        }
    }

    /// `buy` or `sell`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// Identifies an order of ours: session number in the upper half, a counter from 1 in the lower.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

impl OrderId {
    /// The order with this counter in this session.
    #[must_use]
    pub const fn new(session: u32, counter: u32) -> Self {
        Self((session as u64) << 32 | counter as u64)
    }
}

/// `1a2b3c4d-17`: session in hexadecimal, counter in decimal.
impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.0 >> 32, self.0 as u32)
    }
}
impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Best bid and ask. Sizes are zero where the source has none: "not known", not "nothing".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quote {
    /// Highest price somebody pays.
    pub bid: Price,
    /// Lowest price somebody accepts.
    pub ask: Price,
    /// Quantity at the bid.
    pub bid_qty: Qty,
    /// Quantity at the ask.
    pub ask_qty: Qty,
}

/// A public trade. The aggressor's side is in the event's flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trade {
    /// Price traded.
    pub price: Price,
    /// Quantity traded.
    pub qty: Qty,
    /// The venue's number of the trade, 0 where it has none.
    pub trade_id: u64,
}

/// An operator's or supervisor's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Control {
    /// What is ordered; `None` when this version does not know the number.
    pub code: Option<ControlCode>,
    /// The account's balance, with [`ControlCode::Start`]; units of 1e-8 of the base asset, with
    /// [`ControlCode::Baseline`].
    pub balance: Money,
}

/// The venue took an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderAck {
    /// Which order.
    pub order: OrderId,
    /// The venue's own number for it.
    pub venue_order: u64,
}

/// The venue refused an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderReject {
    /// Which order.
    pub order: OrderId,
    /// Why; `None` when this version does not know the number.
    pub code: Option<RejectCode>,
    /// With [`RejectCode::Requote`]: the price on offer; zero otherwise.
    pub price: Price,
}

/// An order by name: cancelled, expired, not found; or to be cancelled or asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderDone {
    /// Which order.
    pub order: OrderId,
    /// Quantity filled over the order's life, as the venue counts it; zero in commands.
    pub filled: Qty,
}

/// Part or all of an order traded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fill {
    /// Which order.
    pub order: OrderId,
    /// The venue's number of this execution, rising within an order; a repeat is ignored.
    pub execution: u64,
    /// Price of this execution.
    pub price: Price,
    /// Quantity of this execution.
    pub qty: Qty,
}

/// What an execution cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fee {
    /// Which order.
    pub order: OrderId,
    /// Which execution.
    pub execution: u64,
    /// Charged, as worth in the account's currency; negative is a rebate. Flagged [`Flags::OTHER_ASSET`] where no cash moved.
    ///
    /// [`Flags::OTHER_ASSET`]: super::Flags::OTHER_ASSET
    pub amount: Money,
    /// What the venue took of the base asset instead of cash (spot buys); zero when it took cash.
    pub base: Qty,
}

/// A connection to the venue changed. With [`LinkState::Down`] every order in flight is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// Which; `None` when this version does not know the number.
    pub channel: Option<LinkChannel>,
    /// How it fares; `None` when this version does not know the number.
    pub state: Option<LinkState>,
    /// How often this channel has connected in this session, the present time included.
    pub connections: u64,
}

/// A derivatives position as the venue holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PositionReport {
    /// The reconciliation it belongs to; 0 when the venue pushed it.
    pub round: u64,
    /// Signed quantity in units of 1e-8: above zero is long.
    pub signed_units: i64,
    /// Average entry price; zero when flat.
    pub entry: Price,
}

/// What is owned of a spot instrument's base asset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InventoryReport {
    /// The reconciliation it belongs to; 0 when the venue pushed it.
    pub round: u64,
    /// Free to sell.
    pub free: Qty,
    /// Locked in open orders.
    pub locked: Qty,
    /// Deposited (above zero) or withdrawn: what its owner moved. Not zero only in a report of that and nothing else, whose
    /// other figures mean nothing.
    pub moved: Qty,
}

/// Cash of the account, in its own currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountReport {
    /// The reconciliation it belongs to; 0 when the venue pushed it.
    pub round: u64,
    /// Free to spend.
    pub free: Money,
    /// Locked in open orders or as margin.
    pub locked: Money,
    /// The venue's own figure of equity; zero where it has none (spot).
    pub equity: Money,
}

/// An order that is open at the venue. The side is in the flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenOrderReport {
    /// The reconciliation it belongs to.
    pub round: u64,
    /// Our name for it; zero for an order that pawl never sent.
    pub order: OrderId,
    /// What may still trade.
    pub remaining: Qty,
    /// What has traded.
    pub filled: Qty,
}

/// A reconciliation, asked for or complete. Numbered from 1 within the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reconciled {
    /// Which reconciliation.
    pub round: u64,
    /// Open orders reported in it.
    pub orders: u64,
}

/// The first four features of a raw signal. The side is in the flags.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Signal {
    /// ln(P_t / P_{t-1}) over bar closes.
    pub log_return: f64,
    /// Standard deviation of the window's log returns.
    pub volatility: f64,
    /// Distance of the mid from the window's mean, in its standard deviations.
    pub z_score: f64,
    /// Wilder's average directional index, 0 to 100.
    pub adx: f64,
}

/// The other features of a raw signal, and the mid that it was computed at.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SignalContext {
    /// Wilder's relative strength index, 0 to 100.
    pub rsi: f64,
    /// Sine of the time of the UTC day.
    pub time_sin: f64,
    /// Buy volume minus sell volume over the window, in lots.
    pub volume_delta: f64,
    /// Bid plus ask, i.e. twice the mid, in price units.
    pub bid_plus_ask: i64,
}

/// The oracle's answer to a signal.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Decision {
    /// The model's probability; NaN when it was not asked.
    pub probability: f32,
    /// The model's margin (log odds), which is what the gate compares; NaN when not asked.
    pub margin: f32,
    /// The threshold, as a probability.
    pub threshold: f32,
    /// What to do; `None` when this version does not know the number.
    pub action: Option<Action>,
}

/// A reason for not trading, with the value that broke the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefusalRecord {
    /// Which rule; `None` when this version does not know the number.
    pub reason: Option<Refusal>,
    /// What was found, in the rule's own unit (1e-8 units, nanoseconds or a count).
    pub found: i64,
    /// What was allowed, in the same unit.
    pub limit: i64,
    /// The order it concerns, or zero.
    pub order: OrderId,
}

/// An order to the venue. The side is in the flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Submit {
    /// Our name for it.
    pub order: OrderId,
    /// Limit price, on the tick.
    pub price: Price,
    /// Quantity, on the lot step.
    pub qty: Qty,
    /// How long it lives.
    pub tif: TimeInForce,
    /// Entry or exit.
    pub role: OrderRole,
    /// 1 for the first try of its intent, 2 for the one retry.
    pub attempt: u8,
    /// The intent it serves, numbered from 1 within the session; no two live orders share one.
    pub intent: u32,
}

/// A position was opened. The side is in the flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradeOpened {
    /// The intent that opened it.
    pub intent: u32,
    /// Price of the first fill.
    pub price: Price,
    /// Quantity of the first fill.
    pub qty: Qty,
    /// The mid at the signal: what slippage is measured from, as bid plus ask.
    pub bid_plus_ask: i64,
}

/// A position was closed. The side (of the position) is in the flags; [`TradeCosts`] follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradeClosed {
    /// When the position was opened.
    pub opened: Nanos,
    /// Volume-weighted entry price, rounded to 1e-8.
    pub entry: Price,
    /// Volume-weighted exit price, rounded to 1e-8.
    pub exit: Price,
    /// Largest quantity held.
    pub qty: Qty,
}

/// The money side of a closed position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TradeCosts {
    /// Profit before fees.
    pub gross: Money,
    /// Fees of all its executions.
    pub fees: Money,
    /// Why it was closed; `None` when this version does not know the number.
    pub reason: Option<ExitReason>,
    /// Worse than the touch at each decision, summed over entry and exit, as money; negative is better.
    pub slippage: Money,
}

/// Something a person must see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlertRecord {
    /// What; `None` when this version does not know the number.
    pub code: Option<AlertCode>,
    /// The order it concerns, or zero.
    pub order: OrderId,
    /// What was found, in the alert's own unit.
    pub found: i64,
    /// What was expected.
    pub expected: i64,
}

/// A payload that travels in an event of one or several kinds.
pub trait Payload: Sized {
    /// The four words.
    fn to_words(&self) -> [u64; 4];
    /// From four words. Any words are accepted; what they cannot mean reads as `None` inside.
    fn from_words(words: [u64; 4]) -> Self;

    /// An event of `kind` carrying this payload.
    fn event(&self, kind: EventKind, instrument: InstrumentId, venue_ns: Nanos, local_ns: Nanos) -> Event {
        Event::new(kind, instrument, venue_ns, local_ns, self.to_words())
    }

    /// The payload of an event; the caller has matched its kind.
    #[inline]
    fn of(event: &Event) -> Self {
        Self::from_words(event.payload)
    }
}

/// A value that fits one payload word.
trait Word: Copy {
    fn into_word(self) -> u64;
    fn from_word(word: u64) -> Self;
}

macro_rules! words {
    ($($type:ty: $to:expr, $from:expr;)*) => {
        $(impl Word for $type {
            #[inline]
            fn into_word(self) -> u64 { ($to)(self) }
            #[inline]
            fn from_word(word: u64) -> Self { ($from)(word) }
        })*
    };
}

words! {
    u64: |v: u64| v, |w| w;
    i64: |v: i64| v as u64, |w| w as i64;
    u32: u64::from, |w| w as u32;
    f64: f64::to_bits, f64::from_bits;
    f32: |v: f32| u64::from(v.to_bits()), |w| f32::from_bits(w as u32);
    Price: |v: Price| v.units() as u64, |w| Price::from_units(w as i64);
    Qty: |v: Qty| v.units() as u64, |w| Qty::from_units(w as i64);
    Money: |v: Money| v.units() as u64, |w| Money::from_units(w as i64);
    Nanos: |v: Nanos| v.0, Nanos;
    OrderId: |v: OrderId| v.0, OrderId;
    Option<Action>: |v: Option<Action>| v.map_or(u64::MAX, |v| v as u64), Action::from_word;
    Option<Refusal>: |v: Option<Refusal>| v.map_or(0, |v| v as u64), Refusal::from_word;
    Option<RejectCode>: |v: Option<RejectCode>| v.map_or(0, |v| v as u64), RejectCode::from_word;
    Option<ControlCode>: |v: Option<ControlCode>| v.map_or(0, |v| v as u64), ControlCode::from_word;
    Option<AlertCode>: |v: Option<AlertCode>| v.map_or(0, |v| v as u64), AlertCode::from_word;
    Option<LinkChannel>: |v: Option<LinkChannel>| v.map_or(0, |v| v as u64), LinkChannel::from_word;
    Option<LinkState>: |v: Option<LinkState>| v.map_or(0, |v| v as u64), LinkState::from_word;
    Option<ExitReason>: |v: Option<ExitReason>| v.map_or(0, |v| v as u64), ExitReason::from_word;
}

/// Payload structs whose fields are words, in order.
macro_rules! payloads {
    ($($type:ident { $a:ident $(, $b:ident $(, $c:ident $(, $d:ident)?)?)? })*) => {
        $(impl Payload for $type {
            #[inline]
            fn to_words(&self) -> [u64; 4] {
                let mut words = [0; 4];
                let values = [self.$a.into_word() $(, self.$b.into_word() $(, self.$c.into_word() $(, self.$d.into_word())?)?)?];
                words[..values.len()].copy_from_slice(&values);
                words
            }
            #[inline]
            fn from_words(words: [u64; 4]) -> Self {
                let [_first $(, $b $(, $c $(, $d)?)?)?, ..] = words;
                Self { $a: Word::from_word(_first) $(, $b: Word::from_word($b) $(, $c: Word::from_word($c) $(, $d: Word::from_word($d))?)?)? }
            }
        })*
    };
}

payloads! {
    Quote { bid, ask, bid_qty, ask_qty }
    Trade { price, qty, trade_id }
    Control { code, balance }
    OrderAck { order, venue_order }
    OrderReject { order, code, price }
    OrderDone { order, filled }
    Fill { order, execution, price, qty }
    Fee { order, execution, amount, base }
    Link { channel, state, connections }
    PositionReport { round, signed_units, entry }
    InventoryReport { round, free, locked, moved }
    AccountReport { round, free, locked, equity }
    OpenOrderReport { round, order, remaining, filled }
    Reconciled { round, orders }
    Signal { log_return, volatility, z_score, adx }
    SignalContext { rsi, time_sin, volume_delta, bid_plus_ask }
    Decision { probability, margin, threshold, action }
    RefusalRecord { reason, found, limit, order }
    TradeOpened { intent, price, qty, bid_plus_ask }
    TradeClosed { opened, entry, exit, qty }
    TradeCosts { gross, fees, reason, slippage }
    AlertRecord { code, order, found, expected }
}

/// The fourth word packs time in force, role and attempt (8 bits each) under the intent (32 bits).
impl Payload for Submit {
    fn to_words(&self) -> [u64; 4] {
        let packed =
            u64::from(self.intent) << 32 | u64::from(self.attempt) << 16 | (self.role as u64) << 8 | self.tif as u64;
        [self.order.0, self.price.units() as u64, self.qty.units() as u64, packed]
    }

    /// Unknown numbers read as the safest meaning: an IOC exit.
    fn from_words([order, price, qty, packed]: [u64; 4]) -> Self {
        Self {
            order: OrderId(order),
            price: Price::from_units(price as i64),
            qty: Qty::from_units(qty as i64),
            tif: TimeInForce::from_word(packed & 0xff).unwrap_or(TimeInForce::Ioc),
            role: OrderRole::from_word(packed >> 8 & 0xff).unwrap_or(OrderRole::Exit),
            attempt: (packed >> 16) as u8,
            intent: (packed >> 32) as u32,
        }
    }
}

/// Writes an event's payload as a person reads it.
pub(super) fn describe(event: &Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event.kind {
        EventKind::Quote => write!(f, "{:?}", Quote::of(event)),
        EventKind::Trade => write!(f, "{:?}", Trade::of(event)),
        EventKind::Gap | EventKind::Timer => Ok(()),
        EventKind::Control => write!(f, "{:?}", Control::of(event)),
        EventKind::OrderAccepted => write!(f, "{:?}", OrderAck::of(event)),
        EventKind::OrderRejected => write!(f, "{:?}", OrderReject::of(event)),
        EventKind::OrderCancelled
        | EventKind::OrderExpired
        | EventKind::OrderNotFound
        | EventKind::CancelRejected
        | EventKind::Cancel
        | EventKind::Query => write!(f, "{:?}", OrderDone::of(event)),
        EventKind::Fill => write!(f, "{:?}", Fill::of(event)),
        EventKind::Fee => write!(f, "{:?}", Fee::of(event)),
        EventKind::Link => write!(f, "{:?}", Link::of(event)),
        EventKind::PositionReport => write!(f, "{:?}", PositionReport::of(event)),
        EventKind::InventoryReport => write!(f, "{:?}", InventoryReport::of(event)),
        EventKind::AccountReport => write!(f, "{:?}", AccountReport::of(event)),
        EventKind::OpenOrderReport => write!(f, "{:?}", OpenOrderReport::of(event)),
        EventKind::Reconciled | EventKind::Reconcile => write!(f, "{:?}", Reconciled::of(event)),
        EventKind::Signal => write!(f, "{:?}", Signal::of(event)),
        EventKind::SignalContext => write!(f, "{:?}", SignalContext::of(event)),
        EventKind::Decision => write!(f, "{:?}", Decision::of(event)),
        EventKind::Refusal => write!(f, "{:?}", RefusalRecord::of(event)),
        EventKind::Submit => write!(f, "{:?}", Submit::of(event)),
        EventKind::TradeOpened => write!(f, "{:?}", TradeOpened::of(event)),
        EventKind::TradeClosed => write!(f, "{:?}", TradeClosed::of(event)),
        EventKind::TradeCosts => write!(f, "{:?}", TradeCosts::of(event)),
        EventKind::Alert => write!(f, "{:?}", AlertRecord::of(event)),
    }
}

//! What the order manager may do, and how far. Every field has a default and a unit.

use serde::{Deserialize, Serialize};

use crate::core::{Money, Qty, Span};

/// How entries are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryStyle {
    /// Immediate or cancel at the touch plus `slippage_points`.
    #[default]
    Ioc,
    /// A limit at the near touch that lives for `limit_time_to_live`.
    Limit,
}

/// Sizing, order handling, exits and pre-trade limits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OmsParams {
    /// Percent of the balance put at risk by one trade, i.e. lost when its stop is hit. Above 0, at most 100.
    pub risk_percent: Money,
    /// Distance of the stop-loss from the entry, in points. Above 0: sizing divides by it.
    pub stop_loss_points: i64,
    /// Distance of the take-profit from the entry, in points; 0 is none.
    pub take_profit_points: i64,
    /// A position is closed when z comes back through this many standard deviations. At least 0.
    pub exit_z: f64,
    /// A position is closed after this time; `"0s"` is never.
    pub max_hold: Span,
    /// How entries are sent.
    pub entry: EntryStyle,
    /// A LIMIT entry is cancelled after this time.
    pub limit_time_to_live: Span,
    /// An IOC may trade this many points through the touch.
    pub slippage_points: i64,
    /// The one retry after a reject or requote is this many points worse.
    pub retry_points: i64,
    /// Largest single order, in lots.
    pub max_order_lots: Qty,
    /// Largest sum of open lots over all instruments, orders in flight included.
    pub max_open_lots: Qty,
    /// Largest value of one order in the account's currency; 0 is no limit.
    pub max_notional: Money,
    /// Farthest an entry's limit price may be from the mid, in points.
    pub price_collar_points: i64,
    /// Most entry orders within `order_rate_window`.
    pub max_orders: u32,
    /// The window of `max_orders`.
    pub order_rate_window: Span,
    /// The same side of the same instrument is not entered twice within this time.
    pub duplicate_window: Span,
    /// No entry on a quote older than this.
    pub max_quote_age: Span,
    /// No entry while venue and local time differ by more than this.
    pub max_clock_skew: Span,
    /// An order not acknowledged within this time is unknown, and the venue is asked.
    pub acknowledge_timeout: Span,
    /// After an exit and its retry failed, the next try waits this long.
    pub exit_retry_pause: Span,
    /// Spot: a short signal may sell what was owned before and buy it back. Off, what was owned before is never
    /// sold, and a short signal on spot is a recorded reason. Nothing else than spot asks.
    pub short_from_inventory: bool,
    /// Entries need a guardian that was heard within `guardian_timeout`.
    pub guardian_required: bool,
    /// Longest silence of a required guardian.
    pub guardian_timeout: Span,
}

impl Default for OmsParams {
    fn default() -> Self {
        Self {
            risk_percent: Money::whole(1),
            stop_loss_points: 150,
            take_profit_points: 0,
            exit_z: 0.0,
            max_hold: Span::seconds(3600),
            entry: EntryStyle::Ioc,
            limit_time_to_live: Span::seconds(3),
            slippage_points: 5,
            retry_points: 5,
            max_order_lots: Qty::whole(10),
            max_open_lots: Qty::whole(20),
            max_notional: Money::ZERO,
            price_collar_points: 100,
            max_orders: 10,
            order_rate_window: Span::seconds(1),
            duplicate_window: Span::millis(500),
            max_quote_age: Span::seconds(2),
            max_clock_skew: Span::seconds(5),
            acknowledge_timeout: Span::seconds(2),
            exit_retry_pause: Span::seconds(1),
            short_from_inventory: false,
            guardian_required: false,
            guardian_timeout: Span::millis(1000),
        }
    }
}

/// Most entry orders that `max_orders` may allow within its window.
pub(super) const MAX_ORDER_RATE: u32 = 1024;

/// A parameter that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("oms.{field}: expected {expected}, found {found}")]
pub struct OmsParamsError {
    field: &'static str,
    expected: &'static str,
    found: String,
}

impl OmsParams {
    /// Checks every field that has a range.
    ///
    /// # Errors
    /// Names the first field that is out of it.
    pub fn check(&self) -> Result<(), OmsParamsError> {
        let hundred = Money::whole(100);
        let rules: [(bool, &'static str, &'static str, String); 12] = [
            (
                self.risk_percent.is_positive() && self.risk_percent <= hundred,
                "risk_percent",
                "a percentage above 0, at most 100",
                self.risk_percent.to_string(),
            ),
            (
                (1..=1_000_000_000).contains(&self.stop_loss_points),
                "stop_loss_points",
                "1 to 1000000000 points",
                self.stop_loss_points.to_string(),
            ),
            (
                (0..=1_000_000_000).contains(&self.take_profit_points),
                "take_profit_points",
                "0 to 1000000000 points",
                self.take_profit_points.to_string(),
            ),
            (self.exit_z >= 0.0 && self.exit_z.is_finite(), "exit_z", "0 or more", self.exit_z.to_string()),
            (
                (0..=1_000_000).contains(&self.slippage_points),
                "slippage_points",
                "0 to 1000000 points",
                self.slippage_points.to_string(),
            ),
            (
                (0..=1_000_000).contains(&self.retry_points),
                "retry_points",
                "0 to 1000000 points",
                self.retry_points.to_string(),
            ),
            (self.max_order_lots.is_positive(), "max_order_lots", "lots above 0", self.max_order_lots.to_string()),
            (self.max_open_lots.is_positive(), "max_open_lots", "lots above 0", self.max_open_lots.to_string()),
            (self.max_notional >= Money::ZERO, "max_notional", "0 (no limit) or more", self.max_notional.to_string()),
            (
                (1..=1_000_000_000).contains(&self.price_collar_points),
                "price_collar_points",
                "1 to 1000000000 points",
                self.price_collar_points.to_string(),
            ),
            ((1..=MAX_ORDER_RATE).contains(&self.max_orders), "max_orders", "1 to 1024", self.max_orders.to_string()),
            (
                [self.acknowledge_timeout, self.limit_time_to_live, self.exit_retry_pause]
                    .iter()
                    .all(|time| time.0 > 0),
                "acknowledge_timeout, limit_time_to_live, exit_retry_pause",
                "times above 0",
                format!("{}, {}, {}", self.acknowledge_timeout, self.limit_time_to_live, self.exit_retry_pause),
            ),
        ];
        match rules.into_iter().find(|(good, ..)| !good) {
            Some((_, field, expected, found)) => Err(OmsParamsError { field, expected, found }),
            None => Ok(()),
        }
    }
}

//! The `[guardian]` table: what is watched, how far it may go, and what happens then.
//!
//! Each condition is a table of its own with the same seven keys, so that a reader who knows one knows
//! all. A condition whose `action` is `ACTIVE` only reports: limits are tuned that way.

mod check;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::{Money, Qty, Span};
use crate::snapshot::Level;

use super::condition::Condition;
use super::day::{Basis, TimeOfDay, Zone};

/// How a breach is treated, whatever its limit is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// What a breach raises the level to.
    pub action: Level,
    /// How long it must last to count.
    pub hold: Span,
    /// How long it must be over to be over.
    pub clear: Span,
    /// How long after it counted it escalates; zero = never.
    pub escalate_after: Span,
    /// What it escalates to.
    pub escalate_to: Level,
}

/// Declares the table of one condition.
macro_rules! rule {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $value:expr,)*
        ; action: $action:ident, hold: $hold:expr, clear: $clear:expr, escalate: $after:expr => $to:ident
    }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// What a breach raises the level to: `ACTIVE` (only report), `REDUCE_ONLY`, `HALT` or `FLATTEN`.
            pub action: Level,
            /// A breach counts once it has lasted this long.
            pub hold: Span,
            /// A breach is over, and may be reported anew, once the value was within its limit this long.
            pub clear: Span,
            /// A breach that lasts this long after it counted raises the level further; `"0s"` is never.
            pub escalate_after: Span,
            /// What it raises the level to then.
            pub escalate_to: Level,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $value,)*
                    action: Level::$action,
                    hold: $hold,
                    clear: $clear,
                    escalate_after: $after,
                    escalate_to: Level::$to,
                }
            }
        }

        impl $name {
            const fn terms(&self) -> Terms {
                Terms {
                    action: self.action,
                    hold: self.hold,
                    clear: self.clear,
                    escalate_after: self.escalate_after,
                    escalate_to: self.escalate_to,
                }
            }
        }
    };
}

const NEVER: Span = Span::ZERO;
const MINUTE: Span = Span::seconds(60);

rule! {
    /// Loss of the day, realised and floating, against the day's reference.
    DailyLoss {
        /// Breached above this, percent of the reference.
        limit: Money = Money::whole(3),
        /// Reported above this, percent.
        warn: Money = Money::whole(2),
        ; action: Flatten, hold: Span::ZERO, clear: MINUTE, escalate: NEVER => Flatten
    }
}

rule! {
    /// Fall of the equity from the highest ever seen.
    Drawdown {
        /// Breached above this, percent of the peak.
        limit: Money = Money::whole(10),
        /// Reported above this, percent.
        warn: Money = Money::whole(7),
        ; action: Flatten, hold: Span::ZERO, clear: MINUTE, escalate: NEVER => Flatten
    }
}

rule! {
    /// Open lots over all instruments, by the venue or by the engine, whichever says more. Besides raising
    /// the level, the excess, and only the excess, is closed.
    OpenLots {
        /// Breached above this; a multiple of every lot step.
        limit: Qty = Qty::whole(20),
        ; action: Halt, hold: Span::ZERO, clear: Span::seconds(5), escalate: Span::seconds(30) => Flatten
    }
}

rule! {
    /// Engine and venue disagree about the equity.
    EquityDisagreement {
        /// Breached above this, percent of the venue's.
        limit: Money = Money::whole(1),
        ; action: ReduceOnly, hold: Span::seconds(5), clear: Span::seconds(10), escalate: MINUTE => Halt
    }
}

rule! {
    /// Engine and venue disagree about a position.
    PositionDisagreement {
        /// Breached above this, lots.
        limit: Qty = Qty::ZERO,
        ; action: ReduceOnly, hold: Span::seconds(3), clear: Span::seconds(5), escalate: Span::seconds(15) => Halt
    }
}

rule! {
    /// A hot thread of the engine does not go round any more.
    Heartbeat {
        /// Breached after this time without a step.
        limit: Span = Span::seconds(1),
        /// Reported after this time.
        warn: Span = Span::millis(250),
        /// The same, while the engine says that it is still starting.
        start_limit: Span = Span::seconds(60),
        ; action: Flatten, hold: Span::ZERO, clear: Span::seconds(5), escalate: NEVER => Flatten
    }
}

rule! {
    /// The engine has ended without saying so, or with a position open; or there is a position and no engine.
    EngineExit {
        /// A position without any engine counts after this time: the engine may be about to start.
        unattended: Span = Span::seconds(10),
        ; action: Flatten, hold: Span::ZERO, clear: Span::seconds(5), escalate: NEVER => Flatten
    }
}

rule! {
    /// The engine's page cannot be believed: torn, cut, deleted, overwritten, foreign, or from the future.
    Page {
        /// Breached after this time without one good read.
        limit: Span = Span::millis(20),
        ; action: Flatten, hold: Span::ZERO, clear: Span::seconds(5), escalate: NEVER => Flatten
    }
}

rule! {
    /// No market data frame while a position is open. Frames count, pings do not.
    MarketData {
        /// Breached after this time.
        limit: Span = Span::seconds(5),
        /// Reported after this time.
        warn: Span = Span::seconds(2),
        ; action: ReduceOnly, hold: Span::ZERO, clear: Span::seconds(5), escalate: MINUTE => Flatten
    }
}

rule! {
    /// Too many of the engine's orders are rejected.
    RejectRate {
        /// Breached above this many within the window.
        limit: u32 = 5,
        /// The window.
        window: Span = Span::seconds(10),
        ; action: Halt, hold: Span::ZERO, clear: Span::seconds(10), escalate: NEVER => Flatten
    }
}

rule! {
    /// The engine sends too many orders. One that goes on although it was told to stop, whatever the venue does with
    /// them, does not listen.
    OrderRate {
        /// Breached above this many within the window.
        limit: u32 = 30,
        /// The window.
        window: Span = Span::seconds(1),
        ; action: Halt, hold: Span::ZERO, clear: Span::seconds(10), escalate: Span::seconds(10) => Flatten
    }
}

rule! {
    /// The fate of an order is unknown.
    UnknownOrders {
        /// Breached when the oldest is unknown for longer than this.
        limit: Span = Span::seconds(10),
        /// Reported after this time.
        warn: Span = Span::seconds(4),
        ; action: ReduceOnly, hold: Span::ZERO, clear: Span::seconds(5), escalate: Span::seconds(30) => Halt
    }
}

rule! {
    /// The system's clock was stepped, or differs from the venue's. While it does no new day begins.
    Clock {
        /// Breached by a step larger than this between two looks.
        limit: Span = Span::millis(100),
        /// Breached when the venue's clock differs by more than this.
        venue_limit: Span = Span::seconds(5),
        ; action: ReduceOnly, hold: Span::ZERO, clear: Span::seconds(10), escalate: NEVER => Halt
    }
}

rule! {
    /// The disk that journal or latch are on is nearly full.
    Disk {
        /// Breached below this, mebibytes free.
        limit: u64 = 256,
        /// Reported below this, mebibytes free.
        warn: u64 = 1024,
        ; action: ReduceOnly, hold: Span::ZERO, clear: MINUTE, escalate: NEVER => Halt
    }
}

rule! {
    /// The guardian's own session with the venue does not answer.
    Venue {
        /// Breached after this time without one good read of the account.
        limit: Span = Span::seconds(10),
        /// Reported after this time.
        warn: Span = Span::seconds(4),
        ; action: ReduceOnly, hold: Span::ZERO, clear: Span::seconds(3), escalate: MINUTE => Halt
    }
}

rule! {
    /// Open lots grow at the venue although the engine was told to stop.
    Disobedience {
        /// Orders that were on their way count as obedience for this time after the level went up.
        grace: Span = Span::seconds(1),
        ; action: Flatten, hold: Span::ZERO, clear: MINUTE, escalate: NEVER => Flatten
    }
}

/// How the account is flattened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiquidationParams {
    /// The engine has this long to confirm that it has stopped; then it is killed.
    pub fence_timeout: Span,
    /// The first close may trade this far through the touch, percent of the price; each failure doubles it.
    pub first_slippage: Money,
    /// No close trades farther through the touch than this, percent of the price.
    pub widest_slippage: Money,
    /// A request that was not answered within this time has an unknown fate.
    pub request_timeout: Span,
    /// The venue refuses a request that reaches it later than this after it was signed.
    pub receive_window: Span,
    /// Time between the two reads that prove flat.
    pub confirm_pause: Span,
    /// An account that is not flat after this time makes the guardian shout; it goes on trying.
    pub bound: Span,
    /// What is left below this value, in the account's currency, is too small to sell and counts as flat.
    pub dust: Money,
    /// Whom to call when the account cannot be flattened: name and number of the broker's desk.
    pub desk: String,
}

impl Default for LiquidationParams {
    fn default() -> Self {
        Self {
            fence_timeout: Span::millis(200),
            first_slippage: Money::from_units(50_000_000),
            widest_slippage: Money::whole(5),
            request_timeout: Span::seconds(1),
            receive_window: Span::seconds(1),
            confirm_pause: Span::millis(200),
            bound: MINUTE,
            dust: Money::whole(10),
            desk: String::new(),
        }
    }
}

/// The whole table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardianParams {
    /// Folder of the shared memory pages; empty is one in `/dev/shm` that belongs to the user and to
    /// `live.state`. Engine and guardian find each other by it.
    pub shared_memory: PathBuf,
    /// Environment variable that holds the name of the guardian's own API key; empty: the engine's key is used.
    /// With a key of its own the guardian still acts when the venue has cut the engine off.
    pub api_key_env: String,
    /// Environment variable that holds its secret.
    pub secret_env: String,
    /// File that holds its secret instead; only its owner may read it.
    pub secret_file: Option<PathBuf>,
    /// The engine's page is looked at this often.
    pub look_every: Span,
    /// Look without sleeping: for an isolated core.
    pub spin: bool,
    /// The account is read at the venue this often.
    pub poll_every: Span,
    /// The venue's own dead-man switch, where it has one (futures): without a guardian, or without a healthy
    /// engine, the venue cancels all orders after this time. `"0s"` leaves it alone.
    pub dead_man: Span,
    /// Where a trading day begins, in its zone: `"00:00"`.
    pub day_start: TimeOfDay,
    /// `"UTC"`, `"America/New_York"`, `"Europe/London"`, or an offset such as `"+02:00"`.
    pub day_zone: Zone,
    /// What the day's reference is taken from: `"larger"` (of balance and equity), `"equity"` or `"balance"`.
    pub day_basis: Basis,
    /// See [`DailyLoss`].
    pub daily_loss: DailyLoss,
    /// See [`Drawdown`].
    pub drawdown: Drawdown,
    /// See [`OpenLots`].
    pub open_lots: OpenLots,
    /// See [`EquityDisagreement`].
    pub equity_disagreement: EquityDisagreement,
    /// See [`PositionDisagreement`].
    pub position_disagreement: PositionDisagreement,
    /// See [`Heartbeat`].
    pub heartbeat: Heartbeat,
    /// See [`EngineExit`].
    pub engine_exit: EngineExit,
    /// See [`Page`].
    pub page: Page,
    /// See [`MarketData`].
    pub market_data: MarketData,
    /// See [`RejectRate`].
    pub reject_rate: RejectRate,
    /// See [`OrderRate`].
    pub order_rate: OrderRate,
    /// See [`UnknownOrders`].
    pub unknown_orders: UnknownOrders,
    /// See [`Clock`].
    pub clock: Clock,
    /// See [`Disk`].
    pub disk: Disk,
    /// See [`Venue`].
    pub venue: Venue,
    /// See [`Disobedience`].
    pub disobedience: Disobedience,
    /// How the account is flattened.
    pub liquidation: LiquidationParams,
}

impl Default for GuardianParams {
    fn default() -> Self {
        Self {
            shared_memory: PathBuf::new(),
            api_key_env: String::new(),
            secret_env: String::new(),
            secret_file: None,
            look_every: Span::millis(1),
            spin: false,
            poll_every: Span::seconds(1),
            dead_man: MINUTE,
            day_start: TimeOfDay::default(),
            day_zone: Zone::default(),
            day_basis: Basis::default(),
            daily_loss: DailyLoss::default(),
            drawdown: Drawdown::default(),
            open_lots: OpenLots::default(),
            equity_disagreement: EquityDisagreement::default(),
            position_disagreement: PositionDisagreement::default(),
            heartbeat: Heartbeat::default(),
            engine_exit: EngineExit::default(),
            page: Page::default(),
            market_data: MarketData::default(),
            reject_rate: RejectRate::default(),
            order_rate: OrderRate::default(),
            unknown_orders: UnknownOrders::default(),
            clock: Clock::default(),
            disk: Disk::default(),
            venue: Venue::default(),
            disobedience: Disobedience::default(),
            liquidation: LiquidationParams::default(),
        }
    }
}

/// A parameter that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("guardian.{field}: expected {expected}, found {found}")]
pub struct GuardianParamsError {
    field: &'static str,
    expected: &'static str,
    found: String,
}

impl GuardianParams {
    /// How a breach of this condition is treated.
    pub const fn terms(&self, condition: Condition) -> Terms {
        match condition {
            Condition::DailyLoss => self.daily_loss.terms(),
            Condition::Drawdown => self.drawdown.terms(),
            Condition::OpenLots => self.open_lots.terms(),
            Condition::EquityDisagreement => self.equity_disagreement.terms(),
            Condition::PositionDisagreement => self.position_disagreement.terms(),
            Condition::Heartbeat => self.heartbeat.terms(),
            Condition::EngineExit => self.engine_exit.terms(),
            Condition::Page => self.page.terms(),
            Condition::MarketData => self.market_data.terms(),
            Condition::RejectRate => self.reject_rate.terms(),
            Condition::OrderRate => self.order_rate.terms(),
            Condition::UnknownOrders => self.unknown_orders.terms(),
            Condition::Clock => self.clock.terms(),
            Condition::Disk => self.disk.terms(),
            Condition::Venue => self.venue.terms(),
            Condition::Disobedience => self.disobedience.terms(),
            // An operator names the level; see `decide`.
            Condition::Operator => Terms {
                action: Level::Active,
                hold: Span::ZERO,
                clear: Span::ZERO,
                escalate_after: Span::ZERO,
                escalate_to: Level::Active,
            },
        }
    }

    /// The folder of the shared memory pages, for a session whose state is in `state`.
    pub fn page_folder(&self, state: &Path) -> PathBuf {
        if self.shared_memory.as_os_str().is_empty() {
            crate::snapshot::default_folder(state)
        } else {
            self.shared_memory.clone()
        }
    }
}

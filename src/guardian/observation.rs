//! What the guardian sees in one look. Everything that [`super::decide`] knows comes through here, so
//! that a test can show it anything.

use crate::core::{Money, Nanos, Qty, Span};
use crate::snapshot::{EngineState, EngineView, Level, MAX_INSTRUMENTS};

/// The engine, as far as it can be seen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum EngineSight<'a> {
    /// No page, and no engine was attached since the last one ended in good order.
    Absent,
    /// There is a page, or there was one, and it cannot be believed.
    Unreadable,
    /// A page of a living process. Rows are in the order of the guardian's instruments.
    Alive(&'a EngineView),
    /// The process that wrote the page has ended.
    Ended {
        /// It had published [`EngineState::Stopped`].
        in_good_order: bool,
    },
}

impl<'a> EngineSight<'a> {
    /// The view, when there is one to be believed.
    pub const fn view(&self) -> Option<&'a EngineView> {
        match self {
            Self::Alive(view) => Some(view),
            Self::Absent | Self::Unreadable | Self::Ended { .. } => None,
        }
    }

    /// The view, when the engine says that its numbers mean something.
    pub fn trading(&self) -> Option<&'a EngineView> {
        self.view().filter(|view| matches!(view.snapshot.state, EngineState::Running | EngineState::Stopping))
    }
}

/// So long after a read it is believed about money that may have been moved by its owner.
const PENDING_FOR: Span = Span::seconds(10);

/// One good read of the account at the venue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct VenueFacts {
    /// 1, 2, 3...: tells one read from the next.
    pub number: u64,
    /// CLOCK_MONOTONIC at which the read began: what happened later may not be in it.
    pub began_ns: u64,
    /// Equity, in the account's currency.
    pub equity: Money,
    /// Cash.
    pub balance: Money,
    /// Signed positions beyond the configured inventory, by instrument.
    pub positions: [Qty; MAX_INSTRUMENTS],
    /// Spot: less than this of an instrument is not worth closing, and an engine books it away. Zero elsewhere.
    pub dust: [Qty; MAX_INSTRUMENTS],
    /// Nothing of it is worth closing: every position is zero or too small to be sold.
    pub nothing_held: bool,
    /// Open orders that could open a position.
    pub entry_orders: u32,
    /// Deposits minus withdrawals since the account was first watched, as far as they can be told.
    pub transfers: Money,
    /// What of the cash is held for another deposit (or withdrawal, below zero) that is not certain yet: neither profit
    /// nor loss meanwhile.
    pub pending: Money,
    /// All of the cash is accounted for. Where it is not, the read is as good as any other for what is held; but no
    /// reference and no peak is taken from it.
    pub explained: bool,
    /// Venue's clock minus ours, nanoseconds, where the venue says.
    pub clock_ahead_ns: Option<i64>,
}

impl Default for VenueFacts {
    fn default() -> Self {
        Self {
            number: 0,
            began_ns: 0,
            equity: Money::ZERO,
            balance: Money::ZERO,
            positions: [Qty::ZERO; MAX_INSTRUMENTS],
            dust: [Qty::ZERO; MAX_INSTRUMENTS],
            nothing_held: true,
            entry_orders: 0,
            transfers: Money::ZERO,
            pending: Money::ZERO,
            explained: true,
            clock_ahead_ns: None,
        }
    }
}

impl VenueFacts {
    /// Lots open, long and short, over all instruments.
    pub fn open_lots(&self) -> Qty {
        Qty::from_units(self.positions.iter().fold(0i64, |sum, held| sum.saturating_add(held.abs().units())))
    }

    /// The equity by which a loss is judged: without what may be a deposit, with what may be a withdrawal.
    pub fn own_equity(&self, now_ns: u64) -> Money {
        self.equity.checked_sub(self.pending(now_ns)).unwrap_or(self.equity)
    }

    /// What is held for a deposit or withdrawal, while the read that said so is fresh: where the venue does not answer,
    /// a loss must not go on passing for one.
    pub fn pending(&self, now_ns: u64) -> Money {
        if now_ns.saturating_sub(self.began_ns) < PENDING_FOR.0 { self.pending } else { Money::ZERO }
    }

    /// Nothing held and nothing that could become a position.
    pub fn is_flat(&self) -> bool {
        self.entry_orders == 0 && self.nothing_held
    }
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The system's clock.
    pub utc: Nanos,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub monotonic_ns: u64,
    /// The engine.
    pub engine: EngineSight<'a>,
    /// Pid and session of the engine that is attached, mixed: another number is another engine.
    pub engine_number: u64,
    /// The last good read of the account; `None` before the first.
    pub venue: Option<&'a VenueFacts>,
    /// Bytes free where latch and journal are; `None` when the system does not say.
    pub disk_free: Option<u64>,
    /// What a person on this machine demands; never less than what is in force.
    pub demanded: Option<Level>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_passes_for_a_withdrawal_only_while_the_read_that_said_so_is_fresh() {
        let began_ns = 7_000_000_000;
        let (equity, pending) = (Money::whole(9_750), Money::whole(-250));
        let facts = VenueFacts { began_ns, equity, pending, ..VenueFacts::default() };
        let fresh = began_ns + PENDING_FOR.0 - 1;
        assert_eq!((facts.own_equity(fresh), facts.pending(fresh)), (Money::whole(10_000), pending));
        assert_eq!((facts.own_equity(fresh + 1), facts.pending(fresh + 1)), (equity, Money::ZERO));
    }
}

//! One instrument of a liquidation: what is held, the close on its way, and how the next one is priced.

use crate::core::{Instrument, Money, Price, Qty, SCALE, Side, Span};

use super::desk::CloseKind;
use super::params::LiquidationParams;

/// Shortest and longest pause after a failure.
const FIRST_PAUSE: Span = Span::millis(5);
const LONGEST_PAUSE: Span = Span::seconds(1);
/// A price older than this is asked for anew before the next try.
const TOUCH_LIFE: Span = Span::seconds(5);

/// A close on its way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) client_id: String,
    /// Ordered; zero where a guardian before us ordered it.
    pub(super) qty: Qty,
    pub(super) sent_ns: u64,
    pub(super) asked_ns: u64,
}

/// One instrument.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub(super) instrument: Instrument,
    pub(super) held: Qty,
    pub(super) touch: Option<(Price, Price, u64)>,
    /// Number of the next client id.
    pub(super) next: u32,
    /// Ids below `next` may exist at the venue from before a restart.
    pub(super) probing: bool,
    pub(super) failures: u32,
    /// A price from before this is from before the last failure.
    pub(super) failed_ns: u64,
    /// The last try by IOC was refused: try at the market.
    pub(super) at_market: bool,
    pub(super) pending: Option<Pending>,
    pub(super) not_before_ns: u64,
}

impl Leg {
    /// Nothing is known of it. `resumed`: a guardian before us may have sent closes.
    pub(super) fn new(instrument: &Instrument, resumed: bool) -> Self {
        Self {
            instrument: instrument.clone(),
            held: Qty::ZERO,
            touch: None,
            next: 1,
            probing: resumed,
            failures: 0,
            failed_ns: 0,
            at_market: false,
            pending: None,
            not_before_ns: 0,
        }
    }

    pub(super) fn failed(&mut self, now: u64) {
        self.failures += 1;
        self.failed_ns = now;
        self.not_before_ns = now + pause(self.failures).0;
    }

    pub(super) fn knows_price(&self, now: u64) -> bool {
        self.touch.is_some_and(|(_, _, at)| at > self.failed_ns && now.saturating_sub(at) < TOUCH_LIFE.0)
    }

    /// Too small to be sold: below the smallest lot, or worth next to nothing and refused.
    pub(super) fn is_dust(&self, dust: Money) -> bool {
        let held = self.held.abs();
        let value = self.touch.and_then(|(bid, _, _)| self.instrument.notional(bid, held));
        held < self.instrument.spec().min_lot || self.failures > 0 && value.is_some_and(|value| value < dust)
    }

    /// IOC through the touch by a distance that doubles with each failure, or the market.
    pub(super) fn kind(&self, side: Side, params: &LiquidationParams) -> CloseKind {
        let Some((bid, ask, _)) = self.touch.filter(|_| !self.at_market) else { return CloseKind::Market };
        let percent = params
            .first_slippage
            .units()
            .saturating_mul(1 << self.failures.min(20))
            .min(params.widest_slippage.units());
        let touch = if side == Side::Buy { ask } else { bid };
        let distance = i128::from(touch.units()) * i128::from(percent) / (100 * i128::from(SCALE));
        let raw = i128::from(touch.units()) + distance * i128::from(side.sign());
        let price = Price::from_units(i64::try_from(raw).unwrap_or(i64::MAX));
        let tick = self.instrument.spec().tick_size;
        // To the next tick farther through the touch.
        let on_tick = if side == Side::Buy { price.ceil_to(tick) } else { price.floor_to(tick) };
        on_tick.filter(|price| price.is_positive()).map_or(CloseKind::Market, CloseKind::Ioc)
    }
}

/// After so many failures in a row.
pub(super) fn pause(failures: u32) -> Span {
    Span((FIRST_PAUSE.0 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE.0))
}

//! The conditions: numbers that never change their meaning, and what each reads in one look.
//!
//! A reading is a value, its limit, and whether the limit is passed. What cannot be computed is
//! breached. How long a breach must last, and what follows, is not decided here.

use std::fmt;

use crate::core::{Money, Qty, SCALE, Span};
use crate::snapshot::{EngineState, MAX_INSTRUMENTS};

use super::decide::Guard;
use super::observation::{EngineSight, Observation, VenueFacts};
use super::params::GuardianParams;

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What is watched. A number is never used for anything else.
        #[repr(u8)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Condition { $($(#[$doc])* $name = $number,)* }

        impl Condition {
            /// Every condition; index + 1 is its number.
            pub const ALL: [Self; CONDITIONS] = [$(Self::$name,)*];

            /// As in events and documentation.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

/// How many there are.
pub const CONDITIONS: usize = 17;

conditions! {
    /// Loss of the day.
    DailyLoss = 1, "daily-loss";
    /// Fall from the highest equity.
    Drawdown = 2, "drawdown";
    /// Too many lots open.
    OpenLots = 3, "open-lots";
    /// Engine and venue name different equities.
    EquityDisagreement = 4, "equity-disagreement";
    /// Engine and venue name different positions.
    PositionDisagreement = 5, "position-disagreement";
    /// A hot thread hangs.
    Heartbeat = 6, "heartbeat";
    /// The engine is gone.
    EngineExit = 7, "engine-exit";
    /// The engine's page cannot be believed.
    Page = 8, "page";
    /// No market data with a position open.
    MarketData = 9, "market-data";
    /// Too many rejects.
    RejectRate = 10, "reject-rate";
    /// Too many orders.
    OrderRate = 11, "order-rate";
    /// An order whose fate is unknown.
    UnknownOrders = 12, "unknown-orders";
    /// The clock was stepped, or is not the venue's.
    Clock = 13, "clock";
    /// The disk is nearly full.
    Disk = 14, "disk";
    /// The guardian's own venue session does not answer.
    Venue = 15, "venue";
    /// The engine goes on although it was told to stop.
    Disobedience = 16, "disobedience";
    /// A person said so.
    Operator = 17, "operator";
}

impl Condition {
    /// The condition of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.name() == name)
    }

    /// As an index into [`Condition::ALL`].
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// True where a breach means that the engine can no longer be spoken to: it is fenced by force.
    pub const fn means_dead_engine(self) -> bool {
        matches!(self, Self::Heartbeat | Self::EngineExit | Self::Page)
    }
}

/// A value as a person reads it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Figure {
    /// Hundredths of the whole, in units of 1e-8.
    Percent(i64),
    /// Lots.
    Lots(Qty),
    /// A length of time.
    Time(Span),
    /// A count.
    Count(u64),
    /// Mebibytes.
    Mebibytes(u64),
    /// What no number says.
    Text(&'static str),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Two digits are enough for a person, and a hair above a limit must not read as the limit.
            Self::Percent(units) => write!(f, "{:.4} %", *units as f64 / SCALE as f64),
            Self::Lots(lots) => write!(f, "{lots} lots"),
            Self::Time(span) if span.0 == u64::MAX => f.write_str("for ever"),
            Self::Time(span) => write!(f, "{:.3} s", span.as_seconds()),
            Self::Count(count) => write!(f, "{count}"),
            Self::Mebibytes(count) => write!(f, "{count} MiB"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// How a value stands to its limits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// Within, or of no matter now.
    Fine,
    /// Beyond the warning.
    Warned,
    /// Beyond the limit, or cannot be computed.
    Breached,
}

/// What one condition reads.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reading {
    /// How it stands.
    pub standing: Standing,
    /// The value.
    pub value: Figure,
    /// What it is held to.
    pub limit: Figure,
}

impl Reading {
    pub(super) const fn fine() -> Self {
        Self { standing: Standing::Fine, value: Figure::Count(0), limit: Figure::Count(0) }
    }

    const fn when(breached: bool, warned: bool, value: Figure, limit: Figure) -> Self {
        let standing = match (breached, warned) {
            (true, _) => Standing::Breached,
            (false, true) => Standing::Warned,
            (false, false) => Standing::Fine,
        };
        Self { standing, value, limit }
    }

    const fn uncomputable(what: &'static str, limit: Figure) -> Self {
        Self { standing: Standing::Breached, value: Figure::Text(what), limit }
    }

    /// A time held to a limit and a warning.
    fn time(age: u64, warn: Span, limit: Span) -> Self {
        Self::when(age > limit.0, age > warn.0, Figure::Time(Span(age)), Figure::Time(limit))
    }
}

/// `part` beyond `percent` of `whole`, exactly; and `part` in percent of `whole` for display.
fn beyond(part: i128, whole: i64, percent: Money) -> bool {
    part * 100 * i128::from(SCALE) > i128::from(percent.units()) * i128::from(whole)
}

fn in_percent(part: i128, whole: i64) -> Figure {
    let units = (part * 100 * i128::from(SCALE)).checked_div(i128::from(whole)).unwrap_or(i128::MAX);
    Figure::Percent(units.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

impl Guard {
    /// The lower of what engine and venue say, as far as either says anything.
    fn worse_equity(&self, o: &Observation<'_>) -> Option<Money> {
        let (engine, venue) = (self.engine_equity(o), o.venue.map(|facts| facts.own_equity(o.monotonic_ns)));
        match (engine, venue) {
            (Some(engine), Some(venue)) => Some(engine.min(venue)),
            (one, other) => one.or(other),
        }
    }

    /// What every condition reads now; index as in [`Condition::ALL`].
    pub(super) fn readings(&self, p: &GuardianParams, o: &Observation<'_>) -> [Reading; CONDITIONS] {
        [
            self.daily_loss(p, o),
            self.drawdown(p, o),
            open_lots(p, o),
            self.equity_disagreement(p, o),
            position_disagreement(p, o),
            self.heartbeat(p, o),
            self.engine_exit(p, o),
            self.page(p, o),
            market_data(p, o),
            self.reject_rate(p, o),
            self.order_rate(p, o),
            unknown_orders(p, o),
            self.clock(p, o),
            disk(p, o),
            self.venue(p),
            self.disobedience(p, o),
            // Demands are taken up where levels are raised: a person names the level.
            Reading::fine(),
        ]
    }

    fn daily_loss(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let limit = Figure::Percent(p.daily_loss.limit.units());
        // Without a reference nothing may be opened at all; there is nothing to lose yet.
        let (Some(reference), Some(equity)) = (self.ledger().reference(), self.worse_equity(o)) else {
            return Reading::fine();
        };
        if !reference.is_positive() {
            return Reading::uncomputable("a reference that is not positive", limit);
        }
        let loss = i128::from(reference.units()) - i128::from(equity.units());
        let over = |percent| beyond(loss, reference.units(), percent);
        Reading::when(over(p.daily_loss.limit), over(p.daily_loss.warn), in_percent(loss, reference.units()), limit)
    }

    fn drawdown(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let limit = Figure::Percent(p.drawdown.limit.units());
        let (Some(peak), Some(equity)) = (self.ledger().peak(), self.worse_equity(o)) else { return Reading::fine() };
        if !peak.is_positive() {
            return Reading::uncomputable("a peak that is not positive", limit);
        }
        let fall = i128::from(peak.units()) - i128::from(equity.units());
        let over = |percent| beyond(fall, peak.units(), percent);
        Reading::when(over(p.drawdown.limit), over(p.drawdown.warn), in_percent(fall, peak.units()), limit)
    }

    fn equity_disagreement(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let limit = p.equity_disagreement.limit;
        let (Some(engine), Some(facts)) = (self.engine_equity(o), o.venue) else { return Reading::fine() };
        let venue = facts.own_equity(o.monotonic_ns).units();
        let apart = (i128::from(engine.units()) - i128::from(venue)).abs();
        let whole = venue.saturating_abs();
        Reading::when(beyond(apart, whole, limit), false, in_percent(apart, whole), Figure::Percent(limit.units()))
    }

    fn heartbeat(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let Some(view) = o.engine.view() else { return Reading::fine() };
        let age = self.sight.oldest_step(view.threads);
        match view.snapshot.state {
            EngineState::Starting => Reading::time(age, p.heartbeat.start_limit, p.heartbeat.start_limit),
            // Ended in good order but not yet gone: nothing steps any more, and nothing has to.
            EngineState::Stopped => Reading::fine(),
            EngineState::Running | EngineState::Stopping => Reading::time(age, p.heartbeat.warn, p.heartbeat.limit),
        }
    }

    fn engine_exit(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let age = self.sight.unattended_ns;
        let unattended = age > p.engine_exit.unattended.0;
        // One that starts takes up what it finds, but not for ever.
        let never_started = age > p.heartbeat.start_limit.0.saturating_add(p.engine_exit.unattended.0);
        let what = match (o.engine, o.engine.view().map(|view| view.snapshot.state)) {
            (EngineSight::Ended { in_good_order: false }, _) => "ended without saying so",
            (EngineSight::Ended { in_good_order: true }, _) if unattended => "ended with a position or an order open",
            (EngineSight::Absent, _) if unattended => "a position or an order open, and no engine",
            (_, Some(EngineState::Stopped)) if unattended => "stopped with a position or an order open",
            (_, Some(EngineState::Starting)) if never_started => {
                "a position or an order open, and an engine that only starts"
            }
            _ => return Reading::fine(),
        };
        Reading::uncomputable(what, Figure::Text("an engine that attends its position"))
    }

    fn page(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let from_the_future = |ns: u64| ns > o.monotonic_ns.saturating_add(Span::seconds(1).0);
        if o.engine.view().is_some_and(|view| from_the_future(view.snapshot.published_ns)) {
            return Reading::uncomputable("a snapshot from the future", Figure::Time(p.page.limit));
        }
        Reading::time(self.sight.unreadable_ns, p.page.limit, p.page.limit)
    }

    fn reject_rate(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let Some(view) = o.engine.view() else { return Reading::fine() };
        count(self.sight.rejects.within(view.snapshot.rejects), p.reject_rate.limit)
    }

    fn order_rate(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let Some(view) = o.engine.view() else { return Reading::fine() };
        count(self.sight.orders.within(view.snapshot.orders), p.order_rate.limit)
    }

    fn clock(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let limit = Figure::Time(p.clock.limit);
        if self.sight.step_ns > p.clock.limit.0 {
            return Reading::uncomputable("the system's clock was stepped", limit);
        }
        let ahead = o.venue.and_then(|facts| facts.clock_ahead_ns).map_or(0, i64::unsigned_abs);
        Reading::time(ahead, p.clock.venue_limit, p.clock.venue_limit)
    }

    fn venue(&self, p: &GuardianParams) -> Reading {
        Reading::time(self.sight.venue_silent_ns, p.venue.warn, p.venue.limit)
    }

    fn disobedience(&self, p: &GuardianParams, o: &Observation<'_>) -> Reading {
        let (Some(halted), Some(facts)) = (self.halted_ns(), o.venue) else { return Reading::fine() };
        let counts = facts.began_ns >= halted.saturating_add(p.disobedience.grace.0);
        match self.sight.lots_since_halt {
            Some(least) if counts => {
                Reading::when(facts.open_lots() > least, false, Figure::Lots(facts.open_lots()), Figure::Lots(least))
            }
            _ => Reading::fine(),
        }
    }
}

fn open_lots(p: &GuardianParams, o: &Observation<'_>) -> Reading {
    let limit = p.open_lots.limit;
    let engine = o.engine.trading().map_or(Qty::ZERO, |view| view.snapshot.open_lots);
    let open = o.venue.map_or(Qty::ZERO, VenueFacts::open_lots).max(engine);
    // A negative sum of magnitudes is none.
    if engine < Qty::ZERO {
        return Reading::uncomputable("negative lots", Figure::Lots(limit));
    }
    Reading::when(open > limit, false, Figure::Lots(open), Figure::Lots(limit))
}

fn position_disagreement(p: &GuardianParams, o: &Observation<'_>) -> Reading {
    let limit = p.position_disagreement.limit;
    let (Some(view), Some(facts)) = (o.engine.trading(), o.venue) else { return Reading::fine() };
    let apart = (0..MAX_INSTRUMENTS).map(|index| {
        let engine = i128::from(view.snapshot.instruments[index].position.units());
        let apart = (engine - i128::from(facts.positions[index].units())).unsigned_abs();
        // Less than can be sold the engine books away.
        if apart < u128::from(facts.dust[index].units().unsigned_abs()) { 0 } else { apart }
    });
    let largest = Qty::from_units(i64::try_from(apart.max().unwrap_or(0)).unwrap_or(i64::MAX));
    Reading::when(largest > limit, false, Figure::Lots(largest), Figure::Lots(limit))
}

fn market_data(p: &GuardianParams, o: &Observation<'_>) -> Reading {
    let Some(view) = o.engine.trading() else { return Reading::fine() };
    let held = |index: usize| {
        let at_venue = o.venue.is_some_and(|facts| {
            let held = facts.positions[index].abs();
            held.is_positive() && held >= facts.dust[index]
        });
        at_venue || !view.snapshot.instruments[index].position.is_zero()
    };
    let age = |index: usize| match view.snapshot.instruments[index].market_ns {
        0 => u64::MAX,
        // From the future: damage, not freshness.
        at if at > o.monotonic_ns.saturating_add(Span::seconds(1).0) => u64::MAX,
        at => o.monotonic_ns.saturating_sub(at),
    };
    let oldest = (0..MAX_INSTRUMENTS).filter(|index| held(*index)).map(age).max().unwrap_or(0);
    Reading::time(oldest, p.market_data.warn, p.market_data.limit)
}

fn unknown_orders(p: &GuardianParams, o: &Observation<'_>) -> Reading {
    let Some(view) = o.engine.view() else { return Reading::fine() };
    let snapshot = &view.snapshot;
    let age = match (snapshot.unknown_orders, snapshot.oldest_unknown_ns) {
        (0, _) => 0,
        (_, 0) => u64::MAX,
        (_, since) => o.monotonic_ns.saturating_sub(since),
    };
    Reading::time(age, p.unknown_orders.warn, p.unknown_orders.limit)
}

fn disk(p: &GuardianParams, o: &Observation<'_>) -> Reading {
    let Some(own) = o.disk_free else {
        return Reading::uncomputable("a disk that does not answer", Figure::Mebibytes(p.disk.limit));
    };
    let free = o.engine.view().map_or(own, |view| own.min(view.snapshot.disk_free)) >> 20;
    Reading::when(free < p.disk.limit, free < p.disk.warn, Figure::Mebibytes(free), Figure::Mebibytes(p.disk.limit))
}

fn count(found: u64, limit: u32) -> Reading {
    Reading::when(found > u64::from(limit), false, Figure::Count(found), Figure::Count(u64::from(limit)))
}

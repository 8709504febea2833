//! What to do: `(state, observation) -> (state, actions)`, without I/O, clock, or randomness.
//!
//! Setup: [`Guard::new`] with what the disk remembers. Then [`Guard::step`] once a look. Invariants, each
//! with a property test: the level never falls by itself; a latched guard says so in every view; entries
//! are allowed only at ACTIVE with a saved reference; no action opens a position.
//!
//! Actions come in the order in which they are to be done: the latch before the fence, the fence before
//! the liquidation, all of that before anybody is told.

use crate::core::{Money, Span};
use crate::snapshot::{GuardianView, Level};

use super::condition::{CONDITIONS, Condition, Reading, Standing};
use super::day::{Basis, day_number};
use super::ledger::{Day, Ledger};
use super::observation::{EngineSight, Observation, VenueFacts};
use super::params::GuardianParams;
use super::sight::Sight;

/// An excess that only the engine's page shows is asked for again after this time. A read of the account, which shows
/// whether there is one, comes sooner; and each time costs the venue's limit as much as several reads.
const ASK_AGAIN: Span = Span::seconds(5);

/// What the account is to be brought to. Later ones include earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Goal {
    /// Open lots at the maximum: the excess, and only the excess, is closed.
    Excess,
    /// The same, and no entry orders.
    Halt,
    /// No orders, no positions.
    Flat,
}

impl Goal {
    const fn at(level: Level) -> Option<Self> {
        match level {
            Level::Active | Level::ReduceOnly => None,
            Level::Halt => Some(Self::Halt),
            Level::Flatten => Some(Self::Flat),
        }
    }
}

/// Something worth telling.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Report {
    /// A warning threshold was passed.
    Warned(Condition, Reading),
    /// A breach counts.
    Breached(Condition, Reading),
    /// A breach is over.
    Cleared(Condition),
    /// The level went up.
    Raised {
        /// From this.
        from: Level,
        /// To this.
        to: Level,
        /// Because of this.
        condition: Condition,
    },
    /// A new day has its reference.
    DayOpened(Day),
    /// A deposit or withdrawal moved the reference by this much.
    CashMoved(Money),
}

/// Something to be done.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action {
    /// Write the latch to disk.
    Latch {
        /// Its number.
        latch: u64,
        /// The level it stands for.
        level: Level,
        /// What raised it.
        condition: Condition,
        /// With this value.
        reading: Reading,
    },
    /// Set the kill word and see to it that the engine sends nothing any more.
    Fence {
        /// Do not ask, kill: the engine has shown that it does not listen, or cannot.
        by_force: bool,
    },
    /// Bring the account to this goal.
    Liquidate(Goal),
    /// Save the ledger, then call [`Guard::saved`].
    Save,
    /// Tell.
    Tell(Report),
}

/// What a condition has been through.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    breached_ns: u64,
    fine_ns: u64,
    counted: bool,
    counted_ns: u64,
    escalated: bool,
    warned: bool,
}

/// The guardian's mind.
#[derive(Clone, Debug)]
pub struct Guard {
    params: GuardianParams,
    ledger: Ledger,
    latch: u64,
    reason: u64,
    watches: [Watch; CONDITIONS],
    pub(super) sight: Sight,
    halted_ns: Option<u64>,
    asked_ns: Option<u64>,
    seen_read: u64,
    unsaved: bool,
    /// The engine that was seen last; 0 = none yet.
    engine: u64,
    venue_equity: Money,
    resumed: bool,
}

impl Guard {
    /// A guard that remembers. `latched` is the level of the latch on disk; an unreadable latch is
    /// [`Level::Flatten`].
    pub fn new(params: &GuardianParams, ledger: Ledger, latched: Option<Level>) -> Self {
        let mut ledger = ledger;
        ledger.level = ledger.level.max(latched.unwrap_or(Level::Active));
        ledger.latches = ledger.latches.max(u64::from(latched.is_some()));
        let latch = if latched.is_some() || ledger.level.latches() { ledger.latches.max(1) } else { 0 };
        ledger.latches = ledger.latches.max(latch);
        Self {
            params: params.clone(),
            ledger,
            latch,
            reason: 0,
            watches: [Watch::default(); CONDITIONS],
            sight: Sight::default(),
            halted_ns: None,
            asked_ns: None,
            seen_read: 0,
            unsaved: false,
            engine: 0,
            venue_equity: Money::ZERO,
            resumed: false,
        }
    }

    /// The condition of the latch that this guard begins with: it was told before.
    pub fn already_told(&mut self, condition: Condition) {
        self.watches[condition.index()].counted = true;
        self.reason = condition as u64;
    }

    /// One look: what was seen, and what is to be done about it, appended to `actions` in order.
    pub fn step(&mut self, o: &Observation<'_>, actions: &mut Vec<Action>) {
        let gap = self.sight.advance(&self.params, o, self.halted_ns);
        self.resume(o, actions);
        if let Some(facts) = o.venue.filter(|facts| facts.number != self.seen_read) {
            self.take_read(facts, o, actions);
        }
        self.settle_unbooked(o);
        let readings = self.readings(&self.params, o);
        for (condition, reading) in Condition::ALL.into_iter().zip(readings) {
            self.weigh(condition, reading, gap, o, actions);
        }
        if let Some(demanded) = o.demanded.filter(|level| *level > self.ledger.level) {
            let reading = Reading::fine();
            actions.push(Action::Tell(Report::Breached(Condition::Operator, reading)));
            self.raise(demanded, Condition::Operator, reading, o, actions);
        }
        self.pursue(o, &readings, actions);
        self.seen_read = o.venue.map_or(0, |facts| facts.number);
        if self.unsaved && !actions.contains(&Action::Save) {
            actions.push(Action::Save);
        }
    }

    /// A guardian that starts latched takes up what its predecessor may not have finished.
    fn resume(&mut self, o: &Observation<'_>, actions: &mut Vec<Action>) {
        if self.resumed {
            return;
        }
        self.resumed = true;
        if let Some(goal) = Goal::at(self.ledger.level) {
            self.halted_ns = Some(o.monotonic_ns);
            if goal == Goal::Flat {
                actions.push(Action::Fence { by_force: false });
            }
            self.ask(goal, o, actions);
        }
    }

    /// A new read of the account: the day, the reference, the peak.
    fn take_read(&mut self, facts: &VenueFacts, o: &Observation<'_>, actions: &mut Vec<Action>) {
        self.venue_equity = facts.equity;
        self.take_transfers(facts, actions);
        // What may be a deposit makes neither a peak nor a reference: it would count twice, once it is one.
        if !facts.explained {
            return;
        }
        self.open_day(facts, o, actions);
        // Only the venue makes a peak: an engine that dreams must not make a drawdown.
        if self.ledger.peak.is_none_or(|peak| facts.equity > peak) && facts.equity.is_positive() {
            self.ledger.peak = Some(facts.equity);
            self.unsaved = true;
        }
    }

    fn take_transfers(&mut self, facts: &VenueFacts, actions: &mut Vec<Action>) {
        let Some(known) = self.ledger.transfers else {
            // It was counted against no reference of ours.
            (self.ledger.transfers, self.unsaved) = (Some(facts.transfers), true);
            return;
        };
        let moved = facts.transfers.checked_sub(known);
        let Some(moved) = moved.filter(|moved| !moved.is_zero()) else { return };
        self.ledger.transfers = Some(facts.transfers);
        self.unsaved = true;
        self.ledger.unbooked = self.ledger.unbooked.checked_add(moved).unwrap_or(Money::ZERO);
        let Some(day) = &mut self.ledger.day else { return };
        let Some(reference) = day.reference.checked_add(moved) else { return };
        day.reference = reference;
        self.ledger.peak = self.ledger.peak.and_then(|peak| peak.checked_add(moved));
        actions.push(Action::Tell(Report::CashMoved(moved)));
    }

    /// Has the engine booked what was moved by now? Its equity is then nearer to the venue's than it would be
    /// with the difference. An engine books a deposit when it is flat; until then its equity must not be measured
    /// against a reference that has moved.
    fn settle_unbooked(&mut self, o: &Observation<'_>) {
        let gone = matches!(o.engine, EngineSight::Absent | EngineSight::Ended { .. });
        let seen = o.engine.view().map_or(self.engine, |_| o.engine_number);
        let before = std::mem::replace(&mut self.engine, seen);
        let another = before != 0 && before != seen;
        // A page that cannot be read for a moment is still this engine's; the next engine begins with what the venue
        // says.
        let booked = gone
            || match (o.engine.trading(), o.venue) {
                (Some(view), Some(facts)) => {
                    is_nearer(view.snapshot.equity, facts.own_equity(o.monotonic_ns), self.ledger.unbooked)
                }
                _ => false,
            };
        if (booked || another) && !self.ledger.unbooked.is_zero() {
            (self.ledger.unbooked, self.unsaved) = (Money::ZERO, true);
        }
    }

    /// The engine's equity as the venue's is judged: with what was moved and it has not booked yet, without what it
    /// has booked and is not certain yet.
    pub(super) fn engine_equity(&self, o: &Observation<'_>) -> Option<Money> {
        let booked = o.engine.trading()?.snapshot.equity;
        let equity = booked.checked_add(self.ledger.unbooked).unwrap_or(booked);
        let now = o.monotonic_ns;
        let ahead = o.venue.filter(|facts| !facts.pending(now).is_zero()).filter(|facts| {
            let behind = Money::ZERO.checked_sub(facts.pending(now)).unwrap_or(Money::ZERO);
            !is_nearer(equity, facts.own_equity(now), behind)
        });
        Some(ahead.and_then(|facts| equity.checked_sub(facts.pending(now))).unwrap_or(equity))
    }

    /// Takes the reference from the first read that began in a later day than the ledger's, while the
    /// clock is beyond doubt.
    fn open_day(&mut self, facts: &VenueFacts, o: &Observation<'_>, actions: &mut Vec<Action>) {
        let p = &self.params;
        let clock = &self.watches[Condition::Clock.index()];
        let in_doubt = clock.counted || self.readings(p, o)[Condition::Clock.index()].standing == Standing::Breached;
        let age = Span(o.monotonic_ns.saturating_sub(facts.began_ns));
        let read_at = crate::core::Nanos(o.utc.0.saturating_sub(age.0));
        let today = day_number(read_at, p.day_start, p.day_zone);
        if in_doubt || self.ledger.day.is_some_and(|day| today <= day.number) {
            return;
        }
        let reference = match p.day_basis {
            Basis::Larger => facts.balance.max(facts.equity),
            Basis::Equity => facts.equity,
            Basis::Balance => facts.balance,
        };
        if !reference.is_positive() {
            return;
        }
        let day = Day { number: today, reference };
        self.ledger.day = Some(day);
        self.unsaved = true;
        actions.push(Action::Tell(Report::DayOpened(day)));
    }

    /// One condition's reading: does it count, is it over, does it escalate?
    fn weigh(
        &mut self,
        condition: Condition,
        reading: Reading,
        gap: u64,
        o: &Observation<'_>,
        actions: &mut Vec<Action>,
    ) {
        let terms = self.params.terms(condition);
        let watch = &mut self.watches[condition.index()];
        let age = |age: &mut u64, yes: bool| *age = if yes { age.saturating_add(gap) } else { 0 };
        let breached = reading.standing == Standing::Breached;
        // The first look of a breach is its beginning: it has lasted no time yet.
        let had_begun = watch.breached_ns > 0 || watch.counted;
        age(&mut watch.breached_ns, breached && had_begun);
        if breached && !had_begun {
            watch.breached_ns = 1;
        }
        age(&mut watch.fine_ns, reading.standing == Standing::Fine);
        if reading.standing == Standing::Warned && !watch.warned && !watch.counted {
            watch.warned = true;
            actions.push(Action::Tell(Report::Warned(condition, reading)));
        }
        if watch.counted {
            watch.counted_ns = watch.counted_ns.saturating_add(gap);
        }
        let mut raise_to = None;
        if breached && !watch.counted && watch.breached_ns >= terms.hold.0 {
            (watch.counted, watch.counted_ns, watch.escalated) = (true, 0, false);
            raise_to = Some(terms.action);
            if condition == Condition::OpenLots {
                // A new excess does not wait because an old one was asked about a moment ago.
                self.asked_ns = None;
            }
            actions.push(Action::Tell(Report::Breached(condition, reading)));
        } else if breached && watch.counted && !watch.escalated && terms.escalate_after.0 > 0 {
            if watch.counted_ns >= terms.escalate_after.0 {
                watch.escalated = true;
                raise_to = Some(terms.escalate_to);
            }
        } else if reading.standing == Standing::Fine
            && watch.fine_ns >= terms.clear.0
            && (watch.counted || watch.warned)
        {
            if watch.counted {
                actions.push(Action::Tell(Report::Cleared(condition)));
            }
            *watch = Watch::default();
        }
        if let Some(level) = raise_to {
            self.raise(level, condition, reading, o, actions);
        }
    }

    /// Raises the level; a level that is not above the present one changes nothing but is still enforced.
    fn raise(
        &mut self,
        to: Level,
        condition: Condition,
        reading: Reading,
        o: &Observation<'_>,
        actions: &mut Vec<Action>,
    ) {
        let from = self.ledger.level;
        // What is told of a breach comes after what is done about it.
        let told_from = actions.iter().position(|action| matches!(action, Action::Tell(_))).unwrap_or(actions.len());
        let told: Vec<Action> = actions.drain(told_from..).collect();
        if to > from {
            self.ledger.level = to;
            self.reason = condition as u64;
            self.unsaved = true;
        }
        let by_force = condition == Condition::Disobedience || condition.means_dead_engine();
        if to.latches() && to > from {
            if self.latch == 0 {
                self.ledger.latches += 1;
                self.latch = self.ledger.latches;
            }
            actions.push(Action::Latch { latch: self.latch, level: to, condition, reading });
            self.halted_ns.get_or_insert(o.monotonic_ns);
        }
        if to.latches() && (by_force || to == Level::Flatten && to > from) {
            actions.push(Action::Fence { by_force });
        }
        if let Some(goal) = Goal::at(to).filter(|_| to > from || by_force) {
            self.ask(goal, o, actions);
        }
        actions.extend(told);
        if to > from {
            actions.push(Action::Tell(Report::Raised { from, to, condition }));
        }
    }

    /// What the level demands and the last look shows not to be so, is asked for again.
    fn pursue(&mut self, o: &Observation<'_>, readings: &[Reading; CONDITIONS], actions: &mut Vec<Action>) {
        let lots = &self.watches[Condition::OpenLots.index()];
        let excess = lots.counted && readings[Condition::OpenLots.index()].standing == Standing::Breached;
        let new_read = o.venue.filter(|facts| facts.number != self.seen_read);
        if actions.iter().any(|action| matches!(action, Action::Liquidate(_))) {
            return;
        }
        // What a new read shows is asked for at once; what only the engine's page shows, now and then.
        let shown = new_read.is_some_and(|facts| facts.open_lots() > self.params.open_lots.limit);
        let asked_before = self.asked_ns.is_some_and(|at| o.monotonic_ns.saturating_sub(at) < ASK_AGAIN.0);
        let goal = match (self.ledger.level, new_read) {
            (Level::Flatten, Some(facts)) if !facts.is_flat() => Some(Goal::Flat),
            (Level::Halt, Some(facts)) if facts.entry_orders > 0 => Some(Goal::Halt),
            _ if excess && self.params.open_lots.action > Level::Active && (shown || !asked_before) => {
                Some(Goal::Excess)
            }
            _ => None,
        };
        if let Some(goal) = goal {
            self.ask(goal, o, actions);
        }
    }

    fn ask(&mut self, goal: Goal, o: &Observation<'_>, actions: &mut Vec<Action>) {
        self.asked_ns = Some(o.monotonic_ns);
        actions.push(Action::Liquidate(goal));
    }

    /// The ledger is on disk as it stands.
    pub fn saved(&mut self) {
        self.unsaved = false;
    }

    /// A person has cleared the latch. With `new_reference` the losses so far are accepted: day and peak
    /// begin anew with the next read.
    pub fn reset(&mut self, new_reference: bool) {
        self.ledger.level = Level::Active;
        if new_reference {
            (self.ledger.day, self.ledger.peak) = (None, None);
        }
        (self.latch, self.reason, self.halted_ns, self.asked_ns) = (0, 0, None, None);
        self.watches = [Watch::default(); CONDITIONS];
        self.sight = Sight::default();
        self.unsaved = true;
    }

    /// What the engine is told; heartbeat and its time are the caller's.
    pub fn view(&self) -> GuardianView {
        let silent = self.sight.venue_silent_ns > self.params.venue.limit.0;
        GuardianView {
            heartbeat: 0,
            heartbeat_ns: 0,
            level: self.ledger.level,
            entries_allowed: self.ledger.level == Level::Active
                && self.ledger.day.is_some()
                && !self.unsaved
                && !silent
                && self.seen_read > 0,
            latch: self.latch,
            reason: self.reason,
            venue_equity: self.venue_equity,
            day_reference: self.ledger.reference().unwrap_or(Money::ZERO),
            peak_equity: self.ledger.peak.unwrap_or(Money::ZERO),
        }
    }

    /// What must survive.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The level in force.
    pub const fn level(&self) -> Level {
        self.ledger.level
    }

    /// The number of the latch; 0 = not latched.
    pub const fn latch(&self) -> u64 {
        self.latch
    }

    /// CLOCK_MONOTONIC since which the engine should have stopped.
    pub(super) const fn halted_ns(&self) -> Option<u64> {
        self.halted_ns
    }
}

/// Whether an equity as it is, is at least as near to another as it would be with this added.
fn is_nearer(equity: Money, other: Money, added: Money) -> bool {
    let apart = i128::from(other.units()) - i128::from(equity.units());
    apart.abs() <= (apart - i128::from(added.units())).abs()
}

//! What holds whatever the guard is shown.

use pawl::core::{Money, Qty};
use pawl::guardian::liquidation::excess;
use pawl::guardian::{Action, Goal, GuardianParams, Level, VenueFacts};
use proptest::prelude::*;

use super::world::{MS, World, guard};

/// One bend of the world.
#[derive(Clone, Debug)]
enum Bend {
    Pass(u16),
    Jump(i64),
    EngineEquity(i64),
    VenueEquity(i64),
    Hold(usize, i64),
    EngineLots(i64),
    Entries(u32),
    Unreadable(bool),
    Ended(Option<bool>),
    Orders(u64),
    Unknown(u64),
    Disk(Option<u64>),
    NoVenue,
    Demand(Level),
    Stuck,
}

fn bend() -> impl Strategy<Value = Bend> {
    let level = prop::sample::select(&Level::ALL[..]);
    prop_oneof![
        8 => (1u16..3000).prop_map(Bend::Pass),
        1 => (-200_000i64..200_000).prop_map(Bend::Jump),
        2 => (8_000i64..12_000).prop_map(Bend::EngineEquity),
        2 => (8_000i64..12_000).prop_map(Bend::VenueEquity),
        4 => (0usize..3, -30i64..30).prop_map(|(at, lots)| Bend::Hold(at, lots)),
        1 => (-5i64..40).prop_map(Bend::EngineLots),
        1 => (0u32..3).prop_map(Bend::Entries),
        1 => any::<bool>().prop_map(Bend::Unreadable),
        1 => any::<Option<bool>>().prop_map(Bend::Ended),
        1 => (0u64..50).prop_map(Bend::Orders),
        1 => any::<u64>().prop_map(Bend::Unknown),
        1 => any::<Option<u64>>().prop_map(Bend::Disk),
        1 => Just(Bend::NoVenue),
        1 => level.prop_map(Bend::Demand),
        1 => Just(Bend::Stuck),
    ]
}

impl World {
    fn bent(&mut self, bend: &Bend) {
        match *bend {
            Bend::Pass(_) | Bend::Stuck => {}
            Bend::Jump(millis) => self.utc = self.utc.saturating_add_signed(millis * MS as i64),
            Bend::EngineEquity(equity) => self.engine().snapshot.equity = Money::whole(equity),
            Bend::VenueEquity(equity) => {
                if let Some(facts) = &mut self.venue {
                    facts.equity = Money::whole(equity);
                }
            }
            Bend::Hold(at, lots) => {
                if let Some(facts) = &mut self.venue {
                    facts.positions[at] = Qty::whole(lots);
                    facts.nothing_held = facts.positions.iter().all(|held| held.is_zero());
                }
            }
            Bend::EngineLots(lots) => self.engine().snapshot.open_lots = Qty::whole(lots),
            Bend::Entries(count) => {
                if let Some(facts) = &mut self.venue {
                    facts.entry_orders = count;
                }
            }
            Bend::Unreadable(yes) => self.unreadable = yes,
            Bend::Ended(how) => self.ended = how,
            Bend::Orders(count) => self.engine().snapshot.orders = count,
            Bend::Unknown(since) => {
                self.engine().snapshot.unknown_orders = since % 2;
                self.engine().snapshot.oldest_unknown_ns = since;
            }
            Bend::Disk(free) => self.disk = free,
            Bend::NoVenue => self.venue = if self.venue.is_some() { None } else { Some(VenueFacts::default()) },
            Bend::Demand(level) => self.demanded = Some(level),
        }
    }

    /// Does at the venue what a perfect liquidation would, and says what it closed.
    fn liquidate(&mut self, goal: Goal, most: Qty) -> (Qty, Qty) {
        let Some(facts) = &mut self.venue else { return (Qty::ZERO, Qty::ZERO) };
        let before = facts.open_lots();
        let part = if goal == Goal::Flat { Qty::ZERO } else { most };
        let close = excess(&facts.positions, part);
        for (held, close) in facts.positions.iter_mut().zip(close) {
            *held = Qty::from_units(held.units() - close.units() * held.units().signum());
        }
        facts.nothing_held = facts.positions.iter().all(|held| held.is_zero());
        if goal > Goal::Excess {
            facts.entry_orders = 0;
        }
        (before, facts.open_lots())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_seen_the_promises_hold(bends in prop::collection::vec(bend(), 1..60)) {
        let params = GuardianParams::default();
        let most = params.open_lots.limit;
        let (mut world, mut guard) = (World::new(), guard());
        let (mut level, mut latch) = (Level::Active, 0);
        for bend in bends {
            world.bent(&bend);
            let looks = if let Bend::Pass(millis) = bend { u32::from(millis) / 10 + 1 } else { 1 };
            for _ in 0..looks {
                let stuck = world.engine.unwrap().progress;
                world.tick(10 * MS);
                if matches!(bend, Bend::Stuck) {
                    world.engine().progress = stuck;
                }
                world.read();
                let actions = world.look(&mut guard);
                // Never un-latches, never falls.
                prop_assert!(guard.level() >= level && guard.latch() >= latch);
                prop_assert!(guard.level().latches() == (guard.latch() != 0), "a latching level has a latch");
                (level, latch) = (guard.level(), guard.latch());
                // The latch comes first, the fence before the liquidation, telling last.
                let rank = |action: &Action| match action {
                    Action::Latch { .. } => 0,
                    Action::Fence { .. } => 1,
                    Action::Liquidate(_) => 2,
                    Action::Tell(_) | Action::Save => 3,
                };
                let latched_at = actions.iter().position(|action| rank(action) == 0);
                let flat_at = actions.iter().position(|action| *action == Action::Liquidate(Goal::Flat));
                if let (Some(latched), Some(flat)) = (latched_at, flat_at) {
                    prop_assert!(latched < flat && actions[..flat].iter().any(|action| rank(action) == 1), "{:?}", actions);
                }
                // Entries are allowed in the best of worlds only.
                let view = guard.view();
                if view.entries_allowed {
                    prop_assert!(view.level == Level::Active && view.day_reference.is_positive());
                }
                for action in &actions {
                    if let Action::Liquidate(goal) = action {
                        let (before, after) = world.liquidate(*goal, most);
                        // A fat finger costs its excess and no more.
                        prop_assert!(*goal == Goal::Flat || after == before.min(most));
                    }
                }
                // By the end of the look nothing above the maximum is left standing at the venue.
                if let Some(facts) = &world.venue {
                    prop_assert!(facts.open_lots() <= most, "{} lots after {:?}", facts.open_lots(), actions);
                    prop_assert!(level < Level::Flatten || facts.is_flat(), "not flat at FLATTEN: {:?}", actions);
                    prop_assert!(level < Level::Halt || facts.entry_orders == 0);
                }
            }
        }
    }
}

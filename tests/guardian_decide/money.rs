//! Losses, falls, and what they are measured against.

use pawl::core::time::{DAY, SECOND};
use pawl::core::{Money, Nanos, Span};
use pawl::guardian::decide::Report;
use pawl::guardian::{Action, Condition, Goal, Guard, GuardianParams, Level};

use super::world::{MS, NOON, World, breached, money, settled};

#[test]
fn a_loss_of_exactly_the_limit_passes_and_one_unit_more_flattens_in_the_right_order() {
    for by_engine in [true, false] {
        let mut world = World::new();
        let mut guard = settled(&mut world);
        let set = |world: &mut World, equity: &str| {
            if by_engine {
                world.engine().snapshot.equity = money(equity);
            } else {
                world.venue().equity = money(equity);
            }
        };
        set(&mut world, "9700");
        let actions = world.look(&mut guard);
        assert_eq!(breached(&actions), [], "exactly 3 %");
        assert!(matches!(actions[..], [Action::Tell(Report::Warned(Condition::DailyLoss, _))]), "{actions:?}");
        set(&mut world, "9699.99999999");
        let actions = world.look(&mut guard);
        let order: Vec<&str> = actions
            .iter()
            .map(|action| match action {
                Action::Latch { latch: 1, level: Level::Flatten, condition: Condition::DailyLoss, .. } => "latch",
                Action::Fence { by_force: false } => "fence",
                Action::Liquidate(Goal::Flat) => "liquidate",
                Action::Tell(Report::Breached(Condition::DailyLoss, _)) => "told",
                Action::Tell(Report::Raised { from: Level::Active, to: Level::Flatten, .. }) => "raised",
                Action::Save => "save",
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(order, ["latch", "fence", "liquidate", "told", "raised", "save"], "by engine: {by_engine}");
        assert_eq!((guard.level(), guard.latch()), (Level::Flatten, 1));
        set(&mut world, "10000");
        let calm = world.pass(&mut guard, Span::seconds(300));
        assert_eq!(guard.level(), Level::Flatten, "only a person lowers it");
        assert!(!calm.iter().any(|action| matches!(action, Action::Latch { .. } | Action::Fence { .. })));
    }
}

#[test]
fn an_equity_that_cannot_be_computed_is_the_worst() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.engine().snapshot.equity = Money::from_units(i64::MIN);
    let found = breached(&world.look(&mut guard));
    assert!(found.contains(&Condition::DailyLoss) && found.contains(&Condition::Drawdown));
}

#[test]
fn a_fall_from_the_peak_counts_over_days() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    // A peak of 12,000, then 2.5 % down on each of the following days.
    let mut equity = Money::whole(12_000);
    for _ in 0..30 {
        world.utc += DAY;
        world.mono += DAY;
        (world.venue().equity, world.venue().balance, world.engine().snapshot.equity) = (equity, equity, equity);
        // A day is a long look away: nobody else is to be blamed for it.
        world.tick(10 * MS);
        world.read();
        let actions = world.look(&mut guard);
        if equity < money("10800") {
            assert_eq!(breached(&actions), [Condition::Drawdown], "{equity}");
            break;
        }
        assert_eq!(breached(&actions), [], "{equity}");
        equity = Money::from_units(equity.units() / 1000 * 975);
    }
    assert!(equity < money("10800"), "never fell far enough");
}

#[test]
fn the_reference_is_the_days_first_read_and_a_restart_keeps_it() {
    let mut world = World::new();
    world.venue().equity = Money::whole(9_900);
    let guard = settled(&mut world);
    let reference = |guard: &Guard| guard.ledger().day.unwrap().reference;
    assert_eq!(reference(&guard), Money::whole(10_000), "the larger of balance and equity");
    (world.venue().equity, world.venue().balance) = (Money::whole(9_750), Money::whole(9_750));
    world.engine().snapshot.equity = Money::whole(9_750);
    let mut again = Guard::new(&GuardianParams::default(), *guard.ledger(), None);
    world.pass(&mut again, Span::seconds(5));
    assert_eq!(reference(&again), Money::whole(10_000));
    // Midnight comes by itself.
    let midnight = (NOON / DAY + 1) * DAY;
    let mut opened = None;
    while world.utc < midnight + 10 * SECOND {
        let near = world.utc > midnight - 10 * SECOND;
        world.tick(if near { 10 * MS } else { 5 * SECOND });
        if !near {
            world.read();
        }
        if world.look(&mut again).iter().any(|action| matches!(action, Action::Tell(Report::DayOpened(_)))) {
            opened = Some(world.utc);
        }
    }
    let opened = opened.expect("a new day");
    assert!(opened >= midnight && opened <= midnight + SECOND + 10 * MS, "{}", Nanos(opened));
    assert_eq!(reference(&again), Money::whole(9_750));
}

#[test]
fn deposits_and_withdrawals_are_neither_profit_nor_loss() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let mut move_cash = |world: &mut World, equity: i64, total: i64| {
        (world.venue().equity, world.venue().balance) = (Money::whole(equity), Money::whole(equity));
        world.engine().snapshot.equity = Money::whole(equity);
        world.venue().transfers = Money::whole(total);
        world.read();
        breached(&world.look(&mut guard))
    };
    assert_eq!(move_cash(&mut world, 5_000, -5_000), [], "half is withdrawn");
    assert_eq!(move_cash(&mut world, 4_850, -5_000), [], "3 % of what is left");
    assert_eq!(move_cash(&mut world, 14_850, 5_000), [], "a deposit does not make a peak");
    assert_eq!(guard.ledger().day.unwrap().reference, Money::whole(15_000));
    let mut world2 = world.clone();
    world2.venue().equity = money("14549.99999999");
    world2.read();
    assert_eq!(breached(&world2.look(&mut guard)), [Condition::DailyLoss]);
}

#[test]
fn a_deposit_that_the_engine_has_not_booked_yet_is_no_loss() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let mut see = |world: &mut World, engine: &str, venue: &str, transfers: i64| {
        world.engine().snapshot.equity = money(engine);
        (world.venue().equity, world.venue().balance) = (money(venue), money(venue));
        world.venue().transfers = Money::whole(transfers);
        world.read();
        let actions = world.pass(&mut guard, Span::seconds(10));
        (breached(&actions), guard.level())
    };
    let calm = (vec![], Level::Active);
    // The engine holds something, so that it books a deposit later: until then it is behind.
    assert_eq!(see(&mut world, "10000", "15000", 5_000), calm);
    assert_eq!(see(&mut world, "9900", "14900", 5_000), calm, "a small loss before it is booked");
    assert_eq!(see(&mut world, "14900", "14900", 5_000), calm, "booked");
    assert_eq!(see(&mut world, "14900", "12900", 3_000), calm, "withdrawn, and not booked");
    assert_eq!(see(&mut world, "12900", "12900", 3_000), calm, "booked");
    // A loss that the engine sees first counts, booked or not.
    let (breaches, level) = see(&mut world, "12609.99", "12900", 3_000);
    assert_eq!((breaches[0], level), (Condition::DailyLoss, Level::Flatten));
}

#[test]
fn a_loss_beside_a_deposit_that_is_not_booked_counts() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    (world.venue().equity, world.venue().balance) = (money("15000"), money("15000"));
    world.venue().transfers = Money::whole(5_000);
    world.read();
    assert_eq!(breached(&world.look(&mut guard)), []);
    // 3 % of 15,000, and one unit more, by the engine's page alone.
    world.engine().snapshot.equity = money("9550");
    assert_eq!(breached(&world.look(&mut guard)), []);
    world.engine().snapshot.equity = money("9549.99999999");
    assert_eq!(breached(&world.look(&mut guard)), [Condition::DailyLoss]);
}

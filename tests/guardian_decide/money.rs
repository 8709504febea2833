//! Losses, falls, and what they are measured against.

use pawl::core::time::{DAY, SECOND};
use pawl::core::{Money, Nanos, Span};
use pawl::guardian::decide::Report;
use pawl::guardian::ledger::Ledger;
use pawl::guardian::{Action, Condition, Goal, Guard, GuardianParams, Level};
use pawl::snapshot::EngineState;

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
fn what_may_be_a_deposit_makes_no_peak_and_no_day_and_counts_once() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let day = guard.ledger().day.unwrap();
    // A thousand came, and the venue does not say yet from where.
    let bend = |world: &mut World, pending: i64, transfers: i64| {
        (world.venue().equity, world.venue().balance) = (Money::whole(11_000), Money::whole(11_000));
        (world.venue().pending, world.venue().transfers) = (Money::whole(pending), Money::whole(transfers));
        world.venue().explained = pending == 0;
    };
    bend(&mut world, 1_000, 0);
    world.utc += DAY;
    world.mono += DAY;
    world.tick(10 * MS);
    world.read();
    assert_eq!(breached(&world.look(&mut guard)), []);
    world.pass(&mut guard, Span::seconds(3));
    assert_eq!((guard.ledger().peak, guard.ledger().day), (Some(Money::whole(10_000)), Some(day)));
    bend(&mut world, 0, 1_000);
    let actions = world.pass(&mut guard, Span::seconds(3));
    assert!(actions.contains(&Action::Tell(Report::CashMoved(Money::whole(1_000)))), "{actions:?}");
    let ledger = guard.ledger();
    assert_eq!((ledger.peak, ledger.reference()), (Some(Money::whole(11_000)), Some(Money::whole(11_000))));
    assert_eq!(ledger.day.unwrap().number, day.number + 1);
}

#[test]
fn a_withdrawal_that_is_not_certain_yet_is_no_loss_and_hides_none() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let mut see = |world: &mut World, engine: &str, venue: &str, pending: i64, transfers: i64| {
        world.engine().snapshot.equity = money(engine);
        (world.venue().equity, world.venue().balance) = (money(venue), money(venue));
        (world.venue().pending, world.venue().transfers) = (Money::whole(pending), Money::whole(transfers));
        world.venue().explained = pending == 0;
        world.read();
        breached(&world.pass(&mut guard, Span::seconds(7)))
    };
    assert_eq!(see(&mut world, "10000", "5000", -5_000, 0), [], "nobody knows, and the engine has not booked it");
    assert_eq!(see(&mut world, "5000", "5000", -5_000, 0), [], "the engine has");
    assert_eq!(see(&mut world, "4850", "4850", -5_000, 0), [], "1.5 % lost beside it");
    assert_eq!(see(&mut world, "4850", "4850", 0, -5_000), [], "it was one: 3 % of what is left");
    let breaches = see(&mut world, "1850", "1849.99", -3_000, -5_000);
    assert_eq!(breaches.first(), Some(&Condition::DailyLoss), "another, and a hair more is lost");
}

#[test]
fn what_the_engine_has_not_booked_is_remembered_over_a_bad_look_and_a_restart() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    (world.venue().equity, world.venue().balance) = (Money::whole(15_000), Money::whole(15_000));
    world.venue().transfers = Money::whole(5_000);
    world.read();
    assert_eq!(breached(&world.look(&mut guard)), []);
    // A moment in which the page cannot be read.
    world.unreadable = true;
    world.tick(10 * MS);
    assert_eq!(breached(&world.look(&mut guard)), []);
    world.unreadable = false;
    world.tick(10 * MS);
    assert_eq!(breached(&world.look(&mut guard)), []);
    let mut again = Guard::new(&GuardianParams::default(), *guard.ledger(), None);
    assert_eq!(breached(&world.pass(&mut again, Span::seconds(3))), []);
    assert_eq!(again.ledger().unbooked, Money::whole(5_000));
    // Another engine begins with what the venue says.
    world.number += 1;
    world.engine().snapshot.state = EngineState::Starting;
    world.tick(10 * MS);
    world.look(&mut again);
    assert_eq!(again.ledger().unbooked, Money::ZERO);
}

#[test]
fn a_ledger_that_does_not_know_what_was_counted_is_not_moved_by_it() {
    let mut world = World::new();
    let guard = settled(&mut world);
    let old = Ledger { transfers: None, ..*guard.ledger() };
    let mut again = Guard::new(&GuardianParams::default(), old, None);
    world.venue().transfers = Money::whole(700);
    let actions = world.pass(&mut again, Span::seconds(3));
    assert!(!actions.iter().any(|action| matches!(action, Action::Tell(Report::CashMoved(_)))), "{actions:?}");
    assert_eq!(again.ledger().reference(), Some(Money::whole(10_000)));
    world.venue().transfers = Money::whole(800);
    world.pass(&mut again, Span::seconds(3));
    assert_eq!(again.ledger().reference(), Some(Money::whole(10_100)));
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

//! Levels go up by themselves and down by a person.

use pawl::core::{Money, Span};
use pawl::guardian::ledger::Ledger;
use pawl::guardian::{Action, Condition, Goal, Guard, GuardianParams, Level};

use super::world::{MS, World, breached, settled};

#[test]
fn a_halted_engine_whose_lots_grow_is_killed_and_flattened() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.hold(1);
    world.demanded = Some(Level::Halt);
    world.look(&mut guard);
    assert_eq!(guard.level(), Level::Halt);
    world.hold(2);
    assert_eq!(breached(&world.pass(&mut guard, Span::millis(900))), [], "it was on its way");
    world.pass(&mut guard, Span::seconds(3));
    assert_eq!(guard.level(), Level::Halt);
    world.hold(3);
    let actions = world.pass(&mut guard, Span::seconds(2));
    assert!(breached(&actions).contains(&Condition::Disobedience), "{actions:?}");
    assert!(actions.contains(&Action::Fence { by_force: true }));
    assert_eq!(guard.level(), Level::Flatten);
}

#[test]
fn an_account_whose_cash_never_stands_still_is_seen_all_the_same() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.hold(1);
    world.venue().explained = false;
    world.demanded = Some(Level::Halt);
    world.look(&mut guard);
    world.pass(&mut guard, Span::seconds(3));
    assert_eq!(guard.level(), Level::Halt);
    world.hold(2);
    let actions = world.pass(&mut guard, Span::seconds(2));
    assert!(breached(&actions).contains(&Condition::Disobedience), "{actions:?}");
    assert_eq!(guard.level(), Level::Flatten);
}

#[test]
fn a_guardian_that_starts_latched_takes_up_the_work() {
    for (level, expected) in [(Level::Flatten, Goal::Flat), (Level::Halt, Goal::Halt)] {
        let mut world = World::new();
        let mut guard = Guard::new(&GuardianParams::default(), Ledger::default(), Some(level));
        let actions = world.look(&mut guard);
        assert!(actions.contains(&Action::Liquidate(expected)), "{actions:?}");
        assert_eq!(actions.contains(&Action::Fence { by_force: false }), level == Level::Flatten);
        assert!(guard.latch() > 0 && !guard.view().entries_allowed);
    }
}

#[test]
fn only_a_reset_lowers_the_level_and_the_same_loss_latches_again() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.engine().snapshot.equity = Money::whole(9_000);
    world.look(&mut guard);
    guard.reset(false);
    assert_eq!((guard.level(), guard.latch()), (Level::Active, 0));
    world.tick(10 * MS);
    world.look(&mut guard);
    assert_eq!((guard.level(), guard.latch()), (Level::Flatten, 2), "the loss is still there");
    guard.reset(true);
    (world.venue().equity, world.venue().balance) = (Money::whole(9_000), Money::whole(9_000));
    world.pass(&mut guard, Span::seconds(3));
    assert_eq!(guard.level(), Level::Active, "accepted");
    assert!(guard.view().entries_allowed);
}

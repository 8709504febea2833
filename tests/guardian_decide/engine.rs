//! What the engine shows, does and fails to do.

use pawl::core::time::SECOND;
use pawl::core::{Qty, Span};
use pawl::guardian::ledger::Ledger;
use pawl::guardian::{Action, Condition, Goal, Guard, GuardianParams, Level};
use pawl::snapshot::EngineState;

use super::world::{MS, World, breached, guard, settled};

#[test]
fn too_many_lots_halt_and_the_excess_is_asked_for_until_it_is_gone() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.hold(20);
    world.read();
    assert_eq!(breached(&world.look(&mut guard)), [], "exactly the maximum");
    // By an order the engine never sent: only the venue knows.
    world.tick(10 * MS);
    world.venue().positions[1] = Qty::from_units(-1);
    world.read();
    let actions = world.look(&mut guard);
    assert_eq!(breached(&actions), [Condition::OpenLots]);
    assert!(actions.contains(&Action::Liquidate(Goal::Halt)) && guard.level() == Level::Halt);
    assert!(!actions.iter().any(|action| matches!(action, Action::Fence { .. })), "exits go on");
    let again = world.pass(&mut guard, Span::seconds(1));
    let asked = again.iter().filter(|action| matches!(action, Action::Liquidate(_))).count();
    assert!((1..=2).contains(&asked), "once with every read, found {asked}");
    world.venue().positions[1] = Qty::ZERO;
    world.read();
    world.look(&mut guard);
    let calm = world.pass(&mut guard, Span::seconds(1));
    assert!(!calm.iter().any(|action| matches!(action, Action::Liquidate(_))));
}

#[test]
fn an_excess_that_only_the_page_shows_is_asked_for_at_once_and_then_now_and_then() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.engine().snapshot.open_lots = Qty::whole(21);
    world.tick(10 * MS);
    assert!(world.look(&mut guard).contains(&Action::Liquidate(Goal::Halt)));
    let again = world.pass(&mut guard, Span::seconds(10));
    let asked = again.iter().filter(|action| matches!(action, Action::Liquidate(_))).count();
    assert!((1..=2).contains(&asked), "each costs the venue's limit as much as several reads, found {asked}");
}

#[test]
fn a_second_fat_finger_a_moment_after_the_first_is_closed_at_once() {
    let mut params = GuardianParams::default();
    (params.open_lots.action, params.open_lots.clear) = (Level::ReduceOnly, Span::millis(1));
    let (mut world, mut guard) = (World::new(), Guard::new(&params, Ledger::default(), None));
    world.pass(&mut guard, Span::seconds(3));
    for _ in 0..3 {
        world.engine().snapshot.open_lots = Qty::whole(21);
        world.tick(10 * MS);
        assert!(world.look(&mut guard).contains(&Action::Liquidate(Goal::Excess)));
        world.engine().snapshot.open_lots = Qty::whole(20);
        world.pass(&mut guard, Span::millis(30));
    }
}

#[test]
fn one_hung_thread_of_two_is_a_dead_engine_and_is_fenced_by_force() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let stuck = world.engine().progress[1];
    let mut found = Vec::new();
    let start = world.mono;
    while found.is_empty() && world.mono < start + 3 * SECOND {
        world.tick(10 * MS);
        world.engine().progress[1] = stuck;
        let actions = world.look(&mut guard);
        if breached(&actions) == [Condition::Heartbeat] {
            assert!(actions.contains(&Action::Fence { by_force: true }), "{actions:?}");
            assert!(actions.contains(&Action::Liquidate(Goal::Flat)));
            found.push(world.mono - start);
        }
    }
    assert!(found[0] > SECOND && found[0] <= SECOND + 20 * MS, "{found:?}");
}

#[test]
fn a_guardian_that_was_stopped_itself_blames_nobody() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.hold(1);
    for _ in 0..5 {
        // Ten seconds in which nothing was looked at; the engine's page shows it moved.
        world.tick(10 * SECOND);
        world.read();
        assert_eq!(breached(&world.look(&mut guard)), []);
    }
}

#[test]
fn an_engine_that_ends_is_judged_by_how_and_with_what() {
    for (in_good_order, lots, expected) in [(false, 0, true), (false, 1, true), (true, 1, true), (true, 0, false)] {
        let mut world = World::new();
        let mut guard = settled(&mut world);
        world.hold(lots);
        world.read();
        world.look(&mut guard);
        world.ended = Some(in_good_order);
        let actions = world.pass(&mut guard, Span::seconds(20));
        let found = breached(&actions).contains(&Condition::EngineExit);
        assert_eq!(found, expected, "in good order {in_good_order}, lots {lots}: {actions:?}");
        assert_eq!(guard.level() == Level::Flatten, expected);
    }
}

#[test]
fn a_position_without_any_engine_is_flattened_after_a_while_and_a_flat_account_is_left_alone() {
    let mut world = World::new();
    world.engine = None;
    let mut guard = guard();
    world.pass(&mut guard, Span::seconds(60));
    assert_eq!(guard.level(), Level::Active);
    world.venue().positions[0] = Qty::whole(1);
    world.venue().nothing_held = false;
    let actions = world.pass(&mut guard, Span::seconds(9));
    assert_eq!(breached(&actions), [], "an engine may be about to start");
    let actions = world.pass(&mut guard, Span::seconds(4));
    assert_eq!(breached(&actions), [Condition::EngineExit]);
}

#[test]
fn an_engine_that_has_stopped_or_only_starts_attends_nothing() {
    for (state, limit) in [(EngineState::Stopped, 10), (EngineState::Starting, 70)] {
        let mut world = World::new();
        let mut guard = settled(&mut world);
        world.engine().snapshot.state = state;
        assert_eq!(breached(&world.pass(&mut guard, Span::seconds(100))), [], "{state:?}, and nothing is open");
        world.hold(1);
        world.read();
        assert_eq!(breached(&world.pass(&mut guard, Span::seconds(limit - 1))), [], "{state:?}");
        let actions = world.pass(&mut guard, Span::seconds(3));
        assert_eq!(breached(&actions), [Condition::EngineExit], "{state:?}");
        assert!(actions.contains(&Action::Fence { by_force: true }) && guard.level() == Level::Flatten);
    }
    // One that comes to run in time has taken the position up.
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.engine().snapshot.state = EngineState::Starting;
    world.hold(1);
    world.read();
    world.pass(&mut guard, Span::seconds(60));
    world.engine().snapshot.state = EngineState::Running;
    assert_eq!(breached(&world.pass(&mut guard, Span::seconds(60))), []);
}

#[test]
fn a_page_that_cannot_be_read_is_a_dead_engine() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.unreadable = true;
    world.tick(10 * MS);
    assert_eq!(breached(&world.look(&mut guard)), [], "a moment is forgiven");
    let actions = world.pass(&mut guard, Span::millis(30));
    assert_eq!(breached(&actions), [Condition::Page]);
    assert!(actions.contains(&Action::Fence { by_force: true }));
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.tick(10 * MS);
    world.engine().snapshot.published_ns = world.mono + 2 * SECOND;
    assert_eq!(breached(&world.look(&mut guard)), [Condition::Page], "from the future");
}

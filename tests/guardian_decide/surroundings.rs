//! Market data, rates, the venue, the clock, the disk.

use pawl::core::time::DAY;
use pawl::core::{Money, Qty, Span};
use pawl::guardian::decide::Report;
use pawl::guardian::{Action, Condition, Guard, GuardianParams, Level};

use super::world::{MS, World, breached, money, settled};

#[test]
fn stale_market_data_matters_while_something_is_held_and_escalates() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let stale = |world: &mut World, guard: &mut Guard, at: u64, span: Span| {
        let mut actions = Vec::new();
        let until = world.mono + span.0;
        while world.mono < until {
            world.tick(10 * MS);
            // Another instrument still ticks: the one that is held does not.
            world.engine().snapshot.instruments[0].market_ns = at;
            actions.extend(world.look(guard));
        }
        actions
    };
    let at = world.mono;
    assert_eq!(breached(&stale(&mut world, &mut guard, at, Span::seconds(20))), [], "flat");
    world.hold(1);
    world.read();
    let at = world.mono;
    let actions = stale(&mut world, &mut guard, at, Span::seconds(5));
    assert_eq!(breached(&actions), []);
    let actions = stale(&mut world, &mut guard, at, Span::seconds(1));
    assert_eq!((breached(&actions), guard.level()), (vec![Condition::MarketData], Level::ReduceOnly));
    let actions = stale(&mut world, &mut guard, at, Span::seconds(61));
    assert_eq!(guard.level(), Level::Flatten, "{actions:?}");
}

#[test]
fn rates_are_counted_within_their_windows() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.engine().snapshot.orders += 30;
    world.engine().snapshot.rejects += 5;
    world.tick(10 * MS);
    assert_eq!(breached(&world.look(&mut guard)), []);
    world.engine().snapshot.orders += 1;
    world.tick(10 * MS);
    assert_eq!(breached(&world.look(&mut guard)), [Condition::OrderRate]);
    assert_eq!(guard.level(), Level::Halt);
    world.engine().snapshot.rejects += 1;
    world.tick(10 * MS);
    assert_eq!(breached(&world.look(&mut guard)), [Condition::RejectRate]);
    // One a second is fine for ever; and a new engine begins at zero.
    let mut world = World::new();
    let mut guard = settled(&mut world);
    for _ in 0..60 {
        world.engine().snapshot.orders += 1;
        assert_eq!(breached(&world.pass(&mut guard, Span::seconds(1))), []);
    }
    (world.engine().snapshot.orders, world.number) = (0, 8);
    world.tick(10 * MS);
    assert_eq!(breached(&world.look(&mut guard)), []);
    world.tick(10 * MS);
    world.engine().snapshot.orders = u64::MAX;
    assert_eq!(breached(&world.look(&mut guard)), [Condition::OrderRate], "a counter that runs backward is damage");
}

#[test]
fn an_engine_that_goes_on_sending_although_it_was_halted_is_flattened_whatever_becomes_of_its_orders() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let flood = |guard: &mut _, world: &mut World, tenths: u32| {
        for _ in 0..tenths {
            world.engine().snapshot.orders += 10;
            world.pass(guard, Span::millis(100));
        }
    };
    flood(&mut guard, &mut world, 50);
    assert_eq!(guard.level(), Level::Halt);
    flood(&mut guard, &mut world, 100);
    assert_eq!(guard.level(), Level::Flatten);
    // One that stops when it is told to is left alone.
    let (mut world, mut guard) = {
        let mut world = World::new();
        let guard = settled(&mut world);
        (world, guard)
    };
    flood(&mut guard, &mut world, 50);
    world.pass(&mut guard, Span::seconds(60));
    assert_eq!(guard.level(), Level::Halt);
}

#[test]
fn unknown_orders_disk_and_venue_stop_entries() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.engine().snapshot.unknown_orders = 1;
    world.engine().snapshot.oldest_unknown_ns = world.mono;
    assert_eq!(breached(&world.pass(&mut guard, Span::seconds(10))), []);
    assert_eq!(breached(&world.pass(&mut guard, Span::millis(20))), [Condition::UnknownOrders]);
    assert_eq!(guard.level(), Level::ReduceOnly);

    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.disk = Some(256 << 20);
    assert_eq!(breached(&world.look(&mut guard)), []);
    world.disk = Some((256 << 20) - 1);
    assert_eq!(breached(&world.look(&mut guard)), [Condition::Disk]);

    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.disk = None;
    assert_eq!(breached(&world.look(&mut guard)), [Condition::Disk], "what cannot be computed is breached");

    let mut world = World::new();
    let mut guard = settled(&mut world);
    let frozen = *world.venue();
    let mut actions = Vec::new();
    for _ in 0..1100 {
        world.tick(10 * MS);
        world.venue = Some(frozen);
        actions.extend(world.look(&mut guard));
    }
    assert_eq!(breached(&actions), [Condition::Venue]);
    assert!(guard.level() == Level::ReduceOnly && !guard.view().entries_allowed);
}

#[test]
fn engine_and_venue_must_agree() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.hold(2);
    world.engine().snapshot.instruments[0].position = Qty::whole(1);
    let actions = world.pass(&mut guard, Span::seconds(4));
    assert_eq!((breached(&actions), guard.level()), (vec![Condition::PositionDisagreement], Level::ReduceOnly));
    let mut world = World::new();
    let mut guard = settled(&mut world);
    world.engine().snapshot.equity = money("10100");
    assert_eq!(breached(&world.pass(&mut guard, Span::seconds(7))), [], "exactly 1 %");
    world.engine().snapshot.equity = money("10100.00000001");
    let actions = world.pass(&mut guard, Span::seconds(7));
    assert_eq!((breached(&actions), guard.level()), (vec![Condition::EquityDisagreement], Level::ReduceOnly));
}

#[test]
fn what_is_too_small_to_be_sold_is_no_disagreement() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    // A spot engine books away what is left of a position below the smallest order; the venue still has it.
    let least = Qty::from_units(10_000);
    world.venue().dust[0] = least;
    world.venue().positions[0] = Qty::from_units(least.units() - 1);
    assert_eq!(breached(&world.pass(&mut guard, Span::seconds(60))), []);
    world.venue().positions[0] = least;
    let actions = world.pass(&mut guard, Span::seconds(5));
    assert_eq!((breached(&actions), guard.level()), (vec![Condition::PositionDisagreement], Level::ReduceOnly));
}

#[test]
fn a_step_of_the_clock_opens_no_day_and_is_over_when_the_venue_agrees() {
    let mut world = World::new();
    let mut guard = settled(&mut world);
    let reference = guard.ledger().day;
    (world.venue().equity, world.venue().balance) = (Money::whole(9_800), Money::whole(9_800));
    world.engine().snapshot.equity = Money::whole(9_800);
    world.utc += DAY;
    world.venue().clock_ahead_ns = Some(-(DAY as i64));
    world.tick(10 * MS);
    world.read();
    assert_eq!(breached(&world.look(&mut guard)), [Condition::Clock]);
    world.pass(&mut guard, Span::seconds(5));
    assert_eq!(guard.ledger().day, reference, "a fresh 3 % would have been given away");
    assert_eq!(guard.level(), Level::ReduceOnly);
    // A guardian that is started anew under the wrong clock knows no better day either.
    let mut second = Guard::new(&GuardianParams::default(), *guard.ledger(), None);
    world.pass(&mut second, Span::seconds(5));
    assert_eq!(second.ledger().day, reference);
    // Put right: the venue agrees again.
    world.utc -= DAY;
    world.venue().clock_ahead_ns = Some(0);
    let actions = world.pass(&mut guard, Span::seconds(30));
    assert!(actions.contains(&Action::Tell(Report::Cleared(Condition::Clock))), "{actions:?}");
    assert_eq!(guard.ledger().day, reference);
}

//! What the guardian decides, driven without a process: every condition at its limit and one unit beyond,
//! and the properties that hold whatever it is shown.

use pawl::core::time::{DAY, SECOND};
use pawl::core::{Money, Nanos, Qty, Span};
use pawl::guardian::decide::Report;
use pawl::guardian::ledger::Ledger;
use pawl::guardian::liquidation::excess;
use pawl::guardian::{Action, Condition, EngineSight, Goal, Guard, GuardianParams, Level, Observation, VenueFacts};
use pawl::snapshot::{EngineState, EngineView, MAX_HOT_THREADS, Snapshot};
use proptest::prelude::*;

const MS: u64 = 1_000_000;
/// Noon, 2026-01-05 UTC.
const NOON: u64 = 1_767_614_400 * SECOND;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// A world that the guard looks at; every field can be bent.
#[derive(Clone)]
struct World {
    utc: u64,
    mono: u64,
    engine: Option<EngineView>,
    ended: Option<bool>,
    unreadable: bool,
    number: u64,
    venue: Option<VenueFacts>,
    disk: Option<u64>,
    demanded: Option<Level>,
}

impl World {
    /// A healthy engine, flat, with ten thousand.
    fn new() -> Self {
        let snapshot = Snapshot {
            state: EngineState::Running,
            equity: Money::whole(10_000),
            balance: Money::whole(10_000),
            ..Snapshot::default()
        };
        let view = EngineView {
            sequence: 2,
            snapshot,
            instruments: 3,
            progress: [0; MAX_HOT_THREADS],
            threads: 2,
            kill_acknowledged: 0,
        };
        let venue = VenueFacts {
            equity: Money::whole(10_000),
            balance: Money::whole(10_000),
            clock_ahead_ns: Some(0),
            ..VenueFacts::default()
        };
        Self {
            utc: NOON,
            mono: 1000 * SECOND,
            engine: Some(view),
            ended: None,
            unreadable: false,
            number: 7,
            venue: Some(venue),
            disk: Some(1 << 40),
            demanded: None,
        }
    }

    fn engine(&mut self) -> &mut EngineView {
        self.engine.as_mut().unwrap()
    }

    fn venue(&mut self) -> &mut VenueFacts {
        self.venue.as_mut().unwrap()
    }

    /// Positions of both sides, in lots.
    fn hold(&mut self, lots: i64) {
        self.venue().positions[0] = Qty::whole(lots);
        self.venue().nothing_held = lots == 0;
        self.engine().snapshot.instruments[0].position = Qty::whole(lots);
        self.engine().snapshot.instruments[0].market_ns = self.mono;
        self.engine().snapshot.open_lots = Qty::whole(lots.abs());
    }

    fn look(&mut self, guard: &mut Guard) -> Vec<Action> {
        let engine = match (&self.engine, self.ended) {
            _ if self.unreadable => EngineSight::Unreadable,
            (_, Some(in_good_order)) => EngineSight::Ended { in_good_order },
            (Some(view), None) => EngineSight::Alive(view),
            (None, None) => EngineSight::Absent,
        };
        let observation = Observation {
            utc: Nanos(self.utc),
            monotonic_ns: self.mono,
            engine,
            engine_number: self.number,
            venue: self.venue.as_ref(),
            disk_free: self.disk,
            demanded: self.demanded.take(),
        };
        let mut actions = Vec::new();
        guard.step(&observation, &mut actions);
        if actions.contains(&Action::Save) {
            guard.saved();
        }
        actions
    }

    /// Lets time pass in a healthy world, a look every 10 ms, a read every second.
    fn pass(&mut self, guard: &mut Guard, span: Span) -> Vec<Action> {
        let mut actions = Vec::new();
        let until = self.mono + span.0;
        while self.mono < until {
            self.tick(10 * MS);
            actions.extend(self.look(guard));
        }
        actions
    }

    /// Time passes, hot threads step, data arrives, and a read is made once a second.
    fn tick(&mut self, span: u64) {
        self.utc += span;
        self.mono += span;
        let mono = self.mono;
        if let Some(view) = &mut self.engine {
            view.progress.iter_mut().for_each(|count| *count += 1);
            view.snapshot.published_ns = mono;
            view.snapshot.market_ns = mono;
            view.snapshot.instruments[..3].iter_mut().for_each(|row| row.market_ns = mono);
        }
        if mono % SECOND < span {
            self.read();
        }
    }

    fn read(&mut self) {
        let mono = self.mono;
        if let Some(facts) = &mut self.venue {
            facts.number += 1;
            facts.began_ns = mono;
        }
    }
}

fn guard() -> Guard {
    Guard::new(&GuardianParams::default(), Ledger::default(), None)
}

/// A guard that has seen a healthy world for a while.
fn settled(world: &mut World) -> Guard {
    let mut guard = guard();
    let actions = world.pass(&mut guard, Span::seconds(3));
    assert!(actions.iter().any(|action| matches!(action, Action::Tell(Report::DayOpened(_)))));
    assert!(guard.view().entries_allowed && guard.level() == Level::Active);
    guard
}

fn breached(actions: &[Action]) -> Vec<Condition> {
    let breach = |action: &Action| match action {
        Action::Tell(Report::Breached(condition, _)) => Some(*condition),
        _ => None,
    };
    actions.iter().filter_map(breach).collect()
}

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
    assert!((3..=6).contains(&asked), "a few times a second, found {asked}");
    world.venue().positions[1] = Qty::ZERO;
    world.read();
    world.look(&mut guard);
    let calm = world.pass(&mut guard, Span::seconds(1));
    assert!(!calm.iter().any(|action| matches!(action, Action::Liquidate(_))));
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

//! A world that the guard looks at; every field can be bent.

use pawl::core::time::SECOND;
use pawl::core::{Money, Nanos, Qty, Span};
use pawl::guardian::decide::Report;
use pawl::guardian::ledger::Ledger;
use pawl::guardian::{Action, Condition, EngineSight, Guard, GuardianParams, Level, Observation, VenueFacts};
use pawl::snapshot::{EngineState, EngineView, MAX_HOT_THREADS, Snapshot};

pub(crate) const MS: u64 = 1_000_000;
/// Noon, 2026-01-05 UTC.
pub(crate) const NOON: u64 = 1_767_614_400 * SECOND;

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// A world that the guard looks at; every field can be bent.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) utc: u64,
    pub(crate) mono: u64,
    pub(crate) engine: Option<EngineView>,
    pub(crate) ended: Option<bool>,
    pub(crate) unreadable: bool,
    pub(crate) number: u64,
    pub(crate) venue: Option<VenueFacts>,
    pub(crate) disk: Option<u64>,
    pub(crate) demanded: Option<Level>,
}

impl World {
    /// A healthy engine, flat, with ten thousand.
    pub(crate) fn new() -> Self {
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

    pub(crate) fn engine(&mut self) -> &mut EngineView {
        self.engine.as_mut().unwrap()
    }

    pub(crate) fn venue(&mut self) -> &mut VenueFacts {
        self.venue.as_mut().unwrap()
    }

    /// Positions of both sides, in lots.
    pub(crate) fn hold(&mut self, lots: i64) {
        self.venue().positions[0] = Qty::whole(lots);
        self.venue().nothing_held = lots == 0;
        self.engine().snapshot.instruments[0].position = Qty::whole(lots);
        self.engine().snapshot.instruments[0].market_ns = self.mono;
        self.engine().snapshot.open_lots = Qty::whole(lots.abs());
    }

    pub(crate) fn look(&mut self, guard: &mut Guard) -> Vec<Action> {
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
    pub(crate) fn pass(&mut self, guard: &mut Guard, span: Span) -> Vec<Action> {
        let mut actions = Vec::new();
        let until = self.mono + span.0;
        while self.mono < until {
            self.tick(10 * MS);
            actions.extend(self.look(guard));
        }
        actions
    }

    /// Time passes, hot threads step, data arrives, and a read is made once a second.
    pub(crate) fn tick(&mut self, span: u64) {
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

    pub(crate) fn read(&mut self) {
        let mono = self.mono;
        if let Some(facts) = &mut self.venue {
            facts.number += 1;
            facts.began_ns = mono;
        }
    }
}

pub(crate) fn guard() -> Guard {
    Guard::new(&GuardianParams::default(), Ledger::default(), None)
}

/// A guard that has seen a healthy world for a while.
pub(crate) fn settled(world: &mut World) -> Guard {
    let mut guard = guard();
    let actions = world.pass(&mut guard, Span::seconds(3));
    assert!(actions.iter().any(|action| matches!(action, Action::Tell(Report::DayOpened(_)))));
    assert!(guard.view().entries_allowed && guard.level() == Level::Active);
    guard
}

pub(crate) fn breached(actions: &[Action]) -> Vec<Condition> {
    let breach = |action: &Action| match action {
        Action::Tell(Report::Breached(condition, _)) => Some(*condition),
        _ => None,
    };
    actions.iter().filter_map(breach).collect()
}

//! The watch: one loop that looks, decides, and hands out what is to be done. It never waits for the venue
//! and never for a disk, except for the write and the rename that put a latch in its place.
//!
//! | thread | does |
//! |---|---|
//! | this one | looks at the engine's page every millisecond, decides, fences, publishes the guardian's page |
//! | `poll` | reads the account at the venue every second |
//! | `act` | cancels and closes |
//! | recorder (`events`) | writes and syncs events, makes the next latch's file |
//! | saver (`store`) | keeps ledger and accounting on disk |

mod latching;
mod news;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::config::Config;
use crate::core::{InstrumentTable, Money, Span};
use crate::snapshot::{EngineState, Level, PageError};

use super::act::{Actor, Order};
use super::binance::{BinanceSession, KnownSymbol, Pace, SessionError, SessionPlan, Touches};
use super::clock::Clock;
use super::condition::Condition;
use super::decide::{Action, Goal, Guard, Report};
use super::disk::disk_free;
use super::events::{Code, EventLog, Recorder, Severity};
use super::eye::Eye;
use super::fence::Fence;
use super::latch::{self, LatchRecord, LatchState, LatchWriter};
use super::observation::{Observation, VenueFacts};
use super::own_page::OwnPage;
use super::params::{GuardianParams, GuardianParamsError};
use super::poll::{Often, Poller};
use super::requests;
use super::store::{Saver, Store, StoreError};
use super::tell::Moment;

/// Requests, disk and unsaved state are looked at this often.
const CHORES_EVERY: Span = Span::millis(250);
/// While the engine is being fenced a close waits for it, and its answer is looked for this often.
const FENCE_LOOK: Span = Span(50_000);
/// A venue that does not answer at the start is asked again after this time.
const LEARN_AGAIN: Span = Span::seconds(1);

/// Why there is no guardian.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A parameter.
    #[error(transparent)]
    Params(#[from] GuardianParamsError),
    /// The venue.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The shared memory.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The instruments.
    #[error(transparent)]
    Instrument(#[from] crate::core::InstrumentError),
}

/// The guardian of one account.
pub struct Watch<C> {
    clock: C,
    params: GuardianParams,
    state: PathBuf,
    journal: PathBuf,
    instruments: InstrumentTable,
    guard: Guard,
    eye: Eye,
    fence: Fence,
    fence_begun_ns: u64,
    page: OwnPage,
    recorder: Recorder,
    latch: LatchWriter,
    /// A latch that is in force and could not be written yet.
    unwritten: Option<LatchRecord>,
    saver: Saver,
    save_wanted: bool,
    poller: Poller,
    actor: Actor,
    facts: Option<VenueFacts>,
    demanded: Option<Level>,
    disk_free: Option<u64>,
    chores_ns: u64,
    save_failed_ns: u64,
    heartbeat: u64,
    engine: u64,
    resumed: bool,
    /// Number of a liquidation that has no latch.
    excess: u64,
    actions: Vec<Action>,
}

impl<C: Clock> Watch<C> {
    /// Takes the state folder's lock, learns the instruments, opens the sessions, makes the page.
    ///
    /// # Errors
    /// Another guardian runs, a parameter or key is wrong, or the system refuses. A venue that does not answer is
    /// asked again without end, unless its grids are remembered from an earlier start. A full disk is said and done
    /// without, and while it is latched so is all else that can be.
    pub fn start(config: &Config, clock: C) -> Result<Self, RunError> {
        let state = config.live.state.clone();
        let store = Store::open(&state)?;
        let mut memory = store.recall();
        let latched = latch::check(&state);
        // The file knows it even where a full disk kept the ledger from being saved: no number is used twice.
        memory.ledger.latches = memory.ledger.latches.max(latched.number());
        let latch = LatchWriter::prepare(&state);
        let log = EventLog::open(&state).inspect_err(|error| eprintln!("pawl guardian: cannot record events: {error}"));
        let recorder = Recorder::start(log.ok(), &state, latch.spare());
        let plan = SessionPlan::new(&config.venue, &config.guardian)?;
        let (known, pace) = learn(&plan, &memory.instruments, &clock)?;
        let instruments = InstrumentTable::new(known.iter().map(|symbol| symbol.spec.clone()))?;
        let params = checked(&config.guardian, &instruments, &latched)?.at_pace(pace.worst);
        say_pace(&params, pace, instruments.len());
        let folder = params.page_folder(&state);
        let eye = Eye::new(&folder, &instruments, memory.engine);
        let touches: Touches = Arc::new(Mutex::new(vec![None; instruments.len()]));
        let session = || -> Result<BinanceSession, SessionError> {
            let dust = params.liquidation.dust;
            Ok(BinanceSession::new(&plan, plan.client()?, known.clone(), instruments.clone(), dust))
        };
        let mut acting = session()?;
        acting.keep_warm();
        let fenced = Arc::new(AtomicBool::new(false));
        let saver = Saver::start(store, known.clone());
        let mut polling = session()?;
        polling.account_from(memory.cash, memory.ledger.transfers.unwrap_or(Money::ZERO));
        let (often, dead_man) = (Often { every: params.poll_every, limit: pace.limit }, params.dead_man);
        let poller = Poller::start(polling, Arc::clone(&touches), often, dead_man, saver.cash());
        let most = params.open_lots.limit;
        let actor = Actor::start(acting, touches, &params.liquidation, most, &instruments, Arc::clone(&fenced));
        let mut guard = Guard::new(&params, memory.ledger, latched.level());
        if let LatchState::Latched(record) = &latched
            && let Some(condition) = Condition::from_name(&record.condition)
        {
            guard.already_told(condition);
        }
        let mut watch = Self {
            fence: Fence::new(params.liquidation.fence_timeout, fenced),
            page: OwnPage::create(&folder, latched != LatchState::Clear)?,
            clock,
            params,
            state,
            journal: config.live.journal.clone(),
            instruments,
            guard,
            eye,
            fence_begun_ns: 0,
            recorder,
            latch,
            unwritten: None,
            saver,
            save_wanted: false,
            poller,
            actor,
            facts: None,
            demanded: None,
            disk_free: None,
            chores_ns: 0,
            save_failed_ns: 0,
            heartbeat: 0,
            engine: 0,
            resumed: latched != LatchState::Clear,
            excess: 0,
            actions: Vec::new(),
        };
        watch.say_started(&latched, memory.damaged.as_deref());
        Ok(watch)
    }

    /// Watches until `stop` is set.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            self.turn();
            if self.params.spin {
                std::hint::spin_loop();
            } else if self.fence.is_closing() {
                self.clock.pause(FENCE_LOOK);
            } else {
                self.eye.pause(&self.clock, self.params.look_every);
            }
        }
        let event =
            self.moment().event(Code::GuardianStopped, Severity::Info, "Guardian stopped".into(), String::new());
        self.recorder.tell(event, true);
    }

    /// One look and what follows from it.
    pub fn turn(&mut self) {
        let now = self.clock.monotonic_ns();
        if self.chores_ns == 0 || now.saturating_sub(self.chores_ns) >= CHORES_EVERY.0 {
            self.chores_ns = now.max(1);
            self.do_chores(now);
        }
        let _ = self.poller.look(&mut self.facts);
        let mut actions = std::mem::take(&mut self.actions);
        let (engine, engine_number) = self.eye.look(now);
        // One that starts, or has stopped, attends nothing.
        let well = engine.trading().is_some() && self.guard.level() < Level::Halt;
        let observation = Observation {
            utc: self.clock.utc(),
            monotonic_ns: now,
            engine,
            engine_number,
            venue: self.facts.as_ref(),
            disk_free: self.disk_free,
            demanded: self.demanded.take(),
        };
        self.guard.step(&observation, &mut actions);
        self.poller.engine_is_well(well);
        for action in actions.drain(..) {
            self.perform(action, now);
        }
        self.actions = actions;
        if let Some(how) = self.fence.poll(&self.eye, now) {
            let event = self.moment().fenced(how, Span(now.saturating_sub(self.fence_begun_ns)));
            self.recorder.tell(event, true);
        }
        self.hear_actor();
        self.greet_engine();
        self.keep_saved(now);
        self.heartbeat += 1;
        let view = self.guard.view();
        self.page.publish(&crate::snapshot::GuardianView { heartbeat: self.heartbeat, heartbeat_ns: now, ..view });
    }

    fn perform(&mut self, action: Action, now: u64) {
        match action {
            Action::Latch { latch, level, condition, reading } => self.write_latch(latch, level, condition, &reading),
            Action::Fence { by_force } => {
                let latch = self.guard.latch().max(1);
                self.page.kill(latch);
                self.fence_begun_ns = now;
                self.fence.begin(latch, by_force, &self.eye, now);
            }
            Action::Liquidate(goal) => self.liquidate(goal, now),
            Action::Save => self.save_wanted = true,
            Action::Tell(report) => {
                let action = match report {
                    Report::Breached(condition, _) => self.params.terms(condition).action,
                    _ => Level::Active,
                };
                let sync = matches!(report, Report::Raised { .. } | Report::DayOpened(_));
                let mut event = self.moment().report(report, action);
                if matches!(report, Report::Breached(Condition::Page, _)) {
                    event.text = format!("{} {}", self.eye.trouble(), event.text);
                }
                self.recorder.tell(event, sync);
            }
        }
    }

    fn liquidate(&mut self, goal: Goal, now: u64) {
        let number = match self.guard.latch() {
            0 => {
                if self.excess == 0 {
                    self.excess = self.clock.utc().0 / 1_000_000;
                }
                self.excess
            }
            latch => latch,
        };
        let order = Order::Pursue { goal, number, resumed: self.resumed, since_ns: now };
        // The thread lives as long as this end of its channel.
        let _ = self.actor.orders.send(order);
    }

    /// Says when an engine comes and goes in good order; the bad ways are conditions.
    fn greet_engine(&mut self) {
        let number = self.eye.view().map_or(0, |_| self.eye.number());
        if number == self.engine {
            return;
        }
        let was = std::mem::replace(&mut self.engine, number);
        let event = if number != 0 {
            let pid = self.eye.identity().map_or(0, |engine| engine.pid);
            let mut event = self.moment().event(
                Code::EngineAttached,
                Severity::Info,
                format!("Engine attached, pid {pid}"),
                String::new(),
            );
            event.evidence.insert("engine_pid".into(), pid.into());
            // Remembered, so that a guardian that starts without its page still knows whom to fence.
            self.save_wanted = true;
            event
        } else if was != 0 && self.eye.handle().is_none() {
            self.moment().event(Code::EngineStopped, Severity::Info, "The engine has ended".into(), String::new())
        } else {
            return;
        };
        self.recorder.tell(event, false);
    }

    /// Sees to it that what must survive is on disk; until it is, entries stay forbidden.
    fn keep_saved(&mut self, now: u64) {
        if let Some(saved) = self.saver.done() {
            match saved.result {
                Ok(()) if saved.ledger == *self.guard.ledger() => {
                    self.guard.saved();
                    self.save_wanted &= saved.engine != self.eye.identity();
                }
                Ok(()) => {}
                Err(error) => {
                    eprintln!("pawl guardian: {error}");
                    (self.save_failed_ns, self.save_wanted) = (now.max(1), true);
                }
            }
        }
        let resting = self.save_failed_ns != 0 && now.saturating_sub(self.save_failed_ns) < CHORES_EVERY.0;
        if self.save_wanted && !resting && self.saver.save(self.guard.ledger(), self.eye.identity()) {
            (self.save_wanted, self.save_failed_ns) = (false, 0);
        }
    }

    fn do_chores(&mut self, now: u64) {
        self.page.retry();
        self.retry_latch();
        self.disk_free = [&self.state, &self.journal].into_iter().filter_map(|path| disk_free(path)).min();
        for request in requests::pending(&self.state) {
            self.demanded = self.demanded.max(Some(request.level));
            let title = format!("Asked for {}: {}", request.level.name(), request.who);
            let event = self.moment().event(Code::RequestTaken, Severity::Warning, title, String::new());
            self.recorder.tell(event, true);
            request.done();
        }
        self.take_reset(now, self.clock.utc());
    }

    fn say_started(&mut self, latched: &LatchState, damaged: Option<&str>) {
        let moment = self.moment();
        let (severity, title) = match latched.refusal() {
            None => (Severity::Info, "Guardian started".to_owned()),
            Some(refusal) => (Severity::Warning, format!("Guardian started, {refusal}")),
        };
        let mut event = moment.event(Code::GuardianStarted, severity, title, String::new());
        if let Some(why) = damaged {
            event.severity = Severity::Critical;
            event.text =
                format!("What it remembered cannot be read ({why}): entries are forbidden until a person has looked.");
        }
        self.recorder.tell(event, true);
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            at: self.clock.utc(),
            level: self.guard.level(),
            latch: self.guard.latch(),
            ledger: self.guard.ledger(),
            engine: self.eye.view().filter(|view| view.snapshot.state != EngineState::Starting),
            venue: self.facts.as_ref(),
        }
    }
}

/// The parameters, if they can be. While it is latched there is something to be finished: a maximum of open lots that
/// is off a grid which the venue has changed does not matter for that.
fn checked(
    params: &GuardianParams,
    instruments: &InstrumentTable,
    latched: &LatchState,
) -> Result<GuardianParams, GuardianParamsError> {
    params.check_ranges()?;
    match params.check_grid(instruments) {
        Err(error) if *latched != LatchState::Clear => eprintln!("pawl guardian: {error}"),
        other => other?,
    }
    Ok(params.clone())
}

fn say_pace(params: &GuardianParams, pace: Pace, symbols: usize) {
    if pace.quiet > params.poll_every {
        eprintln!(
            "pawl guardian: the account is read every {}, and every {} while it trades, instead of every {}: with {symbols} symbols that takes half of the {} that the venue allows in a minute",
            pace.quiet, pace.moved, params.poll_every, pace.limit
        );
    }
}

/// The grids of the symbols: from the venue, or remembered; and how often the account may be read.
fn learn<C: Clock>(
    plan: &SessionPlan,
    remembered: &[KnownSymbol],
    clock: &C,
) -> Result<(Vec<KnownSymbol>, Pace), SessionError> {
    let mut client = plan.client()?;
    loop {
        match plan.learn(&mut client) {
            Ok(known) => return Ok((known, plan.pace(Some(&mut client)))),
            Err(SessionError::Rest(error)) => {
                let same = remembered.iter().map(|symbol| &symbol.spec.symbol).eq(&plan.symbols);
                if same && !remembered.is_empty() {
                    return Ok((remembered.to_vec(), plan.pace(None)));
                }
                eprintln!("pawl guardian: waiting for the venue: {error}");
                clock.pause(LEARN_AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
}

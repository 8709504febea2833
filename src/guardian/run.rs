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

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::config::Config;
use crate::core::{InstrumentTable, Span};
use crate::snapshot::{EngineState, GuardianPageWriter, Level, PageError};

use super::act::{Actor, News, Order};
use super::binance::{BinanceSession, KnownSymbol, SessionError, SessionPlan, Touches};
use super::clock::Clock;
use super::condition::{Condition, Reading};
use super::decide::{Action, Goal, Guard, Report};
use super::disk::disk_free;
use super::events::{Code, EventLog, GuardianEvent, Recorder, Severity};
use super::eye::Eye;
use super::fence::Fence;
use super::latch::{self, LatchRecord, LatchState, LatchWriter};
use super::observation::{EngineSight, Observation, VenueFacts};
use super::params::{GuardianParams, GuardianParamsError};
use super::poll::Poller;
use super::requests::{self, ResetRequest};
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
    /// A file that must be writable is not.
    #[error("cannot write in {}: {source}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The guardian of one account.
pub struct Watch<C> {
    clock: C,
    params: GuardianParams,
    state: PathBuf,
    journal: PathBuf,
    folder: PathBuf,
    instruments: InstrumentTable,
    guard: Guard,
    eye: Eye,
    fence: Fence,
    fence_begun_ns: u64,
    page: GuardianPageWriter,
    recorder: Recorder,
    latch: LatchWriter,
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
    /// asked again without end, unless its grids are remembered from an earlier start.
    pub fn start(config: &Config, clock: C) -> Result<Self, RunError> {
        let (params, state) = (config.guardian.clone(), config.live.state.clone());
        let store = Store::open(&state)?;
        let memory = store.recall();
        let file = |source| RunError::File { path: state.clone(), source };
        let latch = LatchWriter::prepare(&state).map_err(file)?;
        let recorder = Recorder::start(EventLog::open(&state).map_err(file)?, &state, latch.spare());
        let plan = SessionPlan::new(&config.venue, &params)?;
        let known = learn(&plan, &memory.instruments, &clock)?;
        let instruments = InstrumentTable::new(known.iter().map(|symbol| symbol.spec.clone()))?;
        params.check(&instruments)?;
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
        polling.account_from(memory.cash, memory.ledger.transfers);
        let (every, dead_man) = (params.poll_every, params.dead_man);
        let poller = Poller::start(polling, Arc::clone(&touches), every, dead_man, saver.cash());
        let most = params.open_lots.limit;
        let actor = Actor::start(acting, touches, &params.liquidation, most, &instruments, Arc::clone(&fenced));
        let latched = latch::check(&state);
        let mut guard = Guard::new(&params, memory.ledger, latched.level());
        if let LatchState::Latched(record) = &latched
            && let Some(condition) = Condition::from_name(&record.condition)
        {
            guard.already_told(condition);
        }
        let mut watch = Self {
            fence: Fence::new(params.liquidation.fence_timeout, fenced),
            page: GuardianPageWriter::create(&folder)?,
            clock,
            params,
            state,
            journal: config.live.journal.clone(),
            folder,
            instruments,
            guard,
            eye,
            fence_begun_ns: 0,
            recorder,
            latch,
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
            self.do_chores();
        }
        let _ = self.poller.look(&mut self.facts);
        let mut actions = std::mem::take(&mut self.actions);
        let (engine, engine_number) = self.eye.look(now);
        let well = matches!(engine, EngineSight::Alive(_)) && self.guard.level() < Level::Halt;
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

    fn write_latch(&mut self, latch: u64, level: Level, condition: Condition, reading: &Reading) {
        let at = self.clock.utc();
        let (value, limit) = (reading.value.to_string(), reading.limit.to_string());
        let mut record = LatchRecord::new(latch, level, condition.name(), value, limit, at);
        let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        record.evidence = self.moment().evidence().into_iter().map(|(key, value)| (key, text(value))).collect();
        let written = self.latch.write(&record);
        let moment = self.moment();
        let event = match &written {
            Ok(_) => {
                let title = format!(
                    "LATCHED {} by {}: {} (limit {})",
                    level.name(),
                    record.condition,
                    record.value,
                    record.limit
                );
                moment.event(
                    Code::Latched,
                    Severity::Critical,
                    title,
                    "Trading is refused until a person runs pawl guardian reset.".into(),
                )
            }
            Err(error) => {
                let title = format!("The latch could not be written: {error}");
                moment.event(
                    Code::LatchFailed,
                    Severity::Critical,
                    title,
                    "The guardian acts all the same; do not restart it.".into(),
                )
            }
        };
        if let Ok(file) = written {
            self.recorder.sync_latch(file);
        }
        self.recorder.tell(event, true);
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

    fn hear_actor(&mut self) {
        while let Ok(news) = self.actor.news.try_recv() {
            let event = self.news(&news);
            self.recorder.tell(event, matches!(news, News::Reached { .. } | News::BoundReached(_)));
        }
    }

    fn news(&mut self, news: &News) -> GuardianEvent {
        let moment = self.moment();
        match news {
            News::Closed(id, qty) => {
                let symbol = self.instruments.get(*id).map_or("?", |instrument| instrument.spec().symbol.as_str());
                let title = format!("Closed {qty} lots of {symbol}");
                moment.event(Code::LiquidationProgress, Severity::Warning, title, String::new())
            }
            News::Trouble(text) => {
                moment.event(Code::LiquidationProgress, Severity::Warning, "Liquidation: trouble".into(), text.clone())
            }
            News::BoundReached(goal) => {
                let desk = &self.params.liquidation.desk;
                let title = format!("NOT FLAT after {}: call the desk {desk}", self.params.liquidation.bound);
                let text = format!("The goal {goal:?} is not reached. The guardian goes on trying.");
                let mut event = moment.event(Code::NotFlat, Severity::Critical, title, text);
                event.evidence.insert("desk".into(), desk.clone().into());
                event
            }
            News::Reached { goal, elapsed, closed } => {
                let (code, severity, title) = match goal {
                    Goal::Flat => {
                        (Code::Flat, Severity::Critical, "FLAT: no orders, no positions, by two reads".to_owned())
                    }
                    _ if closed.is_positive() => {
                        (Code::ExcessClosed, Severity::Critical, format!("Excess closed: {closed} lots"))
                    }
                    _ => (
                        Code::EntriesCancelled,
                        Severity::Warning,
                        "No entry orders, no excess of open lots".to_owned(),
                    ),
                };
                let mut event = moment.event(
                    code,
                    severity,
                    title,
                    format!("{:.3} ms after it was seen.", elapsed.as_seconds() * 1e3),
                );
                event.evidence.insert("elapsed_us".into(), (elapsed.0 / 1000).into());
                event.evidence.insert("quantity".into(), closed.to_string().into());
                self.excess = 0;
                event
            }
        }
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

    fn do_chores(&mut self) {
        self.disk_free = [&self.state, &self.journal].into_iter().filter_map(|path| disk_free(path)).min();
        for request in requests::pending(&self.state) {
            self.demanded = self.demanded.max(Some(request.level));
            let title = format!("Asked for {}: {}", request.level.name(), request.who);
            let event = self.moment().event(Code::RequestTaken, Severity::Warning, title, String::new());
            self.recorder.tell(event, true);
            request.done();
        }
        if let Some(request) = ResetRequest::take(&self.state) {
            self.reset(&request);
        }
    }

    /// A person on this machine clears the latch.
    fn reset(&mut self, request: &ResetRequest) {
        let flat = self.facts.is_some_and(|facts| facts.is_flat());
        if !flat && !request.accept_positions {
            let text = "something is open at the venue, or it has not been read: close it, or accept it with --accept-positions";
            return request.reply(&self.state, false, text);
        }
        let title = format!("Latch cleared by {} (uid {}): {}", request.who, request.uid, request.reason);
        let mut event = self.moment().event(Code::LatchReset, Severity::Warning, title, String::new());
        event.level = Level::Active;
        for (key, value) in [("who", request.who.clone()), ("reason", request.reason.clone())] {
            event.evidence.insert(key.to_owned(), value.into());
        }
        event.evidence.insert("uid".into(), request.uid.into());
        self.recorder.tell(event, true);
        if let Err(error) = latch::remove(&self.state) {
            return request.reply(&self.state, false, &error.to_string());
        }
        self.guard.reset(request.new_reference);
        self.eye.forget();
        self.fence.open();
        (self.resumed, self.excess) = (false, 0);
        let _ = self.actor.orders.send(Order::Forget);
        self.save_wanted = true;
        // A new page has no kill word; an engine that was told the old one never hears it taken back.
        match GuardianPageWriter::create(&self.folder) {
            Ok(page) => {
                self.page = page;
                request.reply(&self.state, true, "cleared");
            }
            Err(error) => request.reply(&self.state, false, &format!("cleared, but restart the guardian: {error}")),
        }
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

/// The grids of the symbols: from the venue, or remembered.
fn learn<C: Clock>(
    plan: &SessionPlan,
    remembered: &[KnownSymbol],
    clock: &C,
) -> Result<Vec<KnownSymbol>, SessionError> {
    let mut client = plan.client()?;
    loop {
        match plan.learn(&mut client) {
            Ok(known) => return Ok(known),
            Err(SessionError::Rest(error)) => {
                let same = remembered.iter().map(|symbol| &symbol.spec.symbol).eq(&plan.symbols);
                if same && !remembered.is_empty() {
                    return Ok(remembered.to_vec());
                }
                eprintln!("pawl guardian: waiting for the venue: {error}");
                clock.pause(LEARN_AGAIN);
            }
            Err(error) => return Err(error),
        }
    }
}

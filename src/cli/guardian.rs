//! `pawl guardian`: run, status, reset, drill.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::config::Config;
use crate::config::live::Mode;
use crate::core::InstrumentTable;
use crate::guardian::binance::{BinanceSession, SessionPlan, Touches};
use crate::guardian::clock::{Clock, SystemClock};
use crate::guardian::drill::drill;
use crate::guardian::events::{Code, EventLog, GuardianEvent, Severity};
use crate::guardian::latch::{self, LatchState};
use crate::guardian::run::{RunError, Watch};
use crate::guardian::store::{Store, StoreError};
use crate::guardian::{Level, ResetRequest};
use crate::snapshot::{EngineReader, GuardianPage, monotonic_ns};

use super::Failure;

/// A guardian that is asked to reset has this long to answer.
const RESET_PATIENCE: Duration = Duration::from_secs(10);
/// A page whose heartbeat is older belongs to no living guardian.
const ALIVE_WITHIN_NS: u64 = 1_000_000_000;

/// Arguments of `pawl guardian`.
#[derive(Args)]
#[command(after_help = "Examples:
  pawl guardian run --config pawl.toml
  pawl guardian status --config pawl.toml
  pawl guardian reset --config pawl.toml --reason \"data feed fixed, checked by two\"
  pawl guardian drill --config demo.toml

docs/guardian.md describes levels, conditions, files and events; tools/deploy has the systemd units.")]
pub(super) struct GuardianArguments {
    #[command(subcommand)]
    command: GuardianCommand,
}

#[derive(Subcommand)]
enum GuardianCommand {
    /// Watch the account until told to stop
    Run(Where),
    /// Say whether it is latched, what it watches, and whether it lives
    Status {
        #[command(flatten)]
        place: Where,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Clear the latch: only ever by a person, with a reason, which is recorded
    Reset {
        #[command(flatten)]
        place: Where,
        /// What happened and why it is safe to go on
        #[arg(long)]
        reason: String,
        /// Although something is open at the venue
        #[arg(long)]
        accept_positions: bool,
        /// The losses so far are accepted: the day's reference and the peak are taken anew
        #[arg(long)]
        new_reference: bool,
    },
    /// Open a smallest position on a demo account and flatten it as in an emergency, timed
    Drill {
        #[command(flatten)]
        place: Where,
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Where {
    /// The configuration: the engine's own, so that both name the same account and folders
    #[arg(long)]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &GuardianArguments) -> Result<(), Failure> {
    match &arguments.command {
        GuardianCommand::Run(place) => watch(&place.config),
        GuardianCommand::Status { place, json } => status(&place.config, *json),
        GuardianCommand::Reset { place, reason, accept_positions, new_reference } => {
            let config = Config::load(&place.config)?;
            reset(&config, reason, *accept_positions, *new_reference)
        }
        GuardianCommand::Drill { place, json } => run_drill(&place.config, *json),
    }
}

fn watch(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::Usage(format!("cannot watch for signals: {error}")))?;
    }
    let mut watch = Watch::start(&config, SystemClock)?;
    eprintln!("pawl guardian: watching, state in {}", config.live.state.display());
    watch.run(&stop);
    Ok(())
}

/// What `status` says.
#[derive(Serialize)]
struct Status {
    latched: Option<String>,
    level: Option<Level>,
    guardian_alive: bool,
    entries_allowed: bool,
    venue_equity: Option<String>,
    day_reference: Option<String>,
    peak_equity: Option<String>,
    engine: String,
}

fn status(path: &Path, json: bool) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let folder = config.guardian.page_folder(&config.live.state);
    let view = GuardianPage::attach(&folder).ok().filter(|page| page.owner().process.is_alive());
    let view = view.and_then(|page| page.view().ok());
    let alive = view.is_some_and(|view| monotonic_ns().saturating_sub(view.heartbeat_ns) < ALIVE_WITHIN_NS);
    let engine = match EngineReader::attach(&folder) {
        Err(error) => error.to_string(),
        Ok(reader) if !reader.owner().process.is_alive() => "ended".to_owned(),
        Ok(mut reader) => reader.read().map_or_else(
            |error| error.to_string(),
            |view| {
                format!(
                    "{:?}, equity {}, open lots {}",
                    view.snapshot.state, view.snapshot.equity, view.snapshot.open_lots
                )
            },
        ),
    };
    let latched = latch::check(&config.live.state);
    let status = Status {
        latched: latched.refusal(),
        level: view.map(|view| view.level).max(latched.level()),
        guardian_alive: alive,
        entries_allowed: alive && view.is_some_and(|view| view.entries_allowed),
        venue_equity: view.map(|view| view.venue_equity.to_string()),
        day_reference: view.map(|view| view.day_reference.to_string()),
        peak_equity: view.map(|view| view.peak_equity.to_string()),
        engine,
    };
    print(&if json { to_json(&status)? } else { status_text(&status) })
}

fn status_text(status: &Status) -> String {
    let unknown = || "-".to_owned();
    let number = |value: &Option<String>| value.clone().unwrap_or_else(unknown);
    let lines = [
        (
            "guardian",
            if status.guardian_alive { "alive".to_owned() } else { "NOT RUNNING: the engine opens nothing".to_owned() },
        ),
        ("latch", status.latched.clone().unwrap_or_else(|| "clear".to_owned())),
        ("level", status.level.map_or_else(unknown, |level| level.name().to_owned())),
        ("entries", if status.entries_allowed { "allowed" } else { "forbidden" }.to_owned()),
        (
            "equity",
            format!(
                "{} at the venue, day reference {}, peak {}",
                number(&status.venue_equity),
                number(&status.day_reference),
                number(&status.peak_equity)
            ),
        ),
        ("engine", status.engine.clone()),
    ];
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<9} {value}")).collect();
    lines.join("\n")
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    write!(out, "{}{}", text, if text.ends_with('\n') { "" } else { "\n" }).map_err(Failure::Output)
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Usage(error.to_string()))
}

fn reset(config: &Config, reason: &str, accept_positions: bool, new_reference: bool) -> Result<(), Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::Usage(
            "expected a reason, found nothing: say what happened and why it is safe to go on".into(),
        ));
    }
    let name = |variable: &str| std::env::var(variable).ok().filter(|name| !name.is_empty());
    // SAFETY: no arguments, never fails.
    let uid = unsafe { libc::getuid() };
    let request = ResetRequest {
        id: format!("{}-{}", std::process::id(), SystemClock.utc().0),
        reason: reason.trim().to_owned(),
        who: name("SUDO_USER").or_else(|| name("USER")).unwrap_or_else(|| format!("uid {uid}")),
        uid,
        accept_positions,
        new_reference,
    };
    let state = &config.live.state;
    match Store::open(state) {
        Ok(store) => reset_alone(config, &store, &request),
        Err(StoreError::Locked(_)) => {
            let file = |source| Failure::File { verb: "write", path: state.clone(), source };
            request.leave(state).map_err(file)?;
            let patience = Instant::now();
            while patience.elapsed() < RESET_PATIENCE {
                match request.answer(state) {
                    Some(answer) if answer.cleared => return print("cleared by the running guardian"),
                    Some(answer) => return Err(Failure::Usage(format!("not cleared: {}", answer.text))),
                    None => std::thread::sleep(Duration::from_millis(50)),
                }
            }
            // Done later it would surprise whoever is told now that it was not.
            request.withdraw(state);
            if request.answer(state).is_some_and(|answer| answer.cleared) {
                return print("cleared by the running guardian");
            }
            Err(Failure::Usage(
                "not cleared: a guardian holds the state folder and does not answer; is it stopped?".into(),
            ))
        }
        Err(error) => Err(RunError::from(error).into()),
    }
}

/// No guardian runs: the latch is cleared from here, after a look at the venue.
fn reset_alone(config: &Config, store: &Store, request: &ResetRequest) -> Result<(), Failure> {
    let state = store.folder();
    if !request.accept_positions {
        let (mut session, touches) = open_session(config)?;
        let facts = session.facts(&touches).map_err(|error| {
            Failure::Usage(format!(
                "not cleared: the venue cannot be read ({error}); accept that with --accept-positions"
            ))
        })?;
        if !facts.is_flat() {
            let text = "not cleared: something is open at the venue: close it, or accept it with --accept-positions";
            return Err(Failure::Usage(text.into()));
        }
    }
    let file = |source| Failure::File { verb: "write", path: state.to_owned(), source };
    let mut event = GuardianEvent {
        at: SystemClock.utc(),
        level: Level::Active,
        code: Code::LatchReset,
        severity: Severity::Warning,
        title: format!("Latch cleared by {} (uid {}): {}", request.who, request.uid, request.reason),
        text: latch::check(state).refusal().unwrap_or_else(|| "There was no latch.".into()),
        evidence: serde_json::Map::new(),
    };
    event.evidence.insert("who".into(), request.who.clone().into());
    event.evidence.insert("uid".into(), request.uid.into());
    event.evidence.insert("reason".into(), request.reason.clone().into());
    EventLog::open(state).and_then(|mut log| log.append(&event, true)).map_err(file)?;
    let mut memory = store.recall();
    memory.ledger.level = Level::Active;
    // The next latch has another number, even where a full disk kept the ledger from being saved.
    memory.ledger.latches = memory.ledger.latches.max(latch::check(state).number());
    if request.new_reference || memory.damaged.is_some() {
        (memory.ledger.day, memory.ledger.peak) = (None, None);
    }
    // The engine that is gone is dealt with.
    let page = config.guardian.page_folder(state).join("engine.page");
    let dead = EngineReader::attach(&config.guardian.page_folder(state))
        .is_ok_and(|reader| !reader.owner().process.is_alive());
    if dead {
        std::fs::remove_file(&page).map_err(|source| Failure::File { verb: "remove", path: page, source })?;
    }
    store.save(&memory.ledger, None, memory.instruments).map_err(RunError::from)?;
    latch::remove(state).map_err(file)?;
    print(match latch::check(state) {
        LatchState::Clear => "cleared",
        _ => "the latch is still there",
    })
}

fn open_session(config: &Config) -> Result<(BinanceSession, Touches), Failure> {
    let plan = SessionPlan::new(&config.venue, &config.guardian).map_err(RunError::from)?;
    let mut client = plan.client().map_err(RunError::from)?;
    let known = plan.learn(&mut client).map_err(RunError::from)?;
    let instruments = InstrumentTable::new(known.iter().map(|symbol| symbol.spec.clone()))?;
    let touches: Touches = Arc::new(Mutex::new(vec![None; instruments.len()]));
    Ok((BinanceSession::new(&plan, client, known, instruments, config.guardian.liquidation.dust), touches))
}

fn run_drill(path: &Path, json: bool) -> Result<(), Failure> {
    let config = Config::load(path)?;
    if config.live.mode == Mode::Live || config.venue.endpoint == "production" {
        let text =
            "expected a demo account, found the configuration of a live one: a drill opens a position on purpose";
        return Err(Failure::Usage(text.into()));
    }
    let store = Store::open(&config.live.state).map_err(RunError::from)?;
    let (mut session, touches) = open_session(&config)?;
    let report = drill(&mut session, &touches, &config.guardian.liquidation)?;
    let event = GuardianEvent {
        at: SystemClock.utc(),
        level: store.recall().ledger.level,
        code: Code::Drill,
        severity: Severity::Info,
        title: format!("Drill: flat after {:.3} ms", report.flat_us as f64 / 1e3),
        text: format!("{report:?}"),
        evidence: serde_json::Map::new(),
    };
    let file = |source| Failure::File { verb: "write", path: config.live.state.clone(), source };
    EventLog::open(store.folder()).and_then(|mut log| log.append(&event, true)).map_err(file)?;
    if json {
        return print(&to_json(&report)?);
    }
    let ms = |us: u64| us as f64 / 1e3;
    print(&format!(
        "opened {} {} and rested an order, then flattened:\n  first cancel confirmed {:>9.3} ms\n  position closed        {:>9.3} ms\n  flat proved twice      {:>9.3} ms\n  {} requests, {} troubles",
        report.quantity,
        report.symbol,
        ms(report.first_cancel_us),
        ms(report.closed_us),
        ms(report.flat_us),
        report.requests,
        report.troubles.len()
    ))
}

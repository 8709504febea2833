//! `pawl run`: the engine on a live venue.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;

use crate::config::Config;
use crate::config::live::Mode;
use crate::core::{InstrumentTable, Money};
use crate::engine::Engine;
use crate::engine::layout::{Group, Layout};
use crate::engine::machine::{Machine, SystemFiles};
use crate::engine::threads::{HOPS_EVERY, orderly_panics};
use crate::report::latency::{Basis, LatencyLog, Recorder};
use crate::snapshot::{EnginePage, EnginePlan, EngineReader, EngineState, GuardianWatch};
use crate::venue::paper::PaperVenue;
use crate::worlds::live::binance_wire::{WireError, market_data, order_entry};
use crate::worlds::live::demo_record::DemoRecord;
use crate::worlds::live::poller::Pollers;
use crate::worlds::live::prepare::{self, Prepared};
use crate::worlds::live::{self, Ending, LiveOutcome, LiveSetup, MarketWire, OrderWire, session_clock};
use crate::worlds::session::Outcome;

use super::Failure;
use super::common::{Gate, Print, SHIPPED_MODEL, create_journal, page_folder, print_outcome, start_latency};

/// Arguments of `pawl run`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  pawl config init pawl.toml    then name symbols, endpoint and mode\n  pawl run --config pawl.toml\nStop with Ctrl-C: entries stop, the position is closed or kept as configured. A second Ctrl-C stops at once, a third ends the process even where something in it hangs."
)]
pub(super) struct RunArguments {
    /// Configuration
    #[arg(long, default_value = "pawl.toml")]
    config: PathBuf,
    /// Yes, trade real money (mode = "live")
    #[arg(long)]
    yes_live: bool,
    /// XGBoost model; without it the shipped one
    #[arg(long, conflicts_with = "no_gate")]
    model: Option<PathBuf>,
    /// Let every signal pass; refused in live mode
    #[arg(long)]
    no_gate: bool,
    /// Stop in good order after this many seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Print JSON at the end instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`]; also when the session did not end in good order.
pub(super) fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let mut config = Config::load(&arguments.config)?;
    super::config::check_ranges(&config)?;
    if let Some(key) = config.live.moved_key() {
        return Err(Failure::Usage(format!(
            "{key}: expected in the table [threads] (keys waiting and cores), found in [live]; move it there"
        )));
    }
    let layout = Layout::resolve(&config.threads, &Machine::read(&SystemFiles::of_this_machine()))?;
    let mode = config.live.mode;
    prepare::check_mode(mode, &config.venue, arguments.yes_live)?;
    if let Some(refusal) = crate::guardian::latch::check(&config.live.state).refusal() {
        return Err(Failure::Refused(refusal));
    }
    if mode == Mode::Live {
        if arguments.no_gate {
            return Err(Failure::Usage("--no-gate is for judging a rule; live mode trades through the gate".into()));
        }
        config.oms.guardian_required = true;
    }
    let gate = match (&arguments.model, arguments.no_gate) {
        (Some(path), _) => Gate::read(path)?,
        (None, true) => Gate::Open,
        (None, false) => Gate::shipped(SHIPPED_MODEL, "models/model.json"),
    };
    if mode == Mode::Live {
        DemoRecord::require(&config.live.state, &config, &gate.digest(), session_clock())?;
    }
    let _lock = lock(&config.live.state)?;
    let prepared = prepare::prepare(&config)?;
    let session = (session_clock().0 / crate::core::time::SECOND) as u32;
    let signals = signals(arguments.seconds)?;
    let seed = u64::from(session);
    let pollers = Pollers::of(&layout).map_err(WireError::from)?;
    let plan = Trading { config: &config, gate: &gate, prepared: &prepared, session, layout, quiet: arguments.json };
    let outcome = match mode {
        Mode::Paper => {
            let api_key = prepare::credentials(&config.venue).ok().map(|keys| keys.api_key);
            let market = market_data(&config, &prepared, api_key, seed, pollers.market_registry())?;
            let orders = PaperVenue::new(&config.paper, &prepared.instruments)?;
            trade((market, orders, pollers), plan, &signals)?
        }
        Mode::Demo | Mode::Live => {
            let credentials = prepare::credentials(&config.venue)?;
            let api_key = Some(credentials.api_key.clone());
            let market = market_data(&config, &prepared, api_key, seed, pollers.market_registry())?;
            let orders = order_entry(&config, &prepared, credentials, seed, pollers.orders_registry())?;
            trade((market, orders, pollers), plan, &signals)?
        }
    };
    if mode == Mode::Demo {
        let record = DemoRecord::of(&outcome, &config, &gate.digest(), session_clock());
        record.store(&config.live.state)?;
        if !arguments.json {
            let verdict = if record.passed { "passed" } else { "not passed" };
            eprintln!("demo record: {verdict}{}{}", if record.passed { "" } else { ": " }, record.failures.join(", "));
        }
    }
    report(outcome, &prepared.instruments, arguments.json)
}

/// What a session is built from.
struct Trading<'a> {
    config: &'a Config,
    gate: &'a Gate,
    prepared: &'a Prepared,
    session: u32,
    layout: Layout,
    quiet: bool,
}

/// Builds the session around its wires and runs it.
fn trade<M: MarketWire, O: OrderWire>(
    (market, orders, pollers): (M, O, Pollers),
    plan: Trading<'_>,
    signals: &Arc<AtomicUsize>,
) -> Result<LiveOutcome, Failure> {
    let Trading { config, gate, prepared, session, layout, quiet } = plan;
    let instruments = prepared.instruments.clone();
    let folder = config.live.journal.join(format!("{session:08x}"));
    let journal = create_journal(&folder, config, gate, &instruments, Some(session))?;
    let pages = page_folder(config);
    let page = EnginePlan { session, instruments: &instruments, hot_threads: layout.groups.len() };
    let page = EnginePage::create(&pages, &page)?;
    let balance = if config.live.mode == Mode::Paper {
        config.account.balance.unwrap_or_else(|| crate::config::default_balance(&prepared.currency))
    } else {
        prepared.balance
    };
    if !quiet {
        announce(config, prepared, &layout, &folder, balance);
    }
    let setup = LiveSetup {
        market,
        orders,
        pollers,
        engine: Engine::new(&config.engine(), gate.oracle(config)?, &instruments, session)?,
        journal,
        page,
        guardian: GuardianWatch::new(&pages),
        instruments,
        balance,
        baselines: prepared.baselines.clone(),
        currency: prepared.currency.clone(),
        params: config.live.clone(),
        latency: measure(&folder, &layout)?,
        layout,
    };
    let done = Arc::new(AtomicBool::new(false));
    let line = StatusLine::start(&pages, &done, !quiet && std::io::stderr().is_terminal());
    // A panic of a stage ends the process in release builds: the journal is closed before.
    orderly_panics();
    let outcome = live::run(setup, signals);
    done.store(true, Ordering::Relaxed);
    line.finish();
    Ok(outcome?)
}

/// A latency log with a recorder a thread.
fn measure(folder: &Path, layout: &Layout) -> Result<(LatencyLog, Vec<Recorder>), Failure> {
    let names: Vec<String> = layout.groups.iter().map(Group::name).collect();
    let names: Vec<&str> = match names.as_slice() {
        [_] => vec!["engine"],
        many => many.iter().map(String::as_str).collect(),
    };
    start_latency(folder, &layout.to_string(), &names, Basis::Arrival, HOPS_EVERY, Duration::from_secs(10))
}

fn announce(config: &Config, prepared: &Prepared, layout: &Layout, folder: &Path, balance: Money) {
    let mode = match config.live.mode {
        Mode::Paper => "paper: real market data, simulated orders",
        Mode::Demo => "demo: play money",
        Mode::Live => "LIVE: real money",
    };
    eprintln!("pawl run, {mode}");
    eprintln!("  venue    {} ({})", config.venue.endpoint, prepared.endpoints.rest);
    for (id, instrument) in prepared.instruments.iter() {
        let spec = instrument.spec();
        let owned = prepared.baselines.iter().find(|(owner, _)| *owner == id).map_or(String::new(), |(_, owned)| {
            if owned.is_zero() { String::new() } else { format!(", {owned} owned before and left alone") }
        });
        eprintln!(
            "  {:<8} tick {}, lot step {}, smallest order {}, a point is {}{owned}",
            spec.symbol, spec.tick_size, spec.lot_step, spec.min_lot, spec.point_size
        );
    }
    eprintln!("  cash     {balance} {}", prepared.currency);
    eprintln!("  layout   {layout}");
    eprintln!("  journal  {}", folder.display());
}

/// One engine on a state folder: two would trade one account against each other.
fn lock(state: &Path) -> Result<std::fs::File, Failure> {
    let path = state.join("engine.lock");
    let error = |source| Failure::File { verb: "lock", path: path.clone(), source };
    std::fs::create_dir_all(state).map_err(error)?;
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Failure::Refused(format!(
            "{}: expected to be the only engine on this state folder, found another one running; stop it first",
            path.display()
        ))),
        Err(std::fs::TryLockError::Error(source)) => Err(error(source)),
    }
}

/// Words after which the process ends even where a thread hangs and can no longer hear them.
const ENOUGH: usize = 3;

/// Counts SIGINT and SIGTERM, and the end of the time that was asked for. At the third one the process ends then and
/// there: the journal loses nothing by it, and the guardian sees the engine's end.
pub(super) fn signals(seconds: Option<u64>) -> Result<Arc<AtomicUsize>, Failure> {
    let count = Arc::new(AtomicUsize::new(0));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let count = Arc::clone(&count);
        // SAFETY: the handler adds to an atomic and calls poll, write and _exit, all safe in a signal handler.
        unsafe {
            signal_hook::low_level::register(signal, move || {
                if count.fetch_add(1, Ordering::Relaxed) + 1 >= ENOUGH {
                    end_the_process();
                }
            })
        }
        .map_err(|error| Failure::Usage(format!("cannot listen to signals: {error}")))?;
    }
    if let Some(seconds) = seconds {
        let count = Arc::clone(&count);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(seconds));
            // Only the first word: whoever stopped the session before is not to be counted twice.
            let _ = count.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
        });
    }
    Ok(count)
}

/// Says so, where that does not block, and ends the process from within a signal handler.
fn end_the_process() -> ! {
    const WORDS: &[u8] =
        b"\npawl: told three times: ended where it stood; if it traded, look at the venue for what is open\n";
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one live pollfd and a constant's bytes; the three calls are safe in a signal handler (signal-safety(7)).
    unsafe {
        if libc::poll(&raw mut stderr, 1, 0) == 1 && stderr.revents & libc::POLLOUT != 0 {
            libc::write(libc::STDERR_FILENO, WORDS.as_ptr().cast(), WORDS.len());
        }
        libc::_exit(1)
    }
}

/// The evolving line on a terminal: a reader of the engine page, as any monitor is.
struct StatusLine {
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StatusLine {
    fn start(pages: &Path, done: &Arc<AtomicBool>, show: bool) -> Self {
        if !show {
            return Self { thread: None };
        }
        let (pages, done) = (pages.to_owned(), Arc::clone(done));
        let thread = std::thread::spawn(move || {
            let mut reader = EngineReader::attach(&pages).ok();
            while !done.load(Ordering::Relaxed) {
                if let Some(Ok(view)) = reader.as_mut().map(EngineReader::read) {
                    let shot = &view.snapshot;
                    let state = match shot.state {
                        EngineState::Starting => "connecting",
                        EngineState::Running => "trading",
                        EngineState::Stopping => "stopping",
                        EngineState::Stopped => "stopped",
                    };
                    eprint!(
                        "\r  {state:<10} equity {:>12.2} ({:+.2} open)  lots {}  orders {}  fills {}  rejects {}  alerts {}\x1b[K",
                        shot.equity.to_f64(),
                        shot.unrealised.to_f64(),
                        shot.open_lots,
                        shot.orders,
                        shot.fills,
                        shot.rejects,
                        shot.alerts
                    );
                    // A terminal that cannot be flushed only misses one line.
                    let _ = std::io::stderr().flush();
                }
                std::thread::sleep(Duration::from_millis(500));
            }
            eprint!("\r\x1b[K");
        });
        Self { thread: Some(thread) }
    }

    fn finish(self) {
        if let Some(thread) = self.thread {
            // A status line that panicked has cost a line.
            let _ = thread.join();
        }
    }
}

fn report(outcome: LiveOutcome, instruments: &InstrumentTable, json: bool) -> Result<(), Failure> {
    let LiveOutcome { ending, failure, not_stored, intake, trouble, .. } = outcome;
    let LiveOutcome { summary, trades, latency, latency_error, feed, inputs, .. } = outcome;
    let hours = summary.hours;
    let basis = Basis::Arrival;
    let printed = Outcome { summary, trades, latency, basis, latency_error, feed, inputs };
    let rate = if hours > 0.0 { inputs as f64 / (hours * 3600.0) } else { 0.0 };
    print_outcome(&printed, instruments, 0, Print::from_flags(json, json), rate)?;
    if not_stored > 0 {
        eprintln!("pawl: {not_stored} records found no place in the journal: a replay of this session is incomplete");
    }
    if intake.conflated > 0 {
        eprintln!(
            "pawl: {} quotes were replaced by later ones while a ring was full: the order manager's thread was late",
            intake.conflated
        );
    }
    let trouble = trouble.map_or_else(String::new, |trouble| format!("; last trouble with the venue: {trouble}"));
    match ending {
        Ending::Finished => Ok(()),
        Ending::AtOnce => {
            Err(Failure::Ended(format!("stopped at once: look at the venue for what is still open{trouble}")))
        }
        Ending::TimedOut => Err(Failure::Ended(format!(
            "something was still open when live.stop_timeout ran out: look at the venue{trouble}"
        ))),
        Ending::Failed => {
            Err(Failure::Ended(failure.unwrap_or_else(|| "the engine ended without being told to".to_owned())))
        }
        Ending::Killed => Err(Failure::Ended(
            "the guardian's kill word: nothing was sent any more; see `pawl guardian status`".into(),
        )),
    }
}

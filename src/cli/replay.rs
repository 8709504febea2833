//! `pawl replay`: feed a journal back to the engine, compare every decision, or look at it step by
//! step; and ask why an order was sent.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use crate::config::{Config, differing_keys};
use crate::core::crc::crc32c_portable;
use crate::core::payload::{Control, ControlCode, Decision};
use crate::core::{Event, EventKind, InstrumentTable, Nanos, OrderId, Payload};
use crate::engine::layout::{Layout, ThreadParams};
use crate::engine::machine::{Machine, SystemFiles};
use crate::engine::{Engine, NoProbe};
use crate::journal::{Position, Selection, SessionReader, StreamName, payload_fields, side_name};
use crate::oms::Outbox;
use crate::oracle::Oracle;
use crate::report::{Progress, latency};
use crate::worlds::explain::{explain, plain};
use crate::worlds::layout_replay::verify_on;
use crate::worlds::replay::{Difference, GateCount, Scope, Verdict, compare};

use super::Failure;
use super::common::{Gate, MODEL_FILE, read_file, say, session_parser};
use super::journal::find_instrument;

/// Arguments of `pawl replay`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  pawl backtest EURUSD.csv.gz --journal journal/a\n  pawl replay journal/a --verify\n  pawl replay journal/a --explain 00000001-17\n  pawl replay journal/a --threshold 0.9\n  pawl replay journal/a --step"
)]
pub(super) struct ReplayArguments {
    /// The session's folder, or one that holds sessions: then the newest
    #[arg(value_parser = session_parser())]
    session: PathBuf,
    /// Compare with what was recorded (what replay does by itself); with a what-if, a difference
    /// ends with exit status 1 too
    #[arg(long)]
    verify: bool,
    /// Compare from here on: `2024-08-08T23:54:16.25Z`, epoch nanoseconds, or `#INPUT`
    #[arg(long, value_parser = Position::parse)]
    from: Option<Position>,
    /// Replay up to and including this
    #[arg(long, value_parser = Position::parse)]
    until: Option<Position>,
    /// Compare and show only this symbol
    #[arg(long)]
    instrument: Option<String>,
    /// Tell why this order was sent and what became of it, e.g. `00000001-17`
    #[arg(long, value_parser = parse_order, value_name = "ORDER_ID", conflicts_with_all = ["speed", "step"])]
    explain: Option<OrderId>,
    /// Show what happens at the pace it happened: `1x`, `10x` or `max`
    #[arg(long, value_parser = parse_speed, conflicts_with = "step")]
    speed: Option<f64>,
    /// Show what happens step by step: Enter or t for the next tick, s for the next signal, o for the
    /// next order, q to stop
    #[arg(long)]
    step: bool,
    /// Replay on the threads of this layout and compare: auto, fused, split, pipeline, or `config` for
    /// the `[threads]` table of --config; results never differ, latencies do, and are shown
    #[arg(long, value_name = "LAYOUT", conflicts_with_all = ["explain", "speed", "step", "from", "until", "instrument"])]
    layout: Option<String>,
    /// What if: this gate threshold instead of the recorded one
    #[arg(long)]
    threshold: Option<f32>,
    /// What if: this configuration instead of the recorded one
    #[arg(long)]
    config: Option<PathBuf>,
    /// What if: this model instead of the recorded one
    #[arg(long, conflicts_with = "no_gate")]
    model: Option<PathBuf>,
    /// What if: every signal passes
    #[arg(long)]
    no_gate: bool,
}

fn parse_order(text: &str) -> Result<OrderId, String> {
    let error = || format!("expected an order id such as 00000001-17, found {text:?}");
    let (session, counter) = text.split_once('-').ok_or_else(error)?;
    let session = u32::from_str_radix(session, 16).map_err(|_| error())?;
    Ok(OrderId::new(session, counter.parse().map_err(|_| error())?))
}

/// A second that takes a quarter of an hour; a length of time has no room for much slower ones.
const SLOWEST: f64 = 0.001;

fn parse_speed(text: &str) -> Result<f64, String> {
    let factor = if text == "max" { Some(f64::INFINITY) } else { text.strip_suffix('x').and_then(|x| x.parse().ok()) };
    let factor = factor.filter(|factor: &f64| *factor >= SLOWEST);
    factor.ok_or_else(|| format!("expected 1x, 10x or max, and at least {SLOWEST}x, found {text:?}"))
}

/// What a replay runs with, and in what it is not what was recorded.
struct Plan {
    config: Config,
    instruments: InstrumentTable,
    oracle: Oracle,
    session: u32,
    changes: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`]; [`Failure::Different`] when a decision differs.
pub(super) fn run(arguments: &ReplayArguments) -> Result<(), Failure> {
    let session = SessionReader::open(&arguments.session)?;
    let plan = prepare(arguments, &session)?;
    let instrument = arguments.instrument.as_deref().map(|symbol| find_instrument(&session, symbol)).transpose()?;
    let mut engine = Engine::new(&plan.config.engine(), plan.oracle, &plan.instruments, plan.session)?;
    if let Some(order) = arguments.explain {
        let story = explain(&session, &plan.config, &plan.instruments, &mut engine, order)?.ok_or_else(|| {
            Failure::Usage(format!(
                "expected an order of this session, found none with id {order}; list them with `pawl journal dump {} --kind submit`",
                arguments.session.display()
            ))
        })?;
        return write!(std::io::stdout().lock(), "{story}").map_err(Failure::Output);
    }
    let shown = arguments.step || arguments.speed.is_some();
    if !shown {
        must_have_decided(&session, &arguments.session)?;
    }
    for change in &plan.changes {
        say(format_args!("what if: {change}"))?;
    }
    if let Some(name) = &arguments.layout {
        return on_layout(&session, engine, name, &plan.config.threads, plan.instruments.len());
    }
    let (from, until) = (arguments.from, arguments.until);
    if shown {
        let selection = Selection { instrument, from, until, ..Selection::default() };
        let pace = arguments.speed.map_or(Pace::Steps, Pace::Times);
        return show(&session, &mut engine, &selection, pace);
    }
    let scope = Scope { from, until, instrument, go_on: !plan.changes.is_empty() };
    let mut progress = Progress::new("replay", std::io::stderr().is_terminal());
    let verdict = compare(&session, &mut engine, &scope, |inputs| {
        if inputs.is_multiple_of(65_536) {
            progress.update(0, 0, inputs);
        }
    })?;
    progress.finish();
    judge(&session, &verdict, &scope, arguments.verify)
}

/// Refuses a session without an engine, as `pawl journal import` and `pawl record` write it: there is nothing to
/// compare with.
fn must_have_decided(session: &SessionReader, folder: &Path) -> Result<(), Failure> {
    let (mut inputs, mut outputs) = (session.stream(StreamName::Input)?, session.stream(StreamName::Output)?);
    if outputs.next_event().transpose()?.is_some() {
        return Ok(());
    }
    let mut empty = true;
    // An engine's session begins with it.
    while let Some(input) = inputs.next_event().transpose()? {
        empty = false;
        if input.kind == EventKind::Control && Control::of(&input).code == Some(ControlCode::Start) {
            return Ok(());
        }
    }
    if empty {
        return Ok(());
    }
    let folder = folder.display();
    Err(Failure::Usage(format!(
        "{folder}: this session holds market data only: nothing was decided, nothing to compare; use `pawl backtest {folder}`"
    )))
}

/// Replays on the threads of a layout, compares, and shows what the hops cost.
fn on_layout(
    session: &SessionReader,
    engine: Engine,
    name: &str,
    configured: &ThreadParams,
    instruments: usize,
) -> Result<(), Failure> {
    if session.is_being_written() {
        return Err(Failure::Usage(
            "--layout: expected a session that has ended, found one that a process is writing; wait for its end, or replay it without --layout"
                .into(),
        ));
    }
    let params = match name {
        "config" => configured.clone(),
        name => {
            let layout = name.parse().map_err(|error| Failure::Usage(format!("--layout: {error}")))?;
            ThreadParams { layout, ..ThreadParams::default() }
        }
    };
    let machine = Machine::read(&SystemFiles::of_this_machine());
    let layout = Layout::resolve(&params, &machine)?;
    let (verdict, recorders) = verify_on(session, engine, &layout, instruments)?;
    if let Some((recorded, recomputed)) = verdict.difference {
        let side = |event: Option<Event>| event.map_or_else(|| "nothing".to_owned(), |event| format!("{event:?}"));
        let (recorded, recomputed) = (side(recorded), side(recomputed));
        return Err(Failure::Different(format!(
            "different after {} equal outputs on {layout}\n  recorded   {recorded}\n  recomputed {recomputed}",
            verdict.outputs
        )));
    }
    let (inputs, outputs) = (verdict.inputs, verdict.outputs);
    say(format_args!("identical on {layout}: {inputs} inputs replayed, {outputs} outputs equal to the journal"))?;
    for (group, recorder) in layout.groups.iter().zip(recorders) {
        let rows = latency::frame_rows(&recorder.into_last_frame());
        let text = latency::latency_text(&rows, latency::Basis::Service);
        say(format_args!("\nThread {}, one input at a time\n{text}", group.name()))?;
    }
    Ok(())
}

/// The configuration and model to run with. What the user changed is named, and what somebody
/// changed in the session's folder too.
fn prepare(arguments: &ReplayArguments, session: &SessionReader) -> Result<Plan, Failure> {
    let (info, folder) = (session.info(), &arguments.session);
    let recorded = Config::parse(&info.config, &folder.join("session.toml"))?;
    let mut changes = Vec::new();
    let crc = format!("{:08x}", crc32c_portable(info.config.as_bytes()));
    if crc != info.config_crc && !info.config_crc.is_empty() {
        changes.push(format!(
            "the configuration in session.toml has CRC {crc}, the session ran with {}: somebody changed it",
            info.config_crc
        ));
    }
    let mut config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => recorded.clone(),
    };
    if let Some(threshold) = arguments.threshold {
        config.oracle.threshold = threshold;
    }
    for change in differing_keys(&config, &recorded) {
        changes.push(format!("{} = {} instead of the recorded {}", change.key, change.value, change.default));
    }
    let gate = gate(arguments, session, &mut changes)?;
    let instruments = InstrumentTable::new(info.instruments.iter().cloned())?;
    Ok(Plan { oracle: gate.oracle(&config)?, config, instruments, session: info.session, changes })
}

/// The model asked for, or its copy in the session's folder, or none if the session ran without.
fn gate(arguments: &ReplayArguments, session: &SessionReader, changes: &mut Vec<String>) -> Result<Gate, Failure> {
    let recorded = &session.info().model_crc;
    let ran_without = *recorded == format!("{:08x}", crc32c_portable(&[])) || recorded.is_empty();
    if arguments.no_gate {
        if !ran_without {
            changes.push("no model instead of the recorded one".to_owned());
        }
        return Ok(Gate::Open);
    }
    let copy = session.directory().join(MODEL_FILE);
    let path: &Path = arguments.model.as_deref().unwrap_or(&copy);
    if arguments.model.is_none() && !path.exists() {
        if !ran_without {
            changes.push(format!("no model: the copy of the recorded one (CRC {recorded}) is gone from the folder"));
        }
        return Ok(Gate::Open);
    }
    let crc = format!("{:08x}", crc32c_portable(&read_file(path)?));
    if crc != *recorded && !recorded.is_empty() {
        changes.push(format!("model {} (CRC {crc}) instead of the recorded one (CRC {recorded})", path.display()));
    }
    Gate::read(path)
}

/// Says what the replay found.
fn judge(session: &SessionReader, verdict: &Verdict, scope: &Scope, strict: bool) -> Result<(), Failure> {
    let what_if = scope.go_on;
    let unrecorded = verdict.unrecorded.len();
    if verdict.being_written {
        let open = if unrecorded == 0 {
            String::new()
        } else {
            format!("; {unrecorded} decisions on the last input are not recorded yet")
        };
        say(format_args!("note: a process is writing this session: compared up to what there is by now{open}"))?;
    } else if unrecorded > 0 {
        say(format_args!(
            "note: the journal ends inside its last input: {unrecorded} decisions on it were not recorded, so nothing of them was sent"
        ))?;
    }
    if verdict.orphans > 0 {
        return Err(Failure::Different(format!(
            "{} recorded outputs name causes that the journal does not hold: inputs were lost (a power failure?); {} outputs before are equal",
            verdict.orphans, verdict.outputs
        )));
    }
    let Some(difference) = &verdict.difference else {
        let (inputs, outputs) = (verdict.inputs, verdict.outputs);
        let whole = scope.from.is_none() && scope.until.is_none() && scope.instrument.is_none();
        if outputs == 0 && !whole {
            return say(format_args!(
                "nothing was compared: {inputs} inputs replayed, no output of theirs is in what was asked for"
            ));
        }
        return say(if what_if {
            format!("no difference: {inputs} inputs replayed, {outputs} outputs as recorded")
        } else {
            format!("identical: {inputs} inputs replayed, {outputs} outputs equal to the journal")
        });
    };
    let description = describe(session, difference);
    if !what_if {
        return Err(Failure::Different(format!("different after {} equal outputs\n{description}", verdict.outputs)));
    }
    say(format_args!("first difference, after {} equal outputs:\n{description}\n", difference.after))?;
    let row =
        |name, count: GateCount| format!("  {name:<10} {:>8} signals  {:>8} approved", count.signals, count.approved);
    say(format!("{}\n{}", row("recorded", verdict.recorded), row("what if", verdict.recomputed)))?;
    say(format!("  {} answers changed, {} outputs differ", verdict.changed.len(), verdict.different))?;
    for changed in verdict.changed.iter().take(10) {
        let answer = |event: Option<Event>| match event.map(|event| Decision::of(&event)) {
            Some(d) => format!("{:.4} {}", d.probability, d.action.map_or("unknown", |action| action.name())),
            None => "no signal".to_owned(),
        };
        let symbol = symbol(session, &changed.cause);
        say(format!(
            "    {} {symbol} #{}: {} -> {}",
            changed.cause.local_ns,
            changed.cause.sequence,
            answer(changed.recorded),
            answer(changed.recomputed)
        ))?;
    }
    if verdict.changed.len() > 10 {
        say(format!("    and {} more", verdict.changed.len() - 10))?;
    }
    say(
        "  The venue's answers are the recorded ones, so orders after the first difference are not what a venue\n  would have made of them: `pawl backtest SESSION` trades the recorded market anew.",
    )?;
    if strict { Err(Failure::Different("the what-if differs from the recording".into())) } else { Ok(()) }
}

fn symbol<'a>(session: &'a SessionReader, event: &Event) -> &'a str {
    session.info().instruments.get(event.instrument.index()).map_or("-", |spec| spec.symbol.as_str())
}

fn describe(session: &SessionReader, difference: &Difference) -> String {
    let side = |event: &Option<Event>| match event {
        Some(event) => format!("{event:?}"),
        None => "nothing".to_owned(),
    };
    let mut text = format!(
        "  cause      {} {:?}\n  recorded   {}\n  recomputed {}",
        symbol(session, &difference.cause),
        difference.cause,
        side(&difference.recorded),
        side(&difference.recomputed)
    );
    if let (Some(old), Some(new)) = (difference.recorded, difference.recomputed)
        && old.kind == new.kind
    {
        for ((name, old), (_, new)) in payload_fields(&old).into_iter().zip(payload_fields(&new)) {
            // Compared as text: a NaN is equal to itself here.
            if old.to_string() != new.to_string() {
                // Writing to a string cannot fail.
                let _ = write!(text, "\n    {name}: recorded {old}, recomputed {new}");
            }
        }
    }
    text
}

/// How a session is shown.
#[derive(Clone, Copy)]
enum Pace {
    /// So many times faster than it happened.
    Times(f64),
    /// When the user says so.
    Steps,
}

/// Shows what the engine is told and decides, as it goes.
fn show(session: &SessionReader, engine: &mut Engine, selection: &Selection, pace: Pace) -> Result<(), Failure> {
    let being_written = session.is_being_written();
    let (mut inputs, mut outbox) = (session.stream(StreamName::Input)?, Outbox::new());
    let mut stepper = Stepper { wanted: Step::Tick, passed: 0, began: None };
    if matches!(pace, Pace::Steps) {
        eprintln!("Enter or t: next tick   s: next signal   o: next order   q: stop");
        if !stepper.ask()? {
            return Ok(());
        }
    }
    while let Some(input) = inputs.next_event().transpose()? {
        engine.on_event(&input, &mut outbox, &mut NoProbe);
        if selection.is_over(&input) {
            return Ok(());
        }
        let outputs: Vec<Event> = outbox.events().iter().filter(|event| selection.wants(event)).copied().collect();
        if !selection.wants(&input) && outputs.is_empty() {
            continue;
        }
        match pace {
            Pace::Times(factor) => {
                stepper.wait_until(input.local_ns, factor);
                // At full speed the ticks themselves would only rush by.
                let quiet = factor.is_infinite() && matches!(input.kind, EventKind::Quote | EventKind::Trade);
                print_step(session, (!quiet || !outputs.is_empty()).then_some(&input), &outputs)?;
            }
            Pace::Steps => {
                if !stepper.is_reached(&outputs) {
                    stepper.passed += 1;
                    continue;
                }
                if stepper.passed > 0 {
                    say(format_args!("  ({} inputs passed)", stepper.passed))?;
                }
                print_step(session, Some(&input), &outputs)?;
                stepper.passed = 0;
                if !stepper.ask()? {
                    return Ok(());
                }
            }
        }
    }
    if !being_written {
        inputs.check_end()?;
    }
    say("the journal ends here")
}

fn print_step(session: &SessionReader, input: Option<&Event>, outputs: &[Event]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut line = |mark: &str, event: &Event| {
        let (time, side) = (event.local_ns, side_name(event));
        writeln!(out, "{time} {mark} #{:<8} {:<8} {} {side}", event.sequence, symbol(session, event), plain(event))
            .map_err(Failure::Output)
    };
    if let Some(input) = input {
        line(">", input)?;
    }
    outputs.iter().try_for_each(|output| line("    <", output))
}

/// What the user waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Tick,
    Signal,
    Order,
}

struct Stepper {
    wanted: Step,
    passed: u64,
    began: Option<(Instant, Nanos)>,
}

impl Stepper {
    /// Asks what to go to; false to stop.
    fn ask(&mut self) -> Result<bool, Failure> {
        loop {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            let read = read.map_err(|source| Failure::File { verb: "read", path: "standard input".into(), source })?;
            self.wanted = match line.trim() {
                _ if read == 0 => return Ok(false),
                "" | "t" => Step::Tick,
                "s" => Step::Signal,
                "o" => Step::Order,
                "q" => return Ok(false),
                other => {
                    eprintln!("expected Enter, t, s, o or q, found {other:?}");
                    continue;
                }
            };
            return Ok(true);
        }
    }

    fn is_reached(&self, outputs: &[Event]) -> bool {
        let has = |kind| outputs.iter().any(|event| event.kind == kind);
        match self.wanted {
            Step::Tick => true,
            Step::Signal => has(EventKind::Signal),
            Step::Order => has(EventKind::Submit),
        }
    }

    /// Sleeps until the instant, counted from the first one, is due.
    fn wait_until(&mut self, now: Nanos, factor: f64) {
        let (began, first) = *self.began.get_or_insert((Instant::now(), now));
        let due = Duration::from_nanos(now.since(first).0).div_f64(factor);
        if let Some(ahead) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(ahead);
        }
    }
}

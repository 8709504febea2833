//! The demo in virtual time: the synthetic market and the whole engine in one thread.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::core::{InstrumentTable, Money, Nanos, Span};
use crate::engine::Engine;
use crate::report::Collector;
use crate::venue::paper::PaperVenue;
use crate::venue::paper::synthetic::{self, SyntheticMarket};
use crate::worlds::session::Session;

use super::DemoArguments;
use crate::cli::Failure;
use crate::cli::common::{DEMO_MODEL, Gate, Print, Unfinished, log_latency, print_outcome, say};

/// Monday 2024-01-01 00:00 UTC, where every demo begins.
const START: Nanos = Nanos(1_704_067_200_000_000_000);

/// Costs and threshold that the demo's model was trained for.
const DEMO_CONFIG: &str = include_str!("../../../models/demo.toml");

/// The synthetic market and its instruments.
pub(in crate::cli) fn synthetic_market(
    seed: u64,
    instruments: usize,
    hours: u64,
) -> Result<(InstrumentTable, SyntheticMarket), Failure> {
    let table = InstrumentTable::new(synthetic::specs(instruments))?;
    Ok((table, SyntheticMarket::new(seed, instruments, START, Span::seconds(hours * 3600))))
}

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    let print = Print::from_flags(arguments.json, arguments.timings);
    let mut config = Config::parse(DEMO_CONFIG, Path::new("models/demo.toml"))?;
    config.paper.seed = arguments.seed;
    let gate = if arguments.no_gate { Gate::Open } else { Gate::shipped(DEMO_MODEL, "models/demo.json") };
    let (instruments, market) = synthetic_market(arguments.seed, usize::from(arguments.instruments), arguments.hours)?;
    let balance = Money::whole(10_000);
    let engine = Engine::new(&config.engine(), gate.oracle(&config)?, &instruments, 1)?;
    let venue = PaperVenue::new(&config.paper, &instruments)?;
    let journal = arguments.journal.as_deref();
    let journal = journal.map(|directory| Unfinished::create(directory, &config, &gate, &instruments));
    let (unfinished, journal) = journal.transpose()?.unzip();
    let collector = Collector::new(&instruments, balance, "USD");
    let mut session = Session::new(engine, venue, collector, journal);
    if let Some(directory) = &arguments.journal {
        log_latency(&mut session, directory)?;
    }
    if !print.is_json() {
        say(format_args!(
            "pawl demo: {} synthetic instruments, {} hours of market time, seed {}. Synthetic prices: not evidence of profit.\nA fill costs {} bp, which is more than the rule earns; the gate passes p > {} ({}).\n",
            arguments.instruments,
            arguments.hours,
            arguments.seed,
            config.paper.fee_basis_points,
            config.oracle.threshold,
            if arguments.no_gate { "and is off: this is the rule alone" } else { "--no-gate shows the rule alone" }
        ))?;
    }
    session.start(balance, START)?;
    let show = std::io::stderr().is_terminal();
    let pace = Pace::new(arguments.seconds, arguments.hours);
    let (mut events, mut working) = (0u64, Duration::ZERO);
    let mut batch_began = Instant::now();
    for event in market {
        session.on_market(&event)?;
        events += 1;
        if events.is_multiple_of(16_384) {
            working += batch_began.elapsed();
            pace.wait_until(event.local_ns);
            if show {
                let profit = session.equity().to_f64() - balance.to_f64();
                eprint!(
                    "\r  {}  {events:>9} events  {:>5} trades  equity {:>12.2} USD ({profit:+.2})\x1b[K",
                    &event.local_ns.to_string()[..19],
                    session.trades().len(),
                    session.equity().to_f64(),
                );
                // A terminal that cannot be flushed only misses one line.
                let _ = std::io::stderr().flush();
            }
            batch_began = Instant::now();
        }
    }
    working += batch_began.elapsed();
    if show {
        eprint!("\r\x1b[K");
    }
    let outcome = session.finish(&instruments)?;
    if let Some(unfinished) = unfinished {
        unfinished.keep();
    }
    print_outcome(&outcome, &instruments, 0, print, events as f64 / working.as_secs_f64())
}

/// Spreads the market's hours over the seconds to show.
struct Pace {
    began: Instant,
    show: Duration,
    span: Duration,
}

impl Pace {
    fn new(seconds: u64, hours: u64) -> Self {
        Self { began: Instant::now(), show: Duration::from_secs(seconds), span: Duration::from_secs(hours * 3600) }
    }

    fn wait_until(&self, now: Nanos) {
        let done = Duration::from_nanos(now.since(START).0).as_secs_f64() / self.span.as_secs_f64();
        let due = self.show.mul_f64(done.min(1.0));
        if let Some(ahead) = due.checked_sub(self.began.elapsed()) {
            std::thread::sleep(ahead);
        }
    }
}

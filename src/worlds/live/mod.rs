//! The live world: a venue's market data into the engine, the engine's orders to the venue, and the
//! guardian shown how it stands. The same two sides run on the threads of every layout, fused included
//! (`engine::threads`), so that there is one way a session is run.
//!
//! | file | what |
//! |---|---|
//! | `wire`, `binance_wire`, `paper_wire` | what a venue is to a session, and the venues |
//! | `prepare` | what is asked of the venue before the first connection |
//! | `market` | the market's side: sockets, and how long bytes lay and took |
//! | `orders` | the order side: order connection, journal, guardian, snapshot |
//! | `ending`, `stops`, `room`, `gauges` | its parts: the end, why entries stop, a full disk, the page |
//! | `poller`, `clock` | how a thread with sockets sleeps, what time it is |
//! | `record`, `demo_record` | market data alone; what `mode = "live"` wants to see first |

pub mod binance_wire;
mod clock;
pub mod demo_record;
mod ending;
mod gauges;
mod market;
mod orders;
mod paper_wire;
pub mod poller;
pub mod prepare;
pub mod record;
mod room;
mod stops;
mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::config::live::LiveParams;
use crate::core::payload::ControlCode;
use crate::core::{InstrumentId, InstrumentTable, Money, Nanos, Qty};
use crate::engine::Engine;
use crate::engine::intake::IntakeCounters;
use crate::engine::layout::Layout;
use crate::engine::threads::{Ended, RunError, RunOptions, Switch, Watch, run_watched};
use crate::feed::FeedCounters;
use crate::journal::{JournalError, SessionWriter};
use crate::report::latency::{LatencyError, LatencyLog, LatencyRow, Recorder, Spans};
use crate::report::{Collector, Summary, TradeRecord};
use crate::snapshot::{EnginePage, GuardianWatch};

use super::session::measured;
use clock::Meeting;
use ending::End;
use gauges::Gauges;
use market::LiveMarket;
use orders::{LiveOrders, Records};
use poller::Pollers;
use room::Room;
use stops::Stops;

pub use clock::{session_clock, wall_drift};
pub use ending::Ending;
pub use wire::{MarketWire, OrderWire};

/// Words and answers that may wait for the order manager without memory being asked for.
const SAID: usize = 256;

/// What a session leaves behind.
pub struct LiveOutcome {
    /// How it ended.
    pub ending: Ending,
    /// Why, when a thread failed.
    pub failure: Option<String>,
    /// The trader's summary.
    pub summary: Summary,
    /// Every closed trade.
    pub trades: Vec<TradeRecord>,
    /// Nanoseconds by hop and thread; totals from the read that brought the event.
    pub latency: Vec<LatencyRow>,
    /// Why the latency log is not whole, if it is not.
    pub latency_error: Option<LatencyError>,
    /// Inputs given to the engine.
    pub inputs: u64,
    /// Records that found no place in the journal, and market data that was withheld for lack of one.
    pub not_stored: u64,
    /// What was conflated while a ring was full.
    pub intake: IntakeCounters,
    /// What the feed counted.
    pub feed: FeedCounters,
    /// The last thing that went wrong with the connections.
    pub trouble: Option<String>,
}

/// Why a session has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A thread could not be set up; nothing had begun.
    #[error(transparent)]
    Run(RunError),
    /// The journal cannot be closed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What a session is made of.
pub struct LiveSetup<M, O> {
    /// The venue's market data, its sockets registered with the pollers.
    pub market: M,
    /// The account, its sockets registered with the pollers.
    pub orders: O,
    /// Who sleeps on which sockets.
    pub pollers: Pollers,
    /// Which stages share a thread.
    pub layout: Layout,
    /// The stages, fresh.
    pub engine: Engine,
    /// The session's journal, with its helper thread.
    pub journal: SessionWriter,
    /// The engine's page of shared memory, with a progress cell a thread.
    pub page: EnginePage,
    /// The watch on the guardian's.
    pub guardian: GuardianWatch,
    /// What is traded.
    pub instruments: InstrumentTable,
    /// Cash to start with; the first reconciliation replaces it.
    pub balance: Money,
    /// What was owned before, by instrument: no position.
    pub baselines: Vec<(InstrumentId, Qty)>,
    /// Currency of the account.
    pub currency: String,
    /// How it is run.
    pub params: LiveParams,
    /// Where latencies are written, with a recorder a thread.
    pub latency: (LatencyLog, Vec<Recorder>),
}

/// Runs a session until it is told to stop: `signals` counts how often. First the engine is told its
/// balance and what is not its own.
///
/// # Errors
/// A thread cannot be set up, or the journal cannot be closed. A thread that fails later is an
/// [`Ending`].
pub fn run<M: MarketWire, O: OrderWire>(
    setup: LiveSetup<M, O>,
    signals: &Arc<AtomicUsize>,
) -> Result<LiveOutcome, LiveError> {
    let switch = Arc::new(Switch::default());
    let (log, recorders) = setup.latency;
    let (Some(first), Some(last)) = (recorders.first(), recorders.last()) else {
        unreachable!("an engine has at least one thread")
    };
    let (room, layout) = (Arc::new(Room::default()), setup.layout);
    let market = LiveMarket::new(setup.market, setup.pollers.market, Arc::clone(&room), Spans::of(first));
    let mut orders = LiveOrders {
        wire: setup.orders,
        poller: setup.pollers.orders,
        journal: Some(setup.journal),
        gauges: Gauges::new(&setup.instruments),
        collector: Collector::new(&setup.instruments, setup.balance, &setup.currency),
        guardian: setup.guardian,
        stops: Stops::default(),
        end: End::new(&setup.params, Arc::clone(signals)),
        room,
        switch: Arc::clone(&switch),
        meeting: Meeting::now(last.clock()),
        spans: Spans::of(last),
        by_bytes: false,
        said: Vec::with_capacity(SAID),
        inputs: 0,
        last: Nanos::NONE,
        next_sample: Nanos::NONE,
        next_ask: Nanos::NONE,
        snapshots: 0,
        records: Records::default(),
        page: setup.page,
    };
    let now = session_clock();
    orders.say(ControlCode::Start, InstrumentId(0), setup.balance, now);
    for (id, owned) in setup.baselines {
        orders.say(ControlCode::Baseline, id, Money::from_units(owned.units()), now);
    }
    let watch = |(thread, recorder)| Watch { recorder, progress: orders.page.progress(thread) };
    let watches = recorders.into_iter().enumerate().map(watch).collect();
    let options = RunOptions::new(setup.instruments.len());
    let ended = run_watched(setup.engine, (market, orders), &layout, watches, &options, &switch);
    outcome(ended, log, &setup.instruments)
}

/// Closes what is still open and puts the report together.
fn outcome<M: MarketWire, O: OrderWire>(
    ended: Ended<LiveMarket<M>, LiveOrders<O>>,
    log: LatencyLog,
    instruments: &InstrumentTable,
) -> Result<LiveOutcome, LiveError> {
    let Ended { mut market, mut orders, engine, inputs, intake, recorders, result, .. } = ended;
    let trouble = orders.wire.trouble().or_else(|| market.trouble());
    market.cut();
    let failure = match result {
        Ok(()) => None,
        Err(failed @ RunError::Failed(_)) => Some(failed.to_string()),
        Err(error) => {
            // Nothing had begun; the journal holds nothing, but it was opened.
            if let Some(journal) = orders.journal.take() {
                journal.close()?;
            }
            return Err(LiveError::Run(error));
        }
    };
    orders.finish(engine.oms());
    if let Some(error) = orders.records.failure.take() {
        return Err(error.into());
    }
    let (latency, latency_error) = measured(recorders, Some(log));
    let trades = orders.collector.trades().to_vec();
    Ok(LiveOutcome {
        ending: orders.end.ending().unwrap_or(Ending::Failed),
        failure,
        summary: orders.collector.finish(engine.equity(), engine.oms().open_lots()),
        trades,
        latency,
        latency_error,
        inputs,
        not_stored: orders.records.not_stored + market.withheld(),
        intake,
        feed: engine.feed_counters(instruments),
        trouble,
    })
}

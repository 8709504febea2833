//! Feeds a journal to the engine on the threads of a layout and compares every decision: the proof, on
//! the user's own machine and session, that a layout changes latency and nothing else.
//!
//! Market inputs go through the first thread as fast as it takes them; everything else reaches the
//! order manager when all that was recorded before it has. So the order is that of the recording.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::core::{Event, Nanos};
use crate::engine::clock::StampClock;
use crate::engine::intake::Intake;
use crate::engine::layout::Layout;
use crate::engine::threads::{Activity, Ended, Fault, MarketSide, OrderSide, RunError, RunOptions, Switch, run};
use crate::engine::{Engine, is_market_side};
use crate::journal::{JournalError, SessionReader, StreamName, StreamReader};
use crate::oms::Oms;
use crate::report::latency::Recorder;

/// Market events that one poll pushes.
const BURST: usize = 64;

/// What a replay on a layout found.
#[derive(Clone, Debug, Default)]
pub struct LayoutVerdict {
    /// Inputs replayed.
    pub inputs: u64,
    /// Outputs that were equal.
    pub outputs: u64,
    /// The first output that was not: recorded, recomputed.
    pub difference: Option<(Option<Event>, Option<Event>)>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum LayoutReplayError {
    /// The journal is damaged or cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The threads did not start or did not end well.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Replays a session on a layout, up to the first difference. Returns the verdict and a recorder a
/// thread, in the order of the layout's.
///
/// # Errors
/// The journal is damaged, or a thread cannot be set up.
pub fn verify_on(
    session: &SessionReader,
    engine: Engine,
    layout: &Layout,
    instruments: usize,
) -> Result<(LayoutVerdict, Vec<Recorder>), LayoutReplayError> {
    let being_written = session.is_being_written();
    let clock = StampClock::calibrate();
    let market = Market { stream: session.stream(StreamName::Input)?, clock, failed: None };
    let (inputs, outputs) = (session.stream(StreamName::Input)?, session.stream(StreamName::Output)?);
    let orders = Orders { inputs, ahead: VecDeque::new(), outputs, verdict: LayoutVerdict::default() };
    // One at a time, so that the order of the recording is kept to the event.
    let options = RunOptions { batch: 1, ..RunOptions::new(instruments) };
    let recorders = layout.groups.iter().map(|_| Recorder::local(clock)).collect();
    let Ended { market, mut orders, recorders, result, .. } =
        run(engine, (market, orders), layout, recorders, &options, &Arc::new(Switch::default()));
    if let Some(error) = market.failed {
        return Err(error.into());
    }
    if orders.verdict.difference.is_none() {
        result?;
        if !being_written {
            // Inputs behind a hole were not replayed: what was decided on them is no difference.
            orders.inputs.check_end()?;
        }
        if let Some(recorded) = orders.outputs.next_event().transpose()? {
            orders.verdict.difference = Some((Some(recorded), None));
        } else if !being_written {
            orders.outputs.check_end()?;
        }
    }
    Ok((orders.verdict, recorders))
}

/// The market's side of a journal.
struct Market {
    stream: StreamReader,
    clock: StampClock,
    failed: Option<JournalError>,
}

impl MarketSide for Market {
    fn poll(&mut self, intake: &mut Intake) -> Activity {
        if intake.is_congested() {
            // A recording is not to be conflated: it waits.
            return Activity::Idle;
        }
        for _ in 0..BURST {
            match self.stream.next_event() {
                None => return Activity::End,
                Some(Err(error)) => {
                    self.failed = Some(error);
                    return Activity::End;
                }
                Some(Ok(event)) if is_market_side(&event) => intake.push(event, self.clock.now()),
                Some(Ok(_)) => {}
            }
        }
        Activity::Busy
    }

    fn now(&mut self) -> Nanos {
        // Timers are in the recording; none is made here.
        Nanos::NONE
    }
}

/// The rest of a journal, and what was decided then.
struct Orders {
    inputs: StreamReader,
    /// Inputs that must be told next, as far as they have been read.
    ahead: VecDeque<Event>,
    outputs: StreamReader,
    verdict: LayoutVerdict,
}

impl Orders {
    /// Reads on until the inputs ahead hold one of the market, or the recording is at its end.
    fn read_ahead(&mut self) -> Result<(), JournalError> {
        while !self.ahead.back().is_some_and(is_market_side) {
            let Some(input) = self.inputs.next_event().transpose()? else { break };
            self.ahead.push_back(input);
        }
        Ok(())
    }
}

impl OrderSide for Orders {
    fn poll(&mut self, inbox: &mut Vec<Event>) -> Activity {
        // A journal that cannot be read on ends the market's side as well, which tells.
        let _ = self.read_ahead();
        inbox.extend(self.ahead.iter().take_while(|input| !is_market_side(input)));
        match (self.ahead.is_empty(), inbox.is_empty()) {
            (true, _) => Activity::End,
            (false, true) => Activity::Idle,
            (false, false) => Activity::Busy,
        }
    }

    fn now(&mut self) -> Nanos {
        Nanos::NONE
    }

    fn store(&mut self, input: &Event) -> Result<u64, Fault> {
        self.read_ahead().map_err(|error| Fault(error.to_string()))?;
        let expected = self.ahead.pop_front();
        let expected = expected.ok_or_else(|| Fault(format!("told {input:?} after the last recorded input")))?;
        if input.sealed(expected.sequence) != expected {
            return Err(Fault(format!("told {input:?} where {expected:?} was recorded")));
        }
        self.verdict.inputs += 1;
        Ok(expected.sequence)
    }

    fn decided(&mut self, _input: &Event, outputs: &[Event], _oms: &Oms) -> Result<(), Fault> {
        for output in outputs {
            let recorded = self.outputs.next_event().transpose().map_err(|error| Fault(error.to_string()))?;
            if recorded != Some(output.sealed(output.sequence)) {
                self.verdict.difference = Some((recorded, Some(*output)));
                return Err(Fault("a decision differs".into()));
            }
            self.verdict.outputs += 1;
        }
        Ok(())
    }
}

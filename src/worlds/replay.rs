//! Feeds a journal's `input` to a fresh engine and compares every decision with `output`.

use crate::core::{Event, EventKind, InstrumentId, Nanos};
use crate::engine::{Engine, NoProbe};
use crate::journal::{JournalError, SessionReader, StreamName};
use crate::oms::Outbox;

/// The first place where recorded and recomputed decisions differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The input that caused it.
    pub cause: Event,
    /// What the journal holds; `None` when it holds nothing more.
    pub recorded: Option<Event>,
    /// What the engine decides now; `None` when it decides nothing more.
    pub recomputed: Option<Event>,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Inputs replayed.
    pub inputs: u64,
    /// Outputs that were equal.
    pub outputs: u64,
    /// The first difference, if any.
    pub difference: Option<Difference>,
}

/// Replays a session into `engine`, built from the session's own configuration and model.
/// `progress` is told inputs read so far.
///
/// # Errors
/// The journal is damaged or cannot be read.
pub fn verify(
    session: &SessionReader,
    engine: &mut Engine,
    mut progress: impl FnMut(u64),
) -> Result<Verdict, JournalError> {
    let mut inputs = session.stream(StreamName::Input)?;
    let mut outputs = session.stream(StreamName::Output)?;
    let mut outbox = Outbox::new();
    let mut verdict = Verdict::default();
    let mut last = Event::new(EventKind::Timer, InstrumentId(0), Nanos::NONE, Nanos::NONE, [0; 4]);
    while let Some(input) = inputs.next_event() {
        let input = input?;
        verdict.inputs += 1;
        progress(verdict.inputs);
        engine.on_event(&input, &mut outbox, &mut NoProbe);
        for recomputed in outbox.events() {
            let recorded = outputs.next_event().transpose()?;
            // The engine numbers its outputs; the CRC belongs to the record, not to the decision.
            let same = recorded.is_some_and(|recorded| recomputed.sealed(recomputed.sequence) == recorded);
            if !same {
                let difference = Difference { cause: input, recorded, recomputed: Some(*recomputed) };
                verdict.difference = Some(difference);
                return Ok(verdict);
            }
            verdict.outputs += 1;
        }
        last = input;
    }
    if let Some(recorded) = outputs.next_event().transpose()? {
        verdict.difference = Some(Difference { cause: last, recorded: Some(recorded), recomputed: None });
    }
    Ok(verdict)
}

//! Feeds a journal's `input` to a fresh engine and compares every decision with `output`.
//!
//! Outputs are compared by their cause: all that one input made the engine decide, recorded and
//! recomputed. So a what-if comparison finds its way again after a difference.

use crate::core::payload::{Action, Decision};
use crate::core::{Event, EventKind, InstrumentId, Payload};
use crate::engine::{Engine, NoProbe};
use crate::journal::{JournalError, Position, Selection, SessionReader, StreamName, StreamReader};
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
    /// Outputs that were compared before it, and equal.
    pub after: u64,
}

/// What is compared.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Outputs from here on; the inputs before are replayed all the same.
    pub from: Option<Position>,
    /// The replay ends here.
    pub until: Option<Position>,
    /// Only this instrument's outputs.
    pub instrument: Option<InstrumentId>,
    /// Go on after the first difference, for a what-if comparison.
    pub go_on: bool,
}

/// What the gate said, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GateCount {
    /// Raw signals.
    pub signals: u64,
    /// Of those, approved.
    pub approved: u64,
}

/// A signal that was answered otherwise.
#[derive(Debug, Clone)]
pub struct ChangedAnswer {
    /// The tick that raised it.
    pub cause: Event,
    /// The recorded answer; `None` when there was no signal.
    pub recorded: Option<Event>,
    /// The recomputed answer; `None` when there is no signal.
    pub recomputed: Option<Event>,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Inputs replayed.
    pub inputs: u64,
    /// Outputs that were equal.
    pub outputs: u64,
    /// Outputs that were not.
    pub different: u64,
    /// The first difference, if any.
    pub difference: Option<Difference>,
    /// Decisions on the very last input that the journal does not hold: its writer died between the
    /// two, or is alive and has not stored them yet. What [`crate::journal::SessionWriter::resume`]
    /// goes on with, after a replay.
    pub unrecorded: Vec<Event>,
    /// A process was writing the session when the replay began: its end was not judged.
    pub being_written: bool,
    /// Recorded outputs whose cause the journal does not hold.
    pub orphans: u64,
    /// The gate as recorded.
    pub recorded: GateCount,
    /// The gate as recomputed.
    pub recomputed: GateCount,
    /// Answers that changed; with [`Scope::go_on`], all of them.
    pub changed: Vec<ChangedAnswer>,
}

/// Recorded outputs, by their cause.
struct Recorded {
    stream: StreamReader,
    waiting: Option<Event>,
    ended: bool,
}

impl Recorded {
    /// Adds the outputs of this cause, and any that was passed over, to `into`.
    fn take(&mut self, cause: u64, into: &mut Vec<Event>) -> Result<(), JournalError> {
        loop {
            if self.waiting.is_none() && !self.ended {
                self.waiting = self.stream.next_event().transpose()?;
                self.ended = self.waiting.is_none();
            }
            match self.waiting {
                Some(output) if output.venue_ns.0 <= cause => {
                    into.push(output);
                    self.waiting = None;
                }
                _ => return Ok(()),
            }
        }
    }

    fn is_over(&self) -> bool {
        self.ended && self.waiting.is_none()
    }
}

/// Replays a whole session into `engine`, built from the session's own configuration and model, up
/// to the first difference. `progress` is told inputs read so far. Afterwards the engine stands
/// where the recorded one stood.
///
/// # Errors
/// The journal is damaged or cannot be read.
pub fn verify(
    session: &SessionReader,
    engine: &mut Engine,
    progress: impl FnMut(u64),
) -> Result<Verdict, JournalError> {
    compare(session, engine, &Scope::default(), progress)
}

/// Replays a session into any `engine` and compares what is in scope.
///
/// # Errors
/// As [`verify`].
pub fn compare(
    session: &SessionReader,
    engine: &mut Engine,
    scope: &Scope,
    mut progress: impl FnMut(u64),
) -> Result<Verdict, JournalError> {
    let mut inputs = session.stream(StreamName::Input)?;
    let mut outputs = Recorded { stream: session.stream(StreamName::Output)?, waiting: None, ended: false };
    let selection = Selection {
        stream: Some(StreamName::Output),
        instrument: scope.instrument,
        from: scope.from,
        until: scope.until,
        ..Selection::default()
    };
    let (mut outbox, mut recorded, mut recomputed) = (Outbox::new(), Vec::new(), Vec::new());
    let mut verdict = Verdict { being_written: session.is_being_written(), ..Verdict::default() };
    let mut next = inputs.next_event().transpose()?;
    while let Some(input) = next {
        if selection.is_over(&input) {
            return Ok(verdict);
        }
        verdict.inputs += 1;
        progress(verdict.inputs);
        engine.on_event(&input, &mut outbox, &mut NoProbe);
        next = inputs.next_event().transpose()?;
        recorded.clear();
        outputs.take(input.sequence, &mut recorded)?;
        if recorded.len() < outbox.events().len() && outputs.is_over() {
            // A living writer may have decided since the outputs were seen to end. It stores all decisions on an input
            // before the next input: where there is a next one, what is missing now is missing for good.
            outputs.ended = false;
            outputs.take(input.sequence, &mut recorded)?;
        }
        if recorded.is_empty() && outbox.events().is_empty() {
            continue;
        }
        recorded.retain(|event| selection.wants(event));
        recomputed.clear();
        recomputed.extend(outbox.events().iter().filter(|event| selection.wants(event)).copied());
        if next.is_none() && outputs.is_over() && is_beginning(&recorded, &recomputed) {
            verdict.unrecorded = recomputed.split_off(recorded.len());
        }
        verdict.add(&input, &recorded, &recomputed, scope.go_on);
        if verdict.difference.is_some() && !scope.go_on {
            return Ok(verdict);
        }
    }
    if verdict.being_written {
        // What is decided on later inputs is no orphan, and what lies behind the end is no loss.
        return Ok(verdict);
    }
    recorded.clear();
    outputs.take(u64::MAX, &mut recorded)?;
    verdict.orphans = recorded.iter().filter(|event| selection.wants(event)).count() as u64;
    inputs.check_end()?;
    outputs.stream.check_end()?;
    Ok(verdict)
}

/// The engine numbers its outputs and the journal its records; the CRC belongs to the record.
fn is_same(recorded: &Event, recomputed: &Event) -> bool {
    recomputed.sealed(recorded.sequence) == *recorded
}

fn is_beginning(recorded: &[Event], recomputed: &[Event]) -> bool {
    recorded.len() < recomputed.len() && recorded.iter().zip(recomputed).all(|(old, new)| is_same(old, new))
}

impl Verdict {
    fn add(&mut self, cause: &Event, recorded: &[Event], recomputed: &[Event], keep_changed: bool) {
        for at in 0..recorded.len().max(recomputed.len()) {
            let (old, new) = (recorded.get(at).copied(), recomputed.get(at).copied());
            if old.zip(new).is_some_and(|(old, new)| is_same(&old, &new)) {
                self.outputs += 1;
                continue;
            }
            self.different += 1;
            let after = self.outputs;
            self.difference.get_or_insert(Difference { cause: *cause, recorded: old, recomputed: new, after });
        }
        self.recorded.add(recorded);
        self.recomputed.add(recomputed);
        if keep_changed {
            let answer = |events: &[Event]| events.iter().find(|event| event.kind == EventKind::Decision).copied();
            let (old, new) = (answer(recorded), answer(recomputed));
            let action = |event: Option<Event>| event.map(|event| Decision::of(&event).action);
            if action(old) != action(new) {
                self.changed.push(ChangedAnswer { cause: *cause, recorded: old, recomputed: new });
            }
        }
    }

    /// True when everything that was compared is equal and nothing is missing before the last input.
    pub fn is_identical(&self) -> bool {
        self.difference.is_none() && self.orphans == 0
    }
}

impl GateCount {
    fn add(&mut self, events: &[Event]) {
        for event in events.iter().filter(|event| event.kind == EventKind::Decision) {
            self.signals += 1;
            let action = Decision::of(event).action;
            self.approved += u64::from(matches!(action, Some(Action::ExecuteBuy | Action::ExecuteSell)));
        }
    }
}

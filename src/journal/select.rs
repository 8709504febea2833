//! Both streams of a session as one story: each input followed by what it made the engine decide;
//! and which records of it somebody wants to see.

use crate::core::payload::Side;
use crate::core::{Event, EventKind, InstrumentId, Nanos};

use super::{JournalError, SessionReader, StreamName, StreamReader};

/// Which records are wanted. The default wants all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only this stream.
    pub stream: Option<StreamName>,
    /// Only these kinds; empty for all.
    pub kinds: Vec<EventKind>,
    /// Only this instrument.
    pub instrument: Option<InstrumentId>,
    /// From here on.
    pub from: Option<Position>,
    /// Up to and including this.
    pub until: Option<Position>,
}

/// A place in a session: an instant of receive time, or the sequence of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// Receive time.
    Time(Nanos),
    /// Sequence of an input; an output is where its cause is.
    Input(u64),
}

impl Position {
    /// Parses `#1234` (an input's sequence), `2024-08-08`, `2024-08-08T23:54:16.2Z` or nanoseconds.
    ///
    /// # Errors
    /// Says what was expected and found.
    pub fn parse(text: &str) -> Result<Self, String> {
        let error = || {
            format!(
                "expected #INPUT, a UTC time such as 2024-08-08T23:54:16.25Z or 2024-08-08, or epoch nanoseconds, found {text:?}"
            )
        };
        // `parse` alone would take a sign as well.
        let digits = |text: &str| if is_digits(text) { text.parse().ok() } else { None };
        if let Some(sequence) = text.strip_prefix('#') {
            return digits(sequence).map(Self::Input).ok_or_else(error);
        }
        if let Some(nanos) = digits(text) {
            return Ok(Self::Time(Nanos(nanos)));
        }
        parse_time(text).map(Self::Time).ok_or_else(error)
    }

    /// True for an event at or after this place; `input` is the sequence of it or of its cause.
    fn is_reached(self, event: &Event, input: u64) -> bool {
        match self {
            Self::Time(time) => event.local_ns >= time,
            Self::Input(sequence) => input >= sequence,
        }
    }

    /// True for an event behind this place.
    fn is_passed(self, event: &Event, input: u64) -> bool {
        match self {
            Self::Time(time) => event.local_ns > time,
            Self::Input(sequence) => input > sequence,
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The numbers between the separators; none when one of them is not one to four digits.
fn numbers(text: &str, separator: char) -> Option<Vec<u32>> {
    let number = |part: &str| if part.len() <= 4 && is_digits(part) { part.parse().ok() } else { None };
    text.split(separator).map(number).collect()
}

/// A UTC date, or a date and a time of day: all of the text, with nothing left over.
fn parse_time(text: &str) -> Option<Nanos> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let time = time.strip_suffix('Z').unwrap_or(time);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let (hour, minute, second) = match numbers(clock, ':')?[..] {
        [hour, minute, second] => (hour, minute, second),
        // A fraction is one of a second.
        [hour, minute] if clock == time => (hour, minute, 0),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 || !is_digits(fraction) {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second);
    Nanos::from_civil(i64::from(year), month, day, seconds * crate::core::time::SECOND + nanos)
}

/// The sequence of an input, or of an output's cause.
pub fn input_of(event: &Event) -> u64 {
    if event.kind.is_input() { event.sequence } else { event.venue_ns.0 }
}

/// The side that an event is marked with, as a name; empty for none.
pub fn side_name(event: &Event) -> &'static str {
    Side::from_flags(event.flags).map_or("", Side::name)
}

impl Selection {
    /// True when the event is wanted.
    pub fn wants(&self, event: &Event) -> bool {
        let stream = if event.kind.is_input() { StreamName::Input } else { StreamName::Output };
        self.stream.is_none_or(|wanted| wanted == stream)
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.instrument.is_none_or(|wanted| wanted == event.instrument)
            && self.from.is_none_or(|from| from.is_reached(event, input_of(event)))
    }

    /// True when neither this event nor any later one is wanted.
    pub fn is_over(&self, event: &Event) -> bool {
        self.until.is_some_and(|until| until.is_passed(event, input_of(event)))
    }
}

/// Both streams in order: an input, then the outputs it caused.
pub struct Story {
    inputs: StreamReader,
    outputs: StreamReader,
    /// Outputs up to this cause may be told.
    told: u64,
    waiting: Option<Event>,
    /// No more outputs, as far as was seen: not asked for again before the inputs end too.
    dry: bool,
}

impl Story {
    /// The story from its beginning.
    ///
    /// # Errors
    /// A first segment is missing or damaged.
    pub fn open(session: &SessionReader) -> Result<Self, JournalError> {
        let (inputs, outputs) = (session.stream(StreamName::Input)?, session.stream(StreamName::Output)?);
        Ok(Self { inputs, outputs, told: 0, waiting: None, dry: false })
    }

    /// The next record; `None` at the end of what is written so far (a later call may find more).
    ///
    /// # Errors
    /// A damaged record or segment, in its turn.
    pub fn next_event(&mut self) -> Result<Option<Event>, JournalError> {
        if self.waiting.is_none() && !self.dry {
            self.waiting = self.outputs.next_event().transpose()?;
            self.dry = self.waiting.is_none();
        }
        if self.waiting.is_some_and(|output| output.venue_ns.0 <= self.told) {
            return Ok(self.waiting.take());
        }
        if let Some(input) = self.inputs.next_event().transpose()? {
            self.told = input.sequence;
            return Ok(Some(input));
        }
        if std::mem::take(&mut self.dry) {
            // A living writer may have decided something since.
            return self.next_event_again();
        }
        // An output whose cause is lost is told by `next_orphan`, once the end is sure.
        Ok(None)
    }

    fn next_event_again(&mut self) -> Result<Option<Event>, JournalError> {
        self.waiting = self.outputs.next_event().transpose()?;
        Ok(if self.waiting.is_some_and(|output| output.venue_ns.0 <= self.told) { self.waiting.take() } else { None })
    }

    /// What is left when there are no more inputs: outputs whose cause is not in the journal.
    ///
    /// # Errors
    /// As [`Story::next_event`].
    pub fn next_orphan(&mut self) -> Result<Option<Event>, JournalError> {
        match self.waiting.take() {
            Some(output) => Ok(Some(output)),
            None => self.outputs.next_event().transpose(),
        }
    }

    /// Checks that both streams really end here: see [`StreamReader::check_end`].
    ///
    /// # Errors
    /// Records behind a hole, or a damaged segment.
    pub fn check_end(&mut self) -> Result<(), JournalError> {
        self.inputs.check_end()?;
        self.outputs.check_end()
    }

    /// Bytes read and bytes there are, both streams together.
    pub fn progress(&self) -> (u64, u64) {
        let ((a, b), (c, d)) = (self.inputs.progress(), self.outputs.progress());
        (a + c, b + d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_documented() {
        let time = |text: &str| Ok(Position::Time(Nanos(text.parse().unwrap())));
        assert_eq!(Position::parse("#17"), Ok(Position::Input(17)));
        assert_eq!(Position::parse("1723161256207640365"), time("1723161256207640365"));
        assert_eq!(Position::parse("2024-08-08T23:54:16.207640365Z"), time("1723161256207640365"));
        assert_eq!(Position::parse("2024-08-08 23:54:16.2"), time("1723161256200000000"));
        assert_eq!(Position::parse("2024-08-08T23:54"), time("1723161240000000000"));
        assert_eq!(Position::parse("2024-08-08"), time("1723075200000000000"));
        for text in ["", "#", "#x", "yesterday", "2024-13-01", "2024-08-08T24:00:00", "2024-08-08T1:2:3.0123456789"] {
            assert!(Position::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_left_over_behind_a_place() {
        assert!(Position::parse("2024-08-08T23:54:16Z").is_ok());
        for text in [
            "2024-08-08-99",
            "2024-08-08T10:11:12:13",
            "2024-08-08T10:11:12ZZZ",
            "2024-+8-08",
            "2024-08-08T+1:11:12",
            "2024-08-08T10",
            "2024-08-08T10:11:12.",
            "2024-08-08T10:11.5",
            "2024-08-08T10:11:12.5.5",
            "2024-08-08T",
            "2024-08-08Z",
            "02024-08-08",
            "+1723161256207640365",
            "#+17",
            "#-1",
        ] {
            assert!(Position::parse(text).is_err(), "{text:?}");
        }
    }
}

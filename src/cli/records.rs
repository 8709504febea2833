//! Records of a journal on standard output: as text, JSON lines or CSV.

use std::io::Write;

use clap::ValueEnum;

use crate::core::{Event, EventKind, InstrumentId, Nanos};
use crate::journal::{Selection, SessionReader, Story, input_of, payload_fields, side_name};

use super::Failure;

/// How records are printed.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RecordFormat {
    /// A line for a person
    Text,
    /// A JSON object a line
    Json,
    /// Comma-separated; with one `--kind`, a column for each of its fields
    Csv,
}

/// Prints records one by one.
pub(super) struct Printer<W> {
    symbols: Vec<String>,
    format: RecordFormat,
    /// The only kind that is printed, if there is only one: its fields get columns.
    only: Option<EventKind>,
    out: W,
}

impl<W: Write> Printer<W> {
    /// Prints to `out`; for CSV, the header comes at once.
    pub(super) fn new(
        symbols: &[String],
        format: RecordFormat,
        only: Option<EventKind>,
        mut out: W,
    ) -> Result<Self, Failure> {
        if matches!(format, RecordFormat::Csv) {
            let fields = match only {
                Some(kind) => {
                    let zero = Event::new(kind, InstrumentId(0), Nanos::NONE, Nanos::NONE, [0; 4]);
                    payload_fields(&zero).into_iter().fold(String::new(), |names, (name, _)| names + "," + name)
                }
                None => ",payload".to_owned(),
            };
            writeln!(out, "stream,sequence,cause,kind,symbol,side,flags,venue_time,local_time{fields}")
                .map_err(Failure::Output)?;
        }
        Ok(Self { symbols: symbols.to_vec(), format, only, out })
    }

    /// Hands everything printed so far to whoever reads it.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::Output)
    }

    fn symbol(&self, event: &Event) -> &str {
        self.symbols.get(event.instrument.index()).map_or("-", String::as_str)
    }

    /// One record, on a line of its own.
    pub(super) fn print(&mut self, event: &Event) -> Result<(), Failure> {
        let (stream, cause) = if event.kind.is_input() { ("input", None) } else { ("output", Some(input_of(event))) };
        let line = match self.format {
            RecordFormat::Text => format!("{stream:<6} {:<8} {event:?}", self.symbol(event)),
            RecordFormat::Json => self.json(event, stream, cause),
            RecordFormat::Csv => {
                let fields = payload_fields(event);
                let payload = if self.only.is_some() {
                    fields.iter().fold(String::new(), |line, (_, value)| line + "," + &value.to_string())
                } else {
                    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    format!(",{}", pairs.join(";"))
                };
                let cause = cause.map(|cause| cause.to_string()).unwrap_or_default();
                let venue = if event.kind.is_input() { event.venue_ns.to_string() } else { String::new() };
                format!(
                    "{stream},{},{cause},{},{},{},{:?},{venue},{}{payload}",
                    event.sequence,
                    event.kind.name(),
                    self.symbol(event),
                    side_name(event),
                    event.flags,
                    event.local_ns
                )
            }
        };
        writeln!(self.out, "{line}").map_err(Failure::Output)
    }

    fn json(&self, event: &Event, stream: &str, cause: Option<u64>) -> String {
        let mut object = serde_json::Map::new();
        let mut put = |name: &str, value: serde_json::Value| object.insert(name.to_owned(), value);
        put("stream", stream.into());
        put("sequence", event.sequence.into());
        match cause {
            Some(cause) => put("cause", cause.into()),
            None => put("venue_time", event.venue_ns.to_string().into()),
        };
        put("local_time", event.local_ns.to_string().into());
        put("kind", event.kind.name().into());
        put("symbol", self.symbol(event).into());
        put("side", side_name(event).into());
        put("flags", format!("{:?}", event.flags).into());
        for (name, value) in payload_fields(event) {
            put(name, value.to_json());
        }
        serde_json::Value::Object(object).to_string()
    }
}

/// Shows every wanted record to `see`, in the order of the story, until it says false.
pub(super) fn for_each(
    session: &SessionReader,
    selection: &Selection,
    mut see: impl FnMut(&Event) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    // Asked before reading: what was written since is neither a loss nor a hole.
    let being_written = session.is_being_written();
    let mut story = Story::open(session)?;
    while let Some(event) = story.next_event()? {
        if selection.is_over(&event) || selection.wants(&event) && !see(&event)? {
            return Ok(());
        }
    }
    while let Some(event) = story.next_orphan()? {
        if selection.wants(&event) && !selection.is_over(&event) && !see(&event)? {
            return Ok(());
        }
    }
    if being_written { Ok(()) } else { Ok(story.check_end()?) }
}

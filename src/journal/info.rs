//! What a session holds, in numbers: span, counts by kind, gaps, rates, sizes.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;

use super::{JournalError, SESSION_FILE, SessionReader, StreamName, segment};
use crate::core::{Event, EventKind, Nanos};

/// One stream in numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamInfo {
    /// Records.
    pub records: u64,
    /// Receive time of the first record, as text.
    pub first: String,
    /// Receive time of the last record, as text.
    pub last: String,
    /// Seconds between them.
    pub seconds: f64,
    /// Records by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Records in the busiest second.
    pub busiest_second: u64,
    /// Records a second on average.
    pub mean_rate: f64,
    /// The longest time without a record, in seconds.
    pub longest_silence: f64,
    /// When it began, as text.
    pub silence_began: String,
    /// Segment files.
    pub segments: u64,
    /// Of those, compressed ones.
    pub compressed: u64,
    /// Bytes of the files on disk.
    pub bytes: u64,
}

/// A session in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct JournalInfo {
    /// Version of pawl that wrote it.
    pub pawl: String,
    /// Symbols, in the order of their ids.
    pub instruments: Vec<String>,
    /// Records of market data by instrument.
    pub market: BTreeMap<String, u64>,
    /// Processes that wrote it: 1, and 1 more for each resume.
    pub lives: u32,
    /// A process writes it now.
    pub being_written: bool,
    /// What the engine was told.
    pub input: StreamInfo,
    /// What it decided.
    pub output: StreamInfo,
    /// Where reading stopped, when it stopped early.
    pub damage: Option<String>,
}

/// Adds up one stream.
struct Sum {
    first: Nanos,
    last: Nanos,
    second: u64,
    in_second: u64,
    busiest: u64,
    silence: (u64, Nanos),
    kinds: [u64; 256],
    records: u64,
}

impl Sum {
    fn new() -> Self {
        let (none, second) = (Nanos::NONE, 0);
        let silence = (0, none);
        Self { first: none, last: none, second, in_second: 0, busiest: 0, silence, kinds: [0; 256], records: 0 }
    }

    fn add(&mut self, event: &Event) {
        let now = event.local_ns;
        if self.records == 0 {
            (self.first, self.last) = (now, now);
        }
        self.records += 1;
        self.kinds[event.kind as usize] += 1;
        let silence = now.since(self.last).0;
        if silence > self.silence.0 {
            self.silence = (silence, self.last);
        }
        self.last = self.last.max(now);
        let second = now.0 / crate::core::time::SECOND;
        if second != self.second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second += 1;
        self.busiest = self.busiest.max(self.in_second);
    }

    fn finish(&self, session: &SessionReader, stream: StreamName) -> Result<StreamInfo, JournalError> {
        let mut info = StreamInfo { records: self.records, ..StreamInfo::default() };
        for number in segment::numbers(session.directory(), stream)? {
            let plain = segment::path(session.directory(), stream, number);
            let packed = segment::compressed_path(session.directory(), stream, number);
            info.segments += 1;
            info.compressed += u64::from(!plain.exists());
            info.bytes +=
                std::fs::metadata(plain).or_else(|_| std::fs::metadata(packed)).map_or(0, |found| found.len());
        }
        for kind in EventKind::ALL.iter().filter(|kind| self.kinds[**kind as usize] > 0) {
            info.kinds.insert(kind.name(), self.kinds[*kind as usize]);
        }
        let seconds = self.last.since(self.first).as_seconds();
        (info.first, info.last) = (self.first.to_string(), self.last.to_string());
        info.seconds = seconds;
        info.busiest_second = self.busiest;
        info.mean_rate = if seconds > 0.0 { self.records as f64 / seconds } else { 0.0 };
        info.longest_silence = self.silence.0 as f64 / 1e9;
        info.silence_began = self.silence.1.to_string();
        Ok(info)
    }
}

/// Reads a session through and adds it up; `progress` is told bytes read and bytes there are.
///
/// # Errors
/// The first segment is missing or the folder cannot be read; damage further on is part of the answer.
pub fn journal_info(session: &SessionReader, mut progress: impl FnMut(u64, u64)) -> Result<JournalInfo, JournalError> {
    let symbols: Vec<String> = session.info().instruments.iter().map(|spec| spec.symbol.clone()).collect();
    let (mut sums, mut market) = ([Sum::new(), Sum::new()], vec![0u64; symbols.len()]);
    let (mut lives, mut damage) = (1, None);
    let being_written = session.is_being_written();
    for (stream, sum) in StreamName::ALL.into_iter().zip(&mut sums) {
        let mut reader = session.stream(stream)?;
        loop {
            match reader.next_event() {
                Some(Ok(event)) => {
                    sum.add(&event);
                    if matches!(event.kind, EventKind::Quote | EventKind::Trade)
                        && let Some(count) = market.get_mut(event.instrument.index())
                    {
                        *count += 1;
                    }
                    if sum.records.is_multiple_of(65_536) {
                        let (done, total) = reader.progress();
                        progress(done, total);
                    }
                }
                Some(Err(error)) => damage = damage.or(Some(error.to_string())),
                None => break,
            }
        }
        if damage.is_none() && !being_written {
            // A hole looks like an end until the records behind it are looked for.
            damage = reader.check_end().err().map(|error| error.to_string());
        }
        lives = lives.max(reader.life());
    }
    Ok(JournalInfo {
        pawl: session.info().pawl.clone(),
        instruments: symbols.clone(),
        market: symbols.into_iter().zip(market).filter(|(_, count)| *count > 0).collect(),
        lives,
        being_written,
        input: sums[0].finish(session, StreamName::Input)?,
        output: sums[1].finish(session, StreamName::Output)?,
        damage,
    })
}

impl StreamInfo {
    fn write(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{name}: {} records", self.records)?;
        if self.records == 0 {
            return Ok(());
        }
        writeln!(f, "  span      {} to {} ({:.1} s)", self.first, self.last, self.seconds)?;
        writeln!(f, "  rate      {:.1} a second, busiest second {}", self.mean_rate, self.busiest_second)?;
        writeln!(f, "  silence   {:.3} s at most, from {}", self.longest_silence, self.silence_began)?;
        let megabytes = self.bytes as f64 / f64::from(1 << 20);
        let each = self.bytes as f64 / self.records as f64;
        let compressed = if self.compressed > 0 { format!(", {} compressed", self.compressed) } else { String::new() };
        let segments = self.segments;
        writeln!(f, "  size      {megabytes:.2} MiB in {segments} segments{compressed}; {each:.1} bytes a record")?;
        let mut line = String::from("  kinds    ");
        for (kind, count) in &self.kinds {
            if line.len() > 90 {
                writeln!(f, "{line}")?;
                line = String::from("           ");
            }
            write!(line, " {kind} {count} ")?;
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl fmt::Display for JournalInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = if self.being_written { ", being written now" } else { "" };
        writeln!(f, "{SESSION_FILE}: written by pawl {}, lives {}{written}", self.pawl, self.lives)?;
        let markets = self.market.iter().map(|(symbol, count)| format!("{symbol} {count}"));
        writeln!(f, "market data: {}", markets.collect::<Vec<_>>().join("  "))?;
        self.input.write("input", f)?;
        self.output.write("output", f)?;
        match &self.damage {
            Some(damage) => writeln!(f, "\nDAMAGED: {damage}"),
            None => Ok(()),
        }
    }
}

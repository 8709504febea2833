//! The progress line of long work, and whether colours are wanted. Drawn on standard error, and
//! only on a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Whether output may be coloured.
pub struct Style {
    /// True on a terminal, unless `NO_COLOR` is set.
    pub colour: bool,
}

impl Style {
    /// The style of standard output.
    pub fn for_stdout() -> Self {
        Self { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// Green above zero, red below.
    pub fn tone(&self, sign: i64, text: &str) -> String {
        match (self.colour, sign.signum()) {
            (true, 1) => format!("\x1b[32m{text}\x1b[0m"),
            (true, -1) => format!("\x1b[31m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    /// Bold, where allowed.
    pub fn bold(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A line that says how far long work is.
pub struct Progress {
    label: &'static str,
    enabled: bool,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// A line; `enabled` when standard error is a terminal.
    pub fn new(label: &'static str, enabled: bool) -> Self {
        Self { label, enabled, began: Instant::now(), drawn: None }
    }

    /// Draws at most ten times a second. A `total` of 0 is unknown.
    pub fn update(&mut self, done: u64, total: u64, events: u64) {
        let soon = self.drawn.is_some_and(|drawn| drawn.elapsed() < Duration::from_millis(100));
        if !self.enabled || soon {
            return;
        }
        self.drawn = Some(Instant::now());
        let seconds = self.began.elapsed().as_secs_f64().max(1e-9);
        let (millions, rate) = (events as f64 / 1e6, events as f64 / 1e6 / seconds);
        let share = if total > 0 { (done as f64 / total as f64).clamp(0.0, 1.0) } else { 0.0 };
        let left = if share > 0.0 { seconds / share - seconds } else { 0.0 };
        let filled = (share * 20.0) as usize;
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(20 - filled));
        eprint!(
            "\r{}  {:>3.0} % [{bar}] {millions:.1} M ticks  {rate:.2} M/s  {left:.0} s left\x1b[K",
            self.label,
            share * 100.0
        );
        // A terminal that cannot be flushed only misses one line.
        let _ = std::io::stderr().flush();
    }

    /// Clears the line.
    pub fn finish(&mut self) {
        if self.enabled && self.drawn.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

//! Is this machine fit to run pinned? A list of findings, each with a verdict, what was found, what is
//! wanted, and how to get there. `docs/vps.md` walks through tuning a fresh server with it.
//!
//! Four verdicts: *ok*; *warn*, it costs latency; *fail*, do not trade like this; *unknown*, it could
//! not be found out, and the finding says why. What is absent is never taken for ok.
//!
//! | file | what it looks at |
//! |---|---|
//! | `cores` | count, quota, isolation, siblings, frequency, sleep states, interrupts |
//! | `memory` | transparent huge pages, swap, limits for locking and real time |
//! | `time` | counter, clock source, synchronisation, stolen time |
//! | `jitter` | how often, and for how long, the platform itself takes a core away |
//! | `disk` | how long the journal's folder takes to make a write safe |
//! | `route` | round trip to the venue |

mod cores;
mod disk;
mod jitter;
mod memory;
mod route;
mod time;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::engine::machine::{Machine, SystemFiles};

pub use jitter::{Gaps, watch_core};
pub use route::{RouteError, Target};

/// What a check comes to; the later, the worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be found out.
    Unknown,
    /// It costs latency.
    Warn,
    /// Do not trade like this.
    Fail,
}

impl Verdict {
    /// In text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the doctor's report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at, a stable name for programs.
    pub check: &'static str,
    /// What it comes to.
    pub verdict: Verdict,
    /// What was found; for [`Verdict::Unknown`], why it was not.
    pub found: String,
    /// What is wanted.
    pub wanted: &'static str,
    /// How to get there; empty when all is well.
    pub fix: String,
}

impl Finding {
    fn new(check: &'static str, wanted: &'static str, (verdict, found): (Verdict, String), fix: &str) -> Self {
        let fix = if verdict == Verdict::Ok { String::new() } else { fix.to_owned() };
        Self { check, verdict, found, wanted, fix }
    }
}

/// A verdict on a yes-or-no question.
fn verdict(good: bool, otherwise: Verdict) -> Verdict {
    if good { Verdict::Ok } else { otherwise }
}

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Where the system tells about itself.
    pub files: SystemFiles,
    /// Cores that the engine is to run on; `None`: the isolated ones, else all but the first.
    pub cores: Option<Vec<usize>>,
    /// Folder of the journal.
    pub journal: PathBuf,
    /// Where the venue is; `None`: the round trip stays unknown.
    pub venue: Option<Target>,
    /// How long each core is watched; zero: not at all.
    pub watch: Duration,
}

impl Examination {
    /// The cores that the engine would run on.
    pub fn engine_cores(&self, machine: &Machine) -> Vec<usize> {
        match &self.cores {
            Some(cores) => cores.clone(),
            None if !machine.isolated.is_empty() => machine.isolated.iter().copied().collect(),
            None if machine.allowed.len() > 1 => machine.allowed.iter().skip(1).copied().collect(),
            None => machine.allowed.iter().copied().collect(),
        }
    }

    /// Looks at everything. `progress` is told what is being measured.
    pub fn run(&self, mut progress: impl FnMut(&str)) -> Vec<Finding> {
        let machine = Machine::read(&self.files);
        let engine = self.engine_cores(&machine);
        let mut findings = cores::examine(&self.files, &machine, &engine);
        findings.extend(memory::examine(&self.files));
        findings.extend(time::examine(&self.files));
        findings.extend(jitter::examine(&self.files, &machine, &engine, self.watch, &mut progress));
        progress("write latency of the journal's folder");
        findings.extend(disk::examine(&self.files, &self.journal));
        progress("round trip to the venue");
        findings.extend(route::examine(self.venue.as_ref()));
        findings
    }
}

/// The worst verdict; [`Verdict::Ok`] for no findings.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}

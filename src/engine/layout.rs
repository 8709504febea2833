//! Which stages share a thread, and where each thread runs: the `[threads]` table.
//!
//! The result of a run never depends on the layout; its latency does, enormously. So the default is
//! derived from the machine, and what would be slow by accident is refused with what it costs,
//! measured (`facts` of this repository's benches: two cores, 20 thousand events a second, ring of
//! 4096, from the event's intended time to its order's bytes):
//!
//! | layout on two cores | p50 | p99 |
//! |---|---|---|
//! | fused, one thread | 74 ns | 93 ns |
//! | split, two spinning threads | 158 ns | 7 us |
//! | four spinning threads on two cores | 6.8 ms | 14 ms |
//! | four yielding threads on two cores | 6.2 us | 150 us |

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::machine::{Machine, Quota, format_cores};
use super::waiting::Waiting;

/// A stage of the engine, in the order of an event's way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Sockets and normalising.
    Feed,
    /// Features and raw signals.
    Quant,
    /// The model.
    Oracle,
    /// Orders, positions, journal, timers, the order connection.
    Oms,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 4] = [Self::Feed, Self::Quant, Self::Oracle, Self::Oms];

    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Quant => "quant",
            Self::Oracle => "oracle",
            Self::Oms => "oms",
        }
    }
}

/// A named layout, or one's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayoutName {
    /// Derived from the machine.
    #[default]
    Auto,
    /// One thread.
    Fused,
    /// Two: feed | quant, oracle, oms.
    Split,
    /// Four: one a stage.
    Pipeline,
    /// As `groups` says.
    Groups,
}

impl std::str::FromStr for LayoutName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "fused" => Ok(Self::Fused),
            "split" => Ok(Self::Split),
            "pipeline" => Ok(Self::Pipeline),
            other => Err(format!("expected auto, fused, split or pipeline, found {other:?}")),
        }
    }
}

/// One thread of one's own layout.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupParams {
    /// Its stages, neighbours, in order.
    pub stages: Vec<Stage>,
    /// The core it is pinned to; none: wherever the scheduler likes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub core: Option<usize>,
    /// How it waits; none: `spin` on an isolated core, else `yield`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiting: Option<Waiting>,
    /// Real-time priority (SCHED_FIFO), 1 to 98; none: an ordinary thread.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub priority: Option<u8>,
}

/// The `[threads]` table.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadParams {
    /// Which layout.
    pub layout: LayoutName,
    /// How every thread of a named layout waits; none: `spin` on isolated cores, else `yield`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Cores of a named layout, one a thread in order; empty: chosen.
    pub cores: Vec<usize>,
    /// Take a layout that spins on more threads than there are cores all the same.
    pub force: bool,
    /// Lock the engine's memory, so that none of it is ever swapped (mlockall; not the journal).
    pub lock_memory: bool,
    /// The threads of `layout = "groups"`.
    pub groups: Vec<GroupParams>,
}

/// One thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its stages, neighbours, in order.
    pub stages: Vec<Stage>,
    /// The core it is pinned to.
    pub core: Option<usize>,
    /// How it waits.
    pub waiting: Waiting,
    /// Real-time priority.
    pub priority: Option<u8>,
}

impl Group {
    /// The thread's name: its stages, as `quant+oracle`.
    pub fn name(&self) -> String {
        self.stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join("+")
    }
}

/// Threads that together run every stage once, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The threads, in the order of an event's way.
    pub groups: Vec<Group>,
    /// Whether memory is to be locked.
    pub lock_memory: bool,
}

/// A layout that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The stages are not each there once, in order.
    #[error("threads.groups: expected feed, quant, oracle and oms once each and in this order, found {0}")]
    Stages(String),
    /// `cores` and the layout do not go together.
    #[error("threads.cores: expected {expected} (one a thread), found {found}")]
    Cores {
        /// What the layout needs.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A core that this process may not use.
    #[error("threads: expected cores among {allowed}, found {core}; see `pawl doctor`")]
    NoSuchCore {
        /// What may be used.
        allowed: String,
        /// What was asked for.
        core: usize,
    },
    /// More spinning threads than cores.
    #[error(
        "threads: {spinning} spinning threads would share {cores}. A spinning thread does not make way: the next event waits \
         for the scheduler at every ring, measured at a median of 6.8 ms from tick to order instead of 74 ns with \
         layout = \"fused\" (90,000 times). Use \"fused\", or waiting = \"yield\" (6.2 us), or, if you must, force = true"
    )]
    Oversubscribed {
        /// Threads that spin.
        spinning: usize,
        /// What they would share, in words.
        cores: String,
    },
    /// Spinning real-time threads on every core.
    #[error(
        "threads: real-time threads would spin on every core ({0}): nothing else would run any more, not even the guardian. \
         Leave one core without (this cannot be forced)"
    )]
    Frozen(String),
    /// A priority out of range.
    #[error("threads.priority: expected 1 to 98, found {0}")]
    Priority(u8),
    /// Keys that contradict each other.
    #[error("threads: {0}")]
    Contradiction(&'static str),
}

impl Layout {
    /// The layout that the table asks for on this machine.
    ///
    /// # Errors
    /// What would be slow by accident, or cannot be.
    pub fn resolve(params: &ThreadParams, machine: &Machine) -> Result<Self, LayoutError> {
        let groups = match params.layout {
            LayoutName::Groups => own_groups(params, machine)?,
            _ if !params.groups.is_empty() => {
                return Err(LayoutError::Contradiction("groups are given; expected layout = \"groups\" with them"));
            }
            LayoutName::Auto => named(automatic(machine), params, machine)?,
            name => named(name, params, machine)?,
        };
        let layout = Self { groups, lock_memory: params.lock_memory };
        layout.check(params.force, machine)?;
        Ok(layout)
    }

    /// One thread, not pinned, that waits like this.
    pub fn fused(waiting: Waiting) -> Self {
        let group = Group { stages: Stage::ALL.to_vec(), core: None, waiting, priority: None };
        Self { groups: vec![group], lock_memory: false }
    }

    fn check(&self, force: bool, machine: &Machine) -> Result<(), LayoutError> {
        let stages: Vec<Stage> = self.groups.iter().flat_map(|group| group.stages.iter().copied()).collect();
        if stages != Stage::ALL || self.groups.iter().any(|group| group.stages.is_empty()) {
            return Err(LayoutError::Stages(self.to_string()));
        }
        for group in &self.groups {
            if let Some(core) = group.core.filter(|core| !machine.allowed.contains(core)) {
                return Err(LayoutError::NoSuchCore { allowed: format_cores(&machine.allowed), core });
            }
            if let Some(priority) = group.priority.filter(|priority| !(1..=98).contains(priority)) {
                return Err(LayoutError::Priority(priority));
            }
        }
        self.check_real_time(machine)?;
        if force { Ok(()) } else { self.check_spinning(machine) }
    }

    /// Spinning threads need a core each.
    fn check_spinning(&self, machine: &Machine) -> Result<(), LayoutError> {
        let spinning: Vec<&Group> = self.groups.iter().filter(|group| group.waiting == Waiting::Spin).collect();
        let granted = match machine.quota {
            Quota::Cores(cores) => cores.floor() as usize,
            Quota::Unknown | Quota::Unlimited => usize::MAX,
        };
        let usable = machine.allowed.len().min(granted.max(1));
        // A thread that is not pinned shares the cores that the scheduler gives out.
        let pinned: BTreeSet<usize> = spinning.iter().filter_map(|group| group.core).collect();
        let unpinned = spinning.iter().filter(|group| group.core.is_none()).count();
        let twice = spinning.len() - unpinned > pinned.len();
        // Others on the core of a spinning thread wait for it as well.
        let crowded = self
            .groups
            .iter()
            .any(|group| group.waiting != Waiting::Spin && group.core.is_some_and(|core| pinned.contains(&core)));
        if !spinning.is_empty() && (twice || crowded || spinning.len() > usable) {
            let cores = match usable {
                _ if twice || crowded => "a core with another thread of the engine".to_owned(),
                1 => "1 core".to_owned(),
                many => format!("{many} cores"),
            };
            return Err(LayoutError::Oversubscribed { spinning: spinning.len(), cores });
        }
        Ok(())
    }

    /// One core stays without a real-time spinner.
    fn check_real_time(&self, machine: &Machine) -> Result<(), LayoutError> {
        // Yielding at real-time priority gives way to nobody of lower priority: it is spinning.
        let hogs = self.groups.iter().filter(|group| group.priority.is_some() && group.waiting != Waiting::Park);
        let (mut taken, mut anywhere) = (BTreeSet::new(), 0);
        for hog in hogs {
            match hog.core {
                Some(core) => drop(taken.insert(core)),
                None => anywhere += 1,
            }
        }
        if taken.len() + anywhere >= machine.allowed.len() {
            return Err(LayoutError::Frozen(format_cores(&machine.allowed)));
        }
        Ok(())
    }
}

/// `fused` unless there are cores that nobody else uses: each ring costs more than the stages do, and
/// is worth it only where the feed must keep up with a burst while the rest is busy.
fn automatic(machine: &Machine) -> LayoutName {
    match machine.isolated.len() {
        5.. => LayoutName::Pipeline,
        2.. => LayoutName::Split,
        _ if machine.allowed.len() >= 4 && machine.idle_cores() >= 3.0 => LayoutName::Split,
        _ => LayoutName::Fused,
    }
}

/// The threads of a named layout.
fn named(name: LayoutName, params: &ThreadParams, machine: &Machine) -> Result<Vec<Group>, LayoutError> {
    let stages: Vec<Vec<Stage>> = match name {
        LayoutName::Split => vec![vec![Stage::Feed], vec![Stage::Quant, Stage::Oracle, Stage::Oms]],
        LayoutName::Pipeline => Stage::ALL.iter().map(|stage| vec![*stage]).collect(),
        LayoutName::Auto | LayoutName::Fused | LayoutName::Groups => vec![Stage::ALL.to_vec()],
    };
    let cores = cores_for(stages.len(), params, machine)?;
    let groups = stages.into_iter().zip(cores).map(|(stages, core)| {
        let params = GroupParams { stages, core, waiting: params.waiting, priority: None };
        group(&params, machine)
    });
    Ok(groups.collect())
}

fn own_groups(params: &ThreadParams, machine: &Machine) -> Result<Vec<Group>, LayoutError> {
    if params.groups.is_empty() {
        return Err(LayoutError::Contradiction("layout = \"groups\": expected [[threads.groups]] tables, found none"));
    }
    if !params.cores.is_empty() || params.waiting.is_some() {
        return Err(LayoutError::Contradiction("cores and waiting belong into each of the [[threads.groups]]"));
    }
    Ok(params.groups.iter().map(|params| group(params, machine)).collect())
}

fn group(params: &GroupParams, machine: &Machine) -> Group {
    let isolated = params.core.is_some_and(|core| machine.isolated.contains(&core));
    let waiting = params.waiting.unwrap_or(if isolated { Waiting::Spin } else { Waiting::Yield });
    Group { stages: params.stages.clone(), core: params.core, waiting, priority: params.priority }
}

/// A core for each of so many threads: the isolated ones first, then the last of the others, so that
/// core 0 with the system's work is taken last; none where threads outnumber cores.
fn cores_for(threads: usize, params: &ThreadParams, machine: &Machine) -> Result<Vec<Option<usize>>, LayoutError> {
    if !params.cores.is_empty() {
        if params.cores.len() != threads {
            let found = params.cores.len().to_string();
            return Err(LayoutError::Cores { expected: threads.to_string(), found });
        }
        return Ok(params.cores.iter().map(|core| Some(*core)).collect());
    }
    if machine.allowed.len() < threads {
        return Ok(vec![None; threads]);
    }
    let shared = machine.shared();
    let by_preference: Vec<usize> = machine.isolated.iter().copied().chain(shared.into_iter().rev()).collect();
    let mut chosen = by_preference[..threads].to_vec();
    chosen.sort_unstable();
    Ok(chosen.into_iter().map(Some).collect())
}

/// `2 threads: feed (core 2, spin) | quant+oracle+oms (core 3, spin, priority 50)`.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.groups.len() == 1 { "" } else { "s" };
        write!(f, "{} thread{plural}: ", self.groups.len())?;
        for (index, group) in self.groups.iter().enumerate() {
            let separator = if index == 0 { "" } else { " | " };
            write!(f, "{separator}{} (", group.name())?;
            match group.core {
                Some(core) => write!(f, "core {core}")?,
                None => f.write_str("any core")?,
            }
            write!(f, ", {}", group.waiting.name())?;
            if let Some(priority) = group.priority {
                write!(f, ", priority {priority}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cores: usize, isolated: &[usize]) -> Machine {
        Machine {
            allowed: (0..cores).collect(),
            isolated: isolated.iter().copied().collect(),
            quota: Quota::Unlimited,
            load: Some(0.0),
        }
    }

    fn resolve(toml: &str, machine: &Machine) -> Result<Layout, LayoutError> {
        Layout::resolve(&toml::from_str(toml).unwrap(), machine)
    }

    #[test]
    fn the_default_is_derived_from_the_machine() {
        let text = |machine: &Machine| resolve("", machine).unwrap().to_string();
        assert_eq!(text(&machine(1, &[])), "1 thread: feed+quant+oracle+oms (core 0, yield)");
        assert_eq!(text(&machine(2, &[])), "1 thread: feed+quant+oracle+oms (core 1, yield)");
        assert_eq!(text(&machine(2, &[1])), "1 thread: feed+quant+oracle+oms (core 1, spin)");
        assert_eq!(text(&machine(4, &[])), "2 threads: feed (core 2, yield) | quant+oracle+oms (core 3, yield)");
        assert_eq!(text(&machine(4, &[2, 3])), "2 threads: feed (core 2, spin) | quant+oracle+oms (core 3, spin)");
        assert_eq!(resolve("", &machine(8, &[3, 4, 5, 6, 7])).unwrap().groups.len(), 4);
        let busy = Machine { load: Some(3.5), ..machine(4, &[]) };
        assert_eq!(resolve("", &busy).unwrap().groups.len(), 1, "cores that others use are not there for us");
    }

    #[test]
    fn a_spinning_layout_with_more_threads_than_cores_is_refused_with_its_price_unless_forced() {
        let pipeline = "layout = \"pipeline\"\nwaiting = \"spin\"\n";
        let refused = resolve(pipeline, &machine(2, &[])).unwrap_err();
        assert_eq!(refused, LayoutError::Oversubscribed { spinning: 4, cores: "2 cores".into() });
        assert!(refused.to_string().contains("6.8 ms") && refused.to_string().contains("force = true"));
        assert!(resolve(&format!("{pipeline}force = true"), &machine(2, &[])).is_ok());
        assert!(resolve("layout = \"pipeline\"\nwaiting = \"yield\"", &machine(2, &[])).is_ok());
        assert!(resolve("layout = \"pipeline\"\nwaiting = \"park\"", &machine(1, &[])).is_ok());
        assert!(resolve("layout = \"split\"\nwaiting = \"spin\"", &machine(2, &[])).is_ok());
        let squeezed = Machine { quota: Quota::Cores(1.5), ..machine(4, &[]) };
        assert!(resolve("layout = \"split\"\nwaiting = \"spin\"", &squeezed).is_err(), "a quota is fewer cores");
    }

    #[test]
    fn two_threads_on_the_core_of_a_spinning_one_are_refused() {
        let own = |second: &str| {
            format!(
                "layout = \"groups\"\n[[groups]]\nstages = [\"feed\"]\ncore = 1\nwaiting = \"spin\"\n\
                 [[groups]]\nstages = [\"quant\", \"oracle\", \"oms\"]\n{second}"
            )
        };
        assert!(matches!(
            resolve(&own("core = 1\nwaiting = \"spin\""), &machine(4, &[])),
            Err(LayoutError::Oversubscribed { .. })
        ));
        assert!(matches!(
            resolve(&own("core = 1\nwaiting = \"park\""), &machine(4, &[])),
            Err(LayoutError::Oversubscribed { .. })
        ));
        assert!(resolve(&own("core = 2\nwaiting = \"spin\""), &machine(4, &[])).is_ok());
    }

    #[test]
    fn one_core_always_stays_without_a_real_time_spinner_and_force_does_not_help() {
        let one = "layout = \"groups\"\nforce = true\n[[groups]]\nstages = [\"feed\", \"quant\", \"oracle\", \"oms\"]\n\
                   core = 0\nwaiting = \"spin\"\npriority = 50";
        assert_eq!(resolve(one, &machine(1, &[])), Err(LayoutError::Frozen("0".into())));
        assert!(resolve(one, &machine(2, &[])).is_ok());
        assert!(resolve(&one.replace("spin", "yield"), &machine(1, &[])).is_err(), "yielding to nobody is spinning");
        assert!(resolve(&one.replace("spin", "park"), &machine(1, &[])).is_ok());
        assert_eq!(resolve(&one.replace("50", "99"), &machine(2, &[])), Err(LayoutError::Priority(99)));
    }

    #[test]
    fn stages_must_all_be_there_once_and_in_order() {
        let stages = |list: &str| format!("layout = \"groups\"\n[[groups]]\nstages = [{list}]");
        for wrong in ["\"feed\"", "\"quant\", \"feed\", \"oracle\", \"oms\"", ""] {
            assert!(matches!(resolve(&stages(wrong), &machine(2, &[])), Err(LayoutError::Stages(_))), "{wrong}");
        }
        assert!(matches!(resolve("layout = \"groups\"", &machine(2, &[])), Err(LayoutError::Contradiction(_))));
        let error = resolve("layout = \"split\"\ncores = [1]", &machine(2, &[])).unwrap_err();
        assert_eq!(error.to_string(), "threads.cores: expected 2 (one a thread), found 1");
        let error = resolve("layout = \"fused\"\ncores = [7]", &machine(2, &[])).unwrap_err();
        assert!(error.to_string().contains("expected cores among 0-1, found 7"));
    }
}

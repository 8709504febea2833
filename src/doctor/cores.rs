//! Cores: how many, kept free of whom, how fast, and who interrupts them.

use std::collections::BTreeSet;

use super::Verdict::{Fail, Ok, Unknown, Warn};
use super::{Finding, Verdict, verdict};
use crate::engine::machine::{Machine, Quota, SystemFiles, format_cores, parse_cores};

const CPU: &str = "/sys/devices/system/cpu";

pub(super) fn examine(files: &SystemFiles, machine: &Machine, engine: &[usize]) -> Vec<Finding> {
    let engine: BTreeSet<usize> = engine.iter().copied().collect();
    vec![
        count(machine),
        quota(machine),
        isolated(machine, &engine),
        boot_option(files, "nohz_full", "nohz_full=", &engine),
        boot_option(files, "rcu_nocbs", "rcu_nocbs=", &engine),
        governor(files, &engine),
        turbo(files),
        siblings(files, &engine),
        sleep_states(files, &engine),
        interrupts(files, &engine),
    ]
}

fn count(machine: &Machine) -> Finding {
    let wanted = "2 or more: one for the engine, one for everything else";
    let found = (verdict(machine.allowed.len() >= 2, Fail), machine.describe());
    Finding::new(
        "cores",
        wanted,
        found,
        "choose a server with 2 or more cores, or widen the process's affinity (taskset -p)",
    )
}

fn quota(machine: &Machine) -> Finding {
    let found = match machine.quota {
        Quota::Unlimited => (Ok, "none".to_owned()),
        Quota::Unknown => {
            (Unknown, "no cpu.max in /sys/fs/cgroup: control groups version 1, or none to be seen".to_owned())
        }
        Quota::Cores(cores) => {
            (Fail, format!("{cores:.2} cores' worth of time; a spinning thread is stopped when it is used up"))
        }
    };
    let fix = "remove CPUQuota= from the unit (or cpu.max of the control group)";
    Finding::new("cpu-quota", "no limit of processor time", found, fix)
}

fn isolated(machine: &Machine, engine: &BTreeSet<usize>) -> Finding {
    let shared: BTreeSet<usize> = engine.difference(&machine.isolated).copied().collect();
    let found = if shared.is_empty() {
        (Ok, format!("isolcpus={}", format_cores(&machine.isolated)))
    } else {
        (Warn, format!("the scheduler may put others on core {}", format_cores(&shared)))
    };
    let fix = format!("boot with isolcpus=managed_irq,domain,{}", format_cores(engine));
    Finding::new("isolation", "the engine's cores are isolated", found, &fix)
}

/// A boot option that must cover the engine's cores.
fn boot_option(files: &SystemFiles, check: &'static str, option: &str, engine: &BTreeSet<usize>) -> Finding {
    let wanted = match check {
        "nohz_full" => "no timer ticks on the engine's cores",
        _ => "no kernel call-backs on the engine's cores",
    };
    let fix = format!("boot with {option}{}", format_cores(engine));
    let Some(line) = files.read("/proc/cmdline") else {
        return Finding::new(check, wanted, (Unknown, "/proc/cmdline cannot be read".into()), &fix);
    };
    let Some(value) = line.split_whitespace().find_map(|word| word.strip_prefix(option)) else {
        return Finding::new(check, wanted, (Warn, format!("{option} is not among the boot options")), &fix);
    };
    // The kernel says in sysfs what it honours; the boot line says only what was asked for.
    if check == "nohz_full" && files.read(&format!("{CPU}/nohz_full")).is_none() {
        let found = format!("{option}{value} was asked for, but this kernel is built without it");
        return Finding::new(check, wanted, (Warn, found), "install a kernel with CONFIG_NO_HZ_FULL");
    }
    let found = match parse_cores(value) {
        Some(cores) if engine.is_subset(&cores) => (Ok, format!("{option}{value}")),
        Some(_) => (Warn, format!("{option}{value} leaves out core {}", format_cores(engine))),
        None if value == "all" => (Ok, format!("{option}{value}")),
        None => (Unknown, format!("{option}{value} is not a list of cores that this version understands")),
    };
    Finding::new(check, wanted, found, &fix)
}

fn governor(files: &SystemFiles, engine: &BTreeSet<usize>) -> Finding {
    let of = |core: &usize| files.read(&format!("{CPU}/cpu{core}/cpufreq/scaling_governor"));
    let governors: BTreeSet<String> = engine.iter().filter_map(of).collect();
    let found = match governors.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => (Unknown, "no cpufreq here: the hypervisor decides, and does not tell".to_owned()),
        ["performance"] => (Ok, "performance".to_owned()),
        others => (Warn, others.join(", ")),
    };
    Finding::new("governor", "performance", found, "cpupower frequency-set -g performance")
}

fn turbo(files: &SystemFiles) -> Finding {
    let intel = files.read(&format!("{CPU}/intel_pstate/no_turbo"));
    let boost = files.read(&format!("{CPU}/cpufreq/boost"));
    let found = match (intel.as_deref(), boost.as_deref()) {
        (Some("0"), _) | (None, Some("1")) => (Ok, "on".to_owned()),
        (Some(_), _) | (None, Some(_)) => (Warn, "off".to_owned()),
        (None, None) => (Unknown, "the kernel does not tell here: the hypervisor decides".to_owned()),
    };
    let fix = "echo 1 > /sys/devices/system/cpu/cpufreq/boost (AMD) or echo 0 > .../intel_pstate/no_turbo";
    Finding::new("turbo", "on", found, fix)
}

fn siblings(files: &SystemFiles, engine: &BTreeSet<usize>) -> Finding {
    let wanted = "no engine core shares its core with another thread";
    let of = |core: usize| {
        let text = files.read(&format!("{CPU}/cpu{core}/topology/thread_siblings_list"))?;
        parse_cores(&text)
    };
    let all: Option<Vec<(usize, BTreeSet<usize>)>> = engine.iter().map(|core| Some((*core, of(*core)?))).collect();
    let found = match all {
        None => (Unknown, "the topology cannot be read".to_owned()),
        Some(all) => match all.iter().find(|(_, siblings)| siblings.len() > 1) {
            None => (Ok, "none seen (a hypervisor may hide them; the jitter below does not lie)".to_owned()),
            Some((core, siblings)) => (Warn, format!("core {core} is one thread of {}", format_cores(siblings))),
        },
    };
    Finding::new(
        "siblings",
        wanted,
        found,
        "boot with nosmt, or leave the sibling idle: echo 0 > /sys/devices/system/cpu/cpuN/online",
    )
}

/// Waking from a state of more than this costs as much as a budget, microseconds.
const DEEP_US: u64 = 10;

fn sleep_states(files: &SystemFiles, engine: &BTreeSet<usize>) -> Finding {
    let wanted = "no state that takes more than 10 us to wake from (a spinning core never sleeps)";
    let fix = "boot with processor.max_cstate=1 idle=nomwait, or use waiting = \"spin\"";
    let driver = files.read(&format!("{CPU}/cpuidle/current_driver"));
    let Some(driver) = driver.filter(|driver| driver != "none") else {
        let found = (Unknown, "no idle driver here: the hypervisor decides what an idle core does".to_owned());
        return Finding::new("c-states", wanted, found, fix);
    };
    let mut deep = BTreeSet::new();
    for core in engine {
        let folder = format!("{CPU}/cpu{core}/cpuidle");
        for state in files.list(&folder) {
            let field = |name: &str| files.read(&format!("{folder}/{state}/{name}"));
            let latency: u64 = field("latency").and_then(|text| text.parse().ok()).unwrap_or(0);
            if latency > DEEP_US && field("disable").as_deref() != Some("1") {
                deep.insert(format!("{} ({latency} us)", field("name").unwrap_or(state)));
            }
        }
    }
    let deep: Vec<String> = deep.into_iter().collect();
    let found = if deep.is_empty() { (Ok, format!("none deep, driver {driver}")) } else { (Warn, deep.join(", ")) };
    Finding::new("c-states", wanted, found, fix)
}

/// Interrupts that may arrive at an engine core.
fn interrupts(files: &SystemFiles, engine: &BTreeSet<usize>) -> Finding {
    let wanted = "no device interrupts the engine's cores";
    let fix = "systemctl disable --now irqbalance; for each IRQ: echo 0 > /proc/irq/N/smp_affinity_list; boot with irqaffinity=0";
    let numbers: Vec<String> =
        files.list("/proc/irq").into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
    if numbers.is_empty() {
        return Finding::new("interrupts", wanted, (Unknown, "/proc/irq cannot be read".into()), fix);
    }
    let used = active_interrupts(&files.read("/proc/interrupts").unwrap_or_default(), engine);
    let reaching: Vec<&String> = numbers
        .iter()
        .filter(|number| {
            let list = files
                .read(&format!("/proc/irq/{number}/effective_affinity_list"))
                .filter(|text| !text.is_empty())
                .or_else(|| files.read(&format!("/proc/irq/{number}/smp_affinity_list")));
            let cores = list.as_deref().and_then(parse_cores).unwrap_or_default();
            // Numbers that no device uses have an affinity as well: only those that ever fired count.
            !cores.is_disjoint(engine) && used.contains(number.as_str())
        })
        .collect();
    let found: (Verdict, String) = if reaching.is_empty() {
        (Ok, format!("none of {} reaches core {}", numbers.len(), format_cores(engine)))
    } else {
        let names: Vec<&str> = reaching.iter().take(8).map(|name| name.as_str()).collect();
        let more = if reaching.len() > names.len() { ", ..." } else { "" };
        (Warn, format!("{} reach core {}: IRQ {}{more}", reaching.len(), format_cores(engine), names.join(", ")))
    };
    Finding::new("interrupts", wanted, found, fix)
}

/// Numbers of interrupts that have fired on one of the cores since boot.
fn active_interrupts(table: &str, cores: &BTreeSet<usize>) -> BTreeSet<String> {
    let mut lines = table.lines();
    let columns: Vec<usize> = lines
        .next()
        .map(|head| head.split_whitespace().filter_map(|name| name.strip_prefix("CPU")?.parse().ok()).collect())
        .unwrap_or_default();
    lines
        .filter_map(|line| {
            let (number, counts) = line.split_once(':')?;
            let fired = columns.iter().zip(counts.split_whitespace());
            let mut fired = fired.filter(|(core, count)| cores.contains(core) && *count != "0");
            fired.next().map(|_| number.trim().to_owned())
        })
        .collect()
}

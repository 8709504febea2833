//! The doctor before made-up machines: a tuned one passes, each fault is found by its own check, and
//! what cannot be read is unknown, never ok.

use std::path::Path;
use std::time::Duration;

use pawl::doctor::{Examination, Finding, Verdict, worst};
use pawl::engine::machine::SystemFiles;

/// A server of four cores, two of them isolated, tuned as `docs/vps.md` says.
const TUNED: &[(&str, &str)] = &[
    ("proc/self/status", "Cpus_allowed_list:\t0-1\nCapEff:\t0000000000000000\n"),
    ("proc/self/cgroup", "0::/system.slice/pawl.service\n"),
    ("sys/fs/cgroup/system.slice/pawl.service/cpu.max", "max 100000\n"),
    ("proc/cmdline", "root=/dev/vda1 isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3\n"),
    ("sys/devices/system/cpu/isolated", "2-3\n"),
    ("sys/devices/system/cpu/nohz_full", "2-3\n"),
    ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
    ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2\n"),
    ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3\n"),
    ("sys/devices/system/cpu/cpuidle/current_driver", "acpi_idle\n"),
    ("sys/devices/system/cpu/cpu2/cpuidle/state0/latency", "1\n"),
    ("proc/interrupts", "     CPU0 CPU1 CPU2 CPU3\n 25: 900 10 0 0 virtio\nLOC: 5 5 5 5 timer\n"),
    ("proc/irq/25/effective_affinity_list", "0\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("proc/swaps", "Filename Type Size Used Priority\n"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units\n\
         Max locked memory         unlimited            unlimited            bytes\n\
         Max realtime priority     50                   50                   \n",
    ),
    ("proc/cpuinfo", "flags\t: fpu constant_tsc nonstop_tsc\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("proc/stat", "cpu  100 0 100 9800 0 0 0 0 0 0\n"),
];

fn machine(changes: &[(&str, Option<&str>)]) -> Vec<Finding> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in TUNED {
        write(folder.path(), path, text);
    }
    for (path, text) in changes {
        match text {
            Some(text) => write(folder.path(), path, text),
            None => std::fs::remove_file(folder.path().join(path)).unwrap(),
        }
    }
    examine(folder.path())
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn examine(root: &Path) -> Vec<Finding> {
    let files = SystemFiles::below(root);
    let journal = root.join("journal/of/tomorrow");
    let examination = Examination { files, cores: None, journal, venue: None, watch: Duration::ZERO };
    examination.run(|_| ())
}

fn verdict(findings: &[Finding], check: &str) -> Verdict {
    findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("no {check}")).verdict
}

/// Checks that look at this very machine, whatever the tree says.
const REAL: [&str; 5] = ["clock-offset", "disk-write", "file-system", "disk-space", "jitter"];

#[test]
fn a_tuned_server_passes_every_check_that_its_files_decide() {
    let findings = machine(&[]);
    for finding in findings.iter().filter(|finding| !REAL.contains(&finding.check) && finding.check != "route-tcp") {
        assert_eq!(finding.verdict, Verdict::Ok, "{finding:?}");
        assert!(finding.fix.is_empty(), "nothing to mend: {finding:?}");
    }
}

#[test]
fn each_fault_is_found_by_its_own_check_and_by_no_other() {
    let cases: [(&str, Verdict, (&str, &str)); 17] = [
        ("cpu-quota", Verdict::Fail, ("sys/fs/cgroup/system.slice/cpu.max", "50000 100000")),
        ("rcu_nocbs", Verdict::Warn, ("proc/cmdline", "nohz_full=2-3")),
        ("nohz_full", Verdict::Warn, ("proc/cmdline", "nohz_full=2 rcu_nocbs=2-3")),
        ("governor", Verdict::Warn, ("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave")),
        ("turbo", Verdict::Warn, ("sys/devices/system/cpu/cpufreq/boost", "0")),
        ("turbo", Verdict::Warn, ("sys/devices/system/cpu/intel_pstate/no_turbo", "1")),
        ("siblings", Verdict::Warn, ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2,6")),
        ("c-states", Verdict::Warn, ("sys/devices/system/cpu/cpu2/cpuidle/state2/latency", "400")),
        ("interrupts", Verdict::Warn, ("proc/interrupts", "  CPU0 CPU1 CPU2 CPU3\n 25: 0 0 7 0 virtio\n")),
        ("huge-pages", Verdict::Warn, ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never")),
        ("swap", Verdict::Warn, ("proc/swaps", "Filename Type\n/swap.img file 1 2 3\n")),
        (
            "memory-lock",
            Verdict::Warn,
            ("proc/self/limits", "Max locked memory 8388608 x\nMax realtime priority 50 50\n"),
        ),
        ("real-time", Verdict::Warn, ("proc/self/limits", "Max locked memory unlimited\nMax realtime priority 0 0\n")),
        ("tsc", Verdict::Warn, ("proc/cpuinfo", "flags : fpu constant_tsc\n")),
        ("clock-source", Verdict::Warn, ("sys/devices/system/clocksource/clocksource0/current_clocksource", "xen")),
        ("stolen-time", Verdict::Warn, ("proc/stat", "cpu 100 0 100 9700 0 0 0 100 0 0")),
        ("stolen-time", Verdict::Fail, ("proc/stat", "cpu 100 0 100 9000 0 0 0 800 0 0")),
    ];
    for (check, expected, (path, text)) in cases {
        let mut changes = vec![(path, Some(text))];
        if check == "interrupts" {
            changes.push(("proc/irq/25/effective_affinity_list", Some("2")));
        }
        let findings = machine(&changes);
        assert_eq!(verdict(&findings, check), expected, "{path}: {findings:?}");
        let others = findings.iter().filter(|finding| finding.check != check && !REAL.contains(&finding.check));
        for other in others.filter(|finding| finding.check != "route-tcp") {
            assert_eq!(other.verdict, Verdict::Ok, "{path} changed {other:?}");
        }
    }
}

#[test]
fn cores_that_are_shared_are_named_with_the_boot_option_that_keeps_others_away() {
    let findings = machine(&[("sys/devices/system/cpu/isolated", Some("\n"))]);
    let isolation = findings.iter().find(|finding| finding.check == "isolation").unwrap();
    assert_eq!(isolation.verdict, Verdict::Warn);
    assert_eq!(isolation.fix, "boot with isolcpus=managed_irq,domain,1");
    let one = machine(&[
        ("sys/devices/system/cpu/isolated", Some("\n")),
        ("proc/self/status", Some("Cpus_allowed_list:\t0\nCapEff:\t0\n")),
    ]);
    assert_eq!(verdict(&one, "cores"), Verdict::Fail);
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_ok() {
    let nothing = tempfile::tempdir().unwrap();
    let findings = examine(nothing.path());
    let decided = ["cores", "isolation"];
    for finding in findings.iter().filter(|finding| !REAL.contains(&finding.check)) {
        if decided.contains(&finding.check) {
            assert_ne!(finding.verdict, Verdict::Ok, "{finding:?}");
        } else {
            assert_eq!(finding.verdict, Verdict::Unknown, "{finding:?}");
        }
        assert!(!finding.found.is_empty() && !finding.fix.is_empty(), "{finding:?}");
    }
    assert!(worst(&findings) >= Verdict::Warn);
}

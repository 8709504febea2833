//! The journal's folder: how long the disk takes to make a write safe. The hot thread never waits for
//! it, but a disk that stalls for long fills memory with pages that wait, and then everything waits.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use super::Verdict::{Fail, Ok, Unknown, Warn};
use super::{Finding, memory};
use crate::engine::machine::SystemFiles;
use crate::report::latency::{histogram, span};

/// Writes of a page, each made safe before the next.
const WRITES: u32 = 64;
/// One write in a hundred may take this long, nanoseconds.
const SLOW_NS: u64 = 10_000_000;
/// Slower is a disk that cannot hold a journal.
const HOPELESS_NS: u64 = 100_000_000;

pub(super) fn examine(files: &SystemFiles, journal: &Path) -> Vec<Finding> {
    // The folder may not exist yet: the nearest one that does is on the same disk.
    let Some(folder) = journal.ancestors().find(|folder| folder.is_dir()) else {
        let found = (Unknown, format!("{} does not exist", journal.display()));
        return vec![Finding::new("disk-write", WANTED, found, "name an existing folder with --journal")];
    };
    // An empty relative path means here.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut findings = vec![write_latency(folder), file_system(files, folder)];
    findings.extend(free_bytes(folder).map(memory::free_space));
    findings
}

const WANTED: &str = "99 of 100 writes safe within 10 ms";

fn write_latency(folder: &Path) -> Finding {
    let fix = "a local NVMe disk for the journal, or a volume with provisioned operations";
    match measure(folder) {
        Err(error) => {
            let found = (Fail, format!("cannot write in {}: {error}", folder.display()));
            Finding::new("disk-write", WANTED, found, "let the engine's user write there, or choose another folder")
        }
        Result::Ok(times) => {
            let [p50, p99, max] = [times.value_at_quantile(0.5), times.value_at_quantile(0.99), times.max()];
            let verdict = match p99 {
                slow if slow > HOPELESS_NS => Fail,
                slow if slow > SLOW_NS => Warn,
                _ => Ok,
            };
            let found = format!(
                "median {}, 99 % {}, longest {} of {WRITES} in {}",
                span(p50),
                span(p99),
                span(max),
                folder.display()
            );
            Finding::new("disk-write", WANTED, (verdict, found), fix)
        }
    }
}

/// Writes a page and makes it safe, again and again, in a file that is removed afterwards.
fn measure(folder: &Path) -> io::Result<hdrhistogram::Histogram<u64>> {
    let path = folder.join(format!(".pawl-doctor-{}", std::process::id()));
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    // Unlinked at once: gone whatever happens, and still there to be written.
    std::fs::remove_file(&path)?;
    let mut times = histogram();
    let page = [0x5A_u8; 4096];
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.saturating_record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Result::Ok(times)
}

/// The file system under a folder: one in memory loses the journal with the power.
fn file_system(files: &SystemFiles, folder: &Path) -> Finding {
    let wanted = "a file system on a disk that keeps what was reserved (ext4, xfs)";
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = files.read("/proc/self/mounts").unwrap_or_default();
    let below = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        path.starts_with(place).then_some((place.len(), kind))
    });
    let found = match below.max().map(|(_, kind)| kind) {
        None => (Unknown, "/proc/self/mounts does not tell".to_owned()),
        Some(kind @ ("ext4" | "xfs" | "ext3" | "ext2")) => (Ok, kind.to_owned()),
        Some(kind @ ("tmpfs" | "ramfs")) => (Warn, format!("{kind}: in memory; lost with the power")),
        Some(kind @ ("btrfs" | "zfs")) => {
            (Warn, format!("{kind}: copies on write, so reserved space may still run out"))
        }
        Some(kind @ ("nfs" | "nfs4" | "cifs" | "fuse" | "9p")) => (Warn, format!("{kind}: over a network")),
        Some(kind) => (Unknown, format!("{kind}: not judged")),
    };
    Finding::new("file-system", wanted, found, "put the journal on ext4 or xfs")
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: a path that ends in zero and a valid place for the answer; zeroed is a valid value.
    let (status, stat) = unsafe {
        let status = libc::statvfs(path.as_ptr(), stat.as_mut_ptr());
        (status, stat.assume_init())
    };
    (status == 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

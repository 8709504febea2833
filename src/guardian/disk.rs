//! How much of a disk is left.

use std::path::Path;

/// Bytes free for us on the file system of a path; of a path that is not there yet, of its folder.
pub(super) fn disk_free(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let name = std::ffi::CString::new(there.as_os_str().as_bytes()).ok()?;
    // SAFETY: a zeroed statvfs is a value of it; the name ends in NUL; the call fills the struct.
    let (result, stat) = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &raw mut stat), stat)
    };
    (result == 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

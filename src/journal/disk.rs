//! The disk under a journal: reserving space, and what is wrong with it, before the hot thread could
//! notice. Called by the helper thread and at start, never by the hot thread.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Why the next segment cannot be had. A plain value: the hot thread passes it on without allocating.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The filesystem is full.
    Full,
    /// Less space is free than the configured floor.
    Low,
    /// A quota is used up.
    Quota,
    /// The file would exceed the process's limit.
    FileSize,
    /// The filesystem is mounted read-only.
    ReadOnly,
    /// The session's folder is no longer there.
    Gone,
    /// Another error of the system: its number.
    System(i32),
    /// The helper thread has not finished the next segment yet.
    Late,
}

impl Trouble {
    /// The trouble that an error of the system means.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC) => Self::Full,
            Some(libc::EDQUOT) => Self::Quota,
            Some(libc::EFBIG) => Self::FileSize,
            Some(libc::EROFS) => Self::ReadOnly,
            Some(libc::ENOENT | libc::ESTALE) => Self::Gone,
            other => Self::System(other.unwrap_or(0)),
        }
    }

    /// As a number for an atomic; 0 is left for "none".
    pub(super) fn to_word(self) -> u64 {
        match self {
            Self::Full => 1,
            Self::Low => 2,
            Self::Quota => 3,
            Self::FileSize => 4,
            Self::ReadOnly => 5,
            Self::Gone => 6,
            Self::Late => 7,
            Self::System(number) => 1 << 32 | u64::from(number.unsigned_abs()),
        }
    }

    /// The inverse of [`Trouble::to_word`].
    pub(super) fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            0 => return None,
            1 => Self::Full,
            2 => Self::Low,
            3 => Self::Quota,
            4 => Self::FileSize,
            5 => Self::ReadOnly,
            6 => Self::Gone,
            7 => Self::Late,
            other => Self::System(other as u32 as i32),
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Full => "the disk is full: delete files or give it more space",
            Self::Low => "less disk space is free than journal.min_free_bytes: delete files",
            Self::Quota => "the disk quota is used up: raise it or delete files",
            Self::FileSize => "the file-size limit is reached: raise `ulimit -f`",
            Self::ReadOnly => "the filesystem is read-only: look at the kernel's log for a disk error",
            Self::Gone => "the session's folder is gone: somebody moved or deleted it",
            Self::Late => "the next segment is not ready yet: the disk is slower than the market",
            Self::System(number) => return write!(f, "{}", io::Error::from_raw_os_error(*number)),
        };
        f.write_str(text)
    }
}

/// Reserves the blocks of a file's first `bytes`, so that a full disk is an error here and not a
/// SIGBUS at a store later.
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    // Beyond RLIMIT_FSIZE the system also sends SIGXFSZ, which would end the process.
    let _quiet = BlockedSignal::new(libc::SIGXFSZ);
    // SAFETY: the descriptor is open for writing and outlives the call; no memory is involved.
    let status = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) };
    if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
}

/// A signal that this thread does not receive while the value lives.
struct BlockedSignal(libc::sigset_t);

impl BlockedSignal {
    fn new(signal: libc::c_int) -> Self {
        // SAFETY: a sigset_t is plain data, initialised by sigemptyset before use; both sets outlive
        // the calls, which change nothing but this thread's signal mask.
        unsafe {
            let mut block = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigemptyset(&raw mut block);
            libc::sigaddset(&raw mut block, signal);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const block, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for BlockedSignal {
    fn drop(&mut self) {
        // SAFETY: takes a pending signal off this thread without waiting, then restores the mask that
        // was there before; all pointers are to live values.
        unsafe {
            let mut pending = std::mem::zeroed();
            libc::sigpending(&raw mut pending);
            if libc::sigismember(&raw const pending, libc::SIGXFSZ) == 1 {
                let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                let mut only = std::mem::zeroed();
                libc::sigemptyset(&raw mut only);
                libc::sigaddset(&raw mut only, libc::SIGXFSZ);
                libc::sigtimedwait(&raw const only, std::ptr::null_mut(), &raw const none);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut());
        }
    }
}

/// Looks at the folder's filesystem: is it there, writable, and is enough free?
pub(super) fn inspect(directory: &Path, min_free_bytes: u64) -> Option<Trouble> {
    let Ok(name) = CString::new(directory.as_os_str().as_bytes()) else { return Some(Trouble::Gone) };
    // SAFETY: `name` is a C string that outlives the call, `found` is written by it and plain data.
    let (status, found) = unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &raw mut found), found)
    };
    if status != 0 {
        return Some(Trouble::of(&io::Error::last_os_error()));
    }
    if found.f_flag & libc::ST_RDONLY != 0 {
        return Some(Trouble::ReadOnly);
    }
    (found.f_bavail.saturating_mul(found.f_frsize) < min_free_bytes).then_some(Trouble::Low)
}

/// Makes the names in a folder survive a power failure.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_survives_its_word() {
        let all = [
            Trouble::Full,
            Trouble::Low,
            Trouble::Quota,
            Trouble::FileSize,
            Trouble::ReadOnly,
            Trouble::Gone,
            Trouble::Late,
            Trouble::System(libc::EIO),
            Trouble::System(0),
        ];
        for trouble in all {
            assert_eq!(Trouble::from_word(trouble.to_word()), Some(trouble));
        }
        assert_eq!(Trouble::from_word(0), None);
    }

    #[test]
    fn the_systems_errors_have_their_own_words() {
        let of = |number| Trouble::of(&io::Error::from_raw_os_error(number));
        assert_eq!(of(libc::ENOSPC), Trouble::Full);
        assert_eq!(of(libc::EDQUOT), Trouble::Quota);
        assert_eq!(of(libc::EFBIG), Trouble::FileSize);
        assert_eq!(of(libc::EROFS), Trouble::ReadOnly);
        assert_eq!(of(libc::ENOENT), Trouble::Gone);
        assert_eq!(of(libc::EIO), Trouble::System(libc::EIO));
        assert_eq!(inspect(Path::new("/nowhere/at/all"), 0), Some(Trouble::Gone));
        assert_eq!(inspect(Path::new("/"), u64::MAX), Some(Trouble::Low));
    }
}

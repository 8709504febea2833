//! Who wrote a page: a process named so that neither a reused pid nor a reboot can pass for it.
//!
//! A pid alone names whoever has it now. Pid, start time in clock ticks (field 22 of
//! `/proc/<pid>/stat`) and boot id name one process for ever.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use super::seqlock::Checksum;
use crate::core::Span;

/// One process of one boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start_ticks: u64,
    /// A digest of `/proc/sys/kernel/random/boot_id`.
    pub boot: u64,
}

impl ProcessIdentity {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn current() -> io::Result<Self> {
        let pid = std::process::id();
        let start_ticks = start_ticks(pid)?.0;
        Ok(Self { pid, start_ticks, boot: boot_id()? })
    }

    /// True while this very process exists and is no zombie.
    pub fn is_alive(&self) -> bool {
        let running = |(ticks, state): (u64, u8)| ticks == self.start_ticks && !matches!(state, b'Z' | b'X');
        boot_id().is_ok_and(|boot| boot == self.boot) && start_ticks(self.pid).is_ok_and(running)
    }

    /// A handle that reports the end of this process and that signals reach nobody else through.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when the process is gone or the pid is somebody else's now.
    pub fn open(&self) -> io::Result<ProcessHandle> {
        let pid = libc::pid_t::try_from(self.pid).map_err(io::Error::other)?;
        // SAFETY: the call takes two integers and returns a new descriptor or -1.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
        // Checked after opening: from here on the handle cannot move to another process.
        if self.is_alive() { Ok(ProcessHandle { descriptor }) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

/// A pidfd.
#[derive(Debug)]
pub struct ProcessHandle {
    descriptor: OwnedFd,
}

impl ProcessHandle {
    /// Waits until the process has ended, at most this long (zero: only looks).
    ///
    /// A stopped process has not ended.
    pub fn has_ended_within(&self, span: Span) -> bool {
        let mut poll = libc::pollfd { fd: self.descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let most = libc::timespec {
            tv_sec: (span.0 / 1_000_000_000) as libc::time_t,
            tv_nsec: (span.0 % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: one valid pollfd, count 1; a valid timespec; a null signal mask, which the call allows.
        unsafe { libc::ppoll(&raw mut poll, 1, &raw const most, std::ptr::null()) == 1 }
    }

    /// Sends SIGKILL to exactly this process; one that has ended already is fine.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&self) -> io::Result<()> {
        // SAFETY: integers and a null siginfo, which the call allows.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.descriptor.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match io::Error::last_os_error() {
            _ if sent == 0 => Ok(()),
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        }
    }
}

/// Start time in clock ticks, and the state letter.
fn start_ticks(pid: u32) -> io::Result<(u64, u8)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "expected /proc/<pid>/stat as in proc(5)");
    // The command name may hold blanks and parentheses; fields are counted from after its last one.
    let (_, fields) = stat.rsplit_once(')').ok_or_else(malformed)?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next().and_then(|text| text.bytes().next()).ok_or_else(malformed)?;
    let ticks = fields.nth(18).and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    Ok((ticks, state))
}

/// The digest of this boot's id, read once.
fn boot_id() -> io::Result<u64> {
    static BOOT: OnceLock<u64> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(*boot);
    }
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let words: Vec<u64> = text.trim().bytes().map(u64::from).collect();
    Ok(*BOOT.get_or_init(|| Checksum::of(0, &words)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_itself_until_it_ends_and_its_pid_alone_is_not_enough() {
        let me = ProcessIdentity::current().unwrap();
        assert!(me.is_alive());
        assert!(!ProcessIdentity { start_ticks: me.start_ticks + 1, ..me }.is_alive(), "a reused pid");
        assert!(!ProcessIdentity { boot: me.boot ^ 2, ..me }.is_alive(), "another boot");
        assert_eq!(
            ProcessIdentity { start_ticks: 1, ..me }.open().unwrap_err().kind(),
            io::ErrorKind::NotFound,
            "no handle to a stranger"
        );
    }

    #[test]
    fn the_handle_reports_the_end_and_kills_a_stopped_process() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let identity = ProcessIdentity {
            pid: child.id(),
            start_ticks: start_ticks(child.id()).unwrap().0,
            ..ProcessIdentity::current().unwrap()
        };
        let handle = identity.open().unwrap();
        // SAFETY: a signal to our own child.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGSTOP) }, 0);
        assert!(!handle.has_ended_within(Span::ZERO), "stopped is not ended");
        handle.kill().unwrap();
        assert!(handle.has_ended_within(Span::seconds(10)));
        assert!(!identity.is_alive(), "a zombie is not alive");
        child.wait().unwrap();
        handle.kill().expect("killing the dead is fine");
    }
}

//! Where a thread runs, how urgent it is, and that its memory stays: what the system must permit, with
//! words for when it does not.

use std::io;

use core_affinity::CoreId;

/// The system refused.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The core is not there, or not for this process.
    #[error(
        "threads: expected to run on core {core}, found that the system does not let this process there; see `taskset -p $$`"
    )]
    Core {
        /// Which core.
        core: usize,
    },
    /// No permission for a real-time priority.
    #[error(
        "threads: priority {priority} was refused ({source}); put LimitRTPRIO={priority} into the unit, or leave `priority` out"
    )]
    Priority {
        /// Which priority.
        priority: u8,
        /// What the system said.
        source: io::Error,
    },
    /// No permission to lock memory.
    #[error(
        "threads: locking memory was refused ({source}); put LimitMEMLOCK=infinity into the unit, or set lock_memory = false"
    )]
    Lock {
        /// What the system said.
        source: io::Error,
    },
}

/// Pins the calling thread to a core.
///
/// # Errors
/// [`PinError::Core`].
pub fn pin(core: usize) -> Result<(), PinError> {
    if core_affinity::set_for_current(CoreId { id: core }) { Ok(()) } else { Err(PinError::Core { core }) }
}

/// Gives the calling thread a real-time priority (SCHED_FIFO).
///
/// # Errors
/// [`PinError::Priority`].
pub fn real_time(priority: u8) -> Result<(), PinError> {
    let parameters = libc::sched_param { sched_priority: libc::c_int::from(priority) };
    // SAFETY: 0 is the calling thread; the parameters are valid and outlive the call.
    let status = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if status == 0 { Ok(()) } else { Err(PinError::Priority { priority, source: io::Error::last_os_error() }) }
}

/// Locks what the process has mapped and touches from here on, page by page as it is touched: mapping
/// a journal of gigabytes must not pin all of it at once.
///
/// # Errors
/// [`PinError::Lock`].
pub fn lock_memory() -> Result<(), PinError> {
    // SAFETY: takes no memory of ours; only changes what may be swapped.
    let status = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if status == 0 { Ok(()) } else { Err(PinError::Lock { source: io::Error::last_os_error() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_where_it_was_told_and_a_missing_core_is_refused_with_words() {
        let machine = crate::engine::machine::Machine::read(&crate::engine::machine::SystemFiles::of_this_machine());
        let core = *machine.allowed.first().unwrap();
        // A thread of its own: the others of the test process keep their freedom.
        let found = std::thread::spawn(move || {
            pin(core).unwrap();
            // SAFETY: no arguments, no memory.
            unsafe { libc::sched_getcpu() }
        });
        assert_eq!(found.join().unwrap(), core as i32);
        let error = std::thread::spawn(|| pin(1023).unwrap_err()).join().unwrap();
        assert!(error.to_string().contains("core 1023"), "{error}");
    }
}

//! Two pages of shared memory: what the engine is doing, and what the guardian says about it.
//!
//! Setup: the engine makes its page with [`EnginePage::create`], the guardian its own with
//! [`GuardianPageWriter::create`]. Then each writes its page and reads the other's, and neither ever
//! waits: [`EnginePage::publish`] costs tens of nanoseconds; a reader copies a whole snapshot or is
//! told why there is none. A page whose writer has died stays behind and is recognised.
//!
//! | file in the folder | writer | readers |
//! |---|---|---|
//! | `engine.page` | the trading loop | guardian, `pawl top` |
//! | `guardian.page` | the guardian | the engine (mapped: one load asks for the kill word) |
//!
//! One writer for each word: the guardian's kill word is in the guardian's page, and the engine's
//! answer to it in the engine's. Words are 64 bits in the machine's byte order. Layouts:
//!
//! | engine page, words | meaning |
//! |---|---|
//! | 0..16 | header, see `page.rs` |
//! | 16..272 | 64 names of instruments, 32 bytes each, padded with zeros |
//! | 272..336 | 8 progress cells, a cache line each: counter, CLOCK_MONOTONIC of its last step |
//! | 336 | answer to the kill word, alone in its line |
//! | 344 | sequence of the snapshot |
//! | 345 | checksum of what follows, salted with sequence and session |
//! | 346..368 | the account and the counters, see [`Snapshot`] |
//! | 368..624 | 64 rows of 4 words, see [`InstrumentRow`] |
//!
//! | guardian page, words | meaning |
//! |---|---|
//! | 0..16 | header |
//! | 16 | kill word, alone in its line: 0, or the number of the latch |
//! | 24 | sequence |
//! | 25 | checksum |
//! | 26..40 | see [`GuardianView`] |

mod engine_page;
mod guardian_page;
mod page;
mod process;
pub mod progress;
pub mod seqlock;
mod watch;

pub use engine_page::{
    CHECK_EVERY, EnginePage, EnginePageError, EnginePlan, EngineReader, EngineState, EngineView, InstrumentRow,
    MAX_HOT_THREADS, MAX_INSTRUMENTS, Snapshot,
};
pub use guardian_page::{GuardianPage, GuardianPageWriter, GuardianView, Level};
pub use page::{LAYOUT_VERSION, PageError, PageOwner};
pub use process::{ProcessHandle, ProcessIdentity};
pub use progress::Progress;
pub use watch::GuardianWatch;

/// The clock that pages are dated by: the same in every process, and no step of the date moves it.
pub use crate::engine::clock::monotonic_ns;

/// Where the pages are when no folder is named: `/dev/shm/pawl-<uid>-<digest of the state folder's path>`,
/// so that two accounts on one machine do not meet.
pub fn default_folder(state: &std::path::Path) -> std::path::PathBuf {
    let absolute = std::fs::canonicalize(state).or_else(|_| std::path::absolute(state));
    let path = absolute.unwrap_or_else(|_| state.to_owned());
    let words: Vec<u64> = path.as_os_str().as_encoded_bytes().iter().map(|byte| u64::from(*byte)).collect();
    // SAFETY: no arguments, never fails.
    let user = unsafe { libc::geteuid() };
    std::path::PathBuf::from(format!("/dev/shm/pawl-{user}-{:08x}", seqlock::Checksum::of(0, &words) as u32))
}

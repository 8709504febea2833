//! The journal: everything the engine was told (`input`) and everything it decided (`output`), as
//! 64-byte records in memory-mapped, preallocated segments. Format and guarantees: `docs/journal.md`.
//!
//! A segment file is a 4096-byte header page and then records. The header:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `pawlseg1` |
//! | 8 | 4 | record size, 64 |
//! | 12 | 4 | stream: 1 input, 2 output |
//! | 16 | 8 | segment number, from 1 |
//! | 24 | 8 | sequence of its first record |
//! | 32 | 4 | life: 1 created the session, each resume counts one more |
//! | 36 | 4 | CRC-32C of `session.toml` |
//! | 40 | 4 | CRC-32C of bytes 0..40 |
//!
//! A record is valid when its sequence is the next one and its CRC holds; the first slot that was
//! never written ends the stream. One writer per session, held by a lock on `session.lock`.
//!
//! | file | what lives there |
//! |---|---|
//! | `slot`, `handoff` | the two protocols between threads and processes, model-checked |
//! | `segment`, `disk` | one file; the disk under it |
//! | `stream`, `keeper`, `writer` | hot side, helper side, the session that owns both |
//! | `recovery` | the end of a stream after a crash |
//! | `reader`, `verify` | one record after another; all of them, with what is wrong |
//! | `select`, `fields` | both streams as one story; a record as named, typed values |
//! | `info`, `compress`, `parquet` | a session in numbers; closed segments made small; other people's tables |

mod ahead;
mod compress;
mod disk;
mod error;
mod fields;
mod handoff;
mod info;
mod keeper;
mod options;
mod parquet;
mod reader;
mod recovery;
mod segment;
mod select;
mod slot;
mod stream;
mod sync;
mod verify;
mod writer;

use serde::{Deserialize, Serialize};

use crate::core::InstrumentSpec;

pub use compress::{Compression, compress_session};
pub use disk::Trouble;
pub use error::JournalError;
pub use fields::{Value, order_of, payload_fields};
pub use info::{JournalInfo, StreamInfo, journal_info};
pub use options::{SyncPolicy, WriterOptions};
pub use parquet::ParquetTable;
pub use reader::{SessionReader, StreamReader};
pub use recovery::{Recovery, StreamRecovery};
pub use select::{Position, Selection, Story, input_of, side_name};
pub use stream::StreamWriter;
pub use verify::{Finding, SessionCheck, StreamCheck, check_session};
pub use writer::{SessionWriter, remove_session};

/// Version of the format that this code writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the session's description in its folder: what makes a folder a session.
pub const SESSION_FILE: &str = "session.toml";
/// Name of the lock file in a session's folder.
const LOCK_FILE: &str = "session.lock";

/// What a session ran with: `session.toml`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct SessionInfo {
    /// Version of the format.
    pub version: u32,
    /// Version of pawl that wrote it.
    pub pawl: String,
    /// When, or empty where the same inputs must give the same bytes.
    pub created: String,
    /// What its order ids begin with.
    #[serde(default = "first_session")]
    pub session: u32,
    /// The configuration, as TOML text.
    pub config: String,
    /// CRC-32C of `config`, hexadecimal.
    pub config_crc: String,
    /// CRC-32C of the model file, hexadecimal.
    pub model_crc: String,
    /// The instrument table, in the order of the ids.
    pub instruments: Vec<InstrumentSpec>,
}

/// Backtests and demos are session 1.
fn first_session() -> u32 {
    1
}

/// The two streams of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamName {
    /// What the engine was told.
    Input,
    /// What it decided.
    Output,
}

impl StreamName {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Input, Self::Output];

    /// The name in file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Input => 1,
            Self::Output => 2,
        }
    }
}

/// Whether the next records have a place. What the live loop looks at in every turn.
///
/// | health | what it means | what the engine does |
/// |---|---|---|
/// | `Good` | the next segment is ready or under way | trades |
/// | `LowSpace` | the next segment cannot be had, or free space is below the floor; the present segment still takes everything | opens nothing new, alerts |
/// | `Full` | the reserve has begun: market data is refused, all else is stored | exits only, on quotes stored with `append_essential` |
///
/// An event that was not stored must not reach the engine: then a replay stays identical. When even
/// the reserve is used up, exits go on unrecorded, counted by `not_stored`, until there is space again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Health {
    /// All is well.
    Good,
    /// No new entries from here on.
    LowSpace,
    /// Market data is not stored any more.
    Full,
}

//! The guardian: a kill switch in a process of its own. Files, levels and events: `docs/guardian.md`.
//!
//! | file | what | I/O |
//! |---|---|---|
//! | `params` | the `[guardian]` table | no |
//! | `observation` | what it sees in one look: engine, venue, clock, disk | no |
//! | `condition` | the conditions and what they read | no |
//! | `decide` | one pure function: observation in, actions out | no |
//! | `day` | trading days and the daily reference | no |
//! | `liquidation` | a state machine that cancels and closes until the account is flat | no |
//! | `leg` | one instrument of it | no |
//! | `desk` | what that machine asks a venue | no |
//! | `latch`, `ledger`, `events` | what must survive: latch, reference, the story | yes |
//! | `eye`, `fence`, `own_page` | the engine's page and process, and the guardian's page | yes |
//! | `binance`, `poll`, `cash` | the guardian's own sessions with the venue | yes |
//! | `run` | the threads | yes |
//!
//! Whatever cannot be computed counts as breached; an unreadable latch is a latch; the level goes up
//! by itself and down only by a person.

mod act;
pub mod binance;
mod cash;
pub mod clock;
pub mod condition;
pub mod day;
pub mod decide;
pub mod desk;
mod disk;
pub mod drill;
pub mod events;
mod eye;
mod fence;
pub mod latch;
pub mod ledger;
mod leg;
pub mod liquidation;
pub mod observation;
mod own_page;
pub mod params;
mod poll;
mod requests;
pub mod run;
mod sight;
pub mod store;
mod tell;

pub use condition::{Condition, Figure};
pub use decide::{Action, Goal, Guard};
pub use observation::{EngineSight, Observation, VenueFacts};
pub use params::GuardianParams;
pub use requests::{ResetAnswer, ResetRequest};

pub use crate::snapshot::Level;

//! Faults with real processes over loopback: `pawl venue`, `pawl guardian run`, `pawl run`, `pawl notify run`.
//! However it goes, the account ends flat (or within its limits) by the venue's own books, no entry follows
//! the latch, each alert is told once, and the engine's journal replays.
//!
//! | file | what |
//! |---|---|
//! | `lab`, `books`, `engine`, `alerts` | processes; the venue's truth; `pawl run` and its journal; `pawl notify run` |
//! | `stand_in` | an engine that misbehaves as a real one cannot be made to |
//! | the others | one promise each |

mod alerts;
mod books;
mod clock;
mod cut_off;
mod dead_engine;
mod dead_man;
mod demands;
mod disk;
mod engine;
mod lab;
mod latch;
mod loss;
mod lots;
mod misbehaviour;
#[path = "../notify_support/mod.rs"]
mod notify_support;
mod page;
mod silent_guardian;
mod spot;
mod stand_in;
mod succession;
mod transfers;

//! What the guardian decides, driven without a process: every condition at its limit and one unit beyond,
//! and the properties that hold whatever it is shown.

mod engine;
mod levels;
mod money;
mod promises;
mod surroundings;
mod world;

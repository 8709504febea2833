//! Where a live session's events come from and where its commands go. The loop knows no venue: it
//! knows this. A wire is polled, never waits, and hands over events in the order in which the engine
//! must see them.

use std::time::Duration;

use crate::core::{Event, Nanos};

/// A venue as the live loop sees it.
pub trait Wire {
    /// Reads what there is and does what is due; appends events, oldest first. Their `local_ns` is
    /// the time of the read that completed them, never before that of an event given earlier.
    /// Returns true when something happened, so that the loop looks again at once.
    fn poll(&mut self, now: Nanos, inbox: &mut Vec<Event>) -> bool;

    /// Takes a command of the engine. It is sent now, queued, or answered by a later event; a command
    /// whose fate is not known is answered by nothing, and the engine asks.
    fn command(&mut self, command: &Event, now: Nanos);

    /// Sleeps until there may be something to read, at most this long.
    fn wait(&mut self, at_most: Duration);

    /// The latest thing that a person should know about the connections, if any.
    fn trouble(&self) -> Option<String>;

    /// Sends nothing any more and gives up its connections.
    fn cut(&mut self);
}

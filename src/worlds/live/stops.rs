//! Why no entry is allowed at the moment. Each reason is set and cleared by whoever raised it, and
//! entries are allowed only when none is left: a guardian that lets go does not undo a full disk.

use crate::core::payload::ControlCode;

/// A reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// The guardian's level is above ACTIVE, or it is not ready.
    Guardian = 1,
    /// The journal's disk is nearly full.
    Disk = 2,
    /// The session is ending.
    Ending = 4,
}

/// The reasons that hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Stops(u8);

impl Stops {
    /// Sets or clears a reason; the word for the engine when that changes whether entries are allowed.
    pub(super) fn set(&mut self, stop: Stop, holds: bool) -> Option<ControlCode> {
        let before = self.0;
        if holds {
            self.0 |= stop as u8;
        } else {
            self.0 &= !(stop as u8);
        }
        match (before, self.0) {
            (0, after) if after != 0 => Some(ControlCode::StopEntries),
            (before, 0) if before != 0 => Some(ControlCode::AllowEntries),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_allowed_again_only_when_the_last_reason_is_gone() {
        let mut stops = Stops::default();
        assert_eq!(stops.set(Stop::Guardian, true), Some(ControlCode::StopEntries));
        assert_eq!(stops.set(Stop::Ending, true), None);
        assert_eq!(stops.set(Stop::Guardian, false), None);
        assert_eq!(stops.set(Stop::Guardian, false), None);
        assert_eq!(stops.set(Stop::Ending, false), Some(ControlCode::AllowEntries));
    }
}

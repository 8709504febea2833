//! What happens to market data while the journal has no room for it.
//!
//! An input that is not in the journal must not reach the engine, or a replay would differ; and the
//! first stage may be on another thread than the journal. So the order side says here that market data
//! is refused, and the market side withholds it before the first stage: all of it but that of instruments
//! with an open position, which an exit needs. What was on its way already goes into the journal's
//! reserve. Once a second some is let through, to find out whether there is room again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::core::{Event, EventKind};
use crate::snapshot::MAX_INSTRUMENTS;

const _: () = assert!(MAX_INSTRUMENTS <= 64, "a bit an instrument");

/// Shared by both sides. The order side writes; each word stands for itself, so no order is needed.
#[derive(Default)]
pub(super) struct Room {
    refused: AtomicBool,
    /// Instruments with an open position, a bit each.
    held: AtomicU64,
}

impl Room {
    /// Market data is refused from here on, or not any more.
    pub(super) fn set_refused(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }

    /// Instruments whose market data is needed all the same, a bit each.
    pub(super) fn set_held(&self, held: u64) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// True while market data is refused.
    #[inline]
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// True when the engine must not be told this event.
    #[inline]
    pub(super) fn withholds(&self, event: &Event) -> bool {
        self.is_refused()
            && matches!(event.kind, EventKind::Quote | EventKind::Trade | EventKind::Gap)
            && 1u64.checked_shl(event.instrument.index() as u32).unwrap_or(0) & self.held.load(Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{InstrumentId, Nanos};

    #[test]
    fn while_there_is_no_room_only_what_an_exit_needs_passes() {
        let room = Room::default();
        let event = |kind, instrument| Event::new(kind, InstrumentId(instrument), Nanos(1), Nanos(1), [1; 4]);
        assert!(!room.withholds(&event(EventKind::Quote, 0)));
        room.set_refused(true);
        room.set_held(1 << 3);
        assert!(room.withholds(&event(EventKind::Quote, 0)) && room.withholds(&event(EventKind::Gap, 2)));
        assert!(!room.withholds(&event(EventKind::Quote, 3)) && !room.withholds(&event(EventKind::Trade, 3)));
        assert!(!room.withholds(&event(EventKind::Link, 0)), "a lost connection is told in any case");
        assert!(room.withholds(&event(EventKind::Quote, 64)) && room.withholds(&event(EventKind::Quote, 67)));
        room.set_refused(false);
        assert!(!room.withholds(&event(EventKind::Quote, 0)));
    }
}

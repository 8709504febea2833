//! What the engine page shows: counters kept as events pass, and the rest read from the order manager
//! when a snapshot is due. A snapshot is due when something passed, and every millisecond.

use crate::core::{Event, EventKind, InstrumentTable, Money, Nanos, Qty};
use crate::oms::Oms;
use crate::snapshot::{EngineState, InstrumentRow, MAX_INSTRUMENTS, Snapshot};

/// A page that nothing changed is published anew this often, nanoseconds.
const REFRESH: u64 = 1_000_000;

/// The counters and the last snapshot.
pub(super) struct Gauges {
    snapshot: Snapshot,
    instruments: usize,
    start_balance: Option<Money>,
    changed: bool,
    market: [Nanos; MAX_INSTRUMENTS],
}

impl Gauges {
    pub(super) fn new(instruments: &InstrumentTable) -> Self {
        Self {
            snapshot: Snapshot::default(),
            instruments: instruments.len().min(MAX_INSTRUMENTS),
            start_balance: None,
            changed: true,
            market: [Nanos::NONE; MAX_INSTRUMENTS],
        }
    }

    /// The next snapshot is due at once.
    pub(super) fn invalidate(&mut self) {
        self.changed = true;
    }

    pub(super) fn on_input(&mut self, event: &Event) {
        self.changed = true;
        match event.kind {
            EventKind::Quote | EventKind::Trade => {
                if let Some(market) = self.market.get_mut(event.instrument.index()) {
                    *market = event.local_ns;
                }
            }
            EventKind::Fill => self.snapshot.fills += 1,
            EventKind::OrderRejected => self.snapshot.rejects += 1,
            _ => {}
        }
    }

    pub(super) fn on_output(&mut self, event: &Event) {
        match event.kind {
            EventKind::Submit => self.snapshot.orders += 1,
            EventKind::Alert => self.snapshot.alerts += 1,
            _ => {}
        }
    }

    /// The snapshot to publish, or `None` when none is due. `now` and `monotonic` are one instant on
    /// two clocks: times of events are carried over to the second.
    pub(super) fn snapshot(
        &mut self,
        oms: &Oms,
        state: EngineState,
        journal: [u64; 2],
        now: Nanos,
        monotonic: u64,
    ) -> Option<&Snapshot> {
        let fresh = monotonic.wrapping_sub(self.snapshot.published_ns) < REFRESH;
        if fresh && !self.changed && state == self.snapshot.state {
            return None;
        }
        self.changed = false;
        let carried = |at: Nanos| if at == Nanos::NONE { 0 } else { monotonic.saturating_sub(now.since(at).0).max(1) };
        let snapshot = &mut self.snapshot;
        (snapshot.published_ns, snapshot.state, snapshot.journal) = (monotonic, state, journal);
        (snapshot.balance, snapshot.equity) = (oms.balance(), oms.equity());
        let start = *self.start_balance.get_or_insert(snapshot.balance);
        snapshot.realised = snapshot.balance.checked_sub(start).unwrap_or(Money::ZERO);
        snapshot.unrealised = snapshot.equity.checked_sub(snapshot.balance).unwrap_or(Money::ZERO);
        (snapshot.open_orders, snapshot.unknown_orders) = (0, 0);
        (snapshot.open_lots, snapshot.market_ns) = (oms.open_lots(), 0);
        let mut oldest: Option<Nanos> = None;
        for (index, row) in snapshot.instruments.iter_mut().enumerate().take(self.instruments) {
            let Some(status) = oms.status(crate::core::InstrumentId(index as u16)) else { continue };
            *row = InstrumentRow {
                position: status.position,
                open_lots: status.open_lots,
                entry: status.entry,
                market_ns: carried(self.market[index]),
            };
            snapshot.market_ns = snapshot.market_ns.max(row.market_ns);
            snapshot.open_orders += u64::from(status.has_order);
            if let Some(since) = status.unknown_since {
                snapshot.unknown_orders += 1;
                oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
            }
        }
        snapshot.oldest_unknown_ns = oldest.map_or(0, carried);
        debug_assert!(snapshot.open_lots >= Qty::ZERO, "lots are magnitudes");
        Some(snapshot)
    }
}

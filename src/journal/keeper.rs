//! Keeps a stream's segments: makes the next one, pre-faults ahead of the writer, syncs behind it.
//!
//! Runs on the helper thread (or, without one, inside an append at a segment's end). Facts it is
//! built on, measured on ext4, Linux 6.18: writing a page to disk write-protects it again, and the next
//! store then costs 1.5 us; the kernel does so by itself to pages dirty for 30 s. So pages are populated
//! for writing in a window ahead of the writer and again every second, and synced only once the writer
//! has left them. A page that the writer stands on for a whole interval is synced under it and
//! populated again at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{self, Trouble};
use super::segment::{self, Place, Segment};
use super::slot::Slot;
use super::stream::Link;
use super::{JournalError, SyncPolicy, WriterOptions};

/// Pages are populated again, and the disk is looked at, this often.
const REFRESH: Duration = Duration::from_secs(1);
/// A segment that could not be made is tried again this often.
const RETRY: Duration = Duration::from_millis(100);

/// Keeps one stream's segments.
pub(super) struct Keeper {
    place: Place,
    options: WriterOptions,
    link: Arc<Link>,
    held: Mutex<Held>,
}

/// What the keeper holds, and how far it has got. Mappings live here until the writer has left them.
struct Held {
    current: Segment,
    spare: Option<Segment>,
    /// Left by the writer, not synced to its end yet.
    left: Option<Segment>,
    /// Sequence up to which everything is on disk.
    synced: u64,
    /// The cursor at the last sync tick.
    last_tick: u64,
    /// Records of the present segment that are populated.
    populated: usize,
    next_sync: Instant,
    next_refresh: Instant,
    next_try: Instant,
    disk: Option<Trouble>,
    failed: Option<Trouble>,
}

impl Keeper {
    /// A keeper whose present segment is new; its first record will have the sequence `first`.
    pub(super) fn new(place: Place, options: &WriterOptions, number: u64, first: u64) -> Result<Self, JournalError> {
        let durable = options.helper && options.sync != SyncPolicy::None;
        let current = Segment::create(&place, number, first, durable)?;
        let now = Instant::now();
        let held = Held {
            current,
            spare: None,
            left: None,
            synced: first - 1,
            last_tick: first - 1,
            populated: 0,
            next_sync: now,
            next_refresh: now,
            next_try: now,
            disk: None,
            failed: None,
        };
        let link = Arc::new(Link::new(first - 1));
        Ok(Self { place, options: options.clone(), link, held: Mutex::new(held) })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn options(&self) -> &WriterOptions {
        &self.options
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Number, first sequence and first slot of the present segment.
    pub(super) fn current(&self) -> (u64, u64, *mut Slot) {
        let held = self.held();
        (held.current.number, held.current.first, held.current.base())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn durable(&self) -> bool {
        self.options.helper && self.options.sync != SyncPolicy::None
    }

    /// Without a helper thread: the next segment, made now.
    pub(super) fn roll_inline(&self, sequence: u64) -> Result<(u64, *mut Slot), JournalError> {
        let mut held = self.held();
        let next = Segment::create(&self.place, held.current.number + 1, sequence + 1, false)?;
        let place = (next.number, next.base());
        held.current = next;
        Ok(place)
    }

    /// Makes the first spare; where that fails there is no session.
    pub(super) fn start(&self) -> Result<(), JournalError> {
        let mut held = self.held();
        self.prefault(&mut held, Instant::now());
        self.make_spare(&mut held)
    }

    /// One turn of the helper thread: everything that is due now.
    pub(super) fn turn(&self, now: Instant) {
        let mut held = self.held();
        self.take_over(&mut held);
        if held.spare.is_none() && now >= held.next_try {
            match self.make_spare(&mut held) {
                Ok(()) => held.failed = None,
                Err(error) => {
                    held.failed = Some(error.trouble());
                    held.next_try = now + RETRY;
                }
            }
        }
        self.prefault(&mut held, now);
        self.sync(&mut held, now);
        self.link.set_trouble(held.failed.or(held.disk));
    }

    /// The writer has entered the spare: it becomes the present segment.
    fn take_over(&self, held: &mut Held) {
        if held.spare.as_ref().is_some_and(|spare| self.link.handoff.cursor() >= spare.first)
            && let Some(spare) = held.spare.take()
        {
            let left = std::mem::replace(&mut held.current, spare);
            held.populated = self.options.prefault_records;
            // One that was left before this one and is still here was never synced: now or never.
            self.finish_left(held);
            held.left = Some(left);
        }
    }

    fn make_spare(&self, held: &mut Held) -> Result<(), JournalError> {
        let spare = Segment::create(&self.place, held.current.number + 1, held.current.last() + 1, self.durable())?;
        spare.prefault(0, self.options.prefault_records).map_err(JournalError::io("prepare", &spare.path))?;
        self.link.handoff.offer(spare.number, spare.base());
        held.spare = Some(spare);
        Ok(())
    }

    fn prefault(&self, held: &mut Held, now: Instant) {
        let window = self.options.prefault_records;
        let used = (self.link.handoff.cursor() + 1).saturating_sub(held.current.first) as usize;
        let refresh = now >= held.next_refresh;
        let mut outcome = Ok(());
        if refresh {
            held.next_refresh = now + REFRESH;
            outcome = held.current.prefault(used, window);
            if let Some(spare) = &held.spare {
                outcome = outcome.and(spare.prefault(0, window));
            }
        } else if used + window / 2 > held.populated {
            outcome = held.current.prefault(held.populated.max(used), used + window - held.populated.max(used));
        }
        held.populated = held.populated.max(used + window);
        if refresh {
            let found = disk::inspect(&self.place.directory, self.options.min_free_bytes);
            held.disk = outcome.err().map(|error| Trouble::of(&error)).or(found);
        }
    }

    fn sync(&self, held: &mut Held, now: Instant) {
        self.finish_left(held);
        let cursor = self.link.handoff.cursor();
        if cursor <= held.synced {
            return;
        }
        let under_the_writer = match self.options.sync {
            SyncPolicy::Every(records) if cursor - held.synced >= records.max(1) => true,
            SyncPolicy::Interval(span) if now >= held.next_sync => {
                // Twice an interval, so that no record waits longer than one.
                held.next_sync = now + Duration::from_nanos(span.0 / 2);
                let previous = std::mem::replace(&mut held.last_tick, cursor);
                let used = (cursor + 1).saturating_sub(held.current.first) as usize;
                previous > (held.current.first - 1 + segment::whole_pages(used) as u64).max(held.synced)
            }
            SyncPolicy::None | SyncPolicy::Every(_) | SyncPolicy::Interval(_) => return,
        };
        // The cursor may have run on into the spare since `take_over`: then this segment is full.
        let cursor = cursor.min(held.current.last());
        let before = held.current.first - 1;
        let (from, to) = (held.synced.max(before) - before, cursor.max(before) - before);
        if let Err(error) = held.current.sync(from as usize, to as usize, !under_the_writer) {
            held.disk = Some(Trouble::of(&error));
            return;
        }
        let reached = if under_the_writer { to as usize } else { segment::whole_pages(to as usize) };
        if under_the_writer {
            let again = held.current.prefault(reached, 1);
            held.disk = held.disk.or(again.err().map(|error| Trouble::of(&error)));
        }
        held.synced = held.synced.max(before + reached as u64);
        self.link.set_durable(held.synced);
    }

    fn finish_left(&self, held: &mut Held) {
        let Some(left) = held.left.take() else { return };
        if self.options.sync == SyncPolicy::None {
            return;
        }
        let before = left.first - 1;
        let from = held.synced.max(before) - before;
        match left.sync(from as usize, usize::MAX, false) {
            Ok(()) => {
                held.synced = held.synced.max(left.last());
                self.link.set_durable(held.synced);
            }
            Err(error) => held.disk = Some(Trouble::of(&error)),
        }
    }

    /// Cuts the last segment to its records and removes the spare. The writer is gone.
    pub(super) fn close(self, written: u64) -> Result<(), JournalError> {
        let durable = self.durable();
        let mut held = self.held.into_inner().unwrap_or_else(PoisonError::into_inner);
        if held.spare.as_ref().is_some_and(|spare| written >= spare.first)
            && let Some(spare) = held.spare.take()
        {
            let left = std::mem::replace(&mut held.current, spare);
            let used = (left.last() + 1 - left.first) as usize;
            left.close(used, durable)?;
        }
        if let Some(spare) = held.spare.take() {
            spare.discard()?;
        }
        let used = (written + 1 - held.current.first) as usize;
        held.current.close(used, durable)
    }
}

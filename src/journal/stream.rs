//! The hot side of one stream: a 64-byte copy and one release store an event, and never a wait.
//!
//! When the next segment cannot be had, the last places of the present one are the *reserve*:
//! market data is refused there, executions, decisions and commands are not. See [`Health`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::Trouble;
use super::keeper::Keeper;
use super::slot::Slot;
use super::{Health, JournalError, StreamName};
use crate::core::fetch::fetch_at;
use crate::core::{EVENT_BYTES, Event, EventKind};

/// What the hot side and its keeper share.
pub(super) struct Link {
    pub(super) handoff: super::handoff::Handoff,
    trouble: AtomicU64,
    durable: AtomicU64,
}

impl Link {
    pub(super) fn new(sequence: u64) -> Self {
        let handoff = super::handoff::Handoff::new(sequence);
        Self { handoff, trouble: AtomicU64::new(0), durable: AtomicU64::new(sequence) }
    }

    pub(super) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.trouble.store(trouble.map_or(0, Trouble::to_word), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn trouble(&self) -> Option<Trouble> {
        Trouble::from_word(self.trouble.load(Ordering::Relaxed))
    }

    pub(super) fn set_durable(&self, sequence: u64) {
        self.durable.store(sequence, Ordering::Relaxed);
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Relaxed)
    }
}

/// Appends to one stream. Dropped without [`super::SessionWriter::close`] it leaves what a killed
/// process leaves: nothing is lost.
pub struct StreamWriter {
    /// Where the next record goes.
    next: *mut Slot,
    /// Where the next record must not go without a look around: the reserve, or the segment's end.
    limit: *mut Slot,
    end: *mut Slot,
    sequence: u64,
    stream: StreamName,
    number: u64,
    segment_records: usize,
    reserve_records: usize,
    not_stored: u64,
    refusing: bool,
    link: Arc<Link>,
    /// Makes the next segment in an append, where there is no helper thread. Else it only keeps the
    /// mappings alive: `next` points into them.
    keeper: Arc<Keeper>,
    inline: bool,
}

// SAFETY: the pointers lead into mappings that `keeper` keeps alive; nobody but this value writes
// through them, so it may live on any one thread.
unsafe impl Send for StreamWriter {}

impl StreamWriter {
    /// The hot side of a keeper's present segment, which holds no record yet.
    pub(super) fn new(keeper: &Arc<Keeper>, inline: bool) -> Self {
        let (place, options) = (keeper.place(), keeper.options());
        let (number, first, base) = keeper.current();
        let mut writer = Self {
            next: base,
            limit: base,
            end: base,
            sequence: first - 1,
            stream: place.stream,
            number,
            segment_records: options.segment_records,
            reserve_records: options.reserve_records,
            not_stored: 0,
            refusing: false,
            link: keeper.link().clone(),
            keeper: keeper.clone(),
            inline,
        };
        writer.enter(number, base);
        writer
    }

    /// Records appended so far, those before a resume included.
    pub fn written(&self) -> u64 {
        self.sequence
    }

    /// Events that [`StreamWriter::append`] did not store.
    pub fn not_stored(&self) -> u64 {
        self.not_stored
    }

    /// Sequence of the last record that a power failure cannot take any more.
    pub fn durable(&self) -> u64 {
        self.link.durable()
    }

    /// Whether the next records have a place. A load of one shared word: for every turn of a loop.
    #[inline]
    pub fn health(&self) -> Health {
        if self.refusing {
            Health::Full
        } else if self.link.trouble().is_some() {
            Health::LowSpace
        } else {
            Health::Good
        }
    }

    /// Asks for the memory that the next records go to.
    #[inline]
    pub fn fetch_next(&self, records: usize) {
        fetch_at(self.next.cast(), records * EVENT_BYTES);
    }

    /// What is wrong with the disk, for the alert.
    pub fn trouble(&self) -> Option<Trouble> {
        self.link.trouble()
    }

    /// Stores an event as the next record and returns its sequence. When it returns, the record
    /// survives the death of the process. Market data may not use the reserve.
    ///
    /// # Errors
    /// [`JournalError::NotStored`] with a helper thread: there is no place, nothing was stored, and a
    /// later call may succeed; it allocates nothing. Without one: the next segment cannot be created.
    #[inline]
    pub fn append(&mut self, event: &Event) -> Result<u64, JournalError> {
        if self.next == self.limit {
            let essential = !matches!(event.kind, EventKind::Quote | EventKind::Trade | EventKind::Gap);
            self.look_around(essential)?;
        }
        Ok(self.store(event))
    }

    /// As [`StreamWriter::append`], and may use the reserve whatever the event is: for the quotes
    /// that an exit needs while the disk is full.
    ///
    /// # Errors
    /// As [`StreamWriter::append`].
    #[inline]
    pub fn append_essential(&mut self, event: &Event) -> Result<u64, JournalError> {
        if self.next == self.limit {
            self.look_around(true)?;
        }
        Ok(self.store(event))
    }

    #[inline]
    fn store(&mut self, event: &Event) -> u64 {
        let sequence = self.sequence + 1;
        // SAFETY: `next` is before `limit`, hence a slot of a mapping that `keeper` holds until the
        // cursor has left it; this value is its only writer and has not stored there before.
        self.next = unsafe {
            (*self.next).store(event.sealed_words(sequence));
            self.next.add(1)
        };
        self.sequence = sequence;
        self.link.handoff.advance(sequence);
        sequence
    }

    /// At the reserve or at the segment's end: makes `next` a place for one record at least.
    #[cold]
    #[inline(never)]
    fn look_around(&mut self, essential: bool) -> Result<(), JournalError> {
        if self.inline {
            let (number, base) = self.keeper.roll_inline(self.sequence)?;
            self.enter(number, base);
            return Ok(());
        }
        let ahead = self.link.handoff.take(self.number + 1);
        let at_end = self.next == self.end;
        match (ahead, at_end) {
            (Some(base), true) => self.enter(self.number + 1, base),
            (Some(_), false) => self.limit = self.end,
            (None, false) if essential || self.link.trouble().is_none() => {
                // One place of the reserve, then look again.
                self.limit = self.next.wrapping_add(1);
            }
            (None, _) => {
                self.not_stored += 1;
                self.refusing = true;
                let trouble = self.link.trouble().unwrap_or(Trouble::Late);
                return Err(JournalError::NotStored { stream: self.stream, trouble });
            }
        }
        if ahead.is_some() {
            self.refusing = false;
        }
        Ok(())
    }

    fn enter(&mut self, number: u64, base: *mut Slot) {
        self.number = number;
        self.next = base;
        self.end = base.wrapping_add(self.segment_records);
        let reserve = if self.inline { 0 } else { self.reserve_records };
        self.limit = base.wrapping_add(self.segment_records - reserve);
    }
}

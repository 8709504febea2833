//! The engine's page: what the trading loop publishes and the guardian, or a monitor, reads.
//!
//! The trading loop calls [`EnginePage::publish`] whenever something changed, and at least every few
//! milliseconds. Each hot thread steps its own [`Progress`] from its own loop. Published more often than once a microsecond
//! without end, a page cannot be read; then the guardian calls it busy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::{InstrumentTable, Money, Price, Qty};

use super::page::{HEADER_WORDS, MappedPage, PageError, PageFile, PageKind, PageOwner, PagePlan};
use super::progress::Progress;
use super::seqlock::{self, Checksum};

/// Instruments that a page has rows for.
pub const MAX_INSTRUMENTS: usize = 64;
/// Hot threads that a page has progress cells for.
pub const MAX_HOT_THREADS: usize = 8;

const NAME_WORDS: usize = 4;
const LINE: usize = 8;
const NAMES_AT: usize = HEADER_WORDS;
const PROGRESS_AT: usize = NAMES_AT + MAX_INSTRUMENTS * NAME_WORDS;
const FENCE_AT: usize = PROGRESS_AT + MAX_HOT_THREADS * LINE;
const SEQUENCE_AT: usize = FENCE_AT + LINE;
const CHECKSUM_AT: usize = SEQUENCE_AT + 1;
const ACCOUNT_AT: usize = CHECKSUM_AT + 1;
const ACCOUNT_WORDS: usize = 22;
const ROWS_AT: usize = ACCOUNT_AT + ACCOUNT_WORDS;
const ROW_WORDS: usize = 4;
const PAGE_WORDS: usize = ROWS_AT + MAX_INSTRUMENTS * ROW_WORDS;

const _: () = {
    assert!(PROGRESS_AT == 272 && FENCE_AT == 336 && SEQUENCE_AT == 344 && ROWS_AT == 368 && PAGE_WORDS == 624);
    assert!(PROGRESS_AT.is_multiple_of(LINE) && FENCE_AT.is_multiple_of(LINE) && SEQUENCE_AT.is_multiple_of(LINE));
};

/// Name of the page in its folder.
const FILE: &str = "engine.page";

/// How the engine fares, by its own word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EngineState {
    /// Connecting and reconciling: no order was sent yet.
    #[default]
    Starting = 1,
    /// Trading.
    Running = 2,
    /// Ending in good order: entries are stopped.
    Stopping = 3,
    /// Ended in good order: nothing will be sent any more.
    Stopped = 4,
}

impl EngineState {
    /// The state with this number, or `None` for one this version does not know.
    pub const fn from_word(word: u64) -> Option<Self> {
        match word {
            1 => Some(Self::Starting),
            2 => Some(Self::Running),
            3 => Some(Self::Stopping),
            4 => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// One instrument as the engine sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InstrumentRow {
    /// Signed position: above zero is long.
    pub position: Qty,
    /// Lots held and in flight.
    pub open_lots: Qty,
    /// Average entry price; zero when flat.
    pub entry: Price,
    /// CLOCK_MONOTONIC of its last market data frame, nanoseconds; 0 = none yet.
    pub market_ns: u64,
}

/// Everything the engine publishes. Times are CLOCK_MONOTONIC nanoseconds ([`super::monotonic_ns`]),
/// 0 meaning never. Counters only grow within a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// When it was published.
    pub published_ns: u64,
    /// How the engine fares.
    pub state: EngineState,
    /// Balance plus floating profit, in the account's currency.
    pub equity: Money,
    /// Cash.
    pub balance: Money,
    /// Realised since the session's start, fees included.
    pub realised: Money,
    /// Floating profit.
    pub unrealised: Money,
    /// Lots held and in flight over all instruments.
    pub open_lots: Qty,
    /// Orders alive at the venue, or on their way to it.
    pub open_orders: u64,
    /// Orders whose fate is unknown.
    pub unknown_orders: u64,
    /// Since when the oldest of them is unknown.
    pub oldest_unknown_ns: u64,
    /// Last market data frame of any instrument: frames, never pings.
    pub market_ns: u64,
    /// Orders sent.
    pub orders: u64,
    /// Orders rejected.
    pub rejects: u64,
    /// Fills booked.
    pub fills: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Last input and output record in the journal.
    pub journal: [u64; 2],
    /// Bytes free on the journal's file system when it was last looked at; `u64::MAX` when it was not.
    pub disk_free: u64,
    /// One row an instrument, in the order of the instrument table.
    pub instruments: [InstrumentRow; MAX_INSTRUMENTS],
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            published_ns: 0,
            state: EngineState::Starting,
            equity: Money::ZERO,
            balance: Money::ZERO,
            realised: Money::ZERO,
            unrealised: Money::ZERO,
            open_lots: Qty::ZERO,
            open_orders: 0,
            unknown_orders: 0,
            oldest_unknown_ns: 0,
            market_ns: 0,
            orders: 0,
            rejects: 0,
            fills: 0,
            alerts: 0,
            journal: [0; 2],
            disk_free: u64::MAX,
            instruments: [InstrumentRow::default(); MAX_INSTRUMENTS],
        }
    }
}

impl Snapshot {
    /// The account's words in the order of the page; those not used yet are zero.
    #[inline]
    const fn account_words(&self) -> [u64; ACCOUNT_WORDS] {
        [
            self.published_ns,
            self.state as u64,
            self.equity.units() as u64,
            self.balance.units() as u64,
            self.realised.units() as u64,
            self.unrealised.units() as u64,
            self.open_lots.units() as u64,
            self.open_orders,
            self.unknown_orders,
            self.oldest_unknown_ns,
            self.market_ns,
            self.orders,
            self.rejects,
            self.fills,
            self.alerts,
            self.journal[0],
            self.journal[1],
            self.disk_free,
            0,
            0,
            0,
            0,
        ]
    }

    /// `None` when the state is none that this version knows.
    fn from_words(words: &[u64], rows: usize) -> Option<Self> {
        let money = |at: usize| Money::from_units(words[at] as i64);
        let mut instruments = [InstrumentRow::default(); MAX_INSTRUMENTS];
        for (row, words) in instruments.iter_mut().zip(words[ACCOUNT_WORDS..].chunks_exact(ROW_WORDS)).take(rows) {
            *row = InstrumentRow {
                position: Qty::from_units(words[0] as i64),
                open_lots: Qty::from_units(words[1] as i64),
                entry: Price::from_units(words[2] as i64),
                market_ns: words[3],
            };
        }
        Some(Self {
            published_ns: words[0],
            state: EngineState::from_word(words[1])?,
            equity: money(2),
            balance: money(3),
            realised: money(4),
            unrealised: money(5),
            open_lots: Qty::from_units(words[6] as i64),
            open_orders: words[7],
            unknown_orders: words[8],
            oldest_unknown_ns: words[9],
            market_ns: words[10],
            orders: words[11],
            rejects: words[12],
            fills: words[13],
            alerts: words[14],
            journal: [words[15], words[16]],
            disk_free: words[17],
            instruments,
        })
    }
}

/// What a new engine page says of its engine.
#[derive(Clone, Copy, Debug)]
pub struct EnginePlan<'a> {
    /// The session's number.
    pub session: u32,
    /// What is traded; at most [`MAX_INSTRUMENTS`].
    pub instruments: &'a InstrumentTable,
    /// Hot threads whose progress is watched; 1 to [`MAX_HOT_THREADS`].
    pub hot_threads: usize,
}

/// Why an engine page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EnginePageError {
    /// The page itself.
    #[error(transparent)]
    Page(#[from] PageError),
    /// More than the layout has room for.
    #[error(
        "shared memory: expected at most {MAX_INSTRUMENTS} instruments and 1 to {MAX_HOT_THREADS} hot threads, found {instruments} and {threads}"
    )]
    TooMany {
        /// Instruments asked for.
        instruments: usize,
        /// Threads asked for.
        threads: usize,
    },
}

/// The writer's end of the engine page. One per engine, owned by the thread that publishes.
#[derive(Debug)]
pub struct EnginePage {
    page: Arc<MappedPage>,
    session: u64,
    rows: usize,
}

impl EnginePage {
    /// Makes the page in a folder of our own, replacing the page of an earlier engine.
    ///
    /// # Errors
    /// The folder or the file cannot be made, or there are more instruments or threads than rows.
    pub fn create(directory: &Path, plan: &EnginePlan<'_>) -> Result<Self, EnginePageError> {
        let (rows, threads) = (plan.instruments.len(), plan.hot_threads);
        if rows > MAX_INSTRUMENTS || !(1..=MAX_HOT_THREADS).contains(&threads) {
            return Err(EnginePageError::TooMany { instruments: rows, threads });
        }
        let mut names = [0; MAX_INSTRUMENTS * NAME_WORDS];
        for ((_, instrument), words) in plan.instruments.iter().zip(names.chunks_exact_mut(NAME_WORDS)) {
            for (word, bytes) in words.iter_mut().zip(instrument.spec().symbol.as_bytes().chunks(8)) {
                let mut padded = [0; 8];
                padded[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_ne_bytes(padded);
            }
        }
        let session = u64::from(plan.session);
        let page = MappedPage::create(
            directory,
            FILE,
            &PagePlan {
                kind: PageKind::Engine,
                words: PAGE_WORDS,
                session,
                rows: rows as u32,
                threads: threads as u32,
                names: &names,
            },
        )?;
        let mut page = Self { page: Arc::new(page), session, rows };
        page.publish(&Snapshot { published_ns: super::monotonic_ns(), ..Snapshot::default() });
        Ok(page)
    }

    /// Stores a snapshot as one change. Rows beyond the instruments of the page are not stored.
    #[inline]
    pub fn publish(&mut self, snapshot: &Snapshot) {
        let words = self.page.words();
        let (account, rows) = (&words[ACCOUNT_AT..ROWS_AT], &words[ROWS_AT..ROWS_AT + self.rows * ROW_WORDS]);
        seqlock::write(&words[SEQUENCE_AT], |sequence| {
            let mut sum = Checksum::new(sequence ^ self.session << 32);
            let mut store = |word: &AtomicU64, value: u64| {
                word.store(value, Ordering::Relaxed);
                sum = sum.with(value);
            };
            for (word, value) in account.iter().zip(snapshot.account_words()) {
                store(word, value);
            }
            for (words, row) in rows.chunks_exact(ROW_WORDS).zip(&snapshot.instruments) {
                store(&words[0], row.position.units() as u64);
                store(&words[1], row.open_lots.units() as u64);
                store(&words[2], row.entry.units() as u64);
                store(&words[3], row.market_ns);
            }
            words[CHECKSUM_AT].store(sum.finish(), Ordering::Relaxed);
        });
    }

    /// The progress cell of a hot thread, to be moved into it; `None` beyond those of the plan.
    pub fn progress(&self, thread: usize) -> Option<Progress> {
        let threads = (self.page.words()[8].load(Ordering::Relaxed) >> 32) as usize;
        (thread < threads).then(|| Progress::new(Arc::clone(&self.page), PROGRESS_AT + thread * LINE))
    }

    /// Answers the guardian's kill word: from here on this process sends nothing to the venue.
    pub fn acknowledge_kill(&mut self, kill: u64) {
        self.page.words()[FENCE_AT].store(kill, Ordering::Release);
    }
}

/// What a reader of the engine page sees: one whole snapshot and the signs of life beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineView {
    /// Grows by 2 with each snapshot.
    pub sequence: u64,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Rows of it that mean something.
    pub instruments: usize,
    /// Steps of each hot thread.
    pub progress: [u64; MAX_HOT_THREADS],
    /// Threads of it that mean something.
    pub threads: usize,
    /// The kill word that the engine has answered; 0 = none.
    pub kill_acknowledged: u64,
}

/// A reader of the engine page in another process. It copies; whatever is done to the file is an error.
///
/// What changes is copied at each read. Name, size and header of the file are looked at once in
/// [`CHECK_EVERY`] reads: a page that is cut or overwritten shows in what is copied as well, one that was only
/// deleted shows in nothing else, and its writer is watched by its process.
#[derive(Debug)]
pub struct EngineReader {
    file: PageFile,
    names: Vec<String>,
    /// From the progress cells to the last row in use.
    words: Vec<u64>,
    reads: u32,
}

/// The file itself is looked at once in so many reads.
pub const CHECK_EVERY: u32 = 8;

impl EngineReader {
    /// Opens and checks the page in a folder.
    ///
    /// # Errors
    /// What is wrong with it: [`PageError`].
    pub fn attach(directory: &Path) -> Result<Self, PageError> {
        let path = directory.join(FILE);
        let file = PageFile::open(&path, PageKind::Engine, PAGE_WORDS)?;
        let (rows, threads) = (file.owner.rows as usize, file.owner.threads as usize);
        if rows > MAX_INSTRUMENTS || !(1..=MAX_HOT_THREADS).contains(&threads) {
            return Err(PageError::NotAPage { path, found: "more rows or threads than the layout has" });
        }
        let words = file.names(MAX_INSTRUMENTS * NAME_WORDS)?;
        let name = |words: &[u64]| {
            let bytes: Vec<u8> =
                words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let names = words.chunks_exact(NAME_WORDS).take(rows).map(name).collect();
        Ok(Self { file, names, words: vec![0; ROWS_AT + rows * ROW_WORDS - PROGRESS_AT], reads: 0 })
    }

    /// The process that writes it, and its session.
    pub fn owner(&self) -> &PageOwner {
        &self.file.owner
    }

    /// Symbols of the rows.
    pub fn symbols(&self) -> &[String] {
        &self.names
    }

    /// Copies one whole snapshot out; bounded, about a microsecond.
    ///
    /// # Errors
    /// The page was deleted, replaced, cut, overwritten, or its writer died in the middle of a write.
    pub fn read(&mut self) -> Result<EngineView, PageError> {
        if self.reads.is_multiple_of(CHECK_EVERY) {
            self.file.check()?;
        }
        self.reads = self.reads.wrapping_add(1);
        let (rows, salt) = (self.file.owner.rows as usize, self.file.owner.session << 32);
        let is_whole = |words: &[u64]| {
            let sum = Checksum::of(words[SEQUENCE_AT - PROGRESS_AT] ^ salt, &words[ACCOUNT_AT - PROGRESS_AT..]);
            sum == words[CHECKSUM_AT - PROGRESS_AT]
        };
        let copied = self.file.copy(PROGRESS_AT, SEQUENCE_AT, &mut self.words, is_whole);
        // What is wrong with the file says more than what is wrong with its words.
        let sequence = copied.or_else(|error| self.file.check().and(Err(error)))?;
        let words = &self.words;
        let damaged = || PageError::Damaged(self.file.path().to_owned());
        Ok(EngineView {
            sequence,
            snapshot: Snapshot::from_words(&words[ACCOUNT_AT - PROGRESS_AT..], rows).ok_or_else(damaged)?,
            instruments: rows,
            progress: std::array::from_fn(|thread| words[thread * LINE]),
            threads: self.file.owner.threads as usize,
            kill_acknowledged: words[FENCE_AT - PROGRESS_AT],
        })
    }
}

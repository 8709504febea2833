//! Follows the newest session of a journal while it is written, and gives the desk its records in the
//! order in which the engine lived them.
//!
//! The two streams are joined by cause: every decision names the input that caused it, so what an
//! input caused comes after it and before the next. The position is a pair of sequences; what lies
//! before it has been told and only rebuilds state. Reading starts at the first record after each start
//! of the notifier, since positions are sums over fills.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::alert::{Alert, Severity};
use super::desk::Desk;
use crate::core::crc::crc32c_portable;
use crate::core::{EVENT_BYTES, Event, Nanos};
use crate::journal::{JournalError, SessionReader, StreamName, StreamReader};

/// Inputs read before anything else gets its turn: bounds the alerts that one look can bring.
const BATCH: usize = 1 << 14;

/// How far the alerts of a session have been told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalCursor {
    /// Which session, by its tag.
    pub(super) session: String,
    /// Last input told.
    pub(super) input: u64,
    /// Last output told.
    pub(super) output: u64,
    /// True once its end was told.
    #[serde(default)]
    pub(super) ended: bool,
}

/// Follows one journal.
pub(super) struct JournalWatch {
    root: PathBuf,
    following: Option<Following>,
    pub(super) cursor: JournalCursor,
    /// True until everything that was there at the start has been read.
    pub(super) catching_up: bool,
    /// Without a cursor from an earlier run, what is there at the start is history.
    quiet: bool,
    complained: bool,
}

struct Following {
    tag: String,
    session: SessionReader,
    input: StreamReader,
    output: StreamReader,
    next_output: Option<Event>,
    inputs: u64,
    damaged: bool,
    lock_was_free: bool,
}

/// What one look at the journal found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// More is waiting: look again at once.
    More,
    /// Everything written so far was read.
    AtEnd,
}

impl JournalWatch {
    /// A watch over a session's folder, or a folder of sessions; `cursor` is where an earlier run stopped.
    pub(super) fn new(root: &Path, cursor: Option<JournalCursor>) -> Self {
        Self {
            root: root.to_owned(),
            following: None,
            quiet: cursor.is_none(),
            cursor: cursor.unwrap_or_default(),
            catching_up: true,
            complained: false,
        }
    }

    /// Reads what is new. Alerts come out of the desk.
    pub(super) fn poll(&mut self, desk: &mut Desk, now: Nanos) -> Progress {
        match self.read(desk) {
            Ok(Progress::More) => return Progress::More,
            Ok(Progress::AtEnd) => {}
            Err(error) => self.complain(&error, desk, now),
        }
        self.look_after_engine(desk, now);
        if self.switch(desk) {
            return Progress::More;
        }
        self.catching_up = false;
        self.quiet = false;
        Progress::AtEnd
    }

    /// Goes over to a newer session once the present one is read and its end, if it has one, is told.
    /// After a restart the session that was followed then comes first.
    fn switch(&mut self, desk: &mut Desk) -> bool {
        if self.following.is_some() && desk.engine_alive == Some(false) && !self.cursor.ended {
            return false;
        }
        let sessions = sessions(&self.root);
        let earlier = sessions.iter().find(|(_, tag)| self.following.is_none() && *tag == self.cursor.session);
        let Some((directory, tag)) = earlier.or(sessions.last()) else { return false };
        if self.following.as_ref().is_some_and(|following| following.tag == *tag) {
            return false;
        }
        // A folder that is just being made has no readable session yet; the next look finds it.
        let Ok(following) = Following::open(directory, tag) else { return false };
        desk.open_session(tag, following.session.info());
        desk.engine_alive = Some(following.session.is_being_written());
        if self.cursor.session != *tag {
            self.cursor = JournalCursor { session: tag.clone(), ..JournalCursor::default() };
        }
        self.following = Some(following);
        self.complained = false;
        true
    }

    fn read(&mut self, desk: &mut Desk) -> Result<Progress, JournalError> {
        let Some(following) = self.following.as_mut().filter(|following| !following.damaged) else {
            return Ok(Progress::AtEnd);
        };
        for _ in 0..BATCH {
            // What the inputs so far caused comes before the next input.
            let input = following.input.next_event().transpose()?;
            let Some(input) = input else {
                let before = following.inputs + 1;
                let told = following.outputs_before(before, desk, &mut self.cursor, self.quiet)?;
                return Ok(if told { Progress::More } else { Progress::AtEnd });
            };
            following.outputs_before(input.sequence, desk, &mut self.cursor, self.quiet)?;
            following.inputs = input.sequence;
            desk.counting = !self.quiet && input.sequence > self.cursor.input;
            desk.on_input(&input);
            self.cursor.input = self.cursor.input.max(input.sequence);
        }
        Ok(Progress::More)
    }

    /// A damaged journal is told once; what lies before the damage has been read.
    fn complain(&mut self, error: &JournalError, desk: &mut Desk, now: Nanos) {
        let Some(following) = &mut self.following else { return };
        following.damaged = true;
        if !std::mem::replace(&mut self.complained, true) {
            let id = format!("{}#damaged", following.tag);
            let mut alert = Alert::new(id, Severity::Critical, now, "JOURNAL DAMAGED".into());
            alert.facts.push(error.to_string());
            alert.doing = "trades of this session are not reported any more".into();
            alert.todo = "watch the account at the venue; run pawl replay on the session".into();
            desk.tell(alert);
        }
    }

    /// The lock of a session is held while its engine lives; the kernel drops it when the process ends.
    fn look_after_engine(&mut self, desk: &mut Desk, now: Nanos) {
        let Some(following) = &mut self.following else { return };
        desk.engine_alive = Some(following.session.is_being_written());
        if self.cursor.ended && desk.engine_alive == Some(false) {
            return;
        }
        // A session whose engine came back ends once more.
        self.cursor.ended = false;
        if desk.engine_alive != Some(false) {
            following.lock_was_free = false;
        } else if self.quiet {
            // An end that was before the first start is history.
            self.cursor.ended = true;
        } else if !std::mem::replace(&mut following.lock_was_free, true) {
            // What was written between the last read and the end is read before the end is told.
        } else {
            self.cursor.ended = true;
            desk.tell_engine_end(following.was_closed(), following.inputs, now);
        }
    }
}

impl Following {
    fn open(directory: &Path, tag: &str) -> Result<Self, JournalError> {
        let session = SessionReader::open(directory)?;
        let (input, output) = (session.stream(StreamName::Input)?, session.stream(StreamName::Output)?);
        let tag = tag.to_owned();
        Ok(Self { tag, session, input, output, next_output: None, inputs: 0, damaged: false, lock_was_free: false })
    }

    /// Gives the desk every decision caused by an input before this one; true when there was any.
    fn outputs_before(
        &mut self,
        input: u64,
        desk: &mut Desk,
        cursor: &mut JournalCursor,
        quiet: bool,
    ) -> Result<bool, JournalError> {
        let mut any = false;
        loop {
            if self.next_output.is_none() {
                self.next_output = self.output.next_event().transpose()?;
            }
            // In an output record the venue time is the sequence of its cause.
            let due = self.next_output.filter(|event| event.venue_ns.0 < input);
            let Some(event) = due else { return Ok(any) };
            self.next_output = None;
            desk.counting = !quiet && event.sequence > cursor.output;
            desk.on_output(&event);
            cursor.output = cursor.output.max(event.sequence);
            any = true;
        }
    }

    /// A writer that closes cuts its files to what was written and at most a page more; a killed one leaves them
    /// preallocated.
    fn was_closed(&self) -> bool {
        let slack = 4096 + 2 * EVENT_BYTES as u64;
        [(StreamName::Input, &self.input), (StreamName::Output, &self.output)].into_iter().all(|(stream, reader)| {
            let total = self.session.stream(stream).map_or(u64::MAX, |fresh| fresh.progress().1);
            total <= reader.progress().0 + slack
        })
    }
}

/// Every session with its tag, the youngest last: the folder itself when it is one, else those in it.
fn sessions(root: &Path) -> Vec<(PathBuf, String)> {
    let described = |folder: PathBuf| {
        let metadata = std::fs::metadata(folder.join("session.toml")).ok()?;
        let made = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Some((made, metadata.ino(), folder))
    };
    let mut found: Vec<_> = described(root.to_owned()).into_iter().collect();
    if found.is_empty() {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| described(entry.path())));
    }
    found.sort();
    let tagged = found.into_iter().map(|(made, inode, folder)| {
        let name = folder.file_name().map_or_else(|| "session".into(), |name| name.to_string_lossy().into_owned());
        // A folder of the same name made anew is another session, and its records other occurrences.
        let mark = crc32c_portable(format!("{made}/{inode}").as_bytes()) & 0xffff;
        let tag = format!("{}~{mark:04x}", super::render::cut(&name, 40));
        (folder, tag)
    });
    tagged.collect()
}

#[cfg(test)]
mod tests {
    use super::super::render::Letterhead;
    use super::*;
    use crate::core::payload::{
        Control, ControlCode, Fill, OrderRole, Quote, Submit, TimeInForce, TradeClosed, TradeCosts, TradeOpened,
    };
    use crate::core::time::SECOND;
    use crate::core::{EventKind, InstrumentId, InstrumentSpec, Money, OrderId, Payload, Price, Qty, Side, Span};
    use crate::journal::{SessionInfo, SessionWriter, WriterOptions};

    const ID: InstrumentId = InstrumentId(0);
    const NOW: Nanos = Nanos(1_732_457_002 * SECOND);

    fn create(folder: &Path) -> SessionWriter {
        let instrument = InstrumentSpec {
            symbol: "EURUSD".into(),
            tick_size: "0.00001".parse().unwrap(),
            lot_step: "0.01".parse().unwrap(),
            min_lot: "0.01".parse().unwrap(),
            max_lot: Qty::whole(50),
            point_size: "0.00001".parse().unwrap(),
            point_value: Money::whole(1),
            currency: "USD".into(),
            contract: crate::core::ContractKind::Linear,
        };
        let info = SessionInfo {
            version: crate::journal::FORMAT_VERSION,
            instruments: vec![instrument],
            ..SessionInfo::default()
        };
        let mut writer = SessionWriter::create(folder, &info, &WriterOptions::default()).unwrap();
        let start = Control { code: Some(ControlCode::Start), balance: Money::whole(1000) };
        writer.input.append(&start.event(EventKind::Control, ID, NOW, NOW)).unwrap();
        writer
    }

    /// A whole trade of one lot that earns nothing; three alerts' worth of records with the start.
    fn trade(writer: &mut SessionWriter, number: u32) {
        let price: Price = "1.1".parse().unwrap();
        let one = Qty::whole(1);
        for (counter, side) in [(2 * number, Side::Buy), (2 * number + 1, Side::Sell)] {
            let order = OrderId::new(1, counter + 1);
            let submit =
                Submit { order, price, qty: one, tif: TimeInForce::Ioc, role: OrderRole::Entry, attempt: 1, intent: 1 };
            output(writer, &submit, EventKind::Submit, side);
            let fill = Fill { order, execution: u64::from(counter + 1), price, qty: one };
            writer.input.append(&fill.event(EventKind::Fill, ID, NOW, NOW)).unwrap();
            if side == Side::Buy {
                output(
                    writer,
                    &TradeOpened { intent: 1, price, qty: one, bid_plus_ask: 0 },
                    EventKind::TradeOpened,
                    side,
                );
            }
        }
        output(
            writer,
            &TradeClosed { opened: NOW, entry: price, exit: price, qty: one },
            EventKind::TradeClosed,
            Side::Buy,
        );
        let costs = TradeCosts { gross: Money::ZERO, fees: Money::whole(1), reason: None, slippage: Money::ZERO };
        output(writer, &costs, EventKind::TradeCosts, Side::Buy);
    }

    fn output(writer: &mut SessionWriter, payload: &impl Payload, kind: EventKind, side: Side) {
        let cause = Nanos(writer.input.written());
        writer.output.append(&payload.event(kind, ID, cause, NOW).flagged(side.flag())).unwrap();
    }

    fn desk() -> Desk {
        Desk::new(Letterhead::default(), Span::ZERO)
    }

    fn read(watch: &mut JournalWatch, desk: &mut Desk) -> Vec<String> {
        while watch.poll(desk, NOW) == Progress::More {}
        desk.take().into_iter().map(|alert| alert.title).collect()
    }

    #[test]
    fn a_restart_at_any_record_tells_the_rest_and_counts_the_day_once() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, mut desk) = (JournalWatch::new(folder.path(), None), desk());
        assert_eq!(read(&mut watch, &mut desk), Vec::<String>::new());
        let mut writer = create(&folder.path().join("a"));
        for number in 0..3 {
            trade(&mut writer, number);
        }
        let all = read(&mut watch, &mut desk);
        assert_eq!(all.len(), 7, "{all:?}");
        let whole = desk.today.clone();
        assert_eq!((whole.trades, whole.fees), (3, Money::whole(3)));
        let inputs = writer.input.written();
        let outputs = writer.output.written();
        for stop in 0..=inputs {
            // As an earlier run that had told exactly this much when it died.
            let (mut first, mut before) =
                (JournalWatch::new(folder.path(), Some(JournalCursor::default())), super::tests::desk());
            while first.following.is_none() {
                first.poll(&mut before, NOW);
            }
            let mut told: Vec<String> = before.take().into_iter().map(|alert| alert.title).collect();
            let following = first.following.as_mut().unwrap();
            assert_eq!(following.inputs, 0, "opened, nothing read");
            for _ in 0..stop {
                let input = following.input.next_event().unwrap().unwrap();
                following.outputs_before(input.sequence, &mut before, &mut first.cursor, false).unwrap();
                before.counting = true;
                before.on_input(&input);
                first.cursor.input = input.sequence;
            }
            told.extend(before.take().into_iter().map(|alert| alert.title));
            let mut after = super::tests::desk();
            after.today = before.today.clone();
            let mut second = JournalWatch::new(folder.path(), Some(first.cursor.clone()));
            told.extend(read(&mut second, &mut after));
            assert_eq!(told, all, "stopped after input {stop}");
            assert_eq!(after.today, whole);
            assert_eq!((second.cursor.input, second.cursor.output), (inputs, outputs));
            assert!(after.open().next().is_none(), "flat again");
        }
    }

    #[test]
    fn a_session_that_had_ended_before_the_first_start_is_history() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = create(&folder.path().join("a"));
        trade(&mut writer, 0);
        writer.close().unwrap();
        let (mut watch, mut desk) = (JournalWatch::new(folder.path(), None), desk());
        let told: Vec<String> = (0..4).flat_map(|_| read(&mut watch, &mut desk)).collect();
        assert_eq!(told, Vec::<String>::new());
    }

    #[test]
    fn the_end_of_the_followed_session_is_told_before_the_next_begins() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, mut desk) = (JournalWatch::new(folder.path(), None), desk());
        read(&mut watch, &mut desk);
        let mut first = create(&folder.path().join("a"));
        trade(&mut first, 0);
        assert_eq!(read(&mut watch, &mut desk).len(), 3);
        trade(&mut first, 1);
        first.close().unwrap();
        let second = create(&folder.path().join("b"));
        let mut told = Vec::new();
        for _ in 0..5 {
            told.extend(read(&mut watch, &mut desk));
        }
        let titles: Vec<&str> = told.iter().map(|title| title.split(',').next().unwrap_or_default()).collect();
        assert_eq!(titles.len(), 4, "{told:?}");
        assert!(
            titles[1].starts_with("CLOSED") && titles[2] == "Engine STOPPED" && titles[3] == "Engine STARTED",
            "{told:?}"
        );
        drop(second);
        let died: Vec<String> = (0..3).flat_map(|_| read(&mut watch, &mut desk)).collect();
        assert_eq!(died, ["Engine DIED, flat"]);
    }

    #[test]
    fn a_writer_that_closes_at_a_page_s_end_does_not_end_the_follower() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, mut desk) = (JournalWatch::new(folder.path(), None), desk());
        read(&mut watch, &mut desk);
        let mut writer = create(&folder.path().join("a"));
        while !writer.input.written().is_multiple_of(64) {
            writer.input.append(&Quote::default().event(EventKind::Quote, ID, NOW, NOW)).unwrap();
        }
        read(&mut watch, &mut desk);
        writer.close().unwrap();
        let told: Vec<String> = (0..3).flat_map(|_| read(&mut watch, &mut desk)).collect();
        assert_eq!(told, ["Engine STOPPED, flat"]);
    }
}

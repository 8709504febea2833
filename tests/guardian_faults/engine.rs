//! `pawl run` on the lab's venue: made to trade by a jump of the market, and its journal read.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pawl::core::payload::{Control, ControlCode, OrderRole, Refusal, RefusalRecord, Submit};
use pawl::core::{Event, EventKind, Payload, Qty, Span};
use pawl::journal::{SessionReader, StreamName};
use pawl::snapshot::{EngineReader, EngineState};

use super::alerts::Alerts;
use super::lab::{Lab, PAWL, Process, wait_for, wait_or};

/// The engine's tables: a window of five seconds that only a jump leaves, a position that the next five
/// seconds do not close, a stop that no test reaches.
pub(crate) const ENGINE: &str = "[quant]\nbar = \"250ms\"\nwindow = 20\nentry_z = 3.2\nadx_max = 101.0\nadx_period = 5\nrsi_period = 5\n\
     [oms]\nrisk_percent = \"100\"\nstop_loss_points = 50000\nmax_hold = \"0s\"\nmax_order_lots = \"0.1\"\n\
     price_collar_points = 10000\nslippage_points = 50\nguardian_required = true\n";
/// Percent that a jump has which makes the engine enter.
const JUMP: f64 = 0.5;
/// What 24 bars take: those of a window, and a few more.
const WINDOW: Duration = Duration::from_secs(6);

/// A `pawl run` and its session.
pub(crate) struct Engine {
    pub(crate) process: Process,
    session: PathBuf,
}

impl Engine {
    /// An engine that is connected and reconciled.
    pub(crate) fn start(lab: &Lab) -> Self {
        let mut command = lab.pawl(&["run", "--no-gate", "--json"]);
        let process = command.stdout(lab.log("engine.out")).stderr(lab.log("engine.err")).stdin(Stdio::null()).spawn();
        let mut process = Process(process.unwrap());
        let pid = process.pid();
        let running = || {
            let mut reader = EngineReader::attach(&lab.pages()).ok()?;
            let ours = reader.owner().process.pid == pid;
            reader.read().ok().filter(|view| ours && view.snapshot.state == EngineState::Running)
        };
        wait_or("a running engine", running, || lab.said());
        assert_eq!(process.ended(), None, "{}", lab.said());
        let sessions = fs::read_dir(lab.journal()).unwrap().flatten().map(|entry| entry.path());
        Self { process, session: sessions.max().expect("a session") }
    }

    /// Makes it enter: lets the window fill, then lets the market jump, again if need be. Answers what it holds.
    pub(crate) fn enter(&mut self, lab: &Lab) -> Qty {
        let mut percent = -JUMP;
        // The first window fills while nothing is there to be left.
        let mut until = Instant::now() + WINDOW;
        for _ in 0..12 {
            while Instant::now() < until {
                let held = lab.held("BTCUSDT");
                if !held.is_zero() {
                    return held;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(self.process.ended(), None, "{}", lab.said());
            lab.jump("BTCUSDT", percent);
            percent = -percent;
            until = Instant::now() + WINDOW;
        }
        panic!("it did not enter\n{}", lab.said());
    }

    /// Every record of a stream, as far as it is written.
    pub(crate) fn records(&self, stream: StreamName) -> Vec<Event> {
        let session = SessionReader::open(&self.session).unwrap();
        let mut stream = session.stream(stream).unwrap();
        std::iter::from_fn(|| stream.next_event()).map_while(Result::ok).collect()
    }

    /// Refusals for this reason so far.
    pub(crate) fn refusals(&self, reason: Refusal) -> usize {
        let records = self.records(StreamName::Output);
        let refused =
            |event: &&Event| event.kind == EventKind::Refusal && RefusalRecord::of(event).reason == Some(reason);
        records.iter().filter(refused).count()
    }

    /// The inputs by which the guardian spoke, with their numbers.
    pub(crate) fn told(&self, code: ControlCode) -> Vec<u64> {
        let records = self.records(StreamName::Input);
        let found = |event: &&Event| event.kind == EventKind::Control && Control::of(event).code == Some(code);
        records.iter().filter(found).map(|event| event.sequence).collect()
    }

    /// The last input that came within this time after an input.
    pub(crate) fn last_input_within(&self, input: u64, span: Span) -> u64 {
        let records = self.records(StreamName::Input);
        let at = records.iter().find(|event| event.sequence == input).expect("such an input").local_ns;
        let within = records.iter().filter(|event| event.local_ns <= at.plus(span));
        within.map(|event| event.sequence).max().expect("the input itself")
    }

    /// Waits until the market has brought this many more inputs.
    pub(crate) fn wait_inputs(&self, count: usize) {
        let before = self.records(StreamName::Input).len();
        wait_for("the market to go on", || (self.records(StreamName::Input).len() > before + count).then_some(()));
    }

    /// Entries that the engine sent because of inputs after this one.
    pub(crate) fn entries_after(&self, input: u64) -> usize {
        let records = self.records(StreamName::Output);
        // An output names the input that caused it where an input has the venue's time.
        let entry = |event: &&Event| {
            event.kind == EventKind::Submit && Submit::of(event).role == OrderRole::Entry && event.venue_ns.0 > input
        };
        records.iter().filter(entry).count()
    }

    /// The journal is whole as far as it goes, and a replay decides what the session decided.
    pub(crate) fn assert_journal_holds(&self) {
        for arguments in [&["journal", "verify"][..], &["replay", "--verify"][..]] {
            let output = Command::new(PAWL).args(arguments).arg(&self.session).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "pawl {arguments:?}: {said}");
        }
        assert!(!self.records(StreamName::Output).is_empty(), "an empty journal proves nothing");
    }
}

/// Engine, guardian and notifier around a venue, and the engine holds a position.
pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) guardian: Process,
    pub(crate) alerts: Alerts,
    pub(crate) held: Qty,
    pub(crate) lab: Lab,
}

impl Scene {
    /// `guardian` is added to the `[guardian]` table.
    pub(crate) fn open(guardian: &str) -> Self {
        Self::around(Lab::on("futures", &Alerts::tables(ENGINE), guardian))
    }

    /// The same, around a lab with [`ENGINE`] and [`Alerts::tables`] in its configuration.
    pub(crate) fn around(lab: Lab) -> Self {
        let alerts = Alerts::start(&lab);
        let guardian = lab.ready_guardian();
        let mut engine = Engine::start(&lab);
        lab.wait_event("engine-attached");
        let held = engine.enter(&lab);
        Self { engine, guardian, alerts, held, lab }
    }

    /// The account is flat, the story is whole, every alert reached the phone once, the journal replays.
    pub(crate) fn assert_cleaned_up(&self, condition: &str) {
        self.lab.assert_flat_and_told(condition);
        self.alerts.assert_every_alarm_came_once(&self.lab);
        self.engine.assert_journal_holds();
    }
}

//! What the notifier's tests share: a scripted HTTP server, a session written by the real journal writer,
//! and the notifier as a process.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl::core::payload::{
    AlertCode, AlertRecord, Control, ControlCode, Decision, ExitReason, Fee, Fill, Link, LinkChannel, LinkState,
    OrderRole, Quote, Refusal, RefusalRecord, Signal, Submit, TimeInForce, TradeClosed, TradeCosts, TradeOpened,
};
use pawl::core::{Event, EventKind, InstrumentId, InstrumentSpec, Money, Nanos, OrderId, Payload, Price, Qty, Side};
use pawl::journal::{SessionInfo, SessionWriter, WriterOptions};

/// The first and only instrument.
pub(crate) const EURUSD: InstrumentId = InstrumentId(0);
/// Longest that anything is waited for; far above what it takes, so that a slow machine fails nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until `ready` answers, or fails with what it was about.
pub(crate) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) path: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
    /// The text of a Telegram message.
    pub(crate) fn text(&self) -> String {
        self.json()["text"].as_str().unwrap_or_default().to_owned()
    }
}

/// What a server answers.
pub(crate) enum Answer {
    /// Status, one header line or none, and body.
    Say(u16, &'static str, String),
    /// The connection is closed without a word.
    HangUp,
}

pub(crate) fn ok() -> Answer {
    Answer::Say(200, "", r#"{"ok":true,"result":{"message_id":1}}"#.into())
}

type Script = dyn FnMut(&Request) -> Answer + Send;

/// A server on loopback that answers by a script and records what it was asked, `getUpdates` apart.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<Box<Script>>>,
}

impl Server {
    pub(crate) fn start(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, requests: Arc::default(), script: Arc::new(Mutex::new(Box::new(script))) };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        server
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let (mut headers, mut length) = (String::new(), 0);
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            headers.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let request = Request { at: Instant::now(), path, headers, body };
        let polls = request.path.ends_with("/getUpdates");
        let answer = (self.script.lock().unwrap())(&request);
        if polls {
            // A long poll that has nothing to say is held for a while, as Telegram does.
            std::thread::sleep(Duration::from_millis(100));
        } else {
            self.requests.lock().unwrap().push(request);
        }
        let Answer::Say(status, header, body) = answer else { return None };
        let mut out = stream;
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        write!(
            out,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .ok()
    }

    /// Everything asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Texts of every Telegram message so far.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.requests().iter().map(Request::text).collect()
    }

    /// Waits until a message holds this text, and returns it.
    pub(crate) fn wait_text(&self, part: &str) -> String {
        wait_for(&format!("a message with {part:?}; so far {:#?}", self.texts()), || {
            self.texts().into_iter().find(|text| text.contains(part))
        })
    }

    /// How many messages hold this text.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.texts().iter().filter(|text| text.contains(part)).count()
    }
}

/// A folder with a configuration for one test.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(channels: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        let text = format!(
            "[notify]\nenvironment = \"demo\"\naccount = \"DU771234\"\ndesk_phone = \"+44 20 7946 0000\"\njournal = \"{root}/journal\"\n\
             guardian_dir = \"{root}/guardian\"\nstate_dir = \"{root}/state\"\n{channels}\n"
        );
        std::fs::write(folder.path().join("pawl.toml"), text).unwrap();
        std::fs::create_dir(folder.path().join("journal")).unwrap();
        std::fs::create_dir(folder.path().join("guardian")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pawl"));
        command.arg("notify").args(arguments).arg("--config").arg(self.path("pawl.toml"));
        command
            .env("PAWL_T_TOKEN", CANARY_TOKEN)
            .env("PAWL_T_HOOK", "http://127.0.0.1:1/none")
            .env("RUST_LOG", "trace");
        command
    }

    /// Starts the notifier and waits until it watches.
    pub(crate) fn start(&self) -> Notifier {
        let log = self.path("log");
        let before = std::fs::read_to_string(&log).unwrap_or_default().matches("watching,").count();
        let file = std::fs::File::options().append(true).create(true).open(&log).unwrap();
        let child = self.command(&["run"]).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let notifier = Notifier { child, log: log.clone() };
        wait_for("the notifier to watch", || {
            (std::fs::read_to_string(&log).unwrap_or_default().matches("watching,").count() > before).then_some(())
        });
        notifier
    }

    /// Waits until a channel's queue is empty.
    pub(crate) fn wait_delivered(&self, channel: &str) {
        let queue = self.path(&format!("state/queue/{channel}"));
        wait_for("an empty queue", || {
            let mut files = std::fs::read_dir(&queue).unwrap().flatten();
            (!files.any(|file| file.path().extension().is_some_and(|extension| extension == "json"))).then_some(())
        });
    }

    /// Appends a line to the guardian's events.
    pub(crate) fn guardian(&self, seq: u64, severity: &str, code: &str, title: &str) {
        let mut file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.path("guardian/guardian-events.jsonl"))
            .unwrap();
        let line = serde_json::json!({"ts_ns": now().0, "seq": seq, "level": "FLATTEN", "code": code, "severity": severity,
            "title": title, "text": "equity < reference & falling", "evidence": {"value": "-3.02%", "limit": "3.00%", "desk": "+44 1"}});
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// A bot token that must appear nowhere.
pub(crate) const CANARY_TOKEN: &str = "99887766:AACANARYcanaryCANARY-xyz_0123456789";

/// The notifier's process; killed with the test.
pub(crate) struct Notifier {
    child: Child,
    pub(crate) log: PathBuf,
}

impl Notifier {
    /// As a crash: nothing more is done.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an operator does it; must end with success.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", std::fs::read_to_string(&self.log).unwrap());
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn now() -> Nanos {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Nanos(since.as_nanos() as u64)
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

/// A session as an engine writes it.
pub(crate) struct Session {
    pub(crate) writer: SessionWriter,
    orders: u32,
}

impl Session {
    pub(crate) fn create(folder: &Path) -> Self {
        let instrument = InstrumentSpec {
            symbol: "EURUSD".into(),
            tick_size: price("0.00001"),
            lot_step: "0.01".parse().unwrap(),
            min_lot: "0.01".parse().unwrap(),
            max_lot: Qty::whole(50),
            point_size: price("0.00001"),
            point_value: Money::whole(1),
            currency: "USD".into(),
            contract: pawl::core::ContractKind::Linear,
        };
        let info =
            SessionInfo { version: 1, pawl: "test".into(), instruments: vec![instrument], ..SessionInfo::default() };
        let mut session =
            Self { writer: SessionWriter::create(folder, &info, &WriterOptions::default()).unwrap(), orders: 0 };
        let start = Control { code: Some(ControlCode::Start), balance: Money::whole(10_000) };
        session.input(&start, EventKind::Control);
        session.quote("1.08190", "1.08195");
        session
    }

    pub(crate) fn input(&mut self, payload: &impl Payload, kind: EventKind) -> u64 {
        let event: Event = payload.event(kind, EURUSD, now(), now());
        self.writer.input.append(&event).unwrap()
    }

    pub(crate) fn output(&mut self, payload: &impl Payload, kind: EventKind, side: Side) {
        let cause = Nanos(self.writer.input.written());
        let event: Event = payload.event(kind, EURUSD, cause, now());
        self.writer.output.append(&event.flagged(side.flag())).unwrap();
    }

    pub(crate) fn quote(&mut self, bid: &str, ask: &str) {
        let quote = Quote { bid: price(bid), ask: price(ask), ..Quote::default() };
        self.input(&quote, EventKind::Quote);
    }

    fn order(&mut self, side: Side, role: OrderRole, at: &str, lots: &str) {
        self.orders += 1;
        let (order, qty) = (OrderId::new(1, self.orders), lots.parse().unwrap());
        let submit =
            Submit { order, price: price(at), qty, tif: TimeInForce::Ioc, role, attempt: 1, intent: self.orders };
        self.output(&submit, EventKind::Submit, side);
        let execution = u64::from(self.orders);
        self.input(&Fill { order, execution, price: price(at), qty }, EventKind::Fill);
        self.input(&Fee { order, execution, amount: price_money("0.35"), base: Qty::ZERO }, EventKind::Fee);
    }

    pub(crate) fn open(&mut self, side: Side, at: &str, lots: &str) {
        let signal = Signal { log_return: 0.0, volatility: 0.0, z_score: -2.31, adx: 17.2 };
        self.output(&signal, EventKind::Signal, side);
        let action = Some(pawl::core::payload::Action::ExecuteBuy);
        self.output(&Decision { probability: 0.912, margin: 2.3, threshold: 0.85, action }, EventKind::Decision, side);
        self.order(side, OrderRole::Entry, at, lots);
        let opened = TradeOpened { intent: self.orders, price: price(at), qty: lots.parse().unwrap(), bid_plus_ask: 0 };
        self.output(&opened, EventKind::TradeOpened, side);
    }

    pub(crate) fn close(&mut self, side: Side, entry: &str, exit: &str, lots: &str, gross: &str) {
        self.order(side.opposite(), OrderRole::Exit, exit, lots);
        let opened = Nanos(now().0 - 724_000_000_000);
        let closed = TradeClosed { opened, entry: price(entry), exit: price(exit), qty: lots.parse().unwrap() };
        self.output(&closed, EventKind::TradeClosed, side);
        let costs = TradeCosts {
            gross: price_money(gross),
            fees: price_money("0.70"),
            reason: Some(ExitReason::Reverted),
            slippage: price_money("0.20"),
        };
        self.output(&costs, EventKind::TradeCosts, side);
    }

    pub(crate) fn refuse(&mut self, reason: Refusal, found: i64, limit: i64) {
        let record = RefusalRecord { reason: Some(reason), found, limit, order: OrderId(0) };
        self.output(&record, EventKind::Refusal, Side::Buy);
    }

    pub(crate) fn alert(&mut self, code: AlertCode) {
        let record = AlertRecord { code: Some(code), order: OrderId::new(1, 1), found: 100_000_000, expected: 0 };
        self.output(&record, EventKind::Alert, Side::Buy);
    }

    pub(crate) fn link(&mut self, state: LinkState, connections: u64) {
        let link = Link { channel: Some(LinkChannel::Orders), state: Some(state), connections };
        self.input(&link, EventKind::Link);
    }
}

fn price_money(text: &str) -> Money {
    text.parse().unwrap()
}

/// Telegram in this server's place.
pub(crate) fn telegram(port: u16, more: &str) -> String {
    format!(
        "[notify.telegram]\ntoken = {{ env = \"PAWL_T_TOKEN\" }}\nchat_id = -100\nper_minute = 60\n\
         server = \"http://127.0.0.1:{port}\"\n{more}\n"
    )
}

/// Discards a child's streams.
pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

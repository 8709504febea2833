//! What the tests of live sessions share: a venue and an engine as processes, and whether their books
//! agree at the end.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pawl::core::payload::Fill;
use pawl::core::{EventKind, Money, Payload, Price, Qty};
use pawl::journal::{SessionReader, StreamName};
use serde_json::Value;

pub(crate) const PAWL: &str = env!("CARGO_BIN_EXE_pawl");
/// Longest that anything is waited for; far above what it takes, so that a slow machine fails nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// BTC in the account before the engine comes: no position.
pub(crate) const OWNED: i64 = 10;

/// A process that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until `ready` answers, or fails with what it was about.
pub(crate) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A venue of its own, so many seconds of market a second, and where it listens.
pub(crate) fn venue(folder: &Path, speed: u32) -> (Running, String) {
    let ready = folder.join("ready.json");
    let child = Command::new(PAWL)
        .args([
            "venue",
            "--symbols",
            "BTCUSDT",
            "--speed",
            &speed.to_string(),
            "--account",
            "me:engine-key:engine-secret",
        ])
        .args(["--balance", &format!("BTC={OWNED}"), "--balance", "USDT=1000000", "--ready-file"])
        .arg(&ready)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    let found: Value = wait_for("the venue comes up", || {
        // Written under this name while we look: not whole yet is not there yet.
        std::fs::read_to_string(&ready).ok().and_then(|text| serde_json::from_str(&text).ok())
    });
    let url = found["url"].as_str().or(found["rest"].as_str()).unwrap_or_else(|| panic!("no address in {found}"));
    (running, url.trim_end_matches("/api/v3").to_owned())
}

/// `pawl` in the folder, with the account's key and its output piped.
pub(crate) fn pawl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PAWL);
    command
        .args(arguments)
        .current_dir(folder)
        .env("PAWL_API_KEY", "engine-key")
        .env("PAWL_API_SECRET", "engine-secret")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The engine, told to stop after so many seconds. The configuration is `pawl.toml` in the folder.
pub(crate) fn engine(folder: &Path, seconds: u64) -> Child {
    pawl(folder, &["run", "--no-gate", "--json", "--seconds", &seconds.to_string()]).spawn().unwrap()
}

/// Writes `pawl.toml` for an engine that trades often, on a market of 20 seconds a second; `live` are further
/// lines of `[live]`.
pub(crate) fn configure(folder: &Path, endpoint: &str, live: &str) {
    let text = format!(
        r#"
[quant]
bar = "250ms"
entry_z = 1.2
rearm_z = 0.8
adx_max = 80.0
[oms]
max_hold = "2s"
acknowledge_timeout = "500ms"
exit_retry_pause = "100ms"
max_order_lots = "2"
short_from_inventory = true
[live]
mode = "demo"
stop_timeout = "60s"
stale_after = "3s"
{live}
[threads]
waiting = "park"
[venue]
symbols = ["BTCUSDT"]
endpoint = "{endpoint}"
[venue.base_inventory]
BTCUSDT = "{OWNED}"
"#
    );
    std::fs::write(folder.join("pawl.toml"), text).unwrap();
}

/// Sends SIGINT, as Ctrl-C does.
pub(crate) fn interrupt(process: &Running) {
    // SAFETY: a signal to our own child, which we have not reaped.
    assert_eq!(unsafe { libc::kill(process.0.id() as i32, libc::SIGINT) }, 0);
}

/// What a process that ends has left to say.
pub(crate) fn wait(mut process: Running) -> Output {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    process.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    process.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status: process.0.wait().unwrap(), stdout, stderr }
}

/// Waits until the engine's order connection is at the venue.
pub(crate) fn wait_for_connection(url: &str) {
    wait_for("the engine connects", || (get(&format!("{url}/admin/clients"))["api"].as_u64() > Some(0)).then_some(()));
}

pub(crate) fn get(url: &str) -> Value {
    let text = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn post(url: &str, body: &Value) {
    ureq::post(url).send(body.to_string()).unwrap();
}

/// The folder of the only session.
pub(crate) fn session_folder(folder: &Path) -> PathBuf {
    let mut found = std::fs::read_dir(folder.join("journal")).unwrap();
    found.next().expect("one session").unwrap().path()
}

/// Fills by the venue's number: price and quantity.
type Fills = BTreeMap<u64, (Price, Qty)>;

fn decimal(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("expected decimal text, found {value}")).parse::<Qty>().unwrap().units()
}

fn fills_of_venue(account: &Value) -> Fills {
    let row = |fill: &Value| {
        let number = fill["tradeId"].as_u64().unwrap();
        (number, (Price::from_units(decimal(&fill["price"])), Qty::from_units(decimal(&fill["quantity"]))))
    };
    account["fills"].as_array().unwrap().iter().map(row).collect()
}

fn fills_of_journal(session: &Path) -> Fills {
    let session = SessionReader::open(session).unwrap();
    let mut stream = session.stream(StreamName::Input).unwrap();
    let mut fills = Fills::new();
    while let Some(event) = stream.next_event() {
        let event = event.unwrap();
        if event.kind == EventKind::Fill {
            let fill = Fill::of(&event);
            let told = fills.insert(fill.execution, (fill.price, fill.qty));
            assert!(told.is_none_or(|told| told == (fill.price, fill.qty)), "one execution told in two ways: {fill:?}");
        }
    }
    fills
}

/// Engine and venue agree on every fill, on what is owned and on what is open; `report` is what the
/// engine printed at its end. Returns how many fills there were.
pub(crate) fn assert_agreement(url: &str, session: &Path, report: &Value) -> usize {
    let truth = get(&format!("{url}/admin/truth"));
    let account = &truth["accounts"][0];
    let (venue_fills, our_fills) = (fills_of_venue(account), fills_of_journal(session));
    assert_eq!(our_fills, venue_fills, "every fill, and none that was not");
    let balance = |asset: &str| {
        let rows = account["balances"].as_array().unwrap();
        let row = rows.iter().find(|row| row["asset"] == asset).unwrap();
        decimal(&row["free"]) + decimal(&row["locked"])
    };
    // What the venue holds: cash, and the base asset beyond what was there before, at the touch it
    // was booked at. The engine is flat, so only dust and base fees are left, each below a dollar or two.
    let cash = Money::from_units(balance("USDT"));
    let base = Qty::from_units(balance("BTC") - Qty::whole(OWNED).units());
    let bid: Price = truth["symbols"][0]["bid"].as_str().unwrap().parse().unwrap();
    let worth = cash.to_f64() + base.to_f64() * bid.to_f64();
    let equity: Money = report["summary"]["end_equity"].as_str().unwrap().parse().unwrap();
    let traded: f64 = venue_fills.values().map(|(price, qty)| price.to_f64() * qty.to_f64()).sum();
    eprintln!("venue {worth:.4} engine {equity} base {base} traded {traded:.0} fills {}", venue_fills.len());
    // Base fees were booked at their fill's price and are valued here at the last bid.
    assert!((worth - equity.to_f64()).abs() < 1e-5 * traded + 1.0, "venue {worth}, engine {equity}");
    assert_eq!(report["summary"]["open_lots"].as_str(), Some("0"));
    for order in account["orders"].as_array().unwrap() {
        let status = order["status"].as_str().unwrap();
        assert!(!matches!(status, "NEW" | "PARTIALLY_FILLED"), "an order was left open: {order}");
    }
    venue_fills.len()
}

/// The journal replays to the same decisions.
pub(crate) fn assert_replays(session: &Path) {
    let replay = Command::new(PAWL).arg("replay").arg(session).arg("--verify").output().unwrap();
    assert!(
        replay.status.success(),
        "{}{}",
        String::from_utf8_lossy(&replay.stdout),
        String::from_utf8_lossy(&replay.stderr)
    );
}

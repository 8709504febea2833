//! A venue in a process of its own, and engines that are run against it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const PAWL: &str = env!("CARGO_BIN_EXE_pawl");

/// Longer than any machine needs; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until there is something to see.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A spot venue of its own with an account `me`, and where it listens.
pub(crate) fn venue(folder: &Path, arguments: &[&str]) -> (Running, String) {
    let ready = folder.join("ready.json");
    let child = Command::new(PAWL)
        .args(["venue", "--symbols", "BTCUSDT", "--account", "me:engine-key:engine-secret"])
        .args(["--balance", "BTC=10", "--balance", "USDT=1000000"])
        .args(arguments)
        .arg("--ready-file")
        .arg(&ready)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    let text = wait_for("the venue", || std::fs::read_to_string(&ready).ok());
    let found: Value = serde_json::from_str(&text).unwrap();
    (running, found["url"].as_str().unwrap_or_else(|| panic!("no address in {text}")).to_owned())
}

pub(crate) fn get(url: &str) -> Value {
    let text = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn post(url: &str, body: &Value) {
    ureq::post(url).send(body.to_string()).unwrap();
}

/// Writes `pawl.toml` for an engine that trades often; `live` are further lines of `[live]`.
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
[venue]
symbols = ["BTCUSDT"]
endpoint = "{endpoint}"
[venue.base_inventory]
BTCUSDT = "10"
[live]
mode = "demo"
stop_timeout = "60s"
stale_after = "3s"
{live}
"#
    );
    std::fs::write(folder.join("pawl.toml"), text).unwrap();
}

/// `pawl` in the folder, with the account's key.
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

/// The only session in the folder's journal.
pub(crate) fn session_folder(folder: &Path) -> PathBuf {
    let mut found = std::fs::read_dir(folder.join("journal")).unwrap();
    found.next().expect("one session").unwrap().path()
}

/// Panics unless the session re-runs to what was recorded.
pub(crate) fn assert_replays(session: &Path) {
    let replay = Command::new(PAWL).arg("replay").arg(session).arg("--verify").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(replay.status.success(), "{}{}", text(&replay.stdout), text(&replay.stderr));
}

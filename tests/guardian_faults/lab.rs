//! A venue with an account, a folder for everybody's files, and the configuration that all processes share.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use pawl::snapshot::{GuardianPage, GuardianView};
use serde_json::Value;

/// Longer than any machine needs; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const PAWL: &str = env!("CARGO_BIN_EXE_pawl");
/// Dollars that the account starts with.
pub(crate) const DEPOSIT: i64 = 10_000;
/// Limits of a second or less are short for processes that share two cores with a test suite. What is
/// tested is what happens, not when; `benches/guardian.rs` measures that.
pub(crate) const CALM: &str = "[guardian.heartbeat]\nlimit = \"10s\"\nwarn = \"9s\"\n\
     [guardian.market_data]\nlimit = \"30s\"\nwarn = \"20s\"\n[guardian.liquidation]\nfence_timeout = \"20s\"\n";

pub(crate) const KEYS: [(&str, &str); 4] = [
    ("PAWL_TEST_ENGINE_KEY", "pawl-engine-key"),
    ("PAWL_TEST_ENGINE_SECRET", "pawl-engine-secret"),
    ("PAWL_TEST_GUARDIAN_KEY", "pawl-guardian-key"),
    ("PAWL_TEST_GUARDIAN_SECRET", "pawl-guardian-secret"),
];

/// Looks until there is an answer, or fails with what was waited for.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or(what, look, String::new)
}

/// The same, with more to say when it fails.
pub(crate) fn wait_or<T>(what: &str, mut look: impl FnMut() -> Option<T>, more: impl Fn() -> String) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}\n{}", more());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process of ours that does not outlive the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: a signal to our own child, which we have not reaped.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Venue, folder, configuration.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    _venue: Process,
}

impl Lab {
    /// A futures venue. `guardian` is added to the `[guardian]` table: first keys, then tables below it.
    pub(crate) fn new(guardian: &str) -> Self {
        Self::on("futures", "", guardian)
    }

    /// The same, with tables before the guardian's.
    pub(crate) fn on(market: &str, tables: &str, guardian: &str) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), market, tables, guardian)
    }

    /// The same, in a folder that was prepared.
    pub(crate) fn in_folder(folder: tempfile::TempDir, market: &str, tables: &str, guardian: &str) -> Self {
        let ready = folder.path().join("ready.json");
        let child = Command::new(PAWL)
            .args(["venue", "--market", market, "--symbols", "BTCUSDT,ETHUSDT", "--no-limits", "--speed", "20"])
            .args(["--taker-fee", "1", "--maker-fee", "1", "--balance", &format!("USDT={DEPOSIT}"), "--ready-file"])
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let venue = Process(child);
        // The file is made before it is written: only whole JSON counts.
        let ready: Value = wait_for("the venue", || serde_json::from_slice(&fs::read(&ready).ok()?).ok());
        let url = ready["url"].as_str().unwrap().to_owned();
        let lab = Self { folder, url, _venue: venue };
        lab.write_config(&lab.config_text(market, tables, guardian));
        wait_for("prices", || lab.bid("ETHUSDT").is_positive().then_some(()));
        lab
    }

    fn write_config(&self, text: &str) {
        let mut options = fs::OpenOptions::new();
        // A configuration that names secrets is read by its owner only, or refused.
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(self.config_path()).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn config_text(&self, market: &str, tables: &str, guardian: &str) -> String {
        let path = |path: PathBuf| path.display().to_string();
        format!(
            "[live]\nmode = \"demo\"\nstate = {:?}\njournal = {:?}\nstop_timeout = \"60s\"\n\
             [journal]\nsegment_records = 16384\nprefault_records = 1024\nreserve_records = 1024\n\
             [venue]\nkind = \"binance-{market}\"\nsymbols = [\"BTCUSDT\", \"ETHUSDT\"]\nendpoint = {:?}\n\
             api_key_env = \"PAWL_TEST_ENGINE_KEY\"\nsecret_env = \"PAWL_TEST_ENGINE_SECRET\"\n\
             {tables}\n\
             [guardian]\nshared_memory = {:?}\napi_key_env = \"PAWL_TEST_GUARDIAN_KEY\"\n\
             secret_env = \"PAWL_TEST_GUARDIAN_SECRET\"\npoll_every = \"100ms\"\n{guardian}\n",
            path(self.state()),
            path(self.journal()),
            self.url,
            path(self.pages()),
        )
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder.path().join("pawl.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    pub(crate) fn pages(&self) -> PathBuf {
        self.folder.path().join("pages")
    }

    pub(crate) fn log(&self, name: &str) -> fs::File {
        fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(name)).unwrap()
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// A command of pawl with the configuration and the keys.
    pub(crate) fn pawl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PAWL);
        command.args(arguments).arg("--config").arg(self.config_path()).envs(KEYS).current_dir(self.folder.path());
        command
    }

    /// A guardian that watches.
    pub(crate) fn guardian(&self) -> Process {
        let mut command = self.pawl(&["guardian", "run"]);
        let process = Process(command.stderr(self.log("guardian.log")).stdout(Stdio::null()).spawn().unwrap());
        wait_for("the guardian's page", || {
            let page = GuardianPage::attach(&self.pages()).ok()?;
            let ours = page.owner().process.pid == process.pid();
            page.view().ok().filter(|view| ours && view.heartbeat > 0)
        });
        process
    }

    /// A guardian that allows entries: the reference is on disk and the venue was read.
    pub(crate) fn ready_guardian(&self) -> Process {
        let guardian = self.guardian();
        self.wait_entries(true);
        guardian
    }

    /// What the guardian shows now.
    pub(crate) fn view(&self) -> Option<GuardianView> {
        GuardianPage::attach(&self.pages()).ok()?.view().ok()
    }

    pub(crate) fn wait_entries(&self, allowed: bool) {
        wait_for("the guardian's word on entries", || self.view().filter(|view| view.entries_allowed == allowed));
    }

    pub(crate) fn admin(&self, path: &str, body: &Value) {
        ureq::post(format!("{}/admin/{path}", self.url)).send(body.to_string().as_bytes()).unwrap();
    }

    /// A request from afar; answers its file, which is gone once it was taken up.
    pub(crate) fn request(&self, action: &str) -> PathBuf {
        let folder = self.state().join("requests");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("1-{action}.json"));
        fs::write(path.with_extension("new"), format!("{{\"action\":\"{action}\",\"source\":\"telegram\"}}")).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        path
    }

    /// The market of a symbol jumps by so many percent.
    pub(crate) fn jump(&self, symbol: &str, percent: f64) {
        self.admin("price", &serde_json::json!({"symbol": symbol, "percent": percent}));
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.state().join("guardian-events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(crate) fn count(&self, code: &str) -> usize {
        self.events().iter().filter(|event| event["code"] == code).count()
    }

    /// The first event of this code, once there is one.
    pub(crate) fn wait_event(&self, code: &str) -> Value {
        let found = || self.events().into_iter().find(|event| event["code"] == code);
        let more = || format!("{:#?}\n{}", self.events(), self.read("guardian.log"));
        wait_or(&format!("the event {code}"), found, more)
    }
}

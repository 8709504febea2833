//! How long the guardian takes from a breach in shared memory to the first closing order at the venue, and what
//! it costs to watch. Real processes: `pawl venue`, `pawl guardian run`; this one is the engine, so that one
//! clock stamps the breach and the venue's the order.
//!
//! A round is a whole emergency: breach, latch, kill word, the engine's answer, orders, positions, closing
//! order, proof of flat; then a person's reset. `cargo bench --bench guardian`; `-- --test` runs it once over.
//! `PAWL_BENCH_ROUNDS` sets the rounds of each mode (200).

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pawl::core::{InstrumentSpec, InstrumentTable, Money, Qty};
use pawl::guardian::ResetRequest;
use pawl::guardian::clock::{Clock, SystemClock};
use pawl::snapshot::{EnginePage, EnginePlan, EngineState, GuardianPage, Level, Snapshot, monotonic_ns};
use serde_json::{Value, json};

const PAWL: &str = env!("CARGO_BIN_EXE_pawl");
const PATIENCE: Duration = Duration::from_secs(60);
const DEPOSIT: i64 = 100_000;
/// The loop of the stand-in sleeps so long: it answers the kill word as fast as an engine that is parked.
const ENGINE_NAP: Duration = Duration::from_micros(200);

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process of ours that does not outlive the bench.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Venue, guardian, and this process as the engine.
struct Rig {
    folder: tempfile::TempDir,
    url: String,
    engine: Engine,
    events: Tail,
    guardian: Process,
    _venue: Process,
}

impl Rig {
    fn start(spin: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (venue, url) = venue(folder.path());
        fs::write(folder.path().join("pawl.toml"), configuration(folder.path(), &url, spin)).unwrap();
        let child = Command::new(PAWL)
            .args(["guardian", "run", "--config"])
            .arg(folder.path().join("pawl.toml"))
            .env("PAWL_API_KEY", "pawl-guardian-key")
            .env("PAWL_API_SECRET", "pawl-guardian-secret")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let guardian = Process(child);
        let pages = folder.path().join("pages");
        wait_for("the guardian", || GuardianPage::attach(&pages).ok()?.view().ok().filter(|view| view.entries_allowed));
        let engine = Engine::start(&pages);
        let mut events = Tail::open(&folder.path().join("state/guardian-events.jsonl"));
        events.wait("engine-attached");
        Self { folder, url, engine, events, guardian, _venue: venue }
    }

    fn truth(&self) -> Value {
        let text = ureq::get(format!("{}/admin/truth", self.url)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Opens a position, lets the engine's equity fall, and says how many nanoseconds later the first closing
    /// order was at the venue.
    fn emergency(&mut self) -> u64 {
        let order = json!({"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"}).to_string();
        ureq::post(format!("{}/admin/order", self.url)).send(order.as_bytes()).unwrap();
        let breach = self.engine.claim(Money::whole(DEPOSIT * 9 / 10));
        self.events.wait("flat");
        let truth = self.truth();
        let orders = truth["accounts"][0]["orders"].as_array().unwrap();
        let closes = orders.iter().filter(|order| order["clientOrderId"].as_str().unwrap().starts_with("K-"));
        let first = closes.filter_map(|order| order["created"].as_u64()).filter(|at| *at >= breach).min();
        self.reset();
        first.expect("a closing order") - breach
    }

    /// A person clears the latch.
    fn reset(&mut self) {
        self.engine.claim(Money::whole(DEPOSIT));
        let request = ResetRequest {
            id: SystemClock.utc().0.to_string(),
            reason: "the next round".into(),
            who: "bench".into(),
            uid: 0,
            accept_positions: true,
            new_reference: true,
        };
        let state = self.folder.path().join("state");
        request.leave(&state).unwrap();
        let answer = wait_for("the reset", || request.answer(&state));
        assert!(answer.cleared, "{}", answer.text);
        let pages = self.folder.path().join("pages");
        wait_for("entries", || {
            let view = GuardianPage::attach(&pages).ok()?.view().ok()?;
            (view.level == Level::Active && view.entries_allowed).then_some(())
        });
    }

    /// Nanoseconds that every thread of the guardian has been on a core.
    fn spent(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.guardian.0.id())).unwrap().flatten();
        let spent = |path: PathBuf| -> Option<u64> {
            fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        tasks.filter_map(|task| spent(task.path())).sum()
    }
}

fn venue(folder: &Path) -> (Process, String) {
    let ready = folder.join("ready.json");
    let child = Command::new(PAWL)
        .args(["venue", "--market", "futures", "--symbols", "BTCUSDT,ETHUSDT", "--no-limits"])
        .args(["--balance", &format!("USDT={DEPOSIT}"), "--ready-file"])
        .arg(&ready)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let venue = Process(child);
    let ready: Value = wait_for("the venue", || serde_json::from_slice(&fs::read(&ready).ok()?).ok());
    (venue, ready["url"].as_str().unwrap().to_owned())
}

fn configuration(folder: &Path, url: &str, spin: bool) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    format!(
        "[live]\nmode = \"demo\"\nstate = {:?}\njournal = {:?}\n\
         [venue]\nkind = \"binance-futures\"\nsymbols = [\"BTCUSDT\", \"ETHUSDT\"]\nendpoint = {url:?}\n\
         [guardian]\nshared_memory = {:?}\nspin = {spin}\n\
         [guardian.position_disagreement]\naction = \"ACTIVE\"\n[guardian.equity_disagreement]\naction = \"ACTIVE\"\n\
         [guardian.market_data]\naction = \"ACTIVE\"\n",
        path("state"),
        path("journal"),
        path("pages"),
    )
}

/// An engine that is alive, claims an equity, and obeys.
struct Engine {
    /// The equity to be claimed, and the UTC nanoseconds at which it was first visible.
    claims: Arc<(AtomicI64, AtomicU64)>,
    stop: Arc<AtomicBool>,
}

impl Engine {
    fn start(pages: &Path) -> Self {
        let claims = Arc::new((AtomicI64::new(Money::whole(DEPOSIT).units()), AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let (pages, told, stopped) = (pages.to_owned(), Arc::clone(&claims), Arc::clone(&stop));
        std::thread::spawn(move || obey(&pages, &told, &stopped));
        Self { claims, stop }
    }

    /// From now on it claims this equity; answers since when, UTC nanoseconds.
    fn claim(&self, equity: Money) -> u64 {
        let (claimed, visible) = &*self.claims;
        visible.store(0, Ordering::Release);
        claimed.store(equity.units(), Ordering::Release);
        wait_for("the claim to be visible", || Some(visible.load(Ordering::Acquire)).filter(|at| *at != 0))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn obey(pages: &Path, claims: &(AtomicI64, AtomicU64), stop: &AtomicBool) {
    let grid = pawl::venue::paper::synthetic::specs(1).remove(0);
    let spec = |symbol: &str| InstrumentSpec { symbol: symbol.to_owned(), ..grid.clone() };
    let table = InstrumentTable::new(["BTCUSDT", "ETHUSDT"].map(spec)).unwrap();
    let mut page = EnginePage::create(pages, &EnginePlan { session: 1, instruments: &table, hot_threads: 1 }).unwrap();
    let mut progress = page.progress(0).unwrap();
    let mut guardian = GuardianPage::attach(pages).unwrap();
    let mut snapshot = Snapshot { state: EngineState::Running, open_lots: Qty::ZERO, ..Snapshot::default() };
    while !stop.load(Ordering::Acquire) {
        let kill = guardian.kill();
        if kill != 0 {
            page.acknowledge_kill(kill);
            // After a reset there is a new page, without a kill word.
            guardian = GuardianPage::attach(pages).unwrap_or(guardian);
        }
        let equity = Money::from_units(claims.0.load(Ordering::Acquire));
        (snapshot.equity, snapshot.balance, snapshot.published_ns) = (equity, equity, monotonic_ns());
        page.publish(&snapshot);
        progress.step(snapshot.published_ns);
        let _ = claims.1.compare_exchange(0, SystemClock.utc().0, Ordering::AcqRel, Ordering::Relaxed);
        std::thread::sleep(ENGINE_NAP);
    }
}

/// The guardian's events as they come.
struct Tail {
    file: File,
    text: String,
}

impl Tail {
    fn open(path: &Path) -> Self {
        Self { file: wait_for("the guardian's events", || File::open(path).ok()), text: String::new() }
    }

    /// Waits for the next event of this code and forgets what was before.
    fn wait(&mut self, code: &str) {
        let wanted = format!("\"code\":\"{code}\"");
        wait_for(code, || {
            self.file.read_to_string(&mut self.text).unwrap();
            let at = self.text.find(&wanted)?;
            let end = at + self.text[at..].find('\n')?;
            self.text.drain(..=end);
            Some(())
        });
    }
}

/// Percent of a core that this machine takes for a thousand sleeps of a millisecond a second, and nothing else.
fn floor(time: Duration) -> f64 {
    let spent = || -> u64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let (before, began) = (spent(), Instant::now());
    while began.elapsed() < time {
        std::thread::sleep(Duration::from_millis(1));
    }
    100.0 * (spent() - before) as f64 / began.elapsed().as_nanos() as f64
}

/// Nearest rank of sorted values.
fn percentile(sorted: &[u64], part: f64) -> u64 {
    sorted[((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len()) - 1]
}

fn measure(spin: bool, rounds: usize, rest: Duration) {
    let mut rig = Rig::start(spin);
    let mode = if spin { "spin" } else { "default" };
    // Connections and caches are warm in an emergency: the guardian has watched for hours.
    rig.emergency();
    let mut latencies: Vec<u64> = (0..rounds).map(|_| rig.emergency() / 1000).collect();
    latencies.sort_unstable();
    println!(
        "{mode}: breach in shared memory to closing order at the venue, {rounds} emergencies: p50 {} us, p90 {} us, p99.9 {} us, max {} us{}",
        percentile(&latencies, 0.5),
        percentile(&latencies, 0.9),
        percentile(&latencies, 0.999),
        latencies[latencies.len() - 1],
        if spin { " (budget p50 1000 us)" } else { "" },
    );
    let (spent, began) = (rig.spent(), Instant::now());
    std::thread::sleep(rest);
    let share = 100.0 * (rig.spent() - spent) as f64 / began.elapsed().as_nanos() as f64;
    if spin {
        println!("{mode}: {share:.2} % of a core while it watches");
    } else {
        let floor = floor(rest);
        println!(
            "{mode}: {share:.2} % of a core while it watches, {floor:.2} % of it the sleeps alone on this machine: {:.2} % its own (budget 1 %)",
            share - floor
        );
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    let rounds = std::env::var("PAWL_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let (rounds, rest) = if quick { (2, Duration::from_millis(300)) } else { (rounds, Duration::from_secs(10)) };
    for spin in [true, false] {
        measure(spin, rounds, rest);
    }
}

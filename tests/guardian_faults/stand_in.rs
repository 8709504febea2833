//! An engine that misbehaves as `pawl run` cannot be made to: this very binary. It buys, rests an order far
//! away, publishes what it holds, and then does as it is told: it hangs in a loop, or sends without end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pawl::core::{InstrumentSpec, InstrumentTable, Price, Qty, Side, Span};
use pawl::guardian::clock::{Clock, SystemClock};
use pawl::snapshot::{EnginePage, EnginePlan, EngineState, GuardianWatch, Snapshot, monotonic_ns};
use pawl::venue::binance::endpoints::Market;
use pawl::venue::binance::rest::{Credentials, NewOrder, Rest, RestParams};
use pawl::venue::binance::sign::{Secret, Signer};

use super::books::hundredths;
use super::lab::{KEYS, Lab, Process, wait_for};

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];
/// What it buys.
pub(crate) const HELD: Qty = hundredths(10);

/// Starts it, and waits until it holds [`HELD`] and the guardian sees it.
pub(crate) fn start(lab: &Lab) -> Process {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stand_in::child_is_an_engine", "--nocapture"])
        .env("PAWL_TEST_ENGINE_FOLDER", lab.folder.path())
        .env("PAWL_TEST_ENGINE_URL", &lab.url)
        .envs(KEYS)
        .stdout(Stdio::null())
        .stderr(lab.log("engine.err"))
        .spawn()
        .unwrap();
    let process = Process(child);
    lab.wait_held("the stand-in's position", "BTCUSDT", |held| held == HELD);
    wait_for("its resting order", || {
        lab.orders().iter().any(|order| order["clientOrderId"] == "engine-rests").then_some(())
    });
    lab.wait_event("engine-attached");
    process
}

/// `spin`: the loop hangs. `flood`: orders without end, deaf to the guardian.
pub(crate) fn tell(lab: &Lab, order: &str) {
    let path = lab.folder.path().join("orders");
    fs::write(path.with_extension("new"), order).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

fn client(url: &str) -> Rest {
    let params = RestParams {
        base: url.to_owned(),
        timeout: Span::seconds(5),
        receive_window: Span::seconds(5),
        root_certificate: None,
        clock: || SystemClock.utc(),
    };
    let signer = Signer::from_secret(&Secret::new(b"pawl-engine-secret")).unwrap();
    let credentials = Credentials { api_key: Secret::new(b"pawl-engine-key"), signer };
    Rest::new(&params, Market::UsdMFutures, Some(credentials)).unwrap()
}

fn instruments() -> InstrumentTable {
    let grid = pawl::venue::paper::synthetic::specs(1).remove(0);
    let spec = |symbol: &str| InstrumentSpec { symbol: symbol.to_owned(), ..grid.clone() };
    InstrumentTable::new(SYMBOLS.map(spec)).unwrap()
}

/// Not a test of its own: the stand-in. Without its environment it does nothing.
#[test]
fn child_is_an_engine() {
    let folder = std::env::var_os("PAWL_TEST_ENGINE_FOLDER").map(PathBuf::from);
    if let (Some(folder), Ok(url)) = (folder, std::env::var("PAWL_TEST_ENGINE_URL")) {
        StandIn::new(&folder, &url).run();
    }
}

struct StandIn {
    folder: PathBuf,
    rest: Rest,
    page: EnginePage,
    guardian: GuardianWatch,
    snapshot: Snapshot,
    sent: u32,
    asked_ns: u64,
}

fn buy(qty: Qty, client_id: &str) -> NewOrder<'_> {
    let symbol = "BTCUSDT";
    NewOrder { symbol, side: Side::Buy, price: None, qty, immediate: true, client_id, reduce_only: false }
}

impl StandIn {
    fn new(folder: &Path, url: &str) -> Self {
        let table = instruments();
        let plan = EnginePlan { session: 1, instruments: &table, hot_threads: 1 };
        Self {
            folder: folder.to_owned(),
            rest: client(url),
            page: EnginePage::create(&folder.join("pages"), &plan).unwrap(),
            guardian: GuardianWatch::new(&folder.join("pages")),
            snapshot: Snapshot { state: EngineState::Running, ..Snapshot::default() },
            sent: 0,
            asked_ns: 0,
        }
    }

    fn send(&mut self, order: &NewOrder<'_>) -> Qty {
        self.snapshot.orders += 1;
        self.rest.place(order).map_or(Qty::ZERO, |done| done.executed_qty)
    }

    /// The touch is thin: it takes what is there until it has what it wants.
    fn open(&mut self) {
        let mut missing = HELD;
        while missing.is_positive() {
            self.sent += 1;
            let bought = self.send(&buy(missing, &format!("engine-{}", self.sent)));
            missing = missing.checked_sub(bought).unwrap();
            // Not faster than the guardian's limit of orders.
            std::thread::sleep(Duration::from_millis(50));
        }
        let bid = self.rest.book_ticker("ETHUSDT").unwrap().bid;
        let far = Price::from_units(bid.units() / 10 * 9).floor_to("0.1".parse().unwrap());
        self.send(&NewOrder { symbol: "ETHUSDT", price: far, immediate: false, ..buy(HELD, "engine-rests") });
    }

    fn run(mut self) {
        let mut progress = self.page.progress(0).unwrap();
        self.open();
        loop {
            let now = monotonic_ns();
            self.guardian.poll(now);
            let orders = fs::read_to_string(self.folder.join("orders")).unwrap_or_default();
            match orders.as_str() {
                "spin" => loop {
                    std::hint::spin_loop();
                },
                "flood" => {
                    self.sent += 1;
                    // Six times what the guardian allows; small ones, so that the account affords them.
                    std::thread::sleep(Duration::from_millis(5));
                    self.send(&buy(Qty::from_units(20_000), &format!("flood-{}", self.sent)));
                }
                _ if self.guardian.kill() != 0 => self.page.acknowledge_kill(self.guardian.kill()),
                _ => {}
            }
            self.look(now);
            self.page.publish(&self.snapshot);
            progress.step(now);
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// What it holds it knows from the venue, as long as the venue answers.
    fn look(&mut self, now: u64) {
        if self.asked_ns == 0 || now - self.asked_ns > 50_000_000 {
            self.asked_ns = now;
            let (Ok(account), Ok(positions)) = (self.rest.account(), self.rest.positions()) else { return };
            (self.snapshot.equity, self.snapshot.balance) = (account.equity.unwrap(), account.wallet.unwrap());
            self.snapshot.market_ns = now;
            for (row, symbol) in self.snapshot.instruments.iter_mut().zip(SYMBOLS) {
                let held = positions.iter().find(|position| position.symbol == symbol);
                (row.position, row.market_ns) = (held.map_or(Qty::ZERO, |position| position.signed_qty), now);
            }
        }
        self.snapshot.published_ns = monotonic_ns();
    }
}

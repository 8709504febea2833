//! What `pawl run` and `pawl record` need beyond the stages: which venue, with which keys, how
//! careful, and where the session's files go. Secrets are named here and never written here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::core::{Qty, Span};
use crate::engine::waiting::Waiting;

/// How much is at stake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The venue's real market data; orders go to the simulated exchange inside pawl.
    #[default]
    Paper,
    /// Orders go to a venue with play money: its test network, or `pawl venue`.
    Demo,
    /// Real money. Needs `--yes-live` and a passed demo record.
    Live,
}

/// Which dialect of the venue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VenueKind {
    /// Binance spot: only inventory is sold.
    #[default]
    BinanceSpot,
    /// Binance USD-margined futures.
    BinanceFutures,
}

/// How market data is encoded on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Text: every venue and key.
    #[default]
    Json,
    /// Simple binary encoding: less to parse, microsecond times; needs an Ed25519 key.
    Sbe,
}

/// Where the venue is and who we are there.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VenueParams {
    /// Which dialect.
    pub kind: VenueKind,
    /// The venue's symbols to trade, upper case: `["BTCUSDT"]`.
    pub symbols: Vec<String>,
    /// `production`, `testnet`, or `http://HOST:PORT` of a `pawl venue`.
    pub endpoint: String,
    /// How market data is encoded.
    pub encoding: Encoding,
    /// Public trades beside quotes: they give the aggressor's side for `volume_delta`.
    pub trades: bool,
    /// Environment variable that holds the API key's name.
    pub api_key_env: String,
    /// Environment variable that holds the secret (HMAC text, or an Ed25519 key in PEM).
    pub secret_env: String,
    /// File that holds the secret instead; only its owner may read it.
    pub secret_file: Option<PathBuf>,
    /// An order that reaches the venue later than this after it was sent is refused there.
    pub receive_window: Span,
    /// What was owned of a spot symbol before pawl came, in units of its base asset: no position, and never sold
    /// unless `oms.short_from_inventory` lets a short signal do so.
    /// A symbol whose base asset is owned and that is not named here stops the start.
    pub base_inventory: std::collections::BTreeMap<String, Qty>,
    /// A trusted certificate authority in PEM besides the usual ones, for a venue of one's own.
    pub certificate_file: Option<PathBuf>,
}

impl Default for VenueParams {
    fn default() -> Self {
        Self {
            kind: VenueKind::default(),
            symbols: Vec::new(),
            endpoint: "testnet".to_owned(),
            encoding: Encoding::default(),
            trades: true,
            api_key_env: "PAWL_API_KEY".to_owned(),
            secret_env: "PAWL_API_SECRET".to_owned(),
            secret_file: None,
            receive_window: Span::seconds(2),
            base_inventory: std::collections::BTreeMap::new(),
            certificate_file: None,
        }
    }
}

/// What happens to an open position when the session is told to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStop {
    /// It is closed.
    #[default]
    Flatten,
    /// Orders are cancelled, the position stays: somebody else watches it.
    Keep,
}

/// How a live session is run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveParams {
    /// How much is at stake.
    pub mode: Mode,
    /// Folder of the latch, the guardian's memory and the demo record; engine and guardian share it.
    pub state: PathBuf,
    /// Folder in which each session gets its own.
    pub journal: PathBuf,
    /// What happens to an open position at the end.
    pub on_stop: OnStop,
    /// How long the end may take before the session stops as it is.
    pub stop_timeout: Span,
    /// A market stream without data for this long is asked for a sign of life; a dead one is connected anew.
    pub stale_after: Span,
    /// Moved to `[threads]`: read, so that sessions recorded before replay, and refused by `pawl run`.
    #[serde(skip_serializing)]
    waiting: Option<Waiting>,
    /// Moved to `[threads]`, as above.
    #[serde(skip_serializing)]
    core: Option<usize>,
}

impl LiveParams {
    /// The first key that has moved to `[threads]` and is still here.
    pub fn moved_key(&self) -> Option<&'static str> {
        match (self.waiting, self.core) {
            (Some(_), _) => Some("live.waiting"),
            (None, Some(_)) => Some("live.core"),
            (None, None) => None,
        }
    }
}

impl Default for LiveParams {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            state: PathBuf::from("state"),
            journal: PathBuf::from("journal"),
            on_stop: OnStop::default(),
            stop_timeout: Span::seconds(30),
            stale_after: Span::seconds(10),
            waiting: None,
            core: None,
        }
    }
}

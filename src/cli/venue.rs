//! `pawl venue`: the simulated exchange on real sockets, in the Binance dialect.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::core::{Money, Price, Span};
use crate::data::{Format, OnBadLine, Options};
use crate::venue::server::{
    AccountSpec, Care, Fault, FaultPlan, Feed, KeySpec, LimitParams, Market, Rule, Server, ServerParams,
};

use super::Failure;
use super::common::read_file;

/// Arguments of `pawl venue`.
#[derive(Args)]
#[command(after_help = "Examples:
  pawl venue
  pawl venue --listen 127.0.0.1:18080 --symbols BTCUSDT,ETHUSDT --balance USDT=50000 --seed 7
  pawl venue --account desk:KEY1:SECRET1 --account desk:KEY2:SECRET2 --fault lost_ack=0.02 --latency 3ms
  pawl venue --data ticks/*.csv --speed 60

The address is printed on standard output; keys and notes go to standard error. docs/venue.md lists
every path, stream, method, fault and operator's path.")]
pub(super) struct VenueArguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Spot, or USD-M futures
    #[arg(long, value_enum, default_value_t = Market::Spot)]
    market: Market,
    /// Symbols of the synthetic market
    #[arg(long, value_delimiter = ',', default_value = "BTCUSDT,ETHUSDT")]
    symbols: Vec<String>,
    /// Seed of the synthetic market and of the faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Market from these data files instead
    #[arg(long, num_args = 1.., conflicts_with = "journal")]
    data: Vec<PathBuf>,
    /// Format of the data files; found from their content when not given
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Market from the journal in this folder instead
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Seconds of market time per second
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// NAME:KEY:SECRET of an account with an HMAC key; the same NAME again adds a key to it
    #[arg(long, value_name = "NAME:KEY:SECRET")]
    account: Vec<String>,
    /// NAME:KEY:FILE of an account's Ed25519 public key (PEM)
    #[arg(long, value_name = "NAME:KEY:FILE")]
    ed25519: Vec<String>,
    /// Starting balance of every account, ASSET=AMOUNT; or of one, NAME:ASSET=AMOUNT
    #[arg(long, value_name = "[NAME:]ASSET=AMOUNT")]
    balance: Vec<String>,
    /// Commission of makers, basis points
    #[arg(long, default_value = "10")]
    maker_fee: Price,
    /// Commission of takers, basis points
    #[arg(long, default_value = "10")]
    taker_fee: Price,
    /// No rate limits
    #[arg(long)]
    no_limits: bool,
    /// Orders per 10 seconds and account
    #[arg(long, default_value_t = 100)]
    orders_per_10s: u64,
    /// Request weight per minute and address
    #[arg(long, default_value_t = 6_000)]
    weight_per_minute: u64,
    /// Between pings of a WebSocket; one that does not answer for three of them is dropped
    #[arg(long, default_value = "20s", value_parser = span)]
    ping: Span,
    /// A connection lives no longer
    #[arg(long, default_value = "24h", value_parser = span)]
    life: Span,
    /// Latency in each direction
    #[arg(long, default_value = "0s", value_parser = span)]
    latency: Span,
    /// Uniform extra latency in each direction, 0 to this
    #[arg(long, default_value = "0s", value_parser = span)]
    jitter: Span,
    /// A fault and its probability, e.g. reject=0.05; may be repeated
    #[arg(long, value_name = "FAULT=PROBABILITY")]
    fault: Vec<String>,
    /// Milliseconds that the venue's clock is ahead (negative: behind)
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_skew_ms: i64,
    /// Serve TLS with a certificate made at start
    #[arg(long)]
    tls: bool,
    /// Write the certificate here, as PEM, for clients to trust
    #[arg(long, requires = "tls")]
    tls_pem: Option<PathBuf>,
    /// Write the address and the keys here, as JSON, once the venue listens
    #[arg(long)]
    ready_file: Option<PathBuf>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|error| error.to_string())
}

/// Key and secret of the account that exists when none is named. A simulated exchange on loopback has
/// no secrets worth keeping; two keys, so that engine and guardian can have one each.
const DEFAULT_KEYS: [(&str, &str); 2] =
    [("pawl-engine-key", "pawl-engine-secret"), ("pawl-guardian-key", "pawl-guardian-secret")];

/// Runs the command.
///
/// # Errors
/// One [`Failure`].
pub(super) fn run(arguments: &VenueArguments) -> Result<(), Failure> {
    let (feed, symbols) = feed(arguments)?;
    let quotes = symbols.iter().map(|symbol| symbol.quote.as_str());
    let params = params(arguments, quotes)?;
    let mut server = Server::bind(&params, feed, symbols)?;
    let scheme = if arguments.tls { "s" } else { "" };
    let address = server.address();
    announce(arguments, &params, &format!("http{scheme}://{address}"))?;
    let handle = server.handle();
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .map_err(|error| Failure::Usage(format!("cannot watch for signals: {error}")))?;
    std::thread::spawn(move || {
        let mut received = signals.forever();
        if received.next().is_some() {
            handle.stop();
        }
        if received.next().is_some() {
            std::process::exit(1);
        }
    });
    server.run()?;
    eprintln!("pawl venue: stopped");
    Ok(())
}

fn feed(arguments: &VenueArguments) -> Result<(Feed, Vec<crate::venue::server::Symbol>), Failure> {
    let speed = arguments.speed;
    if !(speed > 0.0 && speed <= 1e6) {
        return Err(Failure::Usage(format!("--speed: expected above 0 and at most 1000000, found {speed}")));
    }
    if let Some(directory) = &arguments.journal {
        return Ok(Feed::journal(directory, speed)?);
    }
    if !arguments.data.is_empty() {
        let options = Options { format: arguments.format, on_bad_line: OnBadLine::Skip, symbol: None };
        return Ok(Feed::files(&arguments.data, &options, speed)?);
    }
    Ok(Feed::synthetic(&arguments.symbols, arguments.seed, speed)?)
}

fn params<'a>(arguments: &VenueArguments, quotes: impl Iterator<Item = &'a str>) -> Result<ServerParams, Failure> {
    let limits = if arguments.no_limits {
        LimitParams { weight: 0, orders_10s: 0, orders_day: 0, raw: 0, messages: 0, ..LimitParams::default() }
    } else {
        LimitParams {
            weight: arguments.weight_per_minute,
            orders_10s: arguments.orders_per_10s,
            ..LimitParams::default()
        }
    };
    Ok(ServerParams {
        listen: arguments.listen,
        market: arguments.market,
        accounts: accounts(arguments, quotes)?,
        fees: (arguments.maker_fee, arguments.taker_fee),
        limits,
        faults: faults(arguments)?,
        care: Care { ping: arguments.ping, pong: Span(arguments.ping.0.saturating_mul(3)), life: arguments.life },
        tls: arguments.tls.then(|| arguments.tls_pem.clone()),
    })
}

fn faults(arguments: &VenueArguments) -> Result<FaultPlan, Failure> {
    let mut plan = FaultPlan {
        seed: arguments.seed,
        latency_in: arguments.latency,
        latency_out: arguments.latency,
        jitter: arguments.jitter,
        clock_skew_ms: arguments.clock_skew_ms,
        ..FaultPlan::default()
    };
    for text in &arguments.fault {
        let parsed = text.split_once('=').and_then(|(name, probability)| {
            let fault = <Fault as clap::ValueEnum>::from_str(name, true).ok()?;
            Some((fault, probability.parse().ok()?))
        });
        let Some((fault, probability)) = parsed else {
            let names: Vec<_> = crate::venue::server::FAULTS
                .iter()
                .filter_map(|fault| clap::ValueEnum::to_possible_value(fault).map(|value| value.get_name().to_owned()))
                .collect();
            let names = names.join(", ");
            return Err(Failure::Usage(format!(
                "--fault: expected FAULT=PROBABILITY with one of {names}, found {text:?}"
            )));
        };
        plan.rules.insert(fault, Rule { probability, count: 0 });
    }
    plan.check().map_err(|why| Failure::Usage(format!("--fault: {why}")))?;
    Ok(plan)
}

fn accounts<'a>(
    arguments: &VenueArguments,
    quotes: impl Iterator<Item = &'a str>,
) -> Result<Vec<AccountSpec>, Failure> {
    let mut accounts: Vec<AccountSpec> = Vec::new();
    let mut add = |name: &str, key: &str, secret: String| {
        let key = KeySpec { key: key.to_owned(), secret };
        match accounts.iter_mut().find(|account| account.name == name) {
            Some(account) => account.keys.push(key),
            None => accounts.push(AccountSpec { name: name.to_owned(), keys: vec![key], balances: Vec::new() }),
        }
    };
    for text in &arguments.account {
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        let [name, key, secret] = parts[..] else {
            return Err(Failure::Usage(format!("--account: expected NAME:KEY:SECRET, found {text:?}")));
        };
        add(name, key, secret.to_owned());
    }
    for text in &arguments.ed25519 {
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        let [name, key, file] = parts[..] else {
            return Err(Failure::Usage(format!("--ed25519: expected NAME:KEY:FILE, found {text:?}")));
        };
        let pem = String::from_utf8_lossy(&read_file(Path::new(file))?).into_owned();
        add(name, key, pem);
    }
    if arguments.account.is_empty() && arguments.ed25519.is_empty() {
        for (key, secret) in DEFAULT_KEYS {
            add("main", key, secret.to_owned());
        }
    }
    let mut usual: Vec<(String, Money)> = Vec::new();
    for quote in quotes {
        if !usual.iter().any(|(asset, _)| asset == quote) {
            usual.push((quote.to_owned(), Money::whole(100_000)));
        }
    }
    let chosen = arguments.balance.iter().map(|text| balance(text)).collect::<Result<Vec<_>, _>>()?;
    for account in &mut accounts {
        let mut balances = if chosen.is_empty() { usual.clone() } else { Vec::new() };
        let mine = chosen.iter().filter(|(name, ..)| name.as_ref().is_none_or(|name| *name == account.name));
        balances.extend(mine.map(|(_, asset, amount)| (asset.clone(), *amount)));
        account.balances = balances;
    }
    Ok(accounts)
}

fn balance(text: &str) -> Result<(Option<String>, String, Money), Failure> {
    let wrong = || Failure::Usage(format!("--balance: expected [NAME:]ASSET=AMOUNT, found {text:?}"));
    let (left, amount) = text.split_once('=').ok_or_else(wrong)?;
    let (name, asset) = match left.split_once(':') {
        Some((name, asset)) => (Some(name.to_owned()), asset),
        None => (None, left),
    };
    let amount: Money = amount.parse().map_err(|_| wrong())?;
    Ok((name, asset.to_ascii_uppercase(), amount))
}

/// Says where the venue is: one line on standard output, keys on standard error, all in the ready file.
fn announce(arguments: &VenueArguments, params: &ServerParams, url: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{url}").and_then(|()| out.flush()).map_err(Failure::Output)?;
    let websocket = url.replacen("http", "ws", 1);
    eprintln!("pawl venue: REST {url}/api/v3, streams {websocket}/ws and /stream, orders {websocket}/ws-api/v3");
    for account in &params.accounts {
        for key in &account.keys {
            let secret = if key.secret.starts_with("-----") { "(Ed25519)" } else { key.secret.as_str() };
            eprintln!("pawl venue: account {}: key {} secret {secret}", account.name, key.key);
        }
    }
    let Some(path) = &arguments.ready_file else { return Ok(()) };
    let keys = params.accounts.iter().flat_map(|account| {
        account
            .keys
            .iter()
            .map(|key| serde_json::json!({"account": account.name, "key": key.key, "secret": key.secret}))
    });
    let ready = serde_json::json!({"url": url, "websocket": websocket, "keys": keys.collect::<Vec<_>>()});
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|source| Failure::File { verb: "write", path: path.to_owned(), source })
    };
    // Written whole under another name first: who waits for the file never reads half of it.
    let half = path.with_extension("part");
    write(&half, &ready.to_string())?;
    std::fs::rename(&half, path).map_err(|source| Failure::File { verb: "write", path: path.clone(), source })
}

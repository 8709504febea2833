//! The demo over real sockets: `pawl venue`, `pawl guardian run` and `pawl run`, started, watched and
//! stopped as a supervisor would. At the end the venue's own books are asked whether they agree.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::Failure;
use crate::cli::common::{DEMO_GOLDEN, DEMO_MODEL, say};

use super::DemoArguments;

/// Seconds of market time a second: a bar of a minute passes in 50 ms.
const SPEED: u64 = 1200;
/// How long a process may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Keys that `pawl venue` has when none is named.
const KEYS: [(&str, &str); 2] =
    [("pawl-engine-key", "pawl-engine-secret"), ("pawl-guardian-key", "pawl-guardian-secret")];

/// A process that does not outlive the demo, however the demo ends.
struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn start(name: &'static str, command: &mut Command) -> Result<Self, Failure> {
        let demo = std::process::id();
        let end_with_the_demo = move || {
            // SAFETY: two system calls without memory of ours.
            let (set, parent) =
                unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong), libc::getppid()) };
            match set {
                0 if parent as u32 == demo => Ok(()),
                // The demo died before the child could ask to hear of it.
                0 => Err(std::io::Error::from_raw_os_error(libc::ESRCH)),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // A group of its own: Ctrl-C is for the demo, which stops one after the other.
        command.process_group(0);
        // SAFETY: between fork and exec the closure only makes system calls that are safe in a signal handler; it
        // allocates nothing and takes no lock.
        unsafe { command.pre_exec(end_with_the_demo) };
        let child = command.spawn().map_err(|source| Failure::File {
            verb: "start",
            path: PathBuf::from(format!("pawl {name}")),
            source,
        })?;
        Ok(Self { name, child })
    }

    /// An error when it has ended by itself.
    fn must_live(&mut self, log: &Path) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            found => {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                Err(Failure::Ended(format!("{} ended early ({found:?}):\n{said}", self.name)))
            }
        }
    }

    /// Asks it to stop. Only where it was not found to have ended: its number would be another's.
    fn ask_to_stop(&self) {
        // SAFETY: a signal to a child that was not waited for, so its number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
    }

    /// Waits for its end; each word to stop that comes meanwhile is passed on.
    fn wait(&mut self, signals: &AtomicUsize) -> Result<ExitStatus, Failure> {
        let mut passed_on = 0;
        loop {
            let ended = self.child.try_wait();
            let ended = ended.map_err(|error| Failure::Ended(format!("cannot wait for {}: {error}", self.name)))?;
            if let Some(status) = ended {
                return Ok(status);
            }
            while passed_on < signals.load(Ordering::Relaxed) {
                self.ask_to_stop();
                passed_on += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop, and makes it after a while.
    fn stop(mut self) {
        self.ask_to_stop();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the demo.
///
/// # Errors
/// A process cannot be started or does not come up, the session does not end in good order, or
/// engine and venue disagree.
pub(super) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    // Before anything is started: from here on Ctrl-C and SIGTERM end all of it in good order.
    let signals = crate::cli::run::signals(None)?;
    let folder = Folder::make(arguments.journal.as_deref())?;
    let symbols: Vec<String> = (0..arguments.instruments).map(symbol).collect();
    say(format_args!(
        "pawl demo: {} synthetic instruments at {SPEED} times their pace, seed {}. Synthetic prices: not evidence of profit.",
        symbols.len(),
        arguments.seed
    ))?;
    let (mut venue, url) = start_venue(&folder, arguments.seed, &symbols, &signals)?;
    write(&folder.0.join("pawl.toml"), configuration(&url, &symbols).as_bytes())?;
    write(&folder.0.join("model.json"), DEMO_MODEL)?;
    write(&folder.0.join("model.golden.json"), DEMO_GOLDEN)?;
    let mut guardian = start_guardian(&folder, &signals)?;
    say(format_args!("  venue, guardian and engine are three processes; {url} is the venue\n"))?;
    // A demo of no time at all shows the start and the end.
    let seconds = arguments.seconds.max(1).to_string();
    let gate: &[&str] = if arguments.no_gate { &["--no-gate"] } else { &["--model", "model.json"] };
    let mut command = pawl(&folder)?;
    command.arg("run").args(gate).args(["--seconds", &seconds]);
    command.stderr(if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        Stdio::inherit()
    } else {
        folder.log("engine")?.into()
    });
    let status = Process::start("run", &mut command)?.wait(&signals)?;
    venue.must_live(&folder.0.join("venue.log"))?;
    guardian.must_live(&folder.0.join("guardian.log"))?;
    let verdict = agreement(&url)?;
    guardian.stop();
    venue.stop();
    if !status.success() {
        let said = std::fs::read_to_string(folder.0.join("engine.log")).unwrap_or_default();
        return Err(Failure::Ended(format!("the engine did not end in good order ({status}) {said}")));
    }
    say(format_args!("\n{verdict}"))?;
    if arguments.journal.is_some() {
        let kept = folder.0.display();
        say(format_args!("kept in {kept}: try `pawl replay {kept} --verify` and `pawl report latency {kept}`"))?;
    }
    Ok(())
}

/// A folder for everything, removed at the end unless it was named.
struct Folder(PathBuf, bool);

impl Folder {
    fn make(named: Option<&Path>) -> Result<Self, Failure> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("pawl-demo-{}", std::process::id())),
        };
        let error = |source| Failure::File { verb: "create", path: path.clone(), source };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(error)?;
        std::fs::create_dir(&path).map_err(error)?;
        Ok(Self(path, named.is_none()))
    }

    fn log(&self, name: &str) -> Result<File, Failure> {
        let path = self.0.join(format!("{name}.log"));
        File::create(&path).map_err(|source| Failure::File { verb: "create", path, source })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.1 {
            // What cannot be removed is left in the folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn symbol(number: u16) -> String {
    const KNOWN: [&str; 4] = ["BTC", "ETH", "BNB", "SOL"];
    let known = KNOWN.get(usize::from(number));
    known.map_or_else(|| format!("COIN{number}USDT"), |base| format!("{base}USDT"))
}

fn configuration(url: &str, symbols: &[String]) -> String {
    let list = symbols.iter().map(|symbol| format!("{symbol:?}")).collect::<Vec<_>>().join(", ");
    format!(
        r#"# Made by `pawl demo`: a minute of the market passes in 50 ms.
[quant]
bar = "50ms"
[oracle]
threshold = 0.7
[oms]
risk_percent = "0.2"
max_hold = "3s"
guardian_required = true
[live]
mode = "demo"
[threads]
waiting = "park"
[venue]
kind = "binance-futures"
symbols = [{list}]
endpoint = "{url}"
[guardian]
api_key_env = "PAWL_GUARDIAN_KEY"
secret_env = "PAWL_GUARDIAN_SECRET"
"#
    )
}

fn pawl(folder: &Folder) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(|source| Failure::File {
        verb: "find",
        path: PathBuf::from("pawl"),
        source,
    })?;
    let mut command = Command::new(program);
    command.current_dir(&folder.0).stdin(Stdio::null());
    let [(engine, engine_secret), (guardian, guardian_secret)] = KEYS;
    command.env("PAWL_API_KEY", engine).env("PAWL_API_SECRET", engine_secret);
    command.env("PAWL_GUARDIAN_KEY", guardian).env("PAWL_GUARDIAN_SECRET", guardian_secret);
    Ok(command)
}

fn start_venue(
    folder: &Folder,
    seed: u64,
    symbols: &[String],
    signals: &AtomicUsize,
) -> Result<(Process, String), Failure> {
    let mut command = pawl(folder)?;
    command.args(["venue", "--market", "futures", "--symbols", &symbols.join(","), "--seed", &seed.to_string()]);
    command.args(["--speed", &SPEED.to_string(), "--taker-fee", "1", "--maker-fee", "1", "--ready-file", "ready.json"]);
    let log = folder.log("venue")?;
    command.stdout(Stdio::null()).stderr(log);
    let mut venue = Process::start("venue", &mut command)?;
    let ready = folder.0.join("ready.json");
    wait_for(&mut venue, &folder.0.join("venue.log"), signals, || {
        let text = std::fs::read_to_string(&ready).ok()?;
        let found: Value = serde_json::from_str(&text).ok()?;
        let url = found["url"].as_str().or(found["rest"].as_str())?;
        Some(url.trim_end_matches("/api/v3").to_owned())
    })
    .map(|url| (venue, url))
}

fn start_guardian(folder: &Folder, signals: &AtomicUsize) -> Result<Process, Failure> {
    let mut command = pawl(folder)?;
    command.args(["guardian", "run", "--config", "pawl.toml"]);
    let (log, output) = (folder.log("guardian")?, folder.0.join("guardian.log"));
    command.stdout(Stdio::null()).stderr(log);
    let mut guardian = Process::start("guardian", &mut command)?;
    let events = folder.0.join("state").join("guardian-events.jsonl");
    wait_for(&mut guardian, &output, signals, || {
        let text = std::fs::read_to_string(&events).ok()?;
        text.contains("guardian-started").then_some(())
    })?;
    Ok(guardian)
}

fn wait_for<T>(
    process: &mut Process,
    log: &Path,
    signals: &AtomicUsize,
    mut ready: impl FnMut() -> Option<T>,
) -> Result<T, Failure> {
    let began = Instant::now();
    loop {
        if let Some(found) = ready() {
            return Ok(found);
        }
        process.must_live(log)?;
        if signals.load(Ordering::Relaxed) > 0 {
            return Err(Failure::Ended("stopped before the engine was started".into()));
        }
        if began.elapsed() > PATIENCE {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            return Err(Failure::Ended(format!("{} did not come up within {PATIENCE:?}:\n{said}", process.name)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the venue's own books say after the session.
fn agreement(url: &str) -> Result<String, Failure> {
    let error = |error: ureq::Error| Failure::Ended(format!("the venue does not answer: {error}"));
    let text =
        ureq::get(format!("{url}/admin/truth")).call().map_err(error)?.body_mut().read_to_string().map_err(error)?;
    let truth: Value = serde_json::from_str(&text).unwrap_or_default();
    let account = &truth["accounts"][0];
    let list = |key: &str| account[key].as_array().cloned().unwrap_or_default();
    let open = list("orders")
        .iter()
        .filter(|order| matches!(order["status"].as_str(), Some("NEW" | "PARTIALLY_FILLED")))
        .count();
    let held: Vec<String> = list("positions")
        .iter()
        .filter_map(|position| {
            let quantity = position["quantity"].as_str()?.parse::<crate::core::Qty>().ok()?;
            (!quantity.is_zero()).then(|| format!("{} {quantity}", position["symbol"].as_str().unwrap_or("?")))
        })
        .collect();
    let held = if held.is_empty() { "nothing".to_owned() } else { held.join(", ") };
    Ok(format!(
        "The venue's books: {} orders, {} fills, {open} orders open, held beyond the start: {held}",
        list("orders").len(),
        list("fills").len()
    ))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file =
        File::create(path).map_err(|source| Failure::File { verb: "create", path: path.to_owned(), source })?;
    file.write_all(bytes).map_err(|source| Failure::File { verb: "write", path: path.to_owned(), source })
}

//! A date that is stepped opens no new day, and the day's reference goes on to count. A clock that is stepped in the
//! middle of an emergency does not end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use pawl::config::Config;
use pawl::core::{Money, Nanos, Span};
use pawl::guardian::clock::{Clock, SystemClock};
use pawl::guardian::run::Watch;
use pawl::snapshot::{Level, monotonic_ns};

use super::books::is_close;
use super::engine::Scene;
use super::lab::{CALM, DEPOSIT, KEYS, Lab, wait_for};
use super::stand_in;

/// The system's clock, but for the date.
#[derive(Clone)]
struct SteppedClock(Arc<AtomicI64>);

impl Clock for SteppedClock {
    fn utc(&self) -> Nanos {
        Nanos(SystemClock.utc().0.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }

    fn monotonic_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn pause(&self, span: Span) {
        SystemClock.pause(span);
    }
}

#[test]
fn a_stepped_clock_opens_no_new_day_and_stops_entries() {
    let lab = Lab::new(CALM);
    // SAFETY: nothing else in this program sets or reads these; children get theirs from `Command`.
    KEYS.iter().for_each(|(name, value)| unsafe { std::env::set_var(name, value) });
    let config = Config::load(&lab.config_path()).unwrap();
    let (step, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let watching = {
        let (clock, stop) = (SteppedClock(Arc::clone(&step)), Arc::clone(&stop));
        std::thread::spawn(move || Watch::start(&config, clock).unwrap().run(&stop))
    };
    lab.wait_entries(true);
    let reference = lab.view().unwrap().day_reference;
    let _engine = stand_in::start(&lab);
    // A loss of one percent, within the limit.
    lab.jump("BTCUSDT", lab.losing_jump("BTCUSDT", 0.01));
    let fallen = Money::whole(DEPOSIT - DEPOSIT / 200);
    wait_for("the fall", || lab.view().filter(|view| view.venue_equity < fallen));
    step.store(86_400_000_000_000, Ordering::Relaxed);
    let stepped = wait_for("REDUCE_ONLY", || lab.view().filter(|view| view.level == Level::ReduceOnly));
    wait_for("a thousand looks", || lab.view().filter(|view| view.heartbeat > stepped.heartbeat + 1000));
    assert_eq!(lab.view().unwrap().day_reference, reference, "a step of a day is no new day");
    assert_eq!(lab.count("day-opened"), 1);
    // And the old reference still counts: two losses within the limit are one beyond it.
    lab.jump("BTCUSDT", lab.losing_jump("BTCUSDT", 0.028));
    lab.assert_flat_and_told("daily-loss");
    stop.store(true, Ordering::Relaxed);
    watching.join().unwrap();
}

#[test]
fn a_clock_that_jumps_in_the_middle_of_a_liquidation_does_not_stop_it() {
    // The proof of flat takes long enough for the clock to jump before it.
    let slow = CALM.replace("[guardian.liquidation]\n", "[guardian.liquidation]\nconfirm_pause = \"3s\"\n");
    let mut scene = Scene::open(&slow);
    scene.engine.process.kill();
    wait_for("the first close", || scene.lab.orders().iter().any(is_close).then_some(()));
    assert_eq!(scene.lab.count("flat"), 0, "too late to jump in the middle");
    // Beyond the window in which a signature is good, within what counts as a wrong clock.
    scene.lab.admin("faults", &serde_json::json!({"clock_skew_ms": 4000}));
    scene.assert_cleaned_up("engine-exit");
    assert_eq!(scene.lab.closed_by_guardian(), scene.held.abs(), "closed once");
}

//! An engine that hangs although its process lives, and one that does not listen; an account that never stands still,
//! and a venue that wants silence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::lab::{CALM, Lab, wait_for};
use super::stand_in;

#[test]
fn a_spinning_engine_is_hung_although_its_process_lives() {
    let lab = Lab::new("[guardian.heartbeat]\nlimit = \"2s\"\n");
    let _guardian = lab.ready_guardian();
    let mut engine = stand_in::start(&lab);
    stand_in::tell(&lab, "spin");
    lab.assert_flat_and_told("heartbeat");
    assert!(engine.ended().is_some());
}

#[test]
fn an_engine_that_sends_in_a_loop_and_does_not_listen_is_stopped_and_killed() {
    let lab = Lab::new(CALM);
    let _guardian = lab.ready_guardian();
    let mut engine = stand_in::start(&lab);
    stand_in::tell(&lab, "flood");
    wait_for("the engine's end", || engine.ended());
    lab.wait_event("flat");
    lab.assert_flat();
    lab.assert_nothing_sent_after_the_fence();
    let conditions: Vec<String> = lab
        .events()
        .iter()
        .filter(|event| event["code"] == "condition-breached")
        .map(|event| event["evidence"]["condition"].as_str().unwrap().to_owned())
        .collect();
    for expected in ["order-rate", "disobedience"] {
        assert!(conditions.iter().any(|condition| condition == expected), "{expected}: {conditions:?}");
    }
}

/// Ends the threads of a scope however it ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_account_whose_cash_changes_at_every_read_is_watched_all_the_same() {
    let lab = Lab::new(CALM);
    let _guardian = lab.ready_guardian();
    let mut engine = stand_in::start(&lab);
    lab.request("halt");
    lab.wait_event("entries-cancelled");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            // One connection for all of them.
            let agent = ureq::Agent::new_with_defaults();
            while !stop.load(Ordering::Relaxed) {
                let wish = agent.post(format!("{}/admin/balance", lab.url)).send(r#"{"asset":"USDT","amount":"0.01"}"#);
                let _ = wish.unwrap().body_mut().read_to_string();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        // Lots grow, by whosever hand, although everything was told to stop.
        let order = serde_json::json!({"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"});
        wait_for("the engine's end", || {
            let ended = engine.ended();
            if ended.is_none() {
                lab.admin("order", &order);
                std::thread::sleep(Duration::from_millis(300));
            }
            ended
        });
        lab.wait_event("flat");
        // The last order may have come after it.
        lab.wait_held("flat again", "BTCUSDT", pawl::core::Qty::is_zero);
    });
    let disobeyed = |event: &serde_json::Value| event["evidence"]["condition"] == "disobedience";
    assert!(lab.events().iter().any(disobeyed), "{}", lab.said());
    lab.assert_flat();
}

#[test]
fn a_venue_that_wants_silence_hears_nothing() {
    let lab = Lab::new(CALM);
    let _guardian = lab.ready_guardian();
    let faults = |rules| serde_json::json!({"only_key": "pawl-guardian-key", "rules": rules});
    // Each is answered with a wish for a second of silence; ten reads a second would be due.
    lab.admin("faults", &faults(serde_json::json!({"too_many_requests": {"probability": 1.0}})));
    std::thread::sleep(Duration::from_secs(4));
    let text = ureq::get(format!("{}/admin/faults", lab.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let struck = serde_json::from_str::<serde_json::Value>(&text).unwrap()["struck"]["too_many_requests"].as_u64();
    assert!((1..=6).contains(&struck.unwrap()), "{struck:?}");
    lab.admin("faults", &faults(serde_json::json!({})));
    lab.wait_entries(true);
}

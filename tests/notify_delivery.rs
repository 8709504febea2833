//! The notifier as a process against local servers: what a trader hears, once, whatever breaks on the way.

mod notify_support;

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notify_support::{Answer, CANARY_TOKEN, Place, Request, Server, Session, ok, telegram, wait_for};
use pawl::core::Side;
use pawl::core::payload::{AlertCode, LinkState, Refusal};

#[test]
fn a_trade_is_told_once_over_crashes_and_history_is_not_told() {
    let server = Server::start(|_| ok());
    let place = Place::new(&telegram(server.port, ""));
    // Yesterday's session, before the notifier ever ran.
    let mut old = Session::create(&place.path("journal/old"));
    old.open(Side::Buy, "1.01000", "0.10");
    old.close(Side::Buy, "1.01000", "1.01100", "0.10", "10");
    old.writer.close().unwrap();
    place.guardian(1, "critical", "latched", "OLD LATCH");

    let mut notifier = place.start();
    let mut session = Session::create(&place.path("journal/today"));
    session.open(Side::Buy, "1.08195", "0.10");
    session.close(Side::Buy, "1.08195", "1.08326", "0.10", "13.10");
    session.quote("1.08190", "1.08195");
    let closed = server.wait_text("CLOSED LONG 0.10 EURUSD: +12.40 USD");
    println!("{closed}");
    assert!(closed.contains("1.08195 → 1.08326 (+131.0 points), held 12m 04s, reverted"), "{closed}");
    assert!(closed.contains("day +12.40 USD, 1 trade, 1 won"), "{closed}");
    println!("{}", server.wait_text("BUY 0.10 EURUSD @ 1.08195"));
    println!("{}", server.wait_text("Engine STARTED"));

    // Between a channel's yes and the log a death may double a message; here the log is waited for.
    place.wait_delivered("telegram");
    // Dies without a word; what happens meanwhile is told at the next start, what was told is not.
    notifier.kill();
    session.open(Side::Sell, "1.08300", "0.20");
    session.alert(AlertCode::ExitFailing);
    place.guardian(2, "critical", "not-flat", "NOT FLAT after 10s");
    let mut notifier = place.start();
    println!("{}", server.wait_text("SELL 0.20 EURUSD @ 1.08300"));
    let failing = server.wait_text("EXIT FAILING (EURUSD)");
    println!("{failing}");
    assert!(failing.contains("order 00000001-1: 1 lots left"), "{failing}");
    println!("{}", server.wait_text("NOT FLAT after 10s"));
    session.close(Side::Sell, "1.08300", "1.08350", "0.20", "-10");
    session.quote("1.08190", "1.08195");
    let lost = server.wait_text("CLOSED SHORT 0.20 EURUSD: -10.70 USD");
    assert!(lost.contains("day +1.70 USD, 2 trades, 1 won"), "the day goes on over a crash: {lost}");
    session.writer.close().unwrap();
    println!("{}", server.wait_text("Engine STOPPED, flat"));
    notifier.stop();
    for part in [
        "Engine STARTED",
        "BUY 0.10",
        "CLOSED LONG",
        "SELL 0.20",
        "EXIT FAILING",
        "NOT FLAT after",
        "CLOSED SHORT",
        "STOPPED",
    ] {
        assert_eq!(server.count(part), 1, "{part}: {:#?}", server.texts());
    }
    assert_eq!(server.count("OLD LATCH") + server.count("1.01000"), 0, "history: {:#?}", server.texts());
}

#[test]
fn an_engine_that_dies_with_a_position_is_told_as_such() {
    let server = Server::start(|_| ok());
    let place = Place::new(&telegram(server.port, ""));
    let _notifier = place.start();
    let mut session = Session::create(&place.path("journal/a"));
    session.open(Side::Buy, "1.08195", "0.10");
    session.quote("1.08190", "1.08195");
    server.wait_text("BUY 0.10 EURUSD");
    // As after SIGKILL: the lock is gone, the files keep their preallocated length.
    drop(session);
    let text = server.wait_text("Engine DIED with an OPEN POSITION");
    println!("{text}");
    assert!(text.contains("open: LONG 0.10 EURUSD from 1.08195") && text.contains("Desk: +44 20 7946 0000"), "{text}");
}

#[test]
fn a_network_that_is_down_loses_nothing_over_a_restart_and_the_gravest_comes_first() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let place = Place::new(&telegram(port, ""));
    let mut notifier = place.start();
    for seq in 1..=3 {
        place.guardian(seq, "info", "drill", &format!("notice {seq}"));
    }
    place.guardian(4, "critical", "latched", "LATCHED");
    let queue = place.path("state/queue/telegram");
    let queued = || {
        std::fs::read_dir(&queue)
            .unwrap()
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|e| e == "json"))
            .count()
    };
    wait_for("four queued alerts", || (queued() == 4).then_some(()));
    notifier.kill();
    let mut notifier = place.start();
    let server = Server::on(TcpListener::bind(("127.0.0.1", port)).unwrap(), |_| ok());
    server.wait_text("notice 3");
    wait_for("an empty queue", || (queued() == 0).then_some(()));
    notifier.stop();
    let texts = server.texts();
    println!("{texts:#?}");
    assert!(texts[0].contains("LATCHED") && texts[0].contains("equity &lt; reference &amp; falling"), "{texts:#?}");
    assert_eq!(texts.len(), 2, "the three notices share a message: {texts:#?}");
    for part in ["notice 1", "notice 2", "notice 3", "LATCHED"] {
        assert_eq!(server.count(part), 1, "{part}");
    }
}

#[test]
fn a_429_is_obeyed_and_a_5xx_and_a_broken_connection_are_tried_again() {
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::Say(
            429,
            "",
            r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 2","parameters":{"retry_after":2}}"#.into(),
        ),
        1 => Answer::Say(502, "", "<html>bad gateway</html>".into()),
        2 => Answer::HangUp,
        3 => Answer::Say(200, "", "<html>captive portal</html>".into()),
        _ => ok(),
    }
    });
    let place = Place::new(&telegram(server.port, ""));
    let mut notifier = place.start();
    place.guardian(1, "critical", "latched", "LATCHED");
    wait_for("the fifth try", || (server.requests().len() >= 5).then_some(()));
    notifier.stop();
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|request| request.body == requests[0].body), "the same message each time");
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(2), "retry_after is a promise");
    let log = std::fs::read_to_string(&notifier.log).unwrap();
    println!("{log}");
    assert!(log.contains("asked to wait 2.0s") && log.contains("HTTP 502") && log.contains("not Telegram's"), "{log}");
}

#[test]
fn refused_markup_goes_again_as_plain_text_and_what_is_refused_twice_blocks_nothing() {
    let server = Server::start(|request: &Request| {
        let refuse = request.json()["parse_mode"] == "HTML" || request.text().contains("second");
        let body = r#"{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities"}"#;
        if refuse { Answer::Say(400, "", body.into()) } else { ok() }
    });
    let place = Place::new(&telegram(server.port, ""));
    let mut notifier = place.start();
    place.guardian(1, "warning", "x", "first <b> & title");
    server.wait_text("| first <b> & title");
    place.guardian(2, "warning", "x", "second");
    place.guardian(3, "warning", "x", "third");
    wait_for("the plain third", || server.requests().iter().find(|r| r.text().contains("| third\n")).cloned());
    notifier.stop();
    let bodies: Vec<_> = server.requests().iter().map(Request::json).collect();
    assert_eq!((&bodies[0]["parse_mode"], &bodies[1]["parse_mode"]), (&"HTML".into(), &serde_json::Value::Null));
    assert_eq!(server.count("second"), 2, "once in each form, then no more");
    assert!(std::fs::read_to_string(&notifier.log).unwrap().contains("refused guardian#2"));
}

#[test]
fn a_dead_channel_is_told_on_the_others() {
    let hook = Server::start(|_| Answer::Say(404, "", r#"{"message": "Unknown Webhook", "code": 10015}"#.into()));
    let server = Server::start(|_| ok());
    let place =
        Place::new(&format!("{}\n[notify.discord]\nwebhook = {{ file = \"hook\" }}\n", telegram(server.port, "")));
    let secret = place.path("hook");
    write_private(&secret, &format!("http://127.0.0.1:{}/api/webhooks/1/CANARYhookCANARYhook", hook.port));
    let toml = place.path("pawl.toml");
    let text =
        std::fs::read_to_string(&toml).unwrap().replace("file = \"hook\"", &format!("file = \"{}\"", secret.display()));
    std::fs::write(toml, text).unwrap();
    let mut notifier = place.start();
    place.guardian(1, "critical", "latched", "LATCHED");
    let told = server.wait_text("LOCKED OUT");
    println!("{told}");
    assert!(told.contains("discord") && told.contains("Unknown Webhook") && !told.contains("CANARY"), "{told}");
    server.wait_text("LATCHED");
    notifier.stop();
    assert!(std::fs::read_to_string(&notifier.log).unwrap().contains("1 alerts wait"), "it waits for better times");
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[test]
fn a_complaint_is_sent_once_and_daily_business_not_at_all() {
    let server = Server::start(|_| ok());
    let place = Place::new(&telegram(server.port, ""));
    let mut notifier = place.start();
    let mut session = Session::create(&place.path("journal/a"));
    for found in 0..50 {
        session.quote("1.08190", "1.08195");
        session.refuse(Refusal::Gated, 0, 0);
        session.refuse(Refusal::StaleMarketData, 3_000_000_000 + found, 2_000_000_000);
    }
    session.link(LinkState::Up, 1);
    session.link(LinkState::Down, 1);
    session.link(LinkState::Up, 2);
    session.quote("1.08190", "1.08195");
    let text = server.wait_text("Connection back: orders");
    println!("{text}");
    println!("{}", server.wait_text("Connection LOST: orders"));
    let stale = server.wait_text("market data is stale (EURUSD)");
    println!("{stale}");
    assert!(stale.contains("3.0s (limit 2.0s)"), "{stale}");
    notifier.stop();
    assert_eq!(
        (server.count("stale"), server.count("gated"), server.count("LOST")),
        (1, 0, 1),
        "{:#?}",
        server.texts()
    );
}

#[test]
fn commands_are_obeyed_from_the_list_only_and_reach_the_guardians_folder() {
    let updates: Arc<Mutex<Vec<serde_json::Value>>> = Arc::default();
    let told: Arc<Mutex<Vec<i64>>> = Arc::default();
    let (serving, offsets) = (Arc::clone(&updates), Arc::clone(&told));
    let server = Server::start(move |request| {
        if !request.path.ends_with("/getUpdates") {
            return ok();
        }
        let offset = request.json()["offset"].as_i64().unwrap();
        offsets.lock().unwrap().push(offset);
        let all = serving.lock().unwrap();
        let fresh: Vec<_> = all.iter().filter(|u| u["update_id"].as_i64().unwrap() >= offset).cloned().collect();
        Answer::Say(200, "", serde_json::json!({"ok": true, "result": fresh}).to_string())
    });
    let place = Place::new(&telegram(server.port, "allowed_users = [7]"));
    let say = |number: i64, user: i64, chat: i64, age: i64, text: &str| {
        let date = (notify_support::now().0 / 1_000_000_000) as i64 - age;
        updates.lock().unwrap().push(serde_json::json!({"update_id": number, "message": {"message_id": number,
            "from": {"id": user, "is_bot": false, "first_name": "Ann"}, "chat": {"id": chat, "type": "group"}, "date": date, "text": text}}));
    };
    // Yesterday's, a stranger's, and one from another chat: none may be obeyed or answered.
    say(10, 7, -100, 86_400, "/pause");
    say(11, 666, -100, 0, "/kill");
    say(12, 7, -200, 0, "/pause");
    let mut notifier = place.start();
    let mut session = Session::create(&place.path("journal/a"));
    session.open(Side::Buy, "1.08195", "0.10");
    session.quote("1.08295", "1.08300");
    server.wait_text("BUY 0.10 EURUSD");
    for (number, text) in [(20, "/status"), (21, "/pnl"), (22, "/positions"), (23, "/resume")] {
        say(number, 7, -100, 0, text);
    }
    let status = server.wait_text("Engine: running");
    println!("{status}\n");
    println!("{}\n", server.wait_text("Closed since"));
    let positions = server.wait_text("→ 1.08295");
    println!("{positions}");
    assert!(positions.contains("LONG 0.10 EURUSD 1.08195 → 1.08295: +10.00 USD"), "{positions}");
    assert!(server.wait_text("Not a command I know").contains("/pause"), "no resume from afar");
    let requests = place.path("guardian/requests");
    assert!(!requests.exists(), "nothing asked for so far");

    say(30, 7, -100, 0, "/kill");
    let asked = server.wait_text("send within 30 seconds");
    let code = asked.rsplit(' ').next().unwrap().to_owned();
    say(31, 7, -100, 0, &format!("/kill {code}"));
    println!("{}", server.wait_text("KILL is asked for."));
    let file =
        wait_for("a request file", || std::fs::read_dir(&requests).ok()?.flatten().next().map(|entry| entry.path()));
    let request: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&request["action"], &request["user"], &request["version"]), (&"kill".into(), &7.into(), &1.into()));
    server.wait_text("/kill asked for by Ann (7)");
    // Nobody takes it: that must be heard.
    let untaken = server.wait_text("/kill NOT TAKEN");
    println!("{untaken}");
    let handled = *told.lock().unwrap().last().unwrap();
    assert_eq!(handled, 32, "updates are confirmed");
    notifier.stop();
    // A restart goes on where it stopped: nothing is obeyed twice.
    let mut notifier = place.start();
    wait_for("a poll of the next run", || (told.lock().unwrap().last() == Some(&32)).then_some(()));
    notifier.stop();
    let log = std::fs::read_to_string(&notifier.log).unwrap();
    for why in [
        "s old (or this machine's clock",
        "user 666 in chat -100 is not on the list",
        "user 7 in chat -200 is not on the list",
    ] {
        assert!(log.contains(why), "{why}: {log}");
    }
    assert_eq!(std::fs::read_dir(&requests).unwrap().count(), 1, "one kill, no pause");
    let answered: Vec<i64> = server.requests().iter().filter_map(|r| r.json()["chat_id"].as_i64()).collect();
    assert!(answered.iter().all(|chat| *chat == -100), "strangers get no answer");
}

#[test]
fn a_token_appears_nowhere_when_everything_fails_and_every_server_echoes_it() {
    let echo = |request: &Request| {
        let said = format!("{} {} {}", request.path, request.headers, request.body);
        let json = serde_json::json!({"ok": false, "error_code": 500, "description": said, "message": said});
        Answer::Say(500, "", json.to_string())
    };
    let server = Server::start(echo);
    let refused = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    for (port, hook) in [
        (server.port, format!("http://127.0.0.1:{}/api/webhooks/9/CANARY-hook-CANARY", server.port)),
        (refused, "https://127.0.0.1:1/api/webhooks/9/CANARY-hook-CANARY".to_owned()),
        (server.port, "https://CANARY-hook CANARY bad address/".to_owned()),
    ] {
        let channels = format!(
            "{}\n[notify.discord]\nwebhook = {{ env = \"PAWL_C_HOOK\" }}\n[notify.webhook]\nurl = {{ env = \"PAWL_C_HOOK\" }}\n\
             authorization = {{ env = \"PAWL_C_AUTH\" }}\nmin_severity = \"info\"\n\
             [notify.twilio]\naccount_sid = \"AC1\"\ntoken = {{ env = \"PAWL_C_AUTH\" }}\nfrom = \"+1\"\nto = [\"+2\", \"+3\"]\n\
             server = \"http://127.0.0.1:{port}\"\n[notify.email]\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"none\"\nuser = \"u\"\n\
             password = {{ env = \"PAWL_C_AUTH\" }}\nfrom = \"a@b.org\"\nto = [\"c@d.org\"]\n",
            telegram(port, "allowed_users = [7]")
        );
        let place = Place::new(&channels);
        let with_secrets = |arguments: &[&str]| {
            let mut command = place.command(arguments);
            command.env("PAWL_C_HOOK", &hook).env("PAWL_C_AUTH", "CANARY+auth/CANARY==").env("RUST_BACKTRACE", "full");
            command
        };
        let tested = with_secrets(&["test"]).output().unwrap();
        assert_eq!(tested.status.code(), Some(1), "{}", String::from_utf8_lossy(&tested.stderr));
        let mut texts = vec![
            String::from_utf8_lossy(&tested.stdout).into_owned(),
            String::from_utf8_lossy(&tested.stderr).into_owned(),
        ];
        assert_eq!(texts[0].matches("NOT DELIVERED").count(), 6, "{}", texts[0]);
        let log = place.path("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut running = with_secrets(&["run"]).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        wait_for("the notifier", || std::fs::read_to_string(&log).unwrap().contains("watching,").then_some(()));
        place.guardian(1, "critical", "latched", "LATCHED");
        wait_for("failures of every channel", || {
            let log = std::fs::read_to_string(&log).unwrap();
            ["telegram:", "discord:", "webhook:", "twilio-1:", "twilio-2:", "email:", "telegram commands:"]
                .iter()
                .all(|name| log.contains(name))
                .then_some(())
        });
        running.kill().unwrap();
        running.wait().unwrap();
        collect(place.folder.path(), &mut texts);
        println!("{}\n{}", texts[0], std::fs::read_to_string(&log).unwrap());
        let half = CANARY_TOKEN.split(':').next_back().unwrap();
        for text in &texts {
            assert!(!text.contains("CANARY") && !text.contains(half), "a secret leaked: {text}");
            for form in ["Q0FOQVJZ", "NBTkFSW", "DQU5BUl"] {
                assert!(!text.contains(form), "a secret leaked in Base64: {text}");
            }
        }
    }
    assert!(server.requests().iter().any(|request| request.path.contains(CANARY_TOKEN)), "the test would see it");
}

/// The text of every file under a folder.
fn collect(folder: &std::path::Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), texts);
        } else {
            texts.push(String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned());
        }
    }
}

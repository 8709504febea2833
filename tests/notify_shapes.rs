//! What goes over the wire, read by servers and parsers that are not ours: Python's HTTP server, form, HTML and
//! mail parsers, and a mail server from PyPI (aiosmtpd) with STARTTLS and a certificate made for the test.

mod notify_support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use notify_support::{CANARY_TOKEN, Place, wait_for};
use serde_json::{Value, json};

/// A Python server as a process: its port, and the lines it printed since.
struct Python {
    child: Child,
    port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter that the check provides, or the system's; `None`, said visibly, where it lacks a module.
fn python(module: &str) -> Option<String> {
    let program = std::env::var("PAWL_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let check = Command::new(&program).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    if check.is_ok_and(|status| status.success()) {
        return Some(program);
    }
    assert!(std::env::var_os("PAWL_TEST_PYTHON").is_none(), "PAWL_TEST_PYTHON is set but has no module {module}");
    eprintln!("SKIPPED: no python3 with the module {module}; set PAWL_TEST_PYTHON");
    None
}

fn serve(program: &str, script: &str, arguments: &[&str]) -> Python {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(script);
    let mut child =
        Command::new(program).arg(path).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let port = first.trim().parse().unwrap_or_else(|_| panic!("{script} should print its port: {first:?}"));
    let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            seen.lock().unwrap().push(serde_json::from_str(&line).unwrap());
        }
    });
    Python { child, port, lines }
}

#[test]
fn every_http_channel_sends_the_shape_its_vendor_documents() {
    let Some(program) = python("http.server") else { return };
    let server = serve(&program, "notify_http.py", &[]);
    let port = server.port;
    let place = Place::new(&format!(
        "{}\n[notify.discord]\nwebhook = {{ env = \"PAWL_S_HOOK\" }}\n\
         [notify.twilio]\naccount_sid = \"AC00\"\nkey_sid = \"SK11\"\ntoken = {{ env = \"PAWL_S_KEY\" }}\nfrom = \"+4420\"\n\
         to = [\"+4930\"]\nserver = \"http://127.0.0.1:{port}\"\n\
         [notify.webhook]\nurl = {{ env = \"PAWL_S_URL\" }}\nauthorization = {{ env = \"PAWL_S_KEY\" }}\n\
         body = '{{\"to\":\"+49\",\"message\":\"{{text}}\",\"key\":\"{{id}}\"}}'\n",
        notify_support::telegram(port, "silent_below = \"info\"")
    ));
    let mut command = place.command(&["test"]);
    command.env("PAWL_S_HOOK", format!("http://127.0.0.1:{port}/api/webhooks/9/tok")).env("PAWL_S_KEY", "key+/=secret");
    command.env("PAWL_S_URL", format!("http://127.0.0.1:{port}/hook/x?y=1"));
    let output = command.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{output:?}");
    let lines =
        wait_for("four requests", || Some(server.lines.lock().unwrap().clone()).filter(|lines| lines.len() == 4));
    let find = |path: &str| lines.iter().find(|line| line["path"].as_str().unwrap().starts_with(path)).unwrap();

    let telegram = find("/bot");
    assert_eq!(telegram["path"], format!("/bot{CANARY_TOKEN}/sendMessage"));
    assert_eq!(
        (&telegram["json"]["chat_id"], &telegram["json"]["disable_notification"]),
        (&json!(-100), &json!(false))
    );
    assert_eq!(telegram["markup"]["good"], true, "{telegram}");
    let text = telegram["markup"]["text"].as_str().unwrap();
    assert!(text.starts_with("🔵 DEMO ···1234 | TEST: alerts reach you\n"), "{text}");
    assert!(text.contains("1 < 2 & 3 > 2, \"quotes\", under_score *star*"), "escaped once, not twice: {text}");

    let discord = find("/api/webhooks");
    assert_eq!(discord["path"], "/api/webhooks/9/tok?wait=true");
    let message = &discord["json"];
    assert_eq!(message["allowed_mentions"], json!({"parse": []}));
    assert_eq!(message["embeds"][0]["title"], "🔵 TEST: alerts reach you");
    assert!(message["embeds"][0]["color"].is_u64() && message["content"].as_str().unwrap().len() < 2000, "{message}");

    let twilio = find("/2010-04-01");
    assert_eq!(
        (&twilio["path"], &twilio["basic"]),
        (&json!("/2010-04-01/Accounts/AC00/Messages.json"), &json!("SK11:key+/=secret"))
    );
    let form = &twilio["form"];
    assert_eq!((&form["To"][0], &form["From"][0]), (&json!("+4930"), &json!("+4420")));
    let body = form["Body"][0].as_str().unwrap();
    assert!(
        body.starts_with("INFO DEMO ..1234 TEST: alerts reach you") && body.is_ascii() && body.len() <= 306,
        "{body}"
    );

    let hook = find("/hook");
    assert_eq!((&hook["path"], &hook["authorization"]), (&json!("/hook/x?y=1"), &json!("key+/=secret")));
    assert_eq!((&hook["json"]["to"], &hook["json"]["key"]), (&json!("+49"), &hook["idempotency"]));
    assert!(hook["json"]["message"].as_str().unwrap().starts_with("INFO DEMO ..1234 TEST"), "{hook}");
}

/// An authority, and a certificate for this machine signed by it; PEM files in `folder`.
fn make_certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issuer = Issuer::new(authority, authority_key);
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), authority_certificate.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

fn mail_place(port: u16, security: &str, with_authority: bool) -> Place {
    let place = Place::new("");
    let authority = if with_authority { "ca_file = \"CA\"\n" } else { "" };
    let channels = format!(
        "[notify.email]\nhost = \"localhost\"\nport = {port}\nsecurity = \"{security}\"\nuser = \"pawl\"\n\
         password = {{ env = \"PAWL_S_MAIL\" }}\nfrom = \"pawl <pawl@example.org>\"\nto = [\"ann@example.org\", \"bob@example.org\"]\n{authority}"
    );
    let toml = place.path("pawl.toml");
    let text = std::fs::read_to_string(&toml).unwrap() + &channels;
    std::fs::write(&toml, text).unwrap();
    place
}

fn use_authority(place: &Place, folder: &Path) {
    let toml = place.path("pawl.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, text.replace("\"CA\"", &format!("\"{}\"", folder.join("ca.pem").display()))).unwrap();
}

fn mail_test(place: &Place, password: &str) -> (Option<i32>, String) {
    let output = place.command(&["test", "email"]).env("PAWL_S_MAIL", password).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    assert!(!text.contains("CANARY"), "{text}");
    (output.status.code(), text)
}

#[test]
fn mail_goes_by_starttls_with_a_password_and_never_without() {
    let Some(program) = python("aiosmtpd") else { return };
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let server = |mode: &str| serve(&program, "notify_smtp.py", &[&path("server.pem"), &path("server.key"), mode]);
    let good = server("good");
    let place = mail_place(good.port, "starttls", true);
    use_authority(&place, folder.path());
    assert_eq!(mail_test(&place, "CANARY mail password").0, Some(0));
    let mails = wait_for("the mail", || Some(good.lines.lock().unwrap().clone()).filter(|lines| !lines.is_empty()));
    let mail = &mails[0];
    assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("pawl")));
    assert_eq!(mail["to"], json!(["ann@example.org", "bob@example.org"]));
    assert_eq!(mail["subject"], "[DEMO ···1234] INFO: TEST: alerts reach you");
    assert!(mail["text"].as_str().unwrap().contains("🔵 DEMO ···1234 | TEST: alerts reach you"), "{mail}");
    assert!(mail["id"].as_str().unwrap().ends_with(".alert@pawl>"), "{mail}");

    let (status, text) = mail_test(&place, "CANARY wrong password");
    assert!(status == Some(1) && text.contains("locked out") && text.contains("535"), "{text}");
    // An authority that nobody vouches for, and a server without STARTTLS: no mail, no password.
    let unknown = mail_place(good.port, "starttls", false);
    assert_eq!(mail_test(&unknown, "CANARY mail password").0, Some(1));
    let plain = server("plain");
    let place = mail_place(plain.port, "starttls", true);
    use_authority(&place, folder.path());
    assert_eq!(mail_test(&place, "CANARY mail password").0, Some(1));
    assert!(plain.lines.lock().unwrap().is_empty(), "nothing falls back to plain text");
    assert_eq!(good.lines.lock().unwrap().len(), 1);
}

#[test]
fn a_busy_mail_server_gets_the_same_mail_again() {
    let Some(program) = python("aiosmtpd") else { return };
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let server = serve(&program, "notify_smtp.py", &[&path("server.pem"), &path("server.key"), "busy"]);
    let place = mail_place(server.port, "starttls", true);
    use_authority(&place, folder.path());
    place.guardian(1, "critical", "latched", "OLD");
    // The variable is inherited by the notifier that `start` makes.
    let log = place.path("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut command = place.command(&["run"]);
    let mut running = command
        .env("PAWL_S_MAIL", "CANARY mail password")
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    wait_for("the notifier", || std::fs::read_to_string(&log).unwrap().contains("watching,").then_some(()));
    place.guardian(2, "critical", "not-flat", "NOT FLAT after 10s");
    let mails = wait_for("the mail", || Some(server.lines.lock().unwrap().clone()).filter(|lines| !lines.is_empty()));
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0]["subject"], "[DEMO ···1234] CRITICAL: NOT FLAT after 10s");
    println!("{}", mails[0]["text"].as_str().unwrap());
    assert!(std::fs::read_to_string(&log).unwrap().contains("451"));
}

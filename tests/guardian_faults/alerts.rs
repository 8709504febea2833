//! `pawl notify run` beside the others, and a receiver that counts what it is sent.

use std::collections::BTreeMap;
use std::process::Command;

use super::lab::{Lab, Process, wait_or};
use super::notify_support::{Request, Server, ok};

/// The notifier and its receiver.
pub(crate) struct Alerts {
    receiver: Server,
    _notifier: Process,
}

impl Alerts {
    /// These tables and the notifier's.
    pub(crate) fn tables(others: &str) -> String {
        format!(
            "{others}[notify]\nenvironment = \"demo\"\ndaily_summary = \"\"\n\
             [notify.webhook]\nurl = {{ env = \"PAWL_TEST_HOOK\" }}\nper_minute = 60\n"
        )
    }

    /// A notifier that watches.
    pub(crate) fn start(lab: &Lab) -> Self {
        let receiver = Server::start(|_| ok());
        let mut command: Command = lab.pawl(&["notify", "run"]);
        command.env("PAWL_TEST_HOOK", format!("http://127.0.0.1:{}/hook", receiver.port));
        let child = command.stdout(lab.log("notify.log")).stderr(lab.log("notify.log")).spawn().unwrap();
        let watching = || lab.read("notify.log").contains("watching,").then_some(());
        wait_or("the notifier to watch", watching, || lab.read("notify.log"));
        Self { receiver, _notifier: Process(child) }
    }

    fn titles(&self) -> BTreeMap<String, usize> {
        let mut titles = BTreeMap::new();
        let title = |request: &Request| request.json()["title"].as_str().unwrap_or_default().to_owned();
        for title in self.receiver.requests().iter().map(title) {
            *titles.entry(title).or_default() += 1;
        }
        titles
    }

    /// What the guardian calls critical was told, each event once.
    pub(crate) fn assert_every_alarm_came_once(&self, lab: &Lab) {
        let mut wanted = BTreeMap::<String, usize>::new();
        for event in lab.events().iter().filter(|event| event["severity"] == "critical") {
            *wanted.entry(event["title"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert!(!wanted.is_empty(), "nothing critical was to be told: {}", lab.said());
        let all_came = || {
            let came = self.titles();
            wanted.keys().all(|title| came.contains_key(title)).then_some(())
        };
        wait_or("every alarm", all_came, || format!("{:#?} of {wanted:#?}", self.titles()));
        let came = self.titles();
        for (title, count) in &wanted {
            assert_eq!(came.get(title), Some(count), "{title}: {came:#?}");
        }
    }
}

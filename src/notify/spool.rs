//! One channel's queue, on disk, so that an alert outlives a restart.
//!
//! Each waiting alert is a file of its own; `delivered.log` names what was handed over. The order of
//! writes is the promise: an alert is in the queue before its source's position moves on, and its id is
//! in the log before its file goes. A crash between the channel's yes and the log can deliver an alert
//! twice (its id tells); no crash can lose one, and no occurrence is queued twice.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::alert::{Alert, Severity};

/// Ids of delivered alerts that are remembered.
const REMEMBERED: usize = 4096;
const LOG: &str = "delivered.log";

/// Gravest first, then oldest first.
type Place = (std::cmp::Reverse<Severity>, u64);

/// A channel's queue.
pub(super) struct Spool {
    directory: PathBuf,
    limit: usize,
    pending: BTreeMap<Place, Alert>,
    waiting_ids: HashSet<String>,
    delivered: VecDeque<String>,
    delivered_ids: HashSet<String>,
    log: Option<File>,
    next: u64,
    /// Alerts that gave way to others since somebody asked.
    dropped: u64,
}

/// What became of an alert that was brought to the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It waits, on disk.
    Queued,
    /// It waits, in memory only: the disk refuses.
    InMemory,
    /// This occurrence was here before.
    Known,
    /// The queue is full of graver ones.
    Dropped,
}

impl Spool {
    /// Opens or makes the queue in a folder, with what an earlier run left in it.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(super) fn open(directory: &Path, limit: usize) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut spool = Self {
            directory: directory.to_owned(),
            limit,
            pending: BTreeMap::new(),
            waiting_ids: HashSet::new(),
            delivered: VecDeque::new(),
            delivered_ids: HashSet::new(),
            log: None,
            next: 1,
            dropped: 0,
        };
        spool.read_log()?;
        spool.read_pending()?;
        Ok(spool)
    }

    /// Keeps the log's tail and writes it anew, so that it never grows without bound.
    fn read_log(&mut self) -> io::Result<()> {
        let path = self.directory.join(LOG);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        for id in text.lines().filter(|line| !line.is_empty()) {
            self.remember(id.to_owned());
        }
        let kept: Vec<String> = self.delivered.iter().map(|id| format!("{id}\n")).collect();
        // A disk that is full keeps the old log; the alerts matter more.
        if write_whole(&path, kept.concat().as_bytes()).is_ok() {
            self.log = File::options().append(true).open(&path).ok();
        }
        Ok(())
    }

    fn read_pending(&mut self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)?.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                // Half written when the process ended; its source will bring it again.
                let _ = std::fs::remove_file(&path);
                continue;
            }
            let Some(number) = name.strip_suffix(".json").and_then(|stem| stem.parse::<u64>().ok()) else { continue };
            self.next = self.next.max(number + 1);
            let alert = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Alert>(&bytes).ok());
            match alert {
                Some(alert) if !self.delivered_ids.contains(&alert.id) && self.waiting_ids.insert(alert.id.clone()) => {
                    self.pending.insert((std::cmp::Reverse(alert.severity), number), alert);
                }
                // Delivered before the crash, or not an alert.
                Some(_) => drop(std::fs::remove_file(&path)),
                None => drop(std::fs::rename(&path, path.with_extension("bad"))),
            }
        }
        Ok(())
    }

    fn remember(&mut self, id: String) {
        if self.delivered_ids.insert(id.clone()) {
            self.delivered.push_back(id);
        }
        while self.delivered.len() > REMEMBERED {
            if let Some(old) = self.delivered.pop_front() {
                self.delivered_ids.remove(&old);
            }
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:012}.json"))
    }

    /// Brings an alert.
    pub(super) fn push(&mut self, alert: &Alert) -> Taken {
        if self.delivered_ids.contains(&alert.id) || self.waiting_ids.contains(&alert.id) {
            return Taken::Known;
        }
        if self.pending.len() >= self.limit && !self.make_room(alert.severity) {
            self.dropped += 1;
            return Taken::Dropped;
        }
        let number = self.next;
        self.next += 1;
        let bytes = serde_json::to_vec(alert).unwrap_or_default();
        let written = write_whole(&self.path(number), &bytes);
        self.waiting_ids.insert(alert.id.clone());
        self.pending.insert((std::cmp::Reverse(alert.severity), number), alert.clone());
        if written.is_ok() { Taken::Queued } else { Taken::InMemory }
    }

    /// Drops the oldest of the least grave, unless all are graver than the newcomer.
    fn make_room(&mut self, newcomer: Severity) -> bool {
        let Some((&(least, _), _)) = self.pending.last_key_value() else { return false };
        if least.0 > newcomer {
            return false;
        }
        let oldest = self.pending.range((least, 0)..).next().map(|(place, _)| *place);
        let Some((place, alert)) = oldest.and_then(|place| self.pending.remove_entry(&place)) else { return false };
        self.waiting_ids.remove(&alert.id);
        // A file that stays behind comes back at the next start: an alert too many, none too few.
        let _ = std::fs::remove_file(self.path(place.1));
        self.dropped += 1;
        true
    }

    /// The next alerts to send together: the first alone, or several notices up to `most`, at most `characters` long.
    pub(super) fn head(&self, most: usize, characters: usize) -> Vec<Alert> {
        let mut batch: Vec<Alert> = Vec::new();
        let mut length = 0;
        for alert in self.pending.values() {
            let size = alert.title.len() + alert.facts.iter().map(|fact| fact.len() + 1).sum::<usize>() + 120;
            let joins = batch.is_empty() || (alert.severity == Severity::Info && length + size <= characters);
            if batch.len() >= most || !joins {
                break;
            }
            let alone = alert.severity > Severity::Info;
            batch.push(alert.clone());
            length += size;
            if alone {
                break;
            }
        }
        batch
    }

    /// Takes alerts out for good: handed over, or refused for ever.
    pub(super) fn done(&mut self, alerts: &[Alert]) {
        let mut lines = String::new();
        for alert in alerts {
            lines.push_str(&alert.id.replace('\n', " "));
            lines.push('\n');
            self.remember(alert.id.clone());
        }
        if let Some(log) = &mut self.log {
            // Without the log a restart may send these again; without this process going on nobody is told anything.
            let _ = log.write_all(lines.as_bytes()).and_then(|()| log.sync_data());
        }
        for alert in alerts {
            self.waiting_ids.remove(&alert.id);
            let place = self.pending.iter().find(|(_, waiting)| waiting.id == alert.id).map(|(place, _)| *place);
            if let Some(place) = place {
                self.pending.remove(&place);
                let _ = std::fs::remove_file(self.path(place.1));
            }
        }
    }

    /// Alerts that wait.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Alerts that gave way since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// Writes a file so that it is there whole or not at all, and stays there: synced, renamed, folder synced. Mode 0600.
///
/// # Errors
/// The system refuses; nothing is left behind under the name.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("tmp");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn alert(id: u32, severity: Severity) -> Alert {
        Alert { id: id.to_string(), severity, title: "t".repeat(50), ..Alert::default() }
    }

    fn ids(alerts: &[Alert]) -> Vec<&str> {
        alerts.iter().map(|alert| alert.id.as_str()).collect()
    }

    #[test]
    fn the_gravest_goes_first_and_alone_and_notices_go_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 100).unwrap();
        for id in 1..=3 {
            spool.push(&alert(id, Severity::Info));
        }
        spool.push(&alert(9, Severity::Critical));
        let head = spool.head(10, 3000);
        assert_eq!(ids(&head), ["9"]);
        spool.done(&head);
        assert_eq!(ids(&spool.head(10, 3000)), ["1", "2", "3"]);
        assert_eq!(ids(&spool.head(2, 3000)), ["1", "2"]);
        assert_eq!(ids(&spool.head(10, 200)), ["1"]);
    }

    #[test]
    fn a_full_queue_drops_the_oldest_of_the_least_grave_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 3).unwrap();
        spool.push(&alert(1, Severity::Critical));
        spool.push(&alert(2, Severity::Info));
        spool.push(&alert(3, Severity::Info));
        assert_eq!(spool.push(&alert(4, Severity::Critical)), Taken::Queued);
        assert_eq!(spool.push(&alert(5, Severity::Info)), Taken::Queued);
        spool.push(&alert(6, Severity::Critical));
        assert_eq!(spool.push(&alert(7, Severity::Info)), Taken::Dropped);
        assert_eq!((spool.len(), spool.take_dropped(), spool.take_dropped()), (3, 4, 0));
        let left: Vec<String> = spool.pending.values().map(|alert| alert.id.clone()).collect();
        assert_eq!(left, ["1", "4", "6"]);
    }

    proptest! {
        // Each step is synced to disk: few cases, long ones.
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Any mix of pushes, deliveries and deaths: nothing accepted is lost, nothing delivered comes back.
        #[test]
        fn nothing_is_lost_or_doubled_over_restarts(steps in proptest::collection::vec((0u8..4, 0u32..12), 1..60)) {
            let folder = tempfile::tempdir().unwrap();
            let mut spool = Spool::open(folder.path(), 1000).unwrap();
            let (mut accepted, mut delivered) = (HashSet::new(), Vec::new());
            for (step, id) in steps {
                match step {
                    0 | 1 => {
                        let fresh = accepted.insert(id.to_string());
                        let severity = [Severity::Info, Severity::Warning, Severity::Critical][id as usize % 3];
                        prop_assert_eq!(spool.push(&alert(id, severity)) == Taken::Queued, fresh);
                    }
                    2 => {
                        let head = spool.head(3, 3000);
                        spool.done(&head);
                        delivered.extend(head.into_iter().map(|alert| alert.id));
                    }
                    // The process dies: only the disk is left.
                    _ => spool = Spool::open(folder.path(), 1000).unwrap(),
                }
            }
            while spool.len() > 0 {
                let head = spool.head(3, 3000);
                spool.done(&head);
                delivered.extend(head.into_iter().map(|alert| alert.id));
            }
            let once: HashSet<String> = delivered.iter().cloned().collect();
            prop_assert_eq!(once.len(), delivered.len(), "delivered twice");
            prop_assert_eq!(once, accepted);
        }
    }

    #[test]
    fn a_death_between_log_and_removal_does_not_deliver_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 10).unwrap();
        spool.push(&alert(1, Severity::Info));
        let file = spool.path(1);
        let kept = std::fs::read(&file).unwrap();
        let head = spool.head(1, 3000);
        spool.done(&head);
        drop(spool);
        std::fs::write(&file, kept).unwrap();
        let mut spool = Spool::open(folder.path(), 10).unwrap();
        assert_eq!((spool.len(), file.exists()), (0, false));
        assert_eq!(spool.push(&alert(1, Severity::Info)), Taken::Known);
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_the_rest_is_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 10).unwrap();
        spool.push(&alert(1, Severity::Info));
        spool.push(&alert(2, Severity::Info));
        std::fs::write(spool.path(1), b"{").unwrap();
        let spool = Spool::open(folder.path(), 10).unwrap();
        assert_eq!(ids(&spool.head(10, 3000)), ["2"]);
        assert!(folder.path().join("000000000001.bad").exists());
    }
}

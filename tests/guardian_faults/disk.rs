//! The state folder's disk is full to its last byte when it matters.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use pawl::core::Qty;

use super::alerts::Alerts;
use super::engine::{ENGINE, Scene};
use super::lab::{CALM, Lab, wait_for};

/// A file system of one mebibyte, gone with the test.
struct TinyDisk<'a>(&'a Path);

impl<'a> TinyDisk<'a> {
    /// `None`, said visibly, where mounting is not permitted.
    fn mount(place: &'a Path) -> Option<Self> {
        fs::create_dir(place).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]).arg(place).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(place));
        }
        eprintln!("SKIPPED: mounting a tmpfs is not permitted here; nothing is said about a full disk");
        None
    }

    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        let mut bytes = vec![1u8; 1 << 20];
        while !bytes.is_empty() {
            if filler.write(&bytes).is_err() {
                bytes.truncate(bytes.len() / 2);
            }
        }
        assert!(fs::write(self.0.join("one more"), [1]).is_err(), "the disk is not full");
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        // Detached at once even if somebody still has a file open on it.
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
        // The lab could not remove a folder that something is mounted in.
        let _ = self.0.parent().map(fs::remove_dir_all);
    }
}

#[test]
fn a_full_disk_does_not_keep_the_guardian_from_latching_and_flattening() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state");
    let Some(disk) = TinyDisk::mount(&place) else { return };
    // A disk of one mebibyte is always nearly full: what is tested is what happens when it is wholly full.
    let guardian = format!("{CALM}[guardian.disk]\naction = \"ACTIVE\"\nlimit = 0\nwarn = 0\n");
    let mut scene = Scene::around(Lab::in_folder(folder, "futures", &Alerts::tables(ENGINE), &guardian));
    disk.fill();
    let percent = scene.lab.losing_jump("BTCUSDT", 0.045);
    scene.lab.jump("BTCUSDT", percent);
    assert_eq!(scene.lab.wait_latch().condition, "daily-loss", "whole, on a full disk");
    scene.lab.wait_held("flat", "BTCUSDT", Qty::is_zero);
    wait_for("the engine to obey", || scene.engine.process.ended());
    // There is room again: what could not be written is written now, in order, and told.
    fs::remove_file(place.join("filler")).unwrap();
    scene.assert_cleaned_up("daily-loss");
    // And a guardian that starts now knows that it is latched.
    scene.guardian.kill();
    scene.guardian = scene.lab.guardian();
    let view = wait_for("its view", || scene.lab.view().filter(|view| view.latch != 0));
    assert!(!view.entries_allowed);
}

#[test]
fn a_guardian_that_is_killed_on_a_full_disk_is_succeeded_while_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state");
    let Some(disk) = TinyDisk::mount(&place) else { return };
    let guardian = format!("{CALM}[guardian.disk]\naction = \"ACTIVE\"\nlimit = 0\nwarn = 0\n");
    let mut scene = Scene::around(Lab::in_folder(folder, "futures", &Alerts::tables(ENGINE), &guardian));
    disk.fill();
    // Nothing that is asked of the venue is answered before the guardian dies.
    scene.lab.admin("faults", &serde_json::json!({"latency_in": "2s"}));
    scene.engine.process.kill();
    scene.lab.wait_latch();
    scene.guardian.kill();
    scene.lab.admin("faults", &serde_json::json!({}));
    scene.guardian = scene.lab.guardian();
    scene.lab.wait_held("flat", "BTCUSDT", Qty::is_zero);
    fs::remove_file(place.join("filler")).unwrap();
    scene.assert_cleaned_up("engine-exit");
}

//! Whatever is done to the shared memory of a living engine, it counts as dead: killed, and cleaned up after.

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use super::engine::Scene;
use super::lab::{CALM, wait_for};

const PAGE_BYTES: usize = 4992;

fn harmed(harm: impl Fn(&Path)) {
    let mut scene = Scene::open(CALM);
    let page = scene.lab.pages().join("engine.page");
    assert_eq!(fs::metadata(&page).unwrap().len(), PAGE_BYTES as u64);
    harm(&page);
    scene.lab.wait_event("flat");
    scene.lab.assert_flat();
    let ended = wait_for("the engine's end", || scene.engine.process.ended());
    // An engine whose page is cut may die of it before the guardian looks: that is an engine that ended.
    let condition = scene.lab.latched().condition;
    match ended.signal() {
        Some(libc::SIGKILL) => assert_eq!(condition, "page"),
        Some(libc::SIGBUS) => assert!(["page", "engine-exit"].contains(&condition.as_str()), "{condition}"),
        other => panic!("ended by {other:?}, {ended:?}"),
    }
    scene.assert_cleaned_up(&condition);
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, 0).unwrap();
}

#[test]
fn a_page_that_is_deleted_is_a_dead_engine() {
    harmed(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_page_that_is_cut_is_a_dead_engine() {
    harmed(|path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap());
}

#[test]
fn a_page_that_is_zeroed_is_a_dead_engine() {
    harmed(|path| overwrite(path, &[0; PAGE_BYTES]));
}

#[test]
fn a_page_of_noise_is_a_dead_engine() {
    let noise: Vec<u8> = (0..PAGE_BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    harmed(|path| overwrite(path, &noise));
}

//! Shared market data of the tests. It is not part of the repository.

use std::path::PathBuf;

/// The folder with the shared data, or `None`, said visibly, where it is absent.
pub(crate) fn shared_data() -> Option<PathBuf> {
    let root = std::env::var_os("PAWL_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let data = root.join("data");
    if data.is_dir() {
        return Some(data);
    }
    eprintln!("SKIPPED: no market data in {}; set PAWL_SHARED to the folder that holds data/", data.display());
    None
}

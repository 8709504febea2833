//! A latch keeps the engine from starting, whatever has become of the file.

use std::fs;

use super::engine::ENGINE;
use super::lab::Lab;

#[test]
fn an_engine_does_not_start_on_a_latch_that_nobody_can_read() {
    let lab = Lab::on("futures", ENGINE, "");
    fs::create_dir_all(lab.state()).unwrap();
    let latch = lab.state().join("LATCH");
    let harms: [(&str, &dyn Fn()); 3] = [
        ("empty", &|| fs::write(&latch, "").unwrap()),
        ("noise", &|| fs::write(&latch, [0xff; 300]).unwrap()),
        ("a folder", &|| {
            fs::remove_file(&latch).unwrap();
            fs::create_dir(&latch).unwrap();
        }),
    ];
    for (name, harm) in harms {
        harm();
        let refused = lab.pawl(&["run", "--no-gate", "--seconds", "1"]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("latched"), "{name}: {said}");
        assert!(!lab.journal().exists(), "{name}: a session was begun");
    }
    assert!(lab.orders().is_empty());
}

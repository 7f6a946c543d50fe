//! Plans that cannot be built: one error with the remedy, and what was there stays as it was.

use std::fs;
use std::time::{Duration, Instant};

use super::rig::{OFFLINE, Rig, interrupt, wait_for};

#[test]
fn a_library_that_is_missing_is_named_with_where_it_was_looked_for() {
    let rig = Rig::new();
    fs::remove_file(rig.libraries.join("libgptj_tensorrt.so")).unwrap();
    let tried = format!(
        "{}/libgptj_tensorrt.so: no such file",
        rig.libraries.display()
    );
    rig.generate(&[]).assert_error(
        1,
        &[
            "engine `tensorrt` needs libgptj_tensorrt.so, which was not found",
            &tried,
        ],
    );
}

#[test]
fn a_library_that_cannot_be_opened_is_named() {
    let rig = Rig::new();
    fs::write(rig.libraries.join("libgptj_tensorrt.so"), "no library").unwrap();
    rig.generate(&[]).assert_error(
        1,
        &[
            "cannot open",
            "lib/libgptj_tensorrt.so",
            "LD_LIBRARY_PATH",
            "rebuild the engine on this machine",
        ],
    );
}

#[test]
fn what_the_library_cannot_do_here_is_told() {
    let mut rig = Rig::new();
    rig.set("FAKE_PLANS_FAULT", "facts");
    rig.generate(&[]).assert_error(
        1,
        &[
            "error: the fake library sees no GPU 0\n",
            "while the tensorrt engine was asked what its plans depend on",
        ],
    );
}

/// A build that fails leaves the plan that was there.
#[track_caller]
fn fails(fault: &'static str, code: i32, said: &[&str]) {
    let mut rig = Rig::new();
    rig.generated(&[]);
    let before = (rig.text(OFFLINE), rig.manifest(OFFLINE));
    rig.set("FAKE_PLANS_FAULT", fault);
    let ran = rig.generate(&["--max_tokens_per_step=256"]);
    ran.assert_error(code, said);
    assert_eq!(ran.stdout, "");
    assert_eq!((rig.text(OFFLINE), rig.manifest(OFFLINE)), before);
}

#[test]
fn a_full_disk_is_told() {
    fails(
        "disk",
        1,
        &[
            "No space left on device",
            "while the plan `engines/box/",
            "hint: check its permissions and the free space, or choose another folder with --engine_dir",
        ],
    );
}

#[test]
fn too_little_memory_is_told() {
    fails(
        "memory",
        1,
        &["the build needs 90 GB", "--max_tokens_per_step"],
    );
}

#[test]
fn a_library_that_builds_nothing_is_told() {
    fails("nothing", 2, &["says that it wrote a plan of 0 bytes"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_the_build() {
    let rig = Rig::new();
    fs::write(rig.path("taken"), "a file").unwrap();
    let ran = rig.generate(&["--engine_dir=taken/engines"]);
    ran.assert_error(
        1,
        &[
            "cannot write into the folder of engines `taken/engines/box`",
            "choose another folder with --engine_dir",
        ],
    );
    assert!(!ran.stderr.contains("building it"), "{}", ran.stderr);
}

#[test]
fn gpus_of_two_kinds_are_told() {
    let mut rig = Rig::new();
    rig.set("FAKE_PLANS_GPU", "One GPU,One GPU,Another GPU");
    rig.generated(&["--devices=0,1"]);
    rig.generate(&["--devices=0,2"]).assert_error(
        1,
        &[
            "GPU 0 and GPU 2 cannot run the same plan",
            "GPU 0 is One GPU",
            "GPU 2 is Another GPU",
            "hint: name GPUs of one kind with --devices",
        ],
    );
}

#[test]
fn ctrl_c_leaves_what_was_there() {
    let mut rig = Rig::new();
    rig.generated(&[]);
    let before = (rig.text(OFFLINE), rig.manifest(OFFLINE));
    rig.set("FAKE_PLANS_SECONDS", "60");
    fs::remove_file(rig.path("engines/box/.lock")).unwrap();
    let args = [
        "generate-engines",
        "--scenarios=offline",
        "--force_build_engines",
    ];
    let child = rig.command(&args).spawn().unwrap();
    wait_for("the build", || rig.path("engines/box/.lock").exists());
    let start = Instant::now();
    interrupt(child).assert_error(130, &["engines were not generated to the end"]);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!((rig.text(OFFLINE), rig.manifest(OFFLINE)), before);
    rig.set("FAKE_PLANS_SECONDS", "0");
    let said = rig.generated(&[]);
    assert!(said.contains("up to date"), "{said}");
}

#[test]
fn whether_an_engine_can_run_here_is_found_out_by_starting_it() {
    let mut rig = Rig::new();
    let folder = rig.libraries.display().to_string();
    let probe = |rig: &Rig, engine: &str| rig.probe(&["probe-engine", engine, &folder]);
    assert_eq!(probe(&rig, "tensorrt"), "");
    assert_eq!(probe(&rig, "fake"), "");
    assert!(probe(&rig, "cuda2").contains("libgptj_cuda2.so, which was not found"));
    rig.set("FAKE_PLANS_FAULT", "facts");
    assert_eq!(probe(&rig, "tensorrt"), "the fake library sees no GPU 0");
}

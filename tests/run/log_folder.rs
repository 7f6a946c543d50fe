//! Log folders that cannot be used.

use std::fs;
use std::process::Command;

use super::support::{LOGS, Ran, World, fake};

#[test]
fn a_folder_with_results_is_left_alone() {
    let world = World::new();
    assert_eq!(world.run_fake(&["--scenarios=offline"]).code, Some(0));
    let before = fs::read(world.test_dir("Offline").join("result.json")).unwrap();
    let ran = world.run_fake(&["--scenarios=offline"]);
    ran.assert_error(
        1,
        &[
            "`logs/box/gptj-99/Offline` holds the results of an earlier run",
            "--log_dir",
        ],
    );
    assert_eq!(
        fs::read(world.test_dir("Offline").join("result.json")).unwrap(),
        before
    );
}

#[test]
fn two_runs_at_once_do_not_share_a_folder() {
    let world = World::new();
    let args = fake(&[
        "--scenarios=offline",
        "--fake_step_us=20000",
        "--offline_expected_qps=500",
    ]);
    let mut first = world.command(&args).spawn().unwrap();
    while !world.test_dir("Offline").join(".lock").exists() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let ran = world.run_fake(&["--scenarios=offline"]);
    ran.assert_error(
        1,
        &[
            "another run is writing into `logs/box/gptj-99/Offline`",
            "--log_dir",
        ],
    );
    assert!(first.wait().unwrap().success());
    assert_eq!(world.result("Offline")["status"], "completed");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let world = World::new();
    fs::write(world.path(LOGS), "a file in the way").unwrap();
    let ran = world.run_fake(&["--scenarios=offline"]);
    ran.assert_error(
        1,
        &[
            "cannot write into the log folder `logs/box/gptj-99/Offline`",
            "--log_dir",
        ],
    );
}

/// The run in a shell that lets no file grow beyond so many blocks of 1 KiB: what a full disk is to LoadGen, which does
/// not notice that its logs are cut off.
fn with_small_files(world: &World, blocks: u32, args: &[&str]) -> Ran {
    let program = world.command(args);
    let mut command = Command::new("bash");
    command
        .args([
            "-c",
            &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""),
            "bash",
        ])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(world.path(""));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap().into()
}

#[test]
fn a_disk_that_fills_up_during_the_run_is_told() {
    let world = World::new();
    // Answers to a thousand samples take half a megabyte; 64 KiB hold everything else.
    let ran = with_small_files(
        &world,
        64,
        &fake(&["--scenarios=offline", "--test_mode=AccuracyOnly"]),
    );
    assert_ne!(ran.code, Some(0), "{}", ran.stdout);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("mlperf_log_"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    world.assert_no_result("Offline", "failed");
}

#[test]
fn a_disk_on_which_nothing_fits_is_told_before_the_run() {
    let world = World::new();
    let ran = with_small_files(&world, 1, &fake(&["--scenarios=offline"]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("cannot write into the log folder"),
        "{}",
        ran.stderr
    );
    assert!(
        !world
            .test_dir("Offline")
            .join("mlperf_log_summary.txt")
            .exists()
    );
}

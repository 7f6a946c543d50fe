//! Scratch spaces that are missing or cannot be written, and files that root writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::support::{Ran, World, fake};

/// User and group that own nothing.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_scratch_space_that_is_missing_is_no_reason_to_run_something_else() {
    let world = World::new();
    fs::remove_dir(world.path("scratch")).unwrap();
    let said = format!(
        "error: there is no scratch space `{0}`\n  caused by: No such file or directory (os error 2)\n  \
         caused by: MLPERF_SCRATCH_PATH names it\n\nhint: `run_harness link-dirs` makes it; or correct",
        world.path("scratch").display()
    );
    world.run_fake(&[]).assert_error(1, &[&said]);
    // Whoever names what is to be run needs nothing of it.
    let ran = world.run_fake(&["--workload=gptj-mini", "--scenarios=offline"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_scratch_space_that_is_a_file_is_told_as_such() {
    let world = World::new();
    fs::remove_dir(world.path("scratch")).unwrap();
    fs::write(world.path("scratch"), "").unwrap();
    world.run_fake(&[]).assert_error(
        1,
        &[
            "error: cannot read the scratch space `",
            "Not a directory",
            "to a folder that you may read",
        ],
    );
}

/// The program as somebody who may write into the world's folder and not into its scratch space; `None` where nobody
/// else may start the program.
fn with_read_only_scratch(world: &World, command: &str, args: &[&str]) -> Option<Ran> {
    let folder = world.path("");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path("scratch"), fs::Permissions::from_mode(0o555)).unwrap();
    // Beside the repository, so that build/ is in this folder.
    let program = world.path("run_harness");
    fs::copy(assert_cmd::cargo::cargo_bin("run_harness"), &program).unwrap();
    if is_root() {
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let start = |args: &[&str]| {
        let mut command = std::process::Command::new(&program);
        for (name, value) in world.command(&[]).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if is_root() {
            // Permissions do not bind root.
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(&folder).args(args).output()
    };
    if !start(&["--version"]).is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: only this user may read {}",
            env!("CARGO_MANIFEST_DIR")
        );
        return None;
    }
    let mut all = vec![command];
    all.extend(args);
    all.retain(|arg| !arg.is_empty());
    Some(start(&all).unwrap().into())
}

#[test]
fn a_scratch_space_that_is_read_only_cannot_be_linked() {
    let world = World::new();
    if let Some(ran) = with_read_only_scratch(&world, "link-dirs", &[]) {
        let said = format!(
            "error: cannot create the folder `{}`\n  caused by: Permission denied",
            world.path("scratch/data").display()
        );
        ran.assert_error(
            1,
            &[
                &said,
                "set MLPERF_SCRATCH_PATH to a folder that you may write to",
            ],
        );
    }
}

#[test]
fn a_scratch_space_that_is_read_only_keeps_no_prompts() {
    let world = World::new();
    let args = ["--system_name=box", "--log_dir=logs"];
    if let Some(ran) = with_read_only_scratch(&world, "preprocess-data", &args) {
        ran.assert_error(
            1,
            &["cannot create the folder", "Permission denied", "hint: "],
        );
    }
    let mut all = fake(&["--scenarios=offline"]);
    all.extend(args);
    if let Some(ran) = with_read_only_scratch(&world, "", &all) {
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(
            ran.stderr
                .contains("note: the tokenised prompts cannot be kept"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("running as root"), "{}", ran.stderr);
    }
}

#[test]
fn files_that_root_writes_are_mentioned_once() {
    let world = World::new();
    let said = |ran: &Ran| ran.stderr.matches("note: running as root").count();
    let expected = usize::from(is_root());
    let ran = world.run_fake(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(said(&ran), expected, "{}", ran.stderr);
    let quiet = World::new().run_fake(&["--quiet"]);
    assert_eq!(said(&quiet), 0, "{}", quiet.stderr);
}

#[test]
fn a_folder_of_somebody_elses_gets_the_remedy() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let logs = world.path("logs");
    fs::create_dir(&logs).unwrap();
    chown(&logs, Some(1234), Some(1235)).unwrap();
    let ran = world.run_fake(&["--scenarios=offline"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("`chown -R 1234:1235 logs` gives them"),
        "{}",
        ran.stderr
    );
    assert!(Path::new(&logs).join("box").exists());
}

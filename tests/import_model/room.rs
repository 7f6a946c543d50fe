//! Disks that are full, or become full.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use mlperf_gptj::model::import::{Event, Surroundings, import};

use super::support::{assert_expected, download, request, said, watched};

#[test]
fn the_arithmetic_is_in_the_error() {
    let dir = download();
    let free_bytes = |_: &Path| -> io::Result<u64> { Ok(10_000) };
    let around = Surroundings {
        commit_every: 4096,
        free_bytes: &free_bytes,
        watch: &|_| {},
    };
    let failure = import(&request(dir.path()), &around).unwrap_err();
    let text = failure
        .render()
        .replace(&dir.path().display().to_string(), "DIR");
    let weights: u64 = {
        let to = download();
        let imported = super::support::run(&request(to.path())).unwrap();
        imported.files.iter().map(|file| file.bytes).sum()
    };
    let carried: u64 = [
        "generation_config.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "config.json",
    ]
    .iter()
    .map(|name| {
        fs::metadata(dir.path().join("from").join(name))
            .unwrap()
            .len()
    })
    .sum();
    let needed = weights + carried;
    let gigabytes = |bytes: u64| format!("{:.2} GB ({bytes} bytes)", bytes as f64 / 1e9);
    assert_eq!(
        text,
        format!(
            "error: not enough space in `DIR/to`: {} are missing\n  caused by: {} of weights in 3 files \
             and {} of other files make {}; {} are free\n\nhint: free space on that disk, or give a \
             folder on another one with --to\n",
            gigabytes(needed - 10_000),
            gigabytes(weights),
            gigabytes(carried),
            gigabytes(needed),
            gigabytes(10_000)
        )
    );
}

#[test]
fn what_an_earlier_import_has_taken_is_not_needed_again() {
    let dir = download();
    // Stopped in the middle of the first file, which has nothing behind its last commit yet.
    let stop = |event: Event| {
        if let Event::Written(5000..) = event {
            panic!("stopped");
        }
    };
    let stopped = catch_unwind(AssertUnwindSafe(|| watched(&request(dir.path()), &stop)));
    assert!(stopped.is_err());
    let partial = dir
        .path()
        .join("to/.import/model-00001-of-00003.safetensors");
    let taken = fs::metadata(&partial).unwrap().len();
    assert!(taken > 5000);
    let around = |free: u64| {
        let free_bytes = move |_: &Path| -> io::Result<u64> { Ok(free) };
        let around = Surroundings {
            commit_every: 4096,
            free_bytes: &free_bytes,
            watch: &|_| {},
        };
        import(&request(dir.path()), &around)
    };
    let failure = around(0).unwrap_err();
    let said = &failure.causes[0];
    let held = format!(" less 0.00 GB ({taken} bytes) that an earlier import has taken make ");
    assert!(said.contains(&held), "{said}");
    let (_, missing) = failure.message.rsplit_once('(').unwrap();
    let missing: u64 = missing.split(' ').next().unwrap().parse().unwrap();
    assert!(around(missing - 1).is_err());
    around(missing).unwrap();
    assert_expected(&dir.path().join("to"));
}

#[test]
fn a_disk_that_becomes_full() {
    let dir = download();
    // A limit on the length of files stops writing as a full disk does, in the middle; here in the first shard.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    let mut command = Command::new("bash");
    command
        .args(["-c", script, "bash"])
        .arg(assert_cmd::cargo::cargo_bin("run_harness"))
        .arg("import-model")
        .arg(format!("--from={}", dir.path().join("from").display()))
        .arg(format!("--to={}", dir.path().join("to").display()));
    let output = command.output().unwrap();
    let text = said(&output.stderr);
    let text = text.replace(&dir.path().display().to_string(), "DIR");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(
        text,
        "error: cannot write `DIR/to/.import/model-00001-of-00003.safetensors`\n  caused by: File too \
         large (os error 27)\n\nhint: check the disk and the permissions, then run the same command \
         again: it goes on where it stopped\n"
    );
    assert!(!dir.path().join("to/config.json").exists());
    super::support::run(&request(dir.path())).unwrap();
    assert_expected(&dir.path().join("to"));
}

//! `run_harness download-help`: what is said of what is there, and what to run next.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::json;

use super::support::{download, request, run};

/// The help with a scratch space, its path as `SCRATCH`.
fn help(scratch: &Path) -> String {
    let mut command = Command::cargo_bin("run_harness").unwrap();
    let output = command
        .current_dir(scratch.parent().unwrap())
        .env("MLPERF_SCRATCH_PATH", scratch)
        .arg("download-help")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let program = assert_cmd::cargo::cargo_bin("run_harness");
    String::from_utf8(output.stdout)
        .unwrap()
        .replace(&program.display().to_string(), "run_harness")
        .replace(&scratch.display().to_string(), "SCRATCH")
}

/// The lines of a fact, of all sections.
fn facts(help: &str, name: &str) -> Vec<String> {
    let lines = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(name));
    lines.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn nothing_is_there_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = dir.path().join("scratch");
    let text = help(&scratch);
    assert!(
        text.starts_with(
            "Scratch space: SCRATCH (from MLPERF_SCRATCH_PATH); it is not there yet\n"
        ),
        "{text}"
    );
    assert_eq!(facts(&text, "here "), ["no", "no", "no"]);
    let next = facts(&text, "next ");
    assert!(next[0].ends_with(
        "-d SCRATCH/models/GPTJ-6B/download \
         https://inference.mlcommons-storage.org/metadata/gpt-j-model-checkpoint.uri"
    ));
    assert!(
        text.contains("run_harness import-model --from=SCRATCH/models/GPTJ-6B/download\n"),
        "{text}"
    );
    assert!(
        text.contains("DATASET_CNNDM_PATH=SCRATCH/data/cnn-daily-mail python3 "),
        "{text}"
    );
    assert!(
        text.contains("--output-dir SCRATCH/data/cnn-daily-mail\n"),
        "{text}"
    );
    assert!(!scratch.exists());
}

#[test]
fn each_step_leads_to_the_next() {
    let dir = download();
    let scratch = dir.path().join("scratch");
    let folder = scratch.join("models/GPTJ-6B/checkpoint-final");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let state = || facts(&help(&scratch), "here ").swap_remove(0);
    let next = || facts(&help(&scratch), "next ").swap_remove(0);

    fs::rename(dir.path().join("from"), &folder).unwrap();
    assert_eq!(
        state(),
        "downloaded (3 PyTorch files, 0.00 GB), not imported yet"
    );
    assert_eq!(next(), "run_harness import-model");

    let missing = folder.join("pytorch_model-00002-of-00003.bin");
    fs::rename(&missing, dir.path().join("shard")).unwrap();
    assert!(state().starts_with("not usable: `"), "{}", state());
    fs::rename(dir.path().join("shard"), &missing).unwrap();

    let in_place = mlperf_gptj::model::import::Request {
        from: folder.clone(),
        to: folder.clone(),
        ..request(dir.path())
    };
    run(&in_place).unwrap();
    assert_eq!(
        state(),
        "yes: 25 tensors, 0.00 GB of safetensors, vocabulary 614"
    );
    assert_eq!(next(), "run_harness --benchmarks=gptj");
}

#[test]
fn data_sets_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("scratch/data/cnn-daily-mail");
    fs::create_dir_all(&data).unwrap();
    let sample = json!({"instruction": "i", "input": "a", "output": "s"});
    let write = |name: &str, count: usize| {
        let samples = vec![sample.clone(); count];
        fs::write(data.join(name), json!(samples).to_string()).unwrap();
    };
    write("cnn_eval.json", 5);
    write("cnn_dailymail_calibration.json", 1000);
    let text = help(&dir.path().join("scratch"));
    let here = facts(&text, "here ");
    assert_eq!(here[1], "not usable: it has 5 samples, 13368 are expected");
    assert!(
        here[2].starts_with("yes: 1000 samples, sha256:"),
        "{here:?}"
    );
    write("cnn_eval.json", 13368);
    let text = help(&dir.path().join("scratch"));
    assert!(
        facts(&text, "here ")[1].starts_with("yes: 13368 samples, sha256:"),
        "{text}"
    );
    assert!(
        facts(&text, "next ").contains(&"run_harness preprocess-data".to_owned()),
        "{text}"
    );
}

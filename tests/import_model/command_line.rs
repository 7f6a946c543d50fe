//! `run_harness import-model` as somebody types it.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::{Value, json};

use super::support::{assert_expected, download, said};

fn program(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("run_harness").unwrap();
    let command = command
        .current_dir(dir)
        .env("MLPERF_SCRATCH_PATH", dir.join("scratch"))
        .args(arguments);
    command.output().unwrap()
}

fn texts(output: &Output, dir: &Path) -> (String, String) {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    [stdout, said(&output.stderr)]
        .map(|text| text.replace(&dir.display().to_string(), "DIR"))
        .into()
}

#[test]
fn digests_go_to_stdout_in_the_form_of_sha256sum() {
    let dir = download();
    let output = program(dir.path(), &["import-model", "--from=from", "--to=to"]);
    let (stdout, stderr) = texts(&output, dir.path());
    assert!(output.status.success(), "{stderr}");
    assert_expected(&dir.path().join("to"));
    fs::write(dir.path().join("sums"), &stdout).unwrap();
    let mut check = Command::new("sha256sum");
    check
        .current_dir(dir.path())
        .args(["--check", "--strict", "sums"]);
    check.assert().success();
    assert_eq!(stdout.lines().count(), 3);
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(
        lines[0].starts_with("imported 25 tensors into `to`: 0.00 GB written in "),
        "{stderr}"
    );
    assert_eq!(
        lines[1],
        "left out what the model does not have: transformer.h.0.attn.bias and 3 more tensors"
    );
    assert!(
        lines[2].starts_with("results will name it sha256:"),
        "{stderr}"
    );
    assert_eq!(lines[3..], ["runs use it with --model_path=to"]);

    let again = program(
        dir.path(),
        &["import_model", "--from", "from", "--to", "to"],
    );
    let (sums, stderr) = texts(&again, dir.path());
    assert!(
        stderr.starts_with("`to` has all 25 tensors already: nothing to import\n"),
        "{stderr}"
    );
    assert_eq!(sums, stdout);
}

#[test]
fn programs_get_the_digests_as_json() {
    let dir = download();
    let args = ["import-model", "--from=from", "--to=to", "--json"];
    let document = |args: &[&str]| -> Value {
        let output = program(dir.path(), args);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let first = document(&args);
    assert_eq!(
        (&first["folder"], &first["tensors"], &first["was_there"]),
        (&json!("to"), &json!(25), &json!(false))
    );
    assert_eq!(first["left_out"].as_array().unwrap().len(), 4);
    let files = first["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    let lengths: u64 = files.iter().filter_map(|file| file["bytes"].as_u64()).sum();
    assert_eq!(first["bytes_written"], lengths);
    let again = document(&args);
    assert_eq!(again["was_there"], true);
    assert_eq!(again["files"], first["files"]);
    assert_eq!(again["fingerprint"], first["fingerprint"]);
}

/// What is said when nothing was done.
fn refusal(dir: &Path, arguments: &[&str]) -> String {
    let output = program(dir, arguments);
    let (stdout, stderr) = texts(&output, dir);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stdout, "");
    assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
    stderr
}

#[test]
fn another_model_does_not_take_the_place_of_the_6b_one() {
    let dir = download();
    fs::create_dir(dir.path().join("scratch")).unwrap();
    let text = refusal(dir.path(), &["import-model", "--from=from"]);
    assert_eq!(
        text,
        "error: the model in `from` is not GPT-J 6B\n  caused by: config.json has n_layer 2, n_embd 8, \
         n_head 2 and vocab_size 614; `DIR/scratch/models/GPTJ-6B/checkpoint-final` is where runs look for \
         GPT-J 6B\n\nhint: give a folder for this model with --to\n"
    );
}

#[test]
fn without_a_download() {
    let dir = download();
    let text = refusal(dir.path(), &["import-model"]);
    assert!(
        text.starts_with("error: there is no scratch space `DIR/scratch`\n"),
        "{text}"
    );
    fs::create_dir(dir.path().join("scratch")).unwrap();
    let text = refusal(dir.path(), &["import-model"]);
    assert_eq!(
        text,
        "error: no folder at `DIR/scratch/models/GPTJ-6B/checkpoint-final`\n\nhint: --from takes the \
         folder of a downloaded checkpoint; `run_harness download-help` says where to get it\n"
    );
}

#[test]
fn a_tokenizer_that_is_missing_is_told_before_the_weights_are_read() {
    let dir = download();
    fs::remove_file(dir.path().join("from/vocab.json")).unwrap();
    let text = refusal(dir.path(), &["import-model", "--from=from", "--to=to"]);
    assert!(
        text.starts_with("error: no tokenizer in `from`: "),
        "{text}"
    );
    assert!(!dir.path().join("to").exists());
}

#[test]
fn a_folder_that_cannot_be_written() {
    let dir = download();
    fs::write(dir.path().join("file"), "").unwrap();
    let text = refusal(dir.path(), &["import-model", "--from=from", "--to=file/to"]);
    assert_eq!(
        text,
        "error: cannot create the folder `file/to/.import`\n  caused by: Not a directory (os error \
         20)\n\nhint: give a folder that you may write to with --to, or set MLPERF_SCRATCH_PATH to one\n"
    );
}

#[test]
fn flags_of_runs_mean_nothing_here() {
    let dir = download();
    let text = refusal(
        dir.path(),
        &["--scenarios=offline", "import-model", "--from=from"],
    );
    assert!(
        text.contains("`--scenarios` means nothing to this command"),
        "{text}"
    );
    let text = refusal(dir.path(), &["import-model", "--form=from"]);
    assert!(
        text.contains("unknown option `--form`\n\nhint: did you mean `--from`?"),
        "{text}"
    );
}

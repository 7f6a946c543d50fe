//! Bad models and data sets as somebody meets them: on the command line, with an exit code.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::support::{gpt2_folder, repository, tiny_config, write};

/// A model's folder with configuration and tokenizer, and a data set of one sample.
fn model() -> TempDir {
    let dir = tempdir().unwrap();
    for name in ["vocab.json", "merges.txt", "added_tokens.json"] {
        fs::copy(gpt2_folder().join(name), dir.path().join(name)).unwrap();
    }
    put_config(dir.path(), &[]);
    let sample = json!([{"instruction": "Summarize:", "input": "Rain fell.", "output": "Rain."}]);
    write(dir.path(), "cnn_eval.json", sample.to_string());
    dir
}

fn put_config(folder: &Path, changes: &[(&str, Value)]) {
    let mut config = tiny_config();
    config["vocab_size"] = json!(613);
    config["n_positions"] = json!(2048);
    config["eos_token_id"] = json!(601);
    for (key, value) in changes {
        config[*key] = value.clone();
    }
    write(folder, "config.json", config.to_string());
}

fn preprocess(model: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("run_harness").unwrap();
    command
        .current_dir(repository())
        .env("MLPERF_SCRATCH_PATH", model.join("scratch"))
        .arg("preprocess-data")
        .arg("--model_path")
        .arg(model)
        .args(arguments);
    command
}

/// What is said on stderr when the user made a mistake, with the model's folder as `DIR`. Nothing may be left behind.
fn refusal(model: &Path, arguments: &[&str]) -> String {
    let output = preprocess(model, arguments).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(output.stdout, b"", "{text}");
    assert!(!npy_folder(model).exists(), "{text}");
    assert_eq!(text.matches("error:").count(), 1, "{text}");
    assert!(text.contains("\nhint: "), "{text}");
    text.replace(&model.display().to_string(), "DIR")
}

/// The only folder below the preprocessed data, or that folder itself as long as there is none.
fn npy_folder(model: &Path) -> PathBuf {
    let parent = model.join("scratch/preprocessed_data");
    match fs::read_dir(&parent).ok().and_then(|mut list| list.next()) {
        Some(entry) => entry.unwrap().path(),
        None => parent.join("none"),
    }
}

#[test]
fn a_model_of_ones_own_is_tokenised() {
    let model = model();
    let output = preprocess(model.path(), &[]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let folder = npy_folder(model.path());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{}\n", folder.display())
    );
    assert!(folder.join("manifest.json").is_file());
    // Counts and lengths of the one prompt, and how it came about.
    let root = "note: running as root: ";
    let lines: Vec<&str> = errors
        .lines()
        .filter(|line| !line.starts_with(root))
        .collect();
    let tokens = lines[0]
        .strip_prefix("custom: 1 prompts, ")
        .and_then(|rest| rest.split_once(' '))
        .map(|(tokens, _)| tokens)
        .unwrap();
    assert!(
        lines[0].contains(&format!(
            " {tokens} tokens, the longest of {tokens}, 0 cut off; tokenised: there is no `"
        )),
        "{errors}"
    );
    assert!(
        lines[1].starts_with(&format!(
            "tokens in a prompt: {tokens} to {tokens}, mean {tokens}.0,"
        )),
        "{errors}"
    );
    assert!(
        lines[2].ends_with(&format!("      1 {}", "#".repeat(40))),
        "{errors}"
    );
    let again = preprocess(model.path(), &[]).output().unwrap();
    let errors = String::from_utf8(again.stderr).unwrap();
    assert!(errors.contains("0 cut off; there already\n"), "{errors}");
    let quiet = preprocess(model.path(), &["--quiet"]).output().unwrap();
    assert_eq!(String::from_utf8(quiet.stderr).unwrap(), "");
}

#[test]
fn a_configuration_without_a_key() {
    let model = model();
    let mut config = tiny_config();
    config.as_object_mut().unwrap().remove("rotary_dim");
    write(model.path(), "config.json", config.to_string());
    let text = refusal(model.path(), &[]);
    assert!(
        text.contains("error: `DIR/config.json` has no key `rotary_dim`\n"),
        "{text}"
    );
}

#[test]
fn a_vocabulary_that_does_not_match() {
    let model = model();
    put_config(model.path(), &[("vocab_size", json!(612))]);
    let text = refusal(model.path(), &[]);
    assert!(
        text.contains("error: the tokenizer `DIR/vocab.json` has token 612 (`[PAD]`), but"),
        "{text}"
    );
}

#[test]
fn data_sets_that_are_none() {
    let model = model();
    for (content, message) in [
        ("", "the data set `DIR/cnn_eval.json` is not JSON"),
        ("[]", "the data set `DIR/cnn_eval.json` is empty"),
        (
            "[{\"instruction\": \"\", \"input\": \"\"}]",
            "sample 0 of the data set `DIR/cnn_eval.json` has no field `output`",
        ),
    ] {
        write(model.path(), "cnn_eval.json", content);
        let text = refusal(model.path(), &[]);
        assert!(text.contains(&format!("error: {message}\n")), "{text}");
    }
    let text = refusal(model.path(), &["--dataset_path", "/nowhere/eval.json"]);
    assert!(
        text.contains("error: no data set at `/nowhere/eval.json`\n"),
        "{text}"
    );
}

#[test]
fn a_prompt_over_the_limit() {
    let model = model();
    put_config(model.path(), &[("n_positions", json!(200))]);
    let text = refusal(model.path(), &[]);
    assert!(
        text.contains("error: sample 0 of `DIR/cnn_eval.json` has a prompt of "),
        "{text}"
    );
    assert!(text.contains("the model has 200 (n_positions)\n"), "{text}");
}

#[test]
fn a_scratch_space_that_cannot_be_written() {
    let model = model();
    write(model.path(), "scratch", "a file");
    let text = refusal(model.path(), &[]);
    assert!(
        text.contains("error: cannot create the folder `DIR/scratch/preprocessed_data/custom_"),
        "{text}"
    );
}

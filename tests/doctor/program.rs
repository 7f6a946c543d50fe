//! The program on this machine, whatever it is.

use std::fs;
use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

/// The program in an empty folder with gptj-mini at hand, and nothing else of ours in its environment.
fn doctor(folder: &TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(cargo_bin("run_harness"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GPTJ_") {
            command.env_remove(name);
        }
    }
    let mini = concat!(env!("CARGO_MANIFEST_DIR"), "/models/gptj-mini");
    command
        .current_dir(folder.path())
        .env_remove("MLPERF_SCRATCH_PATH")
        .env("GPTJ_MINI_DIR", mini)
        .args(["doctor", "--engine=cpu", "--log_dir=logs"])
        .args(args)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_run_on_the_cpu_can_go() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(&folder, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in ["\nMachine\n", "\nGPUs\n", "\nEngines\n", "\nStorage\n"] {
        assert!(text.contains(part), "{text}");
    }
    if !std::path::Path::new("/proc/driver/nvidia").exists() {
        // Without NVML there is nothing to say of GPUs, and nothing that stops a run.
        let driver = text.lines().find(|line| line.starts_with("  driver "));
        assert!(driver.unwrap().contains("none"), "{text}");
    }
    assert!(text.ends_with("\nA run can go.\n"), "{text}");
    assert!(
        fs::read_dir(folder.path()).unwrap().next().is_none(),
        "looking leaves nothing behind"
    );
}

#[test]
fn json_is_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(&folder, &["--json", "--scenarios=server"]);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["can_run"], true);
    assert_eq!(json["run"]["tests"][0], "gptj-99 Server");
    assert!(json["machine"]["cpu"]["threads"].as_u64().unwrap() > 0);
    assert_eq!(json["refusal"], Value::Null);
}

#[test]
fn what_would_stop_a_run_is_exit_code_1_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("audit.config"), "").unwrap();
    let output = doctor(&folder, &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("\nstop: there is an audit.config in the working folder"),
        "{text}"
    );
    assert!(text.contains("\n  remedy: remove audit.config"), "{text}");
    assert!(text.ends_with("A run would stop: see above.\n"), "{text}");
}

#[test]
fn a_configuration_that_is_refused_is_part_of_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(&folder, &["--round=v9.9"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("\nstop: there is no round `v9.9`: v5.0 was the last round with GPT-J\n"),
        "{text}"
    );
    assert!(text.contains("\n  remedy: "), "{text}");
    assert!(
        text.contains("\nMachine\n") && !text.contains("A run here"),
        "{text}"
    );
    // What cannot be parsed is no configuration, and there is nothing to report.
    let output = doctor(&folder, &["--ruond=v5.0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}

//! The Makefile: its help, its targets as documents name them, and the variables that it hands on as settings.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::Regex;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn make(args: &[&str]) -> Output {
    let mut command = Command::new("make");
    command.current_dir(repository()).args(args);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        // What this test was started with must not reach it.
        if name.starts_with("GPTJ_") || name.starts_with("MAKE") || name == "MFLAGS" {
            command.env_remove(name);
        }
    }
    for name in [
        "LOG_DIR",
        "DATA_DIR",
        "PREPROCESSED_DATA_DIR",
        "MODEL_DIR",
        "BENCHMARKS",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

/// Targets of the Makefile.
fn targets() -> Vec<String> {
    let text = fs::read_to_string(repository().join("Makefile")).unwrap();
    let target = Regex::new(r"(?m)^([a-z_]+):").unwrap();
    target
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect()
}

fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(repository().join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    docs.filter(|path| path.extension().is_some_and(|end| end == "md"))
        .chain([repository().join("README.md")])
        .collect()
}

#[test]
fn every_target_that_a_document_names_is_there() {
    let targets = targets();
    let named = Regex::new(r"(?m)(?:`|^)make ([a-z_]+)").unwrap();
    let mut seen = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for found in named.captures_iter(&text) {
            let name = found[1].to_owned();
            assert!(
                targets.contains(&name),
                "{}: make {name}",
                document.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn variables_of_the_original_become_settings() {
    let settings = |variables: &[&str]| {
        let print = "--eval=print_settings: ; @env | grep ^GPTJ_ | sort";
        let args: Vec<&str> = ["-s", print, "print_settings"]
            .into_iter()
            .chain(variables.iter().copied())
            .collect();
        String::from_utf8(make(&args).stdout).unwrap()
    };
    assert_eq!(settings(&[]), "");
    assert_eq!(
        settings(&[
            "LOG_DIR=my logs",
            "DATA_DIR=/d",
            "PREPROCESSED_DATA_DIR=/p",
            "BENCHMARKS=gptj"
        ]),
        "GPTJ_BENCHMARKS=gptj\nGPTJ_DATA_DIR=/d\nGPTJ_LOG_DIR=my logs\nGPTJ_PREPROCESSED_DATA_DIR=/p\n"
    );
    assert_eq!(
        settings(&["LOG_DIR=one", "GPTJ_LOG_DIR=two"]),
        "GPTJ_LOG_DIR=two\n"
    );
    let output = make(&["-n", "build", "MODEL_DIR=/m"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        stderr.contains("MODEL_DIR cannot be used") && stderr.contains("--model_path"),
        "{stderr}"
    );
}

#[test]
fn the_program_is_where_cargo_puts_it() {
    let last = |args: &[&str]| {
        let output = make(args);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    assert_eq!(
        last(&["-n", "run_harness", "RUN_ARGS=--fast --scenarios=offline"]),
        "target/release/run_harness --fast --scenarios=offline"
    );
    assert_eq!(
        last(&["-n", "doctor", "CARGO_TARGET_DIR=/t"]),
        "/t/release/run_harness doctor "
    );
}

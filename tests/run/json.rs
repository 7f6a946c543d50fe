//! `--json`: one document on stdout from every command.

use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use serde_json::{Value, json};

use super::support::{World, repository};

/// What a command prints that takes no settings.
fn document(world: &World, args: &[&str]) -> Value {
    let output = Command::new(cargo_bin("run_harness"))
        .current_dir(world.path(""))
        .env("MLPERF_SCRATCH_PATH", world.path("scratch"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn preprocess_data_tells_of_prompts() {
    let world = World::new();
    let args = ["preprocess-data", "--json", "--quiet"];
    let of = |args: &[&str]| -> Value {
        let ran = world.run(args);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(ran.stderr, "");
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let first = of(&args);
    // Offline and Server have the same prompts.
    assert_eq!(first.as_array().unwrap().len(), 1);
    assert_eq!(first[0]["prompts"], 1000);
    assert_eq!(first[0]["was_there"], false);
    assert!(first[0]["tokens"].as_u64() > first[0]["longest"].as_u64());
    let folder = first[0]["folder"].as_str().unwrap();
    assert!(
        std::path::Path::new(folder)
            .join("input_ids_padded.npy")
            .is_file()
    );
    let again = of(&args);
    assert_eq!(again[0]["was_there"], true);
    assert_eq!(again[0]["tokens"], first[0]["tokens"]);
}

#[test]
fn generate_engines_tells_of_plans() {
    let world = World::new();
    let ran = world.run(&["generate-engines", "--json", "--engine=fake"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let of = |scenario| {
        json!({
            "benchmark": "gptj-99", "scenario": scenario, "engine": "fake", "plan": null, "origin": null
        })
    };
    assert_eq!(document, json!([of("Offline"), of("Server")]));
}

#[test]
fn calibrate_tells_of_the_file() {
    let world = World::new();
    let output = world.path("scales.json");
    let flag = format!("--output={}", output.display());
    let ran = world.run(&["calibrate", "--json", "--samples=1", &flag]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["file"], output.to_str().unwrap());
    let written: Value = serde_json::from_slice(&std::fs::read(output).unwrap()).unwrap();
    assert_eq!(document["scales"], written);
}

#[test]
fn download_help_tells_of_states_and_next_commands() {
    let world = World::new();
    let help = document(&world, &["download-help", "--json"]);
    assert_eq!(help["scratch"], world.path("scratch").to_str().unwrap());
    assert_eq!(help["scratch_given"], true);
    let parts = help["parts"].as_array().unwrap();
    let names: Vec<&Value> = parts.iter().map(|part| &part["name"]).collect();
    assert_eq!(names, ["model", "dataset", "calibration"]);
    for part in parts {
        assert_eq!(part["state"], "missing");
        assert!(part["facts"]["from"].is_string());
        assert!(!part["next"].as_array().unwrap().is_empty());
    }
}

#[test]
fn show_config_and_doctor_tell_what_they_show() {
    let world = World::new();
    let ran = world.run(&["show-config", "--json", "--scenarios=offline"]);
    let plans: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(plans[0]["scenario"], "Offline");
    let ran = world.run(&["--json", "doctor"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["can_run"], true, "{report:#}");
    let data = repository().join("models/gptj-mini");
    assert_eq!(report["run"]["model"], data.to_str().unwrap());
}

#[test]
fn results_can_be_had_as_json() {
    let world = World::new();
    let ran = world.run_fake(&["--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["not_run"], json!([]));
    for (index, scenario) in ["Offline", "Server"].iter().enumerate() {
        let test = &document["tests"][index];
        let folder = test["folder"].as_str().unwrap();
        assert_eq!(folder, format!("logs/box/gptj-99/{scenario}"));
        assert_eq!(test["result"], world.result(scenario));
    }

    let world = World::new();
    let ran = world.run_fake(&["--json", "--fake_fault=throw:3"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["tests"][0]["result"]["status"], "failed");
    assert_eq!(document["not_run"], json!(["gptj-99 Server"]));
    World::new()
        .run_fake(&["--json", "--log_copy_detail_to_stdout"])
        .assert_error(1, &["`--json` contradicts `--log_copy_detail_to_stdout`"]);
}

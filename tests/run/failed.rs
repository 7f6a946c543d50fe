//! Runs that cannot come to their end: one error, a non-zero exit, no hang, nothing that looks like a result.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::support::{World, copy_of_mini};

#[test]
fn an_engine_that_throws_ends_the_run() {
    for scenario in ["offline", "server", "single_stream"] {
        let world = World::new();
        let started = Instant::now();
        // Server would go on issuing for a minute.
        let scenarios = format!("--scenarios={scenario}");
        let ran = world.run_fake(&[
            &scenarios,
            "--fake_fault=throw:20",
            "--min_duration=60000",
            "--offline_expected_qps=100",
            "--single_stream_expected_latency_ns=1000000",
        ]);
        ran.assert_error(2, &["step 20", "logs in `logs/box/gptj-99/"]);
        assert!(
            started.elapsed() < Duration::from_secs(40),
            "{:?}",
            started.elapsed()
        );
        let name = match scenario {
            "offline" => "Offline",
            "server" => "Server",
            _ => "SingleStream",
        };
        world.assert_no_result(name, "failed");
        assert!(
            ran.stdout.contains("    result     FAILED: "),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn nan_among_the_logits_ends_the_run() {
    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline,server", "--fake_fault=nan:5"]);
    ran.assert_error(2, &["the logits are NaN in step 5"]);
    world.assert_no_result("Offline", "failed");
    assert!(
        ran.stdout
            .contains("gptj-99 Server\n    result     not run\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn an_engine_that_fails_while_the_rate_is_measured_ends_the_run() {
    let world = World::new();
    let ran = world.run(&[
        "--engine=fake",
        "--scenarios=offline",
        "--fake_fault=throw:3",
    ]);
    ran.assert_error(2, &["step 3"]);
    world.assert_no_result("Offline", "failed");
}

#[test]
fn an_audit_config_in_the_working_folder_is_refused() {
    let world = World::new();
    fs::write(world.path("audit.config"), "*.*.mode = 2\n").unwrap();
    let ran = world.run_fake(&[]);
    ran.assert_error(
        1,
        &[
            "there is an audit.config in the working folder",
            "hint: remove audit.config",
        ],
    );
    assert!(!world.path("logs").exists());
}

#[test]
fn a_missing_engine_library_names_what_was_tried() {
    let world = World::new();
    let ran = world.run(&[
        "--engine=tensorrt",
        "--scenarios=offline",
        "--devices=0",
        "--engine_library_dirs=/nonexistent",
    ]);
    ran.assert_error(
        1,
        &[
            "libgptj_tensorrt.so",
            "/nonexistent",
            "--engine_library_dirs",
        ],
    );
    let mut places: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.ends_with(": no such file"))
        .collect();
    assert_eq!(places.len(), 3, "{}", ran.stderr);
    places.dedup();
    assert_eq!(places.len(), 3, "{}", ran.stderr);
}

fn edit_config(folder: &Path, edit: impl Fn(&mut serde_json::Value)) {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    edit(&mut config);
    fs::write(&path, config.to_string()).unwrap();
}

#[track_caller]
fn refused(damage: impl Fn(&Path), said: &[&str]) {
    let world = World::new();
    let folder = copy_of_mini(&world);
    damage(&folder);
    let ran = world.run(&[
        "--scenarios=offline",
        "--model_path",
        folder.to_str().unwrap(),
    ]);
    ran.assert_error(1, said);
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    // What is found while the configuration is worked out leaves nothing; what a child finds is marked.
    if world.path("logs").exists() {
        world.assert_no_result("Offline", "failed");
    }
}

#[test]
fn weights_that_are_missing_are_named() {
    refused(
        |folder| fs::remove_file(folder.join("model.safetensors")).unwrap(),
        &["model.safetensors"],
    );
}

#[test]
fn weights_that_are_cut_off_are_named() {
    refused(
        |folder| {
            let path = folder.join("model.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        },
        &["model.safetensors"],
    );
}

#[test]
fn a_tensor_of_another_shape_is_named() {
    refused(
        |folder| {
            edit_config(folder, |config| {
                config["n_inner"] = serde_json::json!(2048);
            });
        },
        &["transformer.h.0.mlp.fc_in", "shape"],
    );
}

#[test]
fn a_configuration_without_a_key_names_it() {
    refused(
        |folder| {
            edit_config(folder, |config| {
                config.as_object_mut().unwrap().remove("rotary_dim");
            });
        },
        &["rotary_dim", "config.json"],
    );
}

#[test]
fn a_vocabulary_that_does_not_fit_the_tokenizer_is_told() {
    refused(
        |folder| {
            edit_config(folder, |config| {
                config["vocab_size"] = serde_json::json!(1000);
            });
        },
        &["tokenizer", "token 2047", "vocab_size", "is 1000"],
    );
}

#[test]
fn a_data_set_that_is_empty_or_lacks_a_field_is_told() {
    for (text, said) in [
        ("[]", "empty"),
        ("{", "JSON"),
        (r#"[{"instruction": "a", "input": "b"}]"#, "output"),
    ] {
        refused(
            |folder| fs::write(folder.join("cnn_eval.json"), text).unwrap(),
            &["cnn_eval.json", said],
        );
    }
}

#[test]
fn a_prompt_over_the_models_limit_is_told() {
    let long = |folder: &Path| {
        let text = "rain fell on the hills ".repeat(400);
        let sample = serde_json::json!([{"instruction": "a", "input": text, "output": "b"}]);
        fs::write(folder.join("cnn_eval.json"), sample.to_string()).unwrap();
        edit_config(folder, |config| {
            config["n_positions"] = serde_json::json!(512)
        });
    };
    refused(long, &["sample 0", "positions", "max_prompt_tokens"]);
}

//! `calibrate`, and runs that take what it wrote.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::{Ran, World, copy_of_mini};

/// A copy of gptj-mini that was never calibrated.
fn model(world: &World) -> PathBuf {
    let folder = copy_of_mini(world);
    fs::remove_file(folder.join("fp8_scales.json")).unwrap();
    folder
}

/// `calibrate` with that model.
fn calibrate(world: &World, model: &Path, args: &[&str]) -> Ran {
    let mut all = vec!["calibrate", "--model_path", model.to_str().unwrap()];
    all.extend(args);
    world.run(&all)
}

/// A run in fp8 on a GPU, without a library for it: it reads everything, and then ends.
fn run_fp8(world: &World, model: &Path, args: &[&str]) -> Ran {
    let mut all = vec![
        "--engine=cuda",
        "--precision=fp8",
        "--scenarios=offline",
        "--engine_library_dirs=/nowhere",
        "--model_path",
        model.to_str().unwrap(),
    ];
    all.extend(args);
    world.run(&all)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_same_input_gives_the_same_figures_however_it_is_batched() {
    let world = World::new();
    let model = model(&world);
    let first = calibrate(&world, &model, &["--samples=3"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let file = model.join("fp8_scales.json");
    assert_eq!(first.stdout, format!("{}\n", file.display()));
    assert!(
        first
            .stderr
            .contains("calibrated 4 layers with 3 samples: "),
        "{}",
        first.stderr
    );

    let other = world.path("other.json");
    let again = calibrate(
        &world,
        &model,
        &[
            "--samples=3",
            "--output",
            other.to_str().unwrap(),
            "--threads=1",
            "--gpu_batch_size=2",
            "--max_tokens_per_step=50",
            "--scheduler=static",
            "--quiet",
        ],
    );
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    let (one, two) = (json(&file), json(&other));
    for part in ["model", "calibrated_with", "recipe", "layers"] {
        assert_eq!(one[part], two[part], "{part}");
    }

    let with = &one["calibrated_with"];
    assert_eq!(with["file"], "calibration.json");
    assert_eq!(
        (&with["samples"], &with["truncated"]),
        (&json!(3), &json!(0))
    );
    let rows = with["prompt_tokens"].as_u64().unwrap() + with["decoded_tokens"].as_u64().unwrap();
    let layers = one["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 4);
    for layer in layers {
        assert_eq!(layer["normed"]["elements"], rows * 512);
        assert_eq!(layer["joined"]["elements"], rows * (512 + 1024));
    }
    assert_eq!(one["recipe"]["precision"], "f32");
}

#[test]
fn the_file_of_the_repository_is_that_of_its_model() {
    let world = World::new();
    let model = model(&world);
    let ran = calibrate(&world, &model, &["--samples=2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let few = json(&model.join("fp8_scales.json"));
    let repository = super::support::repository().join("models/gptj-mini/fp8_scales.json");
    let all = json(&repository);
    assert_eq!(few["model"], all["model"]);
    assert_eq!(
        few["calibrated_with"]["dataset"],
        all["calibrated_with"]["dataset"]
    );
    assert_eq!(all["calibrated_with"]["samples"], 256);
    // Two of the samples cannot have more than all of them, but for the rounding of another processor.
    for (few, all) in std::iter::zip(
        few["layers"].as_array().unwrap(),
        all["layers"].as_array().unwrap(),
    ) {
        for activation in ["normed", "joined", "keys", "values"] {
            let max = |layer: &Value| layer[activation]["max"].as_f64().unwrap();
            assert!(max(few) <= max(all) * 1.001, "{activation}");
            assert!(max(few) >= max(all) * 0.5, "{activation}");
        }
    }
}

#[test]
fn a_run_takes_what_lies_beside_the_model_and_says_so() {
    let world = World::new();
    let model = model(&world);
    let before = run_fp8(&world, &model, &[]);
    assert_eq!(before.code, Some(1), "{}", before.stderr);
    assert_eq!(
        world.result("Offline")["fp8_ranges"],
        json!({"source": "default"})
    );

    assert_eq!(calibrate(&world, &model, &["--samples=1"]).code, Some(0));
    let after = World::new();
    run_fp8(&after, &model, &["--fp8_range=p99.9"]);
    let result = after.result("Offline");
    let used = &result["fp8_ranges"];
    assert_eq!(used["source"], "calibrated", "{used:#}");
    assert_eq!(
        used["file"],
        model.join("fp8_scales.json").to_str().unwrap()
    );
    assert_eq!(
        (&used["range"], &used["samples"]),
        (&json!("p99.9"), &json!(1))
    );
    assert_eq!(result["status"], "failed");
}

#[test]
fn scales_that_are_not_those_of_the_model_stop_the_run() {
    let world = World::new();
    let model = model(&world);
    assert_eq!(calibrate(&world, &model, &["--samples=1"]).code, Some(0));
    let file = model.join("fp8_scales.json");
    let text = fs::read_to_string(&file).unwrap();
    // Each run has logs of its own.
    let refused = |said: &[&str]| run_fp8(&World::new(), &model, &[]).assert_error(1, said);

    // The model is another one as soon as a file of it is.
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    fs::write(model.join("config.json"), config.clone() + "\n").unwrap();
    refused(&[
        "belong to another model",
        "calibrate the model with `run_harness calibrate`",
    ]);
    fs::write(model.join("config.json"), config).unwrap();

    fs::write(&file, &text[..text.len() / 2]).unwrap();
    refused(&["holds no FP8 scales", "EOF"]);

    let changed = text.replacen("\"samples\": 1", "\"samples\": 1000", 1);
    fs::write(&file, changed).unwrap();
    refused(&["were changed after their calibration"]);

    fs::remove_file(&file).unwrap();
    run_fp8(&world, &model, &["--fp8_scales=nowhere.json"])
        .assert_error(1, &["cannot read the FP8 scales `nowhere.json`"]);
}

#[test]
fn a_calibration_with_the_evaluation_data_is_not_for_submission() {
    let world = World::new();
    let model = model(&world);
    let evaluation = model.join("cnn_eval.json");
    let set = [
        "--samples=1",
        "--calibration_set",
        evaluation.to_str().unwrap(),
    ];
    let ran = calibrate(&world, &model, &set);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("is what accuracy is measured on; the rules forbid"),
        "{}",
        ran.stderr
    );
    run_fp8(&world, &model, &[]);
    let reasons = world.result("Offline")["not_for_submission"].to_string();
    assert!(
        reasons.contains("FP8 was calibrated with the data that accuracy is measured on"),
        "{reasons}"
    );
}

#[test]
fn what_cannot_be_calibrated_is_told_before_the_work() {
    let world = World::new();
    let model = model(&world);
    let refused = |args: &[&str], said: &[&str]| {
        let ran = calibrate(&world, &model, args);
        ran.assert_error(1, said);
        assert_eq!(ran.stdout, "");
        assert!(!model.join("fp8_scales.json").exists());
    };
    refused(&["--samples=0"], &["invalid value '0'", "at least 1"]);
    refused(
        &["--samples=257"],
        &[
            "257 samples are asked for",
            "has 256",
            "--samples=256 or less",
        ],
    );
    refused(
        &["--engine=cuda"],
        &["`--engine=cuda` cannot be used", "on the CPU engine in f32"],
    );
    refused(
        &["--precision=bf16"],
        &["`--precision=bf16` cannot be used"],
    );
    refused(&["--synthetic"], &["`--synthetic` cannot be used"]);
    refused(
        &["--dataset_path=x.json"],
        &["`--dataset_path` means nothing", "use --calibration_set"],
    );
    refused(
        &["--calibration_set=none.json"],
        &["no calibration set at `none.json`"],
    );
    refused(
        &["--output=nowhere/scales.json"],
        &["cannot write `nowhere/scales.json`", "with --output"],
    );
    refused(&["--calib_batch_size=3"], &["run `run_harness calibrate"]);
    fs::write(
        world.path("bad.json"),
        "[{\"instruction\": \"Say\", \"input\": 3}]",
    )
    .unwrap();
    refused(
        &["--calibration_set=bad.json"],
        &["field `input` of sample 0 of the data set `bad.json` is a number"],
    );

    fs::remove_file(model.join("calibration.json")).unwrap();
    refused(
        &[],
        &[
            "no calibration set for the model in",
            "it has no calibration.json of its own",
            "--calibration_set",
        ],
    );
    let weights = model.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let set = super::support::repository().join("models/gptj-mini/calibration.json");
    refused(
        &["--calibration_set", set.to_str().unwrap()],
        &["model.safetensors"],
    );
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked() {
    let world = World::new();
    let model = model(&world);
    let file = model.join("fp8_scales.json");
    fs::write(&file, "mine").unwrap();
    calibrate(&world, &model, &["--samples=1"])
        .assert_error(1, &["is there already", "replace it with --force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let ran = calibrate(&world, &model, &["--samples=1", "--force"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(json(&file)["schema_version"], 1);
    let names = fs::read_dir(&model).unwrap();
    let left = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with('.')
    });
    assert_eq!(left.count(), 0, "nothing unfinished lies beside it");
}

#[test]
fn a_model_without_evaluation_data_can_be_calibrated() {
    let world = World::new();
    let model = model(&world);
    fs::remove_file(model.join("cnn_eval.json")).unwrap();
    let ran = calibrate(&world, &model, &["--samples=1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

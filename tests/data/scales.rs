//! Files of FP8 scales: what is written is what is read, and what is wrong is said.

use std::path::{Path, PathBuf};

use mlperf_gptj::config::{BeamLength, Fp8Range};
use mlperf_gptj::model::Fingerprint;
use mlperf_gptj::model::calibration::{
    Calibrated, LayerRanges, Magnitudes, Recipe, SCHEMA_VERSION, Scales,
};
use mlperf_gptj::report::files::write_json;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::support::{model_with, told, write};

const ANEW: &str =
    "make the file anew with `run_harness calibrate --force`, or use --fp8_scales=default";
const CALIBRATE: &str =
    "calibrate the model with `run_harness calibrate`, or use --fp8_scales=default";

fn magnitudes(max: f32) -> Magnitudes {
    Magnitudes {
        elements: 4096,
        max,
        p99_9: max / 3.0,
        p99_99: max / 2.0,
    }
}

fn layer(size: f32) -> LayerRanges {
    LayerRanges {
        normed: magnitudes(size),
        joined: magnitudes(10.0 * size),
        keys: magnitudes(100.0 * size),
        values: magnitudes(1000.0 * size),
    }
}

/// Scales of as many layers as there are sizes.
fn scales(sizes: &[f32]) -> Scales {
    let digest = |text: &str| Fingerprint::of_bytes(text.as_bytes());
    let scales = Scales {
        schema_version: SCHEMA_VERSION,
        program: "run_harness 0.0.0".to_owned(),
        created: "2026-01-02T03:04:05Z".to_owned(),
        model: digest("model"),
        calibrated_with: Calibrated {
            file: "calibration.json".to_owned(),
            dataset: digest("data"),
            samples: 7,
            prompt_tokens: 700,
            truncated: 1,
            decoded_tokens: 350,
        },
        recipe: Recipe {
            engine: "cpu".to_owned(),
            precision: "f32".to_owned(),
            processor: "one".to_owned(),
            rows: "all".to_owned(),
            bins_per_binade: 256,
            max_prompt_tokens: 1919,
            beam_width: 4,
            min_new_tokens: 30,
            max_new_tokens: 128,
            length_penalty: 1.0,
            beam_length: BeamLength::Generated,
        },
        layers: sizes.iter().copied().map(layer).collect(),
        digest: digest(""),
    };
    scales.sealed()
}

fn written(scales: &Scales) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("fp8_scales.json");
    write_json(&path, scales).unwrap();
    (dir, path)
}

/// The file with a change that a person makes in it.
fn edited(change: impl FnOnce(&mut Value)) -> (TempDir, PathBuf) {
    let (dir, path) = written(&scales(&[1.0, 2.0]));
    let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    let path = write(dir.path(), "fp8_scales.json", value.to_string());
    (dir, path)
}

fn refused((dir, path): &(TempDir, PathBuf)) -> String {
    told(Scales::read(path).unwrap_err(), dir.path())
}

#[test]
fn what_is_written_is_read() {
    let original = scales(&[1.5, 0.3]);
    let (_dir, path) = written(&original);
    let (read, digest) = Scales::read(&path).unwrap();
    assert_eq!(read, original);
    assert_eq!(
        digest,
        Fingerprint::of_bytes(&std::fs::read(&path).unwrap())
    );
    // White space is nobody's content.
    let text = serde_json::to_string(&original).unwrap();
    let compact = write(path.parent().unwrap(), "compact.json", text);
    assert_eq!(Scales::read(&compact).unwrap().0, original);
}

proptest! {
    #[test]
    fn every_figure_survives(bits in prop::collection::vec(1u32..0x7f80_0000, 1..20), penalty in any::<f32>()) {
        let mut original = scales(&[]);
        original.recipe.length_penalty = if penalty.is_finite() { penalty } else { 1.0 };
        original.layers = bits
            .into_iter()
            .map(|bits| {
                let max = f32::from_bits(bits);
                let same = Magnitudes { elements: u64::from(bits), max, p99_9: max, p99_99: max };
                LayerRanges { normed: same, joined: same, keys: same, values: same }
            })
            .collect();
        let original = original.sealed();
        let (_dir, path) = written(&original);
        prop_assert_eq!(Scales::read(&path).unwrap().0, original);
    }
}

#[test]
fn ranges_are_in_the_order_of_the_tensor() {
    let scales = scales(&[1.0, 2.0]);
    assert_eq!(
        scales.ranges(Fp8Range::Max),
        [1.0, 10.0, 100.0, 1000.0, 2.0, 20.0, 200.0, 2000.0]
    );
    assert_eq!(scales.ranges(Fp8Range::P99_99)[..2], [0.5, 5.0]);
    assert_eq!(scales.ranges(Fp8Range::P99_9)[..2], [1.0 / 3.0, 10.0 / 3.0]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("none.json");
    assert_eq!(
        told(Scales::read(&path).unwrap_err(), dir.path()),
        format!(
            "error: cannot read the FP8 scales `DIR/none.json`\n  \
             caused by: No such file or directory (os error 2)\n\nhint: {CALIBRATE}\n"
        )
    );
}

#[test]
fn wherever_a_file_is_cut_off_it_is_refused() {
    let (dir, path) = written(&scales(&[1.0]));
    let whole = std::fs::read(&path).unwrap();
    // The last character is the end of the line.
    for length in 0..whole.len() - 1 {
        let cut = write(dir.path(), "cut.json", &whole[..length]);
        let text = told(Scales::read(&cut).unwrap_err(), dir.path());
        assert!(
            text.starts_with("error: `DIR/cut.json` holds no FP8 scales\n  caused by: "),
            "{length}: {text}"
        );
        assert!(text.contains(" at line "), "{length}: {text}");
        assert!(text.ends_with(&format!("hint: {ANEW}\n")), "{text}");
    }
}

#[test]
fn a_file_that_was_changed_is_refused_whatever_was_changed() {
    let changes: [fn(&mut Value); 6] = [
        |value| value["layers"][1]["keys"]["max"] = json!(201.0),
        |value| value["layers"][0]["normed"]["p99.9"] = json!(0.25),
        |value| value["model"] = json!(Fingerprint::of_bytes(b"another")),
        |value| value["calibrated_with"]["samples"] = json!(1000),
        |value| value["recipe"]["precision"] = json!("bf16"),
        |value| {
            value["layers"].as_array_mut().unwrap().pop();
        },
    ];
    for change in changes {
        assert_eq!(
            refused(&edited(change)),
            format!(
                "error: the FP8 scales `DIR/fp8_scales.json` were changed after their calibration\n\n\
                 hint: {ANEW}\n"
            )
        );
    }
}

#[test]
fn something_else_is_no_file_of_scales() {
    let is_none = |file: &(TempDir, PathBuf), why: &str| {
        let text = refused(file);
        assert!(text.contains("holds no FP8 scales"), "{text}");
        assert!(text.contains(why), "{text}");
    };
    is_none(&edited(|value| *value = json!([])), "invalid");
    is_none(
        &edited(|value| *value = json!({"schema_version": 1})),
        "missing field `program`",
    );
    is_none(
        &edited(|value| value["margin"] = json!(2)),
        "unknown field `margin`",
    );
    is_none(
        &edited(|value| value["layers"][0]["keys"]["max"] = json!("big")),
        "invalid type: string \"big\"",
    );
    is_none(
        &edited(|value| value["digest"] = json!("0123")),
        "is not a fingerprint",
    );
}

#[test]
fn another_version_is_told_before_its_fields() {
    let file = edited(|value| *value = json!({"schema_version": 2, "blocks": []}));
    assert_eq!(
        refused(&file),
        format!(
            "error: the FP8 scales `DIR/fp8_scales.json` have schema version 2, this program reads 1\n\n\
             hint: {ANEW}\n"
        )
    );
}

#[test]
fn figures_that_no_calibration_gives_are_refused() {
    let changes: [fn(&mut Magnitudes); 5] = [
        |m| m.max = -1.0,
        |m| m.p99_9 = -0.5,
        |m| m.p99_9 = m.p99_99 * 1.01,
        |m| m.p99_99 = m.max * 1.01,
        |m| m.elements = 0,
    ];
    for change in changes {
        let mut wrong = scales(&[1.0, 2.0, 3.0]);
        change(&mut wrong.layers[2].values);
        let text = refused(&written(&wrong.sealed()));
        assert!(text.contains("values of layer 2 are no ranges"), "{text}");
    }
    let mut zeros = scales(&[1.0]);
    zeros.layers[0].keys = Magnitudes {
        elements: 5,
        max: 0.0,
        p99_9: 0.0,
        p99_99: 0.0,
    };
    let (_dir, path) = written(&zeros.sealed());
    Scales::read(&path).unwrap();
}

#[test]
fn scales_fit_one_model() {
    let scales = scales(&[1.0, 2.0]);
    let path = Path::new("x.json");
    let mut model = model_with(700, 64);
    model.n_layer = 2;
    let fingerprint = Fingerprint::of_bytes(b"model");
    scales.check_model(path, &model, &fingerprint).unwrap();

    let other = Fingerprint::of_bytes(b"other");
    assert_eq!(
        told(
            scales.check_model(path, &model, &other).unwrap_err(),
            Path::new("/nowhere")
        ),
        format!(
            "error: the FP8 scales `x.json` belong to another model\n  \
             caused by: they were calibrated for {fingerprint}, the model of this run is {other}\n\n\
             hint: {CALIBRATE}\n"
        )
    );
    model.n_layer = 3;
    assert_eq!(
        told(
            scales.check_model(path, &model, &fingerprint).unwrap_err(),
            Path::new("/nowhere")
        ),
        format!(
            "error: the FP8 scales `x.json` are those of 2 layers, the model has 3\n\nhint: {ANEW}\n"
        )
    );
}

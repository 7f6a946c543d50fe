//! Which model and data set a run uses.

use std::fs;
use std::path::{Path, PathBuf};

use mlperf_gptj::config::{Assets, Wanted};
use mlperf_gptj::model::locate::MINI_FOLDER;
use mlperf_gptj::model::{ModelChoice, ModelKind, ModelPlaces};
use mlperf_gptj::scratch::Places;
use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::support::{tiny_config, told};

const SIX_B: &str = "build/models/GPTJ-6B/checkpoint-final";
const DATASET: &str = "build/data/cnn-daily-mail/cnn_eval.json";

/// A repository with gptj-mini in it.
fn repository() -> (TempDir, ModelPlaces) {
    let dir = tempdir().unwrap();
    put(dir.path(), "configs/gptj/base.toml", "");
    put_model(&dir.path().join(MINI_FOLDER));
    let places = ModelPlaces {
        places: Places::find(None, dir.path(), None),
        mini: None,
    };
    (dir, places)
}

fn put(root: &Path, path: &str, text: &str) -> PathBuf {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// A small model with its data set.
fn put_model(folder: &Path) {
    put(folder, "config.json", &tiny_config().to_string());
    put(folder, "cnn_eval.json", "[]");
    put(folder, "calibration.json", "[]");
    put(folder, "reference.json", "{}");
}

fn put_six_b(folder: &Path, vocab_size: i32) {
    let mut config = tiny_config();
    for (key, value) in [
        ("n_layer", 28),
        ("n_embd", 4096),
        ("n_head", 16),
        ("vocab_size", vocab_size),
        ("eos_token_id", 50_256),
        ("rotary_dim", 64),
    ] {
        config[key] = json!(value);
    }
    put(folder, "config.json", &config.to_string());
}

fn wanted(model: Option<&Path>, dataset: Option<&Path>) -> Wanted {
    Wanted {
        model_path: model.map(Path::to_owned),
        dataset_path: dataset.map(Path::to_owned),
        ..Wanted::default()
    }
}

fn choose(places: &ModelPlaces) -> ModelChoice {
    places.choose(&Wanted::default()).unwrap()
}

#[test]
fn the_small_model_stands_in_and_says_so() {
    let (dir, places) = repository();
    let choice = choose(&places);
    let mini = dir.path().join(MINI_FOLDER);
    assert_eq!(choice.kind, ModelKind::Mini);
    assert_eq!(choice.dataset, mini.join("cnn_eval.json"));
    assert_eq!(choice.calibration, Some(mini.join("calibration.json")));
    assert_eq!(choice.fp8_scales, None);
    assert_eq!(choice.reference, Some(mini.join("reference.json")));
    assert_eq!(
        choice.not_for_submission.as_deref(),
        Some("the model is gptj-mini, not GPT-J 6B")
    );
    let looked = dir
        .path()
        .join("build/scratch/models/GPTJ-6B/checkpoint-final");
    assert_eq!(
        choice.notice,
        Some(format!(
            "no GPT-J 6B checkpoint in {}: this run uses gptj-mini, its results are not for \
             submission; `run_harness download-help` says where the 6B model comes from",
            looked.display()
        ))
    );
    let assets = Assets::from(choice);
    assert_eq!(assets.workload, "gptj-mini");
    assert_eq!(assets.model_path, mini);
}

#[test]
fn the_large_model_is_taken_when_it_is_there() {
    let (dir, places) = repository();
    put_six_b(&dir.path().join(SIX_B), 50_401);
    let dataset = put(dir.path(), DATASET, "[]");
    // build/models is a folder of its own here; build/data too.
    let choice = choose(&places);
    assert_eq!(choice.kind, ModelKind::SixB);
    assert_eq!(choice.dir, dir.path().join(SIX_B));
    assert_eq!(choice.dataset, dataset);
    assert_eq!(choice.workload, "cnn_dailymail");
    assert_eq!((choice.notice, choice.not_for_submission), (None, None));
    assert_eq!(choice.reference, None);
}

#[test]
fn the_large_model_is_found_in_the_scratch_space_before_anything_is_linked() {
    let (dir, mut places) = repository();
    places.places = Places::find(None, dir.path(), Some("space".into()));
    put_six_b(
        &dir.path().join("space/models/GPTJ-6B/checkpoint-final"),
        50_401,
    );
    put(dir.path(), "space/data/cnn-daily-mail/cnn_eval.json", "[]");
    assert_eq!(choose(&places).kind, ModelKind::SixB);
}

#[test]
fn the_large_model_without_its_data_set() {
    let (dir, places) = repository();
    put_six_b(&dir.path().join(SIX_B), 50_401);
    let failure = places.choose(&Wanted::default()).unwrap_err();
    assert_eq!(
        told(failure, dir.path()),
        "error: no data set at `DIR/build/scratch/data/cnn-daily-mail/cnn_eval.json`\n\nhint: \
         `run_harness download-help` says how to make it; or give another file with \
         --dataset_path, or another folder with --data_dir\n"
    );
}

#[test]
fn data_sets_in_another_folder() {
    let (dir, places) = repository();
    put_six_b(&dir.path().join(SIX_B), 50_401);
    put(dir.path(), "shared/cnn-daily-mail/cnn_eval.json", "[]");
    let calibration = "shared/cnn-daily-mail/cnn_dailymail_calibration.json";
    let calibration = put(dir.path(), calibration, "[]");
    let shared = Wanted {
        data_dir: Some(dir.path().join("shared")),
        ..Wanted::default()
    };
    let choice = places.choose(&shared).unwrap();
    assert_eq!(
        choice.dataset,
        dir.path().join("shared/cnn-daily-mail/cnn_eval.json")
    );
    assert_eq!(choice.calibration, Some(calibration));
    assert_eq!(choice.workload, "cnn_dailymail");
    assert_eq!(choice.not_for_submission, None);
    // A file by its own name goes before the folder.
    let file = put(dir.path(), "mine.json", "[]");
    let both = Wanted {
        dataset_path: Some(file.clone()),
        ..shared
    };
    assert_eq!(places.choose(&both).unwrap().dataset, file);
}

#[test]
fn the_base_model_is_not_the_one_of_the_rules() {
    let (dir, places) = repository();
    put_six_b(&dir.path().join(SIX_B), 50_400);
    put(dir.path(), DATASET, "[]");
    let choice = choose(&places);
    assert_eq!(choice.kind, ModelKind::SixB);
    assert_eq!(choice.notice, choice.not_for_submission);
    assert_eq!(
        choice.notice.unwrap(),
        "the checkpoint has a vocabulary of 50400: it is GPT-J 6B before the fine-tuning that \
         MLPerf prescribes (50401)"
    );
}

#[test]
fn an_incomplete_checkpoint_is_mentioned() {
    let (dir, places) = repository();
    fs::create_dir_all(dir.path().join(SIX_B)).unwrap();
    let choice = choose(&places);
    assert_eq!(choice.kind, ModelKind::Mini);
    let notice = choice.notice.unwrap();
    assert!(
        notice.contains("is incomplete: it has no config.json: this run"),
        "{notice}"
    );
}

#[test]
fn the_small_model_can_be_asked_for() {
    let (dir, places) = repository();
    put_six_b(&dir.path().join(SIX_B), 50_401);
    put(dir.path(), DATASET, "[]");
    let by_name = Wanted {
        workload: Some("gptj-mini".to_owned()),
        ..Wanted::default()
    };
    let choice = places.choose(&by_name).unwrap();
    assert_eq!((choice.kind, choice.notice), (ModelKind::Mini, None));
    let mini = dir.path().join(MINI_FOLDER);
    let choice = places.choose(&wanted(Some(&mini), None)).unwrap();
    assert_eq!(
        (choice.kind, choice.workload),
        (ModelKind::Mini, "gptj-mini")
    );
}

#[test]
fn any_folder_is_a_model_of_ones_own() {
    let (dir, places) = repository();
    let own = dir.path().join("own");
    put_model(&own);
    let choice = places.choose(&wanted(Some(&own), None)).unwrap();
    assert_eq!(
        (choice.kind, choice.workload),
        (ModelKind::Custom, "custom")
    );
    assert_eq!(choice.dataset, own.join("cnn_eval.json"));
    assert_eq!(choice.reference, Some(own.join("reference.json")));
    assert_eq!(
        choice.not_for_submission.as_deref(),
        Some("the model is not GPT-J 6B")
    );

    fs::remove_file(own.join("cnn_eval.json")).unwrap();
    let failure = places.choose(&wanted(Some(&own), None)).unwrap_err();
    assert_eq!(
        told(failure, dir.path()),
        "error: no data set for the model in `DIR/own`\n  caused by: it has no cnn_eval.json of \
         its own\n\nhint: give a file in the form of cnn_eval.json with --dataset_path\n"
    );
}

#[test]
fn a_calibration_beside_the_model_is_found() {
    let (dir, places) = repository();
    let own = dir.path().join("own");
    put_model(&own);
    put_six_b(&dir.path().join(SIX_B), 50_401);
    put(dir.path(), DATASET, "[]");
    let set = "build/data/cnn-daily-mail/cnn_dailymail_calibration.json";
    let set = put(dir.path(), set, "[]");
    for (folder, wanted) in [
        (own.clone(), wanted(Some(&own), None)),
        (dir.path().join(SIX_B), Wanted::default()),
        (
            dir.path().join(MINI_FOLDER),
            wanted(Some(&dir.path().join(MINI_FOLDER)), None),
        ),
    ] {
        assert_eq!(places.choose(&wanted).unwrap().fp8_scales, None);
        let file = put(&folder, "fp8_scales.json", "{}");
        let choice = places.choose(&wanted).unwrap();
        assert_eq!(choice.fp8_scales, Some(file.clone()));
        assert_eq!(Assets::from(choice).fp8_scales, Some(file));
    }
    assert_eq!(choose(&places).calibration, Some(set));
}

#[test]
fn a_model_can_be_chosen_without_its_data_set() {
    let (dir, places) = repository();
    let own = dir.path().join("own");
    put_model(&own);
    fs::remove_file(own.join("cnn_eval.json")).unwrap();
    let choice = places.choose_model(&wanted(Some(&own), None)).unwrap();
    assert_eq!((choice.kind, &choice.dir), (ModelKind::Custom, &own));
    assert_eq!(choice.calibration, Some(own.join("calibration.json")));

    put_six_b(&dir.path().join(SIX_B), 50_401);
    let choice = places.choose_model(&Wanted::default()).unwrap();
    assert_eq!((choice.kind, choice.calibration), (ModelKind::SixB, None));
}

#[test]
fn another_data_set_makes_another_workload() {
    let (dir, places) = repository();
    let dataset = put(dir.path(), "mine.json", "[]");
    let choice = places.choose(&wanted(None, Some(&dataset))).unwrap();
    assert_eq!((choice.kind, choice.workload), (ModelKind::Mini, "custom"));
    assert_eq!(choice.dataset, dataset);

    let own = dir
        .path()
        .join(MINI_FOLDER)
        .join("../gptj-mini/cnn_eval.json");
    let choice = places.choose(&wanted(None, Some(&own))).unwrap();
    assert_eq!(
        choice.workload, "gptj-mini",
        "the same file by another path"
    );

    put_six_b(&dir.path().join(SIX_B), 50_401);
    let choice = places.choose(&wanted(None, Some(&dataset))).unwrap();
    assert_eq!((choice.kind, choice.workload), (ModelKind::SixB, "custom"));
    let reason = choice.not_for_submission.unwrap();
    assert!(
        reason.ends_with("mine.json`, not the one of cnn_dailymail"),
        "{reason}"
    );
}

#[test]
fn paths_that_are_not_there() {
    let (dir, places) = repository();
    let nowhere = dir.path().join("nowhere");
    let failure = places.choose(&wanted(Some(&nowhere), None)).unwrap_err();
    assert_eq!(
        told(failure, dir.path()),
        "error: no model folder at `DIR/nowhere`\n  caused by: it was given as model_path\n\nhint: \
         --model_path takes a Hugging Face GPT-J folder\n"
    );
    let failure = places.choose(&wanted(None, Some(&nowhere))).unwrap_err();
    assert_eq!(
        told(failure, dir.path()),
        "error: no data set at `DIR/nowhere`\n\nhint: --dataset_path takes a file in the form of \
         cnn_eval.json\n"
    );
}

#[test]
fn the_small_model_elsewhere_and_nowhere() {
    let (dir, mut places) = repository();
    let other = dir.path().join("other");
    put_model(&other);
    places.mini = Some(other.clone());
    assert_eq!(choose(&places).dir, other);

    places.mini = Some(dir.path().join("nowhere"));
    let failure = places.choose(&Wanted::default()).unwrap_err();
    assert_eq!(
        told(failure, dir.path()),
        "error: gptj-mini is not in `DIR/nowhere`\n  caused by: no GPT-J 6B checkpoint in \
         DIR/build/scratch/models/GPTJ-6B/checkpoint-final\n  caused by: GPTJ_MINI_DIR names \
         `DIR/nowhere`\n\nhint: run inside of the repository, set GPTJ_MINI_DIR to the folder of \
         gptj-mini, or give a Hugging Face GPT-J folder with --model_path\n"
    );
}

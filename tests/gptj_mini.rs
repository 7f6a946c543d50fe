//! gptj-mini as it is delivered: its tokenizer, evaluation set and golden tokens together give the reference figures
//! that runs are judged by, and its sets are what the model card says.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of #[test] stop a test as it would"
)]

#[path = "support/golden.rs"]
mod golden;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use mlperf_gptj::accuracy::{EvaluationInput, Scores, evaluate};
use mlperf_gptj::dataset::{Dataset, TextTokenizer, prompt};
use mlperf_gptj::model::{Checkpoint, ModelConfig, check_tensors};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    repository().join("models/gptj-mini")
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_golden_tokens_score_what_the_reference_says() {
    let config = ModelConfig::read(&folder()).unwrap();
    let tokenizer = TextTokenizer::open(&folder(), &config).unwrap();
    let dataset = Dataset::read(&folder().join("cnn_eval.json")).unwrap();
    let references: Vec<String> = dataset.targets().map(str::to_owned).collect();
    let reference: Value = read(&folder().join("reference.json"));
    for beam_length in ["generated", "prompt_and_generated"] {
        let predictions: Vec<String> = golden::gptj_mini(&repository(), beam_length)
            .iter()
            .map(|tokens| tokenizer.decode(tokens).unwrap())
            .collect();
        let scores = evaluate(EvaluationInput {
            predictions: &predictions,
            references: &references,
        })
        .unwrap();
        let expected = Scores::deserialize(&reference[beam_length]).unwrap();
        assert_eq!(scores, expected, "{beam_length}");
    }
}

#[test]
fn every_golden_answer_ends_by_itself() {
    let end = ModelConfig::read(&folder()).unwrap().eos_token;
    for beam_length in ["generated", "prompt_and_generated"] {
        let golden = golden::gptj_mini(&repository(), beam_length);
        for (index, tokens) in golden.iter().enumerate() {
            let (last, answer) = tokens.split_last().unwrap();
            assert_eq!(*last, end, "{beam_length}, sample {index}");
            assert!(!answer.contains(&end), "{beam_length}, sample {index}");
            assert!((30..128).contains(&answer.len()));
        }
    }
}

#[test]
fn the_checkpoint_has_the_tensors_of_its_configuration() {
    let config = ModelConfig::read(&folder()).unwrap();
    let checkpoint = Checkpoint::open(&folder()).unwrap();
    check_tensors(&checkpoint, &config).unwrap();
}

#[test]
fn the_calibration_set_shares_nothing_with_the_evaluation_set() {
    let evaluation = Dataset::read(&folder().join("cnn_eval.json")).unwrap();
    let calibration = Dataset::read(&folder().join("calibration.json")).unwrap();
    assert_eq!(evaluation.samples.len(), 1_000);
    assert_eq!(calibration.samples.len(), 256);
    let articles: HashSet<String> = evaluation
        .samples
        .iter()
        .chain(&calibration.samples)
        .map(prompt::render)
        .collect();
    assert_eq!(articles.len(), 1_256);
}

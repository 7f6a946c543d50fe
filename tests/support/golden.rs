//! What Hugging Face transformers answers in float32, as the scripts in `tests/fixtures` wrote it down.

use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    beam_length: String,
    samples: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    tokens: Vec<i32>,
}

/// The tokens of every sample.
pub fn read(path: &Path, beam_length: &str) -> Vec<Vec<i32>> {
    let golden: Golden = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(golden.beam_length, beam_length, "{}", path.display());
    golden
        .samples
        .into_iter()
        .map(|answer| answer.tokens)
        .collect()
}

/// The same of gptj-mini's evaluation set, in a checkout of this repository.
pub fn gptj_mini(repository: &Path, beam_length: &str) -> Vec<Vec<i32>> {
    let name = format!("tests/fixtures/generation/gptj-mini-{beam_length}.json");
    read(&repository.join(name), beam_length)
}

//! gptj-mini on the CUDA engine, through LoadGen: its tokens against those of float32, and a model that gives no
//! numbers.
//!
//! Skipped without a GPU or without the engine; `GPTJ_REQUIRE_GPU=1` makes that a failure. The compiled test can be taken to
//! a machine without cargo: `CARGO_BIN_EXE_run_harness` names the program there, `GPTJ_TEST_REPOSITORY` a copy of this
//! repository (`tests/cpp/run_on_gpu`).
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "run/support.rs"]
#[expect(dead_code, reason = "tests of runs use more of it")]
mod support;

#[path = "support/golden.rs"]
mod golden;

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use mlperf_gptj::accuracy::log::{self, LogFormat, TokenType};
use mlperf_gptj::dataset::{Dataset, TextTokenizer, prompt};
use mlperf_gptj::model::ModelConfig;
use serde_json::Value;

use support::{Ran, World, copy_of_mini, repository};

/// What the engine says, or the loader of engines, where there is nothing to run on.
const NOTHING_TO_RUN_ON: [&str; 4] = [
    "there is no NVIDIA driver here",
    "no GPU that it can use",
    "it has no device to run on",
    "libgptj_cuda.so, which was not found",
];

fn run(world: &World, args: &[&str]) -> Option<Ran> {
    let mut all = vec!["--engine=cuda", "--scenarios=offline", "--devices=0"];
    all.extend(args);
    let ran = world.run(&all);
    let missing = ran.code != Some(0) && NOTHING_TO_RUN_ON.iter().any(|t| ran.stderr.contains(t));
    if !missing {
        return Some(ran);
    }
    let required = std::env::var_os("GPTJ_REQUIRE_GPU").is_some_and(|value| value == "1");
    assert!(!required, "GPTJ_REQUIRE_GPU=1, but {}", ran.stderr);
    eprintln!("skipped: {}", ran.stderr.trim());
    None
}

/// In FP16 a near tie may be decided the other way, and then the rest of the answer differs.
#[test]
fn fp16_gives_the_tokens_of_float32_for_97_in_100() {
    let world = World::new();
    let Some(ran) = run(
        &world,
        &[
            "--precision=fp16",
            "--test_mode=AccuracyOnly",
            "--gpu_batch_size=256",
        ],
    ) else {
        return;
    };
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let expected = golden::gptj_mini(repository(), "prompt_and_generated");
    let format = LogFormat {
        token_type: TokenType::Int32,
        samples: expected.len(),
        vocabulary: 2048,
    };
    let answers = log::read(&world.test_dir("Offline").join(log::FILE_NAME), format).unwrap();
    assert_eq!(answers.responses.len(), expected.len());
    let is_same = |answer: &log::Response| {
        let tokens = expected[answer.sample].iter().map(|token| *token as u32);
        answer.tokens.iter().copied().eq(tokens)
    };
    let same = answers.responses.iter().filter(|one| is_same(one)).count();
    println!("{same} of {} answers are those of float32", expected.len());
    assert!(
        100 * same >= 97 * expected.len(),
        "{same} of {}",
        expected.len()
    );
}

/// Writes infinity into the embedding of a token, which is there in FP16.
fn spoil_embedding(folder: &Path, token: u64) {
    let path = folder.join("model.safetensors");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut length = [0; 8];
    file.read_exact(&mut length).unwrap();
    let length = u64::from_le_bytes(length);
    let mut header = vec![0; usize::try_from(length).unwrap()];
    file.read_exact(&mut header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    let embedding = &header["transformer.wte.weight"];
    assert_eq!(embedding["dtype"], "F16");
    let begin = embedding["data_offsets"][0].as_u64().unwrap();
    let row = 2 * embedding["shape"][1].as_u64().unwrap();
    file.seek(SeekFrom::Start(8 + length + begin + token * row))
        .unwrap();
    file.write_all(&0x7C00_u16.to_le_bytes()).unwrap();
}

/// Of a token that every prompt begins with, but not the engine's own trial.
#[test]
fn logits_that_are_no_numbers_end_the_run() {
    let world = World::new();
    let folder = copy_of_mini(&world);
    let config = ModelConfig::read(&folder).unwrap();
    let tokenizer = TextTokenizer::open(&folder, &config).unwrap();
    let dataset = Dataset::read(&folder.join("cnn_eval.json")).unwrap();
    let tokens = tokenizer
        .encode(&prompt::render(&dataset.samples[0]))
        .unwrap();
    assert_ne!(tokens[0], 0);
    spoil_embedding(&folder, u64::try_from(tokens[0]).unwrap());
    let folder = folder.to_str().unwrap();
    let Some(ran) = run(
        &world,
        &[
            "--precision=fp16",
            "--model_path",
            folder,
            "--offline_expected_qps=100",
        ],
    ) else {
        return;
    };
    ran.assert_error(
        2,
        &[
            "step 1 on GPU 0 (request",
            "NaN or infinity among the logits of request",
        ],
    );
    world.assert_no_result("Offline", "failed");
}

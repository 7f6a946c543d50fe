//! The CPU engine, through bridge and schedulers, against the tokens of two releases of Hugging Face transformers.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of #[test] stop a test as it would"
)]

#[path = "support/golden.rs"]
mod golden;

use std::fs;
use std::path::{Path, PathBuf};

use mlperf_gptj::bridge::ffi;
use mlperf_gptj::dataset::{Dataset, TextTokenizer, prompt};
use mlperf_gptj::model::{Checkpoint, ModelConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Prompts {
    prompts: Vec<Vec<i32>>,
}

const LENGTHS: [(&str, ffi::BeamLength); 2] = [
    ("generated", ffi::BeamLength::Generated),
    ("prompt_and_generated", ffi::BeamLength::PromptAndGenerated),
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What one run is made of.
struct Setup<'a> {
    model: &'a Path,
    prompts: &'a [Vec<i32>],
    beam_length: ffi::BeamLength,
    precision: &'a str,
    scheduler: &'a str,
}

fn generate(setup: &Setup<'_>) -> Vec<Vec<i32>> {
    let config = ModelConfig::read(setup.model).unwrap();
    let checkpoint = Checkpoint::open(setup.model).unwrap();
    let generation = ffi::Generation {
        beam_width: 4,
        min_new_tokens: 30,
        max_new_tokens: 128,
        length_penalty: 1.0,
        beam_length: setup.beam_length,
        eos_token: config.eos_token,
    };
    let longest = setup.prompts.iter().map(Vec::len).max().unwrap();
    let settings = ffi::EngineSettings {
        engine: "cpu".to_owned(),
        precision: setup.precision.to_owned(),
        threads: 2,
        max_requests: 7,
        max_tokens_per_step: 150,
        kv_block_size: 16,
        max_prompt_tokens: i32::try_from(longest).unwrap(),
        ..ffi::EngineSettings::default()
    };
    let mut pool = ffi::new_engine_pool();
    let shape = ffi::ModelShape::from(&config);
    ffi::add_engine(pool.pin_mut(), &settings, &shape, &generation, &checkpoint).unwrap();

    let mut offsets = vec![0];
    for prompt in setup.prompts {
        offsets.push(offsets.last().unwrap() + prompt.len() as u64);
    }
    let samples = ffi::new_sample_set(&setup.prompts.concat(), &offsets, &[], &[]).unwrap();
    let scheduler = ffi::SchedulerSettings {
        name: setup.scheduler.to_owned(),
        enable_sort: true,
        num_sort_segments: 1,
    };
    let progress = ffi::new_progress();
    let answers = ffi::generate(&scheduler, &generation, pool.pin_mut(), &samples, &progress);
    let answers = answers.unwrap().into_iter();
    answers.map(|answer| answer.tokens).collect()
}

#[test]
fn random_models_give_the_tokens_of_transformers() {
    for name in ["random-a", "random-b", "random-c"] {
        let folder = repository().join("tests/fixtures/generation").join(name);
        let prompts: Prompts = read(&folder.join("prompts.json"));
        for (text, beam_length) in LENGTHS {
            let path = folder.join(format!("{text}.json"));
            let expected = golden::read(&path, text);
            for scheduler in ["static", "inflight"] {
                let answers = generate(&Setup {
                    model: &folder,
                    prompts: &prompts.prompts,
                    beam_length,
                    precision: "f32",
                    scheduler,
                });
                assert_eq!(answers, expected, "{name}, {text}, {scheduler}");
            }
        }
    }
}

/// The first prompts of gptj-mini's evaluation set.
fn mini_prompts(folder: &Path, count: usize) -> Vec<Vec<i32>> {
    let config = ModelConfig::read(folder).unwrap();
    let tokenizer = TextTokenizer::open(folder, &config).unwrap();
    let dataset = Dataset::read(&folder.join("cnn_eval.json")).unwrap();
    let samples = dataset.samples.iter().take(count);
    samples
        .map(|sample| tokenizer.encode(&prompt::render(sample)).unwrap())
        .collect()
}

#[test]
fn gptj_mini_gives_the_tokens_of_transformers() {
    let folder = repository().join("models/gptj-mini");
    let prompts = mini_prompts(&folder, 24);
    for (text, beam_length) in LENGTHS {
        let mut expected = golden::gptj_mini(&repository(), text);
        expected.truncate(prompts.len());
        let answers = generate(&Setup {
            model: &folder,
            prompts: &prompts,
            beam_length,
            precision: "f32",
            scheduler: "inflight",
        });
        assert_eq!(answers, expected, "{text}");
    }
}

/// In bfloat16 some summaries differ from those in float32, but how they are scheduled changes none.
#[test]
fn bf16_answers_do_not_depend_on_the_scheduler() {
    if !ffi::cpu_supports("bf16") {
        return;
    }
    let folder = repository().join("models/gptj-mini");
    let prompts = mini_prompts(&folder, 16);
    let [one, other] = ["static", "inflight"].map(|scheduler| {
        generate(&Setup {
            model: &folder,
            prompts: &prompts,
            beam_length: ffi::BeamLength::Generated,
            precision: "bf16",
            scheduler,
        })
    });
    assert_eq!(one, other);
    let expected = golden::gptj_mini(&repository(), "generated");
    let same = one.iter().zip(&expected).filter(|(a, b)| a == b).count();
    assert!(same >= prompts.len() / 2, "{same} of {}", prompts.len());
}

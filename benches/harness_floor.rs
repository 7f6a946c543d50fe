//! What the harness itself costs: the fake engine spends no time in a step, and LoadGen asks for as much as it can get.
//!
//!     cargo bench --bench harness_floor [-- PART OF A NAME]
//!
//! Prints a table; no time makes it fail, but a run does that crashes or that LoadGen calls invalid for another reason
//! than its latency. The limits are those of a 6B engine on a GPU, prompts have 46 to 1,854 tokens (950 on average).
//! `at once` answers each prompt with the one token that its last chunk gives; `30..128` takes the steps that real
//! answers take, which makes the fake engine's own bookkeeping a good part of the time.

#[path = "support/loadgen.rs"]
mod loadgen;

use std::env;
use std::path::Path;

use anyhow::{Result, ensure};
use mlperf_gptj::bridge::{EngineError, ffi};
use mlperf_gptj::model::Checkpoint;

const OFFLINE_FLOOR: f64 = 50_000.0;
const SERVER_QPS: f64 = 5_000.0;
const SERVER_P99_MS: u64 = 5;
const SECONDS: u64 = 10;
const SAMPLES: i32 = 4096;

#[derive(Clone, Copy)]
struct Run {
    scenario: ffi::Scenario,
    scheduler: &'static str,
    engines: usize,
    at_once: bool,
}

impl Run {
    fn all() -> Vec<Self> {
        let mut runs = Vec::new();
        for scenario in [ffi::Scenario::Offline, ffi::Scenario::Server] {
            for scheduler in ["inflight", "static"] {
                for engines in [1, 4] {
                    for at_once in [true, false] {
                        runs.push(Self {
                            scenario,
                            scheduler,
                            engines,
                            at_once,
                        });
                    }
                }
            }
        }
        runs
    }

    fn is_offline(&self) -> bool {
        self.scenario == ffi::Scenario::Offline
    }

    fn name(&self) -> String {
        let scenario = if self.is_offline() {
            "Offline"
        } else {
            "Server"
        };
        let answers = if self.at_once { "at once" } else { "30..128" };
        format!(
            "{scenario:<8} {:<9} {:>7}  {answers:<8}",
            self.scheduler, self.engines
        )
    }

    fn generation(&self) -> ffi::Generation {
        let (min_new_tokens, max_new_tokens) = if self.at_once { (1, 1) } else { (30, 128) };
        ffi::Generation {
            beam_width: 4,
            min_new_tokens,
            max_new_tokens,
            length_penalty: 1.0,
            beam_length: ffi::BeamLength::PromptAndGenerated,
            eos_token: 50256,
        }
    }
}

fn main() -> Result<()> {
    let runs = Run::all();
    if let Some(index) = loadgen::child()? {
        return test(&runs[index]);
    }
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    println!(
        "scenario scheduler engines  answers        rate/s   p99 ms  LoadGen  floor              met"
    );
    for (index, run) in runs.iter().enumerate() {
        let name = run.name();
        if wanted.iter().all(|part| name.contains(part.as_str())) {
            println!("{name} {}", measure(index, run)?);
        }
    }
    Ok(())
}

/// The second half of a line of the table.
fn measure(index: usize, run: &Run) -> Result<String> {
    let summary = loadgen::run_child(index)?;
    let valid = summary.is_valid()?;
    let p99 = summary.number("99.00 percentile latency (ns)")? / 1e6;
    let (rate, floor, met) = if run.is_offline() {
        let rate = summary.number("Samples per second")?;
        let floor = format!("{OFFLINE_FLOOR}/s");
        (rate, floor, rate >= OFFLINE_FLOOR)
    } else {
        let floor = format!("{SERVER_QPS}/s in {SERVER_P99_MS} ms");
        // LoadGen holds the run to both.
        (
            summary.number("Scheduled samples per second")?,
            floor,
            valid,
        )
    };
    Ok(format!(
        "{rate:>11.0} {p99:>8.2}  {:<7}  {floor:<17}  {}",
        if valid { "VALID" } else { "INVALID" },
        if met { "yes" } else { "no" }
    ))
}

/// One run, in the child.
fn test(run: &Run) -> Result<()> {
    let generation = run.generation();
    let mut pool = engines(run.engines, &generation)?;
    let samples = samples()?;
    let user_conf = if run.is_offline() {
        offline(run, &generation, &mut pool, &samples)?
    } else {
        format!(
            "gptj.Server.target_qps = {SERVER_QPS}\n\
             gptj.Server.target_latency = {SERVER_P99_MS}\n\
             gptj.Server.min_duration = {}\n",
            SECONDS * 1000
        )
    };
    let test = loadgen::Test {
        scenario: run.scenario,
        scheduler: run.scheduler,
        user_conf: &user_conf,
    };
    let outcome = test.run(&generation, pool, &samples)?;
    // Empty answers would be fast, too.
    let least = outcome.samples_completed * generation.min_new_tokens as u64;
    ensure!(
        outcome.samples_completed > 0 && outcome.generated_tokens >= least,
        "{} tokens in {} answers",
        outcome.generated_tokens,
        outcome.samples_completed
    );
    Ok(())
}

/// As many samples as about ten seconds take, by a short run without LoadGen.
fn offline(
    run: &Run,
    generation: &ffi::Generation,
    pool: &mut cxx::UniquePtr<ffi::EnginePool>,
    samples: &ffi::SampleSet,
) -> Result<String> {
    let settings = ffi::MeasureSettings {
        scenario: run.scenario,
        scheduler: loadgen::scheduler(run.scheduler),
        seconds: 0.5,
    };
    let progress = ffi::new_progress();
    let measured = ffi::measure(&settings, generation, pool.pin_mut(), samples, &progress)
        .map_err(EngineError::from)?;
    let count = (measured.samples_per_second * SECONDS as f64).max(20_000.0);
    // LoadGen takes the larger of this count and target_qps * min_duration.
    Ok(format!(
        "gptj.Offline.target_qps = 1\n\
         gptj.Offline.min_duration = 1000\n\
         gptj.Offline.min_query_count = {count:.0}\n"
    ))
}

fn engines(count: usize, generation: &ffi::Generation) -> Result<cxx::UniquePtr<ffi::EnginePool>> {
    // The fake engine reads no weights; any checkpoint will do.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/gptj-mini");
    let checkpoint = Checkpoint::open(&model)?;
    let settings = ffi::EngineSettings {
        engine: "fake".to_owned(),
        precision: "f32".to_owned(),
        max_requests: 192,
        max_tokens_per_step: 4096,
        kv_block_size: 16,
        max_prompt_tokens: 1919,
        fake_seed: 1,
        fake_max_steps_in_flight: 1,
        ..ffi::EngineSettings::default()
    };
    let mut pool = ffi::new_engine_pool();
    for _ in 0..count {
        ffi::add_engine(pool.pin_mut(), &settings, &SHAPE, generation, &checkpoint)
            .map_err(EngineError::from)?;
    }
    Ok(pool)
}

/// GPT-J 6B.
const SHAPE: ffi::ModelShape = ffi::ModelShape {
    vocab_size: 50400,
    n_layer: 28,
    n_embd: 4096,
    n_head: 16,
    n_inner: 16384,
    n_positions: 2048,
    rotary_dim: 64,
    layer_norm_epsilon: 1e-5,
};

/// Every length between 46 and 1,854 tokens equally often, in an order without a pattern.
fn samples() -> Result<cxx::UniquePtr<ffi::SampleSet>> {
    let mut tokens = Vec::new();
    let mut offsets = vec![0];
    for sample in 0..SAMPLES {
        // An odd factor permutes the numbers below a power of two.
        let place = sample * 1597 % SAMPLES;
        let length = 46 + place * (1854 - 46) / (SAMPLES - 1);
        tokens.extend((0..length).map(|position| (position * 31 + sample) % SHAPE.vocab_size));
        offsets.push(tokens.len() as u64);
    }
    Ok(ffi::new_sample_set(&tokens, &offsets, &[], &[]).map_err(EngineError::from)?)
}

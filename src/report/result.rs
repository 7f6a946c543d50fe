//! `result.json`: all that one test came to, for programs. `docs/result_schema.md` lists the fields; a field never
//! changes its meaning without a new [`SCHEMA_VERSION`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::explain::Finding;
use crate::accuracy::Scores;
use crate::accuracy::thresholds::{AccuracyReference, Verdict};
use crate::bridge::ffi;
use crate::config::{ResolvedConfig, SettingUsed};
use crate::engines::Provided;
use crate::error::Failure;
use crate::model::Fingerprint;
use crate::model::calibration::RangesUsed;
use crate::system::Machine;

/// Version of the fields below.
pub const SCHEMA_VERSION: u32 = 1;
/// Its name in the folder of a test.
pub const FILE_NAME: &str = "result.json";

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran to its end; its result may still be INVALID or its accuracy too low.
    Completed,
    /// It could not do what it should have done; whatever is in its logs is no result.
    Failed,
    /// Somebody stopped it; whatever is in its logs is no result.
    Interrupted,
}

/// All that one test came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// How it ended.
    pub status: Status,
    /// Why it did not complete.
    pub failure: Option<Failure>,
    /// `gptj-99` or `gptj-99.9`.
    pub benchmark: String,
    /// LoadGen's verdict `VALID`, and no error in its log; absent in accuracy runs.
    pub valid: Option<bool>,
    /// Every rule that was broken, with the remedy.
    pub findings: Vec<Finding>,
    /// Why it cannot be submitted, whatever LoadGen says; empty when nothing speaks against it.
    pub not_for_submission: Vec<String>,
    /// Rates and latencies; absent in accuracy runs.
    pub performance: Option<Performance>,
    /// ROUGE; absent in performance runs.
    pub accuracy: Option<Accuracy>,
    /// What the harness itself counted.
    pub harness: Option<Harness>,
    /// Rates that were measured in place of `auto`, and those that LoadGen was told.
    pub rates: Rates,
    /// LoadGen's version and what it complained about.
    pub loadgen: Option<Loadgen>,
    /// The engines that served the queue.
    pub engines: Vec<EngineInstance>,
    /// The plan that they ran; absent for engines without plans.
    pub plan: Option<PlanInUse>,
    /// What identifies model and data set.
    pub inputs: Option<Inputs>,
    /// Where the ranges of activations come from; absent in any other precision than fp8.
    #[serde(default)]
    pub fp8_ranges: Option<RangesUsed>,
    /// The machine.
    pub machine: Machine,
    /// `run_harness` and its version.
    pub program: String,
    /// When the test started: RFC 3339, UTC.
    pub started: String,
    /// When it ended.
    pub finished: String,
    /// The configuration it ran with.
    pub config: ResolvedConfig,
    /// Every setting as it was given, and where it came from; empty in files of earlier versions.
    #[serde(default)]
    pub settings: BTreeMap<String, SettingUsed>,
}

/// Rates and latencies, from LoadGen's detail log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// The scenario's metric by its name in LoadGen's detail log: `result_samples_per_second`,
    /// `result_scheduled_samples_per_sec` or `early_stopping_latency_ss`.
    pub metric: String,
    /// Its value: per second, or nanoseconds.
    pub value: f64,
    /// Samples per second. Server: as completed; SingleStream: without LoadGen's overhead.
    pub samples_per_second: f64,
    /// Tokens that were generated in a second, end tokens included.
    pub tokens_per_second: f64,
    /// Tokens per second as rounds since v4.1 report them: samples per second times 69.
    pub inferred_tokens_per_second: Option<f64>,
    /// What the round's submission checker reads; absent where no round has rules.
    #[serde(default)]
    pub round_figure: Option<RoundFigure>,
    /// Queries that LoadGen issued; in Offline one query carries all samples.
    pub query_count: u64,
    /// Server: queries that took longer than the bound.
    pub overlatency_query_count: Option<u64>,
    /// Latency of a sample.
    pub latency_ns: Latency,
}

/// A result as a round states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundFigure {
    /// The round: `v5.0`.
    pub round: String,
    /// Its name in LoadGen's detail log.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// `samples/s`, `tokens/s`, or `ns` in SingleStream.
    pub unit: String,
}

/// Nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say all")]
pub struct Latency {
    pub min: u64,
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    pub p95: u64,
    pub p97: u64,
    pub p99: u64,
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    pub max: u64,
}

/// ROUGE of an accuracy run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// What the reference script prints.
    pub scores: Scores,
    /// Against the thresholds; absent where there is no reference for this model and data set.
    pub verdict: Option<Verdict>,
    /// Every metric passed, on all samples; absent as above.
    pub passed: Option<bool>,
    /// What was compared with.
    pub reference: Option<AccuracyReference>,
}

/// What the harness itself counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Harness {
    /// Samples answered.
    pub samples: u64,
    /// Prompt tokens prefilled.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Steps of all engines.
    pub steps: u64,
    /// Most requests in flight at once, all engines together.
    pub peak_running: u32,
    /// Most requests waiting at once.
    pub peak_waiting: u32,
    /// Most KV blocks in use at once.
    pub peak_kv_blocks: u32,
    /// Mean of tokens in a step over the most that a step takes, 0 to 1.
    pub mean_step_fill: f64,
    /// Mean of requests in flight.
    pub mean_running: f64,
    /// Seconds from the first query to the last answer.
    pub seconds: f64,
    /// Server: how the queue grew; absent in other scenarios, and where nothing was seen of it.
    #[serde(default)]
    pub queue: Option<Queue>,
}

/// How the queue of a Server test grew, as seen several times a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Seconds from the first query to the last one.
    pub arrival_seconds: f64,
    /// Queries that were open when the last one came.
    pub outstanding_at_last_arrival: u64,
    /// The longest time without a pause, in seconds, in which more requests waited than come in two steps.
    pub busy_seconds: f64,
    /// Answers a second in that time: what the engines hold. Absent where it was too short to tell.
    pub served_per_second: Option<f64>,
    /// Seconds by which these answers were behind their queries at the very beginning.
    pub lag_seconds: Option<f64>,
}

impl From<&ffi::RunOutcome> for Harness {
    fn from(outcome: &ffi::RunOutcome) -> Self {
        Self {
            samples: outcome.samples_completed,
            prompt_tokens: outcome.prompt_tokens,
            generated_tokens: outcome.generated_tokens,
            steps: outcome.steps,
            peak_running: outcome.peak_running,
            peak_waiting: outcome.peak_waiting,
            peak_kv_blocks: outcome.peak_kv_blocks,
            mean_step_fill: outcome.mean_step_fill,
            mean_running: outcome.mean_running,
            seconds: outcome.seconds,
            queue: None,
        }
    }
}

/// Rates in place of `auto`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Samples per second that the engines held, and where that was seen.
    pub measured_samples_per_second: Option<f64>,
    /// `a measurement before the test` or `the Offline test of this run`.
    pub measured_by: Option<String>,
    /// Nanoseconds that one sample took alone.
    pub measured_latency_ns: Option<u64>,
    /// What LoadGen was told, samples or queries per second.
    pub target_qps: Option<f64>,
}

/// LoadGen's version and what it complained about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loadgen {
    /// As its log says.
    pub version: String,
    /// The submission checker refuses a log with any.
    pub errors: Vec<String>,
    /// For information.
    pub warnings: Vec<String>,
}

/// One engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineInstance {
    /// `cpu (bf16)`.
    pub name: String,
    /// Requests in flight, at most.
    pub max_requests: i32,
    /// Tokens in a step, at most.
    pub max_tokens_per_step: i32,
    /// KV blocks.
    pub kv_blocks: i32,
    /// Tokens in a KV block.
    pub kv_block_size: i32,
}

/// The plan that engines ran; its manifest lies beside it and has more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanInUse {
    /// The file.
    pub path: PathBuf,
    /// Digest of the file.
    pub digest: Fingerprint,
    /// Version of the builder: TensorRT's.
    pub builder_version: String,
    /// What the engine computes in.
    pub precision: String,
    /// When it was built: RFC 3339, UTC.
    pub built: String,
}

impl From<&Provided> for PlanInUse {
    fn from(provided: &Provided) -> Self {
        let manifest = &provided.manifest;
        Self {
            path: provided.path.clone(),
            digest: manifest.plan.digest.clone(),
            builder_version: manifest.needs.builder_version.clone(),
            precision: manifest.needs.precision.clone(),
            built: manifest.built.clone(),
        }
    }
}

/// What identifies model and data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Digest of the weights; absent for an engine without weights.
    pub model: Option<Fingerprint>,
    /// Digest of the data set.
    pub dataset: Fingerprint,
    /// Digest of the tokenizer; absent in synthetic runs.
    pub tokenizer: Option<Fingerprint>,
    /// Samples in the run's set.
    pub samples: u64,
    /// Tokens of all prompts.
    pub prompt_tokens: u64,
    /// Prompts that lost their end.
    pub truncated: u64,
}

//! The resolved configuration of one test: plain values, no options, serialisable for the child process that runs it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything one LoadGen test needs to know: one benchmark, one scenario, one accuracy target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResolvedConfig {
    /// What is run, and as what it is reported.
    pub run: RunConfig,
    /// What LoadGen is told.
    pub loadgen: LoadgenConfig,
    /// What computes.
    pub engine: EngineConfig,
    /// How requests are batched.
    pub scheduler: SchedulerConfig,
    /// How text is generated.
    pub generation: GenerationConfig,
    /// Where things are.
    pub paths: PathsConfig,
    /// How results are shown.
    pub report: ReportConfig,
}

impl ResolvedConfig {
    /// `gptj-99` or `gptj-99.9`, as folders and result files name it.
    pub fn benchmark_full(&self) -> String {
        format!(
            "{}-{}",
            self.run.benchmark,
            self.run.accuracy_target.percent()
        )
    }

    /// What the v3.1 harness called a combination of settings: `custom_k_99_MaxP` or `custom_k_99_9_MaxP`.
    pub fn workload_setting(&self) -> String {
        let accuracy = match self.run.accuracy_target {
            AccuracyTarget::P99 => "k_99",
            AccuracyTarget::P999 => "k_99_9",
        };
        format!("custom_{accuracy}_MaxP")
    }

    /// Where this test's logs go: `<log_dir>/<system>/gptj-99[.9]/<Scenario>`.
    pub fn test_dir(&self) -> PathBuf {
        let scenario = self.run.scenario.to_string();
        self.paths
            .log_dir
            .join(&self.run.system_name)
            .join(self.benchmark_full())
            .join(scenario)
    }
}

/// What is run, and as what it is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The benchmark.
    pub benchmark: Benchmark,
    /// LoadGen's scenario.
    pub scenario: Scenario,
    /// LoadGen's test mode.
    pub test_mode: TestMode,
    /// The accuracy that is aimed at.
    pub accuracy_target: AccuracyTarget,
    /// Rules of which round: `v5.0`.
    pub round: String,
    /// `cnn_dailymail`, `gptj-mini` or `custom`.
    pub workload: String,
    /// Name of the system in results.
    pub system_name: String,
    /// Profile from `configs/systems` that gave values, or `none`.
    pub system_profile: String,
    /// A short run: one minute, one query.
    pub fast: bool,
    /// Accuracy runs: only this many samples; 0: all of them.
    pub accuracy_samples: u64,
    /// What the round states rates in.
    #[serde(default)]
    pub result_unit: ResultUnit,
    /// Why results cannot be submitted; empty when nothing in the configuration forbids it.
    pub not_for_submission: Vec<String>,
}

/// What LoadGen is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadgenConfig {
    /// Milliseconds that a performance run lasts at least.
    pub min_duration_ms: u64,
    /// Milliseconds that a performance run lasts at most; 0: no limit.
    pub max_duration_ms: u64,
    /// Queries (Offline: samples) at least.
    pub min_query_count: u64,
    /// Queries at most; 0: no limit.
    pub max_query_count: u64,
    /// Samples that the sample library keeps loaded in a performance run; 0: all of them.
    pub performance_sample_count: u64,
    /// LoadGen's own number of samples to draw from; 0: what the sample library says.
    pub performance_sample_count_override: u64,
    /// Draw samples as whole permutations of the data set.
    pub sample_concatenate_permutation: bool,
    /// Seeds of the round. LoadGen reads seeds from its embedded mlperf.conf only, never from user.conf, so they are
    /// set in its settings.
    pub qsl_rng_seed: u64,
    /// See `qsl_rng_seed`.
    pub sample_index_rng_seed: u64,
    /// See `qsl_rng_seed`.
    pub schedule_rng_seed: u64,
    /// Server: queries per second, before the factor below.
    pub server_target_qps: Qps,
    /// Server: what the target rate is multiplied with.
    pub server_target_qps_adj_factor: f64,
    /// Server: nanoseconds, whole milliseconds.
    pub server_target_latency_ns: u64,
    /// Server: share of queries within the target latency, 0..1.
    pub server_target_latency_percentile: f64,
    /// Server: one call may carry several queries that are due.
    pub server_coalesce_queries: bool,
    /// Server: LoadGen's issuing threads; 0: LoadGen's own one.
    pub server_num_issue_query_threads: u64,
    /// Offline: samples per second expected; how large the one query is.
    pub offline_expected_qps: Qps,
    /// SingleStream: nanoseconds that one sample is expected to take; 0: measured before the test.
    pub single_stream_expected_latency_ns: u64,
    /// SingleStream: the percentile that is reported, 0..1.
    pub single_stream_target_latency_percentile: f64,
    /// LoadGen's logs.
    pub log: LogConfig,
}

/// How LoadGen writes its logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Put behind `mlperf_log_summary` and its siblings.
    pub suffix: String,
    /// Put the date in front of the names.
    pub prefix_with_datetime: bool,
    /// Repeat the detail log on stdout.
    pub copy_detail_to_stdout: bool,
    /// Repeat the summary on stdout.
    pub copy_summary_to_stdout: bool,
    /// Write mlperf_log_trace.json.
    pub enable_trace: bool,
}

/// What computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineConfig {
    /// Which engine.
    pub engine: EngineKind,
    /// What it computes in.
    pub precision: Precision,
    /// Worker threads of the CPU engine, at least 1.
    pub threads: u32,
    /// GPUs to use, by their numbers in `nvidia-smi`; empty for CPU engines.
    pub devices: Vec<u32>,
    /// The same devices as CUDA_VISIBLE_DEVICES names them: UUIDs, those of MIG instances among them. Empty when CUDA's
    /// own numbering holds, and for CPU engines.
    #[serde(default)]
    pub cuda_devices: Vec<String>,
    /// Requests in flight in one engine, at most.
    pub max_requests: u32,
    /// Prompt tokens and decode rows in one step, at most.
    pub max_tokens_per_step: u32,
    /// Tokens in a block of the KV cache.
    pub kv_block_size: u32,
    /// Blocks of the KV cache; 0: as many as `max_requests` of the longest requests need.
    pub kv_blocks: u32,
    /// Share of a GPU's free memory that an engine may take.
    #[serde(default)]
    pub memory_fraction: f64,
    /// Longest prompt, in tokens.
    pub max_prompt_tokens: u32,
    /// Folders that are searched for an engine's library.
    pub library_dirs: Vec<PathBuf>,
    /// Build its plan even where there is one that fits.
    #[serde(default)]
    pub force_build: bool,
    /// Say how memory is divided.
    pub verbose: bool,
    /// Time the parts of every step on a GPU.
    #[serde(default)]
    pub profile: bool,
    /// TensorRT in fp16: multiply with the CUDA engine's products, as fp8 always does.
    #[serde(default)]
    pub gemm_plugin: bool,
    /// Weights, prompts and lengths are drawn from this; 0: they are real.
    pub synthetic_seed: u64,
    /// How activations become 8 bits, in fp8.
    #[serde(default)]
    pub fp8: Fp8Config,
    /// Settings of the fake engine.
    pub fake: FakeEngineConfig,
}

/// How activations become 8 bits; of no account in any other precision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fp8Config {
    /// File of a calibration; without one the engine has ranges of its own.
    pub scales: Option<PathBuf>,
    /// Which figure of that file is the range.
    pub range: Fp8Range,
}

/// Settings of the fake engine, which tests use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FakeEngineConfig {
    /// Microseconds that a step takes.
    pub step_us: u32,
    /// Seed of its answers.
    pub seed: u64,
    /// A fault to show: empty, or `throw:N` or `nan:N` in step N, counted from 1.
    pub fault: String,
    /// Steps that may be in flight.
    pub max_steps_in_flight: u32,
    /// Fake engines that serve the one queue.
    pub instances: u32,
}

/// How requests are batched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SchedulerConfig {
    /// Which scheduler.
    pub name: SchedulerKind,
    /// `static`: sort the samples of a query by prompt length.
    pub enable_sort: bool,
    /// `static`: segments that are sorted, each by itself.
    pub num_sort_segments: u32,
}

/// How text is generated. The end token comes from the model's config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationConfig {
    /// Beams.
    pub beam_width: u32,
    /// Tokens before a sequence may end.
    pub min_new_tokens: u32,
    /// Tokens at which a sequence must end.
    pub max_new_tokens: u32,
    /// Exponent of the length in a hypothesis' score.
    pub length_penalty: f64,
    /// What counts as length.
    pub beam_length: BeamLength,
}

/// Where things are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathsConfig {
    /// Hugging Face folder of the model.
    pub model: PathBuf,
    /// Data set in the form of cnn_eval.json.
    pub dataset: PathBuf,
    /// Data sets; the calibration set of GPT-J 6B among them.
    #[serde(default)]
    pub data: PathBuf,
    /// Tokenised prompts.
    #[serde(default)]
    pub preprocessed_data: PathBuf,
    /// Plans of engines; see `crate::engines`.
    #[serde(default)]
    pub engine_dir: PathBuf,
    /// Logs of this invocation; see [`ResolvedConfig::test_dir`].
    pub log_dir: PathBuf,
}

/// How results are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportConfig {
    /// An INVALID result is a failure.
    pub require_valid: bool,
    /// More messages.
    pub verbose: bool,
    /// No messages but errors; the summary still goes to stdout.
    pub quiet: bool,
}

/// A closed set of names: parsing, printing and serialising all use the same spelling.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $($(#[$vdoc])* #[serde(rename = $name)] $variant),+ }

        impl $type {
            /// All of them, in the order in which they are listed to people.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The canonical spelling.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

names! {
    /// What can be run.
    Benchmark {
        /// GPT-J 6B summarisation, or the small model in its place.
        Gptj = "gptj",
    }
}

names! {
    /// LoadGen's scenarios, spelt as LoadGen spells them.
    Scenario {
        /// All samples at once.
        Offline = "Offline",
        /// Poisson arrivals with a latency bound.
        Server = "Server",
        /// One sample after the other.
        SingleStream = "SingleStream",
    }
}

names! {
    /// LoadGen's test modes.
    TestMode {
        /// Rates and latencies.
        PerformanceOnly = "PerformanceOnly",
        /// Every sample once, answers logged.
        AccuracyOnly = "AccuracyOnly",
        /// Accuracy, then performance.
        SubmissionRun = "SubmissionRun",
    }
}

names! {
    /// How close to the reference's accuracy a result must be.
    AccuracyTarget {
        /// 99 % of the reference.
        P99 = "0.99",
        /// 99.9 % of the reference.
        P999 = "0.999",
    }
}

impl AccuracyTarget {
    /// `99` or `99.9`.
    pub fn percent(self) -> &'static str {
        match self {
            Self::P99 => "99",
            Self::P999 => "99.9",
        }
    }

    /// The share of the reference's score that must be reached.
    pub fn ratio(self) -> f64 {
        match self {
            Self::P99 => 0.99,
            Self::P999 => 0.999,
        }
    }
}

names! {
    /// What computes.
    EngineKind {
        /// oneDNN on the CPU.
        Cpu = "cpu",
        /// Our CUDA kernels.
        Cuda = "cuda",
        /// TensorRT.
        Tensorrt = "tensorrt",
        /// Answers at once, for tests.
        Fake = "fake",
    }
}

names! {
    /// What an engine computes in.
    Precision {
        /// 32-bit float.
        F32 = "f32",
        /// bfloat16.
        Bf16 = "bf16",
        /// 16-bit float.
        Fp16 = "fp16",
        /// 8-bit float, E4M3.
        Fp8 = "fp8",
    }
}

impl Precision {
    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::Fp16 => 2,
            Self::Fp8 => 1,
        }
    }
}

names! {
    /// A figure of a calibration: what bounds the magnitude of an activation.
    Fp8Range {
        /// The largest that was seen.
        Max = "max",
        /// One element in 1,000 was larger.
        P99_9 = "p99.9",
        /// One element in 10,000 was larger.
        P99_99 = "p99.99",
    }
}

names! {
    /// How requests are batched.
    SchedulerKind {
        /// Batches that run to their end together.
        Static = "static",
        /// Iteration-level batching.
        Inflight = "inflight",
    }
}

names! {
    /// What counts as the length of a hypothesis.
    BeamLength {
        /// Prompt and generated tokens: transformers until 4.35.
        PromptAndGenerated = "prompt_and_generated",
        /// Generated tokens: transformers since 4.36.
        Generated = "generated",
    }
}

names! {
    /// What a round states rates in.
    ResultUnit {
        /// Until v4.0.
        Samples = "samples/s",
        /// Since v4.1: tokens, of which every sample counts for 69.
        Tokens = "tokens/s",
    }
}

impl Default for Fp8Range {
    /// Nothing is cut off.
    fn default() -> Self {
        Self::Max
    }
}

impl Default for ResultUnit {
    /// That of the latest round.
    fn default() -> Self {
        Self::Tokens
    }
}

/// A rate that is given or measured before the test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Qps {
    /// Measured: the run takes a rate that this machine holds.
    Auto,
    /// Samples per second.
    Fixed(f64),
}

//! The one bridge between Rust and C++.
//!
//! Shared structs are dumb mirrors: no serde, no logic. Rust's own types convert into them beside those types. Whatever
//! can throw is declared `Result`. See `docs/architecture.md`, "Across the bridge".

#![expect(
    missing_docs,
    reason = "cxx generates items without documentation, and lets no lint attribute inside"
)]
#![expect(
    clippy::panic,
    reason = "cxx generates one for a SharedPtr that C++ could not move"
)]

pub mod error;
mod model;
mod scheduler;

pub use error::{EngineError, ErrorKind};

use scheduler::{RustScheduler, new_rust_scheduler};

use crate::model::Checkpoint;

// SAFETY: `Progress` consists of atomics and a string that is written once, before the atomic flag that publishes it.
unsafe impl Send for ffi::Progress {}
// SAFETY: as above.
unsafe impl Sync for ffi::Progress {}
// SAFETY: a sample set is never changed after its construction.
unsafe impl Send for ffi::SampleSet {}
// SAFETY: as above.
unsafe impl Sync for ffi::SampleSet {}
// SAFETY: engines belong to no thread: the harness itself drives each one from a thread of its own, one at a time.
unsafe impl Send for ffi::EnginePool {}
// SAFETY: C++ schedulers keep no state and are const.
unsafe impl Send for ffi::CppScheduler {}
// SAFETY: as above.
unsafe impl Sync for ffi::CppScheduler {}

#[cxx::bridge(namespace = "gptj::ffi")]
pub mod ffi {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Scenario {
        Offline,
        Server,
        SingleStream,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum TestMode {
        PerformanceOnly,
        AccuracyOnly,
        SubmissionRun,
        FindPeakPerformance,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum DType {
        F32,
        F16,
        BF16,
        F8E4M3,
        I8,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum BeamLength {
        PromptAndGenerated,
        Generated,
    }

    /// Mirror of `gptj::cpu::Activation`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Activation {
        Normed,
        Joined,
        Keys,
        Values,
    }

    /// Mirror of `gptj::ModelConfig`; validated by `model::config`.
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct ModelShape {
        vocab_size: i32,
        n_layer: i32,
        n_embd: i32,
        n_head: i32,
        n_inner: i32,
        n_positions: i32,
        rotary_dim: i32,
        layer_norm_epsilon: f32,
    }

    /// Mirror of `gptj::GenerationConfig`.
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Generation {
        beam_width: i32,
        min_new_tokens: i32,
        max_new_tokens: i32,
        length_penalty: f32,
        beam_length: BeamLength,
        eos_token: i32,
    }

    /// One engine instance. Zero means "derive it" where the comment says so.
    #[derive(Debug, Clone, PartialEq, Default)]
    struct EngineSettings {
        /// `cpu`, `fake`, or the name of a library `libgptj_<name>.so`.
        engine: String,
        /// `f32`, `bf16`, `fp16`, `fp8`; what an engine supports is its own business.
        precision: String,
        /// The plan of an engine that runs from one: what it reads, or where it is to be written.
        plan_path: String,
        /// Folders searched for the engine's library, before the loader's own path.
        library_dirs: Vec<String>,
        /// GPU index; ignored by CPU engines.
        device: i32,
        /// Worker threads of a CPU engine; 0: one for each core that the process may use.
        threads: i32,
        max_requests: i32,
        max_tokens_per_step: i32,
        /// Blocks in the KV pool; 0: as many as `max_requests` requests of the longest kind need.
        kv_blocks: i32,
        kv_block_size: i32,
        /// GPU engines: share of the free memory that may be taken.
        memory_fraction: f64,
        /// Longest prompt that will be asked for, in tokens.
        max_prompt_tokens: i32,
        /// Say on stderr how memory is divided.
        verbose: bool,
        /// GPU engines: time the parts of every step, and say so on stderr at the end.
        profile: bool,
        /// TensorRT in fp16: multiply with the CUDA engine's products, as fp8 always does.
        gemm_plugin: bool,
        /// GPU engines; not 0: weights are drawn from it, the checkpoint is not read.
        synthetic_seed: u64,
        /// Time that the fake engine spends in a step, in microseconds, whatever the work.
        fake_step_us: i32,
        /// Seed of what the fake engine answers.
        fake_seed: u64,
        /// Fault that the fake engine shows, for tests of failing paths: empty, `throw:N` (throws in step N) or
        /// `nan:N` (reports NaN logits in step N); steps count from 1.
        fake_fault: String,
        /// Steps that the fake engine lets be in flight, at least 1.
        fake_max_steps_in_flight: i32,
    }

    /// Mirror of `gptj::PlanFacts`: what a plan depends on beyond what it is asked to hold.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct PlanFacts {
        builder_version: String,
        /// Name of the device.
        gpu: String,
        /// 90 for 9.0.
        compute_capability: i32,
        /// What the engine will compute in; it may not be what was asked for.
        precision: String,
    }

    /// Mirror of `gptj::PlanReport`.
    #[derive(Debug, Clone, Copy, PartialEq, Default)]
    struct PlanReport {
        plan_bytes: u64,
        /// Start of the library and definition of the network.
        network_seconds: f64,
        /// Choice of kernels.
        build_seconds: f64,
        /// Bytes of the timing cache that was read.
        timings_reused: u64,
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct SchedulerSettings {
        /// `static` (C++) or `inflight` (Rust).
        name: String,
        /// `static` only: sort the samples of a query by prompt length, as the v3.1 harness did.
        enable_sort: bool,
        /// `static` only: how many equal segments of a large query are sorted, each by itself.
        num_sort_segments: i32,
    }

    /// One LoadGen test.
    #[derive(Debug, Clone, PartialEq)]
    struct RunSettings {
        scenario: Scenario,
        mode: TestMode,
        /// LoadGen's model name, the first part of its configuration keys: `gptj`.
        loadgen_model: String,
        sut_name: String,
        qsl_name: String,
        /// The only configuration file that LoadGen reads besides its embedded mlperf.conf.
        user_conf: String,
        /// Must exist and be writable; LoadGen returns silently when it is not.
        log_dir: String,
        log_prefix: String,
        log_suffix: String,
        log_prefix_with_datetime: bool,
        log_copy_detail_to_stdout: bool,
        log_copy_summary_to_stdout: bool,
        log_enable_trace: bool,
        /// Seeds of the round, set in LoadGen's settings after `user_conf` was read: LoadGen takes seeds from its
        /// embedded mlperf.conf only and ignores them in user.conf. 0: leave what mlperf.conf says.
        qsl_rng_seed: u64,
        sample_index_rng_seed: u64,
        schedule_rng_seed: u64,
        /// Samples loaded for a performance run; 0: all.
        performance_sample_count: u64,
        server_coalesce_queries: bool,
        server_num_issue_query_threads: u64,
        scheduler: SchedulerSettings,
    }

    /// What the harness itself counted; rates and validity come from LoadGen's logs.
    #[derive(Debug, Clone, PartialEq, Default)]
    struct RunOutcome {
        samples_completed: u64,
        prompt_tokens: u64,
        generated_tokens: u64,
        steps: u64,
        /// Most requests in flight at once, all engines together.
        peak_running: u32,
        peak_waiting: u32,
        peak_kv_blocks: u32,
        /// Mean over all steps: tokens in the step / max_tokens_per_step, in 0..=1.
        mean_step_fill: f64,
        /// Mean over all steps of the requests in flight.
        mean_running: f64,
        /// Seconds from the first query issued to the last sample completed.
        seconds: f64,
        /// Nanoseconds from the issue of each sample to its answer, in the order of the answers.
        latencies_ns: Vec<u64>,
        /// The run was cut short by a request to stop; its logs are no result.
        interrupted: bool,
    }

    /// A short run without LoadGen, to find out what rate the engines hold.
    #[derive(Debug, Clone, PartialEq)]
    struct MeasureSettings {
        scenario: Scenario,
        scheduler: SchedulerSettings,
        /// Seconds to run at least, after a warm-up of one request for each engine.
        seconds: f64,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Default)]
    struct Measured {
        samples: u64,
        seconds: f64,
        samples_per_second: f64,
        /// Latency of one sample that runs alone, in seconds.
        single_sample_seconds: f64,
    }

    /// What calibrates: the engine `cpu` in `f32`, and how it generates.
    #[derive(Debug, Clone, PartialEq)]
    struct CalibrationSettings {
        engine: EngineSettings,
        shape: ModelShape,
        generation: Generation,
        scheduler: SchedulerSettings,
    }

    /// Mirror of `gptj::cpu::ActivationRange`.
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct ActivationRange {
        layer: i32,
        activation: Activation,
        /// Elements that were seen.
        elements: u64,
        /// The largest magnitude.
        maximum: f32,
        /// A magnitude that at most one element in 1,000 exceeds, from a histogram of 256 bins a binade.
        p99_9: f32,
        /// The same for one in 10,000.
        p99_99: f32,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct GeneratedSample {
        tokens: Vec<i32>,
    }

    /// Mirror of `gptj::Progress`.
    #[derive(Debug, Clone, Copy, PartialEq, Default)]
    struct ProgressSnapshot {
        /// Since the first query; 0 before it.
        seconds: f64,
        samples_issued: u64,
        samples_completed: u64,
        tokens_generated: u64,
        prompt_tokens: u64,
        steps: u64,
        waiting: u32,
        running: u32,
        kv_blocks_used: u32,
        /// Something failed, and `failure_message` says what; the run only drains.
        failed: bool,
    }

    /// Mirror of `gptj::EngineLimits`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    struct EngineLimits {
        max_requests: i32,
        max_tokens_per_step: i32,
        kv_blocks: i32,
        kv_block_size: i32,
        max_prompt_tokens: i32,
        max_new_tokens: i32,
        beam_width: i32,
        vocab_size: i32,
        max_steps_in_flight: i32,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    struct WaitingRequest {
        id: u64,
        prompt_tokens: i32,
        max_new_tokens: i32,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    struct RunningRequest {
        id: u64,
        prompt_tokens: i32,
        prefilled_tokens: i32,
        max_new_tokens: i32,
        kv_blocks: i32,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    struct PromptChunk {
        id: u64,
        count: i32,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct Decision {
        chunks: Vec<PromptChunk>,
        decode: bool,
    }

    // Owned by Rust, seen by C++.
    extern "Rust" {
        /// A mapped checkpoint; the C++ engines read tensors from it while they are created.
        type Checkpoint;
        fn tensor_count(self: &Checkpoint) -> usize;
        fn tensor_name(self: &Checkpoint, index: usize) -> Result<&str>;
        fn tensor_dtype(self: &Checkpoint, index: usize) -> Result<DType>;
        fn tensor_shape(self: &Checkpoint, index: usize) -> Result<&[i64]>;
        fn tensor_bytes(self: &Checkpoint, index: usize) -> Result<&[u8]>;

        /// A Rust implementation of the scheduler seam; panics come back as errors.
        type RustScheduler;
        fn new_rust_scheduler(name: &str) -> Result<Box<RustScheduler>>;
        fn order(
            self: &RustScheduler,
            scenario: Scenario,
            arrivals: &mut [WaitingRequest],
        ) -> Result<()>;
        fn decide(
            self: &RustScheduler,
            waiting: &[WaitingRequest],
            running: &[RunningRequest],
            limits: &EngineLimits,
            decision: &mut Decision,
        ) -> Result<()>;
    }

    // Owned by C++, seen by Rust.
    unsafe extern "C++" {
        include!("bridge/ffi.h");

        /// The engines of one run, served from one queue.
        type EnginePool;
        fn new_engine_pool() -> UniquePtr<EnginePool>;
        /// Creates an engine and adds it. `checkpoint` is only read during the call.
        fn add_engine(
            pool: Pin<&mut EnginePool>,
            settings: &EngineSettings,
            shape: &ModelShape,
            generation: &Generation,
            checkpoint: &Checkpoint,
        ) -> Result<()>;
        fn engine_count(pool: &EnginePool) -> usize;
        fn engine_name(pool: &EnginePool, index: usize) -> Result<String>;
        fn engine_limits(pool: &EnginePool, index: usize) -> Result<EngineLimits>;

        /// The file of an engine's library, which is opened to see that it can be; empty for an engine that is linked in.
        fn engine_library(settings: &EngineSettings) -> Result<String>;
        /// Whether the engine runs from a plan.
        fn has_plans(settings: &EngineSettings) -> Result<bool>;
        /// What its plans depend on, on the device of the settings. Makes the library start, and use the device.
        fn plan_facts(settings: &EngineSettings) -> Result<PlanFacts>;
        /// Builds a plan and puts it under `settings.plan_path` when it is complete, which may take minutes.
        /// `timing_cache` is read if it is there, and written.
        fn build_plan(
            settings: &EngineSettings,
            shape: &ModelShape,
            generation: &Generation,
            timing_cache: &str,
        ) -> Result<PlanReport>;

        /// Tokenised samples, as LoadGen's query sample library sees them.
        type SampleSet;
        /// `tokens` holds all prompts one after the other; prompt `i` is `tokens[offsets[i]..offsets[i + 1]]`.
        /// `min_new_tokens` and `max_new_tokens` are empty (the generation settings hold for all) or one for each.
        fn new_sample_set(
            tokens: &[i32],
            offsets: &[u64],
            min_new_tokens: &[i32],
            max_new_tokens: &[i32],
        ) -> Result<UniquePtr<SampleSet>>;

        type Progress;
        fn new_progress() -> SharedPtr<Progress>;
        fn snapshot(progress: &Progress) -> ProgressSnapshot;
        /// The first failure as `kind: message`, empty as long as there is none. In the Server scenario LoadGen goes on
        /// issuing until its schedule ends, so that a caller may want to end the process before `run_test` returns.
        fn failure_message(progress: &Progress) -> String;
        /// Ends a run early: outstanding and further samples are completed empty.
        fn request_stop(progress: &Progress);

        /// Runs one LoadGen test. One call for each process: LoadGen keeps global state.
        fn run_test(
            settings: &RunSettings,
            generation: &Generation,
            pool: Pin<&mut EnginePool>,
            samples: &SampleSet,
            progress: &SharedPtr<Progress>,
        ) -> Result<RunOutcome>;

        /// Generates for every sample of the set, without LoadGen; results in the order of the set.
        fn generate(
            scheduler: &SchedulerSettings,
            generation: &Generation,
            pool: Pin<&mut EnginePool>,
            samples: &SampleSet,
            progress: &SharedPtr<Progress>,
        ) -> Result<Vec<GeneratedSample>>;

        fn measure(
            settings: &MeasureSettings,
            generation: &Generation,
            pool: Pin<&mut EnginePool>,
            samples: &SampleSet,
            progress: &SharedPtr<Progress>,
        ) -> Result<Measured>;

        /// Generates for every sample of the set, and tells how large the activations of each layer were, by layer and
        /// in the order of `Activation`.
        fn calibrate(
            settings: &CalibrationSettings,
            checkpoint: &Checkpoint,
            samples: &SampleSet,
            progress: &SharedPtr<Progress>,
        ) -> Result<Vec<ActivationRange>>;

        /// The C++ schedulers, so that one conformance suite tests those of both languages.
        type CppScheduler;
        fn new_cpp_scheduler(settings: &SchedulerSettings) -> Result<UniquePtr<CppScheduler>>;
        fn cpp_order(
            scheduler: &CppScheduler,
            scenario: Scenario,
            arrivals: &mut [WaitingRequest],
        ) -> Result<()>;
        fn cpp_decide(
            scheduler: &CppScheduler,
            waiting: &[WaitingRequest],
            running: &[RunningRequest],
            limits: &EngineLimits,
            decision: &mut Decision,
        ) -> Result<()>;
        /// The check that the harness makes of every decision.
        fn cpp_check_decision(
            waiting: &[WaitingRequest],
            running: &[RunningRequest],
            limits: &EngineLimits,
            decision: &Decision,
        ) -> Result<()>;

        /// Whether this machine's CPU computes in `precision` natively: `bf16` needs AVX512_BF16 or AMX.
        fn cpu_supports(precision: &str) -> bool;
    }
}

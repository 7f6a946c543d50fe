//! From settled keys to the plain structs of a test.

use std::path::PathBuf;

use super::check;
use super::derive::Target;
use super::key::Value;
use super::layers::Settings;
use super::resolved::*;
use crate::error::Failure;
use crate::system::Device;

/// `fp8_scales`: no file.
pub const ENGINES_OWN: &str = "default";

/// Builds the configuration of one test. Every `auto` that is not measured has been replaced before.
pub fn build(settings: &Settings, target: &Target<'_>) -> Result<ResolvedConfig, Failure> {
    Ok(ResolvedConfig {
        run: run(settings, target)?,
        loadgen: loadgen(settings)?,
        engine: engine(settings, target)?,
        scheduler: SchedulerConfig {
            name: named(
                settings,
                "scheduler",
                SchedulerKind::ALL,
                SchedulerKind::name,
            )?,
            enable_sort: settings.flag("enable_sort")?,
            num_sort_segments: settings.small("num_sort_segments")?,
        },
        generation: GenerationConfig {
            beam_width: settings.small("beam_width")?,
            min_new_tokens: settings.small("min_new_tokens")?,
            max_new_tokens: settings.small("max_new_tokens")?,
            length_penalty: settings.float("length_penalty")?,
            beam_length: named(settings, "beam_length", BeamLength::ALL, BeamLength::name)?,
        },
        paths: PathsConfig {
            model: PathBuf::from(settings.text("model_path")?),
            dataset: PathBuf::from(settings.text("dataset_path")?),
            data: PathBuf::from(settings.text("data_dir")?),
            preprocessed_data: PathBuf::from(settings.text("preprocessed_data_dir")?),
            engine_dir: PathBuf::from(settings.text("engine_dir")?),
            log_dir: PathBuf::from(settings.text("log_dir")?),
        },
        report: ReportConfig {
            require_valid: settings.flag("require_valid")?,
            verbose: settings.flag("verbose")?,
            quiet: settings.flag("quiet")?,
        },
    })
}

fn run(settings: &Settings, target: &Target<'_>) -> Result<RunConfig, Failure> {
    Ok(RunConfig {
        benchmark: target.benchmark,
        scenario: target.scenario,
        test_mode: named(settings, "test_mode", TestMode::ALL, TestMode::name)?,
        accuracy_target: target.accuracy,
        round: settings.text("round")?.to_owned(),
        workload: target.workload.to_owned(),
        system_name: settings.text("system_name")?.to_owned(),
        system_profile: target
            .profile
            .map_or("none", |profile| &profile.name)
            .to_owned(),
        fast: settings.flag("fast")?,
        result_unit: named(settings, "result_unit", ResultUnit::ALL, ResultUnit::name)?,
        accuracy_samples: settings.integer("accuracy_samples")?,
        not_for_submission: check::not_for_submission(settings, target)?,
    })
}

fn loadgen(settings: &Settings) -> Result<LoadgenConfig, Failure> {
    Ok(LoadgenConfig {
        min_duration_ms: settings.integer("min_duration")?,
        max_duration_ms: settings.integer("max_duration")?,
        min_query_count: settings.integer("min_query_count")?,
        max_query_count: settings.integer("max_query_count")?,
        performance_sample_count: settings.integer("performance_sample_count")?,
        performance_sample_count_override: settings.integer("performance_sample_count_override")?,
        sample_concatenate_permutation: settings.flag("sample_concatenate_permutation")?,
        qsl_rng_seed: settings.integer("qsl_rng_seed")?,
        sample_index_rng_seed: settings.integer("sample_index_rng_seed")?,
        schedule_rng_seed: settings.integer("schedule_rng_seed")?,
        server_target_qps: qps(settings, "server_target_qps")?,
        server_target_qps_adj_factor: settings.float("server_target_qps_adj_factor")?,
        server_target_latency_ns: settings.integer("server_target_latency_ns")?,
        server_target_latency_percentile: settings.float("server_target_latency_percentile")?,
        server_coalesce_queries: settings.flag("server_coalesce_queries")?,
        server_num_issue_query_threads: settings.integer("server_num_issue_query_threads")?,
        offline_expected_qps: qps(settings, "offline_expected_qps")?,
        single_stream_expected_latency_ns: integer_or_zero(
            settings,
            "single_stream_expected_latency_ns",
        )?,
        single_stream_target_latency_percentile: settings
            .float("single_stream_target_latency_percentile")?,
        log: LogConfig {
            suffix: settings.text("logfile_suffix")?.to_owned(),
            prefix_with_datetime: settings.flag("logfile_prefix_with_datetime")?,
            copy_detail_to_stdout: settings.flag("log_copy_detail_to_stdout")?,
            copy_summary_to_stdout: !settings.flag("disable_log_copy_summary_to_stdout")?,
            enable_trace: settings.flag("log_enable_trace")?,
        },
    })
}

fn engine(settings: &Settings, target: &Target<'_>) -> Result<EngineConfig, Failure> {
    let dirs = settings.text("engine_library_dirs")?;
    let devices = target.devices.select(settings.text("devices")?)?;
    Ok(EngineConfig {
        engine: named(settings, "engine", EngineKind::ALL, EngineKind::name)?,
        precision: named(settings, "precision", Precision::ALL, Precision::name)?,
        threads: settings.small("threads")?,
        devices: devices.iter().map(|device| device.gpu).collect(),
        cuda_devices: devices.iter().filter_map(Device::cuda_name).collect(),
        max_requests: settings.small("gpu_batch_size")?,
        max_tokens_per_step: settings.small("max_tokens_per_step")?,
        kv_block_size: settings.small("kv_block_size")?,
        kv_blocks: match settings.is_auto("kv_blocks")? {
            true => 0,
            false => settings.small("kv_blocks")?,
        },
        memory_fraction: settings.float("gpu_memory_fraction")?,
        max_prompt_tokens: settings.small("max_prompt_tokens")?,
        library_dirs: dirs
            .split(':')
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .collect(),
        force_build: settings.flag("force_build_engines")?,
        verbose: settings.flag("verbose")?,
        profile: settings.flag("profile_steps")?,
        gemm_plugin: settings.flag("gemm_plugin")?,
        synthetic_seed: match settings.flag("synthetic")? {
            true => settings.integer("synthetic_seed")?,
            false => 0,
        },
        fp8: Fp8Config {
            scales: match settings.text("fp8_scales")? {
                Value::AUTO | ENGINES_OWN => None,
                file => Some(PathBuf::from(file)),
            },
            range: named(settings, "fp8_range", Fp8Range::ALL, Fp8Range::name)?,
        },
        fake: FakeEngineConfig {
            step_us: settings.small("fake_step_us")?,
            seed: settings.integer("fake_seed")?,
            fault: settings.text("fake_fault")?.to_owned(),
            max_steps_in_flight: settings.small("fake_max_steps_in_flight")?,
            instances: settings.small("fake_instances")?,
        },
    })
}

fn qps(settings: &Settings, name: &str) -> Result<Qps, Failure> {
    Ok(if settings.is_auto(name)? {
        Qps::Auto
    } else {
        Qps::Fixed(settings.float(name)?)
    })
}

fn integer_or_zero(settings: &Settings, name: &str) -> Result<u64, Failure> {
    if settings.is_auto(name)? {
        Ok(0)
    } else {
        settings.integer(name)
    }
}

/// The enum's variant that a checked key names.
fn named<T: Copy>(
    settings: &Settings,
    key: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Failure> {
    let text = settings.text(key)?;
    let found = all.iter().copied().find(|variant| name(*variant) == text);
    found.ok_or_else(|| Failure::harness(format!("`{key}` has the unknown value `{text}`")))
}

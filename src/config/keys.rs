//! Every configuration key there is. Flags, environment variables, files, `--help` and `show-config` follow this table.

use super::key::{Group, Key, Kind, LARGEST, nearest};

const BASE: Key = Key {
    name: "",
    group: Group::Run,
    kind: Kind::Text,
    unit: "",
    default: "",
    auto: None,
    example: "",
    doc: "",
    scenario: "",
    hidden: false,
};

const fn count(min: u64) -> Kind {
    Kind::Integer { min, max: LARGEST }
}

const fn small(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

const POSITIVE: Kind = Kind::Float {
    above: 0.0,
    max: f64::MAX,
};
const SHARE: Kind = Kind::Float {
    above: 0.0,
    max: 1.0,
};
const MS: &str = "milliseconds";

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that somebody who typed `name` may have meant.
pub fn suggest(name: &str) -> Option<&'static str> {
    let typed = name.to_lowercase().replace('-', "_");
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == typed);
    elsewhere.map(|(_, name)| *name).or_else(|| {
        nearest(
            KEYS.iter().filter(|key| !key.hidden).map(|key| key.name),
            &typed,
        )
    })
}

/// What other programs call some keys, too unlike to be found by spelling.
const ELSEWHERE: &[(&str, &str)] = &[
    ("backend", "engine"),
    ("batch_size", "gpu_batch_size"),
    ("beam_size", "beam_width"),
    ("dtype", "precision"),
    ("duration", "min_duration"),
    ("expected_qps", "offline_expected_qps"),
    ("gpus", "devices"),
    ("max_batch_size", "gpu_batch_size"),
    ("max_examples", "accuracy_samples"),
    ("max_num_seqs", "gpu_batch_size"),
    ("max_num_tokens", "max_tokens_per_step"),
    ("max_requests", "gpu_batch_size"),
    ("mode", "test_mode"),
    ("num_beams", "beam_width"),
    ("output_dir", "log_dir"),
    ("target_latency", "server_target_latency_ns"),
    ("target_qps", "server_target_qps"),
];

/// All keys, by group.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    Key { name: "benchmarks", kind: Kind::List, default: "gptj",
        example: "gptj", doc: "Benchmarks to run", ..BASE },
    Key { name: "scenarios", kind: Kind::List, default: "offline,server",
        example: "offline,server", doc: "Scenarios to run: offline, server, single_stream", ..BASE },
    Key { name: "test_mode", kind: Kind::Choice(&["PerformanceOnly", "AccuracyOnly", "SubmissionRun"]), default: "PerformanceOnly",
        example: "AccuracyOnly", doc: "PerformanceOnly, AccuracyOnly or SubmissionRun (both)", ..BASE },
    Key { name: "config_ver", kind: Kind::List, default: "default",
        example: "high_accuracy", doc: "Accuracy to aim at: default (99 %), high_accuracy (99.9 %), all (one after the other)", ..BASE },
    Key { name: "accuracy_target", kind: Kind::Choice(&["0.99", "0.999"]), default: "auto", auto: Some("what config_ver says"),
        example: "0.999", doc: "Accuracy to aim at, as a share of the reference: 0.99 or 0.999", ..BASE },
    Key { name: "fast", kind: Kind::Bool, default: "false",
        example: "true", doc: "A short run: at most one minute and one query, unless min_duration and min_query_count are given", ..BASE },
    Key { name: "accuracy_samples", kind: count(0), unit: "samples", default: "0",
        example: "64", doc: "AccuracyOnly: only the first samples of the data set; 0: all", ..BASE },
    Key { name: "round", kind: Kind::Name, default: "v5.0",
        example: "v4.1", doc: "Round whose rules and seeds hold: a file of configs/rounds", ..BASE },
    Key { name: "workload", kind: Kind::Name, default: "auto", auto: Some("cnn_dailymail with the 6B checkpoint, custom with another model, else gptj-mini"),
        example: "gptj-mini", doc: "Data set and limits: a file of configs/workloads", ..BASE },
    Key { name: "synthetic", kind: Kind::Bool, default: "false",
        example: "true", doc: "cnn_dailymail without its model and data: weights and prompts are drawn, lengths are those of the real ones; only times mean anything", ..BASE },
    Key { name: "synthetic_seed", kind: small(1, 0x7fff_ffff), default: "1",
        example: "7", doc: "What they are drawn from", ..BASE },
    Key { name: "system_profile", kind: Kind::Name, default: "auto", auto: Some("the best match for this machine"),
        example: "dgx_h100_x8", doc: "Settings of a system: a file of configs/systems, or none", ..BASE },
    Key { name: "system_name", kind: Kind::Name, default: "auto", auto: Some("the profile's name, or one made from the GPUs' or the CPU's"),
        example: "my_server", doc: "Name of this system in results", ..BASE },

    Key { name: "model_path", group: Group::Paths, kind: Kind::Path, default: "auto", auto: Some("the 6B checkpoint of the scratch space if it is there, else gptj-mini"),
        example: "/data/gpt-j-6b", doc: "Hugging Face folder of a GPT-J", ..BASE },
    Key { name: "dataset_path", group: Group::Paths, kind: Kind::Path, default: "auto", auto: Some("the data set that belongs to the model"),
        example: "/data/cnn_eval.json", doc: "Data set in the form of cnn_eval.json", ..BASE },
    Key { name: "data_dir", group: Group::Paths, kind: Kind::Path, default: "auto", auto: Some("data of the scratch space"),
        example: "/mnt/share/data", doc: "Folder of data sets; that of GPT-J 6B is cnn-daily-mail/cnn_eval.json in it", ..BASE },
    Key { name: "preprocessed_data_dir", group: Group::Paths, kind: Kind::Path, default: "auto", auto: Some("preprocessed_data of the scratch space"),
        example: "/tmp/prompts", doc: "Folder in which tokenised prompts are kept", ..BASE },
    Key { name: "engine_dir", group: Group::Paths, kind: Kind::Path, default: "auto", auto: Some("build/engines of the repository"),
        example: "/mnt/nvme/engines", doc: "Where plans of engines are kept", ..BASE },
    Key { name: "log_dir", group: Group::Paths, kind: Kind::Path, default: "auto", auto: Some("a folder of build/logs named after the time"),
        example: "build/logs/first", doc: "Where logs go", ..BASE },

    Key { name: "engine", group: Group::Engine, kind: Kind::Choice(&["cpu", "cuda", "tensorrt", "fake"]), default: "auto", auto: Some("the first of tensorrt, cuda, cpu that can run here"),
        example: "cuda", doc: "What computes: cpu, cuda or tensorrt", ..BASE },
    Key { name: "precision", group: Group::Engine, kind: Kind::Choice(&["f32", "bf16", "fp16", "fp8"]), default: "auto", auto: Some("the fastest that reaches the accuracy target on this machine"),
        example: "fp16", doc: "What the engine computes in: f32, bf16, fp16 or fp8", ..BASE },
    Key { name: "fp8_scales", group: Group::Engine, kind: Kind::Path, default: "auto", auto: Some("fp8_scales.json beside the model if it is there, else default"),
        example: "default", doc: "fp8 alone: ranges of the activations, from a file that `run_harness calibrate` wrote, or default for the engine's own", ..BASE },
    Key { name: "fp8_range", group: Group::Engine, kind: Kind::Choice(&["max", "p99.9", "p99.99"]), default: "p99.99",
        example: "max", doc: "fp8 alone: which of the file's figures is the range; what is larger saturates", ..BASE },
    Key { name: "threads", group: Group::Engine, kind: small(1, 4096), unit: "threads", default: "auto", auto: Some("one for each core that this process may use"),
        example: "16", doc: "Worker threads of the CPU engine", ..BASE },
    Key { name: "devices", group: Group::Engine, kind: Kind::List, default: "auto", auto: Some("all GPUs, or the largest MIG instance; none for the CPU engine"),
        example: "0,2", doc: "GPUs and MIG instances to use: numbers as in nvidia-smi (2, 2:0 for an instance) or UUIDs", ..BASE },
    Key { name: "gpu_batch_size", group: Group::Engine, kind: small(1, 65_536), unit: "requests", default: "32", auto: Some("what fits the GPU's memory; 32 on a CPU"),
        example: "192", doc: "Requests in flight in one engine, at most (on any engine; the name is that of the v3.1 harness)", ..BASE },
    Key { name: "max_tokens_per_step", group: Group::Engine, kind: small(1, 1_048_576), unit: "tokens", default: "1024",
        example: "4096", doc: "Prompt tokens and decode rows of one step, at most", ..BASE },
    Key { name: "kv_block_size", group: Group::Engine, kind: small(1, 4096), unit: "tokens", default: "16",
        example: "32", doc: "Tokens in one block of the KV cache", ..BASE },
    Key { name: "kv_blocks", group: Group::Engine, kind: small(1, 0x7fff_ffff), unit: "blocks", default: "auto", auto: Some("enough for gpu_batch_size of the longest requests"),
        example: "20000", doc: "Blocks of the KV cache", ..BASE },
    Key { name: "gpu_memory_fraction", group: Group::Engine, kind: SHARE, default: "0.95",
        example: "0.8", doc: "Engines on GPUs: share of the memory that is free that one may take; what weights and activations leave is the KV cache's", ..BASE },
    Key { name: "max_prompt_tokens", group: Group::Engine, kind: small(1, 1_048_576), unit: "tokens", default: "1919",
        example: "1024", doc: "Longest prompt", ..BASE },
    Key { name: "engine_library_dirs", group: Group::Engine, kind: Kind::Text, default: "auto", auto: Some("the program's folder and ../lib beside it"),
        example: "/opt/gptj/lib", doc: "Folders with engine libraries, separated by colons", ..BASE },
    Key { name: "force_build_engines", group: Group::Engine, kind: Kind::Bool, default: "false",
        example: "true", doc: "Engines that run from plans: build them even where there are some that fit", ..BASE },
    Key { name: "gemm_plugin", group: Group::Engine, kind: Kind::Bool, default: "true",
        example: "false", doc: "TensorRT in fp16: multiply with the CUDA engine's products, as fp8 always does, instead of TensorRT's own layers", ..BASE },
    Key { name: "profile_steps", group: Group::Engine, kind: Kind::Bool, default: "false",
        example: "true", doc: "Engines on GPUs: time the parts of every step, and print where the time went", ..BASE },
    Key { name: "fake_step_us", group: Group::Engine, kind: small(0, 0x7fff_ffff), unit: "microseconds", default: "0",
        doc: "Fake engine: time that a step takes", hidden: true, ..BASE },
    Key { name: "fake_seed", group: Group::Engine, kind: Kind::Seed, default: "0",
        doc: "Fake engine: seed of its answers", hidden: true, ..BASE },
    Key { name: "fake_fault", group: Group::Engine, kind: Kind::Text, default: "",
        doc: "Fake engine: a fault to show, throw:N or nan:N", hidden: true, ..BASE },
    Key { name: "fake_max_steps_in_flight", group: Group::Engine, kind: small(1, 1024), default: "1",
        doc: "Fake engine: steps that may be in flight", hidden: true, ..BASE },
    Key { name: "fake_instances", group: Group::Engine, kind: small(1, 64), default: "1",
        doc: "Fake engine: engines that serve the one queue", hidden: true, ..BASE },

    Key { name: "scheduler", group: Group::Scheduler, kind: Kind::Choice(&["static", "inflight"]), default: "inflight",
        example: "static", doc: "static: batches run to their end together; inflight: requests join and leave at every step", ..BASE },
    Key { name: "enable_sort", group: Group::Scheduler, kind: Kind::Bool, default: "false",
        example: "true", doc: "static scheduler: sort the samples of a query by prompt length", ..BASE },
    Key { name: "num_sort_segments", group: Group::Scheduler, kind: small(1, 1_000_000), unit: "segments", default: "2",
        example: "7", doc: "static scheduler: segments of a query that are sorted, each by itself", ..BASE },

    Key { name: "beam_width", group: Group::Generation, kind: small(1, 64), unit: "beams", default: "4",
        example: "2", doc: "Beams of the search; the rules ask for 4", ..BASE },
    Key { name: "min_new_tokens", group: Group::Generation, kind: small(0, 1_048_576), unit: "tokens", default: "30",
        example: "10", doc: "Tokens before a summary may end", ..BASE },
    Key { name: "max_new_tokens", group: Group::Generation, kind: small(1, 1_048_576), unit: "tokens", default: "128",
        example: "64", doc: "Tokens at which a summary is cut", ..BASE },
    Key { name: "length_penalty", group: Group::Generation, kind: Kind::Float { above: -100.0, max: 100.0 }, default: "1",
        example: "2", doc: "Exponent of the length in the score of a hypothesis", ..BASE },
    Key { name: "beam_length", group: Group::Generation, kind: Kind::Choice(&["prompt_and_generated", "generated"]), default: "prompt_and_generated",
        example: "generated", doc: "What that length counts: prompt_and_generated (transformers until 4.35) or generated (since 4.36)", ..BASE },

    Key { name: "min_duration", group: Group::Loadgen, kind: count(0), unit: MS, default: "600000",
        example: "120000", doc: "How long a performance run lasts at least", ..BASE },
    Key { name: "max_duration", group: Group::Loadgen, kind: count(0), unit: MS, default: "0",
        example: "900000", doc: "How long it lasts at most; 0: no limit", ..BASE },
    Key { name: "min_query_count", group: Group::Loadgen, kind: count(1), unit: "queries", default: "100",
        example: "1000", doc: "Queries at least (Offline: samples)", ..BASE },
    Key { name: "max_query_count", group: Group::Loadgen, kind: count(0), unit: "queries", default: "0",
        example: "20000", doc: "Queries at most; 0: no limit", ..BASE },
    Key { name: "performance_sample_count", group: Group::Loadgen, kind: count(0), unit: "samples", default: "0",
        example: "13368", doc: "Samples kept loaded in a performance run; 0: all", ..BASE },
    Key { name: "performance_sample_count_override", group: Group::Loadgen, kind: count(0), unit: "samples", default: "13368",
        example: "0", doc: "Samples that LoadGen draws from; 0: those that are loaded", ..BASE },
    Key { name: "sample_concatenate_permutation", group: Group::Loadgen, kind: Kind::Bool, default: "true",
        example: "false", doc: "Draw whole permutations of the samples, so that all are equally frequent", ..BASE },
    Key { name: "qsl_rng_seed", group: Group::Loadgen, kind: Kind::Seed, default: "0",
        example: "1", doc: "Seed for choosing the loaded samples; 0: LoadGen's own", ..BASE },
    Key { name: "sample_index_rng_seed", group: Group::Loadgen, kind: Kind::Seed, default: "0",
        example: "2", doc: "Seed for the order of samples; 0: LoadGen's own", ..BASE },
    Key { name: "schedule_rng_seed", group: Group::Loadgen, kind: Kind::Seed, default: "0",
        example: "3", doc: "Seed for the times of arrival; 0: LoadGen's own", ..BASE },

    Key { name: "server_target_qps", group: Group::Scenario, kind: POSITIVE, unit: "queries/s", default: "auto", auto: Some("measured, and a rate taken that holds"),
        example: "29.5", doc: "Rate at which queries arrive", scenario: "server", ..BASE },
    Key { name: "server_target_qps_adj_factor", group: Group::Scenario, kind: Kind::Float { above: 0.0, max: 10.0 }, default: "1",
        example: "0.95", doc: "What server_target_qps is multiplied with", scenario: "server", ..BASE },
    Key { name: "server_target_latency_ns", group: Group::Scenario, kind: count(1_000_000), unit: "nanoseconds", default: "20000000000",
        example: "15000000000", doc: "Latency bound, in whole milliseconds", scenario: "server", ..BASE },
    Key { name: "server_target_latency_percentile", group: Group::Scenario, kind: SHARE, default: "0.99",
        example: "0.999", doc: "Share of queries that must be within the bound", scenario: "server", ..BASE },
    Key { name: "server_coalesce_queries", group: Group::Scenario, kind: Kind::Bool, default: "true",
        example: "false", doc: "Hand over all queries that are due in one call", scenario: "server", ..BASE },
    Key { name: "server_num_issue_query_threads", group: Group::Scenario, kind: small(0, 1024), unit: "threads", default: "0",
        example: "4", doc: "Threads that issue queries; 0: LoadGen's own thread", scenario: "server", ..BASE },
    Key { name: "offline_expected_qps", group: Group::Scenario, kind: POSITIVE, unit: "samples/s", default: "auto", auto: Some("measured"),
        example: "31", doc: "Rate expected; decides how large the one query is", scenario: "offline", ..BASE },
    Key { name: "single_stream_expected_latency_ns", group: Group::Scenario, kind: count(1), unit: "nanoseconds", default: "auto", auto: Some("measured"),
        example: "700000000", doc: "Latency expected of one sample; decides how many queries are prepared", scenario: "single_stream", ..BASE },
    Key { name: "single_stream_target_latency_percentile", group: Group::Scenario, kind: SHARE, default: "0.9",
        example: "0.99", doc: "Percentile of the latency that is reported", scenario: "single_stream", ..BASE },

    Key { name: "logfile_suffix", group: Group::Logs, kind: Kind::Name, default: "",
        example: "_second", doc: "Put behind the names of LoadGen's logs", ..BASE },
    Key { name: "logfile_prefix_with_datetime", group: Group::Logs, kind: Kind::Bool, default: "false",
        example: "true", doc: "Put the date before the names of LoadGen's logs", ..BASE },
    Key { name: "log_copy_detail_to_stdout", group: Group::Logs, kind: Kind::Bool, default: "false",
        example: "true", doc: "Repeat LoadGen's detail log on stdout", ..BASE },
    Key { name: "disable_log_copy_summary_to_stdout", group: Group::Logs, kind: Kind::Bool, default: "true",
        example: "false", doc: "Do not repeat LoadGen's summary on stdout", ..BASE },
    Key { name: "log_enable_trace", group: Group::Logs, kind: Kind::Bool, default: "false",
        example: "true", doc: "Write mlperf_log_trace.json", ..BASE },

    Key { name: "result_unit", group: Group::Report, kind: Kind::Choice(&["samples/s", "tokens/s"]), default: "tokens/s",
        example: "samples/s", doc: "What the round states rates in: samples/s, or tokens/s (69 for each sample)", ..BASE },
    Key { name: "require_valid", group: Group::Report, kind: Kind::Bool, default: "false",
        example: "true", doc: "Fail when a result is INVALID", ..BASE },
    Key { name: "verbose", group: Group::Report, kind: Kind::Bool, default: "false",
        example: "true", doc: "Say more", ..BASE },
    Key { name: "quiet", group: Group::Report, kind: Kind::Bool, default: "false",
        example: "true", doc: "Say only what went wrong; the summary is still printed", ..BASE },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn suggestions_follow_spelling_and_habit() {
        assert_eq!(suggest("min-duratoin"), Some("min_duration"));
        assert_eq!(suggest("num_beams"), Some("beam_width"));
        assert_eq!(suggest("xyzzy"), None);
        for (other, name) in ELSEWHERE {
            assert!(
                find(other).is_none() && find(name).is_some(),
                "{other}: {name}"
            );
        }
    }

    /// Numbers without a unit say so by being here.
    const PURE: &[&str] = &[
        "gpu_memory_fraction",
        "length_penalty",
        "server_target_qps_adj_factor",
        "server_target_latency_percentile",
        "single_stream_target_latency_percentile",
        "synthetic_seed",
        "fake_max_steps_in_flight",
        "fake_instances",
    ];

    #[test]
    fn numbers_have_a_unit_and_nothing_else_has() {
        for key in KEYS {
            let number = matches!(key.kind, Kind::Integer { .. } | Kind::Float { .. });
            let expected = number && !PURE.contains(&key.name);
            assert_eq!(!key.unit.is_empty(), expected, "{}", key.name);
        }
    }

    #[test]
    fn names_are_unique_and_defaults_are_valid() {
        let mut names = BTreeSet::new();
        for key in KEYS {
            assert!(names.insert(key.name), "{} is there twice", key.name);
            assert!(
                key.parse(key.default).is_ok(),
                "{}: default `{}`",
                key.name,
                key.default
            );
            assert!(
                !key.doc.is_empty() && !key.doc.ends_with('.'),
                "{}: {}",
                key.name,
                key.doc
            );
            let example = key.parse(key.example);
            assert!(key.hidden || example.is_ok(), "{}: example", key.name);
        }
    }
}

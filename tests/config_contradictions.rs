//! Seam 1: what cannot be meant is refused, with both values, where they came from, and the remedy.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

use std::path::PathBuf;

use mlperf_gptj::config::{Assets, Request, Surroundings, Wanted, find_key, resolve};
use mlperf_gptj::error::{Failure, FailureKind};
use mlperf_gptj::system::Machine;

fn failure(flags: &[(&str, &str)]) -> Failure {
    let locate = |_: &Wanted| -> Result<Assets, Failure> {
        Ok(Assets {
            model_path: "models/gptj-mini".into(),
            dataset_path: "data.json".into(),
            workload: "gptj-mini".to_owned(),
            fp8_scales: None,
            reason: "there is no GPT-J 6B".to_owned(),
            not_for_submission: None,
            notice: None,
        })
    };
    let around = Surroundings {
        machine: Machine::default(),
        program: None,
        working_dir: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        log_dir: PathBuf::from("logs"),
        engine_dir: PathBuf::from("build/engines"),
        data_dir: PathBuf::from("build/data"),
        preprocessed_data_dir: PathBuf::from("build/preprocessed_data"),
        can_run: &|_, _| Ok(()),
        locate: &locate,
    };
    let flag = |(name, value): &(&str, &str)| (find_key(name).unwrap(), (*value).to_owned());
    let request = Request {
        flags: flags.iter().map(flag).collect(),
        ..Request::default()
    };
    let failure = resolve(&request, &around).expect_err("this must be refused");
    assert_eq!(failure.kind, FailureKind::User, "{failure:?}");
    assert!(failure.hint.is_some(), "{failure:?}");
    failure
}

/// Each line: the flags, and the message they get.
#[test]
fn contradictions_name_both_values() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("quiet", "true"), ("verbose", "true")],
            "quiet = true (--quiet) contradicts verbose = true (--verbose)",
        ),
        (
            &[("min_duration", "5000"), ("max_duration", "4000")],
            "max_duration = 4000 (--max_duration) contradicts min_duration = 5000 (--min_duration)",
        ),
        (
            &[("max_query_count", "10")],
            "max_query_count = 10 (--max_query_count) contradicts min_query_count = 100 \
             (configs/workloads/gptj-mini.toml:7)",
        ),
        (
            &[("min_new_tokens", "200")],
            "min_new_tokens = 200 (--min_new_tokens) contradicts max_new_tokens = 128 \
             (configs/gptj/base.toml:6)",
        ),
        (
            &[("config_ver", "default"), ("accuracy_target", "0.999")],
            "accuracy_target = 0.999 (--accuracy_target) contradicts config_ver = default (--config_ver)",
        ),
        (
            &[("accuracy_samples", "10")],
            "accuracy_samples = 10 (--accuracy_samples) contradicts test_mode = PerformanceOnly (default)",
        ),
        (
            &[("devices", "0")],
            "devices = 0 (--devices) contradicts engine = cpu (derived: this machine has no GPU)",
        ),
        (
            &[("precision", "fp8")],
            "precision = fp8 (--precision) contradicts engine = cpu (derived: this machine has no GPU)",
        ),
        (
            &[("enable_sort", "true")],
            "enable_sort = true (--enable_sort) contradicts scheduler = inflight \
             (configs/gptj/base.toml:13)",
        ),
        (
            &[("fake_step_us", "5")],
            "fake_step_us = 5 (--fake_step_us) contradicts engine = cpu (derived: this machine has no GPU)",
        ),
        (
            &[("gpu_batch_size", "200"), ("scenarios", "offline")],
            "max_tokens_per_step = 512 (configs/gptj/base.toml:22 [cpu]) contradicts gpu_batch_size = 200 \
             (--gpu_batch_size)",
        ),
        (
            &[("performance_sample_count", "10")],
            "performance_sample_count = 10 (--performance_sample_count) contradicts \
             performance_sample_count_override = 1000 (configs/workloads/gptj-mini.toml:5)",
        ),
        (
            &[("server_target_latency_ns", "20000000001")],
            "server_target_latency_ns = 20000000001 (--server_target_latency_ns) is not a whole number of \
             milliseconds",
        ),
        (
            &[("workload", "cnn_dailymail")],
            "workload = cnn_dailymail (--workload), but there is no GPT-J 6B checkpoint",
        ),
        (
            &[("engine", "fake"), ("fake_fault", "burn:3")],
            "fake_fault is `burn:3`",
        ),
        (
            &[("engine", "fake"), ("fake_fault", "nan:0")],
            "fake_fault is `nan:0`",
        ),
        (
            &[
                ("engine", "cuda"),
                ("precision", "fp8"),
                ("fp8_range", "p99.9"),
            ],
            "fp8_range = p99.9 (--fp8_range) contradicts fp8_scales = default (derived: there is no \
             fp8_scales.json beside the model)",
        ),
        (
            &[
                ("engine", "tensorrt"),
                ("precision", "fp8"),
                ("gemm_plugin", "false"),
            ],
            "gemm_plugin = false (--gemm_plugin) contradicts precision = fp8 (--precision)",
        ),
        (
            &[("engine", "cuda"), ("devices", "0,x")],
            "devices is `0,x`, and `x` names no GPU",
        ),
    ];
    for (flags, message) in cases {
        assert_eq!(failure(flags).message, *message);
    }
}

#[test]
fn unknown_names_get_the_reason_or_the_nearest() {
    let hint = |name, value| failure(&[(name, value)]).hint.unwrap();
    assert_eq!(hint("scenarios", "ofline"), "did you mean `offline`?");
    assert_eq!(hint("benchmarks", "bert"), "use --benchmarks=gptj");
    assert_eq!(
        hint("workload", "gptj_mini"),
        "did you mean `gptj-mini`? There are cnn_dailymail, custom, gptj-mini"
    );
    let failure = failure(&[("config_ver", "high_accuracy_triton")]);
    assert_eq!(
        failure.message,
        "`high_accuracy_triton` is not a valid config_ver"
    );
    assert_eq!(
        failure.causes,
        ["the Triton server is not part of this program"]
    );
}

#[test]
fn multistream_does_not_exist_for_gptj() {
    let failure = failure(&[("scenarios", "MultiStream")]);
    assert_eq!(
        failure.causes,
        ["GPT-J has no MultiStream scenario in any round"]
    );
}

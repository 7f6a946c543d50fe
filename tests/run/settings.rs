//! Options arrive where they belong: in LoadGen's own account of its settings, in its logs, in the folders that are named.

use std::fs;
use std::path::Path;
use std::process::Command;

use mlperf_gptj::report::LoadgenLog;
use serde_json::Value;

use super::support::{World, fake, repository};

/// What LoadGen says it was asked for, beside what was typed.
#[track_caller]
fn assert_told(log: &LoadgenLog, expected: &[(&str, f64)]) {
    for (key, value) in expected {
        assert_eq!(log.number(key), Some(*value), "{key}");
    }
}

fn detail(world: &World, scenario: &str) -> LoadgenLog {
    LoadgenLog::read(&world.test_dir(scenario).join("mlperf_log_detail.txt")).unwrap()
}

/// Values that are no numbers, as LoadGen writes them.
#[track_caller]
fn assert_says(world: &World, scenario: &str, key: &str, value: bool) {
    let path = world.test_dir(scenario).join("mlperf_log_detail.txt");
    let text = fs::read_to_string(path).unwrap();
    let said = format!("\"key\": \"{key}\", \"value\": {value}");
    assert!(text.contains(&said), "{said}");
}

#[test]
fn what_every_scenario_has_reaches_loadgen() {
    let world = World::new();
    let ran = world.run_fake(&[
        "--scenarios=offline",
        "--min_duration=700",
        "--max_duration=61000",
        "--min_query_count=321",
        "--max_query_count=54321",
        "--performance_sample_count=100",
        "--performance_sample_count_override=90",
        "--qsl_rng_seed=11",
        "--sample_index_rng_seed=12",
        "--schedule_rng_seed=13",
        "--offline_expected_qps=2500.5",
        "--sample_concatenate_permutation=true",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let log = detail(&world, "Offline");
    assert_told(
        &log,
        &[
            ("requested_min_duration_ms", 700.0),
            ("requested_max_duration_ms", 61000.0),
            ("requested_min_query_count", 321.0),
            ("requested_max_query_count", 54321.0),
            ("requested_performance_sample_count_override", 90.0),
            ("effective_performance_sample_count", 90.0),
            ("requested_qsl_rng_seed", 11.0),
            ("requested_sample_index_rng_seed", 12.0),
            ("requested_schedule_rng_seed", 13.0),
            ("requested_offline_expected_qps", 2500.5),
        ],
    );
    assert_says(
        &world,
        "Offline",
        "requested_sample_concatenate_permutation",
        true,
    );
    // LoadGen's account of the library: 100 samples of the data set can be loaded at once.
    assert_told(&log, &[("qsl_reported_performance_count", 100.0)]);
}

#[test]
fn what_the_server_has_reaches_loadgen() {
    let world = World::new();
    let ran = world.run_fake(&[
        "--scenarios=server",
        "--server_target_qps=400",
        "--server_target_qps_adj_factor=0.5",
        "--server_target_latency_ns=15000000000",
        "--server_target_latency_percentile=0.97",
        "--server_coalesce_queries=false",
        "--server_num_issue_query_threads=2",
        "--min_query_count=150",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let log = detail(&world, "Server");
    assert_told(
        &log,
        &[
            ("requested_server_target_qps", 200.0),
            ("requested_server_target_latency_ns", 15e9),
            ("requested_server_target_latency_percentile", 0.97),
            ("requested_server_num_issue_query_threads", 2.0),
        ],
    );
    assert_says(&world, "Server", "requested_server_coalesce_queries", false);
}

#[test]
fn what_single_stream_has_reaches_loadgen() {
    let world = World::new();
    let ran = world.run_fake(&[
        "--scenarios=single_stream",
        "--single_stream_expected_latency_ns=3000000",
        "--single_stream_target_latency_percentile=0.95",
        "--min_query_count=100",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_told(
        &detail(&world, "SingleStream"),
        &[
            ("requested_single_stream_expected_latency_ns", 3e6),
            ("requested_single_stream_target_latency_percentile", 0.95),
        ],
    );
}

#[test]
fn fast_is_a_minute_and_one_query_at_most() {
    let world = World::new();
    // The workload's own 30 s are less than a minute, and stay.
    let settings = world.run(&["show-config", "--fast", "--scenarios=offline", "--json"]);
    let settings: Value = serde_json::from_str(&settings.stdout).unwrap();
    let loadgen = &settings[0]["config"]["loadgen"];
    assert_eq!(loadgen["min_duration_ms"], 30_000);
    assert_eq!(loadgen["min_query_count"], 1);
    let ran = world.run_fake(&["--scenarios=offline", "--fast", "--min_query_count=7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let log = detail(&world, "Offline");
    assert_told(&log, &[("requested_min_query_count", 7.0)]);
}

#[test]
fn loadgens_logs_are_named_and_repeated_as_asked() {
    let world = World::new();
    let ran = world.run_fake(&[
        "--scenarios=offline",
        "--logfile_suffix=_second",
        "--logfile_prefix_with_datetime",
        "--log_enable_trace",
        "--log_copy_detail_to_stdout",
        "--disable_log_copy_summary_to_stdout=false",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let files = world.files("Offline");
    for kind in [
        "summary_second.txt",
        "detail_second.txt",
        "trace_second.json",
    ] {
        let named =
            |name: &&String| name.ends_with(kind) && !name.ends_with(&format!("mlperf_log_{kind}"));
        assert!(files.iter().any(|name| named(&name)), "{kind}: {files:?}");
    }
    let trace = files.iter().find(|name| name.contains("trace")).unwrap();
    let trace = fs::read_to_string(world.test_dir("Offline").join(trace)).unwrap();
    assert!(trace.contains("\"Sample\""), "an empty trace");
    assert!(ran.stdout.contains(":::MLLOG {"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("MLPerf Results Summary"),
        "{}",
        ran.stdout
    );
    assert_eq!(world.result("Offline")["valid"], true);

    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline"]);
    assert!(
        !ran.stdout.contains("MLPerf Results Summary"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains(":::MLLOG"), "{}", ran.stdout);
}

#[test]
fn prompts_are_kept_in_the_folder_that_is_named() {
    let world = World::new();
    let prompts = world.path("my prompts");
    let flag = format!("--preprocessed_data_dir={}", prompts.display());
    let ran = world.run(&["preprocess-data", &flag]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let folder = Path::new(ran.stdout.trim());
    assert!(folder.starts_with(&prompts) && folder.join("input_lengths.npy").is_file());
    assert!(!world.path("scratch/preprocessed_data").exists());
    let before = fs::metadata(folder.join("input_lengths.npy")).unwrap();
    let ran = world.run_fake(&["--scenarios=offline", &flag]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let after = fs::metadata(folder.join("input_lengths.npy")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert!(!world.path("scratch/preprocessed_data").exists());
}

#[test]
fn a_folder_of_data_sets_that_is_not_used_is_mentioned() {
    let world = World::new();
    let ran = world.run(&["show-config", "--data_dir=/mnt/data", "--scenarios=offline"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let dataset = repository().join("models/gptj-mini/cnn_eval.json");
    let said = format!(
        "note: data_dir = /mnt/data (--data_dir) has no effect: the data set is `{}`\n",
        dataset.display()
    );
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
}

#[test]
fn progress_is_for_terminals_and_for_those_who_ask() {
    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for line in ran.stderr.lines() {
        assert!(line.starts_with("note: "), "{line}");
    }
    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline", "--verbose"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("gptj-99 Offline: "), "{}", ran.stderr);
    assert!(ran.stderr.contains(" samples/s, "), "{}", ran.stderr);
}

/// `script` gives the program a terminal.
#[test]
fn a_terminal_shows_rate_and_time_left() {
    let world = World::new();
    let plain = world.command(&fake(&["--scenarios=offline"]));
    let words: Vec<String> = [plain.get_program()]
        .into_iter()
        .chain(plain.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut command = Command::new("script");
    command
        .args(["-qec", &words.join(" "), "/dev/null"])
        .current_dir(world.path(""))
        .env("TERM", "xterm");
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no `script`");
            return;
        }
        output => output.unwrap(),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in ["gptj-99 Offline: ", " samples/s, ", " left"] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

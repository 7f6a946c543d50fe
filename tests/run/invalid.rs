//! Every cause for which LoadGen calls a result INVALID, provoked for real: what the finding says, and that the command that
//! it names gives a VALID result.

use serde_json::Value;

use super::support::{Ran, World, fake};

/// The finding of a rule in the result of a run that is INVALID.
#[track_caller]
fn finding(ran: &Ran, result: &Value, rule: &str) -> Value {
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("warning: INVALID: gptj-99"),
        "{}",
        ran.stderr
    );
    assert_eq!(result["valid"], false, "{result:#}");
    let findings = result["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["rule"] == rule);
    let found = found
        .unwrap_or_else(|| panic!("no {rule} in {findings:#?}"))
        .clone();
    // The same is on the console.
    for part in ["message", "command"] {
        let text = found[part].as_str().unwrap();
        assert!(ran.stdout.contains(text), "{text}\n{}", ran.stdout);
    }
    found
}

/// Types the command of a finding, in a folder of its own.
fn follow(finding: &Value) -> (World, Ran) {
    let world = World::new();
    let command = finding["command"].as_str().unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    assert!(words[0].ends_with("run_harness"), "{command}");
    assert!(!command.contains("--log_dir"), "{command}");
    let options: Vec<&str> = words[1..]
        .iter()
        .copied()
        .filter(|word| !word.starts_with("--system_name"))
        .collect();
    let ran = world.run(&options);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    (world, ran)
}

fn message(finding: &Value) -> &str {
    finding["message"].as_str().unwrap()
}

/// Eight requests at a time of some eighty steps of 4 ms each: some 25 answers a second, whatever the machine.
fn slow<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let limits = [
        "--fake_step_us=4000",
        "--gpu_batch_size=8",
        "--max_tokens_per_step=4096",
    ];
    fake(&[&limits, args].concat())
}

#[test]
fn an_offline_run_that_is_too_short() {
    let world = World::new();
    let args = [
        "--scenarios=offline",
        "--min_duration=3000",
        "--min_query_count=20",
        "--offline_expected_qps=5",
    ];
    let ran = world.run(&slow(&args));
    let found = finding(&ran, &world.result("Offline"), "min_duration");
    assert!(
        message(&found).starts_with("the run must last 3.0 s and lasted "),
        "{found:#}"
    );
    assert!(
        message(&found).contains("made its one query for 5.00 samples a second"),
        "{found:#}"
    );
    let (world, _) = follow(&found);
    assert_eq!(world.result("Offline")["valid"], true);
}

#[test]
fn a_server_run_that_ends_before_its_queries() {
    let world = World::new();
    let args = [
        "--scenarios=server",
        "--min_duration=1000",
        "--max_duration=1000",
        "--min_query_count=1500",
    ];
    let ran = world.run_fake(&args);
    let result = world.result("Server");
    let found = finding(&ran, &result, "min_queries");
    let issued = result["performance"]["query_count"].as_u64().unwrap();
    assert!(issued < 1500, "{issued}");
    let expected = format!(
        "at least 1500 queries are asked for, and {issued} were issued before the run ended, {} too few, as max_duration \
         is 1000 ms",
        1500 - issued
    );
    assert_eq!(message(&found), expected);
    assert_eq!(found["remedy"], "take away max_duration: 0 means no limit");
    let (world, _) = follow(&found);
    let result = world.result("Server");
    assert_eq!(result["valid"], true, "{:#}", result["findings"]);
    assert_eq!(result["performance"]["query_count"], 1500);
}

#[test]
fn a_server_run_with_too_many_queries_at_once() {
    let world = World::new();
    let args = [
        "--scenarios=server",
        "--min_duration=1000",
        "--min_query_count=500",
        "--server_target_qps=250",
        "--server_target_latency_ns=2000000000",
    ];
    let ran = world.run(&slow(&args));
    let result = world.result("Server");
    let found = finding(&ran, &result, "latency");
    let over = result["performance"]["overlatency_query_count"]
        .as_u64()
        .unwrap();
    assert!(
        message(&found).starts_with(&format!("{over} of 500 queries (")),
        "{found:#}"
    );
    assert!(
        message(&found).contains("the queue grew to the end"),
        "{found:#}"
    );
    let figures = &found["figures"];
    assert_eq!(figures["over_latency"], over);
    assert_eq!(figures["allowed"], 0);
    assert_eq!(figures["more_queries_at_this_share"], Value::Null);
    let nearest = figures["nearest_qps"].as_f64().unwrap();
    assert!((1.0..100.0).contains(&nearest), "{nearest}");
    // LoadGen's own sentence has the same number.
    let log = std::fs::read_to_string(world.test_dir("Server").join("mlperf_log_summary.txt"));
    let sentence = format!(
        "Would need to run at least {} more queries",
        figures["more_queries"]
    );
    assert!(log.unwrap().contains(&sentence), "{sentence}");
    let early = finding(&ran, &result, "early_stopping");
    assert_eq!(early["figures"], *figures);
    assert_eq!(early["command"], found["command"]);
}

#[test]
fn a_server_run_with_too_few_queries_to_be_sure() {
    let world = World::new();
    let args = [
        "--scenarios=server",
        "--min_duration=1000",
        "--min_query_count=100",
        "--server_target_qps=90",
    ];
    let ran = world.run_fake(&args);
    let result = world.result("Server");
    let found = finding(&ran, &result, "early_stopping");
    assert_eq!(result["findings"].as_array().unwrap().len(), 1);
    let count = result["performance"]["query_count"].as_u64().unwrap();
    assert_eq!(found["figures"]["queries"], count);
    assert_eq!(found["figures"]["more_queries"], 459 - count);
    assert_eq!(found["figures"]["allowed"], Value::Null);
    assert_eq!(found["remedy"], "run 459 queries; the rate holds");
    let log = std::fs::read_to_string(world.test_dir("Server").join("mlperf_log_summary.txt"));
    let sentence = format!("Would need to run at least {} more queries", 459 - count);
    assert!(log.unwrap().contains(&sentence), "{sentence}");
    let (world, _) = follow(&found);
    assert_eq!(world.result("Server")["valid"], true);
}

#[test]
fn a_single_stream_run_with_too_few_queries() {
    let world = World::new();
    let args = [
        "--scenarios=single_stream",
        "--min_duration=0",
        "--min_query_count=50",
        "--single_stream_expected_latency_ns=20000000",
    ];
    let ran = world.run_fake(&args);
    let found = finding(&ran, &world.result("SingleStream"), "early_stopping");
    assert_eq!(
        message(&found),
        "too few queries to be sure of the 90th percentile: 50 were processed, 64 are needed, 14 more"
    );
    let (world, _) = follow(&found);
    assert_eq!(world.result("SingleStream")["valid"], true);
}

#[test]
fn loadgens_own_search_is_refused_for_ours() {
    World::new()
        .run_fake(&["--test_mode=FindPeakPerformance"])
        .assert_error(1, &["`FindPeakPerformance`", "`run_harness tune-server`"]);
}

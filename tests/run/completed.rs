//! Runs that come to their end.

use std::fs;

use serde_json::json;

use super::support::{World, copy_of_mini};

#[test]
fn both_scenarios_run_when_none_is_named() {
    let world = World::new();
    let ran = world.run_fake(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for scenario in ["Offline", "Server"] {
        let result = world.result(scenario);
        assert_eq!(result["status"], "completed");
        assert_eq!(result["valid"], true, "{:#}", result["findings"]);
        assert_eq!(
            result["not_for_submission"][0],
            "the model is gptj-mini, not GPT-J 6B"
        );
        assert_eq!(result["config"]["run"]["scenario"], scenario);
        let performance = &result["performance"];
        assert!(performance["samples_per_second"].as_f64().unwrap() > 100.0);
        assert!(performance["tokens_per_second"].as_f64().unwrap() > 1000.0);
        let latency = |name: &str| performance["latency_ns"][name].as_u64().unwrap();
        assert!(latency("min") <= latency("p50") && latency("p50") <= latency("p99"));
        assert!(latency("p99") <= latency("max"));
        assert_eq!(
            world.files(scenario),
            [
                "latencies.json",
                "metadata.json",
                "mlperf_log_accuracy.json",
                "mlperf_log_detail.txt",
                "mlperf_log_summary.txt",
                "mlperf_log_trace.json",
                "result.json",
                "timeline.json",
                "user.conf"
            ]
        );
        let heading = format!("gptj-99 {scenario} PerformanceOnly: gptj-mini on box, engine fake");
        assert!(ran.stdout.contains(&heading), "{}", ran.stdout);
    }
    assert_eq!(
        world.result("Server")["performance"]["metric"],
        "result_scheduled_samples_per_sec"
    );
    assert_eq!(
        ran.stdout.matches("    result     VALID\n").count(),
        2,
        "{}",
        ran.stdout
    );
    assert_eq!(ran.stdout.matches("    latency    p50 ").count(), 2);
    assert!(
        ran.stdout
            .contains("    logs       logs/box/gptj-99/Server\n"),
        "{}",
        ran.stdout
    );
    let metadata = fs::read_to_string(world.test_dir("Offline").join("metadata.json")).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["config_name"], "box-custom_k_99_MaxP-Offline");
    assert_eq!(metadata["result_validity"], "VALID");
    assert!(metadata["result_samples_per_second"].is_f64());
}

#[test]
fn single_stream_reports_a_latency() {
    let world = World::new();
    let ran = world.run_fake(&[
        "--scenarios=single-stream",
        "--single_stream_expected_latency_ns=2000000",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let result = world.result("SingleStream");
    assert_eq!(result["performance"]["metric"], "early_stopping_latency_ss");
    assert!(result["performance"]["value"].as_f64().unwrap() > 0.0);
    assert_eq!(result["harness"]["peak_running"], 1);
}

#[test]
fn rates_that_are_auto_are_measured() {
    let world = World::new();
    let ran = world.run(&[
        "--engine=fake",
        "--scenarios=offline,server",
        "--fake_step_us=4000",
        "--gpu_batch_size=8",
        "--max_tokens_per_step=4096",
        "--min_duration=3000",
        "--sample_concatenate_permutation=false",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let offline = world.result("Offline");
    let rates = &offline["rates"];
    assert_eq!(rates["measured_by"], "a measurement before the test");
    let measured = rates["measured_samples_per_second"].as_f64().unwrap();
    let reached = offline["performance"]["samples_per_second"]
        .as_f64()
        .unwrap();
    assert!(
        (0.5..2.0).contains(&(measured / reached)),
        "{measured} measured, {reached} reached"
    );
    let server = world.result("Server");
    assert_eq!(
        server["rates"]["measured_by"],
        "the Offline test before this one"
    );
    assert_eq!(server["rates"]["measured_samples_per_second"], reached);
    assert!(server["rates"]["target_qps"].as_f64().unwrap() < reached);
    assert_eq!(server["valid"], true, "{server:#}");
}

#[test]
fn the_cpu_engine_reaches_the_reference_on_the_samples_that_are_asked_for() {
    let world = World::new();
    let ran = world.run(&[
        "--scenarios=offline",
        "--test_mode=AccuracyOnly",
        "--accuracy_samples=24",
        "--precision=f32",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let accuracy = world.result("Offline")["accuracy"].clone();
    assert_eq!(accuracy["scores"]["gen_num"], 24);
    assert!(
        accuracy["scores"]["rouge1"].as_f64().unwrap() > 70.0,
        "{accuracy:#}"
    );
    assert_eq!(
        accuracy["passed"], false,
        "24 samples are not the whole set"
    );
    assert_eq!(accuracy["reference"]["rouge1"], 81.103);
    assert!(
        ran.stdout.contains("[FAILED] SAMPLES: 24 (Expected=1000)"),
        "{}",
        ran.stdout
    );
    let text = fs::read_to_string(world.test_dir("Offline").join("accuracy.txt")).unwrap();
    assert!(text.starts_with("\nResults\n\n{'rouge1': "), "{text}");
    assert!(text.contains("'gen_num': 24}"), "{text}");
}

#[test]
fn a_submission_run_has_both_halves() {
    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline", "--test_mode=SubmissionRun"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let result = world.result("Offline");
    assert_eq!(result["accuracy"]["scores"]["gen_num"], 1000);
    assert_eq!(result["valid"], true);
    assert!(world.files("Offline").contains(&"accuracy.txt".to_owned()));
}

#[test]
fn any_model_folder_and_any_data_set_run() {
    let world = World::new();
    let folder = copy_of_mini(&world);
    let data = world.path("some.json");
    let sample =
        |text: &str| json!({"instruction": "Summarise:", "input": text, "output": "Rain."});
    let samples = json!([sample("Rain fell."), sample("Snow fell on the hills.")]);
    fs::write(&data, samples.to_string()).unwrap();
    let ran = world.run(&[
        "--scenarios=offline",
        "--test_mode=AccuracyOnly",
        "--model_path",
        folder.to_str().unwrap(),
        "--dataset_path",
        data.to_str().unwrap(),
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let result = world.result("Offline");
    assert_eq!(result["config"]["run"]["workload"], "custom");
    assert_eq!(result["not_for_submission"][0], "the model is not GPT-J 6B");
    assert_eq!(result["accuracy"]["scores"]["gen_num"], 2);
    assert_eq!(result["accuracy"]["passed"], serde_json::Value::Null);
    assert!(
        ran.stdout.contains("there are no reference values"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_synthetic_run_needs_no_model_and_says_what_it_is() {
    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline", "--synthetic", "--fake_step_us=0"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("gptj-mini"), "{}", ran.stderr);
    let result = world.result("Offline");
    assert_eq!(
        result["not_for_submission"][0],
        "synthetic weights and lengths"
    );
    assert_eq!(result["config"]["run"]["workload"], "cnn_dailymail");
    assert_eq!(result["inputs"]["samples"], 13_368);
    let tokens = result["harness"]["generated_tokens"].as_f64().unwrap();
    let samples = result["harness"]["samples"].as_f64().unwrap();
    assert!(
        (60.0..78.0).contains(&(tokens / samples)),
        "{tokens} tokens"
    );
}

#[test]
fn an_invalid_result_is_explained_and_fails_only_where_asked() {
    let slow = [
        "--scenarios=server",
        "--server_target_qps=1000",
        "--server_target_latency_ns=200000000",
        "--fake_step_us=1000",
    ];
    let world = World::new();
    let ran = world.run_fake(&slow);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("warning: INVALID: gptj-99 Server"),
        "{}",
        ran.stderr
    );
    let result = world.result("Server");
    assert_eq!(
        (result["status"].as_str(), &result["valid"]),
        (Some("completed"), &json!(false))
    );
    assert_eq!(result["findings"][0]["rule"], "latency");
    assert!(ran.stdout.contains("result     INVALID"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("remedy: ask for about "),
        "{}",
        ran.stdout
    );

    let world = World::new();
    let mut strict = slow.to_vec();
    strict.push("--require_valid");
    let ran = world.run_fake(&strict);
    ran.assert_error(1, &["error: INVALID: gptj-99 Server"]);
    assert_eq!(world.result("Server")["status"], "completed");
}

#[test]
fn a_run_that_is_too_short_is_told_its_rate() {
    let world = World::new();
    let ran = world.run_fake(&[
        "--scenarios=offline",
        "--offline_expected_qps=100",
        "--min_query_count=1",
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let finding = world.result("Offline")["findings"][0].clone();
    assert_eq!(finding["rule"], "min_duration", "{finding:#}");
    assert!(finding["remedy"].as_str().unwrap().starts_with("expect "));
}

#[test]
fn quiet_leaves_the_summary_alone() {
    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline", "--quiet"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("result     VALID"), "{}", ran.stdout);
}

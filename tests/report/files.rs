//! What a run leaves for reports: timeline.json, latencies.json, and the origins of settings.

use std::fs;

use mlperf_gptj::report::read::StoredTest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::{World, fake};

#[test]
fn a_completed_test_has_its_timeline_and_its_latencies() {
    let world = World::new();
    let ran = world.run_fake(&["--server_target_qps=300", "--min_duration=3000"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for scenario in ["Offline", "Server"] {
        let test = StoredTest::read(&world.test_dir(scenario)).unwrap();
        let harness = test.result.harness.unwrap();
        let timeline = test.timeline.unwrap();
        let last = |column: &[u64]| *column.last().unwrap();
        assert_eq!(last(&timeline.samples_completed), harness.samples);
        assert_eq!(last(&timeline.samples_issued), harness.samples);
        assert_eq!(last(&timeline.tokens_generated), harness.generated_tokens);
        assert_eq!(last(&timeline.prompt_tokens), harness.prompt_tokens);
        assert_eq!(last(&timeline.steps), harness.steps);
        assert!((timeline.seconds.last().unwrap() - harness.seconds).abs() < 1e-3);
        assert!(timeline.len() >= 3, "{timeline:?}");
        assert!(
            timeline
                .running
                .iter()
                .all(|running| *running <= harness.peak_running)
        );

        // The harness counts from the issue of a query, LoadGen from its place in the schedule, and takes its own time a
        // moment later. So LoadGen's figures are never smaller, and the difference is that of a busy machine at most.
        let latencies = test.latencies.unwrap();
        assert_eq!(latencies.count, harness.samples);
        let loadgen = test.result.performance.unwrap().latency_ns;
        for (name, ours, theirs) in [
            ("p50", latencies.at(0.5).unwrap(), loadgen.p50),
            ("p99", latencies.at(0.99).unwrap(), loadgen.p99),
            ("max", latencies.at(1.0).unwrap(), loadgen.max),
            ("mean", latencies.mean_ns, loadgen.mean),
        ] {
            let (ours, theirs) = (ours as f64 / 1e9, theirs as f64 / 1e9);
            assert!(
                ours <= theirs + 1e-3,
                "{scenario} {name}: {ours} s, LoadGen {theirs} s"
            );
            assert!(
                ours >= theirs * 0.9 - 0.1,
                "{scenario} {name}: {ours} s, LoadGen {theirs} s"
            );
        }

        let settings = &test.result.settings;
        assert_eq!(settings["min_duration"].origin, "--min_duration");
        assert_eq!(settings["min_duration"].unit, "milliseconds");
        assert_eq!(settings["min_duration"].value, 3000);
        assert!(
            settings["gpu_batch_size"].origin.contains("default")
                || settings["gpu_batch_size"].origin.contains(".toml")
        );
        assert!(settings.contains_key("server_target_qps"), "it was typed");
    }
    assert!(
        !world.result("Offline")["settings"]
            .as_object()
            .unwrap()
            .contains_key("server_target_latency_ns")
    );
}

#[test]
fn the_latencies_of_a_submission_run_are_those_of_its_performance_half() {
    let world = World::new();
    let ran = world.run_fake(&["--scenarios=offline", "--test_mode=SubmissionRun"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let test = StoredTest::read(&world.test_dir("Offline")).unwrap();
    let (all, measured) = (
        test.result.harness.unwrap().samples,
        test.latencies.unwrap(),
    );
    assert_eq!(
        measured.count,
        all - 1000,
        "every sample once for the accuracy"
    );
    let loadgen = test.result.performance.unwrap().latency_ns;
    let (ours, theirs) = (measured.at(1.0).unwrap() as f64, loadgen.max as f64);
    assert!((0.9..1.001).contains(&(ours / theirs)), "{ours} {theirs}");
}

#[test]
fn an_interrupted_test_keeps_what_there_is_under_another_name() {
    let world = World::new();
    let args = fake(&[
        "--scenarios=offline",
        "--min_duration=60000",
        "--offline_expected_qps=100",
        "--fake_step_us=20000",
    ]);
    let mut child = world.command(&args).spawn().unwrap();
    let detail = world.test_dir("Offline").join("mlperf_log_detail.txt");
    while !fs::metadata(&detail).is_ok_and(|file| file.len() > 0) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // The counters are looked at five times a second.
    std::thread::sleep(std::time::Duration::from_secs(2));
    kill_process(
        Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(),
        Signal::INT,
    )
    .unwrap();
    child.wait().unwrap();
    world.assert_no_result("Offline", "interrupted");
    let files = world.files("Offline");
    assert!(!files.contains(&"timeline.json".to_owned()), "{files:?}");
    let kept = fs::read(world.test_dir("Offline").join("timeline.json.interrupted")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert!(kept["seconds"].as_array().unwrap().len() >= 2, "{kept}");
}

//! Runs on an engine that runs from a plan.

use super::rig::{OFFLINE, Rig, interrupt, wait_for};

const SHORT: &[&str] = &[
    "--scenarios=offline",
    "--min_duration=100",
    "--min_query_count=20",
    "--offline_expected_qps=100",
    "--sample_concatenate_permutation=false",
];

#[test]
fn a_run_builds_the_plan_that_is_missing_and_then_uses_it() {
    let mut rig = Rig::new();
    let ran = rig.run(SHORT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    rig.move_logs("first");
    let building = format!("{OFFLINE}: there is no plan yet; building it\n");
    assert!(ran.stderr.contains(&building), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(&format!("{OFFLINE}: built in ")),
        "{}",
        ran.stderr
    );

    let result = |folder: &str| -> serde_json::Value {
        let path = format!("{folder}/box/gptj-99/Offline/result.json");
        serde_json::from_str(&rig.text(&path)).unwrap()
    };
    let first = result("first");
    assert_eq!(first["plan"]["path"], OFFLINE);
    assert_eq!(first["plan"]["builder_version"], "1.2.3");
    assert_eq!(
        first["plan"]["digest"],
        rig.manifest(OFFLINE)["plan"]["digest"]
    );
    let metadata = rig.text("first/box/gptj-99/Offline/metadata.json");
    assert!(
        metadata.contains("\"tensorrt_version\": \"1.2.3\""),
        "{metadata}"
    );

    let ran = rig.run(SHORT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    rig.move_logs("second");
    assert!(!ran.stderr.contains(OFFLINE), "{}", ran.stderr);
    assert_eq!(result("second")["plan"], first["plan"]);

    rig.set("FAKE_PLANS_GPU", "Another GPU");
    let ran = rig.run(SHORT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let rebuilding = format!("{OFFLINE}: gpu was Fake GPU, is Another GPU; building it\n");
    assert!(ran.stderr.contains(&rebuilding), "{}", ran.stderr);
}

#[test]
fn what_generate_engines_built_is_what_a_run_takes() {
    let rig = Rig::new();
    rig.generated(SHORT.get(1..).unwrap());
    let ran = rig.run(SHORT);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(rig.builds(), 1);
}

#[test]
fn a_build_that_fails_ends_the_run() {
    let mut rig = Rig::new();
    rig.set("FAKE_PLANS_FAULT", "disk");
    let ran = rig.run(SHORT);
    ran.assert_error(1, &["No space left on device", "--engine_dir"]);
    rig.world.assert_no_result("Offline", "failed");
}

#[test]
fn ctrl_c_during_a_build_ends_the_run() {
    let mut rig = Rig::new();
    rig.set("FAKE_PLANS_SECONDS", "60");
    let child = rig.command(SHORT).spawn().unwrap();
    wait_for("the build", || {
        rig.path("engines/box/gptj/Offline").exists()
    });
    interrupt(child).assert_error(130, &["the test was stopped before its end"]);
    rig.world.assert_no_result("Offline", "interrupted");
    assert!(!rig.path(OFFLINE).exists());
}

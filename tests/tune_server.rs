//! `run_harness tune-server` from the command to the user's file, on the fake engine.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[expect(dead_code, reason = "tests of runs need more of it")]
#[path = "run/support.rs"]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use support::{Ran, World};

const USERS: &str = "# my machine\nquiet = false # talk\n\n[gptj-mini]\nmin_query_count = 500\n";

/// Sixteen requests at a time of some eighty steps of 1 ms each: the limit is some 150 queries a second, and a test of it is
/// over in seconds.
const ARGS: &[&str] = &[
    "tune-server",
    "--config=mine.toml",
    "--engine=fake",
    "--fake_step_us=1000",
    "--gpu_batch_size=16",
    "--max_tokens_per_step=4096",
    "--min_duration=4000",
    "--server_target_latency_ns=2000000000",
    "--probe_duration=2000",
    "--tune_precision=0.1",
];

fn world() -> World {
    let world = World::new();
    fs::write(world.path("mine.toml"), USERS).unwrap();
    world
}

fn run(world: &World, args: &[&str]) -> Ran {
    world.run(&[ARGS, args].concat())
}

#[test]
fn the_rate_that_is_found_is_valid_and_the_next_run_takes_it() {
    let world = world();
    let ran = run(&world, &["--json"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stderr, ran.stdout);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let test = &document["tests"][0];
    let qps = test["server_target_qps"].as_f64().unwrap();
    let probes = test["probes"].as_array().unwrap();
    assert!(probes.len() >= 3, "{test:#}");
    for probe in probes {
        assert!(!probe["reason"].as_str().unwrap().is_empty());
        let folder = world.path(probe["folder"].as_str().unwrap());
        assert!(folder.join("result.json").is_file(), "{folder:?}");
    }
    let holds = |wanted: bool| probes.iter().filter(move |probe| probe["holds"] == wanted);
    assert!(
        holds(true).count() > 0 && holds(false).count() > 0,
        "{test:#}"
    );
    let full = test["confirming"].as_array().unwrap();
    let confirmed = full.iter().find(|full| full["qps"] == qps).unwrap();
    assert_eq!(confirmed["valid"], true);
    let folder = world.path(confirmed["folder"].as_str().unwrap());
    let result: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["valid"], true);
    assert_eq!(result["rates"]["target_qps"], qps);

    let text = fs::read_to_string(world.path("mine.toml")).unwrap();
    let section = "[gptj-mini.fake.inflight.server]";
    let line = format!(
        "server_target_qps = {} # found by tune-server\n",
        test["written"]["value"]
    );
    assert!(text.starts_with(USERS), "{text}");
    assert!(text.ends_with(&format!("{section}\n{line}")), "{text}");
    assert_eq!(test["written"]["before"], Value::Null);
    assert_eq!(test["written"]["value"], qps);

    let args = [
        "show-config",
        "--json",
        "--config=mine.toml",
        "--engine=fake",
        "--scenarios=server",
    ];
    let shown: Value = serde_json::from_str(&world.run(&args).stdout).unwrap();
    let setting = &shown[0]["settings"]["server_target_qps"];
    assert_eq!(setting["value"], qps, "{shown:#}");
}

#[test]
fn a_dry_run_and_a_table_for_people() {
    let world = world();
    let ran = run(&world, &["--dry_run", "--server_target_qps=1000"]);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stderr, ran.stdout);
    assert_eq!(fs::read_to_string(world.path("mine.toml")).unwrap(), USERS);
    let rows = |result: &str| {
        ran.stdout
            .lines()
            .filter(|line| line.ends_with(result))
            .count()
    };
    assert!(rows("   too high") >= 1, "{}", ran.stdout);
    assert!(rows("   holds") >= 1, "{}", ran.stdout);
    assert!(rows("   VALID") >= 1, "{}", ran.stdout);
    assert!(
        ran.stdout.contains("    written       nothing\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("probe 1: 1000 queries/s: too high: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn nothing_that_could_not_be_written_is_searched_for() {
    let world = world();
    fs::write(world.path("mine.toml"), USERS).unwrap();
    let mut permissions = fs::metadata(world.path("mine.toml")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(world.path("mine.toml"), permissions).unwrap();
    run(&world, &[]).assert_error(1, &["cannot write `", "mine.toml", "hint: ", "--dry_run"]);
    assert!(!world.path(support::LOGS).exists());
}

#[test]
fn what_no_rate_holds_is_told() {
    let world = world();
    let args: Vec<&str> = ARGS
        .iter()
        .copied()
        .filter(|arg| !arg.starts_with("--server_target_latency_ns"))
        .collect();
    let ran = world.run(&[&args[..], &["--server_target_latency_ns=1000000"]].concat());
    ran.assert_error(1, &["no rate holds the latency bound", "--gpu_batch_size"]);
    assert_eq!(fs::read_to_string(world.path("mine.toml")).unwrap(), USERS);
}

#[test]
fn what_contradicts_the_search_is_refused() {
    let world = world();
    run(&world, &["--scenarios=offline"])
        .assert_error(1, &["`--scenarios=offline` cannot be used to tune"]);
    run(&world, &["--test_mode=AccuracyOnly"]).assert_error(1, &["cannot be used to tune"]);
    run(&world, &["--max_query_count=500"]).assert_error(1, &["max_query_count is 500"]);
    world
        .run(&["tune-server", "--tune_precision=2"])
        .assert_error(1, &["expected a number from 0.005 to 0.5"]);
}

#[test]
fn ctrl_c_keeps_what_was_found_and_writes_nothing() {
    let world = world();
    let args = [ARGS, &["--server_target_qps=20"]].concat();
    let mut child = world.command(&args).spawn().unwrap();
    // The second probe has begun: the first one held.
    let second = world.path(support::LOGS).join("tune_server/probe-02-40");
    let start = Instant::now();
    while !second.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "waited for a probe"
        );
        assert!(child.try_wait().unwrap().is_none(), "the search ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(
        Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(),
        Signal::INT,
    )
    .unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    ran.assert_error(
        130,
        &[
            "20 queries/s held in a short test",
            "nothing was written",
            "tune-server",
            "--server_target_qps=20",
        ],
    );
    assert!(ran.stdout.contains("probe 1"), "{}", ran.stdout);
    assert_eq!(fs::read_to_string(world.path("mine.toml")).unwrap(), USERS);
}

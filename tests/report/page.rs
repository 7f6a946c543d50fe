//! The page as a file: where it goes, what it replaces, and what it says when something is not there.

use std::fs;
use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

use super::support::{Ran, World, repository};

/// `run_harness` in a folder, without the settings of a run.
pub fn harness(folder: &Path, args: &[&str]) -> Ran {
    let output = Command::new(cargo_bin("run_harness"))
        .current_dir(folder)
        .env_remove("GPTJ_LOG_DIR")
        .args(args)
        .output()
        .unwrap();
    output.into()
}

#[test]
fn a_page_lies_in_the_folder_of_the_run_and_needs_nothing_else() {
    let world = World::new();
    assert_eq!(world.run_fake(&["--scenarios=offline"]).code, Some(0));
    let here = world.path("");
    let ran = harness(&here, &["report", "--in=logs"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "logs/report.html\n");
    let page = fs::read_to_string(world.path("logs/report.html")).unwrap();
    assert!(page.contains("gptj-99 on box"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Again, over the page that is there; a test alone has its own.
    assert_eq!(
        harness(&here, &["report", "logs"]).stdout,
        "logs/report.html\n"
    );
    assert_eq!(
        harness(&here, &["report", "1", "--in=logs"]).stdout,
        "logs/box/gptj-99/Offline/report.html\n"
    );
    let json = harness(&here, &["report", "logs", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["report"], "logs/report.html");
    assert_eq!(json["tests"][0], "logs/box/gptj-99/Offline");

    fs::write(world.path("mine.html"), "<p>mine</p>").unwrap();
    harness(&here, &["report", "logs", "--output=mine.html"]).assert_error(
        1,
        &["`mine.html` is there and is no report of ours", "--output"],
    );
    harness(&here, &["report", "logs", "--output=not/there.html"])
        .assert_error(1, &["cannot write `not/there.html`", "--output"]);
}

/// A stored result, VALID, from before timelines were kept.
fn server_on_an_h100() -> Value {
    let stored = repository().join("results/2026-11-25-h100-fp8-fp16/Server/result.json");
    serde_json::from_slice(&fs::read(stored).unwrap()).unwrap()
}

#[test]
fn what_was_not_kept_or_is_damaged_is_said_on_the_page() {
    let world = World::new();
    fs::create_dir(world.path("old")).unwrap();
    let mut result = server_on_an_h100();
    result["config"]["run"]["system_name"] = "<script>alert(1)</script>".into();
    fs::write(world.path("old/result.json"), result.to_string()).unwrap();
    let page = || {
        let ran = harness(&world.path(""), &["report", "old"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        fs::read_to_string(world.path("old/report.html")).unwrap()
    };
    let without = page();
    assert!(without.contains("timeline.json and latencies.json are not there"));
    assert!(without.contains("before results kept the origins"));
    assert!(without.contains("56.99"), "its figure");
    assert!(
        without.contains("ND_H100_v5"),
        "what was published for an H100"
    );
    assert!(!without.contains("<script>alert"));
    assert!(without.contains("&lt;script&gt;alert(1)"));
    fs::write(world.path("old/timeline.json"), "{\"schema_version\": 1").unwrap();
    assert!(page().contains("old/timeline.json` is damaged"));
}

#[test]
fn a_broken_rule_stands_with_its_remedy_and_the_command() {
    let world = World::new();
    let mut result = server_on_an_h100();
    result["valid"] = false.into();
    result["findings"] = serde_json::json!([{
        "rule": "latency",
        "message": "90 of 6842 queries took longer than 20.000 s",
        "remedy": "ask for about 55.10 queries a second",
        "command": "run_harness --scenarios=server --server_target_qps=55.10"
    }]);
    fs::create_dir(world.path("x")).unwrap();
    fs::write(world.path("x/result.json"), result.to_string()).unwrap();
    let ran = harness(&world.path(""), &["report", "x"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let page = fs::read_to_string(world.path("x/report.html")).unwrap();
    for said in [
        "INVALID",
        "latency: 90 of 6842 queries took longer than 20.000 s",
        "What to do: ask for about 55.10 queries a second",
        "Command: run_harness --scenarios=server --server_target_qps=55.10",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn results_that_cannot_be_read_are_named() {
    let world = World::new();
    let here = world.path("");
    fs::create_dir(world.path("x")).unwrap();
    fs::write(world.path("x/result.json"), "{\"schema_version\": 7}").unwrap();
    harness(&here, &["report", "x"])
        .assert_error(1, &["`x/result.json` has schema_version 7", "hint: "]);
    fs::write(world.path("x/result.json"), "{").unwrap();
    harness(&here, &["report", "x/result.json"]).assert_error(1, &["`x/result.json` is damaged"]);
    harness(&here, &["report"]).assert_error(1, &["there are no runs in `build/logs`", "--in"]);
    harness(&here, &["report", "nothing", "--in=x"])
        .assert_error(1, &["there is no run `nothing`"]);
}

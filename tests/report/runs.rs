//! `runs list`, `runs show`, `runs diff`.

use std::fs;

use serde_json::Value;

use super::page::harness;
use super::support::{World, copy_of_mini};

#[test]
fn runs_are_listed_shown_and_compared() {
    let world = World::new();
    assert_eq!(world.run_fake(&["--scenarios=offline"]).code, Some(0));
    let ran = world.run_fake(&["--scenarios=server", "--fake_step_us=300"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    fs::create_dir(world.path("logs/broken")).unwrap();
    fs::write(world.path("logs/broken/result.json"), "{").unwrap();
    let runs = |args: &[&str]| {
        let args = [&["runs"], args, &["--in=logs"]].concat();
        harness(&world.path(""), &args)
    };

    let list = runs(&["list"]).stdout;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert!(lines[0].starts_with("no.  started"), "{list}");
    assert!(
        lines[1].starts_with('1') && lines[1].contains("Server") && lines[1].contains("VALID"),
        "{list}"
    );
    assert!(lines[2].ends_with("logs/box/gptj-99/Offline"), "{list}");
    assert!(
        lines[3].contains("damaged") && lines[3].ends_with("logs/broken"),
        "{list}"
    );
    assert_eq!(runs(&[]).stdout, list, "listing is what `runs` does");
    let json: Value = serde_json::from_str(&runs(&["list", "--json"]).stdout).unwrap();
    assert_eq!(
        json[1]["value"],
        world.result("Offline")["performance"]["value"]
    );
    assert_eq!(json[1]["metric"], "result_samples_per_second");
    assert!(json[2]["damaged"]["message"].is_string());

    let shown = runs(&["show", "Offline"]);
    assert!(
        shown.stdout.contains("    result     VALID\n"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("timeline.json, "), "{}", shown.stdout);
    let json: Value = serde_json::from_str(&runs(&["show", "2", "--json"]).stdout).unwrap();
    assert_eq!(json["result"], world.result("Offline"));

    let diff = runs(&["diff", "2", "1"]).stdout;
    assert!(diff.contains("samples/s "), "{diff}");
    let line = |name: &str| {
        diff.lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    let step = line("engine.fake.step_us");
    assert!(step.contains("200") && step.contains("300"), "{step}");
    assert!(line("run.scenario").contains("Offline"));
    assert!(
        diff.ends_with("machine, model, data: the same in both\n"),
        "{diff}"
    );
    let json: Value = serde_json::from_str(&runs(&["diff", "2", "1", "--json"]).stdout).unwrap();
    let figure = &json["figures"][0];
    let rate = |scenario| world.result(scenario)["performance"]["samples_per_second"].clone();
    assert_eq!(
        (&figure["a"], &figure["b"]),
        (&rate("Offline"), &rate("Server"))
    );

    runs(&["show", "broken"]).assert_error(1, &["`logs/broken/result.json` is damaged"]);
    runs(&["show", "9"]).assert_error(1, &["there is no run `9`"]);
    runs(&["diff", "1"]).assert_error(1, &["1 runs are named", "two runs"]);
    harness(&world.path(""), &["runs"])
        .assert_error(1, &["there are no runs in `build/logs`", "--in"]);
}

#[test]
fn a_run_of_another_model_differs_in_its_model_and_its_data_set() {
    let world = World::new();
    assert_eq!(world.run_fake(&["--scenarios=offline"]).code, Some(0));
    let model = copy_of_mini(&world);
    let dataset = model.join("cnn_eval.json");
    let text = fs::read_to_string(&dataset).unwrap();
    let mut samples: Vec<Value> = serde_json::from_str(&text).unwrap();
    samples.truncate(500);
    fs::write(&dataset, serde_json::to_string(&samples).unwrap()).unwrap();
    let flag = format!("--model_path={}", model.display());
    let ran = world.run_fake(&["--scenarios=server", &flag]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let diff = harness(
        &world.path(""),
        &["runs", "diff", "Offline", "Server", "--in=logs"],
    )
    .stdout;
    let line = |name: &str| {
        diff.lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(
        line("paths.model").contains(&model.display().to_string()),
        "{diff}"
    );
    assert_eq!(line("data set").matches("sha256:").count(), 2, "{diff}");
    assert!(line("samples in the set").contains("500"), "{diff}");
}

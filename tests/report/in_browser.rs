//! The page in a browser: figures can be read from it, its console is silent, nothing is wider than the page.

use std::fs;

use mlperf_gptj::report::figures::number;
use serde_json::Value;

use super::browser::Browser;
use super::page::harness;
use super::support::{World, repository};

#[test]
fn a_console_error_would_be_seen() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("wrong.html");
    fs::write(&page, "<script>document.title = nothing.here;</script>").unwrap();
    let console = browser.run(&page, folder.path()).console;
    assert!(
        console
            .iter()
            .any(|line| line.contains("nothing is not defined")),
        "{console:?}"
    );
    // And so would a page that is too wide.
    fs::write(
        &page,
        "<body style=\"margin:0\"><p style=\"width:450px\">wide",
    )
    .unwrap();
    let opened = browser.open(&page, 390, folder.path());
    assert_eq!(
        (opened.number("width"), opened.number("needs")),
        (390.0, 450.0)
    );
}

#[test]
fn a_run_is_readable_on_a_desk_and_on_a_phone() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let world = World::new();
    assert_eq!(world.run_fake(&["--min_duration=2000"]).code, Some(0));
    let ran = harness(&world.path(""), &["report", "logs"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for width in [1280, 390] {
        let opened = browser.open(&world.path("logs/report.html"), width, &world.path(""));
        assert_eq!(opened.console, Vec::<String>::new());
        assert_eq!(opened.number("width"), f64::from(width));
        assert!(
            opened.number("needs") <= f64::from(width),
            "{width}: {}",
            opened.number("needs")
        );
        // Latency, tokens, queue, flight, batch, KV cache; once for either scenario, in one of the two sizes.
        assert_eq!(opened.number("charts"), 12.0);
        assert!(
            opened.number("smallest") > 0.85,
            "letters keep their size: {}",
            opened.number("smallest")
        );
        let text = opened.noted("text");
        for scenario in ["Offline", "Server"] {
            let result = world.result(scenario);
            let performance = &result["performance"];
            let value = performance["value"].as_f64().unwrap();
            assert!(
                text.contains(&number(value)),
                "{scenario}: {value} is not in {text}"
            );
            let tokens = performance["tokens_per_second"].as_f64().unwrap();
            assert!(text.contains(&number(tokens)), "{scenario}: {tokens}");
        }
        assert_eq!(text.matches("✗").count(), 0, "{text}");
        let tip = opened.noted("tip");
        assert!(
            tip.contains("latency") && tip.contains("% of samples"),
            "{tip}"
        );
        let data: Value = serde_json::from_str(&opened.noted("data")).unwrap();
        assert_eq!(
            data["tests"][0]["performance"],
            world.result("Offline")["performance"]
        );
    }
}

#[test]
fn several_stored_results_are_readable_side_by_side() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let world = World::new();
    let stored = repository()
        .join("results/2026-11-25-h100-fp8-fp16")
        .display()
        .to_string();
    let mini = repository()
        .join("results/2026-11-25-h100-fp8/accuracy-gptj-mini-fp8")
        .display()
        .to_string();
    let ran = harness(&world.path(""), &["report", &stored, &mini]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "report.html\n");
    for width in [1280, 390] {
        let opened = browser.open(&world.path("report.html"), width, &world.path(""));
        assert_eq!(opened.console, Vec::<String>::new());
        assert!(
            opened.number("needs") <= f64::from(width),
            "{width}: {}",
            opened.number("needs")
        );
        let text = opened.noted("text");
        for said in [
            "58.10",
            "29.39",
            "×0.506",
            "ROUGE1",
            "ND_H100_v5",
            "are not there",
        ] {
            assert!(text.contains(said), "{said} is not in {text}");
        }
    }
}

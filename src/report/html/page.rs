//! The page: headline of each test, then what is behind it.

use serde_json::json;

use super::super::figures::{count, duration, number};
use super::super::metadata::validity;
use super::super::read::StoredTest;
use super::super::result::{Status, TestResult};
use super::chart::colour;
use super::curves::charts;
use super::labels::labels;
use super::markup::{Html, element};
use super::{notices, origins, tables};
use crate::config::Scenario;
use crate::error::Failure;

/// By which a page of ours is known.
pub const GENERATOR: &str = "<meta name=\"generator\" content=\"run_harness report\">";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A test with its place on the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<'a> {
    /// From 0.
    pub number: usize,
    /// No two tests of a page have the same.
    pub label: String,
    /// The test.
    pub stored: &'a StoredTest,
}

impl Named<'_> {
    /// Its colour and its name.
    pub fn shown(&self) -> Html {
        let mut html = Html::new();
        html.raw("<span class=\"named\">")
            .add(&self.swatch())
            .add(&element("<span>", &self.label, "</span></span>"));
        html
    }

    /// Its colour.
    pub fn swatch(&self) -> Html {
        let mut html = Html::new();
        html.raw("<i class=\"swatch s")
            .text(colour(self.number))
            .raw("\"></i>");
        html
    }
}

/// Names the tests.
pub fn name(tests: &[StoredTest]) -> Vec<Named<'_>> {
    let results: Vec<&TestResult> = tests.iter().map(|test| &test.result).collect();
    let named = labels(&results).into_iter().zip(tests).enumerate();
    named
        .map(|(number, (label, stored))| Named {
            number,
            label,
            stored,
        })
        .collect()
}

/// The whole page.
pub fn page(tests: &[StoredTest]) -> Result<String, Failure> {
    let tests = name(tests);
    let title = title(&tests);
    let mut html = Html::new();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; ");
    html.raw("script-src 'unsafe-inline'; img-src data:\">")
        .raw(GENERATOR);
    html.raw("<link rel=\"icon\" href=\"data:,\"><title>")
        .text(&title)
        .raw("</title><style>")
        .raw(STYLE);
    html.raw("</style></head><body><header class=\"top\"><h1>")
        .text(&title)
        .raw("</h1><p class=\"muted\">");
    html.text(subtitle(&tests)).raw("</p></header><main>");
    html.raw("<section class=\"cards\" aria-label=\"Results\">");
    tests.iter().for_each(|test| {
        html.add(&card(test));
    });
    html.raw("</section>").add(&notices::notices(&tests));
    if tests.len() > 1 {
        section(&mut html, "Side by side", &tables::comparison(&tests));
    }
    for scenario in Scenario::ALL {
        html.add(&scenario_section(*scenario, &tests));
    }
    section(&mut html, "Accuracy", &tables::accuracy(&tests));
    section(
        &mut html,
        "Distance to published results",
        &tables::published(&tests)?,
    );
    section(
        &mut html,
        "Model, data and engine",
        &origins::identity(&tests),
    );
    section(&mut html, "Environment", &origins::environment(&tests));
    folded(
        &mut html,
        "Configuration and where each value came from",
        &origins::configuration(&tests),
    );
    section(&mut html, "Files", &origins::files(&tests));
    html.raw("</main><footer class=\"muted\">")
        .text(format!("run_harness {}", env!("CARGO_PKG_VERSION")));
    html.raw(", a report of result.json; docs/reports.md says how to read it</footer>");
    html.raw("<script type=\"application/json\" id=\"report-data\">")
        .json(&data(&tests));
    html.raw("</script><div id=\"tip\" role=\"status\" hidden></div><script>")
        .raw(SCRIPT);
    html.raw("</script></body></html>\n");
    Ok(html.into_string())
}

fn section(html: &mut Html, heading: &'static str, content: &Html) {
    if !content.is_empty() {
        html.raw("<section class=\"panel\"><h2>")
            .raw(heading)
            .raw("</h2>")
            .add(content)
            .raw("</section>");
    }
}

/// Closed until somebody opens it.
fn folded(html: &mut Html, heading: &'static str, content: &Html) {
    html.raw("<section class=\"panel\"><details><summary><h2>")
        .raw(heading)
        .raw("</h2></summary>");
    html.add(content).raw("</details></section>");
}

fn title(tests: &[Named<'_>]) -> String {
    let Some(first) = tests.first().map(|test| &test.stored.result) else {
        return "GPT-J report".to_owned();
    };
    let same = |of: fn(&TestResult) -> &str| {
        let all = tests
            .iter()
            .all(|test| of(&test.stored.result) == of(first));
        all.then(|| of(first).to_owned())
    };
    match (same(|r| &r.benchmark), same(|r| &r.config.run.system_name)) {
        (Some(benchmark), Some(system)) => format!("{benchmark} on {system}"),
        (Some(benchmark), None) => benchmark,
        (None, Some(system)) => format!("GPT-J on {system}"),
        (None, None) => "GPT-J, several systems".to_owned(),
    }
}

fn subtitle(tests: &[Named<'_>]) -> String {
    let started: Vec<&String> = tests
        .iter()
        .map(|test| &test.stored.result.started)
        .collect();
    let readable = |time: &str| time.replace('T', " ").replace('Z', " UTC");
    let tests = match started.len() {
        1 => "One test".to_owned(),
        many => format!("{many} tests"),
    };
    match (started.iter().min(), started.iter().max()) {
        (Some(first), Some(last)) if first != last => {
            format!("{tests}, started {} to {}", readable(first), readable(last))
        }
        (Some(first), _) => format!("{tests}, started {}", readable(first)),
        _ => tests,
    }
}

fn card(test: &Named<'_>) -> Html {
    let result = &test.stored.result;
    let run = &result.config.run;
    let mut html = Html::new();
    html.raw("<article class=\"card\"><header><h2>")
        .add(&test.shown());
    html.raw("</h2>").add(&verdict(result)).raw("</header>");
    html.raw("<p class=\"headline\">");
    match headline(result) {
        Some((value, unit)) => html
            .raw("<strong>")
            .text(value)
            .raw("</strong> <span class=\"unit\">")
            .text(unit)
            .raw("</span>"),
        None => html.raw("<strong>–</strong>"),
    };
    html.raw("</p><dl>");
    let mut fact = |name: &str, value: String| {
        html.raw("<div><dt>")
            .text(name)
            .raw("</dt><dd>")
            .text(value)
            .raw("</dd></div>");
    };
    if let Some(performance) = &result.performance {
        fact("tokens/s", number(performance.tokens_per_second));
        if run.scenario == Scenario::Server {
            fact("completed/s", number(performance.samples_per_second));
        }
        fact("p50", duration(performance.latency_ns.p50 as f64));
        fact("p99", duration(performance.latency_ns.p99 as f64));
        if let Some(figure) = &performance.round_figure {
            let (unit, value) = match figure.unit.as_str() {
                "ns" => ("latency", duration(figure.value)),
                unit => (unit, number(figure.value)),
            };
            fact(&format!("{}: {unit}", figure.round), value);
        }
    }
    if let Some(harness) = &result.harness {
        fact("samples", count(harness.samples));
        fact("time", format!("{} s", number(harness.seconds)));
    }
    html.raw("</dl><p class=\"muted\">");
    let engine = match result.engines.as_slice() {
        [] => result.config.engine.engine.to_string(),
        [one] => one.name.clone(),
        several => format!("{} × {}", several.len(), several[0].name),
    };
    html.text(format!(
        "{} {}, {}, {engine}, scheduler {}",
        result.benchmark, run.test_mode, run.workload, result.config.scheduler.name
    ));
    html.raw("</p></article>");
    html
}

fn verdict(result: &TestResult) -> Html {
    let badge = |good: bool, text: &str| match good {
        true => element("<span class=\"badge good\">", text, "</span>"),
        false => element("<span class=\"badge bad\">", text, "</span>"),
    };
    match result.status {
        Status::Failed => return badge(false, "FAILED"),
        Status::Interrupted => return badge(false, "INTERRUPTED"),
        Status::Completed => {}
    }
    let mut html = Html::new();
    if result.performance.is_some() {
        html.add(&badge(result.valid == Some(true), validity(result)));
    }
    match result.accuracy.as_ref().map(|accuracy| accuracy.passed) {
        Some(Some(true)) => html.raw(" ").add(&badge(true, "ACCURACY PASSED")),
        Some(Some(false)) => html.raw(" ").add(&badge(false, "ACCURACY FAILED")),
        Some(None) | None => &mut html,
    };
    html
}

/// The figure that a test is known by, and its unit.
pub fn headline(result: &TestResult) -> Option<(String, &'static str)> {
    if let Some(performance) = &result.performance {
        return Some(match result.config.run.scenario {
            Scenario::Offline => (number(performance.value), "samples/s"),
            Scenario::Server => (number(performance.value), "queries/s scheduled"),
            Scenario::SingleStream => (duration(performance.value), "a sample, estimated"),
        });
    }
    let accuracy = result.accuracy.as_ref()?;
    Some((format!("{:.3}", accuracy.scores.rouge1), "ROUGE1"))
}

/// Charts and percentiles of one scenario's tests.
fn scenario_section(scenario: Scenario, all: &[Named<'_>]) -> Html {
    let tests: Vec<Named<'_>> = all
        .iter()
        .filter(|test| test.stored.result.config.run.scenario == scenario)
        .cloned()
        .collect();
    let mut html = Html::new();
    let charts = charts(scenario, &tests);
    let percentiles = tables::percentiles(&tests);
    if charts.is_empty() && percentiles.is_none() {
        return html;
    }
    html.raw("<section class=\"panel\"><h2>")
        .text(scenario)
        .raw("</h2>");
    if tests.len() > 1 {
        html.raw("<p class=\"legend\">");
        for test in &tests {
            html.raw("<span>").add(&test.shown()).raw("</span>");
        }
        html.raw("</p>");
    }
    html.raw("<div class=\"charts\">");
    charts.iter().for_each(|chart| {
        html.add(&chart.render());
    });
    if let Some(percentiles) = percentiles {
        html.raw("<div class=\"percentiles\"><h3>Latency of a sample, as LoadGen states it</h3>")
            .add(&percentiles)
            .raw("</div>");
    }
    html.raw("</div>");
    for (missing, names) in missing_files(&tests) {
        html.raw("<p class=\"together missing\">").add(&names);
        html.raw(" <span class=\"muted\">")
            .raw(missing)
            .raw("</span></p>");
    }
    html.raw("</section>");
    html
}

/// What cannot be drawn of which completed tests, because files of theirs are not there.
fn missing_files(tests: &[Named<'_>]) -> Vec<(&'static str, Html)> {
    let mut all: Vec<(&'static str, Html)> = Vec::new();
    for test in tests {
        let stored = test.stored;
        let latencies = stored.latencies.is_none() && stored.result.performance.is_some();
        let missing = match (stored.timeline.is_none(), latencies) {
            _ if stored.result.status != Status::Completed => continue,
            (false, false) => continue,
            (true, true) => {
                "timeline.json and latencies.json are not there: no curves over time, and latencies \
                 are LoadGen's percentiles with straight lines between them."
            }
            (true, false) => "timeline.json is not there: no curves over time.",
            (false, true) => {
                "latencies.json is not there: latencies are LoadGen's percentiles with straight lines \
                 between them."
            }
        };
        match all.iter_mut().find(|(same, _)| *same == missing) {
            Some((_, names)) => {
                names.raw(" ").add(&test.shown());
            }
            None => all.push((missing, test.shown())),
        }
    }
    all
}

/// For programs that open the page.
fn data(tests: &[Named<'_>]) -> serde_json::Value {
    let one = |test: &Named<'_>| {
        let result = &test.stored.result;
        json!({
            "label": test.label,
            "folder": test.stored.folder,
            "benchmark": result.benchmark,
            "scenario": result.config.run.scenario,
            "status": result.status,
            "valid": result.valid,
            "performance": result.performance,
            "accuracy": result.accuracy,
            "harness": result.harness,
        })
    };
    json!({ "tests": tests.iter().map(one).collect::<Vec<_>>() })
}

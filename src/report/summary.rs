//! The block at the end of a run, on stdout: one paragraph a test, with what people ask first.

use std::fmt::Write;
use std::path::PathBuf;

use super::metadata::validity;
use super::result::{Accuracy, Latency, Performance, Status, TestResult};
use crate::accuracy::report::{scores_line, summary_line};
use crate::config::Scenario;

const TITLE: &str = "======================== Result summaries: ========================";

/// The block. `folders` are where each test's files lie; `not_run` names tests that did not start.
pub fn summary(results: &[(PathBuf, TestResult)], not_run: &[String]) -> String {
    let mut text = format!("\n{TITLE}\n");
    for (folder, result) in results {
        paragraph(&mut text, result);
        line(&mut text, "logs", &folder.display().to_string());
    }
    for test in not_run {
        let _ = writeln!(text, "\n{test}");
        line(&mut text, "result", "not run");
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "    {name:<10} {value}");
}

fn paragraph(text: &mut String, result: &TestResult) {
    let run = &result.config.run;
    let engine = match result.engines.as_slice() {
        [] => result.config.engine.engine.to_string(),
        [one] => one.name.clone(),
        several => format!("{} x {}", several.len(), several[0].name),
    };
    let _ = writeln!(
        text,
        "\n{} {} {}: {} on {}, engine {engine}, scheduler {}",
        result.benchmark,
        run.scenario,
        run.test_mode,
        run.workload,
        run.system_name,
        result.config.scheduler.name
    );
    match (result.status, &result.failure) {
        (Status::Completed, _) => completed(text, result),
        (Status::Interrupted, _) => {
            line(
                text,
                "result",
                "interrupted: what is in the logs is no result",
            );
        }
        (Status::Failed, failure) => {
            let message = failure
                .as_ref()
                .map_or("", |failure| failure.message.as_str());
            line(text, "result", &format!("FAILED: {message}"));
        }
    }
}

fn completed(text: &mut String, result: &TestResult) {
    if let Some(accuracy) = &result.accuracy {
        line(text, "accuracy", &accuracy_text(accuracy));
    }
    if let Some(performance) = &result.performance {
        line(text, "result", validity(result));
        for finding in &result.findings {
            line(text, "", &format!("{}: {}", finding.rule, finding.message));
            line(text, "", &format!("remedy: {}", finding.remedy));
            if let Some(command) = &finding.command {
                line(text, "", &format!("next: {command}"));
            }
        }
        speed(text, performance, result.config.run.scenario);
    }
    if let Some(harness) = &result.harness {
        let of = format!(
            "{} samples in {:.1} s, {:.1} in flight on average, steps {:.0} % full",
            harness.samples,
            harness.seconds,
            harness.mean_running,
            harness.mean_step_fill * 100.0
        );
        line(text, "work", &of);
    }
    if let Some(ranges) = &result.fp8_ranges {
        line(text, "fp8", &ranges.describe());
    }
    if !result.not_for_submission.is_empty() {
        line(
            text,
            "note",
            &format!(
                "not for submission: {}",
                result.not_for_submission.join("; ")
            ),
        );
    }
}

fn speed(text: &mut String, performance: &Performance, scenario: Scenario) {
    let rate = match scenario {
        Scenario::Offline => format!("{:.3} samples/s", performance.samples_per_second),
        Scenario::Server => format!(
            "{:.3} queries/s scheduled, {:.3} completed",
            performance.value, performance.samples_per_second
        ),
        Scenario::SingleStream => format!(
            "{} estimated for the percentile asked for, {:.3} samples/s",
            duration(performance.value),
            performance.samples_per_second
        ),
    };
    line(text, "rate", &rate);
    if let Some(figure) = &performance.round_figure {
        let value = match figure.unit.as_str() {
            "ns" => duration(figure.value),
            unit => format!("{:.3} {unit}", figure.value),
        };
        line(text, "round", &format!("{}: {value}", figure.round));
    }
    line(
        text,
        "tokens",
        &format!("{:.1} tokens/s generated", performance.tokens_per_second),
    );
    let Latency {
        p50,
        p90,
        p97,
        p99,
        max,
        ..
    } = performance.latency_ns;
    let latencies: Vec<String> = [
        ("p50", p50),
        ("p90", p90),
        ("p97", p97),
        ("p99", p99),
        ("max", max),
    ]
    .iter()
    .map(|(name, ns)| format!("{name} {}", duration(*ns as f64)))
    .collect();
    line(text, "latency", &latencies.join("   "));
}

fn accuracy_text(accuracy: &Accuracy) -> String {
    match &accuracy.verdict {
        Some(verdict) => summary_line(verdict),
        None => format!(
            "{} (there are no reference values for this model and data set)",
            scores_line(&accuracy.scores)
        ),
    }
}

/// Nanoseconds as people read them.
fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.3} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (ns, text) in [
            (1_500.0, "1.5 us"),
            (2_340_000.0, "2.3 ms"),
            (12_345_678_901.0, "12.346 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }
}

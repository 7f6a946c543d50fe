//! `metadata.json`, as scripts around the former Python front end read it: the keys of its v3.1, sorted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::result::TestResult;
use crate::accuracy::report::summary_line;

/// Its name in the folder of a test.
pub const FILE_NAME: &str = "metadata.json";

/// The content for a completed test.
pub fn metadata(result: &TestResult) -> BTreeMap<String, Value> {
    let run = &result.config.run;
    let config_name = format!(
        "{}-{}-{}",
        run.system_name,
        result.config.workload_setting(),
        run.scenario
    );
    let mut map: BTreeMap<String, Value> = [
        ("benchmark_full", json!(result.benchmark)),
        ("benchmark_short", json!(run.benchmark)),
        ("config_name", json!(config_name)),
        ("detected_system", json!(result.machine.derived_name())),
        ("scenario", json!(run.scenario)),
        ("summary_string", json!(summary_string(result))),
        ("system_name", json!(run.system_name)),
        ("test_mode", json!(run.test_mode)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let mut insert = |key: &str, value: Value| map.insert(key.to_owned(), value);
    if let Some(plan) = &result.plan {
        // TensorRT is the only engine with plans, as it was.
        insert("tensorrt_version", json!(plan.builder_version));
    }
    if let Some(performance) = &result.performance {
        let broken = |rules: &[&str]| {
            result
                .findings
                .iter()
                .any(|finding| rules.contains(&finding.rule.as_str()))
        };
        insert("scenario_key", json!(performance.metric));
        insert(&performance.metric, json!(performance.value));
        insert("result_validity", json!(validity(result)));
        insert("early_stopping_met", json!(!broken(&["early_stopping"])));
        insert(
            "satisfies_query_constraint",
            json!(!broken(&["min_queries"])),
        );
    }
    if let Some(verdict) = result
        .accuracy
        .as_ref()
        .and_then(|accuracy| accuracy.verdict.as_ref())
    {
        insert("accuracy", json!(verdict.metrics));
        insert("accuracy_pass", json!(verdict.passed()));
    }
    map
}

/// `VALID` or `INVALID`.
pub fn validity(result: &TestResult) -> &'static str {
    match result.valid {
        Some(true) => "VALID",
        _ => "INVALID",
    }
}

fn summary_string(result: &TestResult) -> String {
    let performance = result.performance.as_ref().map(|performance| {
        format!(
            "{}: {}, Result is {}",
            performance.metric,
            performance.value,
            validity(result)
        )
    });
    let verdict = result
        .accuracy
        .as_ref()
        .and_then(|accuracy| accuracy.verdict.as_ref());
    let parts: Vec<_> = verdict
        .map(summary_line)
        .into_iter()
        .chain(performance)
        .collect();
    parts.join("; ")
}

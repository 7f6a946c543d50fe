//! Short names for the tests of a page.

use super::super::result::TestResult;
use crate::config::TestMode;

/// What can tell two tests apart, in the order in which it is tried; empty: nothing worth saying.
const PARTS: &[fn(&TestResult) -> String] = &[
    |r| match r.config.run.test_mode {
        TestMode::PerformanceOnly => String::new(),
        mode => mode.to_string(),
    },
    |r| r.config.engine.precision.to_string(),
    |r| r.config.engine.engine.to_string(),
    |r| match r.config.engine.devices.len() {
        0 => "CPU".to_owned(),
        1 => "1 GPU".to_owned(),
        many => format!("{many} GPUs"),
    },
    |r| r.config.scheduler.name.to_string(),
    |r| r.config.run.workload.clone(),
    |r| r.config.run.system_name.clone(),
    |r| r.benchmark.clone(),
];

/// A name for each test: its scenario, and as much more as it takes to tell it from the others.
pub fn labels(results: &[&TestResult]) -> Vec<String> {
    let mut labels: Vec<String> = results
        .iter()
        .map(|result| result.config.run.scenario.to_string())
        .collect();
    for part in PARTS {
        let before = labels.clone();
        for (index, result) in results.iter().enumerate() {
            let twins = (0..results.len()).filter(|other| before[*other] == before[index]);
            let text = part(result);
            let tells = twins.into_iter().any(|other| part(results[other]) != text);
            if tells && !text.is_empty() {
                labels[index] = format!("{}, {text}", labels[index]);
            }
        }
    }
    for index in 0..labels.len() {
        let same = labels[..index]
            .iter()
            .filter(|label| **label == labels[index])
            .count();
        if same > 0 {
            labels[index] = format!("{} (no. {})", labels[index], index + 1);
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::read::read_result;
    use super::*;

    fn of(tests: &[&str]) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        let read = |test: &&str| read_result(&root.join(test).join("result.json")).unwrap();
        let results: Vec<TestResult> = tests.iter().map(read).collect();
        labels(&results.iter().collect::<Vec<_>>())
    }

    #[test]
    fn names_are_as_long_as_it_takes() {
        let one = "2026-11-25-h100-fp8-fp16/Offline";
        let fp16 = "2026-11-25-h100-fp8-fp16/Offline-fp16";
        let two = "2026-11-25-h100-fp8-fp16/Offline-2-gpus";
        let server = "2026-11-25-h100-fp8-fp16/Server";
        let mini = "2026-11-25-h100-fp8/accuracy-gptj-mini-fp8";
        assert_eq!(of(&[one]), ["Offline"]);
        assert_eq!(of(&[one, server]), ["Offline", "Server"]);
        assert_eq!(
            of(&[one, fp16, server, mini]),
            [
                "Offline, fp8",
                "Offline, fp16",
                "Server",
                "Offline, AccuracyOnly"
            ]
        );
        assert_eq!(of(&[one, two]), ["Offline, 1 GPU", "Offline, 2 GPUs"]);
        assert_eq!(of(&[one, one]), ["Offline", "Offline (no. 2)"]);
    }
}

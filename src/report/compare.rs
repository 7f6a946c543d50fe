//! Two results beside each other: figures with their ratio, and what was different.

use serde::Serialize;

use super::html::{facts, settings_of};
use super::result::{Latency, TestResult};

/// A figure of a result by name.
pub type Figure = (&'static str, fn(&TestResult) -> Option<f64>);

/// What is compared, in the order in which it is shown.
pub const FIGURES: &[Figure] = &[
    ("samples/s", |r| {
        Some(r.performance.as_ref()?.samples_per_second)
    }),
    ("tokens/s generated", |r| {
        Some(r.performance.as_ref()?.tokens_per_second)
    }),
    ("queries/s scheduled", |r| {
        let performance = r.performance.as_ref()?;
        (performance.metric == "result_scheduled_samples_per_sec").then_some(performance.value)
    }),
    ("samples answered", |r| {
        Some(r.harness.as_ref()?.samples as f64)
    }),
    ("seconds", |r| Some(r.harness.as_ref()?.seconds)),
    ("steps", |r| Some(r.harness.as_ref()?.steps as f64)),
    ("tokens of a step, % of the most", |r| {
        Some(r.harness.as_ref()?.mean_step_fill * 100.0)
    }),
    ("samples in flight, mean", |r| {
        Some(r.harness.as_ref()?.mean_running)
    }),
    ("KV blocks, peak", |r| {
        Some(f64::from(r.harness.as_ref()?.peak_kv_blocks))
    }),
];

/// What two results of one scenario have besides, latencies in seconds.
const FURTHER: &[Figure] = &[
    ("latency p50, s", |r| latency(r, |ns| ns.p50)),
    ("latency p99, s", |r| latency(r, |ns| ns.p99)),
    ("latency max, s", |r| latency(r, |ns| ns.max)),
    ("ROUGE1", |r| Some(r.accuracy.as_ref()?.scores.rouge1)),
    ("ROUGE2", |r| Some(r.accuracy.as_ref()?.scores.rouge2)),
    ("ROUGEL", |r| Some(r.accuracy.as_ref()?.scores.rouge_l)),
];

fn latency(result: &TestResult, of: fn(&Latency) -> u64) -> Option<f64> {
    Some(of(&result.performance.as_ref()?.latency_ns) as f64 / 1e9)
}

/// A figure of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: &'static str,
    /// Of the first; absent where it has none.
    pub a: Option<f64>,
    /// Of the second.
    pub b: Option<f64>,
    /// The second over the first.
    pub ratio: Option<f64>,
}

/// Something that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// In the first; empty where it has none.
    pub a: String,
    /// In the second.
    pub b: String,
}

/// Two results beside each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Figures that at least one of them has.
    pub figures: Vec<Compared>,
    /// Settings that differ.
    pub config: Vec<Difference>,
    /// Machine, program, digests and engines that differ.
    pub environment: Vec<Difference>,
}

impl Comparison {
    /// Compares.
    pub fn new(a: &TestResult, b: &TestResult) -> Self {
        let figure = |(name, of): &Figure| {
            let (a, b) = (of(a), of(b));
            let ratio = a
                .zip(b)
                .map(|(a, b)| b / a)
                .filter(|ratio| ratio.is_finite());
            (a.is_some() || b.is_some()).then_some(Compared { name, a, b, ratio })
        };
        let facts = |result: &TestResult| -> Vec<(String, String)> {
            let named = facts(result).into_iter();
            // Two runs never begin at the same time.
            named
                .filter(|(name, _)| !matches!(*name, "started" | "finished"))
                .map(|(name, fact)| (name.to_owned(), fact))
                .collect()
        };
        Self {
            figures: FIGURES.iter().chain(FURTHER).filter_map(figure).collect(),
            config: differences(&settings_of(a), &settings_of(b)),
            environment: differences(&facts(a), &facts(b)),
        }
    }
}

/// In the order of `a`, then what only `b` has.
fn differences(a: &[(String, String)], b: &[(String, String)]) -> Vec<Difference> {
    let find = |all: &[(String, String)], name: &str| {
        let found = all.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let only_b = b
        .iter()
        .filter(|(name, _)| a.iter().all(|(other, _)| other != name));
    let names = a.iter().chain(only_b).map(|(name, _)| name);
    names
        .map(|name| Difference {
            name: name.clone(),
            a: find(a, name),
            b: find(b, name),
        })
        .filter(|difference| difference.a != difference.b)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::read::read_result;
    use super::*;

    #[test]
    fn two_stored_results_differ_where_they_should() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/2026-11-25-h100-fp8-fp16");
        let of = |name: &str| read_result(&root.join(name).join("result.json")).unwrap();
        let (fp8, fp16) = (of("Offline"), of("Offline-fp16"));
        let comparison = Comparison::new(&fp8, &fp16);
        let samples = &comparison.figures[0];
        assert_eq!(samples.name, "samples/s");
        let expected = fp16.performance.unwrap().value / fp8.performance.as_ref().unwrap().value;
        assert!((samples.ratio.unwrap() - expected).abs() < 1e-12);
        let precision = comparison
            .config
            .iter()
            .find(|d| d.name == "engine.precision")
            .unwrap();
        assert_eq!(
            (precision.a.as_str(), precision.b.as_str()),
            ("fp8", "fp16")
        );
        assert!(
            comparison
                .environment
                .iter()
                .any(|d| d.name == "FP8 ranges" && d.b.is_empty())
        );
        let same = Comparison::new(&fp8, &fp8);
        assert!(same.config.is_empty() && same.environment.is_empty());
        assert!(same.figures.iter().all(|figure| figure.a == figure.b));
    }
}

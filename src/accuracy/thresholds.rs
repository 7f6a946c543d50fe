//! What scores must reach: a share of what the fp32 model reaches.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Scores;
use super::error::AccuracyError;
use crate::config::AccuracyTarget;

/// Share of the reference's GEN_LEN that MLCommons asks for, at either accuracy target.
const GEN_LEN_SHARE: f64 = 0.9;

/// What the fp32 model reaches on a data set. ROUGE in percent, GEN_LEN in characters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyReference {
    /// ROUGE-1.
    pub rouge1: f64,
    /// ROUGE-2.
    pub rouge2: f64,
    /// ROUGE-L.
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
    /// Characters of all predictions.
    pub gen_len: u64,
    /// Number of samples the values stand for.
    pub gen_num: u64,
    /// Where the values come from, for people.
    #[serde(default)]
    pub source: String,
}

impl AccuracyReference {
    /// GPT-J 6B, fine-tuned, fp32, four beams, on the 13,368 articles of `cnn_eval.json`: the
    /// values of MLCommons' submission checker, the same from v3.1 to v5.0.
    #[must_use]
    pub fn gptj_6b() -> Self {
        Self {
            rouge1: 42.9865,
            rouge2: 20.1235,
            rouge_l: 29.9881,
            gen_len: 4_016_878,
            gen_num: 13_368,
            source: "MLCommons reference, GPT-J 6B fp32".to_owned(),
        }
    }

    /// Reads a model's own reference values: a JSON object with one object of values for each
    /// way of counting the length of a beam, `beam_length` naming the one wanted.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON or lacks the variant or one of its values.
    pub fn read(path: &Path, beam_length: &str) -> Result<Self, AccuracyError> {
        let malformed = |reason| AccuracyError::ReferenceMalformed {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|source| AccuracyError::Read {
            path: path.to_owned(),
            source,
        })?;
        let variants: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let values = variants.get(beam_length).ok_or_else(|| {
            malformed(format!(
                "no reference values for beam_length {beam_length:?}"
            ))
        })?;
        let mut reference = Self::deserialize(values)
            .map_err(|error| malformed(format!("{beam_length}: {error}")))?;
        if reference.source.is_empty() {
            reference.source = format!("{}, {beam_length}", path.display());
        }
        Ok(reference)
    }
}

/// One score against its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricVerdict {
    /// `ROUGE1`, `ROUGE2`, `ROUGEL` or `GEN_LEN`.
    pub name: String,
    /// What was reached.
    pub value: f64,
    /// What had to be reached.
    pub threshold: f64,
    /// Whether it was.
    pub pass: bool,
}

impl MetricVerdict {
    fn new(name: &str, value: f64, threshold: f64) -> Self {
        Self {
            name: name.to_owned(),
            value,
            threshold,
            pass: value >= threshold,
        }
    }

    /// How far above the threshold the value is, in the metric's own unit; below zero it failed.
    #[must_use]
    pub fn margin(&self) -> f64 {
        self.value - self.threshold
    }
}

/// The scores of a run against all thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// ROUGE1, ROUGE2, ROUGEL and GEN_LEN.
    pub metrics: Vec<MetricVerdict>,
    /// Samples scored.
    pub samples: u64,
    /// Samples the reference stands for. GEN_LEN is a sum, so nothing can pass on fewer.
    pub expected_samples: u64,
}

impl Verdict {
    /// Judges `scores`.
    #[must_use]
    pub fn new(scores: &Scores, reference: &AccuracyReference, target: AccuracyTarget) -> Self {
        let rouge =
            |name, value, expected| MetricVerdict::new(name, value, expected * target.ratio());
        Self {
            metrics: vec![
                rouge("ROUGE1", scores.rouge1, reference.rouge1),
                rouge("ROUGE2", scores.rouge2, reference.rouge2),
                rouge("ROUGEL", scores.rouge_l, reference.rouge_l),
                MetricVerdict::new(
                    "GEN_LEN",
                    scores.gen_len as f64,
                    reference.gen_len as f64 * GEN_LEN_SHARE,
                ),
            ],
            samples: scores.gen_num,
            expected_samples: reference.gen_num,
        }
    }

    /// Whether every metric passed, on the samples the reference stands for.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.samples == self.expected_samples && self.metrics.iter().all(|metric| metric.pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Scores {
        // As published for an eight-GPU H100 machine in v3.1.
        Scores {
            rouge1: 43.0722,
            rouge2: 20.1886,
            rouge_l: 30.0305,
            rouge_lsum: 40.2406,
            gen_len: 4_048_328,
            gen_num: 13_368,
        }
    }

    #[test]
    fn thresholds_are_those_of_the_checker() {
        let reference = AccuracyReference::gptj_6b();
        for (target, expected) in [
            (
                AccuracyTarget::P99,
                [42.556_635, 19.922_265, 29.688_219, 3_615_190.2],
            ),
            (
                AccuracyTarget::P999,
                [42.943_513_5, 20.103_376_5, 29.958_111_9, 3_615_190.2],
            ),
        ] {
            let verdict = Verdict::new(&scores(), &reference, target);
            assert!(verdict.passed());
            for (metric, expected) in verdict.metrics.iter().zip(expected) {
                assert!((metric.threshold - expected).abs() < 1e-9, "{metric:?}");
                assert!(metric.margin() > 0.0);
            }
        }
    }

    #[test]
    fn one_low_metric_fails() {
        let reference = AccuracyReference::gptj_6b();
        let low = Scores {
            rouge2: 20.0,
            ..scores()
        };
        assert!(Verdict::new(&low, &reference, AccuracyTarget::P99).passed());
        let verdict = Verdict::new(&low, &reference, AccuracyTarget::P999);
        assert!(!verdict.passed());
        let failed: Vec<_> = verdict
            .metrics
            .iter()
            .filter(|metric| !metric.pass)
            .collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].name, "ROUGE2");
        assert!(failed[0].margin() < 0.0);
    }

    #[test]
    fn a_score_equal_to_the_threshold_passes_and_nan_does_not() {
        assert!(MetricVerdict::new("ROUGE1", 42.5, 42.5).pass);
        assert!(!MetricVerdict::new("ROUGE1", f64::NAN, 42.5).pass);
    }

    #[test]
    fn fewer_samples_do_not_pass() {
        let short = Scores {
            gen_num: 1000,
            ..scores()
        };
        let reference = AccuracyReference::gptj_6b();
        assert!(!Verdict::new(&short, &reference, AccuracyTarget::P99).passed());
    }

    fn read_text(text: &str, beam_length: &str) -> Result<AccuracyReference, AccuracyError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("a writable file");
        AccuracyReference::read(file.path(), beam_length)
    }

    #[test]
    fn a_model_brings_its_own_reference() {
        let text = r#"{
            "made_by": "a script",
            "generated": {"rouge1": 61.5, "rouge2": 40.25, "rougeL": 50.0, "rougeLsum": 58.0,
                          "gen_len": 200000, "gen_num": 1000},
            "prompt_and_generated": {"rouge1": 61.0, "rouge2": 40.0, "rougeL": 49.5,
                          "gen_len": 190000, "gen_num": 1000, "source": "transformers 4.35.2"}
        }"#;
        let reference = read_text(text, "generated").expect("a good file");
        assert_eq!(
            (reference.rouge1, reference.gen_len, reference.gen_num),
            (61.5, 200_000, 1000)
        );
        assert!(
            reference.source.ends_with(", generated"),
            "{}",
            reference.source
        );
        let reference = read_text(text, "prompt_and_generated").expect("a good file");
        assert_eq!(
            (reference.rouge_l, reference.source.as_str()),
            (49.5, "transformers 4.35.2")
        );
    }

    #[test]
    fn a_bad_reference_names_what_is_missing() {
        let complete =
            r#"{"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0, "gen_len": 1, "gen_num": 1}"#;
        for (text, reason) in [
            ("", "EOF"),
            ("[]", "expected a map"),
            ("{}", "no reference values for beam_length \"generated\""),
            (&format!("{{\"other\": {complete}}}"), "no reference values"),
            (
                &format!("{{\"generated\": {}}}", complete.replace("rouge2", "x")),
                "`rouge2`",
            ),
            (
                &format!(
                    "{{\"generated\": {}}}",
                    complete.replace("\"gen_len\": 1", "\"gen_len\": \"a\"")
                ),
                "generated: invalid type",
            ),
        ] {
            let error = read_text(text, "generated").expect_err("a file to refuse");
            let message = error.to_string();
            assert!(
                message.contains("does not hold reference values"),
                "{message}"
            );
            assert!(message.contains(reason), "{text}: {message}");
            assert!(error.hint().contains("gen_num"), "{error}");
        }
        let missing = Path::new("/nonexistent/reference.json");
        let message = AccuracyReference::read(missing, "generated")
            .expect_err("no file")
            .to_string();
        assert_eq!(message, "cannot read /nonexistent/reference.json");
    }
}

//! The texts that accuracy ends up in: `accuracy.txt`, which MLCommons' submission checker parses,
//! and the line of the summary.

use std::path::{Path, PathBuf};

use super::Scores;
use super::error::AccuracyError;
use super::thresholds::Verdict;
use crate::disk::write_and_rename;

/// Name of the file beside the accuracy log.
pub const FILE_NAME: &str = "accuracy.txt";

/// The line of scores as the reference script prints its dictionary.
///
/// Numbers stand plain: the checkers up to v5.0 do not match quoted ones, nor NumPy's
/// `np.int64(...)`.
#[must_use]
pub fn scores_line(scores: &Scores) -> String {
    let Scores {
        rouge1,
        rouge2,
        rouge_l,
        rouge_lsum,
        gen_len,
        gen_num,
    } = scores;
    // Debug writes a float as Python's repr does: the shortest digits, always with a point.
    format!(
        "{{'rouge1': {rouge1:?}, 'rouge2': {rouge2:?}, 'rougeL': {rouge_l:?}, \
         'rougeLsum': {rouge_lsum:?}, 'gen_len': {gen_len}, 'gen_num': {gen_num}}}"
    )
}

/// The whole of `accuracy.txt`. The line with the log's hash comes later, when the log is
/// shortened for submission.
#[must_use]
pub fn accuracy_text(scores: &Scores) -> String {
    format!("\nResults\n\n{}\n", scores_line(scores))
}

/// Writes `accuracy.txt` into `folder` and returns its path. The file is complete or not there.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write(folder: &Path, scores: &Scores) -> Result<PathBuf, AccuracyError> {
    let path = folder.join(FILE_NAME);
    let unfinished = folder.join(format!(".{FILE_NAME}.{}", std::process::id()));
    let result = write_and_rename(&unfinished, &path, accuracy_text(scores).as_bytes());
    if let Err(source) = result {
        // Nothing more can be done about a leftover than to try; the first error counts.
        let _ = std::fs::remove_file(&unfinished);
        return Err(AccuracyError::Write { path, source });
    }
    Ok(path)
}

/// The verdict in one line: `[PASSED] ROUGE1: 43.058 (Threshold=42.944) | ...`.
#[must_use]
pub fn summary_line(verdict: &Verdict) -> String {
    let mut parts: Vec<String> = verdict
        .metrics
        .iter()
        .map(|metric| {
            let word = if metric.pass { "PASSED" } else { "FAILED" };
            let (name, value, threshold) = (&metric.name, metric.value, metric.threshold);
            format!("[{word}] {name}: {value:.3} (Threshold={threshold:.3})")
        })
        .collect();
    if verdict.samples != verdict.expected_samples {
        let (samples, expected) = (verdict.samples, verdict.expected_samples);
        parts.push(format!("[FAILED] SAMPLES: {samples} (Expected={expected})"));
    }
    parts.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::super::thresholds::AccuracyReference;
    use super::*;
    use crate::config::AccuracyTarget;

    fn scores() -> Scores {
        Scores {
            rouge1: 43.0,
            rouge2: 20.1886,
            rouge_l: 0.0001,
            rouge_lsum: 0.0,
            gen_len: 4_048_328,
            gen_num: 13_368,
        }
    }

    #[test]
    fn numbers_look_like_python_numbers() {
        assert_eq!(
            scores_line(&scores()),
            "{'rouge1': 43.0, 'rouge2': 20.1886, 'rougeL': 0.0001, 'rougeLsum': 0.0, \
             'gen_len': 4048328, 'gen_num': 13368}"
        );
    }

    #[test]
    fn summary_names_each_metric() {
        let verdict = |samples| {
            let scores = Scores {
                gen_num: samples,
                ..scores()
            };
            Verdict::new(&scores, &AccuracyReference::gptj_6b(), AccuracyTarget::P999)
        };
        assert_eq!(
            summary_line(&verdict(13_368)),
            "[PASSED] ROUGE1: 43.000 (Threshold=42.944) | [PASSED] ROUGE2: 20.189 \
             (Threshold=20.103) | [FAILED] ROUGEL: 0.000 (Threshold=29.958) | [PASSED] GEN_LEN: \
             4048328.000 (Threshold=3615190.200)"
        );
        assert!(summary_line(&verdict(9)).ends_with(" | [FAILED] SAMPLES: 9 (Expected=13368)"));
    }
}

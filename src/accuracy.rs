//! Accuracy in the program: what MLCommons' `evaluation.py` for GPT-J prints, without Python.
//!
//! [`log`] reads LoadGen's accuracy log, the caller decodes its tokens to texts, [`evaluate`]
//! scores them, [`thresholds`] judges the scores and [`report`] writes `accuracy.txt`.
//!
//! ROUGE-1, ROUGE-2, ROUGE-L and GEN_LEN equal the reference script's, ROUGE-Lsum does for equal
//! sentence splits; [`sentences`] says how far the splits agree.

mod english;
pub mod error;
pub mod log;
mod mean;
pub mod porter;
pub mod report;
pub mod rouge;
pub mod sentences;
pub mod thresholds;
pub mod tokens;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use error::AccuracyError;
pub use rouge::{PairScores, score_pair};

/// Decoded texts to score, one prediction for each reference, in the same order.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationInput<'texts> {
    /// What the model wrote, special tokens skipped, not cleaned up yet.
    pub predictions: &'texts [String],
    /// The summaries of the data set.
    pub references: &'texts [String],
}

/// What the reference script prints: the means of the F-measures in percent, rounded to four
/// decimals as NumPy rounds them, and the size of the predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// ROUGE-1, percent.
    pub rouge1: f64,
    /// ROUGE-2, percent.
    pub rouge2: f64,
    /// ROUGE-L, percent.
    #[serde(rename = "rougeL")]
    pub rouge_l: f64,
    /// ROUGE-Lsum, percent; printed, never checked.
    #[serde(rename = "rougeLsum")]
    pub rouge_lsum: f64,
    /// GEN_LEN: characters (Unicode code points) of all predictions after their clean-up.
    pub gen_len: u64,
    /// Number of predictions.
    pub gen_num: u64,
}

/// Called with the pairs scored so far and the number of all pairs, from several threads.
pub type Progress<'callback> = dyn Fn(usize, usize) + Sync + 'callback;

/// Scores predictions against references as the reference script does.
///
/// # Errors
/// When there is nothing to score, or not one prediction for each reference.
pub fn evaluate(input: EvaluationInput<'_>) -> Result<Scores, AccuracyError> {
    evaluate_with_progress(input, &|_, _| {})
}

/// [`evaluate`], telling how far it is after each pair.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with_progress(
    input: EvaluationInput<'_>,
    progress: &Progress<'_>,
) -> Result<Scores, AccuracyError> {
    let EvaluationInput {
        predictions,
        references,
    } = input;
    if predictions.len() != references.len() {
        return Err(AccuracyError::UnevenPairs {
            predictions: predictions.len(),
            references: references.len(),
        });
    }
    if predictions.is_empty() {
        return Err(AccuracyError::NothingToScore);
    }
    let done = AtomicUsize::new(0);
    let scored: Vec<ScoredPrediction> = predictions
        .par_iter()
        .zip(references)
        .map(|(prediction, reference)| {
            let scored = ScoredPrediction::new(prediction, reference);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, predictions.len());
            scored
        })
        .collect();
    let percent = |measure: fn(&PairScores) -> f64| {
        let values: Vec<f64> = scored.iter().map(|pair| measure(&pair.scores)).collect();
        mean::round_to_four_decimals(mean::mean(&values) * 100.0)
    };
    Ok(Scores {
        rouge1: percent(|scores| scores.rouge1),
        rouge2: percent(|scores| scores.rouge2),
        rouge_l: percent(|scores| scores.rouge_l),
        rouge_lsum: percent(|scores| scores.rouge_lsum),
        gen_len: scored.iter().map(|pair| pair.characters).sum(),
        gen_num: scored.len() as u64,
    })
}

struct ScoredPrediction {
    scores: PairScores,
    /// Code points of the cleaned-up prediction.
    characters: u64,
}

impl ScoredPrediction {
    fn new(prediction: &str, reference: &str) -> Self {
        let prediction = sentences::postprocess(prediction);
        let reference = sentences::postprocess(reference);
        Self {
            scores: score_pair(&reference, &prediction),
            characters: prediction.chars().count() as u64,
        }
    }
}

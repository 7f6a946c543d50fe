//! ROUGE, GEN_LEN and the stemmer against golden values of rouge_score and NLTK, made by
//! tests/fixtures/make_rouge_golden.py.

#![expect(
    clippy::expect_used,
    reason = "helpers outside of #[test] stop a test as it would"
)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlperf_gptj::accuracy::sentences::python_strip;
use mlperf_gptj::accuracy::{
    AccuracyError, EvaluationInput, Scores, evaluate, evaluate_with_progress, porter, score_pair,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    aggregates: Scores,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    kind: String,
    reference: String,
    prediction: String,
    /// F-measures of rouge1, rouge2, rougeL and rougeLsum.
    scores: [f64; 4],
    /// Characters of the prediction, stripped.
    length: usize,
}

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/rouge")
        .join(name);
    std::fs::read_to_string(path).expect("a fixture of the repository")
}

fn golden() -> Golden {
    serde_json::from_str(&fixture("pairs.json")).expect("pairs.json has the form of its script")
}

#[test]
fn stems_equal_nltk() {
    let words = fixture("porter.tsv");
    let mut count = 0;
    for line in words.lines() {
        let (word, expected) = line.split_once('\t').expect("word TAB stem");
        assert_eq!(porter::stem(word), expected, "stem of {word:?}");
        count += 1;
    }
    assert!(count >= 5000, "only {count} golden stems");
}

#[test]
fn every_pair_equals_rouge_score() {
    let golden = golden();
    assert_eq!(golden.pairs.len(), 1000);
    for kind in [
        "empty",
        "one word",
        "unicode",
        "abbreviations",
        "2000 words",
        "article",
    ] {
        assert!(
            golden.pairs.iter().any(|pair| pair.kind == kind),
            "no pair of kind {kind:?}"
        );
    }
    for (number, pair) in golden.pairs.iter().enumerate() {
        let prediction = python_strip(&pair.prediction);
        let scores = score_pair(python_strip(&pair.reference), prediction);
        let found = [
            scores.rouge1,
            scores.rouge2,
            scores.rouge_l,
            scores.rouge_lsum,
        ];
        for (name, (found, expected)) in ["rouge1", "rouge2", "rougeL", "rougeLsum"]
            .iter()
            .zip(found.iter().zip(pair.scores))
        {
            assert!(
                (found - expected).abs() < 1e-12,
                "pair {number} ({}), {name}: {found} instead of {expected}",
                pair.kind
            );
        }
        assert_eq!(
            prediction.chars().count(),
            pair.length,
            "length of pair {number}"
        );
    }
}

#[test]
fn aggregates_equal_the_reference_script() {
    let golden = golden();
    let predictions: Vec<String> = golden
        .pairs
        .iter()
        .map(|pair| pair.prediction.clone())
        .collect();
    let references: Vec<String> = golden
        .pairs
        .iter()
        .map(|pair| pair.reference.clone())
        .collect();
    let scores = evaluate(EvaluationInput {
        predictions: &predictions,
        references: &references,
    })
    .expect("as many references as predictions");
    // Our own sentence splits come on top of the given ones here, and they move ROUGE-Lsum alone.
    assert_eq!(
        Scores {
            rouge_lsum: golden.aggregates.rouge_lsum,
            ..scores
        },
        golden.aggregates
    );
}

#[test]
fn progress_reaches_the_end() {
    let texts: Vec<String> = (0..50).map(|n| format!("text number {n}")).collect();
    let (calls, furthest) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let scores = evaluate_with_progress(
        EvaluationInput {
            predictions: &texts,
            references: &texts,
        },
        &|done, total| {
            assert_eq!(total, 50);
            calls.fetch_add(1, Ordering::Relaxed);
            furthest.fetch_max(done, Ordering::Relaxed);
        },
    )
    .expect("equal lists");
    assert_eq!((calls.into_inner(), furthest.into_inner()), (50, 50));
    assert_eq!((scores.rouge1, scores.gen_num), (100.0, 50));
}

#[test]
fn uneven_or_empty_input_is_refused() {
    let one = vec!["text".to_owned()];
    let error = evaluate(EvaluationInput {
        predictions: &one,
        references: &[],
    })
    .expect_err("one prediction, no reference");
    assert!(matches!(
        error,
        AccuracyError::UnevenPairs {
            predictions: 1,
            references: 0
        }
    ));
    assert!(
        error.to_string().contains("1 predictions but 0 references"),
        "{error}"
    );
    let error = evaluate(EvaluationInput {
        predictions: &[],
        references: &[],
    })
    .expect_err("nothing to score");
    assert!(error.hint().contains("--test_mode=AccuracyOnly"), "{error}");
}

//! What a test came to: LoadGen's logs read, answers scored.

use std::path::Path;

use super::folder::{accuracy_log, loadgen_file};
use super::inputs::{Loaded, Texts};
use crate::accuracy::log::{LogFormat, TokenType};
use crate::accuracy::thresholds::{AccuracyReference, Verdict};
use crate::accuracy::{EvaluationInput, evaluate, log, report};
use crate::bridge::ffi;
use crate::config::{ResolvedConfig, Scenario};
use crate::error::Failure;
use crate::model::locate::same_file;
use crate::report::loadgen_log::{LoadgenLog, LoadgenLogError, check_summary};
use crate::report::result::{Accuracy, Latency, Performance};

/// LoadGen's detail log of a test, which together with its summary must be complete.
pub fn read_logs(config: &ResolvedConfig) -> Result<LoadgenLog, Failure> {
    let folder = config.test_dir();
    let suffix = &config.loadgen.log.suffix;
    check_summary(&loadgen_file(&folder, "summary", suffix))?;
    Ok(LoadgenLog::read(&loadgen_file(&folder, "detail", suffix))?)
}

/// Rates and latencies of a performance run.
pub fn performance(
    log: &LoadgenLog,
    config: &ResolvedConfig,
    outcome: &ffi::RunOutcome,
) -> Result<Performance, Failure> {
    let keys = Keys {
        log,
        folder: &config.test_dir(),
        suffix: &config.loadgen.log.suffix,
    };
    let (metric, rate) = match config.run.scenario {
        Scenario::Offline => ("result_samples_per_second", "result_samples_per_second"),
        Scenario::Server => (
            "result_scheduled_samples_per_sec",
            "result_completed_samples_per_sec",
        ),
        Scenario::SingleStream => (
            "early_stopping_latency_ss",
            "result_qps_without_loadgen_overhead",
        ),
    };
    let samples_per_second = keys.number(rate)?;
    let inferred = [
        "result_inferred_tokens_per_second",
        "result_inferred_completed_tokens_per_second",
    ];
    let latency = |name: &str| keys.count(&format!("result_{name}_latency_ns"));
    let percentile = |name: &str| latency(&format!("{name}_percentile"));
    Ok(Performance {
        metric: metric.to_owned(),
        value: keys.number(metric)?,
        samples_per_second,
        tokens_per_second: samples_per_second * outcome.generated_tokens as f64
            / outcome.samples_completed.max(1) as f64,
        inferred_tokens_per_second: inferred.iter().find_map(|key| log.number(key)),
        query_count: keys.count("result_query_count")?,
        overlatency_query_count: log.count("result_overlatency_query_count"),
        latency_ns: Latency {
            min: latency("min")?,
            mean: latency("mean")?,
            p50: percentile("50.00")?,
            p90: percentile("90.00")?,
            p95: percentile("95.00")?,
            p97: percentile("97.00")?,
            p99: percentile("99.00")?,
            p99_9: percentile("99.90")?,
            max: latency("max")?,
        },
    })
}

struct Keys<'a> {
    log: &'a LoadgenLog,
    folder: &'a Path,
    suffix: &'a str,
}

impl Keys<'_> {
    fn missing(&self, key: &str) -> LoadgenLogError {
        LoadgenLogError::Incomplete {
            path: loadgen_file(self.folder, "detail", self.suffix),
            lacks: format!("it has no `{key}`"),
        }
    }

    fn number(&self, key: &str) -> Result<f64, LoadgenLogError> {
        self.log.number(key).ok_or_else(|| self.missing(key))
    }

    fn count(&self, key: &str) -> Result<u64, LoadgenLogError> {
        self.log.count(key).ok_or_else(|| self.missing(key))
    }
}

/// Scores the answers of an accuracy run and writes accuracy.txt.
pub fn score(config: &ResolvedConfig, loaded: &Loaded, texts: &Texts) -> Result<Accuracy, Failure> {
    let folder = config.test_dir();
    let path = accuracy_log(&folder, &config.loadgen.log.suffix);
    let format = LogFormat {
        token_type: TokenType::Int32,
        samples: loaded.samples,
        // Read as a positive number.
        vocabulary: loaded.model.vocab_size.unsigned_abs(),
    };
    let answers = log::read(&path, format)?;
    let mut predictions = Vec::with_capacity(answers.responses.len());
    let mut references = Vec::with_capacity(answers.responses.len());
    for response in &answers.responses {
        // Below the vocabulary, which is an i32.
        let tokens: Vec<i32> = response.tokens.iter().map(|&token| token as i32).collect();
        predictions.push(texts.tokenizer.decode(&tokens)?);
        references.push(texts.dataset.samples[response.sample].output.clone());
    }
    let scores = evaluate(EvaluationInput {
        predictions: &predictions,
        references: &references,
    })?;
    report::write(&folder, &scores)?;
    let reference = reference(config)?;
    let verdict = reference
        .as_ref()
        .map(|reference| Verdict::new(&scores, reference, config.run.accuracy_target));
    Ok(Accuracy {
        passed: verdict.as_ref().map(Verdict::passed),
        scores,
        verdict,
        reference,
    })
}

/// What the scores are held against: the published reference, or the one that lies beside the model for the data set
/// that lies there too.
fn reference(config: &ResolvedConfig) -> Result<Option<AccuracyReference>, Failure> {
    if config.run.workload == "cnn_dailymail" {
        return Ok(Some(AccuracyReference::gptj_6b()));
    }
    let model = &config.paths.model;
    let own = |name: &str| model.join(name);
    let path = own("reference.json");
    if !path.is_file() || !same_file(&config.paths.dataset, &own("cnn_eval.json")) {
        return Ok(None);
    }
    let length = config.generation.beam_length.name();
    Ok(Some(AccuracyReference::read(&path, length)?))
}

//! What a test came to: LoadGen's logs read, answers scored.

use std::path::Path;

use super::folder::{accuracy_log, loadgen_file};
use super::inputs::Loaded;
use super::texts::Texts;
use crate::accuracy::log::{LogFormat, TokenType};
use crate::accuracy::thresholds::{AccuracyReference, Verdict};
use crate::accuracy::{EvaluationInput, evaluate_with_progress, log, report};
use crate::bridge::ffi;
use crate::config::{ResolvedConfig, ResultUnit, Scenario};
use crate::error::Failure;
use crate::model::locate::same_file;
use crate::report::loadgen_log::{LoadgenLog, LoadgenLogError, check_summary};
use crate::report::result::{Accuracy, Latency, Performance, RoundFigure};

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
    let metric = own_metric(config.run.scenario);
    let rate = match config.run.scenario {
        Scenario::Offline => metric,
        Scenario::Server => "result_completed_samples_per_sec",
        Scenario::SingleStream => "result_qps_without_loadgen_overhead",
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
        round_figure: round_figure(&keys, config, metric)?,
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

/// The scenario's own figure, by its name in LoadGen's detail log.
fn own_metric(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Offline => "result_samples_per_second",
        Scenario::Server => "result_scheduled_samples_per_sec",
        Scenario::SingleStream => "early_stopping_latency_ss",
    }
}

/// The figure that the round's checker reads, for the official workload: the scenario's own metric, or, where the round
/// states tokens, LoadGen's inference from it.
fn round_figure(
    keys: &Keys<'_>,
    config: &ResolvedConfig,
    own: &str,
) -> Result<Option<RoundFigure>, LoadgenLogError> {
    if config.run.workload != "cnn_dailymail" {
        return Ok(None);
    }
    let (metric, unit) = match (config.run.scenario, config.run.result_unit) {
        (Scenario::SingleStream, _) => (own, "ns"),
        (Scenario::Offline, ResultUnit::Tokens) => {
            ("result_inferred_tokens_per_second", "tokens/s")
        }
        (Scenario::Server, ResultUnit::Tokens) => {
            ("result_inferred_completed_tokens_per_second", "tokens/s")
        }
        (Scenario::Offline | Scenario::Server, ResultUnit::Samples) => (own, "samples/s"),
    };
    Ok(Some(RoundFigure {
        round: config.run.round.clone(),
        metric: metric.to_owned(),
        value: keys.number(metric)?,
        unit: unit.to_owned(),
    }))
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

/// Scores the answers of an accuracy run and writes accuracy.txt. `progress` is called for every answer that was scored,
/// from several threads.
pub fn score(
    config: &ResolvedConfig,
    loaded: &Loaded,
    texts: &Texts,
    progress: &(dyn Fn() + Sync),
) -> Result<Accuracy, Failure> {
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
    let input = EvaluationInput {
        predictions: &predictions,
        references: &references,
    };
    let scores = evaluate_with_progress(input, &|_, _| progress())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    fn figure(workload: &'static str, round: &str, scenario: &str) -> Option<RoundFigure> {
        let setup = Setup { workload, gpus: 0 };
        let config = setup.config(&[("round", round), ("scenarios", scenario)]);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("results/2026-11-24-h100-fp8")
            .join(config.run.scenario.name());
        let log = LoadgenLog::read(&loadgen_file(&folder, "detail", "")).unwrap();
        let keys = Keys {
            log: &log,
            folder: &folder,
            suffix: "",
        };
        round_figure(&keys, &config, own_metric(config.run.scenario)).unwrap()
    }

    #[test]
    fn a_round_states_results_in_its_own_unit() {
        let official = |round: &str, scenario: &str| {
            let figure = figure("cnn_dailymail", round, scenario).unwrap();
            assert_eq!(figure.round, round);
            (figure.metric, figure.value, figure.unit)
        };
        let expect =
            |metric: &str, value: f64, unit: &str| (metric.to_owned(), value, unit.to_owned());
        assert_eq!(
            official("v4.0", "offline"),
            expect("result_samples_per_second", 38.0896, "samples/s")
        );
        assert_eq!(
            official("v4.1", "offline"),
            expect("result_inferred_tokens_per_second", 2628.19, "tokens/s")
        );
        assert_eq!(
            official("v3.1", "server").0,
            "result_scheduled_samples_per_sec"
        );
        assert_eq!(
            official("v5.0", "server"),
            expect(
                "result_inferred_completed_tokens_per_second",
                2513.02,
                "tokens/s"
            )
        );
        assert_eq!(official("v5.0", "single_stream").2, "ns");
        assert_eq!(figure("gptj-mini", "v5.0", "offline"), None);
    }
}

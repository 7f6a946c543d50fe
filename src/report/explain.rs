//! Why a result is INVALID: which rule was broken, by how much, and what to do about it.

use serde::{Deserialize, Serialize};

use super::loadgen_log::LoadgenLog;
use crate::config::{ResolvedConfig, Scenario};

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `latency`, `min_duration`, `min_queries`, `early_stopping` or `loadgen_error`.
    pub rule: String,
    /// What the rule asks for and what happened.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    fn new(rule: &str, message: String, remedy: impl Into<String>) -> Self {
        Self {
            rule: rule.to_owned(),
            message,
            remedy: remedy.into(),
        }
    }
}

/// A rate that leaves room below what was completed.
const HEADROOM: f64 = 0.95;
/// A query that is made a little longer than needed runs the whole duration.
const MARGIN: f64 = 1.05;

/// Every rule that a performance run broke, in LoadGen's order.
pub fn findings(log: &LoadgenLog, config: &ResolvedConfig) -> Vec<Finding> {
    let broken = |key: &str| log.flag(key) == Some(false);
    let mut findings = Vec::new();
    if broken("result_perf_constraints_met") {
        findings.push(latency(log));
    }
    if broken("result_min_duration_met") {
        findings.push(duration(log, config.run.scenario));
    }
    if broken("result_min_queries_met") {
        findings.push(queries(log, config));
    }
    if broken("early_stopping_met") {
        findings.push(early_stopping(log));
    }
    findings.extend(log.errors.iter().map(|error| {
        Finding::new(
            "loadgen_error",
            format!("LoadGen logged an error, which the submission checker refuses: {error}"),
            "mind what the error names, and run again",
        )
    }));
    if findings.is_empty() && log.is_valid() == Some(false) {
        let reason = log.text("result_invalid_reason").unwrap_or_default();
        findings.push(Finding::new(
            "other",
            format!("LoadGen says: {}", reason.trim()),
            "see mlperf_log_detail.txt",
        ));
    }
    findings
}

fn latency(log: &LoadgenLog) -> Finding {
    let bound = seconds(log, "effective_target_latency_ns");
    let share = log
        .number("effective_target_latency_percentile")
        .unwrap_or(0.99);
    let over = log.count("result_overlatency_query_count").unwrap_or(0);
    let count = log.count("result_query_count").unwrap_or(0);
    let scheduled = log
        .number("result_scheduled_samples_per_sec")
        .unwrap_or(0.0);
    let completed = log
        .number("result_completed_samples_per_sec")
        .unwrap_or(0.0);
    let message = format!(
        "{:.4} % of the queries must be answered within {bound:.3} s; {over} of {count} took longer. Queries came at \
         {scheduled:.2} a second, and {completed:.2} a second were answered",
        share * 100.0
    );
    let rate = completed.min(scheduled) * HEADROOM;
    Finding::new(
        "latency",
        message,
        format!("ask for less: --server_target_qps={}", rounded(rate)),
    )
}

fn duration(log: &LoadgenLog, scenario: Scenario) -> Finding {
    let least = log.number("effective_min_duration_ms").unwrap_or(0.0) / 1e3;
    let told = log.number("effective_target_qps").unwrap_or(0.0);
    let (message, remedy) = match scenario {
        Scenario::Offline => {
            let rate = log.number("result_samples_per_second").unwrap_or(0.0);
            let ran = seconds(log, "result_max_latency_ns");
            (
                format!(
                    "the run must last {least:.1} s and lasted {ran:.1} s: LoadGen made its one query for {told:.2} \
                     samples a second, and {rate:.2} a second were answered"
                ),
                format!("--offline_expected_qps={}", rounded(rate * MARGIN)),
            )
        }
        Scenario::Server => (
            format!(
                "queries must come for {least:.1} s; fewer were prepared, at {told:.2} a second"
            ),
            "leave out --max_query_count and --max_duration, or give a larger --min_query_count"
                .to_owned(),
        ),
        Scenario::SingleStream => {
            let mean = log.number("result_mean_latency_ns").unwrap_or(0.0);
            (
                format!(
                    "the run must last {least:.1} s and ended before; a sample took {:.3} s on average",
                    mean / 1e9
                ),
                format!("--single_stream_expected_latency_ns={:.0}", mean / MARGIN),
            )
        }
    };
    Finding::new("min_duration", message, remedy)
}

fn queries(log: &LoadgenLog, config: &ResolvedConfig) -> Finding {
    let count = log.count("result_query_count").unwrap_or(0);
    let (what, least) = match config.run.scenario {
        Scenario::Offline => ("samples", log.count("effective_min_sample_count")),
        _ => ("queries", log.count("effective_min_query_count")),
    };
    let remedy = if config.loadgen.max_query_count != 0 {
        format!(
            "leave out --max_query_count, which is {}",
            config.loadgen.max_query_count
        )
    } else if config.loadgen.max_duration_ms != 0 {
        format!(
            "leave out --max_duration, which is {} ms",
            config.loadgen.max_duration_ms
        )
    } else {
        "run again; mlperf_log_detail.txt says why the run ended".to_owned()
    };
    Finding::new(
        "min_queries",
        format!(
            "at least {} {what} are asked for; {count} queries were issued before the run ended",
            least.unwrap_or(0)
        ),
        remedy,
    )
}

fn early_stopping(log: &LoadgenLog) -> Finding {
    let text = log.text("early_stopping_result").unwrap_or_default();
    let count = log.count("result_query_count").unwrap_or(0);
    // LoadGen's sentences: "Need to process at least N queries", "Would need to run at least N more queries".
    let needed = number_behind(&text, "Need to process at least ").or(number_behind(
        &text,
        "Would need to run at least ",
    )
    .map(|more| count + more));
    let message = format!(
        "too few queries to be sure of the percentile (early stopping): {count} were processed{}",
        match needed {
            Some(needed) => format!(", {needed} are needed if all others are within the bound"),
            None => String::new(),
        }
    );
    let remedy = match needed {
        Some(needed) => {
            format!("--min_query_count={needed}, and a lower rate if many were too slow")
        }
        None => "run longer, or ask for a lower rate".to_owned(),
    };
    Finding::new("early_stopping", message, remedy)
}

fn number_behind(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn seconds(log: &LoadgenLog, key: &str) -> f64 {
    log.number(key).unwrap_or(0.0) / 1e9
}

/// Four significant digits are enough for a rate.
fn rounded(rate: f64) -> String {
    if !(rate.is_finite() && rate > 0.0) {
        return "0.01".to_owned();
    }
    let digits = (3 - rate.log10().floor() as i32).clamp(0, 6) as usize;
    format!("{rate:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    fn config(scenario: &str) -> ResolvedConfig {
        Setup {
            workload: "gptj-mini",
            gpus: 0,
        }
        .config(&[("scenarios", scenario)])
    }

    fn log(values: &[(&str, serde_json::Value)]) -> LoadgenLog {
        LoadgenLog::of(values)
    }

    #[test]
    fn a_slow_server_is_told_a_rate_that_it_holds() {
        let log = log(&[
            ("result_validity", "INVALID".into()),
            ("result_perf_constraints_met", false.into()),
            ("effective_target_latency_ns", 20_000_000_000_u64.into()),
            ("effective_target_latency_percentile", 0.99.into()),
            ("result_overlatency_query_count", 120.into()),
            ("result_query_count", 1000.into()),
            ("result_scheduled_samples_per_sec", 40.0.into()),
            ("result_completed_samples_per_sec", 30.0.into()),
        ]);
        let found = findings(&log, &config("server"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].rule, "latency");
        assert_eq!(
            found[0].message,
            "99.0000 % of the queries must be answered within 20.000 s; 120 of 1000 took longer. Queries came at 40.00 \
             a second, and 30.00 a second were answered"
        );
        assert_eq!(found[0].remedy, "ask for less: --server_target_qps=28.50");
    }

    #[test]
    fn a_short_offline_run_is_told_its_rate() {
        let log = log(&[
            ("result_min_duration_met", false.into()),
            ("effective_min_duration_ms", 30_000.into()),
            ("effective_target_qps", 20.0.into()),
            ("result_samples_per_second", 31.4159.into()),
            ("result_max_latency_ns", 21_000_000_000_u64.into()),
        ]);
        let found = findings(&log, &config("offline"));
        assert_eq!(found[0].remedy, "--offline_expected_qps=32.99");
        assert!(
            found[0]
                .message
                .contains("must last 30.0 s and lasted 21.0 s")
        );
    }

    #[test]
    fn early_stopping_names_the_queries_that_are_missing() {
        for (text, needed) in [
            (
                " * Only processed 100 queries.  * Need to process at least 459 queries for early stopping.",
                "459",
            ),
            (
                " * Run unsuccessful.  * Processed 300 queries.  * Would need to run at least 362 more queries,",
                "662",
            ),
        ] {
            let log = log(&[
                ("early_stopping_met", false.into()),
                ("early_stopping_result", text.into()),
                ("result_query_count", 300.into()),
            ]);
            let found = findings(&log, &config("server"));
            assert!(
                found[0]
                    .remedy
                    .starts_with(&format!("--min_query_count={needed},")),
                "{:?}",
                found[0]
            );
        }
    }

    #[test]
    fn what_cut_the_run_short_is_named() {
        let config = Setup {
            workload: "gptj-mini",
            gpus: 0,
        }
        .config(&[
            ("scenarios", "server"),
            ("min_query_count", "1"),
            ("max_query_count", "5"),
        ]);
        let log = log(&[
            ("result_min_queries_met", false.into()),
            ("result_query_count", 5.into()),
        ]);
        assert_eq!(
            findings(&log, &config)[0].remedy,
            "leave out --max_query_count, which is 5"
        );
    }

    #[test]
    fn nothing_invalid_goes_unexplained() {
        let log = log(&[
            ("result_validity", "INVALID".into()),
            ("result_invalid_reason", "Something new. ".into()),
        ]);
        assert_eq!(
            findings(&log, &config("offline"))[0].message,
            "LoadGen says: Something new."
        );
        assert_eq!(
            findings(
                &LoadgenLog::of(&[("result_validity", "VALID".into())]),
                &config("offline")
            ),
            []
        );
    }

    #[test]
    fn rates_have_four_digits() {
        for (rate, text) in [
            (0.012_345, "0.01235"),
            (9.87654, "9.877"),
            (36.2, "36.20"),
            (51_234.0, "51234"),
            (0.0, "0.01"),
        ] {
            assert_eq!(rounded(rate), text);
        }
    }
}

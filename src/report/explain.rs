//! Why a result is INVALID: which rule was broken, by how much, and what to do about it.

mod server;

use serde::{Deserialize, Serialize};

use super::command_line::CommandLine;
use super::early_stopping;
use super::loadgen_log::LoadgenLog;
use super::result::Queue;
use crate::config::{ResolvedConfig, Scenario};

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `latency`, `min_duration`, `min_queries`, `early_stopping`, `loadgen_error` or `other`.
    pub rule: String,
    /// What the rule asks for, what happened, and by how much it was missed.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The command that does it; absent where there is none to be typed.
    #[serde(default)]
    pub command: Option<String>,
    /// Server, `latency` and `early_stopping`: the figures of the message.
    #[serde(default)]
    pub figures: Option<Figures>,
}

/// Figures of a Server test that was too slow, or too short to tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Queries that were issued.
    pub queries: u64,
    /// Those that took longer than the bound.
    pub over_latency: u64,
    /// How many may, of so many queries; absent: so few queries prove nothing even if none does.
    pub allowed: Option<u64>,
    /// How many more queries early stopping needs if all of them are within the bound.
    pub more_queries: u64,
    /// How many more it needs if they take longer than the bound as often as those that were seen; absent: no number
    /// is enough.
    pub more_queries_at_this_share: Option<u64>,
    /// The nearest rate that would hold, as `server_target_qps`; absent: no other rate is needed, or none is known.
    pub nearest_qps: Option<f64>,
}

/// A test that was run.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its configuration.
    pub config: &'a ResolvedConfig,
    /// The command that it was part of.
    pub command: &'a CommandLine,
    /// Server: how its queue grew.
    pub queue: Option<&'a Queue>,
}

impl Asked<'_> {
    /// The command with something changed, for this test's scenario alone.
    fn next(&self, changes: &[(&str, &str)]) -> String {
        let scenario = self.config.run.scenario.name().to_lowercase();
        let scenario = match self.config.run.scenario {
            Scenario::SingleStream => "single_stream",
            Scenario::Offline | Scenario::Server => &scenario,
        };
        let all = [&[("scenarios", scenario)], changes].concat();
        self.command.with(&all)
    }
}

/// A query that is made a little longer than needed runs the whole duration.
const MARGIN: f64 = 1.05;

/// Every rule that a performance run broke, in LoadGen's order.
pub fn findings(log: &LoadgenLog, asked: &Asked<'_>) -> Vec<Finding> {
    let broken = |key: &str| log.flag(key) == Some(false);
    let mut findings = Vec::new();
    if broken("result_perf_constraints_met") {
        findings.push(server::latency(log, asked));
    }
    if broken("result_min_duration_met") {
        findings.push(duration(log, asked));
    }
    if broken("result_min_queries_met") {
        findings.push(queries(log, asked));
    }
    if broken("early_stopping_met") {
        findings.push(match asked.config.run.scenario {
            Scenario::Server => server::early_stopping(log, asked),
            Scenario::Offline | Scenario::SingleStream => single_stream(log, asked),
        });
    }
    findings.extend(log.errors.iter().map(|error| Finding {
        rule: "loadgen_error".to_owned(),
        message: format!("LoadGen logged an error, which the submission checker refuses: {error}"),
        remedy: "mind what the error names, and run again".to_owned(),
        command: None,
        figures: None,
    }));
    if findings.is_empty() && log.is_valid() == Some(false) {
        let reason = log.text("result_invalid_reason").unwrap_or_default();
        findings.push(Finding {
            rule: "other".to_owned(),
            message: format!("LoadGen says: {}", reason.trim()),
            remedy: "see mlperf_log_detail.txt".to_owned(),
            command: None,
            figures: None,
        });
    }
    findings
}

fn duration(log: &LoadgenLog, asked: &Asked<'_>) -> Finding {
    let least = log.number("effective_min_duration_ms").unwrap_or(0.0) / 1e3;
    let told = log.number("effective_target_qps").unwrap_or(0.0);
    let loadgen = &asked.config.loadgen;
    let (message, remedy, change) = match asked.config.run.scenario {
        Scenario::Offline => {
            let rate = log.number("result_samples_per_second").unwrap_or(0.0);
            let ran = seconds(log, "result_max_latency_ns");
            let expected = rounded(rate * MARGIN);
            (
                format!(
                    "the run must last {least:.1} s and lasted {ran:.1} s, {:.1} s too short: LoadGen made its one query \
                     for {told:.2} samples a second, and {rate:.2} a second were answered",
                    least - ran
                ),
                format!("expect {expected} samples a second, so that the query is large enough"),
                ("offline_expected_qps", expected),
            )
        }
        Scenario::Server => {
            let count = log.count("result_query_count").unwrap_or(0);
            let came = count.saturating_sub(1) as f64
                / log
                    .number("result_scheduled_samples_per_sec")
                    .unwrap_or(told);
            let (limit, what) = limit(asked);
            (
                format!(
                    "queries must come for {least:.1} s and came for {came:.1} s, {:.1} s too short: the run ended \
                     after {count} queries at {told:.2} a second{what}",
                    least - came
                ),
                "let the run last as long as it must".to_owned(),
                limit.unwrap_or(("min_query_count", (loadgen.min_query_count + 1).to_string())),
            )
        }
        Scenario::SingleStream => {
            let mean = log.number("result_mean_latency_ns").unwrap_or(0.0);
            let count = log.count("result_query_count").unwrap_or(0);
            let ran = mean / 1e9 * count as f64;
            let (limit, what) = limit(asked);
            let expected = format!("{:.0}", mean / MARGIN);
            (
                format!(
                    "the run must last {least:.1} s and lasted {ran:.1} s, {:.1} s too short: a sample took {:.3} s on \
                     average{what}",
                    least - ran,
                    mean / 1e9
                ),
                "expect samples to take less time, so that LoadGen prepares enough of them"
                    .to_owned(),
                limit.unwrap_or(("single_stream_expected_latency_ns", expected)),
            )
        }
    };
    Finding {
        rule: "min_duration".to_owned(),
        message,
        remedy,
        command: Some(asked.next(&[(change.0, &change.1)])),
        figures: None,
    }
}

/// The setting that cut the run short, if one did: what takes it away, and words for people.
fn limit(asked: &Asked<'_>) -> (Option<(&'static str, String)>, String) {
    let loadgen = &asked.config.loadgen;
    if loadgen.max_query_count != 0 {
        let what = format!(", as max_query_count is {}", loadgen.max_query_count);
        (Some(("max_query_count", "0".to_owned())), what)
    } else if loadgen.max_duration_ms != 0 {
        let what = format!(", as max_duration is {} ms", loadgen.max_duration_ms);
        (Some(("max_duration", "0".to_owned())), what)
    } else {
        (None, String::new())
    }
}

fn queries(log: &LoadgenLog, asked: &Asked<'_>) -> Finding {
    let count = log.count("result_query_count").unwrap_or(0);
    let (what, least, seen) = match asked.config.run.scenario {
        Scenario::Offline => {
            let samples = log.number("result_samples_per_second").unwrap_or(0.0)
                * seconds(log, "result_max_latency_ns");
            let least = log.count("effective_min_sample_count");
            ("samples", least, samples.round() as u64)
        }
        _ => ("queries", log.count("effective_min_query_count"), count),
    };
    let least = least.unwrap_or(0);
    let (limit, why) = limit(asked);
    let remedy = match &limit {
        Some((name, _)) => format!("take away {name}: 0 means no limit"),
        None => "run again; mlperf_log_detail.txt says why the run ended".to_owned(),
    };
    let changes = limit.as_ref().map(|(name, value)| (*name, value.as_str()));
    Finding {
        rule: "min_queries".to_owned(),
        message: format!(
            "at least {least} {what} are asked for, and {seen} were issued before the run ended, {} too few{why}",
            least.saturating_sub(seen)
        ),
        remedy,
        command: Some(asked.next(changes.as_slice())),
        figures: None,
    }
}

/// SingleStream estimates its percentile from the queries that were run, and may have too few.
fn single_stream(log: &LoadgenLog, asked: &Asked<'_>) -> Finding {
    let percentile = log
        .number("effective_target_latency_percentile")
        .unwrap_or(asked.config.loadgen.single_stream_target_latency_percentile);
    let count = log.count("result_query_count").unwrap_or(0);
    // Its estimate leaves out the slowest query, so that this one counts as over it.
    let needed = early_stopping::queries_needed(1, percentile);
    Finding {
        rule: "early_stopping".to_owned(),
        message: format!(
            "too few queries to be sure of the {} percentile: {count} were processed, {needed} are needed, {} more",
            ordinal(percentile),
            needed.saturating_sub(count)
        ),
        remedy: format!("run at least {needed} queries"),
        command: Some(asked.next(&[("min_query_count", &needed.to_string())])),
        figures: None,
    }
}

/// `99th`, `99.9th`.
fn ordinal(percentile: f64) -> String {
    format!("{}th", in_percent(percentile))
}

/// A share in percent, without the digits that come from its being binary.
fn in_percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

fn seconds(log: &LoadgenLog, key: &str) -> f64 {
    log.number(key).unwrap_or(0.0) / 1e9
}

/// Four significant digits are enough for a rate.
pub fn rounded(rate: f64) -> String {
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

    fn found(scenario: &str, flags: &[(&str, &str)], log: &LoadgenLog) -> Vec<Finding> {
        let setup = Setup {
            workload: "gptj-mini",
            gpus: 0,
        };
        let config = setup.config(&[&[("scenarios", scenario)], flags].concat());
        let command = CommandLine::new("run_harness", vec!["--quiet".to_owned()]);
        findings(
            log,
            &Asked {
                config: &config,
                command: &command,
                queue: None,
            },
        )
    }

    #[test]
    fn a_short_offline_run_is_told_its_rate() {
        let log = LoadgenLog::of(&[
            ("result_min_duration_met", false.into()),
            ("effective_min_duration_ms", 30_000.into()),
            ("effective_target_qps", 20.0.into()),
            ("result_samples_per_second", 31.4159.into()),
            ("result_max_latency_ns", 21_000_000_000_u64.into()),
        ]);
        let found = found("offline", &[], &log);
        assert_eq!(
            found[0].message,
            "the run must last 30.0 s and lasted 21.0 s, 9.0 s too short: LoadGen made its one query for 20.00 samples a \
             second, and 31.42 a second were answered"
        );
        assert_eq!(
            found[0].command.as_deref(),
            Some("run_harness --quiet --scenarios=offline --offline_expected_qps=32.99")
        );
    }

    #[test]
    fn single_stream_is_told_how_many_queries_it_needs() {
        let log = LoadgenLog::of(&[
            ("early_stopping_met", false.into()),
            ("effective_target_latency_percentile", 0.9.into()),
            ("result_query_count", 50.into()),
        ]);
        let found = found("single_stream", &[], &log);
        assert_eq!(
            found[0].message,
            "too few queries to be sure of the 90th percentile: 50 were processed, 64 are needed, 14 more"
        );
        assert_eq!(
            found[0].command.as_deref(),
            Some("run_harness --quiet --scenarios=single_stream --min_query_count=64")
        );
    }

    #[test]
    fn what_cut_the_run_short_is_named() {
        let log = LoadgenLog::of(&[
            ("result_min_queries_met", false.into()),
            ("result_min_duration_met", false.into()),
            ("effective_min_duration_ms", 30_000.into()),
            ("effective_min_query_count", 9.into()),
            ("result_query_count", 5.into()),
            ("result_scheduled_samples_per_sec", 2.0.into()),
        ]);
        let flags = [("min_query_count", "1"), ("max_query_count", "5")];
        let found = found("server", &flags, &log);
        assert_eq!(
            found[0].message,
            "queries must come for 30.0 s and came for 2.0 s, 28.0 s too short: the run ended after 5 queries at 0.00 a \
             second, as max_query_count is 5"
        );
        assert_eq!(
            found[1].message,
            "at least 9 queries are asked for, and 5 were issued before the run ended, 4 too few, as max_query_count is 5"
        );
        for finding in &found {
            assert_eq!(
                finding.command.as_deref(),
                Some("run_harness --quiet --scenarios=server --max_query_count=0"),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn nothing_invalid_goes_unexplained() {
        let log = LoadgenLog::of(&[
            ("result_validity", "INVALID".into()),
            ("result_invalid_reason", "Something new. ".into()),
        ]);
        assert_eq!(
            found("offline", &[], &log)[0].message,
            "LoadGen says: Something new."
        );
        let valid = LoadgenLog::of(&[("result_validity", "VALID".into())]);
        assert_eq!(found("offline", &[], &valid), []);
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

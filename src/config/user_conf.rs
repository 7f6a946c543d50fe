//! `user.conf`: the one file that LoadGen reads besides the mlperf.conf that is built into it.
//!
//! LoadGen reads with `strtoull` and `strtod` and turns what it cannot parse into zero, so nothing but numbers that
//! were checked is written. What mlperf.conf says already is not repeated, except for what every submission states.

use std::fmt::Write;

use super::resolved::{Qps, ResolvedConfig, Scenario, TestMode};
use crate::error::Failure;

/// What was measured before the test in place of `auto`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Samples per second; the Server's is multiplied with `server_target_qps_adj_factor` when it is written.
    pub qps: Option<f64>,
    /// Nanoseconds that one sample takes alone.
    pub latency_ns: Option<u64>,
}

/// What LoadGen 5.0.25 takes for GPT-J when user.conf says nothing: its mlperf_conf.h, and test_settings.h for the rest.
struct MlperfConf {
    min_duration_ms: u64,
    min_query_count: u64,
    sample_concatenate_permutation: bool,
    server_target_latency_ns: u64,
    server_target_latency_percentile: f64,
    single_stream_target_latency_percentile: f64,
}

impl MlperfConf {
    fn of(scenario: Scenario) -> Self {
        Self {
            min_duration_ms: 600_000,
            min_query_count: if scenario == Scenario::Offline {
                13_368
            } else {
                100
            },
            sample_concatenate_permutation: true,
            server_target_latency_ns: 20_000_000_000,
            server_target_latency_percentile: 0.99,
            single_stream_target_latency_percentile: 0.9,
        }
    }
}

/// The content of user.conf. An `auto` rate must have been measured, unless the test only checks accuracy.
pub fn render(config: &ResolvedConfig, measured: &Measured) -> Result<String, Failure> {
    let mut writer = Writer {
        scenario: config.run.scenario,
        text: String::new(),
    };
    let _ = writeln!(
        writer.text,
        "# {} {}, written by run_harness {}",
        config.benchmark_full(),
        config.run.scenario,
        env!("CARGO_PKG_VERSION")
    );
    rate(config, measured, &mut writer)?;
    let loadgen = &config.loadgen;
    let known = MlperfConf::of(config.run.scenario);
    writer.number(
        "performance_sample_count_override",
        loadgen.performance_sample_count_override,
    );
    if loadgen.min_query_count != known.min_query_count {
        writer.number("min_query_count", loadgen.min_query_count);
    }
    if loadgen.max_query_count != 0 {
        writer.number("max_query_count", loadgen.max_query_count);
    }
    if loadgen.min_duration_ms != known.min_duration_ms {
        writer.number("min_duration", loadgen.min_duration_ms);
    }
    if loadgen.max_duration_ms != 0 {
        writer.number("max_duration", loadgen.max_duration_ms);
    }
    if loadgen.sample_concatenate_permutation != known.sample_concatenate_permutation {
        writer.number(
            "sample_concatenate_permutation",
            u64::from(loadgen.sample_concatenate_permutation),
        );
    }
    match config.run.scenario {
        Scenario::Server => {
            if loadgen.server_target_latency_ns != known.server_target_latency_ns {
                writer.number(
                    "target_latency",
                    loadgen.server_target_latency_ns / 1_000_000,
                );
            }
            let percentile = loadgen.server_target_latency_percentile;
            writer.percentile(percentile, known.server_target_latency_percentile)?;
        }
        Scenario::SingleStream => {
            let percentile = loadgen.single_stream_target_latency_percentile;
            writer.percentile(percentile, known.single_stream_target_latency_percentile)?;
        }
        Scenario::Offline => {}
    }
    Ok(writer.text)
}

fn rate(config: &ResolvedConfig, measured: &Measured, writer: &mut Writer) -> Result<(), Failure> {
    let loadgen = &config.loadgen;
    let factor = loadgen.server_target_qps_adj_factor;
    let qps = |qps: Qps| match qps {
        Qps::Fixed(value) => Some(value),
        Qps::Auto => measured.qps,
    };
    let (name, value) = match config.run.scenario {
        Scenario::Offline => ("target_qps", qps(loadgen.offline_expected_qps)),
        Scenario::Server => (
            "target_qps",
            qps(loadgen.server_target_qps).map(|value| value * factor),
        ),
        Scenario::SingleStream => {
            let given = Some(loadgen.single_stream_expected_latency_ns).filter(|ns| *ns != 0);
            let nanoseconds = given.or(measured.latency_ns);
            ("target_latency", nanoseconds.map(|ns| ns as f64 / 1e6))
        }
    };
    match value {
        Some(value) => writer.positive(name, value),
        None if config.run.test_mode == TestMode::AccuracyOnly => Ok(()),
        None => Err(Failure::harness(format!(
            "{name} of {} is auto and was not measured",
            writer.scenario
        ))),
    }
}

struct Writer {
    scenario: Scenario,
    text: String,
}

impl Writer {
    fn number(&mut self, name: &str, value: u64) {
        let _ = writeln!(self.text, "*.{}.{name} = {value}", self.scenario);
    }

    /// LoadGen would take a NaN, an infinity or something below zero without a word.
    fn positive(&mut self, name: &str, value: f64) -> Result<(), Failure> {
        if !(value.is_finite() && value > 0.0) {
            return Err(Failure::harness(format!(
                "{name} of {} is {value}",
                self.scenario
            )));
        }
        let _ = writeln!(self.text, "*.{}.{name} = {value}", self.scenario);
        Ok(())
    }

    /// Shares are written in percent.
    fn percentile(&mut self, share: f64, known: f64) -> Result<(), Failure> {
        if share == known {
            return Ok(());
        }
        // 0.97 * 100 is not 97 in binary; LoadGen's percentages have few digits.
        self.positive("target_latency_percentile", (share * 1e8).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    const MINI: Setup = Setup {
        workload: "gptj-mini",
        gpus: 0,
    };

    #[test]
    fn user_conf_states_what_mlperf_conf_does_not() {
        let measured = Measured {
            qps: Some(12.5),
            latency_ns: Some(3_500_000),
        };
        let conf = |setup: &Setup, flags: &[(&str, &str)]| {
            let text = render(&setup.config(flags), &measured).unwrap();
            text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let official = Setup {
            workload: "cnn_dailymail",
            gpus: 0,
        };
        assert_eq!(
            conf(
                &official,
                &[("scenarios", "server"), ("server_target_qps", "84")]
            ),
            [
                "*.Server.target_qps = 84",
                "*.Server.performance_sample_count_override = 13368"
            ]
        );
        assert_eq!(
            conf(
                &MINI,
                &[("scenarios", "offline"), ("max_query_count", "500")]
            ),
            [
                "*.Offline.target_qps = 12.5",
                "*.Offline.performance_sample_count_override = 1000",
                "*.Offline.min_query_count = 100",
                "*.Offline.max_query_count = 500",
                "*.Offline.min_duration = 30000",
            ]
        );
        let flags = [
            ("scenarios", "server"),
            ("server_target_qps_adj_factor", "0.92"),
            ("server_target_latency_ns", "5000000000"),
            ("server_target_latency_percentile", "0.97"),
        ];
        assert_eq!(
            conf(&official, &flags),
            [
                "*.Server.target_qps = 11.5",
                "*.Server.performance_sample_count_override = 13368",
                "*.Server.target_latency = 5000",
                "*.Server.target_latency_percentile = 97",
            ]
        );
        assert_eq!(
            conf(&MINI, &[("scenarios", "single_stream")]),
            [
                "*.SingleStream.target_latency = 3.5",
                "*.SingleStream.performance_sample_count_override = 1000",
                "*.SingleStream.min_duration = 30000",
                "*.SingleStream.sample_concatenate_permutation = 0",
            ]
        );
    }

    #[test]
    fn a_rate_that_was_not_measured_is_no_rate() {
        let none = Measured::default();
        let plan = |mode| MINI.config(&[("scenarios", "server"), ("test_mode", mode)]);
        let failure = render(&plan("PerformanceOnly"), &none).unwrap_err();
        assert_eq!(
            failure.message,
            "target_qps of Server is auto and was not measured"
        );
        let text = render(&plan("AccuracyOnly"), &none).unwrap();
        assert!(!text.contains("target_qps"), "{text}");
        let nan = Measured {
            qps: Some(f64::NAN),
            latency_ns: None,
        };
        assert!(render(&plan("PerformanceOnly"), &nan).is_err());
    }
}

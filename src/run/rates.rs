//! Rates that the configuration leaves to be measured, and the user.conf that LoadGen reads them from.

use crate::bridge::ffi;
use crate::config::user_conf::{self, Measured};
use crate::config::{EngineKind, Qps, ResolvedConfig, Scenario, TestMode, USER_CONF};
use crate::error::Failure;
use crate::report::files;
use crate::report::result::Rates;

/// Offline: LoadGen makes one query for the whole duration, and a run that ends early is INVALID.
const OFFLINE_MARGIN: f64 = 1.05;
/// Server: queries come in bursts, and a rate at the limit lets the queue grow without end. An Offline test of half a
/// minute or more says better what the engines hold than a measurement of a few seconds does.
const SERVER_SHARE_OF_OFFLINE: f64 = 0.92;
const SERVER_SHARE_OF_MEASURED: f64 = 0.85;
/// Seconds that a measurement takes at least. Engines on GPUs hold so many requests that filling them takes longer.
const CPU_SECONDS: f64 = 6.0;
const GPU_SECONDS: f64 = 20.0;

/// What is still to be found out before a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Need {
    /// Everything is given.
    Nothing,
    /// The rate is known from an Offline test of the same engines: samples per second.
    Known(f64),
    /// A measurement.
    Measurement,
}

/// What a test needs to know that its configuration does not say.
pub fn need(config: &ResolvedConfig, offline_rate: Option<f64>) -> Need {
    let accuracy_only = config.run.test_mode == TestMode::AccuracyOnly;
    let loadgen = &config.loadgen;
    match config.run.scenario {
        // Offline and SingleStream hand over every sample of the set in accuracy runs, whatever the rate.
        Scenario::Offline if !accuracy_only && loadgen.offline_expected_qps == Qps::Auto => {
            Need::Measurement
        }
        Scenario::SingleStream
            if !accuracy_only && loadgen.single_stream_expected_latency_ns == 0 =>
        {
            Need::Measurement
        }
        // Server issues by its schedule in accuracy runs too.
        Scenario::Server if loadgen.server_target_qps == Qps::Auto => {
            offline_rate.map_or(Need::Measurement, Need::Known)
        }
        _ => Need::Nothing,
    }
}

/// The settings of a measurement.
pub fn measurement(config: &ResolvedConfig) -> ffi::MeasureSettings {
    let seconds = match config.engine.engine {
        EngineKind::Cpu | EngineKind::Fake => CPU_SECONDS,
        EngineKind::Cuda | EngineKind::Tensorrt => GPU_SECONDS,
    };
    ffi::MeasureSettings {
        scenario: config.run.scenario.into(),
        scheduler: (&config.scheduler).into(),
        seconds,
    }
}

/// What was measured, for `result.json`.
pub fn from_measurement(measured: &ffi::Measured) -> Rates {
    Rates {
        measured_samples_per_second: Some(measured.samples_per_second),
        measured_by: Some("a measurement before the test".to_owned()),
        // Durations of a sample are far below what a u64 of nanoseconds holds.
        measured_latency_ns: Some((measured.single_sample_seconds * 1e9).round() as u64),
        target_qps: None,
    }
}

/// What an Offline test said, for `result.json`.
pub fn from_offline(rate: f64) -> Rates {
    Rates {
        measured_samples_per_second: Some(rate),
        measured_by: Some("the Offline test before this one".to_owned()),
        ..Rates::default()
    }
}

/// Writes user.conf into the folder of the test and notes the rate that it names.
pub fn write_user_conf(
    config: &ResolvedConfig,
    need: Need,
    rates: &mut Rates,
) -> Result<(), Failure> {
    let share = match (config.run.scenario, need) {
        (Scenario::Server, Need::Known(_)) => SERVER_SHARE_OF_OFFLINE,
        (Scenario::Server, _) => SERVER_SHARE_OF_MEASURED,
        (Scenario::Offline | Scenario::SingleStream, _) => OFFLINE_MARGIN,
    };
    let measured = Measured {
        // Six digits: user.conf is read by people too.
        qps: rates
            .measured_samples_per_second
            .map(|rate| (rate * share * 1e4).round().max(1.0) / 1e4),
        latency_ns: rates.measured_latency_ns.map(|ns| ns.max(1)),
    };
    rates.target_qps = match config.run.scenario {
        Scenario::Offline => given(config.loadgen.offline_expected_qps).or(measured.qps),
        Scenario::Server => given(config.loadgen.server_target_qps)
            .or(measured.qps)
            .map(|qps| qps * config.loadgen.server_target_qps_adj_factor),
        Scenario::SingleStream => None,
    };
    let text = user_conf::render(config, &measured)?;
    files::write(&config.test_dir().join(USER_CONF), text.as_bytes())
}

fn given(qps: Qps) -> Option<f64> {
    match qps {
        Qps::Auto => None,
        Qps::Fixed(qps) => Some(qps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    fn config(flags: &[(&str, &str)]) -> ResolvedConfig {
        Setup {
            workload: "gptj-mini",
            gpus: 0,
        }
        .config(flags)
    }

    #[test]
    fn only_what_is_left_open_is_measured() {
        let needed = |flags: &[(&str, &str)], offline| need(&config(flags), offline);
        let offline = ("scenarios", "offline");
        let server = ("scenarios", "server");
        let single = ("scenarios", "single_stream");
        let accuracy = ("test_mode", "AccuracyOnly");
        assert_eq!(needed(&[offline], None), Need::Measurement);
        assert_eq!(needed(&[offline, accuracy], None), Need::Nothing);
        assert_eq!(
            needed(&[offline, ("offline_expected_qps", "5")], None),
            Need::Nothing
        );
        assert_eq!(needed(&[server], None), Need::Measurement);
        assert_eq!(needed(&[server], Some(30.0)), Need::Known(30.0));
        assert_eq!(needed(&[server, accuracy], None), Need::Measurement);
        assert_eq!(
            needed(&[server, ("server_target_qps", "5")], Some(30.0)),
            Need::Nothing
        );
        assert_eq!(needed(&[single], Some(30.0)), Need::Measurement);
        assert_eq!(needed(&[single, accuracy], None), Need::Nothing);
    }

    #[test]
    fn a_server_is_asked_for_less_than_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let config = config(&[("scenarios", "server"), ("log_dir", path)]);
        std::fs::create_dir_all(config.test_dir()).unwrap();
        let mut rates = from_offline(40.0);
        write_user_conf(&config, Need::Known(40.0), &mut rates).unwrap();
        assert_eq!(rates.target_qps, Some(36.8));
        let text = std::fs::read_to_string(config.test_dir().join(USER_CONF)).unwrap();
        assert!(text.contains("*.Server.target_qps = 36.8\n"), "{text}");
    }
}

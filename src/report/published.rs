//! Published results of GPT-J, and how far a result of ours is from those of its GPU.

use serde::Deserialize;

use super::result::TestResult;
use crate::config::{EngineKind, Scenario};
use crate::error::Failure;

const TABLE: &str = include_str!("published.toml");

/// A result that somebody published.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// `v3.1`.
    pub round: String,
    /// Who.
    pub submitter: String,
    /// On what.
    pub system: String,
    /// Patterns of the GPU's name.
    gpu: Vec<String>,
    /// How many.
    pub gpus: u32,
    /// Samples per second.
    offline: f64,
    /// Samples per second.
    server: f64,
    /// What else is known.
    #[serde(default)]
    pub note: String,
}

#[derive(Deserialize)]
struct Table {
    result: Vec<Published>,
}

/// A published result beside one of ours, per GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Distance {
    /// The published one.
    pub published: Published,
    /// Its samples per second of the whole system.
    pub theirs: f64,
    /// The same for one GPU.
    pub theirs_per_gpu: f64,
    /// Ours over theirs, per GPU.
    pub ratio: f64,
}

/// How far a result is from published ones.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// The GPU that it ran on, and samples per second for each.
    Compared {
        /// Its name.
        gpu: String,
        /// Ours.
        per_gpu: f64,
        /// What others published for the same GPU, oldest round first.
        distances: Vec<Distance>,
    },
    /// Why there is nothing to compare with.
    Nothing(String),
}

fn table() -> Result<Vec<Published>, Failure> {
    let table: Result<Table, _> = toml::from_str(TABLE);
    table.map(|table| table.result).map_err(|error| {
        Failure::harness("the table of published results cannot be read").because(error)
    })
}

impl Published {
    fn is_of(&self, name: &str) -> bool {
        let matches = |pattern: &String| glob::Pattern::new(pattern).is_ok_and(|p| p.matches(name));
        self.gpu.iter().any(matches)
    }
}

/// Compares a result with published ones of its GPU.
pub fn standing(result: &TestResult) -> Result<Standing, Failure> {
    let nothing = |why: String| Ok(Standing::Nothing(why));
    let run = &result.config.run;
    let Some(performance) = &result.performance else {
        return nothing("no performance was measured".to_owned());
    };
    if run.scenario == Scenario::SingleStream {
        return nothing("published figures here are rates, SingleStream is a latency".to_owned());
    }
    let engine = &result.config.engine;
    if !matches!(engine.engine, EngineKind::Cuda | EngineKind::Tensorrt) {
        return nothing(
            "the engine runs on the CPU, and published figures here are those of GPUs".to_owned(),
        );
    }
    if run.workload != "cnn_dailymail" {
        return nothing(format!(
            "published figures are those of GPT-J 6B on CNN/DailyMail, this is {}",
            run.workload
        ));
    }
    if engine
        .cuda_devices
        .iter()
        .any(|device| device.starts_with("MIG"))
    {
        return nothing("nothing was published for MIG instances".to_owned());
    }
    let used = result
        .machine
        .gpus
        .iter()
        .find(|gpu| engine.devices.contains(&gpu.index));
    let Some(gpu) = used.or(result.machine.gpus.first()) else {
        return nothing("the result does not say on which GPU it ran".to_owned());
    };
    let count = engine.devices.len().max(1) as f64;
    let (ours, server) = match run.scenario {
        Scenario::Server => (performance.value, true),
        Scenario::Offline | Scenario::SingleStream => (performance.samples_per_second, false),
    };
    let per_gpu = ours / count;
    let distances: Vec<Distance> = table()?
        .into_iter()
        .filter(|published| published.is_of(&gpu.name))
        .map(|published| {
            let theirs = if server {
                published.server
            } else {
                published.offline
            };
            let theirs_per_gpu = theirs / f64::from(published.gpus);
            Distance {
                theirs,
                theirs_per_gpu,
                ratio: per_gpu / theirs_per_gpu,
                published,
            }
        })
        .collect();
    if distances.is_empty() {
        return nothing(format!("nothing is known to be published for {}", gpu.name));
    }
    Ok(Standing::Compared {
        gpu: gpu.name.clone(),
        per_gpu,
        distances,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::read::read_result;
    use super::*;

    fn stored(test: &str) -> TestResult {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        read_result(&root.join(test).join("result.json")).unwrap()
    }

    #[test]
    fn the_table_is_whole() {
        for published in table().unwrap() {
            assert!(published.gpus > 0 && published.offline > 0.0 && published.server > 0.0);
            assert!(published.gpu.iter().all(|p| glob::Pattern::new(p).is_ok()));
        }
    }

    #[test]
    fn results_are_compared_per_gpu() {
        let one = stored("2026-11-25-h100-fp8-fp16/Offline");
        let two = stored("2026-11-25-h100-fp8-fp16/Offline-2-gpus");
        for (result, gpus) in [(one, 1.0), (two, 2.0)] {
            let ours = result.performance.as_ref().unwrap().samples_per_second;
            let Standing::Compared {
                gpu,
                per_gpu,
                distances,
            } = standing(&result).unwrap()
            else {
                panic!("nothing to compare with");
            };
            assert_eq!(gpu, "NVIDIA H100 80GB HBM3");
            assert!((per_gpu * gpus - ours).abs() < 1e-9);
            let azure = distances
                .iter()
                .find(|d| d.published.system == "ND_H100_v5")
                .unwrap();
            assert_eq!(azure.theirs_per_gpu, 105.756 / 8.0);
            assert!((azure.ratio - ours / gpus / 13.2195).abs() < 1e-9);
        }
        let server = stored("2026-11-25-h100-fp8-fp16/Server");
        let Standing::Compared { distances, .. } = standing(&server).unwrap() else {
            panic!("nothing to compare with");
        };
        assert_eq!(distances[0].theirs, 84.22);
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let mut result = stored("2026-11-25-h100-fp8-fp16/Offline");
        let why = |result: &TestResult| match standing(result).unwrap() {
            Standing::Nothing(why) => why,
            Standing::Compared { .. } => panic!("something to compare with"),
        };
        result.machine.gpus[0].name = "NVIDIA T1000".to_owned();
        assert!(why(&result).contains("NVIDIA T1000"));
        result.config.run.workload = "gptj-mini".to_owned();
        assert!(why(&result).contains("this is gptj-mini"));
        result.config.engine.engine = EngineKind::Cpu;
        assert!(why(&result).contains("CPU"));
        result.performance = None;
        assert!(why(&result).contains("no performance"));
    }
}

//! Resolved configurations for unit tests, on machines made up here.

use std::path::PathBuf;

use super::{Assets, Request, ResolvedConfig, Surroundings, Wanted, find_key, resolve};
use crate::error::Failure;
use crate::system::{Gpu, Machine};

fn gpu(index: u32) -> Gpu {
    Gpu {
        name: "NVIDIA GPU".to_owned(),
        index,
        uuid: format!("GPU-{index}"),
        ..Gpu::default()
    }
}

/// A machine, and what it is to run.
pub struct Setup {
    /// The workload that is found.
    pub workload: &'static str,
    /// How many GPUs there are.
    pub gpus: usize,
}

impl Setup {
    /// The configuration of the first test that these flags ask for, with the layers that are built into the program.
    pub fn config(&self, flags: &[(&str, &str)]) -> ResolvedConfig {
        let locate = |_: &Wanted| -> Result<Assets, Failure> {
            Ok(Assets {
                model_path: "model".into(),
                dataset_path: "data.json".into(),
                workload: self.workload.to_owned(),
                fp8_scales: None,
                reason: String::new(),
                not_for_submission: None,
                notice: None,
            })
        };
        let around = Surroundings {
            machine: Machine {
                gpus: (0..).take(self.gpus).map(gpu).collect(),
                ..Machine::default()
            },
            program: None,
            working_dir: PathBuf::from("/"),
            log_dir: PathBuf::from("logs"),
            engine_dir: PathBuf::from("engines"),
            data_dir: PathBuf::from("data"),
            preprocessed_data_dir: PathBuf::from("preprocessed_data"),
            can_run: &|_, _| Ok(()),
            locate: &locate,
        };
        let flag = |(name, value): &(&str, &str)| (find_key(name).unwrap(), (*value).to_owned());
        let request = Request {
            flags: flags.iter().map(flag).collect(),
            ..Request::default()
        };
        resolve(&request, &around).unwrap().plans.remove(0).config
    }
}

//! Seam 2: the resolved configuration as the bridge's flat structs. Nothing is decided here.

use std::path::Path;

use super::resolved::*;
use crate::bridge::ffi;
use crate::system::VISIBLE_VARIABLE;

/// LoadGen's name of the benchmark, the first part of the keys in its configuration files.
const LOADGEN_MODEL: &str = "gptj";
/// What LoadGen's logs call the system under test.
const SUT_NAME: &str = "mlperf-gptj";
/// How LoadGen's logs begin; the submission checker looks for these names.
const LOG_PREFIX: &str = "mlperf_log_";
/// Beside LoadGen's logs.
pub const USER_CONF: &str = "user.conf";

impl From<&ResolvedConfig> for ffi::RunSettings {
    /// Logs go to the test's own folder, where `user.conf` is too; both can be changed afterwards.
    fn from(config: &ResolvedConfig) -> Self {
        let folder = config.test_dir();
        let loadgen = &config.loadgen;
        Self {
            scenario: config.run.scenario.into(),
            mode: config.run.test_mode.into(),
            loadgen_model: LOADGEN_MODEL.to_owned(),
            sut_name: SUT_NAME.to_owned(),
            qsl_name: config.run.workload.clone(),
            user_conf: text(&folder.join(USER_CONF)),
            log_dir: text(&folder),
            log_prefix: LOG_PREFIX.to_owned(),
            log_suffix: loadgen.log.suffix.clone(),
            log_prefix_with_datetime: loadgen.log.prefix_with_datetime,
            log_copy_detail_to_stdout: loadgen.log.copy_detail_to_stdout,
            log_copy_summary_to_stdout: loadgen.log.copy_summary_to_stdout,
            log_enable_trace: loadgen.log.enable_trace,
            performance_sample_count: loadgen.performance_sample_count,
            qsl_rng_seed: loadgen.qsl_rng_seed,
            sample_index_rng_seed: loadgen.sample_index_rng_seed,
            schedule_rng_seed: loadgen.schedule_rng_seed,
            server_coalesce_queries: loadgen.server_coalesce_queries,
            server_num_issue_query_threads: loadgen.server_num_issue_query_threads,
            scheduler: (&config.scheduler).into(),
        }
    }
}

impl From<&SchedulerConfig> for ffi::SchedulerSettings {
    fn from(config: &SchedulerConfig) -> Self {
        Self {
            name: config.name.to_string(),
            enable_sort: config.enable_sort,
            num_sort_segments: int(config.num_sort_segments),
        }
    }
}

impl EngineConfig {
    /// One for each engine that serves the queue: each GPU, or the one CPU engine. On GPUs this is for a process whose
    /// environment has [`Self::environment`]: devices are counted by what CUDA sees there.
    pub fn to_settings(&self) -> Vec<ffi::EngineSettings> {
        let instances = match self.engine {
            EngineKind::Cpu => vec![0],
            EngineKind::Fake => (0..self.fake.instances).collect(),
            EngineKind::Cuda | EngineKind::Tensorrt if self.cuda_devices.is_empty() => {
                self.devices.clone()
            }
            EngineKind::Cuda | EngineKind::Tensorrt => {
                (0..).zip(&self.devices).map(|(seen, _)| seen).collect()
            }
        };
        instances
            .into_iter()
            .map(|device| self.on_device(device))
            .collect()
    }

    /// Environment variables of a process that creates these engines.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        if self.cuda_devices.is_empty() {
            return Vec::new();
        }
        vec![
            (VISIBLE_VARIABLE, self.cuda_devices.join(",")),
            // Where a device has no UUID, its number is that of nvidia-smi.
            ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ]
    }

    /// The engine on one device, without a plan.
    pub fn on_device(&self, device: u32) -> ffi::EngineSettings {
        ffi::EngineSettings {
            engine: self.engine.to_string(),
            precision: self.precision.to_string(),
            plan_path: String::new(),
            library_dirs: self
                .library_dirs
                .iter()
                .map(|folder| text(folder))
                .collect(),
            device: int(device),
            threads: int(self.threads),
            max_requests: int(self.max_requests),
            max_tokens_per_step: int(self.max_tokens_per_step),
            kv_blocks: int(self.kv_blocks),
            kv_block_size: int(self.kv_block_size),
            memory_fraction: self.memory_fraction,
            max_prompt_tokens: int(self.max_prompt_tokens),
            verbose: self.verbose,
            profile: self.profile,
            gemm_plugin: self.gemm_plugin,
            synthetic_seed: self.synthetic_seed,
            fake_step_us: int(self.fake.step_us),
            fake_seed: self.fake.seed,
            fake_fault: self.fake.fault.clone(),
            fake_max_steps_in_flight: int(self.fake.max_steps_in_flight),
        }
    }
}

impl GenerationConfig {
    /// `eos_token` is the model's.
    pub fn to_settings(&self, eos_token: i32) -> ffi::Generation {
        ffi::Generation {
            beam_width: int(self.beam_width),
            min_new_tokens: int(self.min_new_tokens),
            max_new_tokens: int(self.max_new_tokens),
            length_penalty: self.length_penalty as f32,
            beam_length: match self.beam_length {
                BeamLength::PromptAndGenerated => ffi::BeamLength::PromptAndGenerated,
                BeamLength::Generated => ffi::BeamLength::Generated,
            },
            eos_token,
        }
    }
}

impl From<Scenario> for ffi::Scenario {
    fn from(scenario: Scenario) -> Self {
        match scenario {
            Scenario::Offline => Self::Offline,
            Scenario::Server => Self::Server,
            Scenario::SingleStream => Self::SingleStream,
        }
    }
}

impl From<TestMode> for ffi::TestMode {
    fn from(mode: TestMode) -> Self {
        match mode {
            TestMode::PerformanceOnly => Self::PerformanceOnly,
            TestMode::AccuracyOnly => Self::AccuracyOnly,
            TestMode::SubmissionRun => Self::SubmissionRun,
        }
    }
}

/// The key table keeps these numbers within 31 bits.
fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::Setup;

    fn config(flags: &[(&str, &str)]) -> ResolvedConfig {
        Setup {
            workload: "cnn_dailymail",
            gpus: 4,
        }
        .config(flags)
    }

    #[test]
    fn a_run_carries_what_user_conf_cannot() {
        let settings = ffi::RunSettings::from(&config(&[
            ("scenarios", "server"),
            ("system_name", "box"),
            ("scheduler", "static"),
            ("enable_sort", "true"),
            ("num_sort_segments", "7"),
            ("log_enable_trace", "true"),
            ("logfile_suffix", "_x"),
            ("disable_log_copy_summary_to_stdout", "false"),
        ]));
        assert_eq!(settings.scenario, ffi::Scenario::Server);
        assert_eq!(settings.mode, ffi::TestMode::PerformanceOnly);
        assert_eq!(settings.log_dir, "logs/box/gptj-99/Server");
        assert_eq!(settings.user_conf, "logs/box/gptj-99/Server/user.conf");
        assert_eq!(settings.schedule_rng_seed, 9_933_818_062_894_767_841);
        assert_eq!(
            (
                settings.loadgen_model.as_str(),
                settings.performance_sample_count
            ),
            ("gptj", 13_368)
        );
        assert!(settings.log_enable_trace && settings.log_copy_summary_to_stdout);
        assert!(!settings.log_copy_detail_to_stdout && settings.server_coalesce_queries);
        assert_eq!(settings.log_suffix, "_x");
        let scheduler = &settings.scheduler;
        assert_eq!(
            (scheduler.name.as_str(), scheduler.enable_sort),
            ("static", true)
        );
        assert_eq!(scheduler.num_sort_segments, 7);
    }

    #[test]
    fn there_is_an_engine_for_each_gpu_and_one_for_the_cpu() {
        let cpu = config(&[("threads", "3"), ("engine", "cpu")])
            .engine
            .to_settings();
        assert_eq!(cpu.len(), 1);
        assert_eq!(
            (cpu[0].engine.as_str(), cpu[0].threads, cpu[0].kv_blocks),
            ("cpu", 3, 0)
        );

        let devices = |flags: &[(&str, &str)]| {
            let engines = config(flags).engine.to_settings();
            engines
                .iter()
                .map(|engine| engine.device)
                .collect::<Vec<_>>()
        };
        assert_eq!(devices(&[("engine", "cuda")]), [0, 1, 2, 3]);
        assert_eq!(
            devices(&[("engine", "fake"), ("fake_instances", "2")]),
            [0, 1]
        );
    }

    #[test]
    fn gpus_are_counted_as_their_process_sees_them() {
        let engine = config(&[("engine", "cuda"), ("devices", "3,GPU-1")]).engine;
        assert_eq!(engine.devices, [3, 1]);
        assert_eq!(
            engine.environment(),
            [
                ("CUDA_VISIBLE_DEVICES", "GPU-3,GPU-1".to_owned()),
                ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned())
            ]
        );
        let seen = |engine: &EngineConfig| {
            let engines = engine.to_settings();
            engines
                .iter()
                .map(|engine| engine.device)
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&engine), [0, 1]);
        // Nothing was detected: CUDA's own numbers, and the environment as it is.
        let blind = Setup {
            workload: "cnn_dailymail",
            gpus: 0,
        };
        let engine = blind
            .config(&[("engine", "cuda"), ("devices", "3,1")])
            .engine;
        assert_eq!((seen(&engine), engine.environment()), (vec![3, 1], vec![]));
    }

    #[test]
    fn generation_gets_the_models_end_token() {
        let generation = config(&[("beam_length", "generated")])
            .generation
            .to_settings(2);
        let expected = ffi::Generation {
            beam_width: 4,
            min_new_tokens: 30,
            max_new_tokens: 128,
            length_penalty: 1.0,
            beam_length: ffi::BeamLength::Generated,
            eos_token: 2,
        };
        assert_eq!(generation, expected);
    }
}

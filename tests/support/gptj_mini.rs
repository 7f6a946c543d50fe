//! gptj-mini on the CPU engine, with the limits of `configs/gptj/base.toml`.

use std::path::Path;

use anyhow::Result;
use mlperf_gptj::bridge::{EngineError, ffi};
use mlperf_gptj::dataset::{Dataset, PromptLimits, Request, TextTokenizer, prepare};
use mlperf_gptj::model::{Checkpoint, ModelConfig};

pub struct GptjMini {
    config: ModelConfig,
    checkpoint: Checkpoint,
    longest: i32,
    pub generation: ffi::Generation,
    pub samples: cxx::UniquePtr<ffi::SampleSet>,
}

impl GptjMini {
    /// The model with the first `count` samples of its evaluation set.
    pub fn open(count: usize) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/gptj-mini");
        let config = ModelConfig::read(&folder)?;
        let tokenizer = TextTokenizer::open(&folder, &config)?;
        let mut dataset = Dataset::read(&folder.join("cnn_eval.json"))?;
        dataset.samples.truncate(count);
        let request = Request {
            dataset: &dataset,
            tokenizer: &tokenizer,
            model: &config,
            limits: PromptLimits {
                max_prompt_tokens: 1919,
                max_new_tokens: 128,
            },
            cache: None,
            force: false,
        };
        let prepared = prepare(&request, &|| {})?;
        let samples = ffi::new_sample_set(&prepared.tokens, &prepared.offsets, &[], &[]);
        Ok(Self {
            checkpoint: Checkpoint::open(&folder)?,
            longest: prepared.longest.try_into()?,
            generation: ffi::Generation {
                beam_width: 4,
                min_new_tokens: 30,
                max_new_tokens: 128,
                length_penalty: 1.0,
                beam_length: ffi::BeamLength::PromptAndGenerated,
                eos_token: config.eos_token,
            },
            samples: samples.map_err(EngineError::from)?,
            config,
        })
    }

    /// One engine on every core that this process may use.
    pub fn engine(&self, precision: &str) -> Result<cxx::UniquePtr<ffi::EnginePool>> {
        let settings = ffi::EngineSettings {
            engine: "cpu".to_owned(),
            precision: precision.to_owned(),
            library_dirs: Vec::new(),
            device: 0,
            threads: 0,
            max_requests: 32,
            max_tokens_per_step: 512,
            kv_blocks: 0,
            kv_block_size: 16,
            max_prompt_tokens: self.longest,
            fake_step_us: 0,
            fake_seed: 0,
            fake_fault: String::new(),
            fake_max_steps_in_flight: 1,
        };
        let mut pool = ffi::new_engine_pool();
        let shape = ffi::ModelShape::from(&self.config);
        ffi::add_engine(
            pool.pin_mut(),
            &settings,
            &shape,
            &self.generation,
            &self.checkpoint,
        )
        .map_err(EngineError::from)?;
        Ok(pool)
    }

    /// The answers to all samples, in f32, with that scheduler.
    pub fn answers(&self, scheduler: &str) -> Result<Vec<ffi::GeneratedSample>> {
        let scheduler = ffi::SchedulerSettings {
            name: scheduler.to_owned(),
            enable_sort: true,
            num_sort_segments: 2,
        };
        let mut pool = self.engine("f32")?;
        let progress = ffi::new_progress();
        let answers = ffi::generate(
            &scheduler,
            &self.generation,
            pool.pin_mut(),
            &self.samples,
            &progress,
        );
        Ok(answers.map_err(EngineError::from)?)
    }
}

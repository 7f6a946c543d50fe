//! gptj-mini on the CPU engine, with the limits of `configs/gptj/base.toml`.

use std::path::Path;

use anyhow::Result;
use mlperf_gptj::bridge::{EngineError, ffi};
use mlperf_gptj::dataset::{Dataset, PromptLimits, Request, TextTokenizer, prepare};
use mlperf_gptj::model::{Checkpoint, ModelConfig};

/// As in `configs/gptj/base.toml`.
pub const REQUESTS: i32 = 32;

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
        Self::with_answers(count, &[])
    }

    /// The same, each answer of the length given; with none given, they end by themselves.
    pub fn with_answers(count: usize, tokens: &[i32]) -> Result<Self> {
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
        let samples = ffi::new_sample_set(&prepared.tokens, &prepared.offsets, tokens, tokens);
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

    /// One engine on every core that this process may use, for so many requests at once.
    pub fn engine(
        &self,
        precision: &str,
        max_requests: i32,
    ) -> Result<cxx::UniquePtr<ffi::EnginePool>> {
        self.create(&ffi::EngineSettings {
            engine: "cpu".to_owned(),
            precision: precision.to_owned(),
            max_requests,
            ..ffi::EngineSettings::default()
        })
    }

    /// An engine of any kind under the limits of real runs.
    pub fn create(
        &self,
        settings: &ffi::EngineSettings,
    ) -> Result<cxx::UniquePtr<ffi::EnginePool>> {
        let settings = ffi::EngineSettings {
            max_tokens_per_step: 512,
            kv_block_size: 16,
            max_prompt_tokens: self.longest,
            ..settings.clone()
        };
        let mut pool = ffi::new_engine_pool();
        let shape = ffi::ModelShape::from(&self.config);
        let (generation, checkpoint) = (&self.generation, &self.checkpoint);
        ffi::add_engine(pool.pin_mut(), &settings, &shape, generation, checkpoint)
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
        let mut pool = self.engine("f32", REQUESTS)?;
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

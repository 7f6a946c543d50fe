//! Model, data set and engines of one test, read and checked.

use std::path::Path;

use cxx::UniquePtr;

use super::texts::{Texts, Tokenising};
use super::work::{Shared, Stage};
use crate::bridge::{EngineError, ffi};
use crate::config::{EngineKind, ResolvedConfig};
use crate::dataset::TextTokenizer;
use crate::dataset::synthetic::{self, SyntheticSamples};
use crate::error::Failure;
use crate::model::calibration::{self, RangesUsed};
use crate::model::{Checkpoint, Fingerprint, ModelConfig, check_tensors, fingerprint};
use crate::report::result::{EngineInstance, Inputs};

/// What a test reads, or draws.
pub struct Loaded {
    /// The model's configuration.
    pub model: ModelConfig,
    /// Its weights, mapped; empty for an engine without weights, or with drawn ones.
    pub checkpoint: Checkpoint,
    /// What identifies them; absent when there are none.
    pub fingerprint: Option<Fingerprint>,
    /// Ranges of activations, in fp8.
    pub fp8_ranges: Option<RangesUsed>,
    /// How many samples the test uses.
    pub samples: usize,
    /// Where they come from.
    pub source: SampleSource,
}

/// Where samples come from.
pub enum SampleSource {
    /// A data set.
    Texts(Box<Texts>),
    /// A table of lengths and a seed.
    Synthetic(SyntheticSamples),
}

/// The configuration of a test's model.
pub fn model(config: &ResolvedConfig) -> Result<ModelConfig, Failure> {
    match config.engine.synthetic_seed {
        0 => Ok(ModelConfig::read(&config.paths.model)?),
        _ => Ok(ModelConfig::six_b()),
    }
}

/// Reads and checks model and data set, or draws what is synthetic.
pub fn load(config: &ResolvedConfig, shared: &Shared) -> Result<Loaded, Failure> {
    let seed = config.engine.synthetic_seed;
    let model = model(config)?;
    if seed != 0 {
        let count = usize::try_from(config.loadgen.performance_sample_count).unwrap_or(usize::MAX);
        let mut checkpoint = Checkpoint::empty();
        return Ok(Loaded {
            source: SampleSource::Synthetic(synthetic::draw(count, seed, &model)),
            fp8_ranges: calibration::apply(&config.engine, &model, None, &mut checkpoint)?,
            model,
            checkpoint,
            fingerprint: None,
            samples: count,
        });
    }
    // Before the weights: a tokenizer of another model is told as such.
    let tokenizer = TextTokenizer::open(&config.paths.model, &model)?;
    let (mut checkpoint, fingerprint) = match config.engine.engine {
        EngineKind::Fake => (Checkpoint::empty(), None),
        _ => {
            let checkpoint = Checkpoint::open(&config.paths.model)?;
            check_tensors(&checkpoint, &model)?;
            shared.enter_counted(Stage::Weights, weights_length(&checkpoint));
            let watch = |bytes| shared.add(bytes);
            let fingerprint = fingerprint::of_model(&config.paths.model, &checkpoint, &watch)?;
            (checkpoint, Some(fingerprint))
        }
    };
    let fp8_ranges = calibration::apply(
        &config.engine,
        &model,
        fingerprint.as_ref(),
        &mut checkpoint,
    )?;
    let how = Tokenising {
        force: false,
        total: &|samples| {
            shared.enter_counted(Stage::Tokenising, samples);
        },
        progress: &|| shared.add(1),
    };
    let texts = Texts::read(config, &model, tokenizer, &how)?;
    let asked = usize::try_from(config.run.accuracy_samples).unwrap_or(usize::MAX);
    let samples = match asked {
        0 => texts.prepared.len(),
        asked => asked.min(texts.prepared.len()),
    };
    Ok(Loaded {
        model,
        checkpoint,
        fingerprint,
        fp8_ranges,
        samples,
        source: SampleSource::Texts(Box::new(texts)),
    })
}

/// Bytes of the weight files.
fn weights_length(checkpoint: &Checkpoint) -> u64 {
    let lengths = checkpoint.files().map(std::fs::metadata);
    lengths.flatten().map(|metadata| metadata.len()).sum()
}

impl Loaded {
    /// What identifies it in results.
    pub fn describe(&self) -> Inputs {
        let texts = match &self.source {
            SampleSource::Texts(texts) => texts,
            SampleSource::Synthetic(samples) => {
                let bytes: Vec<u8> = samples
                    .tokens
                    .iter()
                    .flat_map(|token| token.to_le_bytes())
                    .collect();
                return Inputs {
                    model: None,
                    dataset: Fingerprint::of_bytes(&bytes),
                    tokenizer: None,
                    samples: self.samples as u64,
                    prompt_tokens: samples.tokens.len() as u64,
                    truncated: 0,
                };
            }
        };
        Inputs {
            model: self.fingerprint.clone(),
            dataset: texts.dataset.fingerprint.clone(),
            tokenizer: Some(texts.tokenizer.fingerprint().clone()),
            samples: self.samples as u64,
            prompt_tokens: texts.prepared.offsets[self.samples],
            truncated: texts.prepared.truncated,
        }
    }

    /// The samples as LoadGen's library hands them out.
    pub fn sample_set(&self) -> Result<UniquePtr<ffi::SampleSet>, Failure> {
        let set = match &self.source {
            SampleSource::Texts(texts) => {
                let offsets = &texts.prepared.offsets[..=self.samples];
                // Offsets count elements of a Vec, so they fit.
                let tokens = &texts.prepared.tokens[..offsets[self.samples] as usize];
                ffi::new_sample_set(tokens, offsets, &[], &[])
            }
            // Weights that are drawn end no answer by themselves: the least is the most.
            SampleSource::Synthetic(samples) => {
                let answers = &samples.answer_tokens;
                ffi::new_sample_set(&samples.tokens, &samples.offsets, answers, answers)
            }
        };
        set.map_err(failed)
    }

    /// Creates every engine that the configuration asks for, from a plan if they need one.
    pub fn engines(
        &self,
        config: &ResolvedConfig,
        generation: &ffi::Generation,
        plan: Option<&Path>,
    ) -> Result<UniquePtr<ffi::EnginePool>, Failure> {
        let shape = ffi::ModelShape::from(&self.model);
        let mut pool = ffi::new_engine_pool();
        for mut settings in config.engine.to_settings() {
            settings.plan_path = plan.map_or(String::new(), |plan| plan.display().to_string());
            ffi::add_engine(
                pool.pin_mut(),
                &settings,
                &shape,
                generation,
                &self.checkpoint,
            )
            .map_err(|error| {
                let error = EngineError::from(error);
                Failure::from(error).because(format!(
                    "while the engine `{}` was created",
                    settings.engine
                ))
            })?;
        }
        Ok(pool)
    }
}

/// What there is to say of each engine.
pub fn describe_engines(pool: &ffi::EnginePool) -> Result<Vec<EngineInstance>, Failure> {
    (0..ffi::engine_count(pool))
        .map(|index| {
            let limits = ffi::engine_limits(pool, index).map_err(failed)?;
            Ok(EngineInstance {
                name: ffi::engine_name(pool, index).map_err(failed)?,
                max_requests: limits.max_requests,
                max_tokens_per_step: limits.max_tokens_per_step,
                kv_blocks: limits.kv_blocks,
                kv_block_size: limits.kv_block_size,
            })
        })
        .collect()
}

/// A C++ error as a failure.
pub fn failed(error: cxx::Exception) -> Failure {
    EngineError::from(error).into()
}

//! The texts of a test: its data set, and the tokens of its prompts, which are kept between runs.

use std::path::PathBuf;

use crate::config::ResolvedConfig;
use crate::dataset::prepared::cache_folder;
use crate::dataset::{Dataset, Prepared, PromptLimits, Request, Source, TextTokenizer, prepare};
use crate::error::Failure;
use crate::model::ModelConfig;

/// A data set and its tokens.
pub struct Texts {
    /// The model's tokenizer.
    pub tokenizer: TextTokenizer,
    /// The data set.
    pub dataset: Dataset,
    /// Tokenised prompts of the whole data set.
    pub prepared: Prepared,
    /// Where the tokens are kept, if that was possible.
    pub folder: PathBuf,
}

/// How to tokenise.
pub struct Tokenising<'a> {
    /// Even if there are tokens that fit.
    pub force: bool,
    /// Told how many samples there are.
    pub total: &'a dyn Fn(u64),
    /// Called for every prompt that was tokenised, from several threads.
    pub progress: &'a (dyn Fn() + Sync),
}

impl Texts {
    /// Reads the data set of a test and its tokens, or tokenises it and keeps the tokens in the scratch space.
    pub fn read(
        config: &ResolvedConfig,
        model: &ModelConfig,
        tokenizer: TextTokenizer,
        how: &Tokenising,
    ) -> Result<Self, Failure> {
        let dataset = Dataset::read(&config.paths.dataset)?;
        (how.total)(dataset.samples.len() as u64);
        let folder = cache_folder(
            &config.paths.preprocessed_data,
            &config.run.workload,
            &dataset.fingerprint,
        );
        let request = Request {
            dataset: &dataset,
            tokenizer: &tokenizer,
            model,
            limits: PromptLimits {
                max_prompt_tokens: config.engine.max_prompt_tokens,
                max_new_tokens: config.generation.max_new_tokens,
            },
            cache: Some(folder.clone()),
            force: how.force,
        };
        let prepared = prepare(&request, how.progress)?;
        Ok(Self {
            tokenizer,
            dataset,
            prepared,
            folder,
        })
    }

    /// Why the tokens could not be kept, if so.
    pub fn not_kept(&self) -> Option<&Failure> {
        match &self.prepared.source {
            Source::Tokenized {
                written: Some(Err(failure)),
                ..
            } => Some(failure),
            _ => None,
        }
    }
}

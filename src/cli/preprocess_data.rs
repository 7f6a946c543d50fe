//! `run_harness preprocess-data`

use std::collections::BTreeSet;

use super::command::{Cli, PreprocessDataArgs};
use super::output::print;
use super::owner;
use super::surroundings::resolve_here;
use crate::config::ResolvedConfig;
use crate::dataset::prepared::cache_folder;
use crate::dataset::{Dataset, PromptLimits, Request, Source, TextTokenizer, prepare};
use crate::error::Failure;
use crate::model::ModelConfig;
use crate::scratch::{Kind, Places};

/// Tokenises the data set of every test that would run, each once, and prints the folders of the files.
pub fn run(cli: &Cli, args: &PreprocessDataArgs) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    resolution
        .notices
        .iter()
        .for_each(|notice| eprintln!("note: {notice}"));
    let places = Places::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    if !resolution.plans.iter().all(|plan| plan.config.report.quiet) {
        owner::tell(&places.folder(Kind::PreprocessedData));
    }
    let mut done = BTreeSet::new();
    for config in resolution.plans.iter().map(|plan| &plan.config) {
        let limits = (
            config.engine.max_prompt_tokens,
            config.generation.max_new_tokens,
        );
        if done.insert((config.paths.dataset.clone(), limits)) {
            one(config, &places, args.force)?;
        }
    }
    Ok(())
}

fn one(config: &ResolvedConfig, places: &Places, force: bool) -> Result<(), Failure> {
    let dataset = Dataset::read(&config.paths.dataset)?;
    let model = ModelConfig::read(&config.paths.model)?;
    let tokenizer = TextTokenizer::open(&config.paths.model, &model)?;
    let preprocessed = places.folder(Kind::PreprocessedData);
    let folder = cache_folder(&preprocessed, &config.run.workload, &dataset.fingerprint);
    let request = Request {
        dataset: &dataset,
        tokenizer: &tokenizer,
        model: &model,
        limits: PromptLimits {
            max_prompt_tokens: config.engine.max_prompt_tokens,
            max_new_tokens: config.generation.max_new_tokens,
        },
        cache: Some(folder.clone()),
        force,
    };
    let prepared = prepare(&request, &|| {})?;
    let count = prepared.len();
    let how = match prepared.source {
        Source::Cache(_) => "there already".to_owned(),
        Source::Tokenized {
            written: Some(Err(failure)),
            ..
        } => return Err(failure),
        Source::Tokenized { reason, .. } => format!("tokenised: {reason}"),
    };
    if !config.report.quiet {
        eprintln!(
            "{}: {count} prompts, the longest of {} tokens, {} cut off; {how}",
            config.run.workload, prepared.longest, prepared.truncated
        );
    }
    print(&format!("{}\n", folder.display()))
}

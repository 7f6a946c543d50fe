//! `run_harness preprocess-data`

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::command::{Cli, PreprocessDataArgs};
use super::meter::Meter;
use super::output::{print, print_json};
use super::owner;
use super::surroundings::resolve_here;
use crate::config::ResolvedConfig;
use crate::dataset::{Lengths, Source, TextTokenizer};
use crate::error::Failure;
use crate::model::ModelConfig;
use crate::run::{Texts, Tokenising};

/// Tokenises the data set of every test that would run, each once, and prints the folders of the files.
pub fn run(cli: &Cli, args: &PreprocessDataArgs) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    let first = resolution.plans.first();
    if let Some(plan) = first.filter(|plan| !plan.config.report.quiet) {
        resolution
            .notices
            .iter()
            .for_each(|notice| eprintln!("note: {notice}"));
        owner::tell(&plan.config.paths.preprocessed_data);
    }
    let mut done = BTreeSet::new();
    let mut documents = Vec::new();
    for config in resolution.plans.iter().map(|plan| &plan.config) {
        let limits = (
            config.engine.max_prompt_tokens,
            config.generation.max_new_tokens,
        );
        if done.insert((config.paths.dataset.clone(), limits)) {
            let texts = one(config, args.force)?;
            documents.push(to_json(&texts));
            if !cli.json {
                print(&format!("{}\n", texts.folder.display()))?;
            }
        }
    }
    match cli.json {
        true => print_json(&documents),
        false => Ok(()),
    }
}

fn to_json(texts: &Texts) -> Value {
    let prepared = &texts.prepared;
    json!({
        "folder": texts.folder,
        "prompts": prepared.len(),
        "tokens": prepared.tokens.len(),
        "longest": prepared.longest,
        "truncated": prepared.truncated,
        "was_there": matches!(prepared.source, Source::Cache(_)),
    })
}

fn one(config: &ResolvedConfig, force: bool) -> Result<Texts, Failure> {
    let model = ModelConfig::read(&config.paths.model)?;
    let tokenizer = TextTokenizer::open(&config.paths.model, &model)?;
    let texts = {
        let meter = Meter::samples("tokenising", config.report.quiet);
        let how = Tokenising {
            force,
            total: &|samples| meter.total(samples),
            progress: &|| meter.done(1),
        };
        Texts::read(config, &model, tokenizer, &how)?
    };
    if let Some(failure) = texts.not_kept() {
        return Err(failure.clone());
    }
    let prepared = &texts.prepared;
    let how = match &prepared.source {
        Source::Cache(_) => "there already".to_owned(),
        Source::Tokenized { reason, .. } => format!("tokenised: {reason}"),
    };
    if !config.report.quiet {
        eprintln!(
            "{}: {} prompts, {} tokens, the longest of {}, {} cut off; {how}",
            config.run.workload,
            prepared.len(),
            prepared.tokens.len(),
            prepared.longest,
            prepared.truncated
        );
        eprint!("{}", Lengths::of(prepared));
    }
    Ok(texts)
}

//! `run_harness preprocess-data`

use std::collections::BTreeSet;

use super::command::{Cli, PreprocessDataArgs};
use super::meter::Meter;
use super::output::print;
use super::owner;
use super::surroundings::resolve_here;
use crate::config::ResolvedConfig;
use crate::dataset::{Lengths, Source, TextTokenizer};
use crate::error::Failure;
use crate::model::ModelConfig;
use crate::run::{Texts, Tokenising};
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
            one(config, args.force)?;
        }
    }
    Ok(())
}

fn one(config: &ResolvedConfig, force: bool) -> Result<(), Failure> {
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
    print(&format!("{}\n", texts.folder.display()))
}

//! `run_harness generate-engines`

use std::collections::BTreeSet;

use super::command::Cli;
use super::surroundings::resolve_here;
use crate::config::EngineKind;
use crate::error::Failure;

/// Builds what the engines need beforehand.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    let engines: BTreeSet<_> = resolution
        .plans
        .iter()
        .map(|plan| plan.config.engine.engine)
        .collect();
    if engines.contains(&EngineKind::Tensorrt) {
        return Err(
            Failure::user("this program cannot build TensorRT engines yet")
                .hint("use --engine=cuda or --engine=cpu"),
        );
    }
    let quiet = resolution.plans.iter().all(|plan| plan.config.report.quiet);
    for engine in engines.iter().filter(|_| !quiet) {
        eprintln!("the {engine} engine reads the checkpoint itself: there is nothing to generate");
    }
    Ok(())
}

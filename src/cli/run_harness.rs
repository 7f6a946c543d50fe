//! `run_harness` without a command: runs the tests that are asked for.

use super::command::Cli;
use super::output::print;
use super::owner;
use super::surroundings::resolve_here;
use crate::error::Failure;
use crate::run::run_all;

/// Resolves what is asked for, runs every test of it and prints the summary.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    let quiet = resolution.plans.iter().all(|plan| plan.config.report.quiet);
    for notice in resolution.notices.iter().filter(|_| !quiet) {
        eprintln!("note: {notice}");
    }
    if let Some(plan) = resolution.plans.first().filter(|_| !quiet) {
        owner::tell(&plan.config.paths.log_dir);
    }
    let (summary, failure) = run_all(&resolution);
    print(&summary)?;
    failure.map_or(Ok(()), Err)
}

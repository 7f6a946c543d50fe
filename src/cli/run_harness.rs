//! `run_harness` without a command: runs the tests that are asked for.

use std::path::PathBuf;

use serde_json::json;

use super::command::Cli;
use super::output::{print, print_json};
use super::owner;
use super::surroundings::Here;
use crate::config::Resolution;
use crate::doctor::busy;
use crate::error::Failure;
use crate::report::{TestResult, summary};
use crate::run::{Ran, run_all};

/// Resolves what is asked for, runs every test of it and prints what came of them.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let here = Here::look()?;
    let config = cli.config();
    let command = config.command_line();
    let resolution = here.resolve(config)?;
    before_tests(cli, &here, &resolution)?;
    let ran = run_all(&resolution, &command)?;
    match cli.json {
        true => print_json(&to_json(&ran))?,
        false => print(&summary(&ran.results, &ran.not_run))?,
    }
    ran.failure.map_or(Ok(()), Err)
}

/// What people are told before the first test, unless they want to be left alone, and what would spoil the output. Says
/// whether they want that.
pub(super) fn before_tests(
    cli: &Cli,
    here: &Here,
    resolution: &Resolution,
) -> Result<bool, Failure> {
    let quiet = resolution.plans.iter().all(|plan| plan.config.report.quiet);
    for notice in resolution.notices.iter().filter(|_| !quiet) {
        eprintln!("note: {notice}");
    }
    if let Some(plan) = resolution.plans.first().filter(|_| !quiet) {
        owner::tell(&plan.config.paths.log_dir);
        for finding in busy(&here.machine, &plan.config.engine.devices) {
            eprintln!("warning: {}; {}", finding.message, finding.remedy);
        }
    }
    if cli.json {
        check_stdout(resolution)?;
    }
    Ok(quiet)
}

/// A JSON document has stdout for itself.
fn check_stdout(resolution: &Resolution) -> Result<(), Failure> {
    let logs = resolution.plans.iter().map(|plan| &plan.config.loadgen.log);
    let said = |name: &str| {
        Failure::user(format!("`--json` contradicts `{name}`"))
            .because("stdout would be more than the JSON document")
            .hint("leave one of them out; LoadGen's logs are in the folder of the test")
    };
    for log in logs {
        if log.copy_detail_to_stdout {
            return Err(said("--log_copy_detail_to_stdout"));
        }
        if log.copy_summary_to_stdout {
            return Err(said("--disable_log_copy_summary_to_stdout=false"));
        }
    }
    Ok(())
}

fn to_json(ran: &Ran) -> serde_json::Value {
    let one =
        |(folder, result): &(PathBuf, TestResult)| json!({ "folder": folder, "result": result });
    json!({
        "tests": ran.results.iter().map(one).collect::<Vec<_>>(),
        "not_run": ran.not_run,
    })
}

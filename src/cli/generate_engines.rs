//! `run_harness generate-engines`

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;

use super::command::Cli;
use super::output::{print, print_json};
use super::surroundings::resolve_here;
use crate::engines::Origin;
use crate::error::Failure;
use crate::run::Plans;

/// Provides the plan of every test that would run, and prints their paths.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    let quiet = resolution.plans.iter().all(|plan| plan.config.report.quiet);
    let say = |line: String| {
        if !quiet {
            eprintln!("{line}");
        }
    };
    let notices = resolution.notices.iter();
    notices.for_each(|notice| say(format!("note: {notice}")));

    let start = Instant::now();
    let mut plans = Plans::new()?;
    let mut paths = String::new();
    let mut documents = Vec::new();
    let mut without = BTreeSet::new();
    let mut made_any = false;
    for config in resolution.plans.iter().map(|plan| &plan.config) {
        let provided = plans.provide(config)?;
        documents.push(json!({
            "benchmark": config.benchmark_full(),
            "scenario": config.run.scenario,
            "engine": config.engine.engine,
            "plan": provided.as_ref().map(|plan| &plan.path),
            "origin": provided.as_ref().map(|plan| plan.origin),
        }));
        let Some(plan) = provided else {
            without.insert(config.engine.engine);
            continue;
        };
        let path = plan.path.display();
        match plan.origin {
            Origin::Kept => say(format!("{path}: up to date")),
            Origin::Built | Origin::Copied => made_any = true,
        }
        paths.push_str(&format!("{path}\n"));
    }
    for engine in without {
        say(format!(
            "the {engine} engine reads the checkpoint itself: there is nothing to generate"
        ));
    }
    if made_any {
        say(format!(
            "Time taken to generate engines: {:.1} seconds",
            start.elapsed().as_secs_f64()
        ));
    }
    match cli.json {
        true => print_json(&documents),
        false => print(&paths),
    }
}

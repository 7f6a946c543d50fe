//! `run_harness` without a command: runs the tests that are asked for.

use super::command::Cli;
use super::surroundings::resolve_here;
use crate::error::Failure;

/// Resolves what is asked for and runs every test of it.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    resolution
        .notices
        .iter()
        .for_each(|notice| eprintln!("note: {notice}"));
    Err(Failure::harness("this build cannot run tests"))
}

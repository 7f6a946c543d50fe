//! `run_harness show-config`

use super::command::{Cli, ShowConfigArgs};
use super::output::{print, print_json};
use super::surroundings::resolve_here;
use crate::config::{explain, to_json};
use crate::error::Failure;

/// Prints the settings of every test that would run.
pub fn run(cli: &Cli, args: &ShowConfigArgs) -> Result<(), Failure> {
    let resolution = resolve_here(cli.config())?;
    resolution
        .notices
        .iter()
        .for_each(|notice| eprintln!("note: {notice}"));
    if cli.json {
        return print_json(&to_json(&resolution.plans));
    }
    print(&explain(&resolution.plans, args.explain)?)
}

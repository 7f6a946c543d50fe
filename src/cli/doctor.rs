//! `run_harness doctor`

use std::process::ExitCode;

use super::command::Cli;
use super::output::{print, print_json};
use super::surroundings::Here;
use crate::doctor::{Around, Report, gather};
use crate::error::Failure;
use crate::system::VISIBLE_VARIABLE;

/// Exit code when something would stop a run: what the run itself would end with.
const WOULD_STOP: u8 = 1;

/// Prints what is here and what it means for a run.
pub fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let here = Here::look()?;
    let report = Report::new(gather(Around {
        machine: here.machine.clone(),
        visible: here.variable(VISIBLE_VARIABLE),
        program: here.program.as_deref(),
        places: &here.places,
        resolution: here.resolve(cli.config()),
    }));
    if cli.json {
        print_json(&report)?;
    } else {
        print(&report.text())?;
    }
    Ok(match report.can_run {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(WOULD_STOP),
    })
}

//! The command line: clap structs with every field optional, one module for each subcommand.
//!
//! Parsing only says what was typed; `config::resolve` says what it means.

mod args;
mod command;
mod meter;
mod mistakes;
mod normalise;
mod original;
mod output;
mod owner;
mod public;
mod reference;
mod refused;
mod surroundings;
mod translated;

mod calibrate;
mod completions;
mod doctor;
mod download_help;
mod generate_engines;
mod import_model;
mod link_dirs;
mod man;
mod preprocess_data;
mod probe_engine;
mod report;
mod run_harness;
mod runs;
mod show_config;
mod tune_server;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

pub use args::ConfigArgs;
pub use command::{Cli, Command, ShowConfigArgs};
pub use original::names as options_of_the_original;
pub use output::print;
pub use public::public;
pub use reference::reference;

use crate::error::Failure;
use crate::run::{child_main, provide_main};

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// A command.
    Command(Box<Cli>),
    /// Text for stdout: help or version.
    Text(String),
}

/// Reads a command line, the program's name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    let args = translated::translate(normalise::normalise(args))?;
    let args = refused::strip(args)?;
    let matches = match Cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => return Err(mistakes::explain(&error)),
        Err(error) => return Ok(Parsed::Text(error.to_string())),
    };
    let cli = Cli::from_arg_matches(&matches).map_err(|error| mistakes::explain(&error))?;
    cli.check()?;
    Ok(Parsed::Command(Box::new(cli)))
}

/// Runs a command line. The exit code is that of a command that did what it was asked.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let cli = match parse(args)? {
        Parsed::Text(text) => return print(&text).map(|()| ExitCode::SUCCESS),
        Parsed::Command(cli) => cli,
    };
    match &cli.command {
        None => run_harness::run(&cli)?,
        Some(Command::Doctor(_)) => return doctor::run(&cli),
        Some(Command::ShowConfig(args)) => show_config::run(&cli, args)?,
        Some(Command::GenerateEngines(_)) => generate_engines::run(&cli)?,
        Some(Command::Report(args)) => report::run(&cli, args)?,
        Some(Command::Runs(args)) => runs::run(&cli, args)?,
        Some(Command::LinkDirs) => link_dirs::run(&cli)?,
        Some(Command::DownloadHelp) => download_help::run(&cli)?,
        Some(Command::ImportModel(args)) => import_model::run(&cli, args)?,
        Some(Command::PreprocessData(args)) => preprocess_data::run(&cli, args)?,
        Some(Command::Calibrate(args)) => calibrate::run(&cli, args)?,
        Some(Command::Completions(args)) => completions::run(args)?,
        Some(Command::Man(args)) => man::run(args)?,
        Some(Command::TuneServer(args)) => tune_server::run(&cli, args)?,
        Some(Command::ProbeEngine(args)) => probe_engine::run(args)?,
        Some(Command::ProvidePlan) => return provide_main(),
        Some(Command::RunTest) => return child_main(),
    }
    Ok(ExitCode::SUCCESS)
}

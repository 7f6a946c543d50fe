//! `run_harness probe-engine`, hidden: whether an engine of a library can run on this machine.
//!
//! To find out, the library and what it opens must start and use a GPU. That is done in a process of its own, since what
//! it takes of the GPU's memory would be missing to the tests as long as the process lives that waits for them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::command::ProbeEngineArgs;
use super::output::print;
use crate::bridge::{EngineError, ffi};
use crate::error::Failure;

/// Prints why the engine cannot run; nothing when it can.
pub fn run(args: &ProbeEngineArgs) -> Result<(), Failure> {
    let settings = ffi::EngineSettings {
        engine: args.engine.clone(),
        // What every GPU computes in that an engine runs on.
        precision: "fp16".to_owned(),
        library_dirs: args
            .folders
            .iter()
            .map(|folder| folder.to_string_lossy().into_owned())
            .collect(),
        ..ffi::EngineSettings::default()
    };
    match start(&settings) {
        Ok(()) => Ok(()),
        Err(error) => print(&EngineError::from(error).message),
    }
}

fn start(settings: &ffi::EngineSettings) -> Result<(), cxx::Exception> {
    ffi::engine_library(settings)?;
    // Only such a library opens others when it is asked, and says so when they are not there.
    if ffi::has_plans(settings)? {
        ffi::plan_facts(settings)?;
    }
    Ok(())
}

/// Has another process find out. The error is one line that says why not.
pub fn can_run(engine: &str, folders: &[PathBuf]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .args(["probe-engine", engine])
        .args(folders)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("to start its library failed ({})", output.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim_end().split_once('\n') {
        None if said.is_empty() => Ok(()),
        None => Err(said.trim_end().to_owned()),
        Some((first, _)) => Err(format!(
            "{} (--engine={engine} says more)",
            first.trim_end_matches(':')
        )),
    }
}

//! A short list of steps; each lives in `build_steps/`.

#[path = "build_steps/accelerators.rs"]
mod accelerators;

#[path = "build_steps/third_party.rs"]
mod third_party;

#[path = "build_steps/native.rs"]
mod native;

#[path = "build_steps/bridge.rs"]
mod bridge;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Cargo shows these lines by themselves; what a build script writes to stderr drowns in its surroundings.
            println!("cargo::error={}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let toolkits = accelerators::locate()?;
    let packages = third_party::locate()?;
    // The bridge comes first on the linker's command line: it calls into the native libraries.
    bridge::build(&packages)?;
    native::build(&packages, &toolkits)?;
    Ok(())
}

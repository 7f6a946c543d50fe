//! Whole runs, as somebody starts them: the program, its child processes and LoadGen, on the fake engine where the
//! harness is what is tested, on the CPU engine where answers are.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

#[path = "run/support.rs"]
mod support;

#[path = "run/calibrated.rs"]
mod calibrated;

#[path = "run/completed.rs"]
mod completed;

#[path = "run/failed.rs"]
mod failed;

#[path = "run/interrupted.rs"]
mod interrupted;

#[path = "run/invalid.rs"]
mod invalid;

#[path = "run/json.rs"]
mod json;

#[path = "run/log_folder.rs"]
mod log_folder;

#[path = "run/scratch_space.rs"]
mod scratch_space;

#[path = "run/settings.rs"]
mod settings;

//! `generate-engines`, and plans of runs: the program with an engine library of the C++ tests that stands in for
//! TensorRT's. It writes down what it was asked to build, and its engine wants that file.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

#[path = "run/support.rs"]
#[expect(dead_code, reason = "tests of runs use more of it")]
mod support;

#[path = "engines/rig.rs"]
mod rig;

#[path = "engines/generated.rs"]
mod generated;

#[path = "engines/stale.rs"]
mod stale;

#[path = "engines/failed.rs"]
mod failed;

#[path = "engines/runs.rs"]
mod runs;

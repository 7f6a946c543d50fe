//! MLPerf Inference GPT-J, owned by Rust: command line, configuration, data paths, scheduling decisions and reports.
//! C++ holds LoadGen, the system under test that LoadGen calls, and the engines; `bridge` joins the two.

pub mod accuracy;
pub mod bridge;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod disk;
pub mod doctor;
pub mod engines;
pub mod error;
pub mod model;
pub mod report;
pub mod run;
pub mod scheduler;
pub mod scratch;
pub mod system;
pub mod tune;

//! Models and data sets on their way into a run: what is read, and what is said about files that are not right.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers outside of #[test] stop a test as it would"
)]

mod data {
    mod checkpoint;
    mod command_line;
    mod corrupted;
    mod dataset;
    mod fingerprint;
    mod locate;
    mod model_config;
    mod npy;
    mod prepared;
    mod scales;
    mod scratch;
    mod support;
    mod tokenize;
}

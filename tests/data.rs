//! Models and data sets on their way into a run: what is read, and what is said about files that are not right.

#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of #[test] stop a test as it would"
)]

mod data {
    mod checkpoint;
    mod model_config;
    mod support;
}

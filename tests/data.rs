//! Models and data sets on their way into a run: what is read, and what is said about files that are not right.

mod data {
    mod checkpoint;
    mod model_config;
    mod support;
}

//! The scheduler seam: the Rust trait and the in-flight batching policy.

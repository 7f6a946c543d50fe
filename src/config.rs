//! Configuration: layers resolved into one struct without options; each value knows where it came from.

mod resolved;

pub use resolved::*;

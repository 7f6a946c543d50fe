//! result.json, metadata.json, the console summary, and explanations of invalid results.

pub mod explain;
pub mod files;
pub mod loadgen_log;
pub mod metadata;
pub mod result;
pub mod summary;

pub use explain::Finding;
pub use loadgen_log::{LoadgenLog, LoadgenLogError};
pub use result::{Status, TestResult};
pub use summary::summary;

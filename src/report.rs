//! result.json, metadata.json, the console summary, and explanations of invalid results.

pub mod command_line;
pub mod compare;
pub mod early_stopping;
pub mod explain;
pub mod figures;
pub mod files;
pub mod html;
pub mod latencies;
pub mod loadgen_log;
pub mod metadata;
pub mod published;
pub mod read;
pub mod result;
pub mod runs;
pub mod server_rate;
pub mod summary;
pub mod timeline;

pub use command_line::CommandLine;
pub use explain::Finding;
pub use loadgen_log::{LoadgenLog, LoadgenLogError};
pub use result::{Status, TestResult};
pub use summary::summary;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The present moment as files of results have it: RFC 3339, UTC, whole seconds.
pub fn timestamp() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0)
        .unwrap_or(now)
        .format(&Rfc3339)
        .unwrap_or_default()
}

//! One LoadGen test from start to parsed result, in a child process of its own.
//!
//! LoadGen keeps process-global state, so each test has a process. [`run_all`] is the parent: it claims the folder of
//! each test, starts the child, passes signals on, and prints the summary. [`child_main`] is the child: it loads the
//! model, measures what is `auto`, runs LoadGen and writes `result.json`. The two talk over a socket that is the
//! child's stdin ([`protocol`]).
//!
//! [`Plans`] does the same for the plans of engines, which are built in processes of their own.
//!
//! [`calibrate`] needs no LoadGen and runs in the process that asks for it.

mod calibrate;
mod child;
mod evaluate;
mod folder;
mod inputs;
mod parent;
mod plans;
mod process;
mod progress_line;
mod protocol;
mod queue;
mod rates;
mod signals;
mod supervise;
mod texts;
mod ticker;
mod work;

pub use calibrate::{CalibrationRequest, calibrate};
pub use child::child_main;
pub use folder::{LEAST_FREE_BYTES, TestFolder};
pub use parent::{AUDIT_CONFIG, OneByOne, Ran, run_all};
pub use plans::{Plans, provide_main};
pub use texts::{Texts, Tokenising};

//! Ctrl-C and SIGTERM as a flag that loops look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::Failure;

/// How often somebody asked to stop.
#[derive(Debug, Clone)]
pub struct StopRequests(Arc<AtomicUsize>);

impl StopRequests {
    /// Counts from now on instead of ending the process.
    pub fn listen() -> Result<Self, Failure> {
        let count = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            let count = count.clone();
            let action = move || {
                count.fetch_add(1, Ordering::Relaxed);
            };
            // SAFETY: the action only adds to an atomic, which is allowed in a signal handler.
            let registered = unsafe { signal_hook::low_level::register(signal, action) };
            registered.map_err(|error| {
                Failure::harness(format!("cannot handle signal {signal}")).because(error)
            })?;
        }
        Ok(Self(count))
    }

    /// Signals so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

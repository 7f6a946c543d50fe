//! The one place that looks at this machine.

use std::path::Path;

use super::{Machine, host, nvml};

/// What this machine is. NVML tells about GPUs; where it cannot, the driver's kernel module tells less.
pub fn detect() -> Machine {
    let mut machine = host::read(Path::new("/"));
    match nvml::read() {
        Ok(found) => {
            machine.gpus = found.gpus;
            machine.driver = found.driver;
        }
        Err(reason) => machine.driver.nvml_error = Some(reason),
    }
    machine
}

//! stdout is data.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::Failure;

/// Writes data to stdout. Somebody who stopped reading has what was wanted, so a broken pipe is success.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::user("cannot write to stdout").because(error))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON document to stdout.
pub fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::harness("cannot write JSON").because(error))?;
    print(&format!("{text}\n"))
}

//! stdout is data.

use std::io::{self, Write};

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

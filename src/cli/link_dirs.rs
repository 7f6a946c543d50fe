//! `run_harness link-dirs`

use std::fmt::Write;

use super::output::print;
use super::owner;
use crate::error::Failure;
use crate::scratch::{Places, link_dirs};

/// Makes the folders of the scratch space, links them under build/, and prints the links.
pub fn run() -> Result<(), Failure> {
    let places = Places::of_this_process()
        .map_err(|error| Failure::user("cannot find out where this program is").because(error))?;
    owner::tell(&places.scratch);
    let report = link_dirs(&places)?;
    let mut text = String::new();
    for link in report.links {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{link}");
    }
    print(&text)?;
    for folder in report.read_only {
        eprintln!(
            "note: `{}` cannot be written to: what is in it can be used, nothing can be added",
            folder.display()
        );
    }
    Ok(())
}

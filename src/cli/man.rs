//! `run_harness man [COMMAND]`

use std::io;

use clap_mangen::Man;

use super::command::ManArgs;
use super::mistakes::unknown_command;
use super::output::print;
use super::public::public;
use crate::error::Failure;

/// Prints the page of the program, or of one of its commands.
pub fn run(args: &ManArgs) -> Result<(), Failure> {
    let program = public();
    let page = match &args.page {
        None => program,
        Some(name) => {
            let typed = name.replace('_', "-");
            let found = program.find_subcommand(&typed).cloned();
            let command = found.ok_or_else(|| unknown_command(name))?;
            // What people would look for: run_harness-show-config(1).
            let full = format!("{}-{typed}", program.get_name());
            command.name(full).version(env!("CARGO_PKG_VERSION"))
        }
    };
    let text = render(page)
        .map_err(|error| Failure::harness("cannot write the manual page").because(error))?;
    print(&String::from_utf8_lossy(&text))
}

/// All sections. The synopsis is our own: with some sixty options in it, nobody would read it.
fn render(page: clap::Command) -> io::Result<Vec<u8>> {
    let name = page.get_name().replace("run_harness-", "run_harness ");
    let commands = if page.has_subcommands() {
        " [\\fICOMMAND\\fR]"
    } else {
        ""
    };
    let synopsis = format!(
        ".SH SYNOPSIS\n\\fB{}\\fR [\\fIOPTIONS\\fR]{commands}\n",
        name.replace('-', "\\-")
    );
    let man = Man::new(page);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    text.extend(synopsis.as_bytes());
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if !commands.is_empty() {
        man.render_subcommands_section(&mut text)?;
    }
    man.render_extra_section(&mut text)?;
    Ok(text)
}

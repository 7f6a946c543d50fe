//! `run_harness completions SHELL`

use clap::builder::PossibleValuesParser;

use super::command::CompletionsArgs;
use super::output::print;
use super::public::public;
use crate::config::{KEYS, Kind, offered};
use crate::error::Failure;

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = with_values(public());
    let names = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned());
    for name in names.collect::<Vec<_>>() {
        command = command.mut_subcommand(name, with_values);
    }
    clap_complete::generate(args.shell, &mut command, "run_harness", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Options that take one of some names offer them. The parser itself leaves that to the key table, which understands more
/// spellings and explains better.
fn with_values(mut command: clap::Command) -> clap::Command {
    for key in KEYS.iter().filter(|key| !key.hidden) {
        let is_there = command.get_arguments().any(|arg| arg.get_id() == key.name);
        if let (Kind::Choice(names), true) = (key.kind, is_there) {
            let auto = key.auto.map(|_| "auto");
            let parser = PossibleValuesParser::new(offered(names).chain(auto));
            command = command.mut_arg(key.name, |arg| arg.value_parser(parser));
        }
    }
    command
}

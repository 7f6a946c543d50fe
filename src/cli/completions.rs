//! `run_harness completions SHELL`

use clap::builder::PossibleValuesParser;

use super::command::{CompletionsArgs, public};
use super::output::print;
use crate::config::{KEYS, Key, Kind, offered};
use crate::error::Failure;

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = with_values(public());
    let subcommands: Vec<String> = command
        .get_subcommands()
        .filter(|one| one.get_arguments().any(|arg| arg.get_id() == KEYS[0].name))
        .map(|one| one.get_name().to_owned())
        .collect();
    for name in subcommands {
        command = command.mut_subcommand(name, with_values);
    }
    clap_complete::generate(args.shell, &mut command, "run_harness", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Options that take one of some names offer them. The parser itself leaves that to the key table, which understands more
/// spellings and explains better.
fn with_values(mut command: clap::Command) -> clap::Command {
    let names = |key: &Key| match key.kind {
        Kind::Choice(names) => Some(offered(names).collect::<Vec<_>>()),
        _ => None,
    };
    for key in KEYS.iter().filter(|key| !key.hidden) {
        if let Some(names) = names(key) {
            let auto = key.auto.map(|_| "auto");
            let parser = PossibleValuesParser::new(names.into_iter().chain(auto));
            command = command.mut_arg(key.name, |arg| arg.value_parser(parser));
        }
    }
    command
}

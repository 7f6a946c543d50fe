//! What clap's errors mean to people, and other mistakes on the command line.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::public::public;
use crate::config::{nearest, suggest};
use crate::error::Failure;

/// Refuses an option that a command would not look at.
pub fn means_nothing(name: &str) -> Failure {
    Failure::user(format!("`--{name}` means nothing to this command")).hint("leave it out")
}

/// Refuses an option that is there twice.
pub fn given_twice(name: &str) -> Failure {
    Failure::user(format!("`--{name}` is given twice")).hint("leave one of them out")
}

/// A clap error in our words.
pub fn explain(error: &clap::Error) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let name = argument
        .trim_start_matches('-')
        .split(['=', ' ', '['])
        .next()
        .unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with("--") => unknown_option(name),
        ErrorKind::UnknownArgument => Failure::user(format!("unknown argument `{argument}`"))
            .hint("`run_harness --help` lists all commands and options"),
        ErrorKind::InvalidSubcommand => unknown_command(&context(ContextKind::InvalidSubcommand)),
        ErrorKind::ArgumentConflict => given_twice(name),
        ErrorKind::InvalidValue => {
            let typed = context(ContextKind::InvalidValue);
            let failure = Failure::user(format!("{argument} is `{typed}`"));
            match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(names)) => {
                    failure.hint(format!("expected one of {}", names.join(", ")))
                }
                _ => failure.hint("`run_harness --help` lists all commands and options"),
            }
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Failure::user(first.trim_start_matches("error: "))
                .hint("`run_harness --help` lists all commands and options")
        }
    }
}

fn unknown_option(name: &str) -> Failure {
    let public = public();
    let commands = public
        .get_subcommands()
        .flat_map(clap::Command::get_arguments);
    let all = public.get_arguments().chain(commands);
    let names: Vec<&str> = all.filter_map(clap::Arg::get_long).collect();
    let failure = Failure::user(format!("unknown option `--{name}`"));
    match suggest(name).or_else(|| nearest(names, name)) {
        Some(near) => failure.hint(format!("did you mean `--{near}`?")),
        None => failure.hint("`run_harness --help` lists all options"),
    }
}

/// Refuses a command that there is not.
pub fn unknown_command(typed: &str) -> Failure {
    let public = public();
    let commands = public
        .get_subcommands()
        .map(|command| command.get_name().replace('-', "_"));
    let commands: Vec<String> = commands.collect();
    let failure = Failure::user(format!("unknown command `{typed}`"));
    match nearest(commands.iter().map(String::as_str), typed) {
        Some(near) => failure.hint(format!("did you mean `{}`?", near.replace('_', "-"))),
        None => failure.hint("`run_harness --help` lists all commands; without one, tests are run"),
    }
}

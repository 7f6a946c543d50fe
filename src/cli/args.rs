//! Flags made from the key table, so that files, environment and command line can never disagree.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, ValueHint, value_parser};

use crate::config::{Flag, Group, KEYS, Key, Kind};
use crate::report::CommandLine;

/// Every configuration key as an optional flag, and where further layers are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigArgs {
    /// Flags as typed.
    pub flags: Vec<Flag>,
    /// Further files.
    pub files: Vec<PathBuf>,
    /// Folder of the layers.
    pub config_dir: Option<PathBuf>,
}

impl ConfigArgs {
    /// The name of a flag that was given, if any was.
    pub fn any(&self) -> Option<&'static str> {
        let flag = self.flags.first().map(|(key, _)| key.name);
        let folder = self.config_dir.as_ref().map(|_| "config_dir");
        flag.or(folder).or(self.files.first().map(|_| "config"))
    }

    /// The command that these flags were typed for, without the name of a command of the program's.
    pub fn command_line(&self) -> CommandLine {
        let folder = self.config_dir.iter().map(|dir| ("config_dir", dir));
        let files = self.files.iter().map(|file| ("config", file));
        let paths = folder
            .chain(files)
            .map(|(name, path)| format!("--{name}={}", path.display()));
        let flags = self
            .flags
            .iter()
            .map(|(key, text)| match (key.kind, text.as_str()) {
                (Kind::Bool, "true") => format!("--{}", key.name),
                _ => format!("--{}={text}", key.name),
            });
        let program = std::env::args().next();
        CommandLine::new(
            program.unwrap_or_else(|| "run_harness".to_owned()),
            paths.chain(flags).collect(),
        )
    }
}

impl Args for ConfigArgs {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for group in Group::ALL {
            let keys = KEYS.iter().filter(|key| key.group == *group);
            command = command.args(keys.map(flag));
            if *group == Group::Paths {
                command = command.args(layers().map(|arg| arg.help_heading(group.heading())));
            }
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |key: &'static Key| {
            matches
                .get_one::<String>(key.name)
                .map(|text| (key, text.clone()))
        };
        Ok(Self {
            flags: KEYS.iter().filter_map(typed).collect(),
            files: matches
                .get_many("config")
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            config_dir: matches.get_one("config_dir").cloned(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(key: &'static Key) -> Arg {
    let arg = Arg::new(key.name)
        .long(key.name)
        .help(help(key))
        .long_help(long_help(key))
        .help_heading(key.group.heading())
        .hide(key.hidden)
        .value_name(value_name(key));
    match key.kind {
        // `--fast` means `--fast=true`; without the equals sign the next argument is another one.
        Kind::Bool => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Kind::Path => arg.value_hint(ValueHint::AnyPath),
        // So that `--x -5` is refused for its value, not for an unknown option `-5`.
        _ => arg.allow_negative_numbers(true),
    }
}

fn layers() -> impl Iterator<Item = Arg> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .action(ArgAction::Append)
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help("File with further settings, instead of configs/user.toml; may be repeated");
    let folder = Arg::new("config_dir")
        .long("config_dir")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::DirPath)
        .help("Folder to read the layers from, instead of the repository's configs");
    [file, folder].into_iter()
}

fn value_name(key: &Key) -> &'static str {
    match (key.kind, key.unit) {
        (Kind::Bool, _) => "BOOL",
        (_, "milliseconds") => "MS",
        (_, "nanoseconds") => "NS",
        (Kind::Integer { .. } | Kind::Float { .. }, _) => "N",
        (Kind::Seed, _) => "SEED",
        (Kind::Choice(_) | Kind::Name, _) => "NAME",
        (Kind::List, _) => "LIST",
        (Kind::Text, _) => "TEXT",
        (Kind::Path, _) => "PATH",
    }
}

/// Its sentence, and what holds when no layer says anything else.
fn help(key: &Key) -> String {
    match (key.auto, key.default) {
        (Some(auto), "auto") => format!("{} [auto: {auto}]", key.doc),
        (_, "") | (_, "false") => key.doc.to_owned(),
        (_, default) => format!("{} [base: {default}]", key.doc),
    }
}

/// The same with everything that there is to say.
fn long_help(key: &Key) -> String {
    let unit = match key.unit {
        "" => String::new(),
        unit => format!("[unit: {unit}] "),
    };
    format!(
        "{}\n\n{unit}[default: {}] [example: {}]",
        key.doc,
        key.default_text(),
        key.example_flag()
    )
}

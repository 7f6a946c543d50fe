//! The command that somebody typed, to be typed again with something changed.

use serde::{Deserialize, Serialize};

/// A command: the program and its options, one word each (`--name=value`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    program: String,
    options: Vec<String>,
}

/// Another run must not write into the folder of this one; without the option it makes its own.
const NOT_AGAIN: &[&str] = &["log_dir"];

impl Default for CommandLine {
    fn default() -> Self {
        Self::new("run_harness", Vec::new())
    }
}

impl CommandLine {
    /// A command as it was typed.
    pub fn new(program: impl Into<String>, options: Vec<String>) -> Self {
        Self {
            program: program.into(),
            options,
        }
    }

    /// The command with these options in place of what they were, ready to be pasted into a shell.
    pub fn with(&self, changes: &[(&str, &str)]) -> String {
        self.text("", changes)
    }

    /// The same for one of the program's commands: `tune-server`.
    pub fn command(&self, command: &str, changes: &[(&str, &str)]) -> String {
        self.text(command, changes)
    }

    fn text(&self, command: &str, changes: &[(&str, &str)]) -> String {
        let stays = |option: &&String| {
            let name = name_of(option);
            !NOT_AGAIN.contains(&name) && !changes.iter().any(|(changed, _)| *changed == name)
        };
        let command = Some(command).filter(|command| !command.is_empty());
        let changes = changes
            .iter()
            .map(|(name, value)| format!("--{name}={value}"));
        let words: Vec<String> = std::iter::once(quoted(&self.program))
            .chain(command.map(str::to_owned))
            .chain(self.options.iter().filter(stays).map(|word| quoted(word)))
            .chain(changes.map(|word| quoted(&word)))
            .collect();
        words.join(" ")
    }
}

fn name_of(option: &str) -> &str {
    let name = option.trim_start_matches('-');
    name.split_once('=').map_or(name, |(name, _)| name)
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./=,:@%+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_but_for_what_changes() {
        let typed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let command = CommandLine::new(
            "./target/release/run_harness",
            typed(&[
                "--scenarios=offline,server",
                "--fast",
                "--log_dir=here",
                "--system_name=it's",
            ]),
        );
        assert_eq!(
            command.with(&[("scenarios", "server"), ("server_target_qps", "3.5")]),
            r"./target/release/run_harness --fast '--system_name=it'\''s' --scenarios=server --server_target_qps=3.5"
        );
        assert_eq!(
            CommandLine::default().command("tune-server", &[]),
            "run_harness tune-server"
        );
    }
}

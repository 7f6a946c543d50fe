//! docs/commands.md, as far as it is generated: every command and option, and what became of those of the original.

use std::fmt::Write;

use super::original::{OPTIONS, OTHERS, Original, TARGETS, VARIABLES};
use super::public::public;
use super::refused::{LEAVE_OUT, refusal};
use super::translated::translation;
use crate::config::{Group, KEYS, Key, find_key};

/// The generated part of docs/commands.md.
pub fn reference() -> String {
    let mut text = commands();
    text.push_str(&options());
    text.push_str(&original());
    text
}

fn commands() -> String {
    let program = public();
    let mut text = "\n## Commands\n".to_owned();
    command(&mut text, "run_harness", &program);
    for one in program.get_subcommands() {
        command(&mut text, &format!("run_harness {}", one.get_name()), one);
    }
    text
}

/// A command: what it does, the options that it alone has, and what clap prints behind its help.
fn command(text: &mut String, name: &str, command: &clap::Command) {
    let about = command.get_about().map(ToString::to_string);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n### {name}\n\n{}.",
        about.unwrap_or_default().trim_end_matches('.')
    );
    let is_key = |arg: &clap::Arg| find_key(arg.get_id().as_str()).is_some();
    let is_layer = |arg: &clap::Arg| LAYERS.contains(&arg.get_id().as_str());
    let takes_settings = command.get_arguments().any(is_key);
    let own = command
        .get_arguments()
        .filter(|arg| !is_key(arg) && !is_layer(arg) && arg.get_id() != "json");
    let rows: Vec<String> = own.map(row_of_arg).collect();
    if !rows.is_empty() {
        let _ = writeln!(text, "\n| option | |\n|---|---|\n{}", rows.join("\n"));
    }
    if takes_settings {
        let _ = writeln!(text, "\nTakes every option of [Options](#options).");
    }
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let (before, examples) = after.split_once("Examples:\n").unwrap_or(("", &after));
        let (examples, behind) = examples.split_once("\n\n").unwrap_or((examples, ""));
        for paragraph in [before, behind]
            .map(str::trim)
            .iter()
            .filter(|part| !part.is_empty())
        {
            let _ = writeln!(text, "\n{paragraph}");
        }
        let lines: Vec<&str> = examples.lines().map(str::trim).collect();
        let _ = writeln!(text, "\n```\n{}\n```", lines.join("\n"));
    }
}

/// Options that name further layers.
const LAYERS: &[&str] = &["config", "config_dir"];

fn row_of_arg(arg: &clap::Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let value = values.first().filter(|_| arg.get_action().takes_values());
    let name = match (arg.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long}={value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.map(ToString::to_string).unwrap_or_default(),
    };
    let help = arg.get_help().map(ToString::to_string);
    format!("| `{name}` | {} |", help.unwrap_or_default())
}

fn options() -> String {
    let mut text = "\n## Options\n\n\
        Each is a flag (`--min_duration=120000`), a key in TOML files (`min_duration = 120000`) and an environment\n\
        variable (`GPTJ_MIN_DURATION=120000`). The default holds where no layer says anything else; files of `configs/`\n\
        do for many. `--json` prints JSON on stdout, with every command but `completions` and `man`.\n"
        .to_owned();
    let program = public();
    for group in Group::ALL {
        let _ = writeln!(text, "\n### {}\n", group.heading());
        let _ = writeln!(
            text,
            "| option | values | default | meaning | example |\n|---|---|---|---|---|"
        );
        for key in KEYS.iter().filter(|key| key.group == *group && !key.hidden) {
            let _ = writeln!(text, "{}", row_of_key(key));
        }
        let layers = program.get_arguments().filter(|arg| {
            LAYERS.contains(&arg.get_id().as_str())
                && arg.get_help_heading() == Some(group.heading())
        });
        for arg in layers {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let name = arg.get_id().as_str();
            let example = if name == "config" {
                "mine.toml"
            } else {
                "my-configs"
            };
            let _ = writeln!(
                text,
                "| `{name}` | a path; a flag alone | none | {help} | `--{name}={example}` |"
            );
        }
    }
    text
}

fn row_of_key(key: &Key) -> String {
    format!(
        "| `{}` | {} | {} | {} | `{}` |",
        key.name,
        key.expected(),
        key.default_text(),
        key.doc,
        key.example_flag()
    )
}

fn original() -> String {
    let mut text = "\n## Options of NVIDIA's v3.1 front end\n\n\
        Every option that its `RUN_ARGS` took. \"The same\" is an option of this program with that name and meaning. What\n\
        cannot apply is refused with the reason, never passed over; values that say what this program does anyway are\n\
        accepted.\n\n\
        | option | meaning there | here |\n|---|---|---|\n"
        .to_owned();
    for option in OPTIONS {
        let _ = writeln!(
            text,
            "| `--{}` | {} | {} |",
            option.name,
            option.meaning,
            here(option)
        );
    }
    text.push_str(
        "\nOptions that GPT-J did not have there:\n\n| options | of | here |\n|---|---|---|\n",
    );
    for (of, names) in OTHERS {
        let listed: Vec<String> = names.iter().map(|name| format!("`--{name}`")).collect();
        let mut reasons: Vec<&str> = names
            .iter()
            .filter_map(|name| refusal(name))
            .map(|refused| refused.reason)
            .collect();
        reasons.dedup();
        let _ = writeln!(
            text,
            "| {} | {of} | refused: {} |",
            listed.join(", "),
            reasons.join("; ")
        );
    }
    for (heading, rows) in [
        ("Makefile targets", TARGETS),
        ("Makefile variables", VARIABLES),
    ] {
        let _ = writeln!(text, "\n### {heading}\n\n| there | here |\n|---|---|");
        for (names, here) in rows {
            let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(text, "| {} | {here} |", listed.join(", "));
        }
    }
    text
}

fn here(option: &Original) -> String {
    if find_key(option.name).is_some() {
        return match option.here {
            "" => "the same".to_owned(),
            different => format!("the same; {different}"),
        };
    }
    if let Some(known) = translation(option.name) {
        return format!("understood as `--{}={}`", known.option, known.value);
    }
    let Some(refused) = refusal(option.name) else {
        return String::new();
    };
    let mut text = format!("refused: {}", refused.reason);
    if !refused.harmless.is_empty() {
        let values: Vec<String> = refused
            .harmless
            .iter()
            .map(|value| format!("`{value}`"))
            .collect();
        let _ = write!(text, "; {} accepted", values.join(" and "));
    }
    if refused.instead != LEAVE_OUT {
        let _ = write!(text, ". {}", first_letter_large(refused.instead));
    }
    text
}

fn first_letter_large(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::super::original::names;
    use super::*;

    #[test]
    fn every_option_of_the_original_has_a_place_here() {
        for option in OPTIONS {
            assert!(!here(option).is_empty(), "--{}", option.name);
            let refused = refusal(option.name).is_some();
            assert!(!refused || option.here.is_empty(), "--{}", option.name);
        }
        let names = names();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "some option is listed twice");
    }

    #[test]
    fn everything_that_is_refused_is_an_option_of_the_original() {
        let names = names();
        for name in super::super::refused::REFUSED
            .iter()
            .flat_map(|refused| refused.names)
        {
            assert!(names.contains(name), "--{name}");
        }
    }
}

//! One configuration file: TOML keys checked against the key table, with the line of each.
//!
//! A table is a section that holds under a condition, its name: a scenario (`[server]`), a workload
//! (`[cnn_dailymail]`), an engine (`[cuda]`, or `[gpu]` for every engine on a GPU), `[high_accuracy]`. Sections nest:
//! `[cnn_dailymail.server]`. `[about]` describes the file itself.

use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::key::{Key, Kind, Value, nearest};
use super::keys;
use crate::error::Failure;

/// Keys that choose the other layers, and so can only be set outside of them: in a user file, the environment or a flag.
pub const CHOOSING: &[&str] = &[
    "benchmarks",
    "scenarios",
    "config_ver",
    "accuracy_target",
    "round",
    "workload",
    "system_profile",
    "model_path",
    "dataset_path",
];

/// Conditions that do not depend on which files there are.
pub const CONDITIONS: &[&str] = &[
    "offline",
    "server",
    "single_stream",
    "high_accuracy",
    "cpu",
    "gpu",
    "cuda",
    "tensorrt",
    "fake",
    "static",
    "inflight",
];

/// What a file says about itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// One sentence.
    pub description: String,
    /// Workloads and rounds: why results with it cannot be submitted; empty: they can.
    pub not_for_submission: String,
    /// Systems: its name in results.
    pub system_name: String,
    /// Systems: shell pattern of the CPU's model name.
    pub cpu: Option<String>,
    /// Systems: shell pattern of the GPUs' name.
    pub gpu: Option<String>,
    /// Systems: the GPUs' compute capability, `9.0`.
    pub compute_capability: Option<String>,
    /// Systems: the memory of each GPU, in GiB as the driver tells it.
    pub gpu_memory_gib: Option<f64>,
    /// Systems: least number of GPUs.
    pub min_gpus: Option<usize>,
    /// Systems: greatest number of GPUs.
    pub max_gpus: Option<usize>,
}

/// A value in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: &'static Key,
    /// Its value.
    pub value: Value,
    /// Its line, from 1.
    pub line: usize,
}

/// What holds under one condition, and what holds under further ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// Values.
    pub entries: Vec<Entry>,
    /// Sections within, by condition.
    pub sections: Vec<(String, Section)>,
}

/// A file, read and checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerFile {
    /// The file, as it is shown.
    pub path: String,
    /// What it says about itself.
    pub about: About,
    /// Its values.
    pub root: Section,
    /// Whether it is the user's own file, not one of the repository's.
    pub user: bool,
}

/// What a file may contain.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Names of workloads, which are conditions too.
    pub workloads: &'a [String],
    /// A file of the user's own: keys that choose other layers are allowed in it, outside of sections.
    pub may_choose: bool,
}

/// Reads a file's text. `path` is only for messages.
pub fn parse(path: &str, text: &str, rules: Rules<'_>) -> Result<LayerFile, Failure> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        Failure::user(format!("{path}:{line}: {}", error.message()))
    })?;
    let reader = Reader { path, text, rules };
    let mut file = LayerFile {
        path: path.to_owned(),
        user: rules.may_choose,
        ..LayerFile::default()
    };
    for (name, value) in table.get_ref() {
        if name.get_ref() == "about" {
            file.about = reader.about(text, value.span().start)?;
        }
    }
    file.root = reader.section(table.get_ref(), "")?;
    Ok(file)
}

/// Reads a file from disk.
pub fn read(path: &Path, shown: &str, rules: Rules<'_>) -> Result<LayerFile, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::user(format!(
            "cannot read the configuration file `{}`",
            path.display()
        ))
        .because(error)
    })?;
    parse(shown, &text, rules)
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    rules: Rules<'a>,
}

impl Reader<'_> {
    fn about(&self, text: &str, start: usize) -> Result<About, Failure> {
        #[derive(Deserialize)]
        struct Document {
            about: About,
        }
        toml::from_str::<Document>(text)
            .map(|document| document.about)
            .map_err(|error| {
                let line = line_of(text, error.span().map_or(start, |span| span.start));
                Failure::user(format!(
                    "{}:{line}: [about]: {}",
                    self.path,
                    error.message()
                ))
            })
    }

    fn section(&self, table: &DeTable<'_>, within: &str) -> Result<Section, Failure> {
        let mut section = Section::default();
        for (name, value) in table {
            let line = line_of(self.text, name.span().start);
            let name: &str = name.get_ref();
            match value.get_ref() {
                DeValue::Table(_) if within.is_empty() && name == "about" => {}
                DeValue::Table(inner) => {
                    self.check_condition(name, line)?;
                    let path = if within.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{within}.{name}")
                    };
                    section
                        .sections
                        .push((name.to_owned(), self.section(inner, &path)?));
                }
                value => section.entries.push(self.entry(name, value, line, within)?),
            }
        }
        Ok(section)
    }

    fn check_condition(&self, name: &str, line: usize) -> Result<(), Failure> {
        let known = || {
            CONDITIONS
                .iter()
                .copied()
                .chain(self.rules.workloads.iter().map(String::as_str))
        };
        if known().any(|condition| condition == name) {
            return Ok(());
        }
        let failure = Failure::user(format!("{}:{line}: unknown section `[{name}]`", self.path));
        Err(match nearest(known(), name) {
            Some(near) => failure.hint(format!("did you mean `[{near}]`?")),
            None => failure.hint(format!(
                "sections are {}",
                known().collect::<Vec<_>>().join(", ")
            )),
        })
    }

    fn entry(
        &self,
        name: &str,
        value: &DeValue<'_>,
        line: usize,
        within: &str,
    ) -> Result<Entry, Failure> {
        let Some(key) = keys::find(name) else {
            let failure = Failure::user(format!("{}:{line}: unknown key `{name}`", self.path));
            return Err(match keys::suggest(name) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("`run_harness show-config` lists every key"),
            });
        };
        if CHOOSING.contains(&name) && !(self.rules.may_choose && within.is_empty()) {
            return Err(Failure::user(format!(
                "{}:{line}: `{name}` chooses which files are read, so it cannot be set here",
                self.path
            ))
            .hint(format!(
                "set it in configs/user.toml outside of sections, in ${}, or with --{name}",
                key.env()
            )));
        }
        let value = from_toml(key, value).map_err(|found| {
            Failure::user(format!("{}:{line}: `{name}` is {found}", self.path))
                .hint(format!("expected {}", key.expected()))
        })?;
        Ok(Entry { key, value, line })
    }
}

/// The error is what was found instead.
fn from_toml(key: &Key, value: &DeValue<'_>) -> Result<Value, String> {
    let text = match (key.kind, value) {
        (Kind::Bool, DeValue::Boolean(value)) => return Ok(Value::Bool(*value)),
        (Kind::Integer { .. } | Kind::Seed | Kind::Float { .. }, DeValue::Integer(integer)) => {
            let digits = integer.as_str().replace('_', "");
            match u64::from_str_radix(digits.trim_start_matches('+'), integer.radix()) {
                Ok(value) => value.to_string(),
                Err(_) => digits,
            }
        }
        (Kind::Float { .. } | Kind::Choice(_), DeValue::Float(float)) => {
            float.as_str().replace('_', "")
        }
        (Kind::List, DeValue::Array(items)) => {
            let names: Option<Vec<&str>> =
                items.iter().map(|item| item.get_ref().as_str()).collect();
            names
                .ok_or("an array with something other than strings")?
                .join(",")
        }
        (
            Kind::Choice(_) | Kind::List | Kind::Name | Kind::Text | Kind::Path | Kind::Seed,
            DeValue::String(text),
        ) => text.to_string(),
        (_, DeValue::String(text)) if key.auto.is_some() && text == Value::AUTO => text.to_string(),
        (_, DeValue::String(text)) => return Err(format!("the text \"{text}\"")),
        (_, other) => return Err(format!("of type {}", other.type_str())),
    };
    key.parse(&text).map_err(|_| format!("`{text}`"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules<'_> = Rules {
        workloads: &[],
        may_choose: false,
    };

    fn error(text: &str) -> (String, String) {
        let failure = parse("a.toml", text, RULES).unwrap_err();
        (failure.message, failure.hint.unwrap_or_default())
    }

    #[test]
    fn reads_values_sections_and_lines() {
        let text = "min_duration = 600_000\n\n[server]\nserver_target_qps = 4\n\n[server.high_accuracy]\nengine = \"CPU\"\n";
        let file = parse("a.toml", text, RULES).unwrap();
        assert_eq!(file.root.entries[0].value, Value::Integer(600_000));
        let (name, server) = &file.root.sections[0];
        assert_eq!((name.as_str(), server.entries[0].line), ("server", 4));
        assert_eq!(server.entries[0].value, Value::Float(4.0));
        assert_eq!(
            server.sections[0].1.entries[0].value,
            Value::Text("cpu".to_owned())
        );
    }

    #[test]
    fn names_the_nearest_key_and_the_line() {
        let (message, hint) = error("\nmin_duratoin = 5\n");
        assert_eq!(message, "a.toml:2: unknown key `min_duratoin`");
        assert_eq!(hint, "did you mean `min_duration`?");
        assert_eq!(error("[sever]\n").1, "did you mean `[server]`?");
    }

    #[test]
    fn refuses_wrong_types_and_ranges() {
        assert_eq!(
            error("min_duration = \"long\"").0,
            "a.toml:1: `min_duration` is the text \"long\""
        );
        assert_eq!(
            error("min_duration = -1").0,
            "a.toml:1: `min_duration` is `-1`"
        );
        assert_eq!(error("fast = 1").0, "a.toml:1: `fast` is of type integer");
        assert_eq!(
            error("server_target_qps = 0.0").0,
            "a.toml:1: `server_target_qps` is `0.0`"
        );
        assert_eq!(
            error("devices = [1]").0,
            "a.toml:1: `devices` is an array with something other than strings"
        );
    }

    #[test]
    fn refuses_duplicates_and_broken_toml_with_the_line() {
        assert!(
            error("threads = 1\nthreads = 2\n")
                .0
                .starts_with("a.toml:2: duplicate key")
        );
        assert!(error("threads =\n").0.starts_with("a.toml:1: "));
    }

    #[test]
    fn seeds_may_exceed_a_signed_integer() {
        let file = parse("a.toml", "qsl_rng_seed = \"18446744073709551615\"", RULES).unwrap();
        assert_eq!(file.root.entries[0].value, Value::Integer(u64::MAX));
    }

    #[test]
    fn keys_that_choose_layers_stay_outside_of_layers() {
        assert!(
            error("round = \"v5.0\"")
                .0
                .contains("chooses which files are read")
        );
        let rules = Rules {
            workloads: &[],
            may_choose: true,
        };
        assert!(parse("user.toml", "round = \"v5.0\"", rules).is_ok());
        assert!(parse("user.toml", "[server]\nround = \"v5.0\"", rules).is_err());
    }
}

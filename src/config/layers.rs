//! Layers put on top of each other: every key's value, where it came from, and what it replaced.

use std::collections::BTreeMap;

use serde::Serialize;

use super::file::{LayerFile, Section};
use super::key::{Key, Value, nearest};
use super::keys::{self, KEYS};
use super::origin::Origin;
use crate::error::Failure;

/// What starts every environment variable of ours.
const PREFIX: &str = "GPTJ_";

/// A flag as typed: its key and its value.
pub type Flag = (&'static Key, String);

/// One key's value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The value that holds.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
    /// What it replaced, last first, down to the default.
    pub replaced: Vec<(Value, Origin)>,
}

/// Every key's value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings(BTreeMap<&'static str, Setting>);

impl Settings {
    /// The defaults of the key table.
    pub fn defaults() -> Result<Self, Failure> {
        let mut settings = BTreeMap::new();
        for key in KEYS {
            let value = key.parse(key.default).map_err(|expected| {
                Failure::harness(format!("default of `{}`: expected {expected}", key.name))
            })?;
            let setting = Setting {
                value,
                origin: Origin::Default,
                replaced: Vec::new(),
            };
            settings.insert(key.name, setting);
        }
        Ok(Self(settings))
    }

    /// One key's value. Every key of the table is always there.
    pub fn get(&self, name: &str) -> Result<&Setting, Failure> {
        self.0
            .get(name)
            .ok_or_else(|| Failure::harness(format!("there is no key `{name}`")))
    }

    /// Puts a value on top.
    pub fn set(&mut self, key: &'static Key, value: Value, origin: Origin) {
        let default = || Setting {
            value: value.clone(),
            origin: Origin::Default,
            replaced: Vec::new(),
        };
        let setting = self.0.entry(key.name).or_insert_with(default);
        let before = std::mem::replace(&mut setting.value, value);
        let from = std::mem::replace(&mut setting.origin, origin);
        setting.replaced.insert(0, (before, from));
    }

    /// Replaces a value by one worked out from others.
    pub fn derive(
        &mut self,
        name: &str,
        value: Value,
        why: impl Into<String>,
    ) -> Result<(), Failure> {
        let key = keys::find(name)
            .ok_or_else(|| Failure::harness(format!("there is no key `{name}`")))?;
        self.set(key, value, Origin::Derived(why.into()));
        Ok(())
    }

    /// Puts a file on top: first what holds always, then the sections whose condition holds, then those with two
    /// conditions that hold, and so on: what is more specific wins. Among sections of one depth the order is that of
    /// `conditions`.
    pub fn apply_file(&mut self, file: &LayerFile, conditions: &[&str]) {
        let mut level = vec![(&file.root, String::new())];
        while !level.is_empty() {
            for (section, path) in &level {
                self.apply_entries(file, section, path);
            }
            let mut deeper = Vec::new();
            for condition in conditions {
                for (section, path) in &level {
                    let inner = section.sections.iter().find(|(name, _)| name == condition);
                    let below = |name: &str| match path.is_empty() {
                        true => name.to_owned(),
                        false => format!("{path}.{name}"),
                    };
                    deeper.extend(inner.map(|(name, inner)| (inner, below(name))));
                }
            }
            level = deeper;
        }
    }

    fn apply_entries(&mut self, file: &LayerFile, section: &Section, path: &str) {
        for entry in &section.entries {
            let origin = Origin::File {
                path: file.path.clone(),
                line: entry.line,
                section: path.to_owned(),
                user: file.user,
            };
            self.set(entry.key, entry.value.clone(), origin);
        }
    }

    /// Puts the environment on top.
    pub fn apply_env(&mut self, env: &[(String, String)]) -> Result<(), Failure> {
        for key in KEYS {
            let name = key.env();
            if let Some((_, text)) = env.iter().find(|(variable, _)| *variable == name) {
                let value = key.parse(text).map_err(|expected| {
                    Failure::user(format!("the environment variable {name} is `{text}`"))
                        .hint(format!("expected {expected}"))
                })?;
                self.set(key, value, Origin::Env(name));
            }
        }
        Ok(())
    }

    /// Puts flags on top.
    pub fn apply_flags(&mut self, flags: &[Flag]) -> Result<(), Failure> {
        for (key, text) in flags {
            let value = key.parse(text).map_err(|expected| {
                Failure::user(format!("--{} is `{text}`", key.name))
                    .hint(format!("expected {expected}"))
            })?;
            self.set(key, value, Origin::Flag(key.name.to_owned()));
        }
        Ok(())
    }

    /// Names and settings, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.0.iter().map(|(name, setting)| (*name, setting))
    }

    /// Whether somebody set this by a flag or in the environment.
    pub fn is_typed(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|setting| setting.origin.is_typed())
    }

    /// A text; also paths, lists and names.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        match &self.get(name)?.value {
            Value::Text(text) => Ok(text),
            other => Err(mismatch(name, other)),
        }
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Result<u64, Failure> {
        match self.get(name)?.value {
            Value::Integer(value) => Ok(value),
            ref other => Err(mismatch(name, other)),
        }
    }

    /// A whole number whose range in the key table fits 32 bits.
    pub fn small(&self, name: &str) -> Result<u32, Failure> {
        let value = self.integer(name)?;
        u32::try_from(value).map_err(|_| mismatch(name, &Value::Integer(value)))
    }

    /// A number.
    pub fn float(&self, name: &str) -> Result<f64, Failure> {
        match self.get(name)?.value {
            Value::Float(value) => Ok(value),
            ref other => Err(mismatch(name, other)),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name)?.value {
            Value::Bool(value) => Ok(value),
            ref other => Err(mismatch(name, other)),
        }
    }

    /// Whether a value is still to be derived or measured.
    pub fn is_auto(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.get(name)?.value.is_auto())
    }
}

/// The key table lets no such value in, so this is a mistake in the program.
fn mismatch(name: &str, value: &Value) -> Failure {
    Failure::harness(format!(
        "`{name}` has the value `{value}`, which is of another type"
    ))
}

/// Environment variables that begin like ours, are not keys and look like one.
pub fn check_env_names(env: &[(String, String)]) -> Result<(), Failure> {
    for (name, _) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let rest = rest.to_lowercase();
        if keys::find(&rest).is_some() || OTHER_ENV.contains(&name.as_str()) {
            continue;
        }
        let names = KEYS.iter().map(|key| key.name);
        if let Some(near) =
            nearest(names, &rest).filter(|near| strsim::levenshtein(near, &rest) <= 3)
        {
            let near = near.to_uppercase();
            return Err(
                Failure::user(format!("unknown environment variable {name}"))
                    .hint(format!("did you mean {PREFIX}{near}?")),
            );
        }
    }
    Ok(())
}

/// Our environment variables that are not keys.
const OTHER_ENV: &[&str] = &[
    "GPTJ_CONFIG",
    "GPTJ_CONFIG_DIR",
    "GPTJ_WITH_CUDA",
    "GPTJ_WITH_TENSORRT",
    "GPTJ_SANITIZE",
    "GPTJ_REQUIRE_GPU",
    "GPTJ_REQUIRE_BROWSER",
    "GPTJ_MINI_DIR",
];

#[cfg(test)]
mod tests {
    use super::super::file::{Rules, parse};
    use super::*;

    #[test]
    fn more_conditions_win_over_fewer_and_later_ones_over_earlier_ones() {
        let text = "threads = 1\n[server.gpu]\nthreads = 4\n[gpu]\nthreads = 2\n[server]\nthreads = 3\n\
                    [server.gpu.cuda]\nkv_block_size = 8\n";
        let file = parse(
            "a.toml",
            text,
            Rules {
                workloads: &[],
                may_choose: false,
            },
        )
        .unwrap();
        let settled = |conditions: &[&str]| {
            let mut settings = Settings::defaults().unwrap();
            settings.apply_file(&file, conditions);
            (
                settings.small("threads").unwrap(),
                settings.small("kv_block_size").unwrap(),
            )
        };
        assert_eq!(settled(&[]), (1, 16));
        assert_eq!(settled(&["gpu"]), (2, 16));
        assert_eq!(settled(&["server"]), (3, 16));
        assert_eq!(settled(&["gpu", "offline"]), (2, 16));
        assert_eq!(settled(&["gpu", "server"]), (4, 16));
        assert_eq!(settled(&["gpu", "cuda", "server"]), (4, 8));
    }

    #[test]
    fn only_what_looks_like_a_key_is_a_mistyped_one() {
        let env = |name: &str| vec![(name.to_owned(), "1".to_owned())];
        assert!(check_env_names(&env("GPTJ_TREADS")).is_err());
        for name in [
            "GPTJ_THREADS",
            "GPTJ_CONFIG",
            "GPTJ_SOMETHING_ELSE",
            "THREDS",
        ] {
            assert!(check_env_names(&env(name)).is_ok(), "{name}");
        }
    }
}

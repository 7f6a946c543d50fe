//! One configuration key: its name, type, range and meaning, and how text or TOML becomes a value of it.

use std::fmt;

use serde::Serialize;

/// What a key is set to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(u64),
    /// A number.
    Float(f64),
    /// Text, a path or one of the key's names.
    Text(String),
}

impl Value {
    /// The word that asks for a derived or measured value.
    pub const AUTO: &'static str = "auto";

    /// Whether this asks for a derived or measured value.
    pub fn is_auto(&self) -> bool {
        matches!(self, Self::Text(text) if text == Self::AUTO)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(text) => f.pad(text),
        }
    }
}

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`; as a flag the value may be left out.
    Bool,
    /// A whole number in a closed range.
    Integer {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A 64-bit seed. In TOML it may be quoted, since TOML's own integers are signed.
    Seed,
    /// A number in `(above, max]`.
    Float {
        /// The value must be larger than this.
        above: f64,
        /// Largest value.
        max: f64,
    },
    /// One of some names; case, `-` and `_` do not matter.
    Choice(&'static [&'static str]),
    /// A comma-separated list; in TOML also an array of strings.
    List,
    /// Text that becomes part of a file name: letters, digits, `.`, `_`, `-`.
    Name,
    /// Any text.
    Text,
    /// A path.
    Path,
}

/// Where a key appears in help and in `show-config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Group {
    /// What is run.
    Run,
    /// Model, data and logs.
    Paths,
    /// What computes.
    Engine,
    /// How requests are batched.
    Scheduler,
    /// How text is generated.
    Generation,
    /// LoadGen: how long, how many, which samples.
    Loadgen,
    /// LoadGen: one scenario's own settings.
    Scenario,
    /// LoadGen's logs.
    Logs,
    /// What is shown.
    Report,
}

impl Group {
    /// All of them, in the order in which they are shown.
    pub const ALL: &[Self] = &[
        Self::Run,
        Self::Paths,
        Self::Engine,
        Self::Scheduler,
        Self::Generation,
        Self::Loadgen,
        Self::Scenario,
        Self::Logs,
        Self::Report,
    ];

    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Run => "What is run",
            Self::Paths => "Model, data and logs",
            Self::Engine => "Engine",
            Self::Scheduler => "Scheduler",
            Self::Generation => "Generation",
            Self::Loadgen => "LoadGen",
            Self::Scenario => "LoadGen, settings of one scenario",
            Self::Logs => "LoadGen's logs",
            Self::Report => "Output",
        }
    }
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// Its name in files, as `--<name>` and as `GPTJ_<NAME>`.
    pub name: &'static str,
    /// Where it is shown.
    pub group: Group,
    /// What values it takes.
    pub kind: Kind,
    /// Unit of a number, or empty.
    pub unit: &'static str,
    /// Value when no layer sets it, as it would be typed.
    pub default: &'static str,
    /// What `auto` means; keys without this do not take `auto`.
    pub auto: Option<&'static str>,
    /// A value, as it would be typed; empty for what is hidden.
    pub example: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Prefix of scenarios that it matters to: `offline`, `server`, `single_stream`, or empty for all.
    pub scenario: &'static str,
    /// Left out of help: for tests.
    pub hidden: bool,
}

impl Key {
    /// The environment variable that sets it.
    pub fn env(&self) -> String {
        format!("GPTJ_{}", self.name.to_uppercase())
    }

    /// What holds when no layer says anything else, for people.
    pub fn default_text(&self) -> String {
        match (self.default, self.auto) {
            ("auto", Some(meaning)) => format!("auto: {meaning}"),
            ("", _) => "empty".to_owned(),
            (default, _) => default.to_owned(),
        }
    }

    /// A flag as somebody might type it.
    pub fn example_flag(&self) -> String {
        match (self.kind, self.example) {
            (Kind::Bool, "true") => format!("--{}", self.name),
            (_, example) => format!("--{}={example}", self.name),
        }
    }

    /// Reads a value typed as a flag or in the environment. The error says what would have been right.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        if self.auto.is_some() && text.eq_ignore_ascii_case(Value::AUTO) {
            return Ok(Value::Text(Value::AUTO.to_owned()));
        }
        let wrong = || self.expected();
        match self.kind {
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(wrong()),
            },
            Kind::Integer { min, max } => match text.parse() {
                Ok(value) if (min..=max).contains(&value) => Ok(Value::Integer(value)),
                _ => Err(wrong()),
            },
            Kind::Seed => text.parse().map(Value::Integer).map_err(|_| wrong()),
            Kind::Float { above, max } => match text.parse::<f64>() {
                Ok(value) if value > above && value <= max => Ok(Value::Float(value)),
                _ => Err(wrong()),
            },
            Kind::Choice(names) => choose(names, text)
                .or_else(|| choose(names, other_spelling(text)?))
                .map(|name| Value::Text(name.to_owned()))
                .ok_or_else(|| match instead_of(text) {
                    Some(instead) => format!("{}; {instead}", wrong()),
                    None => wrong(),
                }),
            Kind::Name if !text.chars().all(is_name_char) || text.starts_with('.') => Err(wrong()),
            Kind::List | Kind::Path if text.trim().is_empty() => Err(wrong()),
            Kind::List | Kind::Name | Kind::Text | Kind::Path => Ok(Value::Text(text.to_owned())),
        }
    }

    /// What values it takes, to be put behind "expected".
    pub fn expected(&self) -> String {
        let unit = if self.unit.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.unit)
        };
        let values = match self.kind {
            Kind::Bool => "true or false".to_owned(),
            Kind::Integer { min, max } if max >= LARGEST => {
                format!("a whole number of at least {min}{unit}")
            }
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}{unit}"),
            Kind::Seed => "a whole number from 0 to 18446744073709551615".to_owned(),
            Kind::Float { above, max } if max == f64::MAX => {
                format!("a number greater than {above}{unit}")
            }
            Kind::Float { above, max } => {
                format!("a number greater than {above} and at most {max}{unit}")
            }
            Kind::Choice(names) => {
                format!("one of {}", offered(names).collect::<Vec<_>>().join(", "))
            }
            Kind::List => "a comma-separated list".to_owned(),
            Kind::Name => "letters, digits, `.`, `_` and `-`, not beginning with `.`".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Path => "a path".to_owned(),
        };
        if self.auto.is_some() {
            format!("{values}, or auto")
        } else {
            values
        }
    }
}

/// Bound of integers that have no bound of their own: what both TOML and LoadGen read without loss.
pub const LARGEST: u64 = i64::MAX as u64;

/// Names without those that only tests use: nobody who mistypes an engine means this one.
pub fn offered(names: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    names.iter().copied().filter(|name| *name != "fake")
}

/// Finds the name that `text` spells; case, `-` and `_` do not matter.
pub fn choose<'a>(names: &[&'a str], text: &str) -> Option<&'a str> {
    names
        .iter()
        .find(|name| squash(name) == squash(text))
        .copied()
}

/// What others call a name of ours: the v3.1 harness and PyTorch.
fn other_spelling(text: &str) -> Option<&'static str> {
    const OTHERS: &[(&str, &str)] = &[
        ("fp32", "f32"),
        ("float32", "f32"),
        ("float16", "fp16"),
        ("bfloat16", "bf16"),
    ];
    let (_, ours) = OTHERS
        .iter()
        .find(|(other, _)| squash(other) == squash(text))?;
    Some(ours)
}

/// What does the work of a value that is refused.
fn instead_of(text: &str) -> Option<&'static str> {
    const INSTEAD: &[(&str, &str)] = &[(
        "FindPeakPerformance",
        "`run_harness tune-server` searches for the highest rate in LoadGen's place",
    )];
    let found = INSTEAD
        .iter()
        .find(|(name, _)| squash(name) == squash(text));
    found.map(|(_, instead)| *instead)
}

fn squash(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '-' && *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The name nearest to a mistyped one, if one is near enough to be meant.
pub fn nearest<'a>(names: impl IntoIterator<Item = &'a str>, typed: &str) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&typed, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

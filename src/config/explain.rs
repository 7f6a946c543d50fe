//! What `show-config` prints: every key as TOML, on request with its unit, its origin and what it replaced, or all of it
//! as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::key::{Group, Key, Kind, Value};
use super::keys::{self, KEYS};
use super::layers::{Setting, Settings};
use super::resolve::{Plan, section_of};
use crate::error::Failure;

/// Where the remark behind a value begins, unless the value is longer.
const COLUMN: usize = 48;

/// The plans as text. Each is valid TOML by itself; origins are remarks behind the values.
pub fn explain(plans: &[Plan], with_origins: bool) -> Result<String, Failure> {
    let blocks: Result<Vec<String>, Failure> =
        plans.iter().map(|plan| one(plan, with_origins)).collect();
    Ok(blocks?.join("\n"))
}

fn one(plan: &Plan, with_origins: bool) -> Result<String, Failure> {
    let run = &plan.config.run;
    let mut text = format!("# {} {}\n", plan.config.benchmark_full(), run.scenario);
    for reason in &run.not_for_submission {
        let _ = writeln!(text, "# not for submission: {reason}");
    }
    let scenario = section_of(run.scenario);
    for group in Group::ALL {
        let concerned = |prefix: &str| prefix.is_empty() || prefix == scenario;
        let keys = KEYS
            .iter()
            .filter(|key| key.group == *group && concerned(key.scenario));
        let _ = writeln!(text, "\n# {}", group.heading());
        for key in keys {
            let setting = plan.settings.get(key.name)?;
            if key.hidden && !setting.origin.is_users() {
                continue;
            }
            let line = format!("{} = {}", key.name, toml_value(key.kind, &setting.value));
            if with_origins {
                let _ = writeln!(text, "{line:COLUMN$}  # {}", remark(key, setting));
            } else {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    Ok(text)
}

fn toml_value(kind: Kind, value: &Value) -> String {
    match value {
        Value::Text(text) => toml::Value::String(text.clone()).to_string(),
        // A file could not hold it unquoted.
        Value::Integer(seed) if kind == Kind::Seed && i64::try_from(*seed).is_err() => {
            format!("\"{seed}\"")
        }
        other => other.to_string(),
    }
}

/// Its unit, its origin, what `auto` stands for as long as nothing has taken its place, and what it replaced, but for
/// defaults and what says the same.
fn remark(key: &Key, setting: &Setting) -> String {
    let mut text = match key.unit {
        "" => setting.origin.to_string(),
        unit => format!("({unit}) {}", setting.origin),
    };
    if let (true, Some(meaning)) = (setting.value.is_auto(), key.auto) {
        let _ = write!(text, "; auto: {meaning}");
    }
    let mut last = &setting.value;
    for (value, origin) in &setting.replaced {
        let is_default = *origin == super::origin::Origin::Default;
        if value != last && !is_default {
            let _ = write!(text, "; instead of {value} ({origin})");
        }
        last = value;
    }
    text
}

/// The plans as JSON: what the tests get, and every key with its unit and its origin.
pub fn to_json(plans: &[Plan]) -> serde_json::Value {
    let one = |plan: &Plan| {
        json!({
            "benchmark": plan.config.benchmark_full(),
            "scenario": plan.config.run.scenario,
            "config": plan.config,
            "settings": settings_json(&plan.settings),
        })
    };
    plans.iter().map(one).collect()
}

/// A setting as results keep it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingUsed {
    /// A text, a number, or true or false.
    pub value: serde_json::Value,
    /// Unit of a number, or empty.
    pub unit: String,
    /// Where it came from, for people: `configs/gptj/base.toml:12`, `--min_duration`.
    pub origin: String,
}

/// Every setting that matters to the test, by name: those of other scenarios and those for tests are left out, unless the
/// user gave them.
pub fn settings_used(plan: &Plan) -> BTreeMap<String, SettingUsed> {
    let scenario = section_of(plan.config.run.scenario);
    let matters = |key: &Key, setting: &Setting| {
        let concerned = key.scenario.is_empty() || key.scenario == scenario;
        setting.origin.is_users() || (concerned && !key.hidden)
    };
    let one = |(name, setting): (&'static str, &Setting)| {
        let key = keys::find(name).filter(|key| matters(key, setting))?;
        let used = SettingUsed {
            value: json!(setting.value),
            unit: key.unit.to_owned(),
            origin: setting.origin.to_string(),
        };
        Some((name.to_owned(), used))
    };
    plan.settings.iter().filter_map(one).collect()
}

fn settings_json(settings: &Settings) -> serde_json::Value {
    let one = |(name, setting): (&'static str, &Setting)| {
        let unit = keys::find(name).map_or("", |key| key.unit);
        let value = json!({
            "value": setting.value,
            "unit": unit,
            "origin": setting.origin,
            "replaced": setting.replaced,
        });
        (name.to_owned(), value)
    };
    serde_json::Value::Object(settings.iter().map(one).collect())
}

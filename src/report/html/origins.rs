//! The configuration of the tests with its origins, and what they ran on and with.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::figures::{bytes, count};
use super::super::result::TestResult;
use super::markup::{Html, element};
use super::page::Named;
use super::tables::{Cell, Row, Style, table};
use crate::config::{Group, KEYS};

/// Every setting, by group.
pub fn configuration(tests: &[Named<'_>]) -> Html {
    let mut html = Html::new();
    let with_origins = tests
        .iter()
        .any(|test| !test.stored.result.settings.is_empty());
    if !with_origins {
        html.raw("<p class=\"muted\">This was written before results kept the origins of their settings.</p>");
        return html.add(&table(tests, &flat(tests), Style::Texts)).clone();
    }
    for group in Group::ALL {
        let keys = KEYS.iter().filter(|key| key.group == *group);
        let rows: Vec<Row> = keys
            .filter_map(|key| {
                let cells: Vec<Option<Cell>> = tests
                    .iter()
                    .map(|test| setting(&test.stored.result, key.name))
                    .collect();
                cells.iter().any(Option::is_some).then(|| {
                    let mut heading = Html::new();
                    heading
                        .raw("<span title=\"")
                        .text(key.doc)
                        .raw("\">")
                        .text(key.name)
                        .raw("</span>");
                    let cells = cells
                        .into_iter()
                        .map(|cell| cell.unwrap_or_else(Cell::none));
                    (heading, cells.collect())
                })
            })
            .collect();
        if !rows.is_empty() {
            html.raw("<h3>").text(group.heading()).raw("</h3>");
            html.add(&table(tests, &rows, Style::Texts));
        }
    }
    html
}

fn setting(result: &TestResult, name: &str) -> Option<Cell> {
    let used = result.settings.get(name)?;
    let value = plain(&used.value);
    Some(Cell {
        value: match (value.as_str(), used.unit.as_str()) {
            ("", _) => "(empty)".to_owned(),
            (_, "") | ("auto", _) => value,
            (_, unit) => format!("{value} {unit}"),
        },
        note: used.origin.clone(),
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The configuration without origins, `engine.precision` and so on.
fn flat(tests: &[Named<'_>]) -> Vec<Row> {
    let all: Vec<Vec<(String, String)>> = tests
        .iter()
        .map(|test| settings_of(&test.stored.result))
        .collect();
    let names: BTreeSet<&String> = all.iter().flatten().map(|(name, _)| name).collect();
    let row = |name: &String| {
        let value = |settings: &Vec<(String, String)>| {
            let found = settings.iter().find(|(other, _)| other == name);
            found.map_or_else(Cell::none, |(_, value)| Cell::of(value.clone()))
        };
        (Html::of(name), all.iter().map(value).collect())
    };
    names.into_iter().map(row).collect()
}

/// Names and values of a result's resolved configuration.
pub fn settings_of(result: &TestResult) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // What was read from JSON can be put into it.
    let value = serde_json::to_value(&result.config).unwrap_or_default();
    flatten("", &value, &mut found);
    found
}

fn flatten(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let below = match name {
                    "" => field.clone(),
                    name => format!("{name}.{field}"),
                };
                flatten(&below, value, found);
            }
        }
        Value::Null => {}
        value => found.push((name.to_owned(), plain(value))),
    }
}

/// A fact about a result: its name, and how it is told.
type Fact = (&'static str, fn(&TestResult) -> String);

/// What the tests ran on.
const ENVIRONMENT: &[Fact] = &[
    ("CPU", |r| {
        let cpu = &r.machine.cpu;
        let several = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        format!(
            "{}, {}, {}, {} of {} usable",
            cpu.model,
            several(cpu.sockets, "socket"),
            several(cpu.cores, "core"),
            cpu.usable_threads,
            several(cpu.threads, "thread")
        )
    }),
    ("memory", |r| bytes(r.machine.memory_bytes)),
    ("GPUs", gpus),
    ("GPUs used", |r| {
        let devices = r.config.engine.devices.iter().map(u32::to_string);
        devices.collect::<Vec<_>>().join(", ")
    }),
    ("driver", |r| {
        let driver = &r.machine.driver;
        let version = driver.version.clone().unwrap_or_default();
        match &driver.cuda {
            Some(cuda) => format!("{version}, CUDA {cuda}"),
            None => version,
        }
    }),
    ("operating system", |r| r.machine.os.clone()),
    ("kernel", |r| r.machine.kernel.clone()),
    ("program", |r| r.program.clone()),
    ("LoadGen", |r| {
        r.loadgen
            .as_ref()
            .map_or(String::new(), |l| l.version.clone())
    }),
    ("started", |r| r.started.clone()),
    ("finished", |r| r.finished.clone()),
];

/// What they ran.
const IDENTITY: &[Fact] = &[
    ("engine", engines),
    ("plan", |r| {
        r.plan.as_ref().map_or(String::new(), |plan| {
            format!(
                "{}, {}, builder {}, built {}, {}",
                plan.path.display(),
                plan.precision,
                plan.builder_version,
                plan.built,
                plan.digest
            )
        })
    }),
    ("FP8 ranges", |r| {
        r.fp8_ranges
            .as_ref()
            .map_or(String::new(), |ranges| ranges.describe())
    }),
    ("model", |r| {
        digest(r.inputs.as_ref().and_then(|inputs| inputs.model.as_ref()))
    }),
    ("data set", |r| {
        digest(r.inputs.as_ref().map(|inputs| &inputs.dataset))
    }),
    ("tokenizer", |r| {
        digest(
            r.inputs
                .as_ref()
                .and_then(|inputs| inputs.tokenizer.as_ref()),
        )
    }),
    ("samples in the set", |r| {
        r.inputs.as_ref().map_or(String::new(), |inputs| {
            format!(
                "{}, {} prompt tokens, {} truncated",
                count(inputs.samples),
                count(inputs.prompt_tokens),
                count(inputs.truncated)
            )
        })
    }),
];

fn gpus(result: &TestResult) -> String {
    let one = |gpu: &crate::system::Gpu| match gpu.memory_bytes {
        0 => gpu.name.clone(),
        memory => format!("{}, {}, {}", gpu.name, bytes(memory), gpu.uuid),
    };
    result
        .machine
        .gpus
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join("; ")
}

fn engines(result: &TestResult) -> String {
    let one = |engine: &super::super::result::EngineInstance| {
        format!(
            "{}: {} requests, {} tokens a step, {} KV blocks of {}",
            engine.name,
            count(engine.max_requests.unsigned_abs().into()),
            count(engine.max_tokens_per_step.unsigned_abs().into()),
            count(engine.kv_blocks.unsigned_abs().into()),
            engine.kv_block_size
        )
    };
    result
        .engines
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join("; ")
}

fn digest(fingerprint: Option<&crate::model::Fingerprint>) -> String {
    fingerprint.map_or(String::new(), ToString::to_string)
}

/// Facts about a result by name, those that are not known left out: what it ran on, and what it ran.
pub fn facts(result: &TestResult) -> Vec<(&'static str, String)> {
    let all = ENVIRONMENT.iter().chain(IDENTITY);
    all.map(|(name, fact)| (*name, fact(result)))
        .filter(|(_, fact)| !fact.is_empty())
        .collect()
}

fn told(tests: &[Named<'_>], facts: &[Fact]) -> Html {
    let rows: Vec<Row> = facts
        .iter()
        .map(|(name, fact)| {
            let cell = |test: &Named<'_>| match fact(&test.stored.result) {
                text if text.is_empty() => Cell::none(),
                text => Cell::of(text),
            };
            (Html::of(name), tests.iter().map(cell).collect())
        })
        .filter(|(_, cells): &Row| cells.iter().any(|cell| *cell != Cell::none()))
        .collect();
    table(tests, &rows, Style::Texts)
}

/// The machine.
pub fn environment(tests: &[Named<'_>]) -> Html {
    told(tests, ENVIRONMENT)
}

/// Engine, plan, and digests of model and data.
pub fn identity(tests: &[Named<'_>]) -> Html {
    told(tests, IDENTITY)
}

/// Where the files of each test are.
pub fn files(tests: &[Named<'_>]) -> Html {
    let mut html = Html::new();
    html.raw("<ul class=\"files\">");
    for test in tests {
        html.raw("<li>").add(&test.swatch());
        html.add(&element("<code>", test.stored.folder.display(), "</code>"))
            .raw("</li>");
    }
    html.raw("</ul>");
    html
}

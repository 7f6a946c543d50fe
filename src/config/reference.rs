//! The key table as Markdown, for docs/configuration.md.

use std::fmt::Write;

use super::key::{Group, Key};
use super::keys::KEYS;

/// A section for each group, with a table of its keys.
pub fn reference() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let _ = writeln!(text, "\n### {}\n", group.heading());
        let _ = writeln!(
            text,
            "| key | values | without any layer | |\n|---|---|---|---|"
        );
        for key in KEYS.iter().filter(|key| key.group == *group && !key.hidden) {
            let _ = writeln!(text, "{}", row(key));
        }
    }
    text
}

fn row(key: &Key) -> String {
    let default = match (key.default, key.auto) {
        ("auto", Some(meaning)) => format!("auto: {meaning}"),
        ("", _) => "empty".to_owned(),
        (default, _) => default.to_owned(),
    };
    format!(
        "| `{}` | {} | {default} | {} |",
        key.name,
        key.expected(),
        key.doc
    )
}
